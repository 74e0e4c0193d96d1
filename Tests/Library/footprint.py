"""Prints what the library costs its host: footprint.py LIBRARY"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

PROGRAM = r"""
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }
static long resident(void) {
  long pages = 0, own = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file) { if (fscanf(file, "%ld %ld", &pages, &own) != 2) own = 0; fclose(file); }
  return own * 4;
}
int main(int argc, char **argv) {
  (void)argc;
  const long before = resident();
  const double begin = now();
  void *library = dlopen(argv[1], RTLD_NOW);
  const double end = now();
  const long loaded = resident();
  int32_t (*create)(const void *, void **) = (int32_t (*)(const void *, void **))dlsym(library, "tln_network_create");
  void *network;
  if (create(NULL, &network)) return 1;
  printf("%f %ld %ld\n", end - begin, loaded - before, resident() - loaded);
  return 0;
}
"""


def output(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def main() -> None:
    library = pathlib.Path(sys.argv[1]).resolve()
    sections = output("readelf", "-W", "-S", library)
    sizes = {name: int(size, 16) for name, size in re.findall(r"\] (\.\S+)\s+\S+\s+\S+ \S+ (\S+)", sections)}
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", library))
    with tempfile.TemporaryDirectory() as directory:
        source, program = pathlib.Path(directory, "load.c"), pathlib.Path(directory, "load")
        source.write_text(PROGRAM)
        output("cc", "-O1", source, "-o", program, "-ldl")
        runs = [[float(word) for word in output(program, library).split()] for _ in range(31)]
    times, loaded, network = (sorted(column) for column in zip(*runs))
    print(f"size, stripped        {os.stat(library).st_size:,} bytes (ceiling 500,000)")
    print(f"static library        {os.stat(library.parent / 'libtwolayernet.a').st_size:,} bytes")
    print(f"code                  {sizes['.text']:,} bytes")
    print(f"needs                 {', '.join(needed)}")
    print(f"exported symbols      {len(output('nm', '-D', '--defined-only', library).splitlines())}")
    print(f"relocations           {(sizes['.rela.dyn'] + sizes['.rela.plt']) // 24}")
    print(f"constructors          {sizes.get('.init_array', 0) // 8}, destructors {sizes.get('.fini_array', 0) // 8}")
    print(f"zeroed memory         {sizes['.bss']:,} bytes, untouched until needed")
    print(f"dlopen                {statistics.median(times):.2f} ms, median of {len(times)}; {times[0]:.2f} the least")
    print(f"resident after it     {statistics.median(loaded):.0f} KB more, libz and libm included")
    print(f"the article's network {statistics.median(network):.0f} KB more")


if __name__ == "__main__":
    main()
