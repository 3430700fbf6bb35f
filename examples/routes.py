"""Static routes, parameters and the rest: the more exact pattern goes first."""

import sys

from socketify_mw import App

app = App()
api = app.router("/api")


@api.get("/users/me")
def me(res, req):
    res.end({"name": "you"})


@api.get("/users/:id")
def user(res, req):
    res.end({"id": req.get_parameter("id"), "fields": req.get_queries()})


@api.any("/*")
def anything(res, req):
    res.write_status(404).end({"error": f"there is no {req.get_url()}"})


app.get("/", lambda res, req: res.redirect("/api/users/me"))
port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
