/* error_report.c - entries of the resumable and non-resumable error queues (FWARC 2009/655). */
#include "hyp/hyp.h"
#include "strand/internal.h"
#include "strand/share.h"

enum { RESUMABLE_QUEUE = 2, NONRESUMABLE_QUEUE = 3 };
#define ATTR_QUEUE_FULL (1u << 31)

u64 hyp_report_error(struct domain *d, struct strand *s, bool resumable, const struct error_report *report) {
  u32 queue = resumable ? RESUMABLE_QUEUE : NONRESUMABLE_QUEUE;
  u64 size = s->queue_entries[queue] * 64, handle = d->services.error_handle + 1;
  u8 e[64] = {0};
  if (!size || s->run_state != STRAND_RUNNING) return 0;
  bool last = (queue_tail(s, queue) + 2 * 64) % size == queue_head(s, queue);
  be64_store(e, handle);
  be64_store(e + 0x08, strand_stick_of_tick(s, s->env->tick_now(s, 0)));
  be32_store(e + 0x10, report->desc);
  be32_store(e + 0x14, (report->attr & ~ATTR_QUEUE_FULL) | (last ? ATTR_QUEUE_FULL : 0));
  be64_store(e + 0x18, report->ra);
  be32_store(e + 0x20, report->size);
  be16_store(e + 0x24, (u16)s->id);
  be16_store(e + 0x26, report->grace_seconds);
  e[0x28] = report->asi;
  be16_store(e + 0x2a, report->asr);
  if (!hyp_mondo(s, queue, e)) return 0;
  return d->services.error_handle = handle;
}
