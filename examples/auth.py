"""Let members alone in: a coroutine in front of every route of a router."""

import asyncio
import sys

from socketify_mw import App

MEMBERS = {"Bearer ann-s-secret": "Ann", "Bearer bo-s-secret": "Bo"}


async def authorize(res, req, data=None):
    await asyncio.sleep(0.001)  # as a database might take
    member = MEMBERS.get(req.get_header("authorization"))
    if member is None:
        res.write_header("WWW-Authenticate", "Bearer")
        res.write_status(401).end("who are you?\n")
    return member  # None, which is falsy, ends the chain


app = App()
app.get("/", lambda res, req: res.end("open to all\n"))
members = app.router("/members", authorize)


@members.get("/me")
def me(res, req, member):
    res.end(f"you are {member}\n")


@members.get("/hello/:name")
def hello(res, req, member):
    res.end(f"{member} greets {req.get_parameter('name')}\n")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
