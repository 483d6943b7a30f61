/* mmu.c - translation: permanent mappings, TSB walk, miss and protection traps, fault status area, demap. */
#include "check.h"
#include "hcall.h"

#define VALID (1ul << 63)
#define CACHED (3ul << 9)
#define PRIVILEGED (1ul << 8)
#define EXECUTE (1ul << 7)
#define WRITE (1ul << 6)
enum { SIZE_8K = 0, SIZE_4M = 3, PAGE = 8192, FLAG_DATA = 1, FLAG_BOTH = 3, TSB_ENTRIES = 512 };
enum { TT_MISS_TSB = 0x031, TT_ACCESS = 0x030, TT_MISS = 0x068, TT_PROTECTION = 0x06c };

struct tte {
  u64 tag, data;
};
struct tsb_descriptor {
  u16 page_size_index, associativity;
  u32 entries, context_index, page_size_mask;
  u64 base, reserved;
};
static struct tte tsb[TSB_ENTRIES] ALIGNED(TSB_ENTRIES * 16);
static struct tsb_descriptor descriptor ALIGNED(8);
static u8 frame[2][PAGE] ALIGNED(8192);
static volatile u64 *const window = (volatile u64 *)0x40000000; /* a virtual address that is no real one */

static u64 call(u64 function, u64 a, u64 b, u64 c, u64 d) {
  struct hcall h = {{a, b, c, d}};
  return hcall_fast(function, &h);
}

static u64 data_of(const void *ra, u64 flags) { return VALID | (u64)ra | CACHED | PRIVILEGED | flags | SIZE_8K; }

static void tsb_put(const volatile void *va, u64 data) {
  struct tte *e = &tsb[(u64)va / PAGE % TSB_ENTRIES];
  e->tag = (u64)va >> 22;
  e->data = data;
}

static u64 demap_data(const volatile void *va) {
  struct hcall h = {{0, 0, (u64)va, 0, FLAG_BOTH}};
  return hcall_fast(MMU_DEMAP_PAGE, &h);
}

static void load_window(u64 *to) { __asm__ volatile("ldx [%1], %0" : "+r"(*to) : "r"(window) : "memory"); }
static void store_window(u64 v) { __asm__ volatile("stx %0, [%1]" : : "r"(v), "r"(window) : "memory"); }

/* Identity mapping of the first 4 MiB, where this program is, then translation on at the next instruction. */
static void enable(void) {
  u64 tte = VALID | CACHED | PRIVILEGED | EXECUTE | WRITE | SIZE_4M;
  CHECK_EQUAL(call(MMU_MAP_PERM_ADDR, 0, 0, tte, FLAG_BOTH), EOK);
  u64 status;
  __asm__ volatile(
      "mov 1, %%o0\n\trd %%pc, %%o1\n\tadd %%o1, 16, %%o1\n\tmov %1, %%o5\n\tta 0x80\n\tmov %%o0, %0"
      : "=r"(status)
      : "i"(MMU_ENABLE)
      : "memory", "o0", "o1", "o2", "o3", "o4", "o5");
  CHECK_EQUAL(status, EOK);
}

static void misses(void) {
  u64 value = 1;
  CHECK_TRAP(TT_MISS, load_window(&value)); /* no TSB yet: the fast miss trap */
  CHECK_EQUAL(fault_area.dfa, window);
  CHECK_EQUAL(fault_area.dfc, 0);
  descriptor = (struct tsb_descriptor){0, 1, TSB_ENTRIES, 0, 1, (u64)tsb, 0};
  for (int i = 0; i < TSB_ENTRIES; i++) tsb[i].tag = 0x4040404040404040; /* reserved bits: never matches */
  CHECK_EQUAL(call(MMU_TSB_CTX0, 1, (u64)&descriptor, 0, 0), EOK);
  CHECK_TRAP(TT_MISS_TSB, load_window(&value));
  CHECK_EQUAL(fault_area.dft, FAULT_MISS);
  CHECK_EQUAL(fault_area.dfa, window);
}

static void walk(void) {
  u64 value = 0;
  *(volatile u64 *)frame[0] = 111;
  *(volatile u64 *)frame[1] = 222;
  tsb_put(window, data_of(frame[0], WRITE));
  load_window(&value);
  CHECK_EQUAL(value, 111);
  store_window(112);
  CHECK_EQUAL(*(volatile u64 *)frame[0], 112);
  tsb_put(window, data_of(frame[1], 0)); /* read only, elsewhere */
  CHECK_EQUAL(demap_data(window), EOK);
  load_window(&value);
  CHECK_EQUAL(value, 222);
  CHECK_TRAP(TT_PROTECTION, store_window(5));
  CHECK_EQUAL(*(volatile u64 *)frame[1], 222);
  tsb_put(window, 0);
  CHECK_EQUAL(demap_data(window), EOK);
  CHECK_TRAP(TT_MISS_TSB, load_window(&value));
}

static void mapped_by_call(void) {
  struct hcall h = {{(u64)window, 0, data_of(frame[0], WRITE), FLAG_DATA}};
  u64 value = 0;
  CHECK_EQUAL(hcall_map_addr(&h), EOK);
  load_window(&value);
  CHECK_EQUAL(value, 112);
  struct hcall all = {{0, 0, FLAG_BOTH}};
  CHECK_EQUAL(hcall_fast(MMU_DEMAP_ALL, &all), EOK); /* the permanent mapping stays: this code runs on */
  CHECK_TRAP(TT_MISS_TSB, load_window(&value));
}

static void bad_address(void) {
  u64 value = 0;
  tsb_put(window, data_of((const void *)(1ul << 40), WRITE));
  CHECK_TRAP(TT_ACCESS, load_window(&value));
  u64 real;
  __asm__ volatile("ldxa [%1] 0x14, %0" : "=r"(real) : "r"(frame[1]) : "memory");
  CHECK_EQUAL(real, 222);
  CHECK_TRAP(TT_ACCESS, __asm__ volatile("ldxa [%0] 0x14, %%g1" : : "r"(1ul << 40) : "memory", "g1"));
  CHECK_EQUAL(fault_area.dft, FAULT_REAL_ADDRESS);
}

int main(void) {
  enable();
  misses();
  walk();
  mapped_by_call();
  bad_address();
  return check_result("mmu");
}
