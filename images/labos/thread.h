/* thread.h - kernel threads: start, sleep, wake. */
#ifndef LABOS_THREAD_H
#define LABOS_THREAD_H
#include "lock.h"
#include "types.h"

struct thread;

/* A new thread that runs entry(arg) and ends when it returns. NULL: no memory. Names are kept, not copied. */
struct thread *thread_start(const char *name, void (*entry)(void *), void *arg);
void thread_exit(void) __attribute__((noreturn));
void thread_yield(void);

/* Sleep on any address; `lock` is released while asleep and held again on return. As with condition variables, look
 * again at what you waited for. Not from interrupt handlers, and with no other lock held. */
void thread_sleep(const volatile void *channel, struct spinlock *lock);
/* The same with a deadline on the clock_ns() scale. false: the deadline came first. */
bool thread_sleep_until(const volatile void *channel, struct spinlock *lock, u64 deadline_ns);
/* Wake all that sleep on the address. From anywhere, interrupt handlers included. */
void thread_wakeup(const volatile void *channel);
void thread_sleep_ns(u64 ns);

/* The running thread's name, for messages. */
const char *thread_name(void);
#endif
