// What can be read from a connection.
#include "shim_int.h"

#include <string.h>

void shim_conn_info(shim_conn *c, ngtcp2_conn_info *out) {
  ngtcp2_conn_get_conn_info2(c->conn, out);
}

void shim_conn_values(shim_conn *c, shim_values *out) {
  ngtcp2_conn *conn = c->conn;
  out->pto = ngtcp2_conn_get_pto2(conn);
  out->streams_bidi_left = ngtcp2_conn_get_streams_bidi_left2(conn);
  out->streams_uni_left = ngtcp2_conn_get_streams_uni_left2(conn);
  out->max_data_left = ngtcp2_conn_get_max_data_left2(conn);
  out->cwnd_left = ngtcp2_conn_get_cwnd_left2(conn);
  out->send_quantum = ngtcp2_conn_get_send_quantum2(conn);
  out->path_max_tx_udp_payload_size = shim_mtu_limit(c);
  out->key_updates = c->next_keys > 0 ? c->next_keys - 1 : 0;
  out->negotiated_version = ngtcp2_conn_get_negotiated_version2(conn);
  shim_path_flat(&out->path, ngtcp2_conn_get_path2(conn));
  out->dcid = shim_cid_flat(ngtcp2_conn_get_dcid2(conn));
  out->client_initial_dcid =
    shim_cid_flat(ngtcp2_conn_get_client_initial_dcid2(conn));
}

static void flat_preferred(shim_params *out, const ngtcp2_preferred_addr *p) {
  if (p->ipv4_present) {
    shim_addr_flat(&out->preferred4, (const ngtcp2_sockaddr *)(const void *)&p->ipv4);
  }
  if (p->ipv6_present) {
    shim_addr_flat(&out->preferred6, (const ngtcp2_sockaddr *)(const void *)&p->ipv6);
  }
}

int shim_conn_params(shim_conn *c, int remote, shim_params *out) {
  const ngtcp2_transport_params *p =
    remote ? ngtcp2_conn_get_remote_transport_params2(c->conn)
           : ngtcp2_conn_get_local_transport_params2(c->conn);
  if (p == NULL) {
    return -1;
  }
  memset(out, 0, sizeof(*out));
  out->p = *p;
  if (p->preferred_addr_present) {
    flat_preferred(out, &p->preferred_addr);
  }
  return 0;
}

enum { SCIDS_MAX = 64 }; // more than ngtcp2 ever issues (8 and those retiring)

uint32_t shim_conn_scids(shim_conn *c, shim_cid *out, uint32_t n) {
  ngtcp2_cid cids[SCIDS_MAX];
  size_t have = ngtcp2_conn_get_scid2(c->conn, NULL);
  if (have > SCIDS_MAX) {
    have = 0;
  }
  if (out == NULL) {
    return (uint32_t)have;
  }
  ngtcp2_conn_get_scid2(c->conn, cids);
  for (uint32_t i = 0; i < n && i < have; ++i) {
    out[i] = shim_cid_flat(&cids[i]);
  }
  return (uint32_t)have;
}

void shim_conn_ccerr(shim_conn *c, shim_ccerr *out) {
  const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr2(c->conn);
  *out = (shim_ccerr){
    .kind = e->type,
    .code = e->error_code,
    .frame_type = e->frame_type,
    .reason = e->reason,
    .reasonlen = e->reasonlen,
  };
}

int shim_conn_stream_info(shim_conn *c, int64_t id, shim_stream_info *out) {
  shim_stream *s = shim_stream_find(c, id);
  if (s == NULL) {
    return -1;
  }
  out->queued = s->queued;
  out->unacked = s->unacked;
  out->max_left = ngtcp2_conn_get_max_stream_data_left2(c->conn, id);
  return 0;
}
