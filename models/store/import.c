/* import.c: opening a file of weights, checksums, the list of tensors, writing. Which tensor
 * becomes which: import_map.c, import_net.c. */
#include "models/store/import.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/kind.h"
#include "io/formats/path.h"
#include "io/formats/sha256.h"

/* ---- list of tensors ---- */
const ImportTensor *import_find(const Import *im, const char *name) {
  for (int k = 0; k < im->ntensor; k++)
    if (!strcmp(im->tensor[k].name, name)) return &im->tensor[k];
  return NULL;
}

Status import_rename(ImportTensor *t, const char *name, Error *e) {
  if (!strcmp(t->name, name)) return ST_OK;
  char *copy = mem_strdup(name);
  if (!copy) return err_set(e, ST_NOMEM, "out of memory");
  mem_free(t->name);
  t->name = copy;
  return ST_OK;
}

static void tensor_free(ImportTensor *t) {
  mem_free(t->name);
  mem_free(t->from);
}

static bool is_read(const ImportTensor *t) { return !t->type && dtype_readable(t->dtype); }

/* The file's names of tensors that are left out because their type is not read. */
static void note_unread(Import *im, const ImportTensor *t) {
  char shown[80], one[160];
  const size_t len = strlen(im->unread_what);
  snprintf(one, sizeof one, "%s\"%s\" (%s)", im->unread ? ", " : "", str_shown(t->from, shown),
           t->type ? t->type : dtype_name(t->dtype));
  const bool fits = len + strlen(one) + 8 < sizeof im->unread_what;
  const bool ended = len >= 5 && !strcmp(im->unread_what + len - 5, ", ...");
  if (fits && !ended)
    memcpy(im->unread_what + len, one, strlen(one) + 1);
  else if (!ended)
    memcpy(im->unread_what + len, ", ...", 6);
  im->unread++;
}

void import_drop(Import *im, int k) {
  if (!is_read(&im->tensor[k])) note_unread(im, &im->tensor[k]);
  tensor_free(&im->tensor[k]);
  memmove(im->tensor + k, im->tensor + k + 1, (size_t)(im->ntensor - k - 1) * sizeof *im->tensor);
  im->ntensor--;
  im->dropped++;
}

bool import_number(const Import *im, const ImportTensor *t, int64_t i, double *v) {
  (void)im;
  if (!is_read(t)) return false;
  if (i < 0 || i >= shape_numel(t->shape)) return false;
  StTensor one = {.dtype = t->dtype,
                  .shape = SHAPE0(),
                  .data = (const char *)t->data + (size_t)i * dtype_size(t->dtype),
                  .bytes = dtype_size(t->dtype)};
  st_to_f64(&one, v);
  return true;
}

Status import_list(Import *im, const char *name, DType dtype, Shape shape, const void *data,
                   Error *e) {
  ImportTensor *t = &im->tensor[im->ntensor];
  *t = (ImportTensor){mem_strdup(name), mem_strdup(name), dtype, shape, data, NULL};
  im->ntensor++;
  return t->name && t->from
             ? ST_OK
             : err_set(e, ST_NOMEM, "%s: out of memory for the list of tensors", im->path);
}

static Status list_tensors(Import *im, Error *e) {
  int n = im->is_safetensors ? im->st.ntensor : im->torch.count;
  im->tensor = mem_alloc((size_t)n * sizeof *im->tensor);
  if (!im->tensor)
    return err_set(e, ST_NOMEM, "%s: out of memory for the list of tensors", im->path);
  for (int k = 0; k < n; k++) {
    const StTensor *a = im->is_safetensors ? &im->st.tensor[k] : NULL;
    const TorchTensor *b = a ? NULL : &im->torch.tensor[k];
    TRY(a ? import_list(im, a->name, a->dtype, a->shape, a->data, e)
          : import_list(im, b->name, b->dtype, b->shape, b->data, e));
    if (b && b->type[0]) im->tensor[k].type = b->type;
  }
  return ST_OK;
}

