/* eeprom.c - firmware variables: read from the machine description, changed by the manager. */
#include "ds.h"

enum { KEPT = 16, NAME = 64, VALUE = 192 };
int command_eeprom(int argc, char **argv);

/* What was changed since the description was read. */
static struct {
  char name[NAME], value[VALUE];
  bool gone;
} kept[KEPT];
static u32 kept_count;

static void keep(const char *name, const char *value) {
  u32 i = 0;
  while (i < kept_count && strcmp(kept[i].name, name)) i++;
  if (i == KEPT || strlen(name) >= NAME || (value && strlen(value) >= VALUE)) return;
  if (i == kept_count) kept_count++;
  strcpy(kept[i].name, name);
  strcpy(kept[i].value, value ? value : "");
  kept[i].gone = !value;
}

static const char *lookup(const char *name) {
  for (u32 i = 0; i < kept_count; i++)
    if (strcmp(kept[i].name, name) == 0) return kept[i].gone ? NULL : kept[i].value;
  return md_string(md_find("variables", MD_NONE), name);
}

static int change(const char *name, const char *value) {
  static const char *const texts[] = {"", "no space", "bad name", "bad value", "no such variable",
                                      "no answer from the Logical Domains Manager"};
  enum ds_variable result = ds_variable_set(name, value);
  if (result == DS_VARIABLE_OK)
    keep(name, value);
  else
    printf("eeprom: %s: %s\n", name, texts[result]);
  return result != DS_VARIABLE_OK;
}

static int show(const char *name) {
  const char *value = lookup(name);
  printf(value ? "%s=%s\n" : "%s: data not available.\n", name, value);
  return !value;
}

static int show_all(void) {
  const char *name, *value;
  md_node variables = md_find("variables", MD_NONE);
  for (u32 i = 0; (value = md_string_at(variables, i, &name)); i++)
    if (lookup(name)) show(name);
  for (u32 i = 0; i < kept_count; i++)
    if (!kept[i].gone && !md_string(variables, kept[i].name)) show(kept[i].name);
  return 0;
}

/* The value is the rest of the line: words are joined by single spaces. */
static int set_words(int argc, char **argv, char *equals) {
  char value[VALUE];
  size_t n = 0;
  *equals = 0;
  n = (size_t)snprintf(value, sizeof value, "%s", equals + 1);
  for (int i = 2; i < argc && n < sizeof value; i++)
    n += (size_t)snprintf(value + n, sizeof value - n, " %s", argv[i]);
  if (n >= sizeof value) return printf("eeprom: the value is too long\n"), 1;
  return change(argv[1], value);
}

int command_eeprom(int argc, char **argv) {
  if (argc == 1) return show_all();
  char *equals = argv[1];
  while (*equals && *equals != '=') equals++;
  if (*equals && equals > argv[1]) return set_words(argc, argv, equals);
  if (argc == 3 && strcmp(argv[1], "-d") == 0) return change(argv[2], NULL);
  return argc == 2 && !*equals ? show(argv[1]) : COMMAND_USAGE;
}
