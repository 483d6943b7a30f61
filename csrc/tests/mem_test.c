/* mem_test.c - guest memory, case by case. Prints "ok" when all have passed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "mem/mem.h"

enum { K8 = PAGE_BYTES, M2 = 2 << 20, MAX_EXTENTS = 64 };
static const u64 GIB = (u64)1 << 30, TIB = (u64)1 << 40;

struct log {
  const struct mblock *block;
  size_t count, barriers;
  u64 first[MAX_EXTENTS], pages[MAX_EXTENTS];
  u64 marked_at_barrier; /* marks seen while in the last barrier */
  size_t count_at_barrier;
};

static void log_sink(void *ctx, pa_t first, u64 pages) {
  struct log *log = ctx;
  CHECK(log->count < MAX_EXTENTS);
  log->first[log->count] = first.v;
  log->pages[log->count++] = pages;
}

static void log_barrier(void *ctx) {
  struct log *log = ctx;
  log->barriers++;
  log->count_at_barrier = log->count;
  log->marked_at_barrier = 0;
  for (u64 p = 0; p < mblock_pages(log->block->bytes); p++) log->marked_at_barrier += log->block->page_map[p];
}

static u64 file_bytes(int fd) {
  struct stat st;
  CHECK(fstat(fd, &st) == 0);
  return (u64)st.st_blocks * 512;
}

static struct physmem *one_block(u64 base, u64 bytes) {
  struct physmem *pm = physmem_new();
  CHECK(pm && physmem_add_block(pm, PA(base), bytes, "test") == 0);
  return pm;
}

static void test_blocks(void) {
  struct physmem *pm = physmem_new();
  CHECK(physmem_add_block(pm, PA(4 * K8), 2 * K8, "b") == 0);
  CHECK(physmem_add_block(pm, PA(0), 4 * K8, "a") == 0);
  CHECK(physmem_add_block(pm, PA(UINT64_MAX - K8 + 1), K8, NULL) == 0); /* the last page there is */
  CHECK(physmem_block_count(pm) == 3 && physmem_block(pm, 3) == NULL);
  CHECK(physmem_block(pm, 0)->base.v == 0 && physmem_block(pm, 1)->base.v == 4 * K8);
  u64 bad[][2] = {{0, K8},           {5 * K8, K8},         {3 * K8, 4 * K8},           {6 * K8, 0},
                  {6 * K8 + 1, K8},  {6 * K8, K8 - 1},     {6 * K8, UINT64_MAX - K8 + 1}, {K8, UINT64_MAX - 2 * K8 + 1},
                  {UINT64_MAX - K8 + 1, 2 * K8}};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) CHECK(physmem_add_block(pm, PA(bad[i][0]), bad[i][1], "x") == -EINVAL);
  CHECK(physmem_add_block(pm, PA(TIB), (u64)1 << 62, "x") == -ENOMEM);
  CHECK(physmem_add_block(pm, PA(TIB), (u64)1 << 63, "x") == -ENOMEM);
  CHECK(physmem_block_count(pm) == 3);
  CHECK(physmem_find(pm, PA(0)) == physmem_block(pm, 0));
  CHECK(physmem_find(pm, PA(6 * K8 - 1)) == physmem_block(pm, 1));
  CHECK(physmem_find(pm, PA(6 * K8)) == NULL);
  CHECK(physmem_find(pm, PA(UINT64_MAX)) == physmem_block(pm, 2));
  CHECK(physmem_remove_block(pm, PA(K8)) == -ENOENT);
  CHECK(physmem_remove_block(pm, PA(0)) == 0 && physmem_find(pm, PA(0)) == NULL);
  CHECK(physmem_find(pm, PA(4 * K8)) != NULL);
  physmem_free(pm);
  physmem_free(NULL);
}

