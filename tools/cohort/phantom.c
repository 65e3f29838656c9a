/* phantom.c: `prlx phantom`: a cohort of simulated lesions as a folder of BIDS derivatives:
 * who has which lesion, volumes, masks, two readers, lesions.tsv. The physics is in
 * models/phantom*.c; this file deals lesions to subjects, runs them in parallel and writes files.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/threads.h"
#include "io/formats/nifti.h"
#include "models/phantom/phantom.h"
#include "tools/cli/tool.h"
#include "tools/cohort/phantom_out.h"

typedef struct Args {
  const char *out;
  int scale;
  int subjects;
  int rim;
  int ambiguous;
  int nonrim;
  int whole_brain;
  int iterations;
  int reading;
  int sessions;
  int first;
  int only;
  int64_t seed;
  double sigma;
  double clear;
  double snr;
  double lambda;
  bool sheets;
  bool overwrite;
  bool fast;
} Args;

/* Counts per scale: subjects, rim (both readers), ambiguous (exactly one), the rest. */
typedef struct Scale {
  int subjects;
  int rim;
  int ambiguous;
  int nonrim;
} Scale;
enum { DEMO, SMALL, PAPER };
static const Scale scales[] = {{24, 30, 14, 36}, {64, 100, 60, 300}, {256, 260, 177, 7720 - 177}};
/* Philox subsequences: lesions 0, 1, ...; dealing and slabs far away. A cohort that begins with
 * another subject begins elsewhere: the same seed must not draw the same lesions under new names,
 * or a test set drawn so holds what was trained on. */
#define STREAM_DEALING ((uint64_t)1 << 40)
#define STREAM_SLABS ((uint64_t)1 << 41)
static uint64_t stream_of(uint64_t base, int first) { return base + ((uint64_t)(first - 1) << 20); }

/* ---- dealing lesions to subjects ---- */
/* Rim lesions per subject as in the paper: of 256 patients 35 have one, 18 two, 39 three to twelve,
 * the rest none. */
static void deal_rims(Rng *r, int subjects, int rims, int *per) {
  int one = (int)lround(subjects * 35 / 256.), two = (int)lround(subjects * 18 / 256.),
      many = (int)lround(subjects * 39 / 256.), s = 0;
  many = PRLX_MAX(many, (PRLX_MAX(rims - one - 2 * two, 0) + 11) / 12);
  const int first_many = PRLX_MIN(one + two, subjects), end = PRLX_MIN(one + two + many, subjects);
  for (; s < end && rims > 0; s++) {
    per[s] = PRLX_MIN(rims, s < one ? 1 : s < one + two ? 2 : 3);
    rims -= per[s];
  }
  /* the rest goes to those with several; to anyone when they are full */
  for (int tries = 0; rims > 0; tries++) {
    const bool full = tries > 10000 || first_many >= end;
    const int k =
        full ? (int)rng_below(r, subjects) : first_many + (int)rng_below(r, end - first_many);
    if (per[k] < 12 || full) {
      per[k]++;
      rims--;
    }
  }
}

static void shuffle_int(Rng *r, int *v, int n) {
  for (int i = n - 1; i > 0; i--) {
    const int j = (int)rng_below(r, i + 1), t = v[i];
    v[i] = v[j];
    v[j] = t;
  }
}

/* Subjects with cumulative weight above u: some have many lesions, most few. */
static int pick_subject(Rng *r, const double *cum, int n) {
  const double u = rng_uniform(r) * cum[n - 1];
  int lo = 0, hi = n - 1;
  while (lo < hi) {
    const int mid = (lo + hi) / 2;
    if (cum[mid] > u)
      hi = mid;
    else
      lo = mid + 1;
  }
  return lo;
}

/* Centres in mm (right, anterior, superior), on the subject's voxel grid, in the white matter of an
 * average head, 12 mm apart while there is room. */
