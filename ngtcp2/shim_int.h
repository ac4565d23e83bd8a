// What the C files share among themselves.
#ifndef NGMQ_NGTCP2_SHIM_INT_H
#define NGMQ_NGTCP2_SHIM_INT_H

#include "shim_api.h"

#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/ssl.h>

// Before 1.23 the getters had no const and no suffix.
#if NGTCP2_VERSION_NUM < 0x011700
#  define ngtcp2_conn_get_expiry2 ngtcp2_conn_get_expiry
#  define ngtcp2_conn_get_tls_alert2 ngtcp2_conn_get_tls_alert
#  define ngtcp2_conn_get_pto2 ngtcp2_conn_get_pto
#  define ngtcp2_conn_get_remote_transport_params2                             \
    ngtcp2_conn_get_remote_transport_params
#  define ngtcp2_conn_get_local_transport_params2                              \
    ngtcp2_conn_get_local_transport_params
#  define ngtcp2_conn_get_negotiated_version2 ngtcp2_conn_get_negotiated_version
#  define ngtcp2_conn_in_closing_period2 ngtcp2_conn_in_closing_period
#  define ngtcp2_conn_in_draining_period2 ngtcp2_conn_in_draining_period
#  define ngtcp2_conn_get_max_data_left2 ngtcp2_conn_get_max_data_left
#  define ngtcp2_conn_get_max_stream_data_left2                                \
    ngtcp2_conn_get_max_stream_data_left
#  define ngtcp2_conn_get_streams_bidi_left2 ngtcp2_conn_get_streams_bidi_left
#  define ngtcp2_conn_get_streams_uni_left2 ngtcp2_conn_get_streams_uni_left
#  define ngtcp2_conn_get_cwnd_left2 ngtcp2_conn_get_cwnd_left
#  define ngtcp2_conn_get_send_quantum2 ngtcp2_conn_get_send_quantum
#  define ngtcp2_conn_get_path2 ngtcp2_conn_get_path
#  define ngtcp2_conn_get_path_max_tx_udp_payload_size2                        \
    ngtcp2_conn_get_path_max_tx_udp_payload_size
#  define ngtcp2_conn_get_dcid2 ngtcp2_conn_get_dcid
#  define ngtcp2_conn_get_client_initial_dcid2                                 \
    ngtcp2_conn_get_client_initial_dcid
#  define ngtcp2_conn_get_scid2 ngtcp2_conn_get_scid
#  define ngtcp2_conn_get_ccerr2 ngtcp2_conn_get_ccerr
#  define ngtcp2_conn_get_stream_user_data2 ngtcp2_conn_get_stream_user_data
#  define ngtcp2_conn_is_local_stream2 ngtcp2_conn_is_local_stream
#  define ngtcp2_conn_get_client_chosen_version2                               \
    ngtcp2_conn_get_client_chosen_version
#  define ngtcp2_conn_encode_0rtt_transport_params2                            \
    ngtcp2_conn_encode_0rtt_transport_params
#  define ngtcp2_conn_get_conn_info2 ngtcp2_conn_get_conn_info
#endif

// --- memory (shim_mem.c) ---

extern const ngtcp2_mem shim_mem;

void *shim_alloc(size_t n);           // like malloc, counted
void *shim_zalloc(size_t n);          // like calloc, counted
void *shim_resize(void *p, size_t n); // like realloc, counted
void shim_release(void *p);
void shim_count_block(int64_t n); // objects of OpenSSL: +1 or -1

void shim_random(uint8_t *dst, size_t n);

// --- addresses (shim_addr.c) ---

// shim_native_path is an ngtcp2_path with room for its addresses.
typedef ngtcp2_path_storage shim_native_path;

ngtcp2_socklen shim_addr_native(ngtcp2_sockaddr_union *out,
                                const shim_addr *a);
void shim_addr_flat(shim_addr *out, const ngtcp2_sockaddr *sa);
void shim_path_native(shim_native_path *out, const shim_path *p);
void shim_path_flat(shim_path *out, const ngtcp2_path *p);
ngtcp2_cid shim_cid_native(shim_cid c);
shim_cid shim_cid_flat(const ngtcp2_cid *c);

// --- buffers (shim_buf.c) ---

void shim_buf_unref(shim_buf *b); // NULL does nothing

// --- events (shim_events.c) ---

void shim_events_reset(shim_events *e);
// NULL: out of memory.
shim_event *shim_events_add(shim_events *e, uint32_t type, int64_t stream_id);
// shim_events_data copies n bytes behind the data of the last event.
int shim_events_data(shim_events *e, const void *p, size_t n);

// --- streams (shim_stream.c) ---

// shim_piece is a range of a buffer in a send queue.
typedef struct shim_piece {
  shim_buf *buf;
  uint32_t off;
  uint32_t len;
} shim_piece;

// Where a stream stands in the schedule.
typedef enum shim_sched {
  SHIM_IDLE,   // nothing to send, or waiting for the peer's stream credit
  SHIM_READY,  // in conn.ready, at the level of its urgency
  SHIM_PARKED, // in conn.parked: waiting for the peer's connection credit
} shim_sched;

