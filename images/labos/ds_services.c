/* ds_services.c - what the domain does when the manager asks. Source: UltraSPARC Virtual Machine Specification 3.0,
 * chapter 31; domain-suspend as the Solaris service of that name answers.
 */
#include "ds.h"

#include "boot_args.h"
#include "wire.h"

enum { OK = 0, FAILED = 1, INVALID = 2 };
enum suspend_result { PRE_SUCCESS, PRE_FAILURE, INVALID_MESSAGE, IN_PROGRESS, FAILURE, POST_SUCCESS, POST_FAILURE };
enum unit_action { CONFIGURE = 'C', UNCONFIGURE = 'U', FORCE = 'F', STATUS = 'S' };
enum unit_status { NOT_PRESENT, NOT_CONFIGURED, CONFIGURED };
enum { RESPONSE_OK = 'o', RESPONSE_ERROR = 'e', CPU_RECORD = 16, CRYPTO_RECORD = 12, UNITS_MOST = 200, REASON = 512 };
#define REGISTER_PATIENCE_NS (60 * NS_PER_SECOND)

static void answer_result(const struct ds_request *r, u32 result) {
  u8 m[4];
  set32(m, result);
  ds_answer(r, false, m, sizeof m);
}

static void md_update(const struct ds_request *r) {
  u64 status = md_reload();
  if (!status) drivers_rescan();
  answer_result(r, status ? FAILED : OK);
}

/* Result, and a reason that is empty. */
static void shut_down(const struct ds_request *r) {
  u8 m[5] = {0};
  if (r->bytes < 4) {
    answer_result(r, INVALID);
    return;
  }
  ds_answer(r, false, m, sizeof m);
  printf("\nShutdown requested by the Logical Domains Manager\n");
  thread_sleep_ns((u64)get32(r->data) * NS_PER_MS);
  system_halt();
}

static void panic_asked(const struct ds_request *r) {
  u8 m[5] = {0};
  ds_answer(r, false, m, sizeof m);
  panic("forced by the Logical Domains Manager");
}

/* -- domain-suspend */

static bool answer_suspend(const struct ds_request *r, bool any_session, enum suspend_result result, u32 recovery,
                           const char *reason) {
  u8 m[8 + REASON] = {0};
  set32(m, result);
  set32(m + 4, recovery);
  size_t n = strlen(reason) < REASON - 1 ? strlen(reason) : REASON - 1;
  memcpy(m + 8, reason, n);
  return ds_answer(r, any_session, m, 8 + n + 1);
}

/* After a resume the session is a new one: the manager hears of the success once the service is registered again. */
static void answer_resumed(const struct ds_request *r) {
  u64 limit = clock_ns() + REGISTER_PATIENCE_NS;
  while (!answer_suspend(r, true, POST_SUCCESS, 0, "") && clock_ns() < limit) thread_sleep_ns(NS_PER_SECOND / 10);
}

/* A system may refuse, or not do what it said: the command `suspend` says how this one behaves. */
static void suspend(const struct ds_request *r) {
  enum suspend_manner manner = suspend_manner();
  if (manner == SUSPEND_DEAF) return;
  if (manner == SUSPEND_REFUSE) {
    answer_suspend(r, false, PRE_FAILURE, 1, "an agent of the system refused");
    return;
  }
  if (r->bytes < 8 || get64(r->data) != 0) {
    answer_suspend(r, false, INVALID_MESSAGE, 0, "unknown type of suspend");
    return;
  }
  if (!answer_suspend(r, false, PRE_SUCCESS, 0, "")) return; /* who asked is gone */
  if (manner == SUSPEND_STAY) return;
  u64 status = system_suspend();
  char reason[64];
  snprintf(reason, sizeof reason, "MACH_SUSPEND returned %lu", status);
  if (status)
    answer_suspend(r, true, FAILURE, 0, reason);
  else
    answer_resumed(r);
}

/* -- cpus and crypto units */

static u32 cpu_status(u32 id) { return cpu_is_online(id) ? CONFIGURED : cpu_exists(id) ? NOT_CONFIGURED : NOT_PRESENT; }

static enum cpu_result cpu_act(u32 action, u32 id) {
  if (!cpu_exists(id) && !cpu_is_online(id)) return CPU_ABSENT;
  if (action == STATUS) return CPU_OK;
  if (action == CONFIGURE) return cpu_is_online(id) ? CPU_OK : cpu_online(id);
  return cpu_is_online(id) ? cpu_offline(id, action == FORCE) : CPU_OK;
}

/* The service has fewer results than there are reasons. */
static u32 cpu_code(enum cpu_result result) {
  return result == CPU_BOUND || result == CPU_LAST ? CPU_BLOCKED : (u32)result;
}

static bool action_known(u32 action) {
  return action == CONFIGURE || action == UNCONFIGURE || action == FORCE || action == STATUS;
}

/* type, count and records; then the texts of those that failed, each record with the offset of its own from the
 * request's number on. */
