#!/bin/sh
# Inputs of strangers, first part: nothing is overwritten or lost (outputs that are inputs, files of
# others, --force), names that stay apart, patients in two spellings, tables as people save them.
# usage: sh test/cli_strangers.sh build/prlx
. "$(dirname "$0")/cli.inc"
# sums FILE...: what they hold now
sums() { cksum "$@" 2>/dev/null; }
# unchanged WHAT BEFORE FILE...
unchanged() {
  what=$1; before=$2; shift 2
  [ "$before" = "$(sums "$@")" ]; ok $? "$what: an input or an old file was changed"
}

# ---- data: a small cohort, two data sets, a network ----
few="--scale demo --subjects 6 --rim 6 --ambiguous 3 --nonrim 6 --fast-inversion --no-sheets"
"$P" phantom $few --quiet -o "$T/coh" >/dev/null 2>"$T/err" || fail "phantom"
C=$T/coh/lesions.tsv
"$P" pack "$C" --slices central -o "$T/d.safetensors" --no-sheet --quiet >/dev/null \
  2>"$T/err" || fail "pack"
D=$T/d.safetensors
small="--config small --channel-base 64 --channel-max 4 --z-dim 8 --w-dim 8 --batch 4 --tick 0.008"
"$P" train "$D" $small --kimg 0.008 -o "$T/run" --quiet >/dev/null 2>"$T/err" || fail "train"
N=$T/run/network.safetensors

# ---- outputs that are inputs, by any spelling ----
ln "$D" "$T/hard.safetensors"; ln -s d.safetensors "$T/soft.safetensors"; mkdir "$T/sub"
before=$(sums "$D")
for o in "$D" "$T/./d.safetensors" "$T/sub/../d.safetensors" "$T/hard.safetensors" \
    "$T/soft.safetensors"; do
  expect 1 "is an input of this command" "$P" affine "$D" -o "$o"
  expect 1 "is an input of this command" "$P" affine "$D" -o "$o" --force
  expect 1 "is an input of this command" "$P" smote "$D" --method pixel -o "$o"
  expect 1 "is an input of this command" "$P" import "$D" -o "$o"
  expect 1 "is an input of this command" "$P" export "$D" -o "$o"
  expect 1 "is an input of this command" "$P" reader make "$D" "$D" -o "$o"
