#!/bin/sh
# Name what the machine lacks, with the package that brings it. Usage: PYTHON CC
python=$1
cc=$2
missing=0

lacks() {
    echo "missing: $1" >&2
    echo "    Debian, Ubuntu: apt-get install $2      Fedora: dnf install $3" >&2
    missing=1
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    lacks "Python 3.11 or later (as '$python'; another one: make PYTHON=...)" \
        python3.11 python3.11
else
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        lacks "Python's venv module" python3-venv python3
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$header/Python.h" ] || lacks "Python's headers" python3-dev python3-devel
fi
command -v "$cc" >/dev/null 2>&1 || lacks "a C compiler ('$cc')" gcc gcc
if command -v "$cc" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    printf '#include <stdlib.h>\nint main(void) { return 0; }\n' >"$folder/check.c"
    "$cc" -o "$folder/check" "$folder/check.c" 2>/dev/null ||
        lacks "the C library's headers" libc6-dev glibc-devel
    rm -rf "$folder"
fi
exit $missing
