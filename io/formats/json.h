/* json.h: a strict pull reader for JSON (RFC 8259) in memory. It allocates only the strings it
 * hands out, recurses nowhere, and stops at the first error: after one, every call returns false
 * and `why` says what was wrong, `p` where. */
#ifndef PRLX_IO_JSON_H
#define PRLX_IO_JSON_H
#include "core/base.h"
#define JSON_MAX_DEPTH 64
typedef struct Json {
  const char *start;
  const char *at; /* what is read next, up to end; after an error the place of it */
  const char *end;
  const char *why; /* NULL while all is well; a constant text */
  bool nomem;      /* the reason is lack of memory */
} Json;

/* Begins at text[0..n), which must outlive j. Nothing is to be freed. */
void json_init(Json *j, const char *text, size_t n);

/* Next character that is no white space; 0 at the end or after an error. Consumes nothing but white
 * space. */
char json_peek(Json *j);

/* Consume c: json_take stops with an error if something else is there, json_try only says no. */
bool json_take(Json *j, char c);
bool json_try(Json *j, char c);

/* A string, escapes resolved, as UTF-8; mem_free it. Refused: control characters, bad escapes, lone
 * surrogates, bad UTF-8, \u0000. */
bool json_string(Json *j, char **out);

/* A number of at most 63 characters. */
bool json_number(Json *j, double *out);

/* Digits only, no leading zero, < 2^63. */
bool json_uint(Json *j, uint64_t *out);

/* Any value, checked, nested up to JSON_MAX_DEPTH. */
bool json_skip(Json *j);

/* Whether only white space is left (and nothing went wrong). */
bool json_done(Json *j);

/* Stops with this reason, a constant text; the first one stays. Returns false. */
bool json_fail(Json *j, const char *why);

/* Whether a text is valid UTF-8, as JSON must be. */
bool json_utf8(const char *s);

/* Value of a top-level number field of the object in text[0..n); false if the text is no valid
 * object or the field is absent or no number. */
bool json_object_number(const char *text, size_t n, const char *key, double *out);

/* The same of a text, after a byte order mark, too; mem_free(*out), which is NULL if the field is
 * absent, no text, or the object not valid. ST_NOMEM. */
Status json_object_text(const char *text, size_t n, const char *key, char **out, Error *e);
#endif
