#!/bin/sh
# The command line from outside: wrong usage, bad files, full disks, Ctrl-C and kill -9.
# usage: sh test/cli_basic.sh build/prlx
# Needs sh, printf, dd, cmp, grep, sed, cut and the program. Ends with "N passed, N failed".
. "$(dirname "$0")/cli.inc"
PRLX=$P; pids=
trap 'for p in $pids; do kill -9 "$p" 2>/dev/null; done; rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
absent() {
  if [ -e "$1" ]; then failed=$((failed + 1)); echo "FAIL $1 should not be there"; else pass; fi
}
# some data that is not constant
bytes() { dd if="$PRLX" bs="$1" count=1 skip="${2:-3}" 2>/dev/null; }
# safetensors FILE HEADER DATA_BYTES: a file with this JSON header, padded
safetensors() {
  h=$2; n=${#h}
  while [ $((n % 8)) -ne 0 ]; do h="$h "; n=$((n + 1)); done
  {
    printf "\\$(printf %03o $((n % 256)))\\$(printf %03o $((n / 256)))\000\000\000\000\000\000"
    printf %s "$h"
    [ "$3" -eq 0 ] || bytes "$3"
  } >"$1"
}
# dataset FILE N CHANNELS SIDE
dataset() {
  b=$(($2 * $3 * $4 * $4))
  meta="{\"format\":\"prlx-dataset-1\",\"channels\":\"$5\",\"window.chi\":\"display\"}"
  images="{\"dtype\":\"U8\",\"shape\":[$2,$3,$4,$4],\"data_offsets\":[0,$b]}"
  safetensors "$1" "{\"__metadata__\":$meta,\"images\":$images}" $b
}

# ---- help and usage ----
expect 0 "usage: prlx COMMAND" "$PRLX" help
expect 0 "prlx 0" "$PRLX" --version
for c in train generate project info check dump bench demo; do
  expect 0 "usage: prlx $c" "$PRLX" help $c
done
"$PRLX" >"$T/out" 2>"$T/err"; [ $? -eq 2 ] && pass || fail "prlx without arguments: exit code"
[ ! -s "$T/out" ] && grep -q "usage: prlx" "$T/err" && pass ||
  fail "prlx without arguments: the usage on standard error, nothing on standard output"
expect 2 "did you mean 'train'" "$PRLX" trian
expect 2 "unknown command" "$PRLX" help nonsense
expect 0 "prlx paper run - " "$P" help paper run
expect 0 "prlx paper run - " "$P" help "paper run"
expect 0 "prlx reader make - " "$P" help reader make
expect 0 "prlx walk - " "$P" help walk mix
expect 2 "'nonsense' is not a part of it" "$P" help paper nonsense
expect 2 "unknown command 'nonsense run'" "$P" help "nonsense run"
expect 2 "unknown command ''" "$P" help ""
expect 2 "unknown option --bacth; did you mean --batch? see 'prlx help train'" "$PRLX" train \
  --bacth 3
expect 2 "unknown option --zzzz" "$PRLX" project --zzzz
expect 2 "unknown option -x" "$PRLX" info -x
for o in "--batch 0" "--batch -3" "--batch 1e9" "--batch 4x" "--lr -1" "--lr nan" "--lr 2" \
    "--p 1.5" "--kimg 0" "--seed -1" "--config huge" "--memory 12Q" "--threads 1000" \
    "--mirror=perhaps"; do
  set -- $o; name=${1%%=*}; expect 2 "$name" "$PRLX" train $o --data x --out y
done
expect 2 "from 0 to" "$PRLX" project --steps -1 x.png
expect 2 "needs a value" "$PRLX" train --out
expect 2 "out" "$PRLX" train --data x
expect 2 "data" "$PRLX" train --out "$T/none"; absent "$T/none"
expect 2 "CUDA" "$PRLX" train --device cuda --data x --out y
# bf16 on the CPU: refused where the instruction set has none; else other numbers than float's,
# the same ones for any number of threads and any batch
for isa in portable avx512; do
  "$PRLX" check | grep -q "instruction sets .*$isa.* can run" || continue
  expect 1 "has no products of bf16 numbers; expected AVX512_BF16" env PRLX_ISA=$isa \
    "$PRLX" generate --network "$PRLX_DATA/network_small.safetensors" --seeds 0 -o "$T/none" \
    --precision bf16 --device cpu
  absent "$T/none"
done
if "$PRLX" check | grep -q "^ok *products of bf16"; then
  for run in "f strict 1 4" "a bf16 1 4" "b bf16 3 4" "c bf16 2 1"; do
    set -- $run
    expect 0 "" "$PRLX" generate --network "$PRLX_DATA/network_small.safetensors" --seeds 0-3 \
      -o "$T/$1" --precision "$2" --threads "$3" --batch "$4" --device cpu
  done
  cmp -s "$T/a/dataset.safetensors" "$T/f/dataset.safetensors" && fail "bf16 is float" || pass
  same "$T/a/dataset.safetensors" "$T/b/dataset.safetensors" "bf16: 1 and 3 threads"
  same "$T/a/dataset.safetensors" "$T/c/dataset.safetensors" "bf16: alone and in a batch"
fi
expect 2 "argument" "$PRLX" train data.safetensors surplus
expect 2 "FILE" "$PRLX" info
expect 2 "only" "$PRLX" bench --only nothing
expect 2 "roofline" "$PRLX" bench --roofline --only conv
expect 2 "roofline" "$PRLX" bench --roofline --compare "$PRLX"
expect 1 "no such program" "$PRLX" bench --compare "$T/nothing"
expect 1 "expected 0" "$PRLX" bench --compare /bin/false --pairs 1
if [ -n "$TEST_LONG" ]; then
  expect 0 "smallest to largest" "$PRLX" bench --compare "$PRLX" --pairs 1 --only train --quick \
    --repeat 1
fi
expect 2 "seeds" "$PRLX" generate --network x --seeds 9-3
if [ -w /dev/full ]; then
  "$PRLX" help >/dev/full 2>"$T/err"; [ $? -eq 1 ] && pass || fail "help > /dev/full: exit code"
fi
"$PRLX" check >"$T/out" 2>&1
grep -q '^verdict:' "$T/out" && pass || fail "check ends with a verdict"
if grep -q 'convolution.*BAD\|BAD.*convolution' "$T/out"; then
  fail "check: arithmetic"
else
  pass
fi

# ---- bad safetensors ----
S=$T/bad.safetensors
expect 1 "nothing.safetensors" "$PRLX" info "$T/nothing.safetensors"
: >"$S";                    expect 1 "bad.safetensors" "$PRLX" info "$S"
printf '\010\000\000' >"$S"; expect 1 "bad.safetensors" "$PRLX" info "$S"
printf '\377\377\377\377\377\377\377\177{}' >"$S"; expect 1 "header" "$PRLX" info "$S"
echo "this is a text file that somebody renamed" >"$S"; expect 1 "safetensors" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 12
expect 1 "bad.safetensors" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}' 64
expect 1 "bad.safetensors" "$PRLX" info "$S"
first='"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
safetensors "$S" "{$first,\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}" 12
expect 1 "b" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}' 8
expect 1 "a" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}' 8
expect 1 "a" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"Q7","shape":[2],"data_offsets":[0,8]}}' 8
expect 1 "number type" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}' 8
expect 1 "a" "$PRLX" info "$S"
safetensors "$S" "{$first,\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}" 16
expect 1 "a" "$PRLX" info "$S"
safetensors "$S" '{"a":{"dtype":"F32","shape":[2]' 8; expect 1 "bad.safetensors" "$PRLX" info "$S"
expect 1 "$T" "$PRLX" info "$T"
safetensors "$T/good.safetensors" '{"a":{"dtype":"U8","shape":[2,4],"data_offsets":[0,8]}}' 8
expect 0 "\[2,4\]" "$PRLX" info "$T/good.safetensors"

