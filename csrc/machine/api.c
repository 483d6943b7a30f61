/* api.c - the public interface: machine life, memory, console, trace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "isa/disasm.h"
#include "machine/parts.h"
#include "strand/codecache.h"
#include "strand/interp.h"
#include "util/pages.h"

enum { MAX_STRANDS = 4096 };

static void code_listener(void *machine, pa_t pa, u64 bytes) {
  struct domain *d = machine;
  codestore_written(d->env.store, pa, bytes);
}

const char *machine_config_error(const s4v_config *c) {
  if (c->max_strands == 0 || c->max_strands > MAX_STRANDS) return "max_strands must be 1..4096";
  if (c->strands == 0 || c->strands > c->max_strands) return "strands must be 1..max_strands";
  if (c->memory_bytes % PAGE_BYTES) return "memory must be a multiple of 8 KiB";
  if (c->memory_bytes > (u64)1 << 46) return "memory must not exceed 64 TiB";
  if (c->ra_limit & (c->ra_limit - 1)) return "ra_limit must be a power of two";
  if (c->ra_limit < (u64)1 << 32 || c->ra_limit > (u64)1 << 55) return "ra_limit must be 2^32..2^55";
  if (c->memory_bytes > c->ra_limit) return "memory must not exceed ra_limit";
  if (c->va_bits < 44 || c->va_bits > 64) return "va_bits must be 44..64";
  if (c->stick_hz == 0 || c->tick_hz == 0) return "stick_hz and tick_hz must not be 0";
  if (c->quantum == 0) return "quantum must not be 0";
  if (c->channels > LDC_ENDPOINTS) return "channels must be 0..4080";
  if (c->rng_control > 1 || c->rng_layout < 1 || c->rng_layout > 2) return "rng_control must be 0 or 1, rng_layout 1 or 2";
  if (!(c->page_sizes & 1) || c->page_sizes > 0xff) return "page_sizes must have bit 0 (8 KiB) and none above 7";
  return NULL;
}

/* What the client left to us. The map-in region lies beyond memory; its places are as large as the largest page. */
static s4v_config completed(const s4v_config *config) {
  s4v_config c = *config;
  c.pad = 0;
  if (!c.max_strands) c.max_strands = c.strands;
  for (u64 least = (u64)1 << 38; !c.ra_limit; least <<= 1)
    if (least >= 2 * c.memory_bytes || least >> 55) c.ra_limit = least;
  return c;
}

static u64 common_factor(u64 a, u64 b) {
  while (b) {
    u64 rest = a % b;
    a = b, b = rest;
  }
  return a;
}

void machine_tell_chip(s4v_machine *m) {
  struct domain *d = &m->domain;
  const s4v_config *c = &m->config;
  struct strand_env *env = &d->env;
  env->features = c->features;
  env->cfr = c->cfr;
  env->cfr_present = c->cfr_present;
  env->va_bits = c->va_bits;
  env->page_sizes = c->page_sizes;
  env->max_tsbs = c->max_tsbs;
  env->stick_hz = c->stick_hz;
  env->tick_hz = c->tick_hz;
  env->stick_part = c->stick_hz / common_factor(c->stick_hz, c->tick_hz);
  env->tick_part = c->tick_hz / common_factor(c->stick_hz, c->tick_hz);
  env->mapped_first = c->ra_limit;
  env->mapped_stride = 1ull << (PAGE_BITS + 3 * (31 - __builtin_clz(c->page_sizes)));
  d->rng.control_access = c->rng_control;
  d->rng.second_layout = c->rng_layout == 2;
}

