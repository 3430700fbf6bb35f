"""Serve the benchmark routes with socketify_mw."""

import asyncio
import sys
import time

import burner

from socketify_mw import App, Middleware, middleware

runs = 0


def home(res, req):
    global runs
    runs += 1
    res.end("Hello, World!")


def count(res, req):
    res.end(str(runs))


def turns(res, req):
    res.end(str(burner.turns))


def read(res, req):
    host = req.get_header("host")
    authorization = req.get_header("authorization")
    query = req.get_query("q")
    res.end(f"{req.get_parameter(0)} {query} {host} {authorization}")


def fast(res, req):
    res.end("fast")


def slow(res, req):
    # Blocks the only thread on purpose, as a handler with a slow query does.
    time.sleep(0.010)
    res.end("slow")


async def coroutine(res, req):
    res.end("Hello, World!")


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


def empty(res, req, data):
    return True


def hello(res, req, data=None):
    res.end("Hello, World!")


def end(res, req, data):
    res.end("Hello, World!")
    return data


class Authorize(Middleware):
    def before(self, request, response):
        request.state.authorization = request.get_header("authorization")
        return request


class Compare(Middleware):
    def before(self, request, response):
        state = request.state
        state.same = request.get_header("authorization") == state.authorization
        return request


class Measure(Middleware):
    def before(self, request, response):
        request.state.length = len(request.get_header("authorization"))
        return request


async def echo(res, req):
    res.end((await res.get_data()).getvalue())


app = App()
app.get("/", home)
app.get("/count", count)
app.get("/turns", turns)
app.get("/read/:id", read)
app.get("/fast", fast)
app.get("/slow", slow)
app.get("/coroutine", coroutine)
app.get("/chain", middleware(authorize, compare, wait, end))
app.get("/sync", middleware(authorize, compare, measure, end))
app.get("/classes", middleware(Authorize, Compare, Measure, end))
for count_of_members in (0, 1, 5, 10):
    members = [empty] * count_of_members
    app.get(f"/empty/{count_of_members}", hello, middlewares=members)
app.post("/echo", echo)
app.listen(int(sys.argv[1]), lambda config: print(f"listening on {config.port}"))
burner.start_if_asked()
app.run()
