#!/bin/sh
# classify, cam, affine, smote as a user runs them on a very small phantom: files, numbers that must
# agree, messages.
# usage: cli_classify.sh PRLX
. "$(dirname "$0")/cli.inc"

"$P" phantom --subjects 12 --rim 8 --ambiguous 2 --nonrim 8 --fast-inversion --no-sheets --quiet \
  -o "$T/c" >"$T/log" 2>&1
ok $? "phantom: $(cat "$T/log")"
"$P" pack "$T/c/lesions.tsv" -o "$T/tr.safetensors" --test "$T/te.safetensors" --slices central \
  --channels chi,rim,flair --no-sheet --quiet >"$T/log" 2>&1
ok $? "pack: $(cat "$T/log")"

# The baselines: a data set each, the same bytes again, and no new slice of a test subject.
"$P" affine "$T/tr.safetensors" --lesions 4 --out "$T/af.safetensors" --quiet >"$T/log" 2>&1
ok $? "affine: $(cat "$T/log")"
"$P" affine "$T/tr.safetensors" --lesions 4 --threads 2 --out "$T/af2.safetensors" --quiet \
  >/dev/null 2>&1
cmp -s "$T/af.safetensors" "$T/af2.safetensors"; ok $? "affine: same seed, same bytes"
"$P" pack --check "$T/af.safetensors" "$T/te.safetensors" >"$T/log" 2>&1
ok $? "affine copies are kept apart from the test: $(cat "$T/log")"
"$P" smote "$T/tr.safetensors" --method pixel --images 5 --out "$T/sm.safetensors" --quiet \
  >"$T/log" 2>&1
ok $? "smote: $(cat "$T/log")"
"$P" smote "$T/tr.safetensors" --epochs 2 --batch 4 --width 2 --latent 4 --images 3 \
  --out "$T/ds.safetensors" --quiet >"$T/log" 2>&1
ok $? "DeepSMOTE: $(cat "$T/log")"
"$P" info "$T/ds.safetensors" >"$T/log" 2>&1
grep -q 'labels: 1: 3' "$T/log" && grep -q 'DeepSMOTE' "$T/log"
ok $? "DeepSMOTE says what it is: $(cat "$T/log")"
"$P" smote "$T/tr.safetensors" --method pixel --class 2 --out "$T/no.safetensors" >"$T/log" 2>&1
[ $? -eq 1 ] && grep -q 'class 2' "$T/log" && [ ! -e "$T/no.safetensors" ]
ok $? "no lesion of the class: $(cat "$T/log")"

"$P" classify "$T/tr.safetensors" "$T/sm.safetensors" "$T/ds.safetensors:rim" \
  --test "$T/te.safetensors" --runs 2 --epochs 1 --batch 4 --resamples 50 --out "$T/r" --quiet \
  >"$T/log" 2>&1
ok $? "classify: $(cat "$T/log")"
for f in model0.safetensors model1.safetensors predictions.tsv metrics.tsv confusion.tsv; do
  [ -s "$T/r/$f" ]
  ok $? "classify wrote $f"
done
grep -q '^4 lesions (2 rim, 2 non-rim)' "$T/log"; ok $? "what was judged: $(head -n 1 "$T/log")"
[ "$(awk 'NR > 1 {s += $2 + $3 + $4 + $5} END {print s}' "$T/r/confusion.tsv")" -eq 8 ]
ok $? "each confusion matrix has all lesions"
"$P" classify --model "$T/r" --test "$T/te.safetensors" --compare "$T/r" --resamples 50 \
  --out "$T/e" --quiet >"$T/log2" 2>&1
ok $? "evaluation of saved classifiers: $(cat "$T/log2")"
cmp -s "$T/r/predictions.tsv" "$T/e/predictions.tsv" && cmp -s "$T/r/metrics.tsv" "$T/e/metrics.tsv"
ok $? "saved classifiers give the same numbers"
grep -q 'McNemar.*p = 1 ' "$T/log2"; ok $? "McNemar of a run against itself"
awk -F'\t' 'NR > 1 && $2 != "n/a" && ($2 != 0 || $4 > 0 || $5 < 0) {bad = 1}
  END {exit bad || NR != 10}' "$T/e/difference.tsv"