# ---- data sets and training ----
D=$T/data.safetensors
dataset "$D" 8 1 32 chi; expect 0 "8 images" "$PRLX" info --brief "$D"
small="--data $D --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 --batch 4 --tick 0.008"
small="$small --snap 2 --quiet"
train() { expect "$1" "$2" "$PRLX" train $small --kimg 0.008 --out "$3" $4 $5; }
expect 1 "missing.safetensors" "$PRLX" train --data "$T/missing.safetensors" --out "$T/no" --quiet
: >"$T/empty.safetensors"
expect 1 "empty.safetensors" "$PRLX" train --data "$T/empty.safetensors" --out "$T/no" --quiet
expect 1 "good.safetensors" "$PRLX" train --data "$T/good.safetensors" --out "$T/no" --quiet
dataset "$T/odd.safetensors" 4 1 24 chi
expect 1 "24x24" "$PRLX" train --data "$T/odd.safetensors" --out "$T/no" --quiet
train 1 "labels" "$T/no" --cond
train 1 "divisor" "$T/no" --batch-gpu 3
train 1 "preset" "$T/no" --aug nonsense
absent "$T/no"
train 1 "memory\|MiB\|bytes" "$T/no2" --memory 1M
echo keep >"$T/file"; train 1 "$T/file" "$T/file/run"; train 1 "$T/file" "$T/file"
[ "$(cat "$T/file")" = keep ] && pass || fail "a file in place of the run folder was touched"
[ -d /proc/self ] && train 1 "/proc" /proc/prlx-run
[ -w /dev/full ] && train 1 "/dev/full" /dev/full/run

