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
  CPU_BLOCKED, /* it is the last one, or another is on its way out */
  CPU_NOT_RESPONDING,
  CPU_ABSENT, /* not in the machine description */
};
enum cpu_result cpu_online(u32 id);
enum cpu_result cpu_offline(u32 id); /* threads, timers and interrupts move to others first */

/* Call a function on every other online cpu and wait until all have returned; interrupts are off in it. */
void cpu_call_others(void (*function)(void *arg), void *arg);

/* Crypto units of T1 to T3 (exec-units of type "mau" and "cwq" in the description). */
enum crypto_kind { CRYPTO_MAU, CRYPTO_CWQ };
bool crypto_dr_supported(void); /* the boot option release=old says no */
enum cpu_result crypto_configure(enum crypto_kind kind, u32 id);
enum cpu_result crypto_unconfigure(enum crypto_kind kind, u32 id);
bool crypto_is_configured(enum crypto_kind kind, u32 id);
#endif