/* ---- metadata ---- */
const char *import_meta(const Import *im, const char *key) {
  for (int k = 0; k < im->nmeta; k++)
    if (!strcmp(im->meta[k].key, key)) return im->meta[k].value;
  return NULL;
}

Status import_set_meta(Import *im, const char *key, const char *value, Error *e) {
  char *v = mem_strdup(value);
  if (!v) return err_set(e, ST_NOMEM, "%s: out of memory", im->path);
  for (int k = 0; k < im->nmeta; k++)
    if (!strcmp(im->meta[k].key, key)) {
      mem_free(im->meta[k].value);
      im->meta[k].value = v;
      return ST_OK;
    }
  if (im->nmeta == im->metacap) {
    int next = im->metacap ? im->metacap * 2 : 16;
    void *p =
        mem_grow(im->meta, (size_t)im->nmeta * sizeof *im->meta, (size_t)next * sizeof *im->meta);
    if (p) {
      im->meta = p;
      im->metacap = next;
    }
  }
  char *k = im->nmeta < im->metacap ? mem_strdup(key) : NULL;
  if (!k) {
    mem_free(v);
    return err_set(e, ST_NOMEM, "%s: out of memory", im->path);
  }
  im->meta[im->nmeta++] = (StMeta){k, v};
  return ST_OK;
}

/* ---- checksums ---- */
/* Published files: SHA-256 as far as it is published (PyTorch puts the first 8 digits into file
 * names). */
static const struct {
  const char *sha;
  const char *what;
} known[] = {
    {"db6a0f007650b453351d0db25ba86cdf287b8672b01114ea4926295904d79752",
     "the paper's network (huggingface.co/agr78/PRLx-GAN, network-snapshot-025000.pkl)"},
    {"397923af", "torchvision's vgg16-397923af.pth"},
    {"a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
     "LPIPS heads v0.1 for VGG16 (richzhang/PerceptualSimilarity)"},
    {"6726825d", "the FID Inception, pt_inception-2015-12-05-6726825d.pth"},
};

/* Eight hexadecimal digits between the last '-' and the extension. */
static bool hash_in_name(const char *path, char out[9]) {
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
             *dash = strrchr(base, '-');
  if (!dash || strspn(dash + 1, "0123456789abcdef") != 8 || dash[9] != '.') return false;
  memcpy(out, dash + 1, 8);
  out[8] = 0;
  return true;
}

static void check_sha(Import *im) {
  char want[9];
  bool named = hash_in_name(im->path, want), fits = named && !strncmp(im->sha256, want, 8);
  if (named && !fits) {
    im->sha_known = -1;
    snprintf(im->sha_note, sizeof im->sha_note,
             "NOT the %s of its name: damaged, cut short or changed", want);
    return;
  }
  for (int k = 0; k < COUNT_OF(known); k++)
    if (!strncmp(im->sha256, known[k].sha, strlen(known[k].sha))) {
      im->sha_known = 1;
      snprintf(im->sha_note, sizeof im->sha_note, "as published: %s", known[k].what);
      return;
    }
  im->sha_known = fits;
  snprintf(im->sha_note, sizeof im->sha_note,
           fits ? "as its name says (first 8 digits)" : "none known for this file");
}

Status import_checksum(Import *im, Error *e) {
  if (im->sha256[0]) return ST_OK;
  sha256_hex(im->map, im->bytes, im->sha256);
  check_sha(im);
  if (im->kind == IMPORT_INCEPTION && im->sha_known == 1 && !strncmp(im->sha256, "6726825d", 8))
    TRY(import_set_meta(im, "name", "FID Inception 2015-12-05", e));
  return import_set_meta(im, "imported.sha256", im->sha256, e);
}