// shim_stream is the send side of a stream: a ring of pieces, of which the first
// are sent and not acknowledged, and the rest not sent.
typedef struct shim_stream {
  int64_t id;
  struct shim_stream *prev, *next;   // all streams of the conn
  struct shim_stream *qprev, *qnext; // its list, as sched says
  shim_piece *ring;
  uint32_t cap, head, len; // cap is 0 or a power of two
  uint32_t sent;           // pieces from head that are sent in full
  uint32_t sent_off;       // bytes sent of the piece after them
  uint32_t acked_off;      // bytes acknowledged of the piece at head
  uint64_t queued;         // bytes not sent
  uint64_t unacked;        // bytes sent and not acknowledged
  uint32_t ack_gen;        // events generation of ack_event
  uint32_t ack_event;      // index of the event that sums acks of this call
  uint8_t sched;
  uint8_t urgency;  // 0 to SHIM_URGENCIES-1, which level of conn.ready
  uint8_t fin;      // a FIN is to follow the last piece
  uint8_t fin_sent; // and has been sent
  uint8_t shut;     // no more data is accepted
  uint8_t held;     // SHIM_HELD_*: shutdowns that wait, see shim_conn_shutdown_stream
  uint64_t stop_code, reset_code;
} shim_stream;

enum { SHIM_HELD_READ = 1, SHIM_HELD_WRITE = 2 };

typedef struct shim_list {
  shim_stream *first, *last;
} shim_list;

// --- datagrams (shim_dgram.c) ---

typedef struct shim_dgram_queue {
  shim_dgram_out *ring; // SHIM_DGRAMS_MAX of them; NULL before the first
  uint32_t head, len;
} shim_dgram_queue;

// --- path MTU (shim_mtu.c) ---

typedef struct shim_mtu {
  uint64_t since;    // last acknowledgement, or the last probe timeout after it
  uint64_t rtt;      // changes with acknowledgements
  uint64_t narrowed; // when narrow was set
  uint32_t ptos;     // probe timeouts without an acknowledgement
  uint8_t narrow;    // datagrams are held at 1200 bytes
} shim_mtu;

void shim_mtu_progress(shim_conn *c, uint64_t ts);
void shim_mtu_expire(shim_conn *c, uint64_t ts);
size_t shim_mtu_limit(shim_conn *c);

// --- acknowledgements (shim_ack.c) ---

typedef struct shim_ack {
  uint64_t since;   // when the first packet since the last write came
  uint64_t lost;    // packets that were lost before the last write
  size_t thresh;    // packets after which an acknowledgement does not wait
  uint64_t packets; // since the last write
  uint32_t next;    // packet number that comes next, its lowest bytes
  uint8_t state;
  uint8_t quick; // one of them was long
  uint8_t gap;   // packets are missing before one of them
} shim_ack;

void shim_ack_init(shim_conn *c, ngtcp2_settings *s);
// shim_ack_ordinary, before a run of datagrams is read: it needs no answer for itself.
int shim_ack_ordinary(shim_conn *c, const ngtcp2_path *path, const shim_dgram *run,
                      uint32_t n);
// shim_ack_decrypt is ngtcp2's callback, shim_ack_number comes after each datagram.
int shim_ack_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                     const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
                     size_t textlen, const uint8_t *nonce, size_t noncelen,
                     const uint8_t *header, size_t headerlen);
void shim_ack_number(shim_conn *c);
void shim_ack_read(shim_conn *c, int ordinary, uint32_t n, uint64_t ts);
void shim_ack_due(shim_conn *c);  // the next write must not wait
int shim_ack_holds(shim_conn *c); // there is nothing to write but an ACK that waits
void shim_ack_written(shim_conn *c, const ngtcp2_conn_info *info);
uint64_t shim_ack_expiry(shim_conn *c, uint64_t expiry);

// --- connections (shim_conn.c) ---

struct shim_conn {
  ngtcp2_conn *conn;
  SSL *ssl; // NULL once released
  ngtcp2_crypto_ossl_ctx *ossl;
  ngtcp2_crypto_ossl_ctx *ossl_first; // shim_session_expect_retry
  ngtcp2_crypto_conn_ref ref;
  shim_events *ev;
  shim_stream *streams;
  shim_list ready[SHIM_URGENCIES], parked;
  shim_dgram_queue dgrams;
  shim_mtu mtu;
  shim_ack ack;
  uint64_t last_ts; // time never goes back: ngtcp2 aborts when it does
  uint64_t burst;   // bytes written since update_pkt_tx_time
  uint64_t resume;  // end of the pause after the last burst; UINT64_MAX: not known
  uint64_t others;  // after a write: the deadline without resume; 0: nothing to leave out
  int64_t written;  // what the scheduler returned last
  int32_t fatal;    // how the connection failed: only a close may follow
  uint32_t state;   // SHIM_STATE_* that callbacks set
  uint64_t log_id;
  uint64_t keep_alive; // ns, UINT64_MAX = never
  shim_addr other;     // shim_path_hear: where the client may be now
  uint64_t other_left; // bytes that may be sent there
  uint64_t credit;     // bytes that may be sent on a path that is unproven
  uint64_t next_keys; // times that the keys after the next update were made
  int version_slot;
  int limits_slot;
  int session_slot;
  uint8_t server;
  uint8_t early; // a client that sends 0-RTT
  uint8_t reject_early;
  uint8_t follow_preferred;
  uint8_t held;       // a stream has shutdowns that wait
  uint8_t keyed;      // the keys of the first packets exist
  uint8_t rx_level;   // where TLS expects its next message
  uint8_t wake;       // shim_path_wake waits for a PING
  uint8_t guards;     // packets that may have a PATH_RESPONSE
  uint8_t guard;      // the one under way is a PING before such a packet
  uint8_t guarded;    // the last one was
  uint8_t unproven;   // a server validates the path in use
  uint8_t done;       // SHIM_DONE_*: what became of a server's HANDSHAKE_DONE
  uint8_t unawaited;  // resume is told to ngtcp2 when it is past, without a timer
  uint8_t check_alpn; // a client's handshake completed in this call
  uint8_t given_cids; // issue those of shim_events.given
  uint8_t scid_len; // of the first CID of this side
  uint8_t prefix_len;
  uint8_t secret_len;
  uint8_t prefix[NGTCP2_MAX_CIDLEN];
  uint8_t secret[SHIM_SECRET_MAX];
};

