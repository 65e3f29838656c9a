/* cuda_emu_async.cpp: what of a block goes on beside its threads, for test/cuda_emu_wgmma.h: boxes
 * of tensors on their way to shared memory, products of warpgroups, the barriers that both are
 * waited for with. */
#include <map>
#include <vector>
#include "test/cuda_emu_impl.h"
#include "test/cuda_emu_wgmma.h"

/* ---- addresses of shared memory: dynamic memory begins at an odd multiple of 16 ---- */
enum { DYNAMIC_ADDRESS = 1040 };

uint32_t shared_address(const void *p) {
  size_t bytes;
  const unsigned char *base = emu_dynamic(&bytes), *q = (const unsigned char *)p;
  if (q < base || q > base + bytes) emu_fault("shared_address of what is no dynamic shared memory");
  return DYNAMIC_ADDRESS + (uint32_t)(q - base);
}

/* `bytes` at this address, or a fault. */
static unsigned char *shared_at(uint32_t address, size_t bytes, const char *what) {
  size_t all;
  unsigned char *base = emu_dynamic(&all);
  if (address < DYNAMIC_ADDRESS || address - DYNAMIC_ADDRESS + bytes > all)
    emu_fault("%s: %zu bytes at shared address %u: outside dynamic shared memory", what, bytes,
              address);
  return base + (address - DYNAMIC_ADDRESS);
}

/* Where 16 bytes of `address` lie: mode 0 as they are; 1, 2, 3: within 128, 64, 32 bytes. */
static uint32_t swizzled(uint32_t address, int mode) {
  static const uint32_t bits[4] = {0, 7, 3, 1};
  return address ^ ((address >> 7 & bits[mode]) << 4);
}

/* ---- mbarriers. Their memory holds a mark, so that what is written over one is seen. ---- */
struct Barrier {
  int arrivals;
  int pending;
  int64_t bytes; /* expected and not yet come */
  uint32_t phase;
  bool fenced;
};
static const uint64_t barrier_mark = 0x6d62617272696572u;
static std::map<uint32_t, Barrier> barriers;
static bool boxes_move(void);

static Barrier *barrier_at(uint32_t at, const char *what) {
  auto b = barriers.find(at);
  if (b == barriers.end()) {
    emu_fault("%s: no mbarrier was made at shared address %u", what, at);
    return NULL;
  }
  if (memcmp(shared_at(at, 8, what), &barrier_mark, 8))
    emu_fault("%s: the mbarrier at shared address %u was written over", what, at);
  if (!b->second.fenced) emu_fault("%s: no fence after mbarrier_init", what);
  return &b->second;
}

static void barrier_settle(Barrier *b) {
  if (b->pending || b->bytes) return;
  b->phase++;
  b->pending = b->arrivals;
  emu_events_changed();
}

static void barrier_count(Barrier *b, int64_t bytes) {
  b->bytes += bytes;
  if (b->bytes >= 1 << 20 || b->bytes <= -(1 << 20))
    emu_fault("mbarrier: %lld bytes outstanding: beyond 2^20", (long long)b->bytes);
}

void mbarrier_init(uint32_t bar, uint32_t arrivals) {
  if (bar % 8) emu_fault("mbarrier_init at %u: not aligned to 8 bytes", bar);
  if (barriers.count(bar)) emu_fault("mbarrier_init at %u: there is one", bar);
  memcpy(shared_at(bar, 8, "mbarrier_init"), &barrier_mark, 8);
  barriers[bar] = Barrier{(int)arrivals, (int)arrivals, 0, 0, false};
}

void mbarrier_init_fence(void) {
  for (auto &b : barriers) b.second.fenced = true;
}

void mbarrier_arrive(uint32_t bar) {
  Barrier *b = barrier_at(bar, "mbarrier_arrive");
  if (!b->pending) emu_fault("mbarrier_arrive at %u: all %d have arrived", bar, b->arrivals);
  b->pending--;
  barrier_settle(b);
}

