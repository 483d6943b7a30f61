/* probe.h - struct probe, for probe.S and C. */
#ifndef PROBE_H
#define PROBE_H

#define PROBE_TRAP 48
#define PROBE_TL 56
#define PROBE_OUT_O 64
#define PROBE_OUT_G 128
#define PROBE_OUT_L 192
#define PROBE_OUT_I 256
#define PROBE_STATE 320
#define PROBE_KEPT 384
#define PROBE_FRAME 424
/* %gN holds -(PROBE_G + N) before the call, and so on. */
#define PROBE_G 0x100
#define PROBE_L 0x200
#define PROBE_I 0x300
#define PROBE_O 0x400
#define PROBE_Y 0x5a5
#define PROBE_CCR 0x99
#define PROBE_ASI 0x81

#ifndef __ASSEMBLER__
#include "runtime.h"

struct probe {
  u64 in[6]; /* %o0 to %o5 */
  u64 trap, tl;
  u64 o[8], g[8], l[8], i[8];
  u64 y, ccr, asi, pstate, tl_after, gl, pil, fprs;
  u64 kept[5], frame[3];
};

void probe_call(struct probe *);
extern const u32 probe_return[];
extern const u32 second_strand[];
#endif
#endif
