"""One process a core, all on one port: `reuse_port` lets the kernel share it out."""

import os
import signal
import sys

from socketify_mw import App

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 3000


def announce(config):
    print(f"http://localhost:{config.port}/", flush=True)


def serve():
    app = App()  # after fork: a loop belongs to the process that made it
    app.get("/", lambda res, req: res.end(f"process {os.getpid()}\n"))
    app.listen(PORT, announce, reuse_port=True)
    app.run()


children = []
for _ in range(os.cpu_count() or 1):
    children.append(os.fork())
    if children[-1] == 0:
        sys.exit(serve())


def stop(number, frame):
    for child in children:
        os.kill(child, number)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
for child in children:
    os.waitpid(child, 0)
