/* environment.c: see environment.h. */
#include "tools/cli/environment.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/bf16.h"
#include "core/isa.h"
#include "core/os.h"
#include "core/threads.h"
#include "tools/cli/tool.h"

#ifndef environ /* a macro on Windows */
extern char **environ;
#endif

/* Says whether the value will do; if not, `want` gets what would. */
typedef bool VariableCheck(const char *value, char *want, size_t n);

static bool check_threads(const char *value, char *want, size_t n) {
  char *end;
  errno = 0;
  const long threads = strtol(value, &end, 10);
  snprintf(want, n, "a whole number from 1 to %d", MAX_WORKERS);
  return value[0] >= '0' && value[0] <= '9' && !*end && !errno && threads >= 1 &&
         threads <= MAX_WORKERS;
}

static bool check_isa(const char *value, char *want, size_t n) {
  size_t used = (size_t)snprintf(want, n, "an instruction set of this build and machine:");
  for (IsaLevel i = ISA_PORTABLE; i < ISA_COUNT; i++) {
    if (!isa_has(i)) continue;
    used += (size_t)snprintf(want + used, n - used, " %s", isa_name(i));
    if (!strcmp(value, isa_name(i))) return true;
  }
  for (int w = BF16_VECTORS; w <= (int)bf16_machine_way(); w++) {
    used += (size_t)snprintf(want + used, n - used, " %s", bf16_name((Bf16Way)w));
    if (!strcmp(value, bf16_name((Bf16Way)w))) return true;
  }
  return false;
}

static bool check_conv(const char *value, char *want, size_t n) {
  static const char *const names[] = {"auto", "direct", "winograd", "winograd2"};
  snprintf(want, n, "auto, direct, winograd or winograd2");
  for (int i = 0; i < COUNT_OF(names); i++)
    if (!strcmp(value, names[i])) return true;
  return false;
}

static bool check_tile(const char *value, char *want, size_t n) {
  int tile, splits, used = 0;
  snprintf(want, n, "TILE,SPLITS such as 128,3");
  return sscanf(value, "%d,%d%n", &tile, &splits, &used) == 2 && !value[used] &&
         (tile == 0 || tile == 64 || tile == 128) && splits >= 0 && splits <= 64;
}

static bool check_switch(const char *value, char *want, size_t n) {
  snprintf(want, n, "0 or 1");
  return !strcmp(value, "0") || !strcmp(value, "1");
}

static bool check_data(const char *value, char *want, size_t n) {
  snprintf(want, n, "the folder of the bundled files");
  return os_is_folder(value);
}

static bool check_dump(const char *value, char *want, size_t n) {
  snprintf(want, n, "a folder that is there and can be written to");
  return os_is_folder(value) && os_can_write_folder(value);
}

static bool check_layout(const char *value, char *want, size_t n) {
  snprintf(want, n, "planes or last");
  return !strcmp(value, "planes") || !strcmp(value, "last");
}

static bool check_bucket(const char *value, char *want, size_t n) {
  char *end;
  errno = 0;
  const long long bytes = strtoll(value, &end, 10);
  snprintf(want, n, "bytes of gradients, from 0 to %lld", 1LL << 40);
  return value[0] >= '0' && value[0] <= '9' && !*end && !errno && bytes <= 1LL << 40;
}

static const struct Variable {
  const char *name;
  VariableCheck *check;
} variables[] = {
    {"PRLX_THREADS", check_threads},    {"PRLX_ISA", check_isa},
    {"PRLX_CONV", check_conv},          {"PRLX_CUDA_CONV", check_tile},
    {"PRLX_DATA", check_data},          {"PRLX_DUMP", check_dump},
    {"PRLX_CUDA_WGMMA", check_switch},  {"PRLX_BUCKET", check_bucket},
    {"PRLX_CUDA_LAYOUT", check_layout},
};

static int check_value(const struct Variable *v) {
  char want[160];
  const char *value = getenv(v->name);
  if (!value || !*value || v->check(value, want, sizeof want)) return -1;
  fprintf(stderr, "prlx: environment variable %s: '%.200s'; expected %s; correct or unset it\n",
          v->name, value, want);
  return EXIT_USAGE;
}

/* PRLX_THREAD=4 would be ignored in silence. */
static int check_name(const char *name) {
  int best = 3;
  const char *near = NULL;
  for (int i = 0; i < COUNT_OF(variables); i++) {
    const int d = opts_distance(name, variables[i].name);
    if (d == 0) return -1;
    if (d < best) best = d, near = variables[i].name;
  }
  if (!near) return -1;
  fprintf(stderr, "prlx: environment variable %s is unknown; did you mean %s? rename or unset it\n",
          name, near);
  return EXIT_USAGE;
}

int environment_check(void) {
  char name[64];
  for (int i = 0; i < COUNT_OF(variables); i++) {
    const int rc = check_value(&variables[i]);
    if (rc >= 0) return rc;
  }
  for (char **p = environ; p && *p; p++) {
    const size_t n = strcspn(*p, "=");
    if (strncmp(*p, "PRLX_", 5) || n >= sizeof name) continue;
    snprintf(name, sizeof name, "%.*s", (int)n, *p);
    const int rc = check_name(name);
    if (rc >= 0) return rc;
  }
  return -1;
}
