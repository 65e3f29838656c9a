#!/bin/sh
# `prlx export-cohort`: the folders and lists of nnU-Net, MONAI and TorchIO, as far as a shell can
# tell; test/peer_bids.sh loads them with the packages themselves.
# usage: cli_export.sh PRLX
. "$(dirname "$0")/cli.inc"
cd "$T" || exit 1

few="--subjects 6 --rim 5 --ambiguous 2 --nonrim 7 --fast-inversion --no-sheets --quiet"
"$P" phantom $few --sessions 2 -o c >log 2>&1
ok $? "phantom: $(cat log)"
for f in nnunet monai torchio; do
  "$P" export-cohort c/lesions.tsv --format $f -o $f --quiet >log 2>&1
  ok $? "export-cohort --format $f: $(cat log)"
  grep -q "28 lesions of 6 patients" log
  ok $? "$f: summary: $(cat log)"
done
D=nnunet/Dataset700_Lesions
train=$(find $D/labelsTr -name '*.nii.gz' | wc -l)
test=$(find $D/labelsTs -name '*.nii.gz' | wc -l)
[ $((train + test)) -eq 28 ] && [ "$test" -gt 0 ]
ok $? "a label map per lesion: $train, $test"
missing=0
for p in Tr Ts; do
  for l in "$D/labels$p"/*.nii.gz; do
    b=$(basename "$l" .nii.gz)
    [ -s "$D/images$p/${b}_0000.nii.gz" ] && [ -s "$D/images$p/${b}_0001.nii.gz" ] ||
      missing=$((missing + 1))
  done
done
[ $missing -eq 0 ]
ok $? "two channels per label map: $missing are missing"
grep -q '"numTraining": '"$train," $D/dataset.json
ok $? "numTraining"
grep -q '"labels": {"background": 0, "lesion": 1, "rim": 2}' $D/dataset.json
ok $? "labels by name"
grep -q '"channel_names": {"0": "Chimap", "1": "FLAIR"}' $D/dataset.json
ok $? "channels"
"$P" info "$(find $D/labelsTr -name '*.nii.gz' | sort | head -n 1)" >log 2>&1
grep -q uint8 log
ok $? "label maps are uint8: $(head -n 3 log)"
C=$(awk -F'\t' 'NR == 2 {print $4}' c/lesions.tsv)
"$P" convert "c/$C" a.nii --quiet >log 2>&1
"$P" convert "$(find nnunet monai -name 'sub-001_ses-01_lesion-01_0000.nii.gz')" b.nii --quiet \
  >>log 2>&1
[ "$(tail -c +353 a.nii | cksum)" = "$(tail -c +353 b.nii | cksum)" ]
ok $? "the values of the map: $(cat log)"

# folds and test by patient, all sessions together
awk -F'\t' 'NR > 1 {k = $6 $7; if (p[$2] == "") p[$2] = k; if (p[$2] != k) print $2}' \
  $D/cases.tsv >log
[ ! -s log ]
ok $? "a patient is in one part only: $(cat log)"
[ "$(awk -F'\t' 'NR > 1 && $6 == "train" {print $7}' $D/cases.tsv | sort -u | wc -l)" -eq 5 ]
ok $? "five folds"
[ "$(grep -c '"val"' $D/splits_final.json)" -eq 5 ]
ok $? "splits_final.json has them"
[ "$(grep -c '"image": \[' monai/dataset.json)" -eq 28 ]
ok $? "a line per lesion for MONAI"
for f in $(sed -n 's/.*"label": "\([^"]*\)".*/\1/p' monai/dataset.json); do
  [ -s "monai/$f" ] || echo "$f"
done >log
[ ! -s log ]
ok $? "files of the list: $(head -n 1 log)"
[ "$(grep -c '"name"' torchio/subjects.json)" -eq 28 ]
ok $? "a line per lesion for TorchIO"
"$P" export-cohort c/lesions.tsv --format nnunet -o again --threads 1 --quiet >log 2>&1
diff -r nnunet again >log 2>&1
ok $? "the same bytes again: $(head -n 1 log)"
"$P" export-cohort c/lesions.tsv --channels chi --rim no --test 0 --name Chi --number 7 -o n \
  --quiet >log 2>&1
