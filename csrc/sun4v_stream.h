/* sun4v_stream.h - the second part of the core's interface: memory on its way to another server. Errors are those of sun4v.h.
 *
 * As there, what stands between the marks is read by cffi as well.
 */
#ifndef SUN4V_STREAM_H
#define SUN4V_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* CDEF BEGIN */
/* Transfer of memory to another server (csrc/stream): a view of blocks by their descriptors, in any process. Pages have an
 * index, counted over the blocks by ascending ra, and a number, ra / 8192, which is what is told to the other side. Any
 * thread may call; chunks of several threads hold different pages. Errors: S4V_E*, or S4V_EINVAL with a text. */
typedef struct s4v_stream s4v_stream;
enum {
  S4V_STREAM_CHUNK_PAGES = 32,       /* pages with bytes in a chunk */
  S4V_STREAM_CHUNK_ZEROS = 512,      /* pages that are zero now, in a chunk */
  S4V_STREAM_HEADER_BYTES = 64,
  S4V_STREAM_RAW_BYTES = 270336,     /* the most a chunk's payload has: 544 numbers of pages, 32 pages, rounded up to 4 KiB */
  S4V_STREAM_KEY_BYTES = 8256,       /* key of the page hashes */
  S4V_STREAM_MAX_BYTES = 1 << 20     /* of a payload of another type */
};
typedef struct s4v_stream_block {    /* as s4v_block; the descriptors are duplicated */
  uint64_t ra, bytes, memory_offset, page_map_offset, region_map_offset;
  int32_t memory_fd, map_fd;
} s4v_stream_block;
typedef struct s4v_stream_chunk {    /* a header: emulator/stream/protocol.md */
  uint64_t mid, sequence, argument;
  uint32_t round, raw_bytes, wire_bytes, crc;
  uint16_t channel, pages, zeros;
  uint8_t major, minor, type, algorithm;
} s4v_stream_chunk;
typedef struct s4v_stream_taken {
  uint32_t pages, zeros, raw_bytes;  /* the payload: zeros and pages that differ from what was sent last */
  uint32_t looked;                   /* pages that were pending and are not any more */
} s4v_stream_taken;
/* `marks` 1: the blocks' dirty marks are wanted (a sender). NULL, and `err`: not such descriptors, no memory. */
s4v_stream *s4v_stream_new(const s4v_stream_block *, uint32_t count, const uint8_t *key, int marks, char *err, size_t err_bytes);
void s4v_stream_free(s4v_stream *);
uint64_t s4v_stream_pages(const s4v_stream *);
/* Clear the marks, their pages are pending; how many it were. The caller has the machine's barrier passed before it takes. */
int64_t s4v_stream_harvest(s4v_stream *);
uint64_t s4v_stream_marked(const s4v_stream *);                  /* marked pages; nothing is changed */
/* Populated pages of [*at, *at + most) are pending, holes are passed over; *at is where to go on. How many, or an error. */
int64_t s4v_stream_populated(s4v_stream *, uint64_t *at, uint64_t most);
uint64_t s4v_stream_pending(s4v_stream *);
/* Fetch pending pages into a payload of at most S4V_STREAM_RAW_BYTES; looked 0: nothing is pending. S4V_EFAULT: memory cannot be
 * read. */
int s4v_stream_take(s4v_stream *, uint8_t *raw, s4v_stream_taken *out);
/* The same, and its header, of what `as` has beside lengths, where there is a payload: a chunk by one call. */
int s4v_stream_fetch(s4v_stream *, const s4v_stream_chunk *as, uint8_t *header, uint8_t *raw, s4v_stream_taken *out);
/* Sum of the hashes of all pages as sent, or as received and read back: low word, high word. */
void s4v_stream_digest(s4v_stream *, uint64_t out[2]);
/* Hash the populated pages of [*at, *at + most) again. How many differ from what the digest has; the first are put into
 * `examples` (numbers). *looked: pages with a hash so far; *at is where to go on. At the end pages are added that have gone. */
int64_t s4v_stream_audit(s4v_stream *, uint64_t *at, uint64_t most, uint64_t *looked, uint64_t *examples, uint32_t max);
/* Hash all populated memory anew: table and digest are of what is there now. A step of at most `most` pages from *at on,
 * which moves on; pages with bytes so far. */
int64_t s4v_stream_look(s4v_stream *, uint64_t *at, uint64_t most);
/* Post-copy. Source: `take_at` takes at most `most` pages from page `number` on, if they are pending, else nothing. Target: the
 * presence file of the machine is mapped (S4V_EINVAL: it is none, or another memory's); ranges [first, end) of page numbers
 * are missing; `asked`: pages that threads of the machine ask for, by number. Once `serve` was called, on both sides, a page
 * that is taken is sent even if it is what was sent last, and apply takes only pages that are missing: they are here then. */
int s4v_stream_take_at(s4v_stream *, uint64_t number, uint32_t most, uint8_t *raw, s4v_stream_taken *out);
int64_t s4v_stream_ranges(s4v_stream *, uint64_t *at, uint64_t *ranges, uint32_t max); /* pending, as [first, end) numbers */
int s4v_stream_presence(s4v_stream *, int fd);
int s4v_stream_missing(s4v_stream *, const uint64_t *ranges, uint32_t count);
void s4v_stream_serve(s4v_stream *);
uint32_t s4v_stream_asked(s4v_stream *, uint64_t *numbers, uint32_t max, int again);
uint64_t s4v_stream_left(const s4v_stream *);
int s4v_stream_wipe(s4v_stream *);                               /* all memory is zero, as a receiver must begin */
/* Header of a chunk: lengths, crc of the payload as sent, crc of the header. */
void s4v_stream_seal(uint8_t *header, const s4v_stream_chunk *, const uint8_t *payload);
int s4v_stream_parse(const uint8_t *header, s4v_stream_chunk *out); /* S4V_EFORMAT: damaged, or out of its bounds */
int s4v_stream_intact(const s4v_stream_chunk *, const uint8_t *payload);
/* The payload (raw_bytes of it, not compressed any more) into memory, read back and hashed. S4V_EFORMAT: not such a payload,
 * nothing was written; S4V_EFAULT: memory cannot be written, or is not what was written. */
