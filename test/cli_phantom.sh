#!/bin/sh
# The command line of `prlx phantom`. usage: sh test/cli_phantom.sh build/prlx
P=$1; P_OK=0; P_BAD=0; D=$(mktemp -d); trap 'rm -rf "$D"' EXIT INT TERM
check() { if [ "$1" = "$2" ]; then P_OK=$((P_OK + 1)); else P_BAD=$((P_BAD + 1)); echo "FAIL $3: '$1', expected '$2'"; fi; }
has() { if grep -q -e "$2" "$1"; then P_OK=$((P_OK + 1)); else P_BAD=$((P_BAD + 1)); echo "FAIL $3: no '$2' in $1"; cat "$1"; fi; }
few="--rim 3 --ambiguous 2 --nonrim 4 --subjects 3 --seed 5"

PRLX_THREADS=1 "$P" phantom $few -o "$D/a" >"$D/out" 2>"$D/err"; check $? 0 "exit code"
has "$D/out" "9 lesions of 3 subjects" "summary"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 2' "$D/a/lesions.tsv" | wc -l | tr -d ' ')" 3 "rows with both readers"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 1' "$D/a/lesions.tsv" | wc -l | tr -d ' ')" 2 "rows with one reader"
check "$(awk -F'\t' 'NR > 1 && $7 + $8 == 0' "$D/a/lesions.tsv" | wc -l | tr -d ' ')" 4 "rows with none"
check "$(awk -F'\t' 'NR > 1 {print $1 "/" $2}' "$D/a/lesions.tsv" | sort -u | wc -l | tr -d ' ')" 9 "subject and lesion are unique"
missing=0; for f in $(awk -F'\t' 'NR > 1 {print $3; print $4; print $5; print $6}' "$D/a/lesions.tsv"); do [ -s "$D/a/$f" ] || missing=$((missing + 1)); done
check $missing 0 "files of the table"
for f in dataset_description.json README participants.tsv lesions.json Chimap.json sheet_rim.png sheet_ambiguous.png sheet_nonrim.png; do [ -s "$D/a/$f" ]; check $? 0 "$f"; done
has "$D/a/Chimap.json" '"Units": "ppm"' "units"
"$P" info "$D/a/$(awk -F'\t' 'NR == 2 {print $3}' "$D/a/lesions.tsv")" >"$D/info" 2>&1
has "$D/info" "64 x 64 x 24" "dimensions"; has "$D/info" "0.4 x 0.4 x 1 mm" "voxel"; has "$D/info" "RAS" "orientation"

PRLX_THREADS=3 "$P" phantom $few -o "$D/b" --quiet >/dev/null 2>&1
diff -r "$D/a" "$D/b" >"$D/diff" 2>&1; check $? 0 "same bytes with one thread and three"
"$P" phantom $few -o "$D/a" >"$D/out" 2>"$D/err"; check $? 1 "a cohort is not overwritten"
has "$D/err" "lesions.tsv: the folder already holds a cohort" "says why"
"$P" phantom $few --overwrite --no-sheets -o "$D/b" --quiet >/dev/null 2>&1; check $? 0 "--overwrite"
cmp -s "$D/a/lesions.tsv" "$D/b/lesions.tsv"; check $? 0 "same table again"
"$P" phantom --rim 1 --ambiguous 0 --nonrim 0 --subjects 2 -o "$D/c" >"$D/out" 2>"$D/err"; check $? 2 "fewer lesions than subjects"
has "$D/err" "1 lesions for 2 subjects" "says why"
"$P" phantom --rim 0 --ambiguous 0 --nonrim 1 --subjects 1 --whole-brain 1 -o "$D/w" --quiet >/dev/null 2>&1; check $? 0 "--whole-brain"
check "$(awk 'END {print NR}' "$D/w/whole-brain/lesions.tsv")" 6 "five lesions of the slab"
[ -s "$D/w/whole-brain/sub-wb01/anat/sub-wb01_desc-lesions_dseg.nii.gz" ]; check $? 0 "label map"
touch "$D/file"; "$P" phantom $few -o "$D/file" >"$D/out" 2>"$D/err"; check $? 1 "a file instead of a folder"
echo "$P_OK passed, $P_BAD failed"
[ $P_BAD -eq 0 ]
