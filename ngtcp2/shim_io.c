// The data path of a connection: read, write, timers, close.
#include "shim_int.h"

#include <string.h>

#include <openssl/err.h>

enum { TLS_ALERT_NO_APPLICATION_PROTOCOL = 120 }; // RFC 9001 section 8.1

static int fatal(shim_conn *c, int rv) {
  c->fatal = c->fatal != 0 ? c->fatal : rv;
  return rv;
}

uint64_t shim_now(shim_conn *c, uint64_t ts) {
  if (ts > c->last_ts && ts != UINT64_MAX) {
    c->last_ts = ts;
  }
  if (c->unawaited && c->resume <= c->last_ts && c->fatal == 0) {
    c->unawaited = 0;
    fatal(c, ngtcp2_conn_handle_expiry(c->conn, c->resume)); // as a rule only the pause is due
  }
  return c->last_ts;
}

void shim_conn_begin(shim_conn *c) {
  shim_events_reset(c->ev);
  memset(&c->ev->res, 0, offsetof(shim_result, text));
  if (!(c->state & SHIM_STATE_HANDSHAKE_COMPLETED)) {
    ERR_clear_error();
  }
}

// --- read ---

// check_alpn refuses a server that chose no protocol: TLS allows it, QUIC does
// not (RFC 9001 section 8.1).
static int check_alpn(shim_conn *c) {
  const unsigned char *p;
  unsigned int len = 0;
  if (!c->check_alpn) {
    return 0;
  }
  c->check_alpn = 0;
  SSL_get0_alpn_selected(c->ssl, &p, &len);
  if (len > 0) {
    return 0;
  }
  ngtcp2_conn_set_tls_alert(c->conn, TLS_ALERT_NO_APPLICATION_PROTOCOL);
  return NGTCP2_ERR_CRYPTO;
}

// over says why nothing may be read or written any more: ngtcp2 aborts on some
// calls that follow a failed one.
static int over(shim_conn *c) {
  if (c->fatal != 0 && ngtcp2_conn_in_closing_period2(c->conn)) {
    return NGTCP2_ERR_CLOSING;
  }
  return c->fatal;
}

// follow_handshake takes a datagram for one of the path in use while a server's handshake
// runs: ngtcp2 drops those of other addresses until it is complete. A NAT that gives the
// client another address may do so before its Finished arrives, when the client has all it
// needs and waits for an answer. Nothing is sent to the new address before a 1-RTT packet
// has come from there, which migrates the connection (RFC 9000 section 9.3).
static const ngtcp2_path *follow_handshake(shim_conn *c, const ngtcp2_path *came,
                                           shim_native_path *used) {
  const ngtcp2_path *now = ngtcp2_conn_get_path2(c->conn);
  if (!c->server || c->state & SHIM_STATE_HANDSHAKE_COMPLETED) {
    return came;
  }
  ngtcp2_path_storage_zero(used);
  ngtcp2_addr_copy_byte(&used->path.local, came->local.addr, came->local.addrlen);
  ngtcp2_addr_copy_byte(&used->path.remote, now->remote.addr, now->remote.addrlen);
  return &used->path;
}

static int read_run(shim_conn *c, const shim_path *path, const uint8_t *base,
                    const shim_dgram *run, uint32_t n, uint64_t ts) {
  shim_native_path native, used;
  int rv = 0;
  shim_path_native(&native, path);
  int ordinary = shim_ack_ordinary(c, &native.path, run, n);
  for (uint32_t i = 0; i < n && rv == 0; ++i) {
    ngtcp2_pkt_info pi = {.ecn = run[i].ecn & NGTCP2_ECN_MASK};
    rv = ngtcp2_conn_read_pkt(c->conn, follow_handshake(c, &native.path, &used), &pi,
                              base + run[i].off, run[i].len, ts);
    shim_path_earn(c, &native.path, run[i].len);
    if (c->server && run[i].len > 0) {
      shim_path_hear(c, path, base[run[i].off], run[i].len);
    }
    c->ev->res.n += rv == 0;
    shim_ack_number(c);
  }
  shim_path_done(c, 0);
  shim_ack_read(c, ordinary, n, ts);
  return rv != 0 ? rv : check_alpn(c);
}

