"""The Python wheel: what it is called, what is in it, and whether it works on its own."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("numpy")


@pytest.fixture(scope="module")
def wheel(root):
    """What `make wheel` makes of the library that is there."""
    if shutil.which("auditwheel", path=f"{sys.prefix}/bin") is None:
        pytest.skip("auditwheel is not installed beside this Python")
    ready = ["-o", "lib", "-o", f"{sys.prefix}/ready"]
    subprocess.run(["make", "-s", "wheel", f"VENV={sys.prefix}", *ready], cwd=root, check=True)
    (path,) = (root / "dist").glob("*.whl")
    return path


def test_it_is_for_every_python(wheel):
    assert re.fullmatch(r"twolayernet-[\d.]+-py3-none-manylinux_2_\d+_\w+\.whl", wheel.name)


def test_what_is_in_it(root, library, wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    package = {name.split("/", 1)[1] for name in files if name.startswith("twolayernet/")}
    sources = root / "bindings/python/src/twolayernet"
    expected = {
        str(path.relative_to(sources))
        for path in sources.rglob("*")
        if path.suffix in (".py", ".typed", ".json") and "__pycache__" not in path.parts
    }
    assert package == expected | {"libtwolayernet.so.0"}
    # Nothing was bundled or rewritten: what the library needs, every Linux has.
    assert files["twolayernet/libtwolayernet.so.0"] == library.read_bytes()
    (metadata,) = [data.decode() for name, data in files.items() if name.endswith("/METADATA")]
    assert "Requires-Python: >=3.9" in metadata
    assert "Requires-Dist: numpy" in metadata and 'extra == "sklearn"' in metadata
    assert any(name.endswith("licenses/LICENSE") for name in files)


def test_it_works_alone(wheel, tmp_path):
    """Installed where nothing else of ours is, with nothing else in the path."""
    site = tmp_path / "site"
    install = ["install", "-q", "--disable-pip-version-check", "--no-index", "--no-deps", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    program = """
import numpy as np, twolayernet
features = np.eye(4, dtype=np.float32)[np.arange(200) % 4]
data = twolayernet.Dataset(features, np.arange(200) % 4)
network = twolayernet.Network(4, 8, 4)
twolayernet.Trainer(network).fit(data, 50)
print(twolayernet.library_path, network.evaluate(data).accuracy)
"""
    clean = {"PATH": os.defpath, "PYTHONPATH": str(site)}
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=clean, check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [str(site / "twolayernet/libtwolayernet.so.0"), "1.0"]
