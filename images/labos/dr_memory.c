/* dr_memory.c - memory that comes and goes: the service dr-mem. Layouts and results: illumos, sys/dr_mem.h.
 *
 *   request  type (4), count (4), number (8), records of base and size
 *   answer   'o' or 'e' (4), count or result (4), number (8), records
 *
 * A block leaves in three steps: its chunks are closed to the allocator; pages of user programs in them are moved;
 * when nobody has a page of it any more it is gone, and else it stays as a whole. That takes a while, and is done by a
 * thread of its own, so that the manager can ask how far it is, or cancel it.
 */
#include "dr_memory.h"

#include "commands.h"
#include "ds.h"
#include "hyper.h"
#include "kernel.h"
#include "memory_ranges.h"
#include "percpu.h"
#include "process.h"
#include "wire.h"

enum { CONFIGURE = 0x4d43, UNCONFIGURE = 0x4d55, STATUS = 0x4d53, CANCEL = 0x4d4e, QUERY = 0x4d51 };
enum { RESPONSE_OK = 'o', RESPONSE_ERROR = 'e', HEAD = 16, RECORD = 16, STATE_RECORD = 32, QUERY_RECORD = 48 };
enum { BLOCKS_MOST = (DS_REQUEST - HEAD) / RECORD, RECORDS_MOST = 60, ROUNDS = 20 };
enum block_status { NOT_PRESENT, NOT_CONFIGURED, CONFIGURED };

static struct spinlock lock = SPINLOCK("dr-mem");
static struct {
  volatile bool busy, cancelled; /* an unconfigure is under way; it shall end */
  volatile u64 pages, collected; /* that shall go, and that nobody has any more */
  struct ds_request request;
} job;

static const char *text_of(enum memory_result result) {
  static const char *const texts[] = {
      [MEMORY_FAILED] = "operation failed",
      [MEMORY_BLOCKED] = "memory cannot be unconfigured now",
      [MEMORY_NOT_IN_MD] = "memory is not in the machine description",
      [MEMORY_IN_USE] = "memory is configured already",
      [MEMORY_NO_RESOURCE] = "not enough memory is left for what has to be moved",
      [MEMORY_PERMANENT] = "permanent pages",
      [MEMORY_BUSY] = "another unconfigure is under way",
      [MEMORY_NOTHING] = "no pages to unconfigure",
      [MEMORY_CANCELLED] = "operation cancelled",
      [MEMORY_INVALID] = "memory blocks begin and end at multiples of 4 MB"};
  return result < sizeof texts / sizeof *texts && texts[result] ? texts[result] : "";
}

static bool in_description(u64 base, u64 end) {
  u64 from, bytes;
  for (md_node n = md_find("mblock", MD_NONE); n != MD_NONE; n = md_find("mblock", n))
    if (md_value(n, "base", &from) && md_value(n, "size", &bytes) && base >= from && end - from <= bytes) return true;
  return false;
}

static bool is_block(u64 base, u64 bytes) {
  return bytes && !((base | bytes) & (CHUNK_BYTES - 1)) && bytes <= 1ul << 42 && base <= 1ul << 46;
}

static u64 count_states(u64 base, u64 end, enum chunk_state state) {
  u64 n = 0;
  for (u64 ra = base; ra < end; ra += CHUNK_BYTES) n += chunk_state(ra) == state;
  return n;
}

static enum block_status status_of(u64 base, u64 bytes) {
  if (!is_block(base, bytes)) return NOT_PRESENT;
  if (count_states(base, base + bytes, CHUNK_ABSENT) < bytes / CHUNK_BYTES) return CONFIGURED;
  return in_description(base, base + bytes) ? NOT_CONFIGURED : NOT_PRESENT;
}

enum memory_result memory_configure(u64 base, u64 bytes) {
  if (!is_block(base, bytes)) return MEMORY_INVALID;
  if (!in_description(base, base + bytes)) return MEMORY_NOT_IN_MD;
  if (count_states(base, base + bytes, CHUNK_ABSENT) < bytes / CHUNK_BYTES) return MEMORY_IN_USE;
  return chunks_add(base, base + bytes) ? MEMORY_OK : MEMORY_NO_RESOURCE;
}

/* -- unconfigure */

static u64 pages_used(u64 base, u64 end) {
  u64 pages = 0;
  for (u64 ra = base; ra < end; ra += CHUNK_BYTES) pages += chunk_pages_used(ra);
  return pages;
}