void mbarrier_expect(uint32_t bar, uint32_t bytes) {
  barrier_count(barrier_at(bar, "mbarrier_expect"), bytes);
  mbarrier_arrive(bar);
}

struct PhaseWait {
  uint32_t bar;
  uint32_t parity;
};
static bool phase_over(const void *p) {
  const PhaseWait *w = (const PhaseWait *)p;
  return (barriers[w->bar].phase & 1) != w->parity;
}

void mbarrier_wait(uint32_t bar, uint32_t parity) {
  const PhaseWait w = {bar, parity};
  barrier_at(bar, "mbarrier_wait");
  if (emu_random() % 4 == 0) boxes_move();
  emu_wait_event("mbarrier_wait", (int)bar, phase_over, &w);
}

/* ---- named barriers ---- */
struct Named {
  int here;
  int threads;
  int round;
};
static Named named[16];
struct RoundWait {
  int id;
  int round;
};
static bool round_over(const void *p) {
  const RoundWait *w = (const RoundWait *)p;
  return named[w->id].round != w->round;
}

void named_barrier(int id, int threads) {
  if (id < 1 || id > 15 || threads % 32 || threads < 32)
    emu_fault("named_barrier %d of %d threads", id, threads);
  Named *n = &named[id];
  if (n->here && n->threads != threads)
    emu_fault("named_barrier %d: of %d threads here, of %d there", id, threads, n->threads);
  const RoundWait w = {id, n->round};
  n->threads = threads;
  if (++n->here == threads) {
    n->here = 0;
    n->round++;
    emu_events_changed();
  }
  emu_wait_event("named_barrier", id, round_over, &w);
}

/* ---- tensor maps ---- */
struct TensorMap {
  uint64_t mark;
  const unsigned char *p;
  uint64_t side[4];
  uint64_t bytes[3];
  uint16_t box[4];
  uint8_t stride[4];
  uint8_t rank;
  uint8_t swizzle;
};
static const uint64_t tensor_mark = 0x74656e736f726d61u;
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap), "a tensor map is 128 bytes");

