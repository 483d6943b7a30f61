/* calls.h - the handlers hcall.def names. Each reads %o0.., writes its results and returns enum body_result. */
#ifndef S4V_HYP_CALLS_H
#define S4V_HYP_CALLS_H
#include "hyp/hyp.h"

u32 hc_status(struct strand *, u32 status); /* %o0 = status, go on */
u32 hc_event(struct strand *, u32 status);  /* the same; others may have work now: the scheduler looks */
u32 hc_again(struct strand *);              /* not completed: the strand is wanted at rest, and calls again later */

#define HCALL(trap, function, group, minor, scope, name, handler, text) u32 handler(struct strand *, struct domain *);
#include "hyp/hcall.def"
#undef HCALL

#endif
