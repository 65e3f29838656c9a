#!/bin/sh
# When does denoising help? Sweeps around a finished `prlx paper run --scale small`, each on new
# lesions of its second test: what is added, how many rims there are to learn from, how noisy the
# readers and the scans are, how long the network was trained and how large it is, a shift of the
# reference.
#
#   sh paper/when/run.sh PRLX RUN OUT     RUN: its work folder; OUT: a new folder
#   SWEEPS="rims many added projection readers length scans segment kinds": some of them
#   SWEEPS=size WIDE=NETWORK: a network of another size beside that of the run
#   SEEDS=5: trainings of each
#
# Every number of OUT/when.tsv is a difference of ROC AUC to the classifiers without augmentation
# on the same training lesions, which `prlx classify --compare` prints; OUT/commands.txt has each
# command. What is there already is not made again, so a stopped run goes on.
set -eu
P=$1 W=$2 O=$3
SEEDS=${SEEDS:-5}
LEARN="--epochs 25 --decay cosine --real-norm --validate 10 --seed 0"
SWEEPS=${SWEEPS:-rims many added projection readers length scans segment kinds}
mkdir -p "$O"
: >"$O/commands.txt"

want() {
  case " $SWEEPS " in
  *" $1 "*) return 0 ;;
  esac
  return 1
}

# run OUTPUT COMMAND...: unless the output is there
run() {
  out=$1
  shift
  echo "prlx $*" >>"$O/commands.txt"
  [ -e "$out" ] || "$P" "$@" --quiet >"$O/log.txt" 2>&1 || {
    cat "$O/log.txt" >&2
    exit 1
  }
}

# learn NAME DATA...: classifiers, looked at on the second test
learn() {
  name=$1
  shift
  run "$O/$name/model$((SEEDS - 1)).safetensors" classify "$@" $LEARN --runs "$SEEDS" -o "$O/$name"
}

# judge SWEEP VALUE ROW MODELS NONE TEST: a line of the table
judge() {
  name=$(echo "$1_$2_$3" | tr ' ,.' '___')
  run "$O/none_$name/metrics.tsv" classify --model "$5" --test "$6" -o "$O/none_$name"
  run "$O/with_$name/difference.tsv" classify --model "$4" --test "$6" --compare "$O/none_$name" \
    -o "$O/with_$name"
  base=$(awk -F'\t' '$1 == "ROC AUC" {print $2}' "$O/none_$name/metrics.tsv")
  awk -F'\t' -v OFS='\t' -v a="$1" -v b="$2" -v c="$3" -v base="$base" \
    '$1 == "ROC AUC" {print a, b, c, base, $2, $4, $5, $6}' "$O/with_$name/difference.tsv" \
    >>"$O/when.tsv"
}

fast="--solver fast --steps 60 --starts 4 --pixel-steps 60" # as in paper/scales.tsv, small

# project NAME LESIONS OPTIONS
project() {
  run "$O/$1/denoised.safetensors" project "$2" --network "$W/gan" $3 --no-nifti -o "$O/$1"
}

printf 'sweep\tvalue\tadded\tnone\tdifference\tlow\thigh\tdetectable\n' >"$O/when.tsv"
second=$W/second.safetensors

