/* sun4v.h - the only public header of the C core.
 *
 * Everything a client (the cffi binding, a C test, a fuzzer) may call. No structure of the core is visible:
 * a machine is an opaque pointer, registers are named, memory is reached by real or physical address.
 *
 * The file is read by cffi as well: plain C declarations only, no function-like macros, no conditionals
 * between the two CDEF marks.
 *
 * Errors: functions return 0 or a negative S4V_E* code; s4v_machine_new() returns NULL and fills `err`.
 * Threads: a machine is used by one thread at a time, except s4v_kick(), which any thread and any signal handler may
 * call, and the few that say so. In real time each of several strands runs on a thread of its own, inside s4v_run() only: when that returns,
 * nothing of the guest runs.
 */
#ifndef SUN4V_H
#define SUN4V_H
#include <stddef.h>
#include <stdint.h>

/* CDEF BEGIN */
enum {
  S4V_OK = 0,
  S4V_EINVAL = -1,   /* an argument is out of range */
  S4V_ENOENT = -2,   /* no such register, symbol or strand */
  S4V_EFAULT = -3,   /* an address is not backed by guest memory */
  S4V_ENOMEM = -4,   /* the host refused memory */
  S4V_EFORMAT = -5,  /* a state image is malformed or of another version */
  S4V_EREADONLY = -6, /* the register cannot be written */
  S4V_EFULL = -7,     /* the guest's queue is full or not there */
  S4V_EBUSY = -8      /* what was to be taken away is in use */
};

/* Why s4v_run() returned. */
enum {
  S4V_STOP_BUDGET = 0,     /* the instruction budget is used up, to the instruction */
  S4V_STOP_EXIT = 1,       /* MACH_EXIT: `code` is the guest's exit code */
  S4V_STOP_WATCHDOG = 2,   /* trap at MAXTL, or a fault report without a fault area: `tt`, `strand` */
  S4V_STOP_CONSOLE = 3,    /* console output is waiting to be drained before the guest goes on */
  S4V_STOP_IDLE = 4,       /* every strand waits and no timer is set: only outside input can wake the guest */
  S4V_STOP_BREAKPOINT = 5, /* a breakpoint: `strand`, `address` */
  S4V_STOP_KICK = 6,       /* s4v_kick() was called */
  S4V_STOP_RESET = 7,      /* MACH_SIR: the guest asks to be restarted */
  S4V_STOP_SUSPEND = 8,    /* MACH_SUSPEND on `strand`: nothing runs until s4v_resume() */
  S4V_STOP_EXPIRED = 9,    /* the time of MACH_SET_WATCHDOG is up; the watchdog is off now */
  S4V_STOP_CHANNEL = 10,   /* the guest did something to channel `code`, at whose other end the client is */
  S4V_STOP_FIRMWARE = 11,  /* `strand` called the client interface (`tt` 0), or took trap `tt` that is the firmware's */
  S4V_STOP_TIME = 12,      /* the time given to s4v_run_for() or s4v_run_until() is up */
  S4V_STOP_WATCHPOINT = 13, /* a watchpoint: `strand`, `address`, watched address `code`, S4V_WATCH_* `tt` */
  S4V_STOP_STEP = 14       /* s4v_step() has done what it was asked */
};

enum { S4V_ENGINE_INTERPRETER = 0, S4V_ENGINE_TRANSLATOR = 1 };
typedef struct s4v_machine s4v_machine;

typedef struct s4v_config {
  uint64_t memory_bytes;  /* one segment at real and physical address 0, a multiple of 8192; 0: s4v_memory_add() */
  uint64_t ra_limit;      /* memory lies below; power of two from 2^32 to 2^55. 0: 2^38, or the next from twice memory_bytes on */
  uint32_t strands;       /* present from the start: 0 to strands - 1; s4v_strands_add() */
  uint32_t max_strands;   /* numbers of strands are below, at most 4096; 0: `strands` */
  uint32_t deterministic; /* 1: virtual time from the instruction count */
  uint32_t pad;
  uint64_t features;      /* bit n: feature n of csrc/isa/feature.def */
  uint64_t cfr;           /* what RD %cfr (ASR 26) gives */
  uint32_t cfr_present;   /* 0: RD %cfr is illegal (chips before the T4) */
  uint32_t channels;      /* LDC endpoints the domain can have, at most 4080 */
  uint64_t stick_hz;      /* STICK frequency */
  uint64_t tick_hz;       /* TICK (core clock) frequency */
  uint32_t va_bits;       /* 48..64 */
  uint32_t page_sizes;    /* bit n: TTE size code n */
  uint32_t max_tsbs;      /* TSBs per context class */
  uint32_t quantum;       /* instructions a strand runs before the next one's turn (deterministic) */
  uint64_t tod_seconds;   /* TOD at start, seconds since the epoch */
  uint64_t rng_seed;      /* of the stream that RNG_DATA_READ gives */
  uint32_t rng_control;   /* 1: the guest may configure and test the random number generator */
  uint32_t rng_layout;    /* of its control registers: 1 chips up to the T3, 2 T4 and later */
} s4v_config;

typedef struct s4v_stop {
  int32_t reason;    /* S4V_STOP_* */
  uint32_t strand;
  uint32_t tt;       /* trap type, for S4V_STOP_WATCHDOG */
  uint32_t pad;
  uint64_t code;     /* exit code */
  uint64_t address;  /* PC of the strand that stopped */
  uint64_t insns;    /* instructions completed by all strands during this call */
} s4v_stop;

s4v_machine *s4v_machine_new(const s4v_config *config, char *err, size_t err_bytes);
void s4v_machine_free(s4v_machine *);
void s4v_machine_config(const s4v_machine *, s4v_config *out);

