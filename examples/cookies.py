"""Count a visitor's visits in a cookie."""

import sys

from socketify_mw import App

app = App()


@app.router().get("/")
def visit(res, req):
    seen = req.get_cookie("visits") or "0"
    count = int(seen) + 1 if seen.isdigit() else 1
    res.set_cookie("visits", count, {"path": "/", "httponly": True, "max_age": 3600})
    res.end(f"visit number {count}\n")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
