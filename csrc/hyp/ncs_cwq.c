/* ncs_cwq.c - control words of the cipher and hash units of the T2 and T3, and their work.
 *
 *   control word (64 bytes): control | source | MAC key | hash state | final state | cipher key | IV | destination
 *   control: opcode 63:56, encrypt 55, first 54, last 53, result 52:50, store final state 49, interrupt 48,
 *            digest bytes - 1 47:40, hash 36:32, cipher 31:24, MAC key bytes - 1 23:16, bytes - 1 15:0
 *   block:   words from one with `first` to one with `last`: their sources run together; the first word rules
 *
 * Results are in the control words: bit 50 done, 51 protocol error, 52 memory not there; an error marks the rest of its
 * block, and work goes on with the next one. A block has at most 64 KiB. Sources: Linux 6.1 drivers/crypto/n2_core.h and
 * n2_core.c, Sun's hypervisor; where RC4 and the checksums keep their state is inferred.
 */
#include "crypto/cipher.h"
#include "hyp/hyp.h"

#include <string.h>

enum { BLOCK_MOST = 1 << 16, OP_IN_PLACE = 0x80, OP_COPY = 0x20, OP_CIPHER = 0x40, OP_HASH = 0x41, OP_MASK = 0x7f };
enum { AUTH_CRC32 = 4, AUTH_HMAC = 5, AUTH_CHECKSUM = 8, AUTH_SSL = 9, AUTH_MD5 = 1, RC4_STREAM = 0, RC4_FROM_KEY = 1,
       RC4_TABLE = 256, SUM_BYTES = 4 };
#define CW_DONE (1ull << 50)
#define CW_PROTOCOL (1ull << 51)
#define CW_HARDWARE (1ull << 52)
#define CW_LAST (1ull << 53)
#define CW_FIRST (1ull << 54)
#define CW_ENCRYPT (1ull << 55)
#define CW_STORE_STATE (1ull << 49)
#define CW_INTERRUPT (1ull << 48)

enum word_index { W_CONTROL = 0, W_SOURCE, W_MAC_KEY, W_STATE, W_FINAL, W_KEY, W_IV, W_TO, WORDS };

struct job {
  struct domain *domain;
  u64 word[WORDS];  /* the first control word of the block */
  u64 bytes;        /* of data */
  u8 data[BLOCK_MOST];
};

static u32 field(u64 control, u32 shift, u32 bits) { return (u32)(control >> shift) & ((1u << bits) - 1); }
static u64 word_bytes(u64 control) { return field(control, 0, 16) + 1u; }
static u32 opcode(u64 control) { return field(control, 56, 8) & OP_MASK; }

static bool read_word(const struct domain *d, const struct ncs_unit *u, u64 offset, u64 word[WORDS]) {
  if (!ram_read(d->env.ram, RA(u->base + offset), word, NCS_ENTRY)) return false;
  for (u32 i = 0; i < WORDS; i++) word[i] = __builtin_bswap64(word[i]);
  return true;
}

static void mark_word(struct domain *d, const struct ncs_unit *u, u64 offset, u64 control, u64 result) {
  u8 bytes[8];
  be64_store(bytes, (control & ~(CW_DONE | CW_PROTOCOL | CW_HARDWARE)) | result);
  ram_write(d->env.ram, RA(u->base + offset), bytes, sizeof bytes);
}

static bool there(const struct domain *d, u64 ra, u64 bytes) { return ra == 0 || ram_backed(d->env.ram, RA(ra), bytes); }

u32 ncs_cwq_check(const struct domain *d, const struct ncs_unit *u, u64 tail) {
  for (u64 at = u->tail; at != tail; at = ncs_next(u, at)) {
    u64 w[WORDS];
    if (!read_word(d, u, at, w)) return HV_ENORADDR;
    u64 bytes = word_bytes(w[W_CONTROL]), key = field(w[W_CONTROL], 16, 8) + 1u;
    if (w[W_SOURCE] == 0) return HV_EINVAL;
    bool all = there(d, w[W_SOURCE], bytes) && there(d, w[W_MAC_KEY], key) && there(d, w[W_STATE], 1) &&
               there(d, w[W_FINAL], 1) && there(d, w[W_KEY], 1) && there(d, w[W_IV], 1) && there(d, w[W_TO], bytes);
    if (!all) return HV_ENORADDR;
  }
  return HV_EOK;
}

static bool get(const struct job *j, u32 word, void *to, u64 bytes) {
  return ram_read(j->domain->env.ram, RA(j->word[word]), to, bytes);
}

