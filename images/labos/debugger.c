/* debugger.c - a debugger inside the kernel: everything stands still while a person looks. Entered by BREAK on the
 * console or by the command `debug`; left by `go`. The domain says "Solaris debugging" meanwhile. */
#include "debugger.h"

#include "console_raw.h"
#include "hyper.h"
#include "kernel.h"
#include "memory_ranges.h"
#include "percpu.h"
#include "scheduler.h"
#include "symbols.h"

enum { LINE_BYTES = 80, WORDS = 4, DEPTH = 32, MEMORY_MOST = 512 };

static void row(const char *bank, const u64 *values) {
  for (u32 i = 0; i < 8; i++) printf("%%%s%u 0x%016lx%s", bank, i, values[i], i % 2 ? "\n" : "  ");
}

/* "function+0x20", or nothing for what is no code of the kernel. */
static void name_print(u64 pc) {
  u32 low = 0, high = symbol_count;
  while (low < high) {
    u32 middle = (low + high) / 2;
    if (symbols[middle].address <= pc)
      low = middle + 1;
    else
      high = middle;
  }
  if (!low || pc >= KERNEL_BASE + KERNEL_BYTES) return;
  const struct symbol *s = &symbols[low - 1];
  printf("%s+0x%lx", symbol_names + s->name, pc - s->address);
}

void debugger_registers(const struct trap_frame *f) {
  if (!f) {
    printf("no trap is being served\n");
    return;
  }
  row("g", f->g);
  row("o", f->o);
  printf("%%pc 0x%016lx  %%npc 0x%016lx  ", f->tpc, f->tnpc);
  name_print(f->tpc);
  printf("\n");
  printf("%%tstate 0x%016lx  %%tt 0x%lx  %%y 0x%lx\n", f->tstate, f->tt, f->y);
}

/* May the kernel read eight bytes there without a fault? */
static bool readable(u64 va) {
  if (va & 7) return false;
  if (va >= KERNEL_BASE && va < KERNEL_BASE + KERNEL_BYTES) return true;
  return va >= DIRECT_BASE && memory_contains(va - DIRECT_BASE);
}

/* Along the frame pointers. Each frame begins with the registers its window was spilled to. */
static void walk(u64 sp, u64 pc) {
  for (u32 depth = 0; depth < DEPTH && pc; depth++) {
    printf("  #%-2u 0x%016lx  sp 0x%016lx  ", depth, pc, sp + STACK_BIAS);
    name_print(pc);
    printf("\n");
    u64 window = sp + STACK_BIAS;
    if (!readable(window + 14 * 8) || !readable(window + 15 * 8)) return;
    sp = ((const u64 *)window)[14];
    pc = ((const u64 *)window)[15];
  }
}

void debugger_backtrace(const struct trap_frame *f) {
  windows_flush();
  if (f && !(f->tstate & TSTATE_PRIV)) {
    printf("  user program at 0x%016lx\n", f->tpc);
  } else if (f) {
    walk(f->o[6], f->tpc);
  } else {
    walk((u64)__builtin_frame_address(0) - STACK_BIAS, (u64)__builtin_return_address(0));
  }
}

static void memory_show(u64 va, u64 count) {
  va &= ~7ul;
  if (count > MEMORY_MOST) count = MEMORY_MOST;
  for (u64 i = 0; i < count; i++, va += 8) {
    if (i % 2 == 0) printf("0x%016lx:", va);
    if (readable(va))
      printf(" %016lx", *(const volatile u64 *)va);
    else
      printf(" ----------------");
    if (i % 2 || i + 1 == count) printf("\n");
  }
}

static void line_read(char *line) {
  u32 n = 0;
  for (;;) {
    int key = console_poll_key();
    char c = (char)key;
    if (key == '\r' || key == '\n') break;
    if ((key == 8 || key == 127) && n) {
      n--;
      printf("\b \b");
    } else if (key >= ' ' && key < 127 && n < LINE_BYTES - 1) {
      line[n++] = c;
      console_write(&c, 1);
    }
  }
  line[n] = 0;
  printf("\n");
}

static u32 split(char *line, char **words) {
  u32 n = 0;
  while (n < WORDS) {
    while (*line == ' ') *line++ = 0;
    if (!*line) break;
    words[n++] = line;
    while (*line && *line != ' ') line++;
  }
  return n;
}

/* The words as in the shell's numbers, or hexadecimal with 0x. */
static void command_memory(u32 n, char **words) {
  u64 va, count = 8;
  if (n < 2 || !parse_number(words[1], &va) || (n > 2 && !parse_number(words[2], &count)))
    printf("usage: mem ADDRESS [WORDS]\n");
  else
    memory_show(va, count);
}

void debugger_loop(const struct trap_frame *f) {
  char line[LINE_BYTES], *words[WORDS];
  for (;;) {
    printf("[%lu]> ", cpu_this()->id);
    line_read(line);
    u32 n = split(line, words);
    if (!n) continue;
    if (!strcmp(words[0], "go") || !strcmp(words[0], ":c"))
      return;
    else if (!strcmp(words[0], "regs"))
      debugger_registers(f);
    else if (!strcmp(words[0], "bt"))
      debugger_backtrace(f);
    else if (!strcmp(words[0], "mem"))
      command_memory(n, words);
    else if (!strcmp(words[0], "halt"))
      for (;;) hyper(MACH_EXIT, 0, 0, 0, 0);
    else if (!strcmp(words[0], "reboot"))
      for (;;) hyper(MACH_SIR, 0, 0, 0, 0);
    else
      printf("regs | bt | mem ADDRESS [WORDS] | go | halt | reboot\n");
  }
}

static void on_release(struct cpu *cpu) { (void)cpu; }

void debugger_enter(const char *why) {
  enum soft_state before = soft_state();
  interrupts_push();
  bool all = cross_park_others();
  timer_mask();
  console_alone_begin();
  soft_state_set(SOFT_DEBUGGING);
  printf("\nWelcome to the labos debugger: %s on cpu%lu%s\n", why, cpu_this()->id, all ? "" : ", not all cpus stopped");
  debugger_loop(cpu_this()->frame);
  soft_state_set(before);
  timer_program();
  console_alone_end();
  cross_release_others(on_release);
  interrupts_pop();
}
