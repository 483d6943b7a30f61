/* syscall.c - system calls of user programs. */
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

enum { SBRK_MAX = 1 << 30 };

static i64 call_exit(const u64 *a) { process_exit((int)a[0]); }

/* Piece by piece through a buffer of the kernel: the program's memory may not be there, or go. */
static i64 call_write(const u64 *a) {
  char piece[256];
  u64 from = a[0], bytes = a[1];
  for (u64 done = 0; done < bytes;) {
    u64 n = bytes - done < sizeof piece ? bytes - done : sizeof piece;
    if (from + done + n > USER_LIMIT || user_copy_in(piece, from + done, n)) return -1;
    console_write(piece, n);
    done += n;
    if (process_this()->killed) break;
  }
  return (i64)bytes;
}

static i64 call_getpid(const u64 *a) {
  (void)a;
  return process_this()->id;
}

/* More memory, or (negative) less: what is given back is taken from all cpus' translations. */
static i64 call_sbrk(const u64 *a) {
  struct process *p = process_this();
  i64 by = (i64)a[0];
  u64 old = p->break_now;
  if (by > SBRK_MAX || by < -SBRK_MAX) return -1;
  u64 wanted = (old + (u64)by + PAGE_BYTES - 1) & ~(u64)(PAGE_BYTES - 1);
  if (wanted < p->break_first || wanted > p->break_first + SBRK_MAX) return -1;
  for (u64 va = wanted; va < old; va += PAGE_BYTES) space_unmap(&p->space, va);
  p->break_now = wanted;
  return (i64)old;
}

static i64 call_sleep(const u64 *a) {
  static struct spinlock lock = SPINLOCK("sleep");
  struct process *p = process_this();
  u64 until = clock_ns() + a[0];
  lock_acquire(&lock);
  while (!p->killed && clock_ns() < until) thread_sleep_until(&p->killed, &lock, until);
  lock_release(&lock);
  return 0;
}

static i64 call_time(const u64 *a) {
  (void)a;
  return (i64)clock_ns();
}

static i64 call_yield(const u64 *a) {
  (void)a;
  thread_yield();
  return 0;
}

static i64 (*const calls[])(const u64 *) = {
#define SYSTEM_CALL(number, name, function) [number] = function,
#include "syscalls.def"
#undef SYSTEM_CALL
};

void system_call(struct trap_frame *f) {
  u64 number = f->g[1];
  bool known = number < sizeof calls / sizeof calls[0] && calls[number];
  f->o[0] = (u64)(known ? calls[number](f->o) : -1);
  trap_skip(f);
}

/* After a migration TICK and STICK may trap when a program reads them: RD ASR 4 or 24. It gets clock time. */
bool clock_emulate(struct trap_frame *f) {
  u32 word;
  if (user_copy_in(&word, f->tpc, sizeof word)) return false;
  u32 rd = word >> 25 & 31, source = word >> 14 & 31;
  if ((word & 0xc1f83fff) != 0x81400000 || (source != 4 && source != 24)) return false;
  u64 value = clock_ticks(), *window = (u64 *)((u8 *)f + TF_WINDOW);
  if (rd >= 16)
    window[rd - 16] = value;
  else if (rd >= 8)
    f->o[rd - 8] = value;
  else if (rd)
    f->g[rd] = value;
  trap_skip(f);
  return true;
}
