/* crypto_units.c - the crypto units of T1 to T3: a queue for each that the domain has, given back when it goes.
 *
 * A unit belongs to a core; only a cpu of that core can configure its queue. Source: FWARC 2006/174.
 */
#include "hyper.h"
#include "kernel.h"
#include "percpu.h"

enum { UNITS = 64, ENTRIES = 64, ENTRY_BYTES = 64, GROUP_NCS = 0x103 };
enum { NCS_QCONF = 0x111, NCS_GETHEAD = 0x113, NCS_SETTAIL = 0x115 };
_Static_assert(ENTRIES * ENTRY_BYTES <= PAGE_BYTES, "a queue is a page");

struct unit {
  u64 ino, handle;
  void *queue; /* NULL: not configured */
};
static struct unit units[CRYPTO_KINDS][UNITS];
static u32 unit_count[CRYPTO_KINDS];
static struct spinlock lock = SPINLOCK("crypto units");
static bool have_calls;

bool crypto_dr_supported(void) { return !release_is_old(); }

static md_node cpu_node(u64 id) {
  u64 value;
  for (md_node n = md_find("cpu", MD_NONE); n != MD_NONE; n = md_find("cpu", n))
    if (md_value(n, "id", &value) && value == id) return n;
  return MD_NONE;
}

static md_node unit_node(enum crypto_kind kind, u64 cpu) {
  md_node node = cpu_node(cpu);
  for (md_node n = md_linked(node, "fwd", "exec-unit", MD_NONE); n != MD_NONE; n = md_linked(node, "fwd", "exec-unit", n))
    if (md_list_has(n, "type", kind == CRYPTO_MAU ? "mau" : "cwq")) return n;
  return MD_NONE;
}

/* With the lock held. The unit of a cpu's core, as far as the description tells; NULL: it has none. */
static struct unit *unit_of(enum crypto_kind kind, u64 cpu) {
  u64 ino;
  md_node node = unit_node(kind, cpu);
  if (node == MD_NONE || !md_value(node, "ino", &ino)) return NULL;
  for (u32 i = 0; i < unit_count[kind]; i++)
    if (units[kind][i].ino == ino) return &units[kind][i];
  if (unit_count[kind] == UNITS) return NULL;
  struct unit *u = &units[kind][unit_count[kind]++];
  *u = (struct unit){.ino = ino};
  return u;
}

struct queue_call {
  u64 type, base_or_handle, entries, status, handle;
};

static void queue_configure(void *arg) {
  struct queue_call *c = arg;
  struct hcall h = {{c->type, c->base_or_handle, c->entries}};
  c->status = hcall_fast(NCS_QCONF, &h);
  c->handle = h.arg[1];
}

/* An online cpu that shares the unit: the asked one, or another of its core. */
static bool caller_of(enum crypto_kind kind, u32 cpu, u32 *found) {
  u64 ino, other;
  if (!md_value(unit_node(kind, cpu), "ino", &ino)) return false;
  for (*found = 0; *found < cpu_limit(); ++*found)
    if (cpu_is_online(*found) && md_value(unit_node(kind, *found), "ino", &other) && other == ino) return true;
  return false;
}

static u64 type_of(enum crypto_kind kind) { return kind == CRYPTO_MAU ? 1 : 2; }

bool crypto_is_configured(enum crypto_kind kind, u32 cpu) {
  lock_acquire(&lock);
  const struct unit *u = unit_of(kind, cpu);
  bool is = u && u->queue;
  lock_release(&lock);
  return is;
}

static enum cpu_result configure(enum crypto_kind kind, u32 cpu) {
  struct unit *u = unit_of(kind, cpu);
  u32 caller;
  if (!u) return CPU_ABSENT;
  if (u->queue) return CPU_OK;
  if (!caller_of(kind, cpu, &caller)) return CPU_NOT_RESPONDING;
  void *queue = have_calls ? page_alloc() : NULL;
  if (!queue) return CPU_FAILED;
  struct queue_call call = {.type = type_of(kind), .base_or_handle = ra_of(queue), .entries = ENTRIES};
  cross_call(caller, queue_configure, &call);
  if (call.status) {
    page_free(queue);
    return CPU_FAILED;
  }
  u->queue = queue;
  u->handle = call.handle;
  return CPU_OK;
}

static enum cpu_result unconfigure(enum crypto_kind kind, u32 cpu) {
  struct unit *u = unit_of(kind, cpu);
  if (!u) return CPU_ABSENT;
  if (!u->queue) return CPU_OK;
  struct queue_call call = {.type = type_of(kind), .base_or_handle = u->handle, .entries = 0};
  queue_configure(&call);
  if (call.status) return CPU_FAILED;
  page_free(u->queue);
  u->queue = NULL;
  return CPU_OK;
}

enum cpu_result crypto_configure(enum crypto_kind kind, u32 cpu) {
  if (!crypto_dr_supported()) return CPU_BLOCKED;
  lock_acquire(&lock);
  enum cpu_result result = configure(kind, cpu);
  lock_release(&lock);
  return result;
}

