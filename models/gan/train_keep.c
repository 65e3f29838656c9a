/* train_keep.c: an iteration that is broken off. Where iterations are long, the state from before
 * one is kept, so that what was asked to stop can go back to it and be saved; a snapshot from
 * within an iteration would not be one. */
#include <string.h>
#include "core/os.h"
#include "models/gan/train_impl.h"

typedef enum { KEEP_COUNT, KEEP_SAVE, KEEP_RESTORE } KeepWhat;

typedef struct Keep {
  char *mem;
  size_t at;
  KeepWhat what;
} Keep;

static Status keep_one(void *ctx, const TrainTensor *x, Error *e) {
  Keep *k = ctx;
  const size_t one = x->type == TT_REAL ? sizeof(real) : 8, n = (size_t)shape_numel(x->shape) * one;
  if (n && k->what == KEEP_SAVE) memcpy(k->mem + k->at, x->data, n);
  if (n && k->what == KEEP_RESTORE) memcpy(x->data, k->mem + k->at, n);
  k->at += n;
  return ST_OK;
}

static size_t keep_walk(Trainer *t, KeepWhat what) {
  Keep k = {t->kept, 0, what};
  trainer_enumerate(t, keep_one, &k, NULL);
  return k.at;
}

void train_keep(Trainer *t) {
  t->has_kept = false;
  if (!train_may_stop(t) || t->last_seconds < t->cfg.keep_seconds) return;
  if (!t->kept) {
    const size_t bytes = keep_walk(t, KEEP_COUNT);
    /* a copy that drives the machine into swapping is worse than the loss of some iterations */
    if (os_memory_available() < 2 * (uint64_t)bytes) return;
    t->kept = mem_alloc(bytes);
    if (!t->kept) return;
  }
  keep_walk(t, KEEP_SAVE);
  t->has_kept = true;
}

void train_go_back(Trainer *t) {
  t->broken = !t->has_kept;
  if (t->broken) return;
  keep_walk(t, KEEP_RESTORE);
  trainer_refresh(t);
}

bool trainer_whole(const Trainer *t) { return !t->broken; }
