/* strands.c - which strands the domain has, and how long they have been at work.
 *
 * A strand that was there once keeps its place in host memory until the machine goes: s4v_strand_busy() may be looking.
 */
#include <stdlib.h>

#include "jit/jit.h"
#include "machine/machine.h"
#include "strand/codecache.h"

enum { LEAST_CACHE_BYTES = 16 << 20 };

u32 machine_place(const s4v_machine *m, u32 id) {
  u32 at = 0;
  while (at < m->domain.strand_count && m->domain.strands[at]->id < id) at++;
  return at;
}

/* Strands that run beside each other have a cache each: lookups need no lock. */
static struct codecache **cache_of(s4v_machine *m, u32 id) { return &m->caches[m->crew.workers ? id : 0]; }

/* What a strand needs of the host. False: the host has no memory; what was made stays for the next time. */
static bool prepare(s4v_machine *m, u32 id) {
  struct domain *d = &m->domain;
  struct codecache **cache = cache_of(m, id);
  if (!m->known[id]) {
    struct strand *s = strand_new(&d->env, id);
    if (!s) return false;
    __atomic_store_n(&m->known[id], s, __ATOMIC_RELEASE); /* s4v_barrier() may be looking */
  }
  if (!*cache) {
    *cache = codecache_new(d->env.store, m->crew.workers ? m->known[id] : NULL);
    if (!*cache) return false;
    if (m->translator && !machine_use_translator(m, *cache)) codecache_use(*cache, NULL); /* this one interprets */
  }
  m->known[id]->code = *cache;
  return !m->crew.workers || crew_add(m, m->known[id]);
}

static void count_changed(s4v_machine *m, u32 turn_id) {
  struct domain *d = &m->domain;
  d->env.strand_count = d->strand_count;
  m->turn = machine_place(m, turn_id);
  if (m->turn >= d->strand_count) m->turn = 0;
  machine_new_turn(m);
  s4v_code_limit(m, m->code_limit);
}

static void insert(s4v_machine *m, u32 id) {
  struct domain *d = &m->domain;
  struct strand *s = m->known[id];
  u32 at = machine_place(m, id);
  __builtin_memmove(&d->strands[at + 1], &d->strands[at], (d->strand_count++ - at) * sizeof s);
  d->strands[at] = s;
  __atomic_store_n(&s->insns, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&s->busy_ns, 0, __ATOMIC_RELAXED);
  strand_reset(s);
  __atomic_store_n(&d->by_id[id], s, __ATOMIC_RELEASE);
}

static void take_out(s4v_machine *m, u32 id) {
  struct domain *d = &m->domain;
  u32 at = machine_place(m, id);
  __builtin_memmove(&d->strands[at], &d->strands[at + 1], (--d->strand_count - at) * sizeof d->strands[0]);
  __atomic_store_n(&d->by_id[id], NULL, __ATOMIC_RELEASE);
  ncs_drop_strand(d, id);
  strand_reset(m->known[id]);
  if (!m->crew.workers) return;
  crew_remove(m, m->known[id]);
  codecache_free(*cache_of(m, id));
  *cache_of(m, id) = m->known[id]->code = NULL;
}

static bool named_twice(const uint32_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ids[i] == ids[n]) return true;
  return false;
}

int s4v_strands_add(s4v_machine *m, const uint32_t *ids, size_t count) {
  struct domain *d = &m->domain;
  if (count > d->max_strands) return S4V_EINVAL;
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= d->max_strands || d->by_id[ids[i]] || named_twice(ids, i)) return S4V_EINVAL;
  for (size_t i = 0; i < count; i++)
    if (!prepare(m, ids[i])) return S4V_ENOMEM;
  u32 turn_id = d->strand_count ? d->strands[m->turn]->id : 0;
  for (size_t i = 0; i < count; i++) insert(m, ids[i]);
  if (d->strand_count) count_changed(m, turn_id);
  return S4V_OK;
}

int s4v_strands_remove(s4v_machine *m, const uint32_t *ids, size_t count) {
  struct domain *d = &m->domain;
  if (count > d->max_strands) return S4V_EINVAL;
  for (size_t i = 0; i < count; i++) {
    const struct strand *s = hyp_strand(d, ids[i]);
    if (!s) return S4V_ENOENT;
    if (named_twice(ids, i)) return S4V_EINVAL;
    if (s->run_state != STRAND_STOPPED) return S4V_EBUSY;
  }
  if (count >= d->strand_count) return S4V_EFULL;
  u32 turn_id = d->strands[m->turn]->id;
  for (size_t i = 0; i < count; i++) take_out(m, ids[i]);
  count_changed(m, turn_id);
  return S4V_OK;
}

bool machine_set_strands(s4v_machine *m, const uint32_t *ids, u32 count) {
  struct domain *d = &m->domain;
  for (u32 i = 0; i < count; i++)
    if (!d->by_id[ids[i]] && !prepare(m, ids[i])) return false;
  for (u32 id = 0, at = 0; id < d->max_strands; id++) {
    bool wanted = at < count && ids[at] == id;
    at += wanted;
    if (wanted && !d->by_id[id]) insert(m, id);
    if (!wanted && d->by_id[id]) take_out(m, id);
  }
  count_changed(m, 0);
  return true;
}

