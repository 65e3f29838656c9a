#!/bin/sh
# The comparison and the golden files on a card, then compute-sanitizer over a subset when it is
# there.
# usage: BUILD=build sh test/test_gpu.sh
# environment: GPU_PROGRAMS=folder of the programs (default $BUILD/gpu), TEST_LONG=1 all shapes
B=${BUILD:-build}
G=${GPU_PROGRAMS:-$B/gpu}
bad=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' INT TERM
run() {
  name=$1; shift; start=$(date +%s)
  "$@" >"$log" 2>&1; rc=$?
  grep -E 'FAIL|ERROR' "$log" | head -n 20
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  [ $rc -ne 0 ] && { bad=1; [ -n "$line" ] || tail -n 5 "$log"; }
  echo "$name: ${line:-no verdict}, code $rc ($(( $(date +%s) - start )) s)"
}
for p in cuda_ops cuda_run cuda_batch cuda_golden cuda_selftest cuda_paper cuda_judge cuda_wgmma; do
  [ -x "$G/$p" ] || { echo "test-gpu: $G/$p is missing; run make test-gpu"; exit 1; }
done
command -v nvidia-smi >/dev/null 2>&1 &&
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
run "self-test" "$G/cuda_selftest"
run "operations" "$G/cuda_ops"
run "judges of images" "$G/cuda_judge"
for p in strict tf32 f16 bf16; do run "Inception, $p" "$G/cuda_judge" features $p; done
for p in strict tf32 f16 bf16; do
  run "steps of the paper configuration at batch 64, $p" "$G/cuda_paper" $p
done
# the product by wgmma, which is off elsewhere (cuda/README.md)
run "self-test with wgmma" env PRLX_CUDA_WGMMA=1 "$G/cuda_selftest"
run "wgmma beside mma.sync" "$G/cuda_wgmma" f16 bf16
run "steps of the paper configuration by wgmma" env TEST_WGMMA=1 "$G/cuda_paper" f16
run "any batch" "$G/cuda_batch"
run "any batch, by wgmma" env TEST_WGMMA=1 "$G/cuda_batch" f16
for p in strict tf32 f16 bf16; do run "training and projection, $p" "$G/cuda_run" $p; done
run "golden files" "$G/cuda_golden" -q test/golden
S=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
if [ -n "$S" ]; then
  for tool in memcheck racecheck initcheck synccheck; do
    run "compute-sanitizer $tool" "$S" --tool $tool --error-exitcode 9 "$G/cuda_ops" strict f16 \
      ops loops
  done
else echo "compute-sanitizer is not there: skipped"; fi
[ $bad -eq 0 ] && echo "test-gpu: all passed" || echo "test-gpu: something failed"
exit $bad
