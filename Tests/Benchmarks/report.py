"""The report: Markdown from what was measured, and the plot of growth."""

from __future__ import annotations

import pathlib
import statistics
from typing import Any

from goals import goals
from measuring import median_ratio
from sections import OURS, medians, our_name

QUOTED = """\
Not measured in this run, because no registry has them: ggml's `mnist-train` (the example of its repository;
same sizes and batch, AdamW, 57,000 images) took 2.0 s an epoch on a machine of this kind on 2026-11-24.
"""


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns after the first are numbers."""
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def seconds(value: float) -> str:
    """With three digits, in the unit that fits."""
    for factor, unit in [(1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns")]:
        if value * factor >= 1 or unit == "ns":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError


def verdict(met: bool | None) -> str:
    return {True: "met", False: "**not met**", None: "not measured"}[met]


def write(report: dict[str, Any], directory: pathlib.Path) -> None:
    """REPORT.md and growth.png."""
    sections = report["sections"]
    text = f"# Measured\n\n{introduction(report)}\n## Goals\n\n"
    rows = []
    for goal in goals(report):
        measured = "" if goal.measured is None else f"{goal.measured:.3g} {goal.unit}"
        rows.append([goal.what, goal.goal, measured, verdict(goal.met), goal.note])
    text += table(["what", "goal", "measured", "", ""], rows)
    for name, heading, base in [
        ("epoch", "One MNIST epoch, article's settings", our_name(1)),
        ("beside_a_busy_program", "The same beside a program that keeps one core busy", our_name(1)),
        ("fashion", "One epoch, half the pixels not zero", our_name(1)),
        ("dense", "Twenty dense steps, 784-1024-10, batch 256", our_name(1)),
        ("evaluation", "Evaluation of 10,000 images", our_name(1)),
        ("start", "Process start to the first step", "zlib inflates the files"),
    ]:
        if name in sections:
            text += f"\n## {heading}\n\n" + times_table(sections[name], base)
            text += f"\n{QUOTED}" if name == "epoch" else ""
    if "memory_and_files" in sections:
        text += "\n## Size, files\n\n" + memory_table(sections["memory_and_files"])
    if "growth" in sections:
        text += "\n## Growth\n\n" + growth_table(sections["growth"])
        plot(sections["growth"], directory / "growth.png")
    (directory / "REPORT.md").write_text(text, encoding="utf-8")


def introduction(report: dict[str, Any]) -> str:
    machine, versions = report["machine"], report["versions"]
    peers = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = f"{report['date']}, {machine['processor']}, {machine['processors']} processors. {peers}.\n\n"
    text += f"{report['rounds']} rounds, in each of which every contestant had one turn; "
    text += "times are medians, ratios medians of the ratios within a round. "
    text += "Written by `make bench`; how it measures is told in [README.md](README.md).\n"
    if report["quick"]:
        text += "\nThis is the short form (`QUICK=1`): too few rounds to be quoted.\n"
    if report["generated"]:
        text += "\nMNIST was not there: the images were generated, with as many zeros (19.1 % of pixels are not).\n"
    for name, reason in report["missing"].items():
        text += f"\nNot measured: {name} ({reason}).\n"
    return text


def times_table(section: dict[str, Any], base: str) -> str:
    """Each contestant's median, and its ratio to one of them."""
    times = section["times"]
    rows = []
    for name, value in sorted(medians(times).items(), key=lambda item: item[1]):
        if name == "FMA peak":
            continue
        rounds = f"{min(times[name]):.3g} … {max(times[name]):.3g}"
        row = [name, seconds(value), rounds, f"{median_ratio(times, name, base):.2f}"]
        if "flops" in section:
            row.append(f"{section['flops'] / value / 1e9:.1f}")
        rows.append(row)
    heads = ["", "median", "rounds, s", f"times {base}"]
    text = table(heads + (["dense GFLOP/s"] if "flops" in section else []), rows)
    if "FMA peak" in times:
        peak = statistics.median(times["FMA peak"])
        dense = section["flops"] / peak / 1e9
        text += f"\nFMA peak of one core, measured in the same rounds: {peak:.1f} GFLOP/s; "
        text += f"the dense arithmetic ({section['flops'] / 1e9:.2f} GFLOP) takes {seconds(dense)} at that rate.\n"
    return text


def memory_table(section: dict[str, Any]) -> str:
    rows = [["libtwolayernet.so", f"{section['library_bytes']:,} bytes"]]
    rows.append(["peak memory of `train`", f"{section['peak_memory_of_train'] / 1e6:.1f} MB"])
    names = {"dlopen": "dlopen, all symbols bound"}
    for name, value in medians(section["times"]).items():
        rows.append([names.get(name, name.replace("_", ", ")), seconds(value)])
    return table(["", ""], rows)


def growth_table(section: dict[str, Any]) -> str:
    """Nanoseconds for a thousand dense FLOPs of each contestant."""
    text = "Gaussian data, 784-100-10, batches of 100, no zeros; one size grows (rows: of 64 numbers). "
    text += "Picoseconds for one FLOP of the dense arithmetic; lower is better.\n\n"
    names = list(section["points"][0]["times"])
    names.sort(key=lambda name: not name.startswith(OURS))
    rows = []
    for point in section["points"]:
        per_flop = {
            name: value / point["flops"][name] for name, value in medians(point["times"]).items()
        }
        label = f"{point['axis']} {point['value']:,}"
        rows.append(
            [label, *(f"{1e12 * per_flop[name]:.3g}" if name in per_flop else "" for name in names)]
        )
    return text + table(["", *names], rows) + "\n![Growth](growth.png)\n"


def plot(section: dict[str, Any], path: pathlib.Path) -> None:
    """Cost per FLOP against each size, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes_of = {}
    for point in section["points"]:
        axes_of.setdefault(point["axis"], []).append(point)
    figure, panels = pyplot.subplots(
        1, len(axes_of), figsize=(3 * len(axes_of), 3.6), sharey=True, layout="constrained"
    )
    colors = {OURS: "tab:blue", "NumPy": "tab:orange", "PyTorch": "tab:red"}
    for panel, (axis, points) in zip(panels, axes_of.items()):
        for name in points[0]["times"]:
            peer, threads = name.split(", ")
            values = [1e12 * medians(point["times"])[name] / point["flops"][name] for point in points]
            style = "o-" if threads == "1 thread" else "o:"
            sizes = [point["value"] for point in points]
            panel.plot(sizes, values, style, color=colors[peer], markersize=3, linewidth=1, label=name)
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("ps per FLOP")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=8
    )
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
