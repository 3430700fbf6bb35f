"""Plain functions and coroutines in one chain, in any order."""

import asyncio
import sys

from socketify_mw import App, MiddlewareRouter

app = App()


def parse(res, req, data):
    words = req.get_queries().get("word", [])
    if not words:
        res.write_status(400).end("give me words: ?word=one&word=two\n")
    return words  # an empty list is falsy: the chain ends


async def translate(res, req, words):
    await asyncio.sleep(0.01)  # as another server might take
    return [word[::-1] for word in words]


def plain(res, req, words):
    res.end(" ".join(words) + "\n")


async def streamed(res, req, words):
    for word in words:
        res.write(word + "\n")
        await res.drain()
    res.end()


words = MiddlewareRouter(app, parse, translate)
words.get("/", plain).get("/stream", streamed)
port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
