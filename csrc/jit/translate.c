/* translate.c - a region becomes code. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "jit/gen.h"
#include "jit/jit.h"
#include "strand/interp.h"

enum { CODE_BYTES = 64 << 20, CODE_BYTES_BESIDE = 16 << 20, REGION_BYTES = 1 << 20 };

void emit_instruction(struct gen *g, u32 index, u32 uop) {
  const struct block *b = g->node->block;
  u32 row = b->rows[index], insn = b->words[index];
  struct op op = ops_of(g->jit->ops, row, insn, b->mode);
  gen_forget_scratch(g);
  g->index = index;
  if (op.kind == OP_BODY) gen_body(g, uop);
  else if (op.kind >= OP_PAIR_LOAD) emit_space(g, op, insn, uop);
  else if (op.kind >= OP_RDPR) emit_system(g, op, insn, index, uop);
  else if (op.kind >= OP_LOAD && op.kind <= OP_FSTORE) emit_memory(g, op, insn, uop);
  else if (op.kind >= OP_FP) emit_fp(g, op, insn, row, uop);
  else emit_integer(g, op, insn, uop);
}

static void begin_cold(struct gen *g) {
  struct stub *s = gen_stub(g, STUB_COLD);
  s->uop = g->index = g->spans.begin;
  s->cond = g->cc.kind;
  s->asi = g->asi;
}

/* The block's rest again, without spans (span.h). It can be entered in front of every instruction. */
void emit_cold(struct gen *g, struct stub *s) {
  const struct node *n = s->node;
  struct x86_label *cold = g->cold[n - g->r->node];
  g->node = (struct node *)(uintptr_t)n;
  region_flow(g->r, n, &g->flow);
  g->cc.kind = s->cond;
  g->asi = s->asi;
  for (u32 i = s->uop; i <= n->plain; i++) {
    g->dirty = g->flow.dirty[i];
    g->live = g->flow.live[i];
    g->fprs = 0;
    gen_forget_cc(g);
    x86_place(&g->x, &cold[i]);
    if (i < n->plain) emit_instruction(g, i, i);
  }
  emit_end(g, NULL);
}

/* Returns the block to lay out next, if a way out of this one leads there. */
static struct node *emit_node(struct gen *g, struct node *n) {
  struct node *next = NULL;
  g->node = n;
  g->dirty = n->dirty_in;
  g->fprs = 0;
  g->asi = g->asi_now;
  g->cc = (struct cc_state){.kind = n->sub_in ? CC_SUB : KIND_UNKNOWN, .a = OPERAND_STRAND, .b = OPERAND_STRAND};
  n->emitted = true;
  x86_place(&g->x, &n->body);
  region_flow(g->r, n, &g->flow);
  spans_plan(&g->spans, g->r, n);
  g->spans.cold = g->cold[n - g->r->node];
  for (u32 i = 0; i < n->plain; i++) {
    g->live = g->flow.live[i];
    if (i == g->spans.begin) begin_cold(g);
    emit_instruction(g, i, i);
  }
  emit_end(g, &next);
  return next;
}

static void emit_entry(struct gen *g, struct node *n) {
  n->entry = g->x.at;
  if (n->sub_in) { /* the interpreter takes it with any kind, and comes back with the next block */
    struct x86_label sub = {0};
    x86_alu_mem_imm(&g->x, ALU_CMP, W32, FIELD_AT(cc_kind), CC_SUB);
    x86_jcc(&g->x, CC_E, &sub);
    gen_leave_at(g, n, 0);
    x86_place(&g->x, &sub);
  }
  gen_reload(g, n->live_in);
  x86_jmp(&g->x, &n->body);
}

static void emit_region(struct gen *g) {
  struct region *r = g->r;
  for (u32 i = 0; i < r->count; i++) {
    struct node *n = &r->node[i];
    while (n && !n->emitted) n = emit_node(g, n);
  }
  gen_stubs(g);
  for (u32 i = 0; i < r->count; i++) emit_entry(g, &r->node[i]);
}