int s4v_stream_apply(s4v_stream *, const s4v_stream_chunk *, const uint8_t *raw, uint8_t *scratch);
void s4v_stream_hash(const uint8_t *key, const uint8_t *page, uint64_t number, uint64_t out[2]);
uint32_t s4v_stream_crc32c(const uint8_t *data, size_t bytes);
uint32_t s4v_stream_crc32c_portable(const uint8_t *data, size_t bytes);
/* A TLS 1.3 connection whose handshake is over, by its traffic secrets (32 bytes, of AES-256-GCM 48): one call seals and sends, or
 * receives and opens, many records. `available`: the process has a libcrypto with what it takes. `rekey_after`: new keys after so
 * many records, 0 for as many as are good. PLAIN: without TLS, secrets are not looked at. `send`: all, waiting at most so long
 * without progress (S4V_EBUSY). `receive`: what is there, waiting at most so long for `least` bytes; 0: the peer has ended it,
 * S4V_EBUSY: nothing has come, S4V_EFORMAT: something came that it has not sent, or may not. `waited`: nanoseconds of that.
 * S4V_EFAULT: the socket's `errno`. `pending`: something can be received without a look at the socket. After an error nothing more
 * goes. */
typedef struct s4v_stream_records s4v_stream_records;
enum { S4V_STREAM_PLAIN = 0, S4V_STREAM_AES_128_GCM = 1, S4V_STREAM_AES_256_GCM = 2, S4V_STREAM_CHACHA20 = 3 };
int s4v_stream_records_available(void);
s4v_stream_records *s4v_stream_records_new(int fd, int suite, const uint8_t *out_secret, const uint8_t *in_secret,
                                           uint64_t rekey_after);
void s4v_stream_records_free(s4v_stream_records *);
int s4v_stream_records_send(s4v_stream_records *, const uint8_t *data, size_t bytes, int most_ms);
int64_t s4v_stream_records_receive(s4v_stream_records *, uint8_t *out, size_t room, size_t least, int wait_ms);
uint64_t s4v_stream_records_waited(const s4v_stream_records *);
int s4v_stream_records_pending(const s4v_stream_records *);
int s4v_stream_records_errno(const s4v_stream_records *);
uint64_t s4v_stream_records_blocked(const s4v_stream_records *); /* nanoseconds that `send` has waited for room */
/* Many chunks a call. Results: 0, or what stopped it. Both fields of counts say what was done before that. */
enum {
  S4V_STREAM_FLOW_CHUNKS = 8,        /* of one call of `flow_out` */
  S4V_STREAM_FLOW_BYTES = 270464,    /* the least room of `flow_in`: a chunk and the next one's header */
  S4V_STREAM_FLOW_OTHER = 1,         /* `flow_in`: the end, or a chunk that the caller must look at, from `start` on */
  S4V_STREAM_FLOW_MEMORY = 2,        /* memory cannot be read */
  S4V_STREAM_FLOW_LINK = 3,          /* the socket's error: records_errno */
  S4V_STREAM_FLOW_SILENT = 4,        /* the other side does not read */
  S4V_STREAM_FLOW_RECORD = 5         /* a record that is damaged, or no key */
};
/* Pending pages as chunks with `as`'s round and so on, numbered from its sequence on, into header[i] (S4V_STREAM_HEADER_BYTES and
 * S4V_STREAM_RAW_BYTES behind), and sent; at most `count`, none is begun after most_ns. Those that were fetched have a number and
 * must be sent again if they were not sent. */
typedef struct s4v_stream_outflow {
  uint8_t *header[8];                /* S4V_STREAM_FLOW_CHUNKS */
  uint32_t bytes[8];                 /* of each that was fetched */
  uint32_t count, fetched, sent;
  uint32_t pages, raw_bytes, looked; /* of all that were fetched */
  uint64_t blocked_ns;
} s4v_stream_outflow;
int s4v_stream_flow_out(s4v_stream *, s4v_stream_records *, const s4v_stream_chunk *as, uint64_t most_ns, s4v_stream_outflow *);
/* The next chunks of pages that are as they should be, received into [start, end) of `bytes` and put into memory; every
 * `answer_every` is acknowledged, and all when nothing more has come for soon_ms. 0 after most_ns, or when nothing has come for
 * wait_ms. The chunk that the caller must look at was not touched; it may be not all there. */
typedef struct s4v_stream_inflow {
  uint8_t *bytes;
  uint64_t capacity, start, end;
  uint64_t mid, applied, idle_ns;    /* idle_ns: is added to what an acknowledgement says */
  uint64_t wire_bytes;
  uint32_t round, unanswered, answer_every, taken, pages;
  int32_t soon_ms, wait_ms;
  uint16_t channel;
  uint8_t major, minor;
} s4v_stream_inflow;
int s4v_stream_flow_in(s4v_stream *, s4v_stream_records *, uint64_t most_ns, s4v_stream_inflow *, uint8_t *scratch);
void s4v_stream_complete(s4v_stream *); /* `flow_in` takes nothing any more, in whatever thread it is */
/* CDEF END */
#endif
