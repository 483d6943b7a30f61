/* calendar.c - the Gregorian calendar, UTC. */
#include "calendar.h"

static bool leap(u64 year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static u64 month_days(u64 month, u64 year) {
  static const u8 days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 1 && leap(year) ? 29 : days[month];
}

void calendar_text(u64 seconds, char text[CALENDAR_BYTES]) {
  static const char week[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  u64 days = seconds / 86400, time = seconds % 86400, weekday = days % 7, year = 1970, month = 0;
  for (; days >= (leap(year) ? 366u : 365u); year++) days -= leap(year) ? 366 : 365;
  for (; days >= month_days(month, year); month++) days -= month_days(month, year);
  snprintf(text, CALENDAR_BYTES, "%.3s %.3s %2lu %02lu:%02lu:%02lu UTC %lu", week + weekday * 3, months + month * 3,
           days + 1, time / 3600, time / 60 % 60, time % 60, year);
}
