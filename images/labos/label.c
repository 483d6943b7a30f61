/* label.c - labels of disks, through the requests of the disk server: the volume table of contents (VTOC) and EFI.
 *
 * Sources: Solaris vtoc.h; UltraSPARC Virtual Machine Specification 3.0, chapter 29; UEFI specification, GUID partition
 * table (numbers are little-endian).
 */
#include "vdisk.h"

enum { SLICES = 8, ENTIRE = 2, TAG_ROOT = 2, TAG_BACKUP = 5, TAG_HOME = 8, UNMOUNTABLE = 1 };
enum { GPT_ENTRIES = 128, GPT_ENTRY = 128, GPT_TABLE = 32, GPT_HEADER = 92, FIRST_USABLE = 2 + GPT_TABLE };

int label_command(struct disk *d, int argc, char **argv);

struct vtoc {
  char volume[8];
  u16 sector, count;
  char text[128];
  u32 padding;
  struct {
    u16 tag, flags;
    u32 reserved;
    u64 start, blocks;
  } slice[SLICES];
};

/* A request for an EFI label, and room for its table. */
struct efi {
  u64 block, bytes;
  u8 data[GPT_TABLE * DISK_BLOCK];
};

static int failed(const struct disk *d, const char *what, u32 status) {
  printf("%s: %s: error %u\n", d->name, what, status);
  return 1;
}

/* -- little-endian fields */

static void put(u8 *to, u64 value, u32 bytes) {
  for (u32 i = 0; i < bytes; i++) to[i] = (u8)(value >> 8 * i);
}

static u64 get(const u8 *from, u32 bytes) {
  u64 value = 0;
  for (u32 i = bytes; i-- > 0;) value = value << 8 | from[i];
  return value;
}

