/* boot.h - how the kernel was started. */
#ifndef LABOS_BOOT_H
#define LABOS_BOOT_H
#include "types.h"

bool boot_flag(const char *name);          /* a word of the boot arguments, such as -v */
const char *boot_option(const char *name); /* "release" of release=old: "old"; NULL if not given */
bool release_is_old(void);
const char *release_name(void);            /* "5.11" */
const char *zones_running(void);           /* kernel zones, as it is told: "0" but for zones=2 */
bool tags_in_use(void);
const char *release_version(void);         /* "11.3" or "11.1" */

/* Called once all cpus run and before the shell starts: in drivers.c, which belongs to the virtual devices. */
void drivers_init(void);
#endif