static bool make_parts(s4v_machine *m) {
  struct domain *d = &m->domain;
  const s4v_config *c = &m->config;
  d->env = (struct strand_env){
      .hypercall = hyp_call, .queue_moved = intr_queue_moved, .tick_now = machine_tick,
      .insns_until = machine_insns_until, .mapped = mapin_place, .poisoned = poison_look,
      .memory_error = poison_report, .trace = NULL, .breakpoints = m->breakpoints,
      .watches = m->watches, .firmware_maps = &d->firmware, .machine = d,
  };
  if (!c->deterministic) d->env.called = &m->kicked;
  machine_tell_chip(m);
  d->channels.count = c->channels;
  m->physmem = physmem_new();
  d->max_strands = c->max_strands;
  if (!m->physmem) return false;
  d->env.ram = ram_new(m->physmem);
  d->env.store = codestore_new(&d->env);
  if (!d->env.ram || !d->env.store) return false;
  physmem_set_code_listener(m->physmem, code_listener, d);
  return strands_new(m, c->strands);
}

static bool make_memory(s4v_machine *m, char *err, size_t err_bytes) {
  return !m->config.memory_bytes || s4v_memory_add(m, 0, 0, m->config.memory_bytes, err, err_bytes) == S4V_OK;
}

static void ring(struct domain *d) { bell_ring(&((s4v_machine *)(void *)d)->crew.bell); }

static s4v_machine *made(const s4v_config *config, char *err, size_t err_bytes) {
  s4v_machine *m = pages_new(sizeof *m);
  snprintf(err, err_bytes, "the host has not enough memory for this machine");
  if (!m) return NULL;
  m->config = m->server = *config;
  pthread_mutex_init(&m->domain.beside.lock, NULL);
  pthread_rwlock_init(&m->domain.reach, NULL);
  m->domain.ring = ring;
  if (make_parts(m) && make_memory(m, err, err_bytes)) return m;
  s4v_machine_free(m);
  return NULL;
}

s4v_machine *s4v_machine_new(const s4v_config *config, char *err, size_t err_bytes) {
  s4v_config c = completed(config);
  const char *why = machine_config_error(&c);
  if (why) {
    snprintf(err, err_bytes, "%s", why);
    return NULL;
  }
  s4v_machine *m = made(&c, err, err_bytes);
  if (!m) return NULL;
  harvest_membarrier_register(); /* for s4v_barrier(): the first time in a process takes milliseconds, later ones nothing */
  hyp_init(&m->domain, c.rng_seed);
  m->domain.tod_offset = c.tod_seconds;
  m->domain.elapsed_seconds = machine_elapsed_seconds;
  m->host_start_ns = machine_host_ns();
  machine_new_turn(m);
  return m;
}

void s4v_machine_free(s4v_machine *m) {
  if (!m) return;
  wires_unplug(&m->domain);
  machine_observe_end(m);
  vio_free(m->vio);
  strands_free(m);
  codestore_free(m->domain.env.store);
  blob_set(&m->domain.md, NULL, 0);
  blob_set(&m->domain.client, NULL, 0);
  ldc_free(&m->domain.channels);
  ram_free(m->domain.env.ram);
  physmem_free(m->physmem);
  pthread_rwlock_destroy(&m->domain.reach);
  pthread_mutex_destroy(&m->domain.beside.lock);
  pages_free(m, sizeof *m);
}

void s4v_machine_config(const s4v_machine *m, s4v_config *out) { *out = m->config; }

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
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  if ((pc & 3) || (rtba & 0xff)) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(pc), 4)) return S4V_EFAULT;
  strand_start(s, pc, rtba, arg);
  m->turn = machine_place(m, strand);
  machine_new_turn(m);
  return S4V_OK;
}

size_t s4v_console_read(s4v_machine *m, void *buf, size_t len) {
  return console_get(&m->domain.output, buf, len > CONSOLE_BYTES ? CONSOLE_BYTES : (u32)len);
}

/* A strand that waits for a console without interrupts wakes: CPU_YIELD may return at any time. */
static void wake_all(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++) m->domain.strands[i]->waiting = 0;
}

static void noticed(struct domain *d) { s4v_kick((s4v_machine *)(void *)d); }

void s4v_watch(s4v_machine *m, uint32_t what) {
  m->domain.noticed = noticed;
  m->domain.watched = what;
}

uint32_t s4v_watched(const s4v_machine *m) { return m->domain.watched; }

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
