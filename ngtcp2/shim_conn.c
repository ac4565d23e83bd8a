// A connection: made, asked, freed. shim_io.c feeds and writes it.
#include "shim_int.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

// --- outcome of a call ---

// verify_text is why OpenSSL refused the peer's certificate: its queue says no more
// than that it did. Empty for any other error e.
static const char *verify_text(const SSL *ssl, unsigned long e) {
  if (ssl == NULL || ERR_GET_LIB(e) != ERR_LIB_SSL ||
      ERR_GET_REASON(e) != SSL_R_CERTIFICATE_VERIFY_FAILED) {
    return "";
  }
  return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
}

// error_text writes OpenSSL's queue of this thread into the result, empties it.
static void error_text(shim_result *res, const SSL *ssl) {
  char reason[160];
  unsigned long e;
  size_t len = 0;
  while ((e = ERR_get_error()) != 0) {
    const char *why = verify_text(ssl, e);
    ERR_error_string_n(e, reason, sizeof(reason));
    int n = snprintf(res->text + len, SHIM_TEXT_MAX - len, "%s%s%s%s",
                     len > 0 ? "; " : "", reason, *why != '\0' ? ": " : "", why);
    len += n > 0 ? (size_t)n : 0;
    if (len >= SHIM_TEXT_MAX) {
      len = SHIM_TEXT_MAX - 1;
      ERR_clear_error();
    }
  }
  res->text_len = (uint32_t)len;
}

void shim_fail(shim_result *res, int rv, uint8_t alert, const SSL *ssl) {
  res->code = rv;
  res->tls_alert = alert;
  res->transport_code = rv == NGTCP2_ERR_CRYPTO && alert != 0
                          ? NGTCP2_CRYPTO_ERROR | alert
                          : ngtcp2_err_infer_quic_transport_error_code(rv);
  error_text(res, ssl);
}

static uint32_t state_of(shim_conn *c) {
  return c->state | (c->fatal != 0 ? SHIM_STATE_FAILED : 0) |
         (ngtcp2_conn_in_closing_period2(c->conn) ? SHIM_STATE_CLOSING : 0) |
         (ngtcp2_conn_in_draining_period2(c->conn) ? SHIM_STATE_DRAINING : 0);
}

// shim_conn_finish fills the part of the result that every call has.
void shim_conn_finish(shim_conn *c, int rv) {
  shim_result *res = &c->ev->res;
  res->code = 0;
  res->text_len = 0;
  res->expiry = shim_ack_expiry(c, ngtcp2_conn_get_expiry2(c->conn));
  res->state = state_of(c);
  if (rv != 0) {
    shim_fail(res, rv, ngtcp2_conn_get_tls_alert2(c->conn), c->ssl);
  }
}

// --- life ---

void shim_settings_default(ngtcp2_settings *s) { ngtcp2_settings_default(s); }

void shim_params_default(ngtcp2_transport_params *p) {
  ngtcp2_transport_params_default(p);
}

static ngtcp2_conn *ref_conn(ngtcp2_crypto_conn_ref *ref) {
  return ((shim_conn *)ref->user_data)->conn;
}

static int tls_attach(shim_conn *c, SSL *ssl) {
  c->ssl = ssl;
  shim_count_block(1);
  if (ngtcp2_crypto_ossl_ctx_new(&c->ossl, ssl) != 0) {
    return NGTCP2_ERR_NOMEM;
  }
  shim_count_block(1);
  c->ref = (ngtcp2_crypto_conn_ref){.get_conn = ref_conn, .user_data = c};
  SSL_set_app_data(ssl, &c->ref);
  int rv = c->server ? ngtcp2_crypto_ossl_configure_server_session(ssl)
                     : ngtcp2_crypto_ossl_configure_client_session(ssl);
  return rv == 0 && shim_session_enable_early(c, ssl) ? 0 : NGTCP2_ERR_CRYPTO;
}

static void context_del(ngtcp2_crypto_ossl_ctx **ossl) {
  if (*ossl != NULL) {
    ngtcp2_crypto_ossl_ctx_del(*ossl);
    *ossl = NULL;
    shim_count_block(-1);
  }
}

// tls_detach frees the SSL first: it points into the contexts.
static void tls_detach(shim_conn *c) {
  if (c->ssl != NULL) {
    SSL_set_app_data(c->ssl, NULL);
    SSL_free(c->ssl);
    c->ssl = NULL;
    shim_count_block(-1);
  }
  context_del(&c->ossl);
  context_del(&c->ossl_first);
}

void shim_conn_ssl_free(void *ssl) { SSL_free(ssl); }

static void fill_settings(ngtcp2_settings *out, const shim_settings *s,
                          shim_span token) {
  *out = s->s;
  out->token = token.len > 0 ? token.p : NULL;
  out->tokenlen = token.len;
  out->preferred_versions = out->preferred_versionslen > 0 ? s->preferred_versions : NULL;
  out->available_versions = out->available_versionslen > 0 ? s->available_versions : NULL;
  out->pmtud_probes = out->pmtud_probeslen > 0 ? s->pmtud_probes : NULL;
  shim_log_settings(out, s);
}

