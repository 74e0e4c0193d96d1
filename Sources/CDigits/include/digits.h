/*
 * The 1,797 handwritten digits of UCI's Optical Recognition of Handwritten Digits, 8x8 pixels, for
 * training where MNIST cannot be had. Four IDX files compressed with gzip; where they come from and how
 * they are split is told in the README.md beside this target's sources.
 */
#ifndef DIGITS_H
#define DIGITS_H

#include <stddef.h>

/* The contents of one file. */
typedef struct digits_file {
  const void *bytes;
  size_t byte_count;
} digits_file;

/* 1,437 images and their labels. */
digits_file digits_train_images(void);
digits_file digits_train_labels(void);

/* 360 images and their labels. */
digits_file digits_test_images(void);
digits_file digits_test_labels(void);

#endif