static void test_alignment_and_seals(void) {
  struct physmem *pm = physmem_new();
  char label[400] = {0}; /* longer than the kernel takes for the name of a memfd */
  memset(label, 'x', sizeof label - 1);
  for (u64 i = 0; i < 8; i++) {
    CHECK(physmem_add_block(pm, PA(i * GIB), M2 * i + K8 * (i + 1), label) == 0);
    const struct mblock *b = physmem_find(pm, PA(i * GIB));
    CHECK(((uintptr_t)b->host & (M2 - 1)) == 0);
    b->host[b->bytes - 1] = (u8)(i + 1); /* mapped to the end */
    CHECK(ftruncate(b->fd, 0) == -1 && errno == EPERM);
    u8 byte;
    CHECK(pread(b->fd, &byte, 1, (off_t)(b->bytes - 1)) == 1 && byte == i + 1);
    b->page_map[mblock_pages(b->bytes) - 1] = 5;
    b->region_map[mblock_regions(b->bytes) - 1] = 6;
    CHECK(pread(b->map_fd, &byte, 1, (off_t)(mblock_pages(b->bytes) - 1)) == 1 && byte == 5);
    off_t last = (off_t)(mblock_region_offset(b->bytes) + mblock_regions(b->bytes) - 1);
    CHECK(pread(b->map_fd, &byte, 1, last) == 1 && byte == 6);
  }
  physmem_free(pm);
}

/* 4 TiB: nothing until touched; then what was touched. */
static void test_sparse(void) {
  struct physmem *pm = one_block(8 * TIB, 4 * TIB);
  const struct mblock *b = physmem_block(pm, 0);
  CHECK(file_bytes(b->fd) == 0 && file_bytes(b->map_fd) == 0);
  struct ram *ram = ram_new(pm);
  CHECK(ram_add_segment(ram, RA(0), 4 * TIB, PA(8 * TIB)) == 0);
  struct log log = {.block = b};
  CHECK(physmem_populated(pm, PA(8 * TIB), 4 * TIB, log_sink, &log) == 0 && log.count == 0);
  CHECK(ram_backed(ram, RA(0), 4 * TIB) && !ram_backed(ram, RA(1), 4 * TIB));
  u64 touched[] = {0, TIB, 4 * TIB - 8};
  for (size_t i = 0; i < 3; i++) CHECK(ram_write(ram, RA(touched[i]), "sparc v9", 8));
  struct ram_ref ref;
  CHECK(ram_lookup(ram, RA(3 * TIB), &ref) && *ref.code == 0); /* code_map may be looked at everywhere */
  unsigned char resident[2];
  u8 *code_page = (u8 *)((uintptr_t)(b->code_map + mblock_pages(2 * TIB)) & ~(uintptr_t)4095);
  CHECK(mincore(code_page, 4096 * 2, resident) == 0 && !(resident[0] & 1) && !(resident[1] & 1));
  CHECK(file_bytes(b->fd) <= 3 * 4096 && file_bytes(b->map_fd) <= 8 * 4096);
  CHECK(physmem_populated(pm, PA(8 * TIB), 4 * TIB, log_sink, &log) == 3 && log.count == 3);
  for (size_t i = 0; i < 3; i++) CHECK(log.first[i] == 8 * TIB + (touched[i] & PAGE_MASK) && log.pages[i] == 1);
  CHECK(physmem_dirty_count(pm, PA(8 * TIB), 4 * TIB) == 3);
  log.count = 0;
  CHECK(physmem_harvest(pm, PA(8 * TIB), 4 * TIB, NULL, log_sink, &log) == 3 && log.count == 3);
  CHECK(log.first[2] == 12 * TIB - K8);
  CHECK(file_bytes(b->map_fd) <= 3 * M2); /* a harvest reads the region bytes, 512 KiB a TiB, not the page bytes */
  CHECK(ram_zero(ram, RA(0), 4 * TIB) && file_bytes(b->fd) == 0);
  CHECK(physmem_dirty_count(pm, PA(8 * TIB), 4 * TIB) == 3);
  ram_free(ram);
  physmem_free(pm);
}

