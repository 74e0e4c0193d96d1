/* A libcuda.so.1 for tests: the calls that the library makes, over emulated devices (Tests/TestSupport/
 * Emulator), with a chosen one of them failing. It is strict where NVIDIA's is lenient: a call that no correct program makes (without a
 * context, on a handle that is gone, outside of an allocation) ends the process with a sentence.
 *
 * Programs control it by fake_cuda_...; for those that don't know it there is the environment:
 *   FAKE_CUDA_DEVICES=n, FAKE_CUDA_VERSION=11040, FAKE_CUDA_MAJOR=5 (compute capability)
 *   FAKE_CUDA_MEMORY=bytes, FAKE_CUDA_SHUFFLE=0...255 (emulator.h), FAKE_CUDA_PTX=file to write the PTX to
 *   FAKE_CUDA_FAIL=name:n:error   the n-th call (from 1) of this function fails with this error */
#define _GNU_SOURCE
#include "fake_cuda.h"

#include "../../Sources/CGPUKernels/step.h"
#include "emulator.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Held during every call: several threads may use networks of their own at once. */
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static pthread_mutex_t *lock(void) {
  pthread_mutex_lock(&mutex);
  return &mutex;
}

static void unlock(pthread_mutex_t **locked) { pthread_mutex_unlock(*locked); }

#define LOCKED pthread_mutex_t *locked __attribute__((cleanup(unlock), unused)) = lock()

__attribute__((noreturn, format(printf, 1, 2))) static void misuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("misuse of CUDA: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs("\n", stderr);
  abort();
}

static long setting(const char *name, long usual) {
  const char *text = getenv(name);
  return text ? atol(text) : usual;
}

/* ----------------------------------------------------------------- failing */

static long calls, armed_call = -1;
static int armed_error, armed_for_ever, happened;
static char failed_name[64];

void fake_cuda_arm(long call, int error, int for_ever) {
  LOCKED;
  calls = 0;
  armed_call = call;
  armed_error = error;
  armed_for_ever = for_ever;
  happened = 0;
  failed_name[0] = 0;
}

const char *fake_cuda_disarm(void) {
  LOCKED;
  armed_call = -1;
  return happened ? failed_name : NULL;
}

/* The error that this call has to return. */
static int fails_by_environment(const char *name) {
  static long count;
  const char *text = getenv("FAKE_CUDA_FAIL");
  char wanted[64];
  long number;
  int error;
  if (!text || sscanf(text, "%63[^:]:%ld:%d", wanted, &number, &error) != 3) return 0;
  return strcmp(wanted, name) == 0 && ++count == number ? error : 0;
}

static int fails(const char *name) {
  LOCKED;
  int error = fails_by_environment(name);
  if (error) happened = 1;
  const long call = calls++;
  if (armed_call >= 0 && (call == armed_call || (armed_for_ever && call > armed_call))) {
    if (!happened) snprintf(failed_name, sizeof failed_name, "%s", name);
    happened = 1;
    error = armed_error;
  }
  return error;
}

/* ----------------------------------------------------------------- objects */

typedef enum { CONTEXT = 1, STREAM, MODULE, FUNCTION, GRAPH, NODE, EXECUTABLE, MEMORY } kind;

typedef struct object {
  kind kind;
  struct object *owner, *next;
  int device, references;
  tlne_device *emulator;   /* of a context */
  char *text;              /* of a module; a function's name */
  void *arguments;         /* of a node */
  uint64_t address;        /* of memory */
  size_t bytes;
  unsigned groups;
  struct object *before;   /* of a node */
} object;

static object *objects;
enum { device_limit = 16, depth_limit = 16 };
static object *primary[device_limit];
static __thread object *current[depth_limit];
static __thread int depth;

int fake_cuda_depth(void) { return depth; }

long fake_cuda_live(void) {
  long count = 0;
  LOCKED;
  for (object *each = objects; each; each = each->next) count += each->kind != FUNCTION && each->kind != NODE;
  return count;
}

long fake_cuda_live_bytes(void) {
  long count = 0;
  LOCKED;
  for (object *each = objects; each; each = each->next) count += each->kind == MEMORY ? (long)each->bytes : 0;
  return count;
}

static void drop_contents(object *context);

void fake_cuda_forget(void) {
  LOCKED;
  for (int device = 0; device < device_limit; device++)
    if (primary[device]) drop_contents(primary[device]);
}

