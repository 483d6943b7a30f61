/* rng.h - the random number generator behind RNG_* (group 0x104).
 *
 * A guest without control access reads data; one with it configures the unit, and tests it: without a noise source the
 * unit's shift register makes a known word. Source: Sun's hypervisor (rng.s), Linux 6.1 drivers/char/hw_random.
 */
#ifndef S4V_HYP_RNG_H
#define S4V_HYP_RNG_H
#include "hyp/services.h"

enum rng_state { RNG_UNCONFIGURED = 0, RNG_CONFIGURED = 1, RNG_HEALTHCHECK = 2, RNG_ERROR = 3 };
enum { RNG_CONTROLS = 4 };

#define RNG_FIELDS(X)                                                      \
  X(u64, random) /* state of the generator that stands for the noise */    \
  X(u64, state)  /* enum rng_state */                                      \
  X(u64, ready)  /* STICK from which on data may be read */                \
  X(u64, owned)  /* RNG_GET_DIAG_CONTROL */

struct rng {
  RNG_FIELDS(HYP_MEMBER)
  u64 control[RNG_CONTROLS];
  u32 control_access, second_layout; /* of the machine's configuration, not state: registers as those of the T4 */
};

void rng_init(struct rng *, u64 seed, u32 control_access, u32 second_layout);
void rng_reset(struct rng *); /* the unit stays as it is */
void rng_save(const struct rng *, struct writer *);
bool rng_load(struct rng *, struct reader *);

#endif
