/* interrupt.c - device mondos: which handler, and telling the hypervisor that it ran.
 *
 * Console and the like are known by sysino (INTR_*), channel endpoints by a cookie of ours (VINTR_*): the number of
 * the table's row with bit 63 set, which no sysino has.
 */
#include "interrupt.h"

#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "trap.h"

enum { ROWS = 256, QUEUE_HEAD = 0x3d0, QUEUE_TAIL = 0x3d8, IDLE = 0, CHANNEL_DEVICES = 0x200 };
#define COOKIE (1ul << 63)

static struct row {
  u64 devhandle, devino, sysino;
  interrupt_handler handler;
  void *arg;
  u32 cpu;
  bool polled, missed;
} rows[ROWS];
static struct spinlock lock = SPINLOCK("interrupts");

static bool has_cookie(const struct row *row) { return row->devhandle == CHANNEL_DEVICES; }

static u64 set_state(const struct row *row, u64 state) {
  if (has_cookie(row)) return hyper(VINTR_SETSTATE, row->devhandle, row->devino, state, 0);
  return hyper(INTR_SETSTATE, row->sysino, state, 0, 0);
}

static u64 set_target(const struct row *row, u64 cpu) {
  if (has_cookie(row)) return hyper(VINTR_SETTARGET, row->devhandle, row->devino, cpu, 0);
  return hyper(INTR_SETTARGET, row->sysino, cpu, 0, 0);
}

static u64 set_enabled(const struct row *row, u64 on) {
  if (has_cookie(row)) return hyper(VINTR_SETVALID, row->devhandle, row->devino, on, 0);
  return hyper(INTR_SETENABLED, row->sysino, on, 0, 0);
}

/* Target, state idle, then enabled: from here on it may come. */
static u64 row_enable(const struct row *row) {
  u64 status = set_target(row, row->cpu);
  if (!status) status = set_state(row, IDLE);
  return status ? status : set_enabled(row, 1);
}

static struct row *find(u64 devhandle, u64 devino) {
  for (u32 i = 0; i < ROWS; i++)
    if (rows[i].handler && rows[i].devhandle == devhandle && rows[i].devino == devino) return &rows[i];
  return NULL;
}

static u64 row_name(struct row *row) {
  if (!has_cookie(row)) return hyper_get(INTR_DEVINO2SYSINO, row->devhandle, row->devino, &row->sysino);
  return hyper(VINTR_SETCOOKIE, row->devhandle, row->devino, COOKIE | (u64)(row - rows), 0);
}

u64 interrupt_attach(u64 devhandle, u64 devino, interrupt_handler handler, void *arg) {
  lock_acquire(&lock);
  struct row *row = rows;
  while (row < rows + ROWS && row->handler) row++;
  u64 status = row == rows + ROWS || find(devhandle, devino) ? EBUSY : EOK;
  if (!status) {
    *row = (struct row){devhandle, devino, 0, handler, arg, (u32)cpu_this()->id, false, false};
    status = row_name(row);
    if (!status) status = row_enable(row);
    if (status) row->handler = NULL;
  }
  lock_release(&lock);
  return status;
}

void interrupt_detach(u64 devhandle, u64 devino) {
  lock_acquire(&lock);
  struct row *row = find(devhandle, devino);
  if (row) {
    set_enabled(row, 0);
    row->handler = NULL;
  }
  lock_release(&lock);
}

/* The row a mondo's first word means. */
static struct row *row_of(u64 word) {
  if (word & COOKIE) return (word & ~COOKIE) < ROWS ? &rows[word & ~COOKIE] : NULL;
  for (u32 i = 0; i < ROWS; i++)
    if (rows[i].handler && !has_cookie(&rows[i]) && rows[i].sysino == word) return &rows[i];
  return NULL;
}

void device_mondo_drain(void) {
  struct cpu *cpu = cpu_this();
  u64 head;
  while ((head = asi_load_queue(QUEUE_HEAD)) != asi_load_queue(QUEUE_TAIL)) {
    u64 word = *(const u64 *)((u8 *)cpu + CPU_DEVICE_AT + head);
    asi_store_queue(QUEUE_HEAD, (head + 64) % (CPU_DEVICE_ENTRIES * 64));
    cpu->interrupts++;
    struct row *row = row_of(word);
    interrupt_handler handler = row ? row->handler : NULL;
    if (!handler) {
      printf("WARNING: interrupt 0x%lx has no handler\n", word);
      continue;
    }
    handler(row->arg);
    set_state(row, IDLE);
  }
}

void interrupts_retarget(u32 from, u32 to) {
  lock_acquire(&lock);
  for (u32 i = 0; i < ROWS; i++) {
    if (!rows[i].handler || rows[i].cpu != from) continue;
    rows[i].cpu = to;
    set_target(&rows[i], to);
  }
  lock_release(&lock);
}

/* The debugger waits in CPU_YIELD for one source while nothing else runs: interrupts are taken from the queue without
 * their handlers, which are called when it ends. */
void interrupt_poll_begin(u64 devhandle, u64 devino) {
  struct row *row = find(devhandle, devino);
  if (!row) return;
  row->polled = true;
  set_target(row, cpu_this()->id);
  set_state(row, IDLE);
}

void interrupt_poll(void) {
  struct row *polled = NULL;
  u64 head;
  while ((head = asi_load_queue(QUEUE_HEAD)) != asi_load_queue(QUEUE_TAIL)) {
    struct row *row = row_of(*(const u64 *)((u8 *)cpu_this() + CPU_DEVICE_AT + head));
    asi_store_queue(QUEUE_HEAD, (head + 64) % (CPU_DEVICE_ENTRIES * 64));
    if (row && row->polled) polled = row;
    if (row && !row->polled) row->missed = true;
  }
  if (polled) set_state(polled, IDLE); /* at the end: with input there it comes again at once */
}

void interrupt_poll_end(u64 devhandle, u64 devino) {
  struct row *polled = find(devhandle, devino);
  if (polled) {
    polled->polled = false;
    set_target(polled, polled->cpu);
  }
  for (u32 i = 0; i < ROWS; i++) {
    if (!rows[i].missed) continue;
    rows[i].missed = false;
    rows[i].handler(rows[i].arg);
    set_state(&rows[i], IDLE);
  }
}
