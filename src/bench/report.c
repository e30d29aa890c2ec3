/* bench/report.c: see report.h. Layer: bench. */
#include "bench/report.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct report {
    json_t *root;
    const char *file;
    const char *section;
};

void die(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

struct report *report_open(int argc, char **argv, const char *title)
{
    static struct report r;
    if (argc == 3 && strcmp(argv[1], "--json") == 0)
        r.file = argv[2];
    else if (argc != 1) {
        (void)fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
        exit(2);
    }
    r.root = json_object();
    r.section = "";
    json_object_set_new(r.root, "title", json_string(title));
    json_object_set_new(r.root, "version", json_string(TT_VERSION));
    json_object_set_new(r.root, "libcrypto", json_string(OpenSSL_version(OPENSSL_VERSION)));
    printf("%s, %s\n", title, OpenSSL_version(OPENSSL_VERSION));
    return &r;
}

void report_section(struct report *r, const char *title)
{
    r->section = title;
    printf("\n%s\n", title);
}

void report_note(struct report *r, const char *text)
{
    (void)r;
    printf("  %s\n", text);
    (void)fflush(stdout);
}

void report_figure(struct report *r, const struct figure *f)
{
    double most = f->none ? 0 : f->at_most;
    bool upper = f->none || f->at_most > 0, lower = f->at_least > 0;
    bool met = (!upper || f->value <= most) && (!lower || f->value >= f->at_least);
    char target[64] = "";
    if (upper)
        (void)snprintf(target, sizeof target, "(at most %g: %s)", most, met ? "met" : "MISSED");
    if (lower)
        (void)snprintf(target, sizeof target, "(at least %g: %s)", f->at_least, met ? "met" : "MISSED");
    int digits = f->value < 10 ? 3 : f->value < 1000 ? 1 : 0;
    printf("  %-56s %10.*f %-8s %s\n", f->text, digits, f->value, f->unit, target);
    (void)fflush(stdout);
    json_t *row = json_pack("{s:s, s:s, s:s, s:f}", "section", r->section, "text", f->text, "unit", f->unit,
                            "value", f->value);
    if (upper || lower) {
        json_object_set_new(row, upper ? "at_most" : "at_least", json_real(upper ? most : f->at_least));
        json_object_set_new(row, "met", json_boolean(met));
    }
    json_object_set_new(r->root, f->key, row);
}

void report_datum(struct report *r, const struct figure *f)
{
    json_object_set_new(r->root, f->key,
                        json_pack("{s:s, s:s, s:s, s:f}", "section", r->section, "text", f->text, "unit",
                                  f->unit, "value", f->value));
}

int report_close(struct report *r)
{
    int rc = 0;
    if (r->file != NULL && json_dump_file(r->root, r->file, JSON_INDENT(2)) != 0) {
        (void)fprintf(stderr, "bench: cannot write %s\n", r->file);
        rc = 1;
    }
    json_decref(r->root);
    return rc;
}

bool libcrypto_is_new(void)
{
    unsigned major = OPENSSL_version_major(), minor = OPENSSL_version_minor();
    return major > 3 || (major == 3 && minor >= 5);
}

double cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}
