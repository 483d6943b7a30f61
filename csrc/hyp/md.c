/* md.c - bytes the hypervisor keeps and does not look into: the machine description, and what the
 * client wants in the state image. */
#include <stdlib.h>
#include <string.h>

#include "hyp/calls.h"
#include "hyp/hyp.h"

bool blob_set(struct blob *b, const void *bytes, size_t n) {
  u8 *copy = NULL;
  if (n > BLOB_MAX_BYTES) return false;
  if (n) {
    copy = malloc(n);
    if (!copy) return false;
    memcpy(copy, bytes, n);
  }
  free(b->bytes);
  *b = (struct blob){copy, n};
  return true;
}

void blob_save(const struct blob *b, struct writer *w) {
  put_u64(w, b->n);
  put_bytes(w, b->bytes, b->n);
}

bool blob_load(struct blob *b, struct reader *in) {
  u64 n = get_u64(in);
  if (in->failed || n > BLOB_MAX_BYTES) return false;
  const u8 *bytes = reader_take(in, n);
  return bytes && blob_set(b, bytes, n);
}

/* A guest asks for the size with (0, 0) and looks at the size alone: it is a result of EINVAL as well. */
u32 hc_mach_desc(struct strand *s, struct domain *d) {
  u64 ra = hv_arg(s, 0), room = hv_arg(s, 1);
  if (ra & 15) return hc_status(s, HV_EBADALIGN);
  if (d->md.n == 0) {
    hv_ret(s, 1, 0);
    return hc_status(s, HV_ENOTSUPPORTED); /* a client took it away */
  }
  if (room >= d->md.n && !ram_write(s->env->ram, RA(ra), d->md.bytes, d->md.n)) return hc_status(s, HV_ENORADDR);
  hv_ret(s, 1, d->md.n);
  return hc_status(s, room < d->md.n ? HV_EINVAL : HV_EOK);
}
