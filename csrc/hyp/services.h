/* services.h - what the hypervisor remembers for a guest besides strands and console: soft state, watchdog, reboot
 * data, suspend, error handles. Part of the state image (state.c): a member stands in the field list.
 */
#ifndef S4V_HYP_SERVICES_H
#define S4V_HYP_SERVICES_H
#include "util/buffer.h"

#define HYP_MEMBER(type, name) type name;

enum { SOFT_STATE_NORMAL = 1, SOFT_STATE_TRANSITION = 2, SOFT_STATE_BYTES = 32 };
enum { REBOOT_DATA_BYTES = 512 };
enum { WATCHDOG_RESOLUTION_MS = 1000 };
#define WATCHDOG_MAX_MS 31536000000ull /* a year */

#define SERVICE_FIELDS(X)                                                                  \
  X(u64, soft_state)                                                                       \
  X(u64, watchdog_tick) /* TICK at which the watchdog bites, 0: off */                     \
  X(u64, reboot_length)                                                                    \
  X(u64, suspended)     /* 1: in MACH_SUSPEND, nothing runs until the client resumes it */ \
  X(u64, suspend_strand)                                                                   \
  X(u64, error_handle)  /* last EHDL given out */                                          \
  X(u64, trace_frozen)  /* TTRACE_FREEZE, all strands */                                   \
  X(u64, dump_base)     /* DUMP_BUF_UPDATE */                                              \
  X(u64, dump_bytes)

struct services {
  SERVICE_FIELDS(HYP_MEMBER)
  u8 soft_text[SOFT_STATE_BYTES];
  u8 reboot_data[REBOOT_DATA_BYTES];
};

struct domain;
void services_init(struct services *);
void services_reset(struct services *); /* a domain reset: reboot data stay */
void services_save(const struct services *, struct writer *);
bool services_load(struct services *, struct reader *);

#endif
