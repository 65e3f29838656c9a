#!/bin/sh
# The command line of `prlx phantom`. usage: sh test/cli_phantom.sh build/prlx
. "$(dirname "$0")/cli.inc"
check() { [ "$1" = "$2" ]; ok $? "$3: '$1', expected '$2'"; }
few="--rim 3 --ambiguous 2 --nonrim 4 --subjects 3 --seed 5"

PRLX_THREADS=1 "$P" phantom $few -o "$T/a" >"$T/out" 2>"$T/err"; check $? 0 "exit code"
has "$T/out" "9 lesions of 3 subjects" "summary"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 2' "$T/a/lesions.tsv" | wc -l | tr -d ' ')" 3 \
  "rows with both readers"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 1' "$T/a/lesions.tsv" | wc -l | tr -d ' ')" 2 \
  "rows with one reader"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 0' "$T/a/lesions.tsv" | wc -l | tr -d ' ')" 4 \
  "rows with none"
check "$(awk -F'\t' 'NR > 1 {print $1 "/" $2}' "$T/a/lesions.tsv" | sort -u | wc -l | tr -d ' ')" \
  9 "subject and lesion are unique"
missing=0
for f in $(awk -F'\t' 'NR > 1 {print $3; print $4; print $5; print $6}' "$T/a/lesions.tsv"); do
  [ -s "$T/a/$f" ] || missing=$((missing + 1))
done
check $missing 0 "files of the table"
for f in dataset_description.json README participants.tsv lesions.json Chimap.json \
    sheet_rim.png sheet_ambiguous.png sheet_nonrim.png; do
  [ -s "$T/a/$f" ]
  check $? 0 "$f"
done
has "$T/a/Chimap.json" '"Units": "ppm"' "units"
"$P" info "$T/a/$(awk -F'\t' 'NR == 2 {print $3}' "$T/a/lesions.tsv")" >"$T/info" 2>&1
has "$T/info" "64 x 64 x 24" "dimensions"
has "$T/info" "0.4 x 0.4 x 1 mm" "voxel"
has "$T/info" "RAS" "orientation"

PRLX_THREADS=3 "$P" phantom $few -o "$T/b" --quiet >/dev/null 2>&1
diff -r "$T/a" "$T/b" >"$T/diff" 2>&1; check $? 0 "same bytes with one thread and three"
"$P" phantom $few -o "$T/a" >"$T/out" 2>"$T/err"; check $? 1 "a cohort is not overwritten"
has "$T/err" "lesions.tsv: the folder already holds a cohort" "says why"
"$P" phantom $few --overwrite --no-sheets -o "$T/b" --quiet >/dev/null 2>&1
check $? 0 "--overwrite"
cmp -s "$T/a/lesions.tsv" "$T/b/lesions.tsv"; check $? 0 "same table again"
"$P" phantom --rim 1 --ambiguous 0 --nonrim 0 --subjects 2 -o "$T/c" >"$T/out" 2>"$T/err"
check $? 2 "fewer lesions than subjects"
has "$T/err" "1 lesions for 2 subjects" "says why"
"$P" phantom --rim 0 --ambiguous 0 --nonrim 1 --subjects 1 --whole-brain 1 -o "$T/w" --quiet \
  >/dev/null 2>&1
check $? 0 "--whole-brain"
check "$(awk 'END {print NR}' "$T/w/whole-brain/lesions.tsv")" 6 "five lesions of the slab"
[ -s "$T/w/whole-brain/sub-wb01/anat/sub-wb01_desc-lesions_dseg.nii.gz" ]; check $? 0 "label map"
"$P" phantom $few --only ambiguous -o "$T/d" --quiet >/dev/null 2>&1
check $? 0 "--only"
check "$(awk 'END {print NR}' "$T/d/lesions.tsv")" 3 "only the ambiguous ones"
awk -F'\t' 'NR > 1 && $7 + $8 == 1 {print $1 "\t" $10}' "$T/a/lesions.tsv" >"$T/all"
awk -F'\t' 'NR > 1 {print $1 "\t" $10}' "$T/d/lesions.tsv" | cmp -s - "$T/all"
check $? 0 "they are those of the whole cohort"
"$P" phantom $few --first-subject 1001 --no-sheets -o "$T/f" --quiet >/dev/null 2>&1
check $? 0 "--first-subject"
check "$(awk -F'\t' 'NR > 1 {print $1}' "$T/f/participants.tsv" | tr '\n' ' ')" \
  "sub-1001 sub-1002 sub-1003 " "numbers of subjects"
awk -F'\t' 'NR > 1 {print $10}' "$T/a/lesions.tsv" "$T/f/lesions.tsv" >"$T/all"
awk -F'\t' '$1 != "truth_conspicuity"' "$T/all" | sort | uniq -d >"$T/twice"
check "$(wc -l <"$T/twice" | tr -d ' ')" 0 "other subjects have other lesions, with the same seed"
touch "$T/file"
"$P" phantom $few -o "$T/file" >"$T/out" 2>"$T/err"
check $? 1 "a file instead of a folder"
finish
