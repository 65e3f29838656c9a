/* import.c: `prlx import`: networks and weights of Python programs to our .safetensors files
 * (models/store/import.h). Says what it recognised, checks the published checksum where one is
 * known, and loads the result once before it gets its name, so that a file that is there can be
 * used; what is no known network is written with --any only. */
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/import.h"
#include "models/store/netfile.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

typedef struct Args {
  const char *out;
  const char *name;
  bool dry_run;
  bool ignore;
  bool any;
  int nets;
  double clamp;
  bool clamp_given;
} Args;
enum { NETS_ALL, NETS_EMA, NETS_G };

/* ---- what is said ---- */
static void print_file(const Import *im) {
  printf("%s: %s, %s\n", im->path, im->container, human_bytes((double)im->bytes));
  printf("  sha256      %s\n              %s\n", im->sha256, im->sha_note);
  printf("  recognised  %s\n", im->title);
}

static void print_config(const Import *im) {
  static const char *const key[] = {
      "z_dim",          "c_dim",        "w_dim",       "img_resolution", "img_channels",
      "mapping_layers", "channel_base", "channel_max", "conv_clamp",     "num_ws"};
  bool any = false;
  for (int k = 0; k < COUNT_OF(key); k++) {
    char full[40];
    snprintf(full, sizeof full, "G.%s", key[k]);
    const char *v = import_meta(im, full);
    if (v) printf("%s%s %s", any ? ", " : "  config      ", key[k], v);
    any |= v != NULL;
  }
  if (any) printf("\n");
}

static void print_tensors(const Import *im, bool all) {
  char shape[96];
  int renamed = 0, shown = 0;
  for (int k = 0; k < im->ntensor; k++)
    renamed += strcmp(im->tensor[k].name, im->tensor[k].from) != 0;
  printf("  tensors     %d, %lld numbers", im->ntensor, (long long)im->numbers);
  if (renamed) printf("; %d renamed", renamed);
  if (im->dropped)
    printf("; %d left out%s%s%s", im->dropped, im->dropped_what[0] ? " (" : "", im->dropped_what,
           im->dropped_what[0] ? ")" : "");
  printf("\n");
  for (int k = 0; k < im->ntensor && (all || shown < 3); k++) {
    bool same = !strcmp(im->tensor[k].name, im->tensor[k].from);
    if (!all && (same || !renamed)) continue;
    shown++;
    printf("    %-44s %-5s %-16s%s%s\n", im->tensor[k].name, dtype_name(im->tensor[k].dtype),
           shape_str(im->tensor[k].shape, shape), same ? "" : " from ",
           same ? "" : im->tensor[k].from);
  }
  if (!all && renamed > shown) printf("    ... (all of them: --dry-run)\n");
}

/* What a reader would miss in the result. */
static void print_skipped(const Import *im) {
  char shown[80];
  if (im->unread)
    printf("  note        %d tensor%s of types that are not read here and nothing needs, skipped: "
           "%s\n",
           im->unread, im->unread == 1 ? "" : "s", im->unread_what);
  if (im->torch.toolong)
    printf("  note        %d entr%s whose full name is longer than %d bytes, skipped: \"%s\"%s\n",
           im->torch.toolong, im->torch.toolong == 1 ? "y" : "ies", TORCH_MAX_NAME,
           str_shown(im->torch.longest, shown), im->torch.toolong == 1 ? "" : ", ...");
}

static void print_use(ImportKind k, const char *out) {
  switch (k) {
    case IMPORT_NETWORK:
      printf("use it: prlx generate --network %s; prlx project --network %s\n", out, out);
      break;
    case IMPORT_VGG: printf("use it: prlx project --vgg %s\n", out); break;
    case IMPORT_HEADS:
      printf("use it: prlx import vgg16-397923af.pth %s -o vgg16.safetensors\n", out);
      break;
    case IMPORT_INCEPTION:
      printf("use it: prlx fid (its option for Inception weights takes %s)\n", out);
      break;
    default: break;
  }
}

