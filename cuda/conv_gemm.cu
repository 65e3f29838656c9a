/* conv_gemm.cu: the matrix product of all convolutions (operands packed by conv_pack.cu; see
 * conv.cuh).
 *
 * Blocks of 4 warps (2 x 2) make a tile of 128x128 or 64x64 results; a step of the inner loop takes
 * 64 bytes of k (32 numbers of 16 bits, 16 floats) from four stages of shared memory that cp.async
 * fills three steps ahead.
 *   tile 128: a warp makes 64x64: per 16-byte-deep slice it reads 2 KB of fragments for 64*64*8
 *   multiply-adds of 16 bits: 16 per byte, so shared memory
 *     (128 bytes per clock) allows 2048 per clock and SM, twice the rate of mma.sync on sm_80 and
 *     above its rate on sm_90. 128 sums per thread, two blocks per SM (64 KB and at most 255
 *     registers x 128 threads each), so that one multiplies while the other waits or stores. From
 *     L2 come 2*128*64 bytes per 128*128*32 multiply-adds: 32 per byte. ptxas (nvcc 13.0, sm_75,
 *     sm_80, sm_90): no spills, 222 to 254 registers on sm_90; a step of LAYOUT_K is 64 HMMA in 162
 *     instructions without a branch.
 *   tile 64: a warp makes 32x32 (8 per byte of shared memory, 16 per byte of L2): for results too
 *   small to fill the card with the other.
 * Rows of 64 bytes are stored with chunk q of row r at q ^ (r/2 % 4), rows along m and col with
 * chunk q of row k at q ^ (k % 8) (floats: q ^ 2(k % 4)): the eight rows of an ldmatrix, the four
 * rows of a float fragment and the 16-byte copies then each touch all 32 banks once. tf32 operands
 * are rounded when packed, 16-bit ones converted; sums are float. Strict arithmetic runs on the
 * same tiles with FMA: 8x16 results per thread, float4 reads. Every result is summed in the order
 * of k, in one thread: the same bits for any tile; splits are added in order by conv_reduce. */
#include "cuda/conv_store.cuh"
#include "cuda/mma.cuh"

enum { STAGES = 4, THREADS = 128, STEP_BYTES = 64 };
template <int TYPE> struct Num {
  enum {
    SIZE = TYPE == CT_F16 || TYPE == CT_BF16 ? 2 : 4,
    LEN = CHUNK / SIZE,
    STEP = STEP_BYTES / SIZE
  };
};

/* Byte of a chunk in a tile. */
static __device__ __forceinline__ uint32_t at_k(uint32_t row, uint32_t chunk) {
  return row * STEP_BYTES + ((chunk ^ (row >> 1 & 3)) << 4);
}

template <int TYPE, int TILE>
static __device__ __forceinline__ uint32_t at_mn(uint32_t k, uint32_t chunk) {
  return k * (TILE * Num<TYPE>::SIZE) +
         ((chunk ^ (Num<TYPE>::SIZE == 2 ? k & 7 : (k & 3) << 1)) << 4);
}

/* ---- from memory to shared memory: one struct per way an operand lies. `first`: its first row (or
 * column) of the tile. ---- */

/* Along k, packed rows of weights. Thread: one chunk of k, TILE/32 rows. */
template <int TYPE, int TILE> struct WeightRows {
  enum { N = TILE / 32 };
  uint32_t off[N];
  uint32_t smem;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    uint32_t chunk = threadIdx.x & 3, row = threadIdx.x >> 2;
    smem = at_k(row, chunk);
    _Pragma("unroll") for (int i = 0; i < N; i++) {
      uint32_t m = first + row + 32 * i;
      /* rows beyond the end: any data, not stored */
      m = m < job.classes.rows ? m : (uint32_t)job.classes.rows - 1;
      off[i] = cls.first_chunk + m * cls.row_chunks + (uint32_t)step * 4 + chunk;
    }
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    _Pragma("unroll") for (int i = 0; i < N; i++) {
      cp_async16(s + smem + i * 32 * STEP_BYTES,
                 (const char *)job.weights + (uint64_t)off[i] * CHUNK, live);
      off[i] += 4;
    }
  }
};

