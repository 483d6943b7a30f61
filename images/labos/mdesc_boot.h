/* mdesc_boot.h */
#ifndef LABOS_MDESC_BOOT_H
#define LABOS_MDESC_BOOT_H
void md_init(void);
#endif
