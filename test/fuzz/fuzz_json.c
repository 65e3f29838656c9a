/* fuzz_json.c: the JSON reader on arbitrary bytes: any value, strings, numbers; and strings that
 * were read through the writer of log lines and back. */
#include "io/formats/json.h"
#include "io/formats/jsonl.h"
#include "test/fuzz/fuzz.h"

/* A text as value of a log line gives itself again. */
static void string_back(const char *text) {
  static Jsonl log = {.fd = -1};
  jsonl_begin(&log);
  jsonl_str(&log, "k", text);
  FUZZ_HOLDS(!log.failed);
  Json j;
  char *key, *back;
  json_init(&j, log.buf, log.len);
  FUZZ_HOLDS(json_take(&j, '{') && json_string(&j, &key) && json_take(&j, ':'));
  FUZZ_HOLDS(json_string(&j, &back) && json_done(&j));
  FUZZ_HOLDS(strcmp(back, text) == 0);
  mem_free(key);
  mem_free(back);
}

/* Text at this place, as one kind of value. */
static void one_value(const char *text, size_t n, int kind) {
  Json j;
  char *s;
  double x;
  uint64_t u;
  json_init(&j, text, n);
  if (kind == 0 && json_string(&j, &s)) {
    FUZZ_HOLDS(json_utf8(s));
    string_back(s);
    mem_free(s);
  }
  if (kind == 1) (void)json_number(&j, &x);
  if (kind == 2 && json_uint(&j, &u)) FUZZ_HOLDS(u <= INT64_MAX);
  FUZZ_HOLDS(j.at >= j.start && j.at <= j.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  char *text = malloc(n ? n : 1); /* no zero behind it */
  double x;
  Json j;
  if (n) memcpy(text, data, n);
  json_init(&j, text, n);
  const bool fine = json_skip(&j);
  FUZZ_HOLDS(fine == !j.why && j.at >= j.start && j.at <= j.end);
  (void)json_done(&j);
  for (size_t i = 0; i < n && i < 64; i++)
    if (text[i] == '"') one_value(text + i, n - i, 0);
  one_value(text, n, 1);
  one_value(text, n, 2);
  (void)json_object_number(text, n, "nimg", &x);
  free(text);
  FUZZ_HOLDS(mem_live_count() <= 1); /* the buffer of the log */
  return 0;
}
