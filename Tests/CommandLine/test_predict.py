"""twolayernet predict: pictures of every kind, IDX files, numbers; and things that are none of these."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from program import Run, refusal

COLOUR_TYPES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png(samples: np.ndarray, colour_type: int, depth: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of samples [height, width, samples], each row with another filter."""
    height, width, count = samples.shape
    if depth == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        bits = (samples[..., 0, None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    distance = max(1, count * depth // 8)
    body = b""
    before = np.zeros(rows.shape[1], int)
    for index, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(distance, int), row[:-distance]])
        corner = np.concatenate([np.zeros(distance, int), before[:-distance]])
        estimate = left + before - corner
        a, b, c = abs(estimate - left), abs(estimate - before), abs(estimate - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, before, corner))
        predicted = [0 * row, left, before, (left + before) // 2, paeth][index % 5]
        body += bytes([index % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        before = row
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    text = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        checksum = zlib.crc32(kind + content)
        text += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return text


def pgm(pixels: np.ndarray) -> bytes:
    height, width = pixels.shape
    return b"P5\n# a comment\n%d %d\n255\n" % (width, height) + pixels.astype(np.uint8).tobytes()


@pytest.fixture
def picture() -> np.ndarray:
    """8x8 pixels, 0 to 255."""
    random = np.random.default_rng(3)
    return random.integers(0, 256, (8, 8), dtype=np.uint8)


def answer(run: Run, model: Path, *arguments: object, stdin: bytes = b"") -> np.ndarray:
    """The probabilities."""
    result = run("predict", "--model", model, "--json", *arguments, stdin=stdin)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for line in lines:
        assert line["label"] == int(np.argmax(line["probabilities"]))
        assert abs(sum(line["probabilities"]) - 1) < 1e-5
    return np.array([line["probabilities"] for line in lines])


@pytest.fixture
def expected(run: Run, digits_model: Path, picture: np.ndarray) -> np.ndarray:
    numbers = (picture.astype(np.float32) / np.float32(255)).tobytes()
    return answer(run, digits_model, stdin=numbers)


def test_numbers_as_text_and_as_bits(
    run: Run, digits_model: Path, picture: np.ndarray, expected: np.ndarray
) -> None:
    text = "\n".join(repr(float(v)) for v in (picture / np.float32(255)).ravel())
    assert np.array_equal(answer(run, digits_model, stdin=text.encode()), expected)
    two = answer(run, digits_model, stdin=f"{text} {text}".encode())
    assert np.array_equal(two, np.concatenate([expected, expected]))


@pytest.mark.parametrize("kind", ["P5", "P2"])
def test_pgm(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray, expected: np.ndarray, kind: str
) -> None:
    text = " ".join(map(str, picture.ravel()))
    file = pgm(picture) if kind == "P5" else f"P2 8 8 255\n{text}\n".encode()
    (tmp_path / "a.pgm").write_bytes(file)
    assert np.array_equal(answer(run, digits_model, "a.pgm"), expected)
    (tmp_path / "b.pgm").write_bytes(pgm(255 - picture))
    assert np.allclose(answer(run, digits_model, "b.pgm", "--invert"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("colour_type", "depth"),
    [(0, 8), (0, 16), (2, 8), (2, 16), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)],
)
def test_png(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray, expected: np.ndarray,
    colour_type: int, depth: int,
) -> None:  # fmt: skip
    gray = picture.astype(int) * (257 if depth == 16 else 1)
    samples = np.repeat(gray[..., None], COLOUR_TYPES[colour_type], axis=2)
    if colour_type in (4, 6):
        samples[..., -1] = 2**depth - 1
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1).tobytes()
    more = [(b"PLTE", palette)] if colour_type == 3 else []
    (tmp_path / "a.png").write_bytes(png(samples, colour_type, depth, *more))
    assert np.allclose(answer(run, digits_model, "a.png"), expected, atol=1e-4)


def interlaced(samples: np.ndarray, colour_type: int, depth: int) -> bytes:
    """The picture in the seven passes of Adam7: rows of each as `png` filters them."""
    data = b""
    for x, y, columns, rows in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    ]:  # fmt: skip
        part = samples[y::rows, x::columns]
        if part.size:
            whole = png(part, colour_type, depth)
            size = int.from_bytes(whole[33:37], "big")
            data += zlib.decompress(whole[41 : 41 + size])
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour_type, 0, 0, 1)
    text = b"\x89PNG\r\n\x1a\n"
    for kind, content in [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]:
        text += struct.pack(">I", len(content)) + kind + content
        text += struct.pack(">I", zlib.crc32(kind + content))
    return text


