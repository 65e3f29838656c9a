/* import_wrap.c: the wrappers that training programs put around a state dict: torch.compile's
 * _orig_mod, DataParallel's module, dicts of checkpoints one or two levels deep (state_dict, model,
 * g_ema ...). One rule for all: parts without a meaning go; a network is found by its own tensors,
 * wherever it lies, and named by what its dict is called. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "models/store/import.h"

/* ---- parts of names ---- */
/* Takes every whole part `part` but the last one out of name, in place. */
static bool name_cut(char *name, const char *part) {
  const size_t len = strlen(part);
  bool cut = false;
  for (char *at = name; *at;) {
    char *dot = strchr(at, '.');
    if (!dot) break;
    if ((size_t)(dot - at) == len && !memcmp(at, part, len)) {
      memmove(at, dot + 1, strlen(dot + 1) + 1);
      cut = true;
    } else
      at = dot + 1;
  }
  return cut;
}

static bool names_cut(const Import *im, const char *part) {
  char name[512];
  for (int i = 0; i < im->ntensor; i++) {
    snprintf(name, sizeof name, "%s", im->tensor[i].name);
    if (!name_cut(name, part)) continue;
    if (import_find(im, name))
      return false; /* would be two of one name: the part means something */
  }
  return true;
}

static void parts_remove(Import *im, const char *part) {
  if (!names_cut(im, part)) return;
  for (int i = 0; i < im->ntensor; i++) name_cut(im->tensor[i].name, part);
}

/* ---- networks ---- */
typedef enum { ROLE_EMA, ROLE_G, ROLE_D, ROLE_COUNT } Role;
static const char *const role_name[ROLE_COUNT] = {"G_ema.", "G.", "D."};

/* Is the last part of prefix "a.b.c." one of these names, in letters of either case? */
static bool prefix_is(const char *prefix, size_t len, const char *const *names) {
  size_t start = len ? len - 1 : 0;
  while (start > 0 && prefix[start - 1] != '.') start--;
  for (; len && *names; names++)
    if (strlen(*names) == len - 1 - start && !strncasecmp(prefix + start, *names, len - 1 - start))
      return true;
  return false;
}

static Role prefix_role(const char *prefix, size_t len, bool generator) {
  static const char *const ema[] = {"G_ema",    "gema",        "generator_ema", "ema_generator",
                                    "ema",      "model_ema",   "ema_model",     "params_ema",
                                    "netG_ema", "g_ema_model", "average",       NULL};
  static const char *const plain[] = {"G", "gen", "generator", "netG", NULL};
  if (!generator) return ROLE_D;
  return prefix_is(prefix, len, ema)     ? ROLE_EMA
         : prefix_is(prefix, len, plain) ? ROLE_G
                                         : ROLE_COUNT;
}

typedef struct Found {
  char prefix[ROLE_COUNT][256];
  bool have[ROLE_COUNT];
  char other[256]; /* prefix of a generator whose dict has no known name */
  int others;
} Found;

/* Remembers the network whose tensor `mark` ends this name; the shortest way to it, or the name
 * that it has here. */
static void found_add(Found *f, const char *name, const char *mark, bool generator) {
  const size_t n = strlen(name), k = strlen(mark);
  if (n < k || n - k >= sizeof f->other || strcmp(name + n - k, mark)) return;
  if (n > k && name[n - k - 1] != '.') return;
  const Role r = prefix_role(name, n - k, generator);
  char *to = r == ROLE_COUNT ? f->other : f->prefix[r];
  f->others += r == ROLE_COUNT;
  if (r != ROLE_COUNT && f->have[r]) {
    const bool ours = n - k == strlen(role_name[r]) && !memcmp(name, role_name[r], n - k);
    if (!ours && n - k >= strlen(f->prefix[r])) return;
  }
  if (r != ROLE_COUNT) f->have[r] = true;
  memcpy(to, name, n - k);
  to[n - k] = 0;
}

/* The network with the longest prefix of this name; ROLE_COUNT: none. */
static int found_owner(const Found *f, const char *name) {
  int best = ROLE_COUNT;
  size_t most = 0;
  for (int r = 0; r < ROLE_COUNT; r++) {
    const size_t len = strlen(f->prefix[r]);
    if (!f->have[r] || strncmp(name, f->prefix[r], len) || !name[len]) continue;
    if (best != ROLE_COUNT && len <= most) continue;
    best = r;
    most = len;
  }
  return best;
}

/* Names of the networks that were found become G_ema., G., D.; a network alone under bare names and
 * everything else is left for those who know it. */
static Status networks_name(Import *im, Found *f, Error *e) {
  char name[800];
  if (!f->have[ROLE_EMA] && !f->have[ROLE_G]) { /* in a dict of another name: the average */
    f->have[ROLE_EMA] = true;
    memcpy(f->prefix[ROLE_EMA], f->other, sizeof f->other);
    if (!f->other[0] && !f->have[ROLE_D]) return ST_OK;
  }
  for (int i = 0; i < im->ntensor; i++) {
    const int r = found_owner(f, im->tensor[i].name);
    if (r == ROLE_COUNT) continue;
    snprintf(name, sizeof name, "%s%.512s", role_name[r],
             im->tensor[i].name + strlen(f->prefix[r]));
    TRY(import_rename(&im->tensor[i], name, e));
  }
  return ST_OK;
}

/* ---- other dicts ---- */
/* "state_dict.x" -> "x". When only a part of the tensors is inside one of the first three, that
 * part is the network. */
static bool dict_strip(Import *im) {
  static const char *const wrapper[] = {
      "state_dict.", "model_state_dict.", "params_ema.", "model.", "net.", "vgg16.", "vgg."};
  bool any = false;
  for (int k = 0; k < COUNT_OF(wrapper); k++) {
    const size_t len = strlen(wrapper[k]);
    int inside = 0;
    for (int i = 0; i < im->ntensor; i++)
      inside += !strncmp(im->tensor[i].name, wrapper[k], len) && im->tensor[i].name[len];
    if (!inside || (inside < im->ntensor && k > 2)) continue;
    for (int i = im->ntensor - 1; i >= 0; i--)
      if (strncmp(im->tensor[i].name, wrapper[k], len) != 0 || !im->tensor[i].name[len])
        import_drop(im, i);
    for (int i = 0; i < im->ntensor; i++)
      memmove(im->tensor[i].name, im->tensor[i].name + len, strlen(im->tensor[i].name + len) + 1);
    if (im->dropped)
      snprintf(im->dropped_what, sizeof im->dropped_what, "outside \"%.*s\"", (int)len - 1,
               wrapper[k]);
    any = true;
  }
  return any;
}

Status import_unwrap(Import *im, Error *e) {
  Found f = {0};
  parts_remove(im, "_orig_mod");
  parts_remove(im, "module");
  for (int i = 0; i < im->ntensor; i++) {
    found_add(&f, im->tensor[i].name, "synthesis.b4.const", true);
    found_add(&f, im->tensor[i].name, "b4.out.weight", false);
  }
  if (f.have[ROLE_EMA] || f.have[ROLE_G] || f.others == 1) return networks_name(im, &f, e);
  for (int level = 0; level < 3 && dict_strip(im); level++) {}
  return ST_OK;
}
