/* What the driver has given out: a list of handles, each of which knows what it belongs to. */
#include "internal.h"

#include <stdlib.h>

object *objects;
object *primary[device_limit];
__thread object *current[depth_limit];
__thread int depth;

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

void fake_cuda_forget(void) {
  LOCKED;
  for (int device = 0; device < device_limit; device++)
    if (primary[device]) drop_contents(primary[device]);
}

object *add(kind kind, object *owner) {
  object *new = calloc(1, sizeof *new);
  new->kind = kind;
  new->owner = owner;
  LOCKED;
  new->next = objects;
  objects = new;
  return new;
}

object *find(const void *handle, kind kind, const char *call) {
  LOCKED;
  object *each = objects;
  while (each && each != handle) each = each->next;
  if (!each || each->kind != kind) misuse("%s: not a handle of this kind", call);
  return each;
}

void drop(object *gone) {
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
void drop_owned(object *owner, kind kind) {
  for (object *each = objects, *next; each; each = next) {
    next = each->next;
    if (each->owner == owner && each->kind == kind) drop(each);
  }
}

void drop_contents(object *context) {
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

object *context(const char *call) {
  if (depth == 0) misuse("%s without a context", call);
  return current[depth - 1];
}

/* Every handle belongs to the context of the call. */
object *mine(const void *handle, kind kind, const char *call) {
  object *found = find(handle, kind, call);
  object *owner = found->owner;
  while (owner && owner->kind != CONTEXT) owner = owner->owner;
  if (owner != context(call)) misuse("%s: a handle of another context", call);
  return found;
}
