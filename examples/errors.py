"""Answer errors in one place, and what no route matches."""

import sys

from socketify_mw import App

app = App()


@app.on_error
def on_error(error, res, req):
    if isinstance(error, ValueError):
        res.write_status(400).end({"error": str(error)})
    else:
        res.write_status(500).end({"error": "that was not planned"})


@app.not_found
def not_found(res, req):
    res.write_status(404).end({"error": f"nothing at {req.get_url()}"})


@app.router().get("/half/:number")
def half(res, req):
    res.end(int(req.get_parameter("number")) / 2)


@app.router().get("/bug")
def bug(res, req):
    raise RuntimeError("a mistake")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
