#!/bin/sh
# project with its other solvers, spaces, regions, starts, traces as a user runs it: files, numbers
# that agree, independence of the batch, refusals in one line that lose nothing.
# usage: cli_project_options.sh PRLX
. "$(dirname "$0")/cli.inc"
NET=test/golden/generator_uncond.safetensors
"$P" generate --network $NET --seeds 0-3 --out "$T/g" --quiet >/dev/null 2>&1
SET=$T/g/dataset.safetensors
run() { "$P" project --network $NET --w-samples 200 --quiet "$@" >"$T/log" 2>&1; }
fast() { run --solver fast --steps 6 --pixel-steps 6 --bank-size 40 "$@"; }
col() {
  awk -F'\t' -v c="$2" 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == c) k = i; next} {print $k}' \
    "$1"
}

fast --out "$T/a" --range 0-2 --batch 3 --focus centre --trace "$T/a.tsv" --frames 2 "$SET"
ok $? "fast: $(cat "$T/log")"
for f in seed0000.png seed0001_steps.png seed0002_strip.png table.tsv w.safetensors; do
  [ -s "$T/a/$f" ]
  ok $? "fast wrote $f"
done
[ "$(col "$T/a/table.tsv" solver | sort -u)" = fast ] &&
  [ "$(col "$T/a/table.tsv" space | sort -u)" = w-only ] &&
  [ "$(col "$T/a/table.tsv" inside | grep -c '^0')" -eq 3 ]
ok $? "table: $(cat "$T/a/table.tsv")"
awk -F'\t' 'NR > 1 {s = $4 + $5 + $6 + $7 + $8; if (s < 0.999 * $3 || s > 1.001 * $3) bad = 1}
  END {exit bad || NR < 10}' "$T/a.tsv"
ok $? "trace: the parts of the distance add up"
[ "$(awk -F'\t' '{print NF}' "$T/a.tsv" | sort -u | wc -l)" -eq 1 ]
ok $? "trace: as many cells as columns"
fast --out "$T/b" --range 1 --batch 1 --focus centre --threads 2 "$SET"
ok $? "one alone: $(cat "$T/log")"
same "$T/a/seed0001.png" "$T/b/seed0001.png" "a lesion alone equals the lesion in a batch"
[ "$(grep '^seed0001' "$T/a/table.tsv" | cut -f1-5,7-)" = \
  "$(grep '^seed0001' "$T/b/table.tsv" | cut -f1-5,7-)" ]
ok $? "its row, too"

run --steps 3 --out "$T/c" --range 0 --betas paper --ramp-up 0 --noise-ramp 0.5 \
  --trace "$T/c.tsv" "$SET"
ok $? "the paper's betas, ramps: $(cat "$T/log")"
[ "$(sed -n 2p "$T/c.tsv" | cut -f11)" = 0.1 ]
ok $? "no ramp: the full rate in the first step"
[ "$(col "$T/c/table.tsv" inside)" = n/a ]; ok $? "no region: n/a"
for s in w w+ w+only noise; do
  fast --out "$T/d" --range 0 --space $s "$SET"
  ok $? "space $s: $(cat "$T/log")"
done
fast --out "$T/d" --range 0 --space w --render optimised "$SET"
ok $? "optimised maps: $(cat "$T/log")"
"$P" info "$T/d/w.safetensors" 2>&1 | grep -q noise; ok $? "are kept"
"$P" project --network $NET --w-samples 200 --solver fast --steps 2 --pixel-steps 0 --space w+ \
  --out "$T/d" --range 0 "$SET" 2>&1 | grep -q 'no lesions, too'
ok $? "a space that fits anything is said to"

run --solver fast --steps 3 --out "$T/e" --range 0-1 --start nearest --starts 2 --bank-size 32 \
  --bank "$T/bank" "$SET"
ok $? "nearest starts: $(cat "$T/log")"
[ -s "$T/bank" ]; ok $? "the bank is kept"
run --solver fast --steps 3 --out "$T/f" --range 1 --start nearest --starts 2 --bank-size 32 \
  --bank "$T/bank" "$SET"
same "$T/e/seed0001.png" "$T/f/seed0001.png" "and used again"
cp $NET "$T/net.safetensors"
chmod a-w "$T/net.safetensors"
run --solver fast --steps 3 --out "$T/h" --range 0 --tune 3 --keep-tuned \
  --network "$T/net.safetensors" "$SET"
