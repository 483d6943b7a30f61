/* memory_ranges.h - how boot tells the allocator what there is. */
#ifndef LABOS_MEMORY_RANGES_H
#define LABOS_MEMORY_RANGES_H
#include "types.h"

void memory_add(u64 base, u64 bytes); /* usable memory; the kernel image in it is left out */
void memory_total_set(u64 bytes);     /* what the domain has */
bool memory_contains(u64 ra);         /* for the debugger: may it be read? */
#endif
