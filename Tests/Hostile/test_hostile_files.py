"""Files that lie, loaded by the library as it is shipped, in little memory: refused with one sentence."""

import gzip
import json
import pathlib
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from typing import Iterator

import pytest

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "Golden/checkpoints"
OK, INVALID_ARGUMENT, BAD_FILE, UNSUPPORTED = 0, 1, 3, 4
PROTOCOL = b"\x80\x02"


def load(library: pathlib.Path, paths: list[pathlib.Path]) -> Iterator[tuple[str, int, str]]:
    """Name, status and sentence of each."""
    command = [sys.executable, HERE / "load.py", library, *paths]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert result.returncode == 0, result.stdout[-300:] + result.stderr
    for line in result.stdout.splitlines():
        name, said = line.split(": ", 1)
        status, sentence = said.split(" ", 1)
        yield pathlib.Path(name).name, int(status), sentence


def archive(path: pathlib.Path, pickle: bytes, **entries: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", pickle)
        file.writestr("a/version", "3\n")
        for name, content in entries.items():
            file.writestr(f"a/data/{name}", content)


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write_checkpoints(directory: pathlib.Path) -> None:
    doubled = b"".join(b"](h%ch%ceq%c" % (k, k, k + 1) for k in range(200))
    pickles = {
        "empty": b"", "no_end": PROTOCOL + b"}", "list_without_list": PROTOCOL + b"Na.",
        # Texts, bytes, numbers and frames of 2^31 to 2^63 bytes.
        "text": PROTOCOL + b"X\xff\xff\xff\x7fabc.",
        "wide_text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 63) + b"a.",
        "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"a.", "long": PROTOCOL + b"\x8b\xff\xff\xff\x7f1.",
        "negative_long": PROTOCOL + b"\x8b\xff\xff\xff\xff1.", "frame": b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
        # Memo places far away, and many marks and nestings.
        "memo": PROTOCOL + b"}r\xff\xff\xff\xff.", "get": PROTOCOL + b"j\xff\xff\xff\xff.",
        "marks": PROTOCOL + b"(" * 400_000 + b".", "tuples": PROTOCOL + b")" + b"\x85" * 400_000 + b".",
        "cycle": PROTOCOL + b"}q\x00X\x01\x00\x00\x00ah\x00s.",
        # Two hundred lists, each with the one before it twice.
        "doubling": PROTOCOL + b"(]q\x00" + doubled + b"t.",
        "system": PROTOCOL + b"cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        "eval": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93)R.",
        "build": PROTOCOL + b"cos\nenviron\n}b.", "instance": b"(ios\nsystem\n.",
        "other_file": PROTOCOL + b"Pelsewhere\n.",
    }  # fmt: skip
    for name, pickle in pickles.items():
        archive(directory / f"{name}.pth", pickle)
    headers = {
        "huge_shape": {"layers.0.weight": tensor("F32", [1 << 40, 1 << 40], 0, 4)},
        "overflow": {"w": tensor("F32", [1 << 62, 4, 0], 0, 0), "v": tensor("F64", [1 << 61], 0, 8)},
        "negative": {"w": tensor("F32", [-1], 0, 4)}, "backwards": {"w": tensor("F32", [1], 4, 0)},
        "beyond": {"w": tensor("F32", [1 << 20], 0, 1 << 22)},
        "shared": {"w": tensor("F32", [1], 0, 4), "v": tensor("F32", [1], 0, 4)},
        "floating": {"w": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}},
        "exponent": b'{"w":{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}}', "deep": b"[" * 500_000,
        "deep_objects": b'{"a":' * 200_000, "text": b'{"' + b"a" * 1_000_000,
        "surrogate": b'{"\\ud800":{}}', "nul": b'{"\0":1}',
    }  # fmt: skip
    for name, header in headers.items():
        (directory / f"{name}.safetensors").write_bytes(safetensors(header, bytes(4)))
    for size in [0, 1, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]:
        (directory / f"header_of_{size}.safetensors").write_bytes(struct.pack("<Q", size) + b"{}")
    # A megabyte of deflate that says to be four gigabytes, and one that really is a gigabyte of zeros.
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(1 << 10)) + stream.flush()
    for name, said in [("bomb", 1 << 30), ("liar", (1 << 32) - 2)]:
        local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 1, len(bomb), said, 10, 0) + b"a/data.pkl"
        sizes = struct.pack("<HHHHHHIIIHH", 20, 20, 0, 8, 0, 0, 1, len(bomb), said, 10, 0)
        directory_of_one = b"PK\1\2" + sizes + bytes(14) + b"a/data.pkl"
        end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory_of_one), len(local) + len(bomb), 0)
        (directory / f"{name}.pth").write_bytes(local + bomb + directory_of_one + end)