/* Along k, packed map: rows are pixels, k walks the taps (t) and the chunks of each (kc). No
 * branches: the copies of a step are to lie between its products. */
template <int TYPE, int TILE> struct TapRows {
  enum { N = TILE / 32 };
  uint32_t off[N];
  uint32_t kc;
  uint32_t t;
  uint32_t smem;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    uint32_t chunk = threadIdx.x & 3, row = threadIdx.x >> 2, q = (uint32_t)step * 4 + chunk;
    smem = at_k(row, chunk);
    _Pragma("unroll") for (int i = 0; i < N; i++) {
      uint32_t col = first + row + 32 * i;
      col = col < cls.cols ? col : cls.cols - 1;
      uint32_t n = div_by(col, cls.by_uv), rest = col - n * cls.by_uv.d, u = div_by(rest, cls.by_v),
               v = rest - u * cls.by_v.d;
      off[i] = cls.map_chunk + n * job.map.image_chunks + u * job.map.stride * job.map.row_chunks +
               v * job.map.stride * job.map.pixel_chunks;
    }
    t = q / job.map.pixel_chunks;
    kc = q - t * job.map.pixel_chunks;
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    bool valid = live && t < (uint32_t)(cls.kh * cls.kw);
    uint32_t ky = div_by(t, cls.by_kw),
             at = ky * job.map.row_chunks + (t - ky * cls.kw) * job.map.pixel_chunks + kc;
    at = valid ? at : 0;
    _Pragma("unroll") for (int i = 0; i < N; i++)
        cp_async16(s + smem + i * 32 * STEP_BYTES,
                   (const char *)job.map.p + (uint64_t)(off[i] + at) * CHUNK, valid);
    uint32_t next = kc + job.map.step_chunks;
    bool wrap = next >= job.map.pixel_chunks;
    kc = wrap ? next - job.map.pixel_chunks : next;
    t += job.map.step_taps + wrap;
  }
};

/* Along k = pixels, gradient as it lies: row m is plane m of every image. */
template <int TYPE, int TILE> struct PlaneRows {
  enum { N = TILE / 32 };
  uint32_t off[N];
  uint32_t chunk;
  uint32_t smem;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    uint32_t row = threadIdx.x >> 2;
    chunk = threadIdx.x & 3;
    smem = at_k(row, chunk);
    _Pragma("unroll") for (int i = 0; i < N; i++) {
      uint32_t m = first + row + 32 * i;
      off[i] = (m < job.classes.rows ? m : (uint32_t)job.classes.rows - 1) * job.planes.by_plane.d;
    }
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    uint32_t q = (uint32_t)step * 4 + chunk, n = div_by(q, job.planes.by_plane),
             at = n * job.planes.image_chunks + (q - n * job.planes.by_plane.d);
    bool valid = live && q * Num<TYPE>::LEN < job.kernels.pixels;
    _Pragma("unroll") for (int i = 0; i < N; i++)
        cp_async16(s + smem + i * 32 * STEP_BYTES,
                   (const char *)job.planes.p + (uint64_t)(valid ? off[i] + at : 0) * CHUNK, valid);
  }
};

/* Along m or col: rows of the tile are k. Thread: one chunk of m or col, TILE/32 rows of k. */
template <int TYPE, int TILE> struct Across {
  enum { N = TILE / 32, CHUNKS = TILE / Num<TYPE>::LEN, ROWS = THREADS / CHUNKS };
};

