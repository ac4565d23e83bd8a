// The functions of the C side that Go calls. Functions of shim_conn leave their
// outcome in the result area of the conn's events; int results are 0 or
// NGTCP2_ERR_*.
#ifndef NGMQ_NGTCP2_SHIM_API_H
#define NGMQ_NGTCP2_SHIM_API_H

#include "shim.h"

#include <ngtcp2/ngtcp2_crypto.h>

typedef struct shim_conn shim_conn;

// shim_span is memory that is lent for one call.
typedef struct shim_span {
  const uint8_t *p;
  size_t len;
} shim_span;

// --- shim_mem.c ---

int64_t shim_heap_bytes(void);
int64_t shim_heap_blocks(void);
const char *shim_version(void);
int shim_init(void); // once per process, before everything else

// --- shim_buf.c ---

shim_buf *shim_buf_new(uint32_t capacity);
void shim_buf_free(shim_buf *b);

// --- shim_events.c ---

shim_events *shim_events_new(void);
void shim_events_del(shim_events *e);

// --- shim_conn.c ---

// SHIM_WRITE_PKTS_MAX bounds the time of one write: a send quantum of 64 KiB in
// packets of 1200 bytes (Go: MaxWritePkts).
#define SHIM_WRITE_PKTS_MAX 54
// Urgencies of streams, 0 first (RFC 9218 section 4.1).
#define SHIM_URGENCIES 8
#define SHIM_URGENCY_DEFAULT 3
#define SHIM_VERSIONS_MAX 16
#define SHIM_PROBES_MAX 32
#define SHIM_SECRET_MAX 64
#define SHIM_EARLY_PARAMS_MAX 256 // eleven numbers of up to 8 bytes, with ids

// shim_session_head begins a session that a client can resume, in network byte
// order; params_len bytes of transport parameters and the TLS session follow.
typedef struct shim_session_head {
  uint32_t version;
  uint32_t params_len;
} shim_session_head;

// shim_params is ngtcp2_transport_params with the preferred addresses in flat
// form (those inside p are not used).
typedef struct shim_params {
  ngtcp2_transport_params p;
  shim_addr preferred4;
  shim_addr preferred6;
} shim_params;

// shim_settings is ngtcp2_settings with its arrays in place; the pointers and
// callbacks inside s are set by C.
typedef struct shim_settings {
  ngtcp2_settings s;
  uint32_t preferred_versions[SHIM_VERSIONS_MAX];
  uint32_t available_versions[SHIM_VERSIONS_MAX];
  uint16_t pmtud_probes[SHIM_PROBES_MAX];
  uint64_t log_id; // of the records below
  uint8_t qlog, log; // what to write into the events' logs
} shim_settings;

typedef struct shim_config {
  shim_settings settings;
  shim_params params;
  shim_path path;
  shim_cid dcid;
  shim_cid scid;
  uint32_t version;
  int version_slot; // ex_data indexes of the SSL, see crypto.Slots
  int limits_slot;
  int session_slot;
  uint32_t early_len; // above 0: a client sends 0-RTT
  uint8_t early_params[SHIM_EARLY_PARAMS_MAX];
  uint8_t server;
  uint8_t reject_early; // a server turns 0-RTT down, and its tickets do not allow it
  uint8_t follow_preferred; // a client goes to its server's preferred address
  uint8_t given_cids; // issue those of shim_events.given
  uint8_t prefix_len;
  uint8_t secret_len;
  uint8_t prefix[NGTCP2_MAX_CIDLEN];
  uint8_t secret[SHIM_SECRET_MAX];
} shim_config;

// shim_ccerr is ngtcp2_ccerr.
typedef struct shim_ccerr {
  uint32_t kind;
  uint64_t code;
  uint64_t frame_type;
  const uint8_t *reason;
  size_t reasonlen;
} shim_ccerr;

typedef struct shim_stream_info {
  uint64_t queued;
  uint64_t unacked;
  uint64_t max_left;
} shim_stream_info;

typedef struct shim_values {
  uint64_t pto;
  uint64_t streams_bidi_left;
  uint64_t streams_uni_left;
  uint64_t max_data_left;
  uint64_t cwnd_left;
  uint64_t send_quantum;
  uint64_t path_max_tx_udp_payload_size;
  uint64_t key_updates;
  shim_path path;
  uint32_t negotiated_version;
  shim_cid dcid;
  shim_cid client_initial_dcid;
} shim_values;

void shim_settings_default(ngtcp2_settings *s);
void shim_params_default(ngtcp2_transport_params *p);

// shim_conn_new takes over ssl, also when it fails (NULL; see e->res).
shim_conn *shim_conn_new(const shim_config *cfg, shim_span token, void *ssl,
                         shim_events *e);
void shim_conn_del(shim_conn *c);
void shim_conn_ssl_free(void *ssl);

void shim_conn_read(shim_conn *c, const shim_path *path, const uint8_t *base,
                    const shim_dgram *run, uint32_t n, uint64_t ts);
void shim_conn_write(shim_conn *c, uint8_t *dst, size_t dstlen,
                     const shim_chunk *chunks, uint32_t n, uint64_t ts);
void shim_conn_expire(shim_conn *c, uint64_t ts);
void shim_conn_write_close(shim_conn *c, uint8_t *dst, size_t dstlen,
                           shim_ccerr err, uint64_t ts);

