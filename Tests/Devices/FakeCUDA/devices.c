/* The calls about the driver, its devices, their contexts, and the modules and functions in them. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pid_t initialized;

int error_of(const char *name) {
  if (initialized == 0) misuse("%s before cuInit", name);
  return initialized != getpid() ? CUDA_ERROR_NOT_INITIALIZED : fails(name);
}

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
             {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
             {CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"}};

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
  case 95: /* cooperative launches */
    *value = (int)setting("FAKE_CUDA_TOGETHER", 1);
    break;
  case 97: /* shared memory of a group, in bytes */
    *value = 232448;
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

/* Contexts. */

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

/* Modules. */

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
