"""Build recipe of the extension `socketify_mw._native`, read by cffi and setup.py.

The marked region of native/include/smw.h is the cdef, and every file of native/src
is a source: nothing is declared or listed twice.
"""

import os
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

# One wheel for every CPython from 3.11 on. Those without a GIL have no such thing, nor
# has PyPy.
IS_ABI3 = sys.implementation.name == "cpython" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)

HERE = Path(__file__).resolve().parent
INCLUDE = HERE / "native" / "include"
SOURCES = HERE / "native" / "src"

# Python's side of the callbacks of the bare loop. They take numbers, no pointers.
CALLBACKS = """
extern "Python" {
    void smw_py_on_due(smw_loop *, uint64_t timer, uint64_t user);
    void smw_py_on_ready(smw_loop *, int fd, unsigned events, uint64_t user);
    void smw_py_on_open(smw_loop *, uint64_t conn, uint64_t user);
    void smw_py_on_data(smw_loop *, uint64_t conn, const char *data, size_t length,
                        uint64_t user);
    void smw_py_on_close(smw_loop *, uint64_t conn, uint64_t user);
}
"""


def declarations() -> str:
    """Return the part of the header that Python sees."""
    text = (INCLUDE / "smw.h").read_text()
    region = text.partition("/* cffi:begin")[2].partition("/* cffi:end")[0]
    return region.partition("*/")[2]


def relative(paths: list[Path]) -> list[str]:
    # setuptools wants paths from the project's root, where it is run.
    return [os.path.relpath(path, HERE) for path in sorted(paths)]


ffi = FFI()
ffi.cdef(declarations())
ffi.cdef(CALLBACKS)
ffi.set_source(
    "socketify_mw._native",
    '#include "smw.h"',
    sources=relative(list(SOURCES.glob("*.c"))),
    depends=relative([*SOURCES.glob("*.h"), *INCLUDE.glob("*.h")]),
    include_dirs=relative([INCLUDE]),
    define_macros=[
        ("_GNU_SOURCE", None),
        *([("Py_LIMITED_API", "0x030B0000")] if IS_ABI3 else []),
    ],
    py_limited_api=IS_ABI3,
    # Python's own flags bring -O2 or -O3. Of all our symbols only the module's init
    # function may be seen from outside.
    extra_compile_args=["-std=gnu11", "-fvisibility=hidden"],
)

if __name__ == "__main__":
    ffi.compile(verbose=True)
