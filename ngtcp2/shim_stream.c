// Send queues of streams, and the schedule over them.
#include "shim_int.h"

enum { RING_MIN = 8 }; // pieces; a ring is made for the first and kept small

// --- lists ---

static void list_push(shim_list *l, shim_stream *s) {
  s->qprev = l->last;
  s->qnext = NULL;
  if (l->last != NULL) {
    l->last->qnext = s;
  } else {
    l->first = s;
  }
  l->last = s;
}

static void list_remove(shim_list *l, shim_stream *s) {
  *(s->qprev != NULL ? &s->qprev->qnext : &l->first) = s->qnext;
  *(s->qnext != NULL ? &s->qnext->qprev : &l->last) = s->qprev;
}

static void schedule(shim_conn *c, shim_stream *s, shim_sched sched) {
  if (s->sched == SHIM_READY) {
    list_remove(&c->ready[s->urgency], s);
  } else if (s->sched == SHIM_PARKED) {
    list_remove(&c->parked, s);
  }
  s->sched = (uint8_t)sched;
  if (sched == SHIM_READY) {
    list_push(&c->ready[s->urgency], s);
  } else if (sched == SHIM_PARKED) {
    list_push(&c->parked, s);
  }
}

// next_ready is the first stream of the most urgent level that has one.
static shim_stream *next_ready(shim_conn *c) {
  for (int i = 0; i < SHIM_URGENCIES; ++i) {
    if (c->ready[i].first != NULL) {
      return c->ready[i].first;
    }
  }
  return NULL;
}

int shim_streams_waiting(shim_conn *c) {
  return next_ready(c) != NULL ||
         (c->parked.first != NULL && ngtcp2_conn_get_max_data_left2(c->conn) > 0);
}

static int has_output(const shim_stream *s) {
  return s->queued > 0 || (s->fin && !s->fin_sent);
}

void shim_stream_wake(shim_conn *c, shim_stream *s) {
  if (s->sched == SHIM_IDLE && has_output(s)) {
    schedule(c, s, SHIM_READY);
  }
}

void shim_streams_unpark(shim_conn *c) {
  while (c->parked.first != NULL) {
    schedule(c, c->parked.first, SHIM_READY);
  }
}

int shim_conn_set_urgency(shim_conn *c, int64_t id, uint8_t urgency) {
  shim_stream *s = shim_stream_find(c, id);
  if (s == NULL) {
    return -1;
  }
  shim_sched sched = s->sched;
  schedule(c, s, SHIM_IDLE);
  s->urgency = urgency;
  schedule(c, s, sched);
  return 0;
}

// --- life ---

shim_stream *shim_stream_new(shim_conn *c, int64_t id) {
  shim_stream *s = shim_zalloc(sizeof(*s));
  if (s == NULL) {
    return NULL;
  }
  s->id = id;
  s->urgency = SHIM_URGENCY_DEFAULT;
  s->next = c->streams;
  if (c->streams != NULL) {
    c->streams->prev = s;
  }
  c->streams = s;
  return s;
}

static shim_piece *piece(shim_stream *s, uint32_t i) {
  return &s->ring[(s->head + i) & (s->cap - 1)];
}

void shim_stream_del(shim_conn *c, shim_stream *s) {
  schedule(c, s, SHIM_IDLE);
  for (uint32_t i = 0; i < s->len; ++i) {
    shim_buf_unref(piece(s, i)->buf);
  }
  shim_release(s->ring);
  *(s->prev != NULL ? &s->prev->next : &c->streams) = s->next;
  if (s->next != NULL) {
    s->next->prev = s->prev;
  }
  shim_release(s);
}

void shim_streams_del(shim_conn *c) {
  while (c->streams != NULL) {
    shim_stream_del(c, c->streams);
  }
}

shim_stream *shim_stream_find(shim_conn *c, int64_t id) {
  return ngtcp2_conn_get_stream_user_data2(c->conn, id);
}

// --- queue ---

static int ring_grow(shim_stream *s) {
  uint32_t cap = s->cap == 0 ? RING_MIN : 2 * s->cap;
  if (cap == 0) {
    return NGTCP2_ERR_NOMEM;
  }
  shim_piece *ring = shim_alloc(cap * sizeof(*ring));
  if (ring == NULL) {
    return NGTCP2_ERR_NOMEM;
  }
  for (uint32_t i = 0; i < s->len; ++i) {
    ring[i] = *piece(s, i);
  }
  shim_release(s->ring);
  s->ring = ring;
  s->cap = cap;
  s->head = 0;
  return 0;
}

