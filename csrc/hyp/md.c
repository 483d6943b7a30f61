/* md.c - the machine description as the hypervisor keeps it: bytes it does not look into (sun4v-hypercalls 3). */
#include <stdlib.h>
#include <string.h>

#include "hyp/calls.h"
#include "hyp/hyp.h"

bool hyp_set_md(struct domain *d, const void *bytes, size_t n) {
  u8 *copy = NULL;
  if (n > MD_MAX_BYTES) return false;
  if (n) {
    copy = malloc(n);
    if (!copy) return false;
    memcpy(copy, bytes, n);
  }
  free(d->md);
  d->md = copy;
  d->md_bytes = n;
  return true;
}

/* A guest asks for the size with (0, 0) and looks at the size alone: it is a result of EINVAL as well. */
u32 hc_mach_desc(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), room = hv_arg(s, 1);
  if (ra & 15) return hc_status(s, HV_EBADALIGN);
  if (d->md_bytes == 0) {
    hv_ret(s, 1, 0);
    return hc_status(s, HV_ENOTSUPPORTED); /* a client took it away */
  }
  if (room >= d->md_bytes && !ram_write(s->env->ram, RA(ra), d->md, d->md_bytes)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, d->md_bytes);
  return hc_status(s, room < d->md_bytes ? HV_EINVAL : HV_EOK);
}
