/* firmware.h - what the kernel asks OpenBoot while it still lives beside it. */
#ifndef LABOS_FIRMWARE_H
#define LABOS_FIRMWARE_H
#include "types.h"

enum { BOOTARGS_BYTES = 1024, AVAILABLE_RANGES = 32, TRANSLATIONS = 32 };
struct firmware_range {
  u64 base, bytes;
};
struct firmware_translation {
  u64 va, bytes, tte;
};
struct firmware_word {
  char bootargs[BOOTARGS_BYTES];
  struct firmware_range available[AVAILABLE_RANGES];
  struct firmware_translation translations[TRANSLATIONS];
  u32 ranges, translation_count;
};
extern struct firmware_word firmware_word; /* filled by firmware_open() */

u64 firmware_open(void *cif);                              /* start.S: the image's real address comes back */
void firmware_close(void *cif, void *trap_table, u64 fault_ra); /* from here on the kernel has its traps */
#endif
