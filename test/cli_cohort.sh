#!/bin/sh
# A cohort as a user takes it through: phantom -> crop, pack -> train -> project, generate -> pack
# again; and what happens with broken input.
# usage: cli_cohort.sh PRLX
. "$(dirname "$0")/cli.inc"
cd "$T" || exit 1
has() { grep -q -- "$1" log; ok $? "$2: $(tail -n 3 log)"; }
# refuse TEXT...: the command fails with one line that holds every TEXT (before --), and writes none
# of its outputs (x*)
refuse() { texts=; while [ "$1" != -- ]; do texts="$texts
$1"; shift; done; shift; rm -rf x*
  "$P" "$@" --quiet >log 2>&1
  rc=$?
  [ $rc -eq 1 ] && [ "$(grep -vc 'note:' log)" -eq 1 ]
  ok $? "$*: exit code $rc, $(cat log)"
  echo "$texts" | while read -r t; do [ -z "$t" ] || grep -q -- "$t" log || echo "$t"; done >missing
  [ ! -s missing ]
  ok $? "$*: message without '$(cat missing)': $(cat log)"
  [ -z "$(find . -maxdepth 1 -name 'x*' ! -empty)" ] && [ -z "$(find . -name '*.tmp*')" ]
  ok $? "$*: left something behind"
  }

"$P" phantom --subjects 6 --rim 6 --ambiguous 3 --nonrim 7 --fast-inversion --whole-brain 1 \
  --no-sheets --quiet -o cohort >log 2>&1
ok $? "phantom: $(cat log)"

# ---- pack ----
"$P" pack cohort/lesions.tsv -o d.safetensors >log 2>&1; ok $? "pack: $(cat log)"
has "both rim 6, one 3, none 7" "counts"
has "kappa 0" "kappa"
[ -s d_sheet.png ]
ok $? "contact sheet"
"$P" pack cohort/lesions.tsv -o d2.safetensors --threads 1 --no-sheet --quiet >log 2>&1
cmp -s d.safetensors d2.safetensors
ok $? "the same bytes for any number of threads"
"$P" pack cohort/lesions.tsv -o train.safetensors --test test.safetensors \
  --ambiguous amb.safetensors --channels chi,rim,flair --quiet >log 2>&1
ok $? "pack with test set: $(cat log)"
has "leak check passed" "leak check"
"$P" pack --check train.safetensors test.safetensors amb.safetensors >log 2>&1
ok $? "check of files: $(cat log)"
"$P" info train.safetensors >log 2>&1
has "window.flair = median 0," "FLAIR window kept"
has "readers = both 6" "readers kept"
has "split = train" "part kept"
"$P" pack cohort/lesions.tsv -o s.safetensors --window slice --slices central --quiet >log 2>&1
ok $? "window of each slice: $(cat log)"
"$P" info s.safetensors >log 2>&1
has "window.chi = slice -" "typical window kept"
has "13,1,64,64" "one slice per lesion"
"$P" pack cohort/sub-001/anat/sub-001_desc-lesion01_Chimap.nii.gz -o one.safetensors --quiet >log \
  2>&1
ok $? "a single volume: $(cat log)"
has "1 not read; 24 images" "all slices of a volume without mask"
refuse LEAK "subject" -- pack --check d.safetensors test.safetensors
refuse LEAK "nothing written" -- pack cohort/lesions.tsv -o x.safetensors --test x2.safetensors \
  --split lesion --test-counts 3,3
refuse "900 rim lesions asked" "found" -- pack cohort/lesions.tsv -o x.safetensors \
  --test x2.safetensors --test-counts 900,1
refuse "within 4 times the window" "lesions.tsv: row" "--clip" -- pack cohort/lesions.tsv \
  -o x.safetensors --window 0,5
"$P" pack cohort/lesions.tsv -o x.safetensors --window 0,5 --clip-at 4 --quiet >log 2>&1
ok $? "limited to four times the window: $(cat log)"
"$P" info x.safetensors >log 2>&1; grep -q 'clipped to 4 times the window' log
ok $? "and it says so: $(grep slices log)"
refuse "look like ppm" -- pack cohort/lesions.tsv -o x.safetensors --units ppb
"$P" pack cohort/lesions.tsv >log 2>&1; [ $? -eq 2 ]; ok $? "no output is wrong usage"
"$P" pack cohort/lesions.tsv -o x.safetensors --window 3,2 >log 2>&1
[ $? -eq 2 ]
ok $? "a window upside down is wrong usage"

