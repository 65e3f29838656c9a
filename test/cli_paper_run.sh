#!/bin/sh
# `prlx paper run` at the scale "tiny": every step, stop and go on, what depends on what, other
# cohorts, answers of readers, messages.
# usage: sh test/cli_paper_run.sh build/prlx
. "$(dirname "$0")/cli.inc"
D=$T
O=$D/o

"$P" paper run --scale tiny -o "$O" --list >"$D/log" 2>&1; ok $? "list: $(tail -n 1 "$D/log")"
for s in data networks lesions classifier table1 table2 figure8 figures evidence multi report; do
  awk '{print $2}' "$D/log" | grep -qx "$s"
  ok $? "a step of section $s"
done
"$P" paper --scale tiny -o "$O" --dry-run >"$D/dry" 2>&1
ok $? "dry run"
[ ! -e "$O" ]
ok $? "a dry run writes nothing"
[ "$(grep -c '^prlx ' "$D/dry")" -eq "$(($(wc -l <"$D/log") - 1))" ]
ok $? "a command for every step"

# The experiment is data: the files that are built in give the same run; one's own change it; what
# is wrong in them is one line.
"$P" paper run --scale tiny -o "$O" --dry-run --recipe paper/recipe.txt \
  --scales paper/scales.tsv >"$D/own" 2>&1
sed 's# --recipe [^ ]* --scales [^ ]*$##' "$D/own" | cmp -s - "$D/dry"
ok $? "the files in paper/ are those of the program"
sed 's/^\(fid\t.*\)--bootstrap 20/\1--bootstrap 30/; s/\ttiny\t/\tmine\t/' paper/scales.tsv \
  >"$D/scales.tsv"
sed '/^step leak$/,/^if /{/^if /!d}' paper/recipe.txt >"$D/recipe.txt"
"$P" paper run --scale mine -o "$O" --dry-run --recipe "$D/recipe.txt" --scales "$D/scales.tsv" \
  >"$D/own" 2>&1
ok $? "a recipe and a scale of one's own: $(tail -n 1 "$D/own")"
grep -q -e '--bootstrap 30' "$D/own" && ! grep -q '^# leak,' "$D/own"
ok $? "what was changed: $(grep -c '^# ' "$D/own") steps"
sed 's/let s_gan gan_kimg/let s_gan gan_kimgs/' paper/recipe.txt >"$D/bad.txt"
expect 1 "bad.txt: line [0-9]*: 'gan_kimgs .*there is no 'gan_kimgs'; expected" \
  "$P" paper run --scale tiny --recipe "$D/bad.txt" -o "$O" --list
sed '/^samples/d' paper/scales.tsv >"$D/bad.tsv"
expect 1 "recipe.txt: line [0-9]*: '[^']*samples.*': there is no" \
  "$P" paper run --scale tiny --scales "$D/bad.tsv" -o "$O" --list
expect 2 "no scale 'huge' in paper/scales.tsv; there are small, paper, tiny" \
  "$P" paper run --scale huge -o "$O" --list
expect 1 "cannot be opened" "$P" paper run --recipe "$D/none.txt" -o "$O" --list

# Stopped in the middle: nothing lost, and the same command goes on.
"$P" paper run --scale tiny -o "$O" --quiet >"$D/log" 2>&1 & pid=$!
n=0; while [ ! -e "$O/done/test.rim" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done
kill -INT $pid; wait $pid; rc=$?
[ $rc -eq 1 ] && grep -q 'steps are done; the same command goes on' "$D/log"
ok $? "interrupted ($rc): $(cat "$D/log")"
cp -p "$O/done/phantom" "$D/phantom"
"$P" paper run --scale tiny -o "$O" --quiet >"$D/log" 2>&1; ok $? "the run: $(tail -n 4 "$D/log")"
cmp -s "$O/done/phantom" "$D/phantom" && [ ! "$O/done/phantom" -nt "$D/phantom" ]
ok $? "what was done before is not done again"

for f in report.html commands.sh reader/study.html tables/table1.tsv tables/table2.tsv \
    tables/table3.tsv tables/table4.tsv tables/controls.tsv tables/second.tsv \
    tables/confusion.tsv tables/confusion_seeds.tsv tables/predictions_first.tsv \
    tables/predictions_second.tsv figures/figure2.png figures/figure6.png figures/figure7.png \
    figures/figure7_first.png figures/figure7_focus.png figures/figure7_place.png \
    figures/ideal.png figures/figure8.svg \
    figures/figure9.png figures/figure10.png figures/classifiers.svg figures/differences.svg \
    figures/sweep.svg; do
  [ -s "$O/$f" ]; ok $? "wrote $f"
done
[ "$(ls "$O/done" | grep -vc begun)" -eq "$(grep -c '^prlx ' "$D/dry")" ]
ok $? "every step left its stamp"
awk -F'\t' '$1 == "Affine" && $3 == "accuracy" {exit !($4 == "0.83" && $6 >= 0 && $6 <= 1)}' \
  "$O/tables/table3.tsv"
ok $? "published beside ours: $(grep '^Affine' "$O/tables/table3.tsv" | head -n 1)"
for t in 3 4; do
  awk -F'\t' '$1 == "ADA-GAN-LD" && $3 == "sensitivity" && $4 == "0.95" {f = 1} END {exit !f}' \
    "$O/tables/table$t.tsv"
  ok $? "ADA-GAN-LD stands in Table $t, as in the paper"
done
! cut -f 1 "$O/tables/table3.tsv" | grep -q -x 'ADA-GAN' &&
  ! cut -f 1 "$O/tables/table4.tsv" | grep -q -x 'Affine'
ok $? "each row stands in its own table"
awk -F'\t' 'NR > 1 && $5 != "not in the paper" {exit 1}' "$O/tables/controls.tsv"
ok $? "controls are not in the paper"
awk -F'\t' 'NR == 2 {exit !($1 == "Real non-rim only" && $3 == "46.35")}' "$O/tables/table2.tsv"
ok $? "Table 2 has its positive control: $(sed -n 2p "$O/tables/table2.tsv")"
! grep -r -q 'our notes' "$O/report.html" "$O/tables"; ok $? "nothing is quoted from notes"
awk -F'\t' \
  'NR > 1 {s = $2 + $3 + $4 + $5; if (s < 9.9 || s > 10.1) bad = 1} END {exit bad || NR < 25}' \
  "$O/tables/confusion.tsv"
ok $? "every row on the same 10 lesions"
awk -F'\t' 'NR > 1 && $5 + $6 + $7 + $8 != ($2 == "first" ? 10 : 16) {exit 1}' \
  "$O/tables/confusion_seeds.tsv"
ok $? "a matrix for each seed and test"
grep -q 'Does denoising work?' "$O/report.html" && grep -q 'Was there room?' "$O/report.html" &&
  grep -q 'would have been found' "$O/report.html" && grep -q "PLAN.md (SHA-256 $(
    sha256sum paper/PLAN.md | cut -c1-16), commit " "$O/report.html"
