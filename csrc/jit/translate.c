/* translate.c - a region becomes code. */
#include <stdlib.h>

#include "jit/gen.h"
#include "jit/jit.h"
#include "strand/interp.h"

enum { CODE_BYTES = 64 << 20, CODE_BYTES_BESIDE = 16 << 20, REGION_BYTES = 1 << 20 };

void emit_instruction(struct gen *g, u32 index, u32 uop) {
  const struct block *b = g->node->block;
  u32 row = b->rows[index], insn = b->words[index];
  struct op op = ops_of(g->jit->ops, row, b->mode);
  if (op.kind == OP_BODY) gen_body(g, uop);
  else if (op.kind >= OP_LOAD && op.kind <= OP_FSTORE) emit_memory(g, op, insn, uop);
  else if (op.kind >= OP_FP) emit_fp(g, op, insn, row, uop);
  else emit_integer(g, op, insn, uop);
}

/* Returns the block to lay out next, if a way out of this one leads there. */
static struct node *emit_node(struct gen *g, struct node *n) {
  struct node *next = NULL;
  g->node = n;
  g->dirty = n->dirty_in;
  g->fprs = 0;
  g->cc = (struct cc_state){.kind = KIND_UNKNOWN, .a = OPERAND_STRAND, .b = OPERAND_STRAND};
  n->emitted = true;
  x86_place(&g->x, &n->body);
  region_flow(g->r, n, &g->flow);
  for (u32 i = 0; i < n->plain; i++) {
    g->live = g->flow.live[i];
    emit_instruction(g, i, i);
  }
  emit_end(g, &next);
  return next;
}

static void emit_entry(struct gen *g, struct node *n) {
  n->entry = g->x.at;
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
  const void *native[REGION_BLOCKS];
  for (u32 i = 0; i < r->count; i++) {
    blocks[i] = r->node[i].block;
    native[i] = j->mem.execute + r->node[i].entry;
    j->insns += r->node[i].plain;
  }
  codecache_adopt(j->cache, blocks, native, r->count);
  j->regions++;
  j->blocks += r->count;
}

static void translate(void *instance, struct strand *s, struct block *hot) {
  struct jit *j = instance;
  (void)s;
  if (j->full || !region_select(&j->region, j->ops, hot)) return;
  struct gen *g = j->gen;
  g->x = (struct x86){.start = j->mem.write, .at = j->used, .size = j->mem.size};
  g->jit = j;
  g->r = &j->region;
  g->stub_count = 0;
  emit_region(g);
  if (g->x.full) {
    j->full = j->used > j->start; /* a region that is too large for an empty memory stays with the interpreter */
    return;
  }
  j->used = (g->x.at + 15) & ~15u;
  j->full = j->used + REGION_BYTES > j->mem.size;
  adopt(j, &j->region);
}

static void jit_close(void *instance) {
  struct jit *j = instance;
  codemem_close(&j->mem);
  free(j->ops);
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
  if (!j->ops || !j->gen || !codemem_open(&j->mem, beside ? CODE_BYTES_BESIDE : CODE_BYTES)) {
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
  j->full = 0;
}

static const void *at(const struct jit *j, const struct x86_label *l) { return j->mem.execute + l->at - 1; }
static const void *jit_enter(const void *j) { return at(j, &((const struct jit *)j)->thunks.enter); }
static const void *jit_leave(const void *j) { return at(j, &((const struct jit *)j)->thunks.leave); }
static bool jit_is_full(const void *j) { return ((const struct jit *)j)->full != 0; }

static u64 jit_bytes(const void *j) { return ((const struct jit *)j)->used - ((const struct jit *)j)->start; }

const struct translator *jit_translator(const char **lacks) {
  static const struct translator t = {.open = jit_open, .close = jit_close, .enter = jit_enter, .leave = jit_leave,
                                      .translate = translate, .reset = jit_reset, .is_full = jit_is_full,
                                      .bytes = jit_bytes};
  *lacks = x86_host_lacks();
  return *lacks ? NULL : &t;
}
