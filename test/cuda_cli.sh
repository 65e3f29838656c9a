#!/bin/sh
# What only a command line shows of the CUDA backend: the program linked with the emulated sources.
# usage: sh test/cuda_cli.sh build/emu/prlx
P=$1
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
ok() {
  if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAIL: $2"
    head -n 5 "$T/out" "$T/err"
  fi
}

# ---- check: every kind of kernels against its definition ----
"$P" check --device cuda --precision f16 >"$T/out" 2>"$T/err"
ok $? "check --device cuda"
grep -q '^ok *GPU kernels f16 *11 kinds, .* cases agree with their definitions' "$T/out"
ok $? "check does not say that the kernels agree"
grep -q '^ok *convolution GPU' "$T/out"
ok $? "check does not compare the convolution"
grep -q 'GPU kernels bf16' "$T/out"
[ $? -ne 0 ]
ok $? "--precision f16 checks bf16, too"
"$P" check --device cpu >"$T/out" 2>"$T/err"
ok $? "check --device cpu"
grep -q 'GPU kernels' "$T/out"
[ $? -ne 0 ]
ok $? "--device cpu tests the kernels of a GPU"

# ---- a command that computes there ----
"$P" generate --network data/network_small.safetensors --seeds 1 --device cuda --precision strict \
  -o "$T/g" --quiet >"$T/out" 2>"$T/err"
ok $? "generate --device cuda"
grep -q 'takes its place' "$T/err"
[ $? -ne 0 ]
ok $? "a note of refused kernels without a reason"
# ---- train: f16 where nothing else is asked for and maps are bounded ----
for p in "f16" "tf32 --clamp -1" "tf32 --clamp 1000" "bf16 --precision bf16"; do
  # shellcheck disable=SC2086
  set -- $p
  want=$1
  shift
  "$P" train data/prlx_lesions.safetensors --device cuda --dry-run --no-layers --batch 4 \
    --channel-max 8 "$@" >"$T/out" 2>"$T/err"
  ok $? "train --device cuda --dry-run $*"
  grep -q "cuda-emu ($want)" "$T/out"
  ok $? "train $* does not compute in $want"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
