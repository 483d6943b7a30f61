/* api.c - the public interface: machine life, memory, console, breakpoints, trace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/disasm.h"
#include "jit/jit.h"
#include "machine/machine.h"
#include "strand/codecache.h"
#include "strand/interp.h"
#include "strand/share.h"

enum { MAX_STRANDS = 4096 };

enum { LEAST_CACHE_BYTES = 16 << 20, CACHE_BYTES = 256 << 20 };

static void code_listener(void *machine, pa_t pa, u64 bytes) {
  struct domain *d = machine;
  codestore_written(d->env.store, pa, bytes);
}

static const char *config_error(const s4v_config *c) {
  if (c->strands == 0 || c->strands > MAX_STRANDS) return "strands must be 1..4096";
  if (c->memory_bytes == 0 || c->memory_bytes % PAGE_BYTES) return "memory must be a multiple of 8 KiB";
  if (c->memory_bytes > (u64)1 << 46) return "memory must not exceed 64 TiB";
  if (c->va_bits < 44 || c->va_bits > 64) return "va_bits must be 44..64";
  if (c->stick_hz == 0 || c->tick_hz == 0) return "stick_hz and tick_hz must not be 0";
  if (c->quantum == 0) return "quantum must not be 0";
  if (c->channels > LDC_ENDPOINTS) return "channels must be 0..4080";
  if (c->rng_control > 1 || c->rng_layout < 1 || c->rng_layout > 2) return "rng_control must be 0 or 1, rng_layout 1 or 2";
  if (!(c->page_sizes & 1) || c->page_sizes > 0xff) return "page_sizes must have bit 0 (8 KiB) and none above 7";
  return NULL;
}

/* Strands that run beside each other have a cache each: lookups need no lock. */
static bool make_caches(s4v_machine *m, bool each) {
  struct domain *d = &m->domain;
  u32 n = each ? d->strand_count : 1;
  m->caches = calloc(n, sizeof(struct codecache *));
  if (!m->caches) return false;
  for (; m->cache_count < n; m->cache_count++)
    if (!(m->caches[m->cache_count] = codecache_new(d->env.store, each ? d->strands[m->cache_count] : NULL)))
      return false;
  for (u32 i = 0; i < d->strand_count; i++) d->strands[i]->code = m->caches[each ? i : 0];
  s4v_code_limit(m, CACHE_BYTES);
  return true;
}

/* The map-in region lies beyond memory: from 2^38 on, or the power of two from twice the memory on. Its places are as
 * large as the largest page. */
static void place_mapins(struct strand_env *env, const s4v_config *c) {
  env->mapped_first = (u64)1 << 38;
  while (env->mapped_first < 2 * c->memory_bytes) env->mapped_first <<= 1;
  env->mapped_stride = 1ull << (PAGE_BITS + 3 * (31 - __builtin_clz(c->page_sizes)));
}

static bool make_parts(s4v_machine *m) {
  struct domain *d = &m->domain;
  const s4v_config *c = &m->config;
  d->env = (struct strand_env){
      .features = c->features, .cfr = c->cfr, .cfr_present = c->cfr_present, .va_bits = c->va_bits,
      .page_sizes = c->page_sizes, .max_tsbs = c->max_tsbs, .stick_hz = c->stick_hz, .tick_hz = c->tick_hz,
      .hypercall = hyp_call, .queue_moved = intr_queue_moved, .tick_now = machine_tick,
      .insns_until = machine_insns_until, .mapped = mapin_place, .poisoned = poison_look,
      .memory_error = poison_report, .trace = NULL, .breakpoints = m->breakpoints, .firmware_maps = &d->firmware, .machine = d,
  };
  place_mapins(&d->env, c);
  d->channels.count = c->channels;
  d->rng.control_access = c->rng_control;
  d->rng.second_layout = c->rng_layout == 2;
  m->physmem = physmem_new();
  if (!m->physmem || physmem_add_block(m->physmem, PA(0), c->memory_bytes, "ram")) return false;
  d->env.ram = ram_new(m->physmem);
  d->env.store = codestore_new(&d->env);
  d->strands = calloc(c->strands, sizeof(struct strand *));
  if (!d->env.ram || !d->env.store || !d->strands || ram_add_segment(d->env.ram, RA(0), c->memory_bytes, PA(0)))
    return false;
  physmem_set_code_listener(m->physmem, code_listener, d);
  for (; d->strand_count < c->strands; d->strand_count++)
    if (!(d->strands[d->strand_count] = strand_new(&d->env, d->strand_count))) return false;
  d->env.strands = d->strands;
  d->env.strand_count = d->strand_count;
  bool threads = !c->deterministic && c->strands > 1;
  return make_caches(m, threads) && (!threads || crew_new(m));
}

