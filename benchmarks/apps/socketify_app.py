"""Serve the benchmark routes with socketify."""

import sys

import burner
from socketify import App

runs = 0


def home(res, req):
    global runs
    runs += 1
    res.end("Hello, World!")


def count(res, req):
    res.end(str(runs))


def turns(res, req):
    res.end(str(burner.turns))


app = App()
app.get("/", home)
app.get("/count", count)
app.get("/turns", turns)
app.listen(int(sys.argv[1]), lambda config: print(f"listening on {config.port}"))
burner.start_if_asked()
app.run()
