/* cuda_emu_api.cpp: memory, streams, events and graphs for test/cuda_emu.h. */
#include <deque>
#include <map>
#include <string>
#include <time.h>
#include <vector>
#include "test/cuda_emu_impl.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p))
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p))
#endif

/* ---- errors ---- */
static char first_fault[1024];
static cudaError_t last_error;
const char *emu_message(void) { return first_fault; }
void emu_clear(void) {
  first_fault[0] = 0;
  last_error = cudaSuccess;
}

void emu_note(const char *text, const char *where) {
  fprintf(stderr, "cuda_emu: ERROR %s: %s\n", where, text);
  if (!first_fault[0]) snprintf(first_fault, sizeof first_fault, "%s: %s", where, text);
  const char *a = getenv("PRLX_EMU_ABORT");
  if (a && *a == '1') abort();
}

static void host_fault(const char *text) {
  char where[320];
  emu_note(text, emu_where(where, sizeof where));
}

static int emu_env(const char *name, int usual) {
  const char *s = getenv(name);
  return s ? atoi(s) : usual;
}

/* ---- a card that is lost ---- */
static long calls;
static void write_calls(void) {
  FILE *f = fopen(getenv("PRLX_EMU_CALLS"), "w");
  if (f) fprintf(f, "%ld\n", calls);
  if (f) fclose(f);
}

static bool lost(void) {
  static const long from = emu_env("PRLX_EMU_LOST", 0);
  return from > 0 && calls >= from;
}

static void count_call(void) {
  if (calls++ == 0 && getenv("PRLX_EMU_CALLS")) atexit(write_calls);
}

static cudaError_t result(cudaError_t r) {
  count_call();
  if (first_fault[0]) r = cudaErrorLaunchFailure;
  if (lost()) r = cudaErrorUnknown;
  if (r) last_error = r;
  return r;
}

cudaError_t cudaPeekAtLastError(void) {
  return lost() ? cudaErrorUnknown : first_fault[0] ? cudaErrorLaunchFailure : last_error;
}

cudaError_t cudaGetLastError(void) {
  cudaError_t r = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return r;
}

const char *cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorDevicesUnavailable: return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorUnknown: return "unknown error";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorLaunchOutOfResources: return "too many resources requested for launch";
    case cudaErrorLaunchFailure: return first_fault[0] ? first_fault : "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default: return "error";
  }
}

const char *cudaGetErrorName(cudaError_t e) {
  return e == cudaSuccess                 ? "cudaSuccess"
         : e == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
                                          : "cudaError";
}

/* ---- memory: [guard][bytes][guard], everything 0xFF at first ---- */
enum { GUARD = 256 };
struct Block {
  size_t bytes;
  bool pinned;
  unsigned char *base;
};
static std::map<uintptr_t, Block> blocks;
static size_t used_bytes;

static size_t card_bytes(void) {
  const char *s = getenv("PRLX_EMU_MEMORY");
  return s ? (size_t)strtoull(s, NULL, 0) : (size_t)2 << 30;
}

size_t emu_live_allocations(void) { return blocks.size(); }
static const std::pair<const uintptr_t, Block> *find_block(const void *p) {
  uintptr_t a = (uintptr_t)p;
  auto it = blocks.upper_bound(a);
  if (it == blocks.begin()) return NULL;
  --it;
  return a <= it->first + it->second.bytes ? &*it : NULL;
}

int emu_owns(const void *p, size_t bytes) {
  auto b = find_block(p);
  return b && (uintptr_t)p + bytes <= b->first + b->second.bytes;
}

void emu_poison(void *device, size_t bytes) {
  if (bytes && !emu_owns(device, bytes)) {
    host_fault("emu_poison outside an allocation");
    return;
  }
  memset(device, 0xff, bytes);
}

static cudaError_t allocate(void **out, size_t bytes, bool pinned) {
  *out = NULL;
  if (!bytes) return result(cudaSuccess);
  if (lost()) return result(cudaErrorUnknown);
  if (!pinned && used_bytes + bytes > card_bytes()) return result(cudaErrorMemoryAllocation);
  size_t total = (GUARD + bytes + GUARD + 255) / 256 * 256;
  unsigned char *b = (unsigned char *)aligned_alloc(256, total);
  if (!b) return result(cudaErrorMemoryAllocation);
  memset(b, 0xff, total);
  ASAN_POISON_MEMORY_REGION(b, GUARD);
  ASAN_POISON_MEMORY_REGION(b + GUARD + bytes, total - GUARD - bytes);
  if (!pinned) used_bytes += bytes;
  blocks[(uintptr_t)(b + GUARD)] = Block{bytes, pinned, b};
  *out = b + GUARD;
  return result(cudaSuccess);
}