/* The machine description that MACH_DESC copies to the guest: opaque bytes, at most 64 MiB, kept as a copy and part of
 * the state image. len 0: none. get: how many bytes it has; they are copied only where all of them fit. */
int s4v_machine_set_md(s4v_machine *, const void *buf, size_t len);
size_t s4v_machine_get_md(const s4v_machine *, void *buf, size_t len);

/* Bytes of the client's own, part of the state image and of the digest; as the machine description. */
int s4v_machine_set_client(s4v_machine *, const void *buf, size_t len);
size_t s4v_machine_get_client(const s4v_machine *, void *buf, size_t len);

/* Run strands until the budget (instructions, all strands together) is used or something else stops them. */
int s4v_run(s4v_machine *, uint64_t budget_insns, s4v_stop *stop);
/* The same for at most so many nanoseconds of host time; 0, or a deterministic machine: no limit. */
int s4v_run_for(s4v_machine *, uint64_t budget_insns, uint64_t host_ns, s4v_stop *stop);
/* A deterministic machine: until its clock shows `tick` (S4V_STOP_TIME), which passes where every strand waits for
 * something outside as well. Machines that take turns up to the same ticks live in one time. S4V_EINVAL: real time. */
int s4v_run_until(s4v_machine *, uint64_t budget_insns, uint64_t tick, s4v_stop *stop);
uint64_t s4v_tick(const s4v_machine *);                          /* of that clock; any thread may ask, at any time */
/* Run one strand alone; the others stand still. */
int s4v_strand_run(s4v_machine *, uint32_t strand, uint64_t budget_insns, s4v_stop *stop);
void s4v_kick(s4v_machine *);
uint64_t s4v_insns(const s4v_machine *);                         /* completed since start, all strands */
uint64_t s4v_strand_insns(const s4v_machine *, uint32_t strand);

/* Start a strand as CPU_START leaves it: privileged, MMU off, TL 0, at real address pc, arg in %o0. */
int s4v_strand_start(s4v_machine *, uint32_t strand, uint64_t pc, uint64_t rtba, uint64_t arg);
int s4v_strand_fail(s4v_machine *, uint32_t strand);             /* it is broken: state 3 from now on, between runs */
/* Between runs: it executes nothing until it is let go, as if its hardware were busy elsewhere; its state is as ever. */
int s4v_strand_hold(s4v_machine *, uint32_t strand, int on);
int s4v_strand_state(const s4v_machine *, uint32_t strand);      /* 1 stopped, 2 running, 3 error (CPU_STATE) */

/* Registers by name: g0..g7 o0..o7 l0..l7 i0..i7 f0..f31 d0..d62 pc npc ccr asi fprs fsr gsr y tick stick pstate tl gl
 * pil tba cwp cansave canrestore cleanwin otherwin wstate softint tick_cmpr stick_cmpr tpc1 tnpc1 tstate1 tt1 ... */
int s4v_reg_count(void);
const char *s4v_reg_name(int reg);                               /* NULL past the end */
int s4v_reg_find(const char *name);                              /* index or S4V_ENOENT */
int s4v_reg_get(const s4v_machine *, uint32_t strand, int reg, uint64_t *value);
int s4v_reg_set(s4v_machine *, uint32_t strand, int reg, uint64_t value);

/* The strands of the domain. CPU_* calls on one that is absent give ENOCPU; a new one is stopped, as after a reset. All of
 * `ids` or, after an error, none: S4V_EINVAL: out of range, there already, or twice; S4V_ENOENT: not there; S4V_EBUSY: not
 * stopped; S4V_EFULL: one must stay. One that goes leaves its crypto units; a unit without strands goes with it. */
int s4v_strands_add(s4v_machine *, const uint32_t *ids, size_t count);
int s4v_strands_remove(s4v_machine *, const uint32_t *ids, size_t count);
uint32_t s4v_strands(const s4v_machine *, uint32_t *ids, uint32_t max); /* how many; ascending, at most `max` are copied */
/* Nanoseconds that the strand has been at work and did not wait, since it was added: of host time, or, deterministic, of
 * its own instructions at TICK's frequency. Any thread may ask, also while the machine runs. 0: no such strand. */
uint64_t s4v_strand_busy(const s4v_machine *, uint32_t strand);

/* Memory, in blocks of the server's physical memory. Real and physical addresses and sizes are multiples of 8192. After an
 * error nothing has changed, and `err` says why. Add: S4V_EINVAL: alignment, overlap, beyond ra_limit; S4V_ENOMEM. New
 * memory reads as zeros. Remove takes any range, of several blocks too: S4V_EFAULT: not all of it is memory; S4V_EBUSY: the
 * hypervisor keeps something for the guest there (a queue, a channel's map table, a page mapped in), or a device has it mapped.
 * What was there is gone; then the addresses are a hole. */
int s4v_memory_add(s4v_machine *, uint64_t ra, uint64_t pa, uint64_t bytes, char *err, size_t err_bytes);
int s4v_memory_remove(s4v_machine *, uint64_t ra, uint64_t bytes, char *err, size_t err_bytes);
/* A block, and where another process that gets the two memfds finds it. Its memory: from memory_offset of memory_fd. Dirty
 * marks: in map_fd, one byte a page of 8 KiB from page_map_offset on, the first for the block's first page; and one byte a
 * region of 2 MiB of the *memfd*: byte region_map_offset + (memory_offset + x) / 2 MiB speaks for byte x of the block.
 * The descriptors are the machine's: duplicate what is to be kept. */
