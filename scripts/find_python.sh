#!/bin/sh
# Print a CPython of a version, if one is installed. Usage: VERSION
version=$1

# A name on the path may be a version manager's shim that runs nothing.
runs() {
    "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" \
        2>/dev/null
}

for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
    if runs "$candidate"; then
        echo "$candidate"
        exit
    fi
done
