/* hyp.h - the hypervisor side of one domain: what the hypercalls act on. */
#ifndef S4V_HYP_HYP_H
#define S4V_HYP_HYP_H
#include "hyp/interrupt.h"
#include "hyp/ldc.h"
#include "hyp/ncs.h"
#include "hyp/poison.h"
#include "hyp/rng.h"
#include "hyp/services.h"
#include "strand/firmware.h"
#include "strand/strand.h"
#include "strand/window.h"

enum hv_error {
  HV_EOK = 0, HV_ENOCPU = 1, HV_ENORADDR = 2, HV_ENOINTR = 3, HV_EBADPGSZ = 4, HV_EBADTSB = 5, HV_EINVAL = 6,
  HV_EBADTRAP = 7, HV_EBADALIGN = 8, HV_EWOULDBLOCK = 9, HV_ENOACCESS = 10, HV_EIO = 11, HV_ECPUERROR = 12,
  HV_ENOTSUPPORTED = 13, HV_ENOMAP = 14, HV_ETOOMANY = 15, HV_ECHANNEL = 16, HV_EBUSY = 17,
};

/* API groups this hypervisor knows; `domain.major` is indexed by them. hyp.c has their numbers and versions. */
enum hv_group {
  GROUP_SUN4V = 0, GROUP_CORE, GROUP_INTR, GROUP_SOFT_STATE, GROUP_LDOM, GROUP_NCS, GROUP_RNG, GROUP_REBOOT_DATA,
  GROUP_COUNT,
};

enum { CONSOLE_BYTES = 1 << 16, BLOB_MAX_BYTES = 1 << 26 };
/* Tcc of the client interface's entry: no number of the sun4v API. */
enum { FIRMWARE_TRAP = 0xf0 };
enum console_event { CONSOLE_NONE = 0, CONSOLE_BREAK = 1, CONSOLE_HUP = 2 };

/* A byte queue; `start` and `count` index the ring. */
struct console_ring {
  u32 start, count;
  u8 bytes[CONSOLE_BYTES];
};

/* Bytes that the hypervisor does not look into; owned; n 0: none. */
struct blob {
  u8 *bytes;
  size_t n;
};

struct domain {
  struct strand_env env;
  struct strand **strands;
  u32 strand_count;
  u32 page_sizes;
  u16 major[GROUP_COUNT], minor[GROUP_COUNT]; /* negotiated; major 0: not */
  u64 tod_offset; /* TOD = offset + elapsed seconds */
  u64 exit_code;
  u32 console_event; /* enum console_event, delivered once the input is empty */
  struct console_ring input, output;
  struct services services;
  struct interrupts interrupts;
  struct channels channels;
  struct ncs ncs;
  struct rng rng;
  struct poison poison;
  struct blob md;     /* machine description in its transport format */
  struct blob client; /* what the client keeps in the state image */
  u32 firmware_present; /* 1: FIRMWARE_TRAP is the firmware's */
  struct firmware_maps firmware;
  u64 (*elapsed_seconds)(struct domain *);
};

void hyp_init(struct domain *, u64 seed);               /* as firmware leaves it: SUN4V 1.0, CORE 1.1 */
void hyp_reset(struct domain *);                        /* what a reset of the domain forgets; strands are the caller's */
void hyp_save(const struct domain *, struct writer *);
bool hyp_load(struct domain *, struct reader *);        /* false: malformed */
u32 hyp_call(struct strand *, u32 trap);                /* strand_env.hypercall */
struct domain *hyp_domain(const struct strand *);
struct strand *hyp_strand(struct domain *, u64 cpuid);  /* NULL: no such CPU */
bool hyp_mondo(struct strand *, u32 queue, const u8 bytes[64]); /* false: queue full or not configured */

struct error_report {
  u32 desc, attr; /* as the guest reads them; bit 31 of attr (queue full) is set here */
  u64 ra;         /* all ones: unknown */
  u32 size;
  u16 grace_seconds, asr;
  u8 asi;
};
/* After a real address has gone, or another stands behind it: no strand of the domain may use what it knew. */
void hyp_forget_translations(struct domain *);
/* Queues an error report for a strand. Returns its handle (EHDL), 0: stopped, no queue, or no room. */
u64 hyp_report_error(struct domain *, struct strand *, bool resumable, const struct error_report *);
bool blob_set(struct blob *, const void *bytes, size_t n); /* a copy; false: too large, or no host memory */
void blob_save(const struct blob *, struct writer *);
bool blob_load(struct blob *, struct reader *);

u32 console_put(struct console_ring *, const u8 *, u32 len); /* bytes taken */
u32 console_get(struct console_ring *, u8 *, u32 len);

const char *hyp_call_name(u32 trap, u64 function);      /* for traces; NULL: unknown */

/* Arguments are %o0..%o4, results %o0 (status) and %o1.. */
static inline u64 hv_arg(const struct strand *s, u32 n) { return reg_get(s, 8 + n); }
static inline void hv_ret(struct strand *s, u32 n, u64 v) { reg_set(s, 8 + n, v); }

#endif
