/* vis.h - the arithmetic of VIS 1 to 4, IMA and POPC: pure functions on register values.
 *
 * A double register is a u64 whose most significant byte is the one at the lowest address; a single is a u32.
 * "Lane i" of a mask result counts from the least significant lane, as the manuals number the bits.
 * Sources: UltraSPARC Architecture 2007 and Oracle SPARC Architecture 2011/2015, chapter 7.
 * Nothing here knows a strand: GSR and the carry come in as values.
 */
#ifndef S4V_VIS_VIS_H
#define S4V_VIS_VIS_H
#include "util/types.h"

/* GSR: mask 63:32, im 27, irnd 26:25, scale 7:3, align 2:0. */
static inline unsigned vis_gsr_scale(u64 gsr) { return (unsigned)(gsr >> 3) & 31; }
static inline u64 vis_gsr_align(u64 gsr, u64 sum) { return (gsr & ~(u64)7) | (sum & 7); }
static inline u64 vis_gsr_mask(u64 gsr, u32 mask) { return (u64)mask << 32 | (gsr & 0xffffffffu); }
static inline u64 vis_gsr_siam(u64 gsr, u32 mode) { return (gsr & ~((u64)7 << 25)) | (u64)(mode & 7) << 25; }

/* Integer side (vis_int.c). addr_mask is all ones, or the low 32 bits under PSTATE.AM. */
u64 vis_edge8(u64 a, u64 b, u64 addr_mask);
u64 vis_edge8l(u64 a, u64 b, u64 addr_mask);
u64 vis_edge16(u64 a, u64 b, u64 addr_mask);
u64 vis_edge16l(u64 a, u64 b, u64 addr_mask);
u64 vis_edge32(u64 a, u64 b, u64 addr_mask);
u64 vis_edge32l(u64 a, u64 b, u64 addr_mask);
u64 vis_array8(u64 a, u64 b);
u64 vis_umulxhi(u64 a, u64 b);
u64 vis_xmulx(u64 a, u64 b);
u64 vis_xmulxhi(u64 a, u64 b);
u64 vis_lzcnt(u64 b);
u64 vis_popc(u64 b);
/* a +- b +- carry; the result goes to *r, the CCR (xcc NZVC in 7:4, icc NZVC in 3:0) is returned. */
u8 vis_addxccc(u64 a, u64 b, u64 carry, u64 *r);
u8 vis_subxccc(u64 a, u64 b, u64 carry, u64 *r);
/* GSR.mask for BSHUFFLE: bit i of b set takes lane i from the first register, clear from the second. */
u32 vis_cmask8(u64 b);
u32 vis_cmask16(u64 b);
u32 vis_cmask32(u64 b);

/* Multiply, pack, move bytes (vis_pack.c). */
u64 vis_fmul8x16(u32 a, u64 b);
u64 vis_fmul8x16au(u32 a, u32 b);
u64 vis_fmul8x16al(u32 a, u32 b);
u64 vis_fmul8sux16(u64 a, u64 b);
u64 vis_fmul8ulx16(u64 a, u64 b);
u64 vis_fmuld8sux16(u32 a, u32 b);
u64 vis_fmuld8ulx16(u32 a, u32 b);
u32 vis_fpack16(u64 gsr, u64 b);
u64 vis_fpack32(u64 gsr, u64 a, u64 b);
u32 vis_fpackfix(u64 gsr, u64 b);
u64 vis_fexpand(u32 b);
u64 vis_fpmerge(u32 a, u32 b);
u64 vis_pdist(u64 a, u64 b, u64 sum); /* sum + distance */
u64 vis_faligndata(u64 a, u64 b, u64 offset);
u64 vis_bshuffle(u64 gsr, u64 a, u64 b);
u64 vis_fpmaddxhi(u64 a, u64 b, u64 c);

/* Lane-wise on 64 bits (vis_lane.c). The single-register forms are the low half of the same function. */
u64 vis_fpadd8(u64 a, u64 b);
u64 vis_fpadd16(u64 a, u64 b);
u64 vis_fpadd32(u64 a, u64 b);
u64 vis_fpsub8(u64 a, u64 b);
u64 vis_fpsub16(u64 a, u64 b);
u64 vis_fpsub32(u64 a, u64 b);
u64 vis_fpadds8(u64 a, u64 b); /* s: signed saturation */
u64 vis_fpadds16(u64 a, u64 b);
u64 vis_fpadds32(u64 a, u64 b);
u64 vis_fpsubs8(u64 a, u64 b);
u64 vis_fpsubs16(u64 a, u64 b);
u64 vis_fpsubs32(u64 a, u64 b);
u64 vis_fpaddus8(u64 a, u64 b); /* us: unsigned saturation */
u64 vis_fpaddus16(u64 a, u64 b);
u64 vis_fpsubus8(u64 a, u64 b);
u64 vis_fpsubus16(u64 a, u64 b);
u64 vis_fmean16(u64 a, u64 b);
u64 vis_fchksm16(u64 a, u64 b);
u64 vis_fsll16(u64 a, u64 b); /* shift counts: the low bits of b's lane */
u64 vis_fsll32(u64 a, u64 b);
u64 vis_fsrl16(u64 a, u64 b);
u64 vis_fsrl32(u64 a, u64 b);
u64 vis_fsra16(u64 a, u64 b);
u64 vis_fsra32(u64 a, u64 b);
u64 vis_fslas16(u64 a, u64 b);
u64 vis_fslas32(u64 a, u64 b);
u64 vis_fpmax8(u64 a, u64 b);
u64 vis_fpmax16(u64 a, u64 b);
u64 vis_fpmax32(u64 a, u64 b);
u64 vis_fpmaxu8(u64 a, u64 b);
u64 vis_fpmaxu16(u64 a, u64 b);
u64 vis_fpmaxu32(u64 a, u64 b);
u64 vis_fpmin8(u64 a, u64 b);
u64 vis_fpmin16(u64 a, u64 b);
u64 vis_fpmin32(u64 a, u64 b);
u64 vis_fpminu8(u64 a, u64 b);
u64 vis_fpminu16(u64 a, u64 b);
u64 vis_fpminu32(u64 a, u64 b);

/* Lane-wise compares: bit i of the result is the outcome in lane i. */
u64 vis_fpcmple8(u64 a, u64 b);
u64 vis_fpcmple16(u64 a, u64 b);
u64 vis_fpcmple32(u64 a, u64 b);
u64 vis_fpcmpgt8(u64 a, u64 b);
u64 vis_fpcmpgt16(u64 a, u64 b);
u64 vis_fpcmpgt32(u64 a, u64 b);
u64 vis_fpcmpule8(u64 a, u64 b);
u64 vis_fpcmpule16(u64 a, u64 b);
u64 vis_fpcmpule32(u64 a, u64 b);
u64 vis_fpcmpugt8(u64 a, u64 b);
u64 vis_fpcmpugt16(u64 a, u64 b);
u64 vis_fpcmpugt32(u64 a, u64 b);
u64 vis_fpcmpeq8(u64 a, u64 b);
u64 vis_fpcmpeq16(u64 a, u64 b);
u64 vis_fpcmpeq32(u64 a, u64 b);
u64 vis_fpcmpne8(u64 a, u64 b);
u64 vis_fpcmpne16(u64 a, u64 b);
u64 vis_fpcmpne32(u64 a, u64 b);

#endif