s4v_machine *s4v_machine_new(const s4v_config *config, char *err, size_t err_bytes) {
  const char *why = config_error(config);
  s4v_machine *m = why ? NULL : calloc(1, sizeof *m);
  if (m) {
    m->config = *config;
    pthread_mutex_init(&m->domain.beside.lock, NULL);
    if (!make_parts(m)) {
      s4v_machine_free(m);
      m = NULL;
    }
  }
  if (!m) {
    snprintf(err, err_bytes, "%s", why ? why : "the host has not enough memory for this machine");
    return NULL;
  }
  hyp_init(&m->domain, config->rng_seed);
  m->domain.tod_offset = config->tod_seconds;
  m->domain.elapsed_seconds = machine_elapsed_seconds;
  m->host_start_ns = machine_host_ns();
  machine_new_turn(m);
  return m;
}

void s4v_machine_free(s4v_machine *m) {
  if (!m) return;
  crew_free(m);
  for (u32 i = 0; i < m->cache_count; i++) codecache_free(m->caches[i]);
  free(m->caches);
  codestore_free(m->domain.env.store);
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_free(m->domain.strands[i]);
  free(m->domain.strands);
  blob_set(&m->domain.md, NULL, 0);
  blob_set(&m->domain.client, NULL, 0);
  ldc_free(&m->domain.channels);
  ram_free(m->domain.env.ram);
  physmem_free(m->physmem);
  pthread_mutex_destroy(&m->domain.beside.lock);
  free(m);
}

void s4v_machine_config(const s4v_machine *m, s4v_config *out) { *out = m->config; }

uint64_t s4v_insns(const s4v_machine *m) { return m->insns; }

uint64_t s4v_strand_insns(const s4v_machine *m, uint32_t strand) {
  return strand < m->domain.strand_count ? m->domain.strands[strand]->insns : 0;
}

static int set_bytes(struct blob *b, const void *buf, size_t len) {
  if (len > BLOB_MAX_BYTES) return S4V_EINVAL;
  return blob_set(b, buf, len) ? S4V_OK : S4V_ENOMEM;
}

static size_t get_bytes_of(const struct blob *b, void *buf, size_t len) {
  if (b->n && b->n <= len) memcpy(buf, b->bytes, b->n);
  return b->n;
}

int s4v_machine_set_md(s4v_machine *m, const void *buf, size_t len) {
  return set_bytes(&m->domain.md, buf, len);
}

size_t s4v_machine_get_md(const s4v_machine *m, void *buf, size_t len) { return get_bytes_of(&m->domain.md, buf, len); }

int s4v_machine_set_client(s4v_machine *m, const void *buf, size_t len) {
  return set_bytes(&m->domain.client, buf, len);
}

size_t s4v_machine_get_client(const s4v_machine *m, void *buf, size_t len) {
  return get_bytes_of(&m->domain.client, buf, len);
}

/* Memory is reached by real address only: RTBA and PC of a first strand. */
int s4v_strand_start(s4v_machine *m, uint32_t strand, uint64_t pc, uint64_t rtba, uint64_t arg) {
  if (strand >= m->domain.strand_count) return S4V_ENOENT;
  if ((pc & 3) || (rtba & 0xff)) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(pc), 4)) return S4V_EFAULT;
  strand_start(m->domain.strands[strand], pc, rtba, arg);
  m->turn = strand;
  machine_new_turn(m);
  return S4V_OK;
}

int s4v_strand_state(const s4v_machine *m, uint32_t strand) {
  return strand < m->domain.strand_count ? (int)m->domain.strands[strand]->run_state : S4V_ENOENT;
}

int s4v_mem_read(const s4v_machine *m, uint64_t ra, void *buf, size_t len) {
  return ram_read(m->domain.env.ram, RA(ra), buf, len) ? S4V_OK : S4V_EFAULT;
}