/* Packed gradient: k pixels of m channels. */
template <int TYPE, int TILE> struct PixelColumns : Across<TYPE, TILE> {
  typedef Across<TYPE, TILE> X;
  uint32_t m;
  uint32_t row;
  uint32_t chunk;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    chunk = threadIdx.x % X::CHUNKS;
    row = threadIdx.x / X::CHUNKS;
    m = first / Num<TYPE>::LEN + chunk;
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    _Pragma("unroll") for (int i = 0; i < X::N; i++) {
      uint32_t r = row + X::ROWS * i, k = (uint32_t)step * Num<TYPE>::STEP + r;
      bool ok = live && k < job.kernels.pixels && m < job.grad.pixel_chunks;
      uint32_t n = div_by(k, job.kernels.by_oh_ow), rest = k - n * job.kernels.by_oh_ow.d,
               y = div_by(rest, job.kernels.by_ow), x = rest - y * job.kernels.by_ow.d,
               off = n * job.grad.image_chunks + y * job.grad.row_chunks +
                     x * job.grad.pixel_chunks + m;
      cp_async16(s + at_mn<TYPE, TILE>(r, chunk),
                 (const char *)job.grad.p + (uint64_t)(ok ? off : 0) * CHUNK, ok);
    }
  }
};

/* Packed map: k pixels of (tap, channel) columns. */
template <int TYPE, int TILE> struct TapColumns : Across<TYPE, TILE> {
  typedef Across<TYPE, TILE> X;
  uint32_t tap;
  uint32_t row;
  uint32_t chunk;
  bool cok;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    chunk = threadIdx.x % X::CHUNKS;
    row = threadIdx.x / X::CHUNKS;
    uint32_t q = first / Num<TYPE>::LEN + chunk, t = q / job.map.pixel_chunks,
             ky = t / job.kernels.kw;
    cok = t < (uint32_t)job.kernels.taps;
    tap = ky * job.map.row_chunks + (t - ky * job.kernels.kw) * job.map.pixel_chunks +
          (q - t * job.map.pixel_chunks);
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    _Pragma("unroll") for (int i = 0; i < X::N; i++) {
      uint32_t r = row + X::ROWS * i, k = (uint32_t)step * Num<TYPE>::STEP + r;
      bool ok = live && k < job.kernels.pixels && cok;
      uint32_t n = div_by(k, job.kernels.by_oh_ow), rest = k - n * job.kernels.by_oh_ow.d,
               y = div_by(rest, job.kernels.by_ow), x = rest - y * job.kernels.by_ow.d;
      uint32_t off = n * job.map.image_chunks + y * job.map.stride * job.map.row_chunks +
                     x * job.map.stride * job.map.pixel_chunks + tap;
      cp_async16(s + at_mn<TYPE, TILE>(r, chunk),
                 (const char *)job.map.p + (uint64_t)(ok ? off : 0) * CHUNK, ok);
    }
  }
};

/* Map as it lies, 1x1: k channels of col pixels. */
template <int TYPE, int TILE> struct PlaneColumns : Across<TYPE, TILE> {
  typedef Across<TYPE, TILE> X;
  uint32_t off;
  uint32_t row;
  uint32_t chunk;
  bool cok;
  __device__ __forceinline__ void init(const ConvJob &job, const ConvClass &cls, uint32_t first,
                                       int step) {
    chunk = threadIdx.x % X::CHUNKS;
    row = threadIdx.x / X::CHUNKS;
    uint32_t q = first / Num<TYPE>::LEN + chunk, n = div_by(q, job.planes.by_plane);
    cok = q * Num<TYPE>::LEN < cls.cols;
    off = n * job.planes.image_chunks + (q - n * job.planes.by_plane.d);
  }
  __device__ __forceinline__ void load(const ConvJob &job, const ConvClass &cls, int step,
                                       bool live, char *s) {
    _Pragma("unroll") for (int i = 0; i < X::N; i++) {
      uint32_t r = row + X::ROWS * i, k = (uint32_t)step * Num<TYPE>::STEP + r;
      bool ok = live && cok && k < job.planes.channels;
      cp_async16(s + at_mn<TYPE, TILE>(r, chunk),
                 (const char *)job.planes.p +
                     (uint64_t)(ok ? off + k * job.planes.by_plane.d : 0) * CHUNK,
                 ok);
    }
  }
};

