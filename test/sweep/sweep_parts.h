/* sweep_parts.h: parts of the option sweep: argument lists, tables of options, folders. */
#ifndef PRLX_SWEEP_PARTS_H
#define PRLX_SWEEP_PARTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_ARGS = 64, MOST_ROWS = 120, LONGEST = 6000 };

/* Arguments, each a copy, NULL behind the last. */
typedef struct Argv {
  char *v[MOST_ARGS + 1];
  int n;
} Argv;

/* Adds a copy; the words of a line; takes all from number n on away again. */
void argv_add(Argv *a, const char *text);
void argv_split(Argv *a, const char *line);
void argv_cut(Argv *a, int n);

/* A line of `prlx COMMAND --help-table`. */
typedef struct Row {
  char name[64];
  char kind[16]; /* flag, text, whole, real, choice, size, list */
  double lo;
  double hi;
  char arg[300];   /* choice: a|b|c */
  char named[300]; /* options that its help names, each with a comma in front */
} Row;
typedef struct Table {
  Row row[MOST_ROWS];
  int n;
} Table;

/* Runs the words with --help-table; false: not a table. */
bool table_read(Table *t, const Argv *words);

/* Does the help of r name this option? */
bool row_names(const Row *r, const char *name);

/* Names and bytes of all files below a folder as one number; removing it. */
uint64_t tree_hash(const char *path);
/* The same of inodes, sizes, times of content and of status: no file can be written to without it
 * changing. */
uint64_t tree_stamp(const char *path);
void tree_remove(const char *path);

/* The first half of the file whose name is the first n bytes; false: it is none. */
bool file_half(const char *path, size_t n, const char *out);

/* Is a file of `before` gone from `path` or other than it was? New ones do not count. */
bool inputs_changed(const char *path, const char *before);
#endif
