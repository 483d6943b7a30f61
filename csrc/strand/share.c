/* share.c - see share.h. */
#include "strand/share.h"

#include <time.h>

#include "strand/mmu.h"

enum { BURST_NS = 10000000, NAP_NS = 20000000 };

void strand_notice_running(struct strand_env *env) {
  for (u32 i = 0; i < env->strand_count; i++)
    if (!strand_rests(env->strands[i])) strand_notice(env->strands[i]);
}

/* The epoch first, then who runs; a strand that begins to run says so first and then looks at the epoch. So each of the
 * others is seen running here, or sees the epoch there. */
u64 strand_ask_writes(struct strand_env *env, const struct strand *self) {
  u64 epoch = __atomic_add_fetch(&env->write_epoch, 1, __ATOMIC_SEQ_CST);
  for (u32 i = 0; i < env->strand_count; i++)
    if (env->strands[i] != self && !strand_rests(env->strands[i])) strand_notice(env->strands[i]);
  return epoch;
}

void strand_give_writes(struct strand *s) {
  u64 epoch = __atomic_load_n(&s->env->write_epoch, __ATOMIC_SEQ_CST);
  if (s->writes_given == epoch) return;
  mmu_drop_writes(s);
  __atomic_store_n(&s->writes_given, epoch, __ATOMIC_RELEASE); /* and with it all stores made by them */
}

bool strand_writes_given(struct strand_env *env, const struct strand *self, u64 epoch) {
  for (u32 i = 0; i < env->strand_count; i++) {
    const struct strand *s = env->strands[i];
    if (s == self || strand_rests(s)) continue;
    if (__atomic_load_n(&s->writes_given, __ATOMIC_ACQUIRE) < epoch) return false;
  }
  return true;
}

static u64 host_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* What was not used in time is lost but for a burst. */
void strand_count_dirty(struct strand *s) {
  struct strand_env *env = s->env;
  u64 cost = __atomic_load_n(&env->dirty_cost_ns, __ATOMIC_RELAXED), now = host_ns(), least = now - BURST_NS;
  u64 paid = __atomic_load_n(&env->dirty_paid_ns, __ATOMIC_RELAXED), next;
  do {
    next = (paid > least ? paid : least) + cost;
  } while (!__atomic_compare_exchange_n(&env->dirty_paid_ns, &paid, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  if (next <= now) return;
  s->over = 1;
  strand_notice(s);
}

/* Never far away: the limit may be lifted meanwhile. */
u64 strand_dirty_until(const struct strand_env *env) {
  if (!__atomic_load_n(&env->dirty_cost_ns, __ATOMIC_RELAXED)) return 0;
  u64 now = host_ns(), paid = __atomic_load_n(&env->dirty_paid_ns, __ATOMIC_RELAXED);
  if (paid <= now) return 0;
  return paid < now + NAP_NS ? paid : now + NAP_NS;
}
