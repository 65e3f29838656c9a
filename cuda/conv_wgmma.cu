/* conv_wgmma.cu: the product of LAYOUT_K (conv2d, conv2d_dx) in 16 bits on Hopper's own
 * instructions, beside the one of conv_gemm.cu; same operands, same store, same results.
 *
 * A block of three warpgroups makes 128 x 256 results (128 x 128 where there are few). One thread
 * of the first has the copy engine fill a ring of stages, each 64 numbers of k: 128 rows of weights
 * (a box of two dimensions) and a box of pixels of the map. The other two multiply, 64 rows each,
 * straight from shared memory. A stage is full when its bytes have come and empty when the eight
 * warps have finished the products that read it; per stage one barrier for each.
 *   128 x 256: 64 x 256 sums per warpgroup, 128 per thread; 48 KB a stage, four stages. From L2
 *   come 48 KB per 128*256*64 multiply-adds: 43 per byte (conv_gemm: 32), and no thread computes an
 *   address. Registers go from the copying warpgroup (40) to the others (232). ptxas (nvcc 13.0,
 *   sm_90a): 168 registers, no spills; in the code HGMMA.64x256x16 and UTMALDG.
 * Columns of a tile are a box of pixels (x, y, images) of a class, whatever box takes fewest tiles;
 * what sticks out over the edge of the map is computed and not stored. A stride of the map is the
 * traversal stride of the tensor map. The channels of a tap need not be a multiple of 64: the box
 * of the map ends at the last one, zeros follow, and what the box of the weights holds there, the
 * next tap, is multiplied by them. Sums run in the order of k: the same bits for any tile. */
#include <math.h>
#include "cuda/conv_store.cuh"
#include "cuda/wgmma.cuh"

enum {
  WG_ROWS = 128,
  WG_DEPTH = 64, /* numbers of k in a stage */
  WG_LINE = 128, /* bytes of them */
  WG_CHUNKS = 8, /* of 16 bytes */
  WG_SLICE = 32, /* bytes of k in one product: 16 numbers */
  WG_THREADS = 384,
  WG_GROUP = 128,  /* threads of a warpgroup */
  WG_WARPS = 8,    /* that multiply */
  WG_ALIGN = 1024, /* what the swizzle repeats after */
  WG_BARRIER = 8,
  WG_FEWER = 40,
  WG_MORE = 232
};
static_assert(WG_FEWER + 2 * WG_MORE <= 3 * (65536 / WG_THREADS / 8 * 8), "more than there are");

/* Shared memory of tiles of BN columns. */
template <int BN> struct WgRing {
  enum {
    WEIGHTS = WG_ROWS * WG_LINE,
    STAGE = WEIGHTS + BN * WG_LINE,
    STAGES = BN == 256 ? 4 : 6,
    FULL = STAGES * STAGE,
    EMPTY = FULL + STAGES * WG_BARRIER,
    BYTES = EMPTY + STAGES * WG_BARRIER + WG_ALIGN,
    STRIDE = BN + STORE_PAD
  };
  static_assert(2 * STORE_ROWS * STRIDE * 4 <= FULL, "the sums are stored through the ring");
};

/* The tiles of one class: boxes of by_x.d x by_y.d pixels of `images` images. */
typedef struct WgBox {
  FastDiv by_x;
  FastDiv by_y;
  uint32_t images;
  uint32_t batch; /* images of the job */
  FastDiv tiles_x;
  FastDiv tiles_y;
  uint32_t tiles;
  uint32_t bytes; /* of a stage */
  int tap_steps;
  int steps;
} WgBox;

typedef struct WgJob {
  CUtensorMap weights[MAX_CLASSES];
  CUtensorMap map[MAX_CLASSES];
  WgBox box[MAX_CLASSES];
  ConvJob job;
} WgJob;
static_assert(sizeof(WgJob) <= 4096, "more than a kernel takes as its arguments");

#if PRLX_SM90A
/* ---- what a block makes ---- */
typedef struct WgTile {
  int cls;
  uint32_t m0;
  int x0;
  int y0;
  int n0;
  int begin; /* steps of its split */
  int end;
} WgTile;

/* Neighbours in time: all rows, then all classes of the same pixels (see conv_gemm.cu). False:
 * classes differ in size, and there is none here. */