ok $? "no difference to itself: $(cat "$T/e/difference.tsv")"
# a run whose threshold is 1 calls nothing rim: right on the two non-rims, whatever ours is
mkdir "$T/one"; cp "$T/r/predictions.tsv" "$T/one"
awk 'BEGIN {FS = OFS = "\t"} $1 == "threshold" {$2 = 1} {print}' "$T/r/metrics.tsv" \
  >"$T/one/metrics.tsv"
here=$(awk -F'\t' 'NR > 1 {n += ($3 == "rim") == ($5 >= 0.5)} END {print n}' "$T/r/predictions.tsv")
for other in "$T/one" "$T/one/predictions.tsv"; do
  "$P" classify --model "$T/r" --test "$T/te.safetensors" --compare "$other" --resamples 50 \
    --out "$T/e" --quiet >"$T/log" 2>&1
  sed -n 's/.*only here \([0-9]*\), only there \([0-9]*\),.*0.5 here, 1 there.*/\1 \2/p' \
    "$T/log" | awk -v here="$here" '{exit !($1 - $2 == here - 2)} END {exit NR != 1}'
  ok $? "McNemar, each run at its own threshold: $(grep McNemar "$T/log")"
done
"$P" classify --model "$T/r" --test "$T/te.safetensors" --compare "$T/one" --threshold 0.5 \
  --resamples 50 --out "$T/e" --quiet >"$T/log" 2>&1
grep -q 'p = 1 .*thresholds 0.5 here, 0.5 there' "$T/log"
ok $? "both at that of --threshold: $(grep McNemar "$T/log")"
"$P" classify --model "$T/r/model1.safetensors" --predict "$T/te.safetensors" --out "$T/q" --quiet \
  >"$T/log" 2>&1
ok $? "prediction: $(cat "$T/log")"
[ "$(wc -l <"$T/q/predictions.tsv")" -eq 5 ]; ok $? "one line per lesion"
"$P" classify "$T/tr.safetensors" --runs 2 --epochs 1 --batch 4 --threads 2 --out "$T/t2" --quiet \
  >/dev/null 2>&1
"$P" classify "$T/tr.safetensors" --runs 1 --epochs 1 --batch 4 --threads 1 --out "$T/t1" --quiet \
  >/dev/null 2>&1
cmp -s "$T/t1/model0.safetensors" "$T/t2/model0.safetensors"
ok $? "same seed, same bytes, one thread or two"

"$P" classify "$T/tr.safetensors" "$T/sm.safetensors" --test "$T/te.safetensors" --runs 4 \
  --epochs 2 --batch 4 --resamples 50 --decay cosine --average 1 --real-norm --validate 2 \
  --out "$T/v" --quiet >"$T/log" 2>&1
ok $? "decay, mean weights, real statistics, held-out subjects: $(cat "$T/log")"
thr=$(awk -F'\t' '$1 == "threshold" {print $2}' "$T/v/metrics.tsv")
awk -v t="$thr" 'BEGIN {exit !(t > 0 && t < 1 && t != 0.5)}'
ok $? "a threshold was chosen: $thr"
[ "$(cut -f1,2 "$T/v/validation.tsv" | sort | uniq -c | awk '$1 != 2 && $3 != "lesion"' |
  wc -l)" -eq 0 ]
ok $? "each real lesion was held out of two runs: $(head -n 3 "$T/v/validation.tsv")"
"$P" classify --model "$T/v" --test "$T/te.safetensors" --resamples 50 --out "$T/v2" --quiet \
  >"$T/log" 2>&1