# kill -9 and Ctrl-C at some moment, then --resume: the same bytes as a run that was never stopped,
# on other thread counts
start() {
  "$PRLX" train $small --kimg 1000 --out "$1" --threads "$2" >"$T/out.$3" 2>"$T/err.$3" &
  pid=$!
  pids="$pids $pid"
}
await() { i=0; while [ ! -s "$1" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done; }
start "$T/killed" 2 k
await "$T/killed/state.safetensors"
sleep 0.2
kill -9 $pid
wait $pid 2>/dev/null
start "$T/stopped" 3 s; await "$T/stopped/metrics.jsonl"; kill -INT $pid; wait $pid; rc=$?
[ $rc -eq 1 ] && grep -q -e '--resume' "$T/err.s" && pass || fail "Ctrl-C: exit code $rc or no hint"
[ -s "$T/stopped/state.safetensors" ] && pass || fail "Ctrl-C saves the state"
images() { sed -n 's/.*"nimg":\([0-9]*\).*/\1/p' "$1/metrics.jsonl" | tail -n 1; }
a=$(images "$T/killed"); b=$(images "$T/stopped"); [ "$a" -lt "${b:-0}" ] && a=$b
K=$((a + 40)); K=$((K / 1000)).$(printf %03d $((K % 1000)))
"$PRLX" train $small --kimg $K --out "$T/whole" --threads 1 >/dev/null 2>"$T/err" && pass ||
  fail "a run that is not stopped"
expect 0 "" "$PRLX" train --resume --out "$T/killed" --kimg $K --threads 1 --quiet
expect 0 "" "$PRLX" train --resume --out "$T/stopped" --kimg $K --threads 2 --quiet
for r in killed stopped; do
  same "$T/whole/network.safetensors" "$T/$r/network.safetensors" "$r run, resumed"
  cut -d, -f1-14 "$T/whole/metrics.jsonl" >"$T/m1"
  cut -d, -f1-14 "$T/$r/metrics.jsonl" >"$T/m2"
  same "$T/m1" "$T/m2" "metrics of the $r run"
done
# rates that fall over the last part of a run: asked for at the start, or when it is resumed
fall="--lr-decay 0.016 --lr-end 0.2"
expect 0 "" "$PRLX" train $small --kimg 0.032 $fall --out "$T/falls"
expect 0 "" "$PRLX" train $small --kimg 0.032 --out "$T/stays"
expect 0 "" "$PRLX" train $small --kimg 0.016 --out "$T/later"
expect 0 "" "$PRLX" train --resume --out "$T/later" --kimg 0.032 $fall --quiet
same "$T/falls/network.safetensors" "$T/later/network.safetensors" "rates fall from a resume on"
cmp -s "$T/falls/network.safetensors" "$T/stays/network.safetensors" &&
  fail "--lr-decay changes nothing" || pass
expect 2 "lr-end" "$PRLX" train $small $fall --lr-end 1.5 --out "$T/no"
expect 2 "goes with --lr-decay" "$PRLX" train $small --lr-end 0.5 --out "$T/no"
expect 2 "goes with --init" "$PRLX" train $small --freeze-noise --out "$T/no"
expect 2 "goes with --init" "$PRLX" train $small --noise-gain 2 --out "$T/no"
expect 2 "goes with --init" "$PRLX" train $small --freeze-noise --resume-if-any --out "$T/no"
grep -q "data:image/png" "$T/whole/report.html" && pass || fail "report.html has the sheets inside"
R=$T/whole; cp "$R/state.safetensors" "$T/state.keep"; cp "$R/network.safetensors" "$T/network.keep"
train 1 "resume" "$R"
expect 2 "gamma" "$PRLX" train --resume --out "$R" --gamma 3 --quiet
dataset "$T/other.safetensors" 6 1 32 chi
expect 1 "checksum" "$PRLX" train --resume --out "$R" --data "$T/other.safetensors" --kimg 9 --quiet
same "$R/state.safetensors" "$T/state.keep" "state after refusals"
dd if="$T/state.keep" of="$R/state.safetensors" bs=3000 count=1 2>/dev/null
expect 1 "state.safetensors" "$PRLX" train --resume --out "$R" --kimg 9 --quiet
cp "$T/state.keep" "$R/state.safetensors"
# one changed byte of a snapshot or network: an error that names the tensor; the snapshot before it
[ -s "$R/state-previous.safetensors" ] && pass || fail "the snapshot before the last is kept"
damage() { # FILE: one bit of its last byte but 64
  n=$(($(wc -c <"$1") - 64))
  byte=$(od -An -tu1 -j "$n" -N 1 "$1" | tr -d ' ')
  printf "\\$(printf %03o $((byte ^ 16)))" | dd of="$1" bs=1 seek="$n" conv=notrunc 2>/dev/null
}
damage "$R/state.safetensors"
expect 1 "damaged: tensor .*--resume --previous" \
  "$PRLX" train --resume --out "$R" --kimg $K --quiet
expect 1 "damaged: tensor" "$PRLX" info --brief "$R/state.safetensors"
expect 2 "goes with --resume" "$PRLX" train --previous --out "$R" --kimg $K --quiet
cp -r "$R" "$T/again"
expect 0 "" "$PRLX" train --resume --previous --out "$T/again" --kimg $K --quiet
same "$T/again/network.safetensors" "$T/network.keep" "from the snapshot before the last"
expect 0 "" "$PRLX" info --brief "$T/again/state.safetensors"
expect 0 "" "$PRLX" info --brief "$T/again/state-previous.safetensors"
cp "$R/network.safetensors" "$T/hurt.safetensors"
damage "$T/hurt.safetensors"
expect 1 "damaged: tensor" "$PRLX" generate --network "$T/hurt.safetensors" --quiet --out "$T/hurt"
absent "$T/hurt"
cp "$T/state.keep" "$R/state.safetensors"
# a disk that is full from here on: one line, and the old snapshot is still whole
full() { (trap '' XFSZ; ulimit -f 16; "$@"); }
expect 1 "written\|writing\|too large" full "$PRLX" train --resume --out "$R" --kimg 9 --quiet
same "$R/state.safetensors" "$T/state.keep" "state after a full disk"
same "$R/network.safetensors" "$T/network.keep" "network after a full disk"
[ "$(ls "$R" | grep -c tmp)" -eq 0 ] && pass || fail "temporary files are left in $R"

# ---- networks ----
N=$T/network.keep; cp "$N" "$T/n.safetensors"; N=$T/n.safetensors
expect 0 "ready for generate" "$PRLX" info --brief "$N"
expect 0 "" "$PRLX" generate --network "$N" --seeds 0-3 --out "$T/g1" --quiet
expect 0 "" "$PRLX" generate --network "$N" --seeds 0-3 --out "$T/g2" --threads 1 --batch 1 --quiet
same "$T/g1/dataset.safetensors" "$T/g2/dataset.safetensors" "generate with other threads and batch"
sed 's/"G.w_dim":"8"/"G.w_dim":"9"/' "$N" >"$T/cfg.safetensors"
cmp -s "$N" "$T/cfg.safetensors" && fail "the test could not change the metadata" ||
  expect 1 "cfg.safetensors" "$PRLX" generate --network "$T/cfg.safetensors" --out "$T/no" --quiet
cp "$N" "$T/nan.safetensors"; size=$(wc -c <"$N")
printf '\000\000\300\177' |
  dd of="$T/nan.safetensors" bs=4 seek=$((size / 8)) conv=notrunc 2>/dev/null
expect 1 "nan" "$PRLX" generate --network "$T/nan.safetensors" --out "$T/no" --quiet
expect 1 "finite\|nan" "$PRLX" info "$T/nan.safetensors"
dd if="$N" of="$T/cut.safetensors" bs=$((size - 100)) count=1 2>/dev/null
expect 1 "cut.safetensors" "$PRLX" generate --network "$T/cut.safetensors" --out "$T/no" --quiet
expect 1 "data.safetensors" "$PRLX" generate --network "$D" --out "$T/no" --quiet
absent "$T/no"
expect 1 "$T/file" "$PRLX" generate --network "$N" --out "$T/file/x" --quiet
cp "$T/g1/dataset.safetensors" "$T/g1.keep"
expect 1 "written\|writing\|too large" full "$PRLX" generate --network "$N" --seeds 0-63 \
  --out "$T/g1" --quiet
same "$T/g1/dataset.safetensors" "$T/g1.keep" "dataset after a full disk"

# ---- PNG and projection ----
"$PRLX" generate --network "$N" --seeds 0 --out "$T/png" --png --no-sheet --quiet >/dev/null 2>&1
G=; for f in "$T"/png/*.png; do G=$f; done
expect 0 "32x32" "$PRLX" info "$G"
gs=$(wc -c <"$G")
dd if="$G" of="$T/cut.png" bs=$((gs / 2)) count=1 2>/dev/null
expect 1 "cut.png" "$PRLX" info "$T/cut.png"
cp "$G" "$T/crc.png"
printf X | dd of="$T/crc.png" bs=1 seek=$((gs / 2)) conv=notrunc 2>/dev/null
expect 1 "crc.png" "$PRLX" info "$T/crc.png"
cp "$G" "$T/huge.png"
printf '\177\377\377\377' | dd of="$T/huge.png" bs=1 seek=16 conv=notrunc 2>/dev/null
expect 1 "huge.png" "$PRLX" info "$T/huge.png"
: >"$T/empty.png"; expect 1 "empty.png" "$PRLX" info "$T/empty.png"
project() {
  expect "$1" "$2" "$PRLX" project --network "${4:-$N}" --steps 2 --w-samples 50 --out "$5$T/p" \
    --quiet "$3"
}
project 0 "LPIPS" "$G"
[ -s "$T/p/denoised.safetensors" ] && [ -s "$T/p/table.tsv" ] && pass ||
  fail "project writes its results"
for f in "$T/cut.png" "$T/crc.png" "$T/huge.png" "$T/empty.png" "$T/missing.png"; do
  project 1 "${f##*/}" "$f"
