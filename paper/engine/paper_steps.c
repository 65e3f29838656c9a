/* paper_steps.c: the steps of `prlx paper run` that judge: reader study, feature distances, class
 * activation maps, evidence, multi-contrast, report. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

/* Answers of people: CSV files that someone put into OUT/reader. */
static void human_answers(const PaperRun *r, char *out, size_t n) {
  char pattern[4400];
  glob_t g = {0};
  *out = 0;
  snprintf(pattern, sizeof pattern, "%s/reader/*.csv", r->out);
  if (glob(pattern, 0, NULL, &g) == 0)
    for (size_t i = 0; i < g.gl_pathc; i++) {
      const char *leaf = strrchr(g.gl_pathv[i], '/') + 1;
      const size_t at = strlen(out);
      if (!strchr(leaf, ' ') && at + strlen(leaf) + 16 < n)
        snprintf(out + at, n - at, " {o}/reader/%s", leaf);
    }
  globfree(&g);
}

/* Table 1. The simulated reader: the classifier without augmentation says rim or not, one trained
 * on real against synthetic rims says real or not. */
static void table_one(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  const int n = PRLX_MIN(s->readers, r->test_rim);
  char humans[4096];
  b->section = "table1";
  paper_add(
      b, "reader.synthetic", 1, "{w}/reader_synthetic",
      "generate --network {w}/gan --seeds 10000-%d --no-nifti --no-sheet -o {w}/reader_synthetic",
      10000 + n - 1);
  paper_add(b, "reader.page", 1, "{o}/reader/study.html {w}/study.key.tsv",
            "reader make {w}/test_rim.safetensors {w}/reader_synthetic/dataset.safetensors --n %d "
            "--seed 0 -o {o}/reader/study.html --key {w}/study.key.tsv",
            n);
  paper_add(b, "reader.learn", 1, "{w}/reader_learn",
            "generate --network {w}/gan --seeds 20000-%d --no-nifti --no-sheet -o {w}/reader_learn",
            20000 + r->train_rim - 1);
  paper_add(b, "reader.source", 0.7 * s->s_classify, "{w}/reader_source",
            "classify {w}/train_rim.safetensors:rim {w}/reader_learn/dataset.safetensors:non-rim "
            "%s -o {w}/reader_source",
            s->classify);
  static const char *const what[2] = {"rim", "source"}, *const model[2] = {"classify_none",
                                                                           "reader_source"};
  static const char *const set[2] = {"real", "synthetic"},
                           *const file[2] = {"test_rim.safetensors",
                                             "reader_synthetic/dataset.safetensors"};
  for (int i = 0; i < 4; i++) {
    char id[400], out[400];
    paper_add(b, paper_fmt(id, "reader.%s.%s", what[i / 2], set[i % 2]), 1,
              paper_fmt(out, "{w}/reader_%s_%s", what[i / 2], set[i % 2]),
              "classify --model {w}/%s --predict {w}/%s -o {w}/reader_%s_%s", model[i / 2],
              file[i % 2], what[i / 2], set[i % 2]);
  }
  paper_add(b, "reader.answers", 1, "{w}/simulated_reader.csv",
            "paper answers {w}/study.key.tsv rim={w}/reader_rim_real rim={w}/reader_rim_synthetic "
            "source={w}/reader_source_real source={w}/reader_source_synthetic -o "
            "{w}/simulated_reader.csv");
  human_answers(r, humans, sizeof humans);
  paper_add(b, "reader.score", 1, "{w}/reader_score.tsv",
            "reader score {w}/study.key.tsv {w}/simulated_reader.csv%s -o {w}/reader_score.tsv",
            humans);
}

/* Table 2: training rims with what each augmentation adds, and that alone, against the test rims.
 * Figure 8: the networks of the training. */