/* ---- work ---- */
static bool has_tensor(const Import *im, const char *ending) {
  for (int k = 0; k < im->ntensor; k++) {
    const char *name = im->tensor[k].name;
    const size_t n = strlen(name), m = strlen(ending);
    if (n >= m && !strcmp(name + n - m, ending) && (n == m || name[n - m - 1] == '.')) return true;
  }
  return false;
}

/* People save one module of a network; NULL: it is none of these. */
static const char *part_alone(const Import *im) {
  if (has_tensor(im, "b4.out.weight") && has_tensor(im, "b4.conv.weight")) return "a discriminator";
  if (has_tensor(im, "b4.const")) return "the synthesis network";
  if (has_tensor(im, "fc0.weight") && has_tensor(im, "w_avg")) return "the mapping network";
  return NULL;
}

/* What no command here could use is an error, not a result. */
static Status check_use(const Args *a, const Import *im, Error *e) {
  char first[80], last[80];
  const int n = im->ntensor;
  if (im->kind != IMPORT_STATE || a->any || a->dry_run) return ST_OK;
  const char *part = part_alone(im);
  if (part)
    return err_set(e, ST_FORMAT,
                   "%s: %s of a StyleGAN2-ADA network alone (%d tensors), which no command can "
                   "use; expected a whole generator; import the checkpoint it is from, or save "
                   "G_ema.state_dict(); --any writes its tensors all the same",
                   im->path, part, n);
  return err_set(
      e, ST_FORMAT,
      "%s: a state dict of no known network (%d tensor%s, %s%s%s); expected a StyleGAN2-ADA "
      "network, VGG16, LPIPS heads or Inception; --any writes its tensors all the same, "
      "which no command but info and export reads%s",
      im->path, n, n == 1 ? "" : "s", str_shown(im->tensor[0].name, first), n == 1 ? "" : " to ",
      n == 1 ? "" : str_shown(im->tensor[n - 1].name, last), import_shard_hint(im->path));
}

/* What speaks against a large file comes before its checksum, for which it is read to its end. */
static Status check_file(const Args *a, Import *im, Error *e) {
  uint64_t bytes = 0;
  if (im->bytes > IMPORT_SUM_LATER) TRY(check_use(a, im, e));
  for (int k = 0; k < im->ntensor; k++)
    bytes += (uint64_t)shape_numel(im->tensor[k].shape) * dtype_size(im->tensor[k].dtype);
  if (!a->dry_run && a->nets == NETS_ALL) TRY(file_room(a->out, bytes, e));
  return import_checksum(im, e);
}

/* A generator of any origin is one that the commands can load. A file of ours may also be something
 * else, a discriminator alone, say. */
static bool is_generator(const Import *im) {
  const char *format = import_meta(im, "format");
  if (im->kind == IMPORT_NETWORK) return true;
  if (im->kind != IMPORT_OURS || !format || strcmp(format, "prlx-network-1") != 0) return false;
  for (int k = 0; k < im->ntensor; k++)
    if (strncmp(im->tensor[k].name, "D.", 2) != 0) return true;
  return false;
}

/* Our own readers accept it? Their message names the temporary file; the user's file is meant. */
static Status import_verify(const Import *im, const char *path, Error *e) {
  Error inner = {0};
  Status s = ST_OK;
  Network net;
  Vgg v;
  if (is_generator(im)) {
    s = network_load(&net, path, &inner);
    if (s != ST_OK) goto failed;
    network_free(&net);
  } else if (im->kind == IMPORT_VGG) {
    s = vgg_load(&v, path, NULL, &inner);
    if (s != ST_OK) goto failed;
    vgg_free(&v);
  }
  return ST_OK;
failed:;
  size_t len = strlen(path);
  const char *text = !strncmp(inner.msg, path, len) ? inner.msg + len : inner.msg;
  return err_set(e, s, "%s%s%.800s", im->path, *text == ':' ? "" : ": ", text);
}

