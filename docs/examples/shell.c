/* shell.c: a small program over prlx.h; with prlx.c of `make amalgamation` it is the whole build:
 *
 *   cc -O3 prlx.c shell.c -lm -lpthread -o prlx-shell
 *   ./prlx-shell denoise lesion.png denoised.png [steps]
 *   ./prlx-shell generate 8 lesions.safetensors
 *   ./prlx-shell volume map.nii.gz
 *
 * The bundled network and VGG16 are looked for in $PRLX_DATA and in ./data; PRLX_NETWORK names
 * another network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "prlx.h"

static bool show(void *context, const prlx_project_progress *p) {
  (void)context;
  if (p->image >= 0 && !p->finished && p->step % 100 == 0)
    fprintf(stderr, "step %d of %d: LPIPS %.4f\n", p->step, p->steps, p->lpips);
  return true;
}

static prlx_status denoise(const char *in, const char *out, int steps, prlx_error *e) {
  prlx_network *net = NULL;
  prlx_vgg *vgg = NULL;
  prlx_dataset *d = NULL;
  prlx_projection *r = NULL;
  prlx_project_options o;
  prlx_project_defaults(&o, sizeof o);
  o.steps = steps;
  o.progress = show;
  prlx_status s = prlx_network_load(getenv("PRLX_NETWORK"), &net, e);
  if (s == PRLX_OK) s = prlx_vgg_load(NULL, NULL, &vgg, e);
  if (s == PRLX_OK) s = prlx_dataset_from_png(1, &in, prlx_network_resolution(net), &d, e);
  if (s == PRLX_OK) s = prlx_project(net, vgg, 1, prlx_dataset_images(d), &o, &r, e);
  if (s == PRLX_OK)
    s = prlx_png_write(out, prlx_network_resolution(net), prlx_network_resolution(net),
                       prlx_projection_image(r, 0), e);
  if (s == PRLX_OK) printf("%s: LPIPS %.6f\n", out, prlx_projection_lpips(r, 0));
  prlx_projection_free(r);
  prlx_dataset_free(d);
  prlx_vgg_free(vgg);
  prlx_network_free(net);
  return s;
}

static prlx_status generate(int n, const char *out, prlx_error *e) {
  prlx_network *net = NULL;
  prlx_dataset *d = NULL;
  uint32_t *seed = calloc((size_t)n, sizeof *seed);
  prlx_status s = seed ? prlx_network_load(getenv("PRLX_NETWORK"), &net, e) : PRLX_NOMEM;
  if (s == PRLX_OK)
    s = prlx_dataset_new(n, prlx_network_channels(net), prlx_network_resolution(net),
                         prlx_network_resolution(net), false, &d, e);
  for (int i = 0; i < n && s == PRLX_OK; i++) seed[i] = (uint32_t)i;
  if (s == PRLX_OK) s = prlx_generate(net, n, seed, NULL, prlx_dataset_images(d), NULL, e);
  if (s == PRLX_OK && prlx_network_meta(net, "channels"))
    s = prlx_dataset_set_meta(d, "channels", prlx_network_meta(net, "channels"), e);
  if (s == PRLX_OK) s = prlx_dataset_save(d, out, e);
  if (s == PRLX_OK) printf("%s: %d synthetic lesions\n", out, n);
  prlx_dataset_free(d);
  prlx_network_free(net);
  free(seed);
  return s;
}

static prlx_status volume(const char *path, prlx_error *e) {
  prlx_volume *v;
  prlx_status s = prlx_volume_read(path, &v, e);
  if (s) return s;
  const int64_t *dim = prlx_volume_dim(v);
  printf("%s: %lld x %lld x %lld x %lld voxels%s%s\n", path, (long long)dim[0], (long long)dim[1],
         (long long)dim[2], (long long)dim[3], *prlx_volume_warning(v) ? "; " : "",
         prlx_volume_warning(v));
  prlx_volume_free(v);
  return PRLX_OK;
}

int main(int argc, char **argv) {
  prlx_error e = {PRLX_NOMEM, "out of memory"};
  prlx_status s;
  if (argc >= 4 && !strcmp(argv[1], "denoise"))
    s = denoise(argv[2], argv[3], argc > 4 ? atoi(argv[4]) : 1000, &e);
  else if (argc == 4 && !strcmp(argv[1], "generate") && atoi(argv[2]) > 0)
    s = generate(atoi(argv[2]), argv[3], &e);
  else if (argc == 3 && !strcmp(argv[1], "volume"))
    s = volume(argv[2], &e);
  else {
    fprintf(stderr, "prlx %s\nusage: prlx-shell denoise IN.png OUT.png [STEPS]\n", prlx_version());
    fprintf(stderr, "       prlx-shell generate COUNT OUT.safetensors\n");
    fprintf(stderr, "       prlx-shell volume MAP.nii.gz\n");
    return 2;
  }
  if (s != PRLX_OK) fprintf(stderr, "prlx-shell: %s\n", e.msg);
  return s != PRLX_OK;
}