static void table_two(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  char sets[4096] = "", id[400], out[400];
  size_t at = 0;
  int images = r->test_rim + r->train_rim, k = 0;
  b->section = "table2";
  for (int i = 0; i < paper_aug_count; i++) {
    const PaperAug *a = &paper_augs[i];
    if (!a->fid || !aug_possible(r, a)) continue;
    if (!a->replaces)
      at += (size_t)snprintf(sets + at, sizeof sets - at, " {w}/train_rim.safetensors+%s", a->fid);
    at += (size_t)snprintf(sets + at, sizeof sets - at, " %s", a->fid);
    if (!strchr(a->fid, '+')) images += a->replaces ? r->train_rim : r->add;
  }
  paper_save_to(b,
                paper_add(b, "fid", s->s_image * images, NULL,
                          "fid {w}/test_rim.safetensors {w}/train_rim.safetensors%s %s --floor "
                          "--json --cache {w}/features",
                          sets, s->fid),
                "{w}/fid.json");
  b->section = "figure8";
  static const char *const net[2] = {"gan", "cgan"};
  const double kimg[2] = {s->gan_kimg, s->cgan_kimg};
  char list[4096] = "";
  at = 0;
  for (int g = 0; g < 2; g++)
    for (double q = s->keep_kimg; q <= kimg[g] + 1e-9; q += s->keep_kimg, k++) {
      char file[64] = "";
      if (q < kimg[g] - 1e-9) snprintf(file, sizeof file, "/network-%06g.safetensors", q);
      paper_add(b, paper_fmt(id, "%s.at.%g", net[g], q), 2,
                paper_fmt(out, "{w}/%s_at_%g", net[g], q),
                "generate --network {w}/%s%s%s --seeds 0-%d --no-nifti -o {w}/%s_at_%g", net[g],
                file, g ? " --class 1" : "", s->samples - 1, net[g], q);
      if (at < sizeof list - 80)
        at += (size_t)snprintf(list + at, sizeof list - at, " {w}/%s_at_%g/dataset.safetensors",
                               net[g], q);
    }
  paper_save_to(b,
                paper_add(b, "fid.kimg", s->s_image * s->samples * k, NULL,
                          "fid {w}/train_rim.safetensors%s %s --json --cache {w}/features", list,
                          s->fid),
                "{w}/fid_kimg.json");
}

static void pictures(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  b->section = "figures";
  if (r->ambiguous)
    paper_add(b, "frames", s->s_project * 1.5, "{w}/frames",
              "project {w}/ambiguous.safetensors --range 0 --network {w}/gan %s --frames %d "
              "--no-nifti -o {w}/frames",
              s->project, 10);
  if (r->contrasts)
    paper_add(b, "cam", 3, "{w}/cam",
              "cam {w}/multi_test.safetensors --model {w}/classify_none --after {w}/classify_%s -o "
              "{w}/cam",
              r->ambiguous ? "gan_ld" : "gan");
  else
    paper_add(
        b, "cam", 3, "{w}/cam",
        "cam {w}/test.safetensors --model {w}/classify_none --after {w}/classify_%s -o {w}/cam",
        r->ambiguous ? "gan_ld" : "gan");
}

