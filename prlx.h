/* prlx.h: PRLx-GAN as a library: the one public header. Synthesis and denoising of paramagnetic rim
 * lesions: a StyleGAN2-ADA generator, and latent projection (Eq. 1 of the paper). C11 and C++.
 *
 *   prlx_network *net; prlx_vgg *vgg; prlx_projection *r; prlx_error e;
 *   if (prlx_network_load("network.safetensors", &net, &e) || prlx_vgg_load(NULL, NULL, &vgg, &e) ||
 *       prlx_project(net, vgg, 1, target, NULL, &r, &e)) { fprintf(stderr, "%s\n", e.msg); ... }
 *   memcpy(denoised, prlx_projection_image(r, 0), sizeof denoised);
 *
 * Images are float32, row-major [n,C,R,R] (n images, C channels, R x R pixels), in network units:
 * the intensity window mapped to [-1,1], nothing clipped.
 * Errors: a function that can fail returns PRLX_OK (0) or a code, puts one line "WHAT: what was
 * found; what was expected; what to do" into *e (e may be NULL), and leaves *out NULL unless it
 * says otherwise. Nothing is printed, nothing exits.
 * Ownership: what a function gives through `out` is freed with the _free of its type (NULL is
 * allowed); pointers from accessors belong to the object and live as long as it does. Arguments are
 * borrowed for the call only.
 * Threads: any function may be called from any thread, and objects may be read (const) by several
 * calls at once; what one call changes or frees no other may use meanwhile. One call at a time uses
 * the worker threads; a second one that runs meanwhile computes on its caller's thread alone.
 * Results are the same bits for any number of threads and any batch. */
#ifndef PRLX_H
#define PRLX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#define PRLX_API __attribute__((visibility("default")))
#else
#define PRLX_API
#endif
#define PRLX_VERSION "0.1"

/* ---- library ---- */
typedef enum prlx_status {
  PRLX_OK = 0,
  PRLX_INVALID,     /* impossible argument or combination */
  PRLX_IO,          /* open, read, write, rename failed */
  PRLX_FORMAT,      /* a file's content is not what it should be */
  PRLX_NOMEM,       /* out of memory, or more than the limit that was given */
  PRLX_NUMERIC,     /* NaN or infinity where there must be none */
  PRLX_INTERRUPTED, /* a callback said stop */
  PRLX_INTERNAL     /* a bug of ours: please report it */
} prlx_status;
typedef struct prlx_error {
  prlx_status code;
  char msg[1024];
} prlx_error;
typedef struct prlx_network prlx_network;       /* a generator with what its images mean */
typedef struct prlx_vgg prlx_vgg;               /* VGG16 with LPIPS heads */
typedef struct prlx_projection prlx_projection; /* denoised images and how they were found */
typedef struct prlx_device prlx_device;         /* a GPU; NULL: the CPU */

PRLX_API const char *prlx_version(void); /* of the library that runs: compare with PRLX_VERSION */

/* Worker threads; 0: environment PRLX_THREADS, else the usable cores. Not while another call runs.
 */
PRLX_API void prlx_threads(int n);

/* ---- models ---- */
/* A network as `prlx train` or `prlx import` writes it, or the folder of a run. Checked completely
 * before use. */
PRLX_API prlx_status prlx_network_load(const char *path, prlx_network **out, prlx_error *e);
PRLX_API void prlx_network_free(prlx_network *net);
PRLX_API int prlx_network_channels(const prlx_network *net);   /* C of its images */
PRLX_API int prlx_network_resolution(const prlx_network *net); /* R: they are R x R pixels */
PRLX_API int prlx_network_classes(const prlx_network *net);    /* 0: unconditional */
PRLX_API int prlx_network_z_dim(const prlx_network *net);
PRLX_API int prlx_network_w_dim(const prlx_network *net);

/* Metadata of the file, such as "channels", "window.chi" ("lo,hi" in ppb); NULL: no such key. */
PRLX_API const char *prlx_network_meta(const prlx_network *net, const char *key);

/* path NULL: the bundled VGG16-Caffe. Else a .safetensors file with torchvision's names. data_dir:
 * folder of the bundled files; NULL: $PRLX_DATA, beside the program, where the library was
 * installed. */
PRLX_API prlx_status prlx_vgg_load(const char *path, const char *data_dir, prlx_vgg **out,
                                   prlx_error *e);
PRLX_API void prlx_vgg_free(prlx_vgg *vgg);
PRLX_API const char *prlx_vgg_name(const prlx_vgg *vgg); /* belongs to every printed distance */

