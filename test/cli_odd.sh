#!/bin/sh
# Inputs of strangers, second part: sets of one picture or one class, channels that do not match,
# tables of a reader study, options without what they belong to, names of outputs, text that would
# write to a terminal, volumes and weights of which a part is there.
# usage: sh test/cli_odd.sh build/prlx
. "$(dirname "$0")/cli.inc"

# ---- data: data sets of one and three channels, a network, a reader study ----
few="--scale demo --subjects 8 --rim 8 --ambiguous 2 --nonrim 8 --fast-inversion --no-sheets"
"$P" phantom $few --quiet -o "$T/coh" >/dev/null 2>"$T/err" || fail "phantom"
C=$T/coh/lesions.tsv
pack() {
  "$P" pack "$C" --slices central --no-sheet --quiet "$@" >/dev/null 2>"$T/err" || fail "pack"
}
pack -o "$T/d.safetensors" --test "$T/t.safetensors"
pack --channels chi,rim,flair -o "$T/d3.safetensors"
pack --channels chi,flair -o "$T/d2.safetensors"
pack --channels chi,rim --classes nonrim -o "$T/none.safetensors"
pack --classes rim --counts all --train 2,0 -o "$T/two.safetensors"
D=$T/d.safetensors
small="--config small --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 --batch 4 --tick 0.008"
"$P" train "$D" $small --kimg 0.008 -o "$T/run" --quiet >/dev/null 2>"$T/err" || fail "train"
N=$T/run/network.safetensors

# ---- sets of few kinds ----
expect 1 "none.safetensors: no slice of class 1" "$P" classify "$T/none.safetensors" -o "$T/c"
expect 1 "none.safetensors: none of the" "$P" segment "$T/none.safetensors" -o "$T/c"
[ ! -e "$T/c" ]; ok $? "a training that cannot be left a folder"
expect 1 "3: of three the network sees all" "$P" fid "$T/d3.safetensors" "$T/d2.safetensors"
expect 1 "1: of three the network sees all" "$P" fid "$D" "$D+$T/d3.safetensors"
expect 0 "" "$P" fid "$T/d3.safetensors" "$D" --no-features
expect 1 "no channel flair; it has chi (1 channel); expected chi,flair" "$P" classify \
  "$T/d2.safetensors" --test "$T/t.safetensors" --channels chi,flair -o "$T/c"
expect 0 "" "$P" evidence --synthetic "$D" --train "$T/two.safetensors" --no-perceptual -o "$T/ev"
! grep -q -w -e nan -e -nan "$T/out" "$T/ev/words.txt" "$T/ev/evidence.html"
ok $? "two training lesions: $(cat "$T/out")"

# ---- options of a way that is not taken ----
for o in "edge 2" "patience 3" "pixel-steps 3" "bank-size 8" "tune-lr 1" "focus-radius 0.2" \
    "focus-grow 2" "focus-strength 1" "solver fast --lr 1" "focus mask --focus-radius 1"; do
  # shellcheck disable=SC2086
  expect 2 "give both, or leave it out" "$P" project "$T/t.safetensors" --network "$N" --$o
