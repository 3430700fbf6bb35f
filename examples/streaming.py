"""Two ways to send much: a stream of unknown length, and a large body in parts."""

import asyncio
import sys

from socketify_mw import App

app = App()
LARGE = bytes(range(256)) * 40_000


@app.router().get("/ticks")
def ticks(res, req):
    async def send():
        for number in range(5):
            res.write(f"tick {number}\n")
            await res.drain()  # no faster than the client takes it
            await asyncio.sleep(0.1)
        res.end()

    res.run_async(send())


@app.router().get("/large")
def large(res, req):
    def send_more(res, offset):
        taken, _ = res.try_end(LARGE[offset:], len(LARGE))
        return taken

    if not send_more(res, 0):
        res.on_writable(send_more)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