typedef struct s4v_block {
  uint64_t ra, pa, bytes;
  uint64_t memory_offset, page_map_offset, region_map_offset;
  int32_t memory_fd, map_fd;
} s4v_block;
int s4v_memory_block(const s4v_machine *, uint32_t n, s4v_block *out); /* by ascending ra; S4V_ENOENT */
uint64_t s4v_memory_run(const s4v_machine *, uint64_t ra); /* bytes of memory from there on without a hole; 0: none there */
/* Another process has cleared dirty marks: every strand marks again what it writes from now on. While nothing runs. */
void s4v_dirty_barrier(s4v_machine *);
/* The same for any thread at any time before s4v_machine_free(), also while the machine runs: when it returns S4V_OK, every
 * store to a page whose mark was cleared before the call is in memory, or will mark the page. S4V_EBUSY: a strand has been in
 * one hypercall for longer than `timeout_ns`; ask again. */
int s4v_barrier(s4v_machine *, uint64_t timeout_ns);
/* No more pages a second than this shall become dirty by what strands store; 0: no limit. Strands that are ahead rest. Any
 * thread; a deterministic machine has no limit. */
void s4v_dirty_limit(s4v_machine *, uint64_t pages_per_second);
/* All of the memory becomes zero, and is given back to the host, for whoever else has its memfds too. While nothing runs. */
void s4v_memory_scrub(s4v_machine *);
/* A hand-over on one host (machine/loan.c): S4V_EINVAL where blocks do not fit, S4V_EBUSY, S4V_ENOMEM. */
int s4v_memory_adopt(s4v_machine *, const s4v_block *blocks, uint32_t count, char *err, size_t err_bytes);
int s4v_memory_part(s4v_machine *); /* post-copy, see util/presence.h: */
int s4v_presence_begin(s4v_machine *, int32_t *fd, int32_t *bell); int s4v_presence_end(s4v_machine *);
uint64_t s4v_presence_missing(const s4v_machine *); void s4v_presence_give_up(s4v_machine *); /* any thread */
/* How long threads of the machine have waited for missing pages, each wait once; shares are rounded up, by a quarter at most. */
typedef struct s4v_waits {
  uint64_t count, half_ns, most_ns, longest_ns; /* half of them, and 99 %, were over by then */
} s4v_waits;
void s4v_presence_waits(const s4v_machine *, s4v_waits *out); /* any thread; zeros after s4v_presence_end() */

/* Guest memory by real address. s4v_mem_ptr gives the host address of a range in one block for reading; every
 * write goes through s4v_mem_write, which marks the pages and drops decoded code. */
int s4v_mem_read(const s4v_machine *, uint64_t ra, void *buf, size_t len);
int s4v_mem_write(s4v_machine *, uint64_t ra, const void *buf, size_t len);
const void *s4v_mem_ptr(const s4v_machine *, uint64_t ra, size_t len);
/* Collect and clear the dirty marks: page indexes (RA / 8192) in ascending order; returns how many. S4V_EINVAL, and the
 * marks stay, if there are more than max (ask s4v_dirty_count). */
int64_t s4v_dirty_harvest(s4v_machine *, uint64_t *pages, size_t max);

int64_t s4v_dirty_count(const s4v_machine *);                    /* marked pages; the marks stay */

/* Console (CONS_* hypercalls). Input is a queue; output is drained by the client. */
size_t s4v_console_read(s4v_machine *, void *buf, size_t len);   /* what the guest wrote */
size_t s4v_console_feed(s4v_machine *, const void *buf, size_t len);
size_t s4v_console_write(s4v_machine *, const void *buf, size_t len); /* output of the firmware's; bytes taken */
size_t s4v_console_take(s4v_machine *, void *buf, size_t len);  /* input, for the firmware */
int s4v_console_take_break(s4v_machine *);                       /* 1: a BREAK was waiting */
void s4v_console_break(s4v_machine *);                           /* CONS_GETCHAR gives BREAK */
void s4v_console_hangup(s4v_machine *);                          /* CONS_GETCHAR gives HUP once the queue is empty */

/* When the guest next does one of these things, the run ends as by s4v_kick(); then it is forgotten. 0: watch nothing.
 * Not part of the state. */
enum {
  S4V_WATCH_OUTPUT = 1,    /* it writes to its console */
  S4V_WATCH_SOFT_STATE = 2 /* it sets its soft state */
};
void s4v_watch(s4v_machine *, uint32_t what);
uint32_t s4v_watched(const s4v_machine *);                       /* what of it has not happened yet */

/* State: architectural state of every strand, the hypervisor and populated memory. */
int64_t s4v_state_size(const s4v_machine *);
int64_t s4v_state_save(const s4v_machine *, void *buf, size_t len);
int s4v_state_load(s4v_machine *, const void *buf, size_t len, char *err, size_t err_bytes);
void s4v_digest(s4v_machine *, uint8_t out[32]);                 /* SHA-256 over state and memory */
/* The same without memory and without the client's own bytes, in named sections, for a machine of another server that has
 * the guest's memory at the same real addresses. What the guest was told of the hardware stays true: frequencies of TICK and
 * STICK, instructions, page sizes; the target must be able to do that (S4V_EFORMAT and the reason in `err`), and may do more.
 * A refused image leaves the machine reset, its memory as it was. */
int64_t s4v_moving_size(const s4v_machine *);
int64_t s4v_moving_save(const s4v_machine *, void *buf, size_t len);
int s4v_moving_load(s4v_machine *, const void *buf, size_t len, char *err, size_t err_bytes);
/* Before the first run after s4v_moving_load(): TICK and STICK go on now from where they were saved, and TOD is ahead of
 * them by so many seconds more: those for which the guest stood still. */
void s4v_clock_go(s4v_machine *, int64_t seconds);
int s4v_strand_print(const s4v_machine *, uint32_t strand, char *buf, size_t len); /* register dump text */

