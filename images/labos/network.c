/* network.c - the stack's owner: lock, clock and timer. */
#include "network.h"

enum { MOST_TICKS = 64 };

static struct net *net;
static struct spinlock lock = SPINLOCK("network");
static struct timer timer;

static u64 clock_us(void *context) {
  (void)context;
  return clock_ns() / 1000;
}

static void timer_fired(void *arg) {
  (void)arg;
  network_lock();
  network_unlock();
}

bool network_start(void) {
  struct net *fresh = kmalloc(sizeof *fresh);
  if (!fresh) return false;
  net_init(fresh, clock_us, NULL, clock_wall_ns() ^ memory_free());
  timer.function = timer_fired;
  net = fresh;
  return true;
}

struct net *network_lock(void) {
  lock_acquire(&lock);
  return net;
}

struct net *network_lock_held(void) { return net; }

/* What is left after so many ticks - two ends in this machine may talk for ever - goes on in the timer. */
static bool run_due(void) {
  bool ran = false;
  for (u32 i = 0; i < MOST_TICKS && net_deadline(net) <= net_now(net); i++, ran = true) net_tick(net);
  u64 deadline = net_deadline(net);
  if (deadline == ~0ul) return ran;
  u64 soon = clock_ns() + 1000;
  timer_start(&timer, deadline > ~0ul / 1000 || deadline * 1000 < soon ? soon : deadline * 1000);
  return ran;
}

void network_unlock(void) {
  if (net) {
    run_due();
    thread_wakeup(&net);
  }
  lock_release(&lock);
}

bool network_wait(u64 deadline_ns) {
  if (run_due()) { /* that was it, perhaps */
    thread_wakeup(&net);
    return true;
  }
  return thread_sleep_until(&net, &lock, deadline_ns);
}