cmp -s "$T/v/metrics.tsv" "$T/v2/metrics.tsv"
ok $? "a saved run brings its threshold: $(cat "$T/log")"
# one that is there and cannot be read is no reason to take 0.5
mkdir "$T/v3"
cp "$T"/v/model*.safetensors "$T/v3"
mkdir "$T/v3/metrics.tsv"
expect 1 "v3/metrics.tsv" "$P" classify --model "$T/v3" --test "$T/te.safetensors" --out "$T/v4"
cp "$T/v/predictions.tsv" "$T/v3"
expect 1 "v3/metrics.tsv" "$P" classify --model "$T/r" --test "$T/te.safetensors" \
  --compare "$T/v3" --out "$T/v4"
expect 2 "exclude each other" "$P" classify "$T/tr.safetensors" --validate 2 --threshold 0.4
expect 2 "expected a number from 0 to 1" "$P" classify "$T/tr.safetensors" --threshold 1.5
expect 2 "nobody to train on" "$P" classify "$T/tr.safetensors" --validate 1
expect 2 "expected at most all" "$P" classify "$T/tr.safetensors" --average 9 --epochs 3
"$P" classify "$T/tr.safetensors" --validate 60 --runs 1 --epochs 1 --batch 4 --out "$T/x" --quiet \
  >"$T/log" 2>&1
ok $? "more parts than subjects: $(cat "$T/log")"
grep -q 'subjects with real lesions are held out in' "$T/log"
ok $? "it says how many parts there are: $(cat "$T/log")"

# paper take, as the recipe of the paper uses it.
"$P" paper take "$T/tr.safetensors" --skip 2 --lesions 3 -o "$T/t3.safetensors" >"$T/log" 2>&1
grep -q '3 images of 3 lesions' "$T/log"; ok $? "take --skip --lesions: $(cat "$T/log")"
"$P" paper take "$T/tr.safetensors" --like "$T/t3.safetensors" -o "$T/t4.safetensors" >"$T/log" 2>&1
cmp -s "$T/t3.safetensors" "$T/t4.safetensors"; ok $? "take --like: $(cat "$T/log")"
"$P" paper take "$T/tr.safetensors" --truth "$T/c/lesions.tsv" --class 1 -o "$T/t5.safetensors" \
  >"$T/log" 2>&1
ok $? "take --truth: $(cat "$T/log")"
expect 1 "no columns lesion and lpips" "$P" paper take "$T/tr.safetensors" \
  --closest "$T/c/lesions.tsv" -o "$T/x.safetensors"
expect 1 "nothing is left" "$P" paper take "$T/tr.safetensors" --skip 500 -o "$T/x.safetensors"

"$P" cam "$T/te.safetensors" --model "$T/r" --after "$T/t1" --out "$T/m" --quiet >"$T/log" 2>&1
ok $? "cam: $(cat "$T/log")"
for f in maps.safetensors table.tsv sheet.png; do [ -s "$T/m/$f" ]; ok $? "cam wrote $f"; done
grep -q 'share of the map on the true rim' "$T/log"; ok $? "share on the rim: $(cat "$T/log")"

refuse() {
  what=$1
  text=$2
  shift 2
  "$P" "$@" >"$T/log" 2>&1
  [ $? -ne 0 ] && [ "$(wc -l <"$T/log")" -eq 1 ] && grep -q -- "$text" "$T/log"
  ok $? "$what: $(cat "$T/log")"
}
refuse "no training data" "TRAIN" classify --test "$T/te.safetensors"
refuse "a class is missing" "no slice of class 0" classify "$T/af.safetensors" --quiet --out "$T/x"
refuse "unknown channel" "no channel nope" classify "$T/tr.safetensors" --channels nope --out "$T/x"
refuse "not a classifier" "prlx-classifier-1" classify --model "$T/tr.safetensors" \
  --predict "$T/te.safetensors"
"$P" classify --model "$T/r" --test "$T/tr.safetensors" --compare "$T/r" --resamples 50 --quiet \
  --out "$T/x" >/dev/null 2>"$T/log"
[ $? -eq 1 ] && grep -q "same test lesions" "$T/log"
ok $? "other lesions: $(cat "$T/log")"
refuse "affine range" "scale" affine "$T/tr.safetensors" --scale-from 2 --scale-to 1
finish
