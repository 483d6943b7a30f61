/* dr_devices.h - virtual devices that come and go by the service dr-vio. A device is named by its node in the machine
 * description and that node's cfg-handle.
 */
#ifndef LABOS_DR_DEVICES_H
#define LABOS_DR_DEVICES_H
#include "types.h"

enum device_result { DEVICE_OK, DEVICE_FAILED, DEVICE_BLOCKED, DEVICE_NOT_IN_MD };

/* What a driver does with its devices. From a thread. */
struct device_class {
  const char *name; /* of the nodes: disk, network */
  bool (*is_configured)(u64 number);
  enum device_result (*configure)(u64 number);
  enum device_result (*unconfigure)(u64 number, bool force, const char **why); /* DEVICE_BLOCKED: it is in use */
};
#endif
