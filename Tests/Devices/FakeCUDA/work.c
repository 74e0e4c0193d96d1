/* The calls that do something on a device: streams, memory, kernels, graphs. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int cuStreamCreate(void **out, unsigned flags) {
  CALL("cuStreamCreate");
  if (flags != 1) misuse("a stream that waits for stream 0");
  *out = add(STREAM, context("cuStreamCreate"));
  return 0;
}

int cuStreamDestroy_v2(void *handle) {
  CALL_GIVING_BACK("cuStreamDestroy_v2");
  drop(mine(handle, STREAM, "cuStreamDestroy"));
  return error;
}

int cuStreamSynchronize(void *handle) {
  CALL("cuStreamSynchronize");
  mine(handle, STREAM, "cuStreamSynchronize");
  return 0;
}

/* Memory. */

int cuMemAlloc_v2(uint64_t *out, size_t bytes) {
  CALL("cuMemAlloc_v2");
  if (bytes == 0) misuse("cuMemAlloc of nothing");
  const long limit = setting("FAKE_CUDA_MEMORY", 1L << 32);
  if ((long)bytes > limit - fake_cuda_live_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;
  const uint64_t address = tlne_allocate(context("cuMemAlloc")->emulator, bytes);
  if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
  object *memory = add(MEMORY, context("cuMemAlloc"));
  memory->bytes = bytes;
  memory->address = address;
  *out = address;
  return 0;
}

/* The allocation of the current context in which these bytes are. */
static object *allocation(uint64_t address, size_t bytes, const char *call) {
  LOCKED;
  object *each = objects;
  for (; each; each = each->next) {
    if (each->kind != MEMORY || each->owner != context(call)) continue;
    const uint64_t offset = address - each->address;
    if (offset < each->bytes && bytes <= each->bytes - offset) break;
  }
  if (!each) misuse("%s outside of an allocation", call);
  return each;
}

int cuMemFree_v2(uint64_t address) {
  CALL_GIVING_BACK("cuMemFree_v2");
  object *memory = allocation(address, 1, "cuMemFree");
  if (memory->address != address) misuse("cuMemFree of a part");
  drop(memory);
  return error;
}

int cuMemcpyHtoDAsync_v2(uint64_t target, const void *source, size_t bytes, void *stream) {
  CALL("cuMemcpyHtoDAsync_v2");
  mine(stream, STREAM, "cuMemcpyHtoDAsync");
  tlne_write(allocation(target, bytes, "cuMemcpyHtoDAsync")->owner->emulator, target, source, bytes);
  return 0;
}

int cuMemcpyDtoHAsync_v2(void *target, uint64_t source, size_t bytes, void *stream) {
  CALL("cuMemcpyDtoHAsync_v2");
  mine(stream, STREAM, "cuMemcpyDtoHAsync");
  tlne_read(allocation(source, bytes, "cuMemcpyDtoHAsync")->owner->emulator, source, target, bytes);
  return 0;
}

int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t bytes, void *stream) {
  CALL("cuMemcpyDtoDAsync_v2");
  mine(stream, STREAM, "cuMemcpyDtoDAsync");
  tlne_device *emulator = allocation(source, bytes, "cuMemcpyDtoDAsync")->owner->emulator;
  allocation(target, bytes, "cuMemcpyDtoDAsync");
  unsigned char *values = malloc(bytes);
  tlne_read(emulator, source, values, bytes);
  tlne_write(emulator, target, values, bytes);
  free(values);
  return 0;
}

int cuMemsetD8Async(uint64_t target, unsigned char value, size_t bytes, void *stream) {
  CALL("cuMemsetD8Async");
  mine(stream, STREAM, "cuMemsetD8Async");
  tlne_device *emulator = allocation(target, bytes, "cuMemsetD8Async")->owner->emulator;
  unsigned char *values = malloc(bytes);
  memset(values, value, bytes);
  tlne_write(emulator, target, values, bytes);
  free(values);
  return 0;
}

/* Kernels. */

static void check_emulator(tlne_device *emulator) {
  const char *error = tlne_device_error(emulator);
  if (error[0]) misuse("%s", error);
}

static void run(const char *kernel, unsigned groups, const void *arguments) {
  tlne_device *emulator = context(kernel)->emulator;
  tlne_launch(emulator, kernel, (int)groups, arguments);
  check_emulator(emulator);
}

static void check_launch(const unsigned sizes[7]) {
  for (int axis = 0; axis < 6; axis++)
    if (sizes[axis] == 0) misuse("a launch of nothing");
  if (sizes[3] != TLNG_THREADS || sizes[0] > 0x7fffffff) misuse("a launch of a size that cannot be");
  if (sizes[1] != 1 || sizes[2] != 1 || sizes[4] != 1 || sizes[5] != 1 || sizes[6] != 0)
    misuse("a launch of another form than all others");
}

int cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments,
                   void **extra) {
  CALL("cuLaunchKernel");
  const object *function = mine(handle, FUNCTION, "cuLaunchKernel");
  mine(stream, STREAM, "cuLaunchKernel");
  check_launch((unsigned[]){grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes});
  if (extra) misuse("a launch with extra options");
  run(function->text, grid_x, arguments[0]);
  return 0;
}

enum { shared_limit_attribute = 8, usual_shared_limit = 48 << 10, shared_limit = 232448 };

int cuFuncSetAttribute(void *handle, int attribute, int value) {
  CALL("cuFuncSetAttribute");
  object *function = mine(handle, FUNCTION, "cuFuncSetAttribute");
  if (attribute != shared_limit_attribute || value > shared_limit) return CUDA_ERROR_INVALID_VALUE;
  function->shared_limit = (unsigned)value;
  return 0;
}

int cuLaunchCooperativeKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                              unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                              void *stream, void **arguments) {
  CALL("cuLaunchCooperativeKernel");
  const object *function = mine(handle, FUNCTION, "cuLaunchCooperativeKernel");
  mine(stream, STREAM, "cuLaunchCooperativeKernel");
  check_launch((unsigned[]){grid_x, grid_y, grid_z, block_x, block_y, block_z, 0});
  if (shared_bytes > usual_shared_limit && shared_bytes > function->shared_limit)
    return CUDA_ERROR_INVALID_VALUE;
  if (setting("FAKE_CUDA_TOGETHER", 1) > 1) return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
  tlne_device *emulator = context("cuLaunchCooperativeKernel")->emulator;
  tlne_launch_together(emulator, function->text, (int)grid_x, 0, shared_bytes, arguments[0]);
  check_emulator(emulator);
  return 0;
}

/* Graphs. */

int cuGraphCreate(void **out, unsigned flags) {
  CALL("cuGraphCreate");
  if (flags != 0) misuse("cuGraphCreate with flags");
  *out = add(GRAPH, context("cuGraphCreate"));
  return 0;
}

typedef struct {
  void *function;
  unsigned sizes[7];
  void **arguments, **extra;
} node_parameters;

int cuGraphAddKernelNode(void **out, void *handle, void *const *before, size_t count,
                         const node_parameters *parameters) {
  CALL("cuGraphAddKernelNode");
  object *graph = mine(handle, GRAPH, "cuGraphAddKernelNode");
  const object *function = mine(parameters->function, FUNCTION, "cuGraphAddKernelNode");
  check_launch(parameters->sizes);
  if (parameters->extra || count > 1) misuse("a node of another form than all others");
  object *node = add(NODE, graph);
  node->before = count == 1 ? find(before[0], NODE, "cuGraphAddKernelNode") : NULL;
  node->text = strdup(function->text);
  node->groups = parameters->sizes[0];
  node->arguments = malloc(sizeof(tlng_step));
  memcpy(node->arguments, parameters->arguments[0], sizeof(tlng_step));
  *out = node;
  return 0;
}

/* The graph's nodes change their owner: it is destroyed before its executable form. */
int cuGraphInstantiateWithFlags(void **out, void *handle, unsigned long long flags) {
  CALL("cuGraphInstantiateWithFlags");
  if (flags != 0) misuse("cuGraphInstantiate with flags");
  object *graph = mine(handle, GRAPH, "cuGraphInstantiate");
  object *executable = add(EXECUTABLE, graph->owner);
  for (object *each = objects; each; each = each->next)
    if (each->owner == graph) each->owner = executable;
  *out = executable;
  return 0;
}

/* The node after `before`; there is one first and one after each. */
static const object *successor(const object *executable, const object *before) {
  for (const object *each = objects; each; each = each->next)
    if (each->kind == NODE && each->owner == executable && each->before == before) return each;
  return NULL;
}

int cuGraphLaunch(void *handle, void *stream) {
  CALL("cuGraphLaunch");
  const object *executable = mine(handle, EXECUTABLE, "cuGraphLaunch");
  mine(stream, STREAM, "cuGraphLaunch");
  for (const object *node = successor(executable, NULL); node; node = successor(executable, node))
    run(node->text, node->groups, node->arguments);
  return 0;
}

int cuGraphDestroy(void *handle) {
  CALL_GIVING_BACK("cuGraphDestroy");
  object *graph = mine(handle, GRAPH, "cuGraphDestroy");
  drop_owned(graph, NODE);
  drop(graph);
  return error;
}

int cuGraphExecDestroy(void *handle) {
  CALL_GIVING_BACK("cuGraphExecDestroy");
  object *executable = mine(handle, EXECUTABLE, "cuGraphExecDestroy");
  drop_owned(executable, NODE);
  drop(executable);
  return error;
}