/* ---- what is it ---- */
static Status name_other_format(const Import *im, Error *e) {
  const uint8_t *p = im->map;
  size_t n = im->bytes;
  const char *what = "not a file of weights that is known here";
  static const struct {
    const char *magic;
    size_t at;
    size_t n;
    const char *what;
  } other[] = {
      {"\x1f\x8b", 0, 2, "gzip-compressed; decompress it first"},
      {"\x89HDF\r\n\x1a\n", 0, 8, "HDF5 (Keras); save the weights with torch or safetensors"},
      {"ustar", 257, 5,
       "a tar archive (torch before 0.2, or an archive of files); unpack it, or save again with a "
       "current torch"},
      {"version https://git-lfs", 0, 23,
       "a Git LFS pointer, not the file itself; download the file with git lfs pull"},
      {"<!DOCTYPE", 0, 9,
       "a web page, not the file itself; download it again from the address of the raw file"},
      {"<html", 0, 5,
       "a web page, not the file itself; download it again from the address of the raw file"},
      {"GGUF", 0, 4, "GGUF"},
      {"{", 0, 1, "JSON without a weight_map, which an index of .safetensors files has"},
      {"\x08", 0, 1, "perhaps ONNX"},
      {"\x89PNG", 0, 4, "a PNG picture"},
      {"\x93NUMPY", 0, 6, "a numpy array; save it in a state dict"},
  };
  for (int k = 0; k < COUNT_OF(other); k++)
    if (n >= other[k].at + other[k].n && !memcmp(p + other[k].at, other[k].magic, other[k].n)) {
      what = other[k].what;
      break;
    }
  return err_set(e, ST_FORMAT, "%s: %s; expected .pkl, .pth or .pt of torch, or .safetensors",
                 im->path, what);
}

/* Safetensors: the length of a JSON object that begins at byte 8. */
static bool looks_like_safetensors(const uint8_t *p, size_t n) {
  uint64_t len = 0;
  for (int i = 0; i < 8 && n >= 9; i++) len |= (uint64_t)p[i] << (8 * i);
  return n >= 9 && p[8] == '{' && len >= 2 && len <= n - 8;
}

static Status import_recognise(Import *im, Error *e) {
  const char *format = im->is_safetensors ? st_meta(&im->st, "format") : NULL;
  for (int k = 0; im->is_safetensors && k < im->st.nmeta; k++)
    TRY(import_set_meta(im, im->st.meta[k].key, im->st.meta[k].value, e));
  if (format && !strncmp(format, "prlx-", 5)) {
    im->kind = IMPORT_OURS;
    snprintf(im->title, sizeof im->title, "a file of ours (%.60s): copied as it is", format);
    return ST_OK;
  }
  if (!im->ntensor && im->torch.container == TORCH_SCRIPT)
    return err_set(e, ST_FORMAT,
                   "%s: TorchScript without a named tensor (frozen: its weights are constants of "
                   "the code); take the state dict it was made from",
                   im->path);
  if (!im->ntensor)
    return err_set(
        e, ST_FORMAT,
        "%s: no tensors in it; expected a state dict or networks; save model.state_dict()",
        im->path);
  TRY(import_unwrap(im, e));
  static Status (*const map[])(Import *, bool *, Error *) = {
      import_map_network, import_map_vgg, import_map_heads, import_map_inception};
  bool hit = false;
  for (int k = 0; k < COUNT_OF(map) && !hit; k++) TRY(map[k](im, &hit, e));
  if (hit) return ST_OK;
  im->kind = IMPORT_STATE;
  snprintf(im->title, sizeof im->title, "a state dict of no known network: %d tensors, names kept",
           im->ntensor);
  return ST_OK;
}

/* Whether a tensor that is not read may go: the network does not need it, or it is an array beside
 * a dict of no known network (texts, the state of random numbers). */
static bool may_go(const Import *im, const ImportTensor *t) {
  if (im->kind == IMPORT_STATE) return t->type && !strncmp(t->type, "numpy ", 6);
  return im->kind == IMPORT_NETWORK && !import_net_needs(t->name);
}

