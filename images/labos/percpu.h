/* percpu.h - what each cpu has for itself: one block of 64 KiB, aligned to its size.
 *
 *   0x0000  fault status area, struct cpu     0x8000  device mondo queue
 *   0x1000  nonresumable error reports
 *   0x2000  TSB of the kernel                 0xa000  list of cpu numbers for CPU_MONDO_SEND
 *   0x4000  TSB of user programs              0xc000  stack of its idle thread
 *   0x6000  cpu mondo queue, error queues
 *
 * %g6 of kernel code is the running cpu's block, %g7 the running thread. Only with interrupts off does cpu_this() stay
 * true for longer than a load.
 */
#ifndef LABOS_PERCPU_H
#define LABOS_PERCPU_H
#include "layout.h"
#include "types.h"

struct timer;
struct trap_frame;

struct tsb_descriptor {
  u16 page_size_index, associativity;
  u32 entries, context_index, page_size_mask;
  u64 base, reserved;
};

struct fault_area {
  u64 ift, ifa, ifc, reserved0[5];
  u64 dft, dfa, dfc, reserved1[5];
};

enum cpu_state { CPU_IS_OFFLINE, CPU_IS_STARTING, CPU_IS_ONLINE, CPU_IS_LEAVING, CPU_IS_STOPPED };

struct cpu {
  struct fault_area fault;
  u64 ra, id, image_ra;
  struct cpu *va;
  struct thread *thread; /* running */
  u64 table_ra;          /* root of the running process's page table, or 0 */
  u64 padding[2];
  struct tsb_descriptor tsb_kernel, tsb_user;

  volatile u32 state;     /* enum cpu_state */
  volatile u32 idle;      /* in CPU_YIELD, or about to be */
  u32 interrupts_depth;   /* interrupts_push() calls */
  bool interrupts_were_on;
  bool reschedule;        /* somebody better could run */
  struct thread *idle_thread;
  struct trap_frame *frame; /* of the trap being served, for the debugger; NULL: none */
  struct thread *departing; /* a thread that ended here: its stack is freed by the next */
  struct timer *timers;   /* by deadline */
  u64 slice_end_ns;       /* when the running thread's turn is over; 0: it is the idle thread */
  u64 mondo_data[8] __attribute__((aligned(64)));
  u64 interrupts, timer_interrupts, cross_calls; /* counts, for the person */
  u64 errors_resumable;
  u64 nonresumable_next;  /* first report in the copies that nobody has read */
};
_Static_assert(offsetof(struct cpu, ra) == CPU_RA, "layout.h");
_Static_assert(offsetof(struct cpu, id) == CPU_ID, "layout.h");
_Static_assert(offsetof(struct cpu, image_ra) == CPU_IMAGE_RA, "layout.h");
_Static_assert(offsetof(struct cpu, va) == CPU_VA, "layout.h");
_Static_assert(offsetof(struct cpu, thread) == CPU_THREAD, "layout.h");
_Static_assert(offsetof(struct cpu, table_ra) == CPU_TABLE_RA, "layout.h");
_Static_assert(offsetof(struct cpu, tsb_kernel) == CPU_TSB_KERNEL, "layout.h");
_Static_assert(offsetof(struct cpu, tsb_user) == CPU_TSB_USER, "layout.h");
_Static_assert(offsetof(struct fault_area, dfa) == CPU_FAULT_DFA, "layout.h");
_Static_assert(sizeof(struct cpu) <= CPU_ERROR_COPY_AT, "layout.h");

register struct cpu *cpu_register __asm__("g6");
register struct thread *thread_register __asm__("g7");
/* Volatile, so that it is not read before interrupts are off where the text says after. */
static inline struct cpu *cpu_this(void) {
  struct cpu *cpu;
  __asm__ volatile("mov %%g6, %0" : "=r"(cpu));
  return cpu;
}
static inline struct thread *thread_this(void) { return thread_register; }

enum { CPUS_MAX = 4096 };
struct cpu *cpu_block(u32 id); /* NULL: never started */
u32 cpu_limit(void);           /* all ids are below */

union cpu_block {
  struct cpu cpu;
  u8 bytes[CPU_BLOCK_BYTES];
};
extern union cpu_block boot_block; /* in the image */
extern char trap_table[];

void cpu_block_init(struct cpu *cpu, u64 ra, u64 image_ra, u64 id);
void cpu_queues_configure(struct cpu *cpu);
void cpu_queues_drop(void);
void cpu_main(struct cpu *cpu) __attribute__((noreturn));
void cpus_start(void);

/* cross.c: mondos between cpus. */
void cross_init(u64 core_minor);
void cross_wake(u32 id); /* make it look at its run queue */
/* On one cpu, on all others: call and wait. The function runs with interrupts off, in a trap or in a spinning lock,
 * and may take no lock. */
void cross_call(u32 id, void (*function)(void *), void *arg);
void cross_call_others(void (*function)(void *), void *arg);
/* The same on those others that are in a set. */
enum { CPU_SET_WORDS = CPUS_MAX / 64 };
struct cpu_set {
  u64 words[CPU_SET_WORDS];
};
static inline bool cpu_set_has(const struct cpu_set *set, u64 id) {
  return id < CPUS_MAX && set->words[id / 64] >> id % 64 & 1;
}
static inline void cpu_set_put(struct cpu_set *set, u64 id) { set->words[id / 64] |= 1ul << id % 64; }
void cross_call_set(const struct cpu_set *set, void (*function)(void *), void *arg);
void cross_poll(void); /* serve what has come, with interrupts off */
/* Bring all others to a halt in a loop, with their interrupts off, and let them go again; each runs `on_release`
 * first. No lock may be taken in between. false: some did not come in time (they may be stuck). */
bool cross_park_others(void);
void cross_release_others(void (*on_release)(struct cpu *));
#endif