ok $? "the first page says what was asked, how sure it is, and which plan it followed"
awk -F'\t' '$1 == "correct moves of the edge" && $2 == "all" && $3 == 4 {f = 1} END {exit !f}' \
  "$O/work/evidence_ld/truth.tsv"
ok $? "lesion by lesion against the truth: $(tail -n 3 "$O/work/evidence_ld/truth.tsv")"
grep -q 'simulated' "$O/tables/table1.tsv"; ok $? "simulated reader"
grep -q 'cmd-classify.ld' "$O/report.html" &&
  grep -q 'A stand-in for the cohort' "$O/report.html" &&
  grep -q 'NOT the FID network' "$O/report.html"
ok $? "the page says what it stands on"
! grep -E -q '(src|href)="(http|/)' "$O/report.html"; ok $? "the page loads nothing"
! grep -q '>missing picture' "$O/report.html"; ok $? "no picture is missing"

# A printed command alone gives the same file.
sh -n "$O/commands.sh"; ok $? "commands.sh is a script"
cmd=$(grep '^prlx classify .*/classify_gan_ld$' "$O/commands.sh" | sed "s#-o [^ ]*#-o $D/again#")
eval "$(echo "$cmd" | sed 's#^prlx#"$P"#') --quiet" >/dev/null 2>&1
cmp -s "$D/again/predictions.tsv" "$O/work/classify_gan_ld/predictions.tsv"
ok $? "the printed command repeats the result: $cmd"

# One step after another, or several at a time: the same files.
mv "$O" "$D/kept"
for n in 1 4; do
  "$P" paper run --scale tiny --only data --jobs $n --threads 4 --quiet -o "$O" >"$D/log" 2>&1
  ok $? "$n at a time: $(tail -n 2 "$D/log")"
  for f in train test gan_rim clear second multi_rim ambiguous; do
    same "$O/work/$f.safetensors" "$D/kept/work/$f.safetensors" "$n at a time: $f"
  done
  rm -rf "$O"
done
mv "$D/kept" "$O"

"$P" paper run --scale tiny -o "$O" >"$D/log" 2>&1
grep -q '^0 steps run' "$D/log"
ok $? "nothing to do: $(cat "$D/log")"
"$P" paper run --scale small -o "$O" >"$D/log" 2>&1
[ $? -eq 1 ] && grep -q 'another kind' "$D/log"
ok $? "another scale in the same folder: $(cat "$D/log")"
"$P" paper run --scale tiny -o "$O" --only nonsense >"$D/log" 2>&1
[ $? -eq 1 ] && grep -q 'no such step' "$D/log"
ok $? "unknown section"
# A lost file is made again, and only what it came from; a reader's answers are scored.
rm "$O/work/simulated_reader.csv"
"$P" paper run --scale tiny -o "$O" >"$D/log" 2>&1
grep -q '^1 steps run' "$D/log"
ok $? "one lost file: $(tail -n 2 "$D/log")"
sed 's/simulated/dr-who/' "$O/work/simulated_reader.csv" >"$O/reader/who.csv"
"$P" paper run --scale tiny -o "$O" >"$D/log" 2>&1
grep -q '^2 steps run' "$D/log" && grep -q 'dr-who' "$O/tables/table1.tsv"
ok $? "answers of a person: $(tail -n 2 "$D/log")"

