/* naive_lies.cu: maps whose channels lie last, for the oracle, which knows planes only (see
 * naive.h): operands are copied to planes before it, and what a kernel made is looked up where it
 * lies, the zeros around it, too. Number by number, by the sentence in core/backend.h. */
#include "cuda/naive.cuh"

/* Number i of a map in planes: where it lies. */
static __device__ int64_t lies_at(const NaiveLies &q, int64_t i) {
  const int64_t x = i % q.width, y = i / q.width % q.height,
                c = i / q.width / q.height % q.channels, n = i / q.width / q.height / q.channels;
  if (!q.margin.last) return i;
  const int64_t rows = q.height + q.margin.edge, columns = q.width + q.margin.side;
  return ((n * rows + q.margin.edge + y) * columns + q.margin.side + x) * q.channels + c;
}

/* Whether number i of the memory is one of the map. */
static __device__ bool lies_inside(const NaiveLies &q, int64_t i) {
  const int64_t rows = q.height + q.margin.edge, columns = q.width + q.margin.side,
                pixel = i / q.channels - q.margin.edge * columns - q.margin.side;
  return pixel >= 0 && pixel % columns < q.width && pixel / columns % rows < q.height;
}

static __global__ void lies_to_planes(NaiveLies q, const uint16_t *from, uint16_t *to, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS)
    to[i] = from[lies_at(q, i)];
}

static __global__ void lies_from_planes(NaiveLies q, const uint16_t *from, uint16_t *to,
                                        int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS)
    to[lies_at(q, i)] = from[i];
}

static __global__ void lies_margin(NaiveLies q, const uint16_t *map, int64_t n, int64_t *dirty) {
  SHARED(int64_t, part, NAIVE_THREADS);
  int64_t count = 0;
  for (int64_t i = threadIdx.x; i < n; i += NAIVE_THREADS)
    count += !lies_inside(q, i) && map[i] != 0;
  part[threadIdx.x] = count;
  __syncthreads();
  if (threadIdx.x) return;
  for (int k = 1; k < NAIVE_THREADS; k++) count += part[k];
  *dirty = count;
}

static NaiveLies lies_of(Shape s, MapLayout l) {
  return NaiveLies{l, s.dim[1], s.dim[2], s.dim[3]};
}

void naive_to_planes(const CudaCtx *c, Shape s, MapLayout l, const void *from, void *to) {
  const int64_t n = shape_numel(s);
  LAUNCH(lies_to_planes, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream,
         lies_of(s, l), (const uint16_t *)from, (uint16_t *)to, n);
}

void naive_from_planes(const CudaCtx *c, Shape s, MapLayout l, const void *from, void *to) {
  const int64_t n = shape_numel(s);
  LAUNCH(lies_from_planes, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream,
         lies_of(s, l), (const uint16_t *)from, (uint16_t *)to, n);
}

void naive_count_margin(const CudaCtx *c, Shape s, MapLayout l, const void *map, int64_t *dirty) {
  LAUNCH(lies_margin, dim3(1), dim3(NAIVE_THREADS), 0, c->stream, lies_of(s, l),
         (const uint16_t *)map, map_numel(s, l), dirty);
}
