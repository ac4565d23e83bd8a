// Acknowledgements that wait for company. ngtcp2 delays an ACK by an eighth of the
// round trip, and leaves it out of packets written sooner: on a fast network that is
// less than a program needs to answer, so a message costs a timer and a datagram for
// its ACK besides the datagram of the answer. Here ngtcp2 is told to acknowledge with
// every packet it writes, and a connection that has nothing to say but an ACK is not
// written: until Settings.AckThresh packets have come (RFC 9000 section 13.2.2), or
// until max_ack_delay is near (section 13.2.1).
//
// Only what stream data and datagrams brought can wait. Everything else is answered as
// ever: the handshake, congestion marks, new paths, resets, PINGs and what else the
// program does not see, data out of order or sent again, gaps in the packet numbers,
// losses.
#include "shim_int.h"

enum {
  SMALL = 1000,   // bytes of a datagram; the sender of a longer one may need credit
  QUICK = 1000000, // ns that the ACK of a longer one waits
  HOLD_NUM = 4,   // an ACK is sent after 4/5 of max_ack_delay: the timer of this end
  HOLD_DEN = 5,   // and the way need some of it
};

enum { NONE, HELD, DUE };

void shim_ack_init(shim_conn *c, ngtcp2_settings *s) {
  c->ack.thresh = s->ack_thresh;
  if (s->ack_thresh > 1) {
    s->ack_thresh = 1;
  }
}

int shim_ack_ordinary(shim_conn *c, const ngtcp2_path *path, const shim_dgram *run,
                      uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    if ((run[i].ecn & NGTCP2_ECN_MASK) == NGTCP2_ECN_CE) {
      return 0;
    }
    c->ack.quick |= run[i].len > SMALL;
  }
  return (c->state & SHIM_STATE_HANDSHAKE_CONFIRMED) &&
         ngtcp2_path_eq(ngtcp2_conn_get_path2(c->conn), path);
}

// decrypted is the number of the last 1-RTT packet that this thread decrypted. ngtcp2 tells
// nobody, but the header that is authenticated with the packet ends with the lowest bytes
// of the number (RFC 9000 section 17.3.1, RFC 9001 section 5.3).
static _Thread_local struct {
  uint32_t low;
  uint32_t mask; // of the bytes in low; 0: there is no such packet
  int challenge; // it begins with a PATH_CHALLENGE frame
} decrypted;

enum { LONG_HEADER = 0x80, NUMBER_LENGTH = 0x03 }; // bits of the first byte
enum { PATH_CHALLENGE = 0x1a };                    // RFC 9000 section 19.17

int shim_ack_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                     const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text,
                     size_t textlen, const uint8_t *nonce, size_t noncelen,
                     const uint8_t *header, size_t headerlen) {
  int rv = ngtcp2_crypto_decrypt_cb(dest, aead, ctx, text, textlen, nonce,
                                    noncelen, header, headerlen);
  if (rv != 0 || headerlen == 0 || (header[0] & LONG_HEADER)) {
    return rv;
  }
  size_t n = (header[0] & NUMBER_LENGTH) + 1u;
  decrypted.low = 0;
  decrypted.challenge = textlen > aead->max_overhead && dest[0] == PATH_CHALLENGE;
  decrypted.mask = UINT32_MAX >> (32 - 8 * n);
  for (size_t i = headerlen > n ? headerlen - n : 1; i < headerlen; ++i) {
    decrypted.low = decrypted.low << 8 | header[i];
  }
  return rv;
}

// shim_ack_number: a packet that does not follow the one before it is to be acknowledged
// at once (RFC 9000 section 13.2.1), for the sender may learn of a loss by that. What came
// on its stream may be in order all the same.
void shim_ack_number(shim_conn *c) {
  uint32_t ahead = (decrypted.low - c->ack.next) & decrypted.mask;
  if (decrypted.mask == 0) {
    return;
  }
  c->ack.gap |= ahead != 0;
  if (ahead <= decrypted.mask / 2) {
    c->ack.next += ahead + 1;
  }
  if (decrypted.challenge) {
    shim_path_challenged(c);
  }
  decrypted.mask = 0;
}

// only_data reports whether the read that is over brought data, and nothing that asks
// for more than its acknowledgement.
static int only_data(const shim_events *e) {
  int data = 0;
  for (uint32_t i = 0; i < e->len; ++i) {
    switch (e->ev[i].type) {
    case SHIM_EV_STREAM_DATA:
    case SHIM_EV_DATAGRAM:
      data = 1;
      if (e->ev[i].flags & SHIM_EVF_FIN) {
        return 0;
      }
      break;
    case SHIM_EV_STREAM_OPEN:
    case SHIM_EV_STREAM_ACKED:
    case SHIM_EV_DATAGRAM_ACKED:
      break;
    default:
      return 0;
    }
  }
  return data;
}

void shim_ack_read(shim_conn *c, int ordinary, uint32_t n, uint64_t ts) {
  shim_ack *a = &c->ack;
  int data = only_data(c->ev);
  int may = a->state != DUE && ordinary && !a->gap && data;
  if (a->state == NONE) {
    a->since = ts;
  }
  if (data) { // what came before may have been an acknowledgement
    a->gap = 0;
  }
  a->packets += n;
  a->state = may && a->packets < a->thresh ? HELD : DUE;
}

void shim_ack_due(shim_conn *c) { c->ack.state = DUE; }

static uint64_t lost(const ngtcp2_conn_info *info) { return info->pkt_lost; }

int shim_ack_holds(shim_conn *c) {
  ngtcp2_conn_info info;
  if (c->ack.state != HELD || c->held || shim_streams_waiting(c) || c->dgrams.len > 0) {
    return 0;
  }
  ngtcp2_conn_get_conn_info2(c->conn, &info);
  return lost(&info) == c->ack.lost;
}

void shim_ack_written(shim_conn *c, const ngtcp2_conn_info *info) {
  c->ack.lost = lost(info);
  c->ack.packets = 0;
  c->ack.quick = 0;
  c->ack.state = NONE;
}

// shim_ack_expiry: with nothing in flight there is no other timer of ngtcp2 that
// could not wait as long. Its own for the ACK may be off: a pause that ended after it
// was due has cancelled it (shim_now).
uint64_t shim_ack_expiry(shim_conn *c, uint64_t expiry) {
  const ngtcp2_transport_params *p = ngtcp2_conn_get_local_transport_params2(c->conn);
  ngtcp2_conn_info info;
  uint64_t delay = c->ack.quick ? QUICK : p->max_ack_delay / HOLD_DEN * HOLD_NUM;
  uint64_t until = c->ack.since + delay;
  if (c->ack.state != HELD) {
    return expiry;
  }
  ngtcp2_conn_get_conn_info2(c->conn, &info);
  if (info.bytes_in_flight == 0 && !c->ack.quick) {
    return until;
  }
  return expiry < until ? expiry : until;
}
