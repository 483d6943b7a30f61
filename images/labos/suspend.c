/* suspend.c - MACH_SUSPEND: the domain stands still, and wakes, perhaps on another machine.
 *
 * What the hypervisor keeps over it: registers, queues, TSB configuration, permanent mappings, interrupt sources. What
 * it does not: STICK may jump (the clock goes on from where it was), translations may be stale, channels are reset, the
 * machine description is new. User programs' reads of TICK and STICK trap from now on: they get the clock's time.
 */
#include "suspend.h"

#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "scheduler.h"

static struct suspend_hook *hooks;
static struct spinlock lock = SPINLOCK("suspend");
static volatile bool busy;
static u64 count;

static volatile enum suspend_manner manners;

u64 suspend_count(void) { return count; }
enum suspend_manner suspend_manner(void) { return manners; }
void suspend_manner_set(enum suspend_manner manner) { manners = manner; }

void suspend_hook_add(struct suspend_hook *hook) {
  lock_acquire(&lock);
  struct suspend_hook **end = &hooks;
  while (*end) end = &(*end)->next;
  hook->next = NULL;
  *end = hook;
  lock_release(&lock);
}

static bool queue_intact(u64 queue, u64 base, u64 entries) {
  struct hcall h = {{queue}};
  return hcall_fast(CPU_QINFO, &h) == EOK && h.arg[1] == base && h.arg[2] == entries;
}

/* On every cpu, with interrupts off. A hypervisor that kept the queues kept what is in them; one that did not gets them
 * anew. */
static void cpu_resume(struct cpu *cpu) {
  if (!queue_intact(0x3c, cpu->ra + CPU_MONDO_AT, CPU_MONDO_ENTRIES) ||
      !queue_intact(0x3d, cpu->ra + CPU_DEVICE_AT, CPU_DEVICE_ENTRIES))
    cpu_queues_configure(cpu);
  memset((u8 *)cpu + CPU_USER_TSB_AT, 0, TSB_ENTRIES * 16);
  hyper(MMU_DEMAP_ALL, 0, 0, 3, 0);
  hyper(CPU_TICK_NPT, 1, 0, 0, 0);
  hyper(CPU_STICK_NPT, 1, 0, 0, 0);
  timer_program();
}

static void nothing(struct cpu *cpu) { (void)cpu; }

/* With all others parked and no lock held. */
static u64 stand_still(void) {
  enum soft_state before = soft_state();
  interrupts_push();
  if (!cross_park_others()) {
    cross_release_others(nothing);
    interrupts_pop();
    return EBUSY;
  }
  soft_state_set(SOFT_SUSPENDED);
  clock_suspended();
  u64 status = hyper(MACH_SUSPEND, 0, 0, 0, 0);
  if (!status) {
    clock_resumed(stick_read());
    cpu_resume(cpu_this());
  }
  soft_state_set(before);
  cross_release_others(status ? nothing : cpu_resume);
  interrupts_pop();
  return status;
}

static bool begin(void) {
  lock_acquire(&lock);
  bool ours = !busy;
  busy = true;
  lock_release(&lock);
  return ours;
}

u64 system_suspend(void) {
  if (!begin()) return EBUSY;
  for (struct suspend_hook *h = hooks; h; h = h->next)
    if (h->before) h->before(h->arg);
  u64 status = stand_still();
  if (!status) {
    count++;
    u64 md = md_reload();
    if (md) panic("machine description after resume: status %lu", md);
  }
  for (struct suspend_hook *h = hooks; h; h = h->next)
    if (h->after) h->after(h->arg, status == EOK);
  busy = false;
  return status;
}
