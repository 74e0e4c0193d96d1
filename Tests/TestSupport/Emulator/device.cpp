// The emulated device: its allocations, its copies, and the loop over the groups of a kernel.

#include "dialect.h"

#include "../../../Sources/CGPUKernels/step.h"
#include "emulator.h"
#include "table.h"
#include "together.h"

#include <stdio.h>
#include <stdlib.h>
#include <vector>

static const int allocation_limit = 4096;

struct tlne_device {
  int shuffle;
  int count; /* numbers that were used, from 1 */
  tlne::allocation allocations[allocation_limit];
  const char *running;
  char error[256], reported[256];
};

static thread_local tlne_device *current;

static void fail(tlne_device *device, const char *text) {
  if (device->error[0] == 0) snprintf(device->error, sizeof device->error, "%s", text);
}

tlne::allocation tlne::find(uint64_t address) {
  const uint64_t number = address >> 40;
  if (number == 0 || number > (uint64_t)current->count) return {nullptr, 0};
  return current->allocations[number];
}

void tlne::report(const char *kind, int64_t offset, uint64_t bytes) {
  char text[200];
  snprintf(text, sizeof text, "%s: access at byte %lld of %llu of %s", current->running,
           (long long)offset, (unsigned long long)bytes, kind);
  fail(current, text);
}

tlne_device *tlne_device_create(int shuffle) {
  tlne_device *device = (tlne_device *)calloc(1, sizeof(tlne_device));
  if (device) device->shuffle = shuffle & (TLNG_THREADS - 1);
  return device;
}

void tlne_device_free(tlne_device *device) {
  for (int number = 1; number <= device->count; number++) free(device->allocations[number].base);
  free(device);
}

const char *tlne_device_error(tlne_device *device) {
  memcpy(device->reported, device->error, sizeof device->error);
  device->error[0] = 0;
  return device->reported;
}

uint64_t tlne_allocate(tlne_device *device, size_t bytes) {
  /* A number is used again only when there are no others: what is freed stays known as such. */
  int number = device->count + 1;
  if (number == allocation_limit) {
    for (number = 1; number < allocation_limit && device->allocations[number].base; number++) {
    }
    if (number == allocation_limit) return 0;
  } else {
    device->count = number;
  }
  char *base = (char *)malloc(bytes);
  if (!base) return 0;
  memset(base, 0xff, bytes);
  device->allocations[number] = {base, bytes};
  return (uint64_t)number << 40;
}

void tlne_release(tlne_device *device, uint64_t address) {
  const uint64_t number = address >> 40;
  if ((address & tlne::offset_mask) != 0 || number == 0 || number > (uint64_t)device->count ||
      !device->allocations[number].base) {
    fail(device, "memory was released that was not allocated");
    return;
  }
  free(device->allocations[number].base);
  device->allocations[number] = {nullptr, 0};
}

int tlne_allocations(const tlne_device *device) {
  int count = 0;
  for (int number = 1; number <= device->count; number++) count += device->allocations[number].base != nullptr;
  return count;
}

static char *range(tlne_device *device, uint64_t address, size_t bytes) {
  current = device;
  device->running = "a copy";
  const tlne::allocation found = tlne::find(address);
  const uint64_t offset = address & tlne::offset_mask;
  if (offset <= found.bytes && found.bytes - offset >= bytes) return found.base + offset;
  tlne::report("device memory", (int64_t)(offset + bytes), found.bytes);
  return nullptr;
}

void tlne_write(tlne_device *device, uint64_t address, const void *source, size_t bytes) {
  char *target = range(device, address, bytes);
  if (target) memcpy(target, source, bytes);
}

void tlne_read(tlne_device *device, uint64_t address, void *target, size_t bytes) {
  const char *source = range(device, address, bytes);
  if (source) memcpy(target, source, bytes);
}

static bool has_fma() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

static const tlne::entry *find_kernel(tlne_device *device, const char *kernel, int groups) {
  const tlne::entry *entry = has_fma() ? tlne::fma_kernels : tlne::plain_kernels;
  while (entry->name && strcmp(entry->name, kernel) != 0) entry++;
  if (entry->name && groups >= 1) return entry;
  fail(device, "a kernel that does not exist, or in no groups");
  return nullptr;
}

void tlne_launch(tlne_device *device, const char *kernel, int groups, const void *arguments) {
  const tlne::entry *entry = find_kernel(device, kernel, groups);
  if (!entry) return;
  tlng_step step;
  memcpy(&step, arguments, sizeof step);
  current = device;
  device->running = entry->name;
  for (int i = 0; i < groups; i++) {
    const int group = device->shuffle == 0 ? i : groups - 1 - i;
    entry->kernel(step, {group, groups, device->shuffle, {nullptr, 0, 0}});
  }
}

void tlne_launch_together(tlne_device *device, const char *kernel, int groups, int missing,
                          size_t shared_bytes, const void *arguments) {
  const tlne::entry *entry = find_kernel(device, kernel, groups);
  if (!entry) return;
  tlng_step step;
  memcpy(&step, arguments, sizeof step);
  device->running = entry->name;
  if (!tlne::run_together(groups - missing, [&](int i) {
        const int group = device->shuffle == 0 ? i : groups - 1 - i;
        std::vector<float> memory(shared_bytes / sizeof(float));
        memset(memory.data(), 0xff, memory.size() * sizeof(float));
        current = device;
        entry->kernel(step, {group, groups, device->shuffle, {memory.data(), (int64_t)memory.size(), 0}});
      }))
    fail(device, "all groups wait for something that none of them tells");
}
