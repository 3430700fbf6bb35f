"""fork(): the parent goes on as if nothing had happened; the child starts anew."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, threading, urllib.request
from socketify_mw import App

def get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()

ports, seen = [], []
app = App()
app.get("/", lambda res, req: res.end(f"parent {os.getpid()}"))
app.listen(0, ports.append, host="127.0.0.1")

%s
"""

IN_A_HANDLER = """
def fork(res, req):
    pid = os.fork()
    if pid == 0:
        %s
    seen.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    res.end("forked")

def talk():
    try:
        assert get(ports[0].port, "/fork") == "forked"
        for _ in range(20):
            assert get(ports[0].port) == f"parent {os.getpid()}"
        seen.append("served")
    finally:
        app.close()

app.get("/fork", fork)
thread = threading.Thread(target=talk)
thread.start()
app.run()
thread.join()
assert seen == [%s, "served"], seen
print("done")
"""

BEFORE_RUN = """
pid = os.fork()
if pid == 0:
    for use in (app.run, app.listen):
        try:
            use()
        except RuntimeError as error:
            assert "after fork" in str(error)
        else:
            os._exit(1)
    other, found = App(), []
    other.get("/", lambda res, req: (res.end("child"), app_closes()))
    def app_closes(): other._loop.call_soon(other.close)
    other.listen(0, found.append, host="127.0.0.1")
    thread = threading.Thread(target=lambda: seen.append(get(found[0].port)))
    thread.start()
    other.run()
    thread.join()
    os._exit(0 if seen == ["child"] else 2)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
thread = threading.Thread(target=lambda: (seen.append(get(ports[0].port)), app.close()))
thread.start()
app.run()
thread.join()
assert seen == [f"parent {os.getpid()}"], seen
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "program",
    [
        BEFORE_RUN,
        IN_A_HANDLER % ("sys.exit(3)", "3"),
        IN_A_HANDLER % ("os._exit(0)", "0"),
        IN_A_HANDLER % ("os.execv(sys.executable, ['python', '-c', ''])", "0"),
        IN_A_HANDLER % ("return res.end('from the child')", "1"),
    ],
    ids=["before run", "exit", "_exit", "exec", "return"],
)
def test_a_fork_leaves_the_parent_alone(program, tmp_path):
    # Forking beside a thread is what CPython 3.12 warns of, and what this is about.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c"]
    done = subprocess.run(
        [*command, PROGRAM % program], capture_output=True, text=True, timeout=40
    )
    assert done.stdout == "done\n", done.stderr[-2000:]
