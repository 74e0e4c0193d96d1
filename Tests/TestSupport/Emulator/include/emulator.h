/*
 * A GPU for tests on any machine: memory whose every access is checked, and the GPU kernels compiled as
 * plain C++. Fresh memory is poisoned (all bits set: NaN, or -1). One device is for one thread at a time.
 */
#ifndef TLN_EMULATOR_H
#define TLN_EMULATOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tlne_device tlne_device;

/* `shuffle` 0 ... 255: in which order the threads of a group run between two barriers, thread i ^ shuffle
 * as number i; groups run from the first to the last with 0, else from the last to the first. */
tlne_device *tlne_device_create(int shuffle);
void tlne_device_free(tlne_device *device);

/* What went wrong first, since it was last asked for, or an empty text: an access outside of an
 * allocation, by a kernel or a copy, or a kernel that does not exist. */
const char *tlne_device_error(tlne_device *device);

/* An address, or 0. */
uint64_t tlne_allocate(tlne_device *device, size_t bytes);
void tlne_release(tlne_device *device, uint64_t address);
/* Allocations that were not released. */
int tlne_allocations(const tlne_device *device);

void tlne_write(tlne_device *device, uint64_t address, const void *source, size_t bytes);
void tlne_read(tlne_device *device, uint64_t address, void *target, size_t bytes);

/* Runs a kernel with the bytes of a tlng_step. */
void tlne_launch(tlne_device *device, const char *kernel, int groups, const void *arguments);
/* The same for a kernel whose groups run at the same time, each with so many bytes of shared memory. Some may
 * be missing: if the others wait for them, that is an error. */
void tlne_launch_together(tlne_device *device, const char *kernel, int groups, int missing,
                          size_t shared_bytes, const void *arguments);

#ifdef __cplusplus
}
#endif

#endif
