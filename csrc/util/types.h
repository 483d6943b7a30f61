/* types.h - short integer names and the three address types.
 *
 *      VA  --guest's translation (TTE, TSB)-->  RA  --hypervisor's memory blocks-->  PA
 *
 * Each is a struct of its own, so that mixing them does not compile.
 */
#ifndef S4V_UTIL_TYPES_H
#define S4V_UTIL_TYPES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef unsigned __int128 u128;

typedef struct { u64 v; } va_t; /* virtual address, as the guest's instruction computes it */
typedef struct { u64 v; } ra_t; /* real address: what the guest believes is physical */
typedef struct { u64 v; } pa_t; /* physical address of the emulated server */

#define VA(x) ((va_t){(x)})
#define RA(x) ((ra_t){(x)})
#define PA(x) ((pa_t){(x)})

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum { PAGE_BITS = 13, PAGE_BYTES = 1 << PAGE_BITS };             /* the guest's base page, 8 KiB */
enum { REGION_BITS = 21 };                                        /* one region byte per 2 MiB */
#define PAGE_MASK (~(u64)(PAGE_BYTES - 1))

#endif