static bool put(const struct job *j, u32 word, const void *from, u64 bytes) {
  return ram_write(j->domain->env.ram, RA(j->word[word]), from, bytes);
}

/* -- ciphers. These functions give CW_DONE or the error bits. */

/* The key is S, 256 bytes, and the IV i and j, which go on from block to block; or the key is the user's. */
static u64 run_rc4(struct job *j, u32 type) {
  struct rc4 r;
  u8 key[RC4_TABLE], at[2];
  if (type == RC4_FROM_KEY) {
    u32 bytes = field(j->word[W_CONTROL], 16, 8) + 1;
    if (!get(j, W_KEY, key, bytes)) return CW_HARDWARE;
    rc4_init(&r, key, bytes);
    rc4_run(&r, j->data, j->bytes);
    return CW_DONE;
  }
  if (!get(j, W_KEY, r.s, sizeof r.s) || !get(j, W_IV, at, sizeof at)) return CW_HARDWARE;
  r.i = at[0];
  r.j = at[1];
  rc4_run(&r, j->data, j->bytes);
  at[0] = r.i;
  at[1] = r.j;
  return put(j, W_KEY, r.s, sizeof r.s) && put(j, W_IV, at, sizeof at) ? CW_DONE : CW_HARDWARE;
}

/* Number of the cipher in cipher.h; CIPHER_KINDS: RC4, or none. */
static u32 cipher_of(u64 control) {
  u32 type = field(control, 26, 6);
  return type >= 2 && type <= 6 ? type - 2 : CIPHER_KINDS;
}

static u64 run_cipher(struct job *j) {
  u64 control = j->word[W_CONTROL];
  u32 type = field(control, 26, 6), mode = field(control, 24, 2), kind = cipher_of(control);
  u8 key[CIPHER_MOST_KEY], iv[CIPHER_MOST_BLOCK] = {0};
  struct cipher c;
  if (type == RC4_STREAM || type == RC4_FROM_KEY) return run_rc4(j, type);
  if (kind == CIPHER_KINDS) return CW_PROTOCOL;
  if (mode <= CIPHER_CBC && j->bytes % cipher_block_bytes(kind)) return CW_PROTOCOL;
  if (!get(j, W_KEY, key, cipher_key_bytes(kind))) return CW_HARDWARE;
  if (mode != CIPHER_ECB && !get(j, W_IV, iv, cipher_block_bytes(kind))) return CW_HARDWARE;
  cipher_init(&c, kind, key);
  cipher_run(&c, mode, (control & CW_ENCRYPT) != 0, iv, j->data, j->bytes);
  return CW_DONE;
}

/* -- hashes */

static u64 store_digest(struct job *j, const u8 *digest, u32 bytes) {
  u32 wanted = field(j->word[W_CONTROL], 40, 8) + 1;
  return put(j, W_TO, digest, wanted < bytes ? wanted : bytes) ? CW_DONE : CW_HARDWARE;
}

/* CRC-32C as RFC 3720 stores it, least significant byte first, without its inversions; the checksum in 4 bytes. */
static u64 run_sum(struct job *j, u32 type) {
  u8 state[SUM_BYTES];
  if (!get(j, W_STATE, state, sizeof state)) return CW_HARDWARE;
  u32 sum = be32_load(state);
  if (type == AUTH_CRC32)
    be32_store(state, __builtin_bswap32(crc32c_bytes(__builtin_bswap32(sum), j->data, j->bytes)));
  else
    be32_store(state, checksum_bytes(sum, j->data, j->bytes));
  return store_digest(j, state, sizeof state);
}

static u64 run_plain_hash(struct job *j, u32 kind, const u8 *state) {
  u8 digest[HASH_MOST_BYTES];
  struct hash h;
  hash_init(&h, kind, state);
  hash_update(&h, j->data, j->bytes);
  if (j->word[W_CONTROL] & CW_STORE_STATE) {
    hash_state(&h, digest);
    if (!put(j, W_FINAL, digest, hash_bytes(kind))) return CW_HARDWARE;
  }
  hash_final(&h, digest);
  return store_digest(j, digest, hash_bytes(kind));
}

