// Packets that need no connection.
#include "shim_int.h"

static uint8_t *writable(shim_span s) { return (uint8_t *)(uintptr_t)s.p; }

int shim_accept(shim_pkt_hd *out, const uint8_t *pkt, size_t len) {
  ngtcp2_pkt_hd hd;
  int rv = ngtcp2_accept(&hd, pkt, len);
  if (rv != 0) {
    return rv;
  }
  out->dcid = shim_cid_flat(&hd.dcid);
  out->scid = shim_cid_flat(&hd.scid);
  out->type = hd.type;
  out->version = hd.version;
  out->token_off = hd.tokenlen > 0 ? (size_t)(hd.token - pkt) : 0;
  out->token_len = hd.tokenlen;
  return 0;
}

int shim_decode_version_cid(shim_version_cid *out, const uint8_t *pkt,
                            size_t len, size_t short_dcidlen) {
  ngtcp2_version_cid v;
  int rv = ngtcp2_pkt_decode_version_cid(&v, pkt, len, short_dcidlen);
  if (rv != 0 && rv != NGTCP2_ERR_VERSION_NEGOTIATION) {
    return rv;
  }
  out->version = v.version;
  out->dcid_off = v.dcidlen > 0 ? (size_t)(v.dcid - pkt) : 0;
  out->dcid_len = v.dcidlen;
  out->scid_off = v.scidlen > 0 ? (size_t)(v.scid - pkt) : 0;
  out->scid_len = v.scidlen;
  return rv;
}

int64_t shim_write_version_negotiation(shim_span dst, uint8_t unused,
                                       shim_vn vn) {
  return ngtcp2_pkt_write_version_negotiation(
    writable(dst), dst.len, unused, vn.dcid.p, vn.dcid.len, vn.scid.p,
    vn.scid.len, vn.versions, vn.len);
}

// crypto_result: the crypto helpers have codes of their own.
static int64_t crypto_result(ngtcp2_ssize n) {
  return n < 0 ? NGTCP2_ERR_NOBUF : n;
}

int64_t shim_write_retry(shim_span dst, const shim_ids *ids, shim_span token) {
  ngtcp2_cid dcid = shim_cid_native(ids->dcid),
             scid = shim_cid_native(ids->scid),
             odcid = shim_cid_native(ids->odcid);
  return crypto_result(ngtcp2_crypto_write_retry(
    writable(dst), dst.len, ids->version, &dcid, &scid, &odcid, token.p,
    token.len));
}

int64_t shim_write_connection_close(shim_span dst, const shim_ids *ids,
                                    uint64_t code, shim_span reason) {
  ngtcp2_cid dcid = shim_cid_native(ids->dcid),
             scid = shim_cid_native(ids->scid);
  return crypto_result(ngtcp2_crypto_write_connection_close(
    writable(dst), dst.len, ids->version, &dcid, &scid, code, reason.p,
    reason.len));
}

enum { RESET_RAND_MAX = 1500 };

int64_t shim_write_stateless_reset(shim_span dst, const uint8_t *token) {
  uint8_t rnd[RESET_RAND_MAX];
  ngtcp2_stateless_reset_token t;
  if (dst.len < NGTCP2_MIN_STATELESS_RESET_RANDLEN + sizeof(t.data)) {
    return NGTCP2_ERR_NOBUF;
  }
  size_t n = dst.len - sizeof(t.data);
  n = n < RESET_RAND_MAX ? n : RESET_RAND_MAX;
  for (size_t i = 0; i < sizeof(t.data); ++i) {
    t.data[i] = token[i];
  }
  shim_random(rnd, n);
  return ngtcp2_pkt_write_stateless_reset2(writable(dst), dst.len, &t, rnd, n);
}

int shim_stateless_reset_token(uint8_t *token, shim_span secret, shim_cid cid) {
  ngtcp2_cid c = shim_cid_native(cid);
  return ngtcp2_crypto_generate_stateless_reset_token(token, secret.p,
                                                      secret.len, &c);
}