/* Soft state (SOFT_STATE_SET): 1 normal, 2 transition; `text` gets 32 bytes, NUL-terminated. */
int s4v_soft_state(const s4v_machine *, char text[32]);
int s4v_soft_state_set(s4v_machine *, int state, const char *text); /* the firmware's own; at most 31 characters */
/* Ends MACH_SUSPEND with a status for the guest, 0 (EOK; every channel then reports RESET: its other end is another) or
 * a hypervisor error. S4V_EINVAL: it is not suspended. */
int s4v_resume(s4v_machine *, uint64_t status);
int s4v_suspended(const s4v_machine *);                          /* 1: in MACH_SUSPEND */
/* Reset of the domain, as MACH_SIR asks for: strands stopped and reset, negotiated versions, soft state, watchdog as at
 * start; memory, reboot data, console and time of day stay. */
void s4v_reset(s4v_machine *);
uint64_t s4v_watchdog_ms(const s4v_machine *);                   /* until the watchdog bites, 0: off */
/* Data for the next boot (MACH_REBOOT_DATA_SET): at most 512 bytes. Returns the length. */
int64_t s4v_reboot_data_get(const s4v_machine *, void *buf, size_t len);
int s4v_reboot_data_set(s4v_machine *, const void *buf, size_t len);

/* Firmware. The client may be the firmware of the domain (OpenBoot): it then serves Tcc 0xf0, the entry of its client
 * interface, and owns the traps of strands it has started, until it releases them. Such a strand's window traps are done by
 * the core, its misses in context 0 are looked up in the firmware's list of translations, interrupts wait, and every other
 * trap is S4V_STOP_FIRMWARE. After that stop the client calls s4v_firmware_done or s4v_firmware_fault, or the next run
 * executes the same instruction again. */
void s4v_firmware_present(s4v_machine *, int present);           /* and no translations */
/* A translation: multiples of 8192 bytes; it comes before those there are. S4V_ENOMEM: the list (64) is full. */
int s4v_firmware_map(s4v_machine *, uint64_t va, uint64_t bytes, uint64_t ra);
/* A strand in firmware context: MMU on, privileged, PIL 15, TL 0, its id in scratchpad 8; arg in %o0, cif in %o4. */
int s4v_firmware_start(s4v_machine *, uint32_t strand, uint64_t pc, uint64_t sp, uint64_t arg, uint64_t cif);
int s4v_firmware_stop(s4v_machine *, uint32_t strand);           /* reset and stopped */
/* SUNW,set-trap-table: the guest owns the strand's traps from now on. */
int s4v_firmware_release(s4v_machine *, uint32_t strand, uint64_t tba, uint64_t fault_area);
/* API_SET_VERSION (set 1: minor in results[0]) or API_GET_VERSION (major, minor) in the guest's place; returns the status. */
int s4v_api_version(s4v_machine *, uint64_t group, int set, uint64_t major, uint64_t minor, uint64_t results[2]);
int s4v_firmware_owns(const s4v_machine *, uint32_t strand);     /* 1: its traps are the firmware's */
/* Real address of a virtual one in context 0, privileged. S4V_EFAULT: not mapped, not writable, or no memory there. */
int s4v_translate(s4v_machine *, uint32_t strand, uint64_t va, int store, uint64_t *ra);
void s4v_firmware_done(s4v_machine *, uint32_t strand, uint64_t result); /* the call has ended, with this in %o0 */
/* The guest takes the trap that an access to va gives, at the call, and calls again when its handler returns. S4V_EFAULT:
 * it cannot: its traps are the firmware's, or it died. */
int s4v_firmware_fault(s4v_machine *, uint32_t strand, uint64_t va, int store);

/* Error reports for fault experiments: an entry of the resumable or non-resumable error queue of a running strand, with
 * a handle (EHDL) of its own, its time and the CPU. The last entry that fits has attr bit 31 (queue full) set. S4V_EFULL:
 * no room, no queue or the strand is stopped; nothing changes. */
typedef struct s4v_error {
  uint32_t desc;          /* 1 to 6: 1 uncorrected resumable, 2 precise, 3 deferred, 4 shutdown, 5 dump core, 6 SP state change */
  uint32_t attr;          /* bit 0 CPU, 1 memory, 2 PIO, 3 integer, 4 FP registers, 5 shutdown, ...; bit 31 is ignored */
  uint64_t ra;            /* all ones: unknown */
  uint32_t size;          /* bytes concerned */
  uint16_t grace_seconds; /* before a shutdown */
  uint16_t asr;           /* ASR number, bit 15: valid */
  uint8_t asi;
  uint8_t pad[7];
} s4v_error;
int s4v_error_report(s4v_machine *, uint32_t strand, int resumable, const s4v_error *error, uint64_t *handle);

/* Memory with an uncorrectable error: lines of 64 bytes that bytes [ra, ra + len) touch. A strand that loads or fetches
 * from them takes a precise non-resumable error; MEM_SCRUB or s4v_poison_clear (of lines wholly in the range) ends it.
 * S4V_EFAULT: not all of it is memory; S4V_EFULL: more than 256 ranges. Part of the state image. */
int s4v_poison(s4v_machine *, uint64_t ra, uint64_t len);
int s4v_poison_clear(s4v_machine *, uint64_t ra, uint64_t len);
int s4v_poison_range(const s4v_machine *, uint32_t n, uint64_t *ra, uint64_t *len); /* ascending; S4V_ENOENT */

/* Crypto units behind NCS_*: kind 1 modular arithmetic (2: ciphers and hashes; 3: modular arithmetic of the T1), the devino
 * of its interrupt among the virtual devices, the strands that share it. S4V_EINVAL: no such kind, the devino is taken, a
 * strand has such a unit, more than 8 strands or 128 units. They are part of the state image. */