static int fill_params(shim_conn *c, ngtcp2_transport_params *out,
                       const shim_config *cfg) {
  const shim_params *p = &cfg->params;
  ngtcp2_sockaddr_union addr;
  *out = p->p;
  if (p->preferred4.family != 0) {
    shim_addr_native(&addr, &p->preferred4);
    out->preferred_addr.ipv4 = addr.in;
    out->preferred_addr.ipv4_present = 1;
  }
  if (p->preferred6.family != 0) {
    shim_addr_native(&addr, &p->preferred6);
    out->preferred_addr.ipv6 = addr.in6;
    out->preferred_addr.ipv6_present = 1;
  }
  if (!c->server || out->stateless_reset_token_present || c->secret_len == 0) {
    return 0;
  }
  ngtcp2_cid scid = shim_cid_native(cfg->scid);
  out->stateless_reset_token_present = 1;
  return shim_reset_token(c, out->stateless_reset_token, &scid);
}

static int conn_make(shim_conn *c, const shim_config *cfg, shim_span token) {
  ngtcp2_settings settings;
  ngtcp2_transport_params params;
  shim_native_path path;
  ngtcp2_cid dcid = shim_cid_native(cfg->dcid);
  ngtcp2_cid scid = shim_cid_native(cfg->scid);
  fill_settings(&settings, &cfg->settings, token);
  shim_ack_init(c, &settings);
  shim_path_native(&path, &cfg->path);
  if (fill_params(c, &params, cfg) != 0) {
    return NGTCP2_ERR_INTERNAL;
  }
  int rv = c->server
             ? ngtcp2_conn_server_new(&c->conn, &dcid, &scid, &path.path,
                                      cfg->version, &shim_callbacks, &settings,
                                      &params, &shim_mem, c)
             : ngtcp2_conn_client_new(&c->conn, &dcid, &scid, &path.path,
                                      cfg->version, &shim_callbacks, &settings,
                                      &params, &shim_mem, c);
  if (rv == 0) {
    ngtcp2_conn_set_tls_native_handle(c->conn, c->ossl);
  }
  if (rv == 0 && c->early) {
    rv = ngtcp2_conn_decode_and_set_0rtt_transport_params(
      c->conn, cfg->early_params, cfg->early_len);
  }
  return rv;
}

static void adopt(shim_conn *c, const shim_config *cfg, shim_events *e) {
  c->ev = e;
  c->server = cfg->server;
  c->follow_preferred = cfg->follow_preferred;
  c->early = cfg->early_len > 0;
  c->keep_alive = UINT64_MAX;
  c->reject_early = cfg->reject_early;
  c->version_slot = cfg->version_slot;
  c->limits_slot = cfg->limits_slot;
  c->session_slot = cfg->session_slot;
  c->given_cids = cfg->given_cids;
  c->scid_len = (uint8_t)cfg->scid.len;
  c->prefix_len = cfg->prefix_len;
  c->secret_len = cfg->secret_len;
  memcpy(c->prefix, cfg->prefix, sizeof(c->prefix));
  memcpy(c->secret, cfg->secret, sizeof(c->secret));
  c->log_id = cfg->settings.log_id;
  c->last_ts = cfg->settings.s.initial_ts;
}

shim_conn *shim_conn_new(const shim_config *cfg, shim_span token, void *ssl,
                         shim_events *e) {
  shim_conn *c = shim_zalloc(sizeof(*c));
  ERR_clear_error();
  memset(&e->res, 0, offsetof(shim_result, text));
  if (c == NULL) {
    SSL_free(ssl);
    shim_fail(&e->res, NGTCP2_ERR_NOMEM, 0, NULL);
    return NULL;
  }
  adopt(c, cfg, e);
  int rv = tls_attach(c, ssl);
  if (rv == 0) {
    rv = conn_make(c, cfg, token);
  }
  if (rv != 0) {
    shim_fail(&e->res, rv, 0, NULL);
    shim_conn_del(c);
    return NULL;
  }
  shim_conn_finish(c, 0);
  return c;
}

void shim_conn_del(shim_conn *c) {
  tls_detach(c);
  ngtcp2_conn_del(c->conn); // may write qlog; its frames point into our queues
  shim_streams_del(c);
  shim_dgrams_del(c);
  shim_release(c);
}

// shim_conn_release_tls: a server's TLS has no more work once the handshake is
// confirmed. Its tickets were copied into ngtcp2's CRYPTO stream while
// SSL_do_handshake ran, the packet keys are EVP contexts of their own, key
// updates use HKDF over secrets that ngtcp2 keeps, and CRYPTO frames that come
// later are refused in cb_recv_crypto_data. A client needs it: tickets come
// later.
int shim_conn_release_tls(shim_conn *c) {
  if (!c->server || !(c->state & SHIM_STATE_HANDSHAKE_CONFIRMED)) {
    return 0;
  }
  ngtcp2_conn_set_tls_native_handle(c->conn, NULL);
  tls_detach(c);
  return 1;
}

void *shim_conn_ssl(shim_conn *c) { return c->ssl; }

// --- streams ---

