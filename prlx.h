/* prlx.h: PRLx-GAN as a library: the one public header. Synthesis and denoising of paramagnetic rim
 * lesions: a StyleGAN2-ADA generator, and latent projection (Eq. 1 of the paper). C11 and C++.
 *
 *   prlx_network *net; prlx_vgg *vgg; prlx_projection *r; prlx_error e;
 *   if (prlx_network_load("network.safetensors", &net, &e) ||
 *       prlx_vgg_load(NULL, NULL, &vgg, &e) ||
 *       prlx_project(net, vgg, 1, target, NULL, &r, &e)) { fprintf(stderr, "%s\n", e.msg); ... }
 *   memcpy(denoised, prlx_projection_image(r, 0), sizeof denoised);
 *
 * Images are float32, row-major [n,C,R,R] (n images, C channels, R x R pixels), in network units:
 * the intensity window mapped to [-1,1], nothing clipped.
 * Errors: a function that can fail returns PRLX_OK (0) or a code, puts one line "WHAT: what was
 * found; what was expected; what to do" into *e (e may be NULL), and leaves *out NULL unless it
 * says otherwise. Nothing is printed, nothing exits. NULL where something must be is PRLX_INVALID.
 * Accessors of NULL, or of an image that is not there, give NULL, "", 0, or NaN for a measured
 * number; those of names and warnings never give NULL. Of a NULL graph every value is 0.
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
  PRLX_INVALID,     /* impossible argument or combination, NULL where there must be something */
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
typedef struct prlx_classifier prlx_classifier; /* is there a rim? one or several runs */
typedef struct prlx_dataset prlx_dataset;       /* images [n,C,H,W], labels, names, metadata */
typedef struct prlx_volume prlx_volume;         /* a NIfTI volume */
typedef struct prlx_trainer prlx_trainer;       /* a generator and a discriminator in training */
typedef struct prlx_device prlx_device;         /* a GPU; NULL: the CPU */

PRLX_API const char *prlx_version(void); /* of the library that runs: compare with PRLX_VERSION */

/* Worker threads; 0: environment PRLX_THREADS, else the usable cores. Not while another call runs.
 */
PRLX_API void prlx_threads(int n);

/* Operands of large products (convolutions, matrices) as bf16 on the CPU, 8 bits of mantissa with
 * sums in float, in all that is begun from now on: projection, training, generation, functions of
 * your own. Off at first. The same bits for any number of threads and any batch, other ones than
 * float's; worth it on AMX, not on AVX512_BF16 alone. PRLX_INVALID: this CPU has neither, and
 * nothing changes. Not while another call runs. */
PRLX_API prlx_status prlx_bf16(bool on, prlx_error *e);

/* name "cuda" (the first GPU), "cuda:1", ...; precision "strict", "tf32" (or NULL), "f16", "bf16".
 * PRLX_INVALID: this build has no CUDA, or no such device answers. Close it after all calls that
 * use it; one call at a time may. */
PRLX_API prlx_status prlx_device_open(const char *name, const char *precision, prlx_device **out,
                                      prlx_error *e);
PRLX_API void prlx_device_close(prlx_device *d);

/* ---- data sets, pictures, volumes ---- */
/* Zero images [n,C,H,W] to be filled in; labels: with a class per image. */
PRLX_API prlx_status prlx_dataset_new(int64_t n, int channels, int height, int width, bool labels,
                                      prlx_dataset **out, prlx_error *e);

/* A .safetensors file as `prlx pack` writes it. */
PRLX_API prlx_status prlx_dataset_open(const char *path, prlx_dataset **out, prlx_error *e);

/* n PNG files of side x side pixels, any colour type, as grey: 0..255 becomes [-1,1]. */
PRLX_API prlx_status prlx_dataset_from_png(int n, const char *const *paths, int side,
                                           prlx_dataset **out, prlx_error *e);

