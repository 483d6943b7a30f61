/* mdesc.h - the machine description as the hypervisor gives it. */
#ifndef LABOS_MDESC_H
#define LABOS_MDESC_H
#include "types.h"

typedef i32 md_node; /* element index */
enum { MD_NONE = -1 };

/* Nodes of a name in the order of the description, from the beginning (after = MD_NONE):
 *   for (md_node n = md_find("cpu", MD_NONE); n != MD_NONE; n = md_find("cpu", n)) ... */
md_node md_find(const char *name, md_node after);
/* Nodes that an arc ("fwd", "back") of `from` leads to, of a name or (NULL) any, one after the other. */
md_node md_linked(md_node from, const char *arc, const char *name, md_node after);
const char *md_name(md_node node);

bool md_value(md_node node, const char *property, u64 *value);         /* PROP_VAL */
const char *md_string(md_node node, const char *property);             /* PROP_STR; NULL if not there */
const char *md_string_at(md_node node, u32 index, const char **name);  /* PROP_STRs one by one; NULL after the last */
const u8 *md_data(md_node node, const char *property, size_t *bytes);  /* PROP_DATA */
/* Is `word` one of a string list (PROP_DATA), such as a node's "compatible"? */
bool md_list_has(md_node node, const char *property, const char *word);

/* Read the description again (DS md-update, after a resume). Node numbers are those of one reading; what md_string()
 * and md_data() gave stays readable until the reading after the next. Returns the hypervisor's status. */
u64 md_reload(void);
u64 md_generation(void);
#endif