template <int TYPE, int LAYOUT, int TILE> struct Operands {
  typedef WeightRows<TYPE, TILE> A;
  typedef TapRows<TYPE, TILE> B;
};
template <int TYPE, int TILE> struct Operands<TYPE, LAYOUT_MN, TILE> {
  typedef PixelColumns<TYPE, TILE> A;
  typedef TapColumns<TYPE, TILE> B;
};
template <int TYPE, int TILE> struct Operands<TYPE, LAYOUT_1X1, TILE> {
  typedef WeightRows<TYPE, TILE> A;
  typedef PlaneColumns<TYPE, TILE> B;
};
template <int TYPE, int TILE> struct Operands<TYPE, LAYOUT_DW, TILE> {
  typedef PlaneRows<TYPE, TILE> A;
  typedef TapColumns<TYPE, TILE> B;
};

/* ---- one step of products ---- */
template <int TYPE>
static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  if (TYPE == CT_F16)
    mma_f16(d, a, b);
  else if (TYPE == CT_BF16)
    mma_bf16(d, a, b);
  else
    mma_tf32(d, a, b);
}

/* Fragments of slice s (32 bytes of k) of the warp's rows (of A) and columns (of B). */
template <int TYPE, int LAYOUT, int TILE, int MT, int NT>
static __device__ __forceinline__ void fragments(const char *sa, const char *sb, int s, int wm,
                                                 int wn, uint32_t a[MT][4], uint32_t b[NT][2]) {
  const uint32_t lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  if (LAYOUT != LAYOUT_MN) {
    _Pragma("unroll") for (int i = 0; i < MT; i++)
        ldmatrix_x4(a[i], sa + at_k(wm + i * 16 + (lane & 15), s * 2 + (lane >> 4)));
  } else if (Num<TYPE>::SIZE == 2) {
    _Pragma("unroll") for (int i = 0; i < MT; i++)
        ldmatrix_x4_trans(a[i], sa + at_mn<TYPE, TILE>(s * 16 + (lane & 7) + (lane >> 4) * 8,
                                                       wm / 8 + i * 2 + (lane >> 3 & 1)));
  } else {
    /* k % 4 = t: element e of row k lies at e ^ 8t */
    const uint32_t *p = (const uint32_t *)sa + (s * 8 + t) * TILE;
    _Pragma("unroll") for (int i = 0; i < MT; i++) {
      uint32_t m = wm + i * 16 + g;
      a[i][0] = p[m ^ t * 8];
      a[i][1] = p[(m + 8) ^ t * 8];
      a[i][2] = p[4 * TILE + (m ^ t * 8)];
      a[i][3] = p[4 * TILE + ((m + 8) ^ t * 8)];
    }
  }
  if (LAYOUT == LAYOUT_K) {
    _Pragma("unroll") for (int i = 0; i < NT; i += 2) ldmatrix_x4(
        &b[i][0], sb + at_k(wn + i * 8 + (lane & 7) + (lane >> 4) * 8, s * 2 + (lane >> 3 & 1)));
  } else if (Num<TYPE>::SIZE == 2) {
    _Pragma("unroll") for (int i = 0; i < NT; i += 2) ldmatrix_x4_trans(
        &b[i][0], sb + at_mn<TYPE, TILE>(s * 16 + (lane & 15), wn / 8 + i + (lane >> 4)));
  } else {
    const uint32_t *p = (const uint32_t *)sb + (s * 8 + t) * TILE;
    _Pragma("unroll") for (int i = 0; i < NT; i++) {
      uint32_t n = wn + i * 8 + g;
      b[i][0] = p[n ^ t * 8];
      b[i][1] = p[4 * TILE + (n ^ t * 8)];
    }
  }
}