int s4v_crypto_add(s4v_machine *, uint32_t kind, uint32_t devino, const uint32_t *strands, size_t count);
int s4v_crypto_remove(s4v_machine *, uint32_t devino);           /* its queue is gone; S4V_ENOENT */
typedef struct s4v_crypto {
  uint32_t kind, devino;
  uint32_t strand_count;
  uint32_t entries;       /* of the guest's queue, 0: not configured */
  uint32_t strands[8];
  uint64_t jobs, errors;  /* descriptors and blocks worked off, and of them failed; since it is here */
} s4v_crypto;
int s4v_crypto_info(const s4v_machine *, uint32_t n, s4v_crypto *out); /* S4V_ENOENT */

/* Channels (LDC), numbers below `channels` of the configuration; devinos of channel n: TX 2n, RX 2n + 1 of the channel-devices. At the other end of a
 * channel is the client (host), another endpoint of this domain, or one of another domain (wire). S4V_EINVAL: the number is taken or out of range;
 * S4V_ENOENT, of all the others: there is no such channel, or the client is not at its other end. */
typedef struct s4v_ldc {
  uint32_t host;          /* 1: the client is at the other end */
  uint32_t peer;          /* else the endpoint that is */
  uint32_t up;            /* 1: s4v_ldc_up(..., 1) */
  uint32_t tx_entries;    /* of the guest's queues, 0: not configured */
  uint32_t rx_entries;
  uint32_t tx_packets;    /* packets for the client */
  uint32_t rx_room;       /* packets the guest has room for */
  uint32_t wire;          /* 1: the other end is another domain's, or will be */
  uint32_t wired;         /* 1: a wire is plugged in */
  uint32_t pad;
  uint64_t map_entries;
  uint64_t export_bytes;  /* memory the client exports */
  uint64_t resets;        /* times the guest has configured its RX queue: another value is a reset of the link */
} s4v_ldc;
int s4v_ldc_add(s4v_machine *, uint32_t channel);                /* with the client at the other end, not up */
int s4v_ldc_connect(s4v_machine *, uint32_t a, uint32_t b);
int s4v_ldc_remove(s4v_machine *, uint32_t channel);             /* of a connected pair: both */
/* Channels between two machines of a process. An endpoint is DOWN for its guest until both its own and the other's end, side
 * 0 and 1 of a wire, are plugged in, each between runs of its own machine; from then on packets go through the wire, and
 * LDC_COPY reaches what the other guest has exported on its endpoint, as its map table allows. LDC_MAPIN does not. Whoever
 * is plugged in anew is seen as RESET, whoever goes as DOWN. Wires are no part of the state image: after a load they are
 * out. S4V_EINVAL: number, side or end is taken. */
typedef struct s4v_wire s4v_wire;
s4v_wire *s4v_wire_new(void);                                    /* NULL: no host memory */
void s4v_wire_release(s4v_wire *);                               /* it lives on while ends are plugged in */
int s4v_ldc_add_wire(s4v_machine *, uint32_t channel);
int s4v_wire_plug(s4v_machine *, uint32_t channel, s4v_wire *, uint32_t side);
int s4v_wire_unplug(s4v_machine *, uint32_t channel);            /* one that is out already is fine */
int s4v_ldc_info(const s4v_machine *, uint32_t channel, s4v_ldc *out);
uint32_t s4v_ldc_wires(const s4v_machine *, uint32_t *out, uint32_t max); /* the first of `add_wire`, ascending; how many */
int s4v_ldc_up(s4v_machine *, uint32_t channel, int up);         /* the guest sees UP or DOWN */
int s4v_ldc_reset(s4v_machine *, uint32_t channel);              /* the guest sees RESET once */
/* 64-byte packets. Both return how many went through; a guest without room makes the run stop (S4V_STOP_CHANNEL) when
 * it has made some. */
int64_t s4v_ldc_send(s4v_machine *, uint32_t channel, const void *packets, size_t count);
int64_t s4v_ldc_receive(s4v_machine *, uint32_t channel, void *packets, size_t count);
/* Memory the guest has exported on this channel, under LDC_COPY's rules but for alignment. Returns 0, S4V_EFAULT (not
 * mapped, or no such memory) or S4V_EREADONLY (the entry does not allow it); then a first part may have been copied. */
int s4v_ldc_read(s4v_machine *, uint32_t channel, uint64_t cookie, void *buf, size_t len);
int s4v_ldc_write(s4v_machine *, uint32_t channel, uint64_t cookie, const void *buf, size_t len);
/* Memory the client exports on a channel, zeroed: a multiple of 8192 bytes up to 16 MiB, 0: none. The guest reaches it by
 * LDC_COPY or LDC_MAPIN with the cookies 0 .. bytes - 1 (page size code 0), in both directions. It is part of the state image. Exporting anew takes away what the guest has
 * mapped in. */
int s4v_ldc_export(s4v_machine *, uint32_t channel, uint64_t bytes);
int s4v_ldc_export_read(const s4v_machine *, uint32_t channel, uint64_t offset, void *buf, size_t len);
int s4v_ldc_export_write(s4v_machine *, uint32_t channel, uint64_t offset, const void *buf, size_t len);

/* Images: what is behind a disk whose bytes are not those of one file (csrc/vio/image.h). Counted: s4v_image_* makes one, a disk
 * and an overlay hold theirs, s4v_image_drop() lets go. Any thread may use them. NULL: no host memory or descriptor. */