/* Values and metadata as they are; the file is there whole or not at all. */
PRLX_API prlx_status prlx_dataset_save(const prlx_dataset *d, const char *path, prlx_error *e);
PRLX_API void prlx_dataset_free(prlx_dataset *d);
PRLX_API int64_t prlx_dataset_count(const prlx_dataset *d); /* n */
PRLX_API int prlx_dataset_channels(const prlx_dataset *d);  /* C */
PRLX_API int prlx_dataset_height(const prlx_dataset *d);    /* H */
PRLX_API int prlx_dataset_width(const prlx_dataset *d);     /* W */
PRLX_API float *prlx_dataset_images(prlx_dataset *d);       /* [n,C,H,W]; may be written */
PRLX_API int64_t *prlx_dataset_labels(prlx_dataset *d);     /* [n]; NULL: none; may be written */
PRLX_API const char *prlx_dataset_name(const prlx_dataset *d, int64_t i); /* "" if it has none */

/* Metadata: "channels", "window.chi", "source", ...; NULL: no such key. set adds or replaces. */
PRLX_API const char *prlx_dataset_meta(const prlx_dataset *d, const char *key);
PRLX_API prlx_status prlx_dataset_set_meta(prlx_dataset *d, const char *key, const char *value,
                                           prlx_error *e);

/* image [height,width] in network units as an 8-bit grey PNG: (v + 1) 127.5, clamped. */
PRLX_API prlx_status prlx_png_write(const char *path, int width, int height, const float *image,
                                    prlx_error *e);

/* NIfTI-1 or -2, .nii, .nii.gz or .hdr/.img, any number type, scaling applied. */
PRLX_API prlx_status prlx_volume_read(const char *path, prlx_volume **out, prlx_error *e);
PRLX_API void prlx_volume_free(prlx_volume *v);
PRLX_API const float *prlx_volume_data(const prlx_volume *v);    /* [nt,nz,ny,nx], x fastest */
PRLX_API const int64_t *prlx_volume_dim(const prlx_volume *v);   /* [4]: nx, ny, nz, nt */
PRLX_API const double *prlx_volume_affine(const prlx_volume *v); /* [16] voxel -> mm */
PRLX_API const char *prlx_volume_warning(const prlx_volume *v);  /* "" or what is odd */

/* Writes float32 NIfTI-1, compressed when path ends in .gz; description: at most 79 characters. */
PRLX_API prlx_status prlx_volume_write(const char *path, const float *data, const int64_t dim[4],
                                       const double affine[16], const char *description,
                                       prlx_error *e);

/* ---- models ---- */
/* A network as `prlx train` or `prlx import` writes it, or the folder of a run; NULL: the bundled
 * demonstration (64 x 64, one channel, no susceptibility scale). Checked completely before use. */
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

/* LPIPS of n pairs of images [n,C,R,R]; distance [n]. */
PRLX_API prlx_status prlx_lpips(const prlx_vgg *vgg, int64_t n, int channels, int side,
                                const float *a, const float *b, double *distance, prlx_error *e);

/* A rim classifier as `prlx classify` writes it: a file, or a folder of runs: their mean counts. */
PRLX_API prlx_status prlx_classifier_load(const char *path, prlx_classifier **out, prlx_error *e);
PRLX_API void prlx_classifier_free(prlx_classifier *c);
PRLX_API int prlx_classifier_classes(const prlx_classifier *c);          /* 2: non-rim, rim */
PRLX_API const char *prlx_classifier_channels(const prlx_classifier *c); /* such as "chi,flair" */

/* images [n,C,H,W] of these channels -> probability [n,classes]. */
PRLX_API prlx_status prlx_classify(const prlx_classifier *c, int64_t n, int channels, int height,
                                   int width, const float *images, double *probability,
                                   prlx_error *e);

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
/* What a step was made of (options.trace). Terms that are not there are NAN. */
typedef struct prlx_project_trace {
  int step;      /* from 0 */
  double lr;     /* learning rate; FAST: 0 */
  double jitter; /* deviation of the noise added to w */
  double lpips;  /* distance to the target */
  double tap[5]; /* its part at relu1_2, 2_2, 3_3, 4_3, 5_3 */
  double inside; /* the same over the region, and over the rest (options.regions) */
  double outside;
  double reg[24];    /* noise regulariser per map, lowest resolution first */
  double w_distance; /* |w - mean of W| / w_std */
  double grad_w;     /* lengths of the gradients */
  double grad_noise;
} prlx_project_trace;

