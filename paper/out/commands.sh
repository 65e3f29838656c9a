#!/bin/sh
# What `prlx paper run --scale small` ran, in order. Run it from the folder where that was run, into an empty output folder.
set -e
prlx() { "${PRLX:-build/prlx}" "$@"; }
mkdir -p paper/out/work paper/out/reader

# data
prlx phantom --subjects 256 --rim 260 --ambiguous 150 --nonrim 540 --seed 1 -o paper/out/work/cohort
prlx pack paper/out/work/cohort/lesions.tsv -o paper/out/work/train.safetensors --test paper/out/work/test.safetensors --ambiguous paper/out/work/ambiguous_all.safetensors --train 200,400 --test-counts 60,120 --slices central --seed 0 --no-sheet
prlx paper take paper/out/work/train.safetensors --class 1 -o paper/out/work/train_rim.safetensors
prlx paper take paper/out/work/train.safetensors --class 0 -o paper/out/work/train_nonrim.safetensors
prlx paper take paper/out/work/test.safetensors --class 1 -o paper/out/work/test_rim.safetensors
prlx paper take paper/out/work/ambiguous_all.safetensors --lesions 100 -o paper/out/work/ambiguous.safetensors
prlx pack --check paper/out/work/train.safetensors paper/out/work/test.safetensors paper/out/work/ambiguous.safetensors
prlx pack paper/out/work/cohort/lesions.tsv -o paper/out/work/multi_train.safetensors --test paper/out/work/multi_test.safetensors --ambiguous paper/out/work/multi_ambiguous.safetensors --channels chi,rim,flair --train 200,400 --test-counts 60,120 --slices central --seed 0 --no-sheet
prlx paper take paper/out/work/multi_train.safetensors --class 1 -o paper/out/work/multi_rim.safetensors
prlx pack --check paper/out/work/multi_train.safetensors paper/out/work/test.safetensors

# networks
prlx train paper/out/work/train_rim.safetensors --config small --mirror --aug qsm --ada-kimg 20 --seed 0 --tick 1 --snap 4 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 16 --keep --no-layers --resume-if-any -o paper/out/work/gan
prlx train paper/out/work/train.safetensors --config small --mirror --aug qsm --ada-kimg 20 --cond --seed 0 --tick 1 --snap 4 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 16 --keep --no-layers --resume-if-any -o paper/out/work/cgan

# lesions
prlx generate --network paper/out/work/gan --seeds 0-399 --no-nifti -o paper/out/work/gan_synthetic
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 100 -o paper/out/work/gan.safetensors
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 50 -o paper/out/work/gan_half.safetensors
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 25 -o paper/out/work/gan_25.safetensors
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 50 -o paper/out/work/gan_50.safetensors
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 200 -o paper/out/work/gan_200.safetensors
prlx paper take paper/out/work/gan_synthetic/dataset.safetensors --lesions 400 -o paper/out/work/gan_400.safetensors
prlx generate --network paper/out/work/cgan --class 1 --seeds 0-99 --no-nifti -o paper/out/work/cgan_synthetic
prlx project paper/out/work/ambiguous.safetensors --network paper/out/work/gan --steps 150 --no-nifti -o paper/out/work/ld
prlx paper take paper/out/work/ld/denoised.safetensors --lesions 50 -o paper/out/work/ld_half.safetensors
prlx project paper/out/work/ambiguous.safetensors --network paper/out/work/cgan --class 1 --steps 150 --no-nifti -o paper/out/work/cld
prlx affine paper/out/work/train.safetensors --lesions 100 -o paper/out/work/affine.safetensors
prlx affine paper/out/work/train.safetensors --lesions 200 --seed 1 -o paper/out/work/affine_all.safetensors
prlx smote paper/out/work/train.safetensors --method pixel --lesions 100 -o paper/out/work/smote.safetensors
prlx smote paper/out/work/train.safetensors --method deep --epochs 30 --lesions 100 -o paper/out/work/deepsmote.safetensors
prlx pack --check paper/out/work/affine.safetensors paper/out/work/test.safetensors
prlx pack --check paper/out/work/affine_all.safetensors paper/out/work/test.safetensors
prlx pack --check paper/out/work/ld/denoised.safetensors paper/out/work/test.safetensors
prlx pack --check paper/out/work/cld/denoised.safetensors paper/out/work/test.safetensors

