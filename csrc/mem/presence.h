/* presence.h - pages of a guest that runs before all of its memory is here (post-copy). Others include mem.h. */
#ifndef S4V_MEM_PRESENCE_H
#define S4V_MEM_PRESENCE_H
#include "mem/mem.h"

struct span;

/* Pages from the byte `into` of a span on are here when this returns true. False: they will never come. Sleeps. */
bool presence_wait(const struct ram *, const struct span *, u64 into, u64 bytes);

#endif
