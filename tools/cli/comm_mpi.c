/* comm_mpi.c: several processes through MPI (`make MPI=1`), of one machine or of many. Without
 * PRLX_HAVE_MPI only the check that nobody started several.
 *
 * Sums: MPI leaves the order of an all-reduce to the library. Here every process gets one part of
 * the range from all others (all-to-all), adds the pieces in the order of the ranks, and the parts
 * are put together again (all-gather): the same two trips of the data, in a fixed order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/cli/comm.h"
#include "tools/cli/tool.h"

#ifdef PRLX_HAVE_MPI
#include <mpi.h>

enum { PIECE = 1 << 20 }; /* numbers per exchange; bounds the buffer */
typedef struct Mpi {
  Comm c;
  void *parts;
  int *n;
  int *at;
  int *mine_n;
  int *mine_at;
} Mpi;

static Status mpi_check(int rc, Error *e) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int len = 0;
  if (rc == MPI_SUCCESS) return ST_OK;
  MPI_Error_string(rc, text, &len);
  return err_set(e, ST_IO, "MPI: %s", text);
}

/* dst[i] = sum over ranks of parts[r][i], in double and in real. */
#define ADD_PARTS(T)                                                 \
  static void add_##T(T *dst, const T *parts, int n, int size) {     \
    for (int i = 0; i < n; i++) {                                    \
      T s = parts[i];                                                \
      for (int r = 1; r < size; r++) s += parts[(int64_t)r * n + i]; \
      dst[i] = s;                                                    \
    }                                                                \
  }
ADD_PARTS(real)
ADD_PARTS(double)

/* One piece of at most PIECE numbers. */
static Status sum_piece(Mpi *m, char *x, int n, bool is_double, Error *e) {
  MPI_Datatype type = is_double || sizeof(real) == 8 ? MPI_DOUBLE : MPI_FLOAT;
  int size = m->c.size, part = (n + size - 1) / size, at = 0;
  size_t each = is_double ? sizeof(double) : sizeof(real);
  for (int r = 0; r < size; r++, at += part) {
    m->n[r] = at >= n ? 0 : at + part > n ? n - at : part;
    m->at[r] = at < n ? at : n;
  }
  int own = m->n[m->c.rank];
  for (int r = 0; r < size; r++) {
    m->mine_n[r] = own;
    m->mine_at[r] = r * own;
  }
  TRY(mpi_check(
      MPI_Alltoallv(x, m->n, m->at, type, m->parts, m->mine_n, m->mine_at, type, MPI_COMM_WORLD),
      e));
  char *dst = x + (size_t)m->at[m->c.rank] * each;
  if (is_double)
    add_double((double *)dst, m->parts, own, size);
  else
    add_real((real *)dst, m->parts, own, size);
  return mpi_check(MPI_Allgatherv(MPI_IN_PLACE, 0, type, x, m->n, m->at, type, MPI_COMM_WORLD), e);
}

static Status sum_pieces(Comm *c, void *x, int64_t n, bool is_double, Error *e) {
  for (int64_t at = 0; at < n; at += PIECE)
    TRY(sum_piece((Mpi *)c, (char *)x + (size_t)at * (is_double ? sizeof(double) : sizeof(real)),
                  (int)PRLX_MIN(n - at, PIECE), is_double, e));
  return ST_OK;
}

static Status mpi_sum(Comm *c, real *x, int64_t n, Error *e) {
  return sum_pieces(c, x, n, false, e);
}

static Status mpi_sum_double(Comm *c, double *x, int64_t n, Error *e) {
  return sum_pieces(c, x, n, true, e);
}

static Status mpi_broadcast(Comm *c, void *x, size_t bytes, int root, Error *e) {
  const size_t most = (size_t)1 << 30;
  for (size_t at = 0; at < bytes; at += most)
    TRY(mpi_check(
        MPI_Bcast((char *)x + at, (int)PRLX_MIN(bytes - at, most), MPI_BYTE, root, MPI_COMM_WORLD),
        e));
  return ST_OK;
}

static void mpi_stop(Comm *c, int code) {
  fflush(NULL);
  MPI_Abort(MPI_COMM_WORLD, code);
  _Exit(code);
}

static void mpi_release(Mpi *m) {
  mem_free(m->parts);
  mem_free(m->n);
  mem_free(m);
}

static void mpi_free(Comm *c) {
  mpi_release((Mpi *)c);
  MPI_Finalize();
}

static int local_rank(void) {
  MPI_Comm machine;
  int n = 0;
  if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine) !=
      MPI_SUCCESS)
    return 0;
  MPI_Comm_rank(machine, &n);
  MPI_Comm_free(&machine);
  return n;
}

Status comm_start(Comm **out, Error *e) {
  int given = 0, size = 1, rank = 0;
  *out = NULL;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given) != MPI_SUCCESS)
    return err_set(e, ST_INTERNAL, "MPI does not start; start the program with mpirun");
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (size == 1) {
    MPI_Finalize();
    return ST_OK;
  }
  Mpi *m = mem_alloc(sizeof *m);
  if (m) {
    m->parts = mem_alloc((size_t)(PIECE + size) * sizeof(double));
    m->n = mem_alloc((size_t)size * 4 * sizeof(int));
  }
  if (!m || !m->parts || !m->n) {
    if (m) mpi_release(m);
    fprintf(stderr, "prlx: process %d: out of memory\n", rank);
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILED);
    return err_set(e, ST_NOMEM, "MPI: out of memory");
  }
  m->at = m->n + size;
  m->mine_n = m->at + size;
  m->mine_at = m->mine_n + size;
  m->c = (Comm){.rank = rank,
                .size = size,
                .local = local_rank(),
                .sum = mpi_sum,
                .sum_double = mpi_sum_double,
                .broadcast = mpi_broadcast,
                .stop = mpi_stop,
                .free = mpi_free};
  *out = &m->c;
  return ST_OK;
}

#else

/* What the launchers of Open MPI, MPICH and Slurm tell their processes. */
Status comm_start(Comm **out, Error *e) {
  static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"};
  *out = NULL;
  for (int i = 0; i < COUNT_OF(sizes); i++) {
    const char *n = getenv(sizes[i]);
    if (n && atoi(n) > 1)
      return err_set(e, ST_INVALID,
                     "started as %d processes, but this program was built without MPI; build it "
                     "with: make MPI=1",
                     atoi(n));
  }
  return ST_OK;
}
#endif

void comm_end(Comm *c) {
  if (c && c->free_device) c->free_device(c);
  if (c) c->free(c);
}

int comm_fail(Comm *c, const char *cmd, const Error *e) {
  bool known = !comm_many(c) || c->agreed;
  if (!known || comm_lead(c)) tool_fail(cmd, e);
  if (!known) c->stop(c, EXIT_FAILED);
  return EXIT_FAILED;
}
