#!/bin/sh
# Plants faults in copies of the CUDA sources, one at a time, and requires that the emulated
# comparison finds each of them. A pattern that is no longer in its file is a failure: the mutant
# must follow the code.
#
# usage: BUILD=build sh test/cuda_mutants.sh fast|long|NAME (after make emu-programs; fast: the
# first three)
B=${BUILD:-build}; CXX=${EMU_CXX:-g++}; which=${1:-long}; passed=0; failed=0; count=0
T=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX")
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
FLAGS="-std=gnu++17 -w -O1 -ffp-contract=off -I. -Itest/cuda_emu -DPRLX_CUDA_EMU"
FLAGS="$FLAGS -include test/cuda_emu.h"
EMULATION="$B/emu/test/cuda_emu.o $B/emu/test/cuda_emu_api.o $B/emu/test/cuda_emu_async.o"
sanitized=
nm "$B/emu/test/cuda_emu.o" 2>/dev/null | grep -q __asan_ &&
  sanitized="-fsanitize=address,undefined"
bad() { echo "FAIL mutant $1: $2"; failed=$((failed + 1)); }

# planted NAME FILE 'sed expression' PROGRAM OBJECT...: compiles the copy, links PROGRAM with it.
# FILE.cu:HEADER.cuh plants it in a header that the file includes, or one that it includes does.
planted() {
  name=$1; file=${2#*:}; change=$3; program=$4
  base=$(basename "${2%:*}" .cu)
  shift 4
  rm -rf "$T/cuda"
  mkdir "$T/cuda"
  cp "cuda/$base.cu" "$T/$base.cu"
  case $file in *.cuh) copy=$T/cuda/$file ;; *) copy=$T/$file ;; esac
  sed -e "$change" "cuda/$file" >"$copy"
  if cmp -s "cuda/$file" "$copy"; then
    bad "$name" "its pattern is no longer in cuda/$file"
    return 1
  fi
  if ! $CXX -I"$T" $FLAGS $sanitized -x c++ -c -o "$T/$base.o" "$T/$base.cu" 2>"$T/log"; then
    bad "$name" "does not compile: $(head -n 1 "$T/log")"
    return 1
  fi
  objects="$* $EMULATION $T/$base.o"
  for o in "$B"/emu/cuda/*.o; do [ "$(basename "$o" .o)" = "$base" ] || objects="$objects $o"; done
  if ! $CXX $sanitized -o "$program" $objects "$B/librooms.a" -lm -lpthread 2>"$T/log"; then
    bad "$name" "does not link: $(head -n 1 "$T/log")"
    return 1
  fi
}

# Is this one's turn? wanted_mutant NAME
wanted_mutant() {
  count=$((count + 1))
  case $which in
    fast) [ $count -le 3 ] ;;
    long) ;;
    *) [ "$which" = "$1" ] ;;
  esac
}

# refused NAME FILE 'sed expression' KIND: the self-test of the backend refuses the kernels of KIND,
# and a training on what takes their place is right
refused() {
  wanted_mutant "$1" || return 0
  planted "$1" "$2" "$3" "$T/run" "$B/test/cuda_selftest.o" || return
  if ! timeout 600 "$T/run" "$4" >"$T/log" 2>&1; then
    bad "$1" "the self-test: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-200)"
    return
  fi
  passed=$((passed + 1))
  echo "refused: $1: $(grep refused "$T/log" | head -n 1 | cut -c 1-150)"
}

# mutant NAME FILE 'sed expression' 'cases (PRLX_ONLY), empty = all' arguments of cuda_ops...
mutant() {
  name=$1; file=$2; change=$3; only=$4; shift 4
  wanted_mutant "$name" || return 0
  arguments="$*"
  set -- "$B/test/cuda_ops.o" "$B/test/cuda_check.o" "$B/test/cuda_shapes.o" \
    "$B/test/cuda_loops.o" "$B/test/cuda_multi.o" "$B/test/cuda_plans.o" \
    "$B/test/cuda_layouts.o" "$B/emu/test/cuda_exact.o"
  planted "$name" "$file" "$change" "$T/run" "$@" || return
  set -- $arguments
  if [ -n "$only" ]; then PRLX_ONLY=$only; export PRLX_ONLY; else unset PRLX_ONLY; fi
  TEST_STOP=1 timeout 300 "$T/run" "$@" >"$T/log" 2>&1; rc=$?
  unset PRLX_ONLY
  if [ $rc -eq 0 ]; then bad "$name" "not found by cuda_ops $* ($only)"; return; fi
  if [ $rc -ge 124 ] && [ $rc -ne 134 ] && [ $rc -ne 139 ]; then
    bad "$name" "did not end: code $rc"
    return
  fi
  passed=$((passed + 1))
  echo "found: $name: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-170)"
}

# planner_mutant NAME FILE 'sed expression' 'cases' arguments of cuda_ops...: the same in the
# planner (core/FILE.c)
planner_mutant() {
  name=$1; file=$2; change=$3; only=$4; shift 4
  wanted_mutant "$name" || return 0
  sed -e "$change" "core/$file.c" >"$T/$file.c"
  if cmp -s "core/$file.c" "$T/$file.c"; then
    bad "$name" "its pattern is no longer in $file.c"
    return
  fi
  if ! ${CC:-cc} -std=gnu11 -w -O1 -I. -c -o "$T/$file.o" "$T/$file.c" $sanitized 2>"$T/log" ||
    ! $CXX $sanitized -o "$T/run" "$B/test/cuda_ops.o" "$B/test/cuda_check.o" \
      "$B/test/cuda_shapes.o" "$B/test/cuda_loops.o" "$B/test/cuda_multi.o" "$B/test/cuda_plans.o" \
      "$B/test/cuda_layouts.o" "$B/emu/test/cuda_exact.o" "$T/$file.o" "$B"/emu/cuda/*.o \
      $EMULATION "$B/librooms.a" -lm -lpthread 2>"$T/log"; then
    bad "$name" "does not build: $(head -n 1 "$T/log")"
    return
  fi
  PRLX_ONLY=$only TEST_STOP=1 timeout 300 "$T/run" "$@" >"$T/log" 2>&1; rc=$?
  [ $rc -eq 0 ] && { bad "$name" "not found by cuda_ops $* ($only)"; return; }
  [ $rc -eq 124 ] && { bad "$name" "did not end"; return; }
  passed=$((passed + 1))
  echo "found: $name: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-170)"
}

# a barrier removed, an index off by one, a lane left out: one of each kind first (make test)
mutant reduce-lane reduce.cu \
  's/min(group, 32u) >> 1; k; k >>= 1/min(group, 32u) >> 1; k > 1; k >>= 1/' sum strict ops
mutant warp-barrier warp.cu '/mid\[i\] = sum;/,/float sum = 0/ s/__syncthreads();//' warp strict ops
mutant pool-bounds pool.cu 's/x1 = min(x0 + p.k, p.w)/x1 = x0 + p.k/' maxpool strict ops
# convolution
mutant conv-barrier conv_gemm.cu \
  '/all are done with the slot that is/,/out.step/ s/__syncthreads();//' 'conv n' strict f16 ops
mutant conv-wait conv_gemm.cu 's/cp_async_wait<STAGES - 2>()/cp_async_wait<STAGES - 1>()/' \
  'conv n' strict f16 ops
mutant conv-fragment conv_gemm.cu \
  '/at_k(wm + i \* 16 + (lane & 15), s \* 2/ s/(lane >> 4))/(lane >> 3 \& 1))/' \
  'conv n' f16 ops
mutant conv-store-barrier conv_gemm.cu '/out.each(ToShared/,/store_rows/ s/__syncthreads();//' \
  'conv n' strict ops
mutant conv-store-bounds conv_gemm.cu:conv_store.cuh \
  's/if (m + i < job.classes.rows)$/if (m + i <= job.classes.rows)/' 'conv n' strict ops
mutant conv-pack-bounds conv_pack.cu \
  's/if (p0 + p < f.pixels \&\& k0 + k < f.chunks)/if (p0 + p < f.pixels)/' 'conv n' strict ops
mutant conv-thin-lane conv_thin.cu \
  's/for (int o = 16; o; o >>= 1) x += __shfl_xor/for (int o = 8; o; o >>= 1) x += __shfl_xor/' \
  'conv n' strict ops
# convolution by wgmma: descriptors, swizzle, bytes and phases of barriers, boxes, waits, fences
TEST_WGMMA=2
export TEST_WGMMA
wgmma_mutant() { mutant "wgmma-$1" conv_wgmma.cu "$2" "${3:-conv n}" f16 ops; }
wgmma_mutant stride 's/(stage + rows + k, WG_ALIGN)/(stage + rows + k, WG_ALIGN \/ 2)/'
wgmma_mutant stride-map 's/(stage + Ring::WEIGHTS + k, WG_ALIGN)/(stage + Ring::WEIGHTS + k, 128)/'
wgmma_mutant slice 's/k += WG_SLICE)/k += WG_SLICE \/ 2)/'
wgmma_mutant swizzle 's/CU_TENSOR_MAP_SWIZZLE_128B/CU_TENSOR_MAP_SWIZZLE_NONE/'
wgmma_mutant align 's/ring = (base + WG_ALIGN - 1) \& .*;/ring = (base + 127) \& ~127u;/'
wgmma_mutant bytes-missing 's/(full, box.bytes)/(full, box.bytes - WG_ROWS * WG_LINE)/'
wgmma_mutant bytes-beyond 's/(full, box.bytes)/(full, box.bytes + WG_LINE)/'
wgmma_mutant phase-empty 's/(empty, at.parity ^ 1)/(empty, at.parity)/'
wgmma_mutant phase-full 's/WG_BARRIER, at.parity)/WG_BARRIER, at.parity ^ 1)/'
wgmma_mutant phase-stuck 's/^    parity ^= 1;//'
wgmma_mutant box-tap 's/t.x0 \* stride + kx,/t.x0 * stride + kx + 1,/'
wgmma_mutant box-edge 's/(cls.v - 1) \* m.stride + cls.kw)/(cls.v - 1) * m.stride + cls.kw - 1)/'
wgmma_mutant box-wide 's/w.box\[1\] = box.by_x.d \*/w.box[1] = (box.by_x.d + 1) */'
wgmma_mutant box-stride 's/w.stride\[2\] = (cuuint32_t)m.stride/w.stride[2] = 1/'
wgmma_mutant box-image 's/w.bytes\[2\] = .*image_chunks/w.bytes[2] = (cuuint64_t)m.row_chunks/'
wgmma_mutant box-column 's/inside ? (n \* cls.u + u) \*/inside ? (n * cls.v + u) */'
wgmma_mutant wait-last 's/^  wgmma_wait<0>();//'
wgmma_mutant fence 's/^    wgmma_fence();//'
wgmma_mutant init-fence 's/mbarrier_init_fence();//'
wgmma_mutant arrivals 's/  WG_WARPS = 8,/  WG_WARPS = 4,/'
wgmma_mutant release 's/if (before \&\& threadIdx.x % 32 == 0)/if (before \&\& threadIdx.x == 300)/'
wgmma_mutant store-barrier 's/named_barrier(1, 2 \* WG_GROUP);//'
wgmma_mutant store-group 's/named_barrier(2 + group, WG_GROUP);//'
wgmma_mutant store-fragment 's/row = warp \* 16 + h \* 8 + g;/row = warp * 16 + g * 2 + h;/'
# both warpgroups, more steps than stages, a sum in parts
TEST_LONG=1
PRLX_CUDA_CONV=0,3
export TEST_LONG PRLX_CUDA_CONV
long='conv n1 ci136'
wgmma_mutant rows 's/(uint32_t)group \* STORE_ROWS \* WG_LINE/0u/' "$long"
wgmma_mutant split 's/t->begin = (int)blockIdx.y \* per/t->begin = (int)blockIdx.y * (per - 1)/' \
  "$long"
