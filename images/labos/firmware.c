/* firmware.c - the client interface of OpenBoot (IEEE 1275), used from the first instruction until the trap table is
 * ours: boot arguments, memory, and where the image is. Runs on the firmware's translations and trap table. */
#include "firmware.h"

#include "hyper.h"
#include "layout.h"

enum { CELLS = 16, PHANDLE_NONE = -1 };
struct firmware_word firmware_word;
typedef long (*client_interface)(u64 *cells);

/* One call: service, arguments, and how many results; the results stand behind the arguments in `cells`. */
static u64 *call(void *cif, u64 *cells, const char *service, u32 arguments, u32 results) {
  cells[0] = (u64)service;
  cells[1] = arguments;
  cells[2] = results;
  for (u32 i = 0; i < results; i++) cells[3 + arguments + i] = ~0ul;
  ((client_interface)cif)(cells);
  return cells + 3 + arguments;
}

static u64 find_device(void *cif, const char *path) {
  u64 cells[CELLS] = {[3] = (u64)path};
  return *call(cif, cells, "finddevice", 1, 1);
}

/* Bytes of the property, at most `bytes` of them in the buffer; -1: none. */
static i64 property(void *cif, u64 node, const char *name, void *buffer, u64 bytes) {
  u64 cells[CELLS] = {[3] = node, (u64)name, (u64)buffer, bytes};
  return (i32)*call(cif, cells, "getprop", 4, 1);
}

static u64 translate(void *cif, u64 mmu, u64 va) {
  u64 cells[CELLS] = {[3] = (u64) "translate", mmu, va};
  u64 *results = call(cif, cells, "call-method", 3, 5); /* catch, valid, mode, high, low */
  return results[0] == 0 && results[1] != 0 ? results[4] : 0;
}

/* A property that is an array of 64-bit cells: how many records of a size it has. */
static u32 records(void *cif, u64 node, const char *name, void *buffer, u64 room, u64 record) {
  i64 bytes = property(cif, node, name, buffer, room);
  if (bytes > (i64)room) bytes = (i64)room;
  return bytes > 0 ? (u32)((u64)bytes / record) : 0;
}

u64 firmware_open(void *cif) {
  struct firmware_word *w = &firmware_word;
  u32 mmu = 0;
  u64 chosen = find_device(cif, "/chosen"), memory = find_device(cif, "/memory");
  property(cif, chosen, "mmu", &mmu, sizeof mmu);
  property(cif, chosen, "bootargs", w->bootargs, BOOTARGS_BYTES - 1);
  w->ranges = records(cif, memory, "available", w->available, sizeof w->available, sizeof w->available[0]);
  w->translation_count = records(cif, find_device(cif, "/virtual-memory"), "translations", w->translations,
                                 sizeof w->translations, sizeof w->translations[0]);
  u64 image = translate(cif, mmu, KERNEL_BASE);
  return image >> CHUNK_SHIFT << CHUNK_SHIFT;
}

/* The TTE of the page the handler is in; 0: not among the firmware's translations. */
static u64 handler_tte(u64 page) {
  for (u32 i = 0; i < firmware_word.translation_count; i++) {
    const struct firmware_translation *t = &firmware_word.translations[i];
    if (page >= t->va && page - t->va < t->bytes) return (t->tte + (page - t->va)) | TTE_EXEC;
  }
  return 0;
}

/* The call that takes the traps away from the firmware takes its translations with them: the handler's page must be
 * mapped for the way back. */
void firmware_close(void *cif, void *trap_table, u64 fault_ra) {
  u64 soft_state[CELLS], table[CELLS] = {[3] = (u64)trap_table, fault_ra};
  u64 page = (u64)cif & ~(u64)(PAGE_BYTES - 1), tte = handler_tte(page);
  call(cif, soft_state, "SUNW,soft-state-supported", 0, 0);
  if (tte) hyper(MMU_MAP_PERM_ADDR, page, 0, tte, 3);
  call(cif, table, "SUNW,set-trap-table", 2, 0);
  if (tte) hyper(MMU_UNMAP_PERM_ADDR, page, 0, 3, 0);
}
