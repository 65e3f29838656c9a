/* unetfile.h: U-Nets of `prlx segment` between files and memory.
 * A file holds the tensors of models/judge/unet.h under their names and in its metadata: format
 * "prlx-unet-1", unet.levels, unet.width, channels (names, in order), seed, epochs, trained_on. */
#ifndef PRLX_UNETFILE_H
#define PRLX_UNETFILE_H
#include "models/judge/unet.h"
Status unet_save(const Unet *u, const char *path, const char *channels, uint64_t seed, int epochs,
                 const char *trained_on, Error *e);

/* channels [64] receives the names. */
Status unet_load(Unet *u, const char *path, char channels[64], Error *e);

/* A file, or a folder with model0.safetensors, model1.safetensors, ... : *out [*n]; free with
 * unets_free. All must take the same channels. */
Status unets_load(const char *path, Unet **out, int *n, char channels[64], Error *e);
void unets_free(Unet *u, int n);
#endif
