/* psrinfo.c - psrinfo and psradm: processors, cores and strands, from the machine description. */
#include "commands.h"
#include "kernel.h"
#include "percpu.h"
#include "process.h"

/* A set of cpus, and how many they are. */
struct counted_set {
  struct cpu_set set;
  u32 count;
};

static bool set_has(const struct counted_set *s, u64 id) { return cpu_set_has(&s->set, id); }

static void set_put(struct counted_set *s, u64 id) {
  if (id >= CPUS_MAX || set_has(s, id)) return;
  cpu_set_put(&s->set, id);
  s->count++;
}

/* "(0 1)", "(0-7)", "(0 2-5 9)": runs of three or more become ranges. */
static void set_print(const struct counted_set *s) {
  const char *before = "(";
  for (u32 id = 0; id < CPUS_MAX; id++) {
    if (!set_has(s, id)) continue;
    u32 last = id;
    while (set_has(s, last + 1)) last++;
    if (last - id >= 2) {
      printf("%s%u-%u", before, id, last);
      id = last;
    } else {
      printf("%s%u", before, id);
    }
    before = " ";
  }
  printf(")");
}

static void virtual_processors(const struct counted_set *s) {
  printf("%u virtual processor%s ", s->count, s->count == 1 ? "" : "s");
  set_print(s);
  printf("\n");
}

static u64 cpu_id(md_node cpu) {
  u64 id = ~0ul;
  md_value(cpu, "id", &id);
  return id;
}

/* The instruction cache of the first level: strands of one core share it. */
static md_node core_of(md_node cpu) {
  for (md_node unit = md_linked(cpu, "fwd", "exec-unit", MD_NONE); unit != MD_NONE;
       unit = md_linked(cpu, "fwd", "exec-unit", unit))
    if (md_list_has(unit, "type", "ifetch")) return unit;
  return MD_NONE;
}

static bool in_socket(md_node cpu, md_node socket) {
  if (socket == MD_NONE) return true;
  for (md_node s = md_linked(cpu, "back", "socket", MD_NONE); s != MD_NONE; s = md_linked(cpu, "back", "socket", s))
    if (s == socket) return true;
  return false;
}

static struct counted_set members, core_members, listed;

static void core_fill(md_node core) {
  core_members = (struct counted_set){.count = 0};
  for (md_node c = md_find("cpu", MD_NONE); c != MD_NONE; c = md_find("cpu", c))
    if (set_has(&members, cpu_id(c)) && core_of(c) == core) set_put(&core_members, cpu_id(c));
}

static u32 cores_count(void) {
  u32 count = 0;
  listed = (struct counted_set){.count = 0};
  for (md_node c = md_find("cpu", MD_NONE); c != MD_NONE; c = md_find("cpu", c)) {
    if (!set_has(&members, cpu_id(c)) || set_has(&listed, cpu_id(c))) continue;
    core_fill(core_of(c));
    for (u32 i = 0; i < CPU_SET_WORDS; i++) listed.set.words[i] |= core_members.set.words[i];
    count++;
  }
  return count;
}

static void cores_print(void) {
  listed = (struct counted_set){.count = 0};
  for (md_node c = md_find("cpu", MD_NONE); c != MD_NONE; c = md_find("cpu", c)) {
    if (!set_has(&members, cpu_id(c)) || set_has(&listed, cpu_id(c))) continue;
    core_fill(core_of(c));
    for (u32 i = 0; i < CPU_SET_WORDS; i++) listed.set.words[i] |= core_members.set.words[i];
    printf("  The core has ");
    virtual_processors(&core_members);
  }
}

/* The chip, or sun4v-cpu where the domain is not to know it: the first name of "compatible" without its maker. */
static const char *module_name(md_node cpu) {
  size_t bytes = 0;
  const char *name = (const char *)md_data(cpu, "compatible", &bytes);
  if (!name) return "sun4v-cpu";
  return strncmp(name, "SUNW,", 5) == 0 ? name + 5 : name;
}

static void physical(md_node socket, u64 chip) {
  md_node first = MD_NONE;
  u64 hz = 0;
  members = (struct counted_set){.count = 0};
  for (md_node c = md_find("cpu", MD_NONE); c != MD_NONE; c = md_find("cpu", c)) {
    if (!in_socket(c, socket) || !cpu_block((u32)cpu_id(c))) continue;
    set_put(&members, cpu_id(c));
    if (first == MD_NONE) first = c;
  }
  if (first == MD_NONE) return;
  u32 cores = cores_count();
  printf("The physical processor has ");
  if (cores > 1) printf("%u cores and ", cores);
  virtual_processors(&members);
  if (cores > 1) cores_print();
  md_value(first, "clock-frequency", &hz);
  printf("%s%s (chipid %lu, clock %lu MHz)\n", cores > 1 ? "    " : "  ", module_name(first), chip,
         (hz + 500000) / 1000000);
}

int command_psrinfo(int argc, char **argv) {
  if (argc == 1) {
    for (u32 id = 0; id < cpu_limit(); id++)
      if (cpu_block(id)) printf("%u\t%s\n", id, cpu_is_online(id) ? "on-line" : "off-line");
    return 0;
  }
  if (argc > 2 || strcmp(argv[1], "-pv")) return COMMAND_USAGE;
  if (md_find("socket", MD_NONE) == MD_NONE) physical(MD_NONE, 0);
  for (md_node s = md_find("socket", MD_NONE); s != MD_NONE; s = md_find("socket", s)) {
    u64 chip = 0;
    md_value(s, "id", &chip);
    physical(s, chip);
  }
  return 0;
}

int command_psradm(int argc, char **argv) {
  u64 id;
  bool force = argc == 4 && strcmp(argv[1], "-F") == 0;
  if (argc != 3 + force || !parse_number(argv[2 + force], &id)) return COMMAND_USAGE;
  bool offline = strcmp(argv[1 + force], "-f") == 0;
  if (!offline && (force || strcmp(argv[1], "-n"))) return COMMAND_USAGE;
  enum cpu_result result = offline ? cpu_offline((u32)id, force) : cpu_online((u32)id);
  if (result != CPU_OK) printf("psradm: processor %lu: %s\n", id, cpu_result_text(result));
  return result == CPU_OK ? 0 : 1;
}

int command_psrbind(int argc, char **argv) {
  u64 id = 0, cpu = 0;
  bool bind = argc == 4 && strcmp(argv[1], "-b") == 0, unbind = argc == 3 && strcmp(argv[1], "-u") == 0;
  if ((!bind && !unbind) || !parse_number(argv[argc - 1], &id) || (bind && !parse_number(argv[2], &cpu)))
    return COMMAND_USAGE;
  if (bind && (cpu >= CPUS_MAX || !cpu_is_online((u32)cpu))) {
    printf("psrbind: processor %lu is not on-line\n", cpu);
    return 1;
  }
  if (process_bind((u32)id, bind ? cpu_block((u32)cpu) : NULL)) return 0;
  printf("psrbind: %lu: no such program\n", id);
  return 1;
}
