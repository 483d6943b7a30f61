/* firmware.c - the client interface of OpenBoot (IEEE 1275), used from the first instruction until the trap table is
 * ours: boot arguments, memory, and where the image is. Runs on the firmware's translations and trap table. */
#include "firmware.h"

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

u64 firmware_open(void *cif) {
  u32 mmu = 0;
  u64 chosen = find_device(cif, "/chosen"), memory = find_device(cif, "/memory");
  property(cif, chosen, "mmu", &mmu, sizeof mmu);
  property(cif, chosen, "bootargs", firmware_word.bootargs, BOOTARGS_BYTES - 1);
  i64 bytes = property(cif, memory, "available", firmware_word.available, sizeof firmware_word.available);
  if (bytes > (i64)sizeof firmware_word.available) bytes = sizeof firmware_word.available;
  firmware_word.ranges = bytes > 0 ? (u32)((u64)bytes / sizeof firmware_word.available[0]) : 0;
  u64 image = translate(cif, mmu, KERNEL_BASE);
  return image >> CHUNK_SHIFT << CHUNK_SHIFT;
}

void firmware_close(void *cif, void *trap_table, u64 fault_ra) {
  u64 soft_state[CELLS], table[CELLS] = {[3] = (u64)trap_table, fault_ra};
  call(cif, soft_state, "SUNW,soft-state-supported", 0, 0);
  call(cif, table, "SUNW,set-trap-table", 2, 0);
}
