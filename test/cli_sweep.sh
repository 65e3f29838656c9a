#!/bin/sh
# cli_sweep.sh: a sample of the option sweep (make test-sweep has all of it, under sanitizers), and
# nonsense in the environment. usage: cli_sweep.sh PROGRAM (beside it: sweep)
. "$(dirname "$0")/cli.inc"
B=$(dirname "$P")
stride=${TEST_LONG:+20}
SWEEP_SECONDS=1 BUILD=$B sh test/sweep/run.sh "$P" "${stride:-53}" >"$T/sweep" 2>&1
grep -E '^FAIL|^     |^prepare' "$T/sweep"
runs=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$T/sweep")
wrong=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$T/sweep")
passed=$((passed + ${runs:-0}))
failed=$((failed + ${wrong:-1}))
tail -n 2 "$T/sweep" | head -n 1

cp test/golden/generator_uncond.safetensors "$T/net.safetensors"
for variable in PRLX_THREADS=0 PRLX_THREADS=-1 PRLX_THREADS=65 PRLX_THREADS=two PRLX_THREADS=2x \
  PRLX_THREADS=1e1 PRLX_THREADS=99999999999999999999 "PRLX_THREADS= 2" PRLX_ISA=sse PRLX_ISA=AVX2 \
  PRLX_ISA=-1 PRLX_CONV=fast PRLX_CONV=Winograd PRLX_DATA=/none PRLX_DATA=/dev/null \
  PRLX_DUMP=/none PRLX_DUMP=/dev/null PRLX_CUDA_CONV=1 PRLX_CUDA_CONV=128 PRLX_CUDA_CONV=128,99 \
  PRLX_BUCKET=-1 PRLX_BUCKET=8M PRLX_BUCKET=9999999999999 \
  PRLX_CUDA_LAYOUT=Last PRLX_CUDA_LAYOUT=1 PRLX_CUDA_WGMMA=2 PRLX_CUDA_WGMMA=on \
  PRLX_THREAD=2 PRLX_TREADS=2 PRLX_DTAA=data PRLX_IAS=avx2; do
  name=${variable%%=*}
  for run in check "info $T/net.safetensors" \
    "generate --network $T/net.safetensors --seeds 0 -o $T/g" "paper audit"; do
    # shellcheck disable=SC2086
    expect 2 "environment variable $name" env "$variable" "$P" $run
  done
  [ ! -e "$T/g" ]
  ok $? "$variable: nothing written"
done
# empty is not set; TMPDIR is not used: nothing is written outside of the results
mkdir "$T/w" "$T/tmp"
for variable in PRLX_THREADS= PRLX_ISA= PRLX_CONV= PRLX_DUMP= PRLX_ISA=portable PRLX_CONV=direct \
  TMPDIR=/none TMPDIR= TMPDIR=/dev/null "TMPDIR=$T/tmp"; do
  rm -rf "$T/g"
  # shellcheck disable=SC2086
  expect 0 "" env "$variable" "$P" generate --network "$T/net.safetensors" --seeds 0 --no-nifti \
    -o "$T/g"
  case $variable in
    TMPDIR*) same "$T/g/dataset.safetensors" "$T/w/dataset.safetensors" "$variable" ;;
    PRLX_THREADS=) cp "$T/g/dataset.safetensors" "$T/w/" ;;
  esac
done
[ -z "$(ls "$T/tmp")" ]
ok $? "nothing in TMPDIR"
# --help works whatever the environment holds
expect 0 "usage" env PRLX_THREADS=x "$P" help train
expect 0 "prlx" env PRLX_THREADS=x "$P" --version
finish