static void test_segments(void) {
  struct physmem *pm = one_block(0, 4 * K8);
  CHECK(physmem_add_block(pm, PA(4 * K8), 4 * K8, "second") == 0);
  struct ram *ram = ram_new(pm);
  struct ram_ref ref;
  CHECK(!ram_lookup(ram, RA(0), &ref) && !ram_backed(ram, RA(0), 1) && ram_backed(ram, RA(0), 0));
  CHECK(ram_add_segment(ram, RA(GIB), 4 * K8, PA(2 * K8)) == 0); /* over both blocks */
  CHECK(ram_add_segment(ram, RA(GIB + 4 * K8), K8, PA(0)) == 0);
  u64 top = UINT64_MAX - K8 + 1;
  CHECK(ram_add_segment(ram, RA(top), K8, PA(K8)) == 0);
  u64 bad[][3] = {{GIB, K8, 0},         {GIB + 3 * K8, K8, 0},     {GIB - K8, 2 * K8, 0},  {0, 0, 0},
                  {0, 9 * K8, 0},       {0, K8, 8 * K8},           {1, K8, 0},             {0, K8 + 1, 0},
                  {0, K8, 1},           {top, 2 * K8, 0},          {0, 2 * K8, top},       {0, top, 0},
                  {K8, top, K8}};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    CHECK(ram_add_segment(ram, RA(bad[i][0]), bad[i][1], PA(bad[i][2])) == -EINVAL);
  ra_t ra;
  pa_t pa;
  u64 bytes;
  CHECK(ram_segment_count(ram) == 3 && ram_segment(ram, 3, &ra, &bytes, &pa) == -ENOENT);
  CHECK(ram_segment(ram, 1, &ra, &bytes, &pa) == 0 && ra.v == GIB + 4 * K8 && bytes == K8 && pa.v == 0);
  CHECK(ram_lookup(ram, RA(GIB + K8 + 5), &ref) && ref.pa.v == 3 * K8 + 5 && ref.bytes == K8 - 5);
  const struct mblock *b0 = physmem_block(pm, 0), *b1 = physmem_block(pm, 1);
  CHECK(ref.host == b0->host + 3 * K8 + 5 && ref.page == b0->page_map + 3 && ref.region == b0->region_map);
  CHECK(ref.code == b0->code_map + 3);
  CHECK(ram_lookup(ram, RA(GIB + 2 * K8), &ref) && ref.host == b1->host && ref.bytes == 2 * K8);
  CHECK(ram_lookup(ram, RA(UINT64_MAX), &ref) && ref.bytes == 1 && !ram_lookup(ram, RA(GIB + 5 * K8), &ref));
  CHECK(ram_backed(ram, RA(GIB), 5 * K8) && !ram_backed(ram, RA(GIB), 5 * K8 + 1));
  CHECK(ram_backed(ram, RA(top), K8) && !ram_backed(ram, RA(top), K8 + 1) && !ram_backed(ram, RA(GIB), UINT64_MAX));
  CHECK(physmem_remove_block(pm, PA(0)) == -EBUSY);
  CHECK(ram_remove_segment(ram, RA(0)) == -ENOENT && ram_remove_segment(ram, RA(GIB)) == 0);
  CHECK(!ram_lookup(ram, RA(GIB + 2 * K8), &ref) && ram_lookup(ram, RA(GIB + 4 * K8), &ref));
  CHECK(physmem_remove_block(pm, PA(4 * K8)) == 0);
  ram_free(ram);
  CHECK(physmem_remove_block(pm, PA(0)) == 0);
  physmem_free(pm);
}