void shim_conn_read(shim_conn *c, const shim_path *path, const uint8_t *base,
                    const shim_dgram *run, uint32_t n, uint64_t ts) {
  shim_conn_begin(c);
  ts = shim_now(c, ts);
  int rv = over(c);
  if (rv == 0) {
    rv = fatal(c, read_run(c, path, base, run, n, ts));
  }
  shim_conn_finish(c, rv);
}

void shim_conn_expire(shim_conn *c, uint64_t ts) {
  shim_conn_begin(c);
  ts = shim_now(c, ts);
  int rv = over(c);
  if (rv == 0) {
    shim_ack_due(c);
    shim_mtu_expire(c, ts);
    rv = fatal(c, ngtcp2_conn_handle_expiry(c->conn, ts));
  }
  shim_conn_finish(c, rv);
}

// --- write ---

static int queue_chunks(shim_conn *c, const shim_chunk *chunks, uint32_t n) {
  int rv = 0;
  for (uint32_t i = 0; i < n; ++i) {
    int one = shim_stream_queue(c, &chunks[i]);
    rv = rv != 0 ? rv : one;
  }
  return rv;
}

// quantum_left is what is left of the send quantum, in packets.
static size_t quantum_left(shim_conn *c, size_t pktlen) {
  uint64_t quantum = ngtcp2_conn_get_send_quantum2(c->conn);
  return quantum > c->burst ? (size_t)((quantum - c->burst) / pktlen) : 0;
}

// packet_limit is the number of packets that one call may make: what is left of
// the send quantum, and a bound on the time of the call.
static size_t packet_limit(shim_conn *c, size_t pktlen) {
  size_t n = quantum_left(c, pktlen);
  if (n > SHIM_WRITE_PKTS_MAX) {
    n = SHIM_WRITE_PKTS_MAX;
  }
  return n > 0 ? n : 1;
}

// end_burst tells ngtcp2 that a burst is over, so that the next one comes after a pause.
// The end of the pause is a deadline only if something waits for it: a burst that ended
// because the quantum was used up leaves more, and one made during the last pause was of
// acknowledgements alone.
static void end_burst(shim_conn *c, uint64_t ts) {
  uint64_t others = ngtcp2_conn_get_expiry2(c->conn);
  int waits = c->written > 0 || c->resume > ts;
  ngtcp2_conn_update_pkt_tx_time(c->conn, ts);
  c->resume = ngtcp2_conn_get_expiry2(c->conn);
  if (c->resume >= others) {
    c->resume = UINT64_MAX; // not known
  } else if (!waits) {
    c->others = others;
  }
  c->unawaited = c->others > 0;
  c->burst = 0;
}

// pace ends the burst that n bytes more belong to, if they are the last. A rest of
// less than a packet is no reason for another call.
static void pace(shim_conn *c, uint64_t n, size_t pktlen, uint64_t ts) {
  c->burst += n;
  if (c->burst > 0 && (c->written <= 0 || quantum_left(c, pktlen) == 0)) {
    end_burst(c, ts);
  }
}

// write_pkts writes the packets of a run.
static ngtcp2_ssize write_pkts(shim_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
                               shim_span dst, size_t *gso, size_t pktlen) {
  return ngtcp2_conn_write_aggregate_pkt2(c->conn, path, pi, (uint8_t *)(uintptr_t)dst.p,
                                          dst.len, gso, shim_sched_write,
                                          c->guards > 0 ? 1 : packet_limit(c, pktlen),
                                          c->last_ts);
}