def write_datasets(directory: pathlib.Path) -> None:
    def idx(*sizes: int) -> bytes:
        return bytes([0, 0, 8, len(sizes)]) + b"".join(struct.pack(">I", size) for size in sizes)

    most = (1 << 32) - 1
    files = {
        "empty": b"", "header": b"\0\0\x08\xff", "no_dimension": b"\0\0\x08\0", "rank": idx(*[2] * 255),
        "huge": idx(most, most, most), "wrapping": idx(1 << 31, 1 << 31, 4), "nothing": idx(0, 28, 28),
        "short": idx(60_000, 28, 28) + bytes(1000), "long": idx(1, 2, 2) + bytes(5),
    }  # fmt: skip
    for name, content in files.items():
        (directory / name).write_bytes(content)
        (directory / f"{name}.gz").write_bytes(gzip.compress(content))
    # Within what a megabyte can be inflated to, but not there; and far more behind what is wanted.
    (directory / "promise.gz").write_bytes(gzip.compress(idx(1000, 1000, 1000)) + random.Random(1).randbytes(1 << 20))
    (directory / "behind.gz").write_bytes(gzip.compress(idx(1, 1, 1) + bytes(1 << 28)))
    (directory / "members.gz").write_bytes(gzip.compress(idx(1, 1, 1) + b"\1") + gzip.compress(b"") * 100_000 + b"x")
    (directory / "cut.gz").write_bytes(gzip.compress(idx(9, 9, 9) + bytes(729))[:-9])


@pytest.mark.parametrize("kind", ["network", "trainer", "idx"])
def test_hostile_files_are_refused(kind: str, library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / kind
    directory.mkdir()
    (write_datasets if kind == "idx" else write_checkpoints)(directory)
    paths = sorted(directory.iterdir())
    found = list(load(library, paths))
    assert [name for name, _, _ in found] == [path.name for path in paths]
    assert [line for line in found if line[1] not in (BAD_FILE, UNSUPPORTED)] == []


@pytest.mark.parametrize("kind", ["network", "trainer"])
def test_changed_files_do_no_harm(kind: str, library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Recorded files with some bytes replaced, repeated, or left out, and the checksums made right again."""
    chance = random.Random(2)
    directory = tmp_path / kind
    directory.mkdir()
    recorded = [path for path in sorted(GOLDEN.glob("torch-2.1.2/*")) if path.suffix != ".json"]
    for number in range(400):
        source = recorded[number % len(recorded)]
        path = directory / f"{number}-{source.name}"
        if source.suffix == ".pth" and zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
                for entry in old.infolist():
                    is_pickle = entry.filename.endswith("data.pkl")
                    new.writestr(entry.filename, changed(old.read(entry), chance) if is_pickle else old.read(entry))
        else:
            path.write_bytes(changed(source.read_bytes(), chance))
    found = list(load(library, sorted(directory.iterdir())))
    assert len(found) == 400
    allowed = (OK, BAD_FILE, UNSUPPORTED) if kind == "network" else (OK, INVALID_ARGUMENT, BAD_FILE, UNSUPPORTED)
    assert [line for line in found if line[1] not in allowed] == []
    assert sum(status != OK for _, status, _ in found) > 100


def changed(content: bytes, chance: random.Random) -> bytes:
    bytes_ = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(bytes_))
        count = chance.choice([1, 1, 2, 4, 8, 30])
        bytes_[place : place + count] = chance.choice([
            chance.randbytes(count), b"\xff" * count, bytes(count), b"", bytes(bytes_[place : place + count]) * 3,
        ])  # fmt: skip
    return bytes(bytes_)