static object *add(kind kind, object *owner) {
  object *new = calloc(1, sizeof *new);
  new->kind = kind;
  new->owner = owner;
  LOCKED;
  new->next = objects;
  objects = new;
  return new;
}

static object *find(const void *handle, kind kind, const char *call) {
  LOCKED;
  object *each = objects;
  while (each && each != handle) each = each->next;
  if (!each || each->kind != kind) misuse("%s: not a handle of this kind", call);
  return each;
}

static void drop(object *gone) {
  LOCKED;
  object **place = &objects;
  while (*place != gone) place = &(*place)->next;
  *place = gone->next;
  free(gone->text);
  free(gone->arguments);
  if (gone->kind == MEMORY) tlne_release(gone->owner->emulator, gone->address);
  if (gone->kind == CONTEXT) tlne_device_free(gone->emulator);
  free(gone);
}

/* Those that go with their owner: a context's stay, and would be a leak. */
static void drop_owned(object *owner, kind kind) {
  for (object *each = objects, *next; each; each = next) {
    next = each->next;
    if (each->owner == owner && each->kind == kind) drop(each);
  }
}

static void drop_contents(object *context) {
  for (object *each = objects; each;) {
    object *gone = each->owner == context ? each : NULL;
    each = each->next;
    if (!gone) continue;
    drop_owned(gone, NODE);
    drop_owned(gone, FUNCTION);
    drop(gone);
    each = objects;
  }
}

static object *context(const char *call) {
  if (depth == 0) misuse("%s without a context", call);
  return current[depth - 1];
}

/* Every handle belongs to the context of the call. */
static object *mine(const void *handle, kind kind, const char *call) {
  object *found = find(handle, kind, call);
  object *owner = found->owner;
  while (owner && owner->kind != CONTEXT) owner = owner->owner;
  if (owner != context(call)) misuse("%s: a handle of another context", call);
  return found;
}

/* ------------------------------------------------------- the driver, devices */

static pid_t initialized;

static int error_of(const char *name) {
  if (initialized == 0) misuse("%s before cuInit", name);
  return initialized != getpid() ? CUDA_ERROR_NOT_INITIALIZED : fails(name);
}

/* Begins a call, which has no effect if it fails. */
#define CALL(name)                     \
  LOCKED;                              \
  do {                                 \
    const int error = error_of(name);  \
    if (error) return error;           \
  } while (0)

/* Begins a call that gives something back, also if it fails: its error is that of work issued before. */
#define CALL_GIVING_BACK(name) \
  LOCKED;                      \
  const int error = error_of(name)

int cuInit(unsigned flags) {
  if (flags != 0) misuse("cuInit with flags");
  if (initialized != 0 && initialized != getpid()) return CUDA_ERROR_NOT_INITIALIZED;
  const int error = fails("cuInit");
  if (error) return error;
  if (setting("FAKE_CUDA_DEVICES", 1) == 0) return CUDA_ERROR_NO_DEVICE;
  initialized = getpid();
  return 0;
}

int cuDriverGetVersion(int *version) {
  const int error = fails("cuDriverGetVersion");
  if (!error) *version = (int)setting("FAKE_CUDA_VERSION", 12020);
  return error;
}

