/* overlay_fuzz.c SEED ROUNDS: images (csrc/vio/image.c, overlay.c) against a model that is an array of bytes.
 *
 * Two overlays upon a disk of the client's or upon a file; reads, writes and flushes of any place and in any pieces, past the
 * end too; file calls that are cut short, interrupted and fail; overlays that are closed and opened again by their recent map,
 * or after a flush by their stable one. A write that failed may have reached its own bytes, in part, and no others.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vdisk_host.h"

#include <string.h>

#include "vio/image.h"

enum {
  CLUSTERS = 21, SIZE = CLUSTERS * OVERLAY_CLUSTER - 1536, STABLE = 4096, RECENT = 8192, DATA = 16384, MAP = 8, MOST_PARTS = 6,
  LAYERS = 2,
};

static struct {
  u8 bytes[SIZE], below[SIZE];
  u8 written[LAYERS][SIZE]; /* scratch for reads and writes */
  struct image *disk, *layer[LAYERS];
  int file[LAYERS], base;
  int client_error;
  int top;                  /* the layer that is written */
  u64 failed, reads, writes, opened, placed;
} t;

static u64 below(u64 n) { return random_next(&host.chance) % n; }

static int client_io(void *self, u32 kind, u64 offset, void *bytes, u64 n) {
  CHECK(self == &t && kind == IO_READ && offset <= SIZE && n <= SIZE - offset);
  if (t.client_error && below(4) == 0) return t.client_error;
  memcpy(bytes, t.below + offset, n);
  return 0;
}

static int new_file(void) {
  char path[] = "/tmp/s4v-overlay-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0 && ftruncate(fd, DATA + SIZE) == 0);
  return fd;
}

/* By a map of the file's: the stable one, or the recent one. */
static void open_layer(int n, u64 map_at) {
  u8 map[MAP] = {0}, seen[MAP];
  struct overlay_layout layout = {.size = SIZE, .data_at = DATA, .stable_at = STABLE, .recent_at = RECENT, .kept = true,
                                  .unstable = map_at == RECENT};
  CHECK(overlay_map_bytes(SIZE) <= MAP && pread(t.file[n], map, MAP, (off_t)map_at) == MAP);
  t.layer[n] = image_new_overlay(t.file[n], &layout, map, n ? t.layer[n - 1] : t.disk);
  CHECK(t.layer[n] && overlay_map(t.layer[n]->overlay, seen, overlay_map_bytes(SIZE)));
  CHECK(!memcmp(map, seen, overlay_map_bytes(SIZE)) && !overlay_map(t.layer[n]->overlay, seen, MAP + 1));
  t.opened++;
}

static void begin(int client) {
  for (u64 i = 0; i < SIZE; i++) t.bytes[i] = t.below[i] = (u8)below(256);
  t.base = new_file();
  CHECK(syscall(SYS_pwrite64, t.base, t.below, SIZE, 512) == SIZE);
  t.disk = client ? image_new_client(client_io, &t) : image_new_file(t.base, 512);
  CHECK(t.disk);
  for (int n = 0; n < LAYERS; n++) t.file[n] = new_file();
  open_layer(t.top = 0, STABLE);
}

static void end(void) {
  for (int n = 0; n <= t.top; n++) image_drop(t.layer[n]);
  image_drop(t.disk);
  for (int n = 0; n < LAYERS; n++) close(t.file[n]);
  close(t.base);
}

/* A job over `n` bytes of a buffer, in pieces; they stay valid until the next call. */
static struct io_job job(u32 kind, u64 offset, u8 *at, u64 n) {
  static struct iovec part[MOST_PARTS];
  struct io_job j = {.kind = (u8)kind, .offset = offset, .part = part};
  u64 parts = 1 + below(MOST_PARTS);
  for (; n && j.parts < parts; j.parts++) {
    u64 piece = j.parts + 1 == parts ? n : 1 + below(n);
    part[j.parts] = (struct iovec){at, piece};
    at += piece;
    n -= piece;
  }
  return j;
}

static u64 any_length(u64 offset) {
  u64 left = SIZE - offset, n = below(3) ? 1 + below(4096) : below(2) ? 1 + below(3 * OVERLAY_CLUSTER) : OVERLAY_CLUSTER;
  return n < left ? n : left;
}

static u64 any_offset(void) {
  return below(4) ? below(SIZE) : below(CLUSTERS) * OVERLAY_CLUSTER + (below(2) ? 0 : 512 * below(4));
}

static void read_and_compare(u64 offset, u64 n) {
  u8 *to = t.written[0];
  struct io_job j = job(IO_READ, offset, to, n);
  int error = image_move(t.layer[t.top], &j, n);
  CHECK(!error || t.client_error || host.error_at != INT_MAX);
  if (!error) CHECK(!memcmp(to, t.bytes + offset, n));
  t.reads += !error;
}