unset PRLX_CUDA_CONV
wgmma_mutant wait 's/wgmma_wait<1>/wgmma_wait<2>/' "$long"
unset TEST_LONG TEST_WGMMA
# loops and sums
mutant loop-tail pointwise.cu 's/if (j < at.valid) st_any/if (j <= at.valid) st_any/' \
  '' strict loops
mutant reduce-barrier reduce.cu \
  '/share\[(y \* PW_VEC + j) \* tx + x\] = sum/,/if (y) return/ s/__syncthreads();//' sum strict \
  ops
mutant reduce-tail reduce.cu 's/if (j >= at.valid) v\[j\] = 0;//' '' strict loops
# loops with several results: a lane left out, a group of rows, what lies beyond the last column, a
# chunk of rows, images that one of several sums adds and another does not, a sum written over
# before all have read it, one of another expression taken for this one, groups by how many images
# there are; in the planner: a step that runs before what it reads, a register used again, a value
# without memory, a sum as if it were there while it is made
mutant multi-lane multi.cu 's/(uint32_t k = group >> 1; k; k/(uint32_t k = group >> 1; k > 1; k/' \
  'several results' strict loops
mutant multi-group multi.cu 's/i < groups; i++) sum/i + 1 < groups; i++) sum/' 'several results' \
  strict loops
