#!/bin/sh
# cli_classes.sh: tables with more readers than two, and sets in which a class is missing: nothing
# of it happens without a word. usage: cli_classes.sh PROGRAM
. "$(dirname "$0")/cli.inc"
"$P" phantom --subjects 16 --rim 6 --ambiguous 3 --nonrim 20 --fast-inversion --iterations 1 \
  --no-sheets --quiet -o "$T/coh" >/dev/null
C=$T/coh/lesions.tsv
# note TEXT COMMAND...: it succeeds and says this once; silent TEXT COMMAND...: it does not
note() {
  text=$1
  shift
  "$@" >"$T/out" 2>"$T/err" </dev/null
  ok $? "$*: $(head -n 3 "$T/err")"
  [ "$(grep -c -e "$text" "$T/err")" -eq 1 ]
  ok $? "$*: '$text' not once in: $(cat "$T/err")"
}
silent() {
  text=$1
  shift
  "$@" >"$T/out" 2>"$T/err" </dev/null
  ok $? "$*: $(head -n 3 "$T/err")"
  ! grep -q -e "$text" "$T/err"
  ok $? "$*: $(cat "$T/err")"
}
# with_column NAME VALUE: lesions.tsv with one column more
with_column() {
  awk -v n="$1" -v v="$2" '{print $0 "\t" (NR > 1 ? v : n)}' "$C" >"$T/coh/more.tsv"
}
pack() { "$P" pack "$T/coh/more.tsv" --slices central --no-sheet --quiet "$@"; }
for name in reader3 Reader3 rater_b consensus adjudicated; do
  with_column $name 1
  note "$name is not used: .* write that decision into both columns" pack -o "$T/d.safetensors"
done
# what is missing in every row, or is no reader's, is no third reader
with_column reader3 n/a
silent "not used" pack -o "$T/d.safetensors"
with_column comment 1
silent "not used" pack -o "$T/d.safetensors"
awk '{print $0 "\t" (NR > 1 ? "1\t0" : "reader3\treader4")}' "$C" >"$T/coh/more.tsv"
note "reader3, reader4 are not used" pack -o "$T/d.safetensors"
note "reader3, reader4 are not used" "$P" export-cohort "$T/coh/more.tsv" -o "$T/x"
"$P" paper run --scale tiny --list --cohort "$T/coh/more.tsv" -o "$T/paper" >"$T/out" 2>"$T/err"
has "$T/err" "prlx paper run: note: .*reader3, reader4 are" "paper run"

# a side of the split without a class
cp "$C" "$T/coh/more.tsv"
D=$T/d.safetensors
E=$T/e.safetensors
rims=$(awk -F'\t' 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; next}
  $at["reader1"] + $at["reader2"] == 2' "$C" | wc -l)
one() { awk -F'\t' -v want="$1" 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; print; next}
  $at["reader1"] + $at["reader2"] == want' "$C" >"$T/coh/one.tsv"; }
note "no rim lesion for training: the cohort has $rims, and whole" pack -o "$D" --test "$E" \
  --counts all --test-counts "$rims",1
silent "lesion for training" pack -o "$D" --test "$E" --test-counts "$rims",1 --train 0,2
silent "lesion for" pack -o "$D" --classes nonrim
one 0
note "no rim lesion for training: the cohort has none" "$P" pack "$T/coh/one.tsv" --slices central \
  --no-sheet --counts all -o "$D"
one 2
"$P" pack "$T/coh/one.tsv" --slices central --channels chi,rim --no-sheet --counts all --quiet \
  -o "$T/rims.safetensors" >/dev/null 2>"$T/err"
has "$T/err" "no non-rim lesion for training: the cohort has none" "a cohort of rims"
one 0
"$P" pack "$T/coh/one.tsv" --slices central --channels chi,rim --no-sheet --counts all --quiet \
  -o "$T/others.safetensors" >/dev/null 2>&1

# what is trained and judged with one class
cls="--runs 1 --epochs 1 --resamples 2 --quiet"
expect 1 "no slice of class 1 among" "$P" classify "$T/others.safetensors" $cls -o "$T/c1"
expect 1 "no slice of class 0 among" "$P" classify "$T/rims.safetensors" $cls -o "$T/c2"
silent "one class" "$P" classify "$T/rims.safetensors" "$T/others.safetensors" $cls -o "$T/c3"
note "lesions of the test are rims; sensitivity" "$P" classify --model "$T/c3" \
  --test "$T/rims.safetensors" --resamples 2 -o "$T/c4"
! grep -q -i nan "$T/out"
ok $? "one class in the test: $(grep -i nan "$T/out")"
note "lesions of the test are no rims; sensitivity" "$P" classify --model "$T/c3" \
  --test "$T/others.safetensors" --resamples 2 -o "$T/c4"
! grep -q -w -i nan "$T/out" "$T/c4"/*.tsv
ok $? "one class in the test: $(grep -w -i nan "$T/out" "$T/c4"/*.tsv)"
note "all .* images are of class 1; --cond has nothing" "$P" train "$T/rims.safetensors" --cond \
  --config small --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 --batch 4 --mbstd-group 4 \
  --tick 0.004 --kimg 0.004 --no-layers --quiet -o "$T/run"
finish
