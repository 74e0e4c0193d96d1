"""Finds the library that `make lib` has built, and the embedded digits."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so.0"))
sys.path.insert(0, str(ROOT / "bindings/python/src"))
sys.path.insert(0, str(ROOT / "Tests"))

from conftest_data import digits, enlarged_digits, mnist  # noqa: F401