/* Where a projection is; valid during the callback. */
typedef struct prlx_project_progress {
  int64_t n;     /* images of the call */
  int64_t image; /* which one; -1: planned, about to start */
  int step;      /* made, of at most steps */
  int steps;
  bool finished;                   /* the last call for this image */
  double lpips;                    /* of the step; finished: of the denoised image */
  const float *pixels;             /* [C,R,R] every frames-th step and when finished; else NULL */
  const prlx_project_trace *trace; /* options.trace; else NULL */
  int batch;                       /* images at a time now */
  size_t bytes;                    /* memory of the batch, of which: */
  size_t activation_bytes;
  size_t weight_bytes; /* prepared weights */
  double flop;         /* per step */
} prlx_project_progress;
typedef enum prlx_vgg_channels { PRLX_VGG_AUTO, PRLX_VGG_FIRST, PRLX_VGG_MEAN } prlx_vgg_channels;

/* REFERENCE: the public projector's schedule. FAST: L-BFGS on pixels, then on Eq. 1; each image as
 * many evaluations as it needs. */
typedef enum prlx_solver { PRLX_SOLVER_REFERENCE, PRLX_SOLVER_FAST } prlx_solver;

/* What is searched: w and the noise maps (W, the paper); w alone, the maps held at the network's
 * own; a w per layer with maps and alone; the maps alone. The more, the closer any image can be
 * reached, lesion or not. */
typedef enum prlx_space {
  PRLX_SPACE_W,
  PRLX_SPACE_W_ONLY,
  PRLX_SPACE_WPLUS,
  PRLX_SPACE_WPLUS_ONLY,
  PRLX_SPACE_NOISE
} prlx_space;
typedef enum prlx_start { PRLX_START_MEAN, PRLX_START_RANDOM, PRLX_START_NEAREST } prlx_start;
typedef struct prlx_project_options {
  size_t size;
  int steps;             /* 1000 steps of Adam; FAST: at most 200 evaluations */
  double learning_rate;  /* 0.1 before its ramps */
  double w_noise;        /* 0.05 standard deviations of W, falling to 0 */
  double noise_weight;   /* 1e5; of the noise autocorrelation */
  int w_samples;         /* 10000 for mean and deviation of W */
  uint64_t seed;         /* 0; the same stream for every image, as if each were alone */
  int label;             /* -1; class of a conditional network: where the projection starts */
  prlx_vgg_channels vgg; /* of several channels. AUTO: 3 as they are, else the first */
  int batch;             /* 0: up to 4, on a device 128 */
  size_t max_bytes;      /* 0: available memory; PRLX_NOMEM above it, before the first step */
  int frames;            /* 0; k: progress gets the images of every k-th step */
  FILE *profile;         /* NULL; table of times of a step */
  prlx_device *device;   /* NULL: CPU */
  bool (*progress)(void *context, const prlx_project_progress *p); /* false: stop; may be NULL */
  void *context;
  prlx_solver solver;
  prlx_space space;
  bool optimised_noise; /* false; render with the optimised maps, not with the network's own */
  double beta1;         /* Adam: 0.9 and 0.999 of the reference; the paper prints 0.9 and 0.99 */
  double beta2;
  double ramp_up; /* fractions of the run: 0.05 and 0.25 of the learning rate, 0.75 of w_noise */
  double ramp_down;
  double noise_ramp;
  const float *regions; /* NULL; [n,R,R], 1 inside and 0 outside: where to look */
  double focus;         /* 0; share, to 1, of the distance that only the regions count for */
  bool trace;           /* false */
  int pixel_steps;      /* FAST: 120 evaluations on pixels first */
  int patience;         /* FAST: done when 20 evaluations lowered the loss by less than 2 % */
  double tolerance;
  double enough;    /* FAST: ... or at this distance: 0.001 */
  prlx_start start; /* MEAN of W; FAST: NEAREST */
  int starts;       /* 1, FAST 8: it tries so many, REFERENCE takes the first */
  int bank_size;    /* 4096 w with images, among which NEAREST chooses */
  const char *bank_file; /* NULL; where they are kept for the next call */
  int tune_steps;   /* 0; steps of pivotal tuning: the network itself is fitted to each image */
  double tune_rate; /* 3e-4 */
  const char *tune_folder;       /* NULL; where the tuned networks go */
  const char *const *tune_names; /* [n] their names without .safetensors; NULL: numbers */
} prlx_project_options;

