// The kernels for any processor.

#include "dialect.h"
#include "kernels.inc"

const tlne::entry tlne::plain_kernels[] = TLNE_TABLE;
