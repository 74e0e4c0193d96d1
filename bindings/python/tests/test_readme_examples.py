"""The examples of the binding's README, run as they stand there."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

TEXT = (pathlib.Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]*)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", TEXT, re.S | re.M))


def test_there_are_examples():
    assert list(EXAMPLES) == ["Training", "With scikit-learn", "With PyTorch", "Pictures"]
    assert TEXT.count("```python") == len(EXAMPLES)


@pytest.mark.parametrize("title", EXAMPLES)
def test_example(title, tmp_path):
    program = EXAMPLES[title]
    for module, word in [("sklearn", "sklearn"), ("matplotlib", "plots"), ("torch", "import torch")]:
        if word in program:
            pytest.importorskip(module, reason=f"{module} is not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MPLBACKEND": "Agg"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if title in ("Training", "With scikit-learn"):
        assert float(result.stdout.split()[0]) > 0.8
