/* shell.c - the prompt. */
#include "shell.h"

#include "boot_args.h"
#include "commands.h"
#include "kernel.h"

enum { LINE_BYTES = 256, WORDS = 32 };
static int last_status;
void shell_thread(void *arg);

const struct command commands[] = {
#define COMMAND(name, function, usage, help) {#name, usage, help, function},
#include "commands.def"
#undef COMMAND
};
const u32 command_count = sizeof commands / sizeof commands[0];

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

bool parse_number(const char *text, u64 *value) {
  int base = text[0] == '0' && text[1] == 'x' ? 16 : 10;
  u64 v = 0;
  const char *p = base == 16 ? text + 2 : text;
  const char *digits = p;
  for (; digit_of(*p) < base; p++) v = v * (u64)base + (u64)digit_of(*p);
  if (p == digits) return false;
  if (*p == 'K' || *p == 'k') v <<= 10, p++;
  else if (*p == 'M' || *p == 'm') v <<= 20, p++;
  else if (*p == 'G' || *p == 'g') v <<= 30, p++;
  *value = v;
  return *p == 0;
}

static int split(char *line, char **words) {
  int n = 0;
  while (n < WORDS) {
    while (*line == ' ' || *line == '\t') *line++ = 0;
    if (!*line || *line == '#') break;
    words[n++] = line;
    while (*line && *line != ' ' && *line != '\t') line++;
  }
  return n;
}

const struct command *command_find(const char *name) {
  for (u32 i = 0; i < command_count; i++)
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  return NULL;
}

int shell_run(char *line) {
  char *words[WORDS];
  int n = split(line, words);
  if (!n) return last_status;
  const struct command *command = command_find(words[0]);
  if (!command) {
    printf("%s: not found\n", words[0]);
    return last_status = 127;
  }
  int status = command->run(n, words);
  if (status == COMMAND_USAGE) {
    printf("usage: %s\n", command->usage);
    status = 2;
  }
  return last_status = status;
}

int shell_status(void) { return last_status; }

/* Bare, the end of the input is the end of the run; a real console may lose its person at any time. */
void shell_thread(void *arg) {
  char line[LINE_BYTES];
  (void)arg;
  for (;;) {
    printf("# ");
    console_interrupted();
    if (console_read_line(line, sizeof line) < 0) break;
    shell_run(line);
  }
  if (boot_is_bare()) {
    printf("\n");
    system_halt();
  }
}
