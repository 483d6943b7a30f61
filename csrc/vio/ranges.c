/* ranges.c - see ranges.h. */
#include "vio/ranges.h"

enum { SHORT_RANGES = 64 }; /* of a descriptor: 4 KiB behind cookies of pages */

struct list {
  struct range *range;
  u32 count, room;
};

/* Adds a run of memory, block by block; what adjoins in host memory becomes one. */
static bool add(const struct domain *d, struct list *l, u64 ra, u64 bytes) {
  while (bytes) {
    struct ram_ref ref;
    if (!ram_lookup(d->env.ram, RA(ra), &ref)) return false;
    u64 n = ref.bytes < bytes ? ref.bytes : bytes;
    struct range *last = l->count ? &l->range[l->count - 1] : NULL;
    if (last && last->ra + last->bytes == ra && last->host + last->bytes == ref.host) {
      last->bytes += n;
    } else {
      if (l->count == l->room) return false;
      l->range[l->count++] = (struct range){ra, n, ref.host};
    }
    ra += n;
    bytes -= n;
  }
  return true;
}

static bool add_cookie(const struct domain *d, const struct ldc_endpoint *e, struct list *l, u64 cookie, u64 bytes, u32 right) {
  for (u64 done = 0; done < bytes;) {
    u64 ra = 0, n = 0;
    if (ldc_translate(d, e, cookie + done, right, &ra, &n) != HV_EOK) return false;
    if (n > bytes - done) n = bytes - done;
    if (!add(d, l, ra, n)) return false;
    done += n;
  }
  return true;
}

i64 ranges_find(const struct domain *d, const struct ldc_endpoint *e, const struct cookie *c, u32 cookies, u64 skip, u64 bytes,
                u32 right, struct range *range, u32 room) {
  struct list l = {.range = range, .room = room};
  for (u32 i = 0; i < cookies && bytes; i++) {
    if (skip >= c[i].bytes) {
      skip -= c[i].bytes;
      continue;
    }
    u64 n = c[i].bytes - skip < bytes ? c[i].bytes - skip : bytes;
    if (!add_cookie(d, e, &l, c[i].address + skip, n, right)) return -1;
    bytes -= n;
    skip = 0;
  }
  return bytes ? -1 : (i64)l.count;
}

bool cookies_read(const struct domain *d, const struct ldc_endpoint *e, const struct cookie *c, u32 cookies, u64 skip, u8 *to,
                  u64 bytes) {
  struct range range[SHORT_RANGES];
  i64 n = ranges_find(d, e, c, cookies, skip, bytes, LDC_COPY_READ, range, SHORT_RANGES);
  for (i64 i = 0; i < n; i++) {
    ram_read(d->env.ram, RA(range[i].ra), to, range[i].bytes);
    to += range[i].bytes;
  }
  return n >= 0;
}

bool cookies_write(const struct domain *d, const struct ldc_endpoint *e, const struct cookie *c, u32 cookies, u64 skip,
                   const u8 *from, u64 bytes) {
  struct range range[SHORT_RANGES];
  i64 n = ranges_find(d, e, c, cookies, skip, bytes, LDC_COPY_WRITE, range, SHORT_RANGES);
  for (i64 i = 0; i < n; i++) {
    ram_write(d->env.ram, RA(range[i].ra), from, range[i].bytes);
    from += range[i].bytes;
  }
  return n >= 0;
}
