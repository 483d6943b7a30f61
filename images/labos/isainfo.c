/* isainfo.c - isainfo and pagesize: what programs may rely on, from the machine description. */
#include "commands.h"
#include "kernel.h"

enum { LINE_LIMIT = 64, INDENT = 8 };

/* Solaris's words, in the order isainfo prints them (the bits of AV_SPARC_*, high to low), each with what the
 * description's hwcap-list calls it. `narrow`: only of use to 32-bit programs. */
static const struct feature {
  const char *isainfo, *hwcap;
  bool narrow;
} features[] = {
    {"sha3", "sha3", false},       {"rle", "rle", false},             {"fpcmpshl", "fpcmpshl", false},
    {"dictunp", "dictunp", false}, {"ondiv", "ondiv", false},         {"onmul", "onmul", false},
    {"onadd", "onaddsub", false},  {"sparc6", "sparc6", false},       {"vamask", "vamask", false},
    {"pause_nsec", "nsec", false}, {"xmont", "xmontmul", false},      {"xmpmul", "xmpmul", false},
    {"mwait", "mwait", false},     {"sparc5", "sparc5", false},       {"adi", "adp", false},
    {"vis3b", "vis3b", false},     {"crc32c", "crc32c", false},       {"cbcond", "cbcond", false},
    {"pause", "pause", false},     {"mont", "montmul", false},        {"mpmul", "mpmul", false},
    {"sha512", "sha512", false},   {"sha256", "sha256", false},       {"sha1", "sha1", false},
    {"md5", "md5", false},         {"camellia", "camellia", false},   {"kasumi", "kasumi", false},
    {"des", "des", false},         {"aes", "aes", false},             {"cspare", "cspare", false},
    {"ima", "ima", false},         {"fjfmau", "fjfmau", false},       {"trans", "trans", false},
    {"random", "random", false},   {"hpc", "hpc", false},             {"vis3", "vis3", false},
    {"fmaf", "fmaf", false},       {"asi_blk_init", "ASIBlkInit", false}, {"vis2", "vis2", false},
    {"vis", "vis", false},         {"popc", "popc", false},           {"v8plus", "v8plus", true},
    {"fsmuld", "fsmuld", true},    {"div32", "div32", true},          {"mul32", "mul32", true},
};

static void feature_lines(md_node cpu, bool narrow) {
  size_t column = 0;
  for (u32 i = 0; i < sizeof features / sizeof features[0]; i++) {
    const struct feature *f = &features[i];
    if ((f->narrow && !narrow) || !md_list_has(cpu, "hwcap-list", f->hwcap)) continue;
    size_t length = strlen(f->isainfo);
    if (column && column + 1 + length >= LINE_LIMIT) {
      printf("\n");
      column = 0;
    }
    printf("%*s%s", column ? 1 : INDENT, "", f->isainfo);
    column += (column ? 1 : INDENT) + length;
  }
  printf("\n");
}

int command_isainfo(int argc, char **argv) {
  if (argc == 1) {
    printf("sparcv9 sparc\n");
    return 0;
  }
  if (argc > 2 || strcmp(argv[1], "-v")) return COMMAND_USAGE;
  md_node cpu = md_find("cpu", MD_NONE);
  printf("64-bit sparcv9 applications\n");
  feature_lines(cpu, false);
  printf("32-bit sparc applications\n");
  feature_lines(cpu, true);
  return 0;
}

int command_pagesize(int argc, char **argv) {
  u64 sizes = 1;
  if (argc == 1) {
    printf("%u\n", PAGE_BYTES);
    return 0;
  }
  if (argc > 2 || strcmp(argv[1], "-a")) return COMMAND_USAGE;
  md_value(md_find("cpu", MD_NONE), "mmu-page-size-list", &sizes);
  for (u32 i = 0; i < 8; i++)
    if (sizes >> i & 1) printf("%lu\n", (u64)PAGE_BYTES << 3 * i);
  return 0;
}