static __device__ __forceinline__ bool tile_of(const WgJob &all, WgTile *t) {
  const ConvJob &job = all.job;
  const uint32_t mtiles = (uint32_t)((job.classes.rows + WG_ROWS - 1) / WG_ROWS),
                 rest = blockIdx.x / mtiles, at = rest / job.classes.count;
  t->cls = (int)(rest % job.classes.count);
  t->m0 = blockIdx.x % mtiles * WG_ROWS;
  const WgBox &box = all.box[t->cls];
  if (at >= box.tiles) return false;
  const uint32_t rows = div_by(at, box.tiles_x), n = div_by(rows, box.tiles_y);
  t->x0 = (int)((at - rows * box.tiles_x.d) * box.by_x.d);
  t->y0 = (int)((rows - n * box.tiles_y.d) * box.by_y.d);
  t->n0 = (int)(n * box.images);
  const int per = (box.steps + job.splits - 1) / job.splits;
  t->begin = (int)blockIdx.y * per;
  t->end = min(box.steps, t->begin + per);
  return true;
}

/* A place in the ring, and the parity of the round that it is in. */
template <int BN> struct WgPlace {
  uint32_t slot;
  uint32_t parity;
  __device__ __forceinline__ void next() {
    slot++;
    if (slot < WgRing<BN>::STAGES) return;
    slot = 0;
    parity ^= 1;
  }
};

/* ---- the thread that has boxes copied ---- */
template <int BN>
static __device__ __forceinline__ void copy_stages(const WgJob &all, const WgTile &t,
                                                   uint32_t ring) {
  typedef WgRing<BN> Ring;
  const ConvClass &cls = all.job.classes.of[t.cls];
  const WgBox &box = all.box[t.cls];
  const int stride = all.job.map.stride, tap_numbers = (int)all.job.map.pixel_chunks * 8;
  int tap = t.begin / box.tap_steps, chunk = t.begin - tap * box.tap_steps;
  WgPlace<BN> at = {0, 0};
  for (int step = t.begin; step < t.end; step++) {
    const uint32_t stage = ring + at.slot * Ring::STAGE,
                   full = ring + Ring::FULL + at.slot * WG_BARRIER,
                   empty = ring + Ring::EMPTY + at.slot * WG_BARRIER;
    const int ky = (int)div_by((uint32_t)tap, cls.by_kw), kx = tap - ky * cls.kw;
    /* the first round finds all stages empty */
    mbarrier_wait(empty, at.parity ^ 1);
    mbarrier_expect(full, box.bytes);
    tensor_load(stage, &all.weights[t.cls], full, tap * tap_numbers + chunk * WG_DEPTH, (int)t.m0);
    tensor_load(stage + Ring::WEIGHTS, &all.map[t.cls], full, chunk * WG_DEPTH, t.x0 * stride + kx,
                t.y0 * stride + ky, t.n0);
    at.next();
    if (++chunk == box.tap_steps) {
      chunk = 0;
      tap++;
    }
  }
}

/* ---- a warpgroup that multiplies ---- */
template <int TYPE, int N>
static __device__ __forceinline__ void product_add(float (&d)[N], uint64_t a, uint64_t b) {
  if (TYPE == CT_F16)
    wgmma_f16(d, a, b);
  else
    wgmma_bf16(d, a, b);
}

/* `rows`: bytes of the ring before this warpgroup's 64 rows of weights. */
template <int TYPE, int BN>
static __device__ __forceinline__ void multiply_stages(const WgTile &t, uint32_t ring,
                                                       uint32_t rows, float (&d)[BN / 2]) {
  typedef WgRing<BN> Ring;
  WgPlace<BN> at = {0, 0};
  uint32_t before = 0; /* barrier of the stage whose products may be under way */
  for (int step = t.begin; step < t.end; step++) {
    const uint32_t stage = ring + at.slot * Ring::STAGE;
    mbarrier_wait(ring + Ring::FULL + at.slot * WG_BARRIER, at.parity);
    wgmma_fence();
    _Pragma("unroll") for (uint32_t k = 0; k < WG_LINE; k += WG_SLICE)
        product_add<TYPE>(d, wgmma_descriptor(stage + rows + k, WG_ALIGN),
                          wgmma_descriptor(stage + Ring::WEIGHTS + k, WG_ALIGN));
    wgmma_commit();
    wgmma_wait<1>();
    if (before && threadIdx.x % 32 == 0) mbarrier_arrive(before);
    before = ring + Ring::EMPTY + at.slot * WG_BARRIER;
    at.next();
  }
  wgmma_wait<0>();
}

