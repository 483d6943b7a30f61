/* core.c - calls of the groups SUN4V and CORE: machine, CPUs, MMU, memory, time, console, traces. */
#include "calls.h"
#include "layout.h"

enum { SECOND = 1, TRIES = 1000000, MD_BYTES = 1 << 17 };
#define TTE_VALID (1ul << 63)
#define TTE_RIGHTS (1ul << 10 | 1ul << 7 | 1ul << 6 | 1ul << 8) /* CP, X, W, P */
#define TTE_4M 3ul

void check_machine(void) {
  TRY(MACH_DESC, EINVAL, 0, 0);
  u64 bytes = result(1);
  CHECK(bytes > 64 && bytes < MD_BYTES);
  TRY(MACH_DESC, EBADALIGN, ARENA + 8, MD_BYTES);
  TRY(MACH_DESC, EINVAL, ARENA, bytes - 1);
  GIVES(1, bytes);
  TRY(MACH_DESC, ENORADDR, BAD_RA, MD_BYTES);
  TRY(MACH_DESC, ENORADDR, MEMORY_END - 16, MD_BYTES);
  memset(arena, 0xee, 16);
  TRY(MACH_DESC, OK, ARENA, bytes);
  GIVES(1, bytes);
  CHECK_EQUAL(*word_at(ARENA) >> 32, 0x10000); /* transport version 1.0 */
  TRY(MACH_SET_WATCHDOG, OK, 0);
  ONCE(MACH_SET_WATCHDOG, OK, 5500);
  GIVES(1, 0);
  ONCE(MACH_SET_WATCHDOG, OK, 0);
  CHECK(result(1) > 5000 && result(1) <= 6000);
  TRY(MACH_SET_WATCHDOG, EINVAL, 31536000001ul);
  TRY(MACH_SET_WATCHDOG, EINVAL, ALL_ONES);
  for (u64 flag = 2; flag-- > 0;) {
    TRY(CPU_TICK_NPT, OK, flag);
    TRY(CPU_STICK_NPT, OK, flag);
  }
  TRY(CPU_TICK_NPT, EINVAL, 2);
  TRY(CPU_STICK_NPT, EINVAL, ALL_ONES);
  if (have("suspend")) ONCE(MACH_SUSPEND, OK, 0); /* the harness lets it return */
}

static void check_start(void) {
  u64 queue = ARENA + 0x10000;
  TRY(CPU_START, ENOCPU, 9, (u64)second_strand, 0, 0);
  TRY(CPU_START, ENOCPU, 1ul << 32 | SECOND, (u64)second_strand, 0, 0);
  TRY(CPU_START, EINVAL, 0, (u64)second_strand, 0, 0);
  TRY(CPU_START, ENORADDR, SECOND, BAD_RA, 0, 0);
  TRY(CPU_START, ENORADDR, SECOND, (u64)second_strand, BAD_RA, 0);
  TRY(CPU_START, EBADALIGN, SECOND, (u64)second_strand + 2, 0, 0);
  TRY(CPU_START, EBADALIGN, SECOND, (u64)second_strand, 0x80, 0);
  TRY(CPU_STATE, OK, SECOND);
  GIVES(1, 1);
  ONCE(CPU_START, OK, SECOND, (u64)second_strand, 0, queue);
  TRY(CPU_STATE, OK, SECOND);
  GIVES(1, 2);
  TRY(CPU_START, EINVAL, SECOND, (u64)second_strand, 0, queue);
  TRY(CPU_STATE, OK, 0);
  GIVES(1, 2);
  TRY(CPU_STATE, ENOCPU, 2);
}

