/* string.c - the memory and string functions that compiled code relies on. Eight bytes at a time where aligned. */
#include "runtime.h"

typedef u64 __attribute__((may_alias)) word;

void *memcpy(void *to, const void *from, size_t bytes) {
  u8 *d = to;
  const u8 *s = from;
  if ((((u64)d ^ (u64)s) & 7) == 0 && bytes >= 16) {
    for (; (u64)d & 7; bytes--) *d++ = *s++;
    word *wd = (word *)d;
    const word *ws = (const word *)s;
    for (; bytes >= 32; bytes -= 32, wd += 4, ws += 4) {
      u64 a = ws[0], b = ws[1], c = ws[2], e = ws[3];
      wd[0] = a, wd[1] = b, wd[2] = c, wd[3] = e;
    }
    for (; bytes >= 8; bytes -= 8) *wd++ = *ws++;
    d = (u8 *)wd;
    s = (const u8 *)ws;
  }
  while (bytes--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  u8 *d = to;
  const u8 *s = from;
  if ((u64)d - (u64)s >= bytes) return memcpy(to, from, bytes);
  while (bytes--) d[bytes] = s[bytes];
  return to;
}

void *memset(void *to, int byte, size_t bytes) {
  u8 *d = to;
  if (bytes >= 16) {
    for (; (u64)d & 7; bytes--) *d++ = (u8)byte;
    u64 v = (u8)byte * 0x0101010101010101ul;
    word *w = (word *)d;
    for (; bytes >= 32; bytes -= 32, w += 4) w[0] = v, w[1] = v, w[2] = v, w[3] = v;
    for (; bytes >= 8; bytes -= 8) *w++ = v;
    d = (u8 *)w;
  }
  while (bytes--) *d++ = (u8)byte;
  return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
  const u8 *p = a, *q = b;
  for (; bytes--; p++, q++)
    if (*p != *q) return *p - *q;
  return 0;
}

size_t strlen(const char *s) {
  const char *p = s;
  while (*p) p++;
  return (size_t)(p - s);
}

int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t bytes) {
  for (; bytes; bytes--, a++, b++)
    if (*a != *b || !*a) return (u8)*a - (u8)*b;
  return 0;
}

char *strcpy(char *to, const char *from) {
  char *d = to;
  while ((*d++ = *from++))
    ;
  return to;
}
