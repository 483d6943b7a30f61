/* disk_commands.c - shell commands for disks. A disk is named c0dN, as Solaris names a virtual disk. */
#include "pattern.h"
#include "vdisk.h"

enum { CHUNK_BLOCKS = DISK_TRANSFER / DISK_BLOCK, CHUNK = DISK_TRANSFER, PATTERN_KEY = 0x6c61626f73 };
int command_disks(int argc, char **argv);
int command_cksum(int argc, char **argv);
int command_read(int argc, char **argv);
int command_write(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_flush(int argc, char **argv);
int command_label(int argc, char **argv);
int command_paths(int argc, char **argv);
int label_command(struct disk *d, int argc, char **argv); /* label.c */

/* The disk a command names, once its server is there. */
static struct disk *find(const char *name) {
  struct disk *d = disk_named(name);
  if (!d) printf("%s: no such disk\n", name);
  if (!d || disk_ready(d)) return d;
  printf("%s: no answer from the disk server\n", name);
  return NULL;
}

/* A command on a disk, which nobody can take away meanwhile but by force. */
static int with_disk(int argc, char **argv, int (*command)(struct disk *, int, char **)) {
  struct disk *d = find(argv[1]);
  if (!d) return 1;
  disk_hold(d);
  int status = command(d, argc, argv);
  disk_release(d);
  return status;
}

static int failed(const struct disk *d, const char *what, u64 block, u32 status) {
  printf("%s: %s error at block %lu: %u\n", d->name, what, block, status);
  return 1;
}

static void print_size(u64 bytes) {
  const char *unit = bytes >> 40 ? "TB" : bytes >> 30 ? "GB" : "MB";
  u32 shift = bytes >> 40 ? 40 : bytes >> 30 ? 30 : 20;
  u64 tenths = (bytes * 10) >> shift;
  if (bytes >> 40) tenths = (bytes >> 20) * 10 >> 20;
  printf("%lu.%02lu%s", tenths / 10, tenths % 10 * 10, unit);
}

static void print_disk(struct disk *d, u32 number) {
  u16 geometry[11] = {0}; /* cylinders, alternates, 0, heads, sectors, ... */
  printf("%8u. %s <", number, d->name);
  if (!disk_running(d)) {
    printf("drive not available>\n");
  } else {
    printf("SUN-DiskImage-");
    print_size(d->blocks * DISK_BLOCK);
    if (d->operations >> DISK_GET_GEOMETRY & 1 && !disk_request(d, DISK_GET_GEOMETRY, 0, geometry, sizeof geometry))
      printf(" cyl %u alt %u hd %u sec %u", geometry[0], geometry[1], geometry[3], geometry[4]);
    printf("> %lu blocks%s%s\n", d->blocks, d->operations >> DISK_WRITE & 1 ? "" : " read-only",
           d->media == 2 ? " CD" : d->media == 3 ? " DVD" : "");
  }
  printf("          /virtual-devices@100/channel-devices@200/disk@%lx\n", d->number);
}

int command_disks(int argc, char **argv) {
  (void)argv;
  u32 shown = 0;
  if (argc > 1) return COMMAND_USAGE;
  for (u32 i = 0; disk_at(i); i++) {
    if (!disk_at(i)->present) continue;
    if (!shown) printf("AVAILABLE DISK SELECTIONS:\n");
    print_disk(disk_at(i), shown++);
  }
  if (!shown) printf("No disks found!\n");
  return !shown;
}

/* CRC of POSIX cksum: 0x04c11db7, most significant bit first, then the length. */
static void crc_table(u32 table[256]) {
  for (u32 i = 0; i < 256; i++) {
    u32 crc = i << 24;
    for (u32 bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? crc << 1 ^ 0x04c11db7 : crc << 1;
    table[i] = crc;
  }
}

static int cksum(struct disk *d, int argc, char **argv) {
  static u32 table[256];
  (void)argc, (void)argv;
  u8 *chunk = kmalloc(CHUNK);
  u32 crc = 0, status = 0;
  u64 blocks = d->blocks, at = 0;
  if (!chunk) return 1;
  crc_table(table);
  console_interrupted();
  for (u64 n; at < blocks && !console_interrupted(); at += n) {
    n = blocks - at < CHUNK_BLOCKS ? blocks - at : CHUNK_BLOCKS;
    status = disk_read(d, at, chunk, n);
    if (status) break;
    for (u64 i = 0; i < n * DISK_BLOCK; i++) crc = crc << 8 ^ table[(crc >> 24 ^ chunk[i]) & 0xff];
  }
  kfree(chunk, CHUNK);
  if (status) return failed(d, "read", at, status);
  if (at < blocks) return 130;
  for (u64 length = blocks * DISK_BLOCK; length; length >>= 8)
    crc = crc << 8 ^ table[(crc >> 24 ^ length) & 0xff];
  printf("%u\t%lu\t%s\n", ~crc, blocks * DISK_BLOCK, d->name);
  return 0;
}

int command_cksum(int argc, char **argv) { return argc == 2 ? with_disk(argc, argv, cksum) : COMMAND_USAGE; }

/* Sixteen bytes a line, as od -A x -t x1z does. */
static void dump(const u8 *data, u64 address, u64 bytes) {
  for (u64 i = 0; i < bytes; i += 16) {
    printf("%08lx ", address + i);
    for (u64 k = i; k < i + 16; k++) printf(" %02x", data[k]);
    printf("  |");
    for (u64 k = i; k < i + 16; k++) printf("%c", data[k] >= 32 && data[k] < 127 ? data[k] : '.');
    printf("|\n");
  }
}

static bool range(const struct disk *d, int argc, char **argv, int count_at, u64 *block, u64 *count) {
  *count = 1;
  if (!parse_number(argv[2], block) || (argc > count_at && !parse_number(argv[count_at], count))) return false;
  if (*block < d->blocks && *count <= d->blocks - *block) return true;
  printf("%s: it has %lu blocks\n", d->name, d->blocks);
  return false;
}

static int read_blocks(struct disk *d, int argc, char **argv) {
  u64 block, count;
  u8 data[DISK_BLOCK];
  if (!range(d, argc, argv, 3, &block, &count)) return 1;
  console_interrupted();
  for (u64 i = 0; i < count && !console_interrupted(); i++) {
    u32 status = disk_read(d, block + i, data, 1);
    if (status) return failed(d, "read", block + i, status);
    dump(data, (block + i) * DISK_BLOCK, DISK_BLOCK);
  }
  return 0;
}

int command_read(int argc, char **argv) {
  return argc == 3 || argc == 4 ? with_disk(argc, argv, read_blocks) : COMMAND_USAGE;
}

/* Every block's content follows from its number, so that one in a wrong place is seen. */
static void pattern_fill(u8 *data, u64 block, u64 blocks) {
  for (u64 i = 0; i < blocks * DISK_BLOCK / 8; i++)
    for (u64 k = 0, word = pattern_word(PATTERN_KEY, block * (DISK_BLOCK / 8) + i); k < 8; k++, word >>= 8)
      data[8 * i + k] = (u8)word;
}

static int pattern_write(struct disk *d, u64 block, u64 count) {
  u8 *chunk = kmalloc(CHUNK);
  u32 status = 0;
  if (!chunk) return 1;
  for (u64 n; count > 0 && !status; block += n, count -= n) {
    n = count < CHUNK_BLOCKS ? count : CHUNK_BLOCKS;
    pattern_fill(chunk, block, n);
    status = disk_write(d, block, chunk, n);
    if (status) failed(d, "write", block, status);
  }
  kfree(chunk, CHUNK);
  return status != 0;
}

static int write_blocks(struct disk *d, int argc, char **argv) {
  u64 block, count;
  bool pattern = strcmp(argv[3], "pattern") == 0;
  if ((!pattern && argc > 4) || argc > 5) return COMMAND_USAGE;
  if (!range(d, argc, argv, pattern ? 4 : argc, &block, &count)) return 1;
  u32 status = 0;
  if (!pattern) {
    u8 data[DISK_BLOCK] = {0};
    memcpy(data, argv[3], strlen(argv[3]) < DISK_BLOCK ? strlen(argv[3]) : DISK_BLOCK);
    status = disk_write(d, block, data, 1);
    if (status) return failed(d, "write", block, status);
  } else if (pattern_write(d, block, count)) {
    return 1;
  }
  if (d->operations >> DISK_FLUSH & 1) status = disk_request(d, DISK_FLUSH, 0, NULL, 0);
  if (status) return failed(d, "flush", 0, status);
  printf("%s: %lu block%s written at %lu\n", d->name, count, count == 1 ? "" : "s", block);
  return 0;
}

int command_write(int argc, char **argv) {
  return argc >= 4 ? with_disk(argc, argv, write_blocks) : COMMAND_USAGE;
}

static int verify_blocks(struct disk *d, int argc, char **argv) {
  u64 block, count;
  if (!range(d, argc, argv, 3, &block, &count)) return 1;
  u8 *chunk = kmalloc(2 * CHUNK);
  if (!chunk) return 1;
  u64 wrong = 0, first = 0, total = count, start = block;
  u32 status = 0;
  for (u64 n; count > 0 && !status; block += n, count -= n) {
    n = count < CHUNK_BLOCKS ? count : CHUNK_BLOCKS;
    status = disk_read(d, block, chunk, n);
    pattern_fill(chunk + CHUNK, block, n);
    for (u64 i = 0; i < n && !status; i++) {
      if (memcmp(chunk + i * DISK_BLOCK, chunk + CHUNK + i * DISK_BLOCK, DISK_BLOCK) == 0) continue;
      if (!wrong++) first = block + i;
    }
  }
  kfree(chunk, 2 * CHUNK);
  if (status) return failed(d, "read", block, status);
  if (wrong)
    printf("%s: %lu of %lu blocks differ from the pattern, the first is %lu\n", d->name, wrong, total, first);
  else
    printf("%s: %lu blocks from %lu are the pattern\n", d->name, total, start);
  return wrong != 0;
}

int command_verify(int argc, char **argv) {
  return argc == 4 ? with_disk(argc, argv, verify_blocks) : COMMAND_USAGE;
}

static int flush(struct disk *d, int argc, char **argv) {
  (void)argc, (void)argv;
  u32 status = disk_request(d, DISK_FLUSH, 0, NULL, 0);
  return status ? failed(d, "flush", 0, status) : 0;
}

int command_flush(int argc, char **argv) { return argc == 2 ? with_disk(argc, argv, flush) : COMMAND_USAGE; }

int command_label(int argc, char **argv) {
  bool known = argc == 2 || (argc == 3 && (strcmp(argv[2], "vtoc") == 0 || strcmp(argv[2], "efi") == 0));
  return known ? with_disk(argc, argv, label_command) : COMMAND_USAGE;
}

/* Without a wait: it is of use while no path is there. */
int command_paths(int argc, char **argv) {
  if (argc != 2) return COMMAND_USAGE;
  struct disk *d = disk_named(argv[1]);
  if (!d) printf("%s: no such disk\n", argv[1]);
  for (u32 i = 0; d && i < DISK_PATHS; i++) {
    const struct vio *v = &d->path[i].vio;
    if (!v->channel.open) continue;
    const char *state = v->state != VIO_RUNNING ? "down" : i == d->active ? "active" : "standby";
    printf("%s: channel %lu %s%s\n", d->name, v->channel.id, state, v->channel.id == d->selected ? ", selected" : "");
  }
  return !d;
}
