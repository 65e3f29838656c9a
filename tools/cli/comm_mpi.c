/* comm_mpi.c: several processes through MPI (`make MPI=1`), of one machine or of many. Without
 * PRLX_HAVE_MPI only the check that nobody started several.
 *
 * Sums: MPI leaves the order of an all-reduce to the library. Here every process gets one part of
 * the range from all others (all-to-all), adds the pieces in the order of the ranks, and the parts
 * are put together again (all-gather): the same two trips of the data, in a fixed order.
 *
 * Sums beside other work: a thread makes them one after another, by the same two trips, and sleeps
 * between its looks at them: the cores are the backward pass's. MPI moves most of its data within
 * calls, so without the thread little would happen before wait. Only one thread is inside MPI at a
 * time, since between begin and wait nobody else calls: MPI_THREAD_SERIALIZED will do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "tools/cli/comm.h"
#include "tools/cli/tool.h"

#ifdef PRLX_HAVE_MPI
#include <mpi.h>

/* numbers per exchange, which bounds the buffer; sums that wait for the thread */
enum { PIECE = 1 << 20, QUEUE = 64 };
#define LOOKS 50e-6 /* seconds between two looks of the thread */

/* The thread and what it has to do: numbers of the queue are counted from the start of the program,
 * modulo QUEUE. All behind the lock; `waited` besides atomic. */
typedef struct Beside {
  OsThread thread;
  OsMutex lock;
  OsCond changed;
  bool runs;
  bool ends;
  int waited; /* the program does nothing else meanwhile: no sleep */
  const CommPart *part[QUEUE];
  int n[QUEUE];
  int64_t begun;
  int64_t done;
  Status failed;
  Error why;
} Beside;

