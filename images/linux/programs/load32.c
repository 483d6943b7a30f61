/* load32.c - a 32-bit program (SPARC V8+) without a C library: system calls by trap 0x10, addresses of 32 bits, windows
 * spilled in the 32-bit form, signals in 32-bit frames, 64-bit globals that survive. */

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;

enum { SYS_exit = 1, SYS_fork = 2, SYS_write = 4, SYS_wait4 = 7, SYS_getpid = 20, SYS_kill = 37, SYS_mmap = 71,
       SYS_munmap = 73, SYS_rt_sigaction = 102, SYS_sched_yield = 245 };
enum { SIGSEGV = 11, SIGUSR1 = 30 };

static i32 call(u32 number, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) {
  register u32 g1 __asm__("g1") = number;
  register u32 o0 __asm__("o0") = a;
  register u32 o1 __asm__("o1") = b;
  register u32 o2 __asm__("o2") = c;
  register u32 o3 __asm__("o3") = d;
  register u32 o4 __asm__("o4") = e;
  register u32 o5 __asm__("o5") = f;
  u32 failed;
  __asm__ volatile("ta 0x10\n\tmov 0, %1\n\tmovcs %%icc, 1, %1"
                   : "+r"(o0), "=&r"(failed), "+r"(o1)
                   : "r"(g1), "r"(o2), "r"(o3), "r"(o4), "r"(o5)
                   : "memory", "cc", "o7");
  return failed ? -(i32)o0 : (i32)o0;
}

static void say(const char *text) {
  u32 n = 0;
  while (text[n] != 0) n++;
  call(SYS_write, 1, (u32)text, n, 0, 0, 0);
}

static void check(int good, const char *what) {
  if (good) return;
  say("FAILED load32: ");
  say(what);
  say("\n");
  call(SYS_exit, 1, 0, 0, 0, 0, 0);
}

static __attribute__((noinline)) u32 ackermann(u32 m, u32 n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

static volatile u32 handled;

static __attribute__((noinline)) void handler(int number) {
  handled += (u32)number + ackermann(1, 30) * 0; /* deep enough to spill */
}

struct action {
  void (*handler)(int);
  u32 flags;
  void (*restorer)(void);
  u32 mask[2];
};

/* The kernel enters it as by a return: eight bytes further than it is told. */
void back_from_handler(void);
__asm__("back_from_handler:\n\tmov 216, %g1\n\tta 0x10");

static void signals(void) {
  struct action action = {handler, 0, 0, {0, 0}};
  u32 restorer = (u32)back_from_handler - 8;
  check(call(SYS_rt_sigaction, SIGUSR1, (u32)&action, 0, restorer, 8, 0) == 0, "rt_sigaction");
  i32 pid = call(SYS_getpid, 0, 0, 0, 0, 0, 0);
  u64 before = 0x123456789abcdef0u, after;
  __asm__ volatile("" : "+r"(before));
  for (u32 i = 0; i < 50; i++) check(call(SYS_kill, (u32)pid, SIGUSR1, 0, 0, 0, 0) == 0, "kill");
  after = before;
  check(handled == 50 * SIGUSR1, "handlers");
  check(after == 0x123456789abcdef0u, "a 64-bit value");
}

static void forks(void) {
  for (u32 i = 0; i < 20; i++) {
    register i32 o0 __asm__("o0");
    register u32 o1 __asm__("o1");
    register u32 g1 __asm__("g1") = SYS_fork;
    __asm__ volatile("ta 0x10" : "=r"(o0), "=r"(o1) : "r"(g1) : "memory", "cc", "o2", "o3", "o4", "o5", "o7");
    u32 is_child = o1;
    i32 pid = o0;
    if (is_child) call(SYS_exit, ackermann(2, i) & 0x7f, 0, 0, 0, 0, 0);
    i32 status = 0;
    check(call(SYS_wait4, (u32)pid, (u32)&status, 0, 0, 0, 0) == pid, "wait4");
    check((u32)status == ((2 * i + 3) & 0x7f) << 8, "a child's status");
  }
}

static void addresses(void) {
  i32 at = call(SYS_mmap, 0, 0x10000, 3, 0x22, (u32)-1, 0);
  check(((u32)at & 0x1fff) == 0 && at != 0, "mmap");
  volatile u32 *p = (volatile u32 *)at;
  u64 sum = 0;
  for (u32 i = 0; i < 0x4000; i++) p[i] = i * i;
  for (u32 i = 0; i < 0x4000; i++) sum += p[i];
  u64 want = 0;
  for (u32 i = 0; i < 0x4000; i++) want += (u32)(i * i);
  check(sum == want, "memory");
  /* The upper half of a register takes no part in an address of a 32-bit program. */
  u32 word;
  __asm__ volatile("sethi %%hi(0x40000000), %%g1\n\tsllx %%g1, 4, %%g1\n\tadd %%g1, %1, %%g1\n\tlduw [%%g1 + 40], %0"
                   : "=r"(word)
                   : "r"(p)
                   : "g1", "memory");
  check(word == 100, "an address above 4 GiB");
  check(call(SYS_munmap, (u32)at, 0x10000, 0, 0, 0, 0) == 0, "munmap");
}

static void arithmetic(void) {
  u64 x = 1, y = 0;
  for (u32 i = 1; i < 1000; i++) {
    x = x * 6364136223846793005ull + i;
    y ^= x >> (i & 31);
  }
  check((u32)(y >> 32) != 0 && x == 0x2640f5cc14e497f1ull, "arithmetic");
  double d = 0.0;
  for (u32 i = 1; i < 100; i++) d = d + 1.0 / (double)(i32)i;
  check(d > 5.177377517639 && d < 5.177377517640, "floating point");
}

void run(void);
void run(void) {
  check(ackermann(2, 300) == 603, "windows");
  addresses();
  arithmetic();
  signals();
  forks();
  say("load32: ok\n");
  call(SYS_exit, 0, 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov 0, %fp\n\tsub %sp, 96, %sp\n\tcall run\n\tnop\n\tta 1");
