/* watch.h - breakpoints and watchpoints of a debugger: addresses in the strand's own terms, any context. Nothing of them is
 * in guest memory, in its marks or in the state; they are changed between runs.
 *
 *   breakpoint  blocks are cut in front of it, and it is a block of its own that ends the run (builder.c)
 *   watchpoint  entries of the soft TLB for its page have TAG_WATCHED in their tag, which no access matches: all of them
 *               take the slow path, and look here before they change anything. So has an entry whose page may be missing
 *               (state.c), until its first access
 */
#ifndef S4V_STRAND_WATCH_H
#define S4V_STRAND_WATCH_H
#include "strand/strand.h"

enum watch_kind { WATCH_WRITE = 1, WATCH_READ = 2 };
struct watchpoint {
  u64 va, bytes; /* not past the end of the address space */
  u32 kind;      /* enum watch_kind */
};

/* In the offset of a page, above the bits that say how an access is aligned. */
enum { TAG_WATCHED = 1 << 12 };

u64 watch_tag_of(const struct strand_env *, u64 va); /* TAG_WATCHED where the page of the address is watched, else 0 */
/* The tag of an entry for the page. With no watchpoint it is the page. */
static inline u64 watch_tag(const struct strand_env *env, u64 page) {
  return UNLIKELY(env->watch_count != 0) ? page | watch_tag_of(env, page) : page;
}
static inline u64 watch_untag(u64 tag) { return tag & ~(u64)TAG_WATCHED; } /* not TAG_NONE's business */

/* The access, by the strand's body of an instruction, meets a watchpoint: it is not to happen, the strand stops. While
 * `watch_pass` is set it is only noted. */
bool watch_meets(struct strand *, u64 key, u64 va, u32 bytes, u32 access);
void watch_changed(struct strand *); /* the set is another one */

#endif
