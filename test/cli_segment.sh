#!/bin/sh
# Several channels as a user has them, on a very small phantom: train, generate, transfer, U-Net,
# judge.
# usage: cli_segment.sh PRLX
. "$(dirname "$0")/cli.inc"
value() { awk -F '\t' -v s="$2" -v q="$3" '$1 == s && $2 == q {print $3}' "$1"; }

"$P" phantom --subjects 8 --rim 8 --ambiguous 0 --nonrim 4 --fast-inversion --no-sheets --quiet \
  -o "$T/c" >"$T/log" 2>&1
ok $? "phantom: $(cat "$T/log")"
"$P" pack "$T/c/lesions.tsv" -o "$T/tr.safetensors" --test "$T/te.safetensors" --slices central \
  --channels chi,rim,flair --no-sheet --quiet >"$T/log" 2>&1
ok $? "pack: $(cat "$T/log")"
"$P" pack "$T/c/lesions.tsv" -o "$T/one.safetensors" --slices central --no-sheet --quiet \
  >/dev/null 2>&1

# Three channels through train and generate; transfer from one channel to three with classes.
tiny="--channel-base 128 --channel-max 8 --z-dim 8 --w-dim 8 --batch 4 --pl-weight 0"
tiny="$tiny --d-interval 0 --no-layers --threads 1"
"$P" train "$T/one.safetensors" $tiny --kimg 0.008 -o "$T/n1" >"$T/log" 2>&1
ok $? "one channel: $(cat "$T/log")"
has "$T/log" "augmentation   bgc," "default of one channel"
cp "$T/n1/network.safetensors" "$T/a,b.safetensors"
"$P" train "$T/one.safetensors" $tiny --kimg 0.004 --init "$T/a,b.safetensors" -o "$T/n2" \
  >"$T/log" 2>&1
ok $? "a comma in the name of a file for --init: $(cat "$T/log")"
# --noise-gain multiplies the noise strengths that come with --init, of G and of the average.
strengths() { "$P" info "$1" | awk '$1 ~ /^G(_ema)?[.].*noise_strength$/ {print $1, $(NF - 3)}'; }
"$P" train "$T/one.safetensors" $tiny --kimg 0.004 --init "$T/n1" --freeze-noise --noise-gain 4 \
  -o "$T/gain" >"$T/log" 2>&1
ok $? "noise strengths times 4: $(cat "$T/log")"
has "$T/log" "init           noise strengths times 4" "the factor is printed"
strengths "$T/n1/state.safetensors" >"$T/strengths"
strengths "$T/gain/state.safetensors" >"$T/strengths4"
awk 'NR == FNR {was[$1] = $2; next} {n++; e = $2 - 4 * was[$1]
  bad += e * e > 1e-8 * $2 * $2 || $2 == 0} END {exit bad || n < 10}' "$T/strengths" "$T/strengths4"
ok $? "each strength is 4 times what it was: $(head -3 "$T/strengths" "$T/strengths4")"
# Strengths that did not come with it are zero, and would stay so without a word.
for x in "--freeze-noise" "--noise-gain 4"; do
  "$P" train "$T/one.safetensors" --kimg 0.004 --init data/discriminator_small.safetensors $x \
    -o "$T/none" --quiet >"$T/log" 2>&1
  [ $? = 1 ] && has "$T/log" "noise_strength" "$x and a file without strengths: $(cat "$T/log")"
  [ ! -e "$T/none/state.safetensors" ]
  ok $? "$x: nothing was trained"
done
# A wider network starts as the narrow one was: without a learning rate it draws the same images.
wider="--channel-base 256 --channel-max 16 --z-dim 8 --w-dim 12 --batch 4 --pl-weight 0"
"$P" train "$T/one.safetensors" $wider --d-interval 0 --no-layers --threads 1 --lr 0 --kimg 0.004 \
  --init "$T/n1/network.safetensors" -o "$T/w" >"$T/log" 2>&1
