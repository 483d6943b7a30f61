/* chase.c - dependent loads along a random ring through 32 MiB: cache and TLB misses, nothing else. */
#include "bench.h"

BENCH("chase", 5000000);
enum { NODES = (32 << 20) / 64 };
struct node {
  struct node *next;
  u64 number, pad[6];
};
static struct node ring[NODES] NOINIT ALIGNED(8192);
static u32 order[NODES] NOINIT;

u64 bench(u64 work) {
  u32 s = 4242;
  for (u32 i = 0; i < NODES; i++) order[i] = i;
  for (u32 i = NODES - 1; i > 0; i--) {
    s = xorshift32(s);
    u32 j = s % (i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (u32 i = 0; i < NODES; i++) {
    ring[order[i]].next = &ring[order[(i + 1) % NODES]];
    ring[order[i]].number = order[i];
  }
  const struct node *p = &ring[order[0]];
  for (u64 step = 0; step < work; step++) p = p->next;
  return p->number;
}
