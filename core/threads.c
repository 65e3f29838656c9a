/* threads.c: a pool of workers that stays alive. The caller is worker 0. Blocks are taken from a
 * shared counter, so which worker runs a block is not fixed; what a block computes is. */
#include "core/threads.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include "core/os.h"

static struct {
  OsMutex owner; /* who has the workers: one par_for at a time, or a change of their number */
  OsThread thread[MAX_WORKERS];
  OsMutex mutex;
  OsCond wake;
  /* workers wanted, threads started (without the caller) */
  int count;
  int running;
  unsigned generation; /* job number, written under the mutex; spun on without */
  int busy;            /* helpers that have not finished this job */
  int stop;
  int64_t n;
  int64_t next;
  void (*fn)(void *, int64_t, int);
  void *ctx;
} P = {.owner = OS_MUTEX_INIT, .mutex = OS_MUTEX_INIT, .wake = OS_COND_INIT};

static void run_blocks(int worker) {
  for (;;) {
    int64_t i = __atomic_fetch_add(&P.next, 1, __ATOMIC_RELAXED);
    if (i >= P.n) return;
    P.fn(P.ctx, i, worker);
  }
}

/* pauses before a worker sleeps: operations follow each other within microseconds */
enum { SPIN = 4000 };

static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void *worker_main(void *arg) {
  int id = (int)(intptr_t)arg;
  unsigned seen = 0;
  for (;;) {
    for (int k = 0; k < SPIN && __atomic_load_n(&P.generation, __ATOMIC_ACQUIRE) == seen; k++)
      cpu_relax();
    if (__atomic_load_n(&P.generation, __ATOMIC_ACQUIRE) == seen) {
      os_mutex_lock(&P.mutex);
      while (P.generation == seen) os_cond_wait(&P.wake, &P.mutex);
      os_mutex_unlock(&P.mutex);
    }
    seen = __atomic_load_n(&P.generation, __ATOMIC_ACQUIRE);
    if (P.stop) return NULL;
    run_blocks(id);
    __atomic_fetch_sub(&P.busy, 1, __ATOMIC_RELEASE);
  }
}

static void new_generation(void) {
  os_mutex_lock(&P.mutex);
  __atomic_store_n(&P.generation, P.generation + 1, __ATOMIC_RELEASE);
  os_cond_wake_all(&P.wake);
  os_mutex_unlock(&P.mutex);
}

static void stop_workers(void) {
  if (!P.running) return;
  P.stop = 1;
  new_generation();
  for (int i = 0; i < P.running; i++) os_thread_join(P.thread[i]);
  P.running = 0;
  P.stop = 0;
  P.generation = 0;
}

void threads_stop(void) {
  os_mutex_lock(&P.owner);
  stop_workers();
  os_mutex_unlock(&P.owner);
}

void threads_set(int n) {
  if (n <= 0) {
    const char *env = getenv("PRLX_THREADS");
    n = env ? atoi(env) : 0;
    if (n <= 0) n = os_cores();
  }
  if (n > MAX_WORKERS) n = MAX_WORKERS;
  os_mutex_lock(&P.owner);
  if (n != P.count) {
    stop_workers();
    __atomic_store_n(&P.count, n, __ATOMIC_RELAXED);
  }
  os_mutex_unlock(&P.owner);
}

int threads_count(void) {
  if (!__atomic_load_n(&P.count, __ATOMIC_RELAXED)) threads_set(0);
  return __atomic_load_n(&P.count, __ATOMIC_RELAXED);
}

static void start_workers(void) {
  while (P.running < P.count - 1) {
    if (os_thread_start(&P.thread[P.running], worker_main, (void *)(intptr_t)(P.running + 1)) !=
        0) {
      /* fewer threads change the speed, never the result */
      __atomic_store_n(&P.count, P.running + 1, __ATOMIC_RELAXED);
      return;
    }
    P.running++;
  }
}

static void wait_for_helpers(void) {
  for (int k = 0; __atomic_load_n(&P.busy, __ATOMIC_ACQUIRE) > 0; k++) {
    if (k > 2000)
      os_yield();
    else
      cpu_relax();
  }
}

void par_for(int64_t n, void (*fn)(void *, int64_t, int), void *ctx) {
  /* another thread has the workers: no waiting, the bits are the same */
  const bool helped = n > 1 && threads_count() > 1 && os_mutex_try(&P.owner);
  if (helped) start_workers();
  if (!helped || !P.running) {
    for (int64_t i = 0; i < n; i++) fn(ctx, i, 0);
    if (helped) os_mutex_unlock(&P.owner);
    return;
  }
  P.fn = fn;
  P.ctx = ctx;
  P.n = n;
  __atomic_store_n(&P.next, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&P.busy, P.running, __ATOMIC_RELAXED);
  new_generation();
  run_blocks(0);
  wait_for_helpers();
  os_mutex_unlock(&P.owner);
}