# ---- broken tables and volumes ----
bad() { sed "$1" cohort/lesions.tsv >cohort/bad.tsv; }
bad '1s/reader2/second/'
refuse "column 'reader2'" "bad.tsv" -- pack cohort/bad.tsv -o x.safetensors
bad '3s/\t[^\t]*_Chimap.nii.gz/\tnowhere.nii.gz/'
refuse "row 3" "nowhere.nii.gz" "not there" -- pack cohort/bad.tsv -o x.safetensors
bad '4p'; refuse "rows 4 and 5" -- pack cohort/bad.tsv -o x.safetensors
awk -F'\t' -v OFS='\t' 'NR==5{$7="yes"}1' cohort/lesions.tsv >cohort/bad.tsv
refuse "row 5" "reader1 is 'yes'" -- pack cohort/bad.tsv -o x.safetensors
awk -F'\t' -v OFS='\t' 'NR>1{$7="n/a";$8="n/a"}1' cohort/lesions.tsv >cohort/bad.tsv
refuse "no lesion has readers' labels" "--unread" -- pack cohort/bad.tsv -o x.safetensors
"$P" pack cohort/bad.tsv -o u.safetensors --unread --quiet >log 2>&1
ok $? "unread lesions: $(cat log)"
WB=whole-brain/sub-wb01/anat/sub-wb01
awk -F'\t' -v OFS='\t' -v m=${WB}_desc-lesions_dseg.nii.gz 'NR>1{$6=m}1' cohort/lesions.tsv \
  >cohort/bad.tsv
refuse "row 2" "256 x 256 x 40" "same grid" -- pack cohort/bad.tsv -o x.safetensors
awk -F'\t' -v OFS='\t' 'NR>1{$6="n/a"}1' cohort/lesions.tsv >cohort/bad.tsv
refuse "row 2" "no lesion mask" -- pack cohort/bad.tsv -o x.safetensors
refuse "prlx crop" "256 x 256" -- pack cohort/whole-brain/lesions.tsv -o x.safetensors --slices all
# a mask of zeros and a map with a NaN, made from the bytes of real ones
M=$(awk -F'\t' 'NR==2{print $6}' cohort/lesions.tsv)
C=$(awk -F'\t' 'NR==2{print $3}' cohort/lesions.tsv)
"$P" convert "cohort/$M" m.nii >log 2>&1 && "$P" convert "cohort/$C" c.nii >>log 2>&1
ok $? "convert: $(cat log)"
{ head -c 352 m.nii; head -c 393216 /dev/zero; } >cohort/zero.nii
{ head -c 40352 c.nii; printf '\377\377\377\177'; tail -c +40357 c.nii; } >cohort/nan.nii
head -c 100000 "cohort/$C" >cohort/cut.nii.gz
sub2() {
  awk -F'\t' -v OFS='\t' -v k="$1" -v v="$2" 'NR==2{$k=v}NR<=2' cohort/lesions.tsv >cohort/bad.tsv
}
sub2 6 zero.nii
refuse "row 2" "mask is empty" -- pack cohort/bad.tsv -o x.safetensors --unread --counts all \
  --ambiguous-as nonrim
sub2 3 nan.nii
refuse "row 2" "nan.nii" "NaN at voxel" -- pack cohort/bad.tsv -o x.safetensors --unread \
  --counts all --ambiguous-as nonrim
sub2 3 cut.nii.gz
refuse "row 2" "cut.nii.gz" -- pack cohort/bad.tsv -o x.safetensors --unread --counts all \
  --ambiguous-as nonrim

# ---- crop ----
W=cohort/$WB
"$P" crop cohort/whole-brain/lesions.tsv -o patches --quiet >log 2>&1
ok $? "crop a table: $(cat log)"
"$P" crop ${W}_Chimap.nii.gz ${W}_desc-lesions_dseg.nii.gz --flair ${W}_FLAIR.nii.gz \
  --rim ${W}_label-rim_probseg.nii.gz -o patches2 --quiet >log 2>&1
