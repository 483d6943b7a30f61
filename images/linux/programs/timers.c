/* timers.c - sleeps and timers: never early; how late is printed, in microseconds, for others to judge. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static i64 late_max;

static void judge(const char *what, i64 start, i64 wanted_ns) {
  i64 late = now_ns() - start - wanted_ns;
  if (late < 0) {
    printf("%s: early by %lld ns\n", what, (long long)-late);
    fail(__FILE__, __LINE__, what);
  }
  if (late > late_max) late_max = late;
}

static void sleeps(long rounds) {
  static const long lengths_us[] = {100, 1000, 7000, 20000, 55000};
  for (long i = 0; i < rounds; i++)
    for (unsigned k = 0; k < sizeof lengths_us / sizeof *lengths_us; k++) {
      struct timespec t = {0, lengths_us[k] * 1000};
      i64 start = now_ns();
      CHECK(nanosleep(&t, NULL) == 0);
      judge("nanosleep", start, t.tv_nsec);
    }
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  i64 start = (i64)until.tv_sec * 1000000000 + until.tv_nsec;
  until.tv_sec += 1;
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
  judge("clock_nanosleep", start, 1000000000);
}

static void descriptors(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  CHECK(fd >= 0);
  struct itimerspec every = {{0, 10000000}, {0, 10000000}};
  i64 start = now_ns();
  CHECK(timerfd_settime(fd, 0, &every, NULL) == 0);
  u64 total = 0;
  while (total < 20) {
    u64 count;
    CHECK(read(fd, &count, sizeof count) == sizeof count);
    total += count;
  }
  judge("timerfd", start, (i64)total * 10000000);
  close(fd);
}

static volatile sig_atomic_t fired;
static void on_timer(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  fired += 1 + info->si_overrun;
}

static void timer_signals(void) {
  struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGRTMIN + 1, &action, NULL) == 0);
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN + 1;
  timer_t timer;
  CHECK(timer_create(CLOCK_REALTIME, &event, &timer) == 0);
  struct itimerspec every = {{0, 15000000}, {0, 15000000}};
  i64 start = now_ns();
  CHECK(timer_settime(timer, 0, &every, NULL) == 0);
  while (fired < 10) {
    struct timespec t = {1, 0};
    nanosleep(&t, NULL);
  }
  judge("timer_create", start, 150000000);
  CHECK(timer_delete(timer) == 0);
}

#if defined(__sparc__)
static u64 stick(void) {
  u64 value;
  __asm__ volatile("rd %%asr24, %0" : "=r"(value));
  return value;
}
#endif

/* STICK over half a second of the clock, in parts per million of the frequency given (0: not checked). */
static long stick_error_ppm(long hertz) {
#if defined(__sparc__)
  u64 before = stick();
  i64 start = now_ns();
  struct timespec t = {0, 500000000};
  CHECK(nanosleep(&t, NULL) == 0);
  u64 ticks = stick() - before;
  i64 ns = now_ns() - start;
  if (hertz == 0) return 0;
  double error = (double)ticks / ((double)ns * 1e-9 * (double)hertz) - 1.0;
  return (long)(error * 1e6);
#else
  return hertz * 0;
#endif
}

int timers_main(int argc, char **argv) {
  long rounds = argument(argc, argv, 1, 4);
  long hertz = argument(argc, argv, 2, 0);
  struct timespec resolution;
  CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_sec == 0 && resolution.tv_nsec == 1);
  sleeps(rounds);
  descriptors();
  timer_signals();
  long ppm = stick_error_ppm(hertz);
  printf("timers: ok late_us=%lld stick_ppm=%ld\n", (long long)late_max / 1000, labs(ppm));
  return 0;
}
