"""These tests need PyTorch, any version from 1.13 on, and are skipped without it."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("TWOLAYERNET_LIBRARY", str(ROOT / "dist/libtwolayernet.so.0"))
# The kernels whose arithmetic is the library's; read when PyTorch is imported.
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
sys.path[:0] = [str(ROOT / "bindings/python/src"), str(ROOT / "Tests")]

try:
    import torch
except ImportError:
    collect_ignore_glob = ["test_*.py"]
else:
    torch.set_num_threads(1)


def pytest_report_header() -> str:
    if "torch" in sys.modules:
        return f"PyTorch {torch.__version__}"
    return "PyTorch is not installed: its tests are left out"


@pytest.fixture(scope="session")
def is_2_1_2() -> bool:
    """Whether this is the version whose files and arithmetic the library reproduces to the bit."""
    return torch.__version__.startswith("2.1.2")
