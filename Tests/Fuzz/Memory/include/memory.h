/* How much memory is allocated at once while one input is worked on, counted through AddressSanitizer's
 * hooks. */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include <stddef.h>

/* Starts counting; once, before anything else. */
void fuzz_memory_install(void);

/* Forgets the peak so far. */
void fuzz_memory_begin(void);

/* The most bytes that were allocated at once since, beyond those at that time. */
size_t fuzz_memory_peak(void);

/* Processor time of this process, in seconds. */
double fuzz_processor_seconds(void);

#endif
