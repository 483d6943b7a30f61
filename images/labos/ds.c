/* ds.c - the Domain Services session. Source: UltraSPARC Virtual Machine Specification 3.0, chapter 31.
 *
 *   message  type (4), bytes behind these 8 (4), payload
 *   manager                            domain
 *   calls: link up                  <- INIT_REQ 1.0
 *   INIT_ACK                        <- REG_REQ handle, 1.0, name: once a service
 *   REG_ACK or REG_NACK
 *   DATA handle, number, ...        <- DATA handle, number, ...
 *
 * The handle's upper half is the service, the lower one the session: an answer to a session that is over finds nobody.
 */
#include "ds.h"

#include "ldc.h"

enum kind {
  INIT_REQ, INIT_ACK, INIT_NACK, REG_REQ, REG_ACK, REG_NACK, UNREG, UNREG_ACK, UNREG_NACK, DATA, DATA_NACK
};
enum { MAJOR = 1, MINOR = 0, HEADER = 8, QUEUE = 8, NAME = 32, RESULT_HANDLE = 3, VARIABLE_SET = 0, VARIABLE_DELETE = 1 };
#define WATCH_NS NS_PER_SECOND
#define ANSWER_NS (10 * NS_PER_SECOND)
#define VARIABLE_PATIENCE_NS (10 * NS_PER_SECOND)

static const char *const names[DS_SERVICES] = {
    [DS_MD_UPDATE] = "md-update", [DS_SHUTDOWN] = "domain-shutdown", [DS_PANIC] = "domain-panic",
    [DS_SUSPEND] = "domain-suspend", [DS_CPU] = "dr-cpu", [DS_CRYPTO_MAU] = "dr-crypto-mau",
    [DS_CRYPTO_CWQ] = "dr-crypto-cwq", [DS_MEMORY] = "dr-mem", [DS_VIO] = "dr-vio",
    [DS_SYSTEM_INFO] = "system-info", [DS_VAR_CONFIG] = "var-config", [DS_VAR_CONFIG_BACKUP] = "var-config-backup"};

static struct spinlock lock = SPINLOCK("ds");
static struct ldc_channel channel;
static bool ready, registered[DS_SERVICES], answered;
static u64 session, called_ns; /* called: when this session began */
static u32 variable_result, queued, first;
static struct ds_request queue[QUEUE];
static struct timer timer;

const char *ds_name(enum ds_service service) { return names[service]; }

/* The number of a request comes first, but for these: dr-mem has it behind its type, system-info has none. */
static bool is_unnumbered(enum ds_service s) { return s == DS_MEMORY || s == DS_SYSTEM_INFO; }

static u64 handle_of(enum ds_service service) { return (u64)service << 32 | (session & 0xffffffff); }

/* With the lock: the message is too long for a stack. */
static bool send(enum kind kind, const u8 *payload, size_t bytes) {
  static u8 message[HEADER + 16 + DS_ANSWER];
  if (bytes > sizeof message - HEADER) return false;
  set32(message, kind);
  set32(message + 4, (u32)bytes);
  memcpy(message + HEADER, payload, bytes);
  return ldc_send(&channel, message, HEADER + bytes);
}

static bool offered(enum ds_service service) {
  bool crypto = service == DS_CRYPTO_MAU || service == DS_CRYPTO_CWQ;
  return !crypto || crypto_dr_supported();
}

static void register_all(void) {
  for (enum ds_service s = 0; s < DS_SERVICES; s++) {
    u8 m[12 + NAME] = {0};
    if (!offered(s)) continue;
    set64(m, handle_of(s));
    set16(m + 8, MAJOR);
    set16(m + 10, MINOR);
    memcpy(m + 12, names[s], strlen(names[s]) + 1);
    if (!send(REG_REQ, m, 12 + strlen(names[s]) + 1)) printf("WARNING: ds: %s is not registered\n", names[s]);
  }
}

