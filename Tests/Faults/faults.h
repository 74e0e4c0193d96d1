/* Faults on purpose: allocations and system calls of the whole process that fail when they are told to. */
#ifndef FAULTS_H
#define FAULTS_H

enum { FAULT_ALLOCATIONS = 1, FAULT_CALLS = 2, FAULT_THREADS = 4 };

typedef enum {
  FAULT_ONCE,        /* one place fails */
  FAULT_FROM_THEN_ON,/* it and everything after it */
  FAULT_INTERRUPT,   /* one call is interrupted by a signal */
  FAULT_SHORTEN      /* one read or write does half of what it was asked for */
} fault_manner;

/* Lets place number `place` of these kinds fail, counted from 0 from now on. */
void faults_arm(int kinds, fault_manner manner, long place);

/* Everything works again. Returns whether a fault has happened. */
int faults_disarm(void);

/* Allocations that have not been freed. */
long faults_live_allocations(void);

#endif