static void phantom_place(Rng *r, PhantomRow *row, int n) {
  for (int i = 0; i < n; i++)
    for (int tries = 0; tries < 200; tries++) {
      const double x = (rng_uniform(r) < .5 ? -1 : 1) * (12 + 34 * rng_uniform(r)),
                   y = -68 + 108 * rng_uniform(r), z = -8 + 58 * rng_uniform(r);
      const double u = x / 58, v = (y + 12) / 76, w = (z - 18) / 46;
      row[i].centre[0] = round(x / PHANTOM_HX) * PHANTOM_HX;
      row[i].centre[1] = round(y / PHANTOM_HY) * PHANTOM_HY;
      row[i].centre[2] = round(z / PHANTOM_HZ) * PHANTOM_HZ;
      bool apart = u * u + v * v + w * w < 1;
      for (int k = 0; k < i && apart && tries < 150; k++)
        apart = fabs(row[k].centre[0] - x) > 12 || fabs(row[k].centre[1] - y) > 12 ||
                fabs(row[k].centre[2] - z) > 12;
      if (apart) break;
    }
}

/* rows[n]: subject, number within the subject, wanted class, position. */
static Status phantom_deal(const Scale *c, uint64_t seed, int first, PhantomRow *rows, Error *e) {
  const int S = c->subjects, n = c->rim + c->ambiguous + c->nonrim;
  int *per = mem_alloc(sizeof *per * 3 * (size_t)S), *cls = mem_alloc(sizeof *cls * (size_t)n),
      at = 0;
  double *cum = mem_alloc(sizeof *cum * (size_t)S);
  Rng r = {.seed = seed, .subsequence = stream_of(STREAM_DEALING, first)};
  if (!per || !cls || !cum) {
    mem_free(per);
    mem_free(cls);
    mem_free(cum);
    return err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
  }
  int *amb = per + S, *non = per + 2 * S;
  deal_rims(&r, S, c->rim, per);
  shuffle_int(&r, per, S);
  for (int s = 0; s < S; s++)
    cum[s] = (s ? cum[s - 1] : 0) + .15 - log(1 - rng_uniform(&r)) - log(1 - rng_uniform(&r));
  for (int i = 0; i < c->ambiguous; i++) amb[pick_subject(&r, cum, S)]++;
  int left = c->nonrim;
  for (int s = 0; s < S && left > 0; s++)
    if (per[s] + amb[s] == 0) {
      non[s]++;
      left--;
    }
  while (left-- > 0) non[pick_subject(&r, cum, S)]++;
  for (int s = 0; s < S; s++) {
    const int m = per[s] + amb[s] + non[s];
    for (int i = 0; i < m; i++)
      cls[i] = i < per[s] ? PHANTOM_RIM : i < per[s] + amb[s] ? PHANTOM_AMBIGUOUS : PHANTOM_NONRIM;
    shuffle_int(&r, cls, m); /* the number must not tell the class */
    for (int i = 0; i < m; i++)
      rows[at + i] = (PhantomRow){.index = stream_of((uint64_t)(at + i), first),
                                  .subject = first + s,
                                  .number = i + 1,
                                  .want = cls[i]};
    phantom_place(&r, rows + at, m);
    at += m;
  }
  mem_free(per);
  mem_free(cls);
  mem_free(cum);
  return ST_OK;
}

/* n rows become sessions * n: each lesion with its visits behind one another. */
static void phantom_visits(PhantomRow *rows, int n, int sessions) {
  if (sessions == 1) return;
  for (int i = n - 1; i >= 0; i--) {
    const PhantomRow row = rows[i];
    for (int v = sessions - 1; v >= 0; v--) {
      rows[i * sessions + v] = row;
      rows[i * sessions + v].session = v + 1;
    }
  }
}

/* Only those of a class stay (ANY: all); how many. */
static int phantom_keep(PhantomRow *rows, int n, int want) {
  int kept = 0;
  for (int i = 0; i < n; i++)
    if (want == PHANTOM_ANY || rows[i].want == want) rows[kept++] = rows[i];
  return kept;
}

/* ---- lesions, in parallel ---- */
/* lesions between two looks at the progress and at Ctrl-C */
enum { BATCH = 16 };
typedef struct Job {
  const PhantomOut *o;
  const PhantomOptions *opt;
  uint64_t seed;
  PhantomRow *rows; /* the visits of a lesion stand together */
  int sessions;
  int first;
  PhantomWork *work[MAX_WORKERS];
  Error err[BATCH];
} Job;

static void run_lesion(void *ctx, int64_t i, int worker) {
  Job *j = ctx;
  Error *e = &j->err[i];
  PhantomRow *row = &j->rows[j->first + i];
  if (tool_interrupted) return;
  if (!j->work[worker] && phantom_work_new(&j->work[worker], e) != ST_OK) return;
  const int64_t at = j->first + i;
  if (phantom_lesion_visit(j->work[worker], j->opt, j->seed, row->index, row->want,
                           (int)(at % j->sessions), &row->l, e) == ST_OK)
    out_lesion(j->o, row, e);
  phantom_lesion_free(&row->l);
}

