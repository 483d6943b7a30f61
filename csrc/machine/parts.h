/* parts.h - the state of a machine but for its memory, in parts: what both kinds of state image are made of.
 *
 * A part is saved and loaded by itself; loading is in the order of the table. state.c puts them one after the other, for a
 * machine made alike; moving.c makes named sections of them, for a machine of another server.
 */
#ifndef S4V_MACHINE_PARTS_H
#define S4V_MACHINE_PARTS_H
#include "machine/machine.h"

struct part {
  const char *name;
  u32 version;
  bool moves; /* false: the client takes it along itself */
  void (*save)(const s4v_machine *, struct writer *); /* strands are normalised on the way: their state stays the same */
  bool (*load)(s4v_machine *, struct reader *);       /* everything read is checked before it is used */
};

enum { PART_COUNT = 6 };
extern const struct part parts[PART_COUNT];

/* The numbers of the strands there are. load: at most max_strands, ascending; 0: malformed. */
void parts_save_strand_ids(const s4v_machine *, struct writer *);
u32 parts_load_strand_ids(const s4v_machine *, uint32_t *ids, struct reader *);

/* What a refused image gives back. */
struct before {
  s4v_config config;
  struct ncs ncs;
  u32 strand_count;
  uint32_t *strands, *wanted; /* max_strands each: those there were, and room for those of the image */
};
bool before_take(struct before *, const s4v_machine *); /* false: no host memory */
void before_drop(struct before *);
/* A refused image leaves the machine reset, with its memory as the image had it so far, its strands and its crypto units. */
void before_restore(const struct before *, s4v_machine *);

/* What of the configuration the strands are told. */
void machine_tell_chip(s4v_machine *);
const char *machine_config_error(const s4v_config *); /* NULL: none */

#endif
