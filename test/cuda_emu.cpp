/* cuda_emu.cpp: runs the kernels that test/cuda_emu.h compiles: one block after another, each
 * thread of it a fibre with a stack of its own. A fibre is left only at a barrier or a warp
 * exchange, so a kernel without them is a plain loop over its threads on one stack. */
#include <stdarg.h>
#include <sys/mman.h>
#include <vector>
#include "test/cuda_emu_impl.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 512 << 10 };
#else
enum { STACK_BYTES = 128 << 10 };
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p))
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p))
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* ---- order: a small generator of its own (xorshift), so that a run depends on the seed alone ----
 */
static uint64_t seed_value = 1, random_state = 1;
static bool seed_known;
uint32_t emu_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 32);
}

void emu_seed(uint64_t seed) {
  seed_known = true;
  seed_value = seed;
}

static void order_start(uint64_t launch) {
  if (!seed_known) {
    const char *s = getenv("PRLX_EMU_SEED");
    emu_seed(s ? strtoull(s, NULL, 0) : 1);
  }
  uint64_t z =
      seed_value * 0x9E3779B97F4A7C15ull + launch * 0xBF58476D1CE4E5B9ull + 0x94D049BB133111EBull;
  z ^= z >> 29;
  z *= 0xBF58476D1CE4E5B9ull;
  z ^= z >> 32;
  random_state = z | 1;
}

/* ---- fibres ---- */
/* a stack on which threads run, one at a time; parked ones wait in `idle` */
struct Context {
  unsigned char *stack;
  int start; /* thread to start when a parked context is woken */
#if defined(__x86_64__)
  void *sp;
#else
  ucontext_t u;
#endif
};
static Context main_context;
static Context contexts[1024]; /* a thread that waits keeps one */
static std::vector<Context *> idle;
static size_t contexts_used; /* of `contexts`, alive in this block */
static Context *here;        /* the one that runs now; NULL on the host */

#if defined(__x86_64__)
extern "C" void emu_switch_stack(void **save, void *load);
__asm__(".text\n.globl emu_switch_stack\n.type emu_switch_stack,@function\nemu_switch_stack:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n.size "
        "emu_switch_stack,.-emu_switch_stack\n");
#endif
static void context_body(void);
#if defined(__SANITIZE_ADDRESS__)
static const void *main_bottom;
static size_t main_bytes;
#endif
static void arrived(void) { /* first thing on a stack that was switched to */
#if defined(__SANITIZE_ADDRESS__)
  const void *b;
  size_t n;
  __sanitizer_finish_switch_fiber(NULL, &b, &n);
  if (!main_bottom) {
    main_bottom = b;
    main_bytes = n;
  }
#endif
}

static void context_entry(void) {
  arrived();
  context_body();
}

static void switch_to(Context *to) {
  Context *from = here ? here : &main_context;
  if (from == to) return;
  here = to == &main_context ? NULL : to;
#if defined(__SANITIZE_ADDRESS__)
  void *fake = NULL;
  if (to == &main_context)
    __sanitizer_start_switch_fiber(&fake, main_bottom, main_bytes);
  else
    __sanitizer_start_switch_fiber(&fake, to->stack, STACK_BYTES);
#endif
#if defined(__x86_64__)
  emu_switch_stack(&from->sp, to->sp);
#else
  swapcontext(&from->u, &to->u);
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void *b;
  size_t n;
  __sanitizer_finish_switch_fiber(fake, &b, &n);
#endif
}

static Context *context_fresh(void) {
  Context *c = &contexts[contexts_used++];
  if (!c->stack) {
    unsigned char *m = (unsigned char *)mmap(NULL, STACK_BYTES + 8192, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
      perror("cuda_emu: stack of a thread");
      abort();
    }
    mprotect(m, 4096, PROT_NONE);
    c->stack = m + 4096;
  }
  ASAN_UNPOISON_MEMORY_REGION(c->stack, STACK_BYTES);
#if defined(__x86_64__)
  void **top = (void **)(c->stack + STACK_BYTES);
  *--top = NULL; /* the entry finds the stack as after a call */
  *--top = (void *)context_entry;
  for (int i = 0; i < 6; i++) *--top = NULL;
  c->sp = top;
#else
  getcontext(&c->u);
  c->u.uc_stack.ss_sp = c->stack;
  c->u.uc_stack.ss_size = STACK_BYTES;
  c->u.uc_link = NULL;
  makecontext(&c->u, context_entry, 0);
#endif
  return c;
}

