/* conv_pack.cu: operands as the matrix product wants them (see conv.cuh). Both kernels are bound by memory. */
#include "cuda/conv.cuh"
#include "cuda/mma.cuh"

enum { PACK_PIXELS = 64, PACK_CHUNKS = 8, PACK_THREADS = 256 };

static __device__ __forceinline__ uint32_t two(float a, float b, int type) {
  if (type == CT_F16) return (uint32_t)__half_as_ushort(__float2half_rn(a)) | (uint32_t)__half_as_ushort(__float2half_rn(b)) << 16;
  return (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(a)) | (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(b)) << 16;
}
static __device__ __forceinline__ uint4 chunk_of(const float (&v)[8], int type) { return make_uint4(two(v[0], v[1], type), two(v[2], v[3], type), two(v[4], v[5], type), two(v[6], v[7], type)); }
static __device__ __forceinline__ uint4 chunk_of(const float (&v)[4], int type) {
  if (type == CT_TF32) return make_uint4(to_tf32(v[0]), to_tf32(v[1]), to_tf32(v[2]), to_tf32(v[3]));
  return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]), __float_as_uint(v[3]));
}

typedef struct Frame { int type, c, h, w, top, left; uint32_t pixels, chunks; FastDiv by_hw, by_w; } Frame;  /* by_hw, by_w: of the frame, margins included */

/* Warp k reads chunk k of 64 neighbouring pixels (lanes along x: coalesced); through shared memory, so that eight threads write 128 bytes of one pixel. */
template <class T, int LEN> __global__ void __launch_bounds__(PACK_THREADS) conv_pack_map_kernel(const T *src, const float *scale, uint4 *dst, Frame f) {
  SHARED2(uint4, tile, PACK_PIXELS, PACK_CHUNKS);
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, p0 = blockIdx.x * PACK_PIXELS, k0 = blockIdx.y * PACK_CHUNKS;
  const int c0 = (int)(k0 + warp) * LEN;
  _Pragma("unroll") for (int half = 0; half < 2; half++) {
    uint32_t p = half * 32 + lane, at = p0 + p;
    float v[LEN];
    uint32_t n = div_by(at, f.by_hw), rest = at - n * f.by_hw.d, yy = div_by(rest, f.by_w);
    int y = (int)yy - f.top, x = (int)(rest - yy * f.by_w.d) - f.left;
    bool inside = at < f.pixels && y >= 0 && y < f.h && x >= 0 && x < f.w;
    const int64_t hw = (int64_t)f.h * f.w, base = ((int64_t)n * f.c + c0) * hw + (int64_t)y * f.w + x;
    _Pragma("unroll") for (int i = 0; i < LEN; i++) v[i] = inside && c0 + i < f.c ? ld(src, base + i * hw) : 0.f;
    if (scale) _Pragma("unroll") for (int i = 0; i < LEN; i++) if (inside && c0 + i < f.c) v[i] *= scale[n * f.c + c0 + i];
    tile[p][warp ^ (p & 7)] = chunk_of(v, f.type);
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < PACK_PIXELS * PACK_CHUNKS; i += PACK_THREADS) {
    uint32_t p = i / PACK_CHUNKS, k = i % PACK_CHUNKS;
    if (p0 + p < f.pixels && k0 + k < f.chunks) dst[(int64_t)(p0 + p) * f.chunks + k0 + k] = tile[p][k ^ (p & 7)];
  }
}

template <class T> static void pack_from(const CudaCtx *c, ConvType t, const PackMap *p) {
  const int len = chunk_len(t);
  const uint32_t pixels = (uint32_t)(p->n * p->hp * p->wp), chunks = (uint32_t)((p->c + len - 1) / len);
  Frame f = {t, (int)p->c, (int)p->h, (int)p->w, (int)p->top, (int)p->left, pixels, chunks, fast_div((uint32_t)(p->hp * p->wp)), fast_div((uint32_t)p->wp)};
  dim3 grid((pixels + PACK_PIXELS - 1) / PACK_PIXELS, (chunks + PACK_CHUNKS - 1) / PACK_CHUNKS);
  auto kernel = len == 8 ? conv_pack_map_kernel<T, 8> : conv_pack_map_kernel<T, 4>;
  LAUNCH(kernel, grid, dim3(PACK_THREADS), 0, c->stream, (const T *)p->src, p->scale, (uint4 *)p->dst, f);
}

void conv_pack_map(const CudaCtx *c, ConvType t, const PackMap *p) {
  DISPATCH(p->tsrc, T, { pack_from<T>(c, t, p); });
}

/* ---- weights: one thread per chunk ---- */
typedef struct Taps { int type, co, ci, kh, kw, step; bool transposed; uint32_t chunks; } Taps;   /* step between a class's taps in the kernel; chunks per tap */

template <int LEN> __global__ void __launch_bounds__(PACK_THREADS) conv_pack_weights_kernel(const float *w, uint4 *dst, const __grid_constant__ ConvJob j, Taps g) {
  const ConvClass &c = j.cls[blockIdx.z];
  const uint32_t m = blockIdx.y, q = blockIdx.x * PACK_THREADS + threadIdx.x;
  if (q >= c.a_stride) return;
  const uint32_t tap = q / g.chunks, k = (q - tap * g.chunks) * LEN;
  const int jy = (int)tap / c.kw, ky = c.ky0 + jy * g.step, kx = c.kx0 + ((int)tap - jy * c.kw) * g.step, channels = g.transposed ? g.co : g.ci;
  float v[LEN];
  _Pragma("unroll") for (int i = 0; i < LEN; i++) {
    int64_t ch = k + i, row = g.transposed ? ch * g.ci + m : (int64_t)m * g.ci + ch;
    v[i] = jy < c.kh && ch < channels ? w[(row * g.kh + ky) * g.kw + kx] : 0.f;
  }
  dst[c.a_off + (int64_t)m * c.a_stride + q] = chunk_of(v, g.type);
}

void conv_pack_weights(const CudaCtx *c, ConvType t, const ConvJob *j, const float *w, const ConvGeom *g, bool transposed, void *dst) {
  Taps p = {t, (int)g->co, (int)g->ci, (int)g->kh, (int)g->kw, transposed ? -g->stride : 1, transposed, j->bc};
  uint32_t most = 0;
  for (int k = 0; k < j->nclass; k++) most = PRLX_MAX(most, j->cls[k].a_stride);
  if (!most) return;
  dim3 grid((most + PACK_THREADS - 1) / PACK_THREADS, (unsigned)j->m, (unsigned)j->nclass);
  auto kernel = chunk_len(t) == 8 ? conv_pack_weights_kernel<8> : conv_pack_weights_kernel<4>;
  LAUNCH(kernel, grid, dim3(PACK_THREADS), 0, c->stream, w, (uint4 *)dst, *j, p);
}