static Status write_checked(const Import *im, const char *out, Error *e) {
  char tmp[PATH_LEN], real_path[OS_PATH];
  OsInfo info;
  const bool there = os_info(out, &info) == 0, device = there && info.kind != OS_FILE;
  if (device || (!is_generator(im) && im->kind != IMPORT_VGG)) return import_write(im, out, e);
  if (there && os_real_path(out, real_path)) out = real_path; /* a link stays */
  TRY(file_beside(tmp, sizeof tmp, out, e));
  Status s = import_write(im, tmp, e);
  if (s != ST_OK) goto done;
  s = import_verify(im, tmp, e);
  if (s == ST_OK && os_replace(tmp, out) != 0)
    s = err_set(e, ST_IO, "%s: cannot be written (is it a folder?)", out);
  if (s != ST_OK) os_remove(tmp);
done:
  file_beside_done(tmp);
  return s;
}

/* How numbers made with these weights are to be called (models/gan/lpips.h). */
static Status name_vgg(Import *im, const Import *heads, const char *given, Error *e) {
  const char *base = path_base(im->path);
  bool own = import_find(im, "lin0") != NULL, torchvision = !strncmp(im->sha256, "397923af", 8);
  char name[96];
  if (given)
    snprintf(name, sizeof name, "%s", given);
  else
    snprintf(name, sizeof name, "%s%.40s%s, %s", torchvision ? "torchvision VGG16" : "VGG16 (",
             torchvision ? "" : base, torchvision ? "" : ")",
             heads ? "imported heads"
             : own ? "own heads"
                   : "LPIPS v0.1 heads");
  return import_set_meta(im, "name", name, e);
}

/* A VGG16 without heads gets the bundled ones, so that the file is whole. */
static Status add_bundled_heads(Import *im, Import *bundled, Error *e) {
  char path[1024];
  TRY(data_find("lpips_vgg_v0.1.safetensors", NULL, path, sizeof path, e));
  TRY(import_open(bundled, path, e));
  if (bundled->kind != IMPORT_HEADS)
    return err_set(e, ST_FORMAT, "%s: no LPIPS heads; restore the bundled file", path);
  return import_add_heads(im, bundled, e);
}

static Status import_adjust(Import *im, const Import *heads, Import *bundled, const Args *a,
                            Error *e) {
  if (heads) {
    if (im->kind != IMPORT_VGG || heads->kind != IMPORT_HEADS)
      return err_set(
          e, ST_INVALID,
          "%s and %s: two files go together only as VGG16 and LPIPS heads, in this order", im->path,
          heads->path);
    TRY(import_add_heads(im, heads, e));
  }
  if (im->kind == IMPORT_VGG) TRY(name_vgg(im, heads, a->name, e));
  if (im->kind == IMPORT_VGG && !import_find(im, "lin0")) TRY(add_bundled_heads(im, bundled, e));
  if (im->kind == IMPORT_NETWORK && a->nets != NETS_ALL)
    TRY(import_keep(im, a->nets == NETS_EMA ? "G_ema." : "G.", e));
  if (a->clamp_given && im->kind == IMPORT_NETWORK) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", a->clamp);
    if (import_meta(im, "G.conv_clamp") && strcmp(import_meta(im, "G.conv_clamp"), text) != 0)
      return err_set(e, ST_INVALID, "%s: the checkpoint says conv_clamp %s; leave out --conv-clamp",
                     im->path, import_meta(im, "G.conv_clamp"));
    TRY(import_set_meta(im, "G.conv_clamp", text, e));
  }
  return ST_OK;
}

static Status check_sum(const Import *im, bool ignore, Error *e) {
  if (im->sha_known >= 0 || ignore) return ST_OK;
  return err_set(e, ST_FORMAT,
                 "%s: SHA-256 %.16s... is %s; download it again, or give --ignore-checksum if you "
                 "changed it yourself",
                 im->path, im->sha256, im->sha_note);
}

