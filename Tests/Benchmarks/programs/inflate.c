/* Inflates gzip files into memory with zlib, whole, and prints a line when all are there.
 * Usage: inflate FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static void *contents(const char *path, long *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) exit(1);
  *size = ftell(file);
  rewind(file);
  void *bytes = malloc(*size);
  if (!bytes || fread(bytes, 1, *size, file) != (size_t)*size) exit(1);
  fclose(file);
  return bytes;
}

int main(int count, char **paths) {
  for (int i = 1; i < count; i++) {
    long size;
    unsigned char *packed = contents(paths[i], &size);
    uint32_t whole = packed[size - 4] | packed[size - 3] << 8 | packed[size - 2] << 16 |
                     (uint32_t)packed[size - 1] << 24;
    void *out = malloc(whole);
    z_stream stream = {0};
    stream.next_in = packed;
    stream.avail_in = size;
    stream.next_out = out;
    stream.avail_out = whole;
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK || inflate(&stream, Z_FINISH) != Z_STREAM_END) return 1;
    inflateEnd(&stream);
  }
  puts("inflated");
  fflush(stdout);
  return 0;
}
