/* cli/cmd_bench.c: `tpmtls bench`: what this TPM, or the chips the lab plays, cost a TLS 1.3 identity. Layer:
 * cli. Measured in src/gauge; here are the options, the progress and where the results go. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/bench.h"
#include "cli/command.h"

#define PROFILES_MAX    16
#define SECONDS_DEFAULT 2.0

/* struct bench: the command's words, and what it works with. */
struct bench {
    const struct cli *cli;
    struct gauge_options gauge;
    enum bench_part {
        PART_ALL,
        PART_TPM,
        PART_HANDSHAKE
    } part;
    struct option_list profiles;
    struct bench_seconds {
        bool given;
        double value;
    } seconds;
    const char *out, *plot, *compare;
    json_t *old;
    bool force;
};

/* ---- progress ---- */

static void show_progress(void *arg, const char *what, unsigned n)
{
    const struct bench *b = arg;
    fprintf(stderr, "\r%-78s\r", "");
    if (what != NULL)
        fprintf(stderr, "tpmtls: %s%smeasuring %s (%u)", b->gauge.profile != NULL ? b->gauge.profile : "",
                b->gauge.profile != NULL ? ": " : "", what, n);
    (void)fflush(stderr);
}

/* ---- running ---- */

static tt_rc run_one(struct bench_pages *all, struct bench *b, const char *tpm, const char *profile,
                     struct tt_error *err)
{
    b->gauge.tpm = tpm;
    b->gauge.profile = profile;
    struct gauge_page *page = &all->pages[all->len];
    tt_rc rc = gauge_run(page, &b->gauge, err);
    if (b->gauge.progress != NULL)
        show_progress(b, NULL, 0);
    TT_TRY(rc);
    all->len++;
    if (!b->cli->json)
        bench_print_text(page);
    (void)fflush(stdout);
    return TT_OK;
}

/* A profile is never laid over the machine's own TPM unless it was named. */
static tt_rc run_profiles(struct bench_pages *all, struct bench *b, struct tt_error *err)
{
    struct gauge_swtpm emulated = {.pid = 0};
    const char *tpm = b->cli->tpm;
    if (tpm == NULL) {
        TT_TRY(gauge_swtpm_start(&emulated, err));
        tpm = emulated.tcti;
    }
    tt_rc rc = TT_OK;
    for (size_t i = 0; i < b->profiles.len && rc == TT_OK; i++)
        rc = run_one(all, b, tpm, b->profiles.at[i], err);
    gauge_swtpm_stop(&emulated);
    return rc;
}

static tt_rc run_all(struct bench_pages *all, struct bench *b, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    if (b->profiles.len > 0)
        return run_profiles(all, b, err);
    TT_TRY(cli_open_tpm(&tpm, b->cli, err)); /* says what is wrong with it, and that it is emulated */
    tt_tpm_close(tpm);
    return run_one(all, b, cli_tpm_choice(b->cli), NULL, err);
}

/* ---- where it goes ---- */

static enum file_over over(const struct bench *b)
{
    return b->force ? FILE_FORCE : FILE_REPLACE;
}

static tt_rc write_json(const json_t *doc, const struct bench *b, struct tt_error *err)
{
    const size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(7);
    size_t len = json_dumpb(doc, NULL, 0, flags);
    TT_AUTO(mem_free_auto) char *text = mem_alloc(len);
    if (text == NULL || json_dumpb(doc, text, len, flags) != len)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    return cli_write_file(b->out, (struct tt_bytes){(const uint8_t *)text, len},
                          (struct file_want){0644, over(b)}, err);
}

static tt_rc deliver(const struct bench_pages *all, const struct bench *b, struct tt_error *err)
{
    json_t *doc = bench_json(all);
    tt_rc rc = doc == NULL ? error_set(err, TT_ERR_MEMORY, "out of memory") : TT_OK;
    if (rc == TT_OK && b->cli->json) {
        (void)json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
        (void)putchar('\n');
    }
    if (rc == TT_OK && b->out != NULL)
        rc = write_json(doc, b, err);
    if (rc == TT_OK && b->plot != NULL)
        rc = bench_plot(all, b->plot, err);
    if (rc == TT_OK && b->old != NULL && !b->cli->json)
        bench_compare(b->old, doc);
    json_decref(doc);
    return rc;
}

