/* vdisk.c - see vdisk.h. Source: UltraSPARC Virtual Machine Specification 3.0, chapter 29.
 *
 * Requests take the ring's descriptors in turn and are answered in any order. One that is in the ring when the channel is
 * reset is sent again, in the order of the requests: the disk holds the same after it was done once or twice. A request
 * is never dropped before its answer, unless the description gives the disk a timeout: then requests fail when no path has
 * been there for so long, and new ones at once until one is.
 */
#include "vdisk.h"

enum { VERSION_MAJOR = 1, VERSION_MINOR = 1, RING_MODE = 3, WHOLE = 0xff, ERROR_IO = 5, ERROR_INVALID = 22 };
#define WATCH_NS NS_PER_SECOND
#define ANSWER_NS (60 * NS_PER_SECOND) /* a request without an answer for so long is sent again over a new session */

static struct disk *disks[DISKS];
static u32 disk_count;
static struct spinlock scan_lock = SPINLOCK("disks");

static struct disk_path *path_of(struct vio *vio) {
  return (struct disk_path *)((u8 *)vio - offsetof(struct disk_path, vio));
}

static u8 path_index(const struct disk_path *p) { return (u8)(p - p->disk->path); }

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
  struct disk *d = path_of(vio)->disk;
  u64 most = m->disk.most_blocks * DISK_BLOCK;
  if (m->disk.mode != RING_MODE || m->disk.block_bytes != DISK_BLOCK || m->disk.most_blocks == 0) return false;
  if (disk_running(d) && vio != disk_vio(d) && m->disk.blocks != d->blocks) return false; /* a path to another disk */
  d->type = m->disk.type;
  d->media = m->disk.media;
  d->operations = m->disk.operations;
  d->blocks = m->disk.blocks;
  d->most_bytes = m->disk.most_blocks < DISK_TRANSFER / DISK_BLOCK ? most : DISK_TRANSFER;
  return true;
}

static bool ring(struct vio *vio, union vio_message *m) {
  struct disk_path *p = path_of(vio);
  memset(p->ring, 0, DISK_SLOTS * sizeof *p->ring);
  for (u32 i = 0; i < DISK_SLOTS; i++) p->ring[i].state = VIO_FREE;
  m->ring.entries = DISK_SLOTS;
  m->ring.entry_bytes = sizeof *p->ring;
  m->ring.options = VIO_TX_RING;
  m->ring.cookies = 1;
  m->ring.cookie[0] = (struct vio_cookie){p->ring_cookie, DISK_SLOTS * sizeof *p->ring};
  return true;
}

/* -- requests */

static void fill(struct disk_path *p, u32 index) {
  struct disk_slot *s = &p->disk->slot[index];
  struct disk_descriptor *e = &p->ring[index];
  *e = (struct disk_descriptor){.ack = 1, .request = s->number, .operation = s->operation, .slice = WHOLE,
                                .block = s->block, .bytes = s->bytes, .cookies = s->bytes != 0};
  e->cookie = (struct vio_cookie){p->buffer_cookie[index], (s->bytes + 7) & ~7ul};
  __asm__ volatile("membar #Sync" : : : "memory"); /* the state comes last */
  *(volatile u8 *)&e->state = VIO_READY;
}

static bool send(struct disk *d, u32 index) {
  union vio_message m = {0};
  struct disk_path *p = &d->path[d->active];
  fill(p, index);
  m.data.sequence = p->sequence;
  m.data.ident = p->vio.ident;
  m.data.start = m.data.end = index;
  m.data.state = VIO_ACTIVE;
  if (!vio_send(&p->vio, &m, VIO_DATA, VIO_INFO, VIO_RING_DATA)) return false;
  p->sequence++;
  d->slot[index].state = SLOT_SENT;
  d->slot[index].path = path_index(p);
  d->slot[index].since_ns = clock_ns();
  return true;
}

/* What waits goes out, the oldest first. */
static void push(struct disk *d) {
  for (u32 i = 0; i < DISK_SLOTS && disk_running(d); i++) {
    u32 index = (d->next + i) % DISK_SLOTS; /* the next slot to be used is the oldest one */
    if (d->slot[index].state == SLOT_WAITING && !send(d, index)) return;
  }
}

