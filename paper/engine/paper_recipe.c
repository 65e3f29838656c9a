/* paper_recipe.c: the steps of `prlx paper run`: what is run, on what, in which order; the list of
 * augmentations. See paper_run.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/images/cohort.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

/* ---- augmentations ---- */

#define REAL "{w}/train.safetensors"
#define GAN "{w}/gan.safetensors"
#define CGAN "{w}/cgan_synthetic/dataset.safetensors"
#define LD "{w}/ld/denoised.safetensors"
#define CLD "{w}/cld/denoised.safetensors"
const PaperAug paper_augs[] = {
    {"none", "None", REAL, .table = 3, .what = "the real training lesions alone"},
    {"ambiguous", "Ambiguous", REAL " {w}/ambiguous.safetensors:rim", .ambiguous = true, .table = 3,
     .fid = "{w}/ambiguous.safetensors",
     .what = "adds the ambiguous lesions as they are, called rim"},
    {"affine", "Affine", "{w}/train_nonrim.safetensors {w}/affine_all.safetensors",
     .replaces = true, .table = 3, .fid = "{w}/affine_all.safetensors",
     .what = "replaces the rims by as many affine copies of them (the paper's reading: replaces)"},
    {"affine_add", "Affine, added", REAL " {w}/affine.safetensors", .table = 3,
     .fid = "{w}/affine.safetensors", .what = "adds affine copies of rims"},
    {"smote", "SMOTE", REAL " {w}/smote.safetensors", .table = 3, .fid = "{w}/smote.safetensors",
     .what = "adds means of two neighbouring rims, pixel by pixel"},
    {"deepsmote", "DeepSMOTE", REAL " {w}/deepsmote.safetensors", .table = 3,
     .fid = "{w}/deepsmote.safetensors",
     .what = "adds lesions between two rims in the codes of an autoencoder"},
    {"gan", "ADA-GAN", REAL " " GAN ":rim", .table = 4, .fid = GAN,
     .what = "adds synthetic rims of the network trained on rims"},
    {"cgan", "ADA-cGAN", REAL " " CGAN ":rim", .conditional = true, .table = 4, .fid = CGAN,
     .what = "adds synthetic rims of the conditional network"},
    {"ld", "ADA-GAN-LD", REAL " " LD ":rim", .ambiguous = true, .table = 4, .fid = LD,
     .what = "adds the ambiguous lesions, denoised by projection, as rims"},
    {"gan_ld", "ADA-GAN+LD", REAL " " GAN ":rim " LD ":rim", .ambiguous = true, .table = 4,
     .fid = GAN "+" LD, .what = "adds both: synthetic rims and denoised lesions, all of each"},
    {"gan_ld_half", "ADA-GAN+LD, half of each",
     REAL " {w}/gan_half.safetensors:rim {w}/ld_half.safetensors:rim", .ambiguous = true,
     .table = 4,
     .what = "adds half as many of each, so that as much is added as in the other rows"},
    {"cld", "ADA-cGAN-LD", REAL " " CLD ":rim", .ambiguous = true, .conditional = true, .table = 4,
     .fid = CLD,
     .what = "adds the ambiguous lesions projected into the conditional network (future work in "
             "the paper)"},
};
const int paper_aug_count = COUNT_OF(paper_augs);

/* ---- writing steps ---- */

static Status grow(PaperRun *r, Error *e) {
  if (r->n < r->cap) return ST_OK;
  const int cap = r->cap ? 2 * r->cap : 64;
  Step *s = mem_grow(r->step, (size_t)r->cap * sizeof *s, (size_t)cap * sizeof *s);
  if (!s) return err_set(e, ST_NOMEM, "out of memory for the recipe");
  r->step = s;
  r->cap = cap;
  return ST_OK;
}

Step *paper_add(PaperBuild *b, const char *id, double seconds, const char *outputs, const char *fmt,
                ...) {
  char cmd[8192];
  va_list ap;
  if (b->s != ST_OK || (b->s = grow(b->r, b->e)) != ST_OK) return NULL;
  va_start(ap, fmt);
  const int len = vsnprintf(cmd, sizeof cmd, fmt, ap);
  va_end(ap);
  Step *s = &b->r->step[b->r->n++];
  snprintf(s->id, sizeof s->id, "%s", id);
  snprintf(s->section, sizeof s->section, "%s", b->section);
  s->seconds = seconds;
  s->cmd = mem_strdup(cmd);
  s->outputs = mem_strdup(outputs ? outputs : "");
  if (len >= (int)sizeof cmd)
    b->s = err_set(b->e, ST_INTERNAL, "step %s: the command is longer than %zu characters", id,
                   sizeof cmd);
  else if (!s->cmd || !s->outputs)
    b->s = err_set(b->e, ST_NOMEM, "out of memory for the recipe");
  return b->s == ST_OK ? s : NULL;
}

