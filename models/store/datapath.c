/* datapath.c: see datapath.h. */
#include "models/store/datapath.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"

/* Folder of the running program, with a slash at the end; "" where the system does not say. */
static void program_folder(char *out, size_t n) {
  char program[OS_PATH];
  snprintf(out, n, "%s", os_program(program) ? program : "");
  char *slash = strrchr(out, '/');
  if (slash)
    slash[1] = 0;
  else
    *out = 0;
}

static bool file_readable(char *out, size_t n, const char *folder, const char *below,
                          const char *name) {
  snprintf(out, n, "%s%s/%s", folder, below, name);
  return os_can_read(out);
}

/* false: nowhere; out is then ./data's path */
static bool data_locate(const char *name, char *out, size_t n) {
  char program[OS_PATH];
  const char *dir = getenv("PRLX_DATA");
  if (dir && *dir) return file_readable(out, n, dir, "", name);
  program_folder(program, sizeof program);
  if (*program && file_readable(out, n, program, "../data", name)) return true;
  if (*program && file_readable(out, n, program, "../share/prlx/data", name)) return true;
#ifdef PRLX_DATADIR
  if (file_readable(out, n, PRLX_DATADIR, "/data", name)) return true;
#endif
  return file_readable(out, n, "", "data", name);
}

const char *data_path(const char *name) {
  static char path[4400];
  data_locate(name, path, sizeof path);
  return path;
}

Status data_find(const char *name, const char *dir, char *out, size_t n, Error *e) {
  if (dir)
    return file_readable(out, n, dir, "", name)
               ? ST_OK
               : err_set(e, ST_IO,
                         "%s: not found; --data must name the folder with the bundled files", out);
  if (data_locate(name, out, n)) return ST_OK;
#ifdef PRLX_DATADIR
#define INSTALLED ", in " PRLX_DATADIR "/data"
#else
#define INSTALLED ""
#endif
  return err_set(e, ST_IO,
                 "%s: bundled file not found (looked beside the program" INSTALLED
                 ", in ./data%s); give its folder with --data or PRLX_DATA",
                 name, getenv("PRLX_DATA") ? ", in $PRLX_DATA" : "");
}
