/* train_run.h: the parts of `prlx train` around the training engine: run folder, snapshots, sheets,
 * metrics, the loop. */
#ifndef PRLX_TRAIN_RUN_H
#define PRLX_TRAIN_RUN_H
#include "io/formats/jsonl.h"
#include "io/images/dataset.h"
#include "models/gan/train.h"
#include "tools/cli/tool.h"

/* The snapshot before the last, in the folder of a run. */
#define TRAIN_PREVIOUS "state-previous.safetensors"

typedef struct TrainSchedule {
  double kimg;
  double tick_kimg;
  double save_minutes;
  int snap_ticks;
  bool keep /* the network of every snapshot */;
  bool ranges; /* ranges.tsv in every tick */
} TrainSchedule;

/* What a tick adds up. Part of the snapshot, so that a resumed run writes the same lines. All
 * doubles: saved as one tensor. */
typedef struct TickSums {
  double tick;
  double start_nimg;
  double iterations;
  double g_loss;
  double d_loss;
  double score_real;
  double score_fake;
  double sign_real;
  double r1;
  double r1_n;
  double pl;
  double pl_n;
  double bad_gradients;
  double seconds;
  double total_seconds;
  double phase_seconds[PH_COUNT];
} TickSums;

typedef struct TrainRun {
  const char *dir;
  Trainer *t;
  /* NULL: one process. Only the lead has files, sheets, messages */
  Comm *comm;
  const Dataset *data;
  const OptSpec *opts; /* given options are stored in the snapshot */
  /* printed configuration, for state.safetensors and the report */
  const char *config;
  bool from_previous; /* resumed from the snapshot before the last: the last is damaged */
  uint32_t data_crc;
  TrainSchedule plan;
  TickSums sums;
  Jsonl log;
  bool old_run; /* there is a run in it already */
  bool aside;   /* ... which stands aside until the first snapshot */
  Graph *sheet_graph;
  Plan *sheet_plan;
  Val sheet_z;
  Val sheet_c;
  Val sheet_img;
  real *sheet_zs;
} TrainRun;

enum { SHEET_COLS = 8, SHEET_ROWS = 8, SHEET_BATCH = 8 };

/* Before anything is made: locks a folder that is there against a second process, and looks for a
 * run in it: ST_INVALID unless it is to be resumed or replaced (force). What a killed process left
 * of a replacement is settled. Changes nothing else. */
Status run_folder_look(TrainRun *r, bool resume, bool force, Error *e);

/* When all inputs are read, all options checked and all memory taken: makes the folder; an old run
 * that is to be replaced stands aside from here on (files that `train` writes, nothing else). */
Status run_folder_take(TrainRun *r, bool resume, Error *e);

/* A snapshot of the new run is whole: the old one goes. */
void run_folder_done(TrainRun *r);

/* After a failure: the old run comes back if the new one has no snapshot yet; a log of this process
 * without a line goes. Before run_close. */
void run_folder_undo(TrainRun *r);

/* TrainConfig.stop: true from two seconds after Ctrl-C on. */
bool run_impatient(void *unused);

/* after trainer_new (and restoring): log, sheet plan, first sheets */
Status run_start(TrainRun *r, Error *e);

/* --init: files or run folders joined by ','; every tensor whose name and shape match is taken
 * over, for the generator from G (else G_ema), for the discriminator from D, for the average from
 * G_ema (else G). A folder: its state.safetensors, else network.safetensors. More channels or
 * labels: the old part is taken. Noise strengths of generator and average are multiplied by
 * noise_gain. ST_INVALID when nothing fits, or a strength did not come that stays (freeze_noise) or
 * is multiplied by another number than 1. */
Status run_init(TrainRun *r, const char *list, double noise_gain, bool freeze_noise, Error *e);
Status run_loop(TrainRun *r, Error *e); /* ST_INTERRUPTED after Ctrl-C, saved */
void run_close(TrainRun *r);

/* bit-exact; tensors of another configuration are refused */
Status run_restore(TrainRun *r, const StFile *state, Error *e);

/* CRC of all values and labels: a resumed run must see the same data. */
uint32_t dataset_crc(const Dataset *d);

/* ---- train_reuse.c ---- */

/* Metadata of a data set while it is trained on: the digest of its images, which every network of
 * the run keeps as train.data. */
Status train_mark_data(Dataset *d, Error *e);

/* --reuse FILES: *done, the first network was trained on the images of `data`, and it and the
 * others that were stand in `dir`. A file that is not there, or does not belong to them, is said on
 * standard error and is no error. */
Status train_reuse(const char *files, const char *data, const char *dir, bool *done, Error *e);
#endif
