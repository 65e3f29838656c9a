/* paper_audit_impl.h: what the two files of the audit share. */
#ifndef PRLX_PAPER_AUDIT_IMPL_H
#define PRLX_PAPER_AUDIT_IMPL_H
#include "paper/engine/paper.h"
#define SAY(...) printf("    " __VA_ARGS__)

/* ---- paper_audit_tables.c ---- */

/* x lies within `half` of what is printed. */
bool rounds_to(double x, double printed, double half);

/* Says why on standard error. */
Verdict audit_failed(const Error *e);

/* Each prints its computation and judges. */
Verdict check_fid_spread(void);
Verdict check_deepsmote_fid(void);
Verdict check_figure8(void);
Verdict check_slightly(void);
Verdict check_fid_scales(void);
Verdict check_rows(void);
Verdict check_one_test_set(void);
Verdict check_all_improve(void);
Verdict check_plus_ld(void);
Verdict check_table_cited(void);
Verdict check_sensitivity_gain(void);
Verdict check_training_time(void);
Verdict check_25000(void);
Verdict check_slices(void);
Verdict check_network_size(void);
Verdict check_adam(void);
Verdict check_training_set(void);
Verdict check_fid_loss(void);
Verdict check_comparison(void);
#endif