template <int TYPE, int LAYOUT, int TILE> struct Product {
  enum { W = TILE / 2, MT = W / 16, NT = W / 8, N = W * W / 32 };
  float d[MT][NT][4];
  __device__ __forceinline__ void zero() {
    _Pragma("unroll") for (int i = 0; i < MT; i++) _Pragma("unroll") for (int k = 0; k < NT; k++)
        _Pragma("unroll") for (int e = 0; e < 4; e++) d[i][k][e] = 0;
  }
  /* `fetch`, the copies of a later step, comes after the first reads of shared memory: the compiler
   * lays its arithmetic between the products. */
  template <class F>
  __device__ __forceinline__ void step(const char *sa, const char *sb, int wm, int wn, F fetch) {
    _Pragma("unroll") for (int s = 0; s < 2; s++) {
      uint32_t a[MT][4], b[NT][2];
      fragments<TYPE, LAYOUT, TILE, MT, NT>(sa, sb, s, wm, wn, a, b);
      if (s == 0) fetch();
      _Pragma("unroll") for (int i = 0; i < MT; i++) _Pragma("unroll") for (int k = 0; k < NT; k++)
          mma<TYPE>(d[i][k], a[i], b[k]);
    }
  }
  /* f(row, column, two neighbouring results) */
  template <class F> __device__ __forceinline__ void each(F f) const {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    _Pragma("unroll") for (int i = 0; i < MT; i++) _Pragma("unroll") for (int k = 0; k < NT; k++) {
      f(i * 16 + g, k * 8 + 2 * t, d[i][k][0], d[i][k][1]);
      f(i * 16 + g + 8, k * 8 + 2 * t, d[i][k][2], d[i][k][3]);
    }
  }
};

/* Strict float: thread (g, t) of a warp makes W/8 x W/4 results. LAYOUT_K: rows g + 8i, columns t +
 * 4k; LAYOUT_MN: runs of four rows and columns. */
template <int LAYOUT, int TILE> struct Product<CT_STRICT, LAYOUT, TILE> {
  enum { W = TILE / 2, R = W / 8, C = W / 4 };
  float d[R][C];
  __device__ __forceinline__ void zero() {
    _Pragma("unroll") for (int i = 0; i < R; i++) _Pragma("unroll") for (int k = 0; k < C; k++)
        d[i][k] = 0;
  }
  static __device__ __forceinline__ int row(int i) {
    int g = threadIdx.x >> 2 & 7;
    return LAYOUT == LAYOUT_K ? g + 8 * i : g * 4 + (i & 3) + (i >> 2) * 32;
  }
  static __device__ __forceinline__ int col(int k) {
    int t = threadIdx.x & 3;
    return LAYOUT == LAYOUT_K ? t + 4 * k : t * 4 + (k & 3) + (k >> 2) * 16;
  }
  template <class F>
  __device__ __forceinline__ void step(const char *sa, const char *sb, int wm, int wn, F fetch) {
    fetch();
    if (LAYOUT == LAYOUT_K) {
      _Pragma("unroll 1") for (int q = 0; q < 4; q++) {
        float4 a[R];
        _Pragma("unroll") for (int i = 0; i < R; i++) a[i] =
            *(const float4 *)(sa + at_k(wm + row(i), q));
        _Pragma("unroll") for (int k = 0; k < C; k++) {
          float4 b = *(const float4 *)(sb + at_k(wn + col(k), q));
          _Pragma("unroll") for (int i = 0; i < R; i++) d[i][k] =
              fmaf(a[i].w, b.w, fmaf(a[i].z, b.z, fmaf(a[i].y, b.y, fmaf(a[i].x, b.x, d[i][k]))));
        }
      }
    } else {
      _Pragma("unroll 2") for (int q = 0; q < STEP_BYTES / 4; q++) {
        float a[R], b[C];
        _Pragma("unroll") for (int i = 0; i < R; i += 4) * (float4 *)(a + i) =
            *(const float4 *)(sa + at_mn<CT_STRICT, TILE>(q, (wm + row(i)) / 4));
        _Pragma("unroll") for (int k = 0; k < C; k += 4) * (float4 *)(b + k) =
            *(const float4 *)(sb + at_mn<CT_STRICT, TILE>(q, (wn + col(k)) / 4));
        _Pragma("unroll") for (int i = 0; i < R; i++) _Pragma("unroll") for (int k = 0; k < C; k++)
            d[i][k] = fmaf(a[i], b[k], d[i][k]);
      }
    }
  }
  template <class F> __device__ __forceinline__ void each(F f) const {
    _Pragma("unroll") for (int i = 0; i < R; i++) _Pragma("unroll") for (int k = 0; k < C; k += 2)
        f(row(i), col(k), col(k + 1), d[i][k], d[i][k + 1]);
  }
};

