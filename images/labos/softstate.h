/* softstate.h - what the domain says of itself: `ldm list -l` shows it. The words are Solaris's. */
#ifndef LABOS_SOFTSTATE_H
#define LABOS_SOFTSTATE_H

enum soft_state {
  SOFT_BOOTING,    /* "Solaris booting" */
  SOFT_RUNNING,    /* "Solaris running" */
  SOFT_HALTING,    /* "Solaris halting" */
  SOFT_REBOOTING,  /* "Solaris rebooting" */
  SOFT_PANICKING,  /* "Solaris panicking" */
  SOFT_DEBUGGING,  /* "Solaris debugging" */
  SOFT_SUSPENDED,  /* "Solaris suspended" */
};
void soft_state_set(enum soft_state state);
enum soft_state soft_state(void);
#endif
