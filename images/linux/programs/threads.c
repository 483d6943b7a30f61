/* threads.c - POSIX threads: counts that come out exactly only where locks, wake-ups and atomics work. */
#include "load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_THREADS = 64, SLOTS = 8, TABLE = 64 };
static long threads, rounds;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static u64 ring[SLOTS];
static int head, filled;
static u64 plain_count, consumed_sum;
static long consumed, to_consume;
static _Atomic u64 atomic_count;
static _Atomic u32 small_counts[4];
static _Atomic unsigned char byte_flag;
static u64 flag_count;
static pthread_barrier_t barrier;
static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
static u64 table[TABLE];
static __thread u64 own;

static void put(u64 value) {
  pthread_mutex_lock(&lock);
  while (filled == SLOTS) pthread_cond_wait(&not_full, &lock);
  ring[(head + filled++) % SLOTS] = value;
  pthread_cond_signal(&not_empty);
  pthread_mutex_unlock(&lock);
}

static int take(void) {
  pthread_mutex_lock(&lock);
  while (filled == 0 && consumed < to_consume) pthread_cond_wait(&not_empty, &lock);
  int got = filled > 0;
  if (got) {
    consumed_sum += ring[head];
    head = (head + 1) % SLOTS;
    filled--;
    if (++consumed == to_consume) pthread_cond_broadcast(&not_empty);
    pthread_cond_signal(&not_full);
  }
  pthread_mutex_unlock(&lock);
  return got;
}

/* Even threads produce, odd ones consume. */
static void *queue_worker(void *arg) {
  long index = (long)arg;
  if (index % 2 == 0)
    for (long i = 0; i < rounds; i++) put((u64)(index * rounds + i));
  else
    while (take()) continue;
  return NULL;
}

static void *count_worker(void *arg) {
  long index = (long)arg;
  for (long i = 0; i < rounds; i++) {
    own += (u64)i;
    atomic_fetch_add(&atomic_count, 3);
    atomic_fetch_xor(&small_counts[i & 3], 1u << (index & 31));
    atomic_fetch_add(&small_counts[(i + 1) & 3], 0x10000);
    atomic_fetch_sub(&small_counts[(i + 1) & 3], 0x10000);
    pthread_mutex_lock(&lock);
    plain_count++;
    pthread_mutex_unlock(&lock);
    while (atomic_exchange(&byte_flag, 1)) sched_yield();
    flag_count++;
    atomic_store(&byte_flag, 0);
  }
  return (void *)(long)(own == (u64)rounds * (u64)(rounds - 1) / 2);
}

/* Readers must see all words of the table alike; between two barriers each thread writes in its turn. */
static void *table_worker(void *arg) {
  long index = (long)arg;
  long good = 1;
  for (long turn = 0; turn < 10; turn++) {
    for (long i = 0; i < rounds / 10; i++) {
      if (i % threads == index) {
        pthread_rwlock_wrlock(&table_lock);
        for (int k = 0; k < TABLE; k++) table[k]++;
      } else {
        pthread_rwlock_rdlock(&table_lock);
        for (int k = 1; k < TABLE; k++) good &= table[k] == table[0];
      }
      pthread_rwlock_unlock(&table_lock);
    }
    pthread_barrier_wait(&barrier);
    good &= table[0] == (u64)((turn + 1) * (rounds / 10));
    pthread_barrier_wait(&barrier);
  }
  return (void *)good;
}

static void run_all(void *(*work)(void *), long count, void *want) {
  pthread_t ids[MAX_THREADS];
  for (long i = 0; i < count; i++) CHECK(pthread_create(&ids[i], NULL, work, (void *)i) == 0);
  for (long i = 0; i < count; i++) {
    void *result;
    CHECK(pthread_join(ids[i], &result) == 0);
    CHECK(result == want);
  }
}

static void *nothing(void *arg) {
  (void)arg;
  return NULL;
}

int threads_main(int argc, char **argv) {
  threads = argument(argc, argv, 1, 8);
  rounds = argument(argc, argv, 2, 1000);
  CHECK(threads >= 2 && threads <= MAX_THREADS && threads % 2 == 0 && rounds % 10 == 0);
  long producers = threads / 2;
  to_consume = producers * rounds;
  run_all(queue_worker, threads, NULL);
  CHECK(consumed == to_consume);
  u64 want = 0;
  for (long p = 0; p < threads; p += 2) want += (u64)p * (u64)rounds * (u64)rounds + (u64)rounds * (u64)(rounds - 1) / 2;
  CHECK(consumed_sum == want);
  run_all(count_worker, threads, (void *)1);
  u64 total = (u64)threads * (u64)rounds;
  CHECK(plain_count == total && flag_count == total && atomic_load(&atomic_count) == 3 * total);
  CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)threads) == 0);
  run_all(table_worker, threads, (void *)1);
  for (int i = 0; i < 50; i++) run_all(nothing, threads, NULL); /* creation and end, many times */
  printf("threads: ok %ld threads, %llu\n", threads, (unsigned long long)(plain_count + table[0]));
  return 0;
}
