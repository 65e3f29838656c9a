/* netfile.h: networks and perceptual weights between .safetensors files and models; where bundled
 * files are. Shared by all tools.
 *
 * A network file holds "G_ema.<name>" (also accepted: "G.<name>", or bare state-dict names such as
 * "synthesis.b4.const"), and in its metadata G.z_dim, G.c_dim, G.w_dim, G.img_resolution,
 * G.img_channels, G.mapping_layers, G.channel_base, G.channel_max, G.conv_clamp as in the golden
 * files. A file without that metadata (a plain Python state dict) is understood from its tensors.
 * What the images mean travels along: `channels`, `window.<channel>`, `source`, `licence` of the
 * data set (io/images/dataset.h). */
#ifndef PRLX_NETFILE_H
#define PRLX_NETFILE_H
#include "io/formats/safetensors.h"
#include "io/images/dataset.h"
#include "models/gan/lpips.h"
#include "models/gan/networks.h"
#include "models/store/datapath.h"

/* metadata of a data set being trained on, kept by its networks as train.data (train_reuse.c) */
#define NETWORK_DATA "training data"
enum { F16_MIN_NUMEL = 1024 }; /* smaller tensors stay F32 in an F16 file: they cost nothing */

/* G: the generator, as in the literature. */
typedef struct Network {
  Generator G;
  StMeta *meta; /* [nmeta] all metadata of the file */
  int nmeta;
  char *path;      /* of the file */
  char prefix[16]; /* "G_ema.", "G." or "" */
} Network;

/* Checks everything against the configuration before use: a missing tensor, a wrong shape, an
 * unknown tensor, NaN or infinity give one line that says how to mend it. F16 and other types are
 * widened once. Prefers G_ema. A folder stands for its network.safetensors. ST_IO, ST_FORMAT,
 * ST_NUMERIC. After an error net is empty. */
Status network_load(Network *net, const char *path, Error *e);

/* Also of an empty one. */
void network_free(Network *net);

/* Value of a metadata entry, owned by net; NULL if absent. */
const char *network_meta(const Network *net, const char *key);

/* Writes `G` as "G_ema.*" with its configuration, the constant resample filters (so that Python
 * loads it strictly), and those of `meta` [nmeta] whose key is not ours. f16: large tensors as F16;
 * ST_NUMERIC: a value out of its range. Whole or not at all. */
Status network_save(const char *path, const Generator *G, const StMeta *meta, int nmeta, bool f16,
                    Error *e);

/* The same for a generator that was trained on images with metadata `data` [ndata]: what the images
 * mean travels along, and train.kimg (`images` shown), train.seed, train.config (NULL: none),
 * train.data (digest of the images, where `data` has NETWORK_DATA). */
Status network_save_trained(const char *path, const Generator *G, const StMeta *data, int ndata,
                            int64_t images, uint64_t seed, const char *config, Error *e);

/* The keys that say what the images are (channels, window.*, unit.*, source, licence): copies the
 * matching ones into *out (mem_free by meta_free). */
Status meta_of_images(const StMeta *meta, int nmeta, StMeta **out, int *nout, Error *e);

/* A list of n entries; NULL allowed. */
void meta_free(StMeta *meta, int n);

/* ---- pieces, for snapshots ---- */

/* Adds the G.* keys. */
Status gen_config_write(StWriter *w, const GenConfig *c, Error *e);

/* Adds every entry of p as tensor prefix+name. Data is referenced until st_commit. f16 as in
 * network_save. */
Status params_write(StWriter *w, const char *prefix, const Params *p, bool f16, Error *e);

/* Reads every entry of p; shapes (ST_FORMAT) and finiteness (ST_NUMERIC) are checked; a scalar may
 * be [1]. */
Status params_read(const StFile *f, const char *prefix, const Params *p, Error *e);

/* ---- VGG16 with LPIPS heads ---- */

/* path NULL: the bundled vgg16_caffe.safetensors (name "VGG16-Caffe, mean heads"). Any other file:
 * "features.<n>.weight/bias", metadata `mean`, `std`, `range` (absent: torchvision's, and the name
 * says torchvision), heads lin0..lin4 (or lin<k>.model.1.weight); without heads those of the
 * bundled lpips_vgg_v0.1.safetensors. data_dir as in data_find. ST_IO, ST_FORMAT, ST_NUMERIC; after
 * an error v is empty. */
Status vgg_load(Vgg *v, const char *path, const char *data_dir, Error *e);
#endif
