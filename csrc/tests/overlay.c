/* overlay.c - in which order an overlay (csrc/vio/overlay.c) writes and makes stable: this program's own pwritev2 and
 * fdatasync say what comes when, fail, and let other things happen meanwhile. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "vio/image.h"

enum { CLUSTERS = 40, SIZE = CLUSTERS * OVERLAY_CLUSTER - 512, STABLE = 4096, RECENT = 8192, DATA = 16384, MOST = 64 };

static struct { char what; u64 at, bytes; } events[MOST];
static u32 event_count;
static int sync_error;
static void (*during_sync)(void);

static void note(char what, u64 at, u64 bytes) {
  CHECK(event_count < MOST);
  events[event_count].what = what;
  events[event_count].at = at;
  events[event_count++].bytes = bytes;
}

ssize_t pwritev2(int fd, const struct iovec *part, int parts, off_t offset, int flags) {
  u64 bytes = 0;
  for (int i = 0; i < parts; i++) bytes += part[i].iov_len;
  note('w', (u64)offset, bytes);
  return syscall(SYS_pwritev2, fd, part, parts, offset, 0, flags);
}

int fdatasync(int fd) {
  (void)fd;
  note('s', 0, 0);
  void (*hook)(void) = during_sync;
  during_sync = NULL;
  if (hook) hook();
  errno = sync_error;
  return sync_error ? -1 : 0;
}

/* What has happened since the last look, as one letter and offset each. */
static void happened(const char *wanted) {
  char text[MOST * 24] = "";
  for (u32 i = 0; i < event_count; i++) {
    char one[32];
    snprintf(one, sizeof one, events[i].what == 's' ? "s " : "w%llu+%llu ", (unsigned long long)events[i].at,
             (unsigned long long)events[i].bytes);
    strcat(text, one);
  }
  if (strcmp(text, wanted)) printf("wanted: %s\ncame:   %s\n", wanted, text);
  CHECK(!strcmp(text, wanted));
  event_count = 0;
}

static int new_file(void) {
  char path[] = "/tmp/s4v-overlay-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0);
  return fd;
}

static struct image *overlay;
static int file;

static int put(u64 offset, u8 value, u64 bytes) {
  static u8 data[4 * OVERLAY_CLUSTER];
  struct iovec part[2] = {{data, bytes / 2}, {data + bytes / 2, bytes - bytes / 2}};
  struct io_job j = {.kind = IO_WRITE, .offset = offset, .part = part, .parts = 2};
  memset(data, value, bytes);
  return image_move(overlay, &j, bytes);
}

static u8 get(u64 offset) {
  u8 value = 0;
  struct iovec part = {&value, 1};
  struct io_job j = {.kind = IO_READ, .offset = offset, .part = &part, .parts = 1};
  CHECK(image_move(overlay, &j, 1) == 0);
  return value;
}

static u8 map_byte(u64 at) {
  u8 value;
  CHECK(pread(file, &value, 1, (off_t)at) == 1);
  return value;
}

static void open_overlay(bool kept) {
  static const u8 map[(CLUSTERS + 7) / 8];
  struct overlay_layout l = {.size = SIZE, .data_at = DATA, .stable_at = STABLE, .recent_at = RECENT, .kept = kept};
  int base = new_file();
  file = new_file();
  CHECK(ftruncate(base, SIZE) == 0 && ftruncate(file, DATA + CLUSTERS * OVERLAY_CLUSTER) == 0);
  struct image *below = image_new_file(base, 0);
  CHECK(below);
  overlay = image_new_overlay(file, &l, map, below);
  CHECK(overlay);
  image_drop(below); /* the overlay has it */
  close(base);
}

static void close_overlay(void) {
  image_drop(overlay);
  close(file);
}

static void write_more(void) { CHECK(put(6 * OVERLAY_CLUSTER, 9, OVERLAY_CLUSTER) == 0); }

static void order(void) {
  open_overlay(true);
  CHECK(put(5 * OVERLAY_CLUSTER, 7, OVERLAY_CLUSTER) == 0);
  happened("w180224+32768 w8192+1 ");
  CHECK(put(5 * OVERLAY_CLUSTER + 512, 8, 512) == 0);
  happened("w180736+512 "); /* it is here */
  CHECK(put(7 * OVERLAY_CLUSTER + 512, 8, 512) == 0);
  happened("w245760+32768 w246272+512 w8192+1 "); /* the rest of the cluster first */
  CHECK(get(7 * OVERLAY_CLUSTER) == 0 && get(7 * OVERLAY_CLUSTER + 512) == 8);
  CHECK(image_flush(overlay) == 0);
  happened("s w4096+1 s ");
  CHECK(image_flush(overlay) == 0);
  happened("s ");
  CHECK(put(8 * OVERLAY_CLUSTER - 512, 4, 1024) == 0); /* ends of two clusters, one of them here */
  happened("w278528+32768 w278016+1024 w8192+2 ");
  CHECK(put(SIZE - 1024, 1, 1024) == 0); /* the last cluster is shorter */
  happened("w1294336+32256 w1325568+1024 w8196+1 ");
  CHECK(put(SIZE - 512, 1, 1024) == EIO);
  happened("");
  close_overlay();
}

/* Bits that come while data are made stable are not stable: their data may not be. */
static void meanwhile(void) {
  open_overlay(true);
  CHECK(put(5 * OVERLAY_CLUSTER, 7, OVERLAY_CLUSTER) == 0);
  during_sync = write_more;
  CHECK(image_flush(overlay) == 0);
  CHECK(map_byte(STABLE) == 1 << 5 && map_byte(RECENT) == (1 << 5 | 1 << 6));
  CHECK(image_flush(overlay) == 0);
  CHECK(map_byte(STABLE) == (1 << 5 | 1 << 6));
  event_count = 0;
  close_overlay();
}

static void failure(void) {
  open_overlay(true);
  CHECK(put(0, 7, OVERLAY_CLUSTER) == 0);
  sync_error = EIO;
  CHECK(image_flush(overlay) == EIO && overlay_failed(overlay->overlay) == EIO);
  CHECK(map_byte(STABLE) == 0);
  sync_error = 0;
  CHECK(image_flush(overlay) == 0 && map_byte(STABLE) == 1);
  event_count = 0;
  close_overlay();
}

/* One without a name goes with us: nothing has to be stable. */
static void nameless(void) {
  open_overlay(false);
  CHECK(put(0, 7, OVERLAY_CLUSTER) == 0);
  event_count = 0;
  CHECK(image_flush(overlay) == 0);
  happened("");
  close_overlay();
}

int main(void) {
  order();
  meanwhile();
  failure();
  nameless();
  puts("overlay: ok");
  return 0;
}
