#!/bin/sh
# evidence as a user runs it on a small phantom: tables that agree with the projection, what is left
# out, memorisation, refusals.
# usage: cli_evidence.sh PRLX
. "$(dirname "$0")/cli.inc"
NET=data/network_small.safetensors
expect 0 "" "$P" phantom --subjects 20 --rim 16 --ambiguous 6 --nonrim 16 --fast-inversion \
  --no-sheets --quiet -o "$T/c"
expect 0 "" "$P" pack "$T/c/lesions.tsv" -o "$T/tr.safetensors" --test "$T/te.safetensors" \
  --slices central --no-sheet --quiet
expect 0 "" "$P" project "$T/c/lesions.tsv" --ambiguous --network $NET --range 0-3 --steps 5 \
  --w-samples 300 --no-nifti --quiet --out "$T/d"
expect 0 "" "$P" classify "$T/tr.safetensors" --runs 2 --epochs 1 --batch 8 --quiet --out "$T/m"

col() {
  awk -F'\t' -v c="$2" 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == c) k = i; next} {print $k}' \
    "$1"
}
run() {
  few=
  case "$*" in
    *no-perceptual*) ;;
    *--train*) few="--typical 6 --limit 8" ;;
  esac
  # shellcheck disable=SC2086
  "$P" evidence "$@" --resamples 100 $few --quiet >"$T/out" 2>"$T/err"
}
run "$T/d" --model "$T/m" --train "$T/tr.safetensors" --cohort "$T/c/lesions.tsv" --out "$T/e"
ok $? "evidence: $(cat "$T/err")"
for f in evidence.tsv summary.tsv histogram.svg sheet.png evidence.html words.txt; do
  [ -s "$T/e/$f" ]
  ok $? "evidence wrote $f"
done
[ "$(wc -l <"$T/e/evidence.tsv")" -eq 5 ]; ok $? "one row per lesion"
[ "$(awk -F'\t' '{print NF}' "$T/e/evidence.tsv" | sort -u | wc -l)" -eq 1 ]
ok $? "as many cells as columns"
[ "$(col "$T/e/evidence.tsv" lpips)" = \
  "$(col "$T/d/table.tsv" lpips | awk '{printf "%.6g\n", $1}')" ]
ok $? "LPIPS is that of the projection"
for c in rim_score_before rim_score_after nearest_rms_ppb nearest_lpips_ratio edge_ppb_after \
    truth_rim truth_conspicuity; do
  ! col "$T/e/evidence.tsv" $c | grep -q n/a
  ok $? "column $c has values"
done
calls="Of 4 ambiguous lesions the classifiers' mean calls rim in .* before .* after denoising .*"
has "$T/out" "$calls McNemar p = " "calls in words"
has "$T/out" "Truth (phantom): of 4 lesions [0-9]* have a conspicuity above" "truth in words"
has "$T/e/truth.tsv" "^slope of the edge on the true crest, after" "against the true crest"
! grep -q "Left out" "$T/out"; ok $? "nothing is left out"
[ "$(awk -F'\t' '$1 == "called_rim_after" && $2 == "ambiguous" {print $3}' "$T/e/summary.tsv")" = \
  4 ]
ok $? "summary of calls"
[ "$(grep -c '^<g ' "$T/e/histogram.svg")" -eq 9 ] &&
  [ "$(grep -c '^</g>' "$T/e/histogram.svg")" -eq 9 ] && ! grep -E -q 'nan|inf' "$T/e/histogram.svg"
ok $? "nine histograms, no broken numbers"
! grep -E -q 'https?://[^w]|<script|src="[^d]' "$T/e/evidence.html"; ok $? "the page loads nothing"
PRLX_THREADS=1 run "$T/d" --model "$T/m" --train "$T/tr.safetensors" --cohort "$T/c/lesions.tsv" \
  --out "$T/e1"
same "$T/e/evidence.tsv" "$T/e1/evidence.tsv" "one thread or more"

