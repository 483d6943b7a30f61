/* ds.h - Domain Services: what the manager asks of this domain, and what the domain asks of the manager. */
#ifndef LABOS_DS_H
#define LABOS_DS_H
#include "kernel.h"

void ds_start(void); /* quiet where the machine description has no services */

/* The manager's answer to a change of a firmware variable. */
enum ds_variable {
  DS_VARIABLE_OK, DS_VARIABLE_NO_SPACE, DS_VARIABLE_BAD_NAME, DS_VARIABLE_BAD_VALUE, DS_VARIABLE_ABSENT,
  DS_VARIABLE_NO_ANSWER
};
/* value NULL: delete it. From a thread; waits for the answer. */
enum ds_variable ds_variable_set(const char *name, const char *value);

/* drivers.c: devices of a new machine description come, those that are not in it go. */
void drivers_rescan(void);

/* -- between ds.c (the session) and ds_services.c (what is done) */

enum { DS_REQUEST = 2048, DS_ANSWER = 4000 };
enum ds_service {
  DS_MD_UPDATE, DS_SHUTDOWN, DS_PANIC, DS_SUSPEND, DS_CPU, DS_CRYPTO_MAU, DS_CRYPTO_CWQ, DS_MEMORY, DS_VIO,
  DS_SYSTEM_INFO, DS_VAR_CONFIG, DS_VAR_CONFIG_BACKUP, DS_SERVICES
};
struct ds_request {
  enum ds_service service;
  u64 number, session;
  u32 bytes;
  u8 data[DS_REQUEST]; /* behind the number; of DS_MEMORY and DS_SYSTEM_INFO, which have none there, all */
};
const char *ds_name(enum ds_service service);
/* Does what is asked, in a thread of its own. */
void ds_perform(const struct ds_request *request);
/* The same for one service, with room for the answer, all zero. */
void ds_memory(const struct ds_request *request, u8 answer[DS_ANSWER]); /* dr_memory.c */
void ds_vio(const struct ds_request *request, u8 answer[DS_ANSWER]);    /* dr_devices.c */
/* Sends an answer over the session the request came by; any_session: over the one there is. false: there is none. */
bool ds_answer(const struct ds_request *request, bool any_session, const void *data, size_t bytes);
/* Is the service registered, so that an answer will be heard? */
bool ds_is_registered(enum ds_service service);
#endif