done
cp "$D" "$T/renamed.png"; project 1 "renamed.png" "$T/renamed.png"
cp "$G" "$T/renamed.safetensors"; project 1 "renamed.safetensors" "$T/renamed.safetensors"
project 1 "64\|32" data/ambiguous_lesion.png
dataset "$T/colour.safetensors" 2 3 32 chi,rim,flair; project 1 "channel" "$T/colour.safetensors"
project 1 "nan" "$G" "$T/nan.safetensors"
expect 1 "$T/file" "$PRLX" project --network "$N" --steps 2 --w-samples 50 --out "$T/file/p" \
  --quiet "$G"
cp "$T/p/denoised.safetensors" "$T/p.keep"
expect 1 "written\|writing\|too large" full "$PRLX" project --network "$N" --steps 1 \
  --w-samples 50 --out "$T/p" --quiet --range 0-7 "$D"
same "$T/p/denoised.safetensors" "$T/p.keep" "denoised.safetensors after a full disk"

# ---- what the planner did ----
for k in graph plan memory; do
  expect 0 "^#" "$PRLX" dump $k "$N" --svg "$T/$k.svg"
  grep -q '</svg>' "$T/$k.svg" && pass || fail "dump $k: no drawing"
done
expect 0 "conv2d_dx direct" "$PRLX" dump plan "$N" --batch 2 --gradient
expect 0 "^iteration.4.1" "$PRLX" dump plan train:small --batch 4
grep -q "^Dreg.0.*[1-9].*[1-9]" "$T/out"
[ $? -eq 0 ] && pass || fail "dump plan train:small: buckets of gradients"
expect 1 "large. is not known; expected one of: paper, small" "$PRLX" dump plan train:large
expect 2 "none of graph, plan, memory" "$PRLX" dump shape "$N"
expect 1 "nothing.safetensors" "$PRLX" dump plan "$T/nothing.safetensors"
mkdir "$T/plans"
PRLX_DUMP=$T/plans "$PRLX" generate --network "$N" --seeds 0 --out "$T/dumped" --quiet >/dev/null \
  2>&1
[ "$(ls "$T/plans" | wc -l)" -ge 6 ] && pass || fail "PRLX_DUMP: six files a plan"
PRLX_DUMP=$T/none; export PRLX_DUMP
expect 2 "PRLX_DUMP.*none.*expected a folder that is there" "$PRLX" dump plan "$N"
unset PRLX_DUMP
for wrong in PRLX_CUDA_LAYOUT=Last PRLX_CUDA_WGMMA=on PRLX_BUCKET=8M; do
  expect 2 "${wrong%%=*}: '${wrong#*=}'; expected" env "$wrong" "$PRLX" dump plan "$N"
done

# ---- the demonstration, as short as it goes ----
expect 0 "report.html" "$PRLX" demo --steps 2 --kimg 0.001 --out "$T/demo" --quiet
[ "$(grep -c 'data:image/png;base64' "$T/demo/report.html")" -ge 6 ] && pass ||
  fail "demo: pictures are missing in report.html"
if grep -q 'src="http\|href="http\|picture missing' "$T/demo/report.html"; then
  fail "demo: report.html needs something from outside"
else
  pass
fi

finish
