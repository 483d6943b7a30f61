/* ncs.c - NCS_* calls, units and their queues. See ncs.h. */
#include "hyp/ncs.h"

#include "hyp/calls.h"
#include "hyp/hyp.h"

/* A handle is the unit's place and a mark of its kind, as Sun's hypervisor makes them. */
enum { MAU_MARK = 0x864, CWQ_MARK = 0xa72, PLACE_SHIFT = 16 };
enum { V1_QCONF = 1, V1_QTAIL_UPDATE = 2, V1_QCONF_WORDS = 4, V1_QTAIL_WORDS = 3, V1_MOST_MAUS = 8 };
enum { STATE_DONE = 3, STATE_ERROR = 4, TYPE_END = 0x80, ERROR_OPERATION = 1 };
enum { MAU_STATE = 0x00, MAU_TYPE = 0x08, MAU_ERROR = 0x30 };

static bool is_mau(const struct ncs_unit *u) { return u->kind != NCS_CWQ; }

static struct ncs_unit *unit_of_ino(struct domain *d, u32 ino) {
  for (u32 i = 0; i < d->ncs.count; i++)
    if (d->ncs.unit[i].ino == ino) return &d->ncs.unit[i];
  return NULL;
}

/* The unit of that kind that a strand has; NULL: none. */
static struct ncs_unit *unit_of_strand(struct domain *d, u32 cpu, bool mau) {
  for (u32 i = 0; i < d->ncs.count; i++) {
    struct ncs_unit *u = &d->ncs.unit[i];
    for (u32 n = 0; is_mau(u) == mau && n < u->cpu_count; n++)
      if (u->cpu[n] == cpu) return u;
  }
  return NULL;
}

bool ncs_add(struct domain *d, u32 kind, u32 ino, const u32 *cpus, size_t count) {
  bool known = kind == NCS_MAU || kind == NCS_CWQ || kind == NCS_MAU_T1;
  if (!known || d->ncs.count == NCS_UNITS || count == 0 || count > NCS_CPUS) return false;
  if (ino >= VDEVICE_INOS || ino == CONSOLE_DEVINO || unit_of_ino(d, ino)) return false;
  struct ncs_unit u = {.kind = (u8)kind, .ino = ino, .cpu_count = (u8)count};
  for (size_t n = 0; n < count; n++) {
    if (!hyp_strand(d, cpus[n]) || unit_of_strand(d, cpus[n], is_mau(&u))) return false;
    u.cpu[n] = (u16)cpus[n];
  }
  d->ncs.unit[d->ncs.count++] = u;
  intr_add(&d->interrupts, VDEVICE_HANDLE + ino);
  return true;
}

bool ncs_remove(struct domain *d, u32 ino) {
  struct ncs_unit *u = unit_of_ino(d, ino);
  if (!u) return false;
  intr_remove(&d->interrupts, VDEVICE_HANDLE + ino);
  *u = d->ncs.unit[--d->ncs.count];
  d->ncs.unit[d->ncs.count] = (struct ncs_unit){0};
  return true;
}

void ncs_drop_strand(struct domain *d, u32 cpu) {
  for (u32 i = d->ncs.count; i-- > 0;) {
    struct ncs_unit *u = &d->ncs.unit[i];
    u32 kept = 0;
    for (u32 n = 0; n < u->cpu_count; n++)
      if (u->cpu[n] != cpu) u->cpu[kept++] = u->cpu[n];
    for (u32 n = kept; n < u->cpu_count; n++) u->cpu[n] = 0;
    u->cpu_count = (u8)kept;
    if (kept == 0) ncs_remove(d, u->ino);
  }
}

static void unconfigure(struct ncs_unit *u) {
  u->base = u->entries = u->head = u->tail = u->marker = 0;
  u->event = 0;
}

void ncs_reset(struct ncs *n) {
  for (u32 i = 0; i < n->count; i++) {
    unconfigure(&n->unit[i]);
    __builtin_memset(n->unit[i].memory, 0, sizeof n->unit[i].memory);
  }
}

