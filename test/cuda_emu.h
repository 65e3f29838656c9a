/* cuda_emu.h: enough of CUDA for g++ to compile and run the sources of cuda/ as host C++ (no nvcc,
 * no GPU):
 *   g++ -std=gnu++17 -O1 -g -DPRLX_CUDA_EMU -include test/cuda_emu.h -I. -Itest/cuda_emu -x c++
 *   cuda/x.cu
 * linked with test/cuda_emu.cpp, which runs the threads. What it checks that a GPU would not tell:
 *   - threads of a block run one at a time, in an order shuffled by PRLX_EMU_SEED, from barrier to
 *   barrier: what needs a missing barrier goes wrong;
 *   - a barrier that only some threads reach, or that threads reach at different lines, is an error
 *   with kernel, block and thread;
 *   - shared memory, fresh device memory and lanes that do not take part read as 0xFF bytes (NaN);
 *   - every allocation lies between guard zones, checked after each launch (with -fsanitize=address
 *   at every access);
 *   - pointer arguments must be device memory; copies must stay inside one allocation; cp.async
 *   data comes at the wait, or at once, by lot.
 * Errors are sticky like a GPU's: printed on stderr, then returned by every later call until
 * emu_clear(). Environment: PRLX_EMU_SEED=n (thread and block order; 0 = ascending),
 * PRLX_EMU_ABORT=1 (stop in the debugger at the first fault). Not thread safe: one host thread uses
 * it. Numbers are IEEE float without contraction; expf, logf, ... are the host's. */
#ifndef PRLX_CUDA_EMU_H
#define PRLX_CUDA_EMU_H
#ifndef __cplusplus
#error "cuda_emu.h is for the .cu sources: compile with g++ -x c++"
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <assert.h>
#include <tuple>
#include <type_traits>
#include <utility>

/* ---- words of the language ---- */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __managed__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __CUDACC_EMU__ 1

