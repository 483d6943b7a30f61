/* buffer_test.c - bounded writer and reader of state files. Prints "ok". */
#include "check.h"
#include "util/buffer.h"

static void put_all(struct writer *w) {
  put_u8(w, 0xa1);
  put_u16(w, 0xb1b2);
  put_u32(w, 0xc1c2c3c4);
  put_u64(w, 0xd1d2d3d4d5d6d7d8);
  put_bytes(w, "state", 5);
  put_bytes(w, NULL, 0);
}

static const u8 all[20] = {0xa1, 0xb2, 0xb1, 0xc4, 0xc3, 0xc2, 0xc1, 0xd8, 0xd7, 0xd6,
                           0xd5, 0xd4, 0xd3, 0xd2, 0xd1, 's',  't',  'a',  't',  'e'};

static void test_layout(void) {
  u8 out[sizeof all + 1];
  out[sizeof all] = 0x77;
  struct writer w = writer_over(out, sizeof all);
  put_all(&w);
  CHECK(!w.failed && w.used == sizeof all && memcmp(out, all, sizeof all) == 0 && out[sizeof all] == 0x77);
  struct writer count = writer_counting();
  put_all(&count);
  CHECK(!count.failed && count.used == sizeof all);
  struct reader r = reader_over(all, sizeof all);
  char text[5];
  CHECK(get_u8(&r) == 0xa1 && get_u16(&r) == 0xb1b2 && get_u32(&r) == 0xc1c2c3c4);
  CHECK(get_u64(&r) == 0xd1d2d3d4d5d6d7d8 && reader_left(&r) == 5 && !reader_done(&r));
  get_bytes(&r, text, 5);
  CHECK(memcmp(text, "state", 5) == 0 && reader_done(&r) && reader_left(&r) == 0);
}

/* With every room that is too small: the error sticks, and not a byte beyond the room changes. */
static void test_short_writer(void) {
  for (size_t room = 0; room < sizeof all; room++) {
    u8 out[sizeof all];
    memset(out, 0x55, sizeof out);
    struct writer w = writer_over(out, room);
    put_all(&w);
    CHECK(w.failed && w.used <= room);
    size_t used = w.used;
    put_bytes(&w, "", 0);
    put_u8(&w, 1);
    CHECK(w.failed && w.used == used && memcmp(out, all, used) == 0);
    for (size_t i = used; i < sizeof out; i++) CHECK(out[i] == 0x55);
  }
}

static void test_short_reader(void) {
  for (size_t bytes = 0; bytes < sizeof all; bytes++) {
    u8 *copy = malloc(bytes), text[5] = {9, 9, 9, 9, 9};
    CHECK(copy || bytes == 0);
    memcpy(copy ? copy : text, all, bytes);
    struct reader r = reader_over(copy, bytes);
    get_u8(&r), get_u16(&r), get_u32(&r), get_u64(&r);
    get_bytes(&r, text, 5);
    CHECK(r.failed && !reader_done(&r) && reader_left(&r) == 0 && r.used <= bytes);
    CHECK(memcmp(text, "\0\0\0\0\0", 5) == 0);
    CHECK(get_u8(&r) == 0 && get_u64(&r) == 0 && reader_take(&r, 0) == NULL);
    free(copy);
  }
}

static void test_hostile_lengths(void) {
  u8 out[8] = {0};
  struct writer w = writer_over(out, sizeof out);
  put_u32(&w, 1);
  CHECK(writer_take(&w, SIZE_MAX) == NULL && w.failed && w.used == 4);
  w = writer_over(out, sizeof out);
  put_u8(&w, 1);
  CHECK(writer_take(&w, SIZE_MAX - 0) == NULL && w.failed);
  struct reader r = reader_over(out, sizeof out);
  get_u32(&r);
  CHECK(reader_take(&r, SIZE_MAX - 3) == NULL && r.failed && r.used == 4); /* 4 + that wraps to 0 */
  struct writer count = writer_counting();
  put_u8(&count, 1);
  CHECK(writer_take(&count, SIZE_MAX) == NULL && count.failed);
}

int main(void) {
  test_layout();
  test_short_writer();
  test_short_reader();
  test_hostile_lengths();
  puts("ok");
  return 0;
}
