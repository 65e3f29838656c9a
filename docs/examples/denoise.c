/* denoise.c: an ambiguous lesion is projected into the latent space of a network; the image found
 * there is the denoised lesion.
 *
 *   cc denoise.c $(pkg-config --cflags --libs prlx) -o denoise
 *   ./denoise lesion.png denoised.png [steps [network.safetensors]]
 *
 * Without a network it takes the bundled demonstration, which is no model of patients. */
#include <prlx.h>
#include <stdio.h>
#include <stdlib.h>

/* After each step: how near it is. Returning false would stop the projection. */
static bool show(void *context, const prlx_project_progress *p) {
  (void)context;
  if (p->step && p->step % 50 == 0 && !p->finished)
    fprintf(stderr, "step %d of %d: LPIPS %.4f\n", p->step, p->steps, p->lpips);
  return true;
}

static int fail(const prlx_error *e) {
  fprintf(stderr, "denoise: %s\n", e->msg);
  return 1;
}

int main(int argc, char **argv) {
  prlx_network *network = NULL;
  prlx_vgg *vgg = NULL;
  prlx_dataset *lesion = NULL;
  prlx_projection *result = NULL;
  prlx_project_options options;
  prlx_error e;
  int rc = 0;

  if (argc < 3) {
    fprintf(stderr, "usage: denoise lesion.png denoised.png [steps [network.safetensors]]\n");
    return 2;
  }
  prlx_project_defaults(&options, sizeof options);
  options.progress = show;
  if (argc > 3) options.steps = atoi(argv[3]);

  const char *path = argv[1];
  if (prlx_network_load(argc > 4 ? argv[4] : NULL, &network, &e) ||
      prlx_vgg_load(NULL, NULL, &vgg, &e) ||
      prlx_dataset_from_png(1, &path, prlx_network_resolution(network), &lesion, &e) ||
      prlx_project(network, vgg, 1, prlx_dataset_images(lesion), &options, &result, &e) ||
      prlx_png_write(argv[2], prlx_network_resolution(network), prlx_network_resolution(network),
                     prlx_projection_image(result, 0), &e))
    rc = fail(&e);
  else
    printf("%s: LPIPS %.4f with %s after %d steps\n", argv[2], prlx_projection_lpips(result, 0),
           prlx_vgg_name(vgg), prlx_projection_steps(result, 0));

  prlx_projection_free(result);
  prlx_dataset_free(lesion);
  prlx_vgg_free(vgg);
  prlx_network_free(network);
  return rc;
}