/* The service of a handle of this session; DS_SERVICES: none. */
static enum ds_service service_of(u64 handle) {
  u64 s = handle >> 32;
  return s < DS_SERVICES && handle == handle_of((enum ds_service)s) ? (enum ds_service)s : DS_SERVICES;
}

static void variable_came(const u8 *p, size_t bytes) {
  if (bytes < 8 || answered || (get32(p) != VARIABLE_SET + 2 && get32(p) != VARIABLE_DELETE + 2)) return;
  variable_result = get32(p + 4);
  answered = true;
  thread_wakeup(&answered);
}

/* A request waits for the thread. Where too many wait, or it is too long, the manager gets no answer and asks again. */
static void data_came(const u8 *p, size_t bytes) {
  enum ds_service s = bytes >= 8 ? service_of(get64(p)) : DS_SERVICES;
  if (s == DS_SERVICES || !registered[s]) {
    u8 m[16] = {0};
    if (bytes >= 8) memcpy(m, p, 8);
    set64(m + 8, RESULT_HANDLE);
    send(DATA_NACK, m, sizeof m);
    return;
  }
  if (s == DS_VAR_CONFIG || s == DS_VAR_CONFIG_BACKUP) {
    variable_came(p + 8, bytes - 8);
    return;
  }
  size_t at = is_unnumbered(s) ? 8 : 16;
  if (bytes < at || bytes - at > DS_REQUEST || queued == QUEUE) return;
  struct ds_request *r = &queue[(first + queued++) % QUEUE];
  *r = (struct ds_request){.service = s, .session = session, .bytes = (u32)(bytes - at)};
  if (at == 16) r->number = get64(p + 8);
  memcpy(r->data, p + at, r->bytes);
  thread_wakeup(queue);
}

static void message_came(const u8 *p, size_t bytes) {
  if (bytes < HEADER || get32(p + 4) > bytes - HEADER) {
    ldc_restart(&channel);
    return;
  }
  u32 kind = get32(p);
  bytes = get32(p + 4);
  p += HEADER;
  enum ds_service s = bytes >= 8 ? service_of(get64(p)) : DS_SERVICES;
  if (kind == INIT_ACK && !ready) {
    ready = true;
    register_all();
  } else if (kind == INIT_NACK) {
    printf("WARNING: ds: the manager speaks another version\n");
  } else if (ready && kind == DATA) {
    data_came(p, bytes);
  } else if (ready && s != DS_SERVICES && (kind == REG_ACK || kind == REG_NACK)) {
    registered[s] = kind == REG_ACK;
    thread_wakeup(&ready);
  } else if (ready && s != DS_SERVICES && kind == UNREG) {
    registered[s] = false;
    send(UNREG_ACK, p, 8);
  }
}

static void event(struct ldc_channel *c, enum ldc_event what, const u8 *data, size_t bytes) {
  (void)c;
  if (what == LDC_EVENT_MESSAGE) message_came(data, bytes);
  if (what != LDC_EVENT_UP && what != LDC_EVENT_DOWN) return;
  ready = false;
  memset(registered, 0, sizeof registered);
  if (what == LDC_EVENT_DOWN) return;
  u8 version[4] = {0, MAJOR, 0, MINOR};
  session++;
  called_ns = clock_ns();
  send(INIT_REQ, version, sizeof version);
}

bool ds_is_registered(enum ds_service service) {
  lock_acquire(&lock);
  bool is = registered[service];
  lock_release(&lock);
  return is;
}

bool ds_answer(const struct ds_request *r, bool any_session, const void *data, size_t bytes) {
  static u8 m[16 + DS_ANSWER];
  size_t at = is_unnumbered(r->service) ? 8 : 16;
  if (bytes > DS_ANSWER) return false;
  lock_acquire(&lock);
  bool there = registered[r->service] && (any_session || r->session == session);
  if (there) {
    set64(m, handle_of(r->service));
    set64(m + 8, r->number);
    memcpy(m + at, data, bytes);
    there = send(DATA, m, at + bytes);
  }
  lock_release(&lock);
  return there;
}

