/* crypto_soft.h - hashes and AES in C, one block at a time, and the same by instructions (crypto_insn.S). */
#ifndef LABOS_CRYPTO_SOFT_H
#define LABOS_CRYPTO_SOFT_H
#include "types.h"

void md5_soft(u32 state[4], const u8 block[64]); /* state words little-endian, as in memory */
void sha1_soft(u32 state[5], const u8 block[64]);
void sha256_soft(u32 state[8], const u8 block[64]);
void sha512_soft(u64 state[8], const u8 block[128]);
void crc32c_soft(u32 *crc, const u8 *data, u64 doublewords); /* *crc byte-swapped */
void aes128_expand_soft(const u8 key[16], u64 schedule[22]);
void aes128_encrypt_soft(const u64 schedule[22], u8 block[16]);
void aes128_decrypt_soft(const u64 schedule[22], u8 block[16]);

void md5_insn(u32 state[4], const u8 block[64]);
void sha1_insn(u32 state[5], const u8 block[64]);
void sha256_insn(u32 state[8], const u8 block[64]);
void sha512_insn(u64 state[8], const u8 block[128]);
void crc32c_insn(u32 *crc, const u8 *data, u64 doublewords);
void aes128_expand_insn(const u8 key[16], u64 schedule[22]);
void aes128_encrypt_insn(const u64 schedule[22], u8 block[16]);
void aes128_decrypt_insn(const u64 schedule[22], u8 block[16]);
#endif
