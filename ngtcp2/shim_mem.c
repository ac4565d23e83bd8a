// Counted memory: everything that this package and ngtcp2 allocate.
#include "shim_int.h"

#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#  include <malloc/malloc.h>
#  define block_size malloc_size
#else
#  include <malloc.h>
#  define block_size malloc_usable_size
#endif

#include <openssl/rand.h>

static int64_t heap_bytes;
static int64_t heap_blocks;

static void count(int64_t bytes, int64_t blocks) {
  __atomic_fetch_add(&heap_bytes, bytes, __ATOMIC_RELAXED);
  __atomic_fetch_add(&heap_blocks, blocks, __ATOMIC_RELAXED);
}

int64_t shim_heap_bytes(void) {
  return __atomic_load_n(&heap_bytes, __ATOMIC_RELAXED);
}

int64_t shim_heap_blocks(void) {
  return __atomic_load_n(&heap_blocks, __ATOMIC_RELAXED);
}

void shim_count_block(int64_t n) { count(0, n); }

static void *counted(void *p) {
  if (p != NULL) {
    count((int64_t)block_size(p), 1);
  }
  return p;
}

void *shim_alloc(size_t n) { return counted(malloc(n)); }

void *shim_zalloc(size_t n) { return counted(calloc(1, n)); }

void *shim_resize(void *p, size_t n) {
  int64_t old = p == NULL ? 0 : (int64_t)block_size(p);
  void *q = realloc(p, n);
  if (q != NULL) {
    count((int64_t)block_size(q) - old, p == NULL);
  }
  return q;
}

void shim_release(void *p) {
  if (p != NULL) {
    count(-(int64_t)block_size(p), -1);
    free(p);
  }
}

static void *mem_malloc(size_t n, void *user_data) {
  (void)user_data;
  return shim_alloc(n);
}

static void mem_free(void *p, void *user_data) {
  (void)user_data;
  shim_release(p);
}

static void *mem_calloc(size_t n, size_t size, void *user_data) {
  (void)user_data;
  return counted(calloc(n, size));
}

static void *mem_realloc(void *p, size_t n, void *user_data) {
  (void)user_data;
  return shim_resize(p, n);
}

const ngtcp2_mem shim_mem = {
  .malloc = mem_malloc,
  .free = mem_free,
  .calloc = mem_calloc,
  .realloc = mem_realloc,
};

// A failing generator leaves zeros: ngtcp2's own uses (greasing, skipped packet
// numbers) have no way to report it. Secrets do not come from here.
void shim_random(uint8_t *dst, size_t n) {
  if (RAND_bytes(dst, (int)n) != 1) {
    memset(dst, 0, n);
  }
}

const char *shim_version(void) { return ngtcp2_version(0)->version_str; }

int shim_init(void) { return ngtcp2_crypto_ossl_init(); }
