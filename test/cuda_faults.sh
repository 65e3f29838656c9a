#!/bin/sh
# A card that is not there, too old, busy, full or lost, under the emulation: each has one line of
# message that says what to do, and a command that it meets at its work leaves nothing half-written.
# And what judges images gives on the device what it gives on the CPU.
# usage: sh test/cuda_faults.sh build/emu/prlx
. "$(dirname "$0")/cli.inc"
NET=test/golden/generator_uncond.safetensors
D=data/prlx_lesions.safetensors
make="$P generate --network $NET --seeds 1 --quiet --device"

# ---- before anything is computed ----
# refused ENVIRONMENT CODE TEXT: --device cuda fails so, auto computes on the CPU
refused() {
  expect "$2" "$3" env "$1" $make cuda -o "$T/no"
  [ ! -e "$T/no" ]; ok $? "$1: something was written"
  expect 0 "" env "$1" $make auto -o "$T/yes"
  rm -rf "$T/yes"
}
refused PRLX_EMU_DEVICES=0 2 "no CUDA-capable device is detected"
refused PRLX_EMU_DRIVER=11040 2 "for CUDA 11.4, this program needs one for 13.0: install a newer"
refused PRLX_EMU_DRIVER=0 2 "no driver: install that of the GPU"
refused PRLX_EMU_ARCH=70 1 "capability 7.0; 7.5 or newer is needed; use --device cpu"
refused PRLX_EMU_BUSY=1 1 "another program has this GPU to itself .*CUDA_VISIBLE_DEVICES"
refused PRLX_EMU_LOST=40 1 "cannot use the GPU any more; .*--device cpu"
refused PRLX_EMU_MEMORY=300000 1 "out of device memory: 0.6 MiB were asked for, .*end other prog"

# ---- sets small enough for an emulated card ----
cpu="--device cpu --quiet"
expect 0 "" "$P" phantom --subjects 12 --rim 8 --ambiguous 4 --nonrim 8 --fast-inversion \
  --no-sheets $cpu -o "$T/c"
expect 0 "" "$P" pack "$T/c/lesions.tsv" -o "$T/tr.safetensors" --test "$T/te.safetensors" \
  --slices central --channels chi,rim --no-sheet $cpu
expect 0 "" "$P" pack "$T/c/lesions.tsv" -o "$T/t1.safetensors" --test "$T/e1.safetensors" \
  --slices central --no-sheet $cpu
expect 0 "" "$P" project "$T/c/lesions.tsv" --ambiguous --network data/network_small.safetensors \
  --range 0-1 --steps 2 --w-samples 100 --no-nifti $cpu -o "$T/d"
expect 0 "" "$P" classify "$T/t1.safetensors" --runs 1 --epochs 1 --batch 8 --pools 3 $cpu \
  -o "$T/m"

# ---- statistics on the device ----
# close FILE FILE TOLERANCE WHAT: the numbers in both, one by one
close() {
  tr -c '0-9.e+-' '\n' <"$1" | grep -E '[0-9]' >"$T/n1"
  tr -c '0-9.e+-' '\n' <"$2" | grep -E '[0-9]' >"$T/n2"
  [ "$(wc -l <"$T/n1")" -gt 20 ] && [ "$(wc -l <"$T/n1")" -eq "$(wc -l <"$T/n2")" ] &&
    paste "$T/n1" "$T/n2" | awk -v tol="$3" '
      {d = $1 - $2; if (d < 0) d = -d; m = $1 < 0 ? -$1 : $1; if (d > tol * (m > 1 ? m : 1)) bad++}
      END {exit bad > 0}'
  ok $? "$4: $(diff "$T/n1" "$T/n2" | head -n 6 | tr '\n' ' ')"
}
# Features made on the CPU and kept; a device takes no features of another arithmetic from there.
expect 0 "" "$P" fid "$T/t1.safetensors" "$T/e1.safetensors" --bootstrap 0 --sizes 0 \
  --cache "$T/f" $cpu
set -- "$T"/f/features-*.safetensors
judge="$P fid $1 $2 --bootstrap 12 --floor --json"
expect 0 "" $judge $cpu
cp "$T/out" "$T/cpu.json"
expect 0 "" $judge --quiet --device cuda
close "$T/cpu.json" "$T/out" 1e-8 "fid of the same features on the CPU and on the device"

# Images of 16 x 16: VGG on them is quick enough.
for i in "a 0-9" "b 20-22"; do
  # shellcheck disable=SC2086
  set -- $i
  expect 0 "" "$P" generate --network $NET --seeds "$2" $cpu -o "$T/$1"
done
set -- "$P" evidence --synthetic "$T/b/dataset.safetensors" --train "$T/a/dataset.safetensors" \
  --typical 2