ok $? "tuning, the network read-only: $(cat "$T/log")"
[ -s "$T/h/tuned/seed0000.safetensors" ]; ok $? "the tuned network"
same "$T/net.safetensors" $NET "the network itself is as it was"

# --in-place: the lesion redrawn, the rest bit for bit as measured
fast --out "$T/p0" --range 0-1 --focus centre --focus-strength 0.9 --focus-radius 0.1 "$SET"
fast --out "$T/p" --range 0-1 --focus centre --focus-strength 0.9 --focus-radius 0.1 --edge 2 \
  --in-place "$SET"
ok $? "in place: $(cat "$T/log")"
[ "$(cut -f1-2,4-5,7- "$T/p0/table.tsv")" = "$(cut -f1-2,4-5,7- "$T/p/table.tsv")" ]
ok $? "in place: the same projection"
same "$T/p0/w.safetensors" "$T/p/w.safetensors" "in place: the same w"
"$P" info "$T/p/denoised.safetensors" | grep -q 'denoised.in_place = edge 2'
ok $? "in place: said in the file"
pixels_at() { # FILE: where its images begin
  head=$(od -A n -t u8 -N 8 "$1" | tr -d ' ')
  at=$(head -c $((head + 8)) "$1" | tail -c "$head" |
    sed 's/.*"images":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
  echo $((8 + head + at))
}
FROM=$(pixels_at "$T/p/targets.safetensors")
TO=$(pixels_at "$T/p/denoised.safetensors")
cmp -s -i "$FROM:$TO" -n 256 "$T/p/targets.safetensors" "$T/p/denoised.safetensors"
ok $? "in place: the first rows are as measured"
! cmp -s -i "$FROM:$TO" -n 1024 "$T/p/targets.safetensors" "$T/p/denoised.safetensors"
ok $? "in place: the lesion is redrawn"
refuse() {
  what=$1
  text=$2
  shift 2
  fast --out "$T/r" "$@"
  [ $? -eq 1 ] && [ "$(wc -l <"$T/log")" -eq 1 ] && grep -q -- "$text" "$T/log"
  ok $? "$what: $(cat "$T/log")"
}
refuse "mask without a table" "lesion masks" --focus mask "$SET"
refuse "in place without a place" "in-place needs lesion masks" --in-place "$SET"
refuse "mask of images of unknown origin" "which lesions" --focus mask \
  --cohort test/golden/README.md "$SET"
refuse "held maps rendered as optimised" "optimises no noise" --render optimised "$SET"
refuse "a bank of another network" "another network" --start nearest --bank-size 32 \
  --bank "$T/bank" --vgg-channels first "$SET"
refuse "a bank of another size" "holds 32" --start nearest --bank "$T/bank" --bank-size 33 "$SET"
refuse "the network as its bank" "input of this command" --start nearest --bank $NET "$SET"
cp $NET "$T/other.safetensors"
refuse "no bank at all" "not a result of this" --start nearest --bank "$T/other.safetensors" "$SET"
run --solver fast --steps 6 --out "$T/r" --start mean --bank "$T/bank" "$SET"
[ $? -eq 1 ] && grep -q "give both" "$T/log"; ok $? "a bank without nearest: $(cat "$T/log")"
run --solver fast --steps 6 --out "$T/r" --start mean --bank-size 40 "$SET"
[ $? -eq 2 ] && grep -q "give both" "$T/log"; ok $? "its size without nearest: $(cat "$T/log")"
refuse "tuned networks without tuning" "no --tune" --keep-tuned "$SET"
[ ! -e "$T/r/table.tsv" ]; ok $? "a refused run writes no table"
fast --out "$T/k" --range 0 --trace "$T/nowhere/t.tsv" "$SET"
[ $? -eq 1 ] && [ ! -e "$T/k/table.tsv" ] && [ "$(wc -l <"$T/log")" -eq 1 ]
ok $? "a trace that cannot be written is refused before anything is computed: $(cat "$T/log")"
[ -c /dev/full ] && fast --out "$T/l" --range 0 --trace /dev/full "$SET"
[ $? -eq 1 ] && [ -s "$T/l/table.tsv" ] && grep -q "/dev/full" "$T/log"
ok $? "a full disk: $(cat "$T/log")"
finish
