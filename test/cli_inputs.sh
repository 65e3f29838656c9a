#!/bin/sh
# Inputs of strangers, second part: what ended in a crash, a hang, a wrong message or a silent
# result. usage: sh test/cli_inputs.sh build/prlx
. "$(dirname "$0")/cli.inc"
few="--scale demo --subjects 6 --rim 6 --ambiguous 3 --nonrim 6 --fast-inversion --no-sheets"
"$P" phantom $few --quiet -o "$T/coh" >/dev/null 2>"$T/err" || fail "phantom"
D=$T/d.safetensors
"$P" pack "$T/coh/lesions.tsv" --slices central -o "$D" --no-sheet --quiet >/dev/null 2>"$T/err" ||
  fail "pack"
small="--config small --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 --tick 0.008 --quiet"
train() { expect "$1" "$2" "$P" train "$D" $small --kimg 0.008 -o "$T/$3" $4; }
# defaults fit the round; what was asked for is refused by its name
train 0 "" b1 "--batch 1"
train 1 "pl-shrink 2" b2 "--batch 1 --pl-shrink 2"
train 0 "" b6 "--batch 6"
train 1 "mbstd-group 4" b7 "--batch 6 --mbstd-group 4"
N=$T/b1/network.safetensors
# truncation 0: the mean image, for every seed and spelling
gen() { name=$1; shift; expect 0 "" "$P" generate --network "$N" --seeds 0-2 -o "$T/$name" "$@"; }
gen t0 --trunc 0 --quiet; gen tm --trunc -0 --quiet; gen te --trunc 0.0 --noise none --quiet
gen tr --trunc 0 --noise random --quiet; gen t9 --trunc 1e-9 --quiet
stats() { "$P" info "$1/dataset.safetensors" | grep ' images '; }
for t in tm t9; do [ "$(stats "$T/t0")" = "$(stats "$T/$t")" ]; ok $? "truncation 0 and $t"; done
# nothing to resume
expect 1 "none: no run to resume" "$P" train -o "$T/none" --resume
train 1 "no run to resume" none --resume
[ ! -e "$T/none" ]; ok $? "a run that is not there was made"
train 0 "" any --resume-if-any
train 0 "" any --resume-if-any
# a limit of the size of files
(ulimit -f 60; "$P" train "$D" $small --kimg 0.008 -o "$T/limit" >/dev/null 2>"$T/err"); rc=$?
[ $rc -eq 1 ]; ok $? "file size limit: exit code $rc"
ls -A "$T/limit" 2>/dev/null | grep -q tmp; [ $? -ne 0 ]; ok $? "file size limit: left over"
# a number twice: two lesions, one file
expect 2 "option --seeds names 1 twice" "$P" generate --network "$N" --seeds 1,0,1 -o "$T/no"
expect 2 "option --seeds names 4 twice" "$P" generate --network "$N" --seeds 2-5,4 -o "$T/no"
expect 2 "option --range names 0 twice" "$P" project "$D" --network "$N" --range 0,0 -o "$T/no"
gen unordered --seeds 3,1,2 --quiet --no-nifti
# pipes
if mkfifo "$T/pipe" 2>/dev/null; then
  for c in info "import -o $T/no" "fid --quiet" "generate --network" "train -o $T/no" classify; do
    expect 1 "pipe: is a pipe or device" "$P" $c "$T/pipe" $(test "$c" = "fid --quiet" && echo "$D")
  done
fi
# kinds of files where a data set or another kind is expected
"$P" generate --network "$N" --seeds 0 -o "$T/png" --quiet >/dev/null 2>"$T/err"
expect 1 "is a PNG image.*prlx pack" "$P" fid "$T/png/sheet.png" "$D"
expect 1 "is a gzip file" "$P" fid "$T"/coh/sub-001/anat/*lesion01_Chimap.nii.gz "$D"
expect 1 "is a folder" "$P" fid "$T/coh" "$D" --no-cache
expect 1 "is text" "$P" train "$T/coh/lesions.tsv" $small -o "$T/no"
cp "$T/png/sheet.png" "$T/png/fake.tsv"
expect 1 "a PNG image; expected text" "$P" pack "$T/png/fake.tsv" -o "$T/no.safetensors"
cp "$T/png/sheet.png" "$T/png/fake.nii"
expect 1 "it is a PNG image" "$P" convert "$T/png/fake.nii" "$T/no.nii"
# sizes, channels, limits, number types
expect 1 "limit 1 keeps 1" "$P" fid "$D" "$D" --limit 1 --no-cache
expect 1 "limit is 0.000976" "$P" train "$D" $small -o "$T/no" --memory 1K
"$P" classify "$D" --test "$D" --epochs 1 --runs 1 -o "$T/cl" >/dev/null 2>"$T/err"
grep -q "test images are training images, too" "$T/err"; ok $? "a test of training images"
finish