done
expect 2 "epochs is of --method deep" "$P" smote "$D" --method pixel --epochs 3
expect 2 "exclude each other" "$P" smote "$D" --lesions 2 --images 3
expect 2 "epochs is of training data" "$P" classify --model "$T/c" --test "$D" --epochs 3
expect 2 "epochs is of training data" "$P" segment --judge "$T/d3.safetensors" --epochs 3
expect 2 "bootstrap is of --features" "$P" fid "$D" "$D" --no-features --bootstrap 100
expect 2 "k is of --pr" "$P" fid "$D" "$D" --no-pr --k 4
expect 2 "threshold is of --model" "$P" evidence "$T/c" --threshold 0.4
expect 2 "limit is of --perceptual" "$P" evidence "$T/c" --train "$D" --no-perceptual --limit 4
expect 2 "images is of --synthetic" "$P" evidence "$T/c" --images 4
expect 2 "out is of a data set to be made" "$P" pack --check "$D" "$T/t.safetensors" -o "$T/c"
expect 2 "window is of volumes" "$P" pack "$T/a.png" --window 0,100 -o "$T/c"
expect 2 "test is of a LESIONS.tsv" "$P" pack "$T/a.nii" --test "$T/x" -o "$T/c"
expect 2 "mask is of volumes" "$P" pack "$C" --mask "$T/a.nii" -o "$T/c"
expect 2 "test-counts is of --test" "$P" pack "$C" --test-counts 2,2 -o "$T/c"
expect 2 "window-flair is of" "$P" pack "$C" --window-flair 0,100 -o "$T/c"
expect 2 "clip-at is of" "$P" pack "$C" --clip --clip-at 2 -o "$T/c"
expect 2 "number is of --format nnunet" "$P" export-cohort "$C" --format monai --number 7 -o "$T/c"
expect 2 "rim-threshold is of --rim" "$P" export-cohort "$C" --rim no --rim-threshold 0.7 -o "$T/c"
expect 2 "class is of --judge" "$P" segment "$T/d3.safetensors" --class 1

# ---- names of outputs: before the work ----
many() { printf "%0$2d" 0 | sed "s,0,$1,g"; }
expect 1 "240 of them the file's name, is too long" "$P" affine "$D" -o "$(many x 240)"
expect 1 "300 of them the file's name, is too long" "$P" import "$N" -o "$T/$(many y 300)"
expect 1 "is too long for this disk" "$P" affine "$D" -o "$(many p/ 2500)x"
expect 1 "ends in a slash" "$P" affine "$D" -o "$T/new/"
expect 2 "a?b: expected a name" "$P" convert "$D" "a
b"
expect 1 "a?b: cannot be opened" "$P" info "a
b"

# ---- what would write to a terminal ----
escape=$(printf '\033')
printf '\064\000\000\000\000\000\000\000{"__metadata__":{"a\\u001b[31m":"x\\u001b[0m\\u009by"}}' \
  >"$T/esc.safetensors"
expect 0 "a?\[31m = x?\[0m" "$P" info "$T/esc.safetensors"
! grep -q "$escape" "$T/out"; ok $? "info writes an escape sequence of a file"

# ---- parts of things ----
printf '\000\000\000\001\000\000\000\100\000\000\000\100' >"$T/v.mgh"
gzip -c "$T/v.mgh" >"$T/v.mgz"
for f in v.mgh v.mgz; do
  expect 1 "$f: not a NIfTI file: it is a FreeSurfer volume.*mri_convert" "$P" info "$T/$f"
  expect 1 "$f: not a NIfTI file: it is a FreeSurfer volume.*mri_convert" "$P" convert "$T/$f" \
    "$T/o.nii"
done
"$P" convert "$T"/coh/sub-001/anat/sub-001_desc-lesion01_Chimap.nii.gz "$T/a.nii" >/dev/null 2>&1
{ head -c 344 "$T/a.nii"; printf 'ni1\000\000\000\000\000'; } >"$T/p.hdr"
tail -c +353 "$T/a.nii" >"$T/q.img"
expect 1 "p.hdr: is the header of a .hdr/.img pair, whose image .*p.img is not" "$P" info "$T/p.hdr"
expect 1 "q.img: is the image of a .hdr/.img pair, whose header .*q.hdr is not" "$P" info "$T/q.img"
printf '\231\000\000\000\000\000\000\000' >"$T/disc.safetensors"
printf '%-153s' '{"b4.out.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'"\
"'"b4.conv.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' >>"$T/disc.safetensors"
printf '\000\000\000\000\000\000\000\000' >>"$T/disc.safetensors"
"$P" import "$T/disc.safetensors" -o "$T/i.safetensors" >"$T/out" 2>"$T/err"
[ $? -eq 1 ] && [ ! -e "$T/i.safetensors" ]; ok $? "a discriminator alone is imported"
has "$T/err" "disc.safetensors: a discriminator of a StyleGAN2-ADA network alone" "discriminator"