static int measure(struct bench *b)
{
    struct tt_error err = {0};
    size_t pages = b->profiles.len > 0 ? b->profiles.len : 1;
    TT_AUTO(mem_free_auto) struct gauge_page *buffer = mem_alloc(pages * sizeof *buffer);
    struct bench_pages all = {.pages = buffer};
    tt_rc rc = buffer == NULL ? error_set(&err, TT_ERR_MEMORY, "out of memory") : TT_OK;
    /* Before a minute of measuring. */
    if (rc == TT_OK && b->plot != NULL)
        rc = bench_plot_check(&err);
    if (rc == TT_OK)
        rc = cli_may_write(b->out, HOLDS_FIGURES, over(b), &err);
    if (rc == TT_OK)
        rc = cli_may_write(b->plot, HOLDS_PICTURE, over(b), &err);
    if (rc == TT_OK && b->compare != NULL)
        rc = bench_compare_load(&b->old, b->compare, &err);
    if (rc == TT_OK)
        rc = run_all(&all, b, &err);
    if (rc == TT_OK)
        rc = deliver(&all, b, &err);
    json_decref(b->old);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- the command ---- */

static tt_rc take_seconds(const struct option_row *row, void *at, const char *text, struct tt_error *err)
{
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || isnan(v) || v < 0 || v > 3600)
        return error_set(err, TT_ERR_USAGE, "--%s: '%s' is not a number of seconds from 0 to 3600", row->name,
                         text);
    *(struct bench_seconds *)at = (struct bench_seconds){true, v};
    return TT_OK;
}

static int run(const struct cli *cli, void *options)
{
    struct bench *b = options;
    b->cli = cli;
    b->gauge.seconds = b->seconds.given ? b->seconds.value : SECONDS_DEFAULT;
    b->gauge.commands = b->part != PART_HANDSHAKE;
    b->gauge.handshakes = b->part != PART_TPM;
    if (isatty(STDERR_FILENO)) {
        b->gauge.progress = show_progress;
        b->gauge.arg = b;
    }
    return measure(b);
}

#define TO(member) OPTION_TO(struct bench, member)

static const struct option_row bench_rows[] = {
    {NULL, NULL, "what: each command TLS 1.3 needs of the TPM, whole handshakes, or both", TO(part),
     .choices = "all tpm handshake"},
    {"profile", "PROFILE",
     "play a chip of the lab (docs/lab-tcti.md), NAME[,OPTION...], on --tpm (a TCTI string) or, without it, "
     "on a swtpm of "
     "its own; one page a chip",
     TO(profiles), .max = PROFILES_MAX,
     .words = "ns350 slb9670 slb9672 st33ktpm npct650 npct750 qvault jetson pc"},
    {"seconds", "N", "how long each row is measured (2); a slow command is run at least once", OPTION_TAKEN,
     offsetof(struct bench, seconds), .take = take_seconds},
    {"out", "FILE", "all of it as JSON, to be kept and compared; --json prints it instead", TO(out),
     .letter = 'o', .elsewhere = "output save"},
    {"compare", "OLD.json", "a table of a former --out FILE beside this one", TO(compare)},
    {"plot", "FILE.svg", "a picture, drawn by gnuplot", TO(plot)},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_part bench_parts[] = {{NULL, bench_rows, 0}, {0}};

const struct command command_bench = {
    .name = "bench",
    .summary = "measure a TPM: each command TLS needs, and whole handshakes",
    .about = "Measures what TLS 1.3 costs with keys in this TPM: each command it needs (tpm), whole "
             "handshakes, full and "
             "resumed, warm and from a cold start (handshake), or both (all, the default). Writes nothing "
             "that stays.",
    .example = "  tpmtls bench --seconds 0.1 -o before.json tpm",
    .parts = bench_parts,
    .size = sizeof(struct bench),
    .run = run,
};
