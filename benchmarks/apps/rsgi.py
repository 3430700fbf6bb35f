"""Answer the benchmark routes as a bare RSGI application."""

import asyncio

import burner

HEADERS = [("content-type", "text/plain")]
runs = 0


def authorized(inner):
    async def outer(scope, protocol, data):
        data = {"authorization": scope.headers.get("authorization")}
        await inner(scope, protocol, data)

    return outer


def compared(inner):
    async def outer(scope, protocol, data):
        data["same"] = scope.headers.get("authorization") == data["authorization"]
        await inner(scope, protocol, data)

    return outer


def waited(inner):
    async def outer(scope, protocol, data):
        await asyncio.sleep(0)
        data["length"] = len(scope.headers.get("authorization"))
        await inner(scope, protocol, data)

    return outer


def measured(inner):
    async def outer(scope, protocol, data):
        data["length"] = len(scope.headers.get("authorization"))
        await inner(scope, protocol, data)

    return outer


@authorized
@compared
@measured
async def sync(scope, protocol, data):
    protocol.response_str(200, HEADERS, "Hello, World!")


@authorized
@compared
@waited
async def chain(scope, protocol, data):
    protocol.response_str(200, HEADERS, "Hello, World!")


async def app(scope, protocol):
    global runs
    if scope.path == "/chain":
        await chain(scope, protocol, None)
    elif scope.path == "/sync":
        await sync(scope, protocol, None)
    elif scope.path == "/count":
        protocol.response_str(200, HEADERS, str(runs))
    elif scope.path == "/turns":
        protocol.response_str(200, HEADERS, str(burner.turns))
    else:
        runs += 1
        protocol.response_str(200, HEADERS, "Hello, World!")


burner.start_if_asked()
