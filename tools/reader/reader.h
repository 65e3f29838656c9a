/* reader.h: the parts of `prlx reader`. make: data sets -> page and key; score: key and answers ->
 * tables. Inside tools/reader*.c only. */
#ifndef PRLX_READER_H
#define PRLX_READER_H
#include "core/base.h"
int reader_make(int argc, char **argv);  /* argv[0] = "make"; exit code */
int reader_score(int argc, char **argv); /* argv[0] = "score" */
#endif