# What is not given is left out and said so; the rest stays.
run "$T/d" --out "$T/f"; ok $? "nothing but the folder: $(cat "$T/err")"
[ "$(grep -c 'Left out' "$T/out")" -eq 3 ]
ok $? "three parts left out: $(grep 'Left out' "$T/out")"
cut -f 1-6,11- "$T/c/lesions.tsv" | sed '1s/truth_/was_/g' >"$T/c/plain.tsv"
cut -f 7,8 "$T/c/lesions.tsv" | paste "$T/c/plain.tsv" - >"$T/c/notruth.tsv"
run "$T/d" --cohort "$T/c/notruth.tsv" --out "$T/g"
ok $? "cohort without truth: $(cat "$T/err")"
has "$T/out" "no column truth_rim" "no truth is said"
# A folder from before targets.safetensors: the cohort gives the same numbers.
cp -r "$T/d" "$T/old"; rm "$T/old/targets.safetensors"
run "$T/old" --out "$T/h"; has "$T/out" "targets are not known" "no targets is said"
run "$T/old" --cohort "$T/c/lesions.tsv" --out "$T/h"
ok $? "targets from the cohort: $(cat "$T/err")"
run "$T/d" --cohort "$T/c/lesions.tsv" --out "$T/i"
same "$T/h/evidence.tsv" "$T/i/evidence.tsv" "targets from the cohort or the folder"

# Memorisation: copies of training images are found, the network's images are not such.
expect 0 "" "$P" generate --network $NET --seeds 0-5 --quiet --out "$T/s"
run --synthetic "$T/s/dataset.safetensors" --train data/prlx_lesions.safetensors --out "$T/n"
ok $? "synthetic: $(cat "$T/err")"
for f in memory.tsv summary.tsv histogram.svg closest.png evidence.html; do
  [ -s "$T/n/$f" ]
  ok $? "memorisation wrote $f"
done
run --synthetic "$T/tr.safetensors" --train "$T/tr.safetensors" --no-perceptual --images 4 \
  --out "$T/q"
has "$T/out" "left out as their own neighbours" "own lesions: $(cat "$T/err")"
# the same images under other names
sed 's/sub-0/sub-9/g' "$T/tr.safetensors" >"$T/copy.safetensors"
run --synthetic "$T/copy.safetensors" --train "$T/tr.safetensors" --no-perceptual --images 4 \
  --out "$T/q"
[ "$(col "$T/q/memory.tsv" memory_rms | grep -c copy)" -eq 4 ] &&
  [ "$(col "$T/q/memory.tsv" nearest_rms | sort -u)" = 0 ]
ok $? "copies of training images are found: $(cat "$T/err" "$T/out")"

refuse() {
  what=$1
  text=$2
  shift 2
  expect 1 "$text" "$P" evidence "$@" --quiet --out "$T/x"
  [ ! -e "$T/x" ]
  ok $? "$what: nothing written"
}
refuse "not a projection" "no denoised.safetensors" "$T/m"
awk -F'\t' '$7 == $8 || NR == 1' "$T/c/lesions.tsv" >"$T/c/other.tsv"
refuse "a cohort of others" "expected the cohort that was projected" "$T/d" \
  --cohort "$T/c/other.tsv"
"$P" generate --network test/golden/generator_uncond.safetensors --seeds 0-2 --quiet \
  --out "$T/small" >/dev/null 2>&1
refuse "another size" "give the data the network was trained on" "$T/d" \
  --train "$T/small/dataset.safetensors"
refuse "no classifier" "prlx-classifier-1" "$T/d" --model "$T/tr.safetensors"
refuse "other targets" "no image" "$T/d" --targets "$T/s/dataset.safetensors"
head -n 3 "$T/d/table.tsv" >"$T/old/table.tsv"; refuse "files of two runs" "two runs" "$T/old"
expect 2 "no folder" "$P" evidence
expect 2 "needs the training data" "$P" evidence --synthetic "$T/s/dataset.safetensors"
finish