/* ---- a block ---- */
enum State : uint8_t { FRESH, READY, AT_BLOCK, AT_WARP, AT_EVENT, DONE };
struct AsyncCopy {
  void *dst;
  const void *src;
  int bytes;
  int group;
  bool valid;
};
struct Thread {
  State state;
  int line;
  const char *kind;
  const void *in;
  void *out;
  EmuWarpFn fn;
  EmuReadyFn ready; /* AT_EVENT: it can go on */
  Context *context;
  int vote;
  int vote_result;
  int vote_how;
  int committed; /* groups of cp.async */
  std::vector<AsyncCopy> async;
};
struct SharedUse {
  unsigned char *p;
  size_t bytes;
};
static Thread thread[1024];
static int warp_waiting[32], warp_live[32];
static int nthreads, ndone, nblock, current; /* nblock: waiting at the block's barrier */
/* which runnable thread is next: the one that became runnable last, or any */
static bool depth_first;
static int runnable[1024], nrunnable;
static EmuKernel *kernel;
static const char *kernel_name, *kernel_file;
static int kernel_line;
static size_t block_serial, dynamic_bytes;
static std::vector<SharedUse> shared_used;
static bool failed, in_block;
static unsigned char nothing[64], sink[64];
enum { DYNAMIC_MAX = 232448, STATIC_MAX = 49152 };
alignas(1024) static unsigned char dynamic_memory[1024 + DYNAMIC_MAX + 1024];

int emu_lane(void) { return current & 31; }
int emu_current(void) { return current; }
unsigned char *emu_dynamic(size_t *bytes) {
  *bytes = dynamic_bytes;
  return dynamic_memory + 1024;
}

static void thread_indices(int t, uint3 *i) {
  i->x = (unsigned)t % blockDim.x;
  i->y = (unsigned)t / blockDim.x % blockDim.y;
  i->z = (unsigned)t / (blockDim.x * blockDim.y);
}