ok $? "a wider network: $(cat "$T/log")"
floats() {
  "$P" generate --network "$1" --count 3 --no-nifti --quiet --out "$T/$2" >/dev/null 2>&1
  od -An -tf4 -v -w4 -j $((8 + $(od -An -tu8 -N8 "$T/$2/dataset.safetensors"))) \
    "$T/$2/dataset.safetensors"
}
floats "$T/n1" g1 >"$T/f1"
floats "$T/w" g2 >"$T/f2"
paste "$T/f1" "$T/f2" |
  awk '{d = $1 - $2; if (d > 1e-4 || d < -1e-4) bad++} END {exit bad || NR < 12288}'
ok $? "draws what the narrow one drew: $(paste "$T/f1" "$T/f2" | awk '$1 != $2' | head -n 3)"

# So is a wider discriminator: the same scores of the same images. (Its last blocks keep their
# width: the minibatch statistic is a mean over all their features, the new ones too.)
cp "$T/n1/state.safetensors" "$T/both.safetensors"
still="--z-dim 8 --w-dim 8 --batch 4 --pl-weight 0 --d-interval 0 --no-layers --threads 1 --lr 0"
for base in 128 256; do
  "$P" train "$T/one.safetensors" --channel-base $base --channel-max 8 $still --kimg 0.004 \
    --tick 0.004 --init "$T/both.safetensors" -o "$T/d$base" >"$T/log" 2>&1
  ok $? "discriminator of base $base: $(cat "$T/log")"
  sed -n 's/.*"score_real":\([^,]*\).*"score_fake":\([^,]*\),.*/\1 \2/p' \
    "$T/d$base/metrics.jsonl" >"$T/scores$base"
done
paste "$T/scores128" "$T/scores256" | awk 'function far(a, b) {return a - b > 1e-4 || b - a > 1e-4}
  {n++; if (far($1, $3) || far($2, $4)) bad = 1} END {exit bad || n < 1}'
ok $? "a wider discriminator scores as the narrow one: $(cat "$T/scores128" "$T/scores256")"

"$P" train "$T/tr.safetensors" $tiny --kimg 0.008 --cond --init "$T/n1" -o "$T/n3" >"$T/log" 2>&1
ok $? "three channels: $(cat "$T/log")"
has "$T/log" "augmentation   qsm," "default of several channels"
has "$T/log" "ramp-up -1" "transfer: no ramp-up"
has "$T/log" "generator, as drawn: mapping.embed" "transfer says what is new"
has "$T/log" "grown" "transfer says what was taken"
"$P" train "$T/tr.safetensors" $tiny --kimg 0.008 --cond --init "$T/n3,$T/n1" -o "$T/n5" \
  >"$T/log" 2>&1 && ! grep -q "as drawn" "$T/log"
ok $? "what an earlier file of --init had is not as drawn: $(grep drawn "$T/log")"
"$P" train "$T/tr.safetensors" $tiny --aug bgc --dry-run >"$T/log" 2>&1
has "$T/log" "flips the sign of susceptibility" "a preset that is wrong for masks is mentioned"
[ "$(od -An -tx1 -j16 -N8 "$T/n3/reals.png" | tr -d ' \n')" = 0000060000000040 ] ||
  [ "$(od -An -tx1 -j16 -N4 "$T/n3/reals.png" | tr -d ' \n')" = 00000600 ]
ok $? "training sheet is 8 x 3 patches wide"
"$P" generate --network "$T/n3" --count 6 --class 1 --threads 1 --quiet --out "$T/g" >"$T/log" 2>&1
ok $? "generate: $(cat "$T/log")"
S=$T/g/nifti/sub-seed0005/anat/sub-seed0005
for f in desc-lesion01_Chimap desc-lesion01_FLAIR label-rim_desc-lesion01_probseg; do
  [ -s "${S}_$f.nii.gz" ]
  ok $? "generate writes $f"
done
"$P" info "${S}_label-rim_desc-lesion01_probseg.nii.gz" >"$T/log" 2>&1
sed -n 's/.*min \([-0-9.e]*\), max \([-0-9.e]*\),.*/\1 \2/p' "$T/log" |
  awk '$1 >= 0 && $2 <= 1 {n++} END {exit !n}'
ok $? "a generated rim is a probability: $(grep min "$T/log")"