/* Every cpu forgets the kernel's translations of a place that is going. Interrupts are off. */
static void forget_chunk(void *arg) {
  u64 va = (u64)va_of((u64)arg), *tsb = (u64 *)((u8 *)cpu_this() + CPU_KERNEL_TSB_AT);
  struct hcall h = {{0, 0, va, 0, 3}};
  tsb += (va >> CHUNK_SHIFT & (TSB_ENTRIES - 1)) * 2;
  if (tsb[0] == va >> CHUNK_SHIFT) tsb[1] = 0;
  hcall_fast(MMU_DEMAP_PAGE, &h);
}

/* Programs' pages move, until there are none or it does not go on. What a program has just been given is in no table
 * yet: that is looked for again. */
static enum memory_result evacuate(u64 base, u64 end) {
  u64 before = job.collected, pages = (end - base) / PAGE_BYTES;
  u32 round = 0, moved = 0;
  for (enum spaces_moved state = SPACES_DONE;; state = spaces_move(base, end, &moved)) {
    if (job.cancelled) return MEMORY_CANCELLED;
    if (state == SPACES_NO_MEMORY) return MEMORY_NO_RESOURCE;
    if (state == SPACES_BUSY) return MEMORY_BLOCKED;
    if (state == SPACES_MORE) {
      job.collected += moved;
      thread_yield();
      continue;
    }
    u64 left = pages_used(base, end);
    job.collected = before + pages - left;
    if (!left) return MEMORY_OK;
    if (round++ == ROUNDS) return MEMORY_PERMANENT;
    if (round > 1) thread_sleep_ns(NS_PER_MS);
  }
}

static enum memory_result leave(u64 base, u64 end) {
  enum memory_result result = MEMORY_OK;
  u64 to = base;
  for (; to < end && result == MEMORY_OK; to += CHUNK_BYTES)
    if (chunk_state(to) != CHUNK_ABSENT && !chunk_leave(to)) result = MEMORY_PERMANENT;
  if (result == MEMORY_OK) result = evacuate(base, end);
  for (u64 ra = base; ra < to; ra += CHUNK_BYTES) {
    if (chunk_state(ra) == CHUNK_ABSENT) continue;
    if (result != MEMORY_OK) {
      chunk_stay(ra);
      continue;
    }
    chunk_remove(ra);
    interrupts_push();
    forget_chunk((void *)ra);
    interrupts_pop();
    cross_call_others(forget_chunk, (void *)ra);
  }
  return result;
}

enum memory_result memory_unconfigure(u64 base, u64 bytes) {
  if (!is_block(base, bytes)) return MEMORY_INVALID;
  u64 end = base + bytes, absent = count_states(base, end, CHUNK_ABSENT);
  if (absent == bytes / CHUNK_BYTES) return in_description(base, end) ? MEMORY_NOTHING : MEMORY_NOT_IN_MD;
  if (count_states(base, end, CHUNK_PERMANENT)) return MEMORY_PERMANENT;
  if (memory_free() < bytes / 64) return MEMORY_NO_RESOURCE; /* the system must go on */
  return leave(base, end);
}

/* -- the service */

static void answer_error(const struct ds_request *r, enum memory_result result) {
  u8 m[HEAD + 64] = {0};
  set32(m, RESPONSE_ERROR);
  set32(m + 4, result);
  memcpy(m + 8, r->data + 8, 8);
  size_t n = strlen(text_of(result)) + 1;
  memcpy(m + HEAD, text_of(result), n);
  ds_answer(r, false, m, HEAD + n);
}

static void head_put(u8 *m, const struct ds_request *r, u32 count) {
  set32(m, RESPONSE_OK);
  set32(m + 4, count);
  memcpy(m + 8, r->data + 8, 8);
}

/* Block after block; those behind one that was cancelled are not tried. Texts are behind the records. */
static void blocks(const struct ds_request *r, u8 m[DS_ANSWER]) {
  u32 type = get32(r->data), n = get32(r->data + 4);
  size_t text_at = HEAD + (size_t)n * STATE_RECORD;
  head_put(m, r, n);
  for (u32 i = 0; i < n; i++) {
    u64 base = get64(r->data + HEAD + i * RECORD), bytes = get64(r->data + HEAD + i * RECORD + 8);
    u8 *record = m + HEAD + i * STATE_RECORD;
    enum memory_result result = type == CONFIGURE ? memory_configure(base, bytes)
                                : job.cancelled   ? MEMORY_CANCELLED
                                                  : memory_unconfigure(base, bytes);
    const char *text = text_of(result);
    set64(record, base);
    set64(record + 8, bytes);
    set32(record + 16, result);
    set32(record + 20, status_of(base, bytes));
    if (!*text || text_at + strlen(text) + 1 > DS_ANSWER) continue;
    set32(record + 24, (u32)text_at);
    memcpy(m + text_at, text, strlen(text) + 1);
    text_at += strlen(text) + 1;
  }
  ds_answer(r, false, m, text_at);
}