typedef struct s4v_image s4v_image;
enum { S4V_IMAGE_READ = 0, S4V_IMAGE_WRITE = 1, S4V_IMAGE_FLUSH = 2 };
/* The client's disk: all n bytes, or none (flush). 0 or an errno. Called by threads of the machine, several at once. */
typedef int (*s4v_image_io)(void *self, uint32_t kind, uint64_t offset, void *bytes, uint64_t n);
typedef struct s4v_overlay_layout {
  uint64_t size;          /* of the disk, in bytes */
  uint64_t data_at, stable_at, recent_at; /* in the file: emulator/backends/overlay.py */
  uint8_t kept;           /* 0: the file goes with us; neither maps nor flushes are needed */
  uint8_t unstable;       /* the map has bits that the stable one in the file has not */
  uint8_t pad[6];
} s4v_overlay_layout;
s4v_image *s4v_image_file(int fd, uint64_t base);
s4v_image *s4v_image_client(s4v_image_io, void *self); /* `self` stays as long as anybody holds the image */
s4v_image *s4v_image_overlay(int fd, const s4v_overlay_layout *, const void *map, size_t map_bytes, s4v_image *below);
void s4v_image_drop(s4v_image *);
int s4v_image_read(s4v_image *, uint64_t offset, void *, uint64_t n);        /* 0 or an errno, as the following */
int s4v_image_write(s4v_image *, uint64_t offset, const void *, uint64_t n);
int s4v_image_flush(s4v_image *);
int s4v_overlay_map(s4v_image *, void *map, size_t map_bytes);  /* S4V_EINVAL: no overlay, or another size */
int s4v_overlay_failed(s4v_image *);                            /* errno of the last write or flush */

/* The data path of a virtual disk, on a channel with the client at its other end. The client keeps the session, and says
 * which file and which ring of descriptors; READ, WRITE and FLUSH of the ring then go between file and guest memory without
 * it: in real time by threads of the machine, and the run ends as by s4v_kick() when something is finished; in a deterministic machine
 * at once and in order. While requests are on their way, a run in which the guest waits does not end with S4V_STOP_IDLE. */
typedef struct s4v_disk_file {
  int32_t fd;             /* the machine keeps a copy; -1: no file */
  uint32_t most_blocks;   /* of a request: 512 bytes each, at most 2048 */
  uint64_t base;          /* offset of the disk in the file */
  uint64_t blocks;        /* its size */
  uint8_t read_only;
  uint8_t stable;         /* a write is on stable storage before it is done */
  uint8_t slice;          /* the disk is one slice, number 0 */
  uint8_t sliced;         /* slice_* hold; else, or after a write to the first 64 blocks, slices are the client's */
  uint8_t pad[4];
  uint8_t status[256];    /* errno of the host -> what the guest reads */
  s4v_image *image;       /* instead of a file; NULL: none */
  uint64_t slice_start[8], slice_blocks[8]; /* in blocks; of a slice that is not there 0 */
} s4v_disk_file;
typedef struct s4v_disk_ring {
  uint32_t entries;       /* 1 to 65536 */
  uint32_t entry_bytes;   /* 64 to 4096 */
  uint32_t cookies;       /* that the ring lies behind, at most 24 */
  uint32_t pad;
  uint64_t address[24], bytes[24];
} s4v_disk_ring;
typedef struct s4v_disk_counters {
  uint64_t reads, writes, flushes, errors, read_bytes, written_bytes;
  uint32_t in_flight;     /* requests begun, whose status the guest has not got */
  uint32_t deepest;       /* most of them there ever were */
} s4v_disk_counters;
typedef struct s4v_disk_answer {
  uint64_t sequence;
  uint32_t index;
  uint32_t pad;
} s4v_disk_answer;
enum {
  S4V_DISK_ALL = 0,       /* all descriptors were taken */
  S4V_DISK_NOT_READY = 1, /* the next one is not ready, or has been taken already */
  S4V_DISK_CLIENT = 2,    /* the next one is the client's to serve */
  S4V_DISK_FULL = 3       /* 512 are in flight: finish some first */
};
/* File and ring: of requests on their way nobody hears any more; those that no thread has begun are dropped, the others
 * waited for. fd -1, or entries 0: none. S4V_ENOENT: no such channel; S4V_EINVAL; S4V_ENOMEM. */
int s4v_disk_open(s4v_machine *, uint32_t channel, const s4v_disk_file *, const s4v_disk_ring *);
void s4v_disk_close(s4v_machine *, uint32_t channel);
/* Takes ready descriptors from `start` on, at most `count`; S4V_DISK_*, or S4V_ENOENT: the disk is not open, S4V_EFAULT: the
 * ring is not there (any more). */
int s4v_disk_take(s4v_machine *, uint32_t channel, uint32_t start, uint32_t count, uint64_t sequence, uint32_t *taken);
/* Writes status and DONE of finished requests, in order of completion. Returns how many of them want to be acknowledged and
 * are in `answers`, at most `room`; then call again. S4V_EFAULT, S4V_ENOENT. */
int64_t s4v_disk_finish(s4v_machine *, uint32_t channel, s4v_disk_answer *answers, size_t room);
void s4v_disk_wait(s4v_machine *, uint32_t channel); /* until the host has done all that was taken; then finish */
uint32_t s4v_disk_in_flight(const s4v_machine *, uint32_t channel);
int s4v_disk_count(const s4v_machine *, uint32_t channel, s4v_disk_counters *out);

/* A session that is up may lend its link: its packets about one descriptor each are then served while the guest runs, and
 * what is done is answered, without a stop. Whatever else comes stays in the guest's queue and stops the run as ever
 * (S4V_STOP_CHANNEL); the client takes the link back before it does anything with it. Forgotten by open and close. */
