#!/bin/sh
# Install a wheel alone into an empty environment of each CPython that is found, and serve
# a request with it. Usage: WHEEL
set -e
wheel=$PWD/$1
for version in 3.11 3.12 3.13; do
    python=$(sh scripts/find_python.sh $version)
    if [ -z "$python" ]; then
        echo "==== Python $version: SKIPPED, it is not installed"
        continue
    fi
    folder=$(mktemp -d)
    "$python" -m venv "$folder"
    # No compiler is to be needed: there is none.
    CC=false "$folder/bin/python" -m pip install -q --disable-pip-version-check \
        --only-binary :all: "$wheel"
    (cd "$folder" && bin/python -c '
import sys
from socketify_mw import App, __version__

app = App().get("/", lambda res, req: res.end("Hello, World!"))
assert app.test_client().get("/").text == "Hello, World!"
print("Python %d.%d:" % sys.version_info[:2], "socketify_mw", __version__, "answers")
')
    rm -rf "$folder"
done
