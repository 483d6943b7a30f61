/* main.c - labos, a teaching kernel that stands in for Solaris: from the boot cpu's first C to the shell. */
#include "boot_args.h"
#include "console_raw.h"
#include "firmware.h"
#include "hyper.h"
#include "kernel.h"
#include "mdesc_boot.h"
#include "memory_ranges.h"
#include "percpu.h"
#include "scheduler.h"

void kernel_boot(u64 image_ra, u64 arguments_ra, u64 firmware) __attribute__((noreturn));
void shell_thread(void *arg);
static bool under_firmware;

bool boot_is_bare(void) { return !under_firmware; }

/* Versions of the calls the kernel cannot do without; drivers ask for theirs. */
static void hypervisor_open(void) {
  u64 minor;
  hyper_version(GROUP_SUN4V, 1, 0, &minor);
  if (hyper_version(GROUP_CORE, 1, 6, &minor)) panic("hypervisor: no CORE API");
  cross_init(minor);
  hyper_version(GROUP_INTR, 1, 0, &minor);
  hyper_version(GROUP_SOFT_STATE, 1, 0, &minor);
}

/* Under firmware some of the domain's memory is its; bare, all is ours. */
static void memory_find(void) {
  u64 base, bytes;
  for (md_node n = md_find("mblock", MD_NONE); n != MD_NONE; n = md_find("mblock", n))
    if (md_value(n, "base", &base) && md_value(n, "size", &bytes)) memory_add(base, bytes);
  memory_init(firmware_word.available, firmware_word.ranges);
}

static void banner(void) {
  printf("labos %s Version %s 64-bit\n", release_name(), release_version());
  if (boot_flag("-v")) {
    md_node platform = md_find("platform", MD_NONE);
    const char *name = md_string(platform, "banner-name");
    printf("platform: %s\n", name ? name : "unknown");
    printf("memory: %lu MB, cpus: %u, stick %lu Hz\n", memory_total() >> 20, cpu_online_count(), clock_stick_hz());
  }
}

static void init_thread(void *arg) {
  (void)arg;
  cpus_start();
  console_init();
  banner();
  printf("Hostname: %s\n", host_name());
  drivers_init();
  soft_state_set(SOFT_RUNNING);
  if (!thread_start("shell", shell_thread, NULL)) panic("no memory for the shell");
}

/* On the boot cpu's stack, MMU on, traps ours. */
void kernel_boot(u64 image_ra, u64 arguments_ra, u64 firmware) {
  struct cpu *cpu = &boot_block.cpu;
  u64 id = asi_load_scratchpad(SCRATCH_CPU_ID);
  cpu_register = cpu;
  under_firmware = firmware != 0;
  cpu_block_init(cpu, (u64)cpu - KERNEL_BASE + image_ra, image_ra, id);
  thread_become_idle(cpu, boot_block.bytes + CPU_STACK_AT);
  hypervisor_open();
  cpu_queues_configure(cpu);
  cpu->state = CPU_IS_ONLINE;
  soft_state_set(SOFT_BOOTING);
  boot_args_init(arguments_ra);
  md_init();
  clock_init();
  memory_find();
  if (!thread_start("init", init_thread, NULL)) panic("no memory for a thread");
  scheduler_idle();
}
