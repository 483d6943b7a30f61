/* prtconf.c - prtconf: memory, and the tree of devices that the machine description tells of. */
#include "commands.h"
#include "kernel.h"

enum { KINDS = 32 };
static struct {
  const char *name;
  u32 count;
} instances[KINDS];

static u32 instance_next(const char *name) {
  for (u32 i = 0; i < KINDS; i++) {
    if (instances[i].name && strcmp(instances[i].name, name)) continue;
    instances[i].name = name;
    return instances[i].count++;
  }
  return 0;
}

static const char *device_name(md_node node) {
  const char *name = md_string(node, "name");
  return name ? name : md_name(node);
}

static void line(u32 depth, const char *name) {
  printf("%*s%s, instance #%u\n", (int)depth * 4, "", name, instance_next(name));
}

static void children(md_node parent, u32 depth) {
  for (md_node d = md_linked(parent, "fwd", "virtual-device", MD_NONE); d != MD_NONE;
       d = md_linked(parent, "fwd", "virtual-device", d))
    line(depth, device_name(d));
}

int command_prtconf(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  memset(instances, 0, sizeof instances);
  const char *platform = md_string(md_find("platform", MD_NONE), "name");
  printf("System Configuration:  Oracle Corporation  sun4v\n");
  printf("Memory size: %lu Megabytes\n", memory_total() >> 20);
  printf("System Peripherals (Software Nodes):\n\n%s\n", platform ? platform : "sun4v");
  md_node devices = md_find("virtual-devices", MD_NONE);
  if (devices != MD_NONE) {
    line(1, device_name(devices));
    children(devices, 2);
    md_node channels = md_linked(devices, "fwd", "channel-devices", MD_NONE);
    if (channels != MD_NONE) {
      line(2, device_name(channels));
      children(channels, 3);
    }
  }
  for (md_node c = md_find("cpu", MD_NONE); c != MD_NONE; c = md_find("cpu", c)) line(1, "cpu");
  return 0;
}
