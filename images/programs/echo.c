/* echo.c - writes its console input back until end of input or a line that is "quit"; the status is the line count. */
#include "runtime.h"

int main(void) {
  char line[256];
  size_t length = 0;
  int lines = 0;
  for (;;) {
    char c;
    long n = console_read(&c, 1);
    if (n < 0 || (n == 0 && runtime_env == ENV_USER)) break;
    if (n == 0) continue;
    if (length < sizeof line) line[length++] = c;
    if (c != '\n') continue;
    if (length == 5 && memcmp(line, "quit\n", 5) == 0) break;
    console_write(line, length);
    length = 0;
    lines++;
  }
  return lines;
}
