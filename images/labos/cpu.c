/* cpu.c - cpus: their blocks, starting them, and letting them go. */
#include "cpu.h"

#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "process.h"
#include "scheduler.h"

enum { QUEUE_CPU = 0x3c, QUEUE_DEVICE, QUEUE_RESUMABLE, QUEUE_NONRESUMABLE };
#define START_PATIENCE_NS (10 * NS_PER_SECOND)

extern char cpu_entry[];
union cpu_block boot_block ALIGNED(CPU_BLOCK_BYTES);
static struct cpu *blocks[CPUS_MAX];
static u32 limit; /* highest id that ever was, and 1 */
static volatile u32 online;
static struct spinlock lock = SPINLOCK("cpus"); /* one comes or goes at a time */

struct cpu *cpu_block(u32 id) { return id < CPUS_MAX ? blocks[id] : NULL; }
u32 cpu_limit(void) { return limit; }
u32 cpu_online_count(void) { return online; }
bool cpu_is_online(u32 id) { return cpu_block(id) && cpu_block(id)->state == CPU_IS_ONLINE; }

bool cpu_exists(u32 id) {
  u64 value;
  for (md_node n = md_find("cpu", MD_NONE); n != MD_NONE; n = md_find("cpu", n))
    if (md_value(n, "id", &value) && value == id) return true;
  return false;
}

/* Tags of the kernel's TSB have context 0; a user's entry matches the context that is current. */
static struct tsb_descriptor tsb_describe(u64 base, u16 page_size, u32 context) {
  return (struct tsb_descriptor){page_size, 1, TSB_ENTRIES, context, 1u << page_size, base, 0};
}

void cpu_block_init(struct cpu *cpu, u64 ra, u64 image_ra, u64 id) {
  cpu->ra = ra;
  cpu->id = id;
  cpu->image_ra = image_ra;
  cpu->va = cpu;
  cpu->tsb_kernel = tsb_describe(ra + CPU_KERNEL_TSB_AT, TTE_4M, 0);
  cpu->tsb_user = tsb_describe(ra + CPU_USER_TSB_AT, TTE_8K, ~0u);
  blocks[id] = cpu;
  if (id >= limit) limit = (u32)id + 1;
}

static void must(const char *what, u64 status) {
  if (status) panic("%s: status %lu", what, status);
}

/* Translations and queues of the cpu that runs. */
void cpu_queues_configure(struct cpu *cpu) {
  must("MMU_TSB_CTX0", hyper(MMU_TSB_CTX0, 1, cpu->ra + CPU_TSB_KERNEL, 0, 0));
  must("MMU_TSB_CTXNON0", hyper(MMU_TSB_CTXNON0, 1, cpu->ra + CPU_TSB_USER, 0, 0));
  must("CPU_QCONF", hyper(CPU_QCONF, QUEUE_CPU, cpu->ra + CPU_MONDO_AT, CPU_MONDO_ENTRIES, 0));
  must("CPU_QCONF", hyper(CPU_QCONF, QUEUE_DEVICE, cpu->ra + CPU_DEVICE_AT, CPU_DEVICE_ENTRIES, 0));
  must("CPU_QCONF", hyper(CPU_QCONF, QUEUE_RESUMABLE, cpu->ra + CPU_RESUMABLE_AT, CPU_ERROR_ENTRIES, 0));
  must("CPU_QCONF", hyper(CPU_QCONF, QUEUE_NONRESUMABLE, cpu->ra + CPU_NONRESUMABLE_AT, CPU_ERROR_ENTRIES, 0));
  WRASR(asr25, 1ul << 63);
  WRASR(asr23, 1ul << 63);
  WRASR(asr21, ~0ul);
  WRPR(pil, 0);
}

/* From start.S, on the stack of the idle thread it becomes. */
void cpu_main(struct cpu *cpu) {
  cpu_register = cpu;
  thread_become_idle(cpu, (u8 *)cpu + CPU_STACK_AT);
  cpu_queues_configure(cpu);
  interrupts_push();
  online++; /* under the starter's lock, who waits for the state */
  cpu->state = CPU_IS_ONLINE;
  interrupts_pop();
  scheduler_idle();
}

