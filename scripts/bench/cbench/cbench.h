/* What the parts of cbench share: TLS contexts and connections of bare ngtcp2. */
#ifndef NGMQ_CBENCH_H
#define NGMQ_CBENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/ssl.h>

typedef struct endpoint {
  ngtcp2_conn *conn;
  ngtcp2_crypto_ossl_ctx *ossl;
  ngtcp2_crypto_conn_ref ref;
  SSL *ssl;
  bool completed;
  int64_t stream;    /* stream to send on, -1: none */
  uint64_t to_send;  /* bytes of it that are left */
  uint64_t received; /* bytes on all streams */
  uint64_t cpu;      /* nanoseconds in this endpoint's turns */
} endpoint;

/* terms are what both ends of a connection settle on. */
typedef struct terms {
  ngtcp2_path path;
  ngtcp2_settings settings;
  ngtcp2_transport_params params;
} terms;

void fail(const char *format, ...);
void check(bool ok, const char *what);
void check_ngtcp2(ngtcp2_ssize rv, const char *what);
uint64_t clock_ns(int clock);
void print(const char *name, double value, const char *unit);

void make_contexts(const char *groups);
void free_contexts(void);
void terms_default(terms *t, uint64_t window, ngtcp2_tstamp ts);
void client_open(endpoint *ep, const terms *t);
/* server_open does what a server does for the first datagram of a client. */
void server_open(endpoint *ep, terms *t, const uint8_t *pkt, size_t len);
void free_tls(endpoint *ep);
void free_endpoint(endpoint *ep);

/* measure_sockets sends megabytes from one thread to another over UDP. */
void measure_sockets(long megabytes, uint64_t window);

#endif