uint32_t s4v_strands(const s4v_machine *m, uint32_t *ids, uint32_t max) {
  for (u32 i = 0; i < m->domain.strand_count && i < max; i++) ids[i] = m->domain.strands[i]->id;
  return m->domain.strand_count;
}

uint64_t s4v_insns(const s4v_machine *m) { return m->insns; }

uint64_t s4v_strand_insns(const s4v_machine *m, uint32_t strand) {
  const struct strand *s = hyp_strand(&m->domain, strand);
  return s ? s->insns : 0;
}

int s4v_strand_fail(s4v_machine *m, uint32_t strand) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  s->run_state = STRAND_ERROR;
  s->waiting = 0;
  machine_new_turn(m);
  return S4V_OK;
}

int s4v_strand_hold(s4v_machine *m, uint32_t strand, int on) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  s->held = on != 0;
  machine_new_turn(m);
  return S4V_OK;
}

int s4v_strand_state(const s4v_machine *m, uint32_t strand) {
  const struct strand *s = hyp_strand(&m->domain, strand);
  return s ? (int)s->run_state : S4V_ENOENT;
}

int s4v_strand_print(const s4v_machine *m, uint32_t strand, char *buf, size_t len) {
  const struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  strand_print(s, buf, len);
  return S4V_OK;
}

/* ---- time at work: written by the strand's thread, read by any ---- */

u64 busy_begin(struct strand *s) {
  u64 now = machine_host_ns();
  __atomic_store_n(&s->busy_since, now, __ATOMIC_SEQ_CST);
  return now;
}

/* A reader between the two stores would see the last stretch not at all or twice: it sees an odd number, and looks again.
 * The time is taken after that: no reader has seen a later one. */
void busy_end(struct strand *s, u64 since) {
  __atomic_add_fetch(&s->busy_turn, 1, __ATOMIC_SEQ_CST);
  u64 total = s->busy_ns + (machine_host_ns() - since);
  __atomic_store_n(&s->busy_ns, total, __ATOMIC_SEQ_CST);
  __atomic_store_n(&s->busy_since, 0, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&s->busy_turn, 1, __ATOMIC_SEQ_CST);
}

static u64 busy_read(const struct strand *s) {
  for (;;) {
    u32 turn = __atomic_load_n(&s->busy_turn, __ATOMIC_SEQ_CST);
    u64 total = __atomic_load_n(&s->busy_ns, __ATOMIC_SEQ_CST), since = __atomic_load_n(&s->busy_since, __ATOMIC_SEQ_CST);
    u64 now = since ? machine_host_ns() : 0;
    if (!(turn & 1) && __atomic_load_n(&s->busy_turn, __ATOMIC_SEQ_CST) == turn)
      return now > since ? total + (now - since) : total;
  }
}

uint64_t s4v_strand_busy(const s4v_machine *m, uint32_t strand) {
  if (strand >= m->domain.max_strands) return 0;
  const struct strand *s = __atomic_load_n(&m->domain.by_id[strand], __ATOMIC_ACQUIRE);
  if (!s) return 0;
  if (!m->config.deterministic) return busy_read(s);
  return (u64)((u128)__atomic_load_n(&s->insns, __ATOMIC_RELAXED) * 1000000000u / m->config.tick_hz);
}

/* ---- decoded code: its limit is shared by the caches there are ---- */

void s4v_code_limit(s4v_machine *m, uint64_t bytes) {
  u32 caches = m->crew.workers ? m->domain.strand_count : 1;
  u64 share = bytes / caches, least = bytes < LEAST_CACHE_BYTES ? bytes : (u64)LEAST_CACHE_BYTES;
  m->code_limit = bytes;
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) codecache_set_limit(m->caches[i], share < least ? least : share);
}

uint64_t s4v_code_bytes(const s4v_machine *m) {
  u64 bytes = 0;
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) bytes += codecache_bytes(m->caches[i]);
  return bytes;
}

void machine_drop_code(s4v_machine *m) {
  for (u32 i = 0; i < m->cache_room; i++)
    if (m->caches[i]) codecache_flush(m->caches[i]);
}

bool strands_new(s4v_machine *m, u32 count) {
  struct domain *d = &m->domain;
  bool threads = !m->config.deterministic && d->max_strands > 1;
  m->cache_room = threads ? d->max_strands : 1;
  m->code_limit = CODE_BYTES;
  m->caches = calloc(m->cache_room, sizeof(struct codecache *));
  m->known = calloc(d->max_strands, sizeof(struct strand *));
  d->by_id = calloc(d->max_strands, sizeof(struct strand *));
  d->strands = d->env.strands = calloc(d->max_strands, sizeof(struct strand *));
  if (!m->caches || !m->known || !d->by_id || !d->strands || (threads && !crew_new(m))) return false;
  u32 *ids = calloc(count, sizeof *ids);
  for (u32 i = 0; ids && i < count; i++) ids[i] = i;
  bool good = ids && s4v_strands_add(m, ids, count) == S4V_OK;
  free(ids);
  return good;
}

void strands_free(s4v_machine *m) {
  struct domain *d = &m->domain;
  crew_free(m);
  for (u32 i = 0; m->caches && i < m->cache_room; i++) codecache_free(m->caches[i]);
  for (u32 i = 0; m->known && i < d->max_strands; i++)
    if (m->known[i]) strand_free(m->known[i]);
  free(m->caches);
  free(m->known);
  free(d->by_id);
  free(d->strands);
}