/* CRC-32 of Ethernet and the GUID partition table. */
static u32 crc32(const u8 *data, u64 bytes) {
  u32 crc = ~0u;
  for (u64 i = 0; i < bytes; i++) {
    crc ^= data[i];
    for (u32 bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

/* -- VTOC */

static int print_vtoc(struct disk *d, const struct vtoc *v) {
  printf("%s: VTOC\n", d->name);
  for (u32 i = 0; i < SLICES; i++)
    if (v->slice[i].blocks)
      printf("  slice %u  tag %u  first %lu  blocks %lu\n", i, v->slice[i].tag, v->slice[i].start, v->slice[i].blocks);
  return 0;
}

/* Slice 0 is the first half of the disk, slice 7 the second, slice 2 all of it. */
static int write_vtoc(struct disk *d) {
  struct vtoc v = {0};
  u16 geometry[11] = {0};
  u32 status = disk_request(d, DISK_GET_GEOMETRY, 0, geometry, sizeof geometry);
  if (!status) status = disk_request(d, DISK_GET_VTOC, 0, &v, sizeof v);
  if (status) return failed(d, "the label cannot be read", status);
  u64 cylinder = (u64)geometry[3] * geometry[4], whole = geometry[0] * cylinder, half = geometry[0] / 2 * cylinder;
  memset(v.slice, 0, sizeof v.slice);
  v.sector = DISK_BLOCK;
  v.count = SLICES;
  v.slice[0].tag = TAG_ROOT;
  v.slice[0].blocks = half;
  v.slice[ENTIRE].tag = TAG_BACKUP;
  v.slice[ENTIRE].flags = UNMOUNTABLE;
  v.slice[ENTIRE].blocks = whole;
  v.slice[7].tag = TAG_HOME;
  v.slice[7].start = half;
  v.slice[7].blocks = whole - half;
  status = disk_request(d, DISK_SET_VTOC, 0, &v, sizeof v);
  return status ? failed(d, "the label cannot be written", status) : 0;
}

/* -- EFI */

static u32 efi_request(struct disk *d, enum disk_operation operation, struct efi *e, u64 block, u64 bytes) {
  e->block = block;
  e->bytes = bytes;
  return disk_request(d, operation, 0, e, offsetof(struct efi, data) + bytes);
}

static void entry(u8 *at, const char *name, u64 first, u64 last) {
  static const u8 usr[16] = {0xc3, 0x8c, 0x89, 0x6a, 0xd2, 0x1d, 0xb2, 0x11, 0x99, 0xa6, 8, 0, 0x20, 0x73, 0x66, 0x31};
  memcpy(at, usr, sizeof usr);
  memcpy(at + 16, usr, sizeof usr);
  put(at + 16, first * 0x9e3779b97f4a7c15 + 1, 6); /* one that no other partition here has */
  put(at + 32, first, 8);
  put(at + 40, last, 8);
  for (u32 i = 0; name[i]; i++) put(at + 56 + 2 * i, (u8)name[i], 2);
}

static void header(u8 h[DISK_BLOCK], const struct disk *d, u64 self, u64 other, u64 table, u32 table_crc) {
  memset(h, 0, DISK_BLOCK);
  memcpy(h, "EFI PART", 8);
  put(h + 8, 0x10000, 4);
  put(h + 12, GPT_HEADER, 4);
  put(h + 24, self, 8);
  put(h + 32, other, 8);
  put(h + 40, FIRST_USABLE, 8);
  put(h + 48, d->blocks - FIRST_USABLE, 8);
  put(h + 56, 0x11b21dd26a898cc3 ^ d->number, 8);
  put(h + 64, 0x6c61626f73, 8);
  put(h + 72, table, 8);
  put(h + 80, GPT_ENTRIES, 4);
  put(h + 84, GPT_ENTRY, 4);
  put(h + 88, table_crc, 4);
  put(h + 16, crc32(h, GPT_HEADER), 4);
}

/* Two partitions of half of the disk each; both copies of the table, and the record that keeps old tools away. */
static u32 write_all_efi(struct disk *d, struct efi *e) {
  u64 last = d->blocks - 1, middle = d->blocks / 2;
  memset(e->data, 0, sizeof e->data);
  entry(e->data, "first", FIRST_USABLE, middle - 1);
  entry(e->data + GPT_ENTRY, "second", middle, last - FIRST_USABLE + 1);
  u32 crc = crc32(e->data, GPT_ENTRIES * GPT_ENTRY);
  u32 status = efi_request(d, DISK_SET_EFI, e, 2, sizeof e->data);
  if (!status) status = efi_request(d, DISK_SET_EFI, e, last - GPT_TABLE, sizeof e->data);
  header(e->data, d, last, 1, last - GPT_TABLE, crc);
  if (!status) status = efi_request(d, DISK_SET_EFI, e, last, DISK_BLOCK);
  header(e->data, d, 1, last, 2, crc);
  if (!status) status = efi_request(d, DISK_SET_EFI, e, 1, DISK_BLOCK);
  memset(e->data, 0, DISK_BLOCK);
  e->data[446 + 4] = 0xee;
  put(e->data + 446 + 8, 1, 4);
  put(e->data + 446 + 12, last < 0xffffffff ? last : 0xffffffff, 4);
  put(e->data + 510, 0xaa55, 2);
  return status ? status : efi_request(d, DISK_SET_EFI, e, 0, DISK_BLOCK);
}

static int write_efi(struct disk *d, struct efi *e) {
  if (d->blocks < 4 * FIRST_USABLE) {
    printf("%s: too small for an EFI label\n", d->name);
    return 1;
  }
  u32 status = write_all_efi(d, e);
  return status ? failed(d, "the label cannot be written", status) : 0;
}

static int print_efi(struct disk *d, struct efi *e) {
  u32 status = efi_request(d, DISK_GET_EFI, e, 1, DISK_BLOCK);
  if (status) return failed(d, "the label cannot be read", status);
  if (memcmp(e->data, "EFI PART", 8) != 0) return -1;
  u32 told = (u32)get(e->data + 16, 4), table_crc = (u32)get(e->data + 88, 4);
  u64 table = get(e->data + 72, 8);
  put(e->data + 16, 0, 4);
  bool whole = crc32(e->data, GPT_HEADER) == told;
  status = efi_request(d, DISK_GET_EFI, e, table, sizeof e->data);
  if (status) return failed(d, "the partition table cannot be read", status);
  whole = whole && crc32(e->data, sizeof e->data) == table_crc;
  printf("%s: EFI%s\n", d->name, whole ? "" : ", checksum wrong");
  for (u32 i = 0; i < GPT_ENTRIES; i++) {
    u64 first = get(e->data + i * GPT_ENTRY + 32, 8), last = get(e->data + i * GPT_ENTRY + 40, 8);
    if (last) printf("  partition %u  first %lu  blocks %lu\n", i + 1, first, last - first + 1);
  }
  return !whole;
}

/* Block 0 says which label it is. */
static int print_label(struct disk *d, struct efi *e) {
  struct vtoc v;
  u8 block[DISK_BLOCK];
  u32 status = d->type == 1 ? 0 : disk_read(d, 0, block, 1);
  if (status) return failed(d, "it cannot be read", status);
  if (d->type == 1 || (block[508] == 0xda && block[509] == 0xbe)) {
    status = disk_request(d, DISK_GET_VTOC, 0, &v, sizeof v);
    return status ? failed(d, "the label cannot be read", status) : print_vtoc(d, &v);
  }
  int printed = print_efi(d, e);
  if (printed < 0) printf("%s: no label\n", d->name);
  return printed != 0;
}

int label_command(struct disk *d, int argc, char **argv) {
  struct efi *e = kmalloc(sizeof *e);
  if (!e) return 1;
  int status = 0;
  if (argc == 3) status = strcmp(argv[2], "efi") == 0 ? write_efi(d, e) : write_vtoc(d);
  if (!status) status = print_label(d, e);
  kfree(e, sizeof *e);
  return status;
}
