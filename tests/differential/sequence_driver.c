/* sequence_driver.c - runs the batch that sequence_driver.S includes and writes each final state to the console.
 *
 * batch: u64 count, then count times { u64 offset of the code, u64 scratch seed, 70 words: struct state up to code },
 * then the code. Output per sequence: those 70 words as the sequence left them, and a hash of the scratch buffer.
 */
#include "runtime.h"

enum { STATE_WORDS = 70, SCRATCH_WORDS = 1024 };
struct state {
  u64 words[STATE_WORDS];
  u64 code, exit, scratch, saved[4];
};
struct item {
  u64 code, seed, words[STATE_WORDS];
};
struct batch {
  u64 count;
  struct item item[];
};
extern const struct batch batch;
void sequence_run(struct state *);

static u64 scratch[SCRATCH_WORDS] ALIGNED(8192);
static struct state state;
static u64 record[STATE_WORDS + 1];

int main(void) {
  for (u64 n = 0; n < batch.count; n++) {
    const struct item *item = &batch.item[n];
    u64 s = item->seed, hash = 0;
    for (int i = 0; i < SCRATCH_WORDS; i++) scratch[i] = s = s * 6364136223846793005ul + 1442695040888963407ul;
    memcpy(state.words, item->words, sizeof state.words);
    state.code = (u64)&batch + item->code;
    state.scratch = (u64)(scratch + SCRATCH_WORDS / 2);
    sequence_run(&state);
    for (int i = 0; i < SCRATCH_WORDS; i++) hash = (hash ^ scratch[i]) * 0x9e3779b97f4a7c15ul;
    memcpy(record, state.words, sizeof state.words);
    record[STATE_WORDS] = hash;
    console_write(record, sizeof record);
  }
  return 0;
}
