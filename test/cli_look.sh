#!/bin/sh
# cli_look.sh: a command looks at all its inputs and at its output before anything long begins: what
# is wrong with the second input is not found after the work on the first. With PRLX_DUMP every plan
# that a command makes leaves a file: after a refusal there is none.
# usage: cli_look.sh PROGRAM
. "$(dirname "$0")/cli.inc"
refused() {
  text=$1
  shift
  rm -rf "$T/plans" "$T/o"
  mkdir "$T/plans"
  PRLX_DUMP=$T/plans expect 1 "$text" "$P" "$@"
  [ -z "$(ls -A "$T/plans")" ]
  ok $? "$*: computed before it was refused: $(ls "$T/plans" | head -n 3)"
}
NET=test/golden/generator_uncond.safetensors
"$P" phantom --scale demo --subjects 12 --rim 8 --ambiguous 0 --nonrim 16 --fast-inversion \
  --iterations 1 --no-sheets --quiet -o "$T/coh" >/dev/null
C=$T/coh/lesions.tsv
A=$T/p.safetensors
B=$T/q.safetensors
"$P" pack "$C" --slices central --train 4,4 --test-counts 2,2 --channels chi,rim --no-sheet \
  --quiet -o "$A" --test "$B" >/dev/null || fail "pack"
echo "this is no data set" >"$T/text"
: >"$T/file"

# fid: files, kinds, classes, one network for all
refused "no.safetensors" fid "$A" "$T/no.safetensors" --no-cache
refused "no.safetensors" fid "$A" "$B" "$B+$T/no.safetensors" --no-cache
refused "is text" fid "$A" "$B" "$T/text" --no-cache
refused "of class 2" fid "$A" "$B" --label 2 --no-cache
refused "nothing.safetensors" fid "$A" "$B" --inception "$T/nothing.safetensors" --no-cache

# classify: the run to compare with, and its lesions, before any training
cls="--runs 1 --epochs 1 --resamples 2 --quiet"
refused "no/predictions.tsv" classify "$A" --test "$B" --compare "$T/no" $cls -o "$T/o"
refused "predictions.tsv" classify "$A" --test "$B" --compare "$T/coh" $cls -o "$T/o"
printf 'subject\tlesion\tclass\trim\trim0\nsub-999\tlesion-01\trim\t1\t1\n' >"$T/other.tsv"
refused "no lesion .* of sub-" classify "$A" --test "$B" --compare "$T/other.tsv" $cls -o "$T/o"
"$P" generate --network $NET --seeds 0-3 --no-nifti --quiet -o "$T/g" >/dev/null
"$P" generate --network $NET --seeds 4-7 --png --no-nifti --quiet -o "$T/h" >/dev/null
G=$T/g/dataset.safetensors
refused "no lesion of class rim or non-rim" classify "$G:rim" "$G:non-rim" \
  --test "$T/h/dataset.safetensors" $cls -o "$T/o"
refused "a file of this name" classify "$A" --test "$B" $cls -o "$T/file"
"$P" classify "$A" $cls --test "$B" -o "$T/c" >/dev/null 2>"$T/err" || fail "classify"
refused "a file of this name" classify --model "$T/c" --test "$B" -o "$T/file"

# cam: the second classifier, and the output
refused "no: " cam "$B" --model "$T/c" --after "$T/no" -o "$T/o"
refused "a file of this name" cam "$B" --model "$T/c" -o "$T/file"

# segment
seg="--runs 1 --epochs 1 --width 2 --levels 2 --resamples 2 --quiet"
refused "no/predictions.tsv" segment "$A" --test "$B" --compare "$T/no" $seg -o "$T/o"
refused "no column subject" segment "$A" --test "$B" --compare "$C" $seg -o "$T/o"
refused "no.safetensors" segment --judge "$A" --reference "$T/no.safetensors" -o "$T/o"
refused "a file of this name" segment --judge "$A" -o "$T/file"

# walk: points and lists
for words in "interpolate --from" "interpolate --from mean --to" "mix --rows" \
  "mix --rows mean --columns" "truncate --point" "directions --point"; do
  # shellcheck disable=SC2086
  refused "no.safetensors" walk $words "$T/no.safetensors:0" --network $NET -o "$T/o"
done
refused "psi" walk truncate --psi x --network $NET -o "$T/o"
refused "layers" walk mix --layers x --network $NET -o "$T/o"
refused "a file of this name" walk directions --point mean --network $NET -o "$T/file"

# project: every target
one=$(ls "$T"/h/*4.png)
refused "no.png" project "$one" "$T/no.png" --network $NET -o "$T/o"
refused "sheet.png" project "$one" "$T/h/sheet.png" --network $NET -o "$T/o"
refused "a file of this name" project "$G" --network $NET -o "$T/file"

# evidence: model, training data, weights, output
"$P" project "$G" --network $NET --steps 1 --w-samples 10 --quiet -o "$T/d" >/dev/null
refused "no.safetensors" evidence "$T/d" --train "$T/no.safetensors" -o "$T/o"
refused "vgg" evidence "$T/d" --train "$G" --vgg "$T/novgg.safetensors" -o "$T/o"
refused "no: " evidence "$T/d" --train "$G" --model "$T/no" -o "$T/o"
refused "a file of this name" evidence "$T/d" --train "$G" -o "$T/file"
refused "no.safetensors" evidence --synthetic "$G" --train "$T/no.safetensors" -o "$T/o"

# paper run: what only its last step reads
refused "no.tsv" paper run --scale tiny --published "$T/no.tsv" -o "$T/o"
refused "no column source" paper run --scale tiny --published "$C" -o "$T/o"
[ ! -e "$T/o/work" ]
ok $? "paper run began"

# smote, reader
refused "no.safetensors" reader make "$A" "$T/no.safetensors" -o "$T/study.html"
"$P" reader make "$A" "$B" --n 2 -o "$T/study.html" >/dev/null 2>"$T/err" || fail "reader make"
refused "no.csv" reader score "$T/study.key.tsv" "$T/no.csv"
refused "lesions of class 2" smote "$A" --class 2 --out "$T/s.safetensors"
finish
