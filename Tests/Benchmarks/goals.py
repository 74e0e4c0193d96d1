"""The goals, and what a run says about each."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any, Callable

from measuring import Times, best, median_ratio
from sections import medians, our_name


@dataclasses.dataclass
class Goal:
    """One line of the table of goals. `measured` is None where a peer was not there."""

    what: str
    goal: str
    measured: float | None
    unit: str
    met: bool | None
    note: str = ""


ONE = our_name(1)


def at_least(
    what: str, wanted: float, times: Times, peer: str | None, ours: str = ONE, note: str = ""
) -> Goal:
    """Goals of the kind "so many times faster than a peer"."""
    if not peer or not times.get(peer):
        return Goal(
            what,
            f"at least {wanted:g} times",
            None,
            "times",
            None,
            "not measured: the peer is not installed",
        )
    ratio = median_ratio(times, peer, ours)
    return Goal(
        what, f"at least {wanted:g} times", ratio, "times", ratio >= wanted, note or f"against {peer}"
    )


def best_of(times: Times, peer: str) -> str | None:
    """The better of a peer's ways to run."""
    return best(times, [name for name in times if name.startswith(peer)])


def goals(report: dict[str, Any]) -> list[Goal]:
    """All lines for which the report has sections."""
    two = our_name(report["threads"])
    found: list[Goal] = []
    sections = report["sections"]

    def section(name: str) -> Callable[[Callable[..., None]], None]:
        def judge(body: Callable[..., None]) -> None:
            if name in sections:
                body(sections[name], sections[name].get("times"))

        return judge

    @section("epoch")
    def _(epoch: dict[str, Any], times: Times) -> None:
        found.append(
            at_least("MNIST epoch, 1 thread, against NumPy with OpenBLAS", 5, times, "NumPy, 1 thread")
        )
        tuned = best_of(times, "PyTorch")
        found.append(
            at_least("the same, against tuned PyTorch at its best number of threads", 9, times, tuned)
        )
        article = "the article's script"
        found.append(at_least("the same, against the article's script", 110, times, article))
        found.append(
            share_of_peak(
                "the same, against dense arithmetic at the FMA peak of one core",
                0.45,
                epoch,
                at_most=True,
            )
        )
        ratio = median_ratio(times, ONE, two)
        found.append(
            Goal("2 threads against 1, idle machine", "at least 1.7 times", ratio, "times", ratio >= 1.7)
        )

    @section("beside_a_busy_program")
    def _(_: dict[str, Any], times: Times) -> None:
        ratio = median_ratio(times, two, ONE)
        what = "2 threads against 1, another program keeping one core busy"
        found.append(Goal(what, "at most 1.15 of the time", ratio, "of the time", ratio <= 1.15))

    @section("fashion")
    def _(_: dict[str, Any], times: Times) -> None:
        found.append(
            at_least(
                "epoch with half the pixels not zero, 1 thread, against NumPy",
                2.5,
                times,
                "NumPy, 1 thread",
            )
        )

    @section("dense")
    def _(dense: dict[str, Any], times: Times) -> None:
        found.append(share_of_peak("dense step 784-1024-10, batch 256, 1 thread", 0.8, dense))
        for peer in ("NumPy", "PyTorch"):
            if f"{peer}, 1 thread" in times:
                found.append(
                    at_least(f"the same, against {peer}, 1 thread", 1, times, f"{peer}, 1 thread")
                )

    @section("growth")
    def _(growth: dict[str, Any], _: Times) -> None:
        for peer in ("NumPy", "PyTorch"):
            found.extend(nowhere_behind(growth, peer))

    @section("evaluation")
    def _(_: dict[str, Any], times: Times) -> None:
        found.append(
            at_least("evaluation of 10,000 images, 1 thread, against NumPy", 5, times, "NumPy, 1 thread")
        )

    @section("prediction")
    def _(prediction: dict[str, Any], times: Times) -> None:
        for kind, wanted in [("sparse", 5), ("dense", 2)]:
            note = f"{1e6 * statistics.median(times[kind]):.2f} µs against {1e6 * statistics.median(times['NumPy']):.2f} µs"
            what = f"one prediction of a {kind} image through the C interface, against one row in NumPy"
            found.append(at_least(what, wanted, times, "NumPy", kind, note))
        most = max(max(counts) for counts in prediction["allocations"].values())
        note = "in 20,000 predictions"
        found.append(
            Goal("allocations of these predictions", "none", most, "allocations", most == 0, note)
        )

    @section("start")
    def _(_: dict[str, Any], times: Times) -> None:
        for name in ["C program", "twolayernet train"]:
            ratio = median_ratio(times, name, "zlib inflates the files")
            what = f"process start to first step, MNIST from .gz: {name}"
            found.append(Goal(what, "at most 1.3 times zlib's inflating", ratio, "times", ratio <= 1.3))

    @section("memory_and_files")
    def _(section: dict[str, Any], _: Times) -> None:
        megabytes = section["peak_memory_of_train"] / 1e6
        found.append(
            Goal("peak memory of train on MNIST", "under 120 MB", megabytes, "MB", megabytes < 120)
        )

    return found


def share_of_peak(what: str, wanted: float, section: dict[str, Any], at_most: bool = False) -> Goal:
    """Time relative to that of the dense arithmetic at the measured peak; or, the other way round, the
    share of the peak that is reached."""
    pairs = zip(section["times"]["FMA peak"], section["times"][ONE])
    shares = [section["flops"] / seconds / (peak * 1e9) for peak, seconds in pairs]
    if at_most:
        relative = statistics.median(1 / share for share in shares)
        return Goal(what, f"under {wanted:g} of that time", relative, "of that time", relative < wanted)
    share = statistics.median(shares)
    return Goal(what, f"at least {wanted:.0%} of the FMA peak", share, "of the peak", share >= wanted)


def nowhere_behind(growth: dict[str, Any], peer: str) -> list[Goal]:
    """Per FLOP, against a peer with as many threads, at each point of the table of growth."""
    ratios = []
    for point in growth["points"]:
        per_flop = {
            name: value / point["flops"][name] for name, value in medians(point["times"]).items()
        }
        for name, value in per_flop.items():
            if name.startswith(peer):
                ours = per_flop[name.replace(peer, "twolayernet")]
                ratios.append((value / ours, f"{point['axis']} = {point['value']}, {name}"))
    if not ratios:
        return []
    worst, where = min(ratios)
    behind = sum(ratio < 1 for ratio, _ in ratios)
    note = f"smallest ratio, at {where}; behind at {behind} of {len(ratios)} points"
    return [
        Goal(
            f"growth table: not behind {peer} at any size",
            "at least 1 times",
            worst,
            "times",
            worst >= 1,
            note,
        )
    ]