static bool guards_intact(const Block &b) {
  size_t total = (GUARD + b.bytes + GUARD + 255) / 256 * 256;
  ASAN_UNPOISON_MEMORY_REGION(b.base, total);
  bool ok = true;
  for (int i = 0; i < GUARD; i++) ok = ok && b.base[i] == 0xff;
  for (size_t i = GUARD + b.bytes; i < total; i++) ok = ok && b.base[i] == 0xff;
  if (!ok) {
    memset(b.base, 0xff, GUARD);
    memset(b.base + GUARD + b.bytes, 0xff, total - GUARD - b.bytes);
  }
  ASAN_POISON_MEMORY_REGION(b.base, GUARD);
  ASAN_POISON_MEMORY_REGION(b.base + GUARD + b.bytes, total - GUARD - b.bytes);
  return ok;
}

void emu_check_guards(void) {
  for (auto &x : blocks)
    if (!guards_intact(x.second)) {
      char text[160];
      snprintf(text, sizeof text,
               "wrote outside an allocation of %zu bytes at %p (some thread of this launch)",
               x.second.bytes, (void *)x.first);
      host_fault(text);
    }
}

static cudaError_t release(void *p) {
  if (!p) return result(cudaSuccess);
  auto it = blocks.find((uintptr_t)p);
  if (it == blocks.end()) {
    host_fault("free of something that was not allocated");
    return result(cudaErrorInvalidValue);
  }
  if (!guards_intact(it->second)) host_fault("memory around a freed allocation was overwritten");
  ASAN_UNPOISON_MEMORY_REGION(it->second.base,
                              (GUARD + it->second.bytes + GUARD + 255) / 256 * 256);
  if (!it->second.pinned) used_bytes -= it->second.bytes;
  free(it->second.base);
  blocks.erase(it);
  return result(cudaSuccess);
}

/* ---- streams: everything runs at once, or as late as it may (emu_late), or is recorded ---- */
struct EmuNode {
  enum Kind { LAUNCH_, COPY, COPY2D, FILL } kind;
  EmuKernel *k;
  EmuSite site;
  dim3 grid;
  dim3 block;
  size_t shared;
  void *dst;
  const void *src;
  size_t bytes;
  size_t dpitch;
  size_t spitch;
  size_t height;
  int value;
  cudaMemcpyKind how;
};
struct EmuGraph {
  std::vector<EmuNode> node;
  ~EmuGraph() {
    for (auto &n : node) delete n.k;
  }
};
/* What waits in a late stream: a node, a graph, a record (number, event), a wait for such a number
 * of another stream, a function of the host. */
struct EmuOp {
  enum Kind { NODE, GRAPH, RECORD, WAIT, HOST } kind;
  EmuNode node;
  EmuGraph *graph;
  EmuEvent *event;
  EmuStream *stream;
  long number;
  cudaHostFn_t fn;
  void *ctx;
};
struct EmuStream {
  EmuGraph *capture;
  bool invalid;
  bool late;
  std::deque<EmuOp> queue;
  long recorded; /* number of the last record that was carried out */
};
struct EmuEvent {
  double ms;
  bool recorded;
  EmuStream *stream; /* of the last record, and its number */
  long number;
};
static EmuStream default_stream;
static std::vector<EmuStream *> streams;
static long launches;
static unsigned late_streams;
static long records;
void emu_late(unsigned which) { late_streams = which; }
long emu_launches(void) { return launches; }
static bool capturing(void) {
  for (EmuStream *s : streams)
    if (s->capture) return true;
  return default_stream.capture != NULL;
}

static bool not_in_capture(void) { /* what a capture forbids invalidates it */
  bool bad = capturing();
  if (bad)
    for (EmuStream *s : streams)
      if (s->capture) s->invalid = true;
  return !bad;
}

static bool copy_inside(const void *p, size_t bytes, bool device, const char *what) {
  bool known = emu_owns(p, bytes), touches = find_block(p) != NULL;
  if (known || (!device && !touches)) return true;
  char text[160];
  snprintf(text, sizeof text, "copy or fill of %zu bytes: the %s %p is %s", bytes, what, p,
           touches ? "too small" : "not device memory");
  host_fault(text);
  return false;
}

