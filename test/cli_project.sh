#!/bin/sh
# generate and project as a user runs them: files, exit codes, messages, independence of the batch.
# usage: cli_project.sh PRLX
# The golden file of the generator holds G.* tensors and metadata, so it is a network file too.
. "$(dirname "$0")/cli.inc"
NET=test/golden/generator_uncond.safetensors; CNET=test/golden/generator_cond.safetensors

"$P" generate --network $NET --seeds 0-4 --out "$T/g" --png --quiet >"$T/log" 2>&1
ok $? "generate: $(cat "$T/log")"
for f in dataset.safetensors sheet.png seed0000.png seed0004.png; do
  [ -s "$T/g/$f" ]
  ok $? "generate wrote $f"
done
"$P" generate --network $NET --seeds 3,0 --batch 1 --out "$T/g2" --png --quiet >/dev/null 2>&1
cmp -s "$T/g/seed0003.png" "$T/g2/seed0003.png"; ok $? "a seed gives the same image in any batch"
"$P" generate --network $NET --count 2 --noise random --trunc 0.7 --out "$T/g3" --quiet >/dev/null \
  2>&1
ok $? "random noise, truncation"
"$P" generate --network $CNET --out "$T/g4" >"$T/log" 2>&1
[ $? -eq 1 ] && grep -q 'choose a label (--class)' "$T/log"
ok $? "conditional network without class"
"$P" generate --network $CNET --class 1 --seeds 5 --out "$T/g4" --quiet >"$T/log" 2>&1
ok $? "conditional network with class: $(cat "$T/log")"
"$P" generate >"$T/log" 2>&1
[ $? -eq 2 ] && grep -q -- '--network' "$T/log"
ok $? "no network is wrong usage"

run() { "$P" project --network $NET --steps 4 --w-samples 200 --quiet "$@" >"$T/log" 2>&1; }
run --out "$T/p" --frames 2 --range 0-2 --batch 3 "$T/g/dataset.safetensors"
ok $? "project: $(cat "$T/log")"
for f in seed0000.png seed0002.png seed0001_steps.png denoised.safetensors w.safetensors \
    sheet.png table.tsv; do
  [ -s "$T/p/$f" ]
  ok $? "project wrote $f"
done
[ "$(wc -l <"$T/p/table.tsv")" -eq 4 ]; ok $? "one line per lesion in table.tsv"
run --out "$T/q" --range 1 --threads 1 "$T/g/dataset.safetensors"
ok $? "project of one lesion: $(cat "$T/log")"
a=$(grep '^seed0001' "$T/p/table.tsv" | cut -f1-5,7)
b=$(grep '^seed0001' "$T/q/table.tsv" | cut -f1-5,7)
[ "$a" = "$b" ] && cmp -s "$T/p/seed0001.png" "$T/q/seed0001.png"
ok $? "a lesion alone equals the lesion in a batch: $a / $b"
"$P" info "$T/p/denoised.safetensors" >"$T/log" 2>&1
ok $? "info reads denoised.safetensors: $(cat "$T/log")"

refuse() {
  what=$1
  text=$2
  shift 2
  run --out "$T/r" "$@"
  [ $? -eq 1 ] && [ "$(wc -l <"$T/log")" -eq 1 ] && grep -q -- "$text" "$T/log"
  ok $? "$what: $(cat "$T/log")"
}
refuse "range beyond the end" "counted from 0" --range 7 "$T/g/dataset.safetensors"
refuse "a PNG for a network of several channels or another size" "g/sheet.png" "$T/g/sheet.png"
refuse "no such file" "nope.png" "$T/nope.png"
refuse "memory limit" "memory" --memory 1M "$T/g/dataset.safetensors"
refuse "not a VGG" "features.0.weight" --vgg $NET "$T/g/dataset.safetensors"
refuse "a data set as network" "no generator" --network "$T/g/dataset.safetensors" \
  "$T/g/dataset.safetensors"
[ ! -e "$T/r/table.tsv" ]; ok $? "a refused run writes no table"
"$P" project --network $NET --w-samples 200 --quiet --out "$T/s" --steps 1000000 \
  "$T/g/dataset.safetensors" >"$T/log" 2>&1 &
pid=$!
sleep 3; kill -INT $pid; wait $pid; [ $? -eq 1 ]; ok $? "Ctrl-C: exit code 1"
[ -s "$T/s/table.tsv" ] && [ -s "$T/s/denoised.safetensors" ]; ok $? "Ctrl-C saves what is there"
finish
