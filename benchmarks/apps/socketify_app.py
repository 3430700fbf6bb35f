"""Serve the benchmark routes with socketify."""

import asyncio
import sys

import burner
from socketify import App, middleware

runs = 0


def home(res, req):
    global runs
    runs += 1
    res.end("Hello, World!")


def count(res, req):
    res.end(str(runs))


def turns(res, req):
    res.end(str(burner.turns))


def authorize(res, req, data):
    return {"authorization": req.get_header("authorization")}


def compare(res, req, data):
    data["same"] = req.get_header("authorization") == data["authorization"]
    return data


async def wait(res, req, data):
    await asyncio.sleep(0)
    data["length"] = len(req.get_header("authorization"))
    return data


def measure(res, req, data):
    data["length"] = len(req.get_header("authorization"))
    return data


def end(res, req, data):
    res.cork_end("Hello, World!")
    return data


app = App()
app.get("/", home)
app.get("/count", count)
app.get("/turns", turns)
app.get("/chain", middleware(authorize, compare, wait, end))
app.get("/sync", middleware(authorize, compare, measure, end))
app.listen(int(sys.argv[1]), lambda config: print(f"listening on {config.port}"))
burner.start_if_asked()
app.run()
