// Address validation tokens.
#include "shim_int.h"

int64_t shim_generate_retry_token(shim_span dst, shim_span secret,
                                  uint32_t version, const shim_addr *remote,
                                  shim_cid retry_scid, shim_cid odcid,
                                  uint64_t ts) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, remote);
  ngtcp2_cid scid = shim_cid_native(retry_scid), o = shim_cid_native(odcid);
  return ngtcp2_crypto_generate_retry_token2((uint8_t *)(uintptr_t)dst.p,
                                             secret.p, secret.len, version,
                                             &sa.sa, len, &scid, &o, ts);
}

int shim_verify_retry_token(shim_cid *odcid, shim_span token, shim_span secret,
                            uint32_t version, const shim_addr *remote,
                            shim_cid dcid, uint64_t timeout, uint64_t ts) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, remote);
  ngtcp2_cid d = shim_cid_native(dcid), o;
  int rv = ngtcp2_crypto_verify_retry_token2(&o, token.p, token.len, secret.p,
                                             secret.len, version, &sa.sa, len,
                                             &d, timeout, ts);
  if (rv == 0) {
    *odcid = shim_cid_flat(&o);
  }
  return rv;
}

int64_t shim_generate_token(shim_span dst, shim_span secret,
                            const shim_addr *remote, uint64_t ts) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, remote);
  return ngtcp2_crypto_generate_regular_token((uint8_t *)(uintptr_t)dst.p,
                                              secret.p, secret.len, &sa.sa, len,
                                              ts);
}

int shim_verify_token(shim_span token, shim_span secret,
                      const shim_addr *remote, uint64_t timeout, uint64_t ts) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, remote);
  ngtcp2_ssize n = ngtcp2_crypto_verify_regular_token2(
    NULL, 0, token.p, token.len, secret.p, secret.len, &sa.sa, len, timeout,
    ts);
  return n < 0 ? (int)n : 0;
}
