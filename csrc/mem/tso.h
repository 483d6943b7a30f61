/* tso.h - single accesses of a guest to its memory, in the order of the guest's model, TSO, and in the host's byte order.
 *
 * Aligned, so each is one access of the host. x86 is TSO itself: plain accesses that the compiler may not split or leave out.
 * Elsewhere a load is an acquire and a store a release, which is TSO but for the order of a store and a later load of the
 * same strand at most made stricter; MEMBAR is a full fence everywhere.
 */
#ifndef S4V_MEM_TSO_H
#define S4V_MEM_TSO_H
#include "util/types.h"

#if defined(__x86_64__) || defined(__i386__)
#define TSO_LOAD(type, p) (*(const volatile type *)(const void *)(p))
#define TSO_STORE(type, p, v) (*(volatile type *)(void *)(p) = (type)(v))
#else
#define TSO_LOAD(type, p) __atomic_load_n((const type *)(const void *)(p), __ATOMIC_ACQUIRE)
#define TSO_STORE(type, p, v) __atomic_store_n((type *)(void *)(p), (type)(v), __ATOMIC_RELEASE)
#endif

#endif
