"""Log each request with the time it took: one member in front, one behind."""

import asyncio
import logging
import sys
from time import perf_counter

from socketify_mw import App, middleware

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)


def start(res, req, data):
    req.state.started = perf_counter()
    return True  # go on


def report(res, req, data):
    spent = (perf_counter() - req.state.started) * 1000
    logging.info("%s %s: %.1f ms", req.get_method(), req.get_full_url(), spent)


def quick(res, req, data):
    return res.end("at once\n")  # the response: truthy, so `report` is next


async def slow(res, req, data):
    await asyncio.sleep(0.05)
    return res.end("that took a while\n")


app = App()
app.use(start)  # in front of every route
app.get("/", middleware(quick, report))
app.get("/slow", middleware(slow, report))
port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