static void room(struct vio *vio) { push(path_of(vio)->disk); }

/* A path that is there, none of `but`; DISK_PATHS: there is none. The selected path comes first. */
static u32 other_path(const struct disk *d, u32 but) {
  u32 found = DISK_PATHS;
  for (u32 i = 0; i < DISK_PATHS; i++) {
    const struct disk_path *p = &d->path[i];
    if (but >> i & 1 || p->vio.state != VIO_RUNNING) continue;
    if (found == DISK_PATHS || p->port < d->path[found].port) found = i;
  }
  return found;
}

static void switch_to(struct disk *d, u32 path) {
  if (path == DISK_PATHS || path == d->active) return;
  printf("%s: path of channel %lu is active\n", d->name, d->path[path].vio.channel.id);
  d->active = path;
  d->switched++;
}

/* A path is lost: what it had not answered goes over another one, or waits. */
static void down(struct vio *vio) {
  struct disk_path *p = path_of(vio);
  struct disk *d = p->disk;
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    struct disk_slot *s = &d->slot[i];
    if (s->state != SLOT_SENT || s->path != path_index(p)) continue;
    s->state = SLOT_WAITING;
    d->resent++;
  }
  if (vio != disk_vio(d)) return;
  d->down_ns = clock_ns();
  switch_to(d, other_path(d, 0));
  push(d);
}

static void running(struct vio *vio) {
  struct disk *d = path_of(vio)->disk;
  if (!disk_running(d)) switch_to(d, path_index(path_of(vio)));
  push(d);
  thread_wakeup(d);
}

static void finish(struct disk *d, struct disk_slot *s, u32 status) {
  s->status = status;
  s->state = SLOT_DONE;
  thread_wakeup(d);
}

/* Has another path a chance, where this one gives an error? Then the request goes over that. */
static bool try_another(struct disk *d, struct disk_slot *s) {
  s->failed |= (u8)(1u << s->path);
  u32 next = other_path(d, s->failed);
  if (next == DISK_PATHS) return false;
  s->state = SLOT_WAITING;
  d->resent++;
  switch_to(d, next);
  push(d);
  return true;
}

