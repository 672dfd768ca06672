/*
 * The fork-join pool of pool.c over the atomics of WebAssembly: pieces are dealt by an atomic counter, idle threads spin
 * for a bounded time and then sleep, the caller works too and closes the job when the counter runs out, so that a thread
 * that wakes late is never waited for.
 *
 * The host (JavaScript) starts the threads: each instantiates the module over the same memory, sets the stack pointer to
 * a stack of its own and calls sa_work, which returns never. Nobody waits for a thread to start: one that comes late, or
 * never, is merely not there to take pieces.
 */
#include "threads.h"
#include "../shiftadd.h"

#include <stdatomic.h>

#define EXPORT(name) __attribute__((export_name(#name)))

/* WebAssembly has no instruction to pause, so these are turns of a loop with one atomic load: some 20 and 200 us. */
enum { SPINS = 10000, CALLER_SPINS = 100000, DEALS_PER_THREAD = 8 };

/* The job. Written by the caller while `state` says closed and nobody is inside. */
static sa_tiles job_run;
static void *job_context;
static long job_count, job_grain;
static _Atomic int64_t job_next;

/* [job number : 32][open : 1][threads inside : 31] */
static _Atomic uint64_t state;
#define OPEN (UINT64_C(1) << 31)
#define INSIDE(s) ((s) & (OPEN - 1))
#define NUMBER(s) ((uint32_t)((s) >> 32))

static int threads = 1; /* that take part in a job, the caller included */
static _Atomic int team; /* pool threads that may take part in this job */
static int may_sleep = 1; /* the thread of a web page may not */
static int lacking; /* a job could have used more threads than were started */
static _Atomic int started, failed;

/* A bell is a word that is changed and notified; who wants to sleep reads it before looking for work. */
static _Atomic int32_t work_bell, done_bell;
static _Atomic int sleepers, caller_sleeps;

static void ring(_Atomic int32_t *bell, int sleepers) {
  atomic_fetch_add(bell, 1);
  __builtin_wasm_memory_atomic_notify((int *)bell, (unsigned)sleepers);
}

static void sleep_until_rung(_Atomic int32_t *bell, int32_t last) {
  __builtin_wasm_memory_atomic_wait32((int *)bell, last, -1);
}

static void deal(void) {
  const long count = job_count, grain = job_grain;
  for (;;) {
    const int64_t first = atomic_fetch_add_explicit(&job_next, grain, memory_order_relaxed);
    if (first >= count) return;
    job_run(job_context, (long)first, first + grain < count ? (long)first + grain : count);
  }
}

static void leave(void) {
  const uint64_t left = atomic_fetch_sub(&state, 1) - 1;
  if (INSIDE(left) == 0 && !(left & OPEN) && atomic_load(&caller_sleeps)) ring(&done_bell, 1);
}

static int has_work(uint64_t now, uint32_t seen, int index) {
  return (now & OPEN) && NUMBER(now) != seen && index < atomic_load_explicit(&team, memory_order_relaxed);
}

/* The life of pool thread `index`, from 0. */
EXPORT(sa_work) void sa_work(int index) {
  uint32_t seen = 0;
  atomic_fetch_add(&started, 1);
  for (int spins = 0;;) {
    uint64_t now = atomic_load_explicit(&state, memory_order_acquire);
    if (has_work(now, seen, index)) {
      if (!atomic_compare_exchange_weak(&state, &now, now + 1)) continue;
      seen = NUMBER(now);
      deal();
      leave();
      spins = 0;
    } else if (++spins >= SPINS) {
      atomic_fetch_add(&sleepers, 1);
      const int32_t bell = atomic_load(&work_bell);
      if (!has_work(atomic_load(&state), seen, index)) sleep_until_rung(&work_bell, bell);
      atomic_fetch_sub(&sleepers, 1);
      spins = 0;
    }
  }
}

/* For a pool thread whose sa_work trapped: it was inside a job and is no more. */
EXPORT(sa_abandon) void sa_abandon(void) {
  atomic_store(&failed, 1);
  leave();
}

/* Closes the job and waits until nobody is inside. */
static void close_job(void) {
  uint64_t now = atomic_fetch_and(&state, ~OPEN);
  for (int spins = 0; INSIDE(now = atomic_load_explicit(&state, memory_order_acquire)); spins++) {
    if (spins < CALLER_SPINS || !may_sleep) continue;
    atomic_store(&caller_sleeps, 1);
    const int32_t bell = atomic_load(&done_bell);
    if (INSIDE(atomic_load(&state))) sleep_until_rung(&done_bell, bell);
    atomic_store(&caller_sleeps, 0);
  }
}

/* For a caller whose op trapped: nobody works on its job any more. */
EXPORT(sa_recover) void sa_recover(void) {
  close_job();
  atomic_store(&failed, 0);
}

void sa_parallel(sa_tiles run, void *context, long count) {
  if (count <= 0) return;
  if (count == 1 || threads == 1) {
    run(context, 0, count);
    return;
  }
  const int present = atomic_load(&started);
  if (present < threads - 1) lacking = 1;
  if (present == 0) {
    run(context, 0, count);
    return;
  }
  atomic_store_explicit(&team, threads - 1, memory_order_relaxed);
  job_run = run;
  job_context = context;
  job_count = count;
  job_grain = count / ((long)threads * DEALS_PER_THREAD);
  if (job_grain < 1) job_grain = 1;
  atomic_store_explicit(&job_next, 0, memory_order_relaxed);
  atomic_store(&state, (uint64_t)(NUMBER(atomic_load(&state)) + 1) << 32 | OPEN);
  const int asleep = atomic_load(&sleepers);
  if (asleep > 0) ring(&work_bell, asleep);
  deal();
  close_job();
}

int sa_thread_failed(void) { return atomic_exchange(&failed, 0); }

EXPORT(sa_set_threads) void sa_set_threads(int wanted) {
  threads = wanted < 1 ? 1 : wanted;
  lacking = 0;
}
EXPORT(sa_threads) int sa_threads(void) { return threads; }

/* Pool threads that have started. */
EXPORT(sa_started) int sa_started(void) { return atomic_load(&started); }

/* Whether a job since the last sa_set_threads could have used threads that had not been started. */
EXPORT(sa_lacking) int sa_lacking(void) { return lacking; }

EXPORT(sa_may_sleep) void sa_may_sleep(int yes) { may_sleep = yes; }