# classifier
prlx classify paper/out/work/train.safetensors --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 -o paper/out/work/classify_none
prlx classify paper/out/work/train.safetensors paper/out/work/ambiguous.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_ambiguous
prlx classify paper/out/work/train_nonrim.safetensors paper/out/work/affine_all.safetensors --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_affine
prlx classify paper/out/work/train.safetensors paper/out/work/affine.safetensors --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_affine_add
prlx classify paper/out/work/train.safetensors paper/out/work/smote.safetensors --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_smote
prlx classify paper/out/work/train.safetensors paper/out/work/deepsmote.safetensors --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_deepsmote
prlx classify paper/out/work/train.safetensors paper/out/work/gan.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan
prlx classify paper/out/work/train.safetensors paper/out/work/cgan_synthetic/dataset.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_cgan
prlx classify paper/out/work/train.safetensors paper/out/work/ld/denoised.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_ld
prlx classify paper/out/work/train.safetensors paper/out/work/gan.safetensors:rim paper/out/work/ld/denoised.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_ld
prlx classify paper/out/work/train.safetensors paper/out/work/gan_half.safetensors:rim paper/out/work/ld_half.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_ld_half
prlx classify paper/out/work/train.safetensors paper/out/work/cld/denoised.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_cld
prlx classify paper/out/work/train.safetensors paper/out/work/gan_25.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_25
prlx classify paper/out/work/train.safetensors paper/out/work/gan_50.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_50
prlx classify paper/out/work/train.safetensors paper/out/work/gan_200.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_200
prlx classify paper/out/work/train.safetensors paper/out/work/gan_400.safetensors:rim --test paper/out/work/test.safetensors --runs 3 --epochs 25 --seed 0 --compare paper/out/work/classify_none -o paper/out/work/classify_gan_400

# table1
prlx generate --network paper/out/work/gan --seeds 10000-10054 --no-nifti --no-sheet -o paper/out/work/reader_synthetic
prlx reader make paper/out/work/test_rim.safetensors paper/out/work/reader_synthetic/dataset.safetensors --n 55 --seed 0 -o paper/out/reader/study.html --key paper/out/work/study.key.tsv
prlx generate --network paper/out/work/gan --seeds 20000-20199 --no-nifti --no-sheet -o paper/out/work/reader_learn
prlx classify paper/out/work/train_rim.safetensors:rim paper/out/work/reader_learn/dataset.safetensors:non-rim --runs 3 --epochs 25 --seed 0 -o paper/out/work/reader_source
prlx classify --model paper/out/work/classify_none --predict paper/out/work/test_rim.safetensors -o paper/out/work/reader_rim_real
prlx classify --model paper/out/work/classify_none --predict paper/out/work/reader_synthetic/dataset.safetensors -o paper/out/work/reader_rim_synthetic
prlx classify --model paper/out/work/reader_source --predict paper/out/work/test_rim.safetensors -o paper/out/work/reader_source_real
prlx classify --model paper/out/work/reader_source --predict paper/out/work/reader_synthetic/dataset.safetensors -o paper/out/work/reader_source_synthetic
prlx paper answers paper/out/work/study.key.tsv rim=paper/out/work/reader_rim_real rim=paper/out/work/reader_rim_synthetic source=paper/out/work/reader_source_real source=paper/out/work/reader_source_synthetic -o paper/out/work/simulated_reader.csv
prlx reader score paper/out/work/study.key.tsv paper/out/work/simulated_reader.csv -o paper/out/work/reader_score.tsv

# table2
prlx fid paper/out/work/test_rim.safetensors paper/out/work/train_rim.safetensors paper/out/work/train_rim.safetensors+paper/out/work/ambiguous.safetensors paper/out/work/ambiguous.safetensors paper/out/work/affine_all.safetensors paper/out/work/train_rim.safetensors+paper/out/work/affine.safetensors paper/out/work/affine.safetensors paper/out/work/train_rim.safetensors+paper/out/work/smote.safetensors paper/out/work/smote.safetensors paper/out/work/train_rim.safetensors+paper/out/work/deepsmote.safetensors paper/out/work/deepsmote.safetensors paper/out/work/train_rim.safetensors+paper/out/work/gan.safetensors paper/out/work/gan.safetensors paper/out/work/train_rim.safetensors+paper/out/work/cgan_synthetic/dataset.safetensors paper/out/work/cgan_synthetic/dataset.safetensors paper/out/work/train_rim.safetensors+paper/out/work/ld/denoised.safetensors paper/out/work/ld/denoised.safetensors paper/out/work/train_rim.safetensors+paper/out/work/gan.safetensors+paper/out/work/ld/denoised.safetensors paper/out/work/gan.safetensors+paper/out/work/ld/denoised.safetensors paper/out/work/train_rim.safetensors+paper/out/work/cld/denoised.safetensors paper/out/work/cld/denoised.safetensors --bootstrap 200 --floor --json --cache paper/out/work/features > paper/out/work/fid.json

