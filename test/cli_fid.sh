#!/bin/sh
# fid as a user runs it: features from the bundled Inception, cache, table, JSON, refusals.
# usage: cli_fid.sh PRLX
. "$(dirname "$0")/cli.inc"
SET=data/prlx_lesions.safetensors; NET=test/golden/generator_uncond.safetensors

"$P" fid $SET $SET --limit 3 --bootstrap 5 --sizes 0 --cache "$T/c" --quiet >"$T/one" 2>"$T/log"
ok $? "fid: $(cat "$T/log")"
grep -q 'NOT the FID network' "$T/one" && grep -q 'pytorch-fid (bilinear' "$T/one"
ok $? "the table names weights and convention"
grep -q '^prlx_lesions.safetensors *3 *0.000 ' "$T/one"
ok $? "a set is at distance 0 of itself: $(cat "$T/one")"
[ "$(ls "$T/c" | wc -l)" -eq 1 ]; ok $? "one file of features for one set"
F=$(ls "$T"/c/features-*.safetensors)
cp "$F" "$T/f.safetensors"; printf 'damaged' >"$F"
"$P" fid $SET $SET --limit 3 --bootstrap 5 --sizes 0 --cache "$T/c" --quiet --threads 1 >"$T/two" \
  2>"$T/log"
cmp -s "$T/one" "$T/two"
ok $? "a damaged cache is made anew; one thread gives the same table"
cmp -s "$F" "$T/f.safetensors"; ok $? "one thread gives the same features"
"$P" fid "$T/f.safetensors" "$T/f.safetensors" --json --bootstrap 0 --sizes 0 >"$T/j" 2>&1
ok $? "files of features: $(cat "$T/j")"
grep -q '"fid": 0' "$T/j" && grep -q '"convention": "pytorch-fid' "$T/j"
ok $? "JSON names the convention"
"$P" fid $SET "$T/f.safetensors" --limit 2 --convention tensorflow --no-cache --quiet >"$T/log" 2>&1
[ $? -eq 1 ] && grep -q 'one network and convention' "$T/log"
ok $? "two conventions are not compared: $(cat "$T/log")"

"$P" fid $SET $SET $SET+$SET "$T/f.safetensors" --no-features >"$T/log" 2>&1
ok $? "fid --no-features: $(cat "$T/log")"
grep -q '^prlx_lesions.safetensors *101 *0.500 *0.500' "$T/log" && ! grep -q FID "$T/log"
ok $? "a set is not told from itself by its texture: $(cat "$T/log")"
grep -q '^f.safetensors *3 *- *- *-$' "$T/log"; ok $? "features have no texture: $(cat "$T/log")"
grep -q '"auc_both": null' "$T/j"; ok $? "JSON has it, too: $(cat "$T/j")"

# ---- sets that lie: two images, another size ----
"$P" fid $SET $SET --limit 2 --bootstrap 5 --sizes 1 --cache "$T/c" --quiet >"$T/log" 2>&1
ok $? "two images: $(cat "$T/log")"
grep -q '+- n/a' "$T/log" && ! grep -qiw 'nan\|inf' "$T/log"
ok $? "no standard error of two images, said without nan: $(cat "$T/log")"
"$P" generate --network $NET --seeds 0-2 -o "$T/g" --quiet >/dev/null 2>"$T/log"
ok $? "generate: $(cat "$T/log")"
"$P" fid $SET "$T/g/dataset.safetensors" $SET --limit 3 --no-features >"$T/log" 2>&1
ok $? "sets of two sizes: $(cat "$T/log")"
[ "$(grep -c 'note: dataset.safetensors has images of .*, the reference of 64 x 64' "$T/log")" = 1 ]
ok $? "one line says that the sizes differ: $(cat "$T/log")"
[ "$(grep -c 'the reference of' "$T/log")" = 1 ]; ok $? "and none of the set that fits"

refuse() {
  what=$1
  text=$2
  shift 2
  "$P" fid "$@" --cache "$T/c" --quiet >"$T/log" 2>&1
  [ $? -eq 1 ] && [ "$(wc -l <"$T/log")" -eq 1 ] && grep -q -- "$text" "$T/log"
  ok $? "$what: $(cat "$T/log")"
}
refuse "one image" "at least two" data/ambiguous.safetensors $SET
refuse "no such class" "of class 7" $SET $SET --label 7
refuse "not an Inception" "Conv2d_1a_3x3" $SET $SET --limit 2 --inception $NET
refuse "no such file" "nope" $SET "$T/nope.safetensors" --limit 3
refuse "a network instead of images" "generator_uncond" $NET $SET
"$P" fid $SET >"$T/log" 2>&1; [ $? -eq 2 ]; ok $? "one set is wrong usage"
finish
