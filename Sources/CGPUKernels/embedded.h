/* The kernels as they are in the library. */
#ifndef TLN_GPU_EMBEDDED_H
#define TLN_GPU_EMBEDDED_H

#include <stddef.h>

/* For NVIDIA's driver: kernels.ptx.z, which generate.py describes. */
const unsigned char *tlng_packed_ptx(size_t *out_bytes);

/* For Metal: the text that the PTX is made of, without what it includes; "" elsewhere than on Apple's
 * systems. */
const char *tlng_metal_text(void);

#endif
