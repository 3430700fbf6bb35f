"""Answer the benchmark routes as a bare RSGI application."""

import burner

HEADERS = [("content-type", "text/plain")]
runs = 0


async def app(scope, protocol):
    global runs
    if scope.path == "/count":
        protocol.response_str(200, HEADERS, str(runs))
    elif scope.path == "/turns":
        protocol.response_str(200, HEADERS, str(burner.turns))
    else:
        runs += 1
        protocol.response_str(200, HEADERS, "Hello, World!")


burner.start_if_asked()