# ---- a reader study ----
"$P" reader make "$D" "$T/t.safetensors" --n 2 --class all -o "$T/s.html" --quiet >/dev/null 2>&1
K=$T/s.key.tsv
# answers FILE READER: the first of two answers to each item
answers() {
  awk -F '\t' -v r="$2" 'NR == 1 { print "study,reader,item,answer" }
    NR > 1 { print $1 "," r "," $3 "," ($2 == "source" ? "real" : "rim") }' "$K" >"$1"
}
answers "$T/r1.csv" R1; answers "$T/r2.csv" r1; answers "$T/r3.csv" "R1 "; answers "$T/r4.csv" R2
for r in r2 r3; do
  expect 1 "differ in blanks or capitals only" "$P" reader score "$K" "$T/r1.csv" "$T/$r.csv"
done
expect 0 "kappa undefined" "$P" reader score "$K" "$T/r1.csv" "$T/r4.csv" -o "$T/scores.tsv"
! grep -q -i nan "$T/scores.tsv"; ok $? "scores: $(grep -i nan "$T/scores.tsv")"
{ cat "$K"; sed -n 2p "$K"; } >"$T/twice.tsv"
expect 1 "is in row 2, too; expected each once" "$P" reader score "$T/twice.tsv" "$T/r1.csv"
{ cat "$K"; awk -F '\t' -v OFS='\t' 'NR == 2 { $1 = "other"; print }' "$K"; } >"$T/mixed.tsv"
expect 1 "is of study other, row 2 of study" "$P" reader score "$T/mixed.tsv" "$T/r1.csv"

# ---- the results of one command in the folder of another ----
M=$T/mix
sums() { (cd "$1" && find . -type f ! -name .prlx -exec cksum {} + | sort) >"$2"; }
gen() { expect 0 "" "$P" generate --network "$N" --seeds 0-1 -o "$1"; }
gen "$M"
sums "$M" "$T/before"
"$P" classify "$D" --runs 1 --epochs 1 --pools 3 -o "$T/cl" --quiet >/dev/null 2>"$T/err" ||
  fail "classify"
of="is not a result of this command (the folder holds those of prlx generate)"
onto() { "$P" project "$T/t.safetensors" --network "$N" --steps 1 --range 0 -o "$M" --quiet "$@"; }
expect 1 "sheet.png: .*$of" onto
expect 1 "sheet.png: .*$of" "$P" cam "$D" --model "$T/cl" -o "$M"
expect 1 "mix: holds the results of prlx generate" "$P" paper run --scale tiny -o "$M"
gen "$M/in"
expect 1 "in/sheet.png: .*$of" "$P" project "$T/t.safetensors" --network "$N" --steps 1 -o \
  "$M/in"
rm -r "$M/in"
sums "$M" "$T/after"
same "$T/before" "$T/after" "a folder of results that three commands were not to touch"
gen "$M"
expect 0 "" onto --force
expect 0 "" onto
gen "$M"
[ "$(grep -c "^made by: prlx generate$\|^made by: prlx project$" "$M/.prlx")" -eq 2 ]
ok $? "the mark names two commands: $(cat "$M/.prlx")"
# nothing in the way: two commands may share a folder
expect 0 "" "$P" evidence --synthetic "$D" --train "$T/two.safetensors" --no-perceptual -o "$M"
# a command that fails before its first result leaves the mark as it was
rm -r "$M"
gen "$M"
cp "$M/.prlx" "$T/mark"
mkdir "$M/memory.tsv"
expect 1 "memory.tsv" "$P" evidence --synthetic "$D" --train "$T/two.safetensors" --no-perceptual \
  -o "$M"