enum cpu_result crypto_unconfigure(enum crypto_kind kind, u32 cpu) {
  if (!crypto_dr_supported()) return CPU_BLOCKED;
  lock_acquire(&lock);
  enum cpu_result result = unconfigure(kind, cpu);
  lock_release(&lock);
  return result;
}

void crypto_units_start(void) {
  u64 minor;
  have_calls = !hyper_version(GROUP_NCS, 2, 0, &minor);
  lock_acquire(&lock);
  for (u32 id = 0; have_calls && id < cpu_limit(); id++)
    for (enum crypto_kind kind = 0; cpu_is_online(id) && kind < CRYPTO_KINDS; kind++) configure(kind, id);
  lock_release(&lock);
}

/* -- a small job for a modular arithmetic unit: A B / R mod N with A = R mod N gives B */

enum { MAU_LOAD = 0, MAU_STORE = 1, MAU_MULTIPLY = 2, JOB_END = 0x80, STATE_DONE = 3, JOB = 3, WORDS = 3 };
enum { N = 7, A = 2 /* 2^64 mod 7 */, B = 5 };

struct descriptor {
  volatile u64 state;
  u64 type, control, memory_ra, operands, n_prime, error, reserved;
};

struct job {
  const struct unit *unit;
  u64 words[WORDS + 1]; /* A, B, N, and the result */
  u64 at;               /* of the first descriptor in the queue */
  bool ran;
};

/* The T1 has no cipher units, and keeps operation and length elsewhere. */
static u64 control_word(u64 operation, u64 words) {
  return unit_count[CRYPTO_CWQ] ? operation << 8 | (words - 1) : operation << 6 | (words - 1);
}

/* -1 / N mod 2^64, by Newton. */
static u64 n_prime(void) {
  u64 inverse = N;
  for (u32 i = 0; i < 6; i++) inverse *= 2 - N * inverse;
  return -inverse;
}

/* On a cpu of the unit's core. */
static void job_run(void *arg) {
  struct job *job = arg;
  struct descriptor *queue = job->unit->queue;
  const struct descriptor wanted[JOB] = {
      {.control = control_word(MAU_LOAD, WORDS), .memory_ra = ra_of(job->words)},
      {.control = control_word(MAU_MULTIPLY, 1), .operands = 0 | 1 << 8 | 2 << 16 | 3 << 24, .n_prime = n_prime()},
      {.control = control_word(MAU_STORE, 1), .memory_ra = ra_of(&job->words[WORDS]), .operands = 3, .type = JOB_END},
  };
  for (u32 i = 0; i < JOB; i++) queue[(job->at + i) % ENTRIES] = wanted[i];
  u64 tail = (job->at + JOB) % ENTRIES, head = job->at * ENTRY_BYTES;
  job->ran = !hyper(NCS_SETTAIL, job->unit->handle, tail * ENTRY_BYTES, 0, 0);
  for (u32 tries = 0; job->ran && head != tail * ENTRY_BYTES && tries < 1000; tries++)
    if (hyper_get(NCS_GETHEAD, job->unit->handle, 0, &head)) job->ran = false;
  for (u32 i = 0; job->ran && i < JOB; i++) job->ran = queue[(job->at + i) % ENTRIES].state == STATE_DONE;
}

/* "configured" without having tried: a cipher unit. */
static const char *unit_verdict(enum crypto_kind kind, u32 cpu) {
  static struct job job;
  const struct unit *u = unit_of(kind, cpu);
  u64 head = 0;
  u32 caller;
  if (!u->queue) return "unconfigured";
  if (kind != CRYPTO_MAU) return "configured";
  if (!caller_of(kind, cpu, &caller) || hyper_get(NCS_GETHEAD, u->handle, 0, &head)) return "WRONG (no queue)";
  job = (struct job){.unit = u, .words = {A, B, N}, .at = head / ENTRY_BYTES};
  cross_call(caller, job_run, &job);
  return !job.ran ? "WRONG (not done)" : job.words[WORDS] == B ? "ok" : "WRONG";
}

int crypto_units_print(void) {
  int wrong = 0;
  for (enum crypto_kind kind = 0; kind < CRYPTO_KINDS; kind++) {
    u64 last = ~0ul, ino;
    for (u32 id = 0; id < cpu_limit(); id++) {
      md_node node = unit_node(kind, id);
      if (!md_value(node, "ino", &ino) || ino == last) continue;
      last = ino;
      lock_acquire(&lock);
      const char *verdict = unit_of(kind, id) ? unit_verdict(kind, id) : "unknown";
      lock_release(&lock);
      printf("%s of cpu %u: %s\n", kind == CRYPTO_MAU ? "mau" : "cwq", id, verdict);
      wrong |= verdict[0] == 'W';
    }
  }
  return wrong;
}