/* Counts numbers. Tensors of types that are not read go, with a note, where nothing needs them;
 * else they are refused by name. */
static Status import_check_types(Import *im, Error *e) {
  char b[80];
  for (int k = im->ntensor - 1; k >= 0; k--) {
    const ImportTensor *t = &im->tensor[k];
    if (is_read(t)) {
      im->numbers += shape_numel(t->shape);
      continue;
    }
    if (!may_go(im, t))
      return err_set(e, ST_FORMAT,
                     "%s: tensor \"%s\" has numbers of type %s, which are not read here; expected "
                     "floating-point or integer weights; convert it first",
                     im->path, str_shown(t->from, b), t->type ? t->type : dtype_name(t->dtype));
    import_drop(im, k);
  }
  if (im->unread && !im->ntensor)
    return err_set(e, ST_FORMAT, "%s: nothing but arrays that are not read here: %.200s", im->path,
                   im->unread_what);
  return ST_OK;
}

/* What it has read so far is in im, for import_close. */
static Status import_load(Import *im, Error *e) {
  if (import_is_index(im->map, im->bytes)) {
    TRY(import_read_index(im, e));
  } else if (looks_like_safetensors(im->map, im->bytes)) {
    TRY(st_open_any(&im->st, im->path, e));
    im->is_safetensors = true;
    snprintf(im->container, sizeof im->container, "safetensors");
  } else if (str_ends_with(im->path, ".safetensors") && !file_kind(im->map, im->bytes)) {
    TRY(st_open_any(&im->st, im->path, e)); /* says what is wrong with it */
    im->is_safetensors = true;
  } else if (torch_is(im->map, im->bytes)) {
    TRY(torch_open(&im->torch, im->map, im->bytes, im->path, e));
    snprintf(im->container, sizeof im->container, "%s%s", torch_container_name(im->torch.container),
             torch_unchecked(&im->torch) ? " without checksums" : "");
    TRY(torch_collect(&im->torch, e));
  } else
    return name_other_format(im, e);
  if (!im->nshards) TRY(list_tensors(im, e));
  TRY(import_recognise(im, e));
  return import_check_types(im, e);
}

Status import_memory(Import *im, const uint8_t *data, size_t n, const char *name, Error *e) {
  memset(im, 0, sizeof *im);
  im->map = data;
  im->bytes = n;
  im->path = mem_strdup(name);
  Status s = im->path ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", name);
  if (s != ST_OK) goto done;
  s = looks_like_safetensors(data, n)
          ? err_set(e, ST_INVALID, "%s: safetensors are read from files only", name)
          : import_load(im, e);
done:
  im->map = NULL; /* not ours to unmap; the tensors still point into it */
  if (s != ST_OK) import_close(im);
  return s;
}

Status import_open(Import *im, const char *path, Error *e) {
  memset(im, 0, sizeof *im);
  int fd;
  int64_t bytes;
  char want[9];
  TRY(file_open(path, &fd, &bytes, e));
  im->bytes = (size_t)bytes;
  im->map = bytes ? os_map(fd, bytes) : NULL;
  os_close(fd);
  if (!bytes) return err_set(e, ST_FORMAT, "%s: is empty; download it again", path);
  if (!im->map)
    return err_set(e, ST_IO, "%s: %.1f MB cannot be mapped: %s", path, (double)bytes / 1e6,
                   strerror(errno));
  im->path = mem_strdup(path);
  Status s = im->path ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", path);
  if (s != ST_OK) goto done;
  s = import_load(im, e);
  /* every byte is read for it: not of a file that is nothing known and whose name promises nothing
   */
  if (im->bytes <= IMPORT_SUM_LATER && (s == ST_OK || hash_in_name(path, want))) {
    const Status sum = import_checksum(im, s == ST_OK ? e : NULL);
    s = s == ST_OK ? sum : s;
  }
done:
  if (s != ST_OK && im->sha_known < 0) { /* the likelier reason first */
    Error inner = e ? *e : (Error){0};
    err_set(e, s, "%s: its SHA-256 is %s (%.600s)", path, im->sha_note, inner.msg);
  }
  if (s != ST_OK) import_close(im);
  return s;
}