int s4v_mem_write(s4v_machine *m, uint64_t ra, const void *buf, size_t len) {
  return ram_write(m->domain.env.ram, RA(ra), buf, len) ? S4V_OK : S4V_EFAULT;
}

const void *s4v_mem_ptr(const s4v_machine *m, uint64_t ra, size_t len) {
  struct ram_ref ref;
  if (!ram_lookup(m->domain.env.ram, RA(ra), &ref) || ref.bytes < len) return NULL;
  return ref.host;
}

struct harvest {
  s4v_machine *machine;
  u64 *pages;
  size_t count, max;
};

static void harvest_pages(void *ctx, pa_t first, u64 pages) {
  struct harvest *h = ctx;
  for (u64 i = 0; i < pages; i++, h->count++)
    if (h->count < h->max) h->pages[h->count] = (first.v >> PAGE_BITS) + i;
}

/* The strands rest: each gives its write permissions back before it runs again, and that is the whole handshake. */
static void harvest_rest(void *ctx) {
  struct harvest *h = ctx;
  strand_ask_writes(&h->machine->domain.env, NULL);
}

int64_t s4v_dirty_harvest(s4v_machine *m, uint64_t *pages, size_t max) {
  struct harvest h = {.machine = m, .pages = pages, .max = max};
  if (physmem_dirty_count(m->physmem, PA(0), m->config.memory_bytes) > max) return S4V_EINVAL;
  i64 n = physmem_harvest(m->physmem, PA(0), m->config.memory_bytes, harvest_rest, harvest_pages, &h);
  return n < 0 ? S4V_EINVAL : (int64_t)h.count;
}

int64_t s4v_dirty_count(const s4v_machine *m) {
  return (int64_t)physmem_dirty_count(m->physmem, PA(0), m->config.memory_bytes);
}

size_t s4v_console_read(s4v_machine *m, void *buf, size_t len) {
  return console_get(&m->domain.output, buf, len > CONSOLE_BYTES ? CONSOLE_BYTES : (u32)len);
}

/* A strand that waits for a console without interrupts wakes: CPU_YIELD may return at any time. */
static void wake_all(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++) m->domain.strands[i]->waiting = 0;
}

size_t s4v_console_write(s4v_machine *m, const void *buf, size_t len) {
  return console_put(&m->domain.output, buf, len > CONSOLE_BYTES ? CONSOLE_BYTES : (u32)len);
}

size_t s4v_console_take(s4v_machine *m, void *buf, size_t len) {
  u32 n = console_get(&m->domain.input, buf, len > CONSOLE_BYTES ? CONSOLE_BYTES : (u32)len);
  intr_update(&m->domain, SYSINO_CONSOLE);
  return n;
}

int s4v_console_take_break(s4v_machine *m) {
  int there = (m->domain.console_event & CONSOLE_BREAK) != 0;
  m->domain.console_event &= ~(u32)CONSOLE_BREAK;
  return there;
}

size_t s4v_console_feed(s4v_machine *m, const void *buf, size_t len) {
  wake_all(m);
  u32 taken = console_put(&m->domain.input, buf, len > CONSOLE_BYTES ? CONSOLE_BYTES : (u32)len);
  intr_update(&m->domain, SYSINO_CONSOLE);
  return taken;
}

static void console_signal(s4v_machine *m, u32 event) {
  m->domain.console_event |= event;
  wake_all(m);
  intr_once(&m->domain, SYSINO_CONSOLE); /* a hang-up lasts: as a level it would never let the guest go */
}

void s4v_console_break(s4v_machine *m) { console_signal(m, CONSOLE_BREAK); }
void s4v_console_hangup(s4v_machine *m) { console_signal(m, CONSOLE_HUP); }

int s4v_strand_print(const s4v_machine *m, uint32_t strand, char *buf, size_t len) {
  if (strand >= m->domain.strand_count) return S4V_ENOENT;
  strand_print(m->domain.strands[strand], buf, len);
  return S4V_OK;
}

static void flush_code(s4v_machine *m) {
  for (u32 i = 0; i < m->cache_count; i++) codecache_flush(m->caches[i]);
}

