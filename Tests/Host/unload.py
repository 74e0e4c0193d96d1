"""Loads the library, uses it from two threads and unloads it, a hundred times: unload.py LIBRARY DIRECTORY

The second thread has had an error and outlives the library, whose code for its end must not be called.
"""

import _ctypes
import ctypes
import gc
import pathlib
import sys
import threading
import time

INPUT, ROWS = 784, 100


def threads() -> int:
    return len(list(pathlib.Path("/proc/self/task").iterdir()))


def resident_kilobytes() -> int:
    """What is in use, counted page by page; VmRSS of /proc/self/status is off by some hundred kilobytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Rss:")))


def wait_for_threads(count: int) -> bool:
    """A joined thread may be counted for a moment still: the kernel wakes who joins it before it is gone."""
    deadline = time.monotonic() + 10
    while threads() != count and time.monotonic() < deadline:
        time.sleep(0.001)
    return threads() == count


def use(path: str, directory: str) -> None:
    library = ctypes.CDLL(path)
    ends, has_failed = threading.Event(), threading.Event()

    def fail() -> None:
        network = ctypes.c_void_p()
        assert library.tln_network_load(b"/nowhere.pth", None, ctypes.byref(network)) == 2
        has_failed.set()
        ends.wait()

    other = threading.Thread(target=fail, daemon=True)
    other.start()
    has_failed.wait()
    network, trainer = ctypes.c_void_p(), ctypes.c_void_p()
    assert library.tln_network_create(None, ctypes.byref(network)) == 0
    assert library.tln_trainer_create(network, None, ctypes.byref(trainer)) == 0
    features, labels = (ctypes.c_float * (INPUT * ROWS))(), (ctypes.c_int64 * ROWS)()
    assert library.tln_trainer_step(trainer, features, labels, ctypes.c_int64(ROWS), None) == 0
    assert library.tln_network_save(network, f"{directory}/network.pth".encode()) == 0
    assert library.tln_trainer_step(trainer, None, labels, ctypes.c_int64(ROWS), None) == 1
    library.tln_trainer_free(trainer)
    library.tln_network_free(network)
    assert wait_for_threads(2), "the library's threads have not ended"
    _ctypes.dlclose(library._handle)
    assert "libtwolayernet" not in pathlib.Path("/proc/self/maps").read_text(), "the library is still there"
    ends.set()
    other.join()


def main() -> int:
    begin = 0
    for cycle in range(100):
        use(sys.argv[1], sys.argv[2])
        if cycle == 20:
            begin = resident_kilobytes()
    grown = resident_kilobytes() - begin
    print(f"{grown} KB more after 80 cycles")
    return 1 if grown > 512 else 0


if __name__ == "__main__":
    sys.exit(main())
