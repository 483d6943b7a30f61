/* dr_devices.c - the service dr-vio. Layouts and results: illumos, sys/dr_io.h.
 *
 *   request  number (8), cfg-handle (8), type (4), name of the node
 *   answer   number (8), result (4), status (4), reason
 *
 * A new description brings new devices by itself and takes away those that are gone (drivers.c); by this service the
 * manager asks first whether a device can go.
 */
#include "dr_devices.h"

#include "commands.h"
#include "ds.h"
#include "kernel.h"
#include "network.h"
#include "vdisk.h"
#include "wire.h"

enum { CONFIGURE = 0x494f43, UNCONFIGURE = 0x494f55, FORCE = 0x494f46, STATUS = 0x494f53 };
enum { HEAD = 12, REASON = 8, REASON_BYTES = 256 };
enum device_status { NOT_PRESENT, NOT_CONFIGURED, CONFIGURED };

static const struct device_class *const classes[] = {&disk_class, &vnet_class};
enum { CLASSES = sizeof classes / sizeof classes[0] };

static const struct device_class *class_of(const char *name) {
  for (u32 i = 0; i < CLASSES; i++)
    if (strcmp(classes[i]->name, name) == 0) return classes[i];
  return NULL;
}

static bool in_description(const char *name, u64 number) {
  u64 value;
  for (md_node n = md_find("virtual-device", MD_NONE); n != MD_NONE; n = md_find("virtual-device", n)) {
    const char *is = md_string(n, "name");
    if (is && strcmp(is, name) == 0 && md_value(n, "cfg-handle", &value) && value == number) return true;
  }
  return false;
}

static enum device_status status_of(const struct device_class *class, const char *name, u64 number) {
  if (class && class->is_configured(number)) return CONFIGURED;
  return in_description(name, number) ? NOT_CONFIGURED : NOT_PRESENT;
}

static enum device_result act(u32 type, const struct device_class *class, const char *name, u64 number, const char **why) {
  bool there = in_description(name, number);
  if (type == STATUS) return DEVICE_OK;
  if (!there && !(class && class->is_configured(number))) {
    *why = "the device is not in the machine description";
    return DEVICE_NOT_IN_MD;
  }
  *why = "there is no driver for the device";
  if (!class) return DEVICE_FAILED;
  *why = "";
  if (type == CONFIGURE) {
    enum device_result result = class->is_configured(number) ? DEVICE_OK : class->configure(number);
    if (result != DEVICE_OK) *why = "the driver does not attach";
    return result;
  }
  return class->unconfigure(number, type == FORCE, why);
}

static bool type_known(u32 type) {
  return type == CONFIGURE || type == UNCONFIGURE || type == FORCE || type == STATUS;
}

void ds_vio(const struct ds_request *r, u8 m[DS_ANSWER]) {
  u32 type = r->bytes > HEAD ? get32(r->data + 8) : 0;
  const char *name = (const char *)r->data + HEAD, *why = "";
  if (!type_known(type) || r->data[r->bytes - 1]) {
    set32(m, DEVICE_FAILED);
    memcpy(m + REASON, "no such request", 16);
    ds_answer(r, false, m, REASON + 16);
    return;
  }
  u64 number = get64(r->data);
  const struct device_class *class = class_of(name);
  set32(m, act(type, class, name, number, &why));
  set32(m + 4, status_of(class, name, number));
  size_t n = strlen(why) < REASON_BYTES ? strlen(why) : REASON_BYTES;
  memcpy(m + REASON, why, n);
  ds_answer(r, false, m, REASON + n + 1);
}

/* The devices of the description that a driver knows, and those that are still there though it has lost them. */
int command_devices(int argc, char **argv) {
  static const char *const texts[] = {"not present", "unconfigured", "configured"};
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  for (md_node n = md_find("virtual-device", MD_NONE); n != MD_NONE; n = md_find("virtual-device", n)) {
    const char *name = md_string(n, "name");
    const struct device_class *class = name ? class_of(name) : NULL;
    u64 number;
    if (class && md_value(n, "cfg-handle", &number))
      printf("%s@%lx\t%s\n", name, number, texts[status_of(class, name, number)]);
  }
  return 0;
}

int command_services(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  for (enum ds_service s = 0; s < DS_SERVICES; s++)
    printf("%-18s %s\n", ds_name(s), ds_is_registered(s) ? "registered" : "not registered");
  return 0;
}

/* Every cpu that the description has or that runs, and how many threads are bound to it. */
int command_cpus(int argc, char **argv) {
  (void)argv;
  if (argc > 1) return COMMAND_USAGE;
  u64 most = 0, id;
  for (md_node n = md_find("cpu", MD_NONE); n != MD_NONE; n = md_find("cpu", n))
    if (md_value(n, "id", &id) && id < 4096 && id > most) most = id;
  for (u32 cpu = 0; cpu <= most || cpu < 64; cpu++) {
    if (!cpu_exists(cpu) && !cpu_is_online(cpu)) continue;
    printf("%u\t%s%s", cpu, cpu_is_online(cpu) ? "on-line" : "off-line", cpu_exists(cpu) ? "" : ", not in the description");
    if (cpu_bound_count(cpu)) printf(", %u bound", cpu_bound_count(cpu));
    printf("\n");
  }
  return 0;
}
