#!/bin/sh
# cli_faults.sh: a part of the sweep over faults (make test-faults has all of it): calls that open,
# flush and rename files fail, and the program is killed before each change on the disk.
# usage: cli_faults.sh PROGRAM (beside it: faults/prlx, where the linker can wrap calls)
. "$(dirname "$0")/cli.inc"
B=$(dirname "$P")
# What a training leaves that was killed before its first line is no run.
mkdir "$T/run" && : >"$T/run/metrics.jsonl"
"$P" generate --network test/golden/generator_uncond.safetensors --seeds 0-3 --no-nifti \
  --no-sheet --quiet -o "$T/g" >/dev/null
expect 0 "" "$P" train "$T/g/dataset.safetensors" --channel-base 64 --channel-max 4 --z-dim 4 \
  --w-dim 4 --batch 4 --mbstd-group 4 --tick 0.004 --kimg 0.004 --no-layers --quiet -o "$T/run"
[ -s "$T/run/metrics.jsonl" ] && [ -e "$T/run/.prlx" ]
ok $? "a run in the folder of one that never began"
expect 1 "there is a run" "$P" train "$T/g/dataset.safetensors" --quiet -o "$T/run"

if [ ! -x "$B/faults/prlx" ]; then
  ok 0 "skipped"
  echo "no $B/faults/prlx (GNU ld and glibc are needed): faults are not tested here"
  finish
  exit
fi
FAULT_KINDS="fsync rename link open lock mkdir kill" sh test/faults/run.sh "$B/faults/prlx" \
  generate import convert >"$T/faults" 2>&1
grep -E '^FAIL' "$T/faults"
runs=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$T/faults")
wrong=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$T/faults")
passed=$((passed + ${runs:-0}))
failed=$((failed + ${wrong:-1}))
[ "${runs:-0}" -gt 100 ]
ok $? "as many faults as ever: $(tail -n 1 "$T/faults")"
finish
