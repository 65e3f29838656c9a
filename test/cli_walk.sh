#!/bin/sh
# walk as a user runs it: the four ways, points by seed, file and row, and what is refused.
# usage: cli_walk.sh PRLX
. "$(dirname "$0")/cli.inc"
NET=test/golden/generator_uncond.safetensors
walk() { "$P" walk "$@" --network $NET --samples 300 --quiet; }
files="walk.png table.tsv w.safetensors dataset.safetensors"

for way in interpolate mix truncate directions; do
  expect 0 "" walk $way --out "$T/$way"
  for f in $files; do [ -s "$T/$way/$f" ]; ok $? "$way wrote $f"; done
done
[ "$(wc -l <"$T/interpolate/table.tsv")" -eq 8 ]; ok $? "interpolate: seven images"
[ "$(wc -l <"$T/mix/table.tsv")" -eq 30 ]; ok $? "mix: four rows, five columns and their parents"
[ "$(wc -l <"$T/directions/table.tsv")" -eq 43 ]; ok $? "directions: six of seven images"
awk -F'\t' 'NR == 7 {exit !($2 == 0)}' "$T/truncate/table.tsv"; ok $? "psi 0 is the mean of W"

# the ends of a way are the images of generate
"$P" generate --network $NET --seeds 0,1 --out "$T/g" --png --quiet --no-nifti >/dev/null 2>&1
"$P" info "$T/interpolate/dataset.safetensors" >"$T/log" 2>&1; has "$T/log" "7" "info reads it"
expect 0 "" walk truncate --point seed:1 --psi 1 --out "$T/one"
expect 0 "" walk interpolate --from "$T/one/w.safetensors" --to seed:1 --steps 2 --out "$T/same"
awk -F'\t' 'NR == 3 {exit !($5 == 0)}' "$T/same/table.tsv"
ok $? "a latent from a file is the one that was written"
expect 0 "" walk interpolate --batch 1 --out "$T/b1"
same "$T/b1/dataset.safetensors" "$T/interpolate/dataset.safetensors" "any batch, same bytes"
expect 0 "" walk directions --threads 1 --out "$T/t1"
same "$T/t1/w.safetensors" "$T/directions/w.safetensors" "any number of threads, same bytes"

expect 2 "expected interpolate" walk sideways --out "$T/no"
expect 2 "--network" "$P" walk mix --out "$T/no"
expect 1 "no point of W" walk interpolate --from lesion --out "$T/no"
expect 1 "seed:N" walk interpolate --from seed:x --out "$T/no"
expect 1 "nope.safetensors" walk interpolate --to "$T/nope.safetensors:1" --out "$T/no"
expect 1 "counted from 0" walk interpolate --to "$T/one/w.safetensors:5" --out "$T/no"
expect 1 "no tensor w" walk interpolate --to "$T/g/dataset.safetensors" --out "$T/no"
expect 1 "another network" "$P" walk interpolate --network data/network_small.safetensors \
  --samples 300 --to "$T/one/w.safetensors" --out "$T/no"
expect 1 "layers" walk mix --layers 3-99 --out "$T/no"
expect 1 "psi" walk truncate --psi 1,,2 --out "$T/no"
expect 1 "no point in the list" walk mix --rows , --out "$T/no"
[ ! -e "$T/no" ]; ok $? "a refused walk writes nothing"
expect 1 "choose one with --class" "$P" walk mix --network test/golden/generator_cond.safetensors \
  --samples 300 --out "$T/no"
finish
