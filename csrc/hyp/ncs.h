/* ncs.h - crypto units of the T1 to T3 behind NCS_* (group 0x103): queues of descriptors in guest memory.
 *
 *   queue: entries of 64 bytes; head (the hypervisor's), tail and head marker (the guest's) are byte offsets
 *   settail --> the work of [head, tail) is done at once --> head == tail, interrupt of the unit's devino
 *
 * The interrupt is a level: something was finished that asked for it, and the marker is not yet at the head.
 * Sources: FWARC 2005/125, 2006/174, 2006/425 as Sun's hypervisor and the drivers of Solaris and Linux use them;
 * UltraSPARC T1 and T2 supplements for the units.
 */
#ifndef S4V_HYP_NCS_H
#define S4V_HYP_NCS_H
#include "hyp/services.h"

enum { NCS_UNITS = 128, NCS_CPUS = 8, NCS_ENTRY = 64, NCS_LEAST_ENTRIES = 2, NCS_MOST_ENTRIES = 64,
       NCS_MOST_V1 = 512, MAU_WORDS = 160 };
/* NCS_MAU_T1 differs in its control register, and in how the exponent lies in its memory. */
enum ncs_kind { NCS_MAU = 1, NCS_CWQ = 2, NCS_MAU_T1 = 3 };

#define NCS_FIELDS(X)                                             \
  X(u64, base)                                                    \
  X(u64, entries) /* 0: not configured */                         \
  X(u64, head)                                                    \
  X(u64, tail)                                                    \
  X(u64, marker)                                                  \
  X(u32, ino)     /* devino of the virtual devices */             \
  X(u8, kind)     /* enum ncs_kind */                             \
  X(u8, cpu_count)                                                \
  X(u8, event)    /* the guest is to hear of what was finished */

struct ncs_unit {
  NCS_FIELDS(HYP_MEMBER)
  u16 cpu[NCS_CPUS];      /* the strands that share it */
  u64 memory[MAU_WORDS];  /* of a modular arithmetic unit */
  u64 jobs, errors;       /* descriptors and blocks worked off, and of them failed; since it is here, no state */
};

struct ncs {
  u32 count;
  struct ncs_unit unit[NCS_UNITS];
};

struct domain;
/* False: no room, the devino is taken or a strand has such a unit already. */
bool ncs_add(struct domain *, u32 kind, u32 ino, const u32 *cpus, size_t count);
bool ncs_remove(struct domain *, u32 ino);             /* the last unit takes its place; false: there is none */
void ncs_drop_strand(struct domain *, u32 cpu);        /* it leaves its units; those without strands go */
void ncs_reset(struct ncs *);                          /* queues and memories go, the units stay */
bool ncs_level(const struct domain *, u32 ino);
void ncs_save(const struct ncs *, struct writer *);
bool ncs_load(struct domain *, struct reader *);

static inline u64 ncs_queue_bytes(const struct ncs_unit *u) { return u->entries * NCS_ENTRY; }
static inline u64 ncs_next(const struct ncs_unit *u, u64 offset) {
  return offset + NCS_ENTRY < ncs_queue_bytes(u) ? offset + NCS_ENTRY : 0;
}

/* ncs_cwq.c: whether the control words of [tail, new tail) may be taken (enum hv_error), and their work. */
u32 ncs_cwq_check(const struct domain *, const struct ncs_unit *, u64 tail);
void ncs_cwq_run(struct domain *, struct ncs_unit *);
/* ncs_mau.c: the descriptor at the head. EOK, EINVAL, ENORADDR; EIO: no such operation, or operands it cannot have. */
u32 ncs_mau_run_one(struct domain *, struct ncs_unit *);

#endif
