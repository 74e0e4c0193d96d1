"""twolayernet report: one page with everything inside, opened in a real browser where there is one."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from program import Run, refusal

BROWSER = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


class Page(html.parser.HTMLParser):
    """Counts the elements of a page, checks that they are closed, and collects their addresses."""

    EMPTY = frozenset({"meta", "img", "br", "line", "circle", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            # HTML lets these end by themselves.
            while self.open[-1] != tag and self.open[-1] in ("p", "td", "th", "tr"):
                self.open.pop()
            assert self.open.pop() == tag


@pytest.fixture
def page(run: Run, digits_model: Path, tmp_path: Path) -> Path:
    log = digits_model.with_suffix(".jsonl")
    run("report", "--model", digits_model, "--log", log)
    return tmp_path / "report.html"


def test_everything_is_inside(page: Path) -> None:
    text = page.read_text()
    parsed = Page(text)
    assert parsed.addresses and all(a.startswith("data:image/png;base64,") for a in parsed.addresses)
    assert "http" not in text.replace("http-equiv", "")
    # Two charts, ten rows with their head, a picture for each hidden unit and each mistake.
    assert parsed.counts["svg"] == 2 and parsed.counts["tr"] == 11
    wrong = re.search(r"<p>(\d+) are told wrong", text)
    assert wrong and parsed.counts["img"] == 100 + min(100, int(wrong[1]))


def test_the_numbers_are_the_tests(run: Run, digits_model: Path, page: Path) -> None:
    accuracy = re.search(r": (\S+ %)", run("test", "--model", digits_model).stdout)
    assert accuracy and f'id="accuracy">{accuracy[1]}<' in page.read_text()


@pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is installed")
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + str(tmp_path / "b"),
        "--enable-logging=stderr", "--virtual-time-budget=5000",
    ]  # fmt: skip
    # Every picture has been decoded, or its width is 0.
    probe = page.with_name("probe.html")
    script = (
        "<script>onload = () => document.title = 'shown: ' + [...document.images]"
        ".filter(i => i.naturalWidth > 0).length + ' of ' + document.images.length</script></body>"
    )
    probe.write_text(page.read_text().replace("</body>", script))
    result = subprocess.run(
        [*command, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    shown = re.search(r"<title>shown: (\d+) of (\d+)</title>", result.stdout)
    assert shown and shown[1] == shown[2] and int(shown[1]) >= 100
    assert "ERROR:CONSOLE" not in result.stderr and "Uncaught" not in result.stderr


def test_without_a_log_there_are_no_curves(run: Run, digits_model: Path, tmp_path: Path) -> None:
    run("report", "--model", digits_model, "--output", "a.html")
    assert "svg" not in Page((tmp_path / "a.html").read_text()).counts


def test_epochs_that_were_told_anew(run: Run, digits_model: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"event": "epoch", "epoch": epoch, "loss": loss})
        for epoch, loss in [(1, 5), (2, 4), (3, 3), (2, 2.5), (3, 1)]
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(lines))
    run("report", "--model", digits_model, "--log", "run.jsonl")
    curve = re.search(
        r'<polyline class="curve c0" points="(.*)"', (tmp_path / "report.html").read_text()
    )
    assert curve and len(curve[1].split()) == 3


def test_the_legends_colours_are_the_curves(run: Run, digits_model: Path, tmp_path: Path) -> None:
    events = [
        {"event": "epoch", "epoch": e, "loss": 1, "validation_accuracy": 0.8, "test_accuracy": 0.5 + e / 10}
        for e in (1, 2)
    ]
    (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, events)))
    run("report", "--model", digits_model, "--log", "run.jsonl")
    text = (tmp_path / "report.html").read_text()
    chart = text.split("<figcaption>Accuracy by epoch")[1]
    legend = dict(re.findall(r'class="key (c\d)">(\w+)<', chart))
    curves = {
        legend[colour]: [float(point.split(",")[1]) for point in points.split()]
        for colour, points in re.findall(r'class="curve (c\d)" points="(.*?)"', chart)
    }
    assert curves["validation"][0] == curves["validation"][1]
    assert curves["test"][0] > curves["test"][1]


def test_the_page_says_how_the_network_was_trained(run: Run, digits_model: Path, page: Path) -> None:
    assert re.search(
        r"<p>Trained for 30 epochs on 1,437 images: batches of 100; learning rate 0\.1; momentum 0\.9; "
        r"cpu \(.*\); \d+ threads?; \d+\.\d s\.</p>",
        page.read_text(),
    )
    start = {"event": "start", "training_images": -(2**63), "learning_rate": 1e300, "device": "<b>", "threads": 1}
    log = page.with_name("run.jsonl")
    log.write_text(f'{json.dumps(start)}\n{{"event": "epoch", "epoch": 1}}\n{{"event": "end", "seconds": -1e300}}\n')
    run("report", "--model", digits_model, "--log", log)
    text = page.read_text()
    assert "Trained for 1 epoch on" in text and "&lt;b&gt;; 1 thread" in text and "<b>" not in text


@pytest.mark.parametrize(
    ("losses", "ticks"),
    [
        ([0.29, 0.034], ["0.0", "0.1", "0.2", "0.3"]),
        ([0.24, 0.004], ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]),
        ([2.3, 1.6], ["1.6", "1.8", "2.0", "2.2", "2.4"]),
        ([30, 100], ["20", "40", "60", "80", "100"]),
        ([0.5, 0.5], ["0.48", "0.50", "0.52"]),
        ([0, 0], ["-0.02", "0.00", "0.02"]),
        ([3e-9, 1e-9], [f"0.00000000{n}" for n in (10, 15, 20, 25, 30)]),
        ([1e29, 3], []),
        ([1e300, 1], ["0.98", "1.00", "1.02"]),
        ([-1e308, 1e308], []),
    ],
)
def test_the_axis_has_round_numbers(
    run: Run, digits_model: Path, tmp_path: Path, losses: list[float], ticks: list[str]
) -> None:
    events = [{"event": "epoch", "epoch": e, "loss": loss} for e, loss in enumerate(losses, 1)]
    (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, events)))
    run("report", "--model", digits_model, "--log", "run.jsonl")
    text = (tmp_path / "report.html").read_text()
    found = re.findall(r'text-anchor="end">(.*?)</text>', text)
    if losses[0] == 1e29:
        assert [float(tick) for tick in found] == pytest.approx([0, 2e28, 4e28, 6e28, 8e28, 1e29])
    else:
        assert found == ticks


def test_names_cannot_break_the_page(run: Run, digits_model: Path, tmp_path: Path) -> None:
    name = '<b>&".pth'
    shutil.copy(digits_model, tmp_path / name)
    run("report", "--model", name)
    text = (tmp_path / "report.html").read_text()
    assert "<b>" not in text and "&lt;b&gt;&amp;&quot;.pth" in text


def test_a_log_that_a_full_disk_cut_off(run: Run, digits_model: Path, tmp_path: Path) -> None:
    line = '{"event": "epoch", "epoch": 1, "loss": 0.5}\n'
    (tmp_path / "run.jsonl").write_text(line + line[:20])
    run("report", "--model", digits_model, "--log", "run.jsonl")
    assert (tmp_path / "report.html").exists()
    (tmp_path / "run.jsonl").write_text(line + line[:20] + "\n")
    assert "line 2" in refusal(run("report", "--model", digits_model, "--log", "run.jsonl", code=1))


@pytest.mark.parametrize(
    "log",
    [
        "", "not json\n", '{"event": "start"}\n', '{"event": 3}\n', "\0", '{"event": "epoch", "epoch": -1}\n',
        '{"event": "epoch", "epoch": 9223372036854775807, "loss": 1}\n',
    ],
)  # fmt: skip
def test_a_wrong_log(run: Run, digits_model: Path, tmp_path: Path, log: str) -> None:
    (tmp_path / "run.jsonl").write_text(log)
    message = refusal(run("report", "--model", digits_model, "--log", "run.jsonl", code=1))
    assert "run.jsonl" in message
    assert not (tmp_path / "report.html").exists()