const char *emu_where(char *buf, size_t n) {
  if (!kernel) {
    snprintf(buf, n, "host");
    return buf;
  }
  int k =
      snprintf(buf, n, "kernel %s (%s:%d) grid %u,%u,%u block %u,%u,%u", kernel_name, kernel_file,
               kernel_line, gridDim.x, gridDim.y, gridDim.z, blockDim.x, blockDim.y, blockDim.z);
  if (in_block && k < (int)n)
    snprintf(buf + k, n - (size_t)k, ": block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y,
             blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  return buf;
}

void emu_fault(const char *fmt, ...) {
  char text[512], where[320];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  emu_note(text, emu_where(where, sizeof where));
  /* never comes back: the fibres of this block are dropped */
  if (here) {
    failed = true;
    switch_to(&main_context);
  }
}

static void make_runnable(int t) {
  thread[t].state = thread[t].state == FRESH ? FRESH : READY;
  runnable[nrunnable++] = t;
}

static int next_runnable(void) { /* -1: none */
  if (!nrunnable) return -1;
  int at = nrunnable - 1;
  if (!depth_first && seed_value) at = (int)(emu_random() % (unsigned)nrunnable);
  int t = runnable[at];
  runnable[at] = runnable[--nrunnable];
  return t;
}

/* Or -1, when neither a thread nor what goes on beside them can move. */
static int next_thread(void) {
  int t = next_runnable();
  while (t < 0 && ndone < nthreads && emu_async_step()) t = next_runnable();
  return t;
}

static void resume_as(int t) {
  current = t;
  thread_indices(t, &threadIdx);
}

/* Threads t0..t0+n-1 in shuffled order on the stack of runnable ones: the first to run lies on top.
 */
static void push_shuffled(int t0, int n) {
  int order[1024];
  for (int i = 0; i < n; i++) order[i] = t0 + n - 1 - i;
  if (seed_value)
    for (int i = n - 1; i > 0; i--) {
      int j = (int)(emu_random() % (unsigned)(i + 1)), x = order[i];
      order[i] = order[j];
      order[j] = x;
    }
  for (int i = 0; i < n; i++) make_runnable(order[i]);
}

static void push_block(void) {
  int w[32], n = (nthreads + 31) / 32;
  for (int i = 0; i < n; i++) w[i] = n - 1 - i;
  if (seed_value)
    for (int i = n - 1; i > 0; i--) {
      int j = (int)(emu_random() % (unsigned)(i + 1)), x = w[i];
      w[i] = w[j];
      w[j] = x;
    }
  for (int i = 0; i < n; i++) {
    int k = nthreads - w[i] * 32;
    push_shuffled(w[i] * 32, k < 32 ? k : 32);
  }
}

static void deadlock(void) {
  int a = -1, b = -1; /* someone who waits, someone who is not there */
  for (int t = 0; t < nthreads; t++)
    if (thread[t].state == AT_BLOCK || thread[t].state == AT_WARP || thread[t].state == AT_EVENT) {
      a = t;
      break;
    }
  for (int t = 0; t < nthreads && a >= 0; t++)
    if (thread[t].state != thread[a].state && (thread[a].state == AT_BLOCK || t / 32 == a / 32)) {
      b = t;
      break;
    }
  if (a < 0) {
    emu_fault("internal: nothing can run");
    return;
  }
  resume_as(a);
  if (thread[a].state == AT_EVENT) {
    emu_fault("%s (%d) is never completed", thread[a].kind, thread[a].line);
    return;
  }
  if (b < 0) {
    emu_fault("%s (line %d) is never completed", thread[a].kind, thread[a].line);
    return;
  }
  if (thread[b].state == DONE) {
    emu_fault("waits at %s (line %d), but thread %d has returned", thread[a].kind, thread[a].line,
              b);
    return;
  }
  emu_fault("waits at %s (line %d), but thread %d waits at %s (line %d)", thread[a].kind,
            thread[a].line, b, thread[b].kind, thread[b].line);
}

/* The current thread cannot go on: run others until it is its turn again. */
static void wait_turn(void) {
  int me = current, t = next_thread();
  if (t < 0) {
    deadlock();
    return;
  }
  if (t != me) {
    thread[me].context = here;
    if (thread[t].state == FRESH) {
      Context *c;
      if (idle.empty())
        c = context_fresh();
      else {
        c = idle.back();
        idle.pop_back();
      }
      c->start = t;
      switch_to(c);
    } else {
      resume_as(t);
      switch_to(thread[t].context);
    }
    current = me;
  }
  resume_as(me);
}

static void warp_complete(int w) {
  const void *in[32];
  void *out[32];
  int base = w * 32, first = -1;
  uint32_t live = 0;
  for (int l = 0; l < 32; l++) {
    Thread *t = &thread[base + l];
    if (base + l < nthreads && t->state == AT_WARP) {
      in[l] = t->in;
      out[l] = t->out;
      live |= 1u << l;
      if (first < 0) first = l;
      Thread *f = &thread[base + first];
      if (t->line != f->line || (t->kind != f->kind && strcmp(t->kind, f->kind)))
        emu_fault(
            "lanes %d and %d of one warp meet at different places: %s (line %d), %s (line %d)",
            first, l, f->kind, f->line, t->kind, t->line);
    } else {
      in[l] = nothing;
      out[l] = sink;
    }
  }
  thread[base + first].fn(in, out, live);
  warp_waiting[w] = 0;
  int order[32], n = 0;
  for (int l = 31; l >= 0; l--)
    if (live >> l & 1) order[n++] = base + l;
  if (seed_value) {
    uint32_t r = emu_random();
    for (int i = n - 1; i > 0; i--) {
      int j = (int)((r = r * 1664525u + 1013904223u) >> 16) % (i + 1), x = order[i];
      order[i] = order[j];
      order[j] = x;
    }
  }
  for (int i = 0; i < n; i++) make_runnable(order[i]);
}

void emu_warp_collective(const char *kind, int line, const void *in, size_t in_bytes, void *out,
                         size_t out_bytes, EmuWarpFn fn) {
  if (!here) {
    emu_fault("%s outside a kernel", kind);
    return;
  }
  if (in_bytes > sizeof nothing || out_bytes > sizeof sink) {
    emu_fault("%s: too much for a warp exchange", kind);
    return;
  }
  Thread *t = &thread[current];
  t->kind = kind;
  t->line = line;
  t->in = in;
  t->out = out;
  t->fn = fn;
  t->state = AT_WARP;
  int w = current / 32;
  if (++warp_waiting[w] == warp_live[w]) warp_complete(w);
  wait_turn();
}

int emu_sync_block_vote(int line, int pred, int how) {
  Thread *t = &thread[current];
  t->kind = "__syncthreads";
  t->line = line;
  t->state = AT_BLOCK;
  t->vote = pred != 0;
  t->vote_how = how;
  if (++nblock == nthreads) {
    int count = 0;
    for (int i = 0; i < nthreads; i++) {
      if (thread[i].line != line || thread[i].vote_how != how) {
        emu_fault("threads %d and %d meet at different barriers: lines %d and %d", current, i, line,
                  thread[i].line);
        return 0;
      }
      count += thread[i].vote;
    }
    for (int i = 0; i < nthreads; i++)
      thread[i].vote_result = how == 0 ? count == nthreads : how == 1 ? count > 0 : count;
    nblock = 0;
    push_block();
  }
  wait_turn();
  return thread[current].vote_result;
}

void emu_sync_block(int line) { emu_sync_block_vote(line, 0, 3); }

void emu_wait_event(const char *kind, int line, EmuReadyFn ready, const void *what) {
  Thread *t = &thread[current];
  if (ready(what)) return;
  t->kind = kind;
  t->line = line;
  t->ready = ready;
  t->in = what;
  t->state = AT_EVENT;
  wait_turn();
}

void emu_events_changed(void) {
  for (int t = 0; t < nthreads; t++)
    if (thread[t].state == AT_EVENT && thread[t].ready(thread[t].in)) make_runnable(t);
}

static void thread_done(void) {
  Thread *t = &thread[current];
  t->state = DONE;
  ndone++;
  int w = current / 32;
  if (--warp_live[w] > 0 && warp_waiting[w] == warp_live[w]) warp_complete(w);
}

/* A context runs fresh threads one after another until one that waits elsewhere is due; then it
 * parks. */
static void context_body(void) {
  int t = here->start;
  for (;;) {
    resume_as(t);
    kernel->thread();
    thread_done();
    t = next_thread();
    while (t < 0 || thread[t].state != FRESH) {
      if (t < 0) {
        if (ndone < nthreads) {
          deadlock();
          abort();
        }
        switch_to(&main_context); /* the block is finished; a new one starts new contexts */
        abort();
      }
      Context *c = thread[t].context;
      idle.push_back(here);
      resume_as(t);
      switch_to(c);
      t = here->start; /* woken to start this one */
    }
  }
}

/* ---- shared memory ---- */
static void guard_set(unsigned char *p, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(p - 64, bytes + 128);
  memset(p - 64, 0xff, bytes + 128);
  ASAN_POISON_MEMORY_REGION(p - 64, 64);
  ASAN_POISON_MEMORY_REGION(p + bytes, 64);
}

static void guard_check(const SharedUse *u) {
  ASAN_UNPOISON_MEMORY_REGION(u->p - 64, u->bytes + 128);
  for (int i = 0; i < 64; i++) {
    if (u->p[-1 - i] != 0xff) {
      emu_fault("shared memory written %d bytes before an array of %zu bytes", i + 1, u->bytes);
      return;
    }
    if (u->p[u->bytes + i] != 0xff) {
      emu_fault("shared memory written %d bytes past the end of an array of %zu bytes", i,
                u->bytes);
      return;
    }
  }
}

void *emu_shared(void *slot, size_t bytes, size_t *serial) {
  if (*serial != block_serial) {
    *serial = block_serial;
    size_t sum = bytes;
    for (const SharedUse &u : shared_used) sum += u.bytes;
    if (sum > STATIC_MAX) emu_fault("%zu bytes of static shared memory; a block has 48 kB", sum);
    guard_set((unsigned char *)slot, bytes);
    shared_used.push_back({(unsigned char *)slot, bytes});
  }
  return slot;
}

void *emu_dynamic_shared(void) {
  if (!dynamic_bytes) emu_fault("DYNAMIC_SHARED, but the launch gave 0 bytes");
  return dynamic_memory + 1024;
}

/* ---- cp.async ---- */
static void async_do(const AsyncCopy *c) {
  if (c->valid)
    memcpy(c->dst, c->src, (size_t)c->bytes);
  else
    memset(c->dst, 0, (size_t)c->bytes);
}

void emu_async_copy(void *dst, const void *src, int bytes, bool valid) {
  if (((uintptr_t)dst | (valid ? (uintptr_t)src : 0)) & (uintptr_t)(bytes - 1)) {
    emu_fault("cp.async of %d bytes from %p to %p: not aligned", bytes, src, dst);
    return;
  }
  if (valid && !emu_owns(src, (size_t)bytes)) {
    emu_fault("cp.async of %d bytes reads outside device memory", bytes);
    return;
  }
  unsigned char *d = (unsigned char *)dst;
  bool inside = d >= dynamic_memory + 1024 && d + bytes <= dynamic_memory + 1024 + dynamic_bytes;
  for (const SharedUse &u : shared_used) inside |= d >= u.p && d + bytes <= u.p + u.bytes;
  if (!inside) {
    emu_fault("cp.async of %d bytes writes outside shared memory", bytes);
    return;
  }
  Thread *t = &thread[current];
  AsyncCopy c = {dst, src, bytes, t->committed, valid};
  if (emu_random() & 1)
    async_do(&c);
  else
    t->async.push_back(c);
}

void emu_async_commit(void) { thread[current].committed++; }
static void async_finish(int before_group) {
  std::vector<AsyncCopy> &q = thread[current].async;
  size_t k = 0;
  while (k < q.size() && q[k].group < before_group) async_do(&q[k++]);
  if (k) q.erase(q.begin(), q.begin() + (long)k);
}

void emu_async_wait(int pending) { async_finish(thread[current].committed - pending); }
void emu_async_wait_all(void) { async_finish(1 << 30); }

/* ---- tensor cores: D (16x8, row major) += A (16xK, row major) B (Kx8, row major), float sums in
 * order of k ---- */
void emu_mma_tile(int K, const float *A, const float *B, float *D) {
  for (int i = 0; i < 16; i++) {
    float s[8];
    memcpy(s, D + 8 * i, sizeof s);
    for (int k = 0; k < K; k++)
      for (int j = 0; j < 8; j++) s[j] += A[i * K + k] * B[8 * k + j];
    memcpy(D + 8 * i, s, sizeof s);
  }
}

/* ---- a launch ---- */
static void run_block(void) {
  block_serial++;
  shared_used.clear();
  idle.clear();
  contexts_used = 0;
  ndone = nblock = nrunnable = 0;
  failed = false;
  depth_first = seed_value ? (emu_random() & 1) != 0 : true;
  for (int t = 0; t < nthreads; t++) {
    thread[t].state = FRESH;
    thread[t].committed = 0;
    thread[t].async.clear();
  }
  for (int w = 0; w * 32 < nthreads; w++) {
    warp_waiting[w] = 0;
    warp_live[w] = nthreads - w * 32 < 32 ? nthreads - w * 32 : 32;
  }
  if (dynamic_bytes) {
    guard_set(dynamic_memory + 1024, dynamic_bytes);
  }
  emu_async_start();
  push_block();
  Context *c = context_fresh();
  c->start = next_runnable();
  switch_to(c);
  if (!failed) emu_async_end();
  if (!failed)
    for (const SharedUse &u : shared_used) guard_check(&u);
  else
    for (const SharedUse &u : shared_used) ASAN_UNPOISON_MEMORY_REGION(u.p - 64, u.bytes + 128);
  SharedUse d = {dynamic_memory + 1024, dynamic_bytes};
  if (dynamic_bytes && !failed) guard_check(&d);
}

void emu_run_kernel(EmuKernel *k, const EmuSite *site, dim3 grid, dim3 block, size_t shared,
                    long number) {
  memset(nothing, 0xff, sizeof nothing);
  kernel = k;
  kernel_name = site->name;
  kernel_file = site->file;
  kernel_line = site->line;
  blockDim = block;
  gridDim = grid;
  dynamic_bytes = shared;
  nthreads = (int)(block.x * block.y * block.z);
  in_block = true;
  order_start((uint64_t)number);
  uint64_t n = (uint64_t)grid.x * grid.y * grid.z, step = 1, at = 0;
  /* blocks in the order at, at+step, ... mod n: a permutation when step and n have no common factor
   */
  if (seed_value && n > 2) {
    at = emu_random() % n;
    for (step = 1 + emu_random() % (n - 1);; step++) {
      uint64_t a = step, b = n;
      while (b) {
        uint64_t r = a % b;
        a = b;
        b = r;
      }
      if (a == 1) break;
    }
  }
  for (uint64_t i = 0; i < n && !emu_message()[0]; i++, at = (at + step) % n) {
    blockIdx = make_uint3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                          (unsigned)(at / grid.x / grid.y));
    run_block();
  }
  in_block = false;
  emu_check_guards();
  kernel = NULL;
}
