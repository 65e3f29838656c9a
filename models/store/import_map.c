/* import_map.c: names of VGG16, LPIPS heads and the FID Inception. VGG16: Simonyan & Zisserman
 * 2014, configuration D; torchvision numbers the convolutions by their place among all layers. */
#include <stdio.h>
#include <string.h>
#include "models/store/import.h"

const int import_vgg_index[13] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int vgg_channels[13] = {64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512};
static const int head_channels[5] = {64, 128, 256, 512, 512};

/* ---- LPIPS heads ---- */
static const char *const head_names[] = {"lin%d.model.1.weight", "lins.%d.model.1.weight",
                                         "lin%d.weight", "lin%d"};

/* Head k under any of its names, [C] or [1,C,1,1]; -1 if absent. */
static int find_head(const Import *im, int k) {
  for (int j = 0; j < COUNT_OF(head_names); j++) {
    char name[48];
    snprintf(name, sizeof name, head_names[j], k);
    for (int i = 0; i < im->ntensor; i++)
      if (!strcmp(im->tensor[i].name, name)) return i;
  }
  return -1;
}

/* Renames lin0..lin4 where all five are there. *found says whether. */
static Status map_heads(Import *im, bool *found, Error *e) {
  *found = true;
  for (int k = 0; k < 5; k++) *found &= find_head(im, k) >= 0;
  Status s = ST_OK;
  for (int k = 0; k < 5 && *found && s == ST_OK; k++) {
    ImportTensor *t = &im->tensor[find_head(im, k)];
    char name[16], b[96];
    int64_t c = head_channels[k];
    if (!shape_eq(t->shape, SHAPE1(c)) && !shape_eq(t->shape, SHAPE4(1, c, 1, 1)))
      return err_set(e, ST_FORMAT,
                     "%s: head %s is %s; expected [1,%lld,1,1]: LPIPS heads for VGG16 (those for "
                     "AlexNet or SqueezeNet have other sizes)",
                     im->path, t->from, shape_str(t->shape, b), (long long)c);
    snprintf(name, sizeof name, "lin%d", k);
    t->shape = SHAPE1(c);
    s = import_rename(t, name, e);
  }
  return s;
}

static bool is_head(const char *name) {
  return !strncmp(name, "lin", 3) && name[3] >= '0' && name[3] <= '4' && !name[4];
}

Status import_map_heads(Import *im, bool *hit, Error *e) {
  Status s = map_heads(im, hit, e);
  if (s != ST_OK || !*hit) return s;
  for (int k = im->ntensor - 1; k >= 0; k--)
    if (!is_head(im->tensor[k].name)) import_drop(im, k);
  im->kind = IMPORT_HEADS;
  snprintf(im->title, sizeof im->title,
           "LPIPS heads for VGG16: lin0 .. lin4 (64, 128, 256, 512, 512 weights)");
  return ST_OK;
}

/* ---- VGG16 ---- */
static bool is_conv(const ImportTensor *t, int k) {
  return shape_eq(t->shape, SHAPE4(vgg_channels[k], k ? vgg_channels[k - 1] : 3, 3, 3));
}

/* "net.slice2.5.weight" -> "features.5.weight": the LPIPS package cuts torchvision's network in
 * slices and keeps the numbers. */
static Status strip_slices(Import *im, Error *e) {
  for (int i = 0; i < im->ntensor; i++) {
    const char *p = im->tensor[i].name;
    char name[200];
    if (!strncmp(p, "net.", 4)) p += 4;
    if (strncmp(p, "slice", 5) != 0 || p[5] < '1' || p[5] > '5' || p[6] != '.') continue;
    snprintf(name, sizeof name, "features.%s", p + 7);
    TRY(import_rename(&im->tensor[i], name, e));
  }
  return ST_OK;
}

/* Archives with other names (TorchScript): 13 convolutions of VGG16's shapes in its order, each
 * with its bias, and no other 3x3 convolution. Anything less is not taken for VGG16. weight[k],
 * bias[k]: places in im->t. */
static bool match_shapes(const Import *im, int weight[13], int bias[13]) {
  int n = 0;
  for (int i = 0; i < im->ntensor; i++) {
    const Shape *s = &im->tensor[i].shape;
    if (strstr(im->tensor[i].name, "running_mean")) return false; /* batch norm */
    if (s->rank != 4 || s->dim[2] != 3 || s->dim[3] != 3) continue;
    if (n == 13 || !is_conv(&im->tensor[i], n)) return false;
    weight[n++] = i;
  }
  for (int k = 0; k < 13 && n == 13; k++) {
    const char *name = im->tensor[weight[k]].name;
    size_t len = strlen(name);
    char want[220] = "";
    if (len >= 6 && !strcmp(name + len - 6, "weight"))
      snprintf(want, sizeof want, "%.*sbias", (int)(len - 6), name);
    bias[k] = -1;
    for (int i = 0; i < im->ntensor; i++)
      if (!strcmp(im->tensor[i].name, want)) bias[k] = i;
    if (bias[k] < 0 || !shape_eq(im->tensor[bias[k]].shape, SHAPE1(vgg_channels[k]))) return false;
  }
  return n == 13;
}

static Status rename_by_shape(Import *im, bool *hit, Error *e) {
  int weight[13], bias[13];
  *hit = match_shapes(im, weight, bias);
  for (int k = 0; k < 13 && *hit; k++) {
    char name[48];
    snprintf(name, sizeof name, "features.%d.weight", import_vgg_index[k]);
    TRY(import_rename(&im->tensor[weight[k]], name, e));
    snprintf(name, sizeof name, "features.%d.bias", import_vgg_index[k]);
    TRY(import_rename(&im->tensor[bias[k]], name, e));
  }
  return ST_OK;
}