mutant multi-tail multi.cu 's/v\[j\] = j < w.at.valid ? acc\[j\] : 0/v[j] = acc[j]/' \
  'several results' strict loops
mutant multi-chunk multi.cu 's/chunk = t - q \* m.chunks.d;/chunk = 0;/' 'several results' \
  strict loops
mutant multi-besides multi.cu 's/m->chunks.d \* axes_product(.*besides);/m->chunks.d;/' \
  'several results, columns' f16 loops
mutant multi-next-barrier multi.cu \
  '/mine = threadIdx.x >> m.log_group/,/pragma unroll/ s/__syncthreads();//' \
  'several results, columns' strict loops
mutant multi-batch multi.cu \
  's/while (m->log_group < 5 /while (m->log_group < (axes_product(d, m->grid) > 1 ? 5 : 4) /' \
  'several results, columns' strict loops
mutant multi-again multi.cu 's/ || code != (k ? .*result)) continue;/) continue;/' \
  'several results, columns' f16 loops
mutant multi-barrier multi.cu \
  '/(double)column\[j\];/,/>= PW_VEC \* lanes/ s/__syncthreads();//' 'several results' strict loops
mutant multi-last multi.cu 's/if (o.dim\[axis\[k\]\] != all.dim\[axis\[k\]\])/if (k)/' \
  'several results, last' f16 loops
