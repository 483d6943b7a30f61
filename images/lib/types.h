/* types.h - integer types, formatting, memory and strings, special registers: what programs and kernels share. */
#ifndef IMAGES_TYPES_H
#define IMAGES_TYPES_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long i64;

#define NOINLINE __attribute__((noinline))
#define NOINIT __attribute__((section(".noinit"))) /* memory that start-up does not clear */
#define ALIGNED(n) __attribute__((aligned(n)))

/* format.c; printf writes a line at a time with the environment's console_write(). */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int vsnprintf(char *out, size_t bytes, const char *format, va_list args);
int snprintf(char *out, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
int puts(const char *text);
int putchar(int c);

/* string.c */
void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t bytes);
char *strcpy(char *to, const char *from);

#define RDPR(reg)                                      \
  __extension__({                                      \
    u64 v_;                                            \
    __asm__ volatile("rdpr %%" #reg ", %0" : "=r"(v_)); \
    v_;                                                \
  })
#define WRPR(reg, value) __asm__ volatile("wrpr %0, %%g0, %%" #reg : : "r"((u64)(value)) : "memory")
#define RDASR(reg)                                    \
  __extension__({                                     \
    u64 v_;                                           \
    __asm__ volatile("rd %%" #reg ", %0" : "=r"(v_)); \
    v_;                                               \
  })
#define WRASR(reg, value) __asm__ volatile("wr %0, %%g0, %%" #reg : : "r"((u64)(value)) : "memory")
#endif
