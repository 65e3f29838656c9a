/* help.c: see help.h */
#include "tools/cli/help.h"

int help_overview(FILE *to, const Tool *tools, int n) {
  fprintf(to, "prlx - PRLx-GAN: synthesis and latent projection denoising of rim lesions on QSM\n\n"
              "usage: prlx COMMAND [options]\n\ncommands:\n");
  for (int i = 0; i < n; i++) fprintf(to, "  %-13s %s\n", tools[i].name, tools[i].summary);
  fprintf(to, "  %-13s %s\n\n", "help", "this text, or `prlx help COMMAND`, `prlx help paper run`");
  fprintf(
      to,
      "every command: --threads N, --quiet, --device auto|cpu|cuda, --help; `prlx --version`\n"
      "results go to standard output, progress to standard error; exit code 0 done, 1 failed, 2 "
      "wrong usage\n"
      "Ctrl-C once: stop after the current step and save what there is (where a command only "
      "reads\n"
      "and writes files: at once); twice: stop at once\n"
      "environment: PRLX_THREADS=n, PRLX_ISA=portable|avx2|avx512|neon, PRLX_DATA=folder of the "
      "bundled files,\n"
      "PRLX_DUMP=folder for the plans that commands make (prlx help dump), PRLX_BUCKET=bytes (prlx "
      "help train);\n"
      "all files lie in the folders of results, TMPDIR is not used\n");
  return EXIT_DONE;
}