/* Two results of a row into the staging rows; tensor-core results are neighbours and go as one. */
struct ToShared {
  float *p;
  int first; /* row of the tile's first */
  int stride;
  __device__ __forceinline__ void operator()(int row, int col, float x, float y) const {
    *(float2 *)(p + row * stride + stage_column(first + row, col)) = make_float2(x, y);
  }
  __device__ __forceinline__ void operator()(int row, int c0, int c1, float x, float y) const {
    p[row * stride + stage_column(first + row, c0)] = x;
    p[row * stride + stage_column(first + row, c1)] = y;
  }
};

/* ---- the store: 64 rows at a time through shared memory, then a thread per column runs the chain
 * down the rows ---- */
template <int TILE>
static __device__ __forceinline__ void store_rows(const ConvJob &job, const ConvClass &cls,
                                                  int split, const float *s, int64_t m0,
                                                  const Column &at, uint32_t col) {
  enum { STEP = THREADS / TILE * STORE_V, STRIDE = TILE + STORE_PAD };
  store_column<STRIDE, STEP>(job, cls, split, s, threadIdx.x % TILE, threadIdx.x / TILE * STORE_V,
                             m0, at, col);
}

/* The same where channels lie last. */
template <int TILE>
static __device__ __forceinline__ void store_pixels(const ConvJob &job, const ConvClass &cls,
                                                    const float *s, int64_t m0, uint32_t col0) {
  for (int x = threadIdx.x / STORE_CHUNKS; x < TILE; x += THREADS / STORE_CHUNKS)
    store_pixel<TILE + STORE_PAD>(job, s, x, threadIdx.x % STORE_CHUNKS, m0,
                                  column_at(job, cls, col0 + x));
}

/* And where some of it is summed over pixels, of which there is one class then, or channels. */
template <int TILE>
static __device__ __forceinline__ void sum_pixels(const ConvJob &job, const ConvClass &cls,
                                                  float *s, int64_t m0, uint32_t col0) {
  ChainSums<MAP_CHUNK> sums = {};
  for (int x = threadIdx.x / STORE_CHUNKS; x < TILE; x += THREADS / STORE_CHUNKS) {
    const Column at = column_at(job, cls, col0 + x);
    sums.dot = 0;
    store_pixel<TILE + STORE_PAD>(job, s, x, threadIdx.x % STORE_CHUNKS, m0, at, &sums);
    if (job.store.chain.ndot) store_dot(job, at, m0, sums.dot);
  }
  if (job.store.chain.nsum)
    store_sums<THREADS>(job, sums, s + STORE_ROWS * (TILE + STORE_PAD), m0, col0 / TILE,
                        (cls.cols + TILE - 1) / TILE);
}

