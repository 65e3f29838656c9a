#!/bin/sh
# run.sh: makes the k-th allocation, read, write, fsync, rename, mmap, open, mkdir, truncation and
# thread of a command fail, for every k until the command has no k-th call any more (faults.c).
# usage: run.sh PRLX_FAULTS_PROGRAM [CASE...]
# FAULT_STRIDE=n: beyond the 40th call only every n-th
#
# After each fault: no signal, exit code 0 or 1, one line of reason unless 0; inputs unchanged;
# every file of the result either as it was before or as the undisturbed command writes it, no
# temporary file left; and the command, run again, gives the undisturbed result.
set -uf
P=$1
shift
case $P in /*) ;; *) P=$PWD/$P ;; esac
PRLX_DATA=${PRLX_DATA:-$PWD/data}
LC_ALL=C
export PRLX_DATA LC_ALL
GOLD=$PWD/test/golden
STRIDE=${FAULT_STRIDE:-1}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
runs=0
KINDS="alloc read write short fsync rename mmap open mkdir truncate thread"

bad() {
  failed=$((failed + 1))
  [ "$failed" -le 40 ] && echo "FAIL: $name, $kind $k: $1"
}

# Times and dates differ from run to run and are no part of a result.
names() { (cd "$1" 2>/dev/null && find . -type f | LC_ALL=C sort); }
hashes() { (cd "$1" 2>/dev/null && find . -type f | LC_ALL=C sort | xargs -r cksum); }

# Files with times in them are not compared: the patterns of VARIES.
varies() {
  for pattern in $VARIES; do
    case $1 in $pattern) return 0 ;; esac
  done
  return 1
}

# A snapshot of a training that ended early is of another moment, but whole.
middle() { [ "$name" = train ] && "$P" info "out/$1" >/dev/null 2>&1; }

# Is each file under out/ the one of before/ or of whole/?
judge_files() {
  for f in $(names out); do
    case $f in *.tmp*) bad "left $f"; continue ;; esac
    varies "$f" && continue
    cmp -s "out/$f" "whole/$f" || cmp -s "out/$f" "before/$f" || middle "$f" ||
      bad "$f is neither old nor whole"
  done
  for f in $(names before); do [ -e "out/$f" ] || bad "$f is gone"; done
}

judge_whole() {
  [ "$(names out)" = "$(names whole)" ] || bad "$1: other files than the undisturbed run"
  for f in $(names whole); do
    varies "$f" && continue
    cmp -s "out/$f" "whole/$f" || bad "$1: $f differs from the undisturbed run"
  done
}

# One run with a fault. Returns 1 when nothing is left to fail.
one_fault() {
  rm -rf out log
  cp -r before out
  before_failed=$failed
  PRLX_FAULT=$kind:$k PRLX_FAULT_LOG=$T/log "$P" "$@" >"$T/stdout" 2>"$T/stderr" </dev/null
  rc=$?
  runs=$((runs + 1))
  grep -q ' 1$' log 2>/dev/null || [ $rc -gt 1 ] || return 1
  if [ $rc -gt 1 ]; then
    bad "exit code $rc: $(tail -n 2 "$T/stderr")"
  elif [ $rc -eq 1 ] && [ ! -s "$T/stderr" ]; then
    bad "failed without a word"
  fi
  [ "$(hashes in)" = "$inputs" ] || bad "an input has changed"
  if [ $rc -eq 0 ]; then judge_whole "exit 0"; else judge_files; fi
  if [ $rc -ne 0 ]; then
    "$P" "$@" >"$T/stdout" 2>"$T/stderr" </dev/null || bad "run again: $(tail -n 1 "$T/stderr")"
    judge_whole "run again"
  fi
  [ "$failed" -eq "$before_failed" ] && passed=$((passed + 1))
  return 0
}

# faulty NAME VARIES COMMAND...: out/ is the result; before/ is what was there before
faulty() {
  name=$1
  VARIES=$2
  shift 2
  if [ -n "$ONLY" ]; then case " $ONLY " in *" $name "*) ;; *) return ;; esac; fi
  rm -rf out whole
  [ -d before ] || mkdir before
  cp -r before out
  kind=none
  k=0
  "$P" "$@" >"$T/stdout" 2>"$T/stderr" </dev/null || {
    bad "undisturbed: $(tail -n 1 "$T/stderr")"
    return
  }
  cp -r out whole
  inputs=$(hashes in)
  first=$runs
  for kind in $KINDS; do
    k=1
    while one_fault "$@"; do
      [ $k -lt 40 ] && k=$((k + 1)) || k=$((k + STRIDE))
    done
  done
  echo "$name: $((runs - first)) runs"
}

ONLY=$*
cd "$T" || exit 1
mkdir in before
NET=in/net.safetensors
cp "$GOLD/generator_uncond.safetensors" $NET
"$P" generate --network $NET --seeds 0-7 --quiet --no-nifti -o in/g >/dev/null || exit 1
mv in/g/dataset.safetensors in/data.safetensors
rm -r in/g
"$P" generate --network $NET --seeds 8-15 --quiet --no-nifti -o in/g >/dev/null || exit 1
mv in/g/dataset.safetensors in/other.safetensors
rm -r in/g
"$P" phantom --subjects 3 --rim 3 --ambiguous 2 --nonrim 3 --fast-inversion --whole-brain 1 \
  --no-sheets --quiet   -o in/cohort >/dev/null || exit 1
first=$(find in/cohort/sub-001 -name '*Chimap.nii.gz' | LC_ALL=C sort | head -n 1)
cp "$first" in/one.nii.gz
TRAIN="--config small --channel-base 64 --channel-max 8 --z-dim 8 --w-dim 8 --batch 4
  --mbstd-group 4 --tick 0.008 --snap 1 --kimg 0.016 --threads 2 --no-layers --quiet"

faulty generate "" generate --network $NET --seeds 0-3 --quiet --threads 2 --png --no-nifti -o out
faulty project "*table.tsv" project --network $NET --steps 2 --w-samples 20 \
  --quiet -o out in/data.safetensors
faulty walk "" walk truncate --network $NET --samples 20 --quiet -o out
faulty convert "" convert in/one.nii.gz out/v.nii.gz --quiet
faulty import "" import "$GOLD/../data/import/tiny_nv.pkl" --quiet -o out/net.safetensors
faulty export "" export --net G $NET -o out/net.safetensors --quiet
faulty pack "" pack in/cohort/lesions.tsv -o out/d.safetensors --threads 2 --quiet
faulty crop "" crop in/cohort/whole-brain/lesions.tsv -o out/patches --quiet
faulty train "*metrics.jsonl *report.html *state*.safetensors" train in/data.safetensors $TRAIN \
  --resume-if-any -o out/run
faulty classify "*report.html" classify in/data.safetensors:rim in/other.safetensors:non-rim \
  --epochs 1 --quiet -o out/c

# A step of the paper's experiments in a folder where those before it are done; the step is a
# process of its own, in which the k-th call fails, too.
case " $ONLY " in
  *" paper "* | "  ")
    rm -rf before out
    for step in phantom pack; do
      "$P" paper run --scale tiny --quiet --only $step -o out/p >"$T/stdout" 2>&1 || exit 1
    done
    mv out before
    faulty paper "*/done/* *done/* *log/* *commands.sh *.html" paper run --scale tiny --quiet \
      --only train.rim -o out/p
    rm -rf before && mkdir before
    ;;
esac
echo "$runs runs with a fault; $passed whole or as before, $failed wrong"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
