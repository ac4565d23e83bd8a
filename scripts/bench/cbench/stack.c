/* Connections of bare ngtcp2 and OpenSSL. */
#include "cbench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

enum { CID_LEN = 18 };

static SSL_CTX *server_ctx, *client_ctx;

void fail(const char *format, ...) {
  va_list args;

  va_start(args, format);
  fprintf(stderr, "cbench: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  ERR_print_errors_fp(stderr);
  exit(1);
}

void check(bool ok, const char *what) {
  if (!ok) {
    fail("%s", what);
  }
}

void check_ngtcp2(ngtcp2_ssize rv, const char *what) {
  if (rv < 0) {
    fail("%s: %s", what, ngtcp2_strerror((int)rv));
  }
}

uint64_t clock_ns(int clock) {
  struct timespec ts;

  clock_gettime(clock, &ts);
  return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void print(const char *name, double value, const char *unit) {
  printf("%s %.1f %s\n", name, value, unit);
}

/* ---- TLS ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
                       const unsigned char *in, unsigned int inlen, void *arg) {
  unsigned char *chosen;
  (void)ssl, (void)arg;

  if (SSL_select_next_proto(&chosen, outlen, (const unsigned char *)"\4mqtt", 5, in,
                            inlen) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

static X509 *self_signed(EVP_PKEY *key) {
  X509 *cert = X509_new();
  X509_NAME *name;

  check(cert != NULL, "X509_new");
  name = X509_get_subject_name(cert);
  check(X509_set_version(cert, X509_VERSION_3) &&
          ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
          X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
          X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
          X509_set_pubkey(cert, key) &&
          X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)"localhost", -1, -1, 0) &&
          X509_set_issuer_name(cert, name) && X509_sign(cert, key, EVP_sha256()) > 0,
        "make certificate");
  return cert;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method, const char *groups) {
  SSL_CTX *ctx = SSL_CTX_new(method);

  check(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
          SSL_CTX_set1_groups_list(ctx, groups) &&
          SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"),
        "SSL_CTX");
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  return ctx;
}

void make_contexts(const char *groups) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert;

  check(key != NULL, "EVP_EC_gen");
  cert = self_signed(key);
  server_ctx = new_ctx(TLS_server_method(), groups);
  client_ctx = new_ctx(TLS_client_method(), groups);
  check(SSL_CTX_use_certificate(server_ctx, cert) && SSL_CTX_use_PrivateKey(server_ctx, key) &&
          SSL_CTX_set_session_id_context(server_ctx, (const unsigned char *)"cbench", 6) &&
          SSL_CTX_set_alpn_protos(client_ctx, (const unsigned char *)"\4mqtt", 5) == 0,
        "configure SSL_CTX");
  SSL_CTX_set_mode(server_ctx, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_alpn_select_cb(server_ctx, select_alpn, NULL);
  X509_free(cert);
  EVP_PKEY_free(key);
}

void free_contexts(void) {
  SSL_CTX_free(server_ctx);
  SSL_CTX_free(client_ctx);
}

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref) {
  return ((endpoint *)ref->user_data)->conn;
}

static void attach_tls(endpoint *ep, bool server) {
  ep->ssl = SSL_new(server ? server_ctx : client_ctx);
  check(ep->ssl != NULL && ngtcp2_crypto_ossl_ctx_new(&ep->ossl, ep->ssl) == 0, "SSL_new");
  ep->ref = (ngtcp2_crypto_conn_ref){.get_conn = conn_of_ref, .user_data = ep};
  SSL_set_app_data(ep->ssl, &ep->ref);
  if (server) {
    SSL_set_accept_state(ep->ssl);
    check(ngtcp2_crypto_ossl_configure_server_session(ep->ssl) == 0, "configure server session");
  } else {
    SSL_set_connect_state(ep->ssl);
    SSL_set_tlsext_host_name(ep->ssl, "localhost");
    check(ngtcp2_crypto_ossl_configure_client_session(ep->ssl) == 0, "configure client session");
  }
  ngtcp2_conn_set_tls_native_handle(ep->conn, ep->ossl);
}

void free_tls(endpoint *ep) {
  if (ep->ssl != NULL) {
    SSL_set_app_data(ep->ssl, NULL);
    SSL_free(ep->ssl);
    ngtcp2_crypto_ossl_ctx_set_ssl(ep->ossl, NULL);
    ep->ssl = NULL;
  }
}

/* ---- ngtcp2 ---- */

static void random_bytes(uint8_t *dst, size_t len, const ngtcp2_rand_ctx *ctx) {
  (void)ctx;
  check(RAND_bytes(dst, (int)len) == 1, "RAND_bytes");
}

static int new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t len, void *user) {
  (void)conn, (void)user;
  cid->datalen = len;
  random_bytes(cid->data, len, NULL);
  random_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL);
  return 0;
}

