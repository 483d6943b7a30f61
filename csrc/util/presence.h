/* presence.h - which pages of a guest that runs already are still missing: a memfd that its machine and the migration's
 * worker map. docs/internals/moving.md, "Pages that follow".
 *
 *   header    one page of 4 KiB
 *   bytes     one a page of the guest's memory, in the order of its blocks: 0 it is there, 1 missing, 2 missing and asked for
 *
 * A thread of the machine that needs a missing page makes its byte a 2, puts the page into the ring, writes to the eventfd, and
 * sleeps on `turn`. The worker puts the bytes into memory first, then makes the byte a 0, then adds to `turn` and wakes. Nobody
 * but the worker writes to a page that is missing.
 */
#ifndef S4V_UTIL_PRESENCE_H
#define S4V_UTIL_PRESENCE_H
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/types.h"

enum { PRESENCE_MAGIC = 0x50533453, PRESENCE_HEADER = 4096, PRESENCE_RING = 256 };
enum { PAGE_HERE, PAGE_MISSING, PAGE_ASKED };

struct presence_head {
  u32 magic;
  u32 turn;    /* futex: something came, or it is given up */
  u32 closed;  /* what is missing will not come */
  u32 waiting; /* threads that sleep */
  u64 pages;
  u64 missing;
  u32 lock;    /* of the ring's head, among threads of the machine */
  u32 head, tail;
  u64 ring[PRESENCE_RING]; /* page indexes */
};
_Static_assert(sizeof(struct presence_head) <= PRESENCE_HEADER, "the header is one page");

static inline u8 *presence_bytes(struct presence_head *p) { return (u8 *)p + PRESENCE_HEADER; }
static inline u64 presence_file_bytes(u64 pages) { return PRESENCE_HEADER + pages; }

/* Not FUTEX_PRIVATE: the word is shared by two processes. */
static inline void presence_wake(struct presence_head *p) {
  __atomic_fetch_add(&p->turn, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&p->waiting, __ATOMIC_SEQ_CST))
    syscall(SYS_futex, &p->turn, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

#endif
