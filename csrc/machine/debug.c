/* debug.c - a debugger's means: breakpoints, watchpoints, memory by virtual address. Stepping is in run.c. */
#include <string.h>

#include "machine/machine.h"
#include "strand/codecache.h"
#include "strand/mmu.h"

int s4v_breakpoint_add(s4v_machine *m, uint64_t va) {
  struct strand_env *env = &m->domain.env;
  if (va & 3) return S4V_EINVAL;
  if (env->breakpoint_count >= MAX_BREAKPOINTS) return S4V_ENOMEM;
  m->breakpoints[env->breakpoint_count++] = va;
  codestore_forget_va(env->store, va);
  return S4V_OK;
}

int s4v_breakpoint_remove(s4v_machine *m, uint64_t va) {
  struct strand_env *env = &m->domain.env;
  for (u32 i = 0; i < env->breakpoint_count; i++) {
    if (m->breakpoints[i] != va) continue;
    m->breakpoints[i] = m->breakpoints[--env->breakpoint_count];
    codestore_forget_va(env->store, va);
    return S4V_OK;
  }
  return S4V_ENOENT;
}

static void watches_changed(s4v_machine *m) {
  for (u32 id = 0; id < m->domain.max_strands; id++)
    if (m->known[id]) watch_changed(m->known[id]);
}

int s4v_watchpoint_add(s4v_machine *m, uint64_t va, uint64_t bytes, uint32_t kind) {
  struct strand_env *env = &m->domain.env;
  bool kind_good = kind >= 1 && kind <= (S4V_WATCH_WRITE | S4V_WATCH_READ);
  if (!kind_good || bytes == 0 || va + (bytes - 1) < va) return S4V_EINVAL;
  if (env->watch_count >= MAX_WATCHPOINTS) return S4V_ENOMEM;
  m->watches[env->watch_count++] = (struct watchpoint){va, bytes, kind};
  watches_changed(m);
  return S4V_OK;
}

int s4v_watchpoint_remove(s4v_machine *m, uint64_t va, uint64_t bytes, uint32_t kind) {
  struct strand_env *env = &m->domain.env;
  for (u32 i = 0; i < env->watch_count; i++) {
    const struct watchpoint *w = &m->watches[i];
    if (w->va != va || w->bytes != bytes || w->kind != kind) continue;
    m->watches[i] = m->watches[--env->watch_count];
    watches_changed(m);
    return S4V_OK;
  }
  return S4V_ENOENT;
}

void s4v_forget_translations(s4v_machine *m, uint64_t mask) {
  for (u32 i = 0; i < m->domain.strand_count; i++) mmu_forget_some(m->domain.strands[i], mask);
}

/* In the contexts of a key: by the strand's own translations, or those that another one has of them. */
static bool look_in(s4v_machine *m, struct strand *s, u64 key, u64 va, u64 *ra) {
  bool found = mmu_look(s, key, va, ra);
  for (u32 i = 0; !found && i < m->domain.strand_count; i++) found = mmu_look_like(m->domain.strands[i], key, va, ra);
  return found;
}

/* As its loads and stores would find it. Privileged code has more than the contexts of those without ASI: behind a trap
 * the primary ones, and the secondary ones, by which a kernel reaches the program that it works for. */
static bool look(s4v_machine *m, struct strand *s, u64 va, u64 *ra) {
  if (look_in(m, s, mmu_implicit_key(s), va, ra)) return true;
  if (!s->mmu_enabled || !strand_priv(s)) return false;
  return look_in(m, s, bank_key(BANK_PRIV, s->context[0], s->context[2]), va, ra) ||
         look_in(m, s, bank_key(BANK_PRIV, s->context[1], s->context[3]), va, ra);
}

int s4v_va_translate(s4v_machine *m, uint32_t strand, uint64_t va, uint64_t *ra) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  return look(m, s, va & strand_mask(s), ra) ? S4V_OK : S4V_EFAULT;
}

/* The place of an address for a strand: real memory, or false. */
static bool place(s4v_machine *m, struct strand *s, u64 va, u32 right, struct ram_ref *ref) {
  u64 ra;
  u32 rights;
  return look(m, s, va, &ra) && mmu_place(&m->domain.env, ra, ref, &rights) && (rights & right);
}

static u64 piece(const struct ram_ref *ref, u64 va, u64 left) {
  u64 n = PAGE_BYTES - (va & ~PAGE_MASK);
  if (n > ref->bytes) n = ref->bytes;
  return n < left ? n : left;
}

int64_t s4v_va_read(s4v_machine *m, uint32_t strand, uint64_t va, void *buf, size_t len) {
  struct strand *s = hyp_strand(&m->domain, strand);
  struct ram_ref ref;
  size_t done = 0;
  if (!s) return S4V_ENOENT;
  while (done < len && place(m, s, (va + done) & strand_mask(s), PLACE_READ, &ref)) {
    u64 n = piece(&ref, va + done, len - done);
    memcpy((u8 *)buf + done, ref.host, n);
    done += n;
  }
  return (int64_t)done;
}

int64_t s4v_va_write(s4v_machine *m, uint32_t strand, uint64_t va, const void *buf, size_t len) {
  struct strand *s = hyp_strand(&m->domain, strand);
  struct ram_ref ref;
  size_t done = 0;
  if (!s) return S4V_ENOENT;
  while (done < len && place(m, s, (va + done) & strand_mask(s), PLACE_WRITE, &ref)) {
    u64 n = piece(&ref, va + done, len - done);
    memcpy(ref.host, (const u8 *)buf + done, n);
    ram_mark(ref.page, ref.region);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(ref.code, __ATOMIC_RELAXED)) codestore_written(m->domain.env.store, ref.pa, n);
    done += n;
  }
  return (int64_t)done;
}