void paper_save_to(PaperBuild *b, Step *s, const char *file) {
  if (s && !(s->save = mem_strdup(file)))
    b->s = err_set(b->e, ST_NOMEM, "out of memory for the recipe");
}

const char *paper_fmt(char buf[400], const char *f, ...) {
  va_list ap;
  va_start(ap, f);
  vsnprintf(buf, 400, f, ap);
  va_end(ap);
  return buf;
}

/* ---- the parts ---- */

static int most_synthetic(const PaperRun *r) {
  int n = r->add;
  for (int i = 0; i < PAPER_SWEEP; i++) n = PRLX_MAX(n, r->scale->sweep[i]);
  return n;
}

static void data(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  const char *table = r->cohort ? "{c}" : "{w}/cohort/lesions.tsv";
  char counts[200];
  b->section = "data";
  if (r->scaled)
    snprintf(counts, sizeof counts, "--counts auto");
  else
    snprintf(counts, sizeof counts, "--train %s --test-counts %s", s->train_counts, s->test_counts);
  if (!r->cohort)
    paper_add(b, "phantom", s->s_phantom, "{w}/cohort",
              "phantom --subjects %d --rim %d --ambiguous %d --nonrim %d %s -o {w}/cohort",
              s->subjects, s->rim, s->ambiguous, s->nonrim, s->phantom);
  paper_add(
      b, "pack", 4,
      r->ambiguous ? "{w}/train.safetensors {w}/test.safetensors {w}/ambiguous_all.safetensors"
                   : "{w}/train.safetensors {w}/test.safetensors",
      "pack %s -o {w}/train.safetensors --test {w}/test.safetensors %s %s %s --no-sheet", table,
      r->ambiguous ? "--ambiguous {w}/ambiguous_all.safetensors" : "", counts, s->pack);
  paper_add(b, "train.rim", 1, "{w}/train_rim.safetensors",
            "paper take {w}/train.safetensors --class 1 -o {w}/train_rim.safetensors");
  paper_add(b, "train.nonrim", 1, "{w}/train_nonrim.safetensors",
            "paper take {w}/train.safetensors --class 0 -o {w}/train_nonrim.safetensors");
  paper_add(b, "test.rim", 1, "{w}/test_rim.safetensors",
            "paper take {w}/test.safetensors --class 1 -o {w}/test_rim.safetensors");
  if (r->ambiguous)
    paper_add(b, "ambiguous", 1, "{w}/ambiguous.safetensors",
              "paper take {w}/ambiguous_all.safetensors --lesions %d -o {w}/ambiguous.safetensors",
              r->add);
  paper_add(b, "leak", 1, NULL, "pack --check {w}/train.safetensors {w}/test.safetensors%s",
            r->ambiguous ? " {w}/ambiguous.safetensors" : "");
  if (!r->contrasts) return;
  paper_add(
      b, "pack.multi", 6,
      r->ambiguous
          ? "{w}/multi_train.safetensors {w}/multi_test.safetensors {w}/multi_ambiguous.safetensors"
          : "{w}/multi_train.safetensors {w}/multi_test.safetensors",
      "pack %s -o {w}/multi_train.safetensors --test {w}/multi_test.safetensors %s --channels "
      "chi,rim,flair %s %s --no-sheet",
      table, r->ambiguous ? "--ambiguous {w}/multi_ambiguous.safetensors" : "", counts, s->pack);
  paper_add(b, "multi.rim", 1, "{w}/multi_rim.safetensors",
            "paper take {w}/multi_train.safetensors --class 1 -o {w}/multi_rim.safetensors");
  paper_add(b, "leak.multi", 1, NULL,
            "pack --check {w}/multi_train.safetensors {w}/test.safetensors");
}

static void networks(PaperBuild *b) {
  const PaperScale *s = b->r->scale;
  const char *init = s->init ? " --init {init}" : "";
  b->section = "networks";
  Step *x = paper_add(
      b, "gan", s->gan_kimg * s->s_kimg, "{w}/gan",
      "train {w}/train_rim.safetensors %s%s --kimg %g --keep --no-layers --resume -o {w}/gan",
      s->gan, init, s->gan_kimg);
  if (x) x->resumes = true;
  x = paper_add(
      b, "cgan", s->cgan_kimg * s->s_kimg, "{w}/cgan",
      "train {w}/train.safetensors %s%s --kimg %g --keep --no-layers --resume -o {w}/cgan", s->cgan,
      init, s->cgan_kimg);
  if (x) x->resumes = true;
}