static int write_run(shim_conn *c, uint8_t *dst, size_t len, uint64_t ts) {
  shim_result *res = &c->ev->res;
  size_t pktlen = ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->conn);
  ngtcp2_path_storage path;
  ngtcp2_conn_info info;
  ngtcp2_pkt_info pi = {0};
  size_t gso = 0;
  if (len < pktlen) {
    return NGTCP2_ERR_NOBUF;
  }
  if (c->held && c->state & SHIM_STATE_HANDSHAKE_CONFIRMED) {
    int rv = shim_shutdown_held(c);
    if (rv != 0) {
      return fatal(c, rv);
    }
  }
  if (ngtcp2_conn_get_max_data_left2(c->conn) > 0) {
    shim_streams_unpark(c);
  }
  ngtcp2_path_storage_zero(&path);
  ngtcp2_ssize n = 0;
  if (shim_path_guard(c, pktlen)) {
    n = write_pkts(c, &path.path, &pi, (shim_span){dst, len}, &gso, pktlen);
    shim_path_unguard(c, n);
  }
  if (n == 0) {
    n = write_pkts(c, &path.path, &pi, (shim_span){dst, len}, &gso, pktlen);
  }
  ts = c->last_ts;
  if (n < 0) {
    return fatal(c, (int)n);
  }
  pace(c, (uint64_t)n, pktlen, ts);
  ngtcp2_conn_get_conn_info2(c->conn, &info);
  shim_path_wake(c, &info);
  shim_path_done(c, n);
  shim_ack_written(c, &info);
  res->n = n;
  res->segment_size = (uint32_t)gso;
  res->ecn = pi.ecn;
  res->more = c->written > 0;
  if (n > 0) {
    shim_path_flat(&res->path, &path.path);
    shim_path_follow(c, res);
  }
  return 0;
}

void shim_conn_write(shim_conn *c, uint8_t *dst, size_t dstlen,
                     const shim_chunk *chunks, uint32_t n, uint64_t ts) {
  if (dstlen > 0) {
    shim_conn_begin(c);
  } else {
    c->ev->res.n = 0;
    c->ev->res.more = 0;
  }
  int rv = queue_chunks(c, chunks, n);
  int writes = dstlen > 0 && (c->keyed || !c->server) && !shim_ack_holds(c);
  if (writes) {
    ts = shim_now(c, ts);
  }
  if (over(c) != 0) {
    rv = over(c);
  }
  c->others = 0;
  if (rv == 0 && writes) {
    rv = write_run(c, dst, dstlen, ts);
  }
  shim_conn_finish(c, rv);
  if (c->others > 0) {
    c->ev->res.expiry = c->others;
  }
}

// --- close ---

static ngtcp2_ccerr native_ccerr(const shim_ccerr *e) {
  ngtcp2_ccerr out;
  if (e->kind == NGTCP2_CCERR_TYPE_APPLICATION) {
    ngtcp2_ccerr_set_application_error(&out, e->code, e->reason, e->reasonlen);
  } else {
    ngtcp2_ccerr_set_transport_error(&out, e->code, e->reason, e->reasonlen);
  }
  return out;
}

static int write_close(shim_conn *c, uint8_t *dst, size_t len,
                       const ngtcp2_ccerr *e, uint64_t ts) {
  shim_result *res = &c->ev->res;
  ngtcp2_path_storage path;
  ngtcp2_pkt_info pi = {0};
  if (e->error_code > NGTCP2_MAX_VARINT) {
    return NGTCP2_ERR_INVALID_ARGUMENT;
  }
  if (!c->keyed) { // nobody to tell
    return 0;
  }
  if (len < NGTCP2_MAX_UDP_PAYLOAD_SIZE) {
    return NGTCP2_ERR_NOBUF;
  }
  ngtcp2_path_storage_zero(&path);
  ngtcp2_ssize n = ngtcp2_conn_write_connection_close(c->conn, &path.path, &pi,
                                                      dst, len, e, ts);
  if (n == NGTCP2_ERR_INVALID_STATE) { // closed already, or nothing to answer
    return 0;
  }
  if (n <= 0) {
    return (int)n;
  }
  res->n = n;
  res->segment_size = (uint32_t)n;
  res->ecn = pi.ecn;
  shim_path_flat(&res->path, &path.path);
  return 0;
}

void shim_conn_write_close(shim_conn *c, uint8_t *dst, size_t dstlen,
                           shim_ccerr err, uint64_t ts) {
  ngtcp2_ccerr e = native_ccerr(&err);
  shim_conn_begin(c);
  shim_conn_finish(c, write_close(c, dst, dstlen, &e, shim_now(c, ts)));
}
