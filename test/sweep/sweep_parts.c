/* sweep_parts.c: see sweep_parts.h. */
#include "test/sweep/sweep_parts.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- arguments ---- */
void argv_add(Argv *a, const char *text) {
  if (a->n >= MOST_ARGS) exit(3);
  a->v[a->n] = strdup(text);
  if (!a->v[a->n]) exit(3);
  a->v[++a->n] = NULL;
}

void argv_split(Argv *a, const char *line) {
  char word[1000];
  for (int used; sscanf(line, " %999s%n", word, &used) == 1; line += used) argv_add(a, word);
}

void argv_cut(Argv *a, int n) {
  while (a->n > n) {
    free(a->v[--a->n]);
    a->v[a->n] = NULL;
  }
}

/* ---- tables ---- */
static bool row_parse(Row *r, char *line) {
  char *cell[7];
  line[strcspn(line, "\n")] = 0;
  for (int k = 0; k < 7; k++) {
    cell[k] = line;
    line = line ? strchr(line, '\t') : NULL;
    if (!line && k < 6) return false;
    if (line) *line++ = 0;
  }
  snprintf(r->name, sizeof r->name, "%.63s", cell[0]);
  snprintf(r->kind, sizeof r->kind, "%.15s", cell[1]);
  r->lo = atof(cell[2]);
  r->hi = atof(cell[3]);
  snprintf(r->arg, sizeof r->arg, "%.299s", cell[5]);
  snprintf(r->named, sizeof r->named, "%.298s,", cell[6]);
  return true;
}

bool table_read(Table *t, const Argv *words) {
  char command[8000] = "", line[2000];
  for (int i = 0; i < words->n; i++) {
    const size_t used = strlen(command);
    snprintf(command + used, sizeof command - used, "'%s' ", words->v[i]);
  }
  strcat(command, "--help-table");
  FILE *f = popen(command, "r");
  t->n = 0;
  while (f && t->n < MOST_ROWS && fgets(line, sizeof line, f))
    if (row_parse(&t->row[t->n], line)) t->n++;
  return f && pclose(f) == 0 && t->n > 0;
}

bool row_names(const Row *r, const char *name) {
  char text[80];
  snprintf(text, sizeof text, ",%s,", name);
  return strstr(r->named, text) != NULL;
}

/* ---- folders ---- */
static uint64_t hash_more(uint64_t h, const void *data, size_t n) {
  const uint8_t *p = data;
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  while (n--) h = (h ^ *p++) * 0x100000001b3u;
  return h;
}

static uint64_t file_hash(const char *path) {
  static uint8_t piece[1 << 16];
  uint64_t h = 1469598103934665603u;
  struct stat st;
  if (stat(path, &st) || !S_ISREG(st.st_mode)) return 1;
  FILE *f = fopen(path, "rb");
  if (!f) return 0;
  for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) h = hash_more(h, piece, n);
  fclose(f);
  return h;
}

bool file_half(const char *path, size_t n, const char *out) {
  char command[3000];
  struct stat st;
  snprintf(command, sizeof command, "%.*s", (int)n, path);
  if (stat(command, &st) || !S_ISREG(st.st_mode)) return false;
  snprintf(command, sizeof command, "head -c %lld '%.*s' >'%s'", (long long)st.st_size / 2, (int)n,
           path, out);
  return system(command) == 0;
}

/* Calls fn for every file below path, and for path itself where it is none; folders come after
 * what is in them. */
static void tree_walk(const char *path, void (*fn)(const char *path, bool folder, void *ctx),
                      void *ctx) {
  char below[5000];
  struct stat st;
  if (lstat(path, &st)) return;
  if (!S_ISDIR(st.st_mode)) {
    fn(path, false, ctx);
    return;
  }
  DIR *d = opendir(path);
  for (struct dirent *f; d && (f = readdir(d));) {
    if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..")) continue;
    snprintf(below, sizeof below, "%s/%s", path, f->d_name);
    tree_walk(below, fn, ctx);
  }
  if (d) closedir(d);
  fn(path, true, ctx);
}

/* A sum, so that the order of a folder does not matter. */
static void add_hash(const char *path, bool folder, void *ctx) {
  *(uint64_t *)ctx += hash_more(folder ? 1 : file_hash(path), path, strlen(path));
}

uint64_t tree_hash(const char *path) {
  uint64_t sum = 0;
  tree_walk(path, add_hash, &sum);
  return sum;
}

static void add_stamp(const char *path, bool folder, void *ctx) {
  struct stat st;
  if (lstat(path, &st)) return;
  const int64_t stamp[] = {(int64_t)st.st_ino,         (int64_t)st.st_size,
                           (int64_t)st.st_mtim.tv_sec, (int64_t)st.st_mtim.tv_nsec,
                           (int64_t)st.st_ctim.tv_sec, (int64_t)st.st_ctim.tv_nsec};
  *(uint64_t *)ctx += hash_more(hash_more(2, stamp, sizeof stamp), path, strlen(path));
}

uint64_t tree_stamp(const char *path) {
  uint64_t sum = 0;
  tree_walk(path, add_stamp, &sum);
  return sum;
}

static void remove_one(const char *path, bool folder, void *ctx) {
  if (folder ? rmdir(path) : unlink(path)) *(bool *)ctx = false;
}

void tree_remove(const char *path) {
  bool gone = true;
  tree_walk(path, remove_one, &gone);
}

typedef struct Compare {
  const char *path;
  size_t skip;
  bool changed;
} Compare;

static void compare_one(const char *before, bool folder, void *ctx) {
  Compare *c = ctx;
  char now[5000];
  if (folder || c->changed) return;
  snprintf(now, sizeof now, "%s%s", c->path, before + c->skip);
  c->changed = file_hash(now) != file_hash(before);
}

bool inputs_changed(const char *path, const char *before) {
  Compare c = {path, strlen(before), false};
  if (tree_hash(path) == tree_hash(before)) return false;
  tree_walk(before, compare_one, &c);
  return c.changed;
}
