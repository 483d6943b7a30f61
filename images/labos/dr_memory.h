/* dr_memory.h - blocks of memory that come and go. From a thread; they are multiples of 4 MiB. */
#ifndef LABOS_DR_MEMORY_H
#define LABOS_DR_MEMORY_H
#include "types.h"

/* Of dr-mem, for one block. */
enum memory_result {
  MEMORY_OK, MEMORY_FAILED, MEMORY_BLOCKED, MEMORY_NOT_IN_MD, MEMORY_IN_USE, MEMORY_NO_ACCESS, MEMORY_NO_RESOURCE,
  MEMORY_PERMANENT, MEMORY_BUSY, MEMORY_NOT_VIABLE, MEMORY_NOTHING, MEMORY_CANCELLED, MEMORY_REFUSED,
  MEMORY_DUPLICATE, MEMORY_INVALID
};
enum memory_result memory_configure(u64 base, u64 bytes);
/* Moves what can be moved. The block goes as a whole, or stays as it was. */
enum memory_result memory_unconfigure(u64 base, u64 bytes);
#endif