static const struct {
  int error;
  const char *name;
} names[] = {{0, "CUDA_SUCCESS"},
             {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
             {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
             {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
             {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
             {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
             {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
             {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
             {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}};

/* Not one of the calls that fail: it tells of those. */
int cuGetErrorName(int error, const char **name) {
  *name = NULL;
  for (size_t index = 0; index < sizeof names / sizeof *names; index++)
    if (names[index].error == error) *name = names[index].name;
  return *name ? 0 : CUDA_ERROR_INVALID_VALUE;
}

static int device_count(void) { return (int)setting("FAKE_CUDA_DEVICES", 1); }

int cuDeviceGetCount(int *count) {
  CALL("cuDeviceGetCount");
  /* -1 stands for a driver that is initialised and has none. */
  *count = device_count() < 0 ? 0 : device_count();
  return 0;
}

int cuDeviceGet(int *device, int ordinal) {
  CALL("cuDeviceGet");
  if (ordinal < 0 || ordinal >= device_count()) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return 0;
}

int cuDeviceGetName(char *name, int capacity, int device) {
  CALL("cuDeviceGetName");
  snprintf(name, (size_t)capacity, "Imaginary GPU %d", device);
  return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  CALL("cuDeviceGetAttribute");
  if (device < 0 || device >= device_count()) misuse("cuDeviceGetAttribute: no such device");
  switch (attribute) {
  case 13: /* clock in kHz */
  case 36: /* memory clock in kHz */
    *value = 1000000;
    break;
  case 16: /* multiprocessors */
    *value = 10;
    break;
  case 37: /* memory bus in bits */
    *value = 1024;
    break;
  case 75: /* compute capability, the part before the point */
    *value = (int)setting("FAKE_CUDA_MAJOR", 5);
    break;
  case 76: /* and after it */
    *value = 0;
    break;
  default: misuse("attribute %d is not known", attribute);
  }
  return 0;
}

/* ---------------------------------------------------------------- contexts */

int cuDevicePrimaryCtxRetain(void **out, int device) {
  CALL("cuDevicePrimaryCtxRetain");
  if (device < 0 || device >= device_count()) misuse("cuDevicePrimaryCtxRetain: no such device");
  if (!primary[device]) {
    primary[device] = add(CONTEXT, NULL);
    primary[device]->emulator = tlne_device_create((int)setting("FAKE_CUDA_SHUFFLE", 0));
  }
  primary[device]->references++;
  primary[device]->device = device;
  *out = primary[device];
  return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  CALL_GIVING_BACK("cuDevicePrimaryCtxRelease_v2");
  object *context = primary[device];
  if (!context) misuse("the primary context is released too often");
  if (--context->references > 0) return error;
  /* What is in it goes with it. That is enough for who cannot reach it any more after a failure only. */
  for (object *each = objects; each && !happened; each = each->next)
    if (each->owner == context) misuse("the context goes before what is in it (kind %d)", each->kind);
  drop_contents(context);
  primary[device] = NULL;
  drop(context);
  return error;
}

int cuCtxPushCurrent_v2(void *pushed) {
  CALL("cuCtxPushCurrent_v2");
  if (depth == depth_limit) misuse("contexts are pushed and not popped");
  current[depth++] = find(pushed, CONTEXT, "cuCtxPushCurrent");
  return 0;
}

int cuCtxPopCurrent_v2(void **popped) {
  CALL_GIVING_BACK("cuCtxPopCurrent_v2");
  *popped = context("cuCtxPopCurrent");
  depth--;
  return error;
}

/* ----------------------------------------------------------------- modules */

int cuModuleLoadData(void **out, const void *image) {
  CALL("cuModuleLoadData");
  if (strncmp(image, ".version ", 9) != 0) misuse("cuModuleLoadData: not PTX");
  object *module = add(MODULE, context("cuModuleLoadData"));
  module->text = strdup(image);
  FILE *copy = getenv("FAKE_CUDA_PTX") ? fopen(getenv("FAKE_CUDA_PTX"), "w") : NULL;
  if (copy) {
    fputs(image, copy);
    fclose(copy);
  }
  *out = module;
  return 0;
}

int cuModuleUnload(void *handle) {
  CALL_GIVING_BACK("cuModuleUnload");
  object *module = mine(handle, MODULE, "cuModuleUnload");
  drop_owned(module, FUNCTION);
  drop(module);
  return error;
}

/* Whether the entry takes a tlng_step by value, as its PTX says: .param .align 8 .b8 name_param_0[232] */
static int takes_a_step(const char *entry) {
  const char *bracket = strchr(entry, '[');
  return bracket && strtoul(bracket + 1, NULL, 10) == sizeof(tlng_step) && strchr(entry, ',') > strchr(entry, ')');
}

int cuModuleGetFunction(void **out, void *handle, const char *name) {
  CALL("cuModuleGetFunction");
  object *module = mine(handle, MODULE, "cuModuleGetFunction");
  char entry[128];
  snprintf(entry, sizeof entry, ".entry %s(", name);
  const char *found = strstr(module->text, entry);
  if (!found) return CUDA_ERROR_NOT_FOUND;
  if (!takes_a_step(found)) misuse("%s takes something else than one tlng_step", name);
  object *function = add(FUNCTION, module);
  function->text = strdup(name);
  *out = function;
  return 0;
}

/* ----------------------------------------------------------------- streams */

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

/* ------------------------------------------------------------------ memory */

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

/* ----------------------------------------------------------------- kernels */

static void run(const char *kernel, unsigned groups, const void *arguments) {
  tlne_device *emulator = context(kernel)->emulator;
  tlne_launch(emulator, kernel, (int)groups, arguments);
  const char *error = tlne_device_error(emulator);
  if (error[0]) misuse("%s", error);
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

/* ------------------------------------------------------------------ graphs */

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