typedef struct Mpi {
  Comm c;
  void *parts;
  real *packed; /* PIECE numbers of several ranges */
  int *n;
  int *at;
  int *mine_n;
  int *mine_at;
  bool patient; /* it is the thread that sums */
  Beside beside;
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

/* Until the exchange is over. */
static Status exchange_end(Mpi *m, MPI_Request *r, Error *e) {
  int over = 0, rc = MPI_SUCCESS;
  if (!m->patient) return mpi_check(MPI_Wait(r, MPI_STATUS_IGNORE), e);
  while (rc == MPI_SUCCESS && !over) {
    rc = MPI_Test(r, &over, MPI_STATUS_IGNORE);
    if (over) break;
    if (__atomic_load_n(&m->beside.waited, __ATOMIC_RELAXED))
      os_yield();
    else
      os_sleep(LOOKS);
  }
  return mpi_check(rc, e);
}

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
  MPI_Request r;
  TRY(mpi_check(MPI_Ialltoallv(x, m->n, m->at, type, m->parts, m->mine_n, m->mine_at, type,
                               MPI_COMM_WORLD, &r),
                e));
  TRY(exchange_end(m, &r, e));
  char *dst = x + (size_t)m->at[m->c.rank] * each;
  if (is_double)
    add_double((double *)dst, m->parts, own, size);
  else
    add_real((real *)dst, m->parts, own, size);
  TRY(mpi_check(MPI_Iallgatherv(MPI_IN_PLACE, 0, type, x, m->n, m->at, type, MPI_COMM_WORLD, &r),
                e));
  return exchange_end(m, &r, e);
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

/* ---- sums beside other work ---- */

/* At most PIECE numbers from part *k, number *at on: x + more to the buffer, or the sums from there
 * to x. Returns how many, and moves on. */
static int parts_pack(real *buffer, const CommPart *part, int n, int *k, int64_t *at, bool back) {
  int filled = 0;
  while (*k < n && filled < PIECE) {
    const CommPart *p = &part[*k];
    const int some = (int)PRLX_MIN(p->n - *at, PIECE - filled);
    real *to = back ? p->x + *at : buffer + filled;
    const real *from = back ? buffer + filled : p->x + *at, *more = p->more ? p->more + *at : NULL;
    if (back || !more)
      memcpy(to, from, (size_t)some * sizeof *to);
    else
      for (int i = 0; i < some; i++) to[i] = from[i] + more[i];
    filled += some;
    *at += some;
    if (*at < p->n) break;
    *at = 0;
    ++*k;
  }
  return filled;
}

static Status sum_parts(Mpi *m, const CommPart *part, int n, Error *e) {
  int k = 0, to = 0;
  int64_t at = 0, to_at = 0;
  for (int some; (some = parts_pack(m->packed, part, n, &k, &at, false)) > 0;) {
    TRY(sum_piece(m, (char *)m->packed, some, false, e));
    parts_pack(m->packed, part, n, &to, &to_at, true);
  }
  return ST_OK;
}

static void *beside_run(void *ctx) {
  Mpi *m = ctx;
  Beside *b = &m->beside;
  os_mutex_lock(&b->lock);
  for (;;) {
    while (b->done == b->begun && !b->ends) os_cond_wait(&b->changed, &b->lock);
    if (b->done == b->begun) break;
    const int at = (int)(b->done % QUEUE);
    Error why = {0};
    m->patient = true;
    os_mutex_unlock(&b->lock);
    const Status st = sum_parts(m, b->part[at], b->n[at], &why);
    os_mutex_lock(&b->lock);
    m->patient = false;
    if (st != ST_OK && b->failed == ST_OK) {
      b->failed = st;
      b->why = why;
    }
    b->done++;
    os_cond_wake_all(&b->changed);
  }
  os_mutex_unlock(&b->lock);
  return NULL;
}

/* Until at most `left` sums are open; the lock is held. */
static void beside_until(Beside *b, int64_t left) {
  __atomic_store_n(&b->waited, 1, __ATOMIC_RELAXED);
  while (b->begun - b->done > left) os_cond_wait(&b->changed, &b->lock);
  __atomic_store_n(&b->waited, 0, __ATOMIC_RELAXED);
}

/* Without a thread the sum is made at once. */
static void mpi_sum_begin(Comm *c, const CommPart *part, int n) {
  Mpi *m = (Mpi *)c;
  Beside *b = &m->beside;
  if (!b->runs) b->runs = os_thread_start(&b->thread, beside_run, m) == 0;
  if (!b->runs) {
    if (b->failed == ST_OK) b->failed = sum_parts(m, part, n, &b->why);
    return;
  }
  os_mutex_lock(&b->lock);
  beside_until(b, QUEUE - 1);
  b->part[b->begun % QUEUE] = part;
  b->n[b->begun % QUEUE] = n;
  b->begun++;
  os_cond_wake_all(&b->changed);
  os_mutex_unlock(&b->lock);
}

static Status mpi_sum_wait(Comm *c, Error *e) {
  Beside *b = &((Mpi *)c)->beside;
  os_mutex_lock(&b->lock);
  beside_until(b, 0);
  const Status st = b->failed;
  b->failed = ST_OK;
  if (st != ST_OK && e) *e = b->why;
  os_mutex_unlock(&b->lock);
  return st;
}

static void beside_end(Beside *b) {
  if (!b->runs) return;
  os_mutex_lock(&b->lock);
  b->ends = true;
  os_cond_wake_all(&b->changed);
  os_mutex_unlock(&b->lock);
  os_thread_join(b->thread);
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
  mem_free(m->packed);
  mem_free(m->n);
  mem_free(m);
}

static void mpi_free(Comm *c) {
  beside_end(&((Mpi *)c)->beside);
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

static Mpi *mpi_new(int size) {
  Mpi *m = mem_alloc(sizeof *m);
  if (!m) return NULL;
  m->parts = mem_alloc((size_t)(PIECE + size) * sizeof(double));
  m->packed = mem_alloc(PIECE * sizeof *m->packed);
  m->n = mem_alloc((size_t)size * 4 * sizeof(int));
  if (!m->parts || !m->packed || !m->n) {
    mpi_release(m);
    return NULL;
  }
  m->at = m->n + size;
  m->mine_n = m->at + size;
  m->mine_at = m->mine_n + size;
  m->beside = (Beside){.lock = OS_MUTEX_INIT, .changed = OS_COND_INIT};
  return m;
}

Status comm_start(Comm **out, Error *e) {
  int given = 0, least = 0, size = 1, rank = 0;
  *out = NULL;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given) != MPI_SUCCESS)
    return err_set(e, ST_INTERNAL, "MPI does not start; start the program with mpirun");
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (size == 1) {
    MPI_Finalize();
    return ST_OK;
  }
  Mpi *m = mpi_new(size);
  if (!m) {
    fprintf(stderr, "prlx: process %d: out of memory\n", rank);
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILED);
    return err_set(e, ST_NOMEM, "MPI: out of memory");
  }
  /* what one cannot do none does */
  MPI_Allreduce(&given, &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  m->c = (Comm){.rank = rank,
                .size = size,
                .local = local_rank(),
                .sum = mpi_sum,
                .sum_double = mpi_sum_double,
                .sum_begin = least >= MPI_THREAD_SERIALIZED ? mpi_sum_begin : NULL,
                .sum_wait = mpi_sum_wait,
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