static void multi(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  if (!r->contrasts) return;
  b->section = "multi";
  Step *x = paper_add(
      b, "multi.gan", s->multi_kimg * s->s_kimg_multi, "{w}/multi_gan",
      "train {w}/multi_rim.safetensors %s%s --kimg %g --no-layers --resume -o {w}/multi_gan",
      s->multi, s->multi_init ? " --init {init}" : "", s->multi_kimg);
  if (x) x->resumes = true;
  paper_add(b, "multi.synthetic", 2, "{w}/multi_synthetic",
            "generate --network {w}/multi_gan --seeds 0-%d -o {w}/multi_synthetic",
            s->multi_add - 1);
  paper_add(b, "segment.judge", 2, "{w}/segment_judge",
            "segment --judge {w}/multi_synthetic/dataset.safetensors --reference "
            "{w}/multi_rim.safetensors -o {w}/segment_judge");
  paper_add(
      b, "segment.real", s->s_segment, "{w}/segment_real",
      "segment {w}/multi_rim.safetensors --test {w}/multi_test.safetensors %s -o {w}/segment_real",
      s->segment);
  paper_add(b, "segment.both", 1.5 * s->s_segment, "{w}/segment_both",
            "segment {w}/multi_rim.safetensors {w}/multi_synthetic/dataset.safetensors --test "
            "{w}/multi_test.safetensors %s --compare {w}/segment_real -o {w}/segment_both",
            s->segment);
  paper_add(b, "multi.ld", 4 * s->s_project, "{w}/multi_ld",
            "project {w}/%s.safetensors --range 0-3 --network {w}/multi_gan %s -o {w}/multi_ld",
            r->ambiguous ? "multi_ambiguous" : "multi_rim", s->project);
}

static void evidence(PaperBuild *b) {
  const PaperRun *r = b->r;
  const PaperScale *s = r->scale;
  const char *table = r->cohort ? "{c}" : "{w}/cohort/lesions.tsv";
  b->section = "evidence";
  static const char *const net[2] = {"ld", "cld"}, *const train[2] = {"train_rim", "train"};
  char id[400], out[400];
  for (int i = 0; i < 2 && r->ambiguous; i++)
    paper_add(b, paper_fmt(id, "evidence.%s", net[i]), s->s_evidence,
              paper_fmt(out, "{w}/evidence_%s", net[i]),
              "evidence {w}/%s --cohort %s --train {w}/%s.safetensors --model {w}/classify_none %s "
              "-o {w}/evidence_%s",
              net[i], table, train[i], s->evidence, net[i]);
  /* Controls: is it the lesions, the network or the search? Undisputed rims it has not seen, and
   * images it made itself. */
  const int n = PRLX_MIN(PRLX_MIN(s->controls, r->test_rim), r->add);
  if (r->ambiguous && n > 0) {
    paper_add(b, "control.rim", s->s_project * n, "{w}/control_rim",
              "project {w}/test_rim.safetensors --range 0-%d --network {w}/gan %s --no-nifti -o "
              "{w}/control_rim",
              n - 1, s->project);
    paper_add(b, "evidence.control_rim", s->s_evidence, "{w}/evidence_control_rim",
              "evidence {w}/control_rim --cohort %s --train {w}/train_rim.safetensors --model "
              "{w}/classify_none %s -o {w}/evidence_control_rim",
              table, s->evidence);
    paper_add(b, "control.own", s->s_project * n, "{w}/control_own",
              "project {w}/gan.safetensors --range 0-%d --network {w}/gan %s --no-nifti -o "
              "{w}/control_own",
              n - 1, s->project);
    paper_add(b, "evidence.control_own", s->s_evidence, "{w}/evidence_control_own",
              "evidence {w}/control_own --train {w}/train_rim.safetensors --model "
              "{w}/classify_none %s -o {w}/evidence_control_own",
              s->evidence);
  }
  paper_add(b, "evidence.memory", s->s_evidence, "{w}/evidence_memory",
            "evidence --synthetic {w}/gan.safetensors --train {w}/train_rim.safetensors %s -o "
            "{w}/evidence_memory",
            s->evidence);
}

void paper_judge_steps(PaperBuild *b) {
  table_one(b);
  table_two(b);
  pictures(b);
  evidence(b);
  multi(b);
  b->section = "report";
  paper_save_to(b, paper_add(b, "audit", 1, NULL, "paper audit"), "{w}/audit.txt");
  const PaperRun *r = b->r;
  Step *x = paper_add(b, "report", 5, "{o}/report.html", "paper report {o} --scale %s%s%s",
                      r->scale->name, r->cohort ? " --cohort {c}" : "",
                      r->published ? " --published {p}" : "");
  if (x) x->last = true;
}
