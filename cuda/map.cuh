/* map.cuh: 16-bit maps whose channels lie last (MapLayout, core/backend.h): eight channels of a
 * pixel are one access of 16 bytes, neighbouring threads take neighbouring channels, and the zeros
 * around the map are written with the pixels beside them. */
#ifndef PRLX_CUDA_MAP_CUH
#define PRLX_CUDA_MAP_CUH
#include "cuda/any.cuh"

/* A map in either layout: strides in elements from pixel (0,0) of channel 0 on. */
typedef struct MapView {
  void *data;
  int32_t type;
  bool last;
  int64_t sn;
  int32_t sc;
  int32_t sy;
  int32_t sx;
} MapView;

/* The margin of a map whose channels lie last; strides in chunks. Nothing where both are 0. */
typedef struct MapFrame {
  int height;
  int width;
  int edge;
  int side;
  int row_chunks;
  int pixel_chunks;
} MapFrame;

/* cuda/layout.cu. s [n,c,h,w] of type t at p (may be NULL). */
MapView map_view(const void *p, DType t, Shape s, MapLayout l);
MapFrame map_frame(Shape s, MapLayout l);

/* Whether any operand of the step, or its result, lies with its channels last. */
bool cuda_lies_last(const DevStep *s);

/* Numbers of the largest of those, margins with them. */
int64_t cuda_last_most(const DevStep *s);

/* Two numbers of a type with 16 bits. */
static __device__ __forceinline__ uint32_t map_two(float a, float b, int type) {
  if (type == DT_F16)
    return (uint32_t)__half_as_ushort(__float2half_rn(a)) |
           (uint32_t)__half_as_ushort(__float2half_rn(b)) << 16;
  return (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(a)) |
         (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(b)) << 16;
}

/* A number of such a type. */
static __device__ __forceinline__ float map_one(uint32_t bits, int type) {
  return type == DT_F16 ? __half2float(__ushort_as_half((unsigned short)bits))
                        : __uint_as_float(bits << 16);
}

/* A chunk from eight floats. */
static __device__ __forceinline__ uint4 map_pack(const float *v, int type) {
  return make_uint4(map_two(v[0], v[1], type), map_two(v[2], v[3], type), map_two(v[4], v[5], type),
                    map_two(v[6], v[7], type));
}

/* And back. */
static __device__ __forceinline__ void map_unpack(uint4 u, int type, float *v) {
  const uint32_t w[4] = {u.x, u.y, u.z, u.w};
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) v[i] =
      map_one(i & 1 ? w[i / 2] >> 16 : w[i / 2] & 0xffff, type);
}

/* The zeros that pixel (y, x) of image n answers for: those that follow its row, those that follow
 * its image, and of the first row of all what comes before. at: its own chunk. */
static __device__ __forceinline__ void map_zeros(const MapFrame &f, uint4 *at, int64_t n, int y,
                                                 int x) {
  const bool first = n == 0 && y == 0;
  const int y0 = first ? -f.edge : 0, y1 = y == f.height - 1 ? f.edge : 0,
            x1 = x == f.width - 1 ? f.side : 0;
  if (y1 - y0 + x1 == 0 && !first) return;
  for (int i = y0; i <= y1; i++)
    for (int k = 0; k <= x1; k++)
      if (i || k) at[(int64_t)i * f.row_chunks + k * f.pixel_chunks] = make_uint4(0, 0, 0, 0);
  for (int k = 1; first && x == 0 && k <= f.side; k++)
    at[-(int64_t)f.edge * f.row_chunks - k * f.pixel_chunks] = make_uint4(0, 0, 0, 0);
}

/* Element of a channel of a pixel. */
static __device__ __forceinline__ int64_t map_at(const MapView &m, int64_t n, int channel, int y,
                                                 int x) {
  return n * m.sn + (int64_t)channel * m.sc + (int64_t)y * m.sy + (int64_t)x * m.sx;
}

/* Eight channels from `channel` on, a multiple of eight, of a pixel. */
static __device__ __forceinline__ void map_load(const MapView &m, int64_t at, float *v) {
  if (m.last) {
    map_unpack(*(const uint4 *)((const uint16_t *)m.data + at), m.type, v);
    return;
  }
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) v[i] =
      ld_any(m.data, (DType)m.type, at + (int64_t)i * m.sc);
}

/* And back, with the zeros beside it. */
static __device__ __forceinline__ void map_store(const MapView &m, const MapFrame &f, int64_t at,
                                                 int64_t n, int y, int x, const float *v) {
  if (m.last) {
    uint4 *to = (uint4 *)((uint16_t *)m.data + at);
    *to = map_pack(v, m.type);
    map_zeros(f, to, n, y, x);
    return;
  }
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++)
      st_any(m.data, (DType)m.type, at + (int64_t)i * m.sc, v[i]);
}
#endif
