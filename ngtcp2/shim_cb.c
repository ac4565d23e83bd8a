// The callbacks of ngtcp2: they append events, and keep the send queues.
#include "shim_int.h"

#include <string.h>

#include <openssl/rand.h>

enum { // RFC 8446 section 6
  TLS_ALERT_UNEXPECTED_MESSAGE = 10,
  TLS_ALERT_MISSING_EXTENSION = 109,
};

enum { PV_CIDS = 2 }; // CIDs that a path validation remembers: of both paths

static int emit(shim_conn *c, uint32_t type, int64_t id, uint64_t a,
                uint64_t b) {
  shim_event *ev = shim_events_add(c->ev, type, id);
  if (ev == NULL) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  ev->a = a;
  ev->b = b;
  return 0;
}

static int emit_data(shim_conn *c, uint32_t type, const void *p, size_t n) {
  if (emit(c, type, -1, 0, 0) != 0 || shim_events_data(c->ev, p, n) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

static shim_event *last_event(shim_conn *c) { return &c->ev->ev[c->ev->len - 1]; }

// --- keys ---

// ngtcp2 asks for the next keys when the handshake is complete, and each time that
// an update is confirmed.
static int cb_update_key(ngtcp2_conn *conn, uint8_t *rx_secret,
                         uint8_t *tx_secret, ngtcp2_crypto_aead_ctx *rx_ctx,
                         uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx_ctx,
                         uint8_t *tx_iv, const uint8_t *rx_current,
                         const uint8_t *tx_current, size_t secretlen,
                         void *user_data) {
  ++((shim_conn *)user_data)->next_keys;
  return ngtcp2_crypto_update_key_cb(conn, rx_secret, tx_secret, rx_ctx, rx_iv,
                                     tx_ctx, tx_iv, rx_current, tx_current,
                                     secretlen, user_data);
}

// --- handshake ---

static int cb_client_initial(ngtcp2_conn *conn, void *user_data) {
  shim_conn *c = user_data;
  int rv = ngtcp2_crypto_client_initial_cb(conn, user_data);
  c->keyed = rv == 0;
  return rv != 0 ? rv : shim_session_expect_retry(c);
}

static int cb_recv_client_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid,
                                  void *user_data) {
  int rv = ngtcp2_crypto_recv_client_initial_cb(conn, dcid, user_data);
  ((shim_conn *)user_data)->keyed = rv == 0;
  return rv;
}

static int cb_recv_tx_key(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                          void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (c->server && level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE) {
    c->state |= SHIM_STATE_CLIENT_HELLO;
  }
  return 0;
}

// cb_recv_rx_key notes at which level TLS expects its next message. The keys of
// 0-RTT say nothing about that: no CRYPTO frames come there.
static int cb_recv_rx_key(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                          void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (level != NGTCP2_ENCRYPTION_LEVEL_0RTT) {
    c->rx_level = (uint8_t)level;
  }
  return 0;
}

// heard reports whether TLS has read the message of the peer that must have its
// transport parameters: ClientHello or EncryptedExtensions.
static int heard(const shim_conn *c) {
  if (c->server) {
    return (c->state & SHIM_STATE_CLIENT_HELLO) != 0;
  }
  switch (SSL_get_state(c->ssl)) {
  case TLS_ST_CR_ENCRYPTED_EXTENSIONS:
  case TLS_ST_CR_CERT_REQ:
  case TLS_ST_CR_CERT:
  case TLS_ST_CR_CERT_VRFY:
  case TLS_ST_OK:
    return 1;
  default:
    return 0;
  }
}

// check_params refuses a peer without transport parameters (RFC 9001 section 8.2).
// OpenSSL lets it pass, and ngtcp2 aborts when it writes the first 1-RTT packet of
// such a server's connection.
static int check_params(shim_conn *c) {
  if (!heard(c) || ngtcp2_conn_get_remote_transport_params2(c->conn) != NULL) {
    return 0;
  }
  ngtcp2_conn_set_tls_alert(c->conn, TLS_ALERT_MISSING_EXTENSION);
  return NGTCP2_ERR_CRYPTO;
}

static int cb_recv_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                               uint64_t offset, const uint8_t *data, size_t len,
                               void *user_data) {
  shim_conn *c = user_data;
  if (c->ssl == NULL) { // a client has nothing to say in TLS after its Finished
    ngtcp2_conn_set_tls_alert(conn, TLS_ALERT_UNEXPECTED_MESSAGE);
    return NGTCP2_ERR_CRYPTO;
  }
  // RFC 9001 section 4.1.3. OpenSSL does not know the level, and ngtcp2 crashes
  // when a Finished of Initial packets completes the handshake.
  if (level != c->rx_level) {
    return NGTCP2_ERR_PROTO;
  }
  if (c->server) {
    shim_session_version(c);
  }
  int rv = ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, data, len,
                                             user_data);
  if (rv == 0) {
    rv = check_params(c);
  }
  return rv != 0 || c->server ? rv : shim_session_take(c);
}

