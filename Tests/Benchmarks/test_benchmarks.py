"""The arithmetic of the report, on made-up times; and that generated images are what they claim to be."""

import gzip
import pathlib
import sys

import pytest

np = pytest.importorskip("numpy")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import datasets  # noqa: E402
import instructions  # noqa: E402
import measuring  # noqa: E402
from goals import goals  # noqa: E402
from sections import flops_of_step  # noqa: E402

ONE, TWO = "twolayernet, 1 thread", "twolayernet, 2 threads"


def test_ratios_are_taken_within_a_round():
    times = {"a": [1.0, 20.0, 3.0], "b": [0.5, 10.0, 1.0]}
    assert measuring.median_ratio(times, "a", "b") == 2
    # Of a peer with fewer turns, the rounds it took part in.
    assert measuring.median_ratio({"a": [4.0], "b": [1.0, 9.0]}, "a", "b") == 4
    assert measuring.best({"p 1": [3.0, 2.0], "p 2": [1.0, 1.5], "q": []}, ["p 1", "p 2", "q"]) == "p 2"


def test_everyone_has_a_turn_in_each_round(monkeypatch):
    monkeypatch.setattr(measuring, "PAUSE", 0)
    order = []
    turns = {name: lambda name=name: order.append(name) or 1.0 for name in "abc"}
    times = measuring.alternate(turns, 3, {"c": 1})
    assert order == list("abcabab") and [len(times[name]) for name in "abc"] == [3, 3, 1]


def test_peak_memory_is_the_programs_own():
    ours = bytearray(200_000_000)  # must not count
    ours[::4096] = bytes(len(ours[::4096])).replace(b"\0", b"\1")
    small = measuring.peak_memory([sys.executable, "-c", "pass"])
    large = measuring.peak_memory([sys.executable, "-c", "x = b'1' * 100_000_000"])
    assert small < 50e6 and 100e6 < large < 150e6


def report(**sections):
    return {"threads": 2, "sections": sections}


@pytest.mark.parametrize("factor, met", [(1.0, True), (3.0, False)])
def test_goals_are_met_or_not(factor, met):
    flops = 600 * flops_of_step(784, 100, 10, 100)
    times = {
        "FMA peak": [100.0],
        ONE: [0.08 * factor],
        TWO: [0.08 * factor / (2 if met else 1)],
        "NumPy, 1 thread": [0.5],
        "PyTorch, 1 thread": [1.0],
        "PyTorch, 2 threads": [0.9],
        "the article's script": [11.0],
    }
    judged = goals(report(epoch={"flops": flops, "times": times}))
    assert len(judged) == 5 and all(goal.met is met for goal in judged)
    assert judged[1].measured == pytest.approx(0.9 / (0.08 * factor))
    assert judged[3].measured == pytest.approx(0.08 * factor / (flops / 100e9))


def test_a_peer_that_is_missing_is_said_to_be():
    goal = goals(report(fashion={"times": {ONE: [1.0], TWO: [1.0]}}))[0]
    assert goal.met is None and "not installed" in goal.note


def test_growth_is_compared_with_as_many_threads():
    def point(value, numpy):
        times = {ONE: [1.0], TWO: [0.5], "NumPy, 1 thread": [2.0], "NumPy, 2 threads": [numpy]}
        # The peer did half of the work.
        flops = {name: 1e9 if name in (ONE, TWO) else 5e8 for name in times}
        return {"axis": "hidden", "value": value, "times": times, "flops": flops}

    (goal,) = goals(report(growth={"points": [point(10, 1.0), point(100, 0.2)]}))
    assert goal.met is False and goal.measured == pytest.approx(0.8)
    assert "hidden = 100, NumPy, 2 threads; behind at 1 of 4" in goal.note


def test_generated_images(tmp_path):
    images, labels = datasets.blobs(2000, 0.191)
    assert abs((images != 0).mean() - 0.191) < 0.001 and set(labels) == set(range(10))
    assert 100 < images.max() <= 255
    again, _ = datasets.blobs(2000, 0.191)
    assert np.array_equal(images, again)
    datasets.write_idx(tmp_path, images, labels, images[:5], labels[:5])
    content = gzip.decompress((tmp_path / "train-images-idx3-ubyte.gz").read_bytes())
    assert content[:8] == bytes([0, 0, 8, 3, 0, 0, 7, 208]) and content[16:] == images.tobytes()


def test_worse_counts_are_found():
    old = {"a": 1000, "b": 1000, "c": 1000}
    assert instructions.worse(old, {"a": 1005, "b": 1020, "c": 500, "new": 1}) == ["b"]
    assert instructions.change(1000, 1020) == "+2.00%" and instructions.change(None, 1) == "new"


def test_the_record_has_every_part(root):
    import json

    record = json.loads((root / "Tests/Benchmarks/instructions.json").read_text())
    assert list(record) == instructions.LEVELS
    assert all(list(record[level]) == list(instructions.PARTS) for level in record)
