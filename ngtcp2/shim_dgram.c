// DATAGRAM frames (RFC 9221): a bounded queue, written before stream data.
// ngtcp2 copies the bytes into the packet and never sends them again, so a buffer
// is released as soon as its datagram is in a packet.
#include "shim_int.h"

enum {
  SHORT_OVERHEAD = 1 + 4 + 16, // first byte, packet number, AEAD tag
  // A 0-RTT packet: first byte, version, both CIDs with lengths, length, packet
  // number, tag.
  LONG_OVERHEAD = 1 + 4 + 1 + NGTCP2_MAX_CIDLEN + 1 + NGTCP2_MAX_CIDLEN + 2 + 4 + 16,
  FRAME_OVERHEAD = 1 + 2, // type, length of up to 16383 bytes
  FRAME_OVERHEAD_LONG = 1 + 4,
  VARINT_2 = 16383,
};

static uint64_t below(uint64_t n, uint64_t overhead) {
  return n > overhead ? n - overhead : 0;
}

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t frame_overhead(uint64_t n) {
  return n > VARINT_2 ? FRAME_OVERHEAD_LONG : FRAME_OVERHEAD;
}

static uint64_t max_frame_size(shim_conn *c) {
  const ngtcp2_transport_params *p =
    ngtcp2_conn_get_remote_transport_params2(c->conn);
  return p == NULL ? 0 : p->max_datagram_frame_size;
}

// shim_dgram_limit is the longest datagram that the peer takes and that fits in
// one packet of the path as it is known now.
uint64_t shim_dgram_limit(shim_conn *c) {
  uint64_t packet = shim_mtu_limit(c);
  uint64_t overhead = c->state & SHIM_STATE_HANDSHAKE_COMPLETED
                        ? SHORT_OVERHEAD + ngtcp2_conn_get_dcid2(c->conn)->datalen
                        : LONG_OVERHEAD;
  uint64_t frame = min(max_frame_size(c), below(packet, overhead));
  return below(frame, frame_overhead(frame));
}

// refused is why d can never be sent; before the peer's parameters are known
// nothing is refused.
static int refused(shim_conn *c, const shim_dgram_out *d) {
  if (d->off > d->buf->cap || d->len > d->buf->cap - d->off) {
    return SHIM_DGRAM_RANGE;
  }
  if (ngtcp2_conn_get_remote_transport_params2(c->conn) == NULL) {
    return 0;
  }
  if (max_frame_size(c) == 0) {
    return SHIM_DGRAM_OFF;
  }
  return d->len > shim_dgram_limit(c) ? SHIM_DGRAM_TOO_LARGE : 0;
}

static int push(shim_conn *c, const shim_dgram_out *d) {
  shim_dgram_queue *q = &c->dgrams;
  if (q->ring == NULL) {
    q->ring = shim_alloc(SHIM_DGRAMS_MAX * sizeof(*q->ring));
  }
  if (q->ring == NULL || q->len == SHIM_DGRAMS_MAX) {
    return SHIM_DGRAM_FULL;
  }
  q->ring[(q->head + q->len++) % SHIM_DGRAMS_MAX] = *d;
  return 0;
}

int shim_conn_queue_dgram(shim_conn *c, shim_dgram_out d) {
  int rv = refused(c, &d);
  if (rv == 0) {
    rv = push(c, &d);
  }
  if (rv != 0) {
    shim_buf_unref(d.buf);
  }
  return rv;
}

uint32_t shim_conn_queued_dgrams(const shim_conn *c) { return c->dgrams.len; }

static void pop(shim_conn *c) {
  shim_dgram_queue *q = &c->dgrams;
  shim_buf_unref(q->ring[q->head].buf);
  q->head = (q->head + 1) % SHIM_DGRAMS_MAX;
  --q->len;
}

void shim_dgrams_del(shim_conn *c) {
  while (c->dgrams.len > 0) {
    pop(c);
  }
  shim_release(c->dgrams.ring);
  c->dgrams.ring = NULL;
}

// shim_dgrams_ready: a client without early data waits for the handshake.
int shim_dgrams_ready(shim_conn *c) {
  return c->dgrams.len > 0 &&
         ngtcp2_conn_get_remote_transport_params2(c->conn) != NULL;
}

// lost gives up the first datagram: the peer takes none, or the path got smaller.
static ngtcp2_ssize lost(shim_conn *c) {
  shim_event *ev = shim_events_add(c->ev, SHIM_EV_DATAGRAM_LOST, -1);
  if (ev == NULL) {
    return NGTCP2_ERR_CALLBACK_FAILURE;
  }
  ev->a = c->dgrams.ring[c->dgrams.head].id;
  pop(c);
  return NGTCP2_ERR_WRITE_MORE;
}

// shim_dgram_write puts the first datagram into the packet under construction.
// NGTCP2_ERR_WRITE_MORE: the packet is not complete.
ngtcp2_ssize shim_dgram_write(shim_conn *c, ngtcp2_path *path,
                              ngtcp2_pkt_info *pi, shim_span dest,
                              ngtcp2_tstamp ts) {
  const shim_dgram_out *d = &c->dgrams.ring[c->dgrams.head];
  ngtcp2_vec vec = {d->buf->data + d->off, d->len};
  int accepted = 0;
  if (d->len > shim_dgram_limit(c)) {
    return lost(c);
  }
  ngtcp2_ssize rv = ngtcp2_conn_writev_datagram(
    c->conn, path, pi, (uint8_t *)(uintptr_t)dest.p, dest.len, &accepted,
    NGTCP2_WRITE_DATAGRAM_FLAG_MORE, d->id, &vec, 1, ts);
  if (accepted) {
    pop(c);
  } else if (rv == NGTCP2_ERR_INVALID_STATE || rv == NGTCP2_ERR_INVALID_ARGUMENT) {
    return lost(c);
  }
  return rv;
}
