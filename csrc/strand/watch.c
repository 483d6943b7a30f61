/* watch.c - see watch.h. */
#include "strand/watch.h"

#include "strand/mmu.h"

static bool watch_covers(const struct watchpoint *w, u64 first, u64 last) {
  return first <= w->va + (w->bytes - 1) && last >= w->va;
}

u64 watch_tag_of(const struct strand_env *env, u64 va) {
  for (u32 i = 0; i < env->watch_count; i++)
    if (watch_covers(&env->watches[i], va & PAGE_MASK, va | ~PAGE_MASK)) return TAG_WATCHED;
  return 0;
}

static u32 kinds(u32 access) {
  switch (access) {
  case ACCESS_STORE: return WATCH_WRITE;
  case ACCESS_ATOMIC: return WATCH_WRITE | WATCH_READ;
  default: return WATCH_READ;
  }
}

/* A real address that is named as such is not what the debugger's address means, unless there are no others. */
bool watch_meets(struct strand *s, u64 key, u64 va, u32 bytes, u32 access) {
  if (key == key_real() && s->mmu_enabled) return false;
  for (u32 i = 0; i < s->env->watch_count; i++) {
    const struct watchpoint *w = &s->env->watches[i];
    if (!(w->kind & kinds(access)) || !watch_covers(w, va, va + bytes - 1)) continue;
    s->watch_va = va > w->va ? va : w->va;
    s->watch_kind = w->kind & kinds(access);
    if (s->watch_pass) return false;
    s->stop = STOP_WATCH;
    return true;
  }
  return false;
}

void watch_changed(struct strand *s) {
  for (u32 b = 0; b < TLB_BANKS; b++) {
    struct tlb_bank *bank = &s->banks[b];
    for (u32 i = 0; bank->key != TAG_NONE && i < TLB_ENTRIES; i++) {
      struct tlb_entry *e = &bank->d[i];
      if (e->rtag == TAG_NONE) continue;
      e->rtag = watch_tag(s->env, watch_untag(e->rtag));
      if (e->rtag & TAG_WATCHED) e->wtag = TAG_NONE;
    }
  }
}
