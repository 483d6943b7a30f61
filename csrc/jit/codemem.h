/* codemem.h - memory for host code: one memfd mapped twice, to write and to execute, so that no page is ever both. */
#ifndef S4V_JIT_CODEMEM_H
#define S4V_JIT_CODEMEM_H
#include "util/types.h"

struct codemem {
  u8 *write;
  const u8 *execute;
  u32 size;
};

bool codemem_open(struct codemem *, u32 size); /* false: the host does not let us, errno */
void codemem_close(struct codemem *);

#endif
