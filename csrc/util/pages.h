/* pages.h - large zeroed structures of which little is used: only what is touched takes memory, also where the heap would
 * give back (and clear) what it had given before. */
#ifndef S4V_UTIL_PAGES_H
#define S4V_UTIL_PAGES_H
#include "util/types.h"

void *pages_new(size_t bytes); /* NULL: the host has no memory */
void pages_free(void *, size_t bytes);

#endif