@pytest.mark.parametrize(("colour_type", "depth"), [(0, 8), (0, 1), (0, 4), (2, 8), (4, 16), (6, 8)])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (2, 9), (5, 3), (13, 11)])
def test_interlaced_png(
    run: Run, digits_model: Path, tmp_path: Path, colour_type: int, depth: int, size: tuple[int, int]
) -> None:
    random = np.random.default_rng(depth)
    samples = random.integers(0, 2**depth, (*size, COLOUR_TYPES[colour_type]))
    (tmp_path / "a.png").write_bytes(png(samples, colour_type, depth))
    (tmp_path / "b.png").write_bytes(interlaced(samples, colour_type, depth))
    expected = answer(run, digits_model, "a.png")
    assert np.array_equal(answer(run, digits_model, "b.png"), expected)
    (tmp_path / "c.png").write_bytes(interlaced(samples[:-1], colour_type, depth)[:40])
    assert "cut off" in refusal(run("predict", "--model", digits_model, "c.png", code=1))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_with_few_bits(run: Run, digits_model: Path, tmp_path: Path, depth: int) -> None:
    values = np.random.default_rng(depth).integers(0, 2**depth, (8, 8, 1))
    (tmp_path / "a.png").write_bytes(png(values, 0, depth))
    numbers = (values / np.float32(2**depth - 1)).astype(np.float32).tobytes()
    expected = answer(run, digits_model, stdin=numbers)
    assert np.allclose(answer(run, digits_model, "a.png"), expected, atol=1e-6)


def test_transparency_shows_white_paper(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray, expected: np.ndarray
) -> None:
    # Black ink, as opaque as the digit is bright.
    samples = np.stack([np.zeros((8, 8), int), picture.astype(int)], axis=2)
    (tmp_path / "a.png").write_bytes(png(samples, 4, 8))
    assert np.allclose(answer(run, digits_model, "a.png", "--invert"), expected, atol=1e-4)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("colour_type", [0, 2])
