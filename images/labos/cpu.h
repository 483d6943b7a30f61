/* cpu.h - the domain's cpus and crypto units, which come and go (DS dr-cpu, dr-crypto). */
#ifndef LABOS_CPU_H
#define LABOS_CPU_H
#include "types.h"

/* From a thread, not from an interrupt handler. */
bool cpu_exists(u32 id);   /* it is in the machine description */
bool cpu_is_online(u32 id);
u32 cpu_online_count(void);
enum cpu_result {
  CPU_OK,
  CPU_FAILED,
  CPU_BLOCKED, /* another is on its way out */
  CPU_NOT_RESPONDING,
  CPU_ABSENT, /* not in the machine description */
  CPU_BOUND,  /* threads are bound to it */
  CPU_LAST,   /* it is the last one */
};
enum cpu_result cpu_online(u32 id);
/* Threads, timers and interrupts move to others first; by force those too that are bound to it. */
enum cpu_result cpu_offline(u32 id, bool force);
const char *cpu_result_text(enum cpu_result result); /* "": it is well */
u32 cpu_bound_count(u32 id);                         /* threads that are bound to it */

/* Call a function on every other online cpu and wait until all have returned; interrupts are off in it. */
void cpu_call_others(void (*function)(void *arg), void *arg);

/* Crypto units of T1 to T3: exec-units of type "mau" and "cwq" in the description, named by a cpu of their core. One that
 * is configured has a queue at the hypervisor. */
enum crypto_kind { CRYPTO_MAU, CRYPTO_CWQ, CRYPTO_KINDS };
bool crypto_dr_supported(void); /* the boot option release=old says no */
void crypto_units_start(void);  /* all there are, at boot */
enum cpu_result crypto_configure(enum crypto_kind kind, u32 cpu);
enum cpu_result crypto_unconfigure(enum crypto_kind kind, u32 cpu);
bool crypto_is_configured(enum crypto_kind kind, u32 cpu);
int crypto_units_print(void); /* each, after a job where one is known; 1: one was done wrong */
#endif
