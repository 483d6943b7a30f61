/* calendar.h - seconds to dates. */
#ifndef LABOS_CALENDAR_H
#define LABOS_CALENDAR_H
#include "types.h"

enum { CALENDAR_BYTES = 40 };
/* As `date` prints it in the C locale: "Tue Jan  1 00:00:00 UTC 2013". */
void calendar_text(u64 seconds, char text[CALENDAR_BYTES]);
#endif
