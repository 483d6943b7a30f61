/* hyper.h - hypercalls as functions: the status comes back, results through pointers. */
#ifndef LABOS_HYPER_H
#define LABOS_HYPER_H
#include "hcall.h"
#include "types.h"

static inline u64 hyper(u64 function, u64 a, u64 b, u64 c, u64 d) {
  struct hcall h = {{a, b, c, d, 0}};
  return hcall_fast(function, &h);
}

/* ret1 to *value. */
static inline u64 hyper_get(u64 function, u64 a, u64 b, u64 *value) {
  struct hcall h = {{a, b, 0, 0, 0}};
  u64 status = hcall_fast(function, &h);
  *value = h.arg[1];
  return status;
}

static inline u64 hyper_version(u64 group, u64 major, u64 minor, u64 *granted) {
  struct hcall h = {{group, major, minor, 0, 0}};
  u64 status = hcall_core(API_SET_VERSION, &h);
  *granted = h.arg[1];
  return status;
}

static inline u64 asi_load_scratchpad(u64 at) {
  u64 v;
  __asm__ volatile("ldxa [%1] 0x20, %0" : "=r"(v) : "r"(at));
  return v;
}

static inline u64 asi_load_queue(u64 at) {
  u64 v;
  __asm__ volatile("ldxa [%1] 0x25, %0" : "=r"(v) : "r"(at) : "memory");
  return v;
}

static inline void asi_store_queue(u64 at, u64 v) {
  __asm__ volatile("stxa %0, [%1] 0x25\n\tmembar #Sync" : : "r"(v), "r"(at) : "memory");
}

static inline void asi_store_mmu(u64 at, u64 v) {
  __asm__ volatile("stxa %0, [%1] 0x21\n\tmembar #Sync" : : "r"(v), "r"(at) : "memory");
}
#endif