// merge extends the last piece when chunk continues it; the reference is then
// one too many.
static int merge(shim_stream *s, const shim_chunk *chunk) {
  if (s->len == 0 || s->sent == s->len) {
    return 0;
  }
  shim_piece *p = piece(s, s->len - 1);
  if (p->buf != chunk->buf || p->off + p->len != chunk->off) {
    return 0;
  }
  p->len += chunk->len;
  shim_buf_unref(chunk->buf);
  return 1;
}

static int append(shim_stream *s, const shim_chunk *chunk) {
  if (merge(s, chunk)) {
    return 0;
  }
  if (s->len == s->cap) {
    int rv = ring_grow(s);
    if (rv != 0) {
      return rv;
    }
  }
  ++s->len;
  *piece(s, s->len - 1) = (shim_piece){chunk->buf, chunk->off, chunk->len};
  return 0;
}

static int chunk_in_bounds(const shim_chunk *k) {
  return k->len == 0 || (k->buf != NULL && k->off <= k->buf->cap &&
                         k->len <= k->buf->cap - k->off);
}

// shim_stream_queue takes over the reference of chunk in every case.
int shim_stream_queue(shim_conn *c, const shim_chunk *chunk) {
  shim_stream *s = shim_stream_find(c, chunk->stream_id);
  int rv = 0;
  if (!chunk_in_bounds(chunk)) {
    shim_buf_unref(chunk->buf);
    return NGTCP2_ERR_INVALID_ARGUMENT;
  }
  if (s == NULL || s->shut || s->fin) {
    shim_buf_unref(chunk->buf);
    return 0;
  }
  if (chunk->len == 0) {
    shim_buf_unref(chunk->buf);
  } else if ((rv = append(s, chunk)) != 0) {
    shim_buf_unref(chunk->buf);
    return rv;
  }
  s->queued += chunk->len;
  s->fin |= chunk->fin;
  shim_stream_wake(c, s);
  return 0;
}

// sent moves n bytes from queued to unacknowledged.
static void sent(shim_stream *s, uint64_t n) {
  s->queued -= n;
  s->unacked += n;
  while (n > 0) {
    uint64_t left = piece(s, s->sent)->len - s->sent_off;
    if (n < left) {
      s->sent_off += (uint32_t)n;
      return;
    }
    n -= left;
    s->sent_off = 0;
    ++s->sent;
  }
}

// shim_stream_acked releases n more bytes from the front.
void shim_stream_acked(shim_stream *s, uint64_t n) {
  if (n > s->unacked) {
    n = s->unacked;
  }
  s->unacked -= n;
  while (n > 0) {
    shim_piece *p = piece(s, 0);
    uint64_t left = p->len - s->acked_off;
    if (n < left || s->sent == 0) {
      s->acked_off += (uint32_t)n;
      return;
    }
    n -= left;
    s->acked_off = 0;
    shim_buf_unref(p->buf);
    s->head = (s->head + 1) & (s->cap - 1);
    --s->len;
    --s->sent;
  }
}

// shim_stream_drop_unsent releases what was never given to ngtcp2 and refuses
// more; what ngtcp2 may still point to stays until the stream closes.
void shim_stream_drop_unsent(shim_conn *c, shim_stream *s) {
  uint32_t keep = s->sent + (s->sent_off > 0);
  while (s->len > keep) {
    shim_buf_unref(piece(s, s->len - 1)->buf);
    --s->len;
  }
  if (s->sent_off > 0) {
    piece(s, s->sent)->len = s->sent_off;
    s->sent_off = 0;
    ++s->sent;
  }
  s->queued = 0;
  s->shut = 1;
  s->fin = 0;
  schedule(c, s, SHIM_IDLE);
}

// --- schedule ---

enum { VEC_MAX = 16 }; // pieces in one STREAM frame: more only in tiny pieces

typedef struct turn {
  shim_stream *s;
  ngtcp2_vec vec[VEC_MAX];
  size_t cnt;
  uint64_t bytes;
  uint32_t flags;
} turn;

// turn_fill offers what s has to send, from the first byte not sent: no more
// pieces than fill a packet of room bytes.
static void turn_fill(turn *t, shim_stream *s, size_t room) {
  uint32_t skip = s->sent_off;
  t->s = s;
  t->cnt = 0;
  t->bytes = 0;
  for (uint32_t i = s->sent;
       i < s->len && t->cnt < VEC_MAX && t->bytes < room; ++i, skip = 0) {
    shim_piece *p = piece(s, i);
    t->vec[t->cnt++] =
      (ngtcp2_vec){p->buf->data + p->off + skip, p->len - skip};
    t->bytes += p->len - skip;
  }
  t->flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
  if (s->fin && t->bytes == s->queued) {
    t->flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
  }
}