/* Until the second strand has its queue the answer is EWOULDBLOCK. */
static void check_mondo(void) {
  volatile u16 *list = (volatile u16 *)ARENA;
  u64 data = ARENA + 0x100, queue = ARENA + 0x10000;
  for (unsigned i = 0; i < 8; i++) *word_at(data + 8 * i) = 0x1000 + i;
  list[0] = SECOND;
  struct probe p = {.in = {1, ARENA, data, 0, 0, 0x42}, .trap = 0x80};
  unsigned tries = 0;
  do {
    list[0] = SECOND;
    probe_call(&p);
  } while (p.o[0] == EWOULDBLOCK && ++tries < TRIES);
  CHECK_EQUAL(p.o[0], OK);
  CHECK_EQUAL(list[0], 0xffff);
  CHECK_EQUAL(*word_at(queue + 56), 0x1007);
  list[0] = SECOND, list[1] = 9;
  ONCE(CPU_MONDO_SEND, ENOCPU, 2, ARENA, data);
  CHECK_EQUAL(list[0], 0xffff);
  CHECK_EQUAL(list[1], 9);
  list[0] = 0;
  TRY(CPU_MONDO_SEND, EINVAL, 1, ARENA, data);
  TRY(CPU_MONDO_SEND, EINVAL, 99, ARENA, data);
  TRY(CPU_MONDO_SEND, EBADALIGN, 1, ARENA + 1, data);
  TRY(CPU_MONDO_SEND, EBADALIGN, 1, ARENA, data + 8);
  TRY(CPU_MONDO_SEND, ENORADDR, 1, BAD_RA, data);
  TRY(CPU_MONDO_SEND, ENORADDR, 1, ARENA, BAD_RA);
  list[0] = SECOND; /* a third message fills its queue of four */
  ONCE(CPU_MONDO_SEND, OK, 1, ARENA, data);
  list[0] = SECOND;
  TRY(CPU_MONDO_SEND, EWOULDBLOCK, 1, ARENA, data);
  CHECK_EQUAL(list[0], SECOND);
}

static void check_queues(void) {
  for (u64 queue = 0x3c; queue <= 0x3f; queue++) {
    TRY(CPU_QINFO, OK, queue);
    GIVES(2, 0);
    TRY(CPU_QCONF, OK, queue, ARENA, 128);
    TRY(CPU_QINFO, OK, queue);
    GIVES(1, ARENA);
    GIVES(2, 128);
    TRY(CPU_QCONF, EINVAL, queue, ARENA, 3);
    TRY(CPU_QCONF, EINVAL, queue, ARENA, 1);
    TRY(CPU_QCONF, EINVAL, queue, ARENA, 1ul << 40);
    TRY(CPU_QCONF, EBADALIGN, queue, ARENA + 64, 128);
    TRY(CPU_QCONF, ENORADDR, queue, BAD_RA, 128);
    TRY(CPU_QCONF, ENORADDR, queue, MEMORY_END, 128);
    TRY(CPU_QCONF, OK, queue, ALL_ONES, 0);
    TRY(CPU_QINFO, OK, queue);
    GIVES(2, 0);
  }
  TRY(CPU_QCONF, EINVAL, 0x3b, ARENA, 128);
  TRY(CPU_QCONF, EINVAL, 0x40, ARENA, 128);
  TRY(CPU_QINFO, EINVAL, 0x40);
  TRY(CPU_QINFO, EINVAL, 1ul << 32 | 0x3c);
}

void check_cpu(void) {
  TRY(CPU_MYID, OK, 0);
  GIVES(1, 0);
  check_queues();
  TRY(CPU_SET_RTBA, ENORADDR, BAD_RA);
  TRY(CPU_SET_RTBA, EBADALIGN, 0x80);
  TRY(CPU_SET_RTBA, OK, ARENA);
  GIVES(1, ARENA); /* the second time */
  TRY(CPU_GET_RTBA, OK, 0);
  GIVES(1, ARENA);
  check_start();
  check_mondo();
  TRY(CPU_POKE, ENOCPU, 7);
  TRY(CPU_POKE, EINVAL, 0);
  TRY(CPU_POKE, OK, SECOND);
  TRY(CPU_STOP, ENOCPU, 7);
  TRY(CPU_STOP, EINVAL, 0);
  ONCE(CPU_STOP, OK, SECOND);
  TRY(CPU_STOP, EINVAL, SECOND);
  TRY(CPU_STATE, OK, SECOND);
  GIVES(1, 1);
  WRASR(set_softint, 1 << 5); /* something to wake up for */
  WRPR(pil, 15);
  WRASR(stick_cmpr, RDASR(stick) + 1000);
  ONCE(CPU_YIELD, OK, 0);
  WRASR(stick_cmpr, 1ul << 63);
  WRASR(clear_softint, ALL_ONES);
}