ok $? "one channel, no rim, no test: $(cat log)"
[ -d n/Dataset007_Chi/imagesTr ] && [ ! -e n/Dataset007_Chi/imagesTs ]
ok $? "names of the data set"

# broken: one line, nothing left
refuse() {
  text=$1
  shift
  rm -rf x
  expect 1 "$text" "$@"
  [ ! -e x ]
  ok $? "$*: left something"
}
refuse "already holds a data set" "$P" export-cohort c/lesions.tsv -o nnunet --quiet
awk -F'\t' -v OFS='\t' 'NR == 5 {$7 = "n/a"} 1' c/lesions.tsv >c/nomask.tsv
refuse "row 5: no lesion mask" "$P" export-cohort c/nomask.tsv -o x --quiet
awk -F'\t' -v OFS='\t' 'NR == 6 {$5 = "n/a"} 1' c/lesions.tsv >c/noflair.tsv
refuse "row 6: no flair file" "$P" export-cohort c/noflair.tsv --channels chi,flair -o x --quiet
"$P" export-cohort c/noflair.tsv -o chi --quiet >log 2>&1
ok $? "FLAIR is left out where not every lesion has it: $(cat log)"
grep -q '"channel_names": {"0": "Chimap"}' chi/Dataset700_Lesions/dataset.json
ok $? "one channel then"
head -c 5000 "c/$C" >c/cut.nii.gz
awk -F'\t' -v OFS='\t' 'NR == 9 {$4 = "cut.nii.gz"} 1' c/lesions.tsv >c/cut.tsv
refuse "row 9" "$P" export-cohort c/cut.tsv -o x --quiet
expect 2 "give -o DIR" "$P" export-cohort c/lesions.tsv
expect 2 "letters and digits" "$P" export-cohort c/lesions.tsv -o x --name "a b"
expect 2 "neither chi nor chi,flair" "$P" export-cohort c/lesions.tsv -o x --channels rim
expect 1 "both case" "$P" export-cohort c/lesions.tsv c/lesions.tsv -o x

# files of somebody else in the folder: neither replaced nor removed, and nothing is written beside
for f in README.txt cases.tsv; do
  mkdir -p theirs/sub
  echo "my own notes" >theirs/$f
  echo "more" >theirs/sub/notes
  expect 1 "$f: is there already and is not a result" "$P" export-cohort c/lesions.tsv \
    --format monai -o theirs --quiet
  [ "$(cat theirs/$f theirs/sub/notes)" = "my own notes
more" ] && [ "$(find theirs -type f | wc -l)" -eq 2 ]
  ok $? "$f of somebody else: $(find theirs -type f)"
  rm -r theirs
done
# an export that fails in its middle takes back what it made, and no more
mkdir -p theirs/labelsTr
echo "my own notes" >theirs/notes.txt
echo mine >theirs/labelsTr/mine.nii.gz
last=$(sed -n '$p' c/lesions.tsv | tr '\t' '\n' | grep 'Chimap.nii.gz')
cp "c/$last" kept.nii.gz
head -c 400 kept.nii.gz >"c/$last"
"$P" export-cohort c/lesions.tsv --format monai -o theirs --quiet >log 2>&1
[ $? -eq 1 ]
ok $? "a damaged volume: $(cat log)"
[ "$(find theirs -type f | sort | tr '\n' ' ')" = "theirs/labelsTr/mine.nii.gz theirs/notes.txt " ]
ok $? "an export that failed: $(find theirs -type f | head -n 4)"
cp kept.nii.gz "c/$last"
"$P" export-cohort c/lesions.tsv --format monai -o theirs --quiet >log 2>&1
ok $? "and again: $(cat log)"
[ "$(cat theirs/notes.txt theirs/labelsTr/mine.nii.gz)" = "my own notes
mine" ] && [ -s theirs/dataset.json ]
ok $? "beside files of somebody else: $(ls theirs)"
finish
