/* ranges.h - what cookies of a guest stand for: runs of bytes in its memory, checked once and then known.
 *
 * A cookie names bytes behind the endpoint's map table (hyp/ldc_map.c). Rights and bounds are those of the moment it is
 * looked at; what the guest does to its table afterwards changes nothing. */
#ifndef S4V_VIO_RANGES_H
#define S4V_VIO_RANGES_H
#include "hyp/hyp.h"

struct cookie { u64 address, bytes; };
struct range { u64 ra, bytes; u8 *host; }; /* of the domain's memory, all in one run of the host's */

/* The first `bytes` bytes behind cookies, as at most `room` ranges. Their number, or -1: some are not there, the right is
 * missing, or they are more. */
i64 ranges_find(const struct domain *, const struct ldc_endpoint *, const struct cookie *, u32 cookies, u64 skip, u64 bytes,
                u32 right, struct range *, u32 room);
/* Copies between a buffer and bytes behind cookies, from `skip` on; false: not all of them are there, and then a first
 * part may have been copied. */
bool cookies_read(const struct domain *, const struct ldc_endpoint *, const struct cookie *, u32 cookies, u64 skip, u8 *,
                  u64 bytes);
bool cookies_write(const struct domain *, const struct ldc_endpoint *, const struct cookie *, u32 cookies, u64 skip,
                   const u8 *, u64 bytes);

#endif
