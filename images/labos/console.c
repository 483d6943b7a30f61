/* console.c - the console: output at once, input by interrupt, with the editing of a line.
 *
 * Keys: Backspace, ^U (erase the line), ^C (give up), Enter, ^D (hang up on an empty line). BREAK enters the debugger.
 * When everything else stands still (debugger, panic), console_alone is set: no locks, input is polled.
 */
#include "console.h"

#include "console_raw.h"
#include "hyper.h"
#include "kernel.h"
#include "percpu.h"
#include "trap.h"

enum { LINE_BYTES = 256, RING = 8, AHEAD = 16384, CONSOLE_HANDLE = 0x100, CONSOLE_INO = 0x11, CHUNK = 64 };
enum { CTRL_C = 3, CTRL_D = 4, CTRL_U = 21, BACKSPACE = 8, RUBOUT = 127 };

static struct spinlock out_lock = SPINLOCK("console output"), in_lock = SPINLOCK("console input");
static char out[1024] ALIGNED(8);
static u8 in[CHUNK] ALIGNED(8);
static volatile bool console_alone;

/* Finished lines, the one being typed, and keys that came faster than lines were taken. */
static char lines[RING][LINE_BYTES];
static u32 line_first, line_count, typed;
static char typing[LINE_BYTES];
static u8 ahead[AHEAD];
static u32 ahead_first, ahead_count;
static bool hung_up, interrupted;

static void put_bytes(const char *text, size_t bytes) {
  while (bytes) {
    u64 done = 0;
    u64 status = hyper_get(CONS_WRITE, ra_of(text), bytes, &done);
    if (status && status != EWOULDBLOCK) return;
    if (status)
      cross_poll();
    else
      text += done, bytes -= done;
  }
}

static void write_crlf(const char *text, size_t bytes) {
  size_t n = 0;
  for (size_t i = 0; i < bytes; i++) {
    if (text[i] == '\n') out[n++] = '\r';
    out[n++] = text[i];
    if (n < sizeof out - 2 && i + 1 < bytes) continue;
    put_bytes(out, n);
    n = 0;
  }
}

void console_write(const void *text, size_t bytes) {
  if (console_alone) {
    write_crlf(text, bytes);
    return;
  }
  lock_acquire(&out_lock);
  write_crlf(text, bytes);
  lock_release(&out_lock);
}

static void echo(const char *text) { console_write(text, strlen(text)); }

static void line_finish(void) {
  memcpy(lines[(line_first + line_count) % RING], typing, typed);
  lines[(line_first + line_count) % RING][typed] = 0;
  line_count++;
  typed = 0;
}

/* What was typed is forgotten; an empty line lets the shell show its prompt. */
static void key_interrupt(void) {
  echo("^C\n");
  interrupted = true;
  typed = line_count = ahead_count = 0;
  line_finish();
}

static void key(u8 c) {
  switch (c) {
  case '\r':
  case '\n':
    echo("\n");
    line_finish();
    break;
  case BACKSPACE:
  case RUBOUT:
    if (typed) typed--, echo("\b \b");
    break;
  case CTRL_U:
    for (; typed; typed--) echo("\b \b");
    break;
  case CTRL_D:
    if (!typed) hung_up = true;
    break;
  default:
    if (c < ' ' || typed >= LINE_BYTES - 1) break;
    typing[typed++] = (char)c;
    console_write(&c, 1);
    break;
  }
}

/* Keys become lines as long as there is room for a line. */
static void keys_take(void) {
  for (; ahead_count && line_count < RING; ahead_count--) {
    key(ahead[ahead_first]);
    ahead_first = (ahead_first + 1) % AHEAD;
  }
}

static void key_put(u8 c) {
  if (c == CTRL_C)
    key_interrupt();
  else if (ahead_count == AHEAD)
    echo("\a");
  else
    ahead[(ahead_first + ahead_count++) % AHEAD] = c;
}

/* All there is to read. BREAK and HUP come as counts of -1 and -2. */
static void input(void *arg) {
  (void)arg;
  bool debug = false;
  lock_acquire(&in_lock);
  for (;;) {
    u64 n = 0;
    if (hyper_get(CONS_READ, ra_of(in), sizeof in, &n)) break;
    if (n == CONSOLE_BREAK) {
      debug = true;
      break;
    }
    if (n == CONSOLE_HUP) {
      hung_up = true;
      break;
    }
    for (u64 i = 0; i < n && i < sizeof in; i++) key_put(in[i]);
    keys_take();
  }
  bool wake = line_count || hung_up;
  lock_release(&in_lock);
  if (wake) thread_wakeup(&line_count);
  if (debug) debugger_enter("BREAK");
}

int console_read_line(char *line, size_t bytes) {
  lock_acquire(&in_lock);
  while (!line_count && !hung_up) thread_sleep(&line_count, &in_lock);
  int length = -1;
  if (line_count) {
    length = snprintf(line, bytes, "%s", lines[line_first]);
    line_first = (line_first + 1) % RING;
    line_count--;
    keys_take();
  }
  lock_release(&in_lock);
  return length;
}

bool console_interrupted(void) {
  lock_acquire(&in_lock);
  bool was = interrupted;
  interrupted = false;
  lock_release(&in_lock);
  return was;
}

/* For the debugger and after a panic: one key, with all interrupts off. */
int console_poll_key(void) {
  for (;;) {
    u64 n = 0;
    if (!hyper_get(CONS_READ, ra_of(in), 1, &n)) return n == 1 ? in[0] : (int)(i64)n;
    interrupt_poll();
    hyper(CPU_YIELD, 0, 0, 0, 0);
  }
}

void console_alone_begin(void) {
  console_alone = true;
  interrupt_poll_begin(CONSOLE_HANDLE, CONSOLE_INO);
}

void console_alone_end(void) {
  console_alone = false;
  interrupt_poll_end(CONSOLE_HANDLE, CONSOLE_INO);
}

void console_init(void) {
  u64 status = interrupt_attach(CONSOLE_HANDLE, CONSOLE_INO, input, NULL);
  if (status) printf("console: no interrupt (status %lu)\n", status);
  input(NULL); /* what was typed before */
}
