// Resumption and early data: what ties the TLS sessions of package crypto to the
// connection. The values that hang on the SSL are described at crypto.Slots.
#include "shim_int.h"

#include <string.h>

// limits stands for the parameters that a client may rely on in 0-RTT (FNV-1a): they
// must be the same as when its ticket was made (RFC 9000 section 7.4.1).
static uintptr_t limits(shim_conn *c) {
  uint8_t params[SHIM_EARLY_PARAMS_MAX];
  ngtcp2_ssize n =
    ngtcp2_conn_encode_0rtt_transport_params2(c->conn, params, sizeof(params));
  uint64_t h = 14695981039346656037ULL;
  for (ngtcp2_ssize i = 0; i < n; ++i) {
    h = (h ^ params[i]) * 1099511628211ULL;
  }
  return (uintptr_t)h;
}

// shim_session_version tells TLS what tickets are bound to: the limits, and the version that is
// negotiated, or what the client chose before that.
void shim_session_version(shim_conn *c) {
  uint32_t v = ngtcp2_conn_get_negotiated_version2(c->conn);
  if (v == 0) {
    v = ngtcp2_conn_get_client_chosen_version2(c->conn);
  }
  SSL_set_ex_data(c->ssl, c->version_slot, (void *)(uintptr_t)v);
  SSL_set_ex_data(c->ssl, c->limits_slot, (void *)limits(c));
}

// shim_session_enable_early: after the SSL was configured for QUIC.
int shim_session_enable_early(shim_conn *c, SSL *ssl) {
  if (c->reject_early && SSL_set_max_early_data(ssl, 0) != 1) {
    return 0;
  }
  int wanted = c->server ? SSL_get_max_early_data(ssl) > 0 : c->early;
  return !wanted || SSL_set_quic_tls_early_data_enabled(ssl, 1) == 1;
}

// shim_session_early_rejected: of a client whose handshake is complete.
int shim_session_early_rejected(shim_conn *c) {
  return c->early && SSL_get_early_data_status(c->ssl) != SSL_EARLY_DATA_ACCEPTED;
}

// shim_session_expect_retry: of a client that has sent its ClientHello and has the
// keys of 0-RTT. The server may ask for a second ClientHello, which offers no early
// data (RFC 8446 section 4.1.2).
//
// OpenSSL would offer it again, and make its keys again, at which ngtcp2 aborts,
// unless the session forbids it; nothing else reads that after the first
// ClientHello.
//
// ngtcp2's OpenSSL backend sends TLS messages at the level of the last key, which
// is 0-RTT now, where none can go. A new context starts at Initial. The old one has
// the transport parameters that the SSL points at, and no CRYPTO data.
int shim_session_expect_retry(shim_conn *c) {
  ngtcp2_crypto_ossl_ctx *fresh;
  if (!c->early) {
    return 0;
  }
  if (SSL_SESSION_set_max_early_data(SSL_get0_session(c->ssl), 0) != 1) {
    return NGTCP2_ERR_CRYPTO;
  }
  if (ngtcp2_crypto_ossl_ctx_new(&fresh, c->ssl) != 0) {
    return NGTCP2_ERR_NOMEM;
  }
  shim_count_block(1);
  c->ossl_first = c->ossl;
  c->ossl = fresh;
  ngtcp2_conn_set_tls_native_handle(c->conn, fresh);
  return 0;
}

// add appends an event: version and length of the parameters (shim_session_head),
// the transport parameters to remember, the session.
static int add(shim_conn *c, SSL_SESSION *s) {
  uint8_t params[SHIM_EARLY_PARAMS_MAX];
  uint8_t *der = NULL;
  ngtcp2_ssize n =
    ngtcp2_conn_encode_0rtt_transport_params2(c->conn, params, sizeof(params));
  int len = i2d_SSL_SESSION(s, &der);
  int rv = -1;
  if (n > 0 && len > 0 && shim_events_add(c->ev, SHIM_EV_SESSION, -1) != NULL) {
    shim_session_head head = {
      htonl(ngtcp2_conn_get_negotiated_version2(c->conn)), htonl((uint32_t)n)};
    rv = shim_events_data(c->ev, &head, sizeof(head)) != 0 ||
         shim_events_data(c->ev, params, (size_t)n) != 0 ||
         shim_events_data(c->ev, der, (size_t)len) != 0;
  }
  OPENSSL_free(der);
  return rv == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

// shim_session_take reports the session that a client has got, if there is one.
int shim_session_take(shim_conn *c) {
  SSL_SESSION *s = SSL_get_ex_data(c->ssl, c->session_slot);
  if (s == NULL || !(c->state & SHIM_STATE_HANDSHAKE_COMPLETED)) {
    return 0;
  }
  SSL_set_ex_data(c->ssl, c->session_slot, NULL);
  int rv = add(c, s);
  SSL_SESSION_free(s);
  return rv;
}
