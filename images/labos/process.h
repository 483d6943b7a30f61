/* process.h - user programs: address space, life, system calls. */
#ifndef LABOS_PROCESS_H
#define LABOS_PROCESS_H
#include "percpu.h"
#include "trap.h"
#include "types.h"

struct thread;
struct cpu;

enum { PROCESS_KILLED = 137, PROCESSES = 256, NAME_BYTES = 16, ARGUMENT_BYTES = 128 };

/* A page table: 1024 leaf tables of 1024 TTEs each. */
struct space {
  u64 *root;
  u64 context;
  u64 pages;
  struct cpu_set ran_on; /* these cpus may know translations of it */
};
/* vm.c */
bool space_init(struct space *space, u64 context);
void space_free(struct space *space);
bool space_map(struct space *space, u64 va, void *page, u64 permission); /* TTE_WRITE, TTE_EXEC */
bool space_has(const struct space *space, u64 va);                       /* is the page mapped? */
u64 space_word(const struct space *space, u64 va);                       /* 0: not mapped */
void space_unmap(struct space *space, u64 va);                           /* on every cpu, then the page is freed */
/* What was written to the page will be executed. */
static inline void code_flush(void *page) {
  for (size_t i = 0; i < PAGE_BYTES; i += 8) __asm__ volatile("flush %0" : : "r"((u8 *)page + i) : "memory");
}
/* Moves some pages of all programs out of real addresses [low, high); they are free then. */
enum spaces_moved {
  SPACES_DONE,      /* there are none */
  SPACES_MORE,      /* `moved` of them: call again */
  SPACES_NO_MEMORY, /* for any of them */
  SPACES_BUSY,      /* a cpu did not come to rest */
};
enum spaces_moved spaces_move(u64 low, u64 high, u32 *moved);

struct process {
  struct space space;
  struct thread *thread;
  u32 id; /* and context; 0: free */
  volatile bool killed, done;
  bool detached; /* nobody will wait for it */
  int status;
  u64 break_first, break_now; /* sbrk */
  char name[NAME_BYTES], arguments[ARGUMENT_BYTES];
};

struct program {
  const char *name;
  const u8 *begin, *end;
};
extern const struct program programs[];
extern const u32 program_count;

/* Starts a program; its number, or 0 if there is no such program or no memory. */
u32 process_start(const char *name, const char *arguments);
int process_wait(u32 id);     /* until it ends; its status, PROCESS_KILLED if it did not end by itself */
void process_detach(u32 id);  /* nobody will wait: it is forgotten when it ends */
bool process_stop(u32 id);    /* ask it to end */
bool process_exists(u32 id);
bool process_bind(u32 id, const struct cpu *cpu); /* only this cpu runs it; NULL: any does. false: no such program */
void process_exit(int status) __attribute__((noreturn));
struct process *process_this(void);
const struct space *process_space(u32 id); /* 1 .. PROCESSES; its root is NULL where there is none */

void process_switch(struct process *next);          /* thread.c: translations of the next thread */
bool process_fault(u64 address, bool write);        /* give it the page if it may have it */
void process_kill(struct trap_frame *frame);        /* its trap was its last */
void process_check(void);                           /* on the way out of a trap: has somebody stopped it? */
void system_call(struct trap_frame *frame);
bool clock_emulate(struct trap_frame *frame);       /* RD %tick or %stick under NPT */

void panic_trap(struct trap_frame *frame) __attribute__((noreturn));
void cpu_depart(struct cpu *cpu) __attribute__((noreturn));
#endif
