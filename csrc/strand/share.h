/* share.h - what strands of one domain that run on host threads of their own owe each other.
 *
 *   rest    strand_run() has not begun or has ended: nothing of the strand runs, and others may change it (under the
 *           domain's lock, which is not ours to know).
 *   notice  the strand leaves its blocks within LOOK_INSNS instructions and looks around (attend(), run.c).
 *   writes  permission to store by the soft TLB, without a look at the page. Who needs pages without such writers (a
 *           page is about to hold decoded code) asks for all permissions back: a new epoch. A strand that is running
 *           gives them back at its next look, one at rest before it runs again. docs/internals/threads.md.
 */
#ifndef S4V_STRAND_SHARE_H
#define S4V_STRAND_SHARE_H
#include "strand/strand.h"

enum { LOOK_INSNS = 2048 }; /* between two looks at what other strands want */

static inline void strand_notice(struct strand *s) { __atomic_store_n(&s->attention, 1, __ATOMIC_RELEASE); }
static inline bool strand_noticed(const struct strand *s) {
  return __atomic_load_n(&s->attention, __ATOMIC_RELAXED) != 0;
}
static inline bool strand_rests(const struct strand *s) { return __atomic_load_n(&s->resting, __ATOMIC_SEQ_CST) != 0; }
void strand_notice_running(struct strand_env *);

u64 strand_ask_writes(struct strand_env *, const struct strand *self);
void strand_give_writes(struct strand *); /* by the strand itself, between instructions, or while it rests */
bool strand_writes_given(struct strand_env *, const struct strand *self, u64 epoch); /* by all others */

/* A limit to the pages that become dirty: each takes its share of time, and a strand that is ahead leaves its blocks
 * (`over`) and rests until time has caught up. Real time only. */
static inline bool strand_dirty_limited(const struct strand *s) {
  return __atomic_load_n(&s->env->dirty_cost_ns, __ATOMIC_RELAXED) != 0;
}
void strand_count_dirty(struct strand *);          /* a page is about to become dirty */
u64 strand_dirty_until(const struct strand_env *); /* host time until which nobody may run; 0: everybody may */

/* Mondo and error queues have one producer, under the domain's lock, and one consumer, the strand. */
static inline u64 queue_tail(const struct strand *s, u32 q) {
  return __atomic_load_n(&s->queue_tail[q], __ATOMIC_ACQUIRE);
}
static inline void queue_set_tail(struct strand *s, u32 q, u64 tail) {
  __atomic_store_n(&s->queue_tail[q], tail, __ATOMIC_RELEASE);
}
static inline u64 queue_head(const struct strand *s, u32 q) {
  return __atomic_load_n(&s->queue_head[q], __ATOMIC_ACQUIRE);
}
static inline void queue_set_head(struct strand *s, u32 q, u64 head) {
  __atomic_store_n(&s->queue_head[q], head, __ATOMIC_RELEASE);
}

#endif