/* Out of the middle, back again at the same place, and whole again. */
static void test_remove(void) {
  struct physmem *pm = one_block(0, 16 * K8);
  struct ram *ram = ram_new(pm);
  ra_t ra;
  pa_t pa;
  u64 bytes;
  CHECK(ram_add_segment(ram, RA(GIB), 8 * K8, PA(0)) == 0 && ram_add_segment(ram, RA(GIB + 8 * K8), 8 * K8, PA(8 * K8)) == 0);
  CHECK(ram_remove(ram, RA(GIB + 1), K8) == -EINVAL && ram_remove(ram, RA(GIB), 0) == -EINVAL);
  CHECK(ram_remove(ram, RA(0), UINT64_MAX & PAGE_MASK) == -EFAULT && ram_remove(ram, RA(GIB), 17 * K8) == -EFAULT);
  u8 *mapped = ram_map(ram, RA(GIB + 6 * K8), 2 * K8, true);
  CHECK(mapped && ram_remove(ram, RA(GIB + 7 * K8), 2 * K8) == -EBUSY && ram_segment_count(ram) == 2);
  CHECK(ram_write(ram, RA(GIB + 7 * K8), "gone", 4) && ram_write(ram, RA(GIB + 9 * K8), "kept", 4));
  ram_unmap(ram, RA(GIB + 6 * K8), 2 * K8, true);
  CHECK(ram_remove(ram, RA(GIB + 7 * K8), 2 * K8) == 0 && ram_segment_count(ram) == 2);
  CHECK(ram_segment(ram, 0, &ra, &bytes, &pa) == 0 && ra.v == GIB && bytes == 7 * K8 && pa.v == 0);
  CHECK(ram_piece(ram, 1, &ra, &bytes, &pa) == 0 && ra.v == GIB + 9 * K8 && bytes == 7 * K8 && pa.v == 9 * K8);
  CHECK(ram_piece(ram, 2, &ra, &bytes, &pa) == -ENOENT && !ram_backed(ram, RA(GIB + 8 * K8), 1));
  physmem_discard(pm, PA(7 * K8), 2 * K8);
  CHECK(physmem_block_count(pm) == 1 && physmem_dirty_count(pm, PA(7 * K8), 2 * K8) == 0);
  CHECK(physmem_dirty_count(pm, PA(0), 16 * K8) == 2);
  CHECK(ram_add_segment(ram, RA(GIB + 7 * K8), 2 * K8, PA(7 * K8)) == 0 && ram_segment_count(ram) == 3);
  ram_join(ram);
  char text[4] = "....";
  CHECK(ram_segment_count(ram) == 1 && ram_piece(ram, 1, &ra, &bytes, &pa) == -ENOENT);
  CHECK(ram_read(ram, RA(GIB + 7 * K8), text, 4) && memcmp(text, "\0\0\0\0", 4) == 0);
  CHECK(ram_read(ram, RA(GIB + 9 * K8), text, 4) && memcmp(text, "kept", 4) == 0);
  CHECK(ram_remove(ram, RA(GIB), 16 * K8) == 0 && ram_segment_count(ram) == 0);
  physmem_discard(pm, PA(4 * K8), K8);
  CHECK(physmem_block_count(pm) == 0);
  ram_free(ram);
  physmem_free(pm);
}

