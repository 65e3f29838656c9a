/* paper_scale.c: the settings of `prlx paper run`, one table per scale. Everything that is tuned is here and nowhere else. See paper_run.h. */
#include "paper/engine/paper_impl.h"

const PaperScale paper_scales[] = {
  {
    .name = "small", .about = "under an hour on two cores: phantom with the paper's lesion counts, small networks",
    .subjects = 256, .rim = 260, .ambiguous = 150, .nonrim = 540, .phantom = "--seed 1",
    .train_counts = "200,400", .test_counts = "60,120", .pack = "--slices central --seed 0",
    .add = 100, .sweep = {25, 50, 200, 400},
    .gan = "--config small --mirror --aug qsm --ada-kimg 20 --seed 0 --tick 1 --snap 4", .cgan = "--config small --mirror --aug qsm --ada-kimg 20 --cond --seed 0 --tick 1 --snap 4",
    .multi = "--config small --mirror --aug qsm --ada-kimg 20 --seed 0 --tick 1 --snap 4",
    .init = true, .multi_init = true, .gan_kimg = 16, .cgan_kimg = 16, .multi_kimg = 12, .keep_kimg = 4, .samples = 100,
    .project = "--steps 150", .smote = "--epochs 30", .affine = "",
    .classify = "--runs 3 --epochs 25 --seed 0", .fid = "--bootstrap 200", .readers = 55, .controls = 24, .multi_add = 100,
    .segment = "--runs 2 --epochs 20", .evidence = "",
    .s_phantom = 105, .s_kimg = 15, .s_kimg_multi = 17, .s_project = 3.1, .s_classify = 80, .s_smote = 60, .s_image = 0.1, .s_segment = 65, .s_evidence = 12,
  },
  {
    .name = "paper", .about = "the published setting, for a GPU: 25,000 kimg, 1000 steps",
    .subjects = 256, .rim = 260, .ambiguous = 177, .nonrim = 7543, .phantom = "--scale paper --seed 1",
    .train_counts = "200,400", .test_counts = "60,120", .pack = "--slices lesion --seed 0",
    .add = 100, .sweep = {25, 50, 200, 400},
    .gan = "--config paper --seed 0 --tick 4 --snap 250", .cgan = "--config paper --cond --seed 0 --tick 4 --snap 250", .multi = "--config paper --seed 0 --tick 4 --snap 250",
    .init = false, .multi_init = false, .gan_kimg = 25000, .cgan_kimg = 25000, .multi_kimg = 25000, .keep_kimg = 1000, .samples = 1000,
    .project = "--steps 1000", .smote = "--epochs 200 --width 64 --batch 100 --lr 0.0002", .affine = "",
    .classify = "--runs 5 --epochs 25 --seed 0", .fid = "--bootstrap 1000", .readers = 55, .controls = 24, .multi_add = 100,
    .segment = "", .evidence = "",
  },
  {
    .name = "tiny", .about = "self-test: every step, nothing learned; a minute",
    .subjects = 24, .rim = 13, .ambiguous = 5, .nonrim = 19, .phantom = "--seed 1 --fast-inversion",
    .train_counts = "7,10", .test_counts = "4,6", .pack = "--slices central --seed 0",
    .add = 4, .sweep = {2, 8},
    .gan = "--config small --channel-base 64 --channel-max 4 --batch 8 --seed 0 --tick 0.02 --snap 1",
    .cgan = "--config small --cond --channel-base 64 --channel-max 4 --batch 8 --seed 0 --tick 0.02 --snap 1",
    .multi = "--config small --channel-base 64 --channel-max 4 --batch 8 --seed 0 --tick 0.02 --snap 1",
    .init = false, .multi_init = false, .gan_kimg = 0.04, .cgan_kimg = 0.04, .multi_kimg = 0.04, .keep_kimg = 0.02, .samples = 3,
    .project = "--steps 3 --w-samples 100", .smote = "--epochs 1 --width 2 --latent 4 --batch 8", .affine = "",
    .classify = "--runs 2 --epochs 1 --batch 8 --seed 0 --resamples 50", .fid = "--bootstrap 20 --sizes 1", .readers = 3, .controls = 2, .multi_add = 3,
    .segment = "--runs 1 --epochs 1 --width 2 --levels 2 --resamples 50", .evidence = "--no-perceptual --resamples 50",
    .s_phantom = 4, .s_kimg = 1, .s_kimg_multi = 1, .s_project = 0.1, .s_classify = 0.5, .s_smote = 0.5, .s_image = 0.1, .s_segment = 2, .s_evidence = 2,
  },
};
const int paper_scale_count = COUNT_OF(paper_scales);