static int confirmed(shim_conn *c) {
  c->state |= SHIM_STATE_HANDSHAKE_CONFIRMED;
  return emit(c, SHIM_EV_HANDSHAKE_CONFIRMED, -1, 0, 0);
}

// allow_cids makes ngtcp2 enforce a larger active_connection_id_limit than the
// peer has been told. ngtcp2 (1.24.0, conn_recv_new_connection_id) counts CIDs
// of the peer that it has retired already while a path validation remembers
// them. So a peer that migrates soon after another migration or a rebinding, and
// replaces them as it should, would be closed with CONNECTION_ID_LIMIT_ERROR.
// Memory is bounded by ngtcp2's own arrays all the same. There is no setter: the
// parameters are sent from here as well. Writing them is defined, for they are a part of
// the ngtcp2_conn, which is no const object (C11 6.7.3); and by now they have been sent,
// so that nothing else reads the limit any more. TestMigrateAgainAndAgain (package endpoint)
// fails when an ngtcp2 keeps it elsewhere.
static void allow_cids(ngtcp2_conn *conn) {
  ngtcp2_transport_params *params =
    (ngtcp2_transport_params *)ngtcp2_conn_get_local_transport_params2(conn);
  params->active_connection_id_limit += PV_CIDS;
}

static int cb_handshake_completed(ngtcp2_conn *conn, void *user_data) {
  shim_conn *c = user_data;
  c->state |= SHIM_STATE_HANDSHAKE_COMPLETED;
  if (shim_session_early_rejected(c) &&
      ngtcp2_conn_tls_early_data_rejected(conn) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  c->check_alpn = !c->server;
  allow_cids(conn);
  for (shim_stream *s = c->streams; s != NULL; s = s->next) {
    shim_stream_wake(c, s);
  }
  if (emit(c, SHIM_EV_HANDSHAKE_COMPLETED, -1, 0, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  return c->server ? confirmed(c) : shim_session_take(c);
}

static int cb_handshake_confirmed(ngtcp2_conn *conn, void *user_data) {
  (void)conn;
  return confirmed(user_data);
}

static int cb_recv_version_negotiation(ngtcp2_conn *conn,
                                       const ngtcp2_pkt_hd *hd,
                                       const uint32_t *sv, size_t nsv,
                                       void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  (void)hd;
  if (emit(c, SHIM_EV_VERSION_NEGOTIATION, -1, nsv, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  for (size_t i = 0; i < nsv; ++i) {
    uint32_t v = htonl(sv[i]);
    if (shim_events_data(c->ev, &v, sizeof(v)) != 0) {
      return NGTCP2_ERR_CALLBACK_FAILURE;
    }
  }
  return 0;
}

static int cb_early_data_rejected(ngtcp2_conn *conn, void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  shim_streams_del(c);
  return emit(c, SHIM_EV_EARLY_DATA_REJECTED, -1, 0, 0);
}

static int cb_recv_new_token(ngtcp2_conn *conn, const uint8_t *token,
                             size_t len, void *user_data) {
  (void)conn;
  return emit_data(user_data, SHIM_EV_NEW_TOKEN, token, len);
}

// --- streams ---

static int cb_stream_open(ngtcp2_conn *conn, int64_t id, void *user_data) {
  shim_conn *c = user_data;
  shim_stream *s = shim_stream_new(c, id);
  if (s == NULL || ngtcp2_conn_set_stream_user_data(conn, id, s) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  s->shut = !ngtcp2_is_bidi_stream(id); // the peer's unidirectional stream
  return emit(c, SHIM_EV_STREAM_OPEN, id, 0, 0);
}

// continues reports whether data of stream id would only lengthen the last event.
static int continues(shim_conn *c, int64_t id, uint32_t early) {
  if (c->ev->len == 0) {
    return 0;
  }
  const shim_event *last = last_event(c);
  return last->type == SHIM_EV_STREAM_DATA && last->stream_id == id &&
         last->flags == early;
}

static int cb_recv_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id,
                               uint64_t offset, const uint8_t *data, size_t len,
                               void *user_data, void *stream_user_data) {
  shim_conn *c = user_data;
  uint32_t early = flags & NGTCP2_STREAM_DATA_FLAG_0RTT ? SHIM_EVF_EARLY : 0;
  (void)conn;
  (void)stream_user_data;
  if (!continues(c, id, early) &&
      emit(c, SHIM_EV_STREAM_DATA, id, offset, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  if (shim_events_data(c->ev, data, len) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  last_event(c)->flags =
    early | (flags & NGTCP2_STREAM_DATA_FLAG_FIN ? SHIM_EVF_FIN : 0);
  return 0;
}

static int cb_acked_stream_data(ngtcp2_conn *conn, int64_t id, uint64_t offset,
                                uint64_t len, void *user_data,
                                void *stream_user_data) {
  shim_conn *c = user_data;
  shim_stream *s = stream_user_data;
  (void)conn;
  (void)offset;
  if (s == NULL || len == 0) {
    return 0;
  }
  shim_stream_acked(s, len);
  shim_mtu_progress(c, c->last_ts);
  if (s->ack_event != 0 && s->ack_gen == c->ev->gen) {
    c->ev->ev[s->ack_event - 1].a += len;
    return 0;
  }
  if (emit(c, SHIM_EV_STREAM_ACKED, id, len, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  s->ack_gen = c->ev->gen;
  s->ack_event = c->ev->len;
  return 0;
}

static int cb_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id,
                           uint64_t code, void *user_data,
                           void *stream_user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (stream_user_data != NULL) {
    shim_stream_del(c, stream_user_data);
  }
  if (emit(c, SHIM_EV_STREAM_CLOSE, id, 0, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  if (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) {
    last_event(c)->flags = SHIM_EVF_HAS_CODE;
    last_event(c)->a = code;
  }
  return 0;
}

static int cb_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size,
                           uint64_t code, void *user_data,
                           void *stream_user_data) {
  (void)conn;
  (void)stream_user_data;
  return emit(user_data, SHIM_EV_STREAM_RESET, id, code, final_size);
}

#if NGTCP2_VERSION_NUM >= 0x011800
static int cb_recv_stop_sending(ngtcp2_conn *conn, int64_t id, uint64_t code,
                                void *user_data, void *stream_user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (stream_user_data != NULL) {
    shim_stream_drop_unsent(c, stream_user_data);
  }
  if (emit(c, SHIM_EV_STOP_SENDING, id, code, 0) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  last_event(c)->flags = SHIM_EVF_HAS_CODE;
  return 0;
}
#endif

static int cb_max_local_bidi(ngtcp2_conn *conn, uint64_t max, void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_MAX_STREAMS_BIDI, -1, max, 0);
}

static int cb_max_local_uni(ngtcp2_conn *conn, uint64_t max, void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_MAX_STREAMS_UNI, -1, max, 0);
}

static int cb_max_remote_bidi(ngtcp2_conn *conn, uint64_t max,
                              void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_MAX_REMOTE_STREAMS_BIDI, -1, max, 0);
}

static int cb_max_remote_uni(ngtcp2_conn *conn, uint64_t max, void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_MAX_REMOTE_STREAMS_UNI, -1, max, 0);
}

static int cb_max_stream_data(ngtcp2_conn *conn, int64_t id, uint64_t max,
                              void *user_data, void *stream_user_data) {
  (void)conn;
  if (stream_user_data != NULL) {
    shim_stream_wake(user_data, stream_user_data);
  }
  return emit(user_data, SHIM_EV_MAX_STREAM_DATA, id, max, 0);
}

// --- connection ids, paths ---

int shim_reset_token(shim_conn *c, uint8_t *token, const ngtcp2_cid *cid) {
  if (c->secret_len > 0) {
    return ngtcp2_crypto_generate_stateless_reset_token(token, c->secret,
                                                        c->secret_len, cid);
  }
  return RAND_bytes(token, NGTCP2_STATELESS_RESET_TOKENLEN) == 1 ? 0 : -1;
}

// make_cid chooses a CID of len bytes.
static int make_cid(shim_conn *c, ngtcp2_cid *cid, size_t len) {
  cid->datalen = len;
  if (!c->given_cids) {
    size_t prefix = c->prefix_len < len ? c->prefix_len : len;
    memcpy(cid->data, c->prefix, prefix);
    return RAND_bytes(cid->data + prefix, (int)(len - prefix)) == 1 ? 0 : -1;
  }
  if (c->ev->given_len == 0) {
    return -1;
  }
  const shim_cid *given = &c->ev->given[--c->ev->given_len];
  if (given->len != len) {
    return -1;
  }
  memcpy(cid->data, given->data, len);
  return 0;
}

static int cb_new_cid(ngtcp2_conn *conn, ngtcp2_cid *cid,
                      ngtcp2_stateless_reset_token *token, size_t len,
                      void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (make_cid(c, cid, len) != 0 ||
      shim_reset_token(c, token->data, cid) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  return emit_data(c, SHIM_EV_NEW_CID, cid->data, cid->datalen);
}

static int cb_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid,
                         void *user_data) {
  (void)conn;
  return emit_data(user_data, SHIM_EV_RETIRE_CID, cid->data, cid->datalen);
}

static int cb_dcid_status(ngtcp2_conn *conn,
                          ngtcp2_connection_id_status_type type, uint64_t seq,
                          const ngtcp2_cid *cid,
                          const ngtcp2_stateless_reset_token *token,
                          void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (emit(c, SHIM_EV_DCID_STATUS, -1, seq, token != NULL) != 0 ||
      shim_events_data(c->ev, cid->data, cid->datalen) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_DEACTIVATE) {
    last_event(c)->flags = SHIM_EVF_DEACTIVATE;
  }
  if (token != NULL &&
      shim_events_data(c->ev, token->data, sizeof(token->data)) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  return 0;
}

static int path_event(shim_conn *c, uint32_t type, uint32_t flags,
                      const ngtcp2_path *path) {
  shim_path flat;
  shim_path_flat(&flat, path);
  if (emit_data(c, type, &flat, sizeof(flat)) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  last_event(c)->flags =
    (flags & NGTCP2_PATH_VALIDATION_FLAG_PREFERRED_ADDR ? SHIM_EVF_PREFERRED_ADDR : 0) |
    (flags & NGTCP2_PATH_VALIDATION_FLAG_NEW_TOKEN ? SHIM_EVF_NEW_TOKEN : 0);
  return 0;
}

static int cb_begin_path_validation(ngtcp2_conn *conn, uint32_t flags,
                                    const ngtcp2_path *path,
                                    const ngtcp2_path *fallback,
                                    void *user_data) {
  (void)conn;
  (void)fallback;
  shim_path_begun(user_data, path);
  return path_event(user_data, SHIM_EV_BEGIN_PATH_VALIDATION, flags, path);
}

static int cb_path_validation(ngtcp2_conn *conn, uint32_t flags,
                              const ngtcp2_path *path,
                              const ngtcp2_path *fallback,
                              ngtcp2_path_validation_result res,
                              void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  (void)fallback;
  shim_path_ended(c);
  if (path_event(c, SHIM_EV_PATH_VALIDATION, flags, path) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  if (res == NGTCP2_PATH_VALIDATION_RESULT_FAILURE) {
    last_event(c)->flags |= SHIM_EVF_FAILED;
  } else if (res == NGTCP2_PATH_VALIDATION_RESULT_ABORTED) {
    last_event(c)->flags |= SHIM_EVF_ABORTED;
  }
  return 0;
}

static int cb_stateless_reset(ngtcp2_conn *conn,
                              const ngtcp2_pkt_stateless_reset2 *sr,
                              void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  (void)sr;
  c->state |= SHIM_STATE_STATELESS_RESET;
  return emit(c, SHIM_EV_STATELESS_RESET, -1, 0, 0);
}

// --- datagrams ---

static int cb_recv_datagram(ngtcp2_conn *conn, uint32_t flags,
                            const uint8_t *data, size_t len, void *user_data) {
  shim_conn *c = user_data;
  (void)conn;
  if (emit_data(c, SHIM_EV_DATAGRAM, data, len) != 0) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  if (flags & NGTCP2_DATAGRAM_FLAG_0RTT) {
    last_event(c)->flags = SHIM_EVF_EARLY;
  }
  return 0;
}

static int cb_ack_datagram(ngtcp2_conn *conn, uint64_t id, void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_DATAGRAM_ACKED, -1, id, 0);
}

static int cb_lost_datagram(ngtcp2_conn *conn, uint64_t id, void *user_data) {
  (void)conn;
  return emit(user_data, SHIM_EV_DATAGRAM_LOST, -1, id, 0);
}

// --- others ---

static void cb_rand(uint8_t *dst, size_t n, const ngtcp2_rand_ctx *ctx) {
  (void)ctx;
  shim_random(dst, n);
}

const ngtcp2_callbacks shim_callbacks = {
  .client_initial = cb_client_initial,
  .recv_client_initial = cb_recv_client_initial,
  .recv_crypto_data = cb_recv_crypto_data,
  .recv_rx_key = cb_recv_rx_key,
  .recv_tx_key = cb_recv_tx_key,
  .handshake_completed = cb_handshake_completed,
  .recv_version_negotiation = cb_recv_version_negotiation,
  .encrypt = ngtcp2_crypto_encrypt_cb,
  .decrypt = shim_ack_decrypt,
  .hp_mask = ngtcp2_crypto_hp_mask_cb,
  .recv_stream_data = cb_recv_stream_data,
  .acked_stream_data_offset = cb_acked_stream_data,
  .stream_open = cb_stream_open,
  .stream_close = cb_stream_close,
  .recv_retry = ngtcp2_crypto_recv_retry_cb,
  .extend_max_local_streams_bidi = cb_max_local_bidi,
  .extend_max_local_streams_uni = cb_max_local_uni,
  .rand = cb_rand,
  .remove_connection_id = cb_remove_cid,
  .update_key = cb_update_key,
  .path_validation = cb_path_validation,
  .select_preferred_addr = shim_cb_preferred_addr,
  .stream_reset = cb_stream_reset,
  .extend_max_remote_streams_bidi = cb_max_remote_bidi,
  .extend_max_remote_streams_uni = cb_max_remote_uni,
  .extend_max_stream_data = cb_max_stream_data,
  .handshake_confirmed = cb_handshake_confirmed,
  .recv_new_token = cb_recv_new_token,
  .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
  .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
  .recv_datagram = cb_recv_datagram,
  .ack_datagram = cb_ack_datagram,
  .lost_datagram = cb_lost_datagram,
  .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
  .tls_early_data_rejected = cb_early_data_rejected,
  .begin_path_validation = cb_begin_path_validation,
  .recv_stateless_reset2 = cb_stateless_reset,
  .get_new_connection_id2 = cb_new_cid,
  .dcid_status2 = cb_dcid_status,
  .get_path_challenge_data2 = ngtcp2_crypto_get_path_challenge_data2_cb,
#if NGTCP2_VERSION_NUM >= 0x011800
  .recv_stop_sending = cb_recv_stop_sending,
#endif
};