# U-Net.
net="--levels 3 --width 4 --runs 2 --epochs 3 --batch 4 --resamples 50 --quiet"
"$P" segment "$T/tr.safetensors" --test "$T/te.safetensors" $net --out "$T/r" >"$T/log" 2>&1
ok $? "segment: $(cat "$T/log")"
for f in model0.safetensors model1.safetensors predictions.tsv metrics.tsv sheet.png; do
  [ -s "$T/r/$f" ]
  ok $? "segment wrote $f"
done
has "$T/r/metrics.tsv" "^dice_1px" "metrics"
has "$T/log" "slices with a true rim" "what was judged"
"$P" segment "$T/tr.safetensors" "$T/g/dataset.safetensors" --test "$T/te.safetensors" $net \
  --channels chi,flair --out "$T/b" --compare "$T/r" >"$T/log" 2>&1
ok $? "real and synthetic: $(cat "$T/log")"
has "$T/b/comparison.tsv" "^dice$(printf '\t')" "paired differences"
"$P" segment --model "$T/r" --test "$T/te.safetensors" --compare "$T/r" --resamples 50 --quiet \
  --out "$T/e" >"$T/log" 2>&1
ok $? "saved U-Nets: $(cat "$T/log")"
cmp -s "$T/r/predictions.tsv" "$T/e/predictions.tsv" && cmp -s "$T/r/metrics.tsv" "$T/e/metrics.tsv"
ok $? "saved U-Nets give the same numbers"
awk -F '\t' '$1 == "dice" && $4 != 0 {exit 1}' "$T/e/comparison.tsv"
ok $? "a run against itself differs by nothing: $(cat "$T/e/comparison.tsv")"
"$P" segment "$T/tr.safetensors" $net --runs 1 --threads 1 --out "$T/t1" >/dev/null 2>&1
cmp -s "$T/t1/model0.safetensors" "$T/r/model0.safetensors"
ok $? "same seed, same bytes, one thread or more"

# Judge: the masks of the phantom lie on its rims, better than chance and better than on other
# images.
"$P" segment --judge "$T/g/dataset.safetensors" --reference "$T/tr.safetensors" --class 1 \
  --resamples 50 --quiet --out "$T/j" >"$T/log" 2>&1
ok $? "judge: $(cat "$T/log")"
for f in summary.tsv judge.tsv judge.png; do [ -s "$T/j/$f" ]; ok $? "judge wrote $f"; done
d=$(value "$T/j/summary.tsv" reference dice)
c=$(value "$T/j/summary.tsv" reference chance)
o=$(value "$T/j/summary.tsv" reference dice_other)
awk -v d="$d" -v c="$c" -v o="$o" 'BEGIN {exit !(d > 0.4 && d > 1.5 * c && d > 1.5 * o)}'
ok $? "masks of the phantom lie on their rims: $d, by chance $c, elsewhere $o"
[ "$(awk -F '\t' '$1 == "judged"' "$T/j/judge.tsv" | wc -l)" -eq 6 ]
ok $? "one line per generated image"

refuse() {
  what=$1
  text=$2
  shift 2
  "$P" "$@" >"$T/log" 2>&1
  [ $? -ne 0 ] && [ "$(wc -l <"$T/log")" -eq 1 ] && grep -q -- "$text" "$T/log"
  ok $? "$what: $(cat "$T/log")"
}
refuse "no mask in the data" "a mask is needed" segment "$T/one.safetensors" --out "$T/x"
refuse "the answer as input" "holds the answer" segment "$T/tr.safetensors" --channels chi,rim \
  --out "$T/x"
refuse "test subject in training" "also in the training data" segment "$T/tr.safetensors" \
  --test "$T/tr.safetensors" --out "$T/x" --quiet
refuse "nothing to do" "TRAIN" segment --test "$T/te.safetensors"
refuse "not a U-Net" "prlx-unet-1" segment --model "$T/tr.safetensors" --test "$T/te.safetensors"
refuse "judge without masks" "no channel rim" segment --judge "$T/one.safetensors" --out "$T/x"
refuse "transfer from something else" "no tensor of it fits" train "$T/tr.safetensors" $tiny \
  --init "$T/r/model0.safetensors" --kimg 0.004 -o "$T/n4" --quiet
finish
