/* cross.c - cpus that speak to each other: cpu mondos.
 *
 * A mondo carries a function, its argument, and where to count when it has run. Whoever waits for an answer serves
 * its own mondos meanwhile, as does whoever spins for a lock: so two cpus that call each other do not wait for ever.
 */
#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "scheduler.h"

enum { QUEUE_HEAD = 0x3c0, QUEUE_TAIL = 0x3c8, SENT = 0xffff };
#define PARK_PATIENCE_NS (5 * NS_PER_SECOND)

static struct spinlock park_lock = SPINLOCK("park"); /* one parks at a time */
static volatile u64 park_parked, park_gone;
static volatile u32 park_release;
static void (*park_on_release)(struct cpu *);
static bool can_poke; /* CORE 1.6 */

void cross_init(u64 core_minor) { can_poke = core_minor >= 6; }

static void count_add(volatile u64 *counter, u64 by) {
  u64 old = *counter, seen;
  for (;; old = seen) {
    seen = old + by;
    __asm__ volatile("casx [%1], %2, %0" : "+r"(seen) : "r"(counter), "r"(old) : "memory");
    if (seen == old) return;
  }
}

static u16 *list(void) { return (u16 *)((u8 *)cpu_this() + CPU_LIST_AT); }

/* A cpu may have gone since the list was made: it counts as served. */
static void skip_offline(u64 count, volatile u64 *done) {
  for (u64 i = 0; i < count; i++) {
    if (list()[i] == SENT || cpu_block(list()[i])->state != CPU_IS_OFFLINE) continue;
    list()[i] = SENT;
    if (done) count_add(done, 1);
  }
}

/* To the cpus in this cpu's list; those that got it are SENT there afterwards. Interrupts are off. */
static void send(u64 count, void (*function)(void *), void *arg, volatile u64 *done) {
  struct cpu *me = cpu_this();
  me->mondo_data[0] = (u64)function;
  me->mondo_data[1] = (u64)arg;
  me->mondo_data[2] = (u64)done;
  for (;;) {
    u64 status = hyper(CPU_MONDO_SEND, count, me->ra + CPU_LIST_AT, ra_of(me->mondo_data), 0);
    if (status != EWOULDBLOCK) break;
    skip_offline(count, done);
    cross_poll(); /* a full queue: its owner may be sending to us */
  }
}

/* The other online cpus, of a set or (NULL) all, into the list. */
static u64 list_others(const struct cpu_set *set) {
  u64 n = 0;
  for (u32 id = 0; id < cpu_limit(); id++) {
    struct cpu *cpu = cpu_block(id);
    if (!cpu || cpu == cpu_this() || (set && !cpu_set_has(set, id))) continue;
    if (cpu->state == CPU_IS_ONLINE || cpu->state == CPU_IS_LEAVING) list()[n++] = (u16)id;
  }
  return n;
}

static void wake_here(void *arg) {
  (void)arg;
  cpu_this()->reschedule = true;
}

void cross_wake(u32 id) {
  interrupts_push();
  list()[0] = (u16)id;
  send(1, wake_here, NULL, NULL);
  interrupts_pop();
}

static void call_list(u64 count, void (*function)(void *), void *arg) {
  volatile u64 done = 0;
  send(count, function, arg, &done);
  while (done < count) cross_poll();
}

void cross_call(u32 id, void (*function)(void *), void *arg) {
  interrupts_push();
  if (id == cpu_this()->id) {
    function(arg);
  } else {
    list()[0] = (u16)id;
    call_list(1, function, arg);
  }
  interrupts_pop();
}

void cross_call_set(const struct cpu_set *set, void (*function)(void *), void *arg) {
  interrupts_push();
  u64 count = list_others(set);
  if (count) call_list(count, function, arg);
  interrupts_pop();
}

void cross_call_others(void (*function)(void *), void *arg) { cross_call_set(NULL, function, arg); }

void cpu_call_others(void (*function)(void *arg), void *arg) { cross_call_others(function, arg); }

void cross_poll(void) {
  struct cpu *cpu = cpu_this();
  u64 head = asi_load_queue(QUEUE_HEAD);
  while (head != asi_load_queue(QUEUE_TAIL)) {
    const u64 *mondo = (const u64 *)((u8 *)cpu + CPU_MONDO_AT + head);
    void (*function)(void *) = (void (*)(void *))mondo[0];
    void *arg = (void *)mondo[1];
    volatile u64 *done = (volatile u64 *)mondo[2];
    head = (head + 64) % (CPU_MONDO_ENTRIES * 64);
    asi_store_queue(QUEUE_HEAD, head);
    cpu->cross_calls++;
    function(arg);
    __asm__ volatile("membar #StoreStore | #LoadStore" : : : "memory");
    if (done) count_add(done, 1);
    head = asi_load_queue(QUEUE_HEAD);
  }
}

static void park_here(void *arg) {
  u32 round = (u32)(u64)arg;
  timer_mask();
  count_add(&park_parked, 1);
  while (park_release != round)
    if (can_poke) hyper(CPU_YIELD, 0, 0, 0, 0);
  if (park_on_release) park_on_release(cpu_this());
  timer_program();
  count_add(&park_gone, 1);
}

/* Interrupts of this cpu are off until cross_release_others(). */
bool cross_park_others(void) {
  lock_acquire(&park_lock);
  u64 count = list_others(NULL), until = clock_ns() + PARK_PATIENCE_NS;
  park_parked = park_gone = 0;
  if (count) send(count, park_here, (void *)(u64)(park_release + 1), NULL);
  while (park_parked < count && clock_ns() < until) cross_poll();
  return park_parked == count;
}

void cross_release_others(void (*on_release)(struct cpu *)) {
  u64 count = park_parked;
  park_on_release = on_release;
  park_release++;
  for (u32 id = 0; can_poke && id < cpu_limit(); id++)
    if (id != cpu_this()->id && cpu_is_online(id)) hyper(CPU_POKE, id, 0, 0, 0);
  while (park_gone < count) continue;
  lock_release(&park_lock);
}
