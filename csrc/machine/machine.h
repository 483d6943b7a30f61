/* machine.h - one domain's strands, memory and time, behind the public interface. */
#ifndef S4V_MACHINE_MACHINE_H
#define S4V_MACHINE_MACHINE_H
#include "hyp/hyp.h"
#include "hyp/ldc_wire.h"
#include "machine/crew.h"
#include "strand/watch.h"
#include "sun4v.h"
#include "vio/vdisk.h"

#define CODE_BYTES ((u64)256 << 20)
enum { TRACE_BYTES = 1 << 16, MAX_BREAKPOINTS = 256, MAX_WATCHPOINTS = 64, TICK_UNIT = 1 << 16, TRACE_LINE = 160 };

struct s4v_machine {
  struct domain domain; /* first: strand_env.machine points here */
  s4v_config config;
  s4v_config server; /* as it was made: what a guest that comes from elsewhere may need of it (moving.c) */
  struct physmem *physmem;
  /* Time. Deterministic: an instruction of the strand whose turn it is advances TICK by `unit` / TICK_UNIT, where
   * unit = TICK_UNIT / strands at work, so that strands taking turns share one clock. Else the host's clock. */
  u64 tick_base, tick_fraction, unit;
  u64 host_start_ns;
  u32 turn;      /* strand whose turn it is */
  u64 turn_left; /* instructions left of it */
  u64 insns;     /* completed by all strands */
  u32 kicked;
  u64 deadline_ns;           /* of the run: host time, 0: none */
  u64 deadline_tick;         /* of the run, deterministic: 0: none */
  struct vio *vio;           /* disks; NULL: there was none yet */
  u32 disk_news;             /* some request is done */
  struct crew crew;          /* real time, where there may be several strands */
  struct strand **known;     /* by id: those that are or were present */
  struct codecache **caches; /* by id with a crew, else one for all */
  u32 cache_room;
  u64 code_limit;
  const struct translator *translator; /* of all caches; NULL: they interpret */
  const char *engine_why;              /* why some code is not translated that was to be; NULL: all is as it was asked for */
  int engine_errno;                    /* what the host said to that, or 0 */
  u64 breakpoints[MAX_BREAKPOINTS];
  struct watchpoint watches[MAX_WATCHPOINTS];
  struct observation *observation; /* observe.c; NULL: nobody looks */
  u32 trace_start, trace_count;
  u8 trace[TRACE_BYTES];
};

/* strands.c */
bool strands_new(s4v_machine *, u32 count);           /* with strands 0 to count - 1; false: no host memory */
void strands_free(s4v_machine *);
u32 machine_place(const s4v_machine *, u32 id);       /* of a strand among those present */
bool machine_set_strands(s4v_machine *, const uint32_t *ids, u32 count); /* these, ascending; false: no host memory */
void machine_drop_code(s4v_machine *);                /* all decoded code */
u64 busy_begin(struct strand *);                      /* by the thread that runs the strand, around each stretch */
void busy_end(struct strand *, u64 since);

/* engine.c */
bool machine_use_translator(s4v_machine *, struct codecache *); /* false: it cannot, and engine_why says why */

/* memory.c */
bool machine_same_memory(const s4v_machine *, struct reader *);
void machine_save_layout(const s4v_machine *, struct writer *);
typedef void (*page_sink)(void *ctx, u64 ra, const u8 *bytes);
void machine_each_page(const s4v_machine *, page_sink, void *ctx); /* that holds more than zeros; ascending */

/* time.c */
u64 machine_tick(struct strand *, u64 insns_in_slice);
u64 machine_insns_until(struct strand *, u64 ticks);
void machine_advance(s4v_machine *, u64 insns);
void machine_settle_time(s4v_machine *); /* at the end of a run: what the clock says becomes state */
u64 machine_elapsed_seconds(struct domain *);
u64 machine_host_ns(void);
/* An error with its text; returns `status`. */
__attribute__((format(printf, 4, 5))) int machine_refuse(int status, char *err, size_t bytes, const char *format, ...);
u64 machine_ticks_ns(const s4v_machine *, u64 ticks); /* host time until TICK has advanced so far, rounded up */

/* observe.c */
void machine_observe_run(s4v_machine *, struct strand *, u64 since, u64 insns); /* a stretch, from tick `since` on */
void machine_observe_end(s4v_machine *);

/* run.c */
void machine_new_turn(s4v_machine *);
bool machine_expects_news(const s4v_machine *); /* from other domains, at any time: a guest that waits is not idle */
bool machine_has_news(const s4v_machine *);
bool machine_run_ends(s4v_machine *, s4v_stop *); /* kick, suspend, watchdog, time */
void machine_fill_stop(s4v_machine *, struct strand *, u32 why, s4v_stop *);

/* vdisk.c */
struct vio *machine_vio(s4v_machine *);               /* made when it is first wanted; NULL: no host memory */
bool machine_disks_busy(const s4v_machine *);         /* requests are on their way: the guest will be woken */
bool machine_disks_look(s4v_machine *);               /* answers what is done; true: the client shall look */
void machine_disks_settle(s4v_machine *);             /* no worker reads or writes memory of the guest any more */

/* crew.c: a run with every strand on a thread of its own. Comes back early, with S4V_STOP_BUDGET, where the host gives
 * no thread (crew.refused). */
void crew_run(s4v_machine *, u64 budget, s4v_stop *);

#endif