mutant multi-last-place multi.cu 's/if (w.at.valid)$/if (true)/' 'several results, last' f16 loops
planner_mutant multi-late plan_multi 's/late\[k - a\] = is_late(.*);/late[k - a] = false;/' \
  'layers of several' strict loops
planner_mutant multi-register plan_multi 's/last\[j->result\[r\].code\] = q->nop;/;/' \
  'layers of several' strict loops
planner_mutant multi-memory plan_memory 's/r < plan_results(s); r++/r < 1; r++/' \
  'layers of several' strict loops
planner_mutant multi-sum plan_multi \
  's/return shape_eq(shape, iter) \&\& shape_eq(j->result\[r\].shape, iter);/return true;/' \
  'layers of several' strict loops
# matrix products
mutant matmul-barrier matmul.cu \
  '/sum\[i\]\[j\] += u\[i\] \* v\[j\]/,/out +=/ s/__syncthreads();//' matmul strict ops
mutant matmul-fragment matmul.cu \
  's/fa\[i\]\[1\] = p\[8/fa[i][2] = p[8/; s/fa\[i\]\[2\] = p\[4/fa[i][1] = p[4/' \
  matmul tf32 ops
# steps that are launched together, loops in the store of a weight gradient, weights times a number
mutant batch-loop-block pointwise.cu \
  's/(blockIdx.x - job.first) \* blockDim.x/blockIdx.x * blockDim.x/' 'side by side' strict plans
mutant batch-matmul-job matmul.cu \
  's/blockIdx.x >= all.of\[mine + 1\].first)/blockIdx.x > all.of[mine + 1].first)/' \
  'side by side' strict plans
mutant batch-matmul-chunk matmul.cu 's/(blockIdx.x - job.first_sum) \* 256/blockIdx.x * 256/' \
  'side by side' strict plans
mutant chain-weights conv_chain.cu 's/a->sc = dw ? st\[0\] : st\[1\];/a->sc = st[1];/' \
  'scaled weights' strict plans
mutant chain-thin-weights conv_thin.cu 's/d.x_wide ? channel : k, 0}/k, 0}/' 'scaled weights' \
  strict plans
mutant batch-sum-chunk reduce.cu 's/chunk = block \/ job.width,/chunk = 0 * block \/ job.width,/' \
  'side by side' strict plans
