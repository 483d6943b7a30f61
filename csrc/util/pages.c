/* pages.c - see pages.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "util/pages.h"

#include <sys/mman.h>

void *pages_new(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return NULL;
  madvise(p, bytes, MADV_NOHUGEPAGE); /* neighbours merge: one touch must not cost 2 MiB */
  return p;
}

void pages_free(void *p, size_t bytes) {
  if (p) munmap(p, bytes);
}