static u64 run_hash(struct job *j) {
  u32 type = field(j->word[W_CONTROL], 32, 5), key_bytes = field(j->word[W_CONTROL], 16, 8) + 1;
  u8 state[HASH_MOST_BYTES], digest[HASH_MOST_BYTES], key[HASH_BLOCK];
  if (type == AUTH_CRC32 || type == AUTH_CHECKSUM) return run_sum(j, type);
  u32 first = type >= AUTH_SSL ? AUTH_SSL : type >= AUTH_HMAC ? AUTH_HMAC : AUTH_MD5, kind = type - first;
  if (type < AUTH_MD5 || kind >= HASH_KINDS || (first == AUTH_SSL && kind == HASH_SHA256)) return CW_PROTOCOL;
  if (!get(j, W_STATE, state, hash_bytes(kind))) return CW_HARDWARE;
  if (first == AUTH_MD5) return run_plain_hash(j, kind, state);
  if (key_bytes > sizeof key) return CW_PROTOCOL;
  if (!get(j, W_MAC_KEY, key, key_bytes)) return CW_HARDWARE;
  if (first == AUTH_HMAC)
    hash_hmac(kind, state, key, key_bytes, j->data, j->bytes, digest);
  else
    hash_ssl_mac(kind, state, key, key_bytes, j->data, j->bytes, digest);
  return store_digest(j, digest, hash_bytes(kind));
}

/* -- blocks */

/* The shortest piece a word may have: a block of its cipher. */
static u64 least_piece(u64 control) {
  u32 kind = cipher_of(control);
  return opcode(control) == OP_CIPHER && kind != CIPHER_KINDS ? cipher_block_bytes(kind) : 1;
}

/* Reads the sources of the block that begins at the head; *end is behind its last word. */
static u64 gather(struct job *j, const struct ncs_unit *u, u64 *end) {
  u64 result = CW_DONE, at = u->head, w[WORDS];
  j->bytes = 0;
  do {
    if (!read_word(j->domain, u, at, w)) return CW_HARDWARE;
    if (at == u->head) memcpy(j->word, w, sizeof w);
    u64 bytes = word_bytes(w[W_CONTROL]);
    bool first = (w[W_CONTROL] & CW_FIRST) != 0;
    *end = at = ncs_next(u, at);
    if (result != CW_DONE) continue; /* only to find the last word */
    if (first != (j->bytes == 0) || bytes < least_piece(j->word[W_CONTROL]) || bytes > BLOCK_MOST - j->bytes)
      result = CW_PROTOCOL;
    else if (!ram_read(j->domain->env.ram, RA(w[W_SOURCE]), j->data + j->bytes, bytes))
      result = CW_HARDWARE;
    else
      j->bytes += bytes;
  } while (!(w[W_CONTROL] & CW_LAST) && at != u->tail);
  return result;
}

/* Where the data go: back to the pieces they came from, or in one run to the destination. */
static bool scatter(const struct job *j, const struct ncs_unit *u, u64 end) {
  u64 done = 0, w[WORDS];
  if (!(j->word[W_CONTROL] >> 56 & OP_IN_PLACE)) return put(j, W_TO, j->data, j->bytes);
  for (u64 at = u->head; done < j->bytes; at = ncs_next(u, at)) {
    if (!read_word(j->domain, u, at, w)) return false;
    u64 bytes = word_bytes(w[W_CONTROL]);
    if (bytes > j->bytes - done) bytes = j->bytes - done; /* the word was written over on the way */
    if (!ram_write(j->domain->env.ram, RA(w[W_SOURCE]), j->data + done, bytes)) return false;
    done += bytes;
    if (ncs_next(u, at) == end) break;
  }
  return true;
}

static u64 run_block(struct job *j, const struct ncs_unit *u, u64 *end) {
  u64 result = gather(j, u, end);
  u32 op = opcode(j->word[W_CONTROL]);
  if (result != CW_DONE) return result;
  if (op == OP_HASH) return run_hash(j);
  if (op == OP_CIPHER) result = run_cipher(j);
  if (op != OP_CIPHER && op != OP_COPY) return CW_PROTOCOL;
  return result == CW_DONE && !scatter(j, u, *end) ? CW_HARDWARE : result;
}

void ncs_cwq_run(struct domain *d, struct ncs_unit *u) {
  struct job j;
  j.domain = d;
  while (u->head != u->tail) {
    u64 end = ncs_next(u, u->head), result = run_block(&j, u, &end);
    u->jobs++;
    u->errors += result != CW_DONE;
    do {
      u64 w[WORDS] = {0};
      read_word(d, u, u->head, w);
      mark_word(d, u, u->head, w[W_CONTROL], result == CW_DONE ? CW_DONE : CW_DONE | result);
      if (w[W_CONTROL] & CW_INTERRUPT) u->event = 1;
      u->head = ncs_next(u, u->head);
    } while (u->head != end);
  }
}
