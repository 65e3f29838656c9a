/* import_wrap.c: the wrappers that training programs put around a state dict: torch.compile's
 * _orig_mod, DataParallel's module, dicts of checkpoints one or two levels deep (state_dict, model,
 * g_ema ...). One rule for all: parts without a meaning go; a network is found by its own tensors,
 * wherever it lies, and named by what its dict is called. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "io/formats/path.h"
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

/* The next word of a name in small letters: "modelEma", "G_ema" -> "model", "ema", "g", "ema". */
static bool word_next(const char **at, const char *end, char word[24]) {
  const char *p = *at;
  size_t n = 0;
  while (p < end && !isalnum((unsigned char)*p)) p++;
  for (const char *start = p; p < end && isalnum((unsigned char)*p); p++) {
    if (p > start && isupper((unsigned char)*p) && islower((unsigned char)p[-1])) break;
    if (n < 23) word[n++] = (char)tolower((unsigned char)*p);
  }
  word[n] = 0;
  *at = p;
  return n > 0;
}

/* Does a word of the dicts around it call the network an average? */
static bool is_average(const char *prefix, size_t len) {
  static const char *const average[] = {"ema", "gema",    "avg",    "average", "averaged", "swa",
                                        "gs",  "running", "shadow", "smooth",  "smoothed", NULL};
  char word[24];
  for (const char *at = prefix; word_next(&at, prefix + len, word);)
    for (int k = 0; average[k]; k++)
      if (!strcmp(word, average[k])) return true;
  return false;
}

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
  static const char *const plain[] = {"G", "gen", "generator", "netG", NULL};
  if (!generator) return ROLE_D;
  return is_average(prefix, len) ? ROLE_EMA : prefix_is(prefix, len, plain) ? ROLE_G : ROLE_COUNT;
}

/* prefix: of the network that is taken in each role, [ROLE_COUNT]: of a generator whose dict has no
 * known name; second: of one more that claims the same role; count: how many do */
typedef struct Found {
  char prefix[ROLE_COUNT + 1][256];
  char second[ROLE_COUNT + 1][256];
  int count[ROLE_COUNT + 1];
} Found;

/* Is prefix a better claim to role r than the one before? The name that it has here; a
 * discriminator that is no average; the shortest way. */
static bool found_better(const Found *f, Role r, const char *prefix) {
  const char *old = f->prefix[r];
  if (!f->count[r]) return true;
  if (r < ROLE_COUNT && (!strcmp(prefix, role_name[r]) || !strcmp(old, role_name[r])))
    return !strcmp(prefix, role_name[r]);
  const bool average = is_average(prefix, strlen(prefix));
  if (r == ROLE_D && average != is_average(old, strlen(old))) return !average;
  return strlen(prefix) < strlen(old);
}

/* Remembers the network whose tensor `mark` ends this name. */
static void found_add(Found *f, const char *name, const char *mark, bool generator) {
  const size_t n = strlen(name), k = strlen(mark);
  char prefix[sizeof f->prefix[0]];
  if (n < k || n - k >= sizeof prefix || strcmp(name + n - k, mark)) return;
  if (n > k && name[n - k - 1] != '.') return;
  memcpy(prefix, name, n - k);
  prefix[n - k] = 0;
  const Role r = prefix_role(name, n - k, generator);
  const bool better = found_better(f, r, prefix);
  if (f->count[r]) memcpy(f->second[r], better ? f->prefix[r] : prefix, sizeof prefix);
  if (better) memcpy(f->prefix[r], prefix, sizeof prefix);
  f->count[r]++;
}

/* Several generators of which none is called the average, or several that are, and none has the
 * name that it has here: the wrong one would make images without a word. */
static Status found_check(const Import *im, const Found *f, Error *e) {
  char a[80], b[80];
  const int ema = f->count[ROLE_EMA], G = f->count[ROLE_G], other = f->count[ROLE_COUNT];
  const Role r = ema ? ROLE_EMA : G ? ROLE_G : ROLE_COUNT;
  if ((ema ? ema : G + other) < 2) return ST_OK;
  if (ema && !strcmp(f->prefix[r], role_name[r])) return ST_OK;
  const char *one = f->prefix[r], *two = f->count[r] > 1 ? f->second[r] : f->prefix[ROLE_COUNT];
  return err_set(e, ST_FORMAT,
                 "%s: %d %sgenerators in it, \"%s*\" and \"%s*\" among them; expected one that is "
                 "called an average (G_ema, ema); save the one that is meant alone",
                 im->path, ema ? ema : G + other, ema ? "averaged " : "", str_shown(one, a),
                 str_shown(two, b));
}

/* A generator that is left out beside the average is named. */
static void found_left_out(Import *im, const Found *f) {
  const char *raw = f->prefix[ROLE_COUNT];
  if (f->count[ROLE_EMA] && f->count[ROLE_COUNT])
    snprintf(im->dropped_what, sizeof im->dropped_what,
             "the generator \"%.40s*\" beside the average, among others", *raw ? raw : "(bare)");
}

/* The network with the longest prefix of this name; ROLE_COUNT: none. */
static int found_owner(const Found *f, const char *name) {
  int best = ROLE_COUNT;
  size_t most = 0;
  for (int r = 0; r < ROLE_COUNT; r++) {
    const size_t len = strlen(f->prefix[r]);
    if (!f->count[r] || strncmp(name, f->prefix[r], len) || !name[len]) continue;
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
  if (!f->count[ROLE_EMA] && !f->count[ROLE_G]) { /* in a dict of another name: the average */
    f->count[ROLE_EMA] = 1;
    memcpy(f->prefix[ROLE_EMA], f->prefix[ROLE_COUNT], sizeof f->prefix[0]);
    if (!f->prefix[ROLE_EMA][0] && !f->count[ROLE_D]) return ST_OK;
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
  TRY(found_check(im, &f, e));
  found_left_out(im, &f);
  if (f.count[ROLE_EMA] || f.count[ROLE_G] || f.count[ROLE_COUNT]) return networks_name(im, &f, e);
  for (int level = 0; level < 3 && dict_strip(im); level++) {}
  return ST_OK;
}
