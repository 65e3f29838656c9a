#!/bin/sh
# What `prlx paper run --scale small` ran, in order. Run it from the folder where that was run, into an empty output folder.
set -e
prlx() { "${PRLX:-build/prlx}" "$@"; }
mkdir -p out/work out/reader

# data
prlx phantom --subjects 256 --rim 260 --ambiguous 150 --nonrim 540 --seed 1 -o out/work/cohort
prlx pack out/work/cohort/lesions.tsv -o out/work/train.safetensors --test out/work/test.safetensors --ambiguous out/work/ambiguous_all.safetensors --train 200,400 --test-counts 60,120 --slices central --seed 0 --no-sheet
prlx pack out/work/cohort/lesions.tsv -o out/work/gan_all.safetensors --test out/work/gan_rest.safetensors --train 200,400 --test-counts 60,120 --slices lesion --seed 0 --no-sheet
prlx paper take out/work/gan_all.safetensors --class 1 -o out/work/gan_rim.safetensors
prlx pack --check out/work/gan_all.safetensors out/work/test.safetensors
prlx paper take out/work/train.safetensors --class 1 -o out/work/train_rim.safetensors
prlx paper take out/work/train.safetensors --class 0 -o out/work/train_nonrim.safetensors
prlx paper take out/work/test.safetensors --class 1 -o out/work/test_rim.safetensors
prlx paper take out/work/ambiguous_all.safetensors --lesions 100 -o out/work/ambiguous.safetensors
prlx paper take out/work/train.safetensors --class 0 --skip 100 -o out/work/nonrim_less.safetensors
prlx paper take out/work/train.safetensors --class 0 --skip 200 -o out/work/nonrim_least.safetensors
prlx paper take out/work/train.safetensors --class 0 --lesions 100 -o out/work/nonrim_add.safetensors
prlx phantom --subjects 640 --rim 600 --ambiguous 0 --nonrim 1200 --first-subject 1001 --seed 2 --no-sheets -o out/work/second_cohort
prlx pack out/work/second_cohort/lesions.tsv -o out/work/second.safetensors --slices central --seed 0 --clip-at 4 --no-sheet
prlx phantom --subjects 60 --rim 100 --ambiguous 0 --nonrim 60 --first-subject 4001 --seed 2 --no-sheets -o out/work/rims_cohort
prlx pack out/work/rims_cohort/lesions.tsv -o out/work/rims_all.safetensors --slices central --seed 0 --no-sheet
prlx paper take out/work/rims_all.safetensors --class 1 -o out/work/rims.safetensors
prlx pack --check out/work/train.safetensors out/work/second.safetensors out/work/test.safetensors
prlx pack --check out/work/rims.safetensors out/work/second.safetensors out/work/test.safetensors
prlx phantom --subjects 256 --rim 260 --ambiguous 150 --nonrim 540 --seed 1 --only ambiguous --clear 2.3 --no-sheets -o out/work/clear_cohort
prlx pack out/work/clear_cohort/lesions.tsv -o out/work/clear_all.safetensors --slices central --seed 0 --ambiguous-as rim --no-sheet
prlx paper take out/work/clear_all.safetensors --like out/work/ambiguous.safetensors -o out/work/clear.safetensors
prlx paper take out/work/ambiguous.safetensors --truth out/work/cohort/lesions.tsv -o out/work/ambiguous_truth.safetensors
prlx pack --check out/work/train.safetensors out/work/test.safetensors out/work/ambiguous.safetensors
prlx pack out/work/cohort/lesions.tsv -o out/work/multi_train.safetensors --test out/work/multi_test.safetensors --ambiguous out/work/multi_ambiguous.safetensors --channels chi,rim,flair --train 200,400 --test-counts 60,120 --slices central --seed 0 --no-sheet
prlx paper take out/work/multi_train.safetensors --class 1 -o out/work/multi_rim.safetensors
prlx pack out/work/cohort/lesions.tsv -o out/work/multi_gan_all.safetensors --test out/work/multi_gan_rest.safetensors --channels chi,rim,flair --train 200,400 --test-counts 60,120 --slices lesion --seed 0 --no-sheet
prlx paper take out/work/multi_gan_all.safetensors --class 1 -o out/work/multi_gan_rim.safetensors
prlx pack --check out/work/multi_train.safetensors out/work/test.safetensors
prlx pack --check out/work/multi_gan_all.safetensors out/work/test.safetensors

