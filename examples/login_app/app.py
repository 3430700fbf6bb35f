"""Log in, see your page, log out: run it with `APP_ENV=development python app.py`.

In production it wants a key: `APP_KEY=$(python -m socketify_mw key) python app.py`.
"""

import sys

from socketify_mw import App


def make_app() -> App:
    app = App()
    return app.kernel("Kernel:Kernel", routes="web", controllers="controllers")


if __name__ == "__main__":
    app = make_app()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
    app.run()
