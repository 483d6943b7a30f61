/* vdisk.c - see vdisk.h. Source: UltraSPARC Virtual Machine Specification 3.0, chapter 29.
 *
 * Requests take the ring's descriptors in turn and are answered in any order. One that is in the ring when the channel is
 * reset is sent again, in the order of the requests: the disk holds the same after it was done once or twice. A request
 * is never dropped before its answer, unless the description gives the disk a timeout.
 */
#include "vdisk.h"

enum { VERSION_MAJOR = 1, VERSION_MINOR = 1, RING_MODE = 3, WHOLE = 0xff, ERROR_IO = 5, ERROR_INVALID = 22 };
#define WATCH_NS NS_PER_SECOND
#define ANSWER_NS (60 * NS_PER_SECOND) /* a request without an answer for so long is sent again over a new session */

static struct disk *disks[DISKS];
static u32 disk_count;
static struct spinlock scan_lock = SPINLOCK("disks");

static struct disk *disk_of(struct vio *vio) { return (struct disk *)((u8 *)vio - offsetof(struct disk, vio)); }

struct disk *disk_at(u32 index) { return index < disk_count ? disks[index] : NULL; }

struct disk *disk_named(const char *name) {
  for (u32 i = 0; i < disk_count; i++)
    if (disks[i]->present && strcmp(disks[i]->name, name) == 0) return disks[i];
  return NULL;
}

/* -- handshake */

static void attributes(struct vio *vio, union vio_message *m) {
  (void)vio;
  m->disk.mode = RING_MODE;
  m->disk.block_bytes = DISK_BLOCK;
  m->disk.most_blocks = DISK_TRANSFER / DISK_BLOCK;
}

static bool attributes_acked(struct vio *vio, const union vio_message *m) {
  struct disk *d = disk_of(vio);
  u64 most = m->disk.most_blocks * DISK_BLOCK;
  if (m->disk.mode != RING_MODE || m->disk.block_bytes != DISK_BLOCK || m->disk.most_blocks == 0) return false;
  d->type = m->disk.type;
  d->media = m->disk.media;
  d->operations = m->disk.operations;
  d->blocks = m->disk.blocks;
  d->most_bytes = m->disk.most_blocks < DISK_TRANSFER / DISK_BLOCK ? most : DISK_TRANSFER;
  return true;
}

static bool ring(struct vio *vio, union vio_message *m) {
  struct disk *d = disk_of(vio);
  memset(d->ring, 0, DISK_SLOTS * sizeof *d->ring);
  for (u32 i = 0; i < DISK_SLOTS; i++) d->ring[i].state = VIO_FREE;
  m->ring.entries = DISK_SLOTS;
  m->ring.entry_bytes = sizeof *d->ring;
  m->ring.options = VIO_TX_RING;
  m->ring.cookies = 1;
  m->ring.cookie[0] = (struct vio_cookie){d->ring_cookie, DISK_SLOTS * sizeof *d->ring};
  return true;
}

/* -- requests */

static void fill(struct disk *d, u32 index) {
  struct disk_slot *s = &d->slot[index];
  struct disk_descriptor *e = &d->ring[index];
  *e = (struct disk_descriptor){.ack = 1, .request = s->number, .operation = s->operation, .slice = WHOLE,
                                .block = s->block, .bytes = s->bytes, .cookies = s->bytes != 0};
  e->cookie = (struct vio_cookie){s->cookie, (s->bytes + 7) & ~7ul};
  __asm__ volatile("membar #Sync" : : : "memory"); /* the state comes last */
  *(volatile u8 *)&e->state = VIO_READY;
}

static bool send(struct disk *d, u32 index) {
  union vio_message m = {0};
  fill(d, index);
  m.data.sequence = d->sequence;
  m.data.ident = d->vio.ident;
  m.data.start = m.data.end = index;
  m.data.state = VIO_ACTIVE;
  if (!vio_send(&d->vio, &m, VIO_DATA, VIO_INFO, VIO_RING_DATA)) return false;
  d->sequence++;
  d->slot[index].state = SLOT_SENT;
  d->slot[index].since_ns = clock_ns();
  return true;
}

