#!/bin/sh
# Plants faults in copies of what sums gradients over several processes, one at a time, and requires
# that test_comm (an engine that is late and out of order) or cuda_comm (emulated cards, one of two
# streams late) finds each of them. A pattern that is no longer in its file is a failure.
#
# usage: BUILD=build sh test/comm_mutants.sh fast|long|NAME (after make emu-programs and
# build/test_comm; fast: the first two)
B=${BUILD:-build}; CXX=${EMU_CXX:-g++}; which=${1:-long}; passed=0; failed=0; count=0
T=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX")
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
sanitized=
nm "$B/test/test_comm.o" 2>/dev/null | grep -q __asan_ &&
  sanitized="-fsanitize=address,undefined"
emulated="-std=gnu++17 -w -O1 -ffp-contract=off -I. -Itest/cuda_emu -Itest/nccl_emu"
emulated="$emulated -DPRLX_CUDA_EMU -DPRLX_HAVE_NCCL -include test/cuda_emu.h"
bad() { echo "FAIL mutant $1: $2"; failed=$((failed + 1)); }

# mutant NAME FILE 'sed expression': in C found by test_comm, in CUDA by cuda_comm
mutant() {
  count=$((count + 1))
  case $which in
    fast) [ $count -le 2 ] || return 0 ;;
    long) ;;
    *) [ "$which" = "$1" ] || return 0 ;;
  esac
  base=$(basename "$2"); o=$T/${base%.*}.o
  sed -e "$3" "$2" >"$T/$base"
  cmp -s "$2" "$T/$base" && { bad "$1" "its pattern is no longer in $2"; return; }
  case $2 in
    *.cu)
      objects="$B/test/cuda_comm.o $B/emu/nccl/cuda_emu_nccl.o $B/emu/test/cuda_emu.o"
      objects="$objects $B/emu/test/cuda_emu_api.o $B/emu/test/cuda_emu_async.o"
      for x in "$B"/emu/cuda/*.o; do
        [ "$(basename "$x" .o)" = "${base%.*}" ] || objects="$objects $x"
      done
      $CXX $emulated $sanitized -x c++ -c -o "$o" "$T/$base" 2>"$T/log" &&
        $CXX $sanitized -o "$T/run" "$o" $objects "$B/librooms.a" -lm -lpthread 2>"$T/log"
      ;;
    *)
      ${CC:-cc} -std=gnu11 -w -O1 -I. $sanitized -c -o "$o" "$T/$base" 2>"$T/log" &&
        ${CC:-cc} $sanitized -o "$T/run" "$B/test/test_comm.o" "$o" "$B/librooms.a" \
          -lm -lpthread 2>"$T/log"
      ;;
  esac
  [ $? -eq 0 ] || { bad "$1" "does not build: $(head -n 1 "$T/log")"; return; }
  TEST_STOP=1 timeout 200 "$T/run" one >"$T/log" 2>&1; rc=$?
  [ $rc -eq 0 ] && { bad "$1" "not found"; return; }
  [ $rc -eq 124 ] && { bad "$1" "did not end"; return; }
  passed=$((passed + 1))
  echo "found: $1: $(grep -E 'FAIL|ERROR' "$T/log" | head -n 1 | cut -c 1-170)"
}

# a bucket that begins before its last gradient; sums that do not wait for the backward pass
mutant bucket-early models/gan/train_bucket.c 's/after\[n\] = last;/after[n] = last - 1;/'
mutant wait-ready cuda/comm_nccl.cu '/cudaStreamWaitEvent(k->stream, k->ready/ d'
# bounds of a bucket
short='round + g->offset, g->n - 16}'
mutant bucket-short models/gan/train_bucket.c "s/round + g->offset, g->n}/$short/"
mutant bucket-neighbour models/gan/train_bucket.c 's/to\[n - 1\].n += g->n;/to[n - 1].n += 16;/'
mutant bucket-other models/gan/train_bucket.c 's/round + g->offset, g->n}/round, g->n}/'
# a gradient that is taken for complete a step early
mutant done-early core/plan_marks.c 's/done = k + 1;/done = k;/'
# a segment of the run that comes after the mark it belongs before; buckets that are not waited for
mutant mark-first core/plan_marks.c 's/p->mark\[next\] <= steps/p->mark[next] <= steps + 2/'
mutant bucket-wait models/gan/train_comm.c \
  's/const Status st = (t->backend .*/const Status st = 0;/'
mutant bucket-all models/gan/train_comm.c \
  's/t->bucket_begun < t->bucket_net->nbucket/t->bucket_begun + 1 < t->bucket_net->nbucket/'
# the round that the engine adds on its way, added once more
mutant round-twice models/gan/train_phase.c '/train_bucket_rest(t);/,/return/ s/return ST_OK;//'
# on the device: the way back, the order of the ranks, the end of a piece, ranges of a launch
mutant wait-done cuda/comm_nccl.cu \
  's/return cuda_status(cudaStreamWaitEvent(of.*/return ST_OK;/'
own='s/float s = rank == 0 .*/float s = own[i];/'
own="$own; s/int r = 1; r < size; r++)\$/int r = 0; r < size; r++)/"
mutant rank-order cuda/comm_nccl.cu "$own; s/s = __fadd_rn(s, r == rank/if (r != rank) &/"
mutant pack-end cuda/comm_nccl.cu 's/if (i >= p.n) return;/if (i >= p.n - 1) return;/'
mutant pack-range cuda/comm_nccl.cu 's/i >= p.of\[k + 1\].at) k++/i > p.of[k + 1].at) k++/'
mutant piece-more cuda/comm_nccl.cu 's/more ? more + at : NULL/more/'
[ $passed -eq 0 ] && [ $failed -eq 0 ] && bad "$which" "no such mutant"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
