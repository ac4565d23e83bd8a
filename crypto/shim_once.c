/* Tickets whose early data has been accepted, so that none is accepted twice (RFC 8446,
 * 8). OpenSSL rejects early data whose ClientHello is not fresh: a copy of one passes for
 * 10 s (TICKET_AGE_ALLOWANCE in ssl_local.h). A ticket is remembered for
 * SHIM_ONCE_WINDOW_MS at least, in one of two tables: the one that is being filled, and
 * the one before it. */
#include "shim.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

typedef struct once_key {
  uint8_t b[SHIM_ONCE_KEY_LEN];
} once_key;

/* Open addressing; a slot of zero bytes is free. */
typedef struct once_table {
  once_key *slot;
  size_t used;
} once_table;

struct shim_once {
  pthread_mutex_t mu;
  int refs;
  size_t limit;   /* keys in a table */
  size_t slots;   /* of a table: a power of two, twice the limit at least */
  uint64_t since; /* when the current table was begun, ms */
  shim_instant begun;
  int inherited;
  once_table now, before;
};

shim_instant shim_once_now(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (shim_instant){(uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
                        (int64_t)time(NULL)};
}

static int table_new(once_table *t, size_t slots) {
  t->slot = OPENSSL_zalloc(slots * sizeof(t->slot[0]));
  return t->slot != NULL;
}

static void table_clear(once_table *t, size_t slots) {
  if (t->used != 0) {
    memset(t->slot, 0, slots * sizeof(t->slot[0]));
    t->used = 0;
  }
}

/* The slot of key, or the free one where it belongs. There is always a free one. */
static once_key *table_find(const once_table *t, size_t slots, const once_key *key) {
  static const once_key none;
  uint64_t h;
  size_t i;

  memcpy(&h, key->b, sizeof(h)); /* the key is a hash already */
  for (i = (size_t)h & (slots - 1);; i = (i + 1) & (slots - 1)) {
    if (memcmp(&t->slot[i], key, sizeof(*key)) == 0 ||
        memcmp(&t->slot[i], &none, sizeof(none)) == 0) {
      return &t->slot[i];
    }
  }
}

static int table_has(const once_table *t, size_t slots, const once_key *key) {
  return memcmp(table_find(t, slots, key), key, sizeof(*key)) == 0;
}

shim_once *shim_once_new(size_t limit, int inherited, const shim_instant *now) {
  shim_once *o = OPENSSL_zalloc(sizeof(*o));

  if (o == NULL) {
    return NULL;
  }
  o->refs = 1;
  o->limit = limit;
  o->since = now->ms;
  o->begun = *now;
  o->inherited = inherited;
  for (o->slots = 2; o->slots < 2 * limit; o->slots *= 2) {
  }
  pthread_mutex_init(&o->mu, NULL);
  if (!table_new(&o->now, o->slots) || !table_new(&o->before, o->slots)) {
    shim_once_free(o);
    return NULL;
  }
  return o;
}

void shim_once_retain(shim_once *o) {
  pthread_mutex_lock(&o->mu);
  o->refs++;
  pthread_mutex_unlock(&o->mu);
}

void shim_once_free(shim_once *o) {
  int left;

  if (o == NULL) {
    return;
  }
  pthread_mutex_lock(&o->mu);
  left = --o->refs;
  pthread_mutex_unlock(&o->mu);
  if (left == 0) {
    pthread_mutex_destroy(&o->mu);
    OPENSSL_free(o->now.slot);
    OPENSSL_free(o->before.slot);
    OPENSSL_free(o);
  }
}

/* Begins another table when the current one has lasted for a window. */
static void turn(shim_once *o, uint64_t now) {
  once_table oldest = o->before;

  if (now < o->since + SHIM_ONCE_WINDOW_MS) {
    return;
  }
  o->before = o->now;
  o->now = oldest;
  table_clear(&o->now, o->slots);
  o->since = now;
}

/* Whether the ticket may have been used before o began: a copy of that use would still
 * pass for a window. */
static int before_begin(const shim_once *o, int64_t made, const shim_instant *now) {
  return o->inherited && made <= o->begun.seconds &&
         now->ms < o->begun.ms + SHIM_ONCE_WINDOW_MS;
}

int shim_once_use(shim_once *o, const uint8_t *hash, int64_t made, const shim_instant *now) {
  once_key key;
  int first = 0;

  memcpy(key.b, hash, sizeof(key.b));
  pthread_mutex_lock(&o->mu);
  turn(o, now->ms);
  if (!before_begin(o, made, now) && o->now.used < o->limit &&
      !table_has(&o->before, o->slots, &key) && !table_has(&o->now, o->slots, &key)) {
    *table_find(&o->now, o->slots, &key) = key;
    o->now.used++;
    first = 1;
  }
  pthread_mutex_unlock(&o->mu);
  return first;
}
