/* ldc_wire.h - channels between two domains of a server.
 *
 *   domain A: TX queue ── wire_pump ──▶ ring of the wire's other end ── wire_look ──▶ RX queue: domain B
 *   domain B: LDC_COPY ──▶ map table and memory of A, under A's `reach`
 *
 * Each domain touches its own queues, flags and interrupts only, in its own time; what the other end is to know lies in the
 * wire, under the wire's lock, and rings it (domain_tell). Order of locks: own domain's, wire's, the other domain's `reach`
 * for reading. An end is plugged in and taken out by its own domain's client between runs.
 */
#ifndef S4V_HYP_LDC_WIRE_H
#define S4V_HYP_LDC_WIRE_H
#include "hyp/ldc.h"

struct ldc_wire;

struct ldc_wire *wire_new(void);                 /* held by the caller; NULL: no host memory */
void wire_release(struct ldc_wire *);            /* the caller holds it no more */
/* An end of kind LDC_WIRE gets a wire's end; false: that one is taken, or the endpoint has a wire. */
bool wire_plug(struct domain *, u32 id, struct ldc_wire *, u32 side);
void wire_unplug(struct domain *, u32 id);       /* the other end sees DOWN; what is under way is lost */
void wires_unplug(struct domain *);              /* all of them */
bool wires_look(struct domain *);                /* what other ends have brought; true: an interrupt went out */

/* For ldc.c and the calls, of an endpoint of kind LDC_WIRE. True: an interrupt went out. */
bool wire_look(struct domain *, u32 id);         /* takes in what the other end has sent and done */
bool wire_pump(struct domain *, u32 id);         /* hands on what the guest has sent */
void wire_configured(struct domain *, u32 id);   /* RX queue: there, anew, or gone */
void wire_set_map(struct ldc_endpoint *, u64 base, u64 entries);
bool wire_there(const struct ldc_endpoint *);    /* has the other end a receive queue */
u32 wire_copy(struct domain *, const struct ldc_endpoint *, bool out, u64 cookie, u64 local, u64 length, u64 *copied);

#endif
