/* mdesc.c - the machine description: a table of 16-byte elements, and the names and data they point to.
 *
 *   NODE name, next   property, property, arc, ...   NODE_END   NODE ...   LIST_END
 *
 * A node is the index of its NODE element. The hypervisor's word is trusted for the format of one reading; offsets are
 * checked once, in md_check(). Source: UltraSPARC Virtual Machine Specification, chapter 8.
 */
#include "mdesc.h"

#include "hyper.h"
#include "kernel.h"
#include "mdesc_boot.h"

enum { MD_NODE = 'N', MD_NODE_END = 'E', MD_ARC = 'a', MD_VALUE = 'v', MD_STRING = 's', MD_DATA = 'd' };
enum { MD_HEADER = 16, MD_VERSION = 0x10000 };

struct element {
  u8 tag, name_length;
  u16 zero;
  u32 name;
  union {
    u64 value;
    struct {
      u32 bytes, at;
    };
  };
};

struct header {
  u32 version, node_bytes, name_bytes, data_bytes;
};

struct description {
  const struct header *header;
  const struct element *elements;
  const char *names, *data;
  u32 count;
  size_t allocated; /* 0: the early buffer */
};

static struct description *volatile now, *before;
static u8 early_buffer[0x180000] NOINIT ALIGNED(16);

static bool md_check(struct description *d, size_t bytes) {
  const struct header *h = d->header;
  u64 sum = (u64)MD_HEADER + h->node_bytes + h->name_bytes + h->data_bytes;
  if (h->version != MD_VERSION || sum > bytes || h->node_bytes % 16 || !h->name_bytes) return false;
  d->elements = (const void *)(h + 1);
  d->count = h->node_bytes / 16;
  d->names = (const char *)(h + 1) + h->node_bytes;
  d->data = d->names + h->name_bytes;
  if (d->names[h->name_bytes - 1]) return false;
  for (u32 i = 0; i < d->count; i++) {
    const struct element *e = &d->elements[i];
    bool arc = e->tag == MD_NODE || e->tag == MD_ARC, data = e->tag == MD_STRING || e->tag == MD_DATA;
    if (e->name >= h->name_bytes || (arc && e->value > d->count)) return false;
    if (data && ((u64)e->at + e->bytes > h->data_bytes)) return false;
    if (e->tag == MD_STRING && (!e->bytes || d->data[e->at + e->bytes - 1])) return false;
  }
  return true;
}

/* Into the early buffer the first time, when there is no allocator yet. */
static u64 md_read(struct description *d, bool early) {
  u64 size = 0;
  hyper_get(MACH_DESC, 0, 0, &size);
  u64 room = early ? sizeof early_buffer : size + PAGE_BYTES; /* it may have grown a little in between */
  void *buffer = early ? early_buffer : kmalloc(room);
  if (!buffer) return EWOULDBLOCK;
  u64 status = hyper_get(MACH_DESC, ra_of(buffer), room, &size);
  *d = (struct description){.header = buffer, .allocated = early ? 0 : room};
  if (!status && !md_check(d, room)) status = EIO;
  if (status && !early) kfree(buffer, room);
  return status;
}

void md_init(void) {
  static struct description first;
  u64 status = md_read(&first, true);
  if (status) panic("machine description: status %lu", status);
  now = &first;
}

/* The change is one store: whoever reads meanwhile reads the old one or the new one. */
u64 md_reload(void) {
  static struct spinlock lock = SPINLOCK("machine description");
  struct description *fresh = kmalloc(sizeof *fresh);
  u64 status = fresh ? md_read(fresh, false) : EWOULDBLOCK;
  if (status) {
    kfree(fresh, sizeof *fresh);
    return status;
  }
  lock_acquire(&lock);
  struct description *old = before;
  before = now;
  now = fresh;
  lock_release(&lock);
  if (old && old->allocated) {
    kfree((void *)old->header, old->allocated);
    kfree(old, sizeof *old);
  }
  return EOK;
}

