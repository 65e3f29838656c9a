/* source.h: a source file as the style checker reads it: lines, and the same lines with comments
 * and the insides of strings blanked, so that rules about code see only code. */
#ifndef PRLX_HOUSE_SOURCE_H
#define PRLX_HOUSE_SOURCE_H
#include <stdbool.h>
#include <stddef.h>

typedef enum { LANG_C, LANG_SHELL, LANG_MAKE } Lang;

typedef struct Source {
  const char *path;
  Lang lang;
  char *text;    /* the file, lines ended by NUL in place of the newline */
  char *code;    /* as long as text; comments are blanks, insides of strings are 's' */
  char *comment; /* as long as text; 1 where a character belongs to a comment */
  size_t len;    /* bytes of text, without the NUL at its end */
  size_t *line;  /* offset of each line; line[lines] is one past the end */
  int lines;
  bool ends_well; /* the last line ends with one newline */
} Source;

/* Reads `path`. False, with a message on stderr, when it cannot be read or holds a NUL. */
bool source_read(Source *s, const char *path);
void source_free(Source *s);

/* Line n (from 0): as it stands, and as code only. */
const char *source_line(const Source *s, int n);
const char *source_code(const Source *s, int n);

/* Whether line n has nothing but blanks, is or ends a comment, is a preprocessor line (continued
 * ones too). */
bool source_is_blank(const Source *s, int n);
bool source_has_comment(const Source *s, int n);
bool source_is_directive(const Source *s, int n);

/* The line that holds offset `at`. */
int source_line_of(const Source *s, size_t at);

/* Columns of a line: characters, not bytes. */
int source_columns(const char *line);
#endif
