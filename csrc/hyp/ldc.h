/* ldc.h - logical domain channels: queues, states, packets, exported memory (UltraSPARC VM Specification 3.0).
 *
 *   guest TX queue --> other endpoint of this domain: its RX queue    (LDC_GUEST)
 *                  --> an endpoint of another domain, ldc_wire.h      (LDC_WIRE)
 *                  --> the client, which takes packets from the queue (LDC_HOST)
 *
 * What finds no room stays in the TX queue. Devinos of channel n: TX 2n, RX 2n + 1.
 */
#ifndef S4V_HYP_LDC_H
#define S4V_HYP_LDC_H
#include "hyp/interrupt.h"

enum { LDC_PACKET = 64, LDC_MAP_BYTES = 16, LDC_MAP_ENTRIES = 1 << 24,
       LDC_EXPORT_MOST = 16 << 20 };
enum ldc_kind { LDC_NONE = 0, LDC_HOST = 1, LDC_GUEST = 2, LDC_WIRE = 3 };
enum ldc_state { LDC_DOWN = 0, LDC_UP = 1, LDC_RESET = 2 };
/* LDC_RESET is to be reported, once; the guest was told last that the channel is DOWN. */
enum ldc_reset { RESET_DUE = 1, TOLD_DOWN = 2 };

/* A ring of packets in guest memory. bytes 0: not configured. head, tail: byte offsets; empty: equal. */
#define LDC_QUEUE_FIELDS(X) X(u64, base) X(u64, bytes) X(u64, head) X(u64, tail)
struct ldc_queue { LDC_QUEUE_FIELDS(HYP_MEMBER) };

#define LDC_FIELDS(X)                                                       \
  X(u64, map_base)                                                          \
  X(u64, map_entries) /* 0: no map table */                                 \
  X(u64, export_bytes) /* LDC_HOST: memory the client exports, cookies 0 and up */ \
  X(u64, resets)      /* times the guest has configured its RX queue */     \
  X(u32, peer)        /* the other endpoint, LDC_GUEST */                   \
  X(u8, kind)         /* enum ldc_kind */                                   \
  X(u8, up)           /* LDC_HOST: the client is there */                   \
  X(u8, reset)        /* enum ldc_reset */                                  \
  X(u8, rx_event)     /* the state has changed since the last look */       \
  X(u8, tx_event)     /* there is room in TX again */                       \
  X(u8, host_waits)   /* the client found no room in RX */

struct ldc_endpoint {
  struct ldc_queue tx, rx;
  u8 *exported; /* export_bytes and EXPORT_MARKS, on the heap */
  struct ldc_wire *wire; /* LDC_WIRE: NULL, nobody is at the other end. No state, as the next two */
  u32 next_wired;        /* endpoint with a wire + 1; 0: the last */
  u8 side;               /* our end of the wire */
  LDC_FIELDS(HYP_MEMBER)
};

/* A page of the other end, mapped in at LDC_MAPIN's real address. */
#define MAPIN_FIELDS(X)                                                                            \
  X(u64, target)  /* LDC_GUEST: the page's real address; LDC_HOST: offset in what is exported */   \
  X(u64, index)   /* of the map table entry */                                                     \
  X(u64, revoke)  /* revocation cookie */                                                          \
  X(u32, exporter) /* endpoint whose memory it is */                                               \
  X(u8, code)     /* page size */                                                                  \
  X(u8, rights)   /* enum place_right of strand/mmu.h; 0: free */

struct ldc_mapin { MAPIN_FIELDS(HYP_MEMBER) };
enum { LDC_MAPINS = 1024, EXPORT_MARKS = 3 };

struct channels {
  u32 count;         /* endpoints that this machine can have: numbers below it */
  u32 first_wired;   /* endpoint with a wire + 1; 0: none. No state */
  u64 revokes;       /* revocation cookies given out */
  struct ldc_mapin mapin[LDC_MAPINS];
  struct ldc_endpoint endpoint[LDC_ENDPOINTS];
};

void ldc_add_host(struct domain *, u32 id);
void ldc_connect(struct domain *, u32 a, u32 b);
void ldc_add_wire(struct domain *, u32 id);             /* DOWN until a wire is plugged in */
void ldc_remove(struct domain *, u32 id);              /* a connected one with its peer */
void ldc_unconfigure(struct domain *);                 /* domain reset: queues and tables go, channels stay */
void ldc_reset_all(struct domain *);                   /* every channel is to report RESET: the other ends are new */
void ldc_set_up(struct domain *, u32 id, bool up);
void ldc_reset(struct domain *, u32 id);
u64 ldc_send(struct domain *, u32 id, const u8 *packets, u64 count); /* to the guest; packets taken */
u64 ldc_receive(struct domain *, u32 id, u8 *packets, u64 count);    /* from the guest */
bool ldc_export(struct domain *, u32 id, u64 bytes);   /* zeroed; 0: none; false: the host has no memory */
void ldc_free(struct channels *);                      /* what is on the heap */
void ldc_clear(struct domain *);                       /* no channel; the limit stays */
bool ldc_level(const struct domain *, u32 devino);

/* enum ldc_state, as the guest is to know it. A change of it is told with `rx`, and where the interrupt that announces it is
 * being handled: Linux notices changes in its RX handler alone, and takes what it asked for elsewhere for known. A guest that
 * has given the source no cookie and has not enabled it asks by itself, and is told at once. RESET is told once. */
u32 ldc_state(struct domain *, u32 id, bool rx);
bool ldc_pump(struct domain *, u32 id);                /* these three: true, an interrupt went out */
bool ldc_pull(struct domain *, u32 id);
bool ldc_rx_changed(struct domain *, u32 id, bool was); /* `was`: it had an RX queue */
struct ldc_endpoint *ldc_find(struct domain *, u64 id); /* NULL: no such channel */
void ldc_save(const struct channels *, struct writer *);
bool ldc_load(struct domain *, struct reader *);

/* ldc_map.c: a run of bytes that a cookie of this endpoint's map table stands for. Returns enum hv_error. */
enum ldc_right { LDC_MAP_READ = 1 << 4, LDC_MAP_WRITE = 1 << 5, LDC_MAP_EXECUTE = 1 << 6,
                 LDC_COPY_READ = 1 << 9, LDC_COPY_WRITE = 1 << 10 };
u32 ldc_translate(const struct domain *, const struct ldc_endpoint *, u64 cookie, u32 right, u64 *ra, u64 *bytes);

/* ldc_mapin.c */
struct ram_ref;
bool mapin_place(void *machine, u64 ra, struct ram_ref *, u32 *rights); /* strand_env.mapped */
void mapin_drop(struct domain *, u32 exporter);         /* what is mapped in of an endpoint goes */
void mapin_drop_all(struct domain *);
void mapin_save(const struct channels *, struct writer *);
bool mapin_load(struct domain *, struct reader *);      /* after the endpoints */

#endif
