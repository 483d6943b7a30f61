/* drivers.c - starts the drivers of the virtual devices. */
#include "ds.h"
#include "hyper.h"
#include "kernel.h"
#include "network.h"
#include "vdisk.h"

enum { LDOM_MINOR = 1 };

void drivers_rescan(void) {
  disks_scan();
  vnets_scan();
}

static void resumed(void *arg, bool moved) {
  (void)arg;
  if (!moved) return;
  drivers_rescan();
  disks_resumed();
  vnets_resumed();
}

static struct suspend_hook hook = {.after = resumed};

void drivers_init(void) {
  u64 minor;
  crypto_units_start();
  if (hyper_version(GROUP_LDOM, 1, LDOM_MINOR, &minor)) return; /* no channels, no devices */
  disks_scan();
  if (network_start())
    vnets_scan();
  else
    printf("WARNING: no memory for the network\n");
  suspend_hook_add(&hook);
  ds_start();
}
