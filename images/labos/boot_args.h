/* boot_args.h - how boot hands over the arguments. */
#ifndef LABOS_BOOT_ARGS_H
#define LABOS_BOOT_ARGS_H
#include "types.h"

void boot_args_init(u64 block_ra); /* 0: firmware's bootargs */
const char *host_name(void);
bool boot_is_bare(void); /* no firmware: sun4v run without OpenBoot */
#endif
