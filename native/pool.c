/*
 * A small fork-join pool. Pieces are dealt by an atomic counter, so a thread that the system takes away delays only
 * the piece it holds; idle threads spin for a bounded time (training steps follow each other within microseconds) and
 * then sleep. The caller works too, and when the counter runs out it closes the job: a thread that wakes late finds it
 * closed and is never waited for.
 *
 * Threads are detached and sleep in a condition variable, so the process can exit at any time. The addon is linked
 * with -z nodelete: its code stays mapped when the worker thread that loaded it ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"
#include "shiftadd.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

enum { SPINS = 2000, CALLER_SPINS = 20000, MAX_THREADS = 256, STACK_BYTES = 1 << 20, DEALS_PER_THREAD = 8 };

static pthread_mutex_t engine = PTHREAD_MUTEX_INITIALIZER;
static int wanted = 0; /* threads asked for; 0 before the first use */

/* The job. Written by the caller while `state` says closed and nobody is inside. */
static sa_tiles job_run;
static void *job_context;
static long job_count, job_grain;
static atomic_long job_next;

/* [job number : 32][open : 1][threads inside : 31] */
static _Atomic uint64_t state;
#define OPEN (UINT64_C(1) << 31)
#define INSIDE(s) ((s) & (OPEN - 1))
#define NUMBER(s) ((uint32_t)((s) >> 32))

/* Sleeping. The mutex guards only the way in and out of sleep. */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_waiting = PTHREAD_COND_INITIALIZER, job_left = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers;
static atomic_int caller_sleeps;
static int started; /* pool threads that exist */
static atomic_int team; /* pool threads that may take part */

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void deal(void) {
  const long count = job_count, grain = job_grain;
  for (;;) {
    const long first = atomic_fetch_add_explicit(&job_next, grain, memory_order_relaxed);
    if (first >= count) return;
    job_run(job_context, first, first + grain < count ? first + grain : count);
  }
}

static void *pool_thread(void *argument) {
  const int index = (int)(intptr_t)argument;
  uint32_t seen = 0;
  for (int spins = 0;;) {
    uint64_t now = atomic_load_explicit(&state, memory_order_acquire);
    if ((now & OPEN) && NUMBER(now) != seen && index < atomic_load_explicit(&team, memory_order_relaxed)) {
      if (!atomic_compare_exchange_weak(&state, &now, now + 1)) continue;
      seen = NUMBER(now);
      deal();
      const uint64_t left = atomic_fetch_sub(&state, 1) - 1;
      if (INSIDE(left) == 0 && !(left & OPEN) && atomic_load(&caller_sleeps)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_signal(&job_left);
        pthread_mutex_unlock(&sleep_lock);
      }
      spins = 0;
    } else if (++spins < SPINS) {
      relax();
    } else {
      pthread_mutex_lock(&sleep_lock);
      atomic_fetch_add(&sleepers, 1);
      for (;;) {
        now = atomic_load(&state);
        if ((now & OPEN) && NUMBER(now) != seen && index < atomic_load(&team)) break;
        pthread_cond_wait(&work_waiting, &sleep_lock);
      }
      atomic_fetch_sub(&sleepers, 1);
      pthread_mutex_unlock(&sleep_lock);
      spins = 0;
    }
  }
  return NULL;
}

static void start_threads(int count) {
  pthread_attr_t attributes;
  if (started >= count || pthread_attr_init(&attributes)) return;
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  sigset_t all, before;
  sigfillset(&all); /* signals belong to Node's own threads */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  while (started < count && !pthread_create(&thread, &attributes, pool_thread, (void *)(intptr_t)started)) started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
}

void sa_parallel(sa_tiles run, void *context, long count) {
  const int threads = sa_threads();
  if (count <= 0) return;
  if (count == 1 || threads == 1) {
    run(context, 0, count);
    return;
  }
  start_threads(threads - 1);
  atomic_store_explicit(&team, threads - 1 < started ? threads - 1 : started, memory_order_relaxed);
  job_run = run;
  job_context = context;
  job_count = count;
  job_grain = count / ((long)threads * DEALS_PER_THREAD);
  if (job_grain < 1) job_grain = 1;
  atomic_store_explicit(&job_next, 0, memory_order_relaxed);
  const uint64_t number = (uint64_t)(NUMBER(atomic_load(&state)) + 1) << 32;
  atomic_store(&state, number | OPEN);
  if (atomic_load(&sleepers) > 0) {
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&work_waiting);
    pthread_mutex_unlock(&sleep_lock);
  }
  deal();
  uint64_t now = atomic_fetch_and(&state, ~OPEN);
  for (int spins = 0; INSIDE(now = atomic_load_explicit(&state, memory_order_acquire)); spins++) {
    if (spins < CALLER_SPINS) {
      relax();
      continue;
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_store(&caller_sleeps, 1);
    while (INSIDE(atomic_load(&state))) pthread_cond_wait(&job_left, &sleep_lock);
    atomic_store(&caller_sleeps, 0);
    pthread_mutex_unlock(&sleep_lock);
  }
}

int sa_available_processors(void) {
#ifdef __linux__
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

void sa_set_threads(int threads) { wanted = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads; }

int sa_threads(void) {
  if (wanted == 0) sa_set_threads(sa_available_processors());
  return wanted;
}

/* A forked child has none of the threads and must not trust the locks. */
static void after_fork(void) {
  started = 0;
  atomic_store(&state, 0);
  atomic_store(&sleepers, 0);
  atomic_store(&caller_sleeps, 0);
  pthread_mutex_init(&engine, NULL);
  pthread_mutex_init(&sleep_lock, NULL);
  pthread_cond_init(&work_waiting, NULL);
  pthread_cond_init(&job_left, NULL);
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

void sa_engine_enter(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  pthread_mutex_lock(&engine);
}

void sa_engine_leave(void) { pthread_mutex_unlock(&engine); }

/* A thread's own scratch memory, with its size before it; freed by the key when the thread ends. */
static pthread_key_t own_scratch;
static int own_scratch_works;
static void make_own_scratch(void) { own_scratch_works = !pthread_key_create(&own_scratch, free); }

void *sa_thread_scratch(size_t bytes) {
  enum { HEADER = 64 };
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_own_scratch);
  if (!own_scratch_works) return NULL;
  char *memory = pthread_getspecific(own_scratch);
  if (memory && *(size_t *)memory >= bytes) return memory + HEADER;
  free(memory);
  memory = NULL;
  const size_t rounded = (bytes + HEADER + 4095) & ~(size_t)4095;
  void *made = NULL;
  if (!posix_memalign(&made, HEADER, rounded)) memory = made;
  if (memory) *(size_t *)memory = rounded - HEADER;
  if (pthread_setspecific(own_scratch, memory)) {
    free(memory);
    return NULL;
  }
  return memory ? memory + HEADER : NULL;
}

void *sa_scratch(enum sa_slot slot, size_t bytes) {
  static struct {
    void *memory;
    size_t bytes;
  } slots[SA_SLOT_COUNT];
  if (bytes <= slots[slot].bytes) return slots[slot].memory;
  const size_t rounded = (bytes + 4095) & ~(size_t)4095;
  free(slots[slot].memory);
  slots[slot].memory = NULL;
  slots[slot].bytes = 0;
  if (posix_memalign(&slots[slot].memory, 64, rounded)) return slots[slot].memory = NULL;
  slots[slot].bytes = rounded;
  return slots[slot].memory;
}