struct uint3 {
  unsigned x;
  unsigned y;
  unsigned z;
};
struct dim3 {
  unsigned x;
  unsigned y;
  unsigned z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

#define EMU_VEC2(T, V, A) \
  struct alignas(A) V {   \
    T x, y;               \
  };                      \
  static inline V make_##V(T x, T y) { return V{x, y}; }
#define EMU_VEC3(T, V) \
  struct V {           \
    T x, y, z;         \
  };                   \
  static inline V make_##V(T x, T y, T z) { return V{x, y, z}; }
#define EMU_VEC4(T, V, A) \
  struct alignas(A) V {   \
    T x, y, z, w;         \
  };                      \
  static inline V make_##V(T x, T y, T z, T w) { return V{x, y, z, w}; }
EMU_VEC2(float, float2, 8)
EMU_VEC3(float, float3)
EMU_VEC4(float, float4, 16)
EMU_VEC2(int, int2, 8)
EMU_VEC3(int, int3)
EMU_VEC4(int, int4, 16)
EMU_VEC2(unsigned, uint2, 8) EMU_VEC4(unsigned, uint4, 16) EMU_VEC2(double, double2, 16)
    EMU_VEC2(long long, longlong2, 16) EMU_VEC2(unsigned short, ushort2, 4)
        EMU_VEC2(short, short2, 4) EMU_VEC4(unsigned short, ushort4, 8)
            EMU_VEC4(unsigned char, uchar4, 4) static inline uint3
    make_uint3(unsigned x, unsigned y, unsigned z) {
  return uint3{x, y, z};
}

/* ---- the machine (cuda_emu.cpp) ---- */
/* inside a kernel: ends it; does not return there */
void emu_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *emu_message(void); /* first fault since emu_clear, "" = none */
void emu_clear(void);          /* forget the sticky error */
void emu_seed(uint64_t seed);  /* order of threads and blocks from now on */
long emu_launches(void);       /* kernels run so far */
size_t emu_live_allocations(void);

/* Bit i: the i-th stream that is created from now on does its work only when the host waits for it,
 * or when another stream that does its own comes to a wait for its event, and then no more than
 * that; the others go on at once. What lacks a wait between two streams goes wrong with one of them
 * late, or with the other. */
void emu_late(unsigned which);

/* 0xFF: what a kernel must not read before writing it */
void emu_poison(void *device, size_t bytes);

/* 1: lies inside one live allocation of device or pinned memory */
int emu_owns(const void *p, size_t bytes);
void emu_sync_block(int line);
int emu_sync_block_vote(int line, int pred, int how); /* how: 0 and, 1 or, 2 count */

/* poisons at the first use in a block, notes it for the guard check */
void *emu_shared(void *slot, size_t bytes, size_t *serial);
void *emu_dynamic_shared(void);

/* All 32 lanes of a warp meet here: each hands over `in` (in_bytes <= 64) and receives `out`
 * (out_bytes <= 64). The last one to come runs fn(in of all lanes, out of all lanes, live mask);
 * lanes that have returned or never existed hand over 0xFF bytes. `kind` must be equal in all. */
typedef void (*EmuWarpFn)(const void *const in[32], void *const out[32], uint32_t live);
void emu_warp_collective(const char *kind, int line, const void *in, size_t in_bytes, void *out,
                         size_t out_bytes, EmuWarpFn fn);
int emu_lane(void);

/* the order's generator, for choices a GPU is free to make */
uint32_t emu_random(void);

/* cp.async: done now or at the wait, by lot */
void emu_async_copy(void *dst, const void *src, int bytes, bool valid);
void emu_async_commit(void);

/* until at most `pending` committed groups are unfinished */
void emu_async_wait(int pending);
void emu_async_wait_all(void);

/* ---- launches ---- */
typedef struct EmuStream *cudaStream_t;
struct EmuKernel {
  virtual void thread() = 0;
  virtual EmuKernel *copy() const = 0;
  virtual const void *pointer(int k) const = 0;
  virtual ~EmuKernel() {}
};
void emu_launch(const EmuKernel &k, int npointers, const void *function, const char *name,
                const char *file, int line, dim3 grid, dim3 block, size_t shared, cudaStream_t s);
template <class T> static inline const void *emu_as_pointer(const T &x) {
  if constexpr (std::is_pointer<T>::value &&
                !std::is_function<typename std::remove_pointer<T>::type>::value)
    return (const void *)x;
  else
    return nullptr;
}

template <class... P> struct EmuKernelOf : EmuKernel {
  void (*f)(P...);
  std::tuple<typename std::remove_cv<P>::type...> args;
  template <class... A> EmuKernelOf(void (*k)(P...), A &&...a) : f(k), args(static_cast<P>(a)...) {}
  void thread() override { std::apply(f, args); }
  EmuKernel *copy() const override { return new EmuKernelOf(*this); }
  const void *pointer(int k) const override {
    return std::apply(
        [k](const auto &...x) {
          const void *p[] = {emu_as_pointer(x)..., nullptr};
          return p[k];
        },
        args);
  }
};
template <class... P, class... A>
static inline void emu_launch_of(const char *name, const char *file, int line, void (*k)(P...),
                                 dim3 grid, dim3 block, size_t shared, cudaStream_t s, A &&...a) {
  static_assert(sizeof...(P) == sizeof...(A), "kernel called with the wrong number of arguments");
  emu_launch(EmuKernelOf<P...>(k, std::forward<A>(a)...), (int)sizeof...(P), (const void *)k, name,
             file, line, grid, block, shared, s);
}
#define EMU_LAUNCH(kernel, grid, block, shared, stream, ...)                                      \
  emu_launch_of(#kernel, __FILE__, __LINE__, (kernel), dim3(grid), dim3(block), (size_t)(shared), \
                (stream), ##__VA_ARGS__)

/* One block runs at a time, so a static object is the block's shared memory; guards on both sides.
 */
template <class T> struct EmuSharedSlot {
  unsigned char before[64];
  alignas(16) T data;
  unsigned char after[64];
};
#define SHARED(T, name, count)                \
  static EmuSharedSlot<T[count]> name##_slot; \
  static size_t name##_serial;                \
  T(&name)                                    \
  [count] = *(T(*)[count])emu_shared(&name##_slot.data, sizeof name##_slot.data, &name##_serial)
#define SHARED2(T, name, rows, cols)               \
  static EmuSharedSlot<T[rows][cols]> name##_slot; \
  static size_t name##_serial;                     \
  T(&name)                                         \
  [rows][cols] =                                   \
      *(T(*)[rows][cols])emu_shared(&name##_slot.data, sizeof name##_slot.data, &name##_serial)
#define DYNAMIC_SHARED(T) ((T *)emu_dynamic_shared())

/* ---- barriers and exchanges ---- */
#define __syncthreads() emu_sync_block(__LINE__)
#define __syncthreads_and(p) emu_sync_block_vote(__LINE__, (p), 0)
#define __syncthreads_or(p) emu_sync_block_vote(__LINE__, (p), 1)
#define __syncthreads_count(p) emu_sync_block_vote(__LINE__, (p), 2)
static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}
static inline void __threadfence_system(void) {}
static inline void emu_nothing(const void *const *, void *const *, uint32_t) {}
static inline void emu_full_mask(unsigned mask, const char *what) {
  if (mask != 0xffffffffu)
    emu_fault("%s with mask %08x: the sources may use full masks only", what, mask);
}

static inline void emu_syncwarp(int line, unsigned mask = 0xffffffffu) {
  emu_full_mask(mask, "__syncwarp");
  emu_warp_collective("__syncwarp", line, nullptr, 0, nullptr, 0, emu_nothing);
}
#define __syncwarp(...) emu_syncwarp(__LINE__, ##__VA_ARGS__)
struct EmuShfl {
  uint64_t bits;
  int32_t source;
  int32_t bytes;
};
static inline void emu_shfl_all(const void *const in[32], void *const out[32], uint32_t live) {
  for (int l = 0; l < 32; l++) {
    if (!(live >> l & 1)) continue;
    EmuShfl me;
    memcpy(&me, in[l], sizeof me);
    if (live >> me.source & 1) memcpy(out[l], in[me.source], 8);
    /* from a lane that is not there: undefined on a GPU */
    else
      memset(out[l], 0xff, 8);
  }
}

template <class T>
static inline T emu_shfl(const char *kind, int line, unsigned mask, T v, int source) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value,
                "a shuffle moves up to 8 bytes");
  emu_full_mask(mask, kind);
  EmuShfl s = {0, source, (int)sizeof(T)};
  uint64_t r = 0;
  memcpy(&s.bits, &v, sizeof v);
  emu_warp_collective(kind, line, &s, sizeof s, &r, 8, emu_shfl_all);
  memcpy((void *)&v, &r, sizeof v);
  return v;
}

/* PTX ISA shfl.sync: segments of `width` lanes; a source outside the segment is the lane itself
 * (xor: may reach into lower segments). */
template <class T>
static inline T emu_shfl_idx(int line, unsigned m, T v, int lane, int width = 32) {
  int l = emu_lane();
  return emu_shfl("__shfl_sync", line, m, v, (l & ~(width - 1)) | (lane & (width - 1)));
}

template <class T> static inline T emu_shfl_xor(int line, unsigned m, T v, int x, int width = 32) {
  int l = emu_lane(), s = l ^ x;
  return emu_shfl("__shfl_xor_sync", line, m, v, s <= (l | (width - 1)) && s < 32 ? s : l);
}

template <class T> static inline T emu_shfl_down(int line, unsigned m, T v, int d, int width = 32) {
  int l = emu_lane(), s = l + d;
  return emu_shfl("__shfl_down_sync", line, m, v, s <= (l | (width - 1)) ? s : l);
}

template <class T> static inline T emu_shfl_up(int line, unsigned m, T v, int d, int width = 32) {
  int l = emu_lane(), s = l - d;
  return emu_shfl("__shfl_up_sync", line, m, v, s >= (l & ~(width - 1)) ? s : l);
}
#define __shfl_sync(...) emu_shfl_idx(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) emu_shfl_xor(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) emu_shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) emu_shfl_up(__LINE__, __VA_ARGS__)
static inline void emu_ballot_all(const void *const in[32], void *const out[32], uint32_t live) {
  uint32_t r = 0;
  for (int l = 0; l < 32; l++) {
    int p = 0;
    if (live >> l & 1) memcpy(&p, in[l], 4);
    if (p) r |= 1u << l;
  }
  for (int l = 0; l < 32; l++)
    if (live >> l & 1) {
      memcpy(out[l], &r, 4);
      memcpy((char *)out[l] + 4, &live, 4);
    }
}

static inline uint64_t emu_vote(const char *kind, int line, unsigned mask, int pred) {
  emu_full_mask(mask, kind);
  int p = pred != 0;
  uint64_t r = 0;
  emu_warp_collective(kind, line, &p, 4, &r, 8, emu_ballot_all);
  return r;
}
#define __ballot_sync(m, p) ((unsigned)emu_vote("__ballot_sync", __LINE__, (m), (p)))
#define __any_sync(m, p) ((unsigned)emu_vote("__any_sync", __LINE__, (m), (p)) != 0)
static inline int emu_all(uint64_t r) { return (uint32_t)r == (uint32_t)(r >> 32); }
#define __all_sync(m, p) emu_all(emu_vote("__all_sync", __LINE__, (m), (p)))
static inline void __trap(void) { emu_fault("__trap()"); }

/* ---- atomics on integers (threads never run at the same time) ---- */
template <class T> static inline void emu_atomic_type(void) {
  static_assert(std::is_integral<T>::value,
                "no atomics on floats: the order of a sum must be fixed");
}

template <class T, class U> static inline T atomicAdd(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  *p = (T)(o + (T)x);
  return o;
}

template <class T, class U> static inline T atomicSub(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  *p = (T)(o - (T)x);
  return o;
}

template <class T, class U> static inline T atomicMax(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  if ((T)x > o) *p = (T)x;
  return o;
}

template <class T, class U> static inline T atomicMin(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  if ((T)x < o) *p = (T)x;
  return o;
}

template <class T, class U> static inline T atomicOr(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  *p = o | (T)x;
  return o;
}

template <class T, class U> static inline T atomicAnd(T *p, U x) {
  emu_atomic_type<T>();
  T o = *p;
  *p = o & (T)x;
  return o;
}

template <class T, class U> static inline T atomicExch(T *p, U x) {
  T o = *p;
  *p = (T)x;
  return o;
}

template <class T, class U, class V> static inline T atomicCAS(T *p, U c, V x) {
  T o = *p;
  if (o == (T)c) *p = (T)x;
  return o;
}

static inline unsigned atomicInc(unsigned *p, unsigned last) {
  unsigned o = *p;
  *p = o >= last ? 0 : o + 1;
  return o;
}

#include "test/cuda_emu_math.h"
#include "test/cuda_emu_api.h"
#endif