/* What waits goes out, the oldest first. */
static void push(struct vio *vio) {
  struct disk *d = disk_of(vio);
  for (u32 i = 0; i < DISK_SLOTS && d->vio.state == VIO_RUNNING; i++) {
    u32 index = (d->next + i) % DISK_SLOTS; /* the next slot to be used is the oldest one */
    if (d->slot[index].state == SLOT_WAITING && !send(d, index)) return;
  }
}

static void down(struct vio *vio) {
  struct disk *d = disk_of(vio);
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    if (d->slot[i].state != SLOT_SENT) continue;
    d->slot[i].state = SLOT_WAITING;
    d->slot[i].since_ns = clock_ns();
    d->resent++;
  }
}

static void running(struct vio *vio) {
  push(vio);
  thread_wakeup(disk_of(vio));
}

static void finish(struct disk *d, struct disk_slot *s, u32 status) {
  s->status = status;
  s->state = SLOT_DONE;
  thread_wakeup(d);
}

/* Descriptors that an answer is about. Only one that we sent, and that the server has marked DONE, is finished. */
static u32 answered(struct disk *d, const union vio_message *m) {
  u32 finished = 0;
  if (m->data.ident != d->vio.ident || m->data.start >= DISK_SLOTS || m->data.end >= DISK_SLOTS) return 0;
  for (u32 i = m->data.start;; i = (i + 1) % DISK_SLOTS) {
    struct disk_slot *s = &d->slot[i];
    bool done = *(volatile u8 *)&d->ring[i].state == VIO_DONE;
    if (s->state == SLOT_SENT && (done || m->tag.subtype == VIO_NACK)) {
      finish(d, s, done ? d->ring[i].status : ERROR_IO);
      finished++;
    }
    if (i == m->data.end) return finished;
  }
}

/* An answer to nothing means that one of the two is wrong about what was asked: that is settled by starting anew. */
static void data(struct vio *vio, const u8 *message, size_t bytes) {
  union vio_message m = {0};
  memcpy(&m, message, bytes < VIO_MESSAGE ? bytes : VIO_MESSAGE);
  bool ring_data = bytes >= VIO_MESSAGE && m.tag.what == VIO_RING_DATA && m.tag.session == vio->session;
  if (!ring_data || m.tag.subtype == VIO_INFO || (!answered(disk_of(vio), &m) && m.data.state != VIO_STOPPED))
    ldc_restart(&vio->channel);
}

static const struct vio_device device = {.attributes = attributes, .attributes_acked = attributes_acked, .ring = ring,
                                         .running = running, .down = down, .room = push, .data = data};

/* Waits for one of the ring's places, in turn. */
static struct disk_slot *take_slot(struct disk *d) {
  struct disk_slot *s;
  while ((s = &d->slot[d->next])->state != SLOT_FREE) thread_sleep(d, &d->lock);
  d->next = (d->next + 1) % DISK_SLOTS;
  s->state = SLOT_WAITING;
  s->number = ++d->requests;
  s->since_ns = clock_ns();
  return s;
}

u32 disk_request(struct disk *d, enum disk_operation operation, u64 block, void *bytes_at, size_t bytes) {
  bool writes = operation == DISK_WRITE;
  if (bytes > DISK_TRANSFER) return ERROR_INVALID;
  lock_acquire(&d->lock);
  struct disk_slot *s = take_slot(d);
  if (!d->present) finish(d, s, ERROR_IO);
  s->operation = (u8)operation;
  s->block = block;
  s->bytes = bytes;
  if (writes) memcpy(s->buffer, bytes_at, bytes);
  push(&d->vio);
  while (s->state != SLOT_DONE) thread_sleep(d, &d->lock);
  u32 status = s->status;
  if (!status && !writes && bytes) memcpy(bytes_at, s->buffer, bytes);
  s->state = SLOT_FREE;
  thread_wakeup(d);
  lock_release(&d->lock);
  return status;
}