/* What cuda.h demands of 16-bit numbers without interleaving; rank 4 at most. */
static CUresult encode_tiled(CUtensorMap *map, CUtensorMapDataType, cuuint32_t rank, void *p,
                             const cuuint64_t *side, const cuuint64_t *bytes, const cuuint32_t *box,
                             const cuuint32_t *stride, CUtensorMapInterleave,
                             CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                             CUtensorMapFloatOOBfill) {
  static const uint32_t span[4] = {512, 32, 64, 128};
  TensorMap t = {};
  t.mark = tensor_mark;
  t.p = (const unsigned char *)p;
  t.rank = (uint8_t)rank;
  t.swizzle = (uint8_t)swizzle;
  if ((uintptr_t)map % 64 || !p || (uintptr_t)p % 16 || rank < 1 || rank > 4 || box[0] * 2 % 16 ||
      box[0] * 2 > span[swizzle])
    return CUDA_ERROR_INVALID_VALUE;
  for (cuuint32_t i = 0; i < 4; i++) {
    t.side[i] = i < rank ? side[i] : 1;
    t.box[i] = (uint16_t)(i < rank ? box[i] : 1);
    t.stride[i] = (uint8_t)(i < rank && i ? stride[i] : 1);
    if (i && i < rank) t.bytes[i - 1] = bytes[i - 1];
    if (!t.side[i] || t.side[i] > 1ull << 32 || !t.box[i] || (i < rank && box[i] > 256) ||
        (i < rank && (!stride[i] || stride[i] > 8)) ||
        (i && i < rank && (bytes[i - 1] % 16 || bytes[i - 1] >= 1ull << 40)))
      return CUDA_ERROR_INVALID_VALUE;
  }
  memset(map, 0, sizeof *map);
  memcpy(map, &t, sizeof t);
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPoint(const char *name, void **p, unsigned long long,
                                    cudaDriverEntryPointQueryResult *found) {
  const bool known = !strcmp(name, "cuTensorMapEncodeTiled");
  *p = known ? (void *)encode_tiled : NULL;
  *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

/* ---- boxes under way ---- */
struct Box {
  TensorMap map;
  uint32_t to;
  uint32_t bar;
  int64_t at[4];
};
static std::vector<Box> boxes;

/* Elements of a box along a dimension. */
static int box_count(const TensorMap *t, int i) {
  return (t->box[i] + t->stride[i] - 1) / t->stride[i];
}

static uint32_t box_bytes(const TensorMap *t) {
  uint32_t n = 2;
  for (int i = 0; i < 4; i++) n *= (uint32_t)box_count(t, i);
  return n;
}

/* The innermost line that begins at these coordinates; outside: zeros. */
static void box_line(const TensorMap *t, const int64_t at[4], unsigned char *line) {
  const int64_t side = (int64_t)t->side[0], first = at[0] < 0 ? -at[0] : 0,
                end = at[0] + t->box[0] > side ? side - at[0] : t->box[0];
  const unsigned char *p = t->p;
  memset(line, 0, (size_t)t->box[0] * 2);
  for (int i = 1; i < 4; i++) {
    if (at[i] < 0 || at[i] >= (int64_t)t->side[i]) return;
    if (i < t->rank) p += at[i] * (int64_t)t->bytes[i - 1];
  }
  if (end <= first) return;
  p += (at[0] + first) * 2;
  if (!emu_owns(p, (size_t)(end - first) * 2)) {
    emu_fault("a box of a tensor reads outside device memory");
    return;
  }
  memcpy(line + first * 2, p, (size_t)(end - first) * 2);
}

static void box_land(const Box *b) {
  const TensorMap *t = &b->map;
  const uint32_t bytes = (uint32_t)t->box[0] * 2;
  unsigned char line[512];
  uint32_t to = b->to;
  for (int n = 0; n < box_count(t, 3); n++)
    for (int y = 0; y < box_count(t, 2); y++)
      for (int x = 0; x < box_count(t, 1); x++, to += bytes) {
        const int64_t at[4] = {b->at[0], b->at[1] + x * t->stride[1], b->at[2] + y * t->stride[2],
                               b->at[3] + n * t->stride[3]};
        box_line(t, at, line);
        for (uint32_t q = 0; q < bytes; q += 16)
          memcpy(shared_at(swizzled(to + q, (4 - t->swizzle) % 4), 16, "a box"), line + q, 16);
      }
  Barrier *bar = barrier_at(b->bar, "a box");
  barrier_count(bar, -(int64_t)box_bytes(t));
  barrier_settle(bar);
}

/* One of them, any, arrives. */
static bool boxes_move(void) {
  if (boxes.empty()) return false;
  const size_t k = emu_random() % boxes.size();
  const Box b = boxes[k];
  boxes.erase(boxes.begin() + (long)k);
  box_land(&b);
  return true;
}

void emu_tensor_load(uint32_t to, const CUtensorMap *map, uint32_t bar, int rank, const int *at) {
  Box b = {};
  memcpy(&b.map, map, sizeof b.map);
  if ((uintptr_t)map % 64 || b.map.mark != tensor_mark || b.map.rank != rank) {
    emu_fault("tensor_load: no tensor map of %d dimensions", rank);
    return;
  }
  if (to % 128) emu_fault("tensor_load to shared address %u: not aligned to 128 bytes", to);
  barrier_at(bar, "tensor_load");
  shared_at(to, box_bytes(&b.map), "tensor_load");
  b.to = to;
  b.bar = bar;
  for (int i = 0; i < rank; i++) b.at[i] = at[i];
  boxes.push_back(b);
  if (emu_random() % 4 == 0) boxes_move();
}

/* ---- products: of each warp apart, 16 rows ---- */
enum { WIDEST = 256, DEPTH = 16, WARP_ROWS = 16 };
struct Product {
  float *d;
  int n;
  int bf16;
  uint64_t a;
  uint64_t b;
};
struct Queued {
  Product p;
  int group;
};
struct Warp {
  std::vector<Queued> queue;
  float *d[32];                  /* of the products under way */
  float sum[WARP_ROWS * WIDEST]; /* theirs; d is NaN for so long */
  int committed;
  int issued;
  bool fenced;
};
static Warp warps[32];
static std::vector<Product> issued[8]; /* by a warpgroup: all its warps issue the same */
static float half_value[65536];

/* 16 numbers of row r of the operand that a descriptor names. */
static void operand_row(uint64_t desc, int r, bool bf16, float *to) {
  const uint32_t start = (uint32_t)(desc & 0x3fff) << 4,
                 lead = (uint32_t)(desc >> 16 & 0x3fff) << 4,
                 stride = (uint32_t)(desc >> 32 & 0x3fff) << 4, mode = (uint32_t)(desc >> 62);
  static const uint32_t pitch[4] = {16, 128, 64, 32};
  for (uint32_t q = 0; q < 2; q++) {
    const uint32_t at = start + (uint32_t)(r % 8) * pitch[mode] + (uint32_t)(r / 8) * stride +
                        q * (mode ? 16 : lead);
    unsigned short h[8];
    memcpy(h, shared_at(swizzled(at, (int)mode), 16, "wgmma"), 16);
    for (int i = 0; i < 8; i++) to[q * 8 + i] = bf16 ? emu_bf16_to_float(h[i]) : half_value[h[i]];
  }
}

static void product_run(Warp *w, int warp, const Product *p) {
  static float a[WARP_ROWS][DEPTH], b[DEPTH][WIDEST];
  float row[DEPTH];
  for (int r = 0; r < WARP_ROWS; r++) operand_row(p->a, warp % 4 * WARP_ROWS + r, p->bf16, a[r]);
  for (int c = 0; c < p->n; c++) {
    operand_row(p->b, c, p->bf16, row);
    for (int k = 0; k < DEPTH; k++) b[k][c] = row[k];
  }
  for (int r = 0; r < WARP_ROWS; r++)
    for (int k = 0; k < DEPTH; k++)
      for (int c = 0; c < p->n; c++) w->sum[r * WIDEST + c] += a[r][k] * b[k][c];
}

/* Fragment of lane l: element i of d is this place of the sums. */
static int sum_place(int l, int i) {
  return (l / 4 + i / 2 % 2 * 8) * WIDEST + i / 4 * 8 + l % 4 * 2 + i % 2;
}

/* The products of groups before `group` are done; the sums come back with the last one. */
static void products_finish(int warp, int group) {
  Warp *w = &warps[warp];
  size_t k = 0;
  for (; k < w->queue.size() && w->queue[k].group < group; k++)
    product_run(w, warp, &w->queue[k].p);
  if (!k) return;
  const int n = w->queue[0].p.n;
  w->queue.erase(w->queue.begin(), w->queue.begin() + (long)k);
  if (!w->queue.empty()) return;
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < n / 2; i++) w->d[l][i] = w->sum[sum_place(l, i)];
}

static void product_queue(int warp, const Product *p, const void *const in[32]) {
  Warp *w = &warps[warp];
  if (w->queue.empty())
    for (int l = 0; l < 32; l++) {
      memcpy(&w->d[l], in[l], sizeof w->d[l]);
      for (int i = 0; i < p->n / 2; i++) {
        w->sum[sum_place(l, i)] = w->d[l][i];
        w->d[l][i] = NAN;
      }
    }
  w->queue.push_back(Queued{*p, w->committed});
  w->issued++;
  if (emu_random() & 1) products_finish(warp, 1 << 30);
}

/* The same of all lanes, and of all warps of the warpgroup, one after another. */
/* Without a base offset the pattern of a swizzle begins at a multiple of eight of its lines. */
static bool pattern_aligned(uint64_t desc) {
  static const uint32_t line[4] = {16, 128, 64, 32};
  const uint32_t start = (uint32_t)(desc & 0x3fff) << 4, mode = (uint32_t)(desc >> 62);
  return !mode || start / line[mode] % 8 == 0;
}

static void product_check(int warp, const Product *p, const void *const in[32], uint32_t live) {
  std::vector<Product> *log = &issued[warp / 4];
  const size_t k = (size_t)warps[warp].issued;
  if (live != 0xffffffffu) emu_fault("wgmma: lanes %08x take part; all 32 must", live);
  for (int l = 1; l < 32; l++)
    if (memcmp((const char *)in[l] + sizeof p->d, (const char *)p + sizeof p->d,
               sizeof *p - sizeof p->d))
      emu_fault("wgmma: lanes of a warp name different operands");
  if (!warps[warp].fenced) emu_fault("wgmma: no wgmma_fence before it");
  if ((p->a | p->b) & 0x3ffec000c000c000u)
    emu_fault("wgmma: a descriptor has a base offset or bits that are reserved");
  if (!pattern_aligned(p->a) || !pattern_aligned(p->b))
    emu_fault("wgmma: the pattern of a swizzled operand begins at no multiple of 8 lines");
  if (k == log->size()) log->push_back(*p);
  const Product *q = &(*log)[k];
  if (q->a != p->a || q->b != p->b || q->n != p->n)
    emu_fault("wgmma: the warps of a warpgroup issue different products");
}

static void product_all(const void *const in[32], void *const *, uint32_t live) {
  const int warp = emu_current() / 32;
  Product p;
  memcpy(&p, in[0], sizeof p);
  product_check(warp, &p, in, live);
  product_queue(warp, &p, in);
}

void emu_wgmma(float *d, int n, bool bf16, uint64_t a, uint64_t b) {
  Product p;
  memset(&p, 0, sizeof p);
  p.d = d;
  p.n = n;
  p.bf16 = bf16;
  p.a = a;
  p.b = b;
  if (!half_value[0x3c00])
    for (int i = 0; i < 65536; i++) half_value[i] = emu_half_to_float((unsigned short)i);
  emu_warp_collective("wgmma", n, &p, sizeof p, NULL, 0, product_all);
}

static void fence_all(const void *const *, void *const *, uint32_t) {
  warps[emu_current() / 32].fenced = true;
}
void wgmma_fence(void) { emu_warp_collective("wgmma_fence", 0, NULL, 0, NULL, 0, fence_all); }

static void commit_all(const void *const *, void *const *, uint32_t) {
  warps[emu_current() / 32].committed++;
}
void wgmma_commit(void) { emu_warp_collective("wgmma_commit", 0, NULL, 0, NULL, 0, commit_all); }

static void wait_all(const void *const in[32], void *const *, uint32_t) {
  const int warp = emu_current() / 32;
  int pending;
  memcpy(&pending, in[0], sizeof pending);
  products_finish(warp, warps[warp].committed - pending);
}
void emu_wgmma_wait(int pending) {
  emu_warp_collective("wgmma_wait", pending, &pending, sizeof pending, NULL, 0, wait_all);
}

/* ---- of a block ---- */
void emu_async_start(void) {
  barriers.clear();
  boxes.clear();
  memset(named, 0, sizeof named);
  for (Warp &w : warps) {
    w.queue.clear();
    w.committed = w.issued = 0;
    w.fenced = false;
  }
  for (auto &log : issued) log.clear();
}

bool emu_async_step(void) { return boxes_move(); }

void emu_async_end(void) {
  if (!boxes.empty()) emu_fault("the block returned with %zu boxes under way", boxes.size());
  for (const Warp &w : warps)
    if (!w.queue.empty()) emu_fault("a warp returned with %zu products under way", w.queue.size());
}
