/* interrupt.h - interrupt sources of virtual devices, and device mondos (UltraSPARC VM Specification 3.0).
 *
 *   event --level--> source (valid, IDLE) --mondo--> queue 0x3d of the target strand; state DELIVERED until the guest
 *                                                    sets IDLE, then the level is looked at again
 *
 * sysino = device handle + devino: 0x1xx virtual-devices, 0x200 and up channel-devices. Those of channels above 1791
 * are not below 0xfff, where Linux wants the sources that it does not give cookies: it gives cookies to all channels.
 */
#ifndef S4V_HYP_INTERRUPT_H
#define S4V_HYP_INTERRUPT_H
#include "hyp/services.h"

enum { LDC_ENDPOINTS = 4080 }; /* the most that a platform has (sun4v platforms) */
enum {
  VDEVICE_HANDLE = 0x100, VDEVICE_INOS = 0x100, CHANNEL_HANDLE = 0x200, CHANNEL_INOS = 2 * LDC_ENDPOINTS,
  SYSINO_FIRST = VDEVICE_HANDLE, INTR_SOURCES = VDEVICE_INOS + CHANNEL_INOS, CONSOLE_DEVINO = 0x11,
  SYSINO_CONSOLE = VDEVICE_HANDLE + CONSOLE_DEVINO,
};
enum { DEV_MONDO_QUEUE = 1 };
enum intr_state { INTR_IDLE = 0, INTR_RECEIVED = 1, INTR_DELIVERED = 2 };

#define INTR_FIELDS(X)                                                       \
  X(u64, cookie) /* word 0 of the mondo; 0: the sysino */                    \
  X(u32, target) /* cpuid */                                                 \
  X(u8, exists)                                                              \
  X(u8, valid)                                                               \
  X(u8, state)   /* enum intr_state */                                       \
  X(u8, edge)    /* an event without a level is to be delivered once */

struct intr_source { INTR_FIELDS(HYP_MEMBER) };

struct interrupts {
  struct intr_source source[INTR_SOURCES];
  u32 blocked; /* 1: some source may wait for room in a queue. Not state: 1 is always right */
};

struct domain;
struct strand;
void intr_init(struct interrupts *);
void intr_reset(struct interrupts *); /* cookies, targets and states go; the sources stay */
void intr_save(const struct interrupts *, struct writer *);
bool intr_load(struct interrupts *, struct reader *, u32 max_strands);
void intr_add(struct interrupts *, u32 sysino);    /* the source exists from now on */
void intr_remove(struct interrupts *, u32 sysino);
bool intr_update(struct domain *, u32 sysino);     /* the level may have changed; true: a mondo went out */
bool intr_handled(const struct domain *, u32 sysino); /* its mondo went out, and no IDLE came yet */
bool intr_unused(const struct domain *, u32 sysino);  /* no cookie, not enabled: the guest polls */
bool intr_once(struct domain *, u32 sysino);       /* an event without a level */
void intr_retry(struct domain *, struct strand *); /* room in the strand's device mondo queue */
void intr_queue_moved(struct strand *, u32 queue); /* strand_env.queue_moved */

#endif