static void test_copies(void) {
  struct physmem *pm = one_block(0, 4 * K8);
  CHECK(physmem_add_block(pm, PA(GIB), 4 * K8, "second") == 0);
  struct ram *ram = ram_new(pm);
  CHECK(ram_add_segment(ram, RA(0), 4 * K8, PA(GIB)) == 0 && ram_add_segment(ram, RA(4 * K8), 4 * K8, PA(0)) == 0);
  u8 out[2 * K8], in[2 * K8];
  for (size_t i = 0; i < sizeof out; i++) out[i] = (u8)(i * 7 + 1);
  CHECK(ram_write(ram, RA(3 * K8 + 9), out, sizeof out) && ram_read(ram, RA(3 * K8 + 9), in, sizeof in));
  CHECK(memcmp(in, out, sizeof in) == 0);
  CHECK(memcmp(physmem_block(pm, 0)->host, out + K8 - 9, K8 + 9) == 0);
  CHECK(physmem_dirty_count(pm, PA(GIB), 4 * K8) == 1 && physmem_dirty_count(pm, PA(0), 4 * K8) == 2);
  /* One byte too many: nothing is written, nothing marked. */
  struct log log = {.block = physmem_block(pm, 0)};
  CHECK(physmem_harvest(pm, PA(0), 4 * K8, NULL, log_sink, &log) == 2);
  CHECK(!ram_write(ram, RA(7 * K8), out, K8 + 1) && physmem_block(pm, 0)->host[3 * K8] == 0);
  CHECK(!ram_zero(ram, RA(4 * K8), 4 * K8 + 1) && physmem_block(pm, 0)->host[0] != 0);
  CHECK(!ram_read(ram, RA(7 * K8), in, K8 + 1) && !ram_write(ram, RA(UINT64_MAX), out, 2));
  CHECK(!ram_write(ram, RA(0), out, UINT64_MAX) && !ram_zero(ram, RA(K8), UINT64_MAX));
  CHECK(physmem_dirty_count(pm, PA(0), 4 * K8) == 0);
  CHECK(ram_zero(ram, RA(4 * K8 + 1), K8) && physmem_dirty_count(pm, PA(0), 4 * K8) == 2);
  CHECK(physmem_block(pm, 0)->host[0] == out[K8 - 9] && physmem_block(pm, 0)->host[1] == 0);
  CHECK(physmem_block(pm, 0)->host[K8] == 0 && physmem_block(pm, 0)->host[K8 + 1] == out[2 * K8 - 9 + 1]);
  u8 be[9] = {0};
  be64_store(be + 1, 0x0102030405060708u);
  CHECK(be[1] == 1 && be[8] == 8 && be64_load(be + 1) == 0x0102030405060708u);
  CHECK(be32_load(be + 1) == 0x01020304 && be16_load(be + 7) == 0x0708);
  be32_store(be, 0xa1a2a3a4), be16_store(be + 5, 0xb1b2);
  CHECK(be[0] == 0xa1 && be[3] == 0xa4 && be[5] == 0xb1 && be[6] == 0xb2);
  ram_free(ram);
  physmem_free(pm);
}

/* A punched zero fill: edges by hand, holes unmarked, the bytes gone from the host. */
static void test_zero_large(void) {
  struct physmem *pm = one_block(0, 16 * (u64)M2);
  const struct mblock *b = physmem_block(pm, 0);
  struct ram *ram = ram_new(pm);
  CHECK(ram_add_segment(ram, RA(0), b->bytes, PA(0)) == 0);
  u8 ones[3] = {1, 1, 1};
  u64 at[] = {K8 - 1, 5 * (u64)M2, 9 * (u64)M2 + 7};
  for (size_t i = 0; i < 3; i++) CHECK(ram_write(ram, RA(at[i]), ones, 3));
  struct log log = {.block = b};
  CHECK(physmem_harvest(pm, PA(0), b->bytes, NULL, log_sink, &log) == 4);
  CHECK(ram_zero(ram, RA(K8), 9 * (u64)M2 + 8 - K8)); /* from the second byte of the first to the first of the last */
  CHECK(b->host[K8 - 1] == 1 && b->host[K8] == 0 && b->host[K8 + 1] == 0 && b->host[5 * M2] == 0);
  CHECK(b->host[9 * M2 + 7] == 0 && b->host[9 * M2 + 8] == 1);
  log.count = 0;
  CHECK(physmem_harvest(pm, PA(0), b->bytes, NULL, log_sink, &log) == 3 && log.count == 3);
  CHECK(log.first[0] == K8 && log.first[1] == 5 * (u64)M2 && log.first[2] == 9 * (u64)M2);
  ram_free(ram);
  physmem_free(pm);
}

