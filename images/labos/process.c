/* process.c - user programs from their start to their end.
 *
 * A program is a flat image that is part of the kernel (programs.S): code, read-only; data; then zeros. Its stack is at
 * the top of its address space and grows when it is touched, as does what sbrk() promised.
 */
#include "process.h"

#include "hyper.h"
#include "kernel.h"
#include "scheduler.h"

enum { STACK_LIMIT = 1 << 20 };

/* How an image begins (user/user.ld). */
struct image_header {
  u64 entry, code_end, file_end, memory_end;
};

static struct process table[PROCESSES];
static struct spinlock lock = SPINLOCK("processes");

struct process *process_this(void) { return thread_this()->process; }

static struct process *find(u32 id) {
  struct process *p = id && id <= PROCESSES ? &table[id - 1] : NULL;
  return p && p->id ? p : NULL;
}

const struct space *process_space(u32 id) { return &table[id - 1].space; }

static struct process *slot_take(void) {
  struct process *found = NULL;
  lock_acquire(&lock);
  for (u32 i = 0; i < PROCESSES && !found; i++)
    if (!table[i].id) {
      found = &table[i];
      *found = (struct process){.id = i + 1};
    }
  lock_release(&lock);
  return found;
}

static const struct program *program_find(const char *name) {
  for (u32 i = 0; i < program_count; i++)
    if (strcmp(programs[i].name, name) == 0) return &programs[i];
  return NULL;
}

static bool page_add(struct process *p, u64 va, const void *from, size_t bytes, u64 permission) {
  void *page = page_alloc_movable();
  if (!page) return false;
  memcpy(page, from, bytes);
  if (permission & TTE_EXEC) code_flush(page);
  if (space_map(&p->space, va, page, permission)) return true;
  page_free(page);
  return false;
}

static bool image_load(struct process *p, const struct program *program) {
  const struct image_header *h = (const void *)program->begin;
  u64 bytes = (u64)(program->end - program->begin);
  for (u64 at = 0; at < bytes; at += PAGE_BYTES) {
    u64 va = USER_FIRST + at;
    u64 here = bytes - at < PAGE_BYTES ? bytes - at : PAGE_BYTES;
    if (!page_add(p, va, program->begin + at, here, va < h->code_end ? TTE_EXEC : TTE_WRITE)) return false;
  }
  p->break_first = p->break_now = (h->memory_end + PAGE_BYTES - 1) & ~(u64)(PAGE_BYTES - 1);
  return true;
}

/* The first code of a process's thread: into user mode. %o0 = argument text, at the top of the stack. */
static void begin(void *arg) {
  struct process *p = arg;
  struct trap_frame *f = thread_this()->frame;
  u64 top = USER_LIMIT - ARGUMENT_BYTES;
  memset(f, 0, UF_BYTES);
  if (user_copy_out(top, p->arguments, ARGUMENT_BYTES)) process_exit(PROCESS_KILLED);
  f->tpc = space_word(&p->space, USER_FIRST + offsetof(struct image_header, entry));
  f->tnpc = f->tpc + 4;
  f->tstate = (u64)ASI_P << 24 | (u64)(PSTATE_PEF | PSTATE_IE) << 8;
  f->context = p->space.context;
  f->o[0] = top;
  f->o[6] = top - STACK_BIAS - FRAME;
  process_check();
  WRPR(pstate, PSTATE_PRIV | PSTATE_PEF);
  user_enter(f);
}

u32 process_start(const char *name, const char *arguments) {
  const struct program *program = program_find(name);
  struct process *p = program ? slot_take() : NULL;
  if (!p) return 0;
  snprintf(p->name, NAME_BYTES, "%s", name);
  snprintf(p->arguments, ARGUMENT_BYTES, "%s", arguments);
  bool good = space_init(&p->space, p->id) && image_load(p, program);
  p->thread = good ? thread_make(p->name, begin, p, NULL) : NULL;
  if (!p->thread) {
    if (p->space.root) space_free(&p->space);
    p->id = 0;
    return 0;
  }
  p->thread->process = p;
  p->thread->tired = true; /* the shell comes first */
  thread_ready(p->thread);
  return p->id;
}

void process_exit(int status) {
  struct process *p = process_this();
  thread_this()->process = NULL;
  interrupts_push();
  process_switch(NULL);
  interrupts_pop();
  space_free(&p->space);
  lock_acquire(&lock);
  p->status = status;
  p->thread = NULL;
  p->done = true;
  if (p->detached) p->id = 0;
  lock_release(&lock);
  thread_wakeup(p);
  thread_exit();
}

int process_wait(u32 id) {
  lock_acquire(&lock);
  struct process *p = find(id);
  while (p && !p->done) thread_sleep(p, &lock);
  int status = p ? p->status : PROCESS_KILLED;
  if (p) p->id = 0;
  lock_release(&lock);
  return status;
}

void process_detach(u32 id) {
  lock_acquire(&lock);
  struct process *p = find(id);
  if (p) p->detached = true;
  if (p && p->done) p->id = 0;
  lock_release(&lock);
}

bool process_exists(u32 id) { return find(id) != NULL; }

bool process_bind(u32 id, const struct cpu *cpu) {
  lock_acquire(&lock);
  struct process *p = find(id);
  bool there = p && !p->done && p->thread;
  if (there) thread_bind(p->thread, cpu);
  lock_release(&lock);
  return there;
}

bool process_stop(u32 id) {
  lock_acquire(&lock);
  struct process *p = find(id);
  bool there = p && !p->done;
  if (there) p->killed = true;
  lock_release(&lock);
  if (there) thread_wakeup(&p->killed); /* it may be in sleep() */
  return there;
}

void process_check(void) {
  struct process *p = process_this();
  if (!p || !p->killed) return;
  WRPR(pstate, RDPR(pstate) | PSTATE_IE);
  process_exit(PROCESS_KILLED);
}

/* Context 0 has no user pages, so a kernel thread needs nothing. */
void process_switch(struct process *next) {
  if (next) cpu_set_put(&next->space.ran_on, cpu_this()->id);
  cpu_this()->table_ra = next ? ra_of(next->space.root) : 0;
  asi_store_mmu(CONTEXT_SECONDARY, next ? next->space.context : 0);
}

/* Stack and sbrk() pages come when they are first touched. */
bool process_fault(u64 address, bool write) {
  struct process *p = process_this();
  u64 va = address & ~(u64)(PAGE_BYTES - 1);
  (void)write;
  if (!p) return false;
  bool stack = va >= USER_LIMIT - STACK_LIMIT && va < USER_LIMIT;
  bool heap = va >= p->break_first && va < p->break_now;
  if ((!stack && !heap) || space_has(&p->space, va)) return false;
  void *page = page_alloc_movable();
  if (!page) return false;
  if (space_map(&p->space, va, page, TTE_WRITE)) return true;
  page_free(page);
  return false;
}

void process_kill(struct trap_frame *f) {
  struct process *p = process_this();
  WRPR(pstate, RDPR(pstate) | PSTATE_IE);
  printf("%s[%u]: %s at pc 0x%lx", p->name, p->id, trap_name(f->tt), f->tpc);
  if (f->tt == TT_DATA_MISS || f->tt == TT_DATA_ACCESS || f->tt == TT_PROTECTION) printf(", address 0x%lx", f->fault);
  printf("\n");
  process_exit(PROCESS_KILLED);
}