typedef struct s4v_disk_link {
  uint64_t ident;         /* of the ring, as it was acknowledged */
  uint32_t session;
  uint32_t received;      /* sequence number of the last packet, each way */
  uint32_t sent;
  uint32_t broken;        /* what was taken back: an answer was lost, for the ring was not there */
} s4v_disk_link;
int s4v_disk_lend(s4v_machine *, uint32_t channel, const s4v_disk_link *); /* S4V_EINVAL: a deterministic machine */
int s4v_disk_take_back(s4v_machine *, uint32_t channel, s4v_disk_link *);  /* S4V_ENOENT */
int s4v_disk_lent(const s4v_machine *, uint32_t channel); /* 0 as well where the ring went away meanwhile */

/* A guest's port of a virtual switch: frames that wait for the guest, and flows: frames that come in there, from one address
 * to another, go straight to another port for a second, unless it is told to forget them meanwhile. Any thread. */
typedef struct s4v_netport s4v_netport;
typedef struct s4v_net_counters { /* of what passed without the client, since the last call */
  uint64_t in_frames, in_bytes, out_frames, out_bytes, dropped;
} s4v_net_counters;
s4v_netport *s4v_netport_new(void);                              /* NULL: no host memory */
void s4v_netport_close(s4v_netport *);
/* 0: as many wait as may; 1: it waits; 2: and the guest's machine knows. S4V_EINVAL: more than 16022 bytes; S4V_ENOMEM. */
int s4v_netport_put(s4v_netport *, const void *frame, size_t len, int front, uint32_t most);
int64_t s4v_netport_take(s4v_netport *, void *buf, size_t room); /* its bytes; S4V_ENOENT: none; S4V_EINVAL: room is too small */
size_t s4v_netport_list(s4v_netport *, void *buf, size_t room);  /* all: length (4, host's order), frame; bytes wanted */
uint32_t s4v_netport_waiting(s4v_netport *);
void s4v_netport_clear(s4v_netport *);
void s4v_netport_counted(s4v_netport *, s4v_net_counters *out);
uint64_t s4v_netport_generation(s4v_netport *);
void s4v_netport_forget(s4v_netport *);                          /* all flows */
/* For frames of at most so many bytes with these 12 bytes of addresses, by a decision made under that generation; by the
 * guest's thread. */
void s4v_netport_flow(s4v_netport *, uint64_t generation, const void *addresses, uint32_t most, s4v_netport *to);

/* A session of a virtual network whose rings C serves while the guest runs, as s4v_disk_lend does: frames without a flow are
 * the client's. Many stop the run (S4V_STOP_CHANNEL), a few wait for its next look (S4V_STOP_KICK). The client's own ring is in
 * exported memory: 128 descriptors of 48 bytes, from byte 8192 on a buffer of slot_bytes for each. */
typedef struct s4v_net_lane {
  uint64_t ident, out_ident; /* of the guest's ring, and the client's as the guest calls it */
  uint64_t sequence;         /* of the client's next message about its ring */
  uint32_t session;
  uint32_t received, sent;   /* sequence numbers of the link */
  uint32_t mtu, slot_bytes;
  uint32_t next, first;      /* descriptor to fill, oldest that is not taken back */
  uint32_t busy;             /* the guest has not said that it stopped */
  uint32_t due;              /* taken back: it is to be told that frames are there */
  uint32_t broken;           /* taken back: its ring was not there */
} s4v_net_lane;
/* S4V_EINVAL: a deterministic machine, or what cannot be; S4V_ENOENT, S4V_ENOMEM. */
int s4v_net_lend(s4v_machine *, uint32_t channel, s4v_netport *, const s4v_disk_ring *, const s4v_net_lane *);
int s4v_net_take_back(s4v_machine *, uint32_t channel, s4v_net_lane *out); /* S4V_ENOENT */
int s4v_net_lent(const s4v_machine *, uint32_t channel);
/* Goes on with the guest's messages. 1: something is the client's. `finish`: only with the one that is begun; 1: it is not
 * done with, take frames and call again. */
int s4v_net_serve(s4v_machine *, uint32_t channel, int finish);
/* Frames for the client, as s4v_netport_list has them; bytes, 0: none. `room` at least 16026. */
int64_t s4v_net_frames(s4v_machine *, uint32_t channel, void *buf, size_t room);

/* A debugger's means, between runs; whichever strand meets something, all stand when the run has ended. Addresses are those of
 * the strands (VA; real ones while the MMU is off) in any context. The guest sees nothing of it: no byte, mark or digest
 * changes. A strand stops *before* the instruction, once: the next run, or a step, goes on past it.
 *
 * At most 256 breakpoints (S4V_ENOMEM), each as often as it was added. At most 64 watchpoints, which see loads, stores and
 * atomics of the instructions, not what the hypervisor, the firmware or a device does; the stop says in `code` the first
 * watched address met, in `tt` how (S4V_WATCH_WRITE | S4V_WATCH_READ). S4V_EINVAL: not an instruction address; no bytes. */
int s4v_breakpoint_add(s4v_machine *, uint64_t va);
int s4v_breakpoint_remove(s4v_machine *, uint64_t va);           /* S4V_ENOENT */
enum { S4V_WATCH_WRITE = 1, S4V_WATCH_READ = 2 };
int s4v_watchpoint_add(s4v_machine *, uint64_t va, uint64_t bytes, uint32_t kind);
int s4v_watchpoint_remove(s4v_machine *, uint64_t va, uint64_t bytes, uint32_t kind); /* S4V_ENOENT */
/* One step of a strand: it takes the trap that is pending, or executes one instruction, which counts or traps; breakpoints
 * do not stop it. S4V_STOP_STEP; or S4V_STOP_WATCHPOINT, and the instruction is done; or what else ends a run; or
 * S4V_STOP_IDLE: it does not run. S4V_STRAND_ANY: the strand whose turn it is, as s4v_run() would; so stepping through a
 * deterministic program is the same as running it. A step of another strand begins its turn. */
