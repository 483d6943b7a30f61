/* maps.c - address spaces: protection, sharing, moving, discarding, code written by the program itself. */
#include "load.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page;
static sigjmp_buf back;
static volatile sig_atomic_t faults;

static void on_fault(int number) {
  (void)number;
  faults++;
  siglongjmp(back, 1);
}

static int writable(volatile u64 *p) {
  if (sigsetjmp(back, 1) != 0) return 0;
  *p = *p + 1;
  return 1;
}

static u64 *map(size_t pages, int flags, int fd) {
  u64 *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, flags, fd, 0);
  CHECK(p != MAP_FAILED);
  return p;
}

static void protection(long rounds) {
  u64 *p = map(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  faults = 0;
  for (long i = 0; i < rounds; i++) {
    CHECK(writable(p));
    CHECK(mprotect(p, page, PROT_READ) == 0);
    CHECK(!writable(p));
    CHECK(*p == (u64)i + 1);
    CHECK(mprotect(p, page, PROT_READ | PROT_WRITE) == 0);
  }
  CHECK(faults == rounds);
  CHECK(munmap(p, page) == 0);
}

static u64 *shared, *private_copy;

static int sharer(long index) {
  for (int i = 0; i < 1000; i++) __atomic_fetch_add(&shared[0], 1, __ATOMIC_SEQ_CST);
  shared[index + 1] = (u64)index * 3;
  private_copy[0] = (u64)index; /* nobody else may see this */
  return private_copy[0] == (u64)index && private_copy[1] == 77 ? 0 : 1;
}

static void sharing(void) {
  shared = map(1, MAP_SHARED | MAP_ANONYMOUS, -1);
  private_copy = map(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  private_copy[0] = 5;
  private_copy[1] = 77;
  int pids[8];
  for (long i = 0; i < 8; i++) pids[i] = spawn(sharer, i);
  for (int i = 0; i < 8; i++) CHECK(reap(pids[i]) == 0);
  CHECK(shared[0] == 8000 && private_copy[0] == 5);
  for (u64 i = 0; i < 8; i++) CHECK(shared[i + 1] == i * 3);
}

static void files(void) {
  char name[] = "/tmp/mapsXXXXXX";
  int fd = mkstemp(name);
  CHECK(fd >= 0 && unlink(name) == 0 && ftruncate(fd, (off_t)(4 * page)) == 0);
  u64 *one = map(4, MAP_SHARED, fd), *other = map(4, MAP_SHARED, fd), *own = map(4, MAP_PRIVATE, fd);
  for (u64 i = 0; i < 4 * page / 8; i++) one[i] = i * i;
  own[3] = 1;
  u64 word = 0;
  for (u64 i = 0; i < 4 * page / 8; i += 37) {
    CHECK(other[i] == i * i);
    CHECK(pread(fd, &word, 8, (off_t)(i * 8)) == 8 && word == i * i);
  }
  CHECK(one[3] == 9 && own[3] == 1);
  word = 12345;
  CHECK(pwrite(fd, &word, 8, (off_t)page) == 8 && other[page / 8] == 12345);
  close(fd);
}

static void moving(long rounds) {
  size_t pages = 2;
  u64 *p = map(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  p[0] = 0xfeed;
  for (long i = 0; i < rounds; i++) {
    u64 *q = mremap(p, pages * page, (pages + 3) * page, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED && q[0] == 0xfeed);
    CHECK(q[pages * page / 8] == 0);
    p = q;
    pages += 3;
    p[pages * page / 8 - 1] = (u64)i;
  }
  CHECK(madvise(p, pages * page, MADV_DONTNEED) == 0);
  for (size_t i = 0; i < pages * page / 8; i += 64) CHECK(p[i] == 0);
  CHECK(munmap(p, pages * page) == 0);
}

/* Large pages where the kernel gives them (8 MB on sparc64), and a part of one discarded. */
static void huge(void) {
  enum { HUGE_BYTES = 8 << 20 };
  char *area = mmap(NULL, 2 * HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(area != MAP_FAILED);
  u64 *p = (u64 *)(((uintptr_t)area + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
  madvise(p, HUGE_BYTES, MADV_HUGEPAGE);
  for (u64 i = 0; i < HUGE_BYTES / 8; i += 16) p[i] = i;
  CHECK(mprotect((char *)p + 3 * page, page, PROT_READ) == 0);
  CHECK(madvise((char *)p + 5 * page, page, MADV_DONTNEED) == 0);
  for (u64 i = 0; i < HUGE_BYTES / 8; i += 16) {
    int gone = i >= 5 * page / 8 && i < 6 * page / 8;
    CHECK(p[i] == (gone ? 0 : i));
  }
  CHECK(munmap(area, 2 * HUGE_BYTES) == 0);
}

#if defined(__sparc__)
/* retl; add %o0, NUMBER, %o0 */
static void write_code(u32 *at, u32 number) {
  at[0] = 0x81c3e008;
  at[1] = 0x90022000 | (number & 0xfff);
  __asm__ volatile("flush %0\n\tflush %0 + 4" : : "r"(at) : "memory");
}

static void code(long rounds) {
  u32 *p = mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  u64 total = 0;
  for (long i = 0; i < rounds; i++) {
    u32 *at = p + 2 * (i % 100);
    write_code(at, (u32)(i & 0xfff));
    total += ((u64(*)(u64))(void *)at)(1000);
  }
  u64 want = 0;
  for (long i = 0; i < rounds; i++) want += 1000 + (u64)(i & 0xfff);
  CHECK(total == want);
  CHECK(munmap(p, page) == 0);
}
#else
static void code(long rounds) { (void)rounds; }
#endif

int maps_main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 200);
  page = (size_t)sysconf(_SC_PAGESIZE);
  struct sigaction action = {.sa_handler = on_fault};
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  protection(rounds);
  sharing();
  files();
  moving(rounds / 10);
  huge();
  code(rounds);
  printf("maps: ok %ld rounds\n", rounds);
  return 0;
}
