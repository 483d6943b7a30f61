/* kernel.h - all that a part of labos may ask of the others. */
#ifndef LABOS_KERNEL_H
#define LABOS_KERNEL_H
#include "boot.h"
#include "console.h"
#include "cpu.h"
#include "hcall.h"
#include "interrupt.h"
#include "layout.h"
#include "lock.h"
#include "mdesc.h"
#include "memory.h"
#include "shell.h"
#include "softstate.h"
#include "suspend.h"
#include "thread.h"
#include "timer.h"
#include "types.h"
#endif