static u32 transfer(struct disk *d, enum disk_operation operation, u64 block, u8 *data_at, u64 blocks) {
  if (!disk_ready(d)) return ERROR_IO;
  u64 most = d->most_bytes / DISK_BLOCK;
  while (blocks > 0) {
    u64 n = blocks < most ? blocks : most;
    u32 status = disk_request(d, operation, block, data_at, n * DISK_BLOCK);
    if (status) return status;
    block += n;
    data_at += n * DISK_BLOCK;
    blocks -= n;
  }
  return 0;
}

u32 disk_read(struct disk *d, u64 block, void *to, u64 blocks) { return transfer(d, DISK_READ, block, to, blocks); }

u32 disk_write(struct disk *d, u64 block, const void *from, u64 blocks) {
  return transfer(d, DISK_WRITE, block, (u8 *)(u64)from, blocks);
}

bool disk_ready(struct disk *d) {
  u64 limit = d->timeout_ns ? clock_ns() + d->timeout_ns : ~0ul;
  lock_acquire(&d->lock);
  while (d->present && d->vio.state != VIO_RUNNING && clock_ns() < limit && !console_interrupted())
    thread_sleep_until(d, &d->lock, clock_ns() + NS_PER_SECOND / 4);
  bool ready = d->vio.state == VIO_RUNNING;
  lock_release(&d->lock);
  return ready;
}

/* -- beginnings */

static void interrupted(void *arg) {
  struct disk *d = arg;
  lock_acquire(&d->lock);
  if (d->vio.channel.open) ldc_service(&d->vio.channel);
  lock_release(&d->lock);
}

/* Every second: a server that does not answer is called again; requests that waited too long for one fail. */
static void watch(void *arg) {
  struct disk *d = arg;
  u64 now = clock_ns();
  lock_acquire(&d->lock);
  vio_watch(&d->vio);
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    struct disk_slot *s = &d->slot[i];
    if (s->state == SLOT_SENT && now - s->since_ns > ANSWER_NS) ldc_restart(&d->vio.channel);
    if (s->state == SLOT_WAITING && d->timeout_ns && d->vio.state != VIO_RUNNING && now - s->since_ns > d->timeout_ns)
      finish(d, s, ERROR_IO);
  }
  if (d->present) timer_start(&d->watch, now + WATCH_NS);
  lock_release(&d->lock);
}

void disks_resumed(void) {
  for (u32 i = 0; i < disk_count; i++) interrupted(disks[i]);
}

static bool allocate(struct disk *d) {
  struct ldc_channel *c = &d->vio.channel;
  if (!d->ring) d->ring = page_alloc();
  if (!d->ring || !ldc_prepare(c)) return false;
  d->ring_cookie = ldc_export(c, d->ring, DISK_SLOTS * sizeof *d->ring, LDC_READ | LDC_WRITE);
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    struct disk_slot *s = &d->slot[i];
    if (!s->buffer) s->buffer = kmalloc(DISK_TRANSFER);
    if (!s->buffer) return false;
    s->cookie = ldc_export(c, s->buffer, DISK_TRANSFER, LDC_READ | LDC_WRITE);
  }
  return true;
}

static void attach(struct disk *d, md_node port) {
  u64 timeout = 0;
  struct ldc_channel *c = &d->vio.channel;
  if (!ldc_endpoint(port, &c->id, &c->tx_ino, &c->rx_ino)) return;
  if (md_value(port, "vdc-timeout", &timeout) && timeout < 1000000) d->timeout_ns = timeout * NS_PER_SECOND;
  d->vio.device = &device;
  d->vio.device_class = VIO_DISK;
  d->vio.version_major = VERSION_MAJOR;
  d->vio.version_minor = VERSION_MINOR;
  lock_acquire(&d->lock);
  u64 status = allocate(d) ? vio_open(&d->vio, true, interrupted, d) : ENOMAP;
  d->present = !status;
  lock_release(&d->lock);
  if (status) printf("WARNING: %s: channel %lu cannot be opened (%lu)\n", d->name, c->id, status);
  if (!status) watch(d);
}