#define S4V_STRAND_ANY 0xffffffffu
int s4v_step(s4v_machine *, uint32_t strand, s4v_stop *stop);
/* Memory as the strand's loads and stores would find it now, privileged, without a change to its translations; a guest's
 * own miss handler is not asked. Returns how many bytes were reached, from the first on, or S4V_ENOENT: no such strand.
 * Writing heeds no write protection; it marks pages dirty, and changed instructions take effect. */
int64_t s4v_va_read(s4v_machine *, uint32_t strand, uint64_t va, void *buf, size_t len);
int64_t s4v_va_write(s4v_machine *, uint32_t strand, uint64_t va, const void *buf, size_t len);
/* Where that memory is: the real address. S4V_EFAULT: the strand has no translation; S4V_ENOENT: no such strand. */
int s4v_va_translate(s4v_machine *, uint32_t strand, uint64_t va, uint64_t *ra);
/* %l0-%l7 and %i0-%i7 of a caller whose window is in the register file: depth 0 is the one below the current window.
 * S4V_ENOENT: no such strand, or CANRESTORE has not so many. */
int s4v_window_get(const s4v_machine *, uint32_t strand, uint32_t depth, uint64_t out[16]);
int s4v_window_set(s4v_machine *, uint32_t strand, uint32_t depth, const uint64_t values[16]);

/* Instruction trace: 0 off, 1 one line an instruction into the trace buffer. */
int s4v_trace_enable(s4v_machine *, int on);
size_t s4v_trace_read(s4v_machine *, char *buf, size_t len);

/* What strands do, as events in a buffer of so many (0: none are kept any more); what finds no room is counted. Between
 * runs. Reading takes what there is, oldest first; `lost`: since the last time. Not part of the state; with nobody looking
 * nothing is slower. */
enum { S4V_EVENT_TRAP = 1, S4V_EVENT_HCALL = 2, S4V_EVENT_RUN = 3 };
typedef struct s4v_event {
  uint64_t tick;          /* of the event; of a run: when it ended */
  uint64_t value;         /* trap: its PC; hypercall: function; run: instructions completed */
  uint64_t since;         /* run: tick of its beginning */
  uint32_t strand;
  uint16_t kind;          /* S4V_EVENT_* */
  uint16_t number;        /* trap type; trap number of the hypercall */
} s4v_event;
int s4v_observe(s4v_machine *, uint32_t entries);                /* S4V_ENOMEM; S4V_EINVAL: more than 2^22 */
uint32_t s4v_observe_read(s4v_machine *, s4v_event *out, uint32_t max, uint64_t *lost);
const char *s4v_hcall_name(uint32_t trap, uint64_t function);    /* NULL: no such call */
/* Since the strand was added; any thread may ask while the machine's strands stay. S4V_ENOENT. */
typedef struct s4v_strand_counts {
  uint64_t insns, traps, misses, calls;
} s4v_strand_counts;
int s4v_strand_count(const s4v_machine *, uint32_t strand, s4v_strand_counts *out);

/* Decoded code. Above the limit (default 256 MiB) everything decoded is dropped and decoded again as it runs. Strands on
 * threads of their own have equal shares of it, but 16 MiB each, or all of a smaller limit. */
uint64_t s4v_code_bytes(const s4v_machine *);                    /* host memory that decoded code takes */
void s4v_code_limit(s4v_machine *, uint64_t bytes);
/* How blocks of code are executed; between runs. Same results. `hot_entries`: entries of a block after which the translator
 * takes it, 0: as it sees fit. S4V_ENOENT: no translator on this host or in this build; the machine interprets. */
int s4v_engine_set(s4v_machine *, int engine, uint32_t hot_entries);
/* The engine in effect. `why`: what stood against another one that was asked for; with the translator, why some strand that
 * was added later interprets all the same; or "". */
int s4v_engine(const s4v_machine *, char *why, size_t size);
uint64_t s4v_native_bytes(const s4v_machine *);                  /* host code that translated code is now */
/* The translator since it was chosen: guest code translated and host CPU time for it, and how often its code called the body
 * of an instruction, had C look up a block, and went to the interpreter: to a block not translated, or within one. `rows`:
 * s4v_isa_count() counters, calls of bodies by row; or NULL. Between runs. */
typedef struct s4v_engine_counts {
  uint64_t native_bytes, regions, blocks, insns, compile_ns, bodies, lookups, left, left_at;
} s4v_engine_counts;
void s4v_engine_count(const s4v_machine *, s4v_engine_counts *out, uint64_t *rows);
/* 1: every instruction by its out-of-line body, without decoded blocks. Same results, slower: to test the blocks. */
void s4v_step_only(s4v_machine *, int on);
/* For tests as well: what the strands' soft TLBs know of some pages is gone, as if other pages had taken their places. An
 * entry goes where bit (its number mod 64) of `mask` is set. A guest may see it: `s4v_digest()` does. */
void s4v_forget_translations(s4v_machine *, uint64_t mask);

/* The instruction table. */
int s4v_isa_count(void);
const char *s4v_isa_name(int op);
const char *s4v_isa_feature(int op);                             /* name of its feature bit */
int s4v_isa_match(int op, int form, uint32_t *match, uint32_t *mask); /* form 0,1; S4V_ENOENT past the end */
int s4v_isa_decode(uint32_t insn);                               /* row, or S4V_ENOENT: illegal */
int s4v_disasm(uint32_t insn, uint64_t pc, char *buf, size_t len);
int s4v_feature_count(void);
const char *s4v_feature_name(int bit);                           /* as `isainfo` prints it */
const char *s4v_feature_hwcap(int bit);                          /* as the machine description spells it, or "" */

const char *s4v_build_info(void);                                /* "version; engine; dispatch; sanitizers" */
/* CDEF END */
#endif
