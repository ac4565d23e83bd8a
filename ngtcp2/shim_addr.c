// Conversion between the flat forms shared with Go and the forms of ngtcp2.
#include "shim_int.h"

#include <string.h>

ngtcp2_socklen shim_addr_native(ngtcp2_sockaddr_union *out,
                                const shim_addr *a) {
  memset(out, 0, sizeof(*out));
  if (a->family == 6) {
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_port = htons(a->port);
    out->in6.sin6_scope_id = a->scope;
    memcpy(&out->in6.sin6_addr, a->ip, 16);
    return sizeof(out->in6);
  }
  out->in.sin_family = AF_INET;
  out->in.sin_port = htons(a->port);
  memcpy(&out->in.sin_addr, a->ip, 4);
  return sizeof(out->in);
}

void shim_addr_flat(shim_addr *out, const ngtcp2_sockaddr *sa) {
  memset(out, 0, sizeof(*out));
  if (sa->sa_family == AF_INET6) {
    const ngtcp2_sockaddr_in6 *in6 = (const ngtcp2_sockaddr_in6 *)(const void *)sa;
    out->family = 6;
    out->port = ntohs(in6->sin6_port);
    out->scope = in6->sin6_scope_id;
    memcpy(out->ip, &in6->sin6_addr, 16);
  } else if (sa->sa_family == AF_INET) {
    const ngtcp2_sockaddr_in *in = (const ngtcp2_sockaddr_in *)(const void *)sa;
    out->family = 4;
    out->port = ntohs(in->sin_port);
    memcpy(out->ip, &in->sin_addr, 4);
  }
}

void shim_path_native(shim_native_path *out, const shim_path *p) {
  ngtcp2_path_storage_zero(out);
  out->path.local.addrlen = shim_addr_native(&out->local_addrbuf, &p->local);
  out->path.remote.addrlen = shim_addr_native(&out->remote_addrbuf, &p->remote);
}

void shim_path_flat(shim_path *out, const ngtcp2_path *p) {
  shim_addr_flat(&out->local, p->local.addr);
  shim_addr_flat(&out->remote, p->remote.addr);
}

ngtcp2_cid shim_cid_native(shim_cid c) {
  ngtcp2_cid out;
  ngtcp2_cid_init(&out, c.data, c.len);
  return out;
}

shim_cid shim_cid_flat(const ngtcp2_cid *c) {
  shim_cid out = {.len = (uint8_t)c->datalen};
  memcpy(out.data, c->data, c->datalen);
  return out;
}