static struct disk *disk_of_number(u64 number) {
  for (u32 i = 0; i < disk_count; i++)
    if (disks[i]->number == number) return disks[i];
  struct disk *d = disk_count < DISKS ? kmalloc(sizeof *d) : NULL;
  if (!d) return NULL;
  d->number = number;
  d->lock = (struct spinlock)SPINLOCK("disk");
  d->watch.function = watch;
  d->watch.arg = d;
  snprintf(d->name, sizeof d->name, "c0d%lu", number);
  disks[disk_count++] = d;
  return d;
}

/* A disk that has gone from the description: its channel too. Requests fail. */
static void detach(struct disk *d) {
  lock_acquire(&d->lock);
  d->present = false;
  ldc_close(&d->vio.channel);
  d->vio.state = VIO_IDLE;
  for (u32 i = 0; i < DISK_SLOTS; i++)
    if (d->slot[i].state == SLOT_WAITING || d->slot[i].state == SLOT_SENT) finish(d, &d->slot[i], ERROR_IO);
  lock_release(&d->lock);
  printf("%s: gone\n", d->name);
}

void disks_scan(void) {
  bool seen[DISKS] = {false};
  lock_acquire(&scan_lock);
  for (md_node n = md_find("virtual-device-port", MD_NONE); n != MD_NONE; n = md_find("virtual-device-port", n)) {
    const char *name = md_string(n, "name");
    md_node parent = md_linked(n, "back", "virtual-device", MD_NONE);
    u64 number;
    if (!name || strcmp(name, "vdc-port") || parent == MD_NONE || !md_value(parent, "cfg-handle", &number) || number > 999)
      continue;
    struct disk *d = disk_of_number(number);
    if (!d) continue;
    for (u32 i = 0; i < disk_count; i++) seen[i] |= disks[i] == d;
    if (!d->present && !d->unconfigured) attach(d, n);
  }
  for (u32 i = 0; i < disk_count; i++) {
    if (disks[i]->present && !seen[i]) detach(disks[i]);
    disks[i]->unconfigured &= seen[i];
  }
  lock_release(&scan_lock);
}

/* -- dr-vio */

void disk_hold(struct disk *d) {
  lock_acquire(&d->lock);
  d->users++;
  lock_release(&d->lock);
}

void disk_release(struct disk *d) {
  lock_acquire(&d->lock);
  d->users--;
  lock_release(&d->lock);
}

static struct disk *known(u64 number) {
  for (u32 i = 0; i < disk_count; i++)
    if (disks[i]->number == number) return disks[i];
  return NULL;
}

static bool is_configured(u64 number) { return known(number) && known(number)->present; }

static enum device_result configure(u64 number) {
  if (known(number)) known(number)->unconfigured = false;
  disks_scan();
  return is_configured(number) ? DEVICE_OK : DEVICE_FAILED;
}

static bool is_busy(struct disk *d) {
  lock_acquire(&d->lock);
  bool busy = d->users > 0;
  for (u32 i = 0; i < DISK_SLOTS; i++) busy |= d->slot[i].state != SLOT_FREE;
  lock_release(&d->lock);
  return busy;
}

static enum device_result unconfigure(u64 number, bool force, const char **why) {
  enum device_result result = DEVICE_OK;
  lock_acquire(&scan_lock);
  struct disk *d = known(number);
  if (d && d->present && !force && is_busy(d)) {
    result = DEVICE_BLOCKED;
    *why = "the disk is in use";
  } else if (d) {
    d->unconfigured = true;
    if (d->present) detach(d);
  }
  lock_release(&scan_lock);
  return result;
}

const struct device_class disk_class = {"disk", is_configured, configure, unconfigure};