# networks
prlx train out/work/gan_rim.safetensors --config small --mirror --aug blit --p 0.8 --noise-average size --ema-kimg 10 --gamma 0.15 --lr 0.0015 --lr-decay 100 --lr-end 0.05 --seed 1 --tick 1 --snap 10 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 374 --keep --no-layers --resume-if-any --reuse data/phantom_rims.safetensors -o out/work/gan
prlx train out/work/gan_all.safetensors --config small --mirror --aug blit --p 0.8 --noise-average size --ema-kimg 10 --gamma 0.15 --lr 0.0015 --lr-decay 100 --lr-end 0.05 --cond --seed 0 --tick 1 --snap 10 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 205 --keep --no-layers --resume-if-any --reuse data/phantom_both.safetensors,data/phantom_both_100kimg.safetensors,data/phantom_both_150kimg.safetensors -o out/work/cgan

# lesions
prlx generate --network out/work/gan --seeds 0-199 --no-nifti -o out/work/gan_synthetic
prlx paper take out/work/gan_synthetic/dataset.safetensors --lesions 100 -o out/work/gan.safetensors
prlx paper take out/work/gan_synthetic/dataset.safetensors --lesions 50 -o out/work/gan_half.safetensors
prlx paper take out/work/gan_synthetic/dataset.safetensors --lesions 50 -o out/work/gan_50.safetensors
prlx paper take out/work/gan_synthetic/dataset.safetensors --lesions 200 -o out/work/gan_200.safetensors
prlx generate --network out/work/cgan --class 1 --seeds 0-99 --no-nifti -o out/work/cgan_synthetic
prlx generate --network out/work/cgan --class 0 --seeds 0-99 --no-nifti -o out/work/cgan_nonrim
prlx project out/work/ambiguous.safetensors --network out/work/gan --steps 150 --no-nifti -o out/work/ld
prlx paper take out/work/ld/denoised.safetensors --lesions 50 -o out/work/ld_half.safetensors
prlx project out/work/ambiguous.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --no-nifti -o out/work/fast
prlx project out/work/ambiguous.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/cohort/lesions.tsv --focus mask --focus-strength 0.5 --no-nifti -o out/work/focus
prlx project out/work/ambiguous.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/cohort/lesions.tsv --focus mask --focus-strength 0.5 --in-place --focus-strength 1 --focus-grow 2 --no-nifti -o out/work/place
prlx paper take out/work/focus/denoised.safetensors --closest out/work/focus/table.tsv --lesions 50 -o out/work/focus_close.safetensors
prlx project out/work/ambiguous.safetensors --network out/work/cgan --class 1 --solver fast --steps 60 --starts 4 --pixel-steps 60 --no-nifti -o out/work/cld
prlx project out/work/ambiguous.safetensors --range 0-11 --network out/work/gan --steps 150 --betas paper --no-nifti -o out/work/betas
prlx project out/work/nonrim_add.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/cohort/lesions.tsv --focus mask --focus-strength 0.5 --no-nifti -o out/work/projected_nonrim
prlx project out/work/nonrim_add.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/cohort/lesions.tsv --focus mask --focus-strength 0.5 --in-place --focus-strength 1 --focus-grow 2 --no-nifti -o out/work/place_nonrim
prlx paper take out/work/focus/denoised.safetensors --truth out/work/cohort/lesions.tsv -o out/work/focus_truth.safetensors
prlx project out/work/rims.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/rims_cohort/lesions.tsv --focus mask --focus-strength 0.5 --no-nifti -o out/work/projected_rims
prlx project out/work/rims.safetensors --network out/work/gan --solver fast --steps 60 --starts 4 --pixel-steps 60 --cohort out/work/rims_cohort/lesions.tsv --focus mask --focus-strength 0.5 --in-place --focus-strength 1 --focus-grow 2 --no-nifti -o out/work/place_rims
prlx affine out/work/train.safetensors --lesions 100 -o out/work/affine.safetensors
prlx affine out/work/train.safetensors --class 0 --lesions 100 --seed 1 -o out/work/affine_nonrim.safetensors
prlx smote out/work/train.safetensors --method pixel --lesions 100 -o out/work/smote.safetensors
prlx smote out/work/train.safetensors --method deep --epochs 60 --penalty-as code --lesions 100 -o out/work/deepsmote.safetensors
prlx pack --check out/work/affine.safetensors out/work/test.safetensors
prlx pack --check out/work/affine_nonrim.safetensors out/work/test.safetensors
prlx pack --check out/work/ld/denoised.safetensors out/work/test.safetensors
prlx pack --check out/work/place/denoised.safetensors out/work/test.safetensors
prlx pack --check out/work/cld/denoised.safetensors out/work/test.safetensors