/* The element of a node; NULL for a number of another reading that is none in this one. */
static const struct element *node_at(const struct description *d, md_node node) {
  const struct element *e = node < 0 || (u32)node >= d->count ? NULL : &d->elements[node];
  return e && e->tag == MD_NODE ? e : NULL;
}

static const char *name_of(const struct description *d, const struct element *e) { return d->names + e->name; }

md_node md_find(const char *name, md_node after) {
  const struct description *d = now;
  const struct element *e = node_at(d, after);
  u64 at = after == MD_NONE ? 0 : e ? e->value : d->count;
  while (at < d->count && d->elements[at].tag == MD_NODE) {
    if (strcmp(name_of(d, &d->elements[at]), name) == 0) return (md_node)at;
    if (d->elements[at].value <= at) break; /* not a list */
    at = d->elements[at].value;
  }
  return MD_NONE;
}

const char *md_name(md_node node) {
  const struct description *d = now;
  const struct element *e = node_at(d, node);
  return e ? name_of(d, e) : "";
}

md_node md_linked(md_node from, const char *arc, const char *name, md_node after) {
  const struct description *d = now;
  bool skipping = after != MD_NONE;
  if (!node_at(d, from)) return MD_NONE;
  for (u32 i = (u32)from + 1; i < d->count && d->elements[i].tag != MD_NODE_END; i++) {
    const struct element *e = &d->elements[i];
    if (e->tag != MD_ARC || strcmp(name_of(d, e), arc)) continue;
    md_node target = (md_node)e->value;
    const struct element *node = node_at(d, target);
    if (skipping) {
      skipping = target != after;
      continue;
    }
    if (node && (!name || strcmp(name_of(d, node), name) == 0)) return target;
  }
  return MD_NONE;
}

static const struct element *property(const struct description *d, md_node node, const char *name, u8 tag) {
  if (!node_at(d, node)) return NULL;
  for (u32 i = (u32)node + 1; i < d->count && d->elements[i].tag != MD_NODE_END; i++) {
    const struct element *e = &d->elements[i];
    if (e->tag == tag && strcmp(name_of(d, e), name) == 0) return e;
  }
  return NULL;
}

bool md_value(md_node node, const char *name, u64 *value) {
  const struct element *e = property(now, node, name, MD_VALUE);
  if (e) *value = e->value;
  return e != NULL;
}

const char *md_string(md_node node, const char *name) {
  const struct description *d = now;
  const struct element *e = property(d, node, name, MD_STRING);
  return e ? d->data + e->at : NULL;
}

const char *md_string_at(md_node node, u32 index, const char **name) {
  const struct description *d = now;
  if (!node_at(d, node)) return NULL;
  for (u32 i = (u32)node + 1; i < d->count && d->elements[i].tag != MD_NODE_END; i++) {
    const struct element *e = &d->elements[i];
    if (e->tag != MD_STRING || index-- > 0) continue;
    *name = name_of(d, e);
    return d->data + e->at;
  }
  return NULL;
}

const u8 *md_data(md_node node, const char *name, size_t *bytes) {
  const struct description *d = now;
  const struct element *e = property(d, node, name, MD_DATA);
  if (e) *bytes = e->bytes;
  return e ? (const u8 *)d->data + e->at : NULL;
}

bool md_list_has(md_node node, const char *name, const char *word) {
  size_t bytes = 0, at = 0, length = strlen(word);
  const char *list = (const char *)md_data(node, name, &bytes);
  while (list && at < bytes) {
    size_t end = at;
    while (end < bytes && list[end]) end++;
    if (end - at == length && memcmp(list + at, word, length) == 0) return true;
    at = end + 1;
  }
  return false;
}

u64 md_generation(void) {
  u64 value = 0;
  md_value(md_find("root", MD_NONE), "md-generation#", &value);
  return value;
}