static void adopt(struct jit *j, const struct region *r) {
  struct block *blocks[REGION_BLOCKS];
  const void *native[REGION_BLOCKS], *inside[REGION_BLOCKS];
  for (u32 i = 0; i < r->count; i++) {
    blocks[i] = r->node[i].block;
    native[i] = j->mem.execute + r->node[i].entry;
    inside[i] = r->jumps >> i & 1 ? j->mem.execute + r->node[i].body.at - 1 : NULL;
    j->counts.insns += r->node[i].plain;
  }
  codecache_adopt(j->cache, blocks, native, inside, r->count);
  j->counts.regions++;
  j->counts.blocks += r->count;
}

static void make(struct jit *j, const struct strand *s, struct block *hot) {
  if (j->full || !region_select(&j->region, j->ops, hot)) return;
  struct gen *g = j->gen;
  g->x = (struct x86){.start = j->mem.write, .at = j->used, .size = j->mem.size};
  g->jit = j;
  g->r = &j->region;
  g->stub_count = 0;
  memset(g->cold, 0, sizeof g->cold);
  g->asi_now = s->asi;
  emit_region(g);
  if (g->x.full) {
    j->full = j->used > j->start; /* a region that is too large for an empty memory stays with the interpreter */
    return;
  }
  j->used = (g->x.at + 15) & ~15u;
  j->full = j->used + REGION_BYTES > j->mem.size;
  adopt(j, &j->region);
}

static u64 cpu_ns(void) {
  struct timespec t;
  return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) ? 0 : (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

static void translate(void *instance, struct strand *s, struct block *hot) {
  struct jit *j = instance;
  u64 begun = cpu_ns();
  make(j, s, hot);
  j->counts.compile_ns += cpu_ns() - begun;
}

static void jit_close(void *instance) {
  struct jit *j = instance;
  codemem_close(&j->mem);
  free(j->ops);
  free(j->bodies);
  free(j->gen);
  free(j);
}

static void *jit_open(struct codecache *cc, bool beside) {
  struct jit *j = calloc(1, sizeof *j);
  if (!j) return NULL;
  j->cache = cc;
  j->beside = beside;
  j->ops = calloc(isa_row_count, sizeof *j->ops);
  j->gen = calloc(1, sizeof *j->gen);
  j->bodies = calloc(isa_row_count, sizeof *j->bodies);
  if (!j->ops || !j->gen || !j->bodies || !codemem_open(&j->mem, beside ? CODE_BYTES_BESIDE : CODE_BYTES)) {
    jit_close(j);
    return NULL;
  }
  ops_fill(j->ops);
  thunks_make(j);
  return j;
}

static void jit_reset(void *instance) {
  struct jit *j = instance;
  j->used = j->start;
  j->sites = 0;
  j->full = 0;
}

static const void *at(const struct jit *j, const struct x86_label *l) { return j->mem.execute + l->at - 1; }
static const void *jit_enter(const void *j) { return at(j, &((const struct jit *)j)->thunks.enter); }
static const void *jit_leave(const void *j) { return at(j, &((const struct jit *)j)->thunks.leave); }
static bool jit_is_full(const void *j) { return ((const struct jit *)j)->full != 0; }

static void jit_count(const void *instance, struct translator_counts *c, u64 *rows) {
  const struct jit *j = instance;
  c->bytes += j->used - j->start;
  c->regions += j->counts.regions, c->blocks += j->counts.blocks, c->insns += j->counts.insns;
  c->compile_ns += j->counts.compile_ns;
  c->lookups += j->counts.lookups, c->left += j->counts.left, c->left_at += j->counts.left_at;
  for (u32 row = 0; row < isa_row_count; row++) {
    c->bodies += j->bodies[row];
    if (rows) rows[row] += j->bodies[row];
  }
}

const struct translator *jit_translator(const char **lacks) {
  static const struct translator t = {.open = jit_open, .close = jit_close, .enter = jit_enter, .leave = jit_leave,
                                      .translate = translate, .reset = jit_reset, .is_full = jit_is_full,
                                      .count = jit_count};
  *lacks = x86_host_lacks();
  return *lacks ? NULL : &t;
}