bool ncs_level(const struct domain *d, u32 ino) {
  for (u32 i = 0; i < d->ncs.count; i++) {
    const struct ncs_unit *u = &d->ncs.unit[i];
    if (u->ino == ino) return u->event && u->head != u->marker;
  }
  return false;
}

void ncs_save(const struct ncs *n, struct writer *w) {
  put_u32(w, n->count);
  for (u32 i = 0; i < n->count; i++) {
    const struct ncs_unit *u = &n->unit[i];
#define X(type, name) put_low(w, u->name, sizeof(type));
    NCS_FIELDS(X)
#undef X
    for (u32 c = 0; c < NCS_CPUS; c++) put_u16(w, u->cpu[c]);
    for (u32 m = 0; is_mau(u) && m < MAU_WORDS; m++) put_u64(w, u->memory[m]);
  }
}

static bool queue_whole(const struct domain *d, const struct ncs_unit *u) {
  u64 bytes = ncs_queue_bytes(u);
  if (!u->entries) return !u->base && !u->head && !u->tail && !u->marker && !u->event;
  return u->entries <= NCS_MOST_V1 && u->event <= 1 && !(u->base & 7) && ram_backed(d->env.ram, RA(u->base), bytes) &&
         !((u->head | u->tail | u->marker) % NCS_ENTRY) && u->head < bytes && u->tail < bytes && u->marker < bytes;
}

/* The image's units replace those there are; their interrupt sources come with intr_load(). */
bool ncs_load(struct domain *d, struct reader *in) {
  struct ncs *n = &d->ncs;
  u32 count = get_u32(in), cpus[NCS_CPUS];
  n->count = 0;
  if (in->failed || count > NCS_UNITS) return false;
  for (u32 i = 0; i < count; i++) {
    struct ncs_unit u = {0};
#define X(type, name) u.name = (type)get_low(in, sizeof(type));
    NCS_FIELDS(X)
#undef X
    for (u32 c = 0; c < NCS_CPUS; c++) cpus[c] = get_u16(in);
    for (u32 m = 0; is_mau(&u) && m < MAU_WORDS; m++) u.memory[m] = get_u64(in);
    if (in->failed || !queue_whole(d, &u)) return false;
    if (u.ino >= VDEVICE_INOS || !d->interrupts.source[u.ino].exists) return false;
    struct intr_source kept = d->interrupts.source[u.ino]; /* adding makes a new one */
    if (!ncs_add(d, u.kind, u.ino, cpus, u.cpu_count)) return false;
    d->interrupts.source[u.ino] = kept;
    __builtin_memcpy(u.cpu, n->unit[i].cpu, sizeof u.cpu);
    n->unit[i] = u;
  }
  return true;
}

/* -- version 2 */

static struct ncs_unit *by_handle(struct domain *d, u64 handle) {
  u64 place = handle >> PLACE_SHIFT, mark = handle & ((1 << PLACE_SHIFT) - 1);
  if (place >= d->ncs.count) return NULL;
  struct ncs_unit *u = &d->ncs.unit[place];
  return mark == (is_mau(u) ? MAU_MARK : CWQ_MARK) ? u : NULL;
}

static u64 handle_of(const struct domain *d, const struct ncs_unit *u) {
  return (u64)(u - d->ncs.unit) << PLACE_SHIFT | (is_mau(u) ? MAU_MARK : CWQ_MARK);
}

u32 hc_ncs_qconf(struct strand *s, struct domain *d) {
  u64 type = hv_arg(s, 0), base = hv_arg(s, 1), n = hv_arg(s, 2);
  if (type != NCS_MAU && type != NCS_CWQ) return hc_status(s, HV_EINVAL);
  struct ncs_unit *u = n ? unit_of_strand(d, s->id, type == NCS_MAU) : by_handle(d, base);
  if (n == 0) {
    if (!u || is_mau(u) != (type == NCS_MAU)) return hc_status(s, HV_EINVAL);
    unconfigure(u);
    hv_ret(s, 1, base);
    return hc_status(s, HV_EOK);
  }
  if (n < NCS_LEAST_ENTRIES || n > NCS_MOST_ENTRIES || (n & (n - 1))) return hc_status(s, HV_EINVAL);
  if (!u) return hc_status(s, HV_ENOACCESS);
  if (base & (n * NCS_ENTRY - 1)) return hc_status(s, HV_EBADALIGN);
  if (!ram_backed(s->env->ram, RA(base), n * NCS_ENTRY)) return hc_status(s, HV_ENORADDR);
  unconfigure(u);
  u->base = base;
  u->entries = n;
  hv_ret(s, 1, handle_of(d, u));
  return hc_status(s, HV_EOK);
}

