/* bench/report.h: time, medians, and the table with its JSON twin. Layer: bench. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

/* report_open: reads --json FILE; exits with 2 on other arguments. */
struct report;
struct report *report_open(int argc, char **argv, const char *title);
/* report_close: writes the JSON file; returns the exit code. */
int report_close(struct report *r);

void report_section(struct report *r, const char *title);
/* report_note: a sentence in the table. */
void report_note(struct report *r, const char *text);

/* struct figure: one row. at_most / at_least: the target, 0 when there is none; none: the target is 0. */
struct figure {
    const char *key;  /* in the JSON */
    const char *text; /* in the table */
    const char *unit;
    double value;
    double at_most, at_least;
    bool none;
};
void report_figure(struct report *r, const struct figure *f);

/* report_datum: the same in the JSON only, for tables of another shape. */
void report_datum(struct report *r, const struct figure *f);

/* cpu_now: CPU time of the process, in seconds. */
double cpu_now(void);

/* median: of n values; they are sorted in place. */
double median(double *values, size_t n);

/* libcrypto_is_new: the one that is running is 3.5 or later. */
bool libcrypto_is_new(void);

/* die: for what cannot happen in a benchmark. */
void die(const char *what) __attribute__((noreturn));

#endif
