/* firmware.h - a strand whose traps are the firmware's: from its start until SUNW,set-trap-table.
 *
 * OpenBoot is the emulator's own code, so there is no trap table of its own in guest memory. While `firmware` of a strand
 * is set, spills, fills and clean windows are done here, misses of context 0 are looked up in the firmware's list of
 * translations, disrupting traps wait, and every other trap stops the strand for the firmware (STOP_FIRMWARE).
 */
#ifndef S4V_STRAND_FIRMWARE_H
#define S4V_STRAND_FIRMWARE_H
#include "strand/strand.h"

enum { FIRMWARE_MAPS = 64 };

/* One translation of the firmware: privileged, context 0, all rights; 8 KiB multiples. */
struct firmware_map {
  u64 va, bytes, ra;
};

struct firmware_maps {
  u32 count;
  struct firmware_map map[FIRMWARE_MAPS];
};

u64 firmware_lookup(const struct strand *, u64 va); /* the TTE of an 8 KiB page, 0: none */
void firmware_trap(struct strand *, u32 tt);        /* handled: the instruction is done again; else STOP_FIRMWARE */
/* Start in firmware context (OpenBoot client interface, entry state): MMU on, privileged, PIL 15, at virtual address pc. */
void firmware_start(struct strand *, u64 pc, u64 sp, u64 arg, u64 cif);
/* SUNW,set-trap-table: from now on the guest owns its traps. */
void firmware_release(struct strand *, u64 tba, u64 fault_area);

#endif