def test_a_colour_that_stands_for_paper(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray, colour_type: int, depth: int
) -> None:
    """Gray and coloured pictures without opacity may name one colour that is none."""
    scale = 257 if depth == 16 else 1
    samples = np.repeat(picture.astype(int)[..., None], COLOUR_TYPES[colour_type], axis=2)
    none = int(samples[0, 0, 0])
    key = np.full(samples.shape[2], none * scale, ">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(samples * scale, colour_type, depth, (b"tRNS", key)))
    numbers = np.where(picture == none, 1, picture / np.float32(255)).astype(np.float32).tobytes()
    assert np.allclose(answer(run, digits_model, "a.png"), answer(run, digits_model, stdin=numbers), atol=1e-4)


def test_a_pipe_in_the_place_of_a_file(run: Run, digits_model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "'twolayernet predict -'" in refusal(run("predict", "--model", digits_model, "pipe", code=1))


def test_an_index_into_what_has_none(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray
) -> None:
    (tmp_path / "a.pgm").write_bytes(pgm(picture))
    assert "IDX" in run("predict", "--model", digits_model, "--index", 3, "a.pgm").stderr
    assert "IDX" in refusal(run("predict", "--model", digits_model, "--index", 3, code=64))


def test_pictures_are_scaled(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray, expected: np.ndarray
) -> None:
    (tmp_path / "a.pgm").write_bytes(pgm(np.kron(picture, np.ones((5, 5)))))
    assert np.allclose(answer(run, digits_model, "a.pgm"), expected, atol=1e-4)
    # Wide pictures stand in the middle of black.
    wide = np.random.default_rng(1).integers(0, 256, (4, 8))
    (tmp_path / "b.pgm").write_bytes(pgm(wide))
    square = np.zeros((8, 8), np.uint8)
    square[2:6] = wide
    (tmp_path / "c.pgm").write_bytes(pgm(square))
    assert np.allclose(answer(run, digits_model, "b.pgm"), answer(run, digits_model, "c.pgm"), atol=1e-5)


def test_what_is_added_around_an_inverted_picture_is_black(
    run: Run, digits_model: Path, tmp_path: Path
) -> None:
    wide = np.random.default_rng(1).integers(0, 256, (4, 8))
    (tmp_path / "dark.pgm").write_bytes(pgm(wide))
    (tmp_path / "bright.pgm").write_bytes(pgm(255 - wide))
    expected = answer(run, digits_model, "dark.pgm")
    assert np.allclose(answer(run, digits_model, "bright.pgm", "--invert"), expected, atol=1e-5)


@pytest.mark.parametrize("place", [(0, 0), (3, 50), (60, 20), (88, 68)])
def test_a_digit_is_found_and_put_in_the_middle(
    run: Run, digits_model: Path, tmp_path: Path, place: tuple[int, int]
) -> None:
    """Six of eight pixels large, as MNIST's are twenty of twenty-eight."""
    ink = np.random.default_rng(5).integers(120, 256, (6, 6)).astype(float)
    ink[:, :2] = 255
    # Faint paper around it, which is no part of the digit.
    canvas = np.full((100, 80), 20.0)
    canvas[place[0] : place[0] + 12, place[1] : place[1] + 12] = np.kron(ink, np.ones((2, 2)))
    (tmp_path / "a.pgm").write_bytes(pgm(canvas))
    (tmp_path / "b.pgm").write_bytes(pgm(255 - canvas))
    rows, columns = np.indices((6, 6)) + 0.5
    top, left = (int(np.clip(round(4 - (ink * axis).sum() / ink.sum()), 0, 2)) for axis in (rows, columns))
    square = np.zeros((8, 8), np.float32)
    square[top : top + 6, left : left + 6] = ink / 255
    expected = answer(run, digits_model, stdin=square.tobytes())
    assert np.allclose(answer(run, digits_model, "--center", "a.pgm"), expected, atol=1e-5)
    assert np.allclose(answer(run, digits_model, "--center", "--invert", "b.pgm"), expected, atol=1e-5)
    assert not np.allclose(answer(run, digits_model, "a.pgm"), expected, atol=1e-2)


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2)])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_whatever_is_in_the_picture_can_be_centered(
    run: Run, digits_model: Path, tmp_path: Path, size: tuple[int, int], value: int
) -> None:
    pixels = np.zeros(size)
    pixels[-1, -1] = value
    (tmp_path / "a.pgm").write_bytes(pgm(pixels))
    assert len(answer(run, digits_model, "--center", "a.pgm")) == 1


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_a_picture_on_standard_input(
    run: Run, digits_model: Path, picture: np.ndarray, expected: np.ndarray, arguments: tuple[str, ...]
) -> None:
    for file in [pgm(picture), png(picture[..., None].astype(int), 0, 8)]:
        assert np.allclose(answer(run, digits_model, *arguments, stdin=file), expected, atol=1e-6)
    inverted = answer(run, digits_model, "--invert", *arguments, stdin=pgm(255 - picture))
    assert np.allclose(inverted, expected, atol=1e-5)
    numbers = (1 - picture / np.float32(255)).astype(np.float32).tobytes()
    assert np.allclose(answer(run, digits_model, "--invert", stdin=numbers), expected, atol=1e-5)
    assert "cut off" in refusal(
        run("predict", "--model", digits_model, *arguments, stdin=pgm(picture)[:-1], code=1)
    )


def test_idx(run: Run, images: tuple[Path, str]) -> None:
    directory, name = images
    run("train", "--data", directory, "--dataset", name, "--epochs", 1, "--quiet")
    file = directory / "t10k-images-idx3-ubyte.gz"
    both = answer(run, Path("mnist.pth"), file, "--index", 3, "--index", 0)
    assert np.array_equal(both[1:], answer(run, Path("mnist.pth"), file))
    for index in ["10000", "-1", str(2**62)]:
        message = refusal(run("predict", file, "--index", index, code=1))
        assert f"no image {index}" in message and "10000 images count from 0" in message


