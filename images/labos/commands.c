/* commands.c - the shell's commands about the system as a whole. */
#include "commands.h"

#include "boot_args.h"
#include "calendar.h"
#include "console_raw.h"
#include "kernel.h"
#include "process.h"
#include "scheduler.h"

int command_echo(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "$?") == 0)
      printf("%s%d", i > 1 ? " " : "", shell_status());
    else
      printf("%s%s", i > 1 ? " " : "", argv[i]);
  }
  printf("\n");
  return 0;
}

int command_help(int argc, char **argv) {
  if (argc == 2) {
    const struct command *c = command_find(argv[1]);
    if (!c) {
      printf("%s: not found\n", argv[1]);
      return 1;
    }
    printf("%s\n    %s\n", c->usage, c->help);
    return 0;
  }
  if (argc > 2) return COMMAND_USAGE;
  for (u32 i = 0; i < command_count; i++) printf("%-10s %s\n", commands[i].name, commands[i].help);
  return 0;
}

int command_date(int argc, char **argv) {
  u64 seconds = clock_wall_ns() / NS_PER_SECOND;
  char text[CALENDAR_BYTES];
  if (argc == 2 && strcmp(argv[1], "+%s") == 0) {
    printf("%lu\n", seconds);
    return 0;
  }
  if (argc > 2 || (argc == 2 && strcmp(argv[1], "-u"))) return COMMAND_USAGE;
  calendar_text(seconds, text);
  printf("%s\n", text);
  return 0;
}

/* In the order `uname -a` has them. */
struct uname_field {
  char option;
  const char *value;
};

static bool is_wanted(const char *options, char option) {
  if (strcmp(options, "a") == 0) return true;
  while (*options && *options != option) options++;
  return *options != 0;
}

int command_uname(int argc, char **argv) {
  const struct uname_field fields[] = {
      {'s', "SunOS"}, {'n', host_name()}, {'r', release_name()}, {'v', release_version()},
      {'m', "sun4v"}, {'p', "sparc"},     {'i', "sun4v"},
  };
  const char *before = "", *options = argc == 1 ? "-s" : argv[1];
  if (argc > 2 || options[0] != '-') return COMMAND_USAGE;
  for (u32 i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    if (!is_wanted(options + 1, fields[i].option)) continue;
    printf("%s%s", before, fields[i].value);
    before = " ";
  }
  if (!*before) return COMMAND_USAGE;
  printf("\n");
  return 0;
}

/* "  8:48pm  up 2 day(s),  3:07,  1 user" */
int command_uptime(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  u64 up = clock_ns() / NS_PER_SECOND, now = clock_wall_ns() / NS_PER_SECOND % 86400;
  u64 days = up / 86400, hours = up / 3600 % 24, minutes = up / 60 % 60, hour = now / 3600;
  printf("%3lu:%02lu%s  up", hour % 12 ? hour % 12 : 12, now / 60 % 60, hour < 12 ? "am" : "pm");
  if (days) printf(" %lu day(s),", days);
  if (hours)
    printf(" %2lu:%02lu,", hours, minutes);
  else
    printf(" %lu min(s),", minutes);
  printf("  1 user\n");
  return 0;
}

static void ps_row(const struct thread *t, void *arg) {
  static const char *const states[] = {"ready", "run", "sleep", "done"};
  (void)arg;
  u64 ns = t->run_ns + (t->state == THREAD_RUNNING ? clock_ns() - t->run_since_ns : 0);
  printf("%5u %5u %-5s %3lu %6lu.%03lu %s%s%s\n", t->id, t->process ? t->process->id : 0, states[t->state],
         t->cpu ? t->cpu->id : 0, ns / NS_PER_SECOND, ns / NS_PER_MS % 1000, t->name,
         t->process && t->process->arguments[0] ? " " : "", t->process ? t->process->arguments : "");
}

int command_ps(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  printf("%5s %5s %-5s %3s %10s %s\n", "TID", "PID", "STATE", "CPU", "TIME", "NAME");
  thread_for_each(ps_row, NULL);
  return 0;
}

/* A program and its arguments; 0: it was not started. */
static u32 program_start(int argc, char **argv) {
  char arguments[ARGUMENT_BYTES] = "";
  size_t at = 0;
  for (int i = 2; i < argc && at < sizeof arguments; i++)
    at += (size_t)snprintf(arguments + at, sizeof arguments - at, "%s%s", i > 2 ? " " : "", argv[i]);
  u32 id = process_start(argv[1], arguments);
  if (!id) printf("%s: no such program\n", argv[1]);
  return id;
}

int command_run(int argc, char **argv) {
  u32 id = argc < 2 ? 0 : program_start(argc, argv);
  if (argc < 2) return COMMAND_USAGE;
  return id ? process_wait(id) & 255 : 127;
}

int command_start(int argc, char **argv) {
  u32 id = argc < 2 ? 0 : program_start(argc, argv);
  if (argc < 2) return COMMAND_USAGE;
  if (!id) return 127;
  process_detach(id);
  printf("[%u]\n", id);
  return 0;
}

int command_kill(int argc, char **argv) {
  u64 id;
  if (argc != 2 || !parse_number(argv[1], &id)) return COMMAND_USAGE;
  if (process_stop((u32)id)) return 0;
  printf("kill: %s: no such program\n", argv[1]);
  return 1;
}

int command_spin(int argc, char **argv) {
  static u32 spinning[PROCESSES];
  static u32 count;
  u64 n;
  if (argc != 2) return COMMAND_USAGE;
  if (strcmp(argv[1], "stop") == 0) {
    while (count) process_stop(spinning[--count]);
    return 0;
  }
  if (!parse_number(argv[1], &n)) return COMMAND_USAGE;
  for (u64 i = 0; i < n; i++) {
    u32 id = count < PROCESSES ? process_start("spin", "") : 0;
    if (!id) {
      printf("spin: only %lu started\n", i);
      return 1;
    }
    process_detach(id);
    spinning[count++] = id;
  }
  return 0;
}

int command_sleep(int argc, char **argv) {
  u64 seconds;
  if (argc != 2 || !parse_number(argv[1], &seconds)) return COMMAND_USAGE;
  thread_sleep_ns(seconds * NS_PER_SECOND);
  return 0;
}

static bool suspend_word(const char *word) {
  static const char *const words[] = {
      [SUSPEND_ALLOW] = "allow", [SUSPEND_REFUSE] = "refuse", [SUSPEND_STAY] = "stay", [SUSPEND_DEAF] = "deaf"};
  for (u32 i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(word, words[i]) == 0) {
      suspend_manner_set((enum suspend_manner)i);
      return true;
    }
  if (strcmp(word, "count") != 0) return false;
  printf("%lu\n", suspend_count());
  return true;
}

int command_suspend(int argc, char **argv) {
  if (argc > 2) return COMMAND_USAGE;
  if (argc == 2) return suspend_word(argv[1]) ? 0 : COMMAND_USAGE;
  u64 status = system_suspend();
  if (status) printf("suspend: status %lu\n", status);
  return status ? 1 : 0;
}

int command_halt(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  system_halt();
}

int command_reboot(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  system_reboot();
}

int command_panic(int argc, char **argv) { panic("%s", argc > 1 ? argv[1] : "forced by the panic command"); }

int command_debug(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  debugger_enter("command");
  return 0;
}