static void lesions(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  char id[400], out[400];
  b->section = "lesions";
  paper_add(b, "synthetic", 2, "{w}/gan_synthetic",
            "generate --network {w}/gan --seeds 0-%d --no-nifti -o {w}/gan_synthetic",
            most_synthetic(r) - 1);
  paper_add(b, "synthetic.add", 1, "{w}/gan.safetensors",
            "paper take {w}/gan_synthetic/dataset.safetensors --lesions %d -o {w}/gan.safetensors",
            r->add);
  if (r->ambiguous)
    paper_add(
        b, "synthetic.half", 1, "{w}/gan_half.safetensors",
        "paper take {w}/gan_synthetic/dataset.safetensors --lesions %d -o {w}/gan_half.safetensors",
        PRLX_MAX(r->add / 2, 1));
  for (int i = 0; i < PAPER_SWEEP && s->sweep[i]; i++)
    paper_add(
        b, paper_fmt(id, "synthetic.%d", s->sweep[i]), 1,
        paper_fmt(out, "{w}/gan_%d.safetensors", s->sweep[i]),
        "paper take {w}/gan_synthetic/dataset.safetensors --lesions %d -o {w}/gan_%d.safetensors",
        s->sweep[i], s->sweep[i]);
  paper_add(b, "synthetic.cgan", 2, "{w}/cgan_synthetic",
            "generate --network {w}/cgan --class 1 --seeds 0-%d --no-nifti -o {w}/cgan_synthetic",
            r->add - 1);
  if (r->ambiguous) {
    const double t = s->s_project * PRLX_MIN(r->add, r->ambiguous);
    paper_add(b, "ld", t, "{w}/ld",
              "project {w}/ambiguous.safetensors --network {w}/gan %s --no-nifti -o {w}/ld",
              s->project);
    paper_add(b, "ld.half", 1, "{w}/ld_half.safetensors",
              "paper take {w}/ld/denoised.safetensors --lesions %d -o {w}/ld_half.safetensors",
              PRLX_MAX(r->add / 2, 1));
    paper_add(
        b, "cld", t, "{w}/cld",
        "project {w}/ambiguous.safetensors --network {w}/cgan --class 1 %s --no-nifti -o {w}/cld",
        s->project);
  }
  paper_add(b, "affine.add", 1, "{w}/affine.safetensors",
            "affine {w}/train.safetensors %s --lesions %d -o {w}/affine.safetensors", s->affine,
            r->add);
  paper_add(b, "affine.all", 1, "{w}/affine_all.safetensors",
            "affine {w}/train.safetensors %s --lesions %d --seed 1 -o {w}/affine_all.safetensors",
            s->affine, r->train_rim);
  paper_add(b, "smote", 1, "{w}/smote.safetensors",
            "smote {w}/train.safetensors --method pixel --lesions %d -o {w}/smote.safetensors",
            r->add);
  paper_add(
      b, "deepsmote", s->s_smote, "{w}/deepsmote.safetensors",
      "smote {w}/train.safetensors --method deep %s --lesions %d -o {w}/deepsmote.safetensors",
      s->smote, r->add);
  /* The blends of SMOTE name no subject; they are made of the training file alone, as its command
   * shows. */
  static const char *const made[] = {"affine.safetensors", "affine_all.safetensors",
                                     "ld/denoised.safetensors", "cld/denoised.safetensors"};
  for (int i = 0; i < (r->ambiguous ? 4 : 2); i++)
    paper_add(b, paper_fmt(id, "leak.%.*s", (int)strcspn(made[i], "./"), made[i]), 1, NULL,
              "pack --check {w}/%s {w}/test.safetensors", made[i]);
}

bool aug_possible(const PaperRun *r, const PaperAug *a) { return r->ambiguous || !a->ambiguous; }

static void classifiers(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  char id[400], out[400];
  b->section = "classifier";
  for (int i = 0; i < paper_aug_count; i++) {
    const PaperAug *a = &paper_augs[i];
    if (!aug_possible(r, a)) continue;
    paper_add(b, paper_fmt(id, "classify.%s", a->id), s->s_classify,
              paper_fmt(out, "{w}/classify_%s", a->id),
              "classify %s --test {w}/test.safetensors %s%s -o {w}/classify_%s", a->data,
              s->classify, i ? " --compare {w}/classify_none" : "", a->id);
  }
  for (int i = 0; i < PAPER_SWEEP && s->sweep[i]; i++)
    paper_add(b, paper_fmt(id, "classify.gan_%d", s->sweep[i]), s->s_classify,
              paper_fmt(out, "{w}/classify_gan_%d", s->sweep[i]),
              "classify {w}/train.safetensors {w}/gan_%d.safetensors:rim --test "
              "{w}/test.safetensors %s --compare {w}/classify_none -o {w}/classify_gan_%d",
              s->sweep[i], s->classify, s->sweep[i]);
}

void paper_recipe_free(PaperRun *r) {
  for (int k = 0; k < r->n; k++) {
    mem_free(r->step[k].cmd);
    mem_free(r->step[k].outputs);
    mem_free(r->step[k].save);
  }
  mem_free(r->step);
  r->step = NULL;
  r->n = r->cap = 0;
}

Status paper_recipe(PaperRun *r, Error *e) {
  PaperBuild b = {r, "", ST_OK, e};
  data(&b);
  networks(&b);
  lesions(&b);
  classifiers(&b);
  paper_judge_steps(&b);
  return b.s;
}
