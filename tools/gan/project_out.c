/* project_out.c: the files of `prlx project`, except pictures. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "tools/cli/tool.h"
#include "tools/gan/image_volumes.h"
#include "tools/gan/project_impl.h"

const char *const solver_name[] = {"reference", "fast"};
const char *const space_name[] = {"w", "w-only", "w+", "w+only", "noise"};
const char *const focus_name[] = {"none", "centre", "mask"};

/* The reference as it is: its files say nothing that they did not say before there was a choice. */
static bool is_plain(const ProjectJob *j) {
  return j->a.solver == PRLX_SOLVER_REFERENCE && !j->a.tune && j->space == PRLX_SPACE_W &&
         !j->optimised && !j->a.in_place && j->a.focus == FOCUS_NONE && j->start == PRLX_START_MEAN;
}

static Status note_choices(ProjectJob *j, Error *e) {
  char text[64];
  if (is_plain(j)) return ST_OK;
  TRY(dataset_set_meta(&j->in, "denoised.solver", solver_name[j->a.solver], e));
  TRY(dataset_set_meta(&j->in, "denoised.space", space_name[j->space], e));
  TRY(dataset_set_meta(&j->in, "denoised.render", j->optimised ? "optimised" : "const", e));
  snprintf(text, sizeof text, "%s %g", focus_name[j->a.focus],
           j->a.focus == FOCUS_NONE ? 0 : j->a.focus_strength);
  TRY(dataset_set_meta(&j->in, "denoised.focus", text, e));
  if (j->a.in_place) {
    snprintf(text, sizeof text, "edge %g", j->a.edge);
    TRY(dataset_set_meta(&j->in, "denoised.in_place", text, e));
  }
  snprintf(text, sizeof text, "%d", j->a.tune);
  return j->a.tune ? dataset_set_meta(&j->in, "denoised.tuning_steps", text, e) : ST_OK;
}

static Status write_dataset(ProjectJob *j, Error *e) {
  char path[PATH_LEN], text[64];
  int64_t *labels = NULL;
  /* labels, names and meaning of the targets, other pixels; only the labels are its own */
  Dataset d = j->in;
  d.n = j->done;
  d.names = j->name;
  TRY(path_join(path, j->a.out, "targets.safetensors", e));
  TRY(dataset_save(&d, path, false, e));
  TRY(path_join(path, j->a.out, "denoised.safetensors", e));
  TRY(dataset_set_meta(&j->in, "denoised.network", j->a.network, e));
  TRY(dataset_set_meta(&j->in, "denoised.perceptual", prlx_vgg_name(j->vgg), e));
  snprintf(text, sizeof text, "%d", j->a.steps);
  TRY(dataset_set_meta(&j->in, "denoised.steps", text, e));
  snprintf(text, sizeof text, "%lld", (long long)j->a.seed);
  TRY(dataset_set_meta(&j->in, "denoised.seed", text, e));
  TRY(note_choices(j, e));
  d.images = (float *)project_results(j, 0); /* read only */
  d.meta = j->in.meta;
  d.nmeta = j->in.nmeta;
  if (j->cohort) {
    labels = mem_alloc((size_t)d.n * sizeof *labels);
    if (!labels) return err_set(e, ST_NOMEM, "%s: out of memory", path);
    /* what it is denoised for; the table says so too */
    for (int64_t k = 0; k < d.n; k++)
      labels[k] = d.labels[k] == CLASS_AMBIGUOUS ? CLASS_RIM : d.labels[k];
    d.labels = labels;
  }
  const Status s = dataset_save(&d, path, false, e);
  mem_free(labels);
  return s;
}

static Status add_w(const ProjectJob *j, StWriter *w, Error *e) {
  const int wd = prlx_network_w_dim(j->net);
  TRY(st_add_meta(w, "format", "prlx-latents-1", e));
  TRY(st_add_meta(w, "network", j->a.network, e));
  TRY(st_add_meta(w, "perceptual", prlx_vgg_name(j->vgg), e));
  TRY(st_add_metaf(w, e, "steps", "%d", j->a.steps));
  TRY(st_add_metaf(w, e, "seed", "%lld", (long long)j->a.seed));
  TRY(st_add_metaf(w, e, "w_std", "%.9g", prlx_projection_w_std(j->r)));
  TRY(st_add(w, "lpips", DT_F64, SHAPE1(j->done), api_lpips(j->r), e));
  if (!is_plain(j)) {
    TRY(st_add_meta(w, "solver", solver_name[j->a.solver], e));
    TRY(st_add_meta(w, "space", space_name[j->space], e));
    TRY(st_add_meta(w, "render", j->optimised ? "optimised" : "const", e));
    TRY(st_add_meta(w, "focus", focus_name[j->a.focus], e));
  }
  const int size = prlx_projection_w_size(j->r);
  const int64_t noise = prlx_projection_noise_size(j->r);
  const Shape shape = size == wd ? SHAPE2(j->done, wd) : SHAPE3(j->done, size / wd, wd);
  TRY(st_add(w, "w", DT_F32, shape, prlx_projection_w(j->r, 0), e));
  if (noise && j->optimised)
    TRY(st_add(w, "noise", DT_F32, SHAPE2(j->done, noise), prlx_projection_noise(j->r, 0), e));
  TRY(st_add(w, "w_avg", DT_F32, SHAPE1(wd), prlx_projection_w_avg(j->r), e));
  return st_add(w, "names", DT_U8, SHAPE2(j->done, 64), j->name, e);
}

