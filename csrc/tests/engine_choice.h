/* engine_choice.h - which engine a driver's machines have: with SUN4V_TRANSLATE=N in the environment the translator, which
 * takes blocks at their Nth entry. A driver that finds none says why and ends with status 77. */
#ifndef S4V_TESTS_ENGINE_CHOICE_H
#define S4V_TESTS_ENGINE_CHOICE_H
#include <stdio.h>
#include <stdlib.h>

#include "sun4v.h"

static inline void engine_choose(s4v_machine *m) {
  const char *hot = getenv("SUN4V_TRANSLATE");
  char why[256];
  if (!hot || !s4v_engine_set(m, S4V_ENGINE_TRANSLATOR, (uint32_t)strtoul(hot, NULL, 0))) return;
  s4v_engine(m, why, sizeof why);
  fprintf(stderr, "no translator: %s\n", why);
  exit(77);
}

#endif