def test_words_for_people(run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "a.pgm").write_bytes(pgm(picture))
    result = run("predict", "--model", digits_model, "a.pgm", "--show")
    lines = result.stdout.splitlines()
    assert len(lines) == 8 + 1 + 10 and lines[8].startswith("a.pgm: ")
    assert "\x1b" not in result.stdout
    bright = np.full((8, 8), 250)
    (tmp_path / "b.pgm").write_bytes(pgm(bright))
    assert "--invert" in run("predict", "--model", digits_model, "b.pgm").stderr


@pytest.mark.skipif(not shutil.which("cat"), reason="no cat")
def test_a_pipe(program: Path, digits_model: Path) -> None:
    text = " ".join(["0.5"] * 64)
    result = subprocess.run(
        f"echo {text} | {program} predict --model {digits_model}",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0 and result.stdout.startswith(b"input[0]: ")


GRAY = png(np.zeros((8, 8, 1), int), 0, 8)
# 64 million pixels of eight bytes, it says, in a hundred bytes.
BOMB = b"IHDR" + struct.pack(">IIBBBBB", 8192, 8192, 16, 6, 0, 0, 0)
BOMB = GRAY[:12] + BOMB + struct.pack(">I", zlib.crc32(BOMB)) + GRAY[33:]


@pytest.mark.parametrize(
    ("contents", "word"),
    [
        (b"", "neither PNG nor PGM"),
        (b"hello", "neither PNG nor PGM"),
        (b"P5", "width"),
        (b"P5 8 8 255\n" + bytes(63), "cut off"),
        (b"P5 0 8 255\n", "0 x 8"),
        (b"P5 99999999999999999999 8 255\n", "pixels"),
        (b"P5 8 8 70000\n", "70000"),
        (GRAY[:-1], "cut off"),
        (GRAY[:40], "cut off"),
        (GRAY[:8], "cut off"),
        (GRAY.replace(b"\x00\x00\x00\x08\x08\x00", b"\x00\x00\x00\x09\x08\x00"), "checksum"),
        (png(np.zeros((8, 8, 1), int), 0, 8, (b"IDAT", b"junk")), "inflate"),
        (png(np.zeros((8, 8, 1), int), 3, 8), "palette"),
        (BOMB, "not all there"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_damaged_pictures(
    run: Run, digits_model: Path, tmp_path: Path, contents: bytes, word: str
) -> None:
    (tmp_path / "a").write_bytes(contents)
    message = refusal(run("predict", "--model", digits_model, "a", code=1))
    assert word in message and " a " in message


def test_a_damaged_picture_does_not_keep_the_others(
    run: Run, digits_model: Path, tmp_path: Path, picture: np.ndarray
) -> None:
    for name in ["a.pgm", "c.pgm"]:
        (tmp_path / name).write_bytes(pgm(picture))
    (tmp_path / "b.pgm").write_bytes(b"P5")
    result = run("predict", "--model", digits_model, "a.pgm", "b.pgm", "missing.pgm", "c.pgm", "--json", code=1)
    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == ["a.pgm", "c.pgm"]
    assert re.fullmatch(r"twolayernet: b\.pgm .*\ntwolayernet: missing\.pgm .*\n", result.stderr)


@pytest.mark.parametrize(
    "numbers",
    [b"", b"1 2 3", b"0 " * 63, b"x " * 64, b"nan " * 64, b"\xff" * 65, b"1e99 " * 64],
    ids=["empty", "few", "one short", "words", "nan", "no whole floats", "infinite"],
)
def test_wrong_numbers(run: Run, digits_model: Path, numbers: bytes) -> None:
    refusal(run("predict", "--model", digits_model, stdin=numbers, code=1))


def test_missing_files(run: Run, digits_model: Path) -> None:
    message = refusal(run("predict", "x.png", code=1))
    assert "mnist.pth" in message and "twolayernet train" in message
    assert "x.png" in refusal(run("predict", "--model", digits_model, "x.png", code=1))
