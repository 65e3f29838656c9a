/* unetfile.h: U-Nets of `prlx segment` between files and memory.
 * A file holds the tensors of models/judge/unet.h under their names and in its metadata: format
 * "prlx-unet-1", unet.levels, unet.width, channels (names, in order), seed, epochs, trained_on. */
#ifndef PRLX_UNETFILE_H
#define PRLX_UNETFILE_H
#include "models/judge/unet.h"

/* channels: names such as "chi,flair"; trained_on: said in the file. Whole or not at all. */
Status unet_save(const Unet *u, const char *path, const char *channels, uint64_t seed, int epochs,
                 const char *trained_on, Error *e);

/* channels receives the names. ST_IO: no such file; ST_FORMAT: no U-Net, or a broken one;
 * ST_NUMERIC: weights that are not finite. After an error u is empty. */
Status unet_load(Unet *u, const char *path, char channels[64], Error *e);

/* A file, or a folder with model0.safetensors, model1.safetensors, ... : *out [*n]; free with
 * unets_free. All must take the same channels (ST_INVALID). */
Status unets_load(const char *path, Unet **out, int *n, char channels[64], Error *e);

/* NULL allowed. */
void unets_free(Unet *u, int n);
#endif
