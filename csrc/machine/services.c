/* services.c - what a client sees and sets of the hypervisor's services. */
#include <string.h>

#include "machine/machine.h"

enum { ERROR_KINDS = 6 }; /* DESC of an error report */

int s4v_soft_state(const s4v_machine *m, char text[32]) {
  memcpy(text, m->domain.services.soft_text, SOFT_STATE_BYTES);
  return (int)m->domain.services.soft_state;
}

int s4v_soft_state_set(s4v_machine *m, int state, const char *text) {
  if (state != SOFT_STATE_NORMAL && state != SOFT_STATE_TRANSITION) return S4V_EINVAL;
  struct services *v = &m->domain.services;
  v->soft_state = (u64)state;
  memset(v->soft_text, 0, sizeof v->soft_text);
  memcpy(v->soft_text, text, strnlen(text, SOFT_STATE_BYTES - 1));
  return S4V_OK;
}

int s4v_suspended(const s4v_machine *m) { return m->domain.services.suspended != 0; }

int s4v_resume(s4v_machine *m, uint64_t status) {
  struct services *v = &m->domain.services;
  if (!v->suspended) return S4V_EINVAL;
  hv_ret(m->domain.by_id[v->suspend_strand], 0, status);
  v->suspended = v->suspend_strand = 0;
  if (status == HV_EOK) ldc_reset_all(&m->domain);
  return S4V_OK;
}

void s4v_reset(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++) strand_reset(m->domain.strands[i]);
  hyp_reset(&m->domain);
  m->turn = 0;
  machine_new_turn(m);
}

uint64_t s4v_watchdog_ms(const s4v_machine *m) {
  u64 at = m->domain.services.watchdog_tick, now = machine_tick(m->domain.strands[0], 0);
  return at > now ? (u64)(((u128)(at - now) * 1000 + m->config.tick_hz - 1) / m->config.tick_hz) : 0;
}

int64_t s4v_reboot_data_get(const s4v_machine *m, void *buf, size_t len) {
  u64 n = m->domain.services.reboot_length;
  memcpy(buf, m->domain.services.reboot_data, n < len ? n : len);
  return (int64_t)n;
}

int s4v_reboot_data_set(s4v_machine *m, const void *buf, size_t len) {
  struct services *v = &m->domain.services;
  if (len > REBOOT_DATA_BYTES) return S4V_EINVAL;
  memset(v->reboot_data, 0, sizeof v->reboot_data);
  if (len) memcpy(v->reboot_data, buf, len);
  v->reboot_length = len;
  return S4V_OK;
}

int s4v_error_report(s4v_machine *m, uint32_t strand, int resumable, const s4v_error *e, uint64_t *handle) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  if (e->desc < 1 || e->desc > ERROR_KINDS) return S4V_EINVAL;
  const struct error_report report = {.desc = e->desc, .attr = e->attr, .ra = e->ra, .size = e->size,
                                      .grace_seconds = e->grace_seconds, .asr = e->asr, .asi = e->asi};
  *handle = hyp_report_error(&m->domain, s, resumable != 0, &report);
  return *handle ? S4V_OK : S4V_EFULL;
}

int s4v_poison(s4v_machine *m, uint64_t ra, uint64_t len) {
  if (!len) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(ra), len)) return S4V_EFAULT;
  return poison_add(&m->domain, ra, len) ? S4V_OK : S4V_EFULL;
}

int s4v_poison_clear(s4v_machine *m, uint64_t ra, uint64_t len) {
  if (!len) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(ra), len)) return S4V_EFAULT;
  return poison_remove(&m->domain, ra, len) ? S4V_OK : S4V_EFULL;
}

int s4v_poison_range(const s4v_machine *m, uint32_t n, uint64_t *ra, uint64_t *len) {
  const struct poison *p = &m->domain.poison;
  if (n >= p->count) return S4V_ENOENT;
  *ra = p->range[n].first;
  *len = p->range[n].last - p->range[n].first + 1;
  return S4V_OK;
}

int s4v_crypto_add(s4v_machine *m, uint32_t kind, uint32_t devino, const uint32_t *strands, size_t count) {
  return ncs_add(&m->domain, kind, devino, strands, count) ? S4V_OK : S4V_EINVAL;
}

int s4v_crypto_remove(s4v_machine *m, uint32_t devino) {
  return ncs_remove(&m->domain, devino) ? S4V_OK : S4V_ENOENT;
}

int s4v_crypto_info(const s4v_machine *m, uint32_t n, s4v_crypto *out) {
  if (n >= m->domain.ncs.count) return S4V_ENOENT;
  const struct ncs_unit *u = &m->domain.ncs.unit[n];
  *out = (s4v_crypto){.kind = u->kind, .devino = u->ino, .strand_count = u->cpu_count, .entries = (u32)u->entries,
                      .jobs = u->jobs, .errors = u->errors};
  for (u32 i = 0; i < u->cpu_count; i++) out->strands[i] = u->cpu[i];
  return S4V_OK;
}
