/* boot.c - the boot arguments, and what follows from them. */
#include "boot.h"

#include "boot_args.h"
#include "firmware.h"
#include "kernel.h"

enum { WORDS = 32 };
static char text[BOOTARGS_BYTES];
static const char *words[WORDS];
static u32 word_count;

static void split(void) {
  char *p = text;
  while (*p && word_count < WORDS) {
    while (*p == ' ') *p++ = 0;
    if (!*p) break;
    words[word_count++] = p;
    while (*p && *p != ' ') p++;
  }
}

static size_t append(size_t at, const char *word) {
  if (at && at < sizeof text - 1) text[at++] = ' ';
  while (*word && at < sizeof text - 1) text[at++] = *word++;
  return at;
}

/* Bare: {argc, argv[], 0, strings} at a real address, pointers real too; argv[0] is the file. */
void boot_args_init(u64 block_ra) {
  if (block_ra) {
    const u64 *block = va_of(block_ra);
    size_t at = 0;
    for (u64 i = 1; i < block[0]; i++) at = append(at, va_of(block[1 + i]));
  } else {
    append(0, firmware_word.bootargs);
  }
  split();
}

bool boot_flag(const char *name) {
  for (u32 i = 0; i < word_count; i++)
    if (strcmp(words[i], name) == 0) return true;
  return false;
}

const char *boot_option(const char *name) {
  size_t length = strlen(name);
  for (u32 i = 0; i < word_count; i++)
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
  return NULL;
}

/* An older release knows neither memory blocks that a migration splits (11.3 is the first that does) nor crypto units
 * that come and go. */
bool release_is_old(void) {
  const char *release = boot_option("release");
  return release && (strcmp(release, "old") == 0 || strcmp(release, "older") == 0);
}

const char *release_name(void) { return release_is_old() ? "5.10" : "5.11"; }

/* The kernel's patch is how a system of 5.10 tells its update: 10/09, 9/10. */
const char *release_version(void) {
  if (!release_is_old()) return "11.3";
  return strcmp(boot_option("release"), "old") == 0 ? "Generic_142909-17" : "Generic_141444-09";
}

const char *zones_running(void) {
  const char *zones = boot_option("zones");
  return zones ? zones : "0";
}

/* Version tags came with the M7's core, which sparc5 tells; where adp itself is not offered there is nothing to tag,
 * and a system can only say that it would. */
bool tags_in_use(void) { return boot_flag("tags") && md_list_has(md_find("cpu", MD_NONE), "hwcap-list", "sparc5"); }

const char *host_name(void) {
  const char *name = boot_option("hostname");
  return name ? name : "labos";
}
