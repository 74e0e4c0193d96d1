"""TLN_INSTRUCTION_SET: every level of this processor gives the same bits, and what is no level is refused."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import sys

import pytest

LEVELS = ["baseline", "avx2", "avx512"]

# Trains a little, and prints the instruction set, and the network as bytes or what went wrong, as JSON.
TRAINING = """
import json, sys, tempfile, numpy, twolayernet
answer = {"set": twolayernet.describe_device("cpu").instruction_set}
try:
    network = twolayernet.Network(30, 20, 4, device="cpu")
    features = numpy.random.default_rng(1).random((40, 30), dtype=numpy.float32)
    trainer = twolayernet.Trainer(network, batch_size=8)
    trainer.fit(twolayernet.Dataset(features, numpy.arange(40) % 4), epochs=3)
    answer["bytes"] = b"".join(values.tobytes() for values in network.state_dict().values()).hex()
except twolayernet.TwoLayerNetError as error:
    answer |= {"status": error.status_name, "error": str(error)}
print(json.dumps(answer))
"""


def train(library: pathlib.Path, root: pathlib.Path, level: str | None) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "TLN_INSTRUCTION_SET"}
    environment |= {"TWOLAYERNET_LIBRARY": str(library), "PYTHONPATH": str(root / "bindings/python/src")}
    if level is not None:
        environment["TLN_INSTRUCTION_SET"] = level
    command = [sys.executable, "-c", TRAINING]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_every_level_gives_the_same_bits(library: pathlib.Path, root: pathlib.Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("another processor has one level alone")
    best = train(library, root, None)
    assert best["set"] in LEVELS and "bytes" in best
    for level in LEVELS[: LEVELS.index(best["set"]) + 1]:
        assert train(library, root, level) == best | {"set": level}
    for level in LEVELS[LEVELS.index(best["set"]) + 1 :]:
        assert "lacks" in train(library, root, level)["error"]


@pytest.mark.parametrize("level, text", [("neon", "lacks"), ("sse", "must be"), ("", "must be"), ("AVX2", "must be")])
def test_what_is_no_level_of_this_processor_is_refused(
    library: pathlib.Path, root: pathlib.Path, level: str, text: str
) -> None:
    if platform.machine() != "x86_64" and level == "neon":
        pytest.skip("this processor may have it")
    answer = train(library, root, level)
    assert answer["status"] == "TLN_UNSUPPORTED" and "TLN_INSTRUCTION_SET" in answer["error"] and text in answer["error"]
    # What there is can still be asked.
    assert answer["set"] == train(library, root, None)["set"]