static u64 tsb_descriptor(u64 at, u64 entries, u64 index, u64 mask, u64 base) {
  *word_at(at) = index << 48 | 1ul << 32 | entries;
  *word_at(at + 8) = mask;
  *word_at(at + 16) = base;
  *word_at(at + 24) = 0;
  return at;
}

static void check_tsb(enum call set, enum call info) {
  u64 d = ARENA, table = ARENA + 0x20000;
#define SET(status, ...) call_check(__LINE__, set, (status), ARGS(__VA_ARGS__), 1)
#define INFO(status, ...) call_check(__LINE__, info, (status), ARGS(__VA_ARGS__), 1)
  SET(OK, 1, tsb_descriptor(d, 512, 0, 1, table));
  INFO(OK, 4, d + 0x100);
  GIVES(1, 1);
  CHECK_EQUAL(*word_at(d + 0x110), table);
  INFO(EINVAL, 0, d + 0x100);
  INFO(EBADALIGN, 4, d + 4);
  INFO(ENORADDR, 4, BAD_RA);
  SET(EINVAL, 99, d);
  SET(EBADALIGN, 1, d + 4);
  SET(ENORADDR, 1, BAD_RA);
  SET(EBADTSB, 1, tsb_descriptor(d, 256, 0, 1, table));
  SET(EBADTSB, 1, tsb_descriptor(d, 768, 0, 1, table));
  SET(EBADPGSZ, 1, tsb_descriptor(d, 512, 0, 0, table));
  SET(EBADPGSZ, 1, tsb_descriptor(d, 512, 0, 0x10000, table));
  SET(EINVAL, 1, tsb_descriptor(d, 512, 1, 1, table));
  SET(EBADALIGN, 1, tsb_descriptor(d, 512, 0, 1, table + 4096));
  SET(ENORADDR, 1, tsb_descriptor(d, 512, 0, 1, BAD_RA));
  SET(OK, 0, ALL_ONES);
  INFO(OK, 0, d);
  GIVES(1, 0);
}

static void check_permanent(void) {
  u64 tte = TTE_VALID | TTE_RIGHTS | TTE_4M, va = 0x10000000;
  ONCE(MMU_MAP_PERM_ADDR, OK, va, 0, tte, 1);
  ONCE(MMU_MAP_PERM_ADDR, OK, va, 0, tte, 2);
  TRY(MMU_MAP_PERM_ADDR, EINVAL, va, 0, tte, 2);
  TRY(MMU_MAP_PERM_ADDR, EINVAL, va, 1, tte, 3);
  TRY(MMU_MAP_PERM_ADDR, EINVAL, va, 0, tte, 4);
  TRY(MMU_MAP_PERM_ADDR, EBADPGSZ, va, 0, tte | 8, 3);
  TRY(MMU_MAP_PERM_ADDR, ENORADDR, va, 0, tte | BAD_RA, 3);
  for (u64 n = 1; n < 8; n++) ONCE(MMU_MAP_PERM_ADDR, OK, va + (n << 22), 0, tte, 3);
  TRY(MMU_MAP_PERM_ADDR, ETOOMANY, va + (8ul << 22), 0, tte, 3);
  for (u64 n = 0; n < 8; n++) ONCE(MMU_UNMAP_PERM_ADDR, OK, va + (n << 22), 0, 3);
  TRY(MMU_UNMAP_PERM_ADDR, ENOMAP, va, 0, 3);
  TRY(MMU_UNMAP_PERM_ADDR, EINVAL, va, 0, 0);
  TRY(MMU_UNMAP_PERM_ADDR, EINVAL, va, 1, 3);
}