static void perform(const EmuNode *n) {
  if (first_fault[0] || lost()) return;
  switch (n->kind) {
    case EmuNode::LAUNCH_:
      emu_run_kernel(n->k, &n->site, n->grid, n->block, n->shared, ++launches);
      break;
    case EmuNode::FILL:
      if (copy_inside(n->dst, n->bytes, true, "destination")) memset(n->dst, n->value, n->bytes);
      break;
    default:
      for (size_t y = 0; y < (n->kind == EmuNode::COPY ? 1 : n->height); y++) {
        char *d = (char *)n->dst + y * n->dpitch;
        const char *s = (const char *)n->src + y * n->spitch;
        bool dd = n->how == cudaMemcpyHostToDevice || n->how == cudaMemcpyDeviceToDevice,
             sd = n->how == cudaMemcpyDeviceToHost || n->how == cudaMemcpyDeviceToDevice;
        if (copy_inside(d, n->bytes, dd, "destination") && copy_inside(s, n->bytes, sd, "source"))
          memmove(d, s, n->bytes);
      }
  }
}

static void run_until(EmuStream *s, long number);
static void carry_out(EmuStream *s, EmuOp &op) {
  struct timespec t;
  switch (op.kind) {
    case EmuOp::NODE: perform(&op.node); break;
    case EmuOp::GRAPH:
      for (const EmuNode &n : op.graph->node) perform(&n);
      break;
    case EmuOp::RECORD:
      clock_gettime(CLOCK_MONOTONIC, &t);
      op.event->ms = (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
      op.event->recorded = true;
      s->recorded = op.number;
      break;
    case EmuOp::WAIT: run_until(op.stream, op.number); break;
    case EmuOp::HOST:
      if (!first_fault[0]) op.fn(op.ctx);
      break;
  }
}

/* Late streams: no more than what this record needs. */
static void run_until(EmuStream *s, long number) {
  while (!s->queue.empty() && s->recorded < number) {
    EmuOp op = s->queue.front();
    s->queue.pop_front();
    carry_out(s, op);
    if (op.kind == EmuOp::NODE) delete op.node.k;
  }
}

enum { EVERYTHING = 0x7fffffff };
static void run_streams(void) {
  for (EmuStream *s : streams) run_until(s, EVERYTHING);
}

static void put(EmuStream *s, EmuOp op) {
  if (s->late) {
    if (op.kind == EmuOp::NODE && op.node.k) op.node.k = op.node.k->copy();
    s->queue.push_back(op);
  } else
    carry_out(s, op);
}

static cudaError_t submit(cudaStream_t s, const EmuNode &n) {
  if (!s) run_streams();
  if (!s) s = &default_stream;
  if (s->capture) {
    EmuNode c = n;
    if (c.k) c.k = c.k->copy();
    s->capture->node.push_back(c);
  } else {
    EmuOp op = EmuOp();
    op.node = n;
    put(s, op);
  }
  return result(cudaSuccess);
}

static std::map<const void *, int> dynamic_limit;
cudaError_t emu_func_attribute(const void *f, cudaFuncAttribute a, int v) {
  if (a != cudaFuncAttributeMaxDynamicSharedMemorySize) return result(cudaSuccess);
  if (v < 0 || v > 232448) return result(cudaErrorInvalidValue);
  dynamic_limit[f] = v;
  return result(cudaSuccess);
}

void emu_launch(const EmuKernel &k, int npointers, const void *f, const char *name,
                const char *file, int line, dim3 grid, dim3 block, size_t shared, cudaStream_t s) {
  if (first_fault[0]) return;
  auto it = dynamic_limit.find(f);
  size_t limit = it == dynamic_limit.end() ? 49152 : (size_t)it->second;
  char text[200];
  if (!grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z || block.z > 64 ||
      (uint64_t)block.x * block.y * block.z > 1024 || grid.x > 0x7fffffffu || grid.y > 65535 ||
      grid.z > 65535 || (shared > limit && shared > 49152)) {
    fprintf(stderr,
            "cuda_emu: %s (%s:%d): impossible launch: grid %u,%u,%u block %u,%u,%u shared %zu "
            "(limit %zu)\n",
            name, file, line, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, limit);
    last_error = cudaErrorInvalidConfiguration;
    return;
  }
  for (int i = 0; i < npointers; i++) {
    const void *p = k.pointer(i);
    if (!p || find_block(p)) continue;
    snprintf(text, sizeof text, "%s (%s:%d): argument %d points to %p, which is not device memory",
             name, file, line, i, p);
    host_fault(text);
    return;
  }
  EmuNode n = EmuNode();
  n.kind = EmuNode::LAUNCH_;
  n.k = const_cast<EmuKernel *>(&k);
  n.site = EmuSite{name, file, line};
  n.grid = grid;
  n.block = block;
  n.shared = shared;
  submit(s, n);
}

static int driver_version(void) { return emu_env("PRLX_EMU_DRIVER", 13000); }
cudaError_t cudaGetDeviceCount(int *n) {
  const bool old = driver_version() < 13000;
  *n = old ? 0 : emu_env("PRLX_EMU_DEVICES", 1);
  return old ? cudaErrorInsufficientDriver : *n ? result(cudaSuccess) : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int d) { return result(d == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaGetDevice(int *d) {
  *d = 0;
  return result(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
  *p = cudaDeviceProp();
  snprintf(p->name, sizeof p->name, "emulated device");
  p->totalGlobalMem = card_bytes();
  p->sharedMemPerBlock = 49152;
  p->sharedMemPerBlockOptin = 232448;
  p->sharedMemPerMultiprocessor = 233472;
  p->major = emu_env("PRLX_EMU_ARCH", 90) / 10;
  p->minor = emu_env("PRLX_EMU_ARCH", 90) % 10;
  p->multiProcessorCount = emu_env("PRLX_EMU_SMS", 4);
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->regsPerBlock = 65536;
  p->warpSize = 32;
  p->l2CacheSize = 50 << 20;
  p->memoryBusWidth = 5120;
  return result(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr a, int) {
  *v = a == cudaDevAttrMaxThreadsPerBlock                 ? 1024
       : a == cudaDevAttrMaxSharedMemoryPerBlock          ? 49152
       : a == cudaDevAttrMultiProcessorCount              ? 4
       : a == cudaDevAttrComputeCapabilityMajor           ? 9
       : a == cudaDevAttrComputeCapabilityMinor           ? 0
       : a == cudaDevAttrMaxSharedMemoryPerMultiprocessor ? 233472
                                                          : 232448;
  return result(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void) {
  run_streams();
  return result(not_in_capture() ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaDeviceReset(void) { return result(cudaSuccess); }
cudaError_t cudaSetDeviceFlags(unsigned) { return result(cudaSuccess); }
cudaError_t cudaDriverGetVersion(int *v) {
  *v = driver_version();
  return result(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *v) {
  *v = 13000;
  return result(cudaSuccess);
}

cudaError_t cudaMalloc(void **p, size_t n) {
  if (!not_in_capture()) return result(cudaErrorStreamCaptureUnsupported);
  return allocate(p, n, false);
}

cudaError_t cudaMallocAsync(void **p, size_t n, cudaStream_t) { return cudaMalloc(p, n); }
cudaError_t cudaMallocHost(void **p, size_t n, unsigned) { return allocate(p, n, true); }
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned) { return allocate(p, n, true); }
cudaError_t cudaFree(void *p) {
  run_streams();
  return release(p);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t) { return cudaFree(p); }
cudaError_t cudaFreeHost(void *p) { return cudaFree(p); }
cudaError_t cudaMemGetInfo(size_t *f, size_t *t) {
  *t = card_bytes();
  *f = *t - used_bytes;
  return result(cudaSuccess);
}

cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t bytes, cudaMemcpyKind how,
                            cudaStream_t st) {
  if (!bytes) return result(cudaSuccess);
  EmuNode n = EmuNode();
  n.kind = EmuNode::COPY;
  n.dst = d;
  n.src = s;
  n.bytes = bytes;
  n.how = how;
  return submit(st, n);
}

cudaError_t cudaMemcpy(void *d, const void *s, size_t n, cudaMemcpyKind how) {
  if (!not_in_capture()) return result(cudaErrorStreamCaptureUnsupported);
  return cudaMemcpyAsync(d, s, n, how, nullptr);
}

cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h,
                              cudaMemcpyKind how, cudaStream_t st) {
  if (!w || !h) return result(cudaSuccess);
  EmuNode n = EmuNode();
  n.kind = EmuNode::COPY2D;
  n.dst = d;
  n.src = s;
  n.bytes = w;
  n.dpitch = dp;
  n.spitch = sp;
  n.height = h;
  n.how = how;
  return submit(st, n);
}

cudaError_t cudaMemsetAsync(void *d, int v, size_t bytes, cudaStream_t st) {
  if (!bytes) return result(cudaSuccess);
  EmuNode n = EmuNode();
  n.kind = EmuNode::FILL;
  n.dst = d;
  n.value = v;
  n.bytes = bytes;
  return submit(st, n);
}

cudaError_t cudaMemset(void *d, int v, size_t n) { return cudaMemsetAsync(d, v, n, nullptr); }
cudaError_t emu_copy_symbol(void *sym, size_t size, const void *src, size_t n, size_t off,
                            cudaStream_t) {
  if (off + n > size) return result(cudaErrorInvalidValue);
  if (!not_in_capture()) return result(cudaErrorStreamCaptureUnsupported);
  run_streams();
  memcpy((char *)sym + off, src, n);
  return result(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *s) {
  /* the first call that makes a context */
  if (emu_env("PRLX_EMU_BUSY", 0)) return result(cudaErrorDevicesUnavailable);
  if (lost()) return result(cudaErrorUnknown);
  *s = new EmuStream();
  (*s)->late = late_streams & 1;
  late_streams >>= 1;
  streams.push_back(*s);
  return result(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) { return cudaStreamCreate(s); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned, int) {
  return cudaStreamCreate(s);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *most) {
  *least = 0;
  *most = -5;
  return result(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t s) {
  run_streams();
  for (size_t i = 0; i < streams.size(); i++)
    if (streams[i] == s) {
      streams.erase(streams.begin() + (long)i);
      delete s->capture;
      delete s;
      return result(cudaSuccess);
    }
  return result(cudaErrorInvalidValue);
}

/* Of a late stream only what its work needs. */
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (!s) return cudaDeviceSynchronize();
  run_until(s, EVERYTHING);
  return result(not_in_capture() ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaStreamQuery(cudaStream_t s) {
  return result(s && !s->queue.empty() ? cudaErrorNotReady : cudaSuccess);
}

/* The record that is the event's last one now; none: nothing to wait for. */
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
  if (!s) s = &default_stream;
  if (s->capture) return result(cudaErrorStreamCaptureUnsupported);
  if (!e->stream) return result(cudaSuccess);
  EmuOp op = EmuOp();
  op.kind = EmuOp::WAIT;
  op.stream = e->stream;
  op.number = e->number;
  put(s, op);
  return result(cudaSuccess);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void *ctx) {
  if (!s || s->capture) return result(cudaErrorNotSupported);
  EmuOp op = EmuOp();
  op.kind = EmuOp::HOST;
  op.fn = fn;
  op.ctx = ctx;
  put(s, op);
  return result(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *e) {
  *e = new EmuEvent();
  return result(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) { return cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  run_streams();
  delete e;
  return result(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  if (!s) s = &default_stream;
  EmuOp op = EmuOp();
  op.kind = EmuOp::RECORD;
  op.event = e;
  op.number = ++records;
  e->stream = s;
  e->number = op.number;
  put(s, op);
  return result(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (e->stream) run_until(e->stream, e->number);
  return result(not_in_capture() ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaEventQuery(cudaEvent_t e) {
  return result(e->stream && e->stream->recorded < e->number ? cudaErrorNotReady : cudaSuccess);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
  if (a->stream) run_until(a->stream, a->number);
  if (b->stream) run_until(b->stream, b->number);
  if (!a->recorded || !b->recorded) return result(cudaErrorInvalidValue);
  *ms = (float)(b->ms - a->ms);
  return result(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode) {
  if (!s || s->capture) return result(cudaErrorInvalidValue);
  s->capture = new EmuGraph();
  s->invalid = false;
  return result(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g) {
  *g = NULL;
  if (!s || !s->capture) return result(cudaErrorInvalidValue);
  EmuGraph *c = s->capture;
  s->capture = NULL;
  if (s->invalid) {
    delete c;
    return result(cudaErrorStreamCaptureInvalidated);
  }
  *g = c;
  return result(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *o) {
  *o = s && s->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return result(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long) {
  if (!g) return result(cudaErrorInvalidValue);
  *x = new EmuGraph();
  for (const EmuNode &n : g->node) {
    EmuNode c = n;
    if (c.k) c.k = c.k->copy();
    (*x)->node.push_back(c);
  }
  return result(cudaSuccess);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *out, size_t *n) {
  for (size_t i = 0; out && i < *n && i < g->node.size(); i++) out[i] = &g->node[i];
  *n = g->node.size();
  return result(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return result(cudaSuccess); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s) {
  if (s && s->capture) return result(cudaErrorStreamCaptureUnsupported);
  EmuOp op = EmuOp();
  op.kind = EmuOp::GRAPH;
  op.graph = x;
  put(s ? s : &default_stream, op);
  return result(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  delete g;
  return result(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g) {
  run_streams();
  delete g;
  return result(cudaSuccess);
}