template <int TYPE, int LAYOUT, int TILE>
__global__ void __launch_bounds__(THREADS, TILE == 128 ? 2 : 4)
    conv_gemm_kernel(const __grid_constant__ ConvJob job) {
  enum { SIDE = TILE * STEP_BYTES, STAGE = 2 * SIDE, W = TILE / 2 };
  char *smem = DYNAMIC_SHARED(char);
  const int warp = threadIdx.x >> 5, wm = (warp >> 1) * W, wn = (warp & 1) * W,
            split = (int)blockIdx.y;
  /* Neighbours in time: all rows, then all classes of the same pixels. They share the map in L2,
   * and the classes' interleaved stores meet there. */
  const uint32_t mtiles = (uint32_t)((job.classes.rows + TILE - 1) / TILE),
                 rest = blockIdx.x / mtiles, m0 = blockIdx.x % mtiles * TILE,
                 col0 = rest / job.classes.count * TILE;
  const ConvClass &cls = job.classes.of[rest % job.classes.count];
  /* classes differ in size; the whole block leaves */
  if (col0 >= cls.cols) return;
  const int per = (cls.steps + job.splits - 1) / job.splits, begin = split * per,
            end = min(cls.steps, begin + per);

  typename Operands<TYPE, LAYOUT, TILE>::A a;
  typename Operands<TYPE, LAYOUT, TILE>::B b;
  Product<TYPE, LAYOUT, TILE> out;
  a.init(job, cls, m0, begin);
  b.init(job, cls, col0, begin);
  out.zero();
  for (int s = 0; s < STAGES - 1; s++) {
    a.load(job, cls, begin + s, begin + s < end, smem + s * STAGE);
    b.load(job, cls, begin + s, begin + s < end, smem + s * STAGE + SIDE);
    cp_async_commit();
  }
  int slot = 0, fill = STAGES - 1;
  for (int step = begin; step < end; step++) {
    cp_async_wait<STAGES - 2>();
    /* this step's data are there, and all are done with the slot that is filled next */
    __syncthreads();
    out.step(smem + slot * STAGE, smem + slot * STAGE + SIDE, wm, wn, [&]() {
      const int next = step + STAGES - 1;
      a.load(job, cls, next, next < end, smem + fill * STAGE);
      b.load(job, cls, next, next < end, smem + fill * STAGE + SIDE);
      cp_async_commit();
    });
    slot = slot + 1 == STAGES ? 0 : slot + 1;
    fill = fill + 1 == STAGES ? 0 : fill + 1;
  }
  cp_async_wait<0>();

  float *rows = (float *)smem;
  const uint32_t col = col0 + threadIdx.x % TILE;
  const Column at = column_at(job, cls, col);
  for (int r = 0; r < TILE; r += STORE_ROWS) {
    __syncthreads();
    if (TILE == STORE_ROWS || wm == r)
      out.each(ToShared{rows + (wm - r) * (TILE + STORE_PAD) + wn, wm - r, TILE + STORE_PAD});
    __syncthreads();
    if (job.store.chain.nsum || job.store.chain.ndot)
      sum_pixels<TILE>(job, cls, rows, m0 + r, col0);
    else if (job.store.last && job.splits == 1)
      store_pixels<TILE>(job, cls, rows, m0 + r, col0);
    else
      store_rows<TILE>(job, cls, split, rows, m0 + r, at, col);
  }
}

static_assert((STORE_ROWS * (64 + STORE_PAD) + CHAIN_MAX_SUMS * THREADS / 32 * STORE_ROWS) * 4 <=
                  STAGES * 2 * 64 * STEP_BYTES,
              "what is summed lies behind the staging rows");

template <int TYPE, int LAYOUT, int TILE> static void launch(const CudaCtx *c, const ConvJob *job) {
  auto kernel = conv_gemm_kernel<TYPE, LAYOUT, TILE>;
  const int bytes = STAGES * 2 * TILE * STEP_BYTES;
  uint32_t most = 0;
  for (int k = 0; k < job->classes.count; k++) most = PRLX_MAX(most, job->classes.of[k].cols);
  dim3 grid((unsigned)((most + TILE - 1) / TILE * ((job->classes.rows + TILE - 1) / TILE) *
                       job->classes.count),
            (unsigned)job->splits);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  LAUNCH(kernel, grid, dim3(THREADS), bytes, c->stream, *job);
}

