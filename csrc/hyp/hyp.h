/* hyp.h - the hypervisor side of one domain: what the hypercalls act on. */
#ifndef S4V_HYP_HYP_H
#define S4V_HYP_HYP_H
#include <pthread.h>

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

/* Strands that run beside each other, on host threads. The lock is held by whoever touches what hypercalls share: all of
 * this structure, the queues of any strand, run_state, waiting, poked, and everything of a strand that rests. Whoever
 * ends a run for the client says so under the lock (`halting`, `stopper`); from then on no call of scope SHARED is
 * carried out any more, so that no second strand can stop as well. docs/internals/threads.md. */
struct beside {
  pthread_mutex_t lock;
  bool on;                /* false: strands take turns on one thread, and nobody locks */
  bool halting;           /* all strands are wanted at rest */
  struct strand *stopper; /* whose call ends the run; NULL: none */
  /* The scheduler's part, under the lock, only while `on`. */
  void (*wake)(struct domain *, struct strand *);  /* there may be work for it; NULL: a time to watch has changed */
  bool (*hold)(struct domain *, struct strand *by, struct strand *); /* brings it to rest; false: `by` is wanted there */
  void (*release)(struct domain *, struct strand *);                 /* after hold() */
};

/* What a look of the core at packets for the client has come to: some are left for it; none; none, and answers went out. */
enum host_packets { HOST_CLIENT, HOST_SERVED, HOST_ANSWERED };

enum watched { WATCH_OUTPUT = 1, WATCH_SOFT_STATE = 2 }; /* S4V_WATCH_* */

struct domain {
  struct strand_env env;
  struct beside beside;
  struct strand **strands; /* those the domain has, by ascending id */
  u32 strand_count;
  struct strand **by_id;   /* max_strands of them; NULL: absent */
  u32 max_strands;
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
  u32 (*host_packets)(struct domain *, u32 channel); /* NULL: all packets are the client's */
  u32 news; /* other domains have something for this one (domain_tell) */
  void (*ring)(struct domain *);
  pthread_rwlock_t reach; /* held for reading by other domains that copy from and to its memory (ldc_wire.h) */
  u32 watched; /* enum watched: what `noticed` shall be told of, once; no state */
  void (*noticed)(struct domain *);
};

void hyp_init(struct domain *, u64 seed);               /* as firmware leaves it: SUN4V 1.0, CORE 1.1 */
void hyp_reset(struct domain *);                        /* what a reset of the domain forgets; strands are the caller's */
void hyp_save(const struct domain *, struct writer *);
bool hyp_load(struct domain *, struct reader *);        /* false: malformed */
/* API versions by group number; status as the calls have it. */
u32 hyp_set_version(struct domain *, u64 group, u64 major, u64 minor, u64 *granted);
u32 hyp_get_version(const struct domain *, u64 group, u64 *major, u64 *minor);
u32 hyp_call(struct strand *, u32 trap);                /* strand_env.hypercall */
void hyp_lock(struct domain *);                         /* where strands run beside each other */
void hyp_unlock(struct domain *);
void hyp_wake(struct domain *, struct strand *);
struct domain *hyp_domain(const struct strand *);
struct strand *hyp_strand(const struct domain *, u64 cpuid);  /* NULL: no such CPU */
/* What the hypervisor keeps for the guest in real addresses ra to last, as text; false: nothing. */
bool hyp_memory_user(const struct domain *, u64 ra, u64 last, char *text, size_t bytes);
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

/* By any thread that keeps the domain from going away: it is to look, soon, at what others have for it. */
static inline void domain_tell(struct domain *d) {
  if (!__atomic_exchange_n(&d->news, 1, __ATOMIC_SEQ_CST)) d->ring(d);
}

static inline void domain_notice(struct domain *d, u32 what) {
  if (!(d->watched & what)) return;
  d->watched &= ~what;
  d->noticed(d);
}

u32 console_put(struct console_ring *, const u8 *, u32 len); /* bytes taken */
u32 console_get(struct console_ring *, u8 *, u32 len);

const char *hyp_call_name(u32 trap, u64 function);      /* for traces; NULL: unknown */

/* Arguments are %o0..%o4, results %o0 (status) and %o1.. */
static inline u64 hv_arg(const struct strand *s, u32 n) { return reg_get(s, 8 + n); }
static inline void hv_ret(struct strand *s, u32 n, u64 v) { reg_set(s, 8 + n, v); }

#endif
