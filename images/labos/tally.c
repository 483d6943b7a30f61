/* tally.c - the oracle of a console: a thread prints numbers at a set rate. One that is missing, or there twice, shows. */
#include "commands.h"
#include "kernel.h"

enum { TICK_MS = 10 };

static struct {
  u64 rate, next, started_ns;
  bool running, stop;
} tally;
static struct spinlock lock = SPINLOCK("tally");

static void counter(void *arg) {
  (void)arg;
  while (!tally.stop) {
    thread_sleep_ns(TICK_MS * NS_PER_MS);
    u64 elapsed = clock_ns() - tally.started_ns;
    u64 due = elapsed / NS_PER_SECOND * tally.rate + elapsed % NS_PER_SECOND * tally.rate / NS_PER_SECOND;
    while (tally.next < due && !tally.stop) printf("=%lu\n", tally.next++);
  }
  lock_acquire(&lock);
  tally.running = false;
  lock_release(&lock);
  thread_wakeup(&tally);
}

static int stop(void) {
  lock_acquire(&lock);
  tally.stop = true;
  while (tally.running) thread_sleep(&tally, &lock);
  lock_release(&lock);
  printf("tally: %lu numbers\n", tally.next);
  return 0;
}

int command_tally(int argc, char **argv) {
  u64 rate;
  if (argc == 2 && strcmp(argv[1], "stop") == 0) return stop();
  if (argc != 2 || !parse_number(argv[1], &rate) || !rate) return COMMAND_USAGE;
  if (tally.running) {
    printf("tally: it runs already\n");
    return 1;
  }
  tally.rate = rate, tally.next = 0, tally.stop = false;
  tally.started_ns = clock_ns();
  tally.running = true;
  if (thread_start("tally", counter, NULL)) return 0;
  tally.running = false;
  return 1;
}