int shim_conn_open_stream(shim_conn *c, int uni) {
  shim_stream *s = shim_stream_new(c, -1);
  if (s == NULL) {
    shim_conn_finish(c, NGTCP2_ERR_NOMEM);
    return NGTCP2_ERR_NOMEM;
  }
  int rv = uni ? ngtcp2_conn_open_uni_stream(c->conn, &s->id, s)
               : ngtcp2_conn_open_bidi_stream(c->conn, &s->id, s);
  c->ev->res.n = s->id;
  if (rv != 0) {
    shim_stream_del(c, s);
  }
  shim_conn_finish(c, rv);
  return rv;
}

enum { SHUTDOWN_BOTH, SHUTDOWN_READ, SHUTDOWN_WRITE };

static int shutdown_stream(shim_conn *c, int how, int64_t id, uint64_t code) {
  switch (how) {
  case SHUTDOWN_READ:
    return ngtcp2_conn_shutdown_stream_read(c->conn, 0, id, code);
  case SHUTDOWN_WRITE:
    return ngtcp2_conn_shutdown_stream_write(c->conn, 0, id, code);
  default:
    return ngtcp2_conn_shutdown_stream(c->conn, 0, id, code);
  }
}

static void hold(shim_conn *c, shim_stream *s, int how, uint64_t code) {
  uint8_t wanted = how == SHUTDOWN_READ    ? SHIM_HELD_READ
                   : how == SHUTDOWN_WRITE ? SHIM_HELD_WRITE
                                           : SHIM_HELD_READ | SHIM_HELD_WRITE;
  wanted &= (uint8_t)~s->held; // the first code counts
  if (wanted & SHIM_HELD_READ) {
    s->stop_code = code;
  }
  if (wanted & SHIM_HELD_WRITE) {
    s->reset_code = code;
  }
  s->held |= wanted;
  c->held = 1;
}

// shim_shutdown_held is called when the handshake is confirmed.
int shim_shutdown_held(shim_conn *c) {
  int rv = 0;
  for (shim_stream *s = c->streams; s != NULL && rv == 0; s = s->next) {
    if (s->held & SHIM_HELD_READ) {
      rv = shutdown_stream(c, SHUTDOWN_READ, s->id, s->stop_code);
    }
    if (rv == 0 && s->held & SHIM_HELD_WRITE) {
      rv = shutdown_stream(c, SHUTDOWN_WRITE, s->id, s->reset_code);
    }
    s->held = 0;
  }
  c->held = 0;
  return rv;
}

// shim_conn_shutdown_stream of a client waits until the handshake is confirmed:
// ngtcp2 forgets RESET_STREAM and STOP_SENDING frames that are queued while it may
// still send early data again (conn_retry_early_payloadlen).
void shim_conn_shutdown_stream(shim_conn *c, int how, int64_t id,
                               uint64_t code) {
  shim_stream *s = shim_stream_find(c, id);
  int rv = 0;
  if (code > NGTCP2_MAX_VARINT) {
    rv = NGTCP2_ERR_INVALID_ARGUMENT;
  } else if (s != NULL && !c->server && !(c->state & SHIM_STATE_HANDSHAKE_CONFIRMED)) {
    hold(c, s, how, code);
  } else {
    shim_ack_due(c);
    rv = shutdown_stream(c, how, id, code);
  }
  if (rv == 0 && s != NULL && how != SHUTDOWN_READ) {
    shim_stream_drop_unsent(c, s);
  }
  shim_conn_finish(c, rv);
}

int shim_conn_extend(shim_conn *c, int64_t id, uint64_t stream, uint64_t conn) {
  int rv = 0;
  if (stream > 0) {
    rv = ngtcp2_conn_extend_max_stream_offset(c->conn, id, stream);
  }
  if (conn > 0) {
    ngtcp2_conn_extend_max_offset(c->conn, conn);
    rv = rv == NGTCP2_ERR_STREAM_NOT_FOUND ? 0 : rv;
  }
  if (rv != 0) {
    shim_conn_finish(c, rv);
  }
  return rv;
}

void shim_conn_extend_streams(shim_conn *c, int uni, uint64_t n) {
  shim_ack_due(c);
  if (uni) {
    ngtcp2_conn_extend_max_streams_uni(c->conn, n);
  } else {
    ngtcp2_conn_extend_max_streams_bidi(c->conn, n);
  }
}

int shim_conn_is_local_stream(shim_conn *c, int64_t id) {
  return ngtcp2_conn_is_local_stream2(c->conn, id);
}

// --- others ---

void shim_conn_keep_alive(shim_conn *c, uint64_t timeout) {
  c->keep_alive = timeout > 0 ? timeout : UINT64_MAX;
  c->wake = 0;
  ngtcp2_conn_set_keep_alive_timeout(c->conn, c->keep_alive);
  shim_conn_finish(c, 0);
}

void shim_conn_submit_new_token(shim_conn *c, shim_span token) {
  int rv = NGTCP2_ERR_INVALID_STATE;
  if (c->server) {
    rv = ngtcp2_conn_submit_new_token(c->conn, token.p, token.len);
  }
  shim_conn_finish(c, rv);
}