int s4v_breakpoint_add(s4v_machine *m, uint64_t va) {
  struct strand_env *env = &m->domain.env;
  if (va & 3) return S4V_EINVAL;
  if (env->breakpoint_count >= MAX_BREAKPOINTS) return S4V_ENOMEM;
  m->breakpoints[env->breakpoint_count++] = va;
  flush_code(m);
  return S4V_OK;
}

int s4v_breakpoint_remove(s4v_machine *m, uint64_t va) {
  struct strand_env *env = &m->domain.env;
  for (u32 i = 0; i < env->breakpoint_count; i++) {
    if (m->breakpoints[i] != va) continue;
    m->breakpoints[i] = m->breakpoints[--env->breakpoint_count];
    flush_code(m);
    return S4V_OK;
  }
  return S4V_ENOENT;
}

/* One line an instruction: strand, count, pc, word, text. A full buffer ends the run as a full console does. */
static void trace(struct strand *s, u32 insn) {
  s4v_machine *m = (s4v_machine *)s->env->machine;
  char text[96], line[TRACE_LINE];
  isa_disasm(insn, s->pc, text, sizeof text);
  int n = snprintf(line, sizeof line, "%u %llu %016llx %08x %s\n", s->id,
                   (unsigned long long)(s->insns + strand_slice_done(s)), (unsigned long long)s->pc, insn, text);
  u32 len = n < 0 ? 0 : (u32)n < sizeof line ? (u32)n : (u32)sizeof line - 1;
  for (u32 i = 0; i < len; i++) m->trace[(m->trace_start + m->trace_count + i) % TRACE_BYTES] = (u8)line[i];
  m->trace_count += len;
  if (m->trace_count > TRACE_BYTES - TRACE_LINE) s->stop = STOP_CONSOLE;
}

int s4v_trace_enable(s4v_machine *m, int on) {
  m->domain.env.tracing = on != 0;
  m->domain.env.trace = trace;
  return S4V_OK;
}

uint64_t s4v_code_bytes(const s4v_machine *m) {
  u64 bytes = 0;
  for (u32 i = 0; i < m->cache_count; i++) bytes += codecache_bytes(m->caches[i]);
  return bytes;
}

void s4v_code_limit(s4v_machine *m, uint64_t bytes) {
  u64 share = bytes / m->cache_count, least = bytes < LEAST_CACHE_BYTES ? bytes : (u64)LEAST_CACHE_BYTES;
  for (u32 i = 0; i < m->cache_count; i++) codecache_set_limit(m->caches[i], share < least ? least : share);
}

int s4v_engine_set(s4v_machine *m, int engine, uint32_t hot_entries) {
  const struct translator *t = engine == S4V_ENGINE_TRANSLATOR ? jit_translator() : NULL;
  if (engine != S4V_ENGINE_INTERPRETER && !t) return -1;
  m->domain.env.hot_entries = hot_entries ? hot_entries : HOT_ENTRIES;
  bool good = true;
  for (u32 i = 0; i < m->cache_count; i++) good &= codecache_use(m->caches[i], t);
  for (u32 i = 0; !good && i < m->cache_count; i++) codecache_use(m->caches[i], NULL);
  return good ? 0 : -1;
}

u64 s4v_native_bytes(const s4v_machine *m) {
  u64 bytes = 0;
  for (u32 i = 0; i < m->cache_count; i++) bytes += codecache_native_bytes(m->caches[i]);
  return bytes;
}

void s4v_step_only(s4v_machine *m, int on) { m->domain.env.step_only = on != 0; }

size_t s4v_trace_read(s4v_machine *m, char *buf, size_t len) {
  u32 n = m->trace_count < len ? m->trace_count : (u32)len;
  for (u32 i = 0; i < n; i++) buf[i] = (char)m->trace[(m->trace_start + i) % TRACE_BYTES];
  m->trace_start = (m->trace_start + n) % TRACE_BYTES;
  m->trace_count -= n;
  return n;
}

#ifndef S4V_VERSION
#define S4V_VERSION "development"
#endif

#ifndef S4V_SANITIZERS
#define S4V_SANITIZERS "none"
#endif

const char *s4v_build_info(void) {
  return TAIL_CALLS ? S4V_VERSION "; interpreter; tail calls; sanitizers " S4V_SANITIZERS
                    : S4V_VERSION "; interpreter; loop; sanitizers " S4V_SANITIZERS;
}