/* Column of a tile as that of its class; cls.cols where there is none. */
static __device__ __forceinline__ uint32_t column_of(const WgJob &all, const WgTile &t,
                                                     uint32_t place) {
  const ConvClass &cls = all.job.classes.of[t.cls];
  const WgBox &box = all.box[t.cls];
  const uint32_t line = div_by(place, box.by_x), x = place - line * box.by_x.d,
                 image = div_by(line, box.by_y), y = line - image * box.by_y.d;
  const uint32_t v = t.x0 + x, u = t.y0 + y, n = t.n0 + image;
  const bool inside =
      image < box.images && v < (uint32_t)cls.v && u < (uint32_t)cls.u && n < box.batch;
  return inside ? (n * cls.u + u) * cls.v + v : cls.cols;
}

/* This warpgroup's 64 rows, the first is m0, through its part of the ring. */
template <int BN>
static __device__ __forceinline__ void store_sums(const WgJob &all, const WgTile &t, float *rows,
                                                  int group, const float (&d)[BN / 2]) {
  enum { STRIDE = WgRing<BN>::STRIDE };
  const int thread = (int)threadIdx.x % WG_GROUP, warp = thread / 32, g = thread % 32 / 4,
            q = thread % 4;
  /* no product reads the ring any more */
  named_barrier(1, 2 * WG_GROUP);
  rows += group * STORE_ROWS * STRIDE;
  _Pragma("unroll") for (int j = 0; j < BN / 8; j++) _Pragma("unroll") for (int h = 0; h < 2; h++) {
    const int row = warp * 16 + h * 8 + g;
    *(float2 *)(rows + row * STRIDE + stage_column(row, j * 8 + q * 2)) =
        make_float2(d[4 * j + 2 * h], d[4 * j + 2 * h + 1]);
  }
  named_barrier(2 + group, WG_GROUP);
  const int64_t m0 = (int64_t)t.m0 + group * STORE_ROWS;
  const ConvClass &cls = all.job.classes.of[t.cls];
  const bool last = all.job.store.last && all.job.splits == 1;
  const int step = last ? WG_GROUP / STORE_CHUNKS : (int)WG_GROUP;
  for (int place = last ? thread / STORE_CHUNKS : thread; place < BN; place += step) {
    const uint32_t col = column_of(all, t, (uint32_t)place);
    const Column at = column_at(all.job, cls, col);
    if (last && all.job.store.chain.ndot) {
      ChainSums<MAP_CHUNK> sums = {};
      store_pixel<STRIDE>(all.job, rows, place, thread % STORE_CHUNKS, m0, at, &sums);
      store_dot(all.job, at, m0, sums.dot);
    } else if (last)
      store_pixel<STRIDE>(all.job, rows, place, thread % STORE_CHUNKS, m0, at);
    else
      store_column<STRIDE, STORE_V>(all.job, cls, (int)blockIdx.y, rows, place, 0, m0, at, col);
  }
}

/* All stages begin empty, all barriers in phase 0. */
template <int BN> static __device__ __forceinline__ void start_barriers(uint32_t ring) {
  typedef WgRing<BN> Ring;
  if (threadIdx.x == 0) {
    for (int k = 0; k < Ring::STAGES; k++) {
      mbarrier_init(ring + Ring::FULL + k * WG_BARRIER, 1);
      mbarrier_init(ring + Ring::EMPTY + k * WG_BARRIER, WG_WARPS);
    }
    mbarrier_init_fence();
  }
  __syncthreads();
}
#endif

template <int TYPE, int BN>
__global__ void __launch_bounds__(WG_THREADS, 1)
    conv_wgmma_kernel(const __grid_constant__ WgJob all) {
#if PRLX_SM90A
  char *smem = DYNAMIC_SHARED(char);
  const uint32_t base = shared_address(smem), ring = (base + WG_ALIGN - 1) & ~(WG_ALIGN - 1u);
  WgTile t;
  if (!tile_of(all, &t)) return;
  start_barriers<BN>(ring);
  if (threadIdx.x < WG_GROUP) {
    registers_fewer<WG_FEWER>();
    if (threadIdx.x == 0) copy_stages<BN>(all, t, ring);
  } else {
    registers_more<WG_MORE>();
    const int group = (int)threadIdx.x / WG_GROUP - 1;
    float d[BN / 2];
    _Pragma("unroll") for (int i = 0; i < BN / 2; i++) d[i] = 0;
    multiply_stages<TYPE, BN>(t, ring, (uint32_t)group * STORE_ROWS * WG_LINE, d);
    store_sums<BN>(all, t, (float *)(smem + (ring - base)), group, d);
  }
#endif
}

