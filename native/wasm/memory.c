/*
 * A free list in order of address: the first block that is large enough is cut, neighbours are joined when a block comes
 * back. There are a few hundred blocks at most (the buffer pool of src/tensor hands buffers out again), so walking the
 * list is nothing beside the work done on them. The memory only grows; what WebAssembly has once taken from the system
 * it cannot return.
 */
#include "memory.h"
#include "../shiftadd.h"

#include <stdatomic.h>

enum { LINE = 64, PAGE = 65536, GROWTH_PAGES = 64 };

/* In front of every block; a line long, so that blocks are aligned. */
typedef struct block {
  uint32_t bytes; /* with this head; a multiple of LINE */
  struct block *next; /* of the free ones */
} block;

extern char __heap_base; /* the linker's: where the program's data ends */

static block *first_free;
static uintptr_t heap_end; /* what has been taken into the heap so far */

/* Puts a block into the list and joins it with the free neighbours. */
static void insert(block *b) {
  block *before = NULL, *after = first_free;
  for (; after && after < b; after = after->next) before = after;
  b->next = after;
  if (before)
    before->next = b;
  else
    first_free = b;
  if (after && (char *)b + b->bytes == (char *)after) {
    b->bytes += after->bytes;
    b->next = after->next;
  }
  if (before && (char *)before + before->bytes == (char *)b) {
    before->bytes += b->bytes;
    before->next = b->next;
  }
}

/* Makes the heap longer by at least `bytes`. Some steps are larger than asked for, as growing costs a system call. */
static int grow(uint32_t bytes) {
  if (!heap_end) heap_end = ((uintptr_t)&__heap_base + LINE - 1) & ~(uintptr_t)(LINE - 1);
  const uint64_t pages = __builtin_wasm_memory_size(0), room = pages * PAGE - heap_end;
  const uint64_t missing = room >= bytes ? 0 : (bytes - room + PAGE - 1) / PAGE;
  if (missing) {
    const uint64_t step = missing > GROWTH_PAGES ? missing : GROWTH_PAGES;
    if (pages + missing >= UINT64_C(65536)) return 0; /* addresses stay below 2^32 */
    if ((pages + step >= UINT64_C(65536) || __builtin_wasm_memory_grow(0, (size_t)step) == SIZE_MAX) &&
        __builtin_wasm_memory_grow(0, (size_t)missing) == SIZE_MAX)
      return 0;
  }
  block *b = (block *)heap_end;
  b->bytes = (uint32_t)((uint64_t)__builtin_wasm_memory_size(0) * PAGE - heap_end);
  heap_end += b->bytes;
  insert(b);
  return 1;
}

/* Takes a block of `needed` bytes, its head counted. */
static void *take(uint32_t needed) {
  for (int attempt = 0; attempt < 2; attempt++) {
    block *before = NULL, *last = NULL;
    for (block *b = first_free; b; before = b, b = b->next) {
      last = b;
      if (b->bytes < needed) continue;
      block *rest = b->next;
      if (b->bytes - needed >= 2 * LINE) {
        rest = (block *)((char *)b + needed);
        rest->bytes = b->bytes - needed;
        rest->next = b->next;
        b->bytes = needed;
      }
      if (before)
        before->next = rest;
      else
        first_free = rest;
      return (char *)b + LINE;
    }
    /* a free block at the end need only be made longer */
    const uint32_t there = last && (uintptr_t)last + last->bytes == heap_end ? last->bytes : 0;
    if (attempt > 0 || !grow(needed - there)) break;
  }
  return NULL;
}

/* The thread that owns the engine may not sleep in a web page, and nobody holds the list for long. */
static _Atomic int list_is_taken;
static void lock(void) {
  while (atomic_exchange_explicit(&list_is_taken, 1, memory_order_acquire)) {}
}
static void unlock(void) { atomic_store_explicit(&list_is_taken, 0, memory_order_release); }

void *sa_take(uint64_t bytes) {
  if (bytes > UINT32_MAX - PAGE) return NULL;
  lock();
  void *memory = take(((uint32_t)bytes + 2 * LINE - 1) & ~(uint32_t)(LINE - 1));
  unlock();
  return memory;
}

void sa_give(void *memory) {
  if (!memory) return;
  lock();
  insert((block *)((char *)memory - LINE));
  unlock();
}

/* --- work space of the kernels ------------------------------------------------------------------------------ */

/* A block and its size. */
typedef struct {
  void *memory;
  size_t bytes;
} scratch;

static void *at_least(scratch *s, size_t bytes) {
  if (bytes <= s->bytes) return s->memory;
  sa_give(s->memory);
  s->memory = sa_take(((uint64_t)bytes + 4095) & ~UINT64_C(4095));
  s->bytes = s->memory ? bytes : 0;
  return s->memory;
}

void *sa_scratch(enum sa_slot slot, size_t bytes) {
  static scratch slots[SA_SLOT_COUNT];
  return at_least(&slots[slot], bytes);
}

/* A global of the WebAssembly instance, of which every thread has one of its own: address of its scratch. */
static __attribute__((address_space(1))) uintptr_t own_scratch;

void *sa_thread_scratch(size_t bytes) {
  if (!own_scratch) {
    scratch *s = sa_take(sizeof *s);
    if (!s) return NULL;
    *s = (scratch){NULL, 0};
    own_scratch = (uintptr_t)s;
  }
  return at_least((scratch *)own_scratch, bytes);
}
