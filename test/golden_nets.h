/* golden_nets.h: network configurations from the metadata of a golden file. */
#ifndef PRLX_GOLDEN_NETS_H
#define PRLX_GOLDEN_NETS_H
#include "models/gan/networks.h"
#include "test/golden.h"
GenConfig gold_gen_config(Gold *g); /* keys G.* */
DisConfig gold_dis_config(Gold *g); /* keys D.* */
#endif
