/* paper_impl.h: the engine of `prlx paper run`: a recipe of steps, each one `prlx ...` command, run
 * when what it reads is made, resumable; the settings of a scale; and the pages made at the end.
 * Inside paper/engine only.
 *
 *   paper/scales.tsv -> PaperScale, paper/recipe.txt + cohort -> paper_recipe() -> Step[] ->
 *   recipe_run(): child processes, stamps in OUT/done, logs in OUT/log -> last step `prlx paper
 *   report OUT`: tables, figures, report.html */
#ifndef PRLX_PAPER_IMPL_H
#define PRLX_PAPER_IMPL_H
#include "core/base.h"
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "tools/cli/opts.h"

enum { PAPER_SWEEP = 6, PAPER_AUGS = 40, STEP_ARGS = 96, SECTION_NAME = 16, PAPER_JOBS = 64 };

/* Settings of one scale: a column of paper/scales.tsv (or of the file of --scales). Members: what
 * the program itself reads; a recipe may use every row. */
typedef struct PaperScale {
  Tsv table;
  int column;
  int name_column;
  const char *name;
  const char *about;
  /* the phantom: simulated patients and lesions of each kind */
  int subjects;
  int rim;
  int ambiguous;
  int nonrim;
  /* rim, non-rim lesions for training and test, when the cohort has so many */
  int train[2];
  int test[2];
  int add;                /* lesions that an augmentation adds (paper: 100) */
  int sweep[PAPER_SWEEP]; /* other amounts of ADA-GAN lesions, 0: end */
} PaperScale;

/* The scale of this name from a table, file NULL: the one built in. ST_INVALID: there is no such
 * scale; ST_FORMAT: row and setting that cannot be read. Free with paper_scale_free. */
Status paper_scale_load(PaperScale *s, const char *file, const char *name, Error *e);
void paper_scale_free(PaperScale *s);

/* A setting as text, "" where the table says n/a; NULL: no such row. As a number: 0 if it is
 * none. */
const char *paper_setting(const PaperScale *s, const char *name);
double paper_setting_number(const PaperScale *s, const char *name);

/* An augmentation of Tables 2 to 4, as the recipe has it. Texts are owned by PaperRun. */
typedef struct PaperAug {
  char id[32];
  int index;     /* in the list; 0: nothing is added */
  bool possible; /* with this cohort */
  char *name;
  char *data;     /* training files, as in a command */
  bool replaces;  /* its rims stand in place of the real ones; else added */
  int adds;       /* lesions */
  int table;      /* where it stands, as bits: 1 << 3, 1 << 4; 0: not in the paper */
  int real;       /* training files that hold real lesions, the first ones */
  int runs;       /* trainings */
  char group[16]; /* paper, projection, twin, control, oracle */
  char *paper;    /* its row in the paper's Tables 3 and 4, and in Table 2; NULL: none */
  char *paper2;
  /* what Table 2 looks at (files joined by '+'); NULL: no row */
  char *fid;
  int features; /* images whose features are computed for that row */
  char *what;   /* in words */
} PaperAug;

typedef enum {
  STEP_TODO,
  STEP_RUNS,
  STEP_DONE,
  STEP_RAN,
  STEP_FAILED,
  STEP_BLOCKED,
  STEP_LEFT
} StepState;
typedef struct Step {
  char id[48];
  char section[SECTION_NAME];
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
  double took; /* seconds of the whole machine: those of the clock times its share of the threads */
  bool again;
} Step;

typedef struct PaperRun {
  const PaperScale *scale;
  const char *out;
  const char *cohort;
  const char *published;
  const char *recipe; /* files of one's own, or NULL */
  const char *scales;
  const char *only;
  const char *redo;
  int threads;
  int jobs; /* steps at the same time, 0: as many as there are threads, PAPER_JOBS at most */
  bool keep_going;
  bool dry_run;
  bool list;
  /* lesions of the cohort */
  int rim;
  int nonrim;
  int ambiguous;
  bool contrasts; /* with FLAIR and rim masks */
  bool masks;     /* with lesion masks */
  bool scaled;    /* fewer lesions than asked for */
  /* rim lesions for training, for the test (about, when scaled); lesions added by an augmentation
   */
  int train_rim;
  int train_nonrim;
  int test_rim;
  int add;
  Step *step;
  int n;
  int cap;
  PaperAug aug[PAPER_AUGS];
  int naug;
  Error unread; /* of the report: the first file that is there and cannot be read */
} PaperRun;

/* Fills r->step and r->aug from the recipe, for r->scale and the counts of the cohort. ST_FORMAT:
 * "FILE: line N: what was found; what was expected". paper_recipe_free also after an error. */
Status paper_recipe(PaperRun *r, Error *e);
void paper_recipe_free(PaperRun *r);

/* Counts of a lesions.tsv, or of what `phantom` will make. */
Status paper_count(PaperRun *r, Error *e);

/* The command as one types it, with > FILE; mem_free. */
char *step_text(const PaperRun *r, const Step *s);

/* Stamps of all steps from commands, inputs and what earlier runs left; state DONE or TODO. */
Status recipe_plan(PaperRun *r, Error *e);
Status recipe_forget(PaperRun *r, Error *e); /* r->redo */

/* Argument words of a step's command (s->cmd) with its folders filled in, or with `symbolic` as
 * {o}, {w}; room for STEP_ARGS; step_words_free. */
Status step_words(const PaperRun *r, const char *text, bool symbolic, char **word, int *n,
                  Error *e);
void step_words_free(char **word, int n);

/* One of these words (symbolic) names what `from` makes. */
bool step_reads(char *const *word, int n, const Step *from);

/* Stamp and seconds in OUT/done/ID (tail "") or OUT/done/ID.begun (".begun"); false: none. */
bool step_read_stamp(const PaperRun *r, const Step *s, const char *tail, char stamp[65],
                     double *took);
Status step_write_stamp(const PaperRun *r, const Step *s, const char *tail, Error *e);

/* Runs what is to do, several steps at a time; exit code. */
int recipe_run(PaperRun *r);
bool step_wanted(const PaperRun *r, const Step *s);
Status paper_write_commands(const PaperRun *r, Error *e); /* OUT/commands.sh */

/* Below OUT: "log/%s.txt". recipe_check_out has made sure that it fits. */
void paper_file(const PaperRun *r, char out[PATH_LEN], const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ST_INVALID: the name of the output folder leaves no room for those of its files. */
Status recipe_check_out(const PaperRun *r, Error *e);

/* --published, or the table that comes with the program; *there: tsv_free, after an error, too.
 * ST_FORMAT: not such a table. */
Status published_open(const PaperRun *r, Tsv *t, bool *there, Error *e);

/* "{w}/x" -> path; static buffers (four in turn). */
const char *paper_path(const PaperRun *r, const char *text);

int paper_run(int argc, char **argv);     /* argv[0] = "run" */
int paper_take(int argc, char **argv);    /* part of a data set */
int paper_stamp(int argc, char **argv);   /* which images a network was trained on */
int paper_answers(int argc, char **argv); /* a simulated reader's CSV */
int paper_report(int argc, char **argv);  /* tables, figures, report.html from a finished run */
#endif