/* Which bytes of a write that failed are there now is the disk's; none beside them. */
static void find_out(u64 offset, u64 n, const u8 *old) {
  int error = t.client_error, at = host.error_at;
  t.client_error = 0;
  host_trouble(host.spoil, EIO, INT_MAX);
  struct io_job j = {.kind = IO_READ, .part = &(struct iovec){t.written[1], SIZE}, .parts = 1};
  CHECK(!image_move(t.layer[t.top], &j, SIZE));
  for (u64 i = 0; i < SIZE; i++) {
    bool inside = i >= offset && i < offset + n;
    CHECK(t.written[1][i] == t.bytes[i] || (inside && t.written[1][i] == old[i]));
  }
  memcpy(t.bytes, t.written[1], SIZE);
  t.client_error = error;
  host_trouble(host.spoil, EIO, at);
}

static void write_some(void) {
  static u8 old[SIZE], data[SIZE];
  u64 offset = any_offset();
  if (offset >= SIZE) return;
  u64 n = any_length(offset);
  for (u64 i = 0; i < n; i++) data[i] = (u8)below(256);
  memcpy(old, t.bytes, SIZE);
  memcpy(t.bytes + offset, data, n);
  struct io_job j = job(IO_WRITE, offset, data, n);
  int error = image_move(t.layer[t.top], &j, n);
  CHECK(!error || t.client_error || host.error_at != INT_MAX);
  CHECK(overlay_failed(t.layer[t.top]->overlay) == error);
  t.writes += !error;
  if (!error) return;
  t.failed++;
  find_out(offset, n, old);
}

static void past_the_end(void) {
  u8 byte = 0;
  u64 offset = below(2) ? SIZE - below(512) : random_next(&host.chance), n = offset < SIZE ? SIZE - offset + 1 + below(512) : 1;
  struct io_job j = {.kind = (u8)(below(2) ? IO_READ : IO_WRITE), .offset = offset, .part = &(struct iovec){&byte, 1}, .parts = 1};
  int fd;
  u64 at;
  CHECK(image_move(t.layer[t.top], &j, n) == EIO && !image_place(t.layer[t.top], &j, n, &fd, &at));
  j.offset = ~(u64)0 - below(512);
  CHECK(image_move(t.layer[t.top], &j, 1 + below(2048)) == EIO);
}

/* Where the image says that bytes are, they are. */
static void look_at_place(void) {
  u64 offset = below(SIZE), n = any_length(offset), at;
  int fd;
  struct io_job j = job(below(2) ? IO_READ : IO_WRITE, offset, t.written[0], n);
  if (!image_place(t.layer[t.top], &j, n, &fd, &at)) return;
  CHECK(syscall(SYS_pread64, fd, t.written[1], n, at) == (long)n && !memcmp(t.written[1], t.bytes + offset, n));
  t.placed++;
}

static void open_anew(void) {
  u64 map_at = RECENT;
  if (below(2)) {
    if (image_flush(t.layer[t.top])) return;
    map_at = STABLE;
  }
  image_drop(t.layer[t.top]);
  open_layer(t.top, map_at);
}

static void change_layers(void) {
  if (t.top + 1 < LAYERS && below(2)) {
    open_layer(++t.top, STABLE);
    return;
  }
  if (!t.top) return;
  image_drop(t.layer[t.top]); /* what it kept is gone with it: an empty one in its place, and the model anew */
  CHECK(!ftruncate(t.file[t.top], 0) && !ftruncate(t.file[t.top], DATA + SIZE));
  t.top--;
  struct io_job j = {.kind = IO_READ, .part = &(struct iovec){t.bytes, SIZE}, .parts = 1};
  CHECK(!image_move(t.layer[t.top], &j, SIZE));
}

static void trouble(void) {
  t.client_error = below(4) ? 0 : EIO;
  host_trouble(below(2) == 0, below(2) ? EIO : ENOSPC, below(3) ? INT_MAX : (int)(DATA + below(CLUSTERS) * OVERLAY_CLUSTER));
  if (below(8) == 0) host_trouble(0, ENOSPC, below(2) ? RECENT : STABLE);
}

static void no_trouble(void) {
  t.client_error = 0;
  host_trouble(0, 0, INT_MAX);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  host.chance = strtoull(argv[1], NULL, 0);
  u64 rounds = strtoull(argv[2], NULL, 0);
  begin((int)below(2));
  for (u64 i = 0; i < rounds; i++) {
    u64 offset = any_offset(), what = below(32);
    trouble();
    if (what < 12) write_some();
    else if (what < 22 && offset < SIZE) read_and_compare(offset, any_length(offset));
    else if (what < 24) image_flush(t.layer[t.top]);
    else if (what < 26) past_the_end();
    no_trouble();
    if (what == 26) open_anew();
    if (what == 27) change_layers();
    if (what > 27) look_at_place();
    if (below(64) == 0) read_and_compare(0, SIZE);
    if (below(500)) continue;
    end();
    begin((int)below(2));
  }
  read_and_compare(0, SIZE);
  end();
  printf("reads %llu writes %llu failed %llu opened %llu placed %llu\n", (unsigned long long)t.reads, (unsigned long long)t.writes,
         (unsigned long long)t.failed, (unsigned long long)t.opened, (unsigned long long)t.placed);
  return 0;
}