static int on_completed(ngtcp2_conn *conn, void *user) {
  (void)conn;
  ((endpoint *)user)->completed = true;
  return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t stream, uint64_t offset,
                          const uint8_t *data, size_t len, void *user, void *stream_user) {
  (void)flags, (void)offset, (void)data, (void)stream_user;
  ((endpoint *)user)->received += len;
  ngtcp2_conn_extend_max_offset(conn, len);
  return ngtcp2_conn_extend_max_stream_offset(conn, stream, len);
}

static const ngtcp2_callbacks callbacks = {
  .client_initial = ngtcp2_crypto_client_initial_cb,
  .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
  .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
  .handshake_completed = on_completed,
  .encrypt = ngtcp2_crypto_encrypt_cb,
  .decrypt = ngtcp2_crypto_decrypt_cb,
  .hp_mask = ngtcp2_crypto_hp_mask_cb,
  .recv_stream_data = on_stream_data,
  .recv_retry = ngtcp2_crypto_recv_retry_cb,
  .rand = random_bytes,
  .get_new_connection_id = new_cid,
  .update_key = ngtcp2_crypto_update_key_cb,
  .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
  .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
  .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
  .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
};

static ngtcp2_cid random_cid(void) {
  uint8_t bytes[CID_LEN];
  ngtcp2_cid cid;

  random_bytes(bytes, sizeof(bytes), NULL);
  ngtcp2_cid_init(&cid, bytes, sizeof(bytes));
  return cid;
}

void terms_default(terms *t, uint64_t window, ngtcp2_tstamp ts) {
  ngtcp2_settings_default(&t->settings);
  t->settings.initial_ts = ts;
  ngtcp2_transport_params_default(&t->params);
  t->params.initial_max_data = window;
  t->params.initial_max_stream_data_bidi_local = window;
  t->params.initial_max_stream_data_bidi_remote = window;
  t->params.initial_max_stream_data_uni = window;
  t->params.initial_max_streams_bidi = 16;
  t->params.initial_max_streams_uni = 16;
}

void client_open(endpoint *ep, const terms *t) {
  ngtcp2_cid dcid = random_cid(), scid = random_cid();

  *ep = (endpoint){.stream = -1};
  check_ngtcp2(ngtcp2_conn_client_new(&ep->conn, &dcid, &scid, &t->path, NGTCP2_PROTO_VER_V1,
                                      &callbacks, &t->settings, &t->params, NULL, ep),
               "ngtcp2_conn_client_new");
  attach_tls(ep, false);
}

void server_open(endpoint *ep, terms *t, const uint8_t *pkt, size_t len) {
  ngtcp2_cid scid = random_cid();
  ngtcp2_pkt_hd hd;

  *ep = (endpoint){.stream = -1};
  check_ngtcp2(ngtcp2_accept(&hd, pkt, len), "ngtcp2_accept");
  t->params.original_dcid = hd.dcid;
  t->params.original_dcid_present = 1;
  t->params.stateless_reset_token_present = 1;
  random_bytes(t->params.stateless_reset_token, sizeof(t->params.stateless_reset_token), NULL);
  check_ngtcp2(ngtcp2_conn_server_new(&ep->conn, &hd.scid, &scid, &t->path, hd.version, &callbacks,
                                      &t->settings, &t->params, NULL, ep),
               "ngtcp2_conn_server_new");
  attach_tls(ep, true);
}

void free_endpoint(endpoint *ep) {
  free_tls(ep);
  ngtcp2_crypto_ossl_ctx_del(ep->ossl);
  ngtcp2_conn_del(ep->conn);
  ep->conn = NULL;
}