template <int TYPE, int LAYOUT>
static void launch_tile(const CudaCtx *c, int tile, const ConvJob *job) {
  if (tile == 128)
    launch<TYPE, LAYOUT, 128>(c, job);
  else
    launch<TYPE, LAYOUT, 64>(c, job);
}

void conv_gemm(const CudaCtx *c, ConvType t, int tile, const ConvJob *job) {
#define CONV_CASE(T, L) \
  if (t == T && job->layout == L) launch_tile<T, L>(c, tile, job);
#define CONV_CASES(L) CONV_CASE(CT_F16, L) CONV_CASE(CT_BF16, L)
  CONV_CASES(LAYOUT_K)
  CONV_CASES(LAYOUT_MN)
  CONV_CASES(LAYOUT_1X1)
  CONV_CASES(LAYOUT_DW)
  CONV_CASE(CT_TF32, LAYOUT_K)
  CONV_CASE(CT_TF32, LAYOUT_MN) CONV_CASE(CT_STRICT, LAYOUT_K) CONV_CASE(CT_STRICT, LAYOUT_MN)
}

/* ---- partial sums, added in the order of the splits: V channels of a column per thread ---- */
enum { REDUCE_V = 4 };
template <int V>
__global__ void __launch_bounds__(THREADS) conv_reduce_kernel(const __grid_constant__ ConvJob job) {
  const int64_t all = (int64_t)blockIdx.x * THREADS + threadIdx.x, m = (int64_t)blockIdx.y * V;
  if (all >= job.classes.cols) return;
  int k = 0;
  while (k + 1 < job.classes.count && all >= job.classes.of[k + 1].col0) k++;
  const Column at = column_at(job, job.classes.of[k], (uint32_t)all - job.classes.of[k].col0);
  if (at.off < 0) return;
  float v[V] = {};
  for (int s = 0; s < job.splits; s++) {
    const float *p =
        job.store.partial + ((int64_t)s * job.classes.rows + m) * job.classes.cols + all;
    _Pragma("unroll") for (int i = 0; i < V; i++) if (m + i < job.classes.rows) v[i] +=
        p[i * job.classes.cols];
  }
  if constexpr (V == MAP_CHUNK) {
    store_chunk<false>(job, at, m, v);
  } else {
    chain_run<V>(job.store.chain, at, m, job.classes.rows, v);
    _Pragma("unroll") for (int i = 0; i < V; i++) if (m + i < job.classes.rows)
        store_as(job.store.out, job.store.tout, at.off + (m + i) * job.store.out_m, v[i]);
  }
}

void conv_reduce(const CudaCtx *c, const ConvJob *job) {
  const int v = job->store.last ? (int)MAP_CHUNK : (int)REDUCE_V;
  auto kernel = job->store.last ? conv_reduce_kernel<MAP_CHUNK> : conv_reduce_kernel<REDUCE_V>;
  dim3 grid((unsigned)((job->classes.cols + THREADS - 1) / THREADS),
            (unsigned)((job->classes.rows + v - 1) / v));
  LAUNCH(kernel, grid, dim3(THREADS), 0, c->stream, *job);
}

static __global__ void __launch_bounds__(THREADS)
    conv_dots_kernel(const float *dots, void *out, int tout, int groups, int64_t n) {
  const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  double sum = 0;
  if (i >= n) return;
  for (int k = 0; k < groups; k++) sum += dots[k * n + i];
  store_as(out, tout, i, (float)sum);
}

void conv_add_dots(const CudaCtx *c, const float *dots, void *out, DType tout, int64_t groups,
                   int64_t n) {
  LAUNCH(conv_dots_kernel, dim3(blocks_for(n, THREADS)), dim3(THREADS), 0, c->stream, dots, out,
         (int)tout, (int)groups, n);
}