static Status run_all(Job *j, int n, int *done, Error *e) {
  Progress bar;
  Status st = ST_OK;
  progress_start(&bar, "phantom", "lesion", n);
  for (*done = 0; *done < n && !tool_interrupted;) {
    const int m = PRLX_MIN(BATCH, n - *done);
    memset(j->err, 0, sizeof j->err);
    j->first = *done;
    par_for(m, run_lesion, j);
    for (int i = 0; i < m; i++)
      if (j->err[i].code != ST_OK) {
        *e = j->err[i];
        st = e->code;
        goto done;
      }
    if (tool_interrupted) break; /* not all of these are there */
    *done += m;
    progress_update(&bar, *done, NULL);
  }
done:
  progress_end(&bar);
  for (int i = 0; i < MAX_WORKERS; i++) phantom_work_free(j->work[i]);
  return st;
}

/* ---- slabs ---- */
static Status run_slab(const PhantomOut *o, PhantomWork *w, const PhantomOptions *opt,
                       const Args *a, int i, TsvWriter *table, Error *e) {
  static const int classes[SLAB_MAX_LESIONS] = {
      PHANTOM_RIM,    PHANTOM_NONRIM, PHANTOM_AMBIGUOUS, PHANTOM_NONRIM, PHANTOM_RIM,
      PHANTOM_NONRIM, PHANTOM_NONRIM, PHANTOM_AMBIGUOUS, PHANTOM_RIM};
  PhantomSlab s;
  Status st =
      phantom_slab(w, opt, (uint64_t)a->seed, stream_of(STREAM_SLABS, a->first) + (uint64_t)i,
                   5 + i % 3, classes, &s, e);
  if (st != ST_OK) goto done;
  st = out_slab(o, table, i + 1, &s, e);
done:
  phantom_slab_free(&s);
  return st;
}

static Status run_slabs(const PhantomOut *o, const PhantomOptions *opt, const Args *a, Error *e) {
  PhantomWork *w = NULL;
  TsvWriter table = {0};
  Progress bar;
  Status st = out_slab_begin(o, &table, e);
  if (st != ST_OK) goto done;
  st = phantom_work_new(&w, e);
  if (st != ST_OK) goto done;
  progress_start(&bar, "whole-brain", "slab", a->whole_brain);
  for (int i = 0; i < a->whole_brain && !tool_interrupted; i++) {
    st = run_slab(o, w, opt, a, i, &table, e);
    if (st != ST_OK) break;
    progress_update(&bar, i + 1, NULL);
  }
  progress_end(&bar);
  if (st != ST_OK) goto done;
  st = tool_interrupted
           ? err_set(e, ST_INTERRUPTED, "stopped; nothing of it is kept")
           : out_slab_end(o, &table, e);
done:
  phantom_work_free(w);
  mem_free(table.buf);
  return st;
}

/* ---- command ---- */
/* What became of the lesions that one reader of two called a rim at the first visit. */
static void phantom_course(const PhantomRow *rows, int n, int sessions) {
  for (int v = 1; v < sessions; v++) {
    int became[3] = {0}; /* by the number of readers who say rim */
    for (int i = 0; i < n; i += sessions)
      if (rows[i].want == PHANTOM_AMBIGUOUS)
        became[rows[i + v].l.reader1 + rows[i + v].l.reader2]++;
    printf("  visit %d: of the %d ambiguous of visit 1 now %d rim, %d no rim, %d ambiguous\n",
           v + 1, became[0] + became[1] + became[2], became[2], became[0], became[1]);
  }
}