mutant batch-sum-add reduce.cu 's/blockIdx.x - all.of\[mine\].first_add/blockIdx.x/' \
  'side by side' strict plans
mutant prep-gain conv.cu 's/if (s->node.attr.conv.gain != 0) p->gain = .*;//' 'kept weights' \
  strict plans
mutant prep-swapped conv_pack.cu 's/g.swapped ? ci . g.co + co : //' 'swapped weights' strict plans
planner_mutant batch-scratch plan_memory \
  's/s\[-1\].scratch_at + plan_round(p, s\[-1\].scratch)/0/' 'side by side' strict plans
planner_mutant batch-ready plan_batch 's/return false;$/continue;/' 'side by side' strict plans
planner_mutant prep-unread plan_device 's/u\[s->value\].readers || //' 'small network' \
  strict plans
# filters, with loops and sums in their store, sampling, optimiser; what stores leave besides
mutant conv-tap conv_chain.cu 's/if (t->to.last)/t->to.sc = 1; &/' 'layers of several' \
  strict loops
mutant tap-margin conv_chain.cu '/if (t->to.last) t->frame/d' 'kept besides' f16 plans
mutant tap-place conv_chain.cu 's/t->at = at;/t->at = 0;/' 'modulated' f16 plans
mutant fir-tap upfirdn_store.cu 's/t < chain.ntap/t < 0/' 'layers of several' strict loops
planner_mutant store-rounds plan_store 's/stored_at = (uint8_t)(type/stored_at = 0 * (type/' \
  'modulated' f16 plans
planner_mutant store-kept plan_store 's/if (kept) q->more/if (0) q->more/' 'modulated' f16 plans
mutant filter-sum filter_last.cu 's/k < SUM_THREADS; k += SUM/k < SUM_THREADS \/ 2; k += SUM/' \
  'blocks of' f16 plans
mutant filter-sum-rows filter_last.cu 's/dim\[0\] \* p->chunks \* p->ow/dim[0] * p->ow/' \
  'blocks of' f16 plans
planner_mutant tap-between plan_device 's/is_read_between(p, v, c, k) ||//' 'layers of several' \
  strict loops
mutant fir-store-row upfirdn_store.cu 's/(below ? v\[2\] : 0)/v[2]/' 'layers of several' \
  strict loops
mutant fir-store-column upfirdn_store.cu 's/if (below) w\[2\] = .*/if (below) w[2] = w[1];/' \
  'layers of several' strict loops
mutant fir-store-sum upfirdn_store.cu 's/terms = count \* per/terms = count * per - 1/' \
  'layers of several' strict loops
mutant fir-edge upfirdn.cu 's/if (second) st(y, at + 1, v/st(y, at + 1, v/' \
  upfirdn2d strict ops
mutant fir-barrier upfirdn.cu '/mid\[i\] = sum;/,/int oy = / s/__syncthreads();//' upfirdn2d \
  strict ops
mutant sample-barrier sample.cu \
  '/list\[next\[mine\] + rank\]/,/next\[mine\] += rank/ s/__syncthreads();//' grid_sample strict \
  ops
mutant optim-lane optim.cu \
  's/for (int k = 16; k; k >>= 1) count/for (int k = 8; k; k >>= 1) count/' '' strict optimiser
