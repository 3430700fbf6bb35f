"""What pyproject.toml cannot say: the extension, and that it is abi3."""

import os
import sys

from setuptools import setup

# A PEP 517 build does not put the project's folder on the path.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from build_native import IS_ABI3

setup(
    cffi_modules=["build_native.py:ffi"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if IS_ABI3 else {},
)