/* Fills *o with the defaults of the reference, or of one of the solvers; size = sizeof *o. */
PRLX_API void prlx_project_defaults(prlx_project_options *o, size_t size);
PRLX_API void prlx_project_defaults_for(prlx_solver solver, prlx_project_options *o, size_t size);

/* targets [n,C,R,R]. o NULL: defaults. On failure, and on PRLX_INTERRUPTED (what was under way is
 * rendered as it stands), *out holds the images done so far, NULL if none. */
PRLX_API prlx_status prlx_project(const prlx_network *net, const prlx_vgg *vgg, int64_t n,
                                  const float *targets, const prlx_project_options *o,
                                  prlx_projection **out, prlx_error *e);
PRLX_API void prlx_projection_free(prlx_projection *r);
PRLX_API int64_t prlx_projection_done(const prlx_projection *r); /* images finished */

/* Of image i < done: the denoised image [C,R,R]; its w [w_size] (w_dim, in W+ num_ws * w_dim); the
 * optimised noise maps one after the other [noise_size], NULL where they were held; LPIPS distance
 * to the target, over the patch, the region and the rest (NAN without regions); steps made; seconds
 * of computing. */
PRLX_API const float *prlx_projection_image(const prlx_projection *r, int64_t i);
PRLX_API const float *prlx_projection_w(const prlx_projection *r, int64_t i);
PRLX_API int prlx_projection_w_size(const prlx_projection *r);
PRLX_API const float *prlx_projection_noise(const prlx_projection *r, int64_t i);
PRLX_API int64_t prlx_projection_noise_size(const prlx_projection *r);
PRLX_API double prlx_projection_lpips(const prlx_projection *r, int64_t i);
PRLX_API double prlx_projection_inside(const prlx_projection *r, int64_t i);
PRLX_API double prlx_projection_outside(const prlx_projection *r, int64_t i);
PRLX_API int prlx_projection_steps(const prlx_projection *r, int64_t i);
PRLX_API double prlx_projection_seconds(const prlx_projection *r, int64_t i);

/* Mean [w_dim] and scalar deviation of W that the projection started from, and how far the w of
 * image i is from it in deviations (W+: root mean square of the layers). */
PRLX_API const float *prlx_projection_w_avg(const prlx_projection *r);
PRLX_API double prlx_projection_w_std(const prlx_projection *r);
PRLX_API double prlx_projection_w_distance(const prlx_projection *r, int64_t i);

/* ---- training (StyleGAN2-ADA) ---- */
typedef struct prlx_train_options {
  size_t size;
  const char *preset;  /* "small": two CPU cores; "paper" */
  uint64_t seed;       /* 0 */
  int batch;           /* 0: of the preset; images per iteration */
  bool conditional;    /* false; true: the labels of the data set are classes */
  bool mirror;         /* true: flipped copies, too */
  size_t max_bytes;    /* 0: available memory */
  prlx_device *device; /* NULL: CPU */
} prlx_train_options;

/* Of one iteration; the caller sets size. */
typedef struct prlx_train_info {
  size_t size;
  int64_t images; /* shown so far */
  double g_loss;
  double d_loss; /* of real and generated images together */
  double ada_p;  /* probability of augmentation */
} prlx_train_info;

/* Fills *o with the defaults above; size = sizeof *o. */
PRLX_API void prlx_train_defaults(prlx_train_options *o, size_t size);

/* d is borrowed until the trainer is freed. o NULL: defaults. PRLX_NOMEM says need and limit. */
PRLX_API prlx_status prlx_trainer_new(const prlx_dataset *d, const prlx_train_options *o,
                                      prlx_trainer **out, prlx_error *e);
