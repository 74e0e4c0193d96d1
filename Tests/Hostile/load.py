"""Loads hostile files with the library, in little memory and processor time, and tells what came of each.

    load.py LIBRARY FILE ...      prints "FILE: STATUS sentence", or is killed with FILE as its last word

Memory is what the process has, as much again as the file can be inflated to, and ROOM.
"""

import ctypes
import os
import pathlib
import resource
import sys

ROOM = 64 << 20
# Deflate makes at most 1032 bytes of one.
INFLATION = 1040
SECONDS = 120
OK = 0


def limit_memory(byte_count: int) -> None:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM + byte_count, most))


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    library.tln_last_error.restype = ctypes.c_char_p
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    network, trainer, out = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    assert library.tln_network_create(None, ctypes.byref(network)) == OK
    assert library.tln_trainer_create(network, None, ctypes.byref(trainer)) == OK
    for path in sys.argv[2:]:
        print(f"{path}: ", end="", flush=True)
        limit_memory(INFLATION * os.path.getsize(path))
        name = os.fsencode(path)
        calls = {
            "network": lambda: library.tln_network_load(name, None, ctypes.byref(out)),
            "trainer": lambda: library.tln_trainer_load(trainer, name),
            "idx": lambda: library.tln_dataset_open_idx(name, None, ctypes.byref(out)),
        }
        status = calls[pathlib.Path(path).parent.name]()
        error = library.tln_last_error()
        assert (status == OK) == (error == b"") and error.count(b"\n") == 0, error
        print(status, error.decode(), flush=True)
        if status == OK and out.value:
            free = library.tln_dataset_free if path.count("/idx/") else library.tln_network_free
            free(out)


if __name__ == "__main__":
    main()
