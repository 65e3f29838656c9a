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
# results that come as one, killed in the middle: the next run finds nothing in its way
N="--quiet --no-sheets --fast-inversion --iterations 1 --whole-brain 1"
"$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 $N -o "$T/in" >/dev/null
cd "$T" || exit 1
for run in "crop in/whole-brain/lesions.tsv --quiet -o" \
  "phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 $N -o" \
  "export-cohort in/lesions.tsv --quiet -o"; do
  rm -rf whole
  # shellcheck disable=SC2086
  "$P" $run whole >/dev/null
  # killed; and a disk that is full, perhaps in the middle of the note of what was made
  for fault in kill:3 kill:17 kill:29 kill:47 write:5 write:8 write:9; do
    rm -rf part
    # shellcheck disable=SC2086
    PRLX_FAULT=$fault "$B/faults/prlx" $run part >out 2>err
    code=$?
    [ $code -eq 137 ] || { [ $code -eq 1 ] && [ "${fault%:*}" = write ]; }
    ok $? "$fault $run: exit code $code: $(cat err)"
    # shellcheck disable=SC2086
    expect 0 "" "$P" $run part
    diff -r whole part
    ok $? "$fault $run: what the next run made"
  done
done
# what somebody has written into a file since, in the same second, with the same size, is theirs
rm -rf part
# shellcheck disable=SC2086
PRLX_FAULT=kill:47 "$B/faults/prlx" crop in/whole-brain/lesions.tsv --quiet -o part >out 2>err
mine=$(find part -name '*Chimap.nii.gz' | sort | head -n 1)
if [ -n "$mine" ]; then
  second=$(stat -c %Y "$mine")
  head -c "$(stat -c %s "$mine")" /dev/zero | tr '\0' u >theirs
  cat theirs >"$mine"
  touch -d "@$second" "$mine"
  "$P" crop in/whole-brain/lesions.tsv --quiet -o part >out 2>err
  cmp -s theirs "$mine"
fi
ok $? "a file of somebody else was taken for one of the killed run: $(cat err)"
# a cohort is replaced and the command killed in the exchange: the folder holds the old one, the new
# one, or no table, never a table with files of both; the next run makes it whole
"$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 $N -o old >/dev/null
"$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 --seed 1 $N -o new >/dev/null
over="phantom --overwrite --subjects 1 --rim 1 --ambiguous 0 --nonrim 1 --seed 1 $N -o"
rm -rf part
cp -a old part
# shellcheck disable=SC2086
PRLX_FAULT=kill:100000 PRLX_FAULT_LOG=calls "$B/faults/prlx" $over part >out 2>err
calls=$(awk '{n = $2} END {print n + 0}' calls)
[ "$calls" -gt 30 ]
ok $? "changes on the disk when a cohort is replaced: $calls"
for back in 1 3 8 16 24; do
  rm -rf part
  cp -a old part
  # shellcheck disable=SC2086
  PRLX_FAULT=kill:$((calls - back)) "$B/faults/prlx" $over part >out 2>err
  if [ -e part/lesions.tsv ]; then
    diff -rq -x '.*' part old >/dev/null || diff -rq -x '.*' part new >/dev/null
    ok $? "killed $back before the end: files of both cohorts and a table"
  fi
  # shellcheck disable=SC2086
  "$P" $over part >/dev/null 2>err
  ok $? "killed $back before the end, again: $(cat err)"
  diff -r new part
  ok $? "killed $back before the end: what the next run made"
done
# train --keep: a network of a snapshot that could not be written is written by the run that resumes
keep="train g/dataset.safetensors --channel-base 64 --channel-max 4 --z-dim 4 --w-dim 4 --batch 4
  --mbstd-group 4 --tick 0.004 --snap 1 --keep --kimg 0.012 --no-layers --quiet --resume-if-any"
for k in 5 6 7 8; do
  # shellcheck disable=SC2086
  PRLX_FAULT=rename:$k "$B/faults/prlx" $keep -o kept$k >out 2>err
  # shellcheck disable=SC2086
  "$P" $keep -o kept$k >out 2>err
  [ -e kept$k/network-00.004.safetensors ] && [ -e kept$k/network-00.008.safetensors ]
  ok $? "train --keep, rename $k failed: $(ls kept$k | tr '\n' ' ')"
done
cd "$OLDPWD" || exit 1
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
