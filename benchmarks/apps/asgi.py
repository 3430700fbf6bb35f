"""Answer the benchmark routes as a bare ASGI application."""

import asyncio

import burner

runs = 0


async def answer(send, body):
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope, name):
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")


# As ASGI programs write them: each has the next one, and what it hands on in the scope.
def authorized(inner):
    async def outer(scope, receive, send):
        scope["data"] = {"authorization": header(scope, b"authorization")}
        await inner(scope, receive, send)

    return outer


def compared(inner):
    async def outer(scope, receive, send):
        data = scope["data"]
        data["same"] = header(scope, b"authorization") == data["authorization"]
        await inner(scope, receive, send)

    return outer


def waited(inner):
    async def outer(scope, receive, send):
        await asyncio.sleep(0)
        scope["data"]["length"] = len(header(scope, b"authorization"))
        await inner(scope, receive, send)

    return outer


def measured(inner):
    async def outer(scope, receive, send):
        scope["data"]["length"] = len(header(scope, b"authorization"))
        await inner(scope, receive, send)

    return outer


@authorized
@compared
@measured
async def sync(scope, receive, send):
    await answer(send, b"Hello, World!")


@authorized
@compared
@waited
async def chain(scope, receive, send):
    await answer(send, b"Hello, World!")


async def echo(receive, send):
    body = b""
    is_last = False
    while not is_last:
        message = await receive()
        body += message["body"]
        is_last = not message.get("more_body")
    await answer(send, body)


async def app(scope, receive, send):
    global runs
    if scope["path"] == "/chain":
        await chain(scope, receive, send)
    elif scope["path"] == "/sync":
        await sync(scope, receive, send)
    elif scope["path"] == "/echo":
        await echo(receive, send)
    elif scope["path"] == "/count":
        await answer(send, b"%d" % runs)
    elif scope["path"] == "/turns":
        await answer(send, b"%d" % burner.turns)
    else:
        runs += 1
        await answer(send, b"Hello, World!")


burner.start_if_asked()
