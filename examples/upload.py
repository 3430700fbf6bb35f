"""Take uploads of any size, in pieces, and tell their length and digest."""

import hashlib
import sys

from socketify_mw import App

app = App()


@app.router().post("/", max_body=None)
def upload(res, req):
    digest = hashlib.sha256()
    size = 0

    def on_data(res, chunk, is_end):
        nonlocal size
        digest.update(chunk)
        size += len(chunk)
        if is_end:
            res.end({"bytes": size, "sha256": digest.hexdigest()})

    res.on_data(on_data)
    res.on_aborted(lambda res: print(f"the client left after {size} bytes"))


port = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
app.listen(port, lambda it: print(f"http://localhost:{it.port}/", flush=True))
app.run()