static void cpus(const struct ds_request *r, u8 m[DS_ANSWER]) {
  u32 action = r->bytes >= 8 ? get32(r->data) : 0, n = r->bytes >= 8 ? get32(r->data + 4) : 0;
  if (!action_known(action) || n > UNITS_MOST || r->bytes < 8 + 4 * n) {
    set32(m, RESPONSE_ERROR);
    ds_answer(r, false, m, 8);
    return;
  }
  size_t text_at = 8 + (size_t)n * CPU_RECORD;
  set32(m, RESPONSE_OK);
  set32(m + 4, n);
  for (u32 i = 0; i < n; i++) {
    u32 id = get32(r->data + 8 + 4 * i);
    u8 *record = m + 8 + (size_t)i * CPU_RECORD;
    enum cpu_result result = cpu_act(action, id);
    const char *text = cpu_result_text(result);
    set32(record, id);
    set32(record + 4, cpu_code(result));
    set32(record + 8, cpu_status(id));
    if (!*text || text_at + strlen(text) + 1 > DS_ANSWER) continue;
    set32(record + 12, (u32)(8 + text_at));
    memcpy(m + text_at, text, strlen(text) + 1);
    text_at += strlen(text) + 1;
  }
  ds_answer(r, false, m, text_at);
}

static enum cpu_result crypto_act(enum crypto_kind kind, u32 action, u32 id) {
  if (action == STATUS) return CPU_OK;
  return action == CONFIGURE ? crypto_configure(kind, id) : crypto_unconfigure(kind, id);
}

static void crypto(const struct ds_request *r, enum crypto_kind kind, u8 m[DS_ANSWER]) {
  u32 action = r->bytes >= 4 ? get32(r->data) : 0, n = r->bytes >= 4 ? (r->bytes - 4) / 4 : 0;
  bool fine = action_known(action) && n <= UNITS_MOST;
  set32(m, fine ? RESPONSE_OK : RESPONSE_ERROR);
  for (u32 i = 0; fine && i < n; i++) {
    u32 id = get32(r->data + 4 + 4 * i);
    u8 *record = m + 4 + (size_t)i * CRYPTO_RECORD;
    enum cpu_result result = crypto_act(kind, action, id);
    set32(record, id);
    set32(record + 4, result);
    set32(record + 8, result == CPU_ABSENT ? NOT_PRESENT : crypto_is_configured(kind, id) ? CONFIGURED : NOT_CONFIGURED);
  }
  ds_answer(r, false, m, 4 + (fine ? (size_t)n * CRYPTO_RECORD : 0));
}

/* -- system-info: names in, names and values out */

static const char *fact(const char *name) {
  if (strcmp(name, "uts-sysname") == 0) return "SunOS";
  if (strcmp(name, "uts-nodename") == 0) return host_name();
  if (strcmp(name, "uts-release") == 0) return release_name();
  if (strcmp(name, "uts-version") == 0) return release_version();
  if (strcmp(name, "kernel-zones") == 0) return zones_running();
  if (strcmp(name, "memory-tags") == 0) return tags_in_use() ? "on" : "off";
  return strcmp(name, "uts-machine") == 0 ? "sun4v" : NULL;
}

static size_t text_put(u8 *m, size_t at, const char *text) {
  size_t n = strlen(text) + 1;
  if (at + n <= DS_ANSWER) memcpy(m + at, text, n);
  return at + n;
}

/* Result 1 where a name is unknown, or what was asked for is no list of names; those that are known are told. */
static void system_info(const struct ds_request *r, u8 m[DS_ANSWER]) {
  bool fine = r->bytes > 4 && get32(r->data) == 0 && !r->data[r->bytes - 1];
  size_t at = 12;
  u32 count = 0;
  for (u32 i = 4; fine && i < r->bytes; i += (u32)strlen((const char *)r->data + i) + 1) {
    const char *name = (const char *)r->data + i, *value = fact(name);
    size_t end = value ? text_put(m, text_put(m, at, name), value) : DS_ANSWER + 1;
    fine = end <= DS_ANSWER;
    if (!fine) break;
    at = end;
    count++;
  }
  set32(m, 1);
  set32(m + 4, !fine);
  set32(m + 8, count);
  ds_answer(r, false, m, at);
}

void ds_perform(const struct ds_request *r) {
  static u8 answer[DS_ANSWER]; /* too long for a stack; one request is done at a time */
  memset(answer, 0, sizeof answer);
  switch (r->service) {
    case DS_MD_UPDATE: md_update(r); break;
    case DS_SHUTDOWN: shut_down(r); break;
    case DS_PANIC: panic_asked(r); break;
    case DS_SUSPEND: suspend(r); break;
    case DS_CPU: cpus(r, answer); break;
    case DS_CRYPTO_MAU: crypto(r, CRYPTO_MAU, answer); break;
    case DS_CRYPTO_CWQ: crypto(r, CRYPTO_CWQ, answer); break;
    case DS_MEMORY: ds_memory(r, answer); break;
    case DS_VIO: ds_vio(r, answer); break;
    case DS_SYSTEM_INFO: system_info(r, answer); break;
    default: break;
  }
}