done
unchanged "outputs that are inputs" "$before" "$D"
before=$(sums "$C" "$T"/coh/sub-001/anat/*Chimap.nii.gz)
expect 1 "is an input of this command" "$P" pack "$C" -o "$C"
expect 1 "named for two outputs" "$P" pack "$C" -o "$T/a.safetensors" --test "$T/a.safetensors"
mkdir "$T/tab"; printf 'subject\tchi\tlabels\nA\tv.nii.gz\tl.nii.gz\n' >"$T/tab/lesions.tsv"
expect 1 "is an input of this command" "$P" crop "$T/tab/lesions.tsv" -o "$T/tab/."
unchanged "pack and crop over their table" "$before" "$C" "$T"/coh/sub-001/anat/*Chimap.nii.gz
mkdir "$T/png"; "$P" generate --network "$N" --seeds 0-1 --png -o "$T/png/g" --quiet \
  >/dev/null 2>"$T/err" || fail "generate"
cp "$T"/png/g/seed0000.png "$T/png/lesion.png" 2>/dev/null || cp "$T"/png/g/*0000*.png \
  "$T/png/lesion.png"
before=$(sums "$T/png/lesion.png")
expect 1 "lesion.png: is an input" "$P" project "$T/png/lesion.png" --network "$N" --steps 2 \
  --out "$T/png"
expect 1 "lesion.png: is an input" "$P" project "$T/png/lesion.png" --network "$N" --steps 2 \
  --out "$T/png/../png" --force
unchanged "project into the folder of its target" "$before" "$T/png/lesion.png"

# ---- files of others ----
for f in dataset.safetensors sheet.png; do
  mkdir "$T/other"; echo keep >"$T/other/$f"
  expect 1 "$f: is there already" "$P" generate --network "$N" --seeds 0-1 -o "$T/other"
  [ "$(cat "$T/other/$f")" = keep ]; ok $? "a file of others was replaced: $f"
  expect 0 "" "$P" generate --network "$N" --seeds 0-1 -o "$T/other" --force --quiet
  [ "$(cat "$T/other/$f" | head -c 4)" != keep ]; ok $? "--force replaces it"
  rm -r "$T/other"
done
echo keep >"$T/keep.safetensors"
expect 1 "is there already" "$P" affine "$D" -o "$T/keep.safetensors"
expect 1 "is there already" "$P" pack "$C" -o "$T/keep.safetensors"
[ "$(cat "$T/keep.safetensors")" = keep ]; ok $? "a text in place of a data set was replaced"
expect 1 "is there already" "$P" affine "$D" -o "$N"
expect 0 "" "$P" affine "$D" -o "$T/aff.safetensors"
expect 0 "" "$P" affine "$D" -o "$T/aff.safetensors"
expect 0 "" "$P" generate --network "$N" --seeds 0-1 -o "$T/again" --quiet
expect 0 "" "$P" generate --network "$N" --seeds 0-1 -o "$T/again" --quiet
expect 1 "cannot be created" "$P" affine "$D" -o "$T/nofolder/a.safetensors"
expect 1 "/dev/stdout" "$P" affine "$D" -o -
expect 1 "/dev/stdout" "$P" generate --network "$N" --seeds 0-1 -o -

# ---- a link to a file that is not there ----
for o in "affine $D -o" "pack $C -o" "import $D -o" "export $N -o" "smote $D --method pixel -o"; do
  ln -sf /nowhere/disk/a.safetensors "$T/gone.safetensors"
  # shellcheck disable=SC2086
  expect 1 "is a symbolic link to a file that is not there" "$P" $o "$T/gone.safetensors"
  [ -L "$T/gone.safetensors" ]; ok $? "${o%% *}: the link stays"
done
expect 0 "" "$P" affine "$D" -o "$T/gone.safetensors" --force
[ -f "$T/gone.safetensors" ] && [ ! -L "$T/gone.safetensors" ]; ok $? "--force replaces the link"
mkdir "$T/l"; ln -s /nowhere/s.png "$T/l/sheet.png"
expect 1 "sheet.png: is a symbolic link" "$P" generate --network "$N" --seeds 0-1 -o "$T/l"
[ "$(ls "$T/l")" = sheet.png ]; ok $? "refused before anything is written: $(ls "$T/l")"
expect 1 "is a symbolic link to" "$P" project "$T/png/lesion.png" --network "$N" --steps 2 -o "$T/l"
ln -s /nowhere/r "$T/l2"
expect 1 "cannot be made: a symbolic link to a folder that is not there" "$P" generate \
  --network "$N" --seeds 0-1 -o "$T/l2"
# a link to a file that is there stays, and the file is replaced
expect 0 "" "$P" import "$N" -o "$T/real.safetensors"
ln -s real.safetensors "$T/link.safetensors"
expect 0 "" "$P" import "$N" --nets G_ema -o "$T/link.safetensors"
[ -L "$T/link.safetensors" ]; ok $? "import through a link: the link stays"
same "$T/link.safetensors" "$T/real.safetensors" "import through a link"

# ---- --force loses nothing when the new run fails ----
before=$(sums "$T"/run/*)
for x in "--init nonexistent" "--memory 1K" "--init $D" "--cond --data-typo" "--batch-gpu 3" \
    "--aug nonsense" "--lr 2"; do
  "$P" train "$D" $small --kimg 0.008 -o "$T/run" --force --quiet $x >/dev/null 2>"$T/err"
  [ $? -ne 0 ]; ok $? "train --force $x: no error"
  unchanged "train --force $x" "$before" "$T"/run/*
done
(ulimit -f 16; "$P" train "$D" $small --kimg 0.008 -o "$T/run" --force --quiet >/dev/null \
  2>"$T/err"); rc=$?
[ $rc -eq 1 ]; ok $? "train on a full disk: exit code $rc"
unchanged "train --force on a full disk" "$before" "$T"/run/*
[ "$(ls -A "$T/run" | grep -c 'tmp\|old')" -eq 0 ]; ok $? "left over: $(ls -A "$T/run")"
mkdir "$T/run/.old-run"; mv "$T"/run/* "$T/run/.old-run"; echo '{}' >"$T/run/metrics.jsonl"
expect 1 "there is a run" "$P" train "$D" $small --kimg 0.008 -o "$T/run" --quiet
unchanged "the old run comes back after kill -9" "$before" "$T"/run/*
# killed while the old run moved aside or back: some of its files here, some there
for half in network.safetensors state.safetensors "network.safetensors metrics.jsonl"; do
  mkdir "$T/run/.old-run-moves"
  for f in $half; do mv "$T/run/$f" "$T/run/.old-run-moves"; done
  expect 1 "there is a run" "$P" train "$D" $small --kimg 0.008 -o "$T/run" --quiet
  unchanged "the old run is whole again ($half)" "$before" "$T"/run/*
done
[ "$(ls -A "$T/run" | grep -c old)" -eq 0 ]; ok $? "left over: $(ls -A "$T/run")"
# what is not ours in the place where the old run waits is no reason to lose any of it
mkdir "$T/run/.old-run"; echo keep >"$T/run/.old-run/note"
expect 1 "cannot be renamed" "$P" train "$D" $small --kimg 0.008 -o "$T/run" --force --quiet
unchanged "the old run cannot wait" "$before" "$T"/run/*
rm -r "$T/run/.old-run"
expect 0 "" "$P" train "$D" $small --kimg 0.016 -o "$T/run" --force --quiet --init "$T/run"
[ ! -e "$T/run/.old-run" ]; ok $? "the old run goes with the first snapshot"
before=$(sums "$C" "$T"/coh/sub-001/anat/*)
(ulimit -f 8; "$P" phantom $few --seed 3 --quiet --overwrite -o "$T/coh" >/dev/null 2>"$T/err")
unchanged "phantom --overwrite that fails" "$before" "$C" "$T"/coh/sub-001/anat/*
[ "$(ls -A "$T/coh" | grep -c new-cohort)" -eq 0 ]; ok $? "phantom leaves its new folder"

# ---- names that stay apart; spellings of one patient ----
cd "$T/coh" || exit 1
V=$(ls sub-001/anat/*lesion01_Chimap.nii.gz)
L=$(ls sub-001/anat/*label-lesion*lesion01_mask.nii.gz)
W=$(ls sub-002/anat/*lesion01_Chimap.nii.gz)
M=$(ls sub-002/anat/*label-lesion*lesion01_mask.nii.gz)
crop() { expect "$1" "$2" "$P" crop "$3" "$4" --subject "$5" -o "$T/c"; }
crop 0 "" "$V" "$L" 1-11
before=$(sums "$T"/c/sub-111/anat/*)
crop 1 "1-11" "$W" "$M" 11-1
crop 1 "two spellings" "$W" "$M" 01-11
crop 1 "two spellings" "$W" "$M" "SUB-1-11"
unchanged "crop of a patient with the same file name" "$before" "$T"/c/sub-111/anat/*
crop 0 "" "$W" "$M" A1
V2=$(ls sub-003/anat/*lesion01_Chimap.nii.gz)
M2=$(ls sub-003/anat/*label-lesion*lesion01_mask.nii.gz)
crop 1 "spellings" "$V2" "$M2" a1
# edit NAME SED: a copy of the table; in SED a tab is written ~
edit() { tr '\t' '~' <lesions.tsv | sed "$2" | tr '~' '\t' >"$1.tsv"; }
split() { expect "$1" "$2" "$P" pack "$3.tsv" -o "$T/s.safetensors" --test "$T/t.safetensors" $4; }
edit twins 's/^sub-001~01/SUB-001~01/'; split 1 "spellings of one patient" twins
edit zeros 's/^sub-001~01/sub-1~01/'; split 1 "spellings of one patient" zeros
edit blanks 's/^sub-001~01/ sub-001 ~01/'; split 0 "leak check passed" blanks --force
edit points 's/^sub-001~/P-01~/;s/^sub-002~/P01~/'; split 1 "punctuation only" points
split 0 "" points "--distinct-ids --force"
# twins that are one name in data sets: two patients on one side, whatever the seed
printf '%s\n' 's/^sub-001~01/SUB-001~01/' 's/^sub-003~02/sub-3~02/' 's/^sub-002~01/sub-00002~01/' |
  while read -r e; do
    edit pair "$e"; split 1 "spellings of one patient.*--distinct-ids" pair --force
    for seed in 0 1 2 3; do
      split 0 "leak check passed" pair "--distinct-ids --force --seed $seed"
      has "$T/err" "taken as two patients; they stay on one side" "note"
      expect 0 "leak check passed" "$P" pack --check "$T/s.safetensors" "$T/t.safetensors"
    done
    [ $failed -eq 0 ] || touch "$T/twins-failed"
  done
[ ! -e "$T/twins-failed" ]; ok $? "twins by name"
edit twins 's/^sub-001~01/SUB-001~01/'
expect 0 "" "$P" export-cohort twins.tsv --format monai --distinct-ids -o "$T/monai2"
has "$T/err" "taken as two patients" "export-cohort"
expect 1 "punctuation only" "$P" export-cohort points.tsv --format monai -o "$T/monai"
edit sites 's/^sub-001~/1-11~/;s/^sub-002~/11-1~/'; split 1 "11-1" sites
expect 1 "both be written" "$P" project sites.tsv --network "$N" --steps 2 -o "$T/sites"
# ---- files in the wrong column, one patch with two classes ----
head -n 1 lesions.tsv | tr '\t' '\n' >columns
row() { sed -n "$1p" lesions.tsv | tr '\t' '\n' | paste columns - >row; }
cell() { awk -F '\t' -v n="$1" '$1 == n { print $2 }' row; }
row 2; chi=$(cell chi)
mask=$(cell mask)
for f in mask flair; do
  awk -F '\t' -v OFS='\t' -v f=$f 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i }
    NR == 2 { $c[f] = $c["chi"] } { print }' lesions.tsv >wrong.tsv
  split 1 "row 2: .*chi and $f are one file" wrong
done
printf 'subject\tlesion\tchi\tmask\treader1\treader2\n' >same.tsv
printf 'a\t1\t%s\t%s\t1\t1\na\t2\t%s\t%s\t0\t0\n' "$chi" "$mask" "$chi" "$mask" >>same.tsv
expect 1 "row 3: lesion 2 of a: its files are those of lesion 1 in row 2.*rim there, non-rim here" \
  "$P" pack same.tsv -o "$T/s.safetensors" --force --quiet
# ---- images without classes, twice, all the same ----
G=$T/again/dataset.safetensors
expect 1 "have no class" "$P" affine "$G" -o "$T/un.safetensors"
expect 0 "" "$P" affine "$G" --class 1 -o "$T/un.safetensors"
expect 0 "" "$P" generate --network "$PRLX_DATA/network_small.safetensors" --seeds 0-3 --trunc 0.6 \
  --png -o "$T/eight" --quiet
expect 0 "" "$P" pack "$T"/eight/[0-9s]*[0-9].png -o "$T/eight.safetensors" --no-sheet
expect 0 "" "$P" classify "$T/eight/dataset.safetensors:rim" "$D:nonrim" \
  --test "$T/eight.safetensors:rim" --epochs 1 --runs 1 --quiet
has "$T/err" "4 of 4 test images are training images" "images that went through 8 bits"
expect 0 "" "$P" generate --network "$N" --seeds 0-3 --trunc 0 --noise none -o "$T/mean" --quiet
expect 0 "" "$P" train "$T/mean/dataset.safetensors" $small --dry-run -o "$T/no"
has "$T/err" "all 4 images are the same" "training with one image"
# ---- tables as people save them ----
edit empty '4s/$/\n/;6s/$/\n ~ ~/'; split 0 "leak check passed" empty --force
edit ones 's/~1~1~/~1.0~1.00~/;s/~0~0~/~0.0~0.~/'; split 0 "" ones --force
tr '\n' '\r' <lesions.tsv >mac.tsv; split 0 "" mac --force
edit row '4s/$/\n/;6s/^[^~]*~//'; split 1 "row 7 has" row
tr '\t' ',' <lesions.tsv >comma.tsv; split 1 "no tab, but 16 commas" comma
tr '\t' ';' <lesions.tsv >semi.tsv; split 1 "no tab, but 16 semicolons" semi
edit note '1s/^/# made by me\n/'; split 1 "row 1 begins with #" note
edit case '1s/subject/Subject/'; split 1 "column 1 is called 'Subject'; expected 'subject'" case
edit under '1s/reader2/Reader_2/'; split 1 "is called 'Reader_2'; expected 'reader2'" under
# a column that would be left out without a word, a word in other letters
edit made '1s/$/~Provenance/;2,$s/$/~denoised/'; split 1 "is called 'Provenance'" made
edit real '1s/$/~provenance/;2,$s/$/~Original/'; split 0 "leak check passed" real --force
grep -q "denoised or synthetic" "$T/out"; [ $? -ne 0 ]; ok $? "Original is original"
# blanks that nobody sees, an accent stored in two ways
edit unseen "3s/^sub-002/sub-002$(printf '\302\240')/;4s/^/$(printf '\342\200\213')/"
split 0 "leak check passed" unseen --force
edit accents "s/^sub-001~/M$(printf '\303\274')ller~/;s/^sub-002~/Mu$(printf '\314\210')ller~/"
split 1 "two spellings of one patient" accents
# paths of other machines
edit slashes '2s,/,\\,g'; split 1 'separated by / here' slashes
awk -F '\t' -v OFS='\t' 'NR == 2 { $3 = "~/" $3 } { print }' lesions.tsv >home.tsv
split 1 'replaced by the shell only' home
awk -F '\t' -v OFS='\t' 'NR == 2 { $3 = "https://a.org/" $3 } { print }' lesions.tsv >web.tsv
split 1 'an address' web
ln -s ../.git/annex/objects/x.nii.gz annexed.nii.gz
awk -F '\t' -v OFS='\t' 'NR == 2 { $3 = "annexed.nii.gz" } { print }' lesions.tsv >annexed.tsv
split 1 'datalad get' annexed
expect 1 'annexed.nii.gz: cannot be opened.*datalad get' "$P" info annexed.nii.gz
# ---- readers and volumes as people name them ----
cp "$V" QSM.nii.gz; cp "$L" rois.nii.gz; cp "$W" QSM_2.nii.gz
crops() { expect "$1" "$2" "$P" crop QSM.nii.gz rois.nii.gz -o "$T/$3" $4; }
printf 'subject\tlesion\treader1\treader2\n001\t1.0\t1\t0\n' >readers.tsv
crops 0 "" r1 "--subject sub-001 --readers readers.tsv"
tr '\t' ' ' <"$T/r1/lesions.tsv" | grep -q " 1 0$"
ok $? "readers of 001, lesion 1.0: $(cat "$T/r1/lesions.tsv")"
printf 'Subject\tlesion\treader1\treader2\n002\t1\t1\t0\n' >readers.tsv
crops 1 "column 1 is called 'Subject'" r2 "--subject sub-001 --readers readers.tsv"
printf 'subject\tlesion\treader1\treader2\n002\t1\t1\t0\n' >readers.tsv
crops 0 "" r3 "--subject sub-001 --readers readers.tsv"
has "$T/err" "no row for 1 of the lesions, such as lesion 01 of sub-001" "readers of another"
crops 0 "" guess
has "$T/out" "QSM.nii.gz says no patient.*called sub-QSM" "a patient made of the file's name"
"$P" crop QSM_2.nii.gz "$M" -o "$T/guess" >"$T/out" 2>"$T/err"
[ $? -eq 1 ] && grep -q "say whose it is with --subject" "$T/err"
ok $? "two patients of one guess: $(cat "$T/err")"
printf 'subject\tlesion\tchi\tlabels\tlabel\treader1\treader2\n' >volumes.tsv
printf 'A\t1\tQSM.nii.gz\trois.nii.gz\t1.0\t1\t1\n' >>volumes.tsv
expect 0 "" "$P" crop volumes.tsv -o "$T/r4"
sed '1s/label\([^s]\)/Label\1/' volumes.tsv >volumes2.tsv
expect 1 "is called 'Label'" "$P" crop volumes2.tsv -o "$T/r5"
cd - >/dev/null || exit 1
finish