static void phantom_summary(const Args *a, const Scale *c, const PhantomRow *rows, int n,
                            double seconds) {
  double dia = 0;
  for (int i = 0; i < n; i++) dia += rows[i].l.diameter_mm / n;
  if (a->sessions > 1)
    printf("%d lesions of %d subjects, %d visits each, in %s; counts and kappa of visit 1\n",
           n / a->sessions, c->subjects, a->sessions, a->out);
  else
    printf("%d lesions of %d subjects in %s\n", n, c->subjects, a->out);
  if (a->only) printf("  only one class is written, of a cohort of\n");
  printf("  rim (both readers)       %d\n  ambiguous (exactly one)  %d\n  no rim (neither)         "
         "%d\n",
         c->rim, c->ambiguous, c->nonrim);
  if (a->scale == PAPER && a->reading == 0 && a->nonrim < 0 && a->ambiguous < 0)
    printf("  reading of the paper's counts: its 7720 non-rim lesions are all those without both "
           "readers' rim, so the 177 are among them (--reading b: they come on top)\n");
  printf("  kappa %.3f, mean diameter %.1f mm, %.2f s per lesion\n", out_kappa(rows, n), dia,
         seconds / n);
  phantom_course(rows, n, a->sessions);
  printf("  lesions.tsv, participants.tsv%s%s; next: prlx pack %s/lesions.tsv -o "
         "dataset.safetensors\n",
         a->sheets ? ", sheet_rim.png, sheet_ambiguous.png, sheet_nonrim.png" : "",
         a->whole_brain ? ", whole-brain/lesions.tsv" : "", a->out);
}

/* Everything there is to write about one cohort; j and rows: room for the work. */
static Status phantom_write(const Args *a, const Scale *c, const PhantomOptions *opt, Job *j,
                            PhantomRow *rows, int *left, Error *e) {
  int lesions = c->rim + c->ambiguous + c->nonrim, done = 0;
  const double t0 = time_now();
  bool whole = false;
  PhantomOut o;
  TRY(phantom_deal(c, (uint64_t)a->seed, a->first, rows, e));
  lesions = phantom_keep(rows, lesions, a->only - 1);
  const int n = lesions * a->sessions;
  *left = n;
  if (!n) return err_set(e, ST_INVALID, "--only: the cohort has no lesion of this class");
  phantom_visits(rows, lesions, a->sessions);
  TRY(out_begin(&o, a->out, a->first, c->subjects, (uint64_t)a->seed, opt, a->sessions, a->sheets,
                a->overwrite, e));
  *j = (Job){.o = &o, .opt = opt, .seed = (uint64_t)a->seed, .rows = rows, .sessions = a->sessions};
  Status st = out_choose_sheets(&o, rows, n, e);
  if (st != ST_OK) goto done;
  st = run_all(j, n, &done, e);
  const double seconds = time_now() - t0;
  *left = n - done;
  if (st != ST_OK || *left) goto done;
  if (!tool_interrupted && a->whole_brain) {
    st = run_slabs(&o, opt, a, e);
    if (st != ST_OK) goto done;
  }
  st = out_sheets(&o, rows, n, e);
  if (st != ST_OK) goto done;
  st = out_tables(&o, rows, n, e);
  if (st != ST_OK) goto done;
  phantom_summary(a, c, rows, n, seconds);
  whole = !tool_interrupted;
done:;
  Error inner = {0};
  const Status swapped = out_end(&o, whole, &inner);
  return st != ST_OK || swapped == ST_OK ? st : err_set(e, swapped, "%s", inner.msg);
}

static Status phantom_cohort(const Args *a, const Scale *c, int *left, Error *e) {
  const int n = (c->rim + c->ambiguous + c->nonrim) * a->sessions;
  PhantomOptions opt = phantom_defaults();
  opt.snr0 = a->snr;
  opt.sigma = a->sigma;
  opt.clear = a->clear;
  opt.lambda = a->lambda;
  opt.iterations = a->iterations;
  opt.fast_inversion = a->fast;
  Job *j = mem_alloc(sizeof *j);
  PhantomRow *rows = mem_alloc(sizeof *rows * (size_t)n);
  const Status st = j && rows ? phantom_write(a, c, &opt, j, rows, left, e)
                              : err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
  mem_free(rows);
  mem_free(j);
  return st;
}

