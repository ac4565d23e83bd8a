// The C side of package ngtcp2: plain structs that Go and C share, and one
// function per Go call. See doc.go for the pipeline and for who owns what.
#ifndef NGMQ_NGTCP2_SHIM_H
#define NGMQ_NGTCP2_SHIM_H

// Names the build of the native libraries, so that Go's build cache notices a
// rebuilt one. Written by the third_party build, absent with system libraries.
#if defined(__has_include)
#  if __has_include("third_party_stamp.h")
#    include "third_party_stamp.h"
#  endif
#endif

#include <stddef.h>
#include <stdint.h>

#include <ngtcp2/ngtcp2.h>

#if NGTCP2_VERSION_NUM < 0x011601
#  error "ngmq needs ngtcp2 >= 1.22.1 (older versions have known vulnerabilities): unset SYSTEM_LIBS and run 'make deps', or install a newer libngtcp2-dev and libngtcp2-crypto-ossl-dev"
#endif

// --- values shared with Go (layout asserted in layout.go) -------------------

// shim_cid is a Connection ID (Go: ConnectionID).
typedef struct shim_cid {
  uint8_t len;
  uint8_t data[NGTCP2_MAX_CIDLEN];
} shim_cid;

// shim_addr is an IP address and port; family is 0 (none), 4 or 6.
typedef struct shim_addr {
  uint8_t ip[16];
  uint32_t scope;
  uint16_t port;
  uint8_t family;
  uint8_t reserved;
} shim_addr;

typedef struct shim_path {
  shim_addr local;
  shim_addr remote;
} shim_path;

// shim_event is one fact that a callback reported (Go: Event).
typedef struct shim_event {
  uint32_t type;
  uint32_t flags;
  int64_t stream_id;
  uint64_t a;
  uint64_t b;
  uint32_t data_off;
  uint32_t data_len;
} shim_event;

// shim_dgram is one received datagram inside a lent buffer (Go: Datagram).
typedef struct shim_dgram {
  uint32_t off;
  uint32_t len;
  uint8_t ecn;
} shim_dgram;

// shim_buf is a reference-counted heap block; refs is accessed atomically by
// Go and C.
typedef struct shim_buf {
  int32_t refs;
  uint32_t cap;
  uint8_t data[];
} shim_buf;

// shim_chunk is stream data to send (Go: StreamChunk).
typedef struct shim_chunk {
  int64_t stream_id;
  shim_buf *buf;
  uint32_t off;
  uint32_t len;
  uint8_t fin;
} shim_chunk;

#define SHIM_TEXT_MAX 256

// Bits of shim_result.state.
#define SHIM_STATE_HANDSHAKE_COMPLETED 0x01u
#define SHIM_STATE_HANDSHAKE_CONFIRMED 0x02u
#define SHIM_STATE_CLOSING 0x04u
#define SHIM_STATE_DRAINING 0x08u
#define SHIM_STATE_STATELESS_RESET 0x10u
#define SHIM_STATE_FAILED 0x20u
#define SHIM_STATE_CLIENT_HELLO 0x40u // a server: TLS has read it

// shim_result is what a call leaves behind; each call overwrites it.
typedef struct shim_result {
  int64_t n;               // bytes, stream id or count, as the call says
  uint64_t expiry;         // ngtcp2_conn_get_expiry after the call
  uint64_t transport_code; // QUIC transport error code for CONNECTION_CLOSE
  int32_t code;            // 0 or NGTCP2_ERR_*
  uint32_t segment_size;   // packets in the output have this size
  uint32_t state;          // SHIM_STATE_*
  uint32_t text_len;       // bytes in text
  shim_path path;          // path of the output
  uint8_t ecn;             // ECN of the output
  uint8_t more;            // call again
  uint8_t tls_alert;       // TLS alert when code is NGTCP2_ERR_CRYPTO
  char text[SHIM_TEXT_MAX]; // OpenSSL error text
} shim_result;

// What one call of a connection can issue: NGTCP2_MAX_SCID_POOL_SIZE of ngtcp2_conn.h.
#define SHIM_GIVEN_CIDS_MAX 8

// shim_events is the event array of one worker (Go: Events).
typedef struct shim_events {
  shim_event *ev;
  uint8_t *arena;
  uint32_t len, cap;
  uint32_t arena_len, arena_cap;
  uint32_t quiet; // calls in a row that needed little: shrink when large
  uint32_t gen;   // number of resets, wraps
  uint8_t *logs;  // records: shim_log, then its bytes
  uint32_t logs_len, logs_cap;
  uint64_t logs_lost; // records for which there was no room
  uint32_t given_len;
  shim_cid given[SHIM_GIVEN_CIDS_MAX]; // to issue, the last one first
  shim_result res;
} shim_events;

// shim_log heads a record of what ngtcp2 wrote about a connection (Go: LogRecord).
typedef struct shim_log {
  uint64_t id; // shim_settings.log_id
  uint32_t kind;
  uint32_t len;
} shim_log;

enum { SHIM_LOG_QLOG = 1, SHIM_LOG_DEBUG };

enum {
  SHIM_EV_HANDSHAKE_COMPLETED = 1,
  SHIM_EV_HANDSHAKE_CONFIRMED,
  SHIM_EV_STREAM_OPEN,
  SHIM_EV_STREAM_DATA,
  SHIM_EV_STREAM_ACKED,
  SHIM_EV_STREAM_CLOSE,
  SHIM_EV_STREAM_RESET,
  SHIM_EV_STOP_SENDING,
  SHIM_EV_NEW_CID,
  SHIM_EV_RETIRE_CID,
  SHIM_EV_DCID_STATUS,
  SHIM_EV_PATH_VALIDATION,
  SHIM_EV_BEGIN_PATH_VALIDATION,
  SHIM_EV_NEW_TOKEN,
  SHIM_EV_DATAGRAM,
  SHIM_EV_DATAGRAM_ACKED,
  SHIM_EV_DATAGRAM_LOST,
  SHIM_EV_MAX_STREAMS_BIDI,
  SHIM_EV_MAX_STREAMS_UNI,
  SHIM_EV_MAX_REMOTE_STREAMS_BIDI,
  SHIM_EV_MAX_REMOTE_STREAMS_UNI,
  SHIM_EV_MAX_STREAM_DATA,
  SHIM_EV_STATELESS_RESET,
  SHIM_EV_VERSION_NEGOTIATION,
  SHIM_EV_EARLY_DATA_REJECTED,
  SHIM_EV_SESSION
};

#define SHIM_EVF_FIN 0x01u
#define SHIM_EVF_EARLY 0x02u
#define SHIM_EVF_HAS_CODE 0x04u
#define SHIM_EVF_PREFERRED_ADDR 0x08u
#define SHIM_EVF_NEW_TOKEN 0x10u
#define SHIM_EVF_FAILED 0x20u
#define SHIM_EVF_ABORTED 0x40u
#define SHIM_EVF_DEACTIVATE 0x80u

#endif
