"""Saving when the disk is full, the directory read-only, or the process killed: the old file stays as it
was, or the new one is complete. TLN_TEST_KILLS is how often it is killed (`make test-kill`: 1000)."""

from __future__ import annotations

import ctypes
import os
import pathlib
import random
import resource
import signal
import subprocess
import time
from typing import Any, Callable, Iterator

import pytest

KILLS = int(os.environ.get("TLN_TEST_KILLS", "100"))
OK, IO_ERROR = 0, 2


class Saver:
    """Two networks, and trainers, in a child process or in this one."""

    def __init__(self, path: pathlib.Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.tln_last_error.restype = ctypes.c_char_p
        self.networks = [self.make(seed) for seed in range(2)]
        self.trainers = []
        for network in self.networks:
            trainer = ctypes.c_void_p()
            assert self.library.tln_trainer_create(network, None, ctypes.byref(trainer)) == OK
            self.trainers.append(trainer)

    def make(self, seed: int) -> ctypes.c_void_p:
        options = (ctypes.c_int64 * 7)()
        self.library.tln_network_options_init(options)
        options[4] = seed
        network = ctypes.c_void_p()
        assert self.library.tln_network_create(options, ctypes.byref(network)) == OK
        return network

    def save(self, which: int, path: pathlib.Path) -> int:
        return int(self.library.tln_network_save(self.networks[which], os.fsencode(path)))

    def save_trainer(self, which: int, path: pathlib.Path) -> int:
        return int(self.library.tln_trainer_save(self.trainers[which], os.fsencode(path)))


@pytest.fixture(scope="module")
def saver(library: pathlib.Path) -> Saver:
    return Saver(library)


def in_child(body: Callable[[], Any]) -> int:
    """Runs the body in a child process that then ends well."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001: it is reported
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return child


def ends_well(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


def refused(saver: Saver, directory: pathlib.Path, old: bytes) -> None:
    """Nothing can be saved there, and what is there stays."""
    for save, name in [(saver.save, "file.pth"), (saver.save, "file.safetensors"), (saver.save_trainer, "file.pth")]:
        assert save(1, directory / name) == IO_ERROR
        assert saver.library.tln_last_error()
        assert (directory / name).read_bytes() == old
    assert sorted(os.listdir(directory)) == ["file.pth", "file.safetensors"]


def prepare(directory: pathlib.Path, old: bytes = b"the old file") -> bytes:
    for name in ["file.pth", "file.safetensors"]:
        (directory / name).write_bytes(old)
    return old


def test_a_full_device(saver: Saver, tmp_path: pathlib.Path) -> None:
    (tmp_path / "full.pth").symlink_to("/dev/full")
    assert saver.save(0, tmp_path / "full.pth") == IO_ERROR
    assert b"space" in saver.library.tln_last_error()


def test_a_limit_on_the_size_of_files(saver: Saver, tmp_path: pathlib.Path) -> None:
    old = prepare(tmp_path)

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        refused(saver, tmp_path, old)

    assert ends_well(in_child(limited))


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 128 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk(saver: Saver, small_disk: pathlib.Path) -> None:
    refused(saver, small_disk, prepare(small_disk))


def test_a_read_only_directory(saver: Saver, tmp_path: pathlib.Path) -> None:
    old = prepare(tmp_path)
    os.chmod(tmp_path, 0o555)

    def unprivileged() -> None:
        if os.geteuid() == 0:
            # Permissions do not bind root. Whoever this is, they may come here.
            os.chmod(tmp_path.parent, 0o755)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        refused(saver, tmp_path, old)

    for directory in tmp_path.parents:
        if directory.stat().st_uid == os.geteuid() and directory != pathlib.Path("/"):
            os.chmod(directory, directory.stat().st_mode | 0o055)
    assert ends_well(in_child(unprivileged))


def test_permissions_and_links_stay(saver: Saver, tmp_path: pathlib.Path) -> None:
    prepare(tmp_path)
    os.chmod(tmp_path / "file.pth", 0o640)
    (tmp_path / "link.pth").symlink_to("file.pth")
    assert saver.save(0, tmp_path / "link.pth") == OK
    assert (tmp_path / "link.pth").is_symlink()
    assert (tmp_path / "file.pth").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "file.pth").stat().st_size > 300_000


@pytest.mark.parametrize("what", ["network", "trainer"])
def test_killed_while_saving(saver: Saver, tmp_path: pathlib.Path, what: str) -> None:
    save = saver.save if what == "network" else saver.save_trainer
    path = tmp_path / "file.pth"
    complete = []
    for which in range(2):
        assert save(which, path) == OK
        complete.append(path.read_bytes())
    begin = time.monotonic()
    for _ in range(10):
        save(0, path)
    longest = 4 * (time.monotonic() - begin) / 10
    generator = random.Random(os.environ.get("TLN_TEST_SEED", "0"))
    seen = set()
    for _ in range(KILLS):

        def save_for_ever() -> None:
            which = 0
            while save(which, path) == OK:
                which = 1 - which

        child = in_child(save_for_ever)
        time.sleep(generator.random() * longest)
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        contents = path.read_bytes()
        assert contents in complete
        seen.add(complete.index(contents))
        if len(seen) == 1:
            # Children have not come to their second save yet: this machine is busier now than before.
            longest *= 1.1
        # What a killed process leaves is a temporary file with its number, of which it can have one.
        leftovers = [name for name in os.listdir(tmp_path) if name != "file.pth"]
        assert leftovers in ([], [f"file.pth.{child}-0.tmp"])
        for name in leftovers:
            (tmp_path / name).unlink()
    assert seen == {0, 1} or KILLS < 50
