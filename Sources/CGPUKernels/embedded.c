/* The kernels as they are in the library. */
#include "embedded.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char ptx[] = {
#embed "kernels.ptx.z"
};

const unsigned char *tlng_packed_ptx(size_t *out_bytes) {
  *out_bytes = sizeof ptx;
  return ptx;
}

#if defined(__APPLE__) || defined(TLNG_WITH_METAL_TEXT)

/* Each before what includes it. */
static const char metal_text[] = {
#embed "step.h"
    ,
#embed "dialect.h"
    ,
#embed "layout.h"
    ,
#embed "orders.h"
    ,
#embed "elementwise.h"
    ,
#embed "hidden.h"
    ,
#embed "output.h"
    ,
#embed "biases.h"
    ,
#embed "few.h"
    ,
#embed "update.h"
    ,
#embed "factors.h"
    ,
#embed "tiles.h"
    ,
#embed "kernels.h"
    , 0};

const char *tlng_metal_text(void) { return metal_text; }

#else

const char *tlng_metal_text(void) { return ""; }

#endif