int shim_conn_open_stream(shim_conn *c, int uni);
void shim_conn_shutdown_stream(shim_conn *c, int how, int64_t id,
                               uint64_t code);
int shim_conn_extend(shim_conn *c, int64_t id, uint64_t stream, uint64_t conn);
void shim_conn_extend_streams(shim_conn *c, int uni, uint64_t n);
int shim_conn_stream_info(shim_conn *c, int64_t id, shim_stream_info *out);
// 0, or -1 for an unknown stream.
int shim_conn_set_urgency(shim_conn *c, int64_t id, uint8_t urgency);
int shim_conn_is_local_stream(shim_conn *c, int64_t id);

void shim_conn_keep_alive(shim_conn *c, uint64_t timeout);
void shim_conn_submit_new_token(shim_conn *c, shim_span token);

// --- shim_dgram.c ---

#define SHIM_DGRAMS_MAX 128

// shim_dgram_out is a datagram to send.
typedef struct shim_dgram_out {
  uint64_t id;
  shim_buf *buf;
  uint32_t off;
  uint32_t len;
} shim_dgram_out;

enum {
  SHIM_DGRAM_RANGE = -1,
  SHIM_DGRAM_OFF = -2,
  SHIM_DGRAM_TOO_LARGE = -3,
  SHIM_DGRAM_FULL = -4,
};

// 0 or SHIM_DGRAM_*; takes over the reference of d in every case.
uint32_t shim_conn_queued_dgrams(const shim_conn *c);
int shim_conn_queue_dgram(shim_conn *c, shim_dgram_out d);
uint64_t shim_dgram_limit(shim_conn *c);

// --- shim_path.c ---

void shim_conn_update_key(shim_conn *c, uint64_t ts);
void shim_conn_migrate(shim_conn *c, const shim_path *path, int immediate,
                       uint64_t ts);
int shim_conn_set_local_addr(shim_conn *c, const shim_addr *addr);

// --- shim_info.c ---

void shim_conn_info(shim_conn *c, ngtcp2_conn_info *out);
void shim_conn_values(shim_conn *c, shim_values *out);
int shim_conn_params(shim_conn *c, int remote, shim_params *out);
uint32_t shim_conn_scids(shim_conn *c, shim_cid *out, uint32_t n);
void shim_conn_ccerr(shim_conn *c, shim_ccerr *out);
void *shim_conn_ssl(shim_conn *c);
int shim_conn_release_tls(shim_conn *c);

// --- shim_pkt.c ---

// shim_pkt_hd is ngtcp2_pkt_hd with the token as a range of the packet.
typedef struct shim_pkt_hd {
  shim_cid dcid;
  shim_cid scid;
  uint8_t type;
  uint32_t version;
  size_t token_off;
  size_t token_len;
} shim_pkt_hd;

// shim_version_cid is ngtcp2_version_cid with ranges of the packet.
typedef struct shim_version_cid {
  uint32_t version;
  size_t dcid_off, dcid_len;
  size_t scid_off, scid_len;
} shim_version_cid;

// shim_vn is the content of a Version Negotiation packet.
typedef struct shim_vn {
  shim_span dcid;
  shim_span scid;
  const uint32_t *versions;
  size_t len;
} shim_vn;

// shim_ids are the header fields of a packet that is written without a conn.
typedef struct shim_ids {
  uint32_t version;
  shim_cid dcid;
  shim_cid scid;
  shim_cid odcid; // Retry only
} shim_ids;

#define SHIM_RETRY_TOKEN_MAX NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2
#define SHIM_TOKEN_MAX NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN
#define SHIM_RETRY_TOKEN_MAGIC NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2
#define SHIM_TOKEN_MAGIC NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR
#define SHIM_TOKEN_UNREADABLE NGTCP2_CRYPTO_ERR_UNREADABLE_TOKEN

int shim_accept(shim_pkt_hd *out, const uint8_t *pkt, size_t len);
int shim_decode_version_cid(shim_version_cid *out, const uint8_t *pkt,
                            size_t len, size_t short_dcidlen);
// These return the length or NGTCP2_ERR_*; the memory of dst is written.
int64_t shim_write_version_negotiation(shim_span dst, uint8_t unused,
                                       shim_vn vn);
int64_t shim_write_retry(shim_span dst, const shim_ids *ids, shim_span token);
int64_t shim_write_connection_close(shim_span dst, const shim_ids *ids,
                                    uint64_t code, shim_span reason);
int64_t shim_write_stateless_reset(shim_span dst, const uint8_t *token);
int shim_stateless_reset_token(uint8_t *token, shim_span secret, shim_cid cid);

// --- shim_token.c ---

// shim_proof is what a token is bound to; odcid is output of verification.
typedef struct shim_proof {
  shim_addr remote;
  uint64_t ts;
  uint64_t timeout;
  uint32_t version;
  shim_cid retry_scid;
  shim_cid odcid;
} shim_proof;

// The length or a negative code of ngtcp2_crypto.h.
int64_t shim_generate_retry_token(shim_span dst, shim_span secret,
                                  const shim_proof *p);
int64_t shim_generate_token(shim_span dst, shim_span secret,
                            const shim_proof *p);
int shim_verify_retry_token(shim_span token, shim_span secret, shim_proof *p);
int shim_verify_token(shim_span token, shim_span secret, const shim_proof *p);

#endif