void shim_session_version(shim_conn *c); // shim_session.c
int shim_session_enable_early(shim_conn *c, SSL *ssl);
int shim_session_early_rejected(shim_conn *c);
int shim_session_expect_retry(shim_conn *c);
int shim_session_take(shim_conn *c);

void shim_path_wake(shim_conn *c, const ngtcp2_conn_info *info); // shim_path.c
void shim_path_challenged(shim_conn *c); // a PATH_CHALLENGE has come
// shim_path_guard, before a write: it makes a PING alone. shim_path_unguard, after it.
int shim_path_guard(shim_conn *c, size_t pktlen);
size_t shim_path_guard_len(shim_conn *c);
void shim_path_unguard(shim_conn *c, ngtcp2_ssize n);
void shim_path_begun(shim_conn *c, const ngtcp2_path *path);
void shim_path_ended(shim_conn *c);
// shim_path_earn, after a datagram is read, and shim_path_spend, after a packet is written.
void shim_path_earn(shim_conn *c, const ngtcp2_path *came, uint32_t len);
void shim_path_spend(shim_conn *c, const ngtcp2_path *to, ngtcp2_ssize n);
int shim_path_spent(shim_conn *c); // no packet may be asked for
enum { SHIM_DONE_DUE, SHIM_DONE_SENT, SHIM_DONE_ACKED };
void shim_path_done(shim_conn *c, ngtcp2_ssize n);
// shim_path_hear, after a datagram is read, and shim_path_follow, after one is written.
void shim_path_hear(shim_conn *c, const shim_path *came, uint8_t first, uint32_t len);
void shim_path_follow(shim_conn *c, shim_result *res);

extern const ngtcp2_callbacks shim_callbacks; // shim_cb.c

void shim_conn_begin(shim_conn *c);  // empties events and result
// ts, or the last one if later; ngtcp2 hears of a pause that is over. When that fails, so
// has the connection (shim_conn.fatal): look after the call.
uint64_t shim_now(shim_conn *c, uint64_t ts);
void shim_conn_finish(shim_conn *c, int rv); // fills the result of a call
void shim_fail(shim_result *res, int rv, uint8_t alert, const SSL *ssl);
int shim_shutdown_held(shim_conn *c); // does what waited for the handshake
int shim_reset_token(shim_conn *c, uint8_t *token, const ngtcp2_cid *cid);

int shim_cb_preferred_addr(ngtcp2_conn *conn, ngtcp2_path *dest,
                           const ngtcp2_preferred_addr *addr, void *user_data);
void shim_log_settings(ngtcp2_settings *out, const shim_settings *s); // shim_log.c

shim_stream *shim_stream_new(shim_conn *c, int64_t id);
void shim_stream_del(shim_conn *c, shim_stream *s);
void shim_streams_del(shim_conn *c);
int shim_stream_queue(shim_conn *c, const shim_chunk *chunk);
void shim_stream_acked(shim_stream *s, uint64_t n);
void shim_stream_drop_unsent(shim_conn *c, shim_stream *s);
void shim_stream_wake(shim_conn *c, shim_stream *s);
int shim_streams_waiting(shim_conn *c); // one can send something now
void shim_streams_unpark(shim_conn *c);
shim_stream *shim_stream_find(shim_conn *c, int64_t id);

int shim_dgrams_ready(shim_conn *c);
ngtcp2_ssize shim_dgram_write(shim_conn *c, ngtcp2_path *path,
                              ngtcp2_pkt_info *pi, shim_span dest,
                              ngtcp2_tstamp ts);
void shim_dgrams_del(shim_conn *c);

ngtcp2_ssize shim_sched_write(ngtcp2_conn *conn, ngtcp2_path *path,
                              ngtcp2_pkt_info *pi, uint8_t *dest,
                              size_t destlen, ngtcp2_tstamp ts,
                              void *user_data);

#endif
