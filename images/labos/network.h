/* network.h - the kernel's one network stack, and who may touch it when. */
#ifndef LABOS_NETWORK_H
#define LABOS_NETWORK_H
#include "dr_devices.h"
#include "kernel.h"
#include "net/net.h"

bool network_start(void); /* false: no memory */
/* The stack belongs to the caller between the two: from threads, timers and interrupt handlers. Unlocking runs what has
 * become due and wakes who waits. NULL: the stack was not started. */
struct net *network_lock(void);
void network_unlock(void);
struct net *network_lock_held(void); /* the stack, for code that runs under the lock */
/* With the lock: sleep until something has happened, or the time on the clock_ns() scale has come (false). */
bool network_wait(u64 deadline_ns);

/* vnet.c: attach to the networks of the machine description; again after it has changed. */
void vnets_scan(void);
void vnets_resumed(void);
extern const struct device_class vnet_class; /* dr-vio */
#endif
