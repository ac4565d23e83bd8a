/* The C side of package crypto: an SSL_CTX built step by step, SSL objects for
 * QUIC, and what can be read from them after the handshake.
 *
 * Rules: a function that can fail takes a shim_error and fills it before it
 * returns (the OpenSSL error queue belongs to the thread, and a goroutine may
 * be on another thread by its next call); nothing here calls back into Go; what
 * an SSL_CTX needs while it lives hangs on it as ex_data and dies with it. */
#ifndef NGMQ_CRYPTO_SHIM_H
#define NGMQ_CRYPTO_SHIM_H

/* Names the build of the native libraries, so that Go's build cache notices a
 * rebuilt one. Written by the third_party build, absent with system libraries. */
#if defined(__has_include)
#  if __has_include("third_party_stamp.h")
#    include "third_party_stamp.h"
#  endif
#endif

#include <stddef.h>
#include <stdint.h>

#include <openssl/opensslv.h>

#if OPENSSL_VERSION_NUMBER < 0x30500000L
#  error "OpenSSL >= 3.5 is needed (SSL_set_quic_tls_cbs): run make deps, or point PKG_CONFIG_PATH at a newer libssl"
#endif

#include <openssl/ssl.h>

enum {
  SHIM_ERROR_LEN = 512,   /* text of a failed call, longer ones are cut */
  SHIM_NAME_LEN = 256,    /* a DNS name has at most 253 bytes */
  SHIM_ALPN_LEN = 256,    /* one protocol name has at most 255 bytes */
  SHIM_LABEL_LEN = 64,    /* names of cipher suite, group, version */
  SHIM_TICKET_KEY_LEN = 80, /* name, cipher key, MAC key */
  SHIM_VERIFY_DEPTH = 8,  /* intermediates in a peer's chain: real ones have 1 to 3 */
  SHIM_TICKET_LIFETIME = 7200, /* seconds that a ticket is good for */
  SHIM_ONCE_KEY_LEN = 16,      /* bytes of a ticket's hash that are remembered */
  SHIM_ONCE_WINDOW_MS = 12000, /* a copy of early data passes for 10 s, and some reserve */
};

/* Return values of the steps that can fail for more than one reason. */
enum {
  SHIM_OK = 0,
  SHIM_FAILED = -1,
  SHIM_KEY_MISMATCH = -2,
};

typedef struct shim_error {
  char text[SHIM_ERROR_LEN];
} shim_error;

/* shim_error_take writes "what: library: reason (data); ..." and empties the
 * thread's error queue. */
void shim_error_take(shim_error *err, const char *what);

/* --- process --- */

/* shim_openssl_init initialises libssl without reading openssl.cnf. */
int shim_openssl_init(void);

/* --- SSL_CTX --- */

SSL_CTX *shim_tlsctx_new(int server, shim_error *err);
int shim_tlsctx_use_chain(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err);
int shim_tlsctx_use_key(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err);
int shim_tlsctx_set_alpn(SSL_CTX *ctx, const uint8_t *wire, size_t len, shim_error *err);
int shim_tlsctx_add_cas(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err);
int shim_tlsctx_add_crls(SSL_CTX *ctx, const uint8_t *pem, size_t len, shim_error *err);
int shim_tlsctx_default_cas(SSL_CTX *ctx, shim_error *err);
int shim_tlsctx_set_groups(SSL_CTX *ctx, const char *list, shim_error *err);
int shim_tlsctx_set_ciphersuites(SSL_CTX *ctx, const char *list, shim_error *err);
int shim_tlsctx_set_keylog(SSL_CTX *ctx, const char *path, shim_error *err);
int shim_tlsctx_set_session_context(SSL_CTX *ctx, const uint8_t *id, size_t len, shim_error *err);
void shim_tlsctx_set_verify(SSL_CTX *ctx, int mode);

/* --- single use of tickets --- */

/* shim_once remembers tickets whose early data has been accepted. Any thread may use it. */
typedef struct shim_once shim_once;

typedef struct shim_instant {
  uint64_t ms;     /* of a clock that does not go back */
  int64_t seconds; /* Unix time */
} shim_instant;

shim_instant shim_once_now(void);
/* limit: of the tickets of one window. inherited: the ticket keys are not of this process
 * alone, so that tickets may have been used before it began. NULL: no memory. */
shim_once *shim_once_new(size_t limit, int inherited, const shim_instant *now);
void shim_once_retain(shim_once *once);
void shim_once_free(shim_once *once);
/* 1: the ticket with this hash (SHIM_ONCE_KEY_LEN bytes), made at the Unix time made, has
 * not been used before, and is remembered. 0: it has, or it may have, or there is no room
 * to remember it. */
int shim_once_use(shim_once *once, const uint8_t *hash, int64_t made, const shim_instant *now);

/* --- sessions --- */

/* Whether a session was made under the same session context: OpenSSL ends the
 * handshake of a client that resumes another. */
int shim_tlsctx_owns_session(SSL_CTX *ctx, const SSL_SESSION *session);

/* shim_slots are the ex_data indexes of what hangs on an SSL. */
typedef struct shim_slots {
  int version; /* QUIC version, an integer */
  int limits;  /* stands for a server's transport parameters, an integer */
  int session; /* SSL_SESSION of a client, freed with the SSL */
} shim_slots;

shim_slots shim_ssl_slots(void);
void shim_tlsctx_use_sessions(SSL_CTX *ctx, int server, int early_data);
int shim_tlsctx_set_ticket_keys(SSL_CTX *ctx, const uint8_t *keys, size_t len, shim_error *err);
/* From now on the early data of a ticket is accepted once, as far as once remembers. ctx
 * takes a reference of its own. */
int shim_tlsctx_use_once(SSL_CTX *ctx, shim_once *once, shim_error *err);
/* SHIM_FAILED, or whether early data can be sent. */
int shim_tls_set_session(SSL *ssl, const uint8_t *der, size_t len, shim_error *err);

/* --- SSL --- */

/* What a new SSL is to be; both name and ip empty: a server, or a client that
 * verifies nothing. */
typedef struct shim_tls_request {
  char name[SHIM_NAME_LEN]; /* DNS name for SNI, and to verify, NUL ended */
  uint8_t ip[16];           /* address to verify in place of a name */
  uint32_t iplen;           /* 0, 4 or 16 */
  uint32_t server;          /* 1: accept state */
  shim_error err;
} shim_tls_request;

SSL *shim_tls_new(SSL_CTX *ctx, shim_tls_request *req);

typedef struct shim_tls_state {
  char version[SHIM_LABEL_LEN];
  char cipher[SHIM_LABEL_LEN];
  char group[SHIM_LABEL_LEN];
  char server_name[SHIM_NAME_LEN];
  char alpn[SHIM_ALPN_LEN];
  uint32_t alpn_len;
  uint32_t resumed;
  uint32_t early_data;
  uint32_t early_rejected;
  uint32_t verified;
} shim_tls_state;

void shim_tls_read_state(SSL *ssl, shim_tls_state *out);

/* shim_tls_peer_chain returns the peer's certificates as DER, one after the
 * other, leaf first: those that it sent, or the chain that was verified. NULL
 * with *len == 0: none. The caller frees with shim_free. */
uint8_t *shim_tls_peer_chain(SSL *ssl, int verified, size_t *len, shim_error *err);
void shim_free(void *p);

#endif