static void test_harvest_order(void) {
  struct physmem *pm = one_block(TIB, 512 * (u64)M2);
  const struct mblock *b = physmem_block(pm, 0);
  struct log log = {.block = b};
  CHECK(physmem_harvest(pm, b->base, b->bytes, log_barrier, log_sink, &log) == 0);
  CHECK(log.barriers == 0 && log.count == 0); /* nothing marked: nobody is stopped */
  physmem_written(pm, PA(TIB + 3 * K8), 2 * K8);
  physmem_written(pm, PA(TIB + M2 - 1), 2);
  CHECK(physmem_harvest(pm, b->base, b->bytes, log_barrier, log_sink, &log) == 4);
  CHECK(log.barriers == 1 && log.marked_at_barrier == 0 && log.count_at_barrier == 0); /* clear, barrier, sink */
  CHECK(log.count == 2 && log.first[0] == TIB + 3 * K8 && log.pages[0] == 2);
  CHECK(log.first[1] == TIB + M2 - K8 && log.pages[1] == 2); /* one extent across the region border */
  for (u64 r = 0; r < mblock_regions(b->bytes); r++) CHECK(b->region_map[r] == 0);
  /* 1 GiB all marked: 16 batches of 64 MiB, each with its own barrier. */
  log.count = log.barriers = 0;
  physmem_written(pm, b->base, UINT64_MAX);
  CHECK(physmem_dirty_count(pm, b->base, b->bytes) == b->bytes / K8);
  CHECK(physmem_harvest(pm, b->base, b->bytes, log_barrier, log_sink, &log) == (i64)(b->bytes / K8));
  CHECK(log.barriers == 16 && log.count == 16 && log.pages[0] == HARVEST_BATCH_PAGES);
  CHECK(physmem_dirty_count(pm, b->base, b->bytes) == 0);
  physmem_free(pm);
}

struct tally { u64 extents, pages, barriers; };

static void tally_sink(void *ctx, pa_t first, u64 pages) {
  struct tally *t = ctx;
  CHECK(first.v == t->extents * 2 * K8);
  t->extents++;
  t->pages += pages;
}

static void tally_barrier(void *ctx) { ((struct tally *)ctx)->barriers++; }

/* Every second page: the batch is full of extents before it is full of pages. */
static void test_harvest_many_extents(void) {
  struct physmem *pm = one_block(0, GIB);
  struct tally t = {0};
  for (u64 at = 0; at < GIB; at += 2 * K8) physmem_written(pm, PA(at), 1);
  CHECK(physmem_harvest(pm, PA(0), GIB, tally_barrier, tally_sink, &t) == (i64)(GIB / (2 * K8)));
  CHECK(t.extents == GIB / (2 * K8) && t.pages == t.extents && t.barriers == t.extents / HARVEST_BATCH_EXTENTS + 1);
  physmem_free(pm);
}

/* Harvesting a part must not take the rest's region byte away. */
static void test_harvest_part(void) {
  struct physmem *pm = one_block(0, 3 * (u64)M2 + 3 * K8);
  const struct mblock *b = physmem_block(pm, 0);
  struct log log = {.block = b};
  physmem_written(pm, PA(0), b->bytes);
  CHECK(physmem_harvest(pm, PA(3 * K8), 5 * K8, NULL, log_sink, &log) == 5 && log.first[0] == 3 * K8);
  CHECK(physmem_harvest(pm, PA(3 * K8), 5 * K8, NULL, log_sink, &log) == 0);
  CHECK(physmem_dirty_count(pm, PA(0), b->bytes) == b->bytes / K8 - 5);
  CHECK(physmem_dirty_count(pm, PA(2 * K8), 7 * K8) == 2);
  log.count = 0;
  CHECK(physmem_harvest(pm, PA(0), b->bytes, NULL, log_sink, &log) == (i64)(b->bytes / K8 - 5) && log.count == 2);
  CHECK(log.first[1] + log.pages[1] * K8 == b->bytes);
  CHECK(b->region_map[3] == 0); /* the short last region was harvested whole */
  u64 bad[][2] = {{1, K8}, {0, K8 + 1}, {0, b->bytes + K8}, {b->bytes, K8}, {K8, UINT64_MAX - K8 + 1}, {K8, b->bytes}};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    CHECK(physmem_harvest(pm, PA(bad[i][0]), bad[i][1], NULL, log_sink, &log) == -EINVAL);
    CHECK(physmem_dirty_count(pm, PA(bad[i][0]), bad[i][1]) == 0);
  }
  CHECK(physmem_harvest(pm, PA(0), 0, NULL, log_sink, &log) == 0);
  physmem_free(pm);
}