# classifier
prlx classify out/work/train.safetensors --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 -o out/work/classify_none
prlx classify --model out/work/classify_none --test out/work/second.safetensors -o out/work/second_none
prlx classify out/work/train.safetensors out/work/ambiguous.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_ambiguous
prlx classify --model out/work/classify_ambiguous --test out/work/second.safetensors -o out/work/second_ambiguous
prlx classify out/work/train_rim.safetensors out/work/nonrim_less.safetensors out/work/affine.safetensors --real 2 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_affine
prlx classify --model out/work/classify_affine --test out/work/second.safetensors -o out/work/second_affine
prlx classify out/work/train.safetensors out/work/deepsmote.safetensors --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_deepsmote
prlx classify --model out/work/classify_deepsmote --test out/work/second.safetensors -o out/work/second_deepsmote
prlx classify out/work/train.safetensors out/work/gan.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_gan
prlx classify --model out/work/classify_gan --test out/work/second.safetensors -o out/work/second_gan
prlx classify out/work/train.safetensors out/work/gan_half.safetensors:rim out/work/ld_half.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_gan_ld
prlx classify --model out/work/classify_gan_ld --test out/work/second.safetensors -o out/work/second_gan_ld
prlx classify out/work/train.safetensors out/work/cgan_synthetic/dataset.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_cgan
prlx classify --model out/work/classify_cgan --test out/work/second.safetensors -o out/work/second_cgan
prlx classify out/work/train.safetensors out/work/ld/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 10 --compare out/work/classify_none -o out/work/classify_ld
prlx classify --model out/work/classify_ld --test out/work/second.safetensors -o out/work/second_ld
prlx classify out/work/train.safetensors out/work/fast/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ld_fast
prlx classify --model out/work/classify_ld_fast --test out/work/second.safetensors -o out/work/second_ld_fast
prlx classify out/work/train.safetensors out/work/focus/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 5 --compare out/work/classify_none -o out/work/classify_ld_focus
prlx classify --model out/work/classify_ld_focus --test out/work/second.safetensors -o out/work/second_ld_focus
prlx classify out/work/train.safetensors out/work/place/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 5 --compare out/work/classify_none -o out/work/classify_ld_place
prlx classify --model out/work/classify_ld_place --test out/work/second.safetensors -o out/work/second_ld_place
prlx classify out/work/train.safetensors out/work/cld/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_cld
prlx classify --model out/work/classify_cld --test out/work/second.safetensors -o out/work/second_cld
prlx classify out/work/train.safetensors out/work/focus_close.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ld_close
prlx classify --model out/work/classify_ld_close --test out/work/second.safetensors -o out/work/second_ld_close
prlx classify out/work/train.safetensors out/work/focus/denoised.safetensors:rim out/work/projected_nonrim/denoised.safetensors:non-rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ld_twin
prlx classify --model out/work/classify_ld_twin --test out/work/second.safetensors -o out/work/second_ld_twin
prlx classify out/work/train.safetensors out/work/place/denoised.safetensors:rim out/work/place_nonrim/denoised.safetensors:non-rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_place_twin
prlx classify --model out/work/classify_place_twin --test out/work/second.safetensors -o out/work/second_place_twin
prlx classify out/work/train.safetensors out/work/gan.safetensors:rim out/work/projected_nonrim/denoised.safetensors:non-rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_gan_twin
prlx classify --model out/work/classify_gan_twin --test out/work/second.safetensors -o out/work/second_gan_twin
prlx classify out/work/train.safetensors out/work/cgan_synthetic/dataset.safetensors:rim out/work/cgan_nonrim/dataset.safetensors:non-rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_cgan_twin
prlx classify --model out/work/classify_cgan_twin --test out/work/second.safetensors -o out/work/second_cgan_twin
prlx classify out/work/train_rim.safetensors out/work/nonrim_least.safetensors out/work/affine.safetensors out/work/affine_nonrim.safetensors --real 2 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_affine_twin
prlx classify --model out/work/classify_affine_twin --test out/work/second.safetensors -o out/work/second_affine_twin
prlx classify out/work/train.safetensors out/work/ambiguous.safetensors:non-rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ambiguous_nonrim
prlx classify --model out/work/classify_ambiguous_nonrim --test out/work/second.safetensors -o out/work/second_ambiguous_nonrim
prlx classify out/work/train.safetensors out/work/gan.safetensors:rim out/work/ld/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_gan_ld_all
prlx classify --model out/work/classify_gan_ld_all --test out/work/second.safetensors -o out/work/second_gan_ld_all
prlx classify out/work/train.safetensors out/work/smote.safetensors --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_smote
prlx classify --model out/work/classify_smote --test out/work/second.safetensors -o out/work/second_smote
prlx classify out/work/train.safetensors out/work/clear.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 5 --compare out/work/classify_none -o out/work/classify_clear
prlx classify --model out/work/classify_clear --test out/work/second.safetensors -o out/work/second_clear
prlx classify out/work/train.safetensors out/work/rims.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 5 --compare out/work/classify_none -o out/work/classify_rims
prlx classify --model out/work/classify_rims --test out/work/second.safetensors -o out/work/second_rims
prlx classify out/work/train.safetensors out/work/projected_rims/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_rims_projected
prlx classify --model out/work/classify_rims_projected --test out/work/second.safetensors -o out/work/second_rims_projected
prlx classify out/work/train.safetensors out/work/place_rims/denoised.safetensors:rim --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_rims_place
prlx classify --model out/work/classify_rims_place --test out/work/second.safetensors -o out/work/second_rims_place
prlx classify out/work/train.safetensors out/work/ambiguous_truth.safetensors --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ambiguous_truth
prlx classify --model out/work/classify_ambiguous_truth --test out/work/second.safetensors -o out/work/second_ambiguous_truth
prlx classify out/work/train.safetensors out/work/focus_truth.safetensors --real 1 --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_ld_truth
prlx classify --model out/work/classify_ld_truth --test out/work/second.safetensors -o out/work/second_ld_truth
prlx classify out/work/train.safetensors out/work/gan_50.safetensors:rim --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_gan_50
prlx classify --model out/work/classify_gan_50 --test out/work/second.safetensors -o out/work/second_gan_50
prlx classify out/work/train.safetensors out/work/gan_200.safetensors:rim --test out/work/test.safetensors --epochs 25 --decay cosine --real-norm --validate 10 --seed 0 --runs 3 --compare out/work/classify_none -o out/work/classify_gan_200
prlx classify --model out/work/classify_gan_200 --test out/work/second.safetensors -o out/work/second_gan_200

