/* train_reuse.c: `prlx train --reuse`: a network that was trained on the same images is taken as
 * it is. What a network was trained on is known by the digest in its metadata: train.data. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/images/features.h"
#include "models/store/netfile.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/gan/train_run.h"

Status train_mark_data(Dataset *d, Error *e) {
  char key[65];
  features_key(d, "training data", key);
  return dataset_set_meta(d, NETWORK_DATA, key, e);
}

/* Does a network of the list belong to these images? */
static Status reuse_fits(const char *file, const char *key, bool first, bool *fits, Error *e) {
  const char *then = first ? "training" : "left out";
  Network net;
  *fits = false;
  if (!os_can_read(file)) {
    fprintf(stderr, "prlx train: %s: no such file; %s\n", file, then);
    return ST_OK;
  }
  TRY(network_load(&net, file, e));
  const char *was = network_meta(&net, "train.data");
  *fits = was && !strcmp(was, key);
  if (!*fits)
    fprintf(stderr, "prlx train: %s: trained on other images (%.16s; these are %.16s); %s\n", file,
            was ? was : "not said", key, then);
  network_free(&net);
  return ST_OK;
}

/* The planned end of a tick of whole kimg, by which `--keep` names a network; it has seen a little
 * more, up to a batch per tick. */
static double planned_kimg(double kimg) { return kimg >= 1 ? floor(kimg) : kimg; }

/* Into DIR/network.safetensors, the later ones of a list as `--keep` names them. */
static Status reuse_copy(const char *file, const char *dir, bool first, Error *e) {
  char path[PATH_LEN];
  Network net;
  uint8_t *data = NULL;
  size_t n;
  TRY(network_load(&net, file, e));
  const char *kimg = network_meta(&net, "train.kimg");
  Status s =
      first  ? path_join(path, dir, "network.safetensors", e)
      : kimg ? path_format(path, e, "%s/network-%06g.safetensors", dir, planned_kimg(atof(kimg)))
             : err_set(e, ST_FORMAT, "%s: no metadata train.kimg; leave it out of --reuse", file);
  if (s != ST_OK) goto done;
  s = file_read(net.path, &data, &n, (size_t)1 << 30, e);
  if (s != ST_OK) goto done;
  s = file_write_atomic(path, data, n, e);
done:
  mem_free(data);
  network_free(&net);
  return s;
}

Status train_reuse(const char *files, const char *data, const char *dir, bool *done, Error *e) {
  Dataset d;
  char *list = NULL, *save = NULL, key[65];
  *done = false;
  TRY(dataset_open(&d, data, e));
  features_key(&d, "training data", key);
  dataset_free(&d);
  if (!(list = mem_strdup(files))) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  int taken = 0;
  for (char *f = strtok_r(list, ",", &save); f; f = strtok_r(NULL, ",", &save)) {
    bool fits;
    s = reuse_fits(f, key, !taken, &fits, e);
    if (s != ST_OK || (!fits && !taken)) goto done;
    if (!fits) continue;
    s = taken ? ST_OK : outputs_folder(dir, "network.safetensors", e);
    if (s != ST_OK) goto done;
    s = reuse_copy(f, dir, !taken, e);
    if (s != ST_OK) goto done;
    if (!taken++) printf("%s: trained on these images before; taken into %s\n", f, dir);
  }
  *done = taken > 0;
done:
  mem_free(list);
  return s;
}