/* With the lock held. */
static enum cpu_result start(u32 id) {
  struct cpu *cpu = cpu_block(id);
  if (!cpu) {
    cpu = pages_alloc(CPU_BLOCK_ORDER);
    if (!cpu) return CPU_FAILED;
    cpu_block_init(cpu, ra_of(cpu), boot_block.cpu.image_ra, id);
  } else {
    u64 *tsb = (u64 *)((u8 *)cpu + CPU_USER_TSB_AT);
    memset(tsb, 0, TSB_ENTRIES * 16); /* what it knew when it left is old */
    cpu->idle = 0;
    cpu->slice_end_ns = 0;
    cpu->nonresumable_next = 0;
  }
  cpu->state = CPU_IS_STARTING;
  u64 entry = (u64)cpu_entry - KERNEL_BASE + boot_block.cpu.image_ra;
  if (hyper(CPU_START, id, entry, boot_block.cpu.image_ra, cpu->ra)) {
    cpu->state = CPU_IS_OFFLINE;
    return CPU_FAILED;
  }
  u64 until = clock_ns() + START_PATIENCE_NS;
  while (cpu->state != CPU_IS_ONLINE && clock_ns() < until) cross_poll();
  return cpu->state == CPU_IS_ONLINE ? CPU_OK : CPU_NOT_RESPONDING;
}

enum cpu_result cpu_online(u32 id) {
  if (!cpu_exists(id) || id >= CPUS_MAX) return CPU_ABSENT;
  lock_acquire(&lock);
  enum cpu_result result = cpu_is_online(id) ? CPU_OK : start(id);
  lock_release(&lock);
  return result;
}

/* All that the description has, at boot. */
void cpus_start(void) {
  u64 id;
  online = 1;
  lock_acquire(&lock);
  for (md_node n = md_find("cpu", MD_NONE); n != MD_NONE; n = md_find("cpu", n))
    if (md_value(n, "id", &id) && id < CPUS_MAX && !cpu_is_online((u32)id) && start((u32)id) != CPU_OK)
      printf("cpu%lu: not started\n", id);
  lock_release(&lock);
}

/* The idle thread of a cpu that leaves: it takes no more threads, but answers until it is stopped. */
void cpu_depart(struct cpu *cpu) {
  WRPR(pstate, PSTATE_PRIV | PSTATE_PEF);
  WRASR(asr25, 1ul << 63);
  cpu->state = CPU_IS_STOPPED;
  for (;;) {
    cross_poll();
    device_mondo_drain();
    hyper(CPU_YIELD, 0, 0, 0, 0);
  }
}

static u32 another(u32 not_this) {
  for (u32 id = 0; id < limit; id++)
    if (id != not_this && cpu_is_online(id)) return id;
  return not_this;
}

static void leave_here(void *arg) {
  (void)arg;
  struct cpu *cpu = cpu_this();
  cpu->state = CPU_IS_LEAVING;
  cpu->reschedule = true;
}

static enum cpu_result stop(u32 id) {
  struct cpu *cpu = cpu_block(id);
  interrupts_retarget(id, another(id));
  cross_call(id, leave_here, NULL);
  online--;
  while (cpu_this() == cpu) thread_yield();
  timers_move(cpu);
  u64 until = clock_ns() + START_PATIENCE_NS;
  while (cpu->state != CPU_IS_STOPPED && clock_ns() < until) thread_sleep_ns(NS_PER_MS);
  if (cpu->state != CPU_IS_STOPPED) return CPU_NOT_RESPONDING;
  timers_move(cpu);
  u64 status = hyper(CPU_STOP, id, 0, 0, 0);
  cpu->state = CPU_IS_OFFLINE;
  return status ? CPU_FAILED : CPU_OK;
}

u32 cpu_bound_count(u32 id) { return cpu_block(id) ? threads_bound(cpu_block(id)) : 0; }

/* The caller may run on the very cpu; it is moved like every other thread. */
enum cpu_result cpu_offline(u32 id, bool force) {
  static volatile bool busy;
  if (!cpu_block(id)) return CPU_ABSENT;
  lock_acquire(&lock);
  enum cpu_result result = busy ? CPU_BLOCKED : CPU_OK;
  bool go = !busy && cpu_is_online(id);
  if (go && online == 1) result = CPU_LAST;
  else if (go && !force && cpu_bound_count(id)) result = CPU_BOUND;
  go = go && result == CPU_OK;
  busy |= go;
  lock_release(&lock);
  if (go) {
    threads_unbind(cpu_block(id));
    result = stop(id);
    busy = false;
  }
  return result;
}

const char *cpu_result_text(enum cpu_result result) {
  static const char *const texts[] = {
      [CPU_OK] = "", [CPU_FAILED] = "operation failed", [CPU_BLOCKED] = "another CPU is being unconfigured",
      [CPU_NOT_RESPONDING] = "CPU does not respond", [CPU_ABSENT] = "CPU is not in the machine description",
      [CPU_BOUND] = "processes are bound to the CPU", [CPU_LAST] = "the last CPU cannot be unconfigured"};
  return texts[result];
}
