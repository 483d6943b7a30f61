/* bootblk.c - boot block: what OpenBoot reads from sectors 1 to 15 of a slice, at 0x4000. It loads the ELF program that
 * begins at sector 16 of the same slice, and enters it as OpenBoot enters a program (%o4: client interface).
 *
 * Everything goes through the client interface (IEEE 1275), so it knows no disk and no machine.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { SECTOR = 512, PROGRAM_AT = 16 * SECTOR, PATH_BYTES = 256, MAX_SEGMENTS = 16, PT_LOAD = 1, MACHINE_SPARCV9 = 43 };
#define LARGE_PAGE 0x400000ul

struct elf_header {
  u8 ident[16];
  u16 type, machine;
  u32 version;
  u64 entry, phoff, shoff;
  u32 flags;
  u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct program_header {
  u32 type, flags;
  u64 offset, vaddr, paddr, filesz, memsz, align;
};

static u64 (*cif)(u64 *);

/* A call with up to five arguments; its first result, or -1. */
static u64 call(const char *service, u64 nargs, u64 a, u64 b, u64 c, u64 d, u64 e) {
  u64 cells[9];
  cells[0] = (u64)service, cells[1] = nargs, cells[2] = 1;
  cells[3] = a, cells[4] = b, cells[5] = c, cells[6] = d, cells[7] = e;
  cells[3 + nargs] = ~0ul;
  return cif(cells) ? ~0ul : cells[3 + nargs];
}

static u64 find(const char *path) { return call("finddevice", 1, (u64)path, 0, 0, 0, 0); }
static u64 property(u64 node, const char *name, void *to, u64 room) {
  return call("getprop", 4, node, (u64)name, (u64)to, room, 0);
}

static u32 console;

static void say(const char *text) {
  u64 length = 0;
  while (text[length]) length++;
  call("write", 3, console, (u64)text, length, 0, 0);
}

static void fail(const char *why) {
  say("bootblk: ");
  say(why);
  say("\r\n");
  u64 cells[3] = {(u64) "exit", 0, 0};
  cif(cells);
  for (;;) {}
}

static void read_at(u64 disk, u64 offset, void *to, u64 bytes) {
  call("seek", 3, disk, offset >> 32, (u32)offset, 0, 0);
  if (call("read", 3, disk, (u64)to, bytes, 0, 0) != bytes) fail("the disk cannot be read");
}

static void load(u64 disk, const struct program_header *p) {
  u8 *at = (u8 *)p->vaddr;
  if (p->filesz > p->memsz) fail("a segment is larger in the file than in memory");
  read_at(disk, PROGRAM_AT + p->offset, at, p->filesz);
  for (u64 n = p->filesz; n < p->memsz; n++) at[n] = 0;
}

/* Memory for all segments, in large pages: the program may map itself with them. */
static void claim(const struct program_header *p, u32 count) {
  u64 low = ~0ul, high = 0;
  for (u32 i = 0; i < count; i++) {
    if (p[i].type != PT_LOAD) continue;
    if (p[i].vaddr < low) low = p[i].vaddr;
    if (p[i].vaddr + p[i].memsz > high) high = p[i].vaddr + p[i].memsz;
  }
  low &= ~(LARGE_PAGE - 1);
  high = (high + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
  if (low >= high || call("claim", 3, low, high - low, 0, 0, 0) != low) fail("no memory for the program");
}

static void enter(u64 entry) {
  register u64 o0 __asm__("o0") = 0;
  register u64 o4 __asm__("o4") = (u64)cif;
  __asm__ volatile("jmpl %1, %%g0\n\tmov 0, %%o1" : : "r"(o0), "r"(entry), "r"(o4) : "memory");
}

void bootblk_main(u64 (*handler)(u64 *));
void bootblk_main(u64 (*handler)(u64 *)) {
  static char path[PATH_BYTES];
  static struct elf_header elf;
  static struct program_header headers[MAX_SEGMENTS];
  cif = handler;
  u64 chosen = find("/chosen");
  property(chosen, "stdout", &console, sizeof console);
  if (property(chosen, "bootpath", path, sizeof path - 1) >= sizeof path) fail("no bootpath");
  u64 disk = call("open", 1, (u64)path, 0, 0, 0, 0);
  if (disk == 0 || disk == ~0ul) fail("the boot device cannot be opened");
  read_at(disk, PROGRAM_AT, &elf, sizeof elf);
  if (*(u32 *)(void *)elf.ident != 0x7f454c46 || elf.machine != MACHINE_SPARCV9 || elf.phentsize != sizeof headers[0] ||
      elf.phnum > MAX_SEGMENTS)
    fail("no 64-bit SPARC V9 program at sector 16");
  read_at(disk, PROGRAM_AT + elf.phoff, headers, elf.phnum * sizeof headers[0]);
  claim(headers, elf.phnum);
  for (u32 i = 0; i < elf.phnum; i++)
    if (headers[i].type == PT_LOAD) load(disk, &headers[i]);
  u64 cells[3 + 1] = {(u64) "close", 1, 0, disk};
  cif(cells);
  enter(elf.entry);
}