u32 hc_ncs_qinfo(struct strand *s, struct domain *d) {
  const struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  if (!u) return hc_status(s, HV_EINVAL);
  hv_ret(s, 1, is_mau(u) ? NCS_MAU : NCS_CWQ);
  hv_ret(s, 2, u->base);
  hv_ret(s, 3, u->entries);
  return hc_status(s, HV_EOK);
}

u32 hc_ncs_gethead(struct strand *s, struct domain *d) {
  const struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  if (u) hv_ret(s, 1, u->head);
  return hc_status(s, u ? HV_EOK : HV_EINVAL);
}

u32 hc_ncs_gettail(struct strand *s, struct domain *d) {
  const struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  if (u) hv_ret(s, 1, u->tail);
  return hc_status(s, u ? HV_EOK : HV_EINVAL);
}

u32 hc_ncs_qhandle_to_devino(struct strand *s, struct domain *d) {
  const struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  if (u) hv_ret(s, 1, u->ino);
  return hc_status(s, u ? HV_EOK : HV_EINVAL);
}

u32 hc_ncs_sethead_marker(struct strand *s, struct domain *d) {
  struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  u64 marker = hv_arg(s, 1);
  if (!u || marker % NCS_ENTRY || marker >= ncs_queue_bytes(u)) return hc_status(s, HV_EINVAL);
  u->marker = marker;
  if (marker == u->head) u->event = 0;
  return intr_update(d, VDEVICE_HANDLE + u->ino) ? hc_event(s, HV_EOK) : hc_status(s, HV_EOK);
}

static u64 mau_word(const struct domain *d, const struct ncs_unit *u, u32 at) {
  u8 bytes[8] = {0};
  ram_read(d->env.ram, RA(u->base + u->head + at), bytes, sizeof bytes);
  return be64_load(bytes);
}

static void set_mau_word(struct domain *d, const struct ncs_unit *u, u32 at, u64 value) {
  u8 bytes[8];
  be64_store(bytes, value);
  ram_write(d->env.ram, RA(u->base + u->head + at), bytes, sizeof bytes);
}

/* Descriptors of a job that has failed are errors up to the one that ends it. */
static void mau_run(struct domain *d, struct ncs_unit *u) {
  bool failing = false;
  while (u->head != u->tail) {
    u32 status = failing ? HV_EOK : ncs_mau_run_one(d, u);
    if (!failing) set_mau_word(d, u, MAU_ERROR, status == HV_EIO ? ERROR_OPERATION : 0);
    failing |= status != HV_EOK;
    set_mau_word(d, u, MAU_STATE, failing ? STATE_ERROR : STATE_DONE);
    u->jobs++;
    u->errors += failing;
    if (mau_word(d, u, MAU_TYPE) & TYPE_END) {
      failing = false;
      u->event = 1;
    }
    u->head = ncs_next(u, u->head);
  }
  u->event = 1; /* the queue has run empty */
}

/* Only the strands of a unit put it to work. */
u32 hc_ncs_settail(struct strand *s, struct domain *d) {
  struct ncs_unit *u = by_handle(d, hv_arg(s, 0));
  u64 tail = hv_arg(s, 1);
  if (!u || unit_of_strand(d, s->id, is_mau(u)) != u) return hc_status(s, HV_EINVAL);
  if (tail % NCS_ENTRY || tail >= ncs_queue_bytes(u)) return hc_status(s, HV_EINVAL);
  u32 status = is_mau(u) ? HV_EOK : ncs_cwq_check(d, u, tail);
  if (status) return hc_status(s, status);
  u->tail = tail;
  if (u->head == u->tail) return hc_status(s, HV_EOK);
  if (is_mau(u))
    mau_run(d, u);
  else
    ncs_cwq_run(d, u);
  return intr_update(d, VDEVICE_HANDLE + u->ino) ? hc_event(s, HV_EOK) : hc_status(s, HV_EOK);
}

