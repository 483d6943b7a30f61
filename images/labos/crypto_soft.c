/* crypto_soft.c */
#include "types.h"
