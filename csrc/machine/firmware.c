/* firmware.c - what the client needs to be the firmware: see csrc/strand/firmware.h and sun4v.h. */
#include "machine/machine.h"
#include "strand/mmu.h"

static struct strand *firmware_strand(s4v_machine *m, u32 strand) {
  struct strand *s = hyp_strand(&m->domain, strand);
  return s && s->run_state == STRAND_RUNNING ? s : NULL;
}

void s4v_firmware_present(s4v_machine *m, int present) {
  m->domain.firmware_present = present != 0;
  m->domain.firmware.count = 0;
}

static void forget_translations(s4v_machine *m) {
  for (u32 i = 0; i < m->domain.strand_count; i++)
    if (m->domain.strands[i]->firmware) mmu_demap_all(m->domain.strands[i], MAP_D | MAP_I);
}

/* The newest entry comes first. */
int s4v_firmware_map(s4v_machine *m, uint64_t va, uint64_t bytes, uint64_t ra) {
  struct firmware_maps *maps = &m->domain.firmware;
  if ((va | bytes | ra) & (PAGE_BYTES - 1) || !bytes || va + bytes < va) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(ra), bytes)) return S4V_EFAULT;
  if (maps->count >= FIRMWARE_MAPS) return S4V_ENOMEM;
  __builtin_memmove(&maps->map[1], &maps->map[0], maps->count * sizeof maps->map[0]);
  maps->map[0] = (struct firmware_map){va, bytes, ra};
  maps->count++;
  forget_translations(m);
  return S4V_OK;
}

int s4v_firmware_start(s4v_machine *m, uint32_t strand, uint64_t pc, uint64_t sp, uint64_t arg, uint64_t cif) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  if (pc & 3) return S4V_EINVAL;
  firmware_start(s, pc, sp, arg, cif);
  machine_new_turn(m);
  return S4V_OK;
}

int s4v_firmware_stop(s4v_machine *m, uint32_t strand) {
  struct strand *s = hyp_strand(&m->domain, strand);
  if (!s) return S4V_ENOENT;
  strand_reset(s);
  machine_new_turn(m);
  return S4V_OK;
}

int s4v_firmware_release(s4v_machine *m, uint32_t strand, uint64_t tba, uint64_t fault_area) {
  struct strand *s = firmware_strand(m, strand);
  if (!s) return S4V_ENOENT;
  if ((fault_area & 63) || !fault_area) return S4V_EINVAL;
  if (!ram_backed(m->domain.env.ram, RA(fault_area), 128)) return S4V_EFAULT;
  firmware_release(s, tba, fault_area);
  return S4V_OK;
}

int s4v_firmware_owns(const s4v_machine *m, uint32_t strand) {
  const struct strand *s = hyp_strand(&m->domain, strand);
  return s ? s->firmware : S4V_ENOENT;
}

static u64 key_of(const struct strand *s) { return s->mmu_enabled ? bank_key(BANK_PRIV, 0, 0) : key_real(); }

int s4v_translate(s4v_machine *m, uint32_t strand, uint64_t va, int store, uint64_t *ra) {
  struct strand *s = hyp_strand(&m->domain, strand);
  struct mapping to;
  if (!s) return S4V_ENOENT;
  if (mmu_translate(s, key_of(s), va, store ? ACCESS_STORE : ACCESS_LOAD, &to)) return S4V_EFAULT;
  *ra = to.ra;
  return ram_backed(m->domain.env.ram, RA(to.ra), 1) ? S4V_OK : S4V_EFAULT;
}

void s4v_firmware_done(s4v_machine *m, uint32_t strand, uint64_t result) {
  struct strand *s = firmware_strand(m, strand);
  if (!s) return;
  hv_ret(s, 0, result);
  strand_skip(s);
  machine_advance(m, 1);
}

int s4v_firmware_fault(s4v_machine *m, uint32_t strand, uint64_t va, int store) {
  struct strand *s = firmware_strand(m, strand);
  struct mapping to;
  if (!s) return S4V_ENOENT;
  if (s->firmware) return S4V_EFAULT;
  u32 tt = mmu_translate(s, key_of(s), va, store ? ACCESS_STORE : ACCESS_LOAD, &to);
  s->stop = STOP_NONE;
  if (tt) strand_deliver(s, tt);
  if (s->stop == STOP_WATCHDOG) s->run_state = STRAND_ERROR;
  return s->stop == STOP_WATCHDOG ? S4V_EFAULT : S4V_OK;
}

int s4v_api_version(s4v_machine *m, uint64_t group, int set, uint64_t major, uint64_t minor, uint64_t results[2]) {
  results[0] = results[1] = 0;
  u32 status = set ? hyp_set_version(&m->domain, group, major, minor, &results[0])
                   : hyp_get_version(&m->domain, group, &results[0], &results[1]);
  return (int)status;
}