// turn_done books n accepted bytes and sends the stream to the end of the line.
static void turn_done(shim_conn *c, turn *t, ngtcp2_ssize n) {
  sent(t->s, (uint64_t)n);
  if ((uint64_t)n == t->bytes && (t->flags & NGTCP2_WRITE_STREAM_FLAG_FIN)) {
    t->s->fin_sent = 1;
  }
  schedule(c, t->s, has_output(t->s) ? SHIM_READY : SHIM_IDLE);
}

// turn_refused takes the stream out of the line.
static void turn_refused(shim_conn *c, turn *t, ngtcp2_ssize rv) {
  if (rv == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
    schedule(c, t->s, SHIM_IDLE); // until extend_max_stream_data
    return;
  }
#if NGTCP2_VERSION_NUM < 0x011800 // no recv_stop_sending callback
  if (rv == NGTCP2_ERR_STREAM_SHUT_WR && !t->s->shut) {
    shim_events_add(c->ev, SHIM_EV_STOP_SENDING, t->s->id);
  }
#endif
  shim_stream_drop_unsent(c, t->s);
}

// turn_parked takes the stream out of the line when the connection's credit is
// used up; a FIN alone needs none.
static int turn_parked(shim_conn *c, turn *t) {
  if (t->bytes == 0 || ngtcp2_conn_get_max_data_left2(c->conn) > 0) {
    return 0;
  }
  schedule(c, t->s, SHIM_PARKED);
  return 1;
}

// turn_write writes one STREAM frame of the next stream, or finishes the packet.
static ngtcp2_ssize turn_write(shim_conn *c, turn *t, ngtcp2_path *path,
                               ngtcp2_pkt_info *pi, shim_span dest,
                               ngtcp2_tstamp ts) {
  ngtcp2_ssize n = -1;
  ngtcp2_ssize rv = ngtcp2_conn_writev_stream(
    c->conn, path, pi, (uint8_t *)dest.p, dest.len, &n, t->flags,
    t->s != NULL ? t->s->id : -1, t->vec, t->cnt, ts);
  if (t->s == NULL) {
    return rv;
  }
  if (rv == NGTCP2_ERR_STREAM_DATA_BLOCKED || rv == NGTCP2_ERR_STREAM_SHUT_WR ||
      rv == NGTCP2_ERR_STREAM_NOT_FOUND) {
    turn_refused(c, t, rv);
    return NGTCP2_ERR_WRITE_MORE;
  }
  if (n >= 0) {
    turn_done(c, t, n);
  } else if (turn_parked(c, t) && rv == 0) {
    return NGTCP2_ERR_WRITE_MORE;
  }
  return rv;
}

// early_full reports whether a client's early data does not fit the congestion
// window beside an Initial packet. ngtcp2 leaves the padding of that packet to the
// 0-RTT packet behind it, which then is not written, and a server drops the short
// datagram (RFC 9000 section 14.1): so no early data is offered.
static int early_full(shim_conn *c) {
  return c->early && !(c->state & SHIM_STATE_HANDSHAKE_COMPLETED) &&
         ngtcp2_conn_get_cwnd_left2(c->conn) <
           ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->conn);
}

// write_packet makes one packet of at most out.len bytes.
static ngtcp2_ssize write_packet(shim_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
                                 shim_span out, ngtcp2_tstamp ts) {
  shim_stream *s;
  turn t;
  int full = early_full(c) || c->guard;
  while (!full && shim_dgrams_ready(c)) {
    ngtcp2_ssize n = shim_dgram_write(c, path, pi, out, ts);
    if (n != NGTCP2_ERR_WRITE_MORE) {
      return n;
    }
  }
  for (;;) {
    t.s = NULL;
    t.cnt = 0;
    t.flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
    if (!full && (s = next_ready(c)) != NULL) {
      turn_fill(&t, s, out.len);
    }
    ngtcp2_ssize n = turn_write(c, &t, path, pi, out, ts);
    if (n != NGTCP2_ERR_WRITE_MORE) {
      return n;
    }
  }
}

// shim_sched_write is the callback that makes one packet.
ngtcp2_ssize shim_sched_write(ngtcp2_conn *conn, ngtcp2_path *path,
                              ngtcp2_pkt_info *pi, uint8_t *dest,
                              size_t destlen, ngtcp2_tstamp ts,
                              void *user_data) {
  shim_conn *c = user_data;
  size_t limit = c->mtu.narrow ? shim_mtu_limit(c) : destlen;
  (void)conn;
  if (c->guard) {
    limit = shim_path_guard_len(c);
  }
  c->written = 0;
  if (!shim_path_spent(c)) {
    c->written = write_packet(c, path, pi, (shim_span){dest, destlen < limit ? destlen : limit}, ts);
    shim_path_spend(c, path, c->written);
  }
  return c->written;
}
