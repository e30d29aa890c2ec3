/* cli/bench.h: the forms of what `tpmtls bench` measured. Layer: cli. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <jansson.h>

#include "gauge/gauge.h"

/* struct bench_pages: one a profile, or one. */
struct bench_pages {
    struct gauge_page *pages;
    size_t len;
};

void bench_print_text(const struct gauge_page *page);
/* bench_name: "Sign p256 (encrypted)", "full p256 (software)". */
void bench_command_name(char ret[64], const struct gauge_command *c);
void bench_handshake_name(char ret[64], const struct gauge_handshake *h);

/* bench_json: NULL when there is no memory. */
json_t *bench_json(const struct bench_pages *all);
/* bench_compare_load: TT_ERR_DECODE when the file is none of ours. bench_compare: a table of both. */
TT_MUST_USE tt_rc bench_compare_load(json_t **ret, const char *path, struct tt_error *err);
void bench_compare(const json_t *old, const json_t *new);

/* bench_plot_check: gnuplot is there. bench_plot: an SVG file. */
TT_MUST_USE tt_rc bench_plot_check(struct tt_error *err);
TT_MUST_USE tt_rc bench_plot(const struct bench_pages *all, const char *path, struct tt_error *err);

#endif
