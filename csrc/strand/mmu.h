/* mmu.h - VA to RA as the sun4v hypervisor does it for a guest: permanent mappings, MMU_MAP_ADDR entries, TSB walk.
 * Sources: UltraSPARC VM Specification 3.0, chapters 14 and 16. */
#ifndef S4V_STRAND_MMU_H
#define S4V_STRAND_MMU_H
#include "strand/strand.h"

enum access { ACCESS_LOAD = 0, ACCESS_STORE = 1, ACCESS_ATOMIC = 2, ACCESS_FETCH = 3, ACCESS_NOFAULT = 4 };

/* Fault types of the MMU fault status area. */
enum fault_type {
  FAULT_MISS_FAST = 1, FAULT_PROTECTION = 2, FAULT_MISS = 3, FAULT_INVALID_RA = 4, FAULT_PRIVILEGE = 5,
  FAULT_NO_EXECUTE = 6, FAULT_NFO = 7, FAULT_SIDE_EFFECT = 8, FAULT_VA_RANGE = 9, FAULT_ASI = 0xa,
  FAULT_ATOMIC_NC = 0xb, FAULT_PRIVILEGED_ACTION = 0xc, FAULT_UNALIGNED = 0xe, FAULT_PAGE_SIZE = 0xf, FAULT_INVALID_TSB_RA = 0x10,
};

enum tte_bit { TTE_P = 1 << 8, TTE_X = 1 << 7, TTE_W = 1 << 6, TTE_CP = 1 << 10, TTE_E = 1 << 11, TTE_IE = 1 << 12 };
#define TTE_V (1ull << 63)
#define TTE_NFO (1ull << 62)
#define TTE_RA_MASK 0x00ffffffffffe000ull

enum { MAP_D = 1, MAP_I = 2 }; /* flags of MMU_MAP_ADDR, MMU_MAP_PERM_ADDR, MMU_DEMAP_* */

static inline u64 bank_key(u32 kind, u64 ctx0, u64 ctx1) { return kind | ctx0 << 2 | ctx1 << 18; }
static inline u64 key_real(void) { return bank_key(BANK_REAL, 0, 0); }
static inline u32 tte_shift(u64 tte) { return 13u + 3u * (u32)(tte & 7); }
/* Does a mapping (va, tte, flags) share an address with the page of `tte` at `va`? */
static inline bool map_overlaps(const u64 *m, u64 va, u64 tte) {
  u32 a = tte_shift(m[1]), b = tte_shift(tte);
  return !((m[0] ^ va) >> (a > b ? a : b));
}

/* The bank of a key: found, or the least recently used one emptied. */
struct tlb_bank *mmu_bank(struct strand *, u64 key);
void mmu_spaces_changed(struct strand *); /* contexts, the MMU's state, or what banks stand for */
u64 mmu_implicit_key(const struct strand *); /* of fetches and of loads and stores without ASI */

/* 0 and the TTE-like result in *ra (page RA + offset) and *info (enum tlb_info), or a trap type; then fault_va,
 * fault_type, fault_context of the strand are set. */
struct mapping {
  u64 ra;
  u32 info; /* enum tlb_info */
  u32 invert_endian;
};
u32 mmu_translate(struct strand *, u64 key, u64 va, u32 access, struct mapping *);
u32 mmu_fault(struct strand *, u32 tt, u64 va, u32 context, u32 type);

/* For a debugger: the real address behind a VA in the contexts of a key, whatever its privilege, out of the soft TLB or
 * else the guest's tables; nothing changes. The other asks the soft TLB alone. */
bool mmu_look(struct strand *, u64 key, u64 va, u64 *ra);
bool mmu_look_like(const struct strand *, u64 key, u64 va, u64 *ra);

/* The trap's report in the fault status area; false: none is configured (watchdog). No-op for other traps. */
bool mmu_report(struct strand *, u32 tt);

/* Demaps; `flags` is MAP_D | MAP_I. Permanent mappings stay. */
void mmu_demap_page(struct strand *, u64 va, u64 context, u32 flags);
void mmu_demap_context(struct strand *, u64 context, u32 flags);
void mmu_demap_all(struct strand *, u32 flags);
void mmu_map(struct strand *, u64 va, u64 context, u64 tte, u32 flags);
void mmu_forget(struct strand *);      /* empty the soft TLB: what it knew may no longer be so; nothing else changes */
void mmu_forget_some(struct strand *, u64 mask); /* the entries whose number mod 64 has its bit in the mask */
/* The host's place of a real address: memory, or what is mapped in at LDC_MAPIN's addresses, and the rights there. */
enum place_right { PLACE_READ = 1, PLACE_WRITE = 2, PLACE_EXECUTE = 4 };
bool mmu_place(const struct strand_env *, u64 ra, struct ram_ref *, u32 *rights);
/* The error behind a real address: none, in its page, at the address (hyp/poison.h). */
enum poison_look { POISON_NONE = 0, POISON_PAGE, POISON_LINE_HIT };
void mmu_drop_writes(struct strand *); /* take back every write permission of the soft TLB */

#endif
