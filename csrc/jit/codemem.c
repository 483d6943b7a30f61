/* codemem.c - see codemem.h. */
#define _GNU_SOURCE
#include "jit/codemem.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

bool codemem_open(struct codemem *m, u32 size) {
  int fd = memfd_create("s4v-code", MFD_CLOEXEC);
  if (fd < 0) return false;
  void *w = MAP_FAILED, *x = MAP_FAILED;
  if (ftruncate(fd, (off_t)size) == 0) {
    w = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    x = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (w != MAP_FAILED && x != MAP_FAILED) {
    *m = (struct codemem){.write = w, .execute = x, .size = size};
    return true;
  }
  int why = errno;
  if (w != MAP_FAILED) munmap(w, size);
  if (x != MAP_FAILED) munmap(x, size);
  errno = why;
  return false;
}

void codemem_close(struct codemem *m) {
  if (!m->write) return;
  munmap(m->write, m->size);
  munmap((void *)(uintptr_t)m->execute, m->size);
  *m = (struct codemem){0};
}
