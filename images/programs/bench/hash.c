/* hash.c - chained hash table of 65536 nodes in 2 MiB: dependent loads, unfriendly to caches and TLB. */
#include "bench.h"

BENCH("hash", 160);
enum { NODES = 65536, BUCKETS = 32768 };
struct node {
  struct node *next;
  u64 key, value, pad;
};
static struct node pool[NODES];
static struct node *bucket[BUCKETS];

static NOINLINE void fill(u64 seed) {
  for (u32 i = 0; i < BUCKETS; i++) bucket[i] = NULL;
  for (u64 i = 0; i < NODES; i++) {
    seed = next64(seed);
    struct node *e = &pool[i * 40503 % NODES];
    e->key = seed >> 40;
    e->value = i;
    e->next = bucket[e->key % BUCKETS];
    bucket[e->key % BUCKETS] = e;
  }
}

static NOINLINE u64 find_all(u64 seed) {
  u64 sum = 0;
  for (u64 i = 0; i < NODES; i++) {
    seed = next64(seed);
    u64 key = seed >> 40;
    struct node *e = bucket[key % BUCKETS];
    while (e && e->key != key) e = e->next;
    if (e) sum += e->value;
  }
  return sum;
}

u64 bench(u64 work) {
  u64 sum = 0;
  for (u64 round = 0; round < work; round++) {
    fill(round + 1);
    sum += find_all(round + 1);
  }
  return sum;
}