/* ---- the host: boxes and tensor maps ---- */
static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The box of at most `columns` pixels that takes fewest tiles; of those the first, which is the
 * widest. A side of a box, strides included, is at most 256. */
static void choose_box(const ConvClass &cls, int stride, int columns, WgBox *box) {
  int64_t least = INT64_MAX, last_x = 0;
  box->batch = cls.cols / (uint32_t)(cls.u * cls.v);
  for (int64_t nx = 1; nx <= cls.v; nx++) {
    const int64_t bx = ceil_div(cls.v, nx);
    if (bx == last_x || bx > columns || bx * stride > 256) continue;
    last_x = bx;
    for (int64_t ny = 1, last_y = 0; ny <= cls.u; ny++) {
      const int64_t by = ceil_div(cls.u, ny);
      if (by == last_y || bx * by > columns || by * stride > 256) continue;
      last_y = by;
      const int64_t nn = ceil_div(box->batch, columns / (bx * by)), tiles = nx * ny * nn;
      if (tiles >= least) continue;
      least = tiles;
      box->by_x = fast_div(bx);
      box->by_y = fast_div(by);
      box->images = (uint32_t)ceil_div(box->batch, nn);
      box->tiles_x = fast_div(nx);
      box->tiles_y = fast_div(ny);
      box->tiles = (uint32_t)tiles;
    }
  }
}

static void choose_boxes(const ConvJob *job, int columns, WgJob *all) {
  for (int k = 0; k < job->classes.count; k++) {
    const ConvClass &cls = job->classes.of[k];
    WgBox *box = &all->box[k];
    choose_box(cls, job->map.stride, columns, box);
    box->tap_steps = (int)ceil_div(job->map.pixel_chunks, WG_CHUNKS);
    box->steps = cls.kh * cls.kw * box->tap_steps;
    box->bytes = (WG_ROWS + box->by_x.d * box->by_y.d * box->images) * WG_LINE;
  }
}

typedef CUresult (*TensorEncoder)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                  const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                  const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                  CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's function; NULL: it has none. Without linking with the driver. */
static TensorEncoder tensor_encoder(void) {
  static TensorEncoder encoder;
  void *p = NULL;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  if (encoder) return encoder;
#if CUDART_VERSION >= 12050
  cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &p, 12000, cudaEnableDefault, &found);
#else
  cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &p, cudaEnableDefault, &found);
#endif
  if (found != cudaDriverEntryPointSuccess) p = NULL;
  return encoder = (TensorEncoder)p;
}

/* A tensor of 16-bit numbers: sides and box of `rank` dimensions, innermost first, bytes between
 * neighbours along all but the innermost. */
typedef struct WgTensor {
  const void *p;
  cuuint32_t rank;
  cuuint64_t side[4];
  cuuint64_t bytes[3];
  cuuint32_t box[4];
  cuuint32_t stride[4];
} WgTensor;