PRLX_API void prlx_trainer_free(prlx_trainer *t);

/* One iteration. info may be NULL. PRLX_NUMERIC: a loss is not finite; what was saved is intact. */
PRLX_API prlx_status prlx_trainer_step(prlx_trainer *t, prlx_train_info *info, prlx_error *e);

/* The network as it stands (averaged weights), with what the data set says about its images. */
PRLX_API prlx_status prlx_trainer_save(prlx_trainer *t, const char *path, prlx_error *e);

/* ---- graphs: computing and differentiating with operations of your own (CPU) ----
 * Building: errors stick; after one every value is 0 and prlx_graph_status says what was first. */
typedef struct prlx_graph prlx_graph;
typedef struct prlx_plan prlx_plan;
typedef int32_t prlx_val; /* a value of a graph; 0: none */
typedef struct prlx_shape {
  int rank; /* 0 (a scalar) to 6 */
  int64_t dim[6];
} prlx_shape;

/* An operation: how its result is shaped, computed and differentiated. Must outlive the graph. */
typedef struct prlx_op {
  size_t size; /* sizeof(prlx_op) */
  const char *name;
  int inputs;          /* 1 to 4 */
  bool differentiable; /* false: grad is not called and may be NULL */
  const void *context; /* for the callbacks, kept as it is */
  /* in [inputs] -> *out; false: these operands do not fit */
  bool (*shape)(const void *context, const prlx_shape *in, prlx_shape *out);
  /* x [inputs] row-major -> y. Pure: the same bits for the same x, nothing kept */
  void (*run)(const void *context, const prlx_shape *in, const float *const *x, float *y);
  /* dy: gradient of y. dx [inputs]: gradient of x, built of operations (so it can be differentiated
   * again), 0: none */
  void (*grad)(const void *context, prlx_graph *g, const prlx_val *x, prlx_val y, prlx_val dy,
               prlx_val *dx);
} prlx_op;

/* NULL: out of memory. */
PRLX_API prlx_graph *prlx_graph_new(void);
PRLX_API void prlx_graph_free(prlx_graph *g);

/* The first failure of building, or PRLX_OK. */
PRLX_API prlx_status prlx_graph_status(const prlx_graph *g, prlx_error *e);

/* Filled in before each run (prlx_plan_data); and fixed numbers, copied. */
PRLX_API prlx_val prlx_graph_input(prlx_graph *g, const char *name, prlx_shape s);
PRLX_API prlx_val prlx_graph_constant(prlx_graph *g, prlx_shape s, const float *data);

/* An operation of the library by name, with its attributes (NULL: none). Of two values: add sub mul
 * div maximum (equal rank, axes of 1 stretch; scalars fit all), matmul, conv2d {stride, pad}. Of
 * one: neg square sqrt rsqrt exp log sigmoid tanh softplus abs, sum and mean (of all, a scalar),
 * axpb {a, b} = a x + b, lrelu {slope}, clamp {low, high}. */
PRLX_API prlx_val prlx_graph_op(prlx_graph *g, const char *name, const prlx_val *in,
                                const double *attributes);
PRLX_API prlx_val prlx_graph_own(prlx_graph *g, const prlx_op *op, const prlx_val *in);

/* Gradient of the sum of y with respect to x, a value like any other: of x's shape. */
PRLX_API prlx_val prlx_graph_grad(prlx_graph *g, prlx_val y, prlx_val x);
PRLX_API prlx_shape prlx_graph_shape(const prlx_graph *g, prlx_val v);

/* What runs: out [n] and all they need. The graph must outlive it and stay as it is. */
PRLX_API prlx_status prlx_plan_new(const prlx_graph *g, int n, const prlx_val *out, prlx_plan **p,
                                   prlx_error *e);
PRLX_API void prlx_plan_free(prlx_plan *p);
PRLX_API prlx_status prlx_plan_run(prlx_plan *p, prlx_error *e);

/* Memory of an input (write before a run) or an output (read after it); NULL for other values. */
PRLX_API float *prlx_plan_data(prlx_plan *p, prlx_val v);
#ifdef __cplusplus
}
#endif
#endif
