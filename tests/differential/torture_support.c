/* torture_support.c - what gcc's torture tests want of a C library beyond images/lib: heap, strings, a little stdio. */
#include "runtime.h"

static u8 heap[8 << 20] ALIGNED(16) NOINIT;
static size_t heap_used;
void *stdout, *stderr, *stdin;

void __stack_chk_fail(void) { abort(); }

void *malloc(size_t bytes) {
  size_t need = ((bytes + 15) & ~(size_t)15) + 16;
  if (bytes > sizeof heap || need > sizeof heap - heap_used) return NULL;
  u8 *block = heap + heap_used + 16;
  *(size_t *)(block - 16) = bytes;
  heap_used += need;
  return block;
}

void free(void *block) { (void)block; }

void *calloc(size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) return NULL;
  void *block = malloc(total);
  return block ? memset(block, 0, total) : NULL;
}

void *realloc(void *block, size_t bytes) {
  void *fresh = malloc(bytes);
  if (!block || !fresh) return fresh;
  size_t old = *(size_t *)((u8 *)block - 16);
  return memcpy(fresh, block, old < bytes ? old : bytes);
}

char *strncpy(char *to, const char *from, size_t bytes) {
  size_t i = 0;
  for (; i < bytes && from[i]; i++) to[i] = from[i];
  for (; i < bytes; i++) to[i] = 0;
  return to;
}

char *stpcpy(char *to, const char *from) { return strcpy(to, from) + strlen(from); }

char *strcat(char *to, const char *from) {
  strcpy(to + strlen(to), from);
  return to;
}

char *strncat(char *to, const char *from, size_t bytes) {
  char *end = to + strlen(to);
  for (; bytes && *from; bytes--) *end++ = *from++;
  *end = 0;
  return to;
}

char *strchr(const char *s, int c) {
  for (;; s++) {
    if (*s == (char)c) return (char *)s;
    if (!*s) return NULL;
  }
}

char *strrchr(const char *s, int c) {
  const char *found = NULL;
  for (;; s++) {
    if (*s == (char)c) found = s;
    if (!*s) return (char *)found;
  }
}

void *memchr(const void *block, int c, size_t bytes) {
  for (const u8 *p = block; bytes; bytes--, p++)
    if (*p == (u8)c) return (void *)p;
  return NULL;
}

size_t strspn(const char *s, const char *set) {
  size_t n = 0;
  while (s[n] && strchr(set, s[n])) n++;
  return n;
}

size_t strcspn(const char *s, const char *set) {
  size_t n = 0;
  while (s[n] && !strchr(set, s[n])) n++;
  return n;
}

char *strpbrk(const char *s, const char *set) {
  s += strcspn(s, set);
  return *s ? (char *)s : NULL;
}

char *strstr(const char *s, const char *what) {
  size_t n = strlen(what);
  for (;; s++) {
    if (strncmp(s, what, n) == 0) return (char *)s;
    if (!*s) return NULL;
  }
}

void qsort(void *base, size_t count, size_t bytes, int (*order)(const void *, const void *)) {
  u8 *p = base; /* insertion sort: the tests sort a handful */
  for (size_t i = 1; i < count; i++)
    for (size_t j = i; j > 0 && order(p + (j - 1) * bytes, p + j * bytes) > 0; j--)
      for (size_t k = 0; k < bytes; k++) {
        u8 t = p[j * bytes + k];
        p[j * bytes + k] = p[(j - 1) * bytes + k];
        p[(j - 1) * bytes + k] = t;
      }
}

void *mempcpy(void *to, const void *from, size_t bytes) { return (u8 *)memcpy(to, from, bytes) + bytes; }
void bcopy(const void *from, void *to, size_t bytes) { memmove(to, from, bytes); }
void bzero(void *to, size_t bytes) { memset(to, 0, bytes); }
int bcmp(const void *a, const void *b, size_t bytes) { return memcmp(a, b, bytes); }
int abs(int x) { return x < 0 ? -x : x; }
long labs(long x) { return x < 0 ? -x : x; }
int isprint(int c) { return c >= 32 && c < 127; }
int toupper(int c) { return c >= 'a' && c <= 'z' ? c - 32 : c; }
int ffs(int x) { return x ? __builtin_ctz((unsigned)x) + 1 : 0; }

int vsprintf(char *out, const char *format, va_list args) { return vsnprintf(out, 1 << 20, format, args); }

int sprintf(char *out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsprintf(out, format, args);
  va_end(args);
  return n;
}

int vprintf(const char *format, va_list args) {
  static char text[4096];
  int n = vsnprintf(text, sizeof text, format, args);
  console_write(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
  return n;
}

int vfprintf(void *stream, const char *format, va_list args) {
  (void)stream;
  return vprintf(format, args);
}

int fprintf(void *stream, const char *format, ...) {
  va_list args;
  (void)stream;
  va_start(args, format);
  int n = vprintf(format, args);
  va_end(args);
  return n;
}

int fputs(const char *text, void *stream) {
  (void)stream;
  console_write(text, strlen(text));
  return 1;
}

int fputc(int c, void *stream) {
  (void)stream;
  return putchar(c);
}

size_t fwrite(const void *data, size_t bytes, size_t count, void *stream) {
  (void)stream;
  console_write(data, bytes * count);
  return count;
}

int fflush(void *stream) {
  (void)stream;
  return 0;
}

void __assert_fail(const char *what, const char *file, unsigned line, const char *function) {
  printf("%s:%u: %s: %s\n", file, line, function, what);
  abort();
}
