#!/bin/sh
# Run the Python tests on each further CPython that is installed, with the one abi3
# wheel. Usage: WHEEL VERSION...
set -e
wheel=$1
shift

for version in "$@"; do
    python=$(sh scripts/find_python.sh "$version")
    if [ -z "$python" ]; then
        echo "==== Python $version: SKIPPED, it is not installed"
        continue
    fi
    echo "==== Python $version: $python"
    environment=.venv-$version
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check \
        pytest pytest-timeout httpx hypothesis cffi cryptography limits redis sqids
    "$environment/bin/python" -m pip install -q --disable-pip-version-check \
        --force-reinstall --no-deps "$wheel"
    # Away from the checkout, so that the installed wheel is what is tested.
    root=$PWD
    (cd "$root/tests" && "$root/$environment/bin/python" -P -m pytest -q -rs \
        -c "$root/pyproject.toml" --rootdir "$root" "$root/tests")
done