expect 0 "" "$@" $cpu -o "$T/ec"
expect 0 "" "$@" --quiet --device cuda --precision strict -o "$T/ed"
close "$T/ec/memory.tsv" "$T/ed/memory.tsv" 2e-5 "neighbours on the CPU and on the device"
expect 0 "" "$P" evidence "$T/d" --model "$T/m" --train "$T/t1.safetensors" --no-perceptual \
  $cpu -o "$T/nc"
expect 0 "" "$P" evidence "$T/d" --model "$T/m" --train "$T/t1.safetensors" --no-perceptual \
  --quiet --device cuda --precision strict -o "$T/nd"
close "$T/nc/evidence.tsv" "$T/nd/evidence.tsv" 2e-5 "scores on the CPU and on the device"

# ---- a card that is lost at work ----
# lost OUTPUT command...: the command as it is; then the card goes after a third and the half of
# what comes after the start. Files that are whole may stay (models that were trained).
calls() { cat "$T/calls"; }
expect 0 "" env PRLX_EMU_CALLS="$T/calls" $make cuda --precision strict -o "$T/g"
start=$(calls)
lost() {
  out=$1
  shift
  expect 0 "" env PRLX_EMU_CALLS="$T/calls" "$@" --quiet --device cuda --precision strict
  all=$(calls)
  [ "$all" -gt "$start" ]; ok $? "$2: $all calls of the runtime, no more than $start"
  mv "$out" "$T/kept"
  for at in $((start + (all - start) / 3)) $((start + (all - start) / 2)); do
    expect 1 "cannot use the GPU any more" env PRLX_EMU_LOST="$at" "$@" --quiet --device cuda \
      --precision strict
    left=$(find "$out" -type f 2>/dev/null | grep -v '/\.prlx\|/model0.safe' | head -n 3)
    [ -z "$left" ]; ok $? "$2, lost at call $at of $all: left behind: $left"
    rm -rf "$out"
  done
  mv "$T/kept" "$out"
}
lost "$T/g2" "$P" generate --network $NET --seeds 0-8 -o "$T/g2"
lost "$T/r" "$P" classify "$T/t1.safetensors" --test "$T/e1.safetensors" --runs 1 --epochs 1 \
  --batch 8 --resamples 20 -o "$T/r"
lost "$T/cam" "$P" cam "$T/e1.safetensors" --model "$T/m" -o "$T/cam"
lost "$T/seg" "$P" segment "$T/tr.safetensors" --test "$T/te.safetensors" --levels 2 --width 2 \
  --runs 1 --epochs 1 --batch 4 --resamples 20 -o "$T/seg"
lost "$T/sm.safetensors" "$P" smote "$T/t1.safetensors" --epochs 1 --batch 4 --width 2 --latent 4 \
  --images 2 --out "$T/sm.safetensors"
# ---- memory that ends after the start ----
# full OUTPUT command...
full() {
  out=$1
  shift
  expect 1 "needs .* of device memory but only .*; use a smaller batch" \
    env PRLX_EMU_MEMORY=6000000 "$@" --quiet --device cuda
  [ ! -e "$out" ]; ok $? "$2 without memory: something was written"
}
full "$T/o" "$P" classify "$T/t1.safetensors" --runs 1 --epochs 1 --batch 8 -o "$T/o"
full "$T/o" "$P" cam "$T/e1.safetensors" --model "$T/m" -o "$T/o"
full "$T/o" "$P" segment "$T/tr.safetensors" --levels 3 --width 8 --runs 1 --epochs 1 --batch 8 \
  -o "$T/o"
full "$T/o" "$P" smote "$T/t1.safetensors" --epochs 1 --batch 16 --width 8 --latent 4 --images 2 \
  --out "$T/o"

# too short for thirds: lost before the distances by pixel
set -- "$P" evidence --synthetic "$T/b/dataset.safetensors" --train "$T/a/dataset.safetensors" \
  --typical 2 --no-perceptual --quiet --device cuda
expect 0 "" env PRLX_EMU_CALLS="$T/calls" "$@" -o "$T/e1"
expect 1 "cannot use the GPU any more" env PRLX_EMU_LOST=$(($(calls) - 20)) "$@" -o "$T/e2"
[ ! -e "$T/e2/memory.tsv" ]; ok $? "evidence of a lost card"
expect 0 "" env PRLX_EMU_CALLS="$T/calls" $judge --quiet --device cuda
for at in $((start + 60)) $(($(calls) - 60)); do
  expect 1 "cannot use the GPU any more" env PRLX_EMU_LOST=$at $judge --quiet --device cuda
  [ ! -s "$T/out" ]; ok $? "fid, lost at call $at: half a result"
done
expect 1 "out of device memory: .* smaller --batch" env PRLX_EMU_MEMORY=700000 $judge --quiet \
  --device cuda
expect 1 "of device memory but only .* smaller batch" env PRLX_EMU_MEMORY=9000000 "$P" fid \
  "$T/t1.safetensors" "$T/e1.safetensors" --cache "$T/f" --bootstrap 0 --quiet --device cuda
finish