/* All 26 tensors under torchvision's names, or an error that says which one is not VGG16's. */
static Status check_vgg(const Import *im, Error *e) {
  for (int k = 0; k < 13; k++) {
    char name[48], b[96];
    snprintf(name, sizeof name, "features.%d.weight", import_vgg_index[k]);
    const ImportTensor *w = import_find(im, name);
    snprintf(name, sizeof name, "features.%d.bias", import_vgg_index[k]);
    const ImportTensor *c = import_find(im, name);
    if (!w || !c)
      return err_set(e, ST_FORMAT,
                     "%s: features.%d is missing or incomplete; expected VGG16 without batch norm "
                     "(torchvision's vgg16-397923af.pth)",
                     im->path, import_vgg_index[k]);
    if (!is_conv(w, k) || !shape_eq(c->shape, SHAPE1(vgg_channels[k])))
      return err_set(e, ST_FORMAT,
                     "%s: %s is %s; VGG16 has [%d,%d,3,3] there; VGG11, 13, 19 and those with "
                     "batch norm cannot be used",
                     im->path, w->name, shape_str(w->shape, b), vgg_channels[k],
                     k ? vgg_channels[k - 1] : 3);
  }
  return ST_OK;
}

static bool is_feature(const char *name) {
  int n = 0, end = 0;
  if (sscanf(name, "features.%d.%n", &n, &end) != 1 || !end ||
      (strcmp(name + end, "weight") != 0 && strcmp(name + end, "bias") != 0))
    return false;
  for (int k = 0; k < 13; k++)
    if (import_vgg_index[k] == n) return true;
  return false;
}

Status import_map_vgg(Import *im, bool *hit, Error *e) {
  TRY(strip_slices(im, e));
  const ImportTensor *first = import_find(im, "features.0.weight");
  bool named = first && shape_eq(first->shape, SHAPE4(64, 3, 3, 3)), heads;
  *hit = named;
  TRY(named ? check_vgg(im, e) : rename_by_shape(im, hit, e));
  if (!*hit) return ST_OK;
  TRY(map_heads(im, &heads, e));
  for (int k = im->ntensor - 1; k >= 0; k--)
    if (!is_feature(im->tensor[k].name) && !(heads && is_head(im->tensor[k].name)))
      import_drop(im, k);
  im->kind = IMPORT_VGG;
  snprintf(im->dropped_what, sizeof im->dropped_what,
           "classifier and what else VGG16's features do not need");
  snprintf(im->title, sizeof im->title, "VGG16: 13 convolutions%s%s",
           named ? "" : " (told by their shapes)", heads ? " and LPIPS heads" : "");
  /* another normalisation is known (ours, Caffe's): it stays */
  if (import_meta(im, "mean")) return ST_OK;
  static const char *const meta[][2] = {{"range", "[0, 1]"},
                                        {"mean", "[0.485, 0.456, 0.406]"},
                                        {"std", "[0.229, 0.224, 0.225]"},
                                        {"order", "RGB"}};
  for (int k = 0; k < COUNT_OF(meta); k++) TRY(import_set_meta(im, meta[k][0], meta[k][1], e));
  return ST_OK;
}

/* ---- FID Inception ---- */
Status import_map_inception(Import *im, bool *hit, Error *e) {
  const ImportTensor *first = import_find(im, "Conv2d_1a_3x3.conv.weight"),
                     *fc = import_find(im, "fc.weight");
  *hit = first && shape_eq(first->shape, SHAPE4(32, 3, 3, 3)) &&
         import_find(im, "Mixed_7c.branch_pool.conv.weight");
  if (!*hit) return ST_OK;
  static const char *const bn[] = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
  int convs = 0, aux = 0;
  for (int i = 0; i < im->ntensor; i++) {
    size_t len = strlen(im->tensor[i].name);
    if (!strncmp(im->tensor[i].name, "AuxLogits.", 10)) {
      aux++;
      continue;
    }
    if (len < 12 || strcmp(im->tensor[i].name + len - 11, "conv.weight") != 0 ||
        im->tensor[i].shape.rank != 4)
      continue;
    if (++convs > 94) break;
    for (int k = 0; k < 4; k++) {
      char name[260];
      snprintf(name, sizeof name, "%.*s%s", (int)(len - 11), im->tensor[i].name, bn[k]);
      const ImportTensor *b = import_find(im, name);
      if (!b || !shape_eq(b->shape, SHAPE1(im->tensor[i].shape.dim[0])))
        return err_set(e, ST_FORMAT, "%s: Inception without a fitting %s; the file is incomplete",
                       im->path, name);
    }
  }
  if (convs != 94)
    return err_set(e, ST_FORMAT,
                   "%s: Inception with %s than 94 convolutions; not the one FID is defined on",
                   im->path, convs < 94 ? "fewer" : "more");
  for (int k = im->ntensor - 1; k >= 0; k--)
    if (!strncmp(im->tensor[k].name, "AuxLogits.", 10)) import_drop(im, k);
  snprintf(im->dropped_what, sizeof im->dropped_what, "auxiliary classifier");
  bool fid = fc ? fc->shape.rank == 2 && fc->shape.dim[0] == 1008 : !aux;
  im->kind = IMPORT_INCEPTION;
  snprintf(im->title, sizeof im->title,
           fid ? "the FID Inception: 94 convolutions, names kept"
               : "an Inception-v3 (94 convolutions, names kept), NOT the FID network: its "
                 "distances cannot be compared with published FIDs");
  return import_set_meta(im, "name",
                         fid ? "FID Inception, unverified" : "Inception-v3, not the FID network",
                         e);
}
