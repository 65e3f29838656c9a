/* cuda_emu_math.h: number types, intrinsics and cuRAND's Philox for test/cuda_emu.h (which includes
 * it). Conversions to 16 bits round to nearest even, exactly; the fast intrinsics (__expf,
 * __fdividef, ...) are exact here, so errors of theirs do not show. */
#ifndef PRLX_CUDA_EMU_MATH_H
#define PRLX_CUDA_EMU_MATH_H
extern "C" {
#include "core/rng.h"
}

/* ---- bits ---- */
template <class To, class From> static inline To emu_bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To r;
  memcpy(&r, &x, sizeof r);
  return r;
}

static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i);
  return r;
}

static inline unsigned __umulhi(unsigned a, unsigned b) {
  return (unsigned)((uint64_t)a * b >> 32);
}

static inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
static inline int __mul24(int a, int b) { return a * b; }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
  uint64_t v = (uint64_t)b << 32 | a;
  unsigned r = 0;
  for (int i = 0; i < 4; i++) r |= (unsigned)(v >> (8 * (s >> (4 * i) & 7)) & 255) << (8 * i);
  return r;
}

static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) {
  return (unsigned)(((uint64_t)hi << 32 | lo) >> (s & 31));
}

static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) {
  return (unsigned)(((uint64_t)hi << 32 | lo) << (s & 31) >> 32);
}

/* ---- IEEE 754 binary16 ---- */
struct __half_raw {
  unsigned short x;
};
struct __half {
  unsigned short x;
  __half() = default;
  inline __half(float f);
  inline operator float() const;
};
static inline float emu_half_to_float(unsigned short h) {
  unsigned s = (unsigned)(h >> 15) << 31, e = h >> 10 & 31, m = h & 1023;
  if (e == 31) return emu_bits<float>(s | 0x7f800000u | m << 13);
  if (e) return emu_bits<float>(s | (e + 112) << 23 | m << 13);
  float f = (float)m * 0x1p-24f;
  return s ? -f : f;
}

static inline unsigned short emu_float_to_half(float f) {
  unsigned u = emu_bits<unsigned>(f), s = u >> 16 & 0x8000, a = u & 0x7fffffff;
  /* NaN: cvt.rn.f16.f32 gives the canonical one */
  if (a > 0x7f800000) return (unsigned short)0x7fff;
  /* rounds to 65536 or more */
  if (a >= 0x477ff000) return (unsigned short)(s | 0x7c00);
  if (a >= 0x38800000) {
    unsigned r = a - 0x38000000;
    return (unsigned short)(s | (r + 0xfff + (r >> 13 & 1)) >> 13);
  }
  /* below half the smallest subnormal */
  if (a < 0x33000000) return (unsigned short)s;
  unsigned m = (a & 0x7fffff) | 0x800000, shift = 126 - (a >> 23), r = m >> shift,
           rest = m & ((1u << shift) - 1), half = 1u << (shift - 1);
  return (unsigned short)(s | (r + (rest > half || (rest == half && (r & 1)))));
}

inline __half::__half(float f) : x(emu_float_to_half(f)) {}
inline __half::operator float() const { return emu_half_to_float(x); }
static inline float __half2float(__half h) { return emu_half_to_float(h.x); }
static inline __half __float2half_rn(float f) {
  __half h;
  h.x = emu_float_to_half(f);
  return h;
}

static inline __half __float2half(float f) { return __float2half_rn(f); }
static inline unsigned short __half_as_ushort(__half h) { return h.x; }
static inline __half __ushort_as_half(unsigned short x) {
  __half h;
  h.x = x;
  return h;
}

struct alignas(4) __half2 {
  __half x;
  __half y;
};
static inline __half2 __floats2half2_rn(float a, float b) {
  return __half2{__float2half_rn(a), __float2half_rn(b)};
}

static inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
static inline __half2 __halves2half2(__half a, __half b) { return __half2{a, b}; }
static inline __half2 make_half2(__half a, __half b) { return __half2{a, b}; }
static inline float2 __half22float2(__half2 v) { return float2{(float)v.x, (float)v.y}; }
static inline __half __low2half(__half2 v) { return v.x; }
static inline __half __high2half(__half2 v) { return v.y; }
static inline float __low2float(__half2 v) { return v.x; }
static inline float __high2float(__half2 v) { return v.y; }
typedef __half half;
typedef __half2 half2;

/* ---- bfloat16 ---- */
struct __nv_bfloat16 {
  unsigned short x;
  __nv_bfloat16() = default;
  inline __nv_bfloat16(float f);
  inline operator float() const;
};
static inline float emu_bf16_to_float(unsigned short h) {
  return emu_bits<float>((unsigned)h << 16);
}

