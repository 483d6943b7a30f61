/* memory_use.c - what the hypervisor keeps for the guest in memory: such memory cannot be taken away. */
#include <stdarg.h>
#include <stdio.h>

#include "hyp/hyp.h"

struct search {
  u64 ra, last; /* the range that is to go */
  char *text;
  size_t bytes;
};

/* Names a range of the guest's if it touches the one that is to go. */
__attribute__((format(printf, 4, 5))) static bool touches(const struct search *s, u64 base, u64 bytes, const char *format, ...) {
  if (bytes == 0 || base > s->last || base + (bytes - 1) < s->ra) return false;
  va_list args;
  va_start(args, format);
  vsnprintf(s->text, s->bytes, format, args);
  va_end(args);
  return true;
}

static bool channels_use(const struct domain *d, const struct search *s) {
  for (u32 id = 0; id < d->channels.count; id++) {
    const struct ldc_endpoint *e = &d->channels.endpoint[id];
    if (e->kind == LDC_NONE) continue;
    if (touches(s, e->tx.base, e->tx.bytes, "the transmit queue of channel %u", id) ||
        touches(s, e->rx.base, e->rx.bytes, "the receive queue of channel %u", id) ||
        touches(s, e->map_base, e->map_entries * LDC_MAP_BYTES, "the map table of channel %u", id))
      return true;
  }
  for (u32 i = 0; i < LDC_MAPINS; i++) {
    const struct ldc_mapin *m = &d->channels.mapin[i];
    if (!m->rights || d->channels.endpoint[m->exporter].kind != LDC_GUEST) continue;
    if (touches(s, m->target, 1ull << (PAGE_BITS + 3 * m->code), "a page that channel %u has mapped in", m->exporter)) return true;
  }
  return false;
}

static bool strand_uses(const struct strand *t, const struct search *s) {
  static const char *const queues[] = {"cpu mondo", "device mondo", "resumable error", "nonresumable error"};
  for (u32 q = 0; q < ARRAY_LEN(queues); q++)
    if (touches(s, t->queue_base[q], t->queue_entries[q] * 64, "the %s queue of cpu %u", queues[q], t->id)) return true;
  for (u64 n = 0; n < 2 * (u64)MAX_TSBS; n++) {
    const u64 *tsb = &t->tsb[n * TSB_WORDS];
    u64 entries = n % MAX_TSBS < t->tsb_count[n / MAX_TSBS] ? tsb[0] & 0xffffffffu : 0;
    if (touches(s, tsb[2], entries * 16, "a TSB of cpu %u", t->id)) return true;
  }
  return touches(s, t->fault_area, t->fault_area ? 128 : 0, "the fault status area of cpu %u", t->id) ||
         touches(s, t->trace_base, t->trace_entries * 64, "the trap trace buffer of cpu %u", t->id);
}

bool hyp_memory_user(const struct domain *d, u64 ra, u64 last, char *text, size_t bytes) {
  const struct search s = {ra, last, text, bytes};
  if (channels_use(d, &s)) return true;
  for (u32 i = 0; i < d->ncs.count; i++)
    if (touches(&s, d->ncs.unit[i].base, ncs_queue_bytes(&d->ncs.unit[i]), "the queue of crypto unit %u", i)) return true;
  for (u32 i = 0; i < d->strand_count; i++)
    if (strand_uses(d->strands[i], &s)) return true;
  for (u32 i = 0; d->firmware_present && i < d->firmware.count; i++)
    if (touches(&s, d->firmware.map[i].ra, d->firmware.map[i].bytes, "the firmware, or a program it maps")) return true;
  return touches(&s, d->services.dump_base, d->services.dump_bytes, "the crash dump buffer");
}