# table1
prlx generate --network out/work/gan --seeds 10000-10054 --no-nifti --no-sheet -o out/work/reader_synthetic
prlx reader make out/work/test_rim.safetensors out/work/reader_synthetic/dataset.safetensors --n 55 --seed 0 -o out/reader/study.html --key out/work/study.key.tsv
prlx generate --network out/work/gan --seeds 20000-20199 --no-nifti --no-sheet -o out/work/reader_learn
prlx classify out/work/train_rim.safetensors:rim out/work/reader_learn/dataset.safetensors:non-rim --epochs 25 --decay cosine --seed 0 --runs 3 -o out/work/reader_source
prlx classify --model out/work/classify_none --predict out/work/test_rim.safetensors -o out/work/reader_rim_real
prlx classify --model out/work/classify_none --predict out/work/reader_synthetic/dataset.safetensors -o out/work/reader_rim_synthetic
prlx classify --model out/work/reader_source --predict out/work/test_rim.safetensors -o out/work/reader_source_real
prlx classify --model out/work/reader_source --predict out/work/reader_synthetic/dataset.safetensors -o out/work/reader_source_synthetic
prlx paper answers out/work/study.key.tsv rim=out/work/reader_rim_real rim=out/work/reader_rim_synthetic source=out/work/reader_source_real source=out/work/reader_source_synthetic -o out/work/simulated_reader.csv
prlx reader score out/work/study.key.tsv out/work/simulated_reader.csv -o out/work/reader_score.tsv

# table2
prlx fid out/work/test_rim.safetensors out/work/train_rim.safetensors out/work/train_nonrim.safetensors out/work/train_rim.safetensors+out/work/ambiguous.safetensors out/work/ambiguous.safetensors out/work/train_rim.safetensors+out/work/affine.safetensors out/work/affine.safetensors out/work/train_rim.safetensors+out/work/deepsmote.safetensors out/work/deepsmote.safetensors out/work/train_rim.safetensors+out/work/gan.safetensors out/work/gan.safetensors out/work/train_rim.safetensors+out/work/gan_half.safetensors+out/work/ld_half.safetensors out/work/gan_half.safetensors+out/work/ld_half.safetensors out/work/train_rim.safetensors+out/work/cgan_synthetic/dataset.safetensors out/work/cgan_synthetic/dataset.safetensors out/work/train_rim.safetensors+out/work/ld/denoised.safetensors out/work/ld/denoised.safetensors out/work/train_rim.safetensors+out/work/fast/denoised.safetensors out/work/fast/denoised.safetensors out/work/train_rim.safetensors+out/work/focus/denoised.safetensors out/work/focus/denoised.safetensors out/work/train_rim.safetensors+out/work/place/denoised.safetensors out/work/place/denoised.safetensors out/work/train_rim.safetensors+out/work/cld/denoised.safetensors out/work/cld/denoised.safetensors out/work/train_rim.safetensors+out/work/smote.safetensors out/work/smote.safetensors out/work/train_rim.safetensors+out/work/clear.safetensors out/work/clear.safetensors out/work/train_rim.safetensors+out/work/rims.safetensors out/work/rims.safetensors --bootstrap 200 --floor --json --cache out/work/features > out/work/fid.json