static Status import_known(const Args *a, Import *im, Import *heads, Import *bundled, Error *e) {
  print_file(im);
  if (heads) print_file(heads);
  TRY(check_sum(im, a->ignore, e));
  if (heads) TRY(check_sum(heads, a->ignore, e));
  TRY(import_adjust(im, heads, bundled, a, e));
  TRY(check_use(a, im, e));
  print_config(im);
  if (!tool_quiet || a->dry_run) print_tensors(im, a->dry_run);
  print_skipped(im);
  fflush(stdout);
  if (a->dry_run) return ST_OK;
  TRY(write_checked(im, a->out, e));
  printf("written     %s\n", a->out);
  print_use(im->kind, a->out);
  return ST_OK;
}

static Status import_files(const Args *a, char **file, int nfile, Error *e) {
  Import im, heads = {0}, bundled = {0};
  if (!a->dry_run) TRY(outputs_file(a->out, "imported.sha256", e));
  TRY(import_open(&im, file[0], e));
  Status s = check_file(a, &im, e);
  if (s != ST_OK) goto done;
  if (nfile > 1) {
    s = import_open(&heads, file[1], e);
    if (s != ST_OK) goto done;
    s = import_checksum(&heads, e);
    if (s != ST_OK) goto done;
  }
  s = import_known(a, &im, nfile > 1 ? &heads : NULL, &bundled, e);
  if (bundled.path) import_close(&bundled);
done:
  if (heads.path) import_close(&heads);
  import_close(&im);
  return s;
}

int tool_import(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_STR("out", &a.out, NULL, "FILE",
              "the .safetensors file to write (-o; required without --dry-run)"),
      OPT_FLAG("dry-run", &a.dry_run, "no",
               "say what it is and which tensor gets which name; write nothing"),
      OPT_CHOICE("nets", &a.nets, "all", "all|G_ema|G",
                 "of a StyleGAN2-ADA checkpoint: which networks (G_ema is enough to generate and "
                 "project)"),
      OPT_REAL("conv-clamp", &a.clamp, NULL, -1, 1e9,
               "for a network saved as a plain state dict, which does not say it; -1 = none"),
      OPT_STR("name", &a.name, NULL, "TEXT", "VGG16: what numbers made with it are called"),
      OPT_FLAG("any", &a.any, "no",
               "write a state dict of no known network, too; without it that is an error,\nsince "
               "no command but info and export can use it"),
      OPT_FLAG("ignore-checksum", &a.ignore, "no",
               "import although the SHA-256 is not the one in the file's name"),
  };
  OptSpec spec = {.cmd = "import",
                  .summary = "networks and weights of Python programs -> .safetensors",
                  .details =
                      "FILE: StyleGAN2-ADA .pkl; torch .pth or .pt (legacy, zip, TorchScript "
                      "data); .safetensors. VGG16 and LPIPS heads may be given together.\n"
                      "Nothing in a file is executed: pickles are read by a machine that only "
                      "knows tensors, numbers and dicts.\n\n"
                      "  prlx import network-snapshot-025000.pkl -o paper.safetensors\n"
                      "  prlx import vgg16-397923af.pth vgg.pth -o vgg16.safetensors\n"
                      "  prlx import pt_inception-2015-12-05-6726825d.pth --dry-run\n\nWhere to "
                      "get them: data/README.md, \"Weights you can add\".",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "FILE [HEADS]",
                  .pos_min = 1,
                  .pos_max = 2};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  a.clamp_given = opts_given(&spec, "conv-clamp");
  if (!a.out && !a.dry_run) return tool_usage("import", "no --out FILE (or --dry-run)");
  Error e = {0};
  return import_files(&a, spec.args, spec.nargs, &e) == ST_OK ? EXIT_DONE : tool_fail("import", &e);
}
