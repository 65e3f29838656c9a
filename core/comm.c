/* comm.c: how several processes agree; see comm.h */
#include "core/comm.h"
#include <stdio.h>
#include <string.h>

/* A collective call goes on to its end in every process, whatever happened in one: no early returns
 * on what only this process knows. */

/* Each process in turn tells how it fared. Only after a failure. */
static Status first_failure(Comm *c, Status own, Error *e) {
  Error mine = {0}, one;
  if (own != ST_OK && e) mine = *e;
  mine.code = own;
  for (int r = 0; r < c->size; r++) {
    one = mine;
    TRY(c->broadcast(c, &one, sizeof one, r, e));
    if (one.code == ST_OK) continue;
    c->agreed = true;
    if (c->stop_device) c->stop_device(c);
    return err_set(e, one.code, "process %d of %d: %.900s", r, c->size, one.msg);
  }
  return ST_OK;
}

Status comm_agree(Comm *c, Status own, int *flag, Error *e) {
  if (!comm_many(c)) return own;
  double x[2] = {own != ST_OK, flag && *flag};
  TRY(c->sum_double(c, x, 2, e));
  if (flag) *flag = x[1] > 0;
  return x[0] > 0 ? first_failure(c, own, e) : ST_OK;
}

Status comm_same(Comm *c, const void *x, size_t bytes, const char *what, Error *e) {
  if (!comm_many(c)) return ST_OK;
  void *first = mem_alloc(bytes);
  Status st = comm_agree(
      c, first ? ST_OK : err_set(e, ST_NOMEM, "out of memory to compare %s", what), NULL, e);
  if (st == ST_OK) {
    memcpy(first, x, bytes);
    st = c->broadcast(c, first, bytes, 0, e);
  }
  if (st == ST_OK && memcmp(first, x, bytes))
    st =
        err_set(e, ST_INVALID,
                "%s is not that of process 0; all processes need the same files and options", what);
  if (first) st = comm_agree(c, st, NULL, e);
  mem_free(first);
  return st;
}