ok $? "crop volumes: $(cat log)"
has "without readers" "labels are missing"
for f in patches/sub-wb01/anat/*_Chimap.nii.gz; do
  cmp -s "$f" "patches2/${f#patches/}" || echo "$f"
done >log
[ ! -s log ]; ok $? "table and volumes give the same patches: $(cat log)"
printf 'lesion\treader1\treader2\n1\t1\t1\n02\t0\t1\n' >readers.tsv
"$P" crop ${W}_Chimap.nii.gz ${W}_desc-lesions_dseg.nii.gz --readers readers.tsv \
  --subject sub-second -o patches --quiet >log 2>&1
ok $? "appended with readers: $(cat log)"
labels=$(awk -F'\t' '$1=="sub-second"{printf "%s%s%s ", $2, $7, $8}' patches/lesions.tsv)
[ "$(echo "$labels" | cut -c1-10)" = "0111 0201 " ]
ok $? "readers' labels: $(tail -n 5 patches/lesions.tsv | cut -f1,2,7,8)"
"$P" pack patches/lesions.tsv -o p.safetensors --channels chi --quiet >log 2>&1
ok $? "pack patches: $(cat log)"
"$P" crop ${W}_Chimap.nii.gz ${W}_desc-lesions_dseg.nii.gz --voxel 0.8,0.8,2 --size 32,32,12 \
  -o coarse --quiet >log 2>&1
ok $? "crop to other voxels: $(cat log)"
has "resampled to 0.8 x 0.8 x 2 mm" "and says so"
refuse "already in patches2/lesions.tsv" -- crop ${W}_Chimap.nii.gz ${W}_desc-lesions_dseg.nii.gz \
  -o patches2
refuse "another affine" "--regrid" -- crop ${W}_Chimap.nii.gz "cohort/$M" -o x
refuse "label map is empty" "zero.nii" -- crop "cohort/$C" cohort/zero.nii -o x
refuse "threshold" -- crop ${W}_Chimap.nii.gz ${W}_label-rim_probseg.nii.gz -o x
refuse "smaller than --min-voxels" -- crop "cohort/$C" "cohort/$M" --min-voxels 100000 -o x
refuse "column 'labels'" -- crop cohort/lesions.tsv -o x
printf 'lesion\treader1\treader2\n1\t2\t1\n' >readers.tsv
refuse "readers.tsv: row 2" "reader1 is '2'" -- crop ${W}_Chimap.nii.gz \
  ${W}_desc-lesions_dseg.nii.gz --readers readers.tsv -o x
find x* -name '*.nii.gz' 2>/dev/null | grep -q .
[ $? -eq 1 ]
ok $? "patches of a refused run are removed"

# ---- train, project, generate, back ----
tiny="--channel-base 256 --channel-max 16 --z-dim 16 --w-dim 16 --batch 4 --kimg 0.008"
tiny="$tiny --no-layers --quiet"
"$P" train d.safetensors --config small $tiny -o run >log 2>&1; ok $? "train: $(tail -n 2 log)"
"$P" train --data train.safetensors $tiny -o run3 >log 2>&1
ok $? "train on three channels: $(tail -n 2 log)"
proj="--steps 3 --w-samples 50 --quiet"
"$P" project cohort/lesions.tsv --ambiguous --network run $proj -o denoised >log 2>&1
ok $? "project a cohort: $(cat log)"
[ "$(wc -l <denoised/lesions.tsv)" -eq 4 ]; ok $? "one row per ambiguous lesion"
for f in sheet.png denoised.safetensors table.tsv dataset_description.json \
    "$(awk -F'\t' 'NR==2{print $3}' denoised/lesions.tsv)"; do
  [ -s "denoised/$f" ]
  ok $? "project wrote $f"
done
"$P" info "denoised/$(awk -F'\t' 'NR==2{print $3}' denoised/lesions.tsv)" >log 2>&1
has "denoised susceptibility, ppm" "description"
has "RAS" "orientation"
"$P" pack denoised/lesions.tsv -o den.safetensors --quiet >log 2>&1
ok $? "pack the denoised lesions: $(cat log)"
has "3 rim, 0 non-rim" "as rim lesions"
has "; 3 images" "their denoised slices only"
"$P" pack cohort/lesions.tsv -o t1.safetensors --test e1.safetensors --quiet >log 2>&1 &&
  "$P" pack cohort/lesions.tsv denoised/lesions.tsv -o t2.safetensors --test e2.safetensors \
    --quiet >log 2>&1
ok $? "with the cohort: $(cat log)"
[ "$(tail -c 65536 e1.safetensors | cksum)" = "$(tail -c 65536 e2.safetensors | cksum)" ]
ok $? "the test set stays the same"
"$P" project cohort/lesions.tsv --ambiguous --slices lesion --range 1 \
  --network run3/network.safetensors $proj -o den3 >log 2>&1
ok $? "project three channels, all lesion-bearing slices: $(cat log)"
[ "$(find den3 -name '*_FLAIR.nii.gz' | wc -l)" -eq 1 ]; ok $? "FLAIR written too"
"$P" project amb.safetensors --range 0-1 --network run3 $proj -o den4 >log 2>&1
ok $? "project a packed set: $(cat log)"
[ "$(find den4 -name '*_Chimap.nii.gz' | wc -l)" -eq 1 ]; ok $? "its slices as one volume"
refuse "no ambiguous lesion" -- project patches2/lesions.tsv --ambiguous --network run -o x
refuse "needs a lesions.tsv" -- project amb.safetensors --ambiguous --network run3 -o x
refuse "ambiguous ones" "counted from 0" -- project cohort/lesions.tsv --ambiguous --range 40 \
  --network run -o x
"$P" generate --network run3 --seeds 0-2 --quiet -o gen >log 2>&1; ok $? "generate: $(cat log)"
[ "$(find gen/nifti -name '*.nii.gz' | wc -l)" -eq 9 ]; ok $? "three volumes per lesion"
"$P" info gen/nifti/sub-seed0001/anat/sub-seed0001_desc-lesion01_Chimap.nii.gz >log 2>&1
has "synthetic susceptibility, ppm" "description"
has "0.4 x 0.4 x 1" "voxels"
finish