static bool tensor_encode(ConvType t, const WgTensor *w, CUtensorMap *map) {
  const CUtensorMapDataType type =
      t == CT_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const TensorEncoder encoder = tensor_encoder();
  return encoder && encoder(map, type, w->rank, (void *)w->p, w->side, w->bytes, w->box, w->stride,
                            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                            CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

static bool tensor_weights(ConvType t, const ConvJob *job, int k, WgJob *all) {
  const ConvClass &cls = job->classes.of[k];
  WgTensor w = {};
  w.p = (const char *)job->weights + (size_t)cls.first_chunk * CHUNK;
  w.rank = 2;
  w.side[0] = cls.row_chunks * 8;
  w.side[1] = (cuuint64_t)job->classes.rows;
  w.bytes[0] = (cuuint64_t)cls.row_chunks * CHUNK;
  w.box[0] = WG_DEPTH;
  w.box[1] = WG_ROWS;
  w.stride[0] = w.stride[1] = 1;
  return tensor_encode(t, &w, &all->weights[k]);
}

/* Of the frame, what the taps of the class reach: it begins at tap (0,0) of pixel (0,0). No further
 * than where the next row, or image, begins: zeros that lie there, too, are those of the engine. */
static bool tensor_map(ConvType t, const ConvJob *job, int k, WgJob *all) {
  const ConvClass &cls = job->classes.of[k];
  const PackedMap &m = job->map;
  const WgBox &box = all->box[k];
  WgTensor w = {};
  w.p = (const char *)m.p + (size_t)cls.map_chunk * CHUNK;
  w.rank = 4;
  w.side[0] = m.pixel_chunks * 8;
  w.side[1] = PRLX_MIN((uint32_t)((cls.v - 1) * m.stride + cls.kw), m.row_chunks / m.pixel_chunks);
  w.side[2] = PRLX_MIN((uint32_t)((cls.u - 1) * m.stride + cls.kh), m.image_chunks / m.row_chunks);
  w.side[3] = box.batch;
  w.bytes[0] = (cuuint64_t)m.pixel_chunks * CHUNK;
  w.bytes[1] = (cuuint64_t)m.row_chunks * CHUNK;
  w.bytes[2] = (cuuint64_t)m.image_chunks * CHUNK;
  w.box[0] = WG_DEPTH;
  w.box[1] = box.by_x.d * (cuuint32_t)m.stride;
  w.box[2] = box.by_y.d * (cuuint32_t)m.stride;
  w.box[3] = box.images;
  w.stride[0] = w.stride[3] = 1;
  w.stride[1] = w.stride[2] = (cuuint32_t)m.stride;
  return tensor_encode(t, &w, &all->map[k]);
}

/* A class that no tap meets has no steps, and no tensor maps. */
static bool tensor_all(ConvType t, const ConvJob *job, WgJob *all) {
  for (int k = 0; k < job->classes.count; k++) {
    if (!all->box[k].steps) continue;
    if (!tensor_weights(t, job, k, all) || !tensor_map(t, job, k, all)) return false;
  }
  return true;
}

/* ---- launch ---- */
static uint32_t most_tiles(const ConvJob *job, const WgJob *all) {
  uint32_t most = 0;
  for (int k = 0; k < job->classes.count; k++) most = PRLX_MAX(most, all->box[k].tiles);
  return most * (uint32_t)job->classes.count * (uint32_t)ceil_div(job->classes.rows, WG_ROWS);
}

template <int TYPE, int BN> static void wgmma_launch(const CudaCtx *c, const WgJob *all) {
  auto kernel = conv_wgmma_kernel<TYPE, BN>;
  const int bytes = WgRing<BN>::BYTES;
  dim3 grid(most_tiles(&all->job, all), (unsigned)all->job.splits);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  LAUNCH(kernel, grid, dim3(WG_THREADS), bytes, c->stream, *all);
}

/* Fewer columns where the wider tiles leave multiprocessors idle: rounds of the card, each worth
 * its columns and what a tile costs besides. */
static int choose_columns(const CudaCtx *c, const ConvJob *job, WgJob *all) {
  double cost[2];
  for (int k = 0; k < 2; k++) {
    choose_boxes(job, 128 << k, all);
    cost[k] = ceil((double)most_tiles(job, all) * job->splits / c->sm_count) * (k ? 1.0 : 0.6);
  }
  return cost[0] < cost[1] ? 128 : 256;
}

/* Whether it is worth it. A question of shapes alone, not of the batch: the same step must give the
 * same bits at any (plan_n). Few channels leave a stage empty, few pixels a tile. */
static bool large_enough(const ConvJob *job) {
  const ConvClass &cls = job->classes.of[0];
  return job->classes.rows >= 64 && job->map.pixel_chunks >= WG_CHUNKS && cls.u * cls.v >= 16;
}

static long wgmma_launched;
extern "C" long cuda_wgmma_launches(void) { return wgmma_launched; }

bool conv_wgmma(const CudaCtx *c, ConvType t, const ConvJob *job) {
  WgJob all = {};
  /* sums over pixels: of tiles of neighbouring columns, not of boxes */
  if (!c->wgmma || c->arch != 90 || job->layout != LAYOUT_K || job->store.chain.nsum ||
      (t != CT_F16 && t != CT_BF16) || job->map.stride > 8 ||
      (c->wgmma == WGMMA_LARGE && !large_enough(job)))
    return false;
  all.job = *job;
  int tile, splits;
  conv_forced(c, &tile, &splits);
  const int columns = tile == 64 ? 128 : tile == 128 ? 256 : choose_columns(c, job, &all);
  choose_boxes(job, columns, &all);
  if (!tensor_all(t, job, &all)) return false;
  wgmma_launched += cuda_counted < 0;
  if (t == CT_F16 && columns == 256) wgmma_launch<CT_F16, 256>(c, &all);
  if (t == CT_F16 && columns == 128) wgmma_launch<CT_F16, 128>(c, &all);
  if (t == CT_BF16 && columns == 256) wgmma_launch<CT_BF16, 256>(c, &all);
  if (t == CT_BF16 && columns == 128) wgmma_launch<CT_BF16, 128>(c, &all);
  return true;
}
