"""Answer the benchmark routes as a bare ASGI application."""

import burner

runs = 0


async def answer(send, body):
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    global runs
    if scope["path"] == "/count":
        await answer(send, b"%d" % runs)
    elif scope["path"] == "/turns":
        await answer(send, b"%d" % burner.turns)
    else:
        runs += 1
        await answer(send, b"Hello, World!")


burner.start_if_asked()
