#!/bin/sh
# Build what is published for this machine, and check whatever can be checked here.
# Usage: make dist
set -e
bin=$PWD/.venv-dist/bin
PATH=$bin:$PATH
rm -rf dist build/dist
mkdir -p build/dist

echo "==== sdist, and a wheel from it"
# zig's C library is as old as is asked for; the machine's own would ask users for a newer
# one than manylinux_2_28 has.
machine=$(uname -m)
if [ "$(uname -s)" = Linux ]; then
    cat >build/dist/cc <<EOF
#!/bin/sh
exec "$PWD/.venv-cross/bin/python" -m ziglang cc -target $machine-linux-gnu.2.28 "\$@"
EOF
    chmod +x build/dist/cc
    CC=$PWD/build/dist/cc
    LDSHARED="$CC -shared"
    export CC LDSHARED
fi
python -m build -q --no-isolation -o build/dist .
unset CC LDSHARED

echo "==== the wheel for every Linux with glibc 2.28 or later"
if [ "$(uname -s)" = Linux ]; then
    auditwheel repair --plat "manylinux_2_28_$machine" -w dist build/dist/*.whl
    # Which it must not need more than.
    auditwheel show dist/*.whl
else
    cp build/dist/*.whl dist
fi
cp build/dist/*.tar.gz dist

echo "==== metadata, contents, the stable ABI"
twine check --strict dist/*
check-wheel-contents dist/*.whl
abi3audit --strict --summary dist/*.whl

echo "==== what the workflow would build"
for platform in linux macos; do
    for archs in x86_64 "$([ $platform = linux ] && echo aarch64 || echo arm64)"; do
        echo "$platform $archs:"
        python -m cibuildwheel --print-build-identifiers --platform $platform \
            --archs "$archs" . | sed 's/^/    /'
    done
done

echo "==== the workflows"
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.github-issue-forms \
    .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
check-jsonschema --builtin-schema vendor.github-issue-config \
    .github/ISSUE_TEMPLATE/config.yml
zizmor --offline --no-progress .github/workflows

echo "==== the wheel in an empty environment of each Python"
sh scripts/try_wheel.sh dist/*.whl
echo "All of dist/ has passed: $(ls dist)"