# figure8
prlx generate --network paper/out/work/gan/network-000004.safetensors --seeds 0-99 --no-nifti -o paper/out/work/gan_at_4
prlx generate --network paper/out/work/gan/network-000008.safetensors --seeds 0-99 --no-nifti -o paper/out/work/gan_at_8
prlx generate --network paper/out/work/gan/network-000012.safetensors --seeds 0-99 --no-nifti -o paper/out/work/gan_at_12
prlx generate --network paper/out/work/gan --seeds 0-99 --no-nifti -o paper/out/work/gan_at_16
prlx generate --network paper/out/work/cgan/network-000004.safetensors --class 1 --seeds 0-99 --no-nifti -o paper/out/work/cgan_at_4
prlx generate --network paper/out/work/cgan/network-000008.safetensors --class 1 --seeds 0-99 --no-nifti -o paper/out/work/cgan_at_8
prlx generate --network paper/out/work/cgan/network-000012.safetensors --class 1 --seeds 0-99 --no-nifti -o paper/out/work/cgan_at_12
prlx generate --network paper/out/work/cgan --class 1 --seeds 0-99 --no-nifti -o paper/out/work/cgan_at_16
prlx fid paper/out/work/train_rim.safetensors paper/out/work/gan_at_4/dataset.safetensors paper/out/work/gan_at_8/dataset.safetensors paper/out/work/gan_at_12/dataset.safetensors paper/out/work/gan_at_16/dataset.safetensors paper/out/work/cgan_at_4/dataset.safetensors paper/out/work/cgan_at_8/dataset.safetensors paper/out/work/cgan_at_12/dataset.safetensors paper/out/work/cgan_at_16/dataset.safetensors --bootstrap 200 --json --cache paper/out/work/features > paper/out/work/fid_kimg.json

# figures
prlx project paper/out/work/ambiguous.safetensors --range 0 --network paper/out/work/gan --steps 150 --frames 10 --no-nifti -o paper/out/work/frames
prlx cam paper/out/work/multi_test.safetensors --model paper/out/work/classify_none --after paper/out/work/classify_gan_ld -o paper/out/work/cam

# evidence
prlx evidence paper/out/work/ld --cohort paper/out/work/cohort/lesions.tsv --train paper/out/work/train_rim.safetensors --model paper/out/work/classify_none -o paper/out/work/evidence_ld
prlx evidence paper/out/work/cld --cohort paper/out/work/cohort/lesions.tsv --train paper/out/work/train.safetensors --model paper/out/work/classify_none -o paper/out/work/evidence_cld
prlx project paper/out/work/test_rim.safetensors --range 0-23 --network paper/out/work/gan --steps 150 --no-nifti -o paper/out/work/control_rim
prlx evidence paper/out/work/control_rim --cohort paper/out/work/cohort/lesions.tsv --train paper/out/work/train_rim.safetensors --model paper/out/work/classify_none -o paper/out/work/evidence_control_rim
prlx project paper/out/work/gan.safetensors --range 0-23 --network paper/out/work/gan --steps 150 --no-nifti -o paper/out/work/control_own
prlx evidence paper/out/work/control_own --train paper/out/work/train_rim.safetensors --model paper/out/work/classify_none -o paper/out/work/evidence_control_own
prlx evidence --synthetic paper/out/work/gan.safetensors --train paper/out/work/train_rim.safetensors -o paper/out/work/evidence_memory

# multi
prlx train paper/out/work/multi_rim.safetensors --config small --mirror --aug qsm --ada-kimg 20 --seed 0 --tick 1 --snap 4 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 12 --no-layers --resume-if-any -o paper/out/work/multi_gan
prlx generate --network paper/out/work/multi_gan --seeds 0-99 -o paper/out/work/multi_synthetic
prlx segment --judge paper/out/work/multi_synthetic/dataset.safetensors --reference paper/out/work/multi_rim.safetensors -o paper/out/work/segment_judge
prlx segment paper/out/work/multi_rim.safetensors --test paper/out/work/multi_test.safetensors --runs 2 --epochs 20 -o paper/out/work/segment_real
prlx segment paper/out/work/multi_rim.safetensors paper/out/work/multi_synthetic/dataset.safetensors --test paper/out/work/multi_test.safetensors --runs 2 --epochs 20 --compare paper/out/work/segment_real -o paper/out/work/segment_both
prlx project paper/out/work/multi_ambiguous.safetensors --range 0-3 --network paper/out/work/multi_gan --steps 150 -o paper/out/work/multi_ld

# report
prlx paper audit > paper/out/work/audit.txt
prlx paper report paper/out --scale small