# How many rims there are to learn from. The network is the one of 200 rims throughout.
if want rims; then
  for n in 25 50 100; do
    run "$O/rim_$n.safetensors" paper take "$W/train_rim.safetensors" --lesions $n \
      -o "$O/rim_$n.safetensors"
    run "$O/nonrim_$n.safetensors" paper take "$W/train_nonrim.safetensors" --lesions $((2 * n)) \
      -o "$O/nonrim_$n.safetensors"
    real="$O/rim_$n.safetensors $O/nonrim_$n.safetensors"
    learn none_$n $real --real 2
    learn ambiguous_$n $real "$W/ambiguous.safetensors:rim" --real 2
    learn ld_$n $real "$W/ld/denoised.safetensors:rim" --real 2
    learn focus_$n $real "$W/focus/denoised.safetensors:rim" --real 2
    learn place_$n $real "$W/place/denoised.safetensors:rim" --real 2
    learn clear_$n $real "$W/clear.safetensors:rim" --real 2
    for row in ambiguous ld focus place clear; do
      judge "training rims" $n $row "$O/${row}_$n" "$O/none_$n" "$second"
    done
  done
  for row in ambiguous ld ld_focus ld_place clear; do
    judge "training rims" 200 ${row#ld_} "$W/classify_$row" "$W/classify_none" "$second"
  done
fi

# Four times as many rims as the paper has: those of the run and 600 + 1,200 of new subjects.
if want many; then
  run "$O/many" phantom --subjects 640 --rim 600 --ambiguous 0 --nonrim 1200 --first-subject 9501 \
    --seed 4 --no-sheets -o "$O/many"
  run "$O/many.safetensors" pack "$O/many/lesions.tsv" --slices central --counts all --clip-at 4 \
    -o "$O/many.safetensors" --no-sheet
  real="$W/train.safetensors $O/many.safetensors"
  learn none_800 $real --real 2
  learn ambiguous_800 $real "$W/ambiguous.safetensors:rim" --real 2
  learn ld_800 $real "$W/ld/denoised.safetensors:rim" --real 2
  learn focus_800 $real "$W/focus/denoised.safetensors:rim" --real 2
  learn place_800 $real "$W/place/denoised.safetensors:rim" --real 2
  learn clear_800 $real "$W/clear.safetensors:rim" --real 2
  for row in ambiguous ld focus place clear; do
    judge "training rims" 800 $row "$O/${row}_800" "$O/none_800" "$second"
  done
fi

# How many are added.
if want added; then
  for n in 25 50; do
    run "$O/ld_add_$n.safetensors" paper take "$W/ld/denoised.safetensors" --lesions $n \
      -o "$O/ld_add_$n.safetensors"
    learn add_$n "$W/train.safetensors" "$O/ld_add_$n.safetensors:rim" --real 1
    judge "denoised lesions added" $n ld "$O/add_$n" "$W/classify_none" "$second"
  done
  judge "denoised lesions added" 100 ld "$W/classify_ld" "$W/classify_none" "$second"
  for n in 50 200; do
    judge "synthetic rims added" $n gan "$W/classify_gan_$n" "$W/classify_none" "$second"
  done
  judge "synthetic rims added" 100 gan "$W/classify_gan" "$W/classify_none" "$second"
fi

# How the lesions are denoised.
if want projection; then
  judge "projection" "reference, 150 steps" ld "$W/classify_ld" "$W/classify_none" "$second"
  project ld50 "$W/ambiguous.safetensors" "--steps 50"
  learn steps_50 "$W/train.safetensors" "$O/ld50/denoised.safetensors:rim" --real 1
  judge "projection" "reference, 50 steps" ld "$O/steps_50" "$W/classify_none" "$second"
  judge "projection" "fast" fast "$W/classify_ld_fast" "$W/classify_none" "$second"
  judge "projection" "fast, focus 0.5" focus "$W/classify_ld_focus" "$W/classify_none" "$second"
  project focus9 "$W/ambiguous.safetensors" \
    "$fast --cohort $W/cohort/lesions.tsv --focus mask --focus-strength 0.9"
  learn focus_9 "$W/train.safetensors" "$O/focus9/denoised.safetensors:rim" --real 1
  judge "projection" "fast, focus 0.9" focus "$O/focus_9" "$W/classify_none" "$second"
  judge "projection" "fast, in place" place "$W/classify_ld_place" "$W/classify_none" \
    "$second"
fi

# How much the readers differ: other ambiguous lesions, the same network.
if want readers; then
  at=8001
  for noise in 0.1 0.5; do
    run "$O/readers_$noise" phantom --subjects 100 --rim 0 --ambiguous 100 --nonrim 100 \
      --first-subject $at --reader-noise $noise --seed 3 --no-sheets -o "$O/readers_$noise"
    run "$O/readers_$noise.safetensors" pack "$O/readers_$noise/lesions.tsv" --slices central \
      --ambiguous-as rim --classes rim --counts all -o "$O/readers_$noise.safetensors" --no-sheet
    project readers_ld_$noise "$O/readers_$noise.safetensors" \
      "$fast --cohort $O/readers_$noise/lesions.tsv --focus mask --focus-strength 0.5"
    project readers_place_$noise "$O/readers_$noise.safetensors" \
      "$fast --cohort $O/readers_$noise/lesions.tsv --focus mask --focus-strength 1 \
        --focus-grow 2 --in-place"
    learn readers_as_$noise "$W/train.safetensors" "$O/readers_$noise.safetensors:rim" --real 1
    learn readers_focus_$noise "$W/train.safetensors" \
      "$O/readers_ld_$noise/denoised.safetensors:rim" --real 1
    learn readers_redrawn_$noise "$W/train.safetensors" \
      "$O/readers_place_$noise/denoised.safetensors:rim" --real 1
    judge "reader noise" $noise ambiguous "$O/readers_as_$noise" "$W/classify_none" "$second"
    judge "reader noise" $noise focus "$O/readers_focus_$noise" "$W/classify_none" "$second"
    judge "reader noise" $noise place "$O/readers_redrawn_$noise" "$W/classify_none" "$second"
    at=$((at + 500))
  done
  judge "reader noise" 0.2191 ambiguous "$W/classify_ambiguous" "$W/classify_none" "$second"
  judge "reader noise" 0.2191 focus "$W/classify_ld_focus" "$W/classify_none" "$second"
  judge "reader noise" 0.2191 place "$W/classify_ld_place" "$W/classify_none" "$second"
fi

# network PREFIX SWEEP VALUE NET: its new rims, and the ambiguous lesions denoised with it.
network() {
  run "$O/$1_gan_$3" generate --network "$4" --count 100 --no-nifti -o "$O/$1_gan_$3"
  project "$1_ld_$3" "$W/ambiguous.safetensors" \
    "$fast --network $4 --cohort $W/cohort/lesions.tsv --focus mask --focus-strength 0.5"
  learn "$1_synthetic_$3" "$W/train.safetensors" "$O/$1_gan_$3/dataset.safetensors:rim" --real 1
  learn "$1_focus_$3" "$W/train.safetensors" "$O/$1_ld_$3/denoised.safetensors:rim" --real 1
  judge "$2" "$3" gan "$O/$1_synthetic_$3" "$W/classify_none" "$second"
  judge "$2" "$3" focus "$O/$1_focus_$3" "$W/classify_none" "$second"
}

# How long the network was trained: snapshots of one training (paper/generator).
if want length; then
  for net in paper/generator/rims_*kimg.safetensors; do
    n=${net##*rims_}
    network length "kimg of the network" "${n%kimg.safetensors}" "$net"
  done
fi

# How large it is.
if want size; then
  network size "network" "$(basename "$WIDE" .safetensors)" "$WIDE"
  judge "network" "of the run" gan "$W/classify_gan" "$W/classify_none" "$second"
  judge "network" "of the run" focus "$W/classify_ld_focus" "$W/classify_none" "$second"
fi

# Other scans than those it was trained on: noise, and the reference of the susceptibility, which
# differs between reconstruction programs. 200 rims and 400 non-rims, the same ones throughout.
if want scans; then
  for snr in 10 30 100; do
    run "$O/snr_$snr" phantom --subjects 300 --rim 200 --ambiguous 0 --nonrim 400 \
      --first-subject 7001 --snr $snr --seed 3 --no-sheets -o "$O/snr_$snr"
    run "$O/snr_$snr.safetensors" pack "$O/snr_$snr/lesions.tsv" --slices central --counts all \
      -o "$O/snr_$snr.safetensors" --no-sheet
    for row in ambiguous ld ld_focus ld_place gan clear; do
      judge "signal to noise of the test" $snr ${row#ld_} "$W/classify_$row" "$W/classify_none" \
        "$O/snr_$snr.safetensors"
    done
  done
  for shift in -20 20; do
    run "$O/shift_$shift.safetensors" pack "$O/snr_30/lesions.tsv" --slices central --counts all \
      --window $((-100 - shift)),$((150 - shift)) -o "$O/shift_$shift.safetensors" --no-sheet
    for row in ambiguous ld ld_focus ld_place gan clear; do
      judge "shift of the test, ppb" $shift ${row#ld_} "$W/classify_$row" "$W/classify_none" \
        "$O/shift_$shift.safetensors"
    done
  done
fi

# Does the segmentation of the rim gain by generated or denoised lesions? Ten trainings of each,
# where the run has two.
if want segment; then
  unet="--test $W/multi_test.safetensors --runs 10 --epochs 20"
  run "$O/unet_real/metrics.tsv" segment "$W/multi_rim.safetensors" $unet -o "$O/unet_real"
  run "$O/unet_generated/metrics.tsv" segment "$W/multi_rim.safetensors" \
    "$W/multi_synthetic/dataset.safetensors" $unet --compare "$O/unet_real" -o "$O/unet_generated"
  run "$O/unet_denoised/metrics.tsv" segment "$W/multi_rim.safetensors" \
    "$W/multi_ld/denoised.safetensors" $unet --compare "$O/unet_real" -o "$O/unet_denoised"
  # sd: over the trainings; low, high: over subjects
  {
    printf 'added\tmetric\tmean\tsd\tlow\thigh\tlesions\n'
    for row in real generated denoised; do
      awk -F'\t' -v OFS='\t' -v row=$row 'FNR > 1 {print row, $0}' "$O/unet_$row/metrics.tsv"
    done
    for row in generated denoised; do
      awk -F'\t' -v OFS='\t' -v row="$row minus real" \
        'FNR > 1 {print row, $1, $4, "n/a", $5, $6, $7}' "$O/unet_$row/comparison.tsv"
    done
  } >"$O/segment.tsv"
fi

# Which kind of lesion: what denoising does to the height of the rim above the core and to what the
# classifiers without augmentation say, by what the phantom knows.
if want kinds; then
  printf 'kind\tprojection\tlesions\trim_core_ppb_before\tafter\trim_score_before\tafter\n' \
    >"$O/kinds.tsv"
  for how in ld fast focus place; do
    awk -F'\t' -v OFS='\t' -v how=$how '
      FNR == 1 { split("", h); for (i = 1; i <= NF; i++) h[$i] = i; next }
      FNR == NR { mimic[$h["subject"] " " $h["lesion"]] = $h["truth_mimic"]; next }
      {
        m = mimic[$h["subject"] " " $h["lesion"]]
        k = m != "none" ? "looks like a rim, is none" : \
            $h["truth_rim"] ? "rim, one reader missed it" : "below the cut, one reader saw a rim"
        n[k]++
        for (i = 1; i <= 4; i++) sum[k, i] += $h[name[i]]
      }
      BEGIN {
        split("rim_core_ppb_before rim_core_ppb_after rim_score_before rim_score_after", name, " ")
      }
      END {
        for (k in n)
          print k, how, n[k], sprintf("%.1f\t%.1f\t%.2f\t%.2f", sum[k, 1] / n[k], \
            sum[k, 2] / n[k], sum[k, 3] / n[k], sum[k, 4] / n[k])
      }' "$W/cohort/lesions.tsv" "$W/evidence_$how/evidence.tsv" | sort >>"$O/kinds.tsv"
  done
fi

column -t -s "$(printf '\t')" "$O/when.tsv" 2>/dev/null || cat "$O/when.tsv"
! want kinds || cat "$O/kinds.tsv"
