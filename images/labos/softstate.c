/* softstate.c - SOFT_STATE_SET with Solaris's words. */
#include "softstate.h"

#include "hyper.h"
#include "kernel.h"

enum { NORMAL = 1, TRANSITION = 2, TEXT_BYTES = 32 };
static enum soft_state current;

static const struct {
  u64 kind;
  char text[TEXT_BYTES];
} states[] ALIGNED(32) = {
    [SOFT_BOOTING] = {TRANSITION, "Solaris booting"},     [SOFT_RUNNING] = {NORMAL, "Solaris running"},
    [SOFT_HALTING] = {TRANSITION, "Solaris halting"},     [SOFT_REBOOTING] = {TRANSITION, "Solaris rebooting"},
    [SOFT_PANICKING] = {TRANSITION, "Solaris panicking"}, [SOFT_DEBUGGING] = {TRANSITION, "Solaris debugging"},
    [SOFT_SUSPENDED] = {TRANSITION, "Solaris suspended"},
};

void soft_state_set(enum soft_state state) {
  static char text[TEXT_BYTES] ALIGNED(TEXT_BYTES);
  memcpy(text, states[state].text, sizeof text);
  current = state;
  hyper(SOFT_STATE_SET, states[state].kind, ra_of(text), 0, 0);
}

enum soft_state soft_state(void) { return current; }
