/* layers.h: the table of a network's layers: name, output shape, parameters, multiply-adds per
 * image. */
#ifndef PRLX_LAYERS_H
#define PRLX_LAYERS_H
#include <stdio.h>
#include "models/gan/networks.h"
/* D may be NULL. Returns nothing; prints to f. Multiply-adds count convolutions and dense layers
 * (forward, one image). */
void layers_print(FILE *f, const Generator *G, const Discriminator *D);
#endif
