// Address validation tokens.
#include "shim_int.h"

int64_t shim_generate_retry_token(shim_span dst, shim_span secret,
                                  const shim_proof *p) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, &p->remote);
  ngtcp2_cid scid = shim_cid_native(p->retry_scid);
  ngtcp2_cid odcid = shim_cid_native(p->odcid);
  return ngtcp2_crypto_generate_retry_token2(
    (uint8_t *)(uintptr_t)dst.p, secret.p, secret.len, p->version, &sa.sa, len,
    &scid, &odcid, p->ts);
}

int shim_verify_retry_token(shim_span token, shim_span secret, shim_proof *p) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, &p->remote);
  ngtcp2_cid dcid = shim_cid_native(p->retry_scid), odcid;
  int rv = ngtcp2_crypto_verify_retry_token2(
    &odcid, token.p, token.len, secret.p, secret.len, p->version, &sa.sa, len,
    &dcid, p->timeout, p->ts);
  if (rv == 0) {
    p->odcid = shim_cid_flat(&odcid);
  }
  return rv;
}

int64_t shim_generate_token(shim_span dst, shim_span secret,
                            const shim_proof *p) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, &p->remote);
  return ngtcp2_crypto_generate_regular_token(
    (uint8_t *)(uintptr_t)dst.p, secret.p, secret.len, &sa.sa, len, p->ts);
}

int shim_verify_token(shim_span token, shim_span secret, const shim_proof *p) {
  ngtcp2_sockaddr_union sa;
  ngtcp2_socklen len = shim_addr_native(&sa, &p->remote);
  ngtcp2_ssize n = ngtcp2_crypto_verify_regular_token2(
    NULL, 0, token.p, token.len, secret.p, secret.len, &sa.sa, len, p->timeout,
    p->ts);
  return n < 0 ? (int)n : 0;
}
