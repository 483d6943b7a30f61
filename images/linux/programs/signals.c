/* signals.c - queued signals arrive all, in order, with their values; what they interrupt notices nothing. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t arrived;
static volatile u64 value_sum;
static volatile sig_atomic_t out_of_order;
static volatile int last_value = -1;

static void on_queued(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  int value = info->si_value.sival_int;
  if (value != last_value + 1 || info->si_code != SI_QUEUE) out_of_order = 1;
  last_value = value;
  value_sum += (u64)value;
  arrived++;
}

/* The receiver: answers every signal, so that the queue never overflows. */
static int receiver(long count) {
  sigset_t none;
  sigemptyset(&none);
  int parent = getppid();
  for (long done = 0; done < count;) {
    while (arrived == done) sigsuspend(&none);
    done = arrived;
    if (done % 16 == 0 || done == count) kill(parent, SIGUSR2);
  }
  return out_of_order || value_sum != (u64)count * (u64)(count - 1) / 2 ? 1 : 0;
}

static void queue_storm(long count) {
  sigset_t block, old;
  sigemptyset(&block);
  sigaddset(&block, SIGRTMIN);
  sigaddset(&block, SIGUSR2);
  CHECK(sigprocmask(SIG_BLOCK, &block, &old) == 0);
  struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO};
  sigaction(SIGRTMIN, &action, NULL);
  int pid = spawn(receiver, count);
  sigset_t answer;
  sigemptyset(&answer);
  sigaddset(&answer, SIGUSR2);
  for (long i = 0; i < count; i++) {
    while (sigqueue(pid, SIGRTMIN, (union sigval){.sival_int = (int)i}) != 0) CHECK(errno == EAGAIN);
    int number;
    if (i % 16 == 15 || i == count - 1) CHECK(sigwait(&answer, &number) == 0 && number == SIGUSR2);
  }
  CHECK(reap(pid) == 0);
  CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static volatile sig_atomic_t ticks;
static volatile double handler_result;

static __attribute__((noinline)) u64 deep(int levels, u64 x) {
  return levels == 0 ? x : deep(levels - 1, x * 5 + 1) ^ (u64)levels;
}

/* Uses floating point and many windows: what it interrupts must not notice. */
static void on_tick(int number) {
  (void)number;
  double x = 1.0;
  for (int i = 1; i < 50; i++) x = x * 1.0000001 + 1.0 / i;
  handler_result = x + (double)(deep(20, (u64)ticks) & 1);
  ticks++;
}

static __attribute__((noinline)) u64 work(void) {
  u64 state = 42, sum = FOLD_START;
  double x = 0.5, y = 0.25;
  for (int i = 0; i < 2000; i++) {
    x = 3.75 * x * (1.0 - x);
    y = y * 0.999 + x / 7.0;
    sum ^= deep(12, chance(&state));
    sum = sum * 0x100000001b3u + (u64)(x * 1e9) + (u64)(y * 1e9);
  }
  return sum;
}

int signals_main(int argc, char **argv) {
  long count = argument(argc, argv, 1, 2000);
  queue_storm(count);
  u64 expected = work();
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  struct itimerval every = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
  u64 rounds = 0;
  while (ticks < 20) {
    CHECK(work() == expected);
    rounds++;
  }
  CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
  CHECK(rounds > 0);
  printf("signals: ok %ld queued, %016llx\n", count, (unsigned long long)expected);
  return 0;
}
