#!/bin/sh
# prepare.sh: tiny inputs for every command into ./in, made by PROGRAM.
# usage: prepare.sh PROGRAM ROOT   (ROOT: of the repository)
P=$1
R=$2
PRLX_DATA=$R/data
export PRLX_DATA
mkdir in || exit 1
step() {
  "$P" "$@" --quiet >prepare.log 2>&1 && return
  echo "prepare: prlx $*"
  cat prepare.log
  exit 1
}
cp "$R/test/golden/generator_uncond.safetensors" in/net.safetensors || exit 1
cp "$R/test/data/import/tiny_nv.pkl" in/tiny.pkl || exit 1
echo "no table, no volume, no network" >in/lies.txt
mkdir -p in/odd/folder && mkfifo in/odd/fifo && : >in/odd/empty || exit 1
# images of a network, rather than patches of 64 x 64: 16 x 16
for k in "data 0-7" "other 8-15"; do
  step generate --network in/net.safetensors --seeds "${k#* }" --no-nifti --no-sheet -o g
  mv g/dataset.safetensors "in/${k% *}.safetensors" && rm -r g
done
step phantom --subjects 4 --rim 3 --ambiguous 2 --nonrim 3 --fast-inversion --iterations 1 \
  --no-sheets -o in/cohort
step phantom --subjects 1 --rim 1 --ambiguous 0 --nonrim 0 --fast-inversion --whole-brain 1 \
  --no-sheets -o brain
mv brain/whole-brain in/brain && rm -r brain
cp "$(find in/cohort -name '*Chimap.nii.gz' | LC_ALL=C sort | head -n 1)" in/one.nii.gz || exit 1
# data sets of patches, 64 x 64
step pack in/cohort/lesions.tsv --channels chi,rim --slices central --counts all --no-sheet \
  -o in/set.safetensors --test in/test.safetensors --test-counts 1,1
step train in/data.safetensors --channel-base 64 --channel-max 4 --z-dim 4 --w-dim 4 --batch 4 \
  --mbstd-group 4 --tick 0.004 --snap 1 --kimg 0.008 --no-layers -o in/run
step classify in/data.safetensors:rim in/other.safetensors:non-rim --runs 1 --epochs 1 --pools 1 \
  -o in/classifier
step classify in/set.safetensors --test in/test.safetensors --runs 1 --epochs 1 --resamples 2 \
  -o in/real
step project --network in/net.safetensors --steps 1 --w-samples 10 --range 0-1 --no-nifti \
  -o in/denoised in/data.safetensors
step reader make in/data.safetensors in/other.safetensors --n 2 --class all -o in/study.html
for k in data other; do
  step classify --model in/classifier --predict in/$k.safetensors -o in/p_$k
done
step paper answers in/study.key.tsv rim=in/p_data rim=in/p_other source=in/p_data \
  source=in/p_other -o in/answers.csv
step fid in/data.safetensors in/other.safetensors --limit 2 --bootstrap 2 --sizes 0 --cache in/f
rm -f prepare.log