static void test_pins(void) {
  struct physmem *pm = one_block(0, 8 * K8);
  CHECK(physmem_add_block(pm, PA(GIB), 16 * K8, "second") == 0);
  const struct mblock *b = physmem_block(pm, 0);
  struct ram *ram = ram_new(pm);
  CHECK(ram_add_segment(ram, RA(0), 4 * K8, PA(0)) == 0 && ram_add_segment(ram, RA(4 * K8), 4 * K8, PA(4 * K8)) == 0);
  CHECK(ram_add_segment(ram, RA(8 * K8), 8 * K8, PA(GIB + 8 * K8)) == 0);
  struct log log = {.block = b};
  CHECK(ram_map(ram, RA(7 * K8), 2 * K8, true) == NULL); /* offsets 7 and 8, but of two blocks: not contiguous */
  CHECK(ram_map(ram, RA(0), 0, true) == NULL && ram_map(ram, RA(0), UINT64_MAX, false) == NULL);
  CHECK(ram_map(ram, RA(16 * K8), 1, false) == NULL && ram_map(ram, RA(15 * K8), K8 + 1, false) == NULL);
  CHECK(ram_map(ram, RA(K8), K8, false) == b->host + K8);
  CHECK(physmem_dirty_count(pm, PA(0), 8 * K8) == 0);
  u8 *p = ram_map(ram, RA(3 * K8 + 100), K8, true); /* over two adjoining segments of one block */
  CHECK(p == b->host + 3 * K8 + 100 && ram_map(ram, RA(3 * K8), K8, true) != NULL);
  for (int i = 0; i < 3; i++) { /* reported and marked again, by every harvest */
    log.count = 0;
    CHECK(physmem_harvest(pm, PA(0), 8 * K8, log_barrier, log_sink, &log) == 2 && log.first[0] == 3 * K8);
    CHECK(log.marked_at_barrier == 2);
  }
  CHECK(ram_remove_segment(ram, RA(0)) == -EBUSY && ram_remove_segment(ram, RA(4 * K8)) == -EBUSY);
  CHECK(ram_remove_segment(ram, RA(8 * K8)) == 0);
  ram_unmap(ram, RA(3 * K8 + 100), K8, true);
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 2);
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 1); /* the other map still holds page 3 */
  ram_unmap(ram, RA(3 * K8), K8, true);
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 1); /* unmap marks */
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 0);
  ram_unmap(ram, RA(K8), K8, false);
  CHECK(physmem_dirty_count(pm, PA(0), 8 * K8) == 0 && ram_remove_segment(ram, RA(0)) == 0);
  CHECK(ram_map(ram, RA(4 * K8), K8, true) != NULL);
  ram_free(ram); /* takes its pins along */
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 1);
  CHECK(physmem_harvest(pm, PA(0), 8 * K8, NULL, log_sink, &log) == 0);
  physmem_free(pm);
}

struct code_log { size_t count; u64 pa[8], bytes[8]; };

static void log_code(void *ctx, pa_t pa, u64 bytes) {
  struct code_log *log = ctx;
  CHECK(log->count < 8);
  log->pa[log->count] = pa.v;
  log->bytes[log->count++] = bytes;
}