same "$T/mark" "$M/.prlx" "the mark of a folder where a command failed"
# as builds before this rule left it: it names nobody
echo "Results of prlx: the command that made them may replace them." >"$M/.prlx"
expect 0 "" onto

# ---- what the sidecar of a map says of its unit (bids-validator-deno 3.0.2 takes any) ----
U=$T/units
cp -R "$T/coh" "$U"
side=$U/sub-001/anat/sub-001_desc-lesion01_Chimap.json
in_ppb() {
  "$P" pack "$U/lesions.tsv" --ambiguous-as rim --slices central --no-sheet --quiet \
    -o "$T/u.safetensors"
}
sed 's/"Units": "ppm"/"Units": "Parts per billion"/' "$T/coh/Chimap.json" >"$side"
expect 1 '"Units" of the map sub-001_.* are "Parts per billion", and it is read as ppm' in_ppb
printf '\357\273\277{"Units": "PPB"}\n' >"$side" # as editors of Windows begin a file
expect 1 'are "PPB", and it is read as ppm' in_ppb
echo '{"ZeroReference": "brain", "Units": "au"}' >"$side" # no unit that is known: the next above
expect 0 "" in_ppb
sed 's/"ppm"/"ppb"/' "$T/coh/Chimap.json" >"$U/Chimap.json"
expect 1 'Chimap.json: "Units" of the map sub-001_.*; say so with --units ppb' in_ppb
echo '{' >"$U/Chimap.json"
expect 0 "" in_ppb
sed 's/"ppm"/"Hz"/' "$T/coh/Chimap.json" >"$side"
mkdir "$T/crop"
map=$U/sub-001/anat/sub-001_desc-lesion01_Chimap.nii.gz
mask=$U/sub-001/anat/sub-001_label-lesion_desc-lesion01_mask.nii.gz
cut() { "$P" crop "$map" "$1" --subject 001 -o "$T/crop/$2"; }
expect 1 'are "Hz", and it is read as ppm.*crop --units hz' cut "$mask" a
rm "$side"
# what is no Chimap by its name has nothing to do with a Chimap.json above it
sed 's/"ppm"/"Hz"/' "$T/coh/Chimap.json" >"$U/Chimap.json"
cp "$map" "$U/sub-001/anat/sub-001_qsm.nii.gz"
other=$U/sub-001/anat/sub-001_qsm.nii.gz
expect 0 "" "$P" crop "$other" "$mask" --subject 001 -o "$T/crop/c"
expect 1 'are "Hz"' cut "$mask" d
rm "$U/Chimap.json"
expect 0 "" cut "$mask" b
! grep -q "fills" "$T/err"; ok $? "a mask of a lesion is said to be none"

# ---- patients of whom there is no map that is read ----
B=$T/bids; V=$T/coh/sub-001/anat
for p in 01 02; do
  mkdir -p "$B/sub-$p/anat"
  cp "$V/sub-001_desc-lesion01_Chimap.nii.gz" "$B/sub-$p/anat/sub-${p}_Chimap.nii.gz"
  cp "$V/sub-001_label-lesion_desc-lesion01_mask.nii.gz" \
    "$B/sub-$p/anat/sub-${p}_label-lesion_mask.nii.gz"
done
"$P" bids "$B" "$T/b1" participant >/dev/null 2>"$T/err" || fail "bids"
! grep -q "no susceptibility map" "$T/err"; ok $? "a patient with a map is said to have none"
mv "$B/sub-01/anat/sub-01_Chimap.nii.gz" "$B/sub-01/anat/sub-01_Chimap.mgz"
mkdir "$B/sub-03"
"$P" bids "$B" "$T/b2" participant >/dev/null 2>"$T/err" || fail "bids"
has "$T/err" "note: .*sub-01, sub-03: no susceptibility map.*left out" "patients without a map"
"$P" bids "$B" "$T/b3" participant --participant-label 02 >/dev/null 2>"$T/err" || fail "bids"
! grep -q "no susceptibility map" "$T/err"; ok $? "patients that nobody asked for"
finish