# matrices of doubles and what is made of them (cuda_judge); the same on the host's side
judged() {
  name=$1; file=$2; change=$3
  wanted_mutant "$name" || return 0
  if [ -f "cuda/$file" ]; then
    planted "$name" "$file" "$change" "$T/run" "$B/test/cuda_judge.o" || return
  else
    object=$(basename "$file" .c)
    sed -e "$change" "$file" >"$T/$object.c"
    cmp -s "$file" "$T/$object.c" && { bad "$name" "its pattern is no longer in $file"; return; }
    if ! ${CC:-cc} -std=gnu11 -w -O1 -I. -c -o "$T/$object.o" "$T/$object.c" $sanitized \
      2>"$T/log" || ! $CXX $sanitized -o "$T/run" "$B/test/cuda_judge.o" "$T/$object.o" \
      "$B"/emu/cuda/*.o $EMULATION "$B/librooms.a" \
      -lm -lpthread 2>"$T/log"; then
      bad "$name" "does not build: $(head -n 1 "$T/log")"
      return
    fi
  fi
  timeout 300 "$T/run" >"$T/log" 2>&1; rc=$?
  [ $rc -eq 0 ] && { bad "$name" "not found by cuda_judge"; return; }
  [ $rc -eq 124 ] && { bad "$name" "did not end"; return; }
  passed=$((passed + 1))
  echo "found: $name: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-170)"
}
judged dense-barrier dense.cu '/dense_fetch(p.right/,/for (int i/ s/__syncthreads();//'
judged dense-mirror dense.cu 's/if (p.same) out\[col .*//'
judged dense-piece dense.cu 's/int64_t z = 0; z < pieces/int64_t z = 1; z < pieces/'
judged cube-itself dense.cu 's/if (q.first >= 0 \&\& q.first + i == j) return 0;//'
judged pivot-root dense.cu 's/(1 \/ sqrt(pivot))/(1 \/ pivot)/'
judged bidiag-lane dense.cu 's/int k = 16; k > 0; k \/= 2) t/int k = 8; k > 0; k \/= 2) t/'
judged bidiag-above dense.cu 's/if (i >= q.k) sum/sum/'
judged values-count dense.cu 's/tiny) <= n + k/tiny) < n + k/'
judged values-bound dense.cu 's/high = 2 \* most/high = most/'
judged norm-padding models/math/ondevice.c 's/memset(one, 0, bytes);//'
judged queue-order models/judge/metrics_fid.c 's/norm\[i\]);/norm[0]);/'
judged input-clip models/judge/inception_input.c 's/c == FIDCONV_CLEAN ? g_clamp/0 ? g_clamp/'
# channels last: a margin that is not cleared (by products, partial sums, loops), a map read from
# another corner of its frame, swizzled staging, taps, axes, offsets, lanes, the shape of a margin
mutant last-margin conv_gemm.cu:conv_store.cuh \
  's/store_chunk<true>(job,/ConvJob j = job; j.store.frame = MapFrame{}; store_chunk<true>(j,/' \
  'conv n' f16 ops
mutant last-margin-loop loop_last.cu 's/out.last ? map_frame(.*) : MapFrame{}/MapFrame{}/' \
  'random loop' f16 loops
mutant last-corner conv.cu 's/((l.edge - top) \* m.row_chunks/(l.edge * m.row_chunks/' 'conv n' \
  f16 ops
mutant last-staging conv_gemm.cu:conv_store.cuh 's/stage_column(chunk \* MAP_CHUNK, x)/x/' \
  'conv n' f16 ops
mutant last-gradient conv_gemm.cu \
  's/y \* job.grad.row_chunks/y * job.kernels.by_ow.d * job.grad.pixel_chunks/' 'conv n' f16 ops
mutant last-pack conv_pack.cu 's/from.sx};/1};/' 'conv n' f16 ops
mutant last-taps filter_last.cu 's/(at + (odd ? 1 : 0)) >> 1/at >> 1/' upfirdn2d f16 ops
mutant last-axes loop_last.cu 's/_axis\[MAX_RANK\] = {0, 2, 3/_axis[MAX_RANK] = {0, 3, 2/' \
  'random loop' f16 loops
mutant last-summed loop_last.cu 's/d->inner_summed = .*;/d->inner_summed = false;/' sum f16 ops
mutant last-thin thin_last.cu 's/int o = 16; o; o >>= 1/int o = 8; o; o >>= 1/' 'conv n' f16 ops
mutant last-thin-barrier thin_last.cu \
  '/sum\[threadIdx.x\] = make_float4/,/if (row/ s/__syncthreads();//' 'conv n' f16 ops
mutant last-view layout.cu 's/map_row(s, l, 0, 0) \* 2/l.edge * w * c * 2/' 'conv n' f16 ops
mutant last-first loop_last.cu:map.cuh 's/first ? -f.edge : 0/0/' 'random loop' f16 loops
mutant last-first-side loop_last.cu:map.cuh 's/first \&\& x == 0 \&\& k <= f.side/false/' \
  'random loop' f16 loops
planner_mutant last-bytes plan_memory \
  's/map_numel(x->node.shape, x->lies)/shape_numel(x->node.shape)/' 'blocks of' f16 plans
planner_mutant scale-twice plan_scale 's/n->in\[q.scale\] = s->arg\[q.scale\] = 0;//' \
  'modulated' f16 plans
planner_mutant scale-back plan_scale 's/v >= p->products/false/' 'map in planes' f16 plans
planner_mutant outer-style plan_outer \
  's/outer_sum(o, s->arg\[1 - i\], m->arg\[0\]/outer_sum(o, s->arg[i], m->arg[0]/' \
  'image of one channel' strict plans
planner_mutant outer-scale plan_outer 's/ rhs = s->arg\[2\];/ rhs = lhs;/' \
  'image of one channel' strict plans
planner_mutant recover-bias plan_recover 's/OP_add ? OP_sub : OP_div/OP_add ? OP_add : OP_div/' \
  'image of one channel' f16 plans
planner_mutant recover-slope plan_recover 's/1 \/ a.slope, 1 \/ a.gain/a.slope, 1 \/ a.gain/' \
  'image of one channel' f16 plans
planner_mutant recover-zero plan_recover \
  's/o->op == OP_mul \&\& !is_above_zero.*return false;/false) return false;/' \
  'maps that are not recovered' f16 plans
planner_mutant recover-clamp plan_recover 's/a.limit >= 0 \&\& !ends_masked/0 \&\& !ends_masked/' \
  'maps that are not recovered' f16 plans
planner_mutant recover-turned plan_recover 's/ || a.gain <= 0) return/) return/' \
  'maps that are not recovered' f16 plans
# sums and filters in the stores of convolutions: a warp's part, the tiles of an image, the rows of
# the next tile, a tap, the edge of the small map, a map that another reads dropped; weights laid
# out times the factor of another row, times none
mutant store-sum-warp conv_gemm.cu:conv_store.cuh \
  's/w < WARPS; w++) x +=/w < WARPS - 1; w++) x +=/' 'pooled maps' f16 plans
mutant store-sum-images conv.cu 's|tiles / images, images, rows|tiles, images, rows|' \
  'pooled maps' f16 plans
mutant store-sum-rows conv_gemm.cu:conv_store.cuh \
  's/job.classes.rows + m0 + row\] = x/job.classes.rows + row] = x/' 'pooled maps' f16 plans
mutant store-sum-each conv.cu 's/dim\[3\] % w.tile != 0 ||/dim[3] < 0 ||/' 'pooled maps' f16 plans
mutant store-up-tap conv_gemm.cu:conv.cuh \
  's/ ? oddx + 2 \* k : 3 - oddx/ ? 1 - oddx + 2 * k : 2 + oddx/' 'blocks of' f16 plans
mutant store-up-edge conv_gemm.cu:conv.cuh \
  's/x0 + k >= u.width) continue/x0 + k > u.width) continue/' 'blocks of' f16 plans
planner_mutant store-unstored plan_store \
  's/q.unstored = plan_store_readers(p, v) == 1/q.unstored = true/' 'pooled maps' f16 plans
planner_mutant store-up-alone plan_up 's/ || plan_store_readers(p, v) > 1)/)/' \
  'doubled beside' f16 plans
# images: a channel's factor, the rows of a tile, one of eight threads; a map that is read besides;
# maps made of images: a pixel of another row, another channel's bias, the bits they are stored in
mutant store-dot-factor conv_chain.cu \
  's/for (int n = 0; n < 2; n++) {/for (int n = 0; n < 1; n++) {/' 'images of maps' f16 plans
mutant store-dot-rows conv.cu \
  's/ceil_div(w->job.classes.rows, STORE_ROWS)/w->job.classes.rows \/ STORE_ROWS/' \
  'images of maps' f16 plans
mutant store-dot-threads conv_gemm.cu:conv_store.cuh \
  's/int k = 1; k < STORE_CHUNKS; k \*= 2) dot/int k = 2; k < STORE_CHUNKS; k *= 2) dot/' \
  'images of maps' f16 plans
planner_mutant store-dot-alone plan_dot \
  's/const bool alone = plan_store_readers(p, map) == 1/const bool alone = true/' \
  'images of maps' f16 plans
mutant made-row filter_last.cu 's/q.in.data)\[at + c0 + k\]/q.in.data)[at + c0 + k + q.in.sy]/' \
  'blocks of' f16 plans
mutant made-bias filter_last.cu 's/q.from.bias\[channel + k\]/q.from.bias[k]/' 'blocks of' f16 plans
mutant made-mask conv_gemm.cu:conv.cuh 's/chain.from.weights + m/chain.from.weights/' \
  'blocks of' f16 plans
mutant pack-rows conv_pack.cu \
  's/v \*= rows\[g.swapped ? ci : co\]/v *= rows[g.swapped ? co : ci]/' 'large styles' f16 plans
mutant pack-rows-none conv.cu 's/p->rows = s->nargs > 1/p->rows = s->nargs > 2/' \
  'large styles' f16 plans
planner_mutant last-margin-wanted plan_layout \
  's/slot, &l->of\[v\].last)/slot, \&(MapLayout){1})/' 'blocks of' f16 plans
products='convolution, input gradient, weight gradient'
# what the self-test of the backend refuses: a wrong fragment (float takes its place), a wrong tile
# index, packed weights of another step; a lane left out of doubles (the host computes)
refused refused-fragment conv_gemm.cu \
  '/at_k(wm + i \* 16 + (lane & 15), s \* 2/ s/(lane >> 4))/(lane >> 3 \& 1))/' "$products"
refused refused-tile conv_gemm.cu \
  's/m0 = blockIdx.x % mtiles \* TILE/m0 = blockIdx.x % mtiles * (TILE + 64)/' "$products"
refused stale-weights conv.cu \
  's/if (!w->prepared) conv_pack/static int packed; if (!w->prepared \&\& !packed++) conv_pack/' \
  "$products"
refused refused-doubles dense.cu 's/int k = 16; k > 0; k \/= 2) t/int k = 8; k > 0; k \/= 2) t/' \
  doubles
PRLX_CUDA_WGMMA=1
export PRLX_CUDA_WGMMA
refused refused-wgmma conv_wgmma.cu \
  's/(uint32_t)group \* STORE_ROWS \* WG_LINE/0u/' 'convolution by wgmma'
unset PRLX_CUDA_WGMMA
refused refused-several multi.cu 's/k < o.terms; k += group/k + 1 < o.terms; k += group/' \
  'loop of several results'
refused refused-last filter_last.cu 's/(at + (odd ? 1 : 0)) >> 1/at >> 1/' 'channels last'
# in the trainer (C): the division by the loss scale, the state of the scale in a snapshot
trainer_mutant() {
  wanted_mutant "$1" || return 0
  sed -e "$3" "models/gan/$2.c" >"$T/$2.c"
  cmp -s "models/gan/$2.c" "$T/$2.c" && { bad "$1" "its pattern is no longer in $2.c"; return; }
  if ! ${CC:-cc} -std=gnu11 -w -O1 -I. -c -o "$T/$2.o" "$T/$2.c" $sanitized 2>"$T/log" ||
    ! ${CC:-cc} $sanitized -o "$T/run" "$B/test/test_backend.o" "$T/$2.o" "$B/librooms.a" \
      -lm -lpthread 2>"$T/log"; then
    bad "$1" "does not build: $(head -n 1 "$T/log")"
    return
  fi
  timeout 900 "$T/run" >"$T/log" 2>&1; rc=$?
  [ $rc -eq 0 ] && { bad "$1" "not found by test_backend"; return; }
  [ $rc -eq 124 ] && { bad "$1" "did not end"; return; }
  passed=$((passed + 1))
  echo "found: $1: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-170)"
}
trainer_mutant loss-scale-division train_phase 's|1 / t->state.loss_scale\[0\]|1|'
infinity='s|flat_unscale(\(t->backend\), g, \(n, .*\), bad, e)|'
infinity="$infinity"'\1->sanitize(\1, (float *)g, \2, 1e5f, bad, e)|'
trainer_mutant loss-scale-infinity train_phase "$infinity"
trainer_mutant loss-scale-snapshot train 's|if (train_scales(t)) visit|if (false) visit|'
# weights that were packed before the last step of the optimiser; draws of an iteration that is over
trainer_mutant kept-weights train_phase 's|nets_weights_changed(t);||'
trainer_mutant draws-ahead train \
  's|a->batch_idx == t->state.batch_idx|true|; s|!memcmp(a->from, .*)|true|'
[ $passed -eq 0 ] && [ $failed -eq 0 ] && bad "$which" "no such mutant"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