/* The program runs on at the call's target, in both directions; what lies there is mapped one to one. */
static void check_enable(void) {
  u64 here = (u64)probe_return;
  TRY(MMU_ENABLE, EINVAL, 2, here);
  TRY(MMU_ENABLE, EINVAL, 0, here);
  TRY(MMU_ENABLE, EBADALIGN, 1, here + 2);
  ONCE(MMU_MAP_PERM_ADDR, OK, 0, 0, TTE_VALID | TTE_RIGHTS | TTE_4M, 3);
  ONCE(MMU_ENABLE, OK, 1, here);
  TRY(MMU_ENABLE, EINVAL, 1, here);
  TRY(MMU_ENABLE, ENORADDR, 0, BAD_RA);
  TRY(CPU_MYID, OK, 0);
  GIVES(1, 0);
  ONCE(MMU_ENABLE, OK, 0, here);
  ONCE(MMU_UNMAP_PERM_ADDR, OK, 0, 0, 3);
}

void check_mmu(void) {
  u64 tte = TTE_VALID | TTE_RIGHTS;
  TRY(MMU_MAP_ADDR, OK, 0x40000000, 1, tte | ARENA, 3);
  TRY(MMU_MAP_ADDR, EINVAL, 0x40000000, 1, tte | ARENA, 0);
  TRY(MMU_MAP_ADDR, EINVAL, 0x40000000, 0x2000, tte | ARENA, 3);
  TRY(MMU_MAP_ADDR, EINVAL, 0x40000000, 1, TTE_RIGHTS | ARENA, 3);
  TRY(MMU_MAP_ADDR, EBADPGSZ, 0x40000000, 1, tte | ARENA | 15, 3);
  TRY(MMU_MAP_ADDR, ENORADDR, 0x40000000, 1, tte | BAD_RA, 3);
  TRY(MMU_UNMAP_ADDR, OK, 0x40000000, 1, 3);
  TRY(MMU_UNMAP_ADDR, EINVAL, 0x40000000, 1, 4);
  TRY(MMU_UNMAP_ADDR, EINVAL, 0x40000000, 0x2000, 3);
  check_tsb(CALL_MMU_TSB_CTX0, CALL_MMU_TSB_CTX0_INFO);
  check_tsb(CALL_MMU_TSB_CTXNON0, CALL_MMU_TSB_CTXNON0_INFO);
  TRY(MMU_DEMAP_PAGE, OK, 0, 0, 0x40000000, 1, 3);
  TRY(MMU_DEMAP_PAGE, ENOTSUPPORTED, 1, 0, 0x40000000, 1, 3);
  TRY(MMU_DEMAP_PAGE, EINVAL, 0, 0, 0x40000000, 0x2000, 3);
  TRY(MMU_DEMAP_PAGE, EINVAL, 0, 0, 0x40000000, 1, 0);
  TRY(MMU_DEMAP_CTX, OK, 0, 0, 1, 3);
  TRY(MMU_DEMAP_CTX, ENOTSUPPORTED, 0, ARENA, 1, 3);
  TRY(MMU_DEMAP_CTX, EINVAL, 0, 0, 1, 8);
  TRY(MMU_DEMAP_ALL, OK, 0, 0, 3);
  TRY(MMU_DEMAP_ALL, ENOTSUPPORTED, 1, ARENA, 3);
  TRY(MMU_DEMAP_ALL, EINVAL, 0, 0, 0);
  TRY(MMU_FAULT_AREA_INFO, OK, 0);
  GIVES(1, (u64)&fault_area);
  TRY(MMU_FAULT_AREA_CONF, EBADALIGN, ARENA + 8);
  TRY(MMU_FAULT_AREA_CONF, ENORADDR, 0);
  TRY(MMU_FAULT_AREA_CONF, ENORADDR, BAD_RA);
  ONCE(MMU_FAULT_AREA_CONF, OK, ARENA);
  GIVES(1, (u64)&fault_area);
  ONCE(MMU_FAULT_AREA_CONF, OK, (u64)&fault_area);
  GIVES(1, ARENA);
  check_permanent();
  check_enable();
}