void import_close(Import *im) {
  for (int k = 0; k < im->ntensor; k++) tensor_free(&im->tensor[k]);
  mem_free(im->tensor);
  for (int k = 0; k < im->nmeta; k++) {
    mem_free(im->meta[k].key);
    mem_free(im->meta[k].value);
  }
  mem_free(im->meta);
  torch_close(&im->torch);
  if (im->is_safetensors) st_close(&im->st);
  for (int k = 0; k < im->nshards; k++) st_close(&im->shard[k]);
  mem_free(im->shard);
  if (im->map) os_unmap(im->map, (int64_t)im->bytes);
  mem_free(im->path);
  memset(im, 0, sizeof *im);
}

/* ---- changing the list, writing ---- */
Status import_keep(Import *im, const char *prefix, Error *e) {
  int hits = 0;
  for (int k = 0; k < im->ntensor; k++)
    hits += !strncmp(im->tensor[k].name, prefix, strlen(prefix));
  if (!hits)
    return err_set(e, ST_FORMAT, "%s: no tensors %s*; see what there is with --dry-run", im->path,
                   prefix);
  for (int k = im->ntensor - 1; k >= 0; k--)
    if (strncmp(im->tensor[k].name, prefix, strlen(prefix)) != 0) import_drop(im, k);
  /* a configuration without its network */
  for (int k = im->nmeta - 1; k >= 0 && strcmp(prefix, "D.") != 0; k--) {
    if (strncmp(im->meta[k].key, "D.", 2) != 0) continue;
    mem_free(im->meta[k].key);
    mem_free(im->meta[k].value);
    im->meta[k] = im->meta[--im->nmeta];
  }
  im->numbers = 0;
  for (int k = 0; k < im->ntensor; k++) im->numbers += shape_numel(im->tensor[k].shape);
  snprintf(im->dropped_what, sizeof im->dropped_what, "not %s*", prefix);
  return ST_OK;
}

Status import_add_heads(Import *vgg, const Import *heads, Error *e) {
  for (int k = vgg->ntensor - 1; k >= 0; k--)
    if (!strncmp(vgg->tensor[k].name, "lin", 3)) import_drop(vgg, k);
  ImportTensor *t = mem_grow(vgg->tensor, (size_t)vgg->ntensor * sizeof *t,
                             (size_t)(vgg->ntensor + heads->ntensor) * sizeof *t);
  if (!t) return err_set(e, ST_NOMEM, "%s: out of memory", vgg->path);
  vgg->tensor = t;
  for (int k = 0; k < heads->ntensor; k++) {
    TRY(import_list(vgg, heads->tensor[k].name, heads->tensor[k].dtype, heads->tensor[k].shape,
                    heads->tensor[k].data, e));
    vgg->numbers += shape_numel(heads->tensor[k].shape);
  }
  return ST_OK;
}

static Status import_add(StWriter *w, const Import *im, Error *e) {
  for (int k = 0; k < im->nmeta; k++) TRY(st_add_meta(w, im->meta[k].key, im->meta[k].value, e));
  for (int k = 0; k < im->ntensor; k++)
    TRY(st_add(w, im->tensor[k].name, im->tensor[k].dtype, im->tensor[k].shape, im->tensor[k].data,
               e));
  return ST_OK;
}

Status import_write(const Import *im, const char *path, Error *e) {
  StWriter *w = NULL;
  Error inner = {0};
  TRY(st_writer_new(&w, e));
  const Status s = import_add(w, im, &inner);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return err_set(e, s, "%s: %.900s", im->path, inner.msg);
}
