/* memory.h - pages, small pieces, and where they are. */
#ifndef LABOS_MEMORY_H
#define LABOS_MEMORY_H
#include "layout.h"
#include "types.h"

enum { ORDERS = 10 }; /* blocks of 8 KiB << 0 .. 9: up to 4 MiB */

/* A block of PAGE_BYTES << order bytes, aligned to its size, all zero; NULL when memory is used up. Any context. */
void *pages_alloc(unsigned order);
void pages_free(void *block, unsigned order);
static inline void *page_alloc(void) { return pages_alloc(0); }
/* A page of which only page tables know the address, so that it can be moved (vm.c): of a user program. */
void *page_alloc_movable(void);
static inline void page_free(void *page) { pages_free(page, 0); }

/* Small pieces, zeroed, aligned to their size rounded up to a power of two (at most 4 MiB). The one who frees knows
 * the size. */
void *kmalloc(size_t bytes);
void kfree(void *piece, size_t bytes);

/* Kernel virtual address (image or direct map) to real address and back (always the direct map). Kernel memory is
 * contiguous in both within one allocation, so buffers can be given to the hypervisor as they are. */
u64 ra_of(const volatile void *va);
void *va_of(u64 ra);

u64 memory_total(void); /* bytes the domain has */
u64 memory_free(void);  /* bytes nobody uses */
#endif
