/* suspend.h - standing still for a migration, and the ways a domain ends. */
#ifndef LABOS_SUSPEND_H
#define LABOS_SUSPEND_H
#include "types.h"

/* Called on suspend: before() in a thread while the system still runs, after() in a thread when it runs again (on
 * another machine, perhaps), channels are DOWN and the description has been read again. */
struct suspend_hook {
  void (*before)(void *arg);
  void (*after)(void *arg, bool resumed); /* resumed false: MACH_SUSPEND refused, nothing happened */
  void *arg;
  struct suspend_hook *next;
};
void suspend_hook_add(struct suspend_hook *hook);

/* Park the other cpus, call MACH_SUSPEND, and put everything back after it returned: hooks, cpus, clock, queues,
 * translations, interrupts, machine description. From a thread. Returns MACH_SUSPEND's status. */
u64 system_suspend(void);
u64 suspend_count(void); /* successful ones since boot */

/* How the manager's requests are met: fulfilled, refused, promised and not done, not answered. */
enum suspend_manner { SUSPEND_ALLOW, SUSPEND_REFUSE, SUSPEND_STAY, SUSPEND_DEAF };
enum suspend_manner suspend_manner(void);
void suspend_manner_set(enum suspend_manner manner);

void system_halt(void) __attribute__((noreturn));   /* MACH_EXIT 0 */
void system_reboot(void) __attribute__((noreturn)); /* MACH_SIR */
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#endif