/* ---- synthetic lesions ---- */
typedef enum prlx_noise { PRLX_NOISE_CONST, PRLX_NOISE_RANDOM, PRLX_NOISE_NONE } prlx_noise;
typedef struct prlx_generate_options {
  size_t size;         /* of this struct, as the caller knows it */
  double psi;          /* 1; truncation of w towards the mean of W: 1 none, 0 the mean */
  int cutoff;          /* -1: truncate all layers; k: the first k */
  prlx_noise noise;    /* CONST: the network's own maps */
  uint64_t noise_seed; /* 0; RANDOM: every image has the stream (noise_seed, its seed) */
  int label;           /* -1; class of a conditional network */
  int batch;           /* 8; images at a time: no influence on the result */
  prlx_device *device; /* NULL: CPU */
  bool (*progress)(void *context, int64_t done, int64_t n); /* false: stop; may be NULL */
  void *context;
} prlx_generate_options;

/* Fills *o with the defaults above; size = sizeof *o, so that later versions may add fields. */
PRLX_API void prlx_generate_defaults(prlx_generate_options *o, size_t size);

/* n images from seeds [n]: z = numpy.random.RandomState(seed).randn(z_dim), as in the reference.
 * o NULL: defaults. images [n,C,R,R] of the caller. PRLX_INTERRUPTED: *done (may be NULL) images
 * are there. */
PRLX_API prlx_status prlx_generate(const prlx_network *net, int64_t n, const uint32_t *seeds,
                                   const prlx_generate_options *o, float *images, int64_t *done,
                                   prlx_error *e);

/* ---- denoising by latent projection ---- */
/* Where a projection is; valid during the callback. */
typedef struct prlx_project_progress {
  int64_t n;     /* images of the call */
  int64_t first; /* this batch: first .. first + count - 1 */
  int count;
  int step; /* done, of steps; 0: planned, about to start */
  int steps;
  bool finished;       /* the last call for this batch: its images are in result */
  const double *lpips; /* [count] distance to the target in this step; NULL at step 0 */
  const float *images; /* [count,C,R,R] every frames-th step and when finished; else NULL */
  const prlx_projection *result;
  size_t bytes; /* memory of the batch, of which: */
  size_t activation_bytes;
  size_t weight_bytes; /* prepared weights */
  double flop;         /* per step */
} prlx_project_progress;
typedef enum prlx_vgg_channels { PRLX_VGG_AUTO, PRLX_VGG_FIRST, PRLX_VGG_MEAN } prlx_vgg_channels;
typedef struct prlx_project_options {
  size_t size;
  int steps;             /* 1000 steps of Adam */
  double learning_rate;  /* 0.1 before its ramps */
  double w_noise;        /* 0.05 standard deviations of W, falling to 0 */
  double noise_weight;   /* 1e5; of the noise autocorrelation */
  int w_samples;         /* 10000 for mean and deviation of W */
  uint64_t seed;         /* 0; the same stream for every image, as if each were alone */
  int label;             /* -1; class of a conditional network: where the projection starts */
  prlx_vgg_channels vgg; /* of several channels. AUTO: 3 as they are, else the first */
  int batch;             /* 0: up to 4, on a device 128 */
  size_t max_bytes;      /* 0: available memory; PRLX_NOMEM above it, before the first step */
  int frames;            /* 0; k: progress gets the images of every k-th step and the last */
  FILE *profile;         /* NULL; table of times of each batch's last step */
  prlx_device *device;   /* NULL: CPU */
  bool (*progress)(void *context, const prlx_project_progress *p); /* false: stop; may be NULL */
  void *context;
} prlx_project_options;
PRLX_API void prlx_project_defaults(prlx_project_options *o, size_t size);

/* targets [n,C,R,R]. o NULL: defaults. On failure, and on PRLX_INTERRUPTED (the batch that was
 * under way is rendered as it stands), *out holds the images done so far, NULL if none. */
PRLX_API prlx_status prlx_project(const prlx_network *net, const prlx_vgg *vgg, int64_t n,
                                  const float *targets, const prlx_project_options *o,
                                  prlx_projection **out, prlx_error *e);
PRLX_API void prlx_projection_free(prlx_projection *r);
PRLX_API int64_t prlx_projection_done(const prlx_projection *r); /* images finished */

/* Of image i < done: the denoised image [C,R,R] with the network's own noise, its w [w_dim], its
 * LPIPS distance to the target, the steps made. */
PRLX_API const float *prlx_projection_image(const prlx_projection *r, int64_t i);
PRLX_API const float *prlx_projection_w(const prlx_projection *r, int64_t i);
PRLX_API double prlx_projection_lpips(const prlx_projection *r, int64_t i);
PRLX_API int prlx_projection_steps(const prlx_projection *r, int64_t i);

/* Mean [w_dim] and scalar deviation of W that the projection started from. */
PRLX_API const float *prlx_projection_w_avg(const prlx_projection *r);
PRLX_API double prlx_projection_w_std(const prlx_projection *r);
#ifdef __cplusplus
}
#endif
#endif
