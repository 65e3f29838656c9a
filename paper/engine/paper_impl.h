/* paper_run.h: the engine of `prlx paper run`: a recipe of steps, each one `prlx ...` command, run
 * in order, resumable; the settings of a scale; and the pages made at the end. Inside
 * tools/paper*.c only.
 *
 *   PaperScale (settings) + cohort -> paper_recipe() -> Step[] -> recipe_run(): child processes,
 *   stamps in OUT/done, logs in OUT/log
 *                                                            -> last step `prlx paper report OUT`:
 *                                                            tables, figures, report.html */
#ifndef PRLX_PAPER_RUN_H
#define PRLX_PAPER_RUN_H
#include "core/base.h"
#include "tools/cli/opts.h"

enum { PAPER_SWEEP = 6, STEP_ARGS = 96 };

/* Settings of one scale. Texts are options as one would type them; every number of the experiment
 * that differs between scales is here. */
typedef struct PaperScale {
  const char *name;
  const char *about;
  /* prlx phantom: these, */
  int subjects;
  int rim;
  int ambiguous;
  int nonrim;
  const char *phantom; /* and further options */
  /* prlx pack --train R,N --test-counts R,N; used when the cohort has so many */
  const char *train_counts;
  const char *test_counts;
  const char *pack;       /* further options of prlx pack */
  int add;                /* lesions that an augmentation adds (paper: 100) */
  int sweep[PAPER_SWEEP]; /* other amounts of ADA-GAN lesions, 0: end */
  /* prlx train ... */
  const char *gan;
  const char *cgan;
  const char *multi;
  /* start from data/network_small.safetensors (--init) */
  bool init;
  bool multi_init;
  double gan_kimg, cgan_kimg, multi_kimg,
      keep_kimg /* a network for Figure 8 every so many; ticks times snap of `gan` */;
  int samples;         /* lesions of each network in Figure 8 */
  const char *project; /* prlx project ... */
  /* prlx smote --method deep ..., prlx affine ... */
  const char *smote;
  const char *affine;
  const char *classify; /* prlx classify ...: the same for every row */
  const char *fid;      /* prlx fid ... */
  int readers;          /* slices of each set in the reader study */
  /* undisputed rims, and images of the network itself, that are projected for comparison */
  int controls;
  int multi_add; /* synthetic multi-contrast lesions */
  const char *segment;
  const char *evidence;
  /* For the estimate: seconds on two cores, 0: unknown */
  double s_phantom, s_kimg, s_kimg_multi, s_project /* a lesion */, s_classify /* a row */, s_smote,
      s_image /* Inception */, s_segment, s_evidence;
} PaperScale;
extern const PaperScale paper_scales[];
extern const int paper_scale_count;
/* index into the list of --scale: small|paper|tiny */
const PaperScale *paper_scale(int choice);

/* The augmentations of Tables 2 to 4 as one list. */
typedef struct PaperAug {
  const char *id;
  const char *name;
  const char *data; /* training files beside the real ones, as in a command */
  bool replaces;    /* its rims stand in place of the real ones; else added */
  /* needs ambiguous lesions, the conditional network */
  bool ambiguous;
  bool conditional;
  int table; /* 3 or 4: as in our report */
  /* what Table 2 looks at (files joined by '+'); NULL: no row */
  const char *fid;
  const char *what; /* in words */
} PaperAug;
extern const PaperAug paper_augs[];
extern const int paper_aug_count;

typedef enum { STEP_TODO, STEP_DONE, STEP_RAN, STEP_FAILED, STEP_BLOCKED, STEP_LEFT } StepState;
typedef struct Step {
  char id[48];
  char section[16];
  /* arguments after `prlx`, separated by spaces; {o} is the output folder, {w} its work folder, {c}
   * the cohort */
  char *cmd;
  /* files or folders under {o}, separated by spaces; removed before a new start */
  char *outputs;
  char *save; /* standard output goes to this file; NULL: to the log */
  /* goes on where it was stopped: its outputs stay when it was begun with the same command */
  bool resumes;
  bool last;      /* looks at everything: depends on all steps before it */
  double seconds; /* estimate; 0: unknown */
  char stamp[65];
  StepState state;
  double took;
  bool again;
} Step;

typedef struct PaperRun {
  const PaperScale *scale;
  const char *out;
  const char *cohort;
  const char *published;
  const char *only;
  const char *redo;
  int threads;
  bool keep_going;
  bool dry_run;
  bool list;
  /* lesions of the cohort */
  int rim;
  int nonrim;
  int ambiguous;
  bool contrasts; /* with FLAIR and rim masks */
  bool scaled;    /* fewer lesions than asked for */
  /* rim lesions for training, for the test (about, when scaled); lesions added by an augmentation
   */
  int train_rim;
  int test_rim;
  int add;
  Step *step;
  int n;
  int cap;
} PaperRun;

/* Adds steps to a recipe; errors are sticky in s. outputs: under {w} or {o}, separated by spaces.
 * The result is valid until the next one; NULL after an error. */
typedef struct PaperBuild {
  PaperRun *r;
  const char *section;
  Status s;
  Error *e;
} PaperBuild;

/* One step: its id, seconds for the estimate, outputs, and the command as printf makes it. */
Step *paper_add(PaperBuild *b, const char *id, double seconds, const char *outputs, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

/* standard output of the step goes to this file */
void paper_save_to(PaperBuild *b, Step *s, const char *file);
const char *paper_fmt(char buf[400], const char *f, ...) __attribute__((format(printf, 2, 3)));
bool aug_possible(const PaperRun *r, const PaperAug *a);

/* tables 1 and 2, figures, multi-contrast, report: paper_steps.c */
void paper_judge_steps(PaperBuild *b);

/* Fills r->step from r->scale and the counts of the cohort. ST_INVALID: a class has no lesions. */
Status paper_recipe(PaperRun *r, Error *e);
void paper_recipe_free(PaperRun *r);

/* Counts of a lesions.tsv, or of what `phantom` will make. */
Status paper_count(PaperRun *r, Error *e);

/* Argument words of a step with its folders filled in; words from *argv[0] = "prlx" on; each
 * mem_free'd by words_free. symbolic: {o} stays. */
Status step_words(const PaperRun *r, const char *text, bool symbolic, char **word, int *n,
                  Error *e);
void words_free(char **word, int n);

/* The command as one types it, with > FILE; mem_free. */
char *step_text(const PaperRun *r, const Step *s);

/* Stamps of all steps from commands, inputs and what earlier runs left; state DONE or TODO. */
Status recipe_plan(PaperRun *r, Error *e);
Status recipe_forget(PaperRun *r, Error *e); /* r->redo */

/* Runs what is to do; exit code. */
int recipe_run(PaperRun *r);
bool step_wanted(const PaperRun *r, const Step *s);
Status paper_write_commands(const PaperRun *r, Error *e); /* OUT/commands.sh */

/* "{w}/x" -> path; static buffers (four in turn). */
const char *paper_path(const PaperRun *r, const char *text);

int paper_run(int argc, char **argv);     /* argv[0] = "run" */
int paper_take(int argc, char **argv);    /* part of a data set */
int paper_answers(int argc, char **argv); /* a simulated reader's CSV */
int paper_report(int argc, char **argv);  /* tables, figures, report.html from a finished run */
#endif
