/* train.c: trains a generator on a data set and writes images that it makes.
 *
 *   cc train.c $(pkg-config --cflags --libs prlx) -o train
 *   ./train dataset.safetensors network.safetensors [images [batch]]
 *
 * `images` counts what the discriminator is shown: 100000 and more make a network worth looking at
 * (hours on a few cores); the default shows that it runs. `prlx train` does more: snapshots,
 * resume, sheets, several processes. */
#include <prlx.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const prlx_error *e) {
  fprintf(stderr, "train: %s\n", e->msg);
  return 1;
}

/* Trains until `images` were shown, then saves. */
static prlx_status train(const prlx_dataset *d, const prlx_train_options *o, int64_t images,
                         const char *path, prlx_error *e) {
  prlx_train_info info = {.size = sizeof info};
  prlx_trainer *trainer;
  prlx_status s = prlx_trainer_new(d, o, &trainer, e);
  while (s == PRLX_OK && info.images < images) {
    s = prlx_trainer_step(trainer, &info, e);
    if (s == PRLX_OK)
      fprintf(stderr, "%lld images: generator loss %.3f, discriminator loss %.3f, p %.3f\n",
              (long long)info.images, info.g_loss, info.d_loss, info.ada_p);
  }
  if (s == PRLX_OK) s = prlx_trainer_save(trainer, path, e);
  prlx_trainer_free(trainer);
  return s;
}

/* Four images of the new network, as PNG beside it. */
static prlx_status look(const char *path, prlx_error *e) {
  enum { COUNT = 4 };
  const uint32_t seeds[COUNT] = {0, 1, 2, 3};
  prlx_network *network;
  prlx_status s = prlx_network_load(path, &network, e);
  if (s) return s;
  const int side = prlx_network_resolution(network);
  const int per = prlx_network_channels(network) * side * side;
  float *image = malloc((size_t)COUNT * (size_t)per * sizeof *image);
  s = image ? prlx_generate(network, COUNT, seeds, NULL, image, NULL, e) : PRLX_NOMEM;
  for (int i = 0; i < COUNT && s == PRLX_OK; i++) {
    char name[4200];
    snprintf(name, sizeof name, "%.4100s.seed%d.png", path, i);
    s = prlx_png_write(name, side, side, image + i * per, e); /* the first channel */
  }
  free(image);
  prlx_network_free(network);
  return s;
}

int main(int argc, char **argv) {
  prlx_error e = {PRLX_NOMEM, "out of memory"};
  prlx_dataset *data;
  prlx_train_options options;
  if (argc < 3) {
    fprintf(stderr, "usage: train dataset.safetensors network.safetensors [images [batch]]\n");
    return 2;
  }
  prlx_train_defaults(&options, sizeof options);
  if (argc > 4) options.batch = atoi(argv[4]);
  if (prlx_dataset_open(argv[1], &data, &e)) return fail(&e);
  prlx_status s = train(data, &options, argc > 3 ? atoll(argv[3]) : 64, argv[2], &e);
  if (s == PRLX_OK) s = look(argv[2], &e);
  prlx_dataset_free(data);
  if (s) return fail(&e);
  printf("%s and four images of it\n", argv[2]);
  return 0;
}