# figure8
prlx generate --network out/work/gan --seeds 0-99 --no-nifti -o out/work/gan_at_374
prlx generate --network out/work/cgan/network-000100.safetensors --class 1 --seeds 0-99 --no-nifti -o out/work/cgan_at_100
prlx generate --network out/work/cgan/network-000150.safetensors --class 1 --seeds 0-99 --no-nifti -o out/work/cgan_at_150
prlx generate --network out/work/cgan --class 1 --seeds 0-99 --no-nifti -o out/work/cgan_at_205
prlx fid out/work/train_rim.safetensors out/work/test_rim.safetensors out/work/gan_at_374/dataset.safetensors out/work/cgan_at_100/dataset.safetensors out/work/cgan_at_150/dataset.safetensors out/work/cgan_at_205/dataset.safetensors --bootstrap 200 --json --cache out/work/features > out/work/fid_kimg.json

# figures
prlx project out/work/ambiguous.safetensors --range 0 --network out/work/gan --steps 150 --frames 10 --no-nifti -o out/work/frames
prlx cam out/work/multi_test.safetensors --model out/work/classify_none --after out/work/classify_ld -o out/work/cam

# evidence
prlx evidence out/work/ld --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_ld
prlx evidence out/work/fast --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_fast
prlx evidence out/work/focus --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_focus
prlx evidence out/work/place --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_place
prlx evidence out/work/betas --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_betas
prlx evidence out/work/projected_nonrim --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_nonrim
prlx evidence out/work/place_nonrim --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_place_nonrim
prlx evidence out/work/cld --cohort out/work/cohort/lesions.tsv --train out/work/train.safetensors --model out/work/classify_none -o out/work/evidence_cld
prlx evidence out/work/projected_rims --cohort out/work/rims_cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_rims
prlx evidence out/work/place_rims --cohort out/work/rims_cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_place_rims
prlx project out/work/test_rim.safetensors --range 0-11 --network out/work/gan --steps 150 --no-nifti -o out/work/control_rim
prlx evidence out/work/control_rim --cohort out/work/cohort/lesions.tsv --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_control_rim
prlx project out/work/gan.safetensors --range 0-11 --network out/work/gan --steps 150 --no-nifti -o out/work/control_own
prlx evidence out/work/control_own --train out/work/train_rim.safetensors --model out/work/classify_none -o out/work/evidence_control_own
prlx evidence --synthetic out/work/gan.safetensors --train out/work/train_rim.safetensors -o out/work/evidence_memory

# multi
prlx train out/work/multi_gan_rim.safetensors --config small --mirror --aug blit --p 0.8 --noise-average size --ema-kimg 10 --gamma 0.15 --lr 0.0015 --lr-decay 100 --lr-end 0.05 --seed 0 --tick 1 --snap 10 --init data/network_small.safetensors,data/discriminator_small.safetensors --kimg 209 --no-layers --resume-if-any --reuse data/phantom_contrasts.safetensors -o out/work/multi_gan
prlx generate --network out/work/multi_gan --seeds 0-99 -o out/work/multi_synthetic
prlx segment --judge out/work/multi_synthetic/dataset.safetensors --reference out/work/multi_rim.safetensors -o out/work/segment_judge
prlx segment out/work/multi_rim.safetensors --test out/work/multi_test.safetensors --runs 2 --epochs 20 -o out/work/segment_real
prlx segment out/work/multi_rim.safetensors out/work/multi_synthetic/dataset.safetensors --test out/work/multi_test.safetensors --runs 2 --epochs 20 --compare out/work/segment_real -o out/work/segment_both
prlx project out/work/multi_ambiguous.safetensors --range 0-23 --network out/work/multi_gan --solver fast --steps 60 --starts 4 --pixel-steps 60 -o out/work/multi_ld
prlx segment out/work/multi_rim.safetensors out/work/multi_ld/denoised.safetensors --test out/work/multi_test.safetensors --runs 2 --epochs 20 --compare out/work/segment_real -o out/work/segment_denoised

# report
prlx paper audit > out/work/audit.txt
prlx paper report out --scale small
