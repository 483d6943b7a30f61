/* interrupt.h - interrupts of virtual devices. */
#ifndef LABOS_INTERRUPT_H
#define LABOS_INTERRUPT_H
#include "types.h"

typedef void (*interrupt_handler)(void *arg);

/* Have handler(arg) called, with interrupts off on the source's cpu, when (devhandle, devino) interrupts: 0x100 and the
 * ino of a virtual device, 0x200 and tx-ino or rx-ino of a channel endpoint. After it returns the source is set to IDLE,
 * and interrupts again if its cause is still there. Works for sources of both kinds (sysino, cookie).
 * Returns the hypervisor's status: EOK (0), EINVAL, EBUSY (17: it has a handler; or the table is full). */
u64 interrupt_attach(u64 devhandle, u64 devino, interrupt_handler handler, void *arg);
void interrupt_detach(u64 devhandle, u64 devino);
#endif