static Status write_w(const ProjectJob *j, Error *e) {
  char path[PATH_LEN];
  StWriter *w = NULL;
  TRY(path_join(path, j->a.out, "w.safetensors", e));
  TRY(st_writer_new(&w, e));
  const Status s = add_w(j, w, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

/* "n/a" where there is no region. */
static const char *part_text(double v, char text[32]) {
  if (isnan(v)) return "n/a";
  snprintf(text, 32, "%.6f", v);
  return text;
}

static void write_row(const ProjectJob *j, FILE *f, int64_t k) {
  char in[32], out[32];
  fprintf(f, "%s\t%.6f\t%.6g\t%.4f\t%d\t%.2f\t%s", j->name[k], prlx_projection_lpips(j->r, k),
          j->mse[k], j->dw[k], prlx_projection_steps(j->r, k), prlx_projection_seconds(j->r, k),
          prlx_vgg_name(j->vgg));
  fprintf(f, "\t%.4f\t%s\t%s\t%s\t%s\t%s\t%s\n", prlx_projection_w_distance(j->r, k),
          part_text(prlx_projection_inside(j->r, k), in),
          part_text(prlx_projection_outside(j->r, k), out), solver_name[j->a.solver],
          space_name[j->space], j->optimised ? "optimised" : "const", focus_name[j->a.focus]);
}

static Status write_table(const ProjectJob *j, Error *e) {
  char path[PATH_LEN];
  TextFile t;
  TRY(path_join(path, j->a.out, "table.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.stream,
          "lesion\tlpips\tmse\tw_distance\tsteps\tseconds\tperceptual\tw_std\tinside\toutside\t"
          "solver\tspace\trender\tfocus\n");
  for (int64_t k = 0; k < j->done; k++) write_row(j, t.stream, k);
  return text_commit(&t, path, e);
}

/* Volumes in ppm, and for a cohort its lesions.tsv. Of images without a susceptibility scale (PNG)
 * there is nothing to write. */
static Status write_nifti(ProjectJob *j, Error *e) {
  const DenoiseInfo info = {j->net->net.path, prlx_vgg_name(j->vgg), api_lpips(j->r), j->a.steps};
  const float *img = project_results(j, 0);
  if (!j->a.nifti) return ST_OK;
  if (j->cohort)
    return targets_write(j->cohort, &j->in, img, j->done, j->a.out, &info, &j->volumes, e);
  Dataset d = j->in;
  d.names = j->name;
  const Status s = images_to_nifti(&d, img, j->done, j->a.out, "denoised", &j->volumes, e);
  if (s != ST_INVALID) return s;
  if (!tool_quiet) fprintf(stderr, "prlx project: note: no NIfTI: %s\n", e->msg);
  *e = (Error){0};
  return ST_OK;
}

Status project_write(ProjectJob *j, Error *e) {
  if (!j->done) return ST_OK;
  TRY(write_dataset(j, e));
  TRY(write_nifti(j, e));
  TRY(write_w(j, e));
  TRY(write_table(j, e));
  TRY(project_sheet(j, e));
  return history_trace(j, e);
}

void project_print(const ProjectJob *j) {
  printf("%-24s %9s %10s %10s %8s\n", "lesion", "LPIPS", "MSE", "|w-w_avg|", "seconds");
  int64_t show = PRLX_MIN(j->done, 20);
  for (int64_t k = 0; k < show; k++)
    printf("%-24.24s %9.4f %10.6f %10.3f %8.1f\n", j->name[k], prlx_projection_lpips(j->r, k),
           j->mse[k], j->dw[k], prlx_projection_seconds(j->r, k));
  if (j->done > show)
    printf("... and %lld more in %s/table.tsv\n", (long long)(j->done - show), j->a.out);
  printf("LPIPS with %s. Results in %s: PNG, denoised.safetensors (float), w.safetensors, "
         "sheet.png, table.tsv\n",
         prlx_vgg_name(j->vgg), j->a.out);
  if (j->placed)
    printf("--in-place: LPIPS is that of the network's image, of which the results have the lesion "
           "only\n");
  if (j->cohort && j->volumes)
    printf("%d denoised lesion%s (NIfTI, ppm) in %s/lesions.tsv; next: prlx pack "
           "COHORT/lesions.tsv %s/lesions.tsv -o more.safetensors\n",
           j->volumes, j->volumes == 1 ? "" : "s", j->a.out, j->a.out);
  else if (j->volumes)
    printf("%d NIfTI volume%s (ppm)\n", j->volumes, j->volumes == 1 ? "" : "s");
}