# An unfinished run: a row that is not tested yet is n/a in its own columns, and no answer is given.
mv "$O/work/second_ld" "$O/work/second_clear" "$D"
"$P" paper report "$O" --scale tiny >"$D/log" 2>&1; ok $? "report without a test: $(cat "$D/log")"
grep -q 'Not answered by this run' "$O/report.html" &&
  ! sed 's/<img [^>]*>//g' "$O/report.html" | grep -q -i -w 'nan'
ok $? "not answered, and no nan: $(grep -i -w -m 1 -o '.\{30\}nan.\{30\}' "$O/report.html")"
[ "$(grep -c 'cmd-classify.ld"' "$O/report.html")" -gt 0 ] &&
  awk '/id="main"/ {on = 1} /<\/table>/ {on = 0}
    on && /^<tr>/ {n = gsub(/<t[dh]/, "&"); if (first && n != first) bad = 1; first = n}
    END {exit bad || !first}' "$O/report.html"
ok $? "every row of Tables 3 and 4 has all columns"
mv "$D/second_ld" "$D/second_clear" "$O/work"

# What is there and cannot be read is not left out.
for broken in evidence_ld/truth.tsv classify_ld/metrics.tsv segment_real/metrics.tsv audit.txt; do
  mv "$O/work/$broken" "$D/unbroken"
  mkdir "$O/work/$broken"
  "$P" paper report "$O" --scale tiny >"$D/log" 2>&1
  [ $? -eq 1 ] && grep -q "$broken" "$D/log"; ok $? "$broken cannot be read: $(cat "$D/log")"
  rmdir "$O/work/$broken"
  mv "$D/unbroken" "$O/work/$broken"
done
"$P" paper report "$O" --scale tiny >"$D/log" 2>&1; ok $? "report again: $(cat "$D/log")"

# A network that belongs to these images is taken, another one is not.
"$P" train "$O/work/gan_rim.safetensors" --reuse "$O/work/gan" --config small -o "$D/reuse" \
  >"$D/log" 2>&1
ok $? "reuse: $(cat "$D/log")"
grep -q 'trained on these images before' "$D/log" &&
  cmp -s "$D/reuse/network.safetensors" "$O/work/gan/network.safetensors"
ok $? "the same network: $(cat "$D/log")"
"$P" train "$O/work/test_rim.safetensors" --reuse "$O/work/gan,$D/none" --dry-run --config small \
  >"$D/log" 2>&1
ok $? "a dry run: $(cat "$D/log")"
"$P" paper stamp "$O/work/gan" --data "$O/work/test_rim.safetensors" -o "$D/net.safetensors" \
  >"$D/log" 2>&1
ok $? "stamp: $(cat "$D/log")"
"$P" train "$O/work/gan_rim.safetensors" --reuse "$D/net.safetensors" --config small \
  --channel-base 64 --channel-max 4 --batch 8 --kimg 0.008 --tick 0.008 -o "$D/anew" >"$D/log" 2>&1
grep -q 'trained on other images' "$D/log" && [ -s "$D/anew/state.safetensors" ]
ok $? "a network of other images is trained anew: $(cat "$D/log")"

# Other cohorts.
K=$O/work/cohort
readers='NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; a = at["reader1"]; b = at["reader2"]}'
awk -F'\t' "$readers"' NR == 1 || $a == $b' "$K/lesions.tsv" >"$K/agree.tsv"
"$P" paper run --scale tiny --cohort "$K/agree.tsv" -o "$D/x" --dry-run >"$D/log" 2>&1 &&
  ! grep -q 'prlx project.*ambiguous' "$D/log" && ! grep -q 'classify_ld' "$D/log"
ok $? "no ambiguous lesions, no denoising: $(tail -n 1 "$D/log")"
awk -F'\t' -v OFS='\t' 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "mask") m = i}
  NR > 1 {$m = "n/a"} {print}' "$K/lesions.tsv" >"$K/nomask.tsv"
"$P" paper run --scale tiny --cohort "$K/nomask.tsv" -o "$D/x" --dry-run >"$D/log" 2>&1 &&
  grep -q 'prlx project.*--focus centre' "$D/log" && ! grep -q 'focus mask' "$D/log" &&
  ! grep -q 'second_cohort' "$D/log"
ok $? "no lesion masks: the focus is the centre; no phantom: no second test: $(tail -n 1 "$D/log")"
awk -F'\t' "$readers"' NR == 1 || $a == 0 && $b == 0' "$K/lesions.tsv" >"$K/norim.tsv"
"$P" paper run --scale tiny --cohort "$K/norim.tsv" -o "$D/x" >"$D/log" 2>&1
[ $? -eq 1 ] && grep -q '0 rim' "$D/log"
ok $? "a class without lesions: $(cat "$D/log")"
"$P" paper run --scale paper --cohort "$K/lesions.tsv" -o "$D/x" --only pack >"$D/log" 2>&1
grep -q 'counts are scaled' "$D/log"
ok $? "fewer lesions than asked: $(head -n 2 "$D/log")"
finish