static void check_console(void) {
  TRY(CONS_PUTCHAR, OK, '.');
  TRY(API_PUTCHAR, OK, '.');
  TRY(CONS_PUTCHAR, OK, ALL_ONES); /* a break that nobody hears */
  TRY(CONS_PUTCHAR, EINVAL, 256);
  TRY(API_PUTCHAR, EINVAL, ALL_ONES - 1);
  memcpy(arena, ".\n", 2);
  ONCE(CONS_WRITE, OK, ARENA, 2);
  GIVES(1, 2);
  TRY(CONS_WRITE, ENORADDR, BAD_RA, 1);
  TRY(CONS_WRITE, ENORADDR, MEMORY_END - 1, 2);
  ONCE(CONS_GETCHAR, OK, 0); /* the harness feeds "abc" */
  GIVES(1, 'a');
  TRY(CONS_READ, ENORADDR, BAD_RA, 8);
  ONCE(CONS_READ, OK, ARENA, 8);
  GIVES(1, 2);
  CHECK_EQUAL(*word_at(ARENA) >> 48, 0x6263);
  TRY(CONS_READ, EWOULDBLOCK, ARENA, 8);
  TRY(CONS_GETCHAR, EWOULDBLOCK, 0);
}

void check_memory(void) {
  u64 page = ARENA + 0x40000;
  for (enum call call = CALL_MEM_SCRUB; call <= CALL_MEM_SYNC; call++) {
    *word_at(page + 8) = 99;
    call_check(__LINE__, call, OK, ARGS(page, 0x4000), 1);
    GIVES(1, 0x4000);
    CHECK_EQUAL(*word_at(page + 8), call == CALL_MEM_SCRUB ? 0 : 99);
    call_check(__LINE__, call, EINVAL, ARGS(page, 0), 1);
    call_check(__LINE__, call, EBADALIGN, ARGS(page + 64, 0x2000), 1);
    call_check(__LINE__, call, EBADALIGN, ARGS(page, 64), 1);
    call_check(__LINE__, call, ENORADDR, ARGS(BAD_RA, 0x2000), 1);
    call_check(__LINE__, call, ENORADDR, ARGS(MEMORY_END - 0x2000, 0x4000), 1);
  }
  TRY(TOD_SET, OK, 1000000000);
  TRY(TOD_GET, OK, 0);
  CHECK(result(1) >= 1000000000 && result(1) < 1000000060);
  check_console();
}

void check_trace(void) {
  u64 buffer = ARENA + 0x8000;
  TRY(TTRACE_ENABLE, EINVAL, 1);
  TRY(TTRACE_FREEZE, EINVAL, 1);
  TRY(TTRACE_ADDENTRY, EINVAL, 1, 2, 3, 4, 5);
  TRY(TTRACE_BUF_CONF, EINVAL, buffer, 1);
  TRY(TTRACE_BUF_CONF, EINVAL, buffer, ALL_ONES);
  TRY(TTRACE_BUF_CONF, EBADALIGN, buffer + 8, 8);
  TRY(TTRACE_BUF_CONF, ENORADDR, BAD_RA, 8);
  TRY(TTRACE_BUF_CONF, OK, buffer, 8);
  GIVES(1, 8);
  TRY(TTRACE_BUF_INFO, OK, 0);
  GIVES(1, buffer);
  GIVES(2, 8);
  ONCE(TTRACE_ENABLE, OK, 1);
  GIVES(1, 0);
  TRY(TTRACE_ENABLE, EINVAL, 2);
  ONCE(TTRACE_ADDENTRY, OK, 0xabcd, 2, 3, 4, 5);
  CHECK_EQUAL(*word_at(buffer + 64 + 56), 5);
  CHECK_EQUAL(*word_at(buffer + 64) & 0xffff, 0xabcd);
  ONCE(TTRACE_FREEZE, OK, 1);
  GIVES(1, 0);
  ONCE(TTRACE_FREEZE, OK, 0);
  GIVES(1, 1);
  TRY(TTRACE_BUF_CONF, OK, 0, 0);
  TRY(DUMP_BUF_UPDATE, EINVAL, ARENA, 64);
  u64 least = result(1);
  TRY(DUMP_BUF_UPDATE, EBADALIGN, ARENA + 8, least);
  TRY(DUMP_BUF_UPDATE, ENORADDR, BAD_RA, least);
  TRY(DUMP_BUF_UPDATE, OK, ARENA, least);
  TRY(DUMP_BUF_INFO, OK, 0);
  GIVES(1, ARENA);
  GIVES(2, least);
  TRY(DUMP_BUF_UPDATE, OK, 0, 0);
}
