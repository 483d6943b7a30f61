/* errors.c - error reports of the hypervisor: what failed, and whether to go on.
 *
 * Resumable: said and survived. Nonresumable: survived where it happened to a program, which ends; otherwise the end of
 * the system. Source: FWARC 2009/655.
 */
#include "hyper.h"
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

enum { RESUMABLE_HEAD = 0x3e0, RESUMABLE_TAIL = 0x3e8, QUEUE_BYTES = CPU_ERROR_ENTRIES * 64 };
enum { DESC_UNCORRECTED = 1, DESC_PRECISE, DESC_DEFERRED, DESC_SHUTDOWN, DESC_DUMP, DESC_SP };

struct error_report {
  u64 handle, stick;
  u8 reserved[3], description;
  u32 attributes;
  u64 ra;
  u32 bytes;
  u16 cpu, grace_seconds;
  u8 asi, reserved1;
  u16 asr;
  u64 rest[2];
};
_Static_assert(sizeof(struct error_report) == 64, "one queue entry");

static const char *const what[] = {"CPU", "memory", "PIO", "integer registers", "FP registers", "shutdown", "ASR",
                                   "ASI", "privileged register"};
static bool shutdown_asked;

static void shut_down(void *arg) {
  thread_sleep_ns((u64)arg * NS_PER_SECOND);
  system_halt();
}

static void describe(const struct error_report *r, bool resumable) {
  const char *name = "unknown";
  for (u32 i = 0; i < sizeof what / sizeof what[0]; i++)
    if (r->attributes >> i & 1) {
      name = what[i];
      break;
    }
  printf("%s error on cpu %u: %s", resumable ? "Resumable" : "Nonresumable", r->cpu, name);
  if (r->attributes & 2) printf(", address 0x%lx, size 0x%x", r->ra, r->bytes);
  printf("\n");
}

static void resumable(const struct error_report *r) {
  cpu_this()->errors_resumable++;
  if (r->description != DESC_SHUTDOWN) {
    describe(r, true);
    return;
  }
  if (shutdown_asked) return;
  shutdown_asked = true;
  printf("shutdown requested by the platform in %u seconds\n", r->grace_seconds);
  thread_start("shutdown", shut_down, (void *)(u64)r->grace_seconds);
}

static void resumable_drain(void) {
  u64 head;
  while ((head = asi_load_queue(RESUMABLE_HEAD)) != asi_load_queue(RESUMABLE_TAIL)) {
    struct error_report *entry = (struct error_report *)(void *)((u8 *)cpu_this() + CPU_RESUMABLE_AT + head);
    struct error_report report = *entry;
    entry->handle = 0;
    asi_store_queue(RESUMABLE_HEAD, (head + 64) % QUEUE_BYTES);
    resumable(&report);
  }
}

/* Entry.S has taken the reports from the queue: the copies reach up to the queue's head. */
static void nonresumable_drain(struct trap_frame *frame) {
  struct cpu *cpu = cpu_this();
  u64 end = asi_load_queue(QUEUE_NONRESUMABLE_HEAD);
  for (; cpu->nonresumable_next != end; cpu->nonresumable_next = (cpu->nonresumable_next + 64) % QUEUE_BYTES)
    describe((struct error_report *)(void *)((u8 *)cpu + CPU_ERROR_COPY_AT + cpu->nonresumable_next), false);
  if (frame->tstate & TSTATE_PRIV) panic("nonresumable error in the kernel");
  process_kill(frame);
}

void error_queue_drain(bool is_resumable, struct trap_frame *frame) {
  if (is_resumable)
    resumable_drain();
  else
    nonresumable_drain(frame);
}
