"""The smallest program: three routes, one of them with a parameter."""

import sys

from socketify_mw import App, Request, Response


def home(res: Response, req: Request) -> None:
    res.end("Hello, World!")


def greet(res: Response, req: Request) -> None:
    greeting = req.get_query("greeting") or "Hello"
    res.end(f"{greeting}, {req.get_parameter('name')}!")


def agent(res: Response, req: Request) -> None:
    res.write_header("Cache-Control", "no-store")
    res.end({"user-agent": req.get_header("user-agent")})


app = App()
app.get("/", home)
app.get("/hello/:name", greet)
app.get("/agent", agent)


def announce(config) -> None:
    url = f"http://localhost:{config.port}"
    print(f"Serving on {url}. Stop with Ctrl-C. Try:")
    print(f"  curl -i {url}/")
    print(f"  curl '{url}/hello/you?greeting=Servus'", flush=True)


app.listen(int(sys.argv[1]) if len(sys.argv) > 1 else 3000, announce)
app.run()