static void unconfigure_thread(void *arg) {
  static u8 answer[DS_ANSWER]; /* there is one job at a time */
  (void)arg;
  memset(answer, 0, sizeof answer);
  blocks(&job.request, answer);
  job.busy = false;
}

static void unconfigure_begin(const struct ds_request *r) {
  u64 pages = 0;
  if (job.busy) {
    answer_error(r, MEMORY_BUSY);
    return;
  }
  for (u32 i = 0; i < get32(r->data + 4); i++) pages += get64(r->data + HEAD + i * RECORD + 8) / PAGE_BYTES;
  job.request = *r;
  job.pages = pages;
  job.collected = 0;
  job.cancelled = false;
  job.busy = true;
  if (thread_start("dr-mem", unconfigure_thread, NULL)) return;
  job.busy = false;
  answer_error(r, MEMORY_NO_RESOURCE);
}

/* Numbers of pages; the first and the last permanent one by number. What a program has can be moved. */
static void query_record(u8 *record, u64 base, u64 bytes) {
  u64 managed = 0, permanent = 0, first = 0, last = 0;
  for (u64 ra = base; is_block(base, bytes) && ra < base + bytes; ra += CHUNK_BYTES) {
    enum chunk_state state = chunk_state(ra);
    u64 pages = state == CHUNK_KERNEL || state == CHUNK_PERMANENT ? chunk_pages_used(ra) : 0;
    managed += state == CHUNK_ABSENT ? 0 : CHUNK_PAGES;
    if (!pages) continue;
    if (!permanent) first = ra >> PAGE_SHIFT;
    last = (ra >> PAGE_SHIFT) + CHUNK_PAGES - 1;
    permanent += pages;
  }
  set64(record, base);
  set64(record + 8, bytes / PAGE_BYTES);
  set64(record + 16, managed);
  set64(record + 24, permanent);
  set64(record + 32, first);
  set64(record + 40, last);
}

static void query(const struct ds_request *r, u8 m[DS_ANSWER]) {
  u32 n = get32(r->data + 4);
  head_put(m, r, n);
  for (u32 i = 0; i < n; i++) {
    const u8 *asked = r->data + HEAD + i * RECORD;
    query_record(m + HEAD + i * QUERY_RECORD, get64(asked), get64(asked + 8));
  }
  ds_answer(r, false, m, HEAD + (size_t)n * QUERY_RECORD);
}

/* All three numbers are 0 where nothing is under way. */
static void progress(const struct ds_request *r, u8 m[DS_ANSWER]) {
  bool busy = job.busy;
  head_put(m, r, 0);
  set64(m + HEAD, busy ? job.pages : 0);
  set64(m + HEAD + 8, busy ? job.pages : 0);
  set64(m + HEAD + 16, busy ? job.collected : 0);
  ds_answer(r, false, m, HEAD + 24);
}

static void cancel(const struct ds_request *r, u8 m[DS_ANSWER]) {
  lock_acquire(&lock);
  bool busy = job.busy;
  job.cancelled |= busy;
  lock_release(&lock);
  if (!busy) {
    answer_error(r, MEMORY_NOTHING);
    return;
  }
  head_put(m, r, 0);
  ds_answer(r, false, m, HEAD);
}

void ds_memory(const struct ds_request *r, u8 m[DS_ANSWER]) {
  if (r->bytes < HEAD) return; /* it does not even say which request it is */
  u32 type = get32(r->data), n = get32(r->data + 4);
  bool fits = n <= RECORDS_MOST && n <= BLOCKS_MOST && r->bytes >= HEAD + (u64)n * RECORD;
  if (!fits) {
    answer_error(r, MEMORY_INVALID);
    return;
  }
  switch (type) {
    case CONFIGURE: blocks(r, m); break;
    case UNCONFIGURE: unconfigure_begin(r); break;
    case STATUS: progress(r, m); break;
    case CANCEL: cancel(r, m); break;
    case QUERY: query(r, m); break;
    default: answer_error(r, MEMORY_INVALID);
  }
}

int command_mem(int argc, char **argv) {
  struct memory_range r;
  bool all = argc == 2 && strcmp(argv[1], "-v") == 0;
  if (argc > 1 && !all) return COMMAND_USAGE;
  for (u32 i = 0; all && memory_range(i, &r); i++)
    printf("0x%016lx - 0x%016lx: %lu MB, free %lu MB, permanent %lu KB\n", r.base, r.end - 1, r.present >> 20, r.free >> 20,
           r.permanent >> 10);
  printf("total %lu MB, free %lu MB\n", memory_total() >> 20, memory_free() >> 20);
  return 0;
}