static void ds_thread(void *arg) {
  static struct ds_request now;
  (void)arg;
  lock_acquire(&lock);
  for (;;) {
    while (!queued) thread_sleep(queue, &lock);
    now = queue[first];
    first = (first + 1) % QUEUE;
    queued--;
    lock_release(&lock);
    ds_perform(&now);
    lock_acquire(&lock);
  }
}

/* -- variables */

static enum ds_service variable_service(void) {
  return registered[DS_VAR_CONFIG] ? DS_VAR_CONFIG : DS_VAR_CONFIG_BACKUP;
}

enum ds_variable ds_variable_set(const char *name, const char *value) {
  static bool busy;
  u8 m[512] = {0};
  size_t n = strlen(name) + 1, v = value ? strlen(value) + 1 : 0;
  if (12 + n + v > sizeof m) return DS_VARIABLE_BAD_VALUE;
  memcpy(m + 12, name, n);
  if (value) memcpy(m + 12 + n, value, v);
  set32(m + 8, value ? VARIABLE_SET : VARIABLE_DELETE);
  u64 limit = clock_ns() + VARIABLE_PATIENCE_NS;
  lock_acquire(&lock);
  while (busy) thread_sleep(&answered, &lock);
  busy = true;
  answered = false;
  while (!registered[variable_service()] && clock_ns() < limit) thread_sleep_until(&ready, &lock, limit);
  enum ds_service s = variable_service();
  set64(m, handle_of(s));
  bool sent = registered[s] && send(DATA, m, 12 + n + v);
  while (sent && !answered && clock_ns() < limit) thread_sleep_until(&answered, &lock, limit);
  enum ds_variable result = sent && answered && variable_result <= DS_VARIABLE_ABSENT ? variable_result
                                                                                     : DS_VARIABLE_NO_ANSWER;
  busy = false;
  answered = true;
  thread_wakeup(&answered);
  lock_release(&lock);
  return result;
}

/* -- beginnings */

static void interrupted(void *arg) {
  (void)arg;
  lock_acquire(&lock);
  if (channel.open) ldc_service(&channel);
  lock_release(&lock);
}

static void watch(void *arg) {
  (void)arg;
  lock_acquire(&lock);
  ldc_watch(&channel);
  if (channel.link.state == LINK_UP && !ready && clock_ns() - called_ns > ANSWER_NS) ldc_restart(&channel);
  lock_release(&lock);
  timer_start(&timer, clock_ns() + WATCH_NS);
}

static void resumed(void *arg, bool moved) {
  if (moved) interrupted(arg);
}

/* The port of the domain's own services; a second one, under openboot, is the firmware's. */
static md_node find_port(void) {
  for (md_node n = md_find("domain-services-port", MD_NONE); n != MD_NONE; n = md_find("domain-services-port", n))
    if (md_linked(n, "back", "domain-services", MD_NONE) != MD_NONE) return n;
  return MD_NONE;
}

void ds_start(void) {
  static struct suspend_hook hook = {.after = resumed};
  md_node port = find_port();
  if (port == MD_NONE || !ldc_endpoint(port, &channel.id, &channel.tx_ino, &channel.rx_ino)) return;
  channel.event = event;
  lock_acquire(&lock);
  u64 status = ldc_prepare(&channel) ? ldc_open(&channel, LINK_STREAM, false, interrupted, NULL) : ENOMAP;
  lock_release(&lock);
  if (status || !thread_start("ds", ds_thread, NULL)) {
    printf("WARNING: domain services: channel %lu cannot be opened (%lu)\n", channel.id, status);
    return;
  }
  timer.function = watch;
  watch(NULL);
  suspend_hook_add(&hook);
}
