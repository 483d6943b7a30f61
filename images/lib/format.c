/* format.c - printf for guest programs: %d %i %u %x %X %o %c %s %p %f %g %% with width, -, 0, #, h, l, ll, z, and
 * precision of strings and %f. FORMAT_INTEGERS_ONLY leaves %f and %g out. Floating point is for magnitudes below 2^63 and never takes the exponent form. */
#include "runtime.h"

struct sink {
  char *out;
  size_t room, length;
};

struct spec {
  int left, zero, alternate, width, precision, size; /* size: -2 char, -1 short, 0 int, 1 long */
};

static void put(struct sink *s, char c) {
  if (s->length < s->room) s->out[s->length] = c;
  s->length++;
}

static void put_padded(struct sink *s, const struct spec *f, const char *text, int length, int negative) {
  int pad = f->width - length - negative;
  if (negative && f->zero) put(s, '-');
  if (!f->left)
    for (; pad > 0; pad--) put(s, f->zero ? '0' : ' ');
  if (negative && !f->zero) put(s, '-');
  for (int i = 0; i < length; i++) put(s, text[i]);
  for (; pad > 0; pad--) put(s, ' ');
}

static void put_number(struct sink *s, const struct spec *f, u64 value, int negative, unsigned base, char ten) {
  char digits[32];
  int at = (int)sizeof digits;
  do {
    unsigned digit = (unsigned)(value % base);
    digits[--at] = (char)(digit < 10 ? (unsigned)'0' + digit : (unsigned)ten + digit - 10);
    value /= base;
  } while (value);
  if (f->alternate && digits[at] != '0') {
    if (base == 16) digits[--at] = (char)(ten + 'x' - 'a');
    if (base != 10) digits[--at] = '0';
  }
  put_padded(s, f, digits + at, (int)sizeof digits - at, negative);
}

static i64 signed_arg(int size, va_list *args) {
  if (size == 1) return va_arg(*args, long);
  int v = va_arg(*args, int);
  return size == 0 ? v : size == -1 ? (i16)v : (i8)v;
}

static u64 unsigned_arg(int size, va_list *args) {
  if (size == 1) return va_arg(*args, unsigned long);
  unsigned v = va_arg(*args, unsigned);
  return size == 0 ? v : size == -1 ? (u16)v : (u8)v;
}

static const char *parse_spec(const char *p, struct spec *f, va_list *args) {
  *f = (struct spec){.precision = -1};
  for (;; p++) {
    if (*p == '-')
      f->left = 1;
    else if (*p == '0')
      f->zero = 1;
    else if (*p == '#')
      f->alternate = 1;
    else
      break;
  }
  if (*p == '*') f->width = va_arg(*args, int), p++;
  for (; *p >= '0' && *p <= '9'; p++) f->width = f->width * 10 + *p - '0';
  if (*p == '.')
    for (f->precision = 0, p++; *p >= '0' && *p <= '9'; p++) f->precision = f->precision * 10 + *p - '0';
  for (;; p++) {
    if (*p == 'l' || *p == 'z' || *p == 'j' || *p == 't')
      f->size = 1;
    else if (*p == 'h')
      f->size--;
    else
      break;
  }
  return p;
}

static void put_string(struct sink *s, const struct spec *f, const char *text) {
  int length = 0;
  if (!text) text = "(null)";
  while ((f->precision < 0 || length < f->precision) && text[length]) length++;
  put_padded(s, f, text, length, 0);
}

#ifndef FORMAT_INTEGERS_ONLY
/* Fixed point, rounded half up in the last of `precision` digits; %g drops trailing zeros. */
static void put_double(struct sink *s, const struct spec *f, double value, int general) {
  int precision = f->precision < 0 ? 6 : f->precision > 15 ? 15 : f->precision;
  int negative = value < 0, at = 48, digits = precision;
  char text[48];
  double scale = 1;
  for (int i = 0; i < precision; i++) scale *= 10;
  if (negative) value = -value;
  u64 whole = (u64)(i64)value;
  u64 fraction = (u64)(i64)((value - (double)(i64)whole) * scale + 0.5);
  if ((double)(i64)fraction >= scale) fraction = 0, whole++;
  for (; general && digits > 0 && fraction % 10 == 0; digits--) fraction /= 10;
  for (int i = 0; i < digits; i++, fraction /= 10) text[--at] = (char)('0' + fraction % 10);
  if (digits > 0) text[--at] = '.';
  do text[--at] = (char)('0' + whole % 10);
  while (whole /= 10);
  put_padded(s, f, text + at, 48 - at, negative);
}
#endif

static void put_conversion(struct sink *s, struct spec *f, char kind, va_list *args) {
  switch (kind) {
  case 'd':
  case 'i': {
    i64 v = signed_arg(f->size, args);
    put_number(s, f, v < 0 ? 0 - (u64)v : (u64)v, v < 0, 10, 'a');
    break;
  }
  case 'u': put_number(s, f, unsigned_arg(f->size, args), 0, 10, 'a'); break;
  case 'o': put_number(s, f, unsigned_arg(f->size, args), 0, 8, 'a'); break;
  case 'x': put_number(s, f, unsigned_arg(f->size, args), 0, 16, 'a'); break;
  case 'X': put_number(s, f, unsigned_arg(f->size, args), 0, 16, 'A'); break;
  case 'p':
    put(s, '0'), put(s, 'x');
    put_number(s, f, (u64)va_arg(*args, void *), 0, 16, 'a');
    break;
#ifndef FORMAT_INTEGERS_ONLY
  case 'f': put_double(s, f, va_arg(*args, double), 0); break;
  case 'g': put_double(s, f, va_arg(*args, double), 1); break;
#endif
  case 'c': put(s, (char)va_arg(*args, int)); break;
  case 's': put_string(s, f, va_arg(*args, const char *)); break;
  default: put(s, kind); break;
  }
}

int vsnprintf(char *out, size_t bytes, const char *format, va_list args) {
  struct sink s = {out, bytes, 0};
  va_list rest;
  va_copy(rest, args);
  for (const char *p = format; *p; p++) {
    if (*p != '%') {
      put(&s, *p);
      continue;
    }
    struct spec f;
    p = parse_spec(p + 1, &f, &rest);
    if (!*p) break;
    put_conversion(&s, &f, *p, &rest);
  }
  va_end(rest);
  if (bytes > 0) out[s.length < bytes ? s.length : bytes - 1] = 0;
  return (int)s.length;
}

int snprintf(char *out, size_t bytes, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(out, bytes, format, args);
  va_end(args);
  return n;
}

int printf(const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  console_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
  return n;
}

int puts(const char *text) {
  console_write(text, strlen(text));
  console_write("\n", 1);
  return 0;
}

int putchar(int c) {
  char byte = (char)c;
  console_write(&byte, 1);
  return c;
}