/* Descriptors that an answer is about. Only one that we sent, and that the server has marked DONE, is finished. */
static u32 answered(struct disk_path *p, const union vio_message *m) {
  struct disk *d = p->disk;
  u32 finished = 0;
  if (m->data.ident != p->vio.ident || m->data.start >= DISK_SLOTS || m->data.end >= DISK_SLOTS) return 0;
  for (u32 i = m->data.start;; i = (i + 1) % DISK_SLOTS) {
    struct disk_slot *s = &d->slot[i];
    bool done = *(volatile u8 *)&p->ring[i].state == VIO_DONE;
    if (s->state == SLOT_SENT && s->path == path_index(p) && (done || m->tag.subtype == VIO_NACK)) {
      u32 status = done ? p->ring[i].status : ERROR_IO;
      p->ring[i].state = VIO_FREE;
      if (status != ERROR_IO || !try_another(d, s)) finish(d, s, status);
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
  if (!ring_data || m.tag.subtype == VIO_INFO || (!answered(path_of(vio), &m) && m.data.state != VIO_STOPPED))
    ldc_restart(&vio->channel);
}

static const struct vio_device device = {.attributes = attributes, .attributes_acked = attributes_acked, .ring = ring,
                                         .running = running, .down = down, .room = room, .data = data};

/* Waits for one of the ring's places, in turn. */
static struct disk_slot *take_slot(struct disk *d) {
  struct disk_slot *s;
  while ((s = &d->slot[d->next])->state != SLOT_FREE) thread_sleep(d, &d->lock);
  d->next = (d->next + 1) % DISK_SLOTS;
  s->state = SLOT_WAITING;
  s->failed = 0;
  s->number = ++d->requests;
  s->since_ns = clock_ns();
  return s;
}

u32 disk_request(struct disk *d, enum disk_operation operation, u64 block, void *bytes_at, size_t bytes) {
  bool reads = operation == DISK_READ, writes = operation == DISK_WRITE; /* others may do both */
  if (bytes > DISK_TRANSFER) return ERROR_INVALID;
  lock_acquire(&d->lock);
  struct disk_slot *s = take_slot(d);
  if (!d->present) finish(d, s, ERROR_IO);
  s->operation = (u8)operation;
  s->block = block;
  s->bytes = bytes;
  if (!reads && bytes) memcpy(s->buffer, bytes_at, bytes);
  push(d);
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
  lock_acquire(&d->lock);
  u64 limit = d->timeout_ns ? d->down_ns + d->timeout_ns : ~0ul;
  while (d->present && !disk_running(d) && clock_ns() < limit && !console_interrupted())
    thread_sleep_until(d, &d->lock, clock_ns() + NS_PER_SECOND / 4);
  bool ready = disk_running(d);
  lock_release(&d->lock);
  return ready;
}

/* -- beginnings */

static void interrupted(void *arg) {
  struct disk_path *p = arg;
  lock_acquire(&p->disk->lock);
  if (p->vio.channel.open) ldc_service(&p->vio.channel);
  lock_release(&p->disk->lock);
}

/* Every second: a server that does not answer is called again; requests that no path takes for too long fail. */
static void watch(void *arg) {
  struct disk *d = arg;
  u64 now = clock_ns();
  lock_acquire(&d->lock);
  for (u32 i = 0; i < DISK_PATHS; i++)
    if (d->path[i].vio.channel.open) vio_watch(&d->path[i].vio);
  bool over = d->timeout_ns && !disk_running(d) && now - d->down_ns > d->timeout_ns;
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    struct disk_slot *s = &d->slot[i];
    if (s->state == SLOT_SENT && now - s->since_ns > ANSWER_NS) ldc_restart(&d->path[s->path].vio.channel);
    if (s->state == SLOT_WAITING && over) finish(d, s, ERROR_IO);
  }
  if (d->present) timer_start(&d->watch, now + WATCH_NS);
  lock_release(&d->lock);
}

void disks_resumed(void) {
  for (u32 i = 0; i < disk_count; i++)
    for (u32 k = 0; k < DISK_PATHS; k++)
      if (disks[i]->path[k].disk) interrupted(&disks[i]->path[k]);
}

static bool allocate(struct disk_path *p) {
  struct ldc_channel *c = &p->vio.channel;
  if (!p->ring) p->ring = page_alloc();
  if (!p->ring || !ldc_prepare(c)) return false;
  p->ring_cookie = ldc_export(c, p->ring, DISK_SLOTS * sizeof *p->ring, LDC_READ | LDC_WRITE);
  for (u32 i = 0; i < DISK_SLOTS; i++) {
    struct disk_slot *s = &p->disk->slot[i];
    if (!s->buffer) s->buffer = kmalloc(DISK_TRANSFER);
    if (!s->buffer) return false;
    p->buffer_cookie[i] = ldc_export(c, s->buffer, DISK_TRANSFER, LDC_READ | LDC_WRITE);
  }
  return true;
}

/* Opens a port's channel. false: it cannot be. With the disk's lock. */
static bool open_path(struct disk_path *p, md_node port) {
  struct ldc_channel *c = &p->vio.channel;
  if (!ldc_endpoint(port, &c->id, &c->tx_ino, &c->rx_ino)) return false;
  p->vio.device = &device;
  p->vio.device_class = VIO_DISK;
  p->vio.version_major = VERSION_MAJOR;
  p->vio.version_minor = VERSION_MINOR;
  u64 status = allocate(p) ? vio_open(&p->vio, true, interrupted, p) : ENOMAP;
  if (status) printf("WARNING: %s: channel %lu cannot be opened (%lu)\n", p->disk->name, c->id, status);
  return !status;
}

static void close_path(struct disk_path *p) {
  p->vio.state = VIO_IDLE;
  ldc_close(&p->vio.channel);
  down(&p->vio);
}

static struct disk_path *path_of_channel(struct disk *d, u64 channel) {
  for (u32 i = 0; i < DISK_PATHS; i++)
    if (d->path[i].vio.channel.open && d->path[i].vio.channel.id == channel) return &d->path[i];
  return NULL;
}

static struct disk_path *free_path(struct disk *d) {
  for (u32 i = 0; i < DISK_PATHS; i++)
    if (!d->path[i].vio.channel.open) return &d->path[i];
  return NULL;
}

/* Ports of the description become paths, and paths without a port go. Then the selected one is taken, where it is new. */
static void take_ports(struct disk *d, const md_node *ports, u32 count) {
  u64 channel, tx, rx, timeout = 0, lowest = ~0ul, selected = d->selected;
  bool seen[DISK_PATHS] = {false};
  lock_acquire(&d->lock);
  for (u32 i = 0; i < count; i++) {
    if (!ldc_endpoint(ports[i], &channel, &tx, &rx)) continue;
    struct disk_path *p = path_of_channel(d, channel);
    if (!p && (p = free_path(d)) != NULL && !open_path(p, ports[i])) continue;
    if (!p) continue;
    seen[path_index(p)] = true;
    if (!md_value(ports[i], "id", &p->port)) p->port = i;
    if (p->port < lowest) lowest = p->port, selected = channel;
    if (md_value(ports[i], "vdc-timeout", &timeout)) d->timeout_ns = timeout < 1000000 ? timeout * NS_PER_SECOND : 0;
  }
  for (u32 i = 0; i < DISK_PATHS; i++)
    if (d->path[i].vio.channel.open && !seen[i]) close_path(&d->path[i]);
  struct disk_path *p = path_of_channel(d, selected);
  if (p && d->present && selected != d->selected && p->vio.state == VIO_RUNNING) switch_to(d, path_index(p));
  if (p && !d->present && !disk_running(d)) d->active = path_index(p);
  d->selected = selected;
  bool fresh = p && !d->present;
  if (fresh) d->present = true;
  push(d);
  lock_release(&d->lock);
  if (fresh) watch(d);
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
  d->selected = ~0ul;
  for (u32 i = 0; i < DISK_PATHS; i++) d->path[i].disk = d;
  d->down_ns = clock_ns();
  snprintf(d->name, sizeof d->name, "c0d%lu", number);
  disks[disk_count++] = d;
  return d;
}

/* A disk that has gone from the description: its channels too. Requests fail. */
static void detach(struct disk *d) {
  lock_acquire(&d->lock);
  d->present = false;
  for (u32 i = 0; i < DISK_PATHS; i++)
    if (d->path[i].vio.channel.open) close_path(&d->path[i]);
  for (u32 i = 0; i < DISK_SLOTS; i++)
    if (d->slot[i].state == SLOT_WAITING || d->slot[i].state == SLOT_SENT) finish(d, &d->slot[i], ERROR_IO);
  lock_release(&d->lock);
  printf("%s: gone\n", d->name);
}

/* The number of a disk's port; false: it is another device's. */
static bool disk_number(md_node port, u64 *number) {
  const char *name = md_string(port, "name");
  md_node parent = md_linked(port, "back", "virtual-device", MD_NONE);
  return name && strcmp(name, "vdc-port") == 0 && parent != MD_NONE && md_value(parent, "cfg-handle", number) &&
         *number <= 999;
}

/* Ports of one disk. */
static u32 find_ports(u64 wanted, md_node ports[DISK_PATHS]) {
  u32 count = 0;
  u64 number;
  for (md_node n = md_find("virtual-device-port", MD_NONE); n != MD_NONE; n = md_find("virtual-device-port", n))
    if (disk_number(n, &number) && number == wanted && count < DISK_PATHS) ports[count++] = n;
  return count;
}

void disks_scan(void) {
  u64 number;
  lock_acquire(&scan_lock);
  for (md_node n = md_find("virtual-device-port", MD_NONE); n != MD_NONE; n = md_find("virtual-device-port", n))
    if (disk_number(n, &number)) disk_of_number(number);
  for (u32 i = 0; i < disk_count; i++) {
    md_node ports[DISK_PATHS];
    struct disk *d = disks[i];
    u32 count = find_ports(d->number, ports);
    d->unconfigured &= count > 0;
    if (count && !d->unconfigured) take_ports(d, ports, count);
    if (!count && d->present) detach(d);
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
