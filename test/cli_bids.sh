#!/bin/sh
# Patients, sessions and BIDS: what goes in under BIDS names and what comes out; all sessions of a
# patient stay on one side; broken trees give one line.
# usage: cli_bids.sh PRLX
. "$(dirname "$0")/cli.inc"
cd "$T" || exit 1

# what a BIDS validator asks of a derivative dataset, as far as a shell can tell: every volume has a
# name of entities in order, every root sidecar a volume, the description its keys
structure() {
  l='[0-9A-Za-z]+'
  name="^(sub-$l)/(ses-$l/)?anat/\\1(_ses-$l)?(_acq-$l)?(_rec-$l)?(_run-[0-9]+)?"
  name="${name}(_label-(rim|lesion))?_desc-lesion${l}_(Chimap|FLAIR|probseg|mask)\\.nii\\.gz\$"
  bad=$(find "$1" -path "$1/whole-brain" -prune -o -name '*.nii.gz' -print | sed "s|^$1/||" |
    grep -v -E "$name")
  [ -z "$bad" ]
  ok $? "$1: names: $(echo "$bad" | head -n 3)"
  for key in Name BIDSVersion DatasetType GeneratedBy Version; do
    grep -q "\"$key\"" "$1/dataset_description.json" || echo "$key"
  done >"$T/keys"
  [ ! -s "$T/keys" ]
  ok $? "$1: description lacks $(cat "$T/keys")"
  [ -s "$1/README" ] && [ -s "$1/.bidsignore" ]
  ok $? "$1: README and .bidsignore"
  for s in Chimap:Chimap FLAIR:FLAIR label-rim_probseg:probseg label-lesion_mask:mask; do
    n=$(find "$1" -path "$1/whole-brain" -prune -o -name "*_${s#*:}.nii.gz" -print | wc -l)
    [ "$n" -gt 0 ] && want=yes || want=no
    [ -s "$1/${s%:*}.json" ] && have=yes || have=no
    [ $want = $have ]
    ok $? "$1: ${s%:*}.json is there: $have, $n volumes"
  done
  for s in Chimap FLAIR; do
    [ ! -f "$1/$s.json" ] || grep -q '"SkullStripped": \(true\|false\)' "$1/$s.json"
    ok $? "$1: SkullStripped of $s"
  done
}
types() { # FILE TYPE
  "$P" info "$1" >log 2>&1
  grep -q "$2" log
  ok $? "$1 is $2: $(head -n 3 log)"
}
cell() { awk -F'\t' -v r="$2" -v c="$3" 'NR == 1 {for (i = 1; i <= NF; i++) k[$i] = i}
  NR == r {print $k[c]}' "$1"; }

# ---- phantom with two visits ----
few="--subjects 4 --rim 4 --ambiguous 3 --nonrim 5 --fast-inversion --no-sheets --quiet --seed 3"
"$P" phantom $few -o one >log 2>&1
ok $? "phantom: $(cat log)"
"$P" phantom $few --sessions 2 -o two >log 2>&1
ok $? "phantom --sessions 2: $(cat log)"
grep -q "visit 2: of the 3 ambiguous" log
ok $? "what became of the ambiguous: $(cat log)"
structure one
structure two
[ "$(awk 'END {print NR}' two/lesions.tsv)" -eq 25 ]
ok $? "a row per lesion and visit"
[ "$(cell two/lesions.tsv 3 session)" = 02 ]
ok $? "column session"
A=$(cell one/lesions.tsv 2 chi)
B=$(cell two/lesions.tsv 2 chi)
C=$(cell two/lesions.tsv 3 chi)
cmp -s "one/$A" "two/$B"
ok $? "the first visit is the cohort of one visit: $A, $B"
! cmp -s "two/$B" "two/$C"
ok $? "the second visit is another scan"
types "one/$(cell one/lesions.tsv 2 mask)" uint8
types "one/$(cell one/lesions.tsv 2 rim)" float32
PRLX_THREADS=1 "$P" phantom $few --sessions 2 -o again >log 2>&1
diff -r two again >log 2>&1
ok $? "same bytes for any number of threads: $(head -n 2 log)"

# ---- a tree of whole volumes: 4 patients, 2 visits, FLAIR registered to the map, masks apart ----
row=2
for s in 01 02 03 04; do
  for v in 01 02; do
    d=raw/sub-$s/ses-$v/anat
    m=raw/derivatives/manual/sub-$s/ses-$v/anat
    mkdir -p $d $m
    cp "two/$(cell two/lesions.tsv $row chi)" $d/sub-${s}_ses-${v}_Chimap.nii.gz
    cp "two/$(cell two/lesions.tsv $row flair)" $m/sub-${s}_ses-${v}_space-QSM_FLAIR.nii.gz
    cp "one/$A" $d/sub-${s}_ses-${v}_FLAIR.nii.gz
    cp "two/$(cell two/lesions.tsv $row rim)" $m/sub-${s}_ses-${v}_label-rim_probseg.nii.gz
    cp "two/$(cell two/lesions.tsv $row mask)" $m/sub-${s}_ses-${v}_label-lesion_mask.nii.gz
    row=$((row + 1))
  done
done
echo '{"Name": "x", "BIDSVersion": "1.10.0"}' >raw/dataset_description.json
printf '{"Units": "ppm", "SkullStripped": false}\n' \
  >raw/sub-01/ses-01/anat/sub-01_ses-01_Chimap.json
"$P" bids raw cut participant --quiet >log 2>&1
ok $? "bids: $(cat log)"
structure cut
[ "$(awk 'END {print NR}' cut/lesions.tsv)" -ge 9 ]
ok $? "rows: $(cat log)"
[ "$(cell cut/lesions.tsv 2 flair)" != "" ] && [ "$(cell cut/lesions.tsv 2 rim)" != "n/a" ]
ok $? "FLAIR and rim found: $(head -n 2 cut/lesions.tsv | tail -n 1)"
"$P" bids raw out2 participant --dry-run >log 2>&1
ok $? "bids --dry-run"
[ "$(grep -c 'space-QSM_FLAIR' log)" -eq 8 ] && [ ! -e out2 ]
ok $? "the registered FLAIR is taken, nothing written: $(head -n 4 log)"
grep -q '"SkullStripped": false' cut/sub-01/ses-01/anat/*desc-lesion01_Chimap.json
ok $? "SkullStripped of the source"
mkdir sealed
mv raw/sub-01/ses-01/anat/sub-01_ses-01_Chimap.json sealed
mkdir raw/sub-01/ses-01/anat/sub-01_ses-01_Chimap.json
"$P" bids raw sealed/cut participant --quiet >log 2>&1
[ $? -eq 1 ] && grep -q 'sub-01_ses-01_Chimap.json' log
ok $? "a sidecar that cannot be read: $(cat log)"
rmdir raw/sub-01/ses-01/anat/sub-01_ses-01_Chimap.json
mv sealed/sub-01_ses-01_Chimap.json raw/sub-01/ses-01/anat
"$P" bids raw out3 participant --participant-label 02 sub-03 --session-label 02 --quiet >log 2>&1
ok $? "labels: $(cat log)"
[ "$(awk -F'\t' 'NR > 1 {print $1 $3}' out3/lesions.tsv | sort -u | tr '\n' ' ')" = \
  "sub-0202 sub-0302 " ]
ok $? "two patients, one visit: $(cut -f1-3 out3/lesions.tsv | tr '\n' ' ')"
"$P" bids raw out3 participant --participant_label 02 --session_label 01 --quiet >log 2>&1
ok $? "appended, option as other apps spell it: $(cat log)"
"$P" bids raw raw/derivatives/prlx participant --quiet >log 2>&1 &&
  "$P" bids raw out4 participant --dry-run >log 2>&1
ok $? "output in the tree: $(tail -n 1 log)"
[ "$(grep -c '^raw' log)" -eq 8 ]
ok $? "own patches are no maps: $(grep '^raw' log | tail -n 1)"
rm -rf raw/derivatives/prlx

# volume by volume gives the same, session from the name or the folder
for s in 01 02 03 04; do
  for v in 01 02; do
    d=raw/derivatives/manual/sub-$s/ses-$v/anat/sub-${s}_ses-${v}
    "$P" crop raw/sub-$s/ses-$v/anat/sub-${s}_ses-${v}_Chimap.nii.gz ${d}_label-lesion_mask.nii.gz \
      --flair ${d}_space-QSM_FLAIR.nii.gz --rim ${d}_label-rim_probseg.nii.gz -o vol --quiet \
      >log 2>&1
    ok $? "crop sub-$s ses-$v: $(cat log)"
  done
done
cmp -s cut/lesions.tsv vol/lesions.tsv
ok $? "bids and crop write the same table"
mkdir -p f/sub-09/ses-base/anat
cp "two/$B" f/sub-09/ses-base/anat/sub-09_Chimap.nii.gz
cp "two/$(cell two/lesions.tsv 2 mask)" f/mask.nii.gz
"$P" crop f/sub-09/ses-base/anat/sub-09_Chimap.nii.gz f/mask.nii.gz -o f/out --quiet >log 2>&1
ok $? "session of the folder: $(cat log)"
[ "$(cell f/out/lesions.tsv 2 session)" = base ]
ok $? "column session is base"
"$P" crop "two/$B" f/mask.nii.gz --subject sub-77_ses-b_run-2 -o f/out --quiet >log 2>&1
ok $? "subject with its scan: $(cat log)"
t=f/out/lesions.tsv
[ "$(cell $t 3 subject) $(cell $t 3 session) $(cell $t 3 run)" = "sub-77 b 2" ]
ok $? "patient, session and run apart: $(tail -n 1 f/out/lesions.tsv)"
printf 'subject\tsession\tlesion\treader1\treader2\n' >readers.tsv
printf 'sub-08\t1\t1\t1\t1\nsub-08\t2\t1\t0\t1\n' >>readers.tsv
for v in 1 2; do
  "$P" crop "two/$B" f/mask.nii.gz --subject sub-08 --session $v --readers readers.tsv -o f/read \
    --quiet >log 2>&1
  ok $? "readers by session $v: $(cat log)"
done
t=f/read/lesions.tsv
[ "$(cell $t 2 reader1)$(cell $t 2 reader2) $(cell $t 3 reader1)$(cell $t 3 reader2)" = "11 01" ]
ok $? "readers of each visit: $(cat f/read/lesions.tsv)"

# ---- both sessions on one side, by whatever route the tables came ----
awk -F'\t' -v OFS='\t' 'NR == 1 {for (i = 1; i <= NF; i++) k[$i] = i}
  NR > 1 {$k["reader1"] = $k["reader2"] = ($1 == "sub-01" || $1 == "sub-02")} 1' \
  cut/lesions.tsv >cut/read.tsv
sides() { # LOG-TEXT: subjects of te.safetensors and tr.safetensors do not meet
  "$P" pack --check tr.safetensors te.safetensors >log 2>&1
  ok $? "$1: $(cat log)"
}
for seed in 0 1 2 3 4 5; do
  "$P" pack cut/read.tsv -o tr.safetensors --test te.safetensors --counts all \
    --seed $seed --no-sheet --quiet >log 2>&1
  ok $? "pack, seed $seed: $(cat log)"
  sides "one table, seed $seed"
done
# the sessions in two tables
for v in 01 02; do
  awk -F'\t' -v v=$v 'NR == 1 || $3 == v' cut/read.tsv >cut/ses$v.tsv
done
"$P" pack cut/ses01.tsv cut/ses02.tsv -o tr.safetensors --test te.safetensors --counts all \
  --no-sheet --quiet >log 2>&1
ok $? "two tables: $(cat log)"
sides "a table per session"
# the session in the subject's name, as tables of the version before have it
awk -F'\t' -v OFS='\t' 'NR > 1 {$1 = $1 "_ses-" $3; $3 = ""} 1' cut/read.tsv >cut/names.tsv
"$P" pack cut/names.tsv -o tr.safetensors --test te.safetensors --counts all \
  --no-sheet --quiet >log 2>&1
ok $? "sessions in names: $(cat log)"
sides "sessions in names"
"$P" info te.safetensors >log 2>&1
grep -q "lesions.scans" log
ok $? "the data set knows the scans"
# each session packed for itself: as training and test they would leak
for v in 01 02; do
  "$P" pack cut/ses$v.tsv -o s$v.safetensors --counts all --no-sheet --quiet >log 2>&1
  ok $? "pack session $v: $(cat log)"
done
expect 1 "LEAK: subject sub-0" "$P" pack --check s01.safetensors s02.safetensors

# ---- project and evidence keep the visit ----
tiny="--channel-base 256 --channel-max 16 --z-dim 16 --w-dim 16 --batch 4 --kimg 0.004 --no-layers"
"$P" pack two/lesions.tsv -o d.safetensors --counts all --no-sheet --quiet >log 2>&1 &&
  "$P" train d.safetensors --config small $tiny --quiet -o run >log 2>&1 &&
  "$P" project two/lesions.tsv --ambiguous --network run --steps 2 --w-samples 20 --quiet -o den \
    >log 2>&1
ok $? "project: $(tail -n 1 log)"
structure den
[ "$(cell den/lesions.tsv 2 session)" = 01 ]
ok $? "denoised lesions have their session: $(head -n 2 den/lesions.tsv)"
"$P" pack two/lesions.tsv den/lesions.tsv -o more.safetensors --test te.safetensors --no-sheet \
  --quiet >log 2>&1 && "$P" pack --check more.safetensors te.safetensors >>log 2>&1
ok $? "pack with the denoised: $(cat log)"
"$P" classify d.safetensors --test d.safetensors --epochs 1 --runs 1 --quiet -o cls >log 2>&1
"$P" evidence den --cohort two/lesions.tsv --model cls --train d.safetensors --no-perceptual -o ev \
  >log 2>&1
ok $? "evidence: $(cat log)"
grep -q "^Later visits: of .* ambiguous lesions .* were seen again" log
ok $? "evidence of later visits: $(grep -c . log) lines"
grep -q "That later word is the truth" log
ok $? "against the truth of the phantom"
head -n 1 ev/evidence.tsv | grep -q "scan.*later_scan.*later_class"
ok $? "columns of the visits"
"$P" evidence den --cohort two/lesions.tsv --no-perceptual -o ev2 --quiet >log 2>&1
ok $? "evidence without a classifier: $(cat log)"
"$P" generate --network run --seeds 0-1 --quiet -o gen >log 2>&1
ok $? "generate: $(cat log)"
structure gen/nifti
"$P" pack gen/nifti/lesions.tsv --slices central --unread -o g.safetensors --no-sheet --quiet \
  >log 2>&1
ok $? "generated lesions are packed: $(cat log)"

# ---- broken ----
refuse() { # TEXT, then the command: one line, nothing left
  text=$1
  shift
  rm -rf x
  expect 1 "$text" "$@"
  [ ! -e x ]
  ok $? "$*: left something"
}
mkdir -p b1/sub-01/anat
cp "two/$B" b1/sub-01/anat/ses-01_Chimap.nii.gz
cp f/mask.nii.gz b1/sub-01/anat/sub-01_dseg.nii.gz
refuse "a session without a subject" "$P" bids b1 x participant --quiet
refuse "a session without a subject" "$P" crop b1/sub-01/anat/ses-01_Chimap.nii.gz f/mask.nii.gz \
  -o x --quiet
mkdir -p b2/sub-01/ses-02/anat
cp "two/$B" b2/sub-01/ses-02/anat/sub-01_ses-03_Chimap.nii.gz
refuse "name says ses-03, the folder ses-02" "$P" bids b2 x participant --quiet
mkdir -p b3/sub-01/anat
cp "two/$B" b3/sub-01/anat/sub-02_Chimap.nii.gz
refuse "in the folder of sub-01, but its name says sub-02" "$P" bids b3 x participant --quiet
mkdir -p b4/sub-01/anat
cp "two/$B" b4/sub-01/anat/sub-01_Chimap.nii.gz
refuse "no lesion map" "$P" bids b4 x participant
cp f/mask.nii.gz b4/sub-01/anat/sub-01_label-lesion_mask.nii.gz
cp f/mask.nii.gz b4/sub-01/anat/sub-01_desc-lesionsA_dseg.nii.gz
cp f/mask.nii.gz b4/sub-01/anat/sub-01_desc-lesionsB_dseg.nii.gz
refuse "two files fit as its lesion map" "$P" bids b4 x participant
"$P" bids b4 ok4 participant --lesions lesionsB --quiet >log 2>&1
ok $? "--lesions chooses: $(cat log)"
refuse "no folders sub-" "$P" bids run x participant --quiet
refuse "no volumes of sub-09" "$P" bids raw x participant --participant-label 09
refuse "cannot be read" "$P" bids nowhere x participant
# the output among the scans: the input itself, however it is spelled, a patient's folder in it, and
# a dataset of somebody else, which then holds patches beside its scans
find raw | sort >raw.before
for o in raw raw/. ../"$(basename "$PWD")"/raw raw/derivatives/../; do
  expect 1 "OUTPUT is the folder of INPUT raw; patches would lie" "$P" bids raw "$o" participant
done
ln -s raw link
expect 1 "OUTPUT is the folder of INPUT link" "$P" bids link raw participant
expect 1 "OUTPUT is the folder of a patient of INPUT raw" "$P" bids raw raw/sub-01/new/out \
  participant
expect 1 "OUTPUT is the folder of a patient of" "$P" bids raw link/sub-99 participant --quiet
mkdir other
echo '{"Name": "other", "BIDSVersion": "1.10.0"}' >other/dataset_description.json
expect 1 "is another BIDS dataset" "$P" bids raw other participant
[ "$(ls other)" = dataset_description.json ]
ok $? "another dataset: $(ls other | head -n 3)"
expect 1 "is another BIDS dataset" "$P" crop "two/$B" f/mask.nii.gz -o raw --quiet
expect 1 "is another BIDS dataset" "$P" phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 0 \
  -o raw
expect 1 "is another BIDS dataset" "$P" export-cohort f/out/lesions.tsv -o raw
expect 1 "is another BIDS dataset" "$P" generate --seeds 0 -o raw \
  --network "$OLDPWD/data/network_small.safetensors"
find raw | sort | cmp -s - raw.before
ok $? "outputs among scans: something was left: $(find raw | sort | comm -13 raw.before -)"
rm link
expect 2 "only the level participant" "$P" bids raw x group
expect 2 "one argument too many" "$P" bids raw x participant 01
refuse "already in cut/lesions.tsv" "$P" bids raw cut participant --quiet
refuse "two spellings of one patient" "$P" crop "two/$B" f/mask.nii.gz --subject SUB-77 -o f/out
cp f/out/lesions.tsv before.tsv
refuse "more than 63 characters" "$P" crop "two/$B" f/mask.nii.gz -o x \
  --subject "$(printf '%070d' 7)"
cmp -s before.tsv f/out/lesions.tsv
ok $? "a refused run leaves the table"
"$P" crop "two/$B" f/mask.nii.gz --subject 1-11 -o f/c --quiet >log 2>&1
S=$(find f/c -name '*Chimap.nii.gz' -exec cksum {} +)
refuse "would have the names of those of 1-11" "$P" crop "two/$C" f/mask.nii.gz --subject 11-1 \
  -o f/c --quiet
[ "$S" = "$(find f/c -name '*Chimap.nii.gz' -exec cksum {} +)" ]
ok $? "the first patient's patch is unchanged"
sed '2s/^sub-01/ses-01/' cut/lesions.tsv >cut/bad.tsv
expect 1 "row 2.*session without a subject" "$P" pack cut/bad.tsv -o x.safetensors --unread
awk -F'\t' -v OFS='\t' 'NR == 2 {$1 = $1 "_ses-07"} 1' cut/lesions.tsv >cut/bad.tsv
expect 1 "row 2.*says ses-07, column session says" "$P" pack cut/bad.tsv -o x.safetensors --unread
finish