static void test_code_listener(void) {
  struct physmem *pm = one_block(GIB, 8 * K8);
  struct ram *ram = ram_new(pm);
  struct code_log log = {0};
  CHECK(ram_add_segment(ram, RA(0), 8 * K8, PA(GIB)) == 0);
  u8 *code = physmem_block(pm, 0)->code_map;
  code[1] = code[2] = code[5] = 1;
  u8 bytes[6 * K8] = {0};
  CHECK(ram_write(ram, RA(0), bytes, 6 * K8)); /* nobody listens */
  physmem_set_code_listener(pm, log_code, &log);
  CHECK(ram_write(ram, RA(3 * K8), bytes, 2 * K8) && log.count == 0);
  CHECK(ram_write(ram, RA(K8 + 4), bytes, 5 * K8) && log.count == 2);
  CHECK(log.pa[0] == GIB + K8 + 4 && log.bytes[0] == 2 * K8 - 4);
  CHECK(log.pa[1] == GIB + 5 * K8 && log.bytes[1] == K8);
  CHECK(ram_zero(ram, RA(2 * K8 + 8), 4) && log.count == 3 && log.pa[2] == GIB + 2 * K8 + 8 && log.bytes[2] == 4);
  CHECK(ram_map(ram, RA(5 * K8 + 1), 1, true) && log.count == 3);
  ram_unmap(ram, RA(5 * K8 + 1), 1, true);
  CHECK(log.count == 4 && log.bytes[3] == 1);
  ram_written(ram, RA(K8), UINT64_MAX); /* hostile length: clipped to what is there */
  CHECK(log.count == 6 && log.bytes[4] == 2 * K8);
  ram_written(ram, RA(8 * K8), UINT64_MAX);
  ram_written(ram, RA(K8), 0);
  CHECK(log.count == 6);
  ram_free(ram);
  physmem_free(pm);
}

static void test_populated(void) {
  struct physmem *pm = one_block(0, 64 * K8);
  const struct mblock *b = physmem_block(pm, 0);
  struct log log = {.block = b};
  u64 offsets[] = {K8 + 4096, 2 * K8, 5 * K8, 5 * K8 + 4096, 63 * K8 + 4096}; /* half pages: extents meet in a page */
  for (size_t i = 0; i < ARRAY_LEN(offsets); i++) b->host[offsets[i]] = 1;
  CHECK(physmem_populated(pm, PA(0), 64 * K8, log_sink, &log) == 4 && log.count == 3);
  CHECK(log.first[0] == K8 && log.pages[0] == 2 && log.first[1] == 5 * K8 && log.pages[1] == 1);
  CHECK(log.first[2] == 63 * K8 && log.pages[2] == 1);
  CHECK(physmem_populated(pm, PA(2 * K8), 4 * K8, log_sink, &log) == 2 && log.count == 5 && log.first[3] == 2 * K8);
  CHECK(physmem_populated(pm, PA(K8), 64 * K8, log_sink, &log) == -EINVAL);
  CHECK(physmem_populated(pm, PA(K8), K8 + 1, log_sink, &log) == -EINVAL);
  CHECK(physmem_populated(pm, PA(64 * K8), K8, log_sink, &log) == -EINVAL);
  physmem_free(pm);
}

static void test_membarrier(void) {
  harvest_membarrier(NULL); /* unregistered: the slow way, never a silent no-op */
  if (harvest_membarrier_register() == 0) harvest_membarrier(NULL);
}

int main(void) {
  test_blocks();
  test_alignment_and_seals();
  test_sparse();
  test_segments();
  test_remove();
  test_copies();
  test_zero_large();
  test_harvest_order();
  test_harvest_many_extents();
  test_harvest_part();
  test_pins();
  test_code_listener();
  test_populated();
  test_membarrier();
  puts("ok");
  return 0;
}
