/* share.c - see share.h. */
#include "strand/share.h"

#include "strand/mmu.h"

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
