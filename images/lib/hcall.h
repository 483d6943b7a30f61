/* hcall.h - numbers and calls of the sun4v hypervisor interface.
 *
 * Convention (UltraSPARC Virtual Machine Specification): a trap with software number 0x80 or above from privileged
 * mode; the function number in %o5, arguments in %o0-%o4; status in %o0, results in %o1-%o4; all else preserved.
 */
#ifndef IMAGES_HCALL_H
#define IMAGES_HCALL_H

#define HTRAP_FAST 0x80
#define HTRAP_MMU_MAP_ADDR 0x83
#define HTRAP_MMU_UNMAP_ADDR 0x84
#define HTRAP_CORE 0xff

#define API_SET_VERSION 0x00 /* CORE trap */
#define API_GET_VERSION 0x03 /* CORE trap */

#define MACH_EXIT 0x00
#define MACH_DESC 0x01
#define MACH_SIR 0x02
#define MACH_SET_WATCHDOG 0x05
#define CPU_START 0x10
#define CPU_STOP 0x11
#define CPU_YIELD 0x12
#define CPU_POKE 0x13
#define CPU_QCONF 0x14
#define CPU_QINFO 0x15
#define CPU_MYID 0x16
#define CPU_STATE 0x17
#define MMU_TSB_CTX0 0x20
#define MMU_TSB_CTXNON0 0x21
#define MMU_DEMAP_PAGE 0x22
#define MMU_DEMAP_CTX 0x23
#define MMU_DEMAP_ALL 0x24
#define MMU_MAP_PERM_ADDR 0x25
#define MMU_FAULT_AREA_CONF 0x26
#define MMU_ENABLE 0x27
#define MMU_UNMAP_PERM_ADDR 0x28
#define CPU_MONDO_SEND 0x42
#define TOD_GET 0x50
#define TOD_SET 0x51
#define CONS_GETCHAR 0x60
#define CONS_PUTCHAR 0x61
#define CONS_READ 0x62
#define CONS_WRITE 0x63
#define SOFT_STATE_SET 0x70
#define SOFT_STATE_GET 0x71
#define INTR_DEVINO2SYSINO 0xa0
#define INTR_SETENABLED 0xa2
#define INTR_SETSTATE 0xa4
#define INTR_SETTARGET 0xa6
#define VINTR_SETCOOKIE 0xa8
#define VINTR_SETVALID 0xaa
#define VINTR_SETSTATE 0xac
#define VINTR_SETTARGET 0xae
#define LDC_TX_QCONF 0xe0
#define LDC_TX_QINFO 0xe1
#define LDC_TX_GET_STATE 0xe2
#define LDC_TX_SET_QTAIL 0xe3
#define LDC_RX_QCONF 0xe4
#define LDC_RX_QINFO 0xe5
#define LDC_RX_GET_STATE 0xe6
#define LDC_RX_SET_QHEAD 0xe7
#define LDC_SET_MAP_TABLE 0xea
#define LDC_GET_MAP_TABLE 0xeb
#define LDC_COPY 0xec
#define LDC_MAPIN 0xed
#define LDC_UNMAP 0xee
#define LDC_REVOKE 0xef
#define RNG_DATA_READ 0x134
#define MACH_SUSPEND 0x181
#define CPU_TICK_NPT 0x182
#define CPU_STICK_NPT 0x183

#define GROUP_SUN4V 0
#define GROUP_CORE 1
#define GROUP_INTR 2
#define GROUP_SOFT_STATE 3
#define GROUP_LDOM 0x101
#define GROUP_RNG 0x104

#define EOK 0
#define ENOCPU 1
#define ENORADDR 2
#define ENOINTR 3
#define EBADPGSZ 4
#define EBADTSB 5
#define EINVAL 6
#define EBADTRAP 7
#define EBADALIGN 8
#define EWOULDBLOCK 9
#define ENOACCESS 10
#define EIO 11
#define ECPUERROR 12
#define ENOTSUPPORTED 13
#define ENOMAP 14
#define ETOOMANY 15
#define ECHANNEL 16
#define EBUSY 17

#ifndef __ASSEMBLER__
typedef unsigned long u64_hcall;

/* Arguments in, results out: arg[0] comes back as the status, arg[1]-arg[4] as ret1-ret4. */
struct hcall {
  u64_hcall arg[5];
};

#define HCALL_BODY(trap)                                                                                         \
  register u64_hcall o0 __asm__("o0") = h->arg[0];                                                               \
  register u64_hcall o1 __asm__("o1") = h->arg[1];                                                               \
  register u64_hcall o2 __asm__("o2") = h->arg[2];                                                               \
  register u64_hcall o3 __asm__("o3") = h->arg[3];                                                               \
  register u64_hcall o4 __asm__("o4") = h->arg[4];                                                               \
  register u64_hcall o5 __asm__("o5") = function;                                                                \
  __asm__ volatile("ta %6" : "+r"(o0), "+r"(o1), "+r"(o2), "+r"(o3), "+r"(o4), "+r"(o5) : "i"(trap) : "memory"); \
  h->arg[0] = o0, h->arg[1] = o1, h->arg[2] = o2, h->arg[3] = o3, h->arg[4] = o4;                                \
  return o0

static inline u64_hcall hcall_fast(u64_hcall function, struct hcall *h) { HCALL_BODY(HTRAP_FAST); }
/* MMU_MAP_ADDR has a trap number of its own: va, context, TTE, flags. */
static inline u64_hcall hcall_map_addr(struct hcall *h) {
  u64_hcall function = 0;
  HCALL_BODY(HTRAP_MMU_MAP_ADDR);
}
static inline u64_hcall hcall_core(u64_hcall function, struct hcall *h) { HCALL_BODY(HTRAP_CORE); }
#endif
#endif