int tool_phantom(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_GROUP("Cohort"),
      OPT_CHOICE("scale", &a.scale, "demo", "demo|small|paper",
                 "demo: 24 subjects, 30 rim, 14 ambiguous, 36 other lesions (20 seconds, 35 "
                 "MB);\nsmall: 64 subjects, 100, 60, 300 (two minutes, 180 MB);\npaper: 256 "
                 "subjects, 260, 177, 7543 (half an hour, 3.2 GB)"),
      OPT_CHOICE("reading", &a.reading, "a", "a|b",
                 "paper scale: a: the 177 ambiguous are among the 7720 non-rim lesions;\nb: they "
                 "come on top (8157 lesions)"),
      OPT_INT("subjects", &a.subjects, "0", 0, 9999, "subjects; 0 = as the scale says"),
      OPT_INT("rim", &a.rim, "-1", -1, 100000,
              "lesions that both readers call rim; -1 = as the scale says"),
      OPT_INT("ambiguous", &a.ambiguous, "-1", -1, 100000,
              "lesions that exactly one reader calls rim"),
      OPT_INT("nonrim", &a.nonrim, "-1", -1, 100000, "lesions that neither calls rim"),
      OPT_INT("sessions", &a.sessions, "1", 1, 9,
              "visits of every patient: the same lesions, scanned and read anew; rims become\n"
              "clearer, what is none fades (an assumption)"),
      OPT_INT("first-subject", &a.first, "1", 1, 90000,
              "number of the first subject: two cohorts with other numbers have no subject and no "
              "lesion\nin common, with the same seed, too"),
      OPT_CHOICE("only", &a.only, "all", "all|nonrim|rim|ambiguous",
                 "write only these lesions of the cohort; they are as they would be among all"),
      OPT_INT("whole-brain", &a.whole_brain, "0", 0, 999,
              "also slabs of 256x256x40 voxels with 5 to 7 lesions and a label map"),
      OPT_I64("seed", &a.seed, "0", 0, 9e15, "same seed, same bytes, for any number of threads"),
      OPT_REAL("reader-noise", &a.sigma, "0.2191", 0.001, 10,
               "of each reader, in units of the conspicuity; 0.2191: the paper's kappa"),
      OPT_REAL("clear", &a.clear, "0", 0, 4,
               "ambiguous lesions are painted with a rim of this conspicuity, all else as it was:\n"
               "what ideal denoising would give (2.3: both readers see it); 0: as they are"),
      OPT_GROUP("Acquisition"),
      OPT_REAL("snr", &a.snr, "30", 1, 1e6,
               "signal to noise of the first echo (30: 1.1 ppb field noise)"),
      OPT_REAL("lambda", &a.lambda, "0", 0, 10,
               "weight of total variation in the inversion; 0 = .05 to .11 per lesion"),
      OPT_INT("iterations", &a.iterations, "10", 1, 200, "steps of the inversion"),
      OPT_FLAG("fast-inversion", &a.fast, "no", "closed form instead of total variation"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a.out, "out/phantom", "DIR", "folder of the cohort (also -o)"),
      OPT_FLAG("sheets", &a.sheets, "yes", "contact sheet of every class"),
      OPT_FLAG("overwrite", &a.overwrite, "no", "write into a folder that already holds a cohort"),
  };
  OptSpec spec = {
      .cmd = "phantom",
      .summary =
          "Simulates a cohort: susceptibility maps, FLAIR and masks of lesions, and two readers.",
      .details = "  prlx phantom --scale demo -o cohort\n  prlx phantom --scale small "
                 "--whole-brain 3 --seed 7 -o cohort7\n\n"
                 "Every lesion: tissue susceptibility -> dipole field -> noise -> total-variation "
                 "inversion. A hidden conspicuity decides how clear the\n"
                 "rim is and what the readers say. Simulated: nothing comes from a patient.",
      .opt = t,
      .n = COUNT_OF(t)};
  int rc = opts_parse(&spec, argc, argv), left = 0;
  if (rc >= 0) return rc;
  Error e = {0};
  Scale c = scales[a.scale];
  if (a.scale == PAPER && a.reading == 1) c.nonrim = 7720;
  if (a.subjects) c.subjects = a.subjects;
  if (a.rim >= 0) c.rim = a.rim;
  if (a.ambiguous >= 0) c.ambiguous = a.ambiguous;
  if (a.nonrim >= 0) c.nonrim = a.nonrim;
  const int n = c.rim + c.ambiguous + c.nonrim;
  if (n < c.subjects)
    rc = tool_usage("phantom",
                    "%d lesions for %d subjects; give every subject at least one (--subjects, "
                    "--rim, --ambiguous, --nonrim)",
                    n, c.subjects);
  else
    rc = phantom_cohort(&a, &c, &left, &e) == ST_OK ? EXIT_DONE : tool_fail("phantom", &e);
  if (rc == EXIT_DONE && left) {
    fprintf(stderr, "prlx phantom: stopped %d lesions before the end; nothing of it is kept\n",
            left);
    rc = EXIT_FAILED;
  }
  opts_free(&spec);
  return rc;
}