static inline unsigned short emu_float_to_bf16(float f) {
  unsigned u = emu_bits<unsigned>(f);
  if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

inline __nv_bfloat16::__nv_bfloat16(float f) : x(emu_float_to_bf16(f)) {}
inline __nv_bfloat16::operator float() const { return emu_bf16_to_float(x); }
static inline float __bfloat162float(__nv_bfloat16 h) { return emu_bf16_to_float(h.x); }
static inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  __nv_bfloat16 h;
  h.x = emu_float_to_bf16(f);
  return h;
}

static inline __nv_bfloat16 __float2bfloat16(float f) { return __float2bfloat16_rn(f); }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.x; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) {
  __nv_bfloat16 h;
  h.x = x;
  return h;
}

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x;
  __nv_bfloat16 y;
};
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) {
  return __nv_bfloat162{__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
}

static inline __nv_bfloat162 __float22bfloat162_rn(float2 v) {
  return __floats2bfloat162_rn(v.x, v.y);
}

static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __nv_bfloat162{a, b};
}

static inline float2 __bfloat1622float2(__nv_bfloat162 v) { return float2{(float)v.x, (float)v.y}; }
static inline float __low2float(__nv_bfloat162 v) { return v.x; }
static inline float __high2float(__nv_bfloat162 v) { return v.y; }

/* ---- loads and stores with hints ---- */
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T, class U> static inline void __stcs(T *p, U v) { *p = v; }
template <class T, class U> static inline void __stcg(T *p, U v) { *p = v; }

/* ---- arithmetic ---- */
#define EMU_MINMAX(T)                                     \
  static inline T min(T a, T b) { return b < a ? b : a; } \
  static inline T max(T a, T b) { return a < b ? b : a; }
EMU_MINMAX(int)
EMU_MINMAX(unsigned)
EMU_MINMAX(long)
EMU_MINMAX(unsigned long)
EMU_MINMAX(long long) EMU_MINMAX(unsigned long long) static inline float min(float a, float b) {
  return fminf(a, b);
}

static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline long min(long a, int b) { return min(a, (long)b); }
static inline long max(long a, int b) { return max(a, (long)b); }
static inline long min(int a, long b) { return min((long)a, b); }
static inline long max(int a, long b) { return max((long)a, b); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }

/* glibc has functions of these names */
#define __expf expf
#define __exp10f exp10f
#define __logf logf
#define __log2f log2f
#define __sinf sinf
#define __cosf cosf
#define __powf powf
#define __sincosf sincosf
static inline float sinpif(float x) { return (float)sin(M_PI * (double)x); }
static inline float cospif(float x) { return (float)cos(M_PI * (double)x); }
static inline double sinpi(double x) { return sin(M_PI * x); }
static inline double cospi(double x) { return cos(M_PI * x); }
static inline void sincospif(float x, float *s, float *c) {
  *s = sinpif(x);
  *c = cospif(x);
}

static inline void sincospi(double x, double *s, double *c) {
  *s = sinpi(x);
  *c = cospi(x);
}

static inline int __float2int_rn(float x) { return (int)rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)floorf(x); }
static inline int __float2int_ru(float x) { return (int)ceilf(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float __double2float_rn(double x) { return (float)x; }

/* ---- cuRAND: curand_init(seed, subsequence, offset); a state is a position in the stream of words
 * of core/rng.h ---- */
struct curandStatePhilox4_32_10_t {
  Rng r;
};
typedef curandStatePhilox4_32_10_t curandStatePhilox4_32_10;
static inline void curand_init(unsigned long long seed, unsigned long long subsequence,
                               unsigned long long offset, curandStatePhilox4_32_10_t *s) {
  s->r.seed = seed;
  s->r.subsequence = subsequence;
  s->r.offset = offset;
}

static inline unsigned curand(curandStatePhilox4_32_10_t *s) { return rng_u32(&s->r); }
static inline uint4 curand4(curandStatePhilox4_32_10_t *s) {
  if ((s->r.offset & 3) == 0) {
    uint64_t b = s->r.offset >> 2;
    uint32_t c[4] = {(uint32_t)b, (uint32_t)(b >> 32), (uint32_t)s->r.subsequence,
                     (uint32_t)(s->r.subsequence >> 32)},
             o[4];
    uint32_t k[2] = {(uint32_t)s->r.seed, (uint32_t)(s->r.seed >> 32)};
    philox4x32_10(c, k, o);
    s->r.offset += 4;
    return make_uint4(o[0], o[1], o[2], o[3]);
  }
  unsigned x = curand(s), y = curand(s), z = curand(s);
  return make_uint4(x, y, z, curand(s));
}

static inline void skipahead(unsigned long long n, curandStatePhilox4_32_10_t *s) {
  s->r.offset += n;
}
#endif