/* Queues for user programs: not known how, so none. */
u32 hc_ncs_ulqconf(struct strand *s, struct domain *d) {
  (void)d;
  return hc_status(s, HV_ENOTSUPPORTED);
}

/* -- version 1: modular arithmetic units by number, arguments in memory */

static struct ncs_unit *mau_number(struct domain *d, u64 number) {
  for (u32 i = 0; i < d->ncs.count; i++)
    if (is_mau(&d->ncs.unit[i]) && number-- == 0) return &d->ncs.unit[i];
  return NULL;
}

/* {unit, base, end, entries}. A unit that is not there is configured in vain: drivers of the T1 try all numbers. */
static u32 v1_qconf(struct domain *d, const u64 *arg) {
  u64 base = arg[1], end = arg[2], n = arg[3];
  struct ncs_unit *u = mau_number(d, arg[0]);
  if (arg[0] >= V1_MOST_MAUS) return HV_EINVAL;
  if (!u) return HV_EOK;
  if (base == 0) {
    unconfigure(u);
    return HV_EOK;
  }
  if ((base | end) & 7) return HV_EBADALIGN;
  if (n < NCS_LEAST_ENTRIES || n > NCS_MOST_V1 || end - base != n * NCS_ENTRY) return HV_EINVAL;
  if (!ram_backed(d->env.ram, RA(base), n * NCS_ENTRY)) return HV_ENORADDR;
  unconfigure(u);
  u->base = base;
  u->entries = n;
  return HV_EOK;
}

/* {unit, tail as an index, synchronous or not}. Stops at the first descriptor that fails. */
static u32 v1_qtail_update(struct strand *s, struct domain *d, const u64 *arg) {
  struct ncs_unit *u = mau_number(d, arg[0]);
  if (!u || unit_of_strand(d, s->id, true) != u || arg[1] > u->entries || !u->entries || arg[2] > 1) return HV_EINVAL;
  u->tail = arg[1] % u->entries * NCS_ENTRY;
  while (u->head != u->tail) {
    u32 status = ncs_mau_run_one(d, u);
    set_mau_word(d, u, MAU_STATE, status ? STATE_ERROR : STATE_DONE);
    u->jobs++;
    u->errors += status != HV_EOK;
    if (status) return status;
    u->head = ncs_next(u, u->head);
  }
  if (arg[2]) u->event = 1;
  return HV_EOK;
}

u32 hc_ncs_request(struct strand *s, struct domain *d) {
  u64 call = hv_arg(s, 0), ra = hv_arg(s, 1), size = hv_arg(s, 2), arg[V1_QCONF_WORDS] = {0};
  u32 words = call == V1_QCONF ? V1_QCONF_WORDS : V1_QTAIL_WORDS;
  if (ra & 7) return hc_status(s, HV_EBADALIGN);
  if (!ram_backed(s->env->ram, RA(ra), size ? size : 1)) return hc_status(s, HV_ENORADDR);
  if ((call != V1_QCONF && call != V1_QTAIL_UPDATE) || size != words * 8) return hc_status(s, HV_EINVAL);
  ram_read(s->env->ram, RA(ra), arg, size);
  for (u32 i = 0; i < words; i++) arg[i] = __builtin_bswap64(arg[i]);
  if (call == V1_QCONF) return hc_status(s, v1_qconf(d, arg));
  u32 status = v1_qtail_update(s, d, arg);
  struct ncs_unit *u = mau_number(d, arg[0]);
  return u && intr_update(d, VDEVICE_HANDLE + u->ino) ? hc_event(s, status) : hc_status(s, status);
}
