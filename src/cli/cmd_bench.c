/* cli/cmd_bench.c: `tpmtls bench`: what this TPM, or the chips the lab plays, cost a TLS 1.3 identity. Layer:
 * cli. Measured in src/gauge; here are the options, the progress and where the results go. */
#include "cli/cli.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/bench.h"

#define PROFILES_MAX    16
#define SECONDS_DEFAULT 2.0

static const char usage_bench[] =
    "usage: tpmtls [--tpm TPM] [--json] bench [--profile NAME[,OPTION...]]... [--seconds N] [--json FILE]\n"
    "                    [--plot FILE.svg] [--compare OLD.json] [tpm|handshake|all]\n"
    "\n"
    "Measures what TLS 1.3 costs with keys in this TPM: each command it needs (tpm), whole handshakes, full "
    "and\n"
    "resumed, warm and from a cold start (handshake), or both (all, the default). Writes nothing that "
    "stays.\n"
    "\n"
    "  --profile NAME    play a chip of the lab (docs/lab-tcti.md), on --tpm (a TCTI string) or, without it, "
    "on a\n"
    "                    swtpm of its own; may be given several times: one page a chip\n"
    "  --seconds N       how long each row is measured (2); a slow command is run at least once\n"
    "  --json FILE       all of it, to be kept and compared; the option in front of `bench` prints it "
    "instead\n"
    "  --compare OLD     a table of a former --json FILE beside this one\n"
    "  --plot FILE.svg   a picture, drawn by gnuplot\n";

/* struct bench: the command's words. */
struct bench {
    const struct cli *cli;
    struct gauge_options gauge;
    const char *profiles[PROFILES_MAX];
    size_t profiles_len;
    const char *json, *plot, *compare;
    json_t *old;
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
    for (size_t i = 0; i < b->profiles_len && rc == TT_OK; i++)
        rc = run_one(all, b, tpm, b->profiles[i], err);
    gauge_swtpm_stop(&emulated);
    return rc;
}

static tt_rc run_all(struct bench_pages *all, struct bench *b, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    if (b->profiles_len > 0)
        return run_profiles(all, b, err);
    TT_TRY(cli_open_tpm(&tpm, b->cli, err)); /* says what is wrong with it, and that it is emulated */
    tt_tpm_close(tpm);
    return run_one(all, b, cli_tpm_choice(b->cli), NULL, err);
}

/* ---- where it goes ---- */

static tt_rc write_json(const json_t *doc, const char *path, struct tt_error *err)
{
    const size_t flags = JSON_INDENT(1) | JSON_REAL_PRECISION(7);
    size_t len = json_dumpb(doc, NULL, 0, flags);
    TT_AUTO(mem_free_auto) char *text = mem_alloc(len);
    if (text == NULL || json_dumpb(doc, text, len, flags) != len)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    return cli_write_file(path, (struct tt_bytes){(const uint8_t *)text, len}, 0644, false, err);
}

static tt_rc deliver(const struct bench_pages *all, const struct bench *b, struct tt_error *err)
{
    json_t *doc = bench_json(all);
    tt_rc rc = doc == NULL ? error_set(err, TT_ERR_MEMORY, "out of memory") : TT_OK;
    if (rc == TT_OK && b->cli->json) {
        (void)json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
        (void)putchar('\n');
    }
    if (rc == TT_OK && b->json != NULL)
        rc = write_json(doc, b->json, err);
    if (rc == TT_OK && b->plot != NULL)
        rc = bench_plot(all, b->plot, err);
    if (rc == TT_OK && b->old != NULL && !b->cli->json)
        bench_compare(b->old, doc);
    json_decref(doc);
    return rc;
}

static int run(struct bench *b)
{
    struct tt_error err = {0};
    size_t pages = b->profiles_len > 0 ? b->profiles_len : 1;
    TT_AUTO(mem_free_auto) struct gauge_page *buffer = mem_alloc(pages * sizeof *buffer);
    struct bench_pages all = {.pages = buffer};
    tt_rc rc = buffer == NULL ? error_set(&err, TT_ERR_MEMORY, "out of memory") : TT_OK;
    /* Before a minute of measuring. */
    if (rc == TT_OK && b->plot != NULL)
        rc = bench_plot_check(&err);
    if (rc == TT_OK && b->compare != NULL)
        rc = bench_compare_load(&b->old, b->compare, &err);
    if (rc == TT_OK)
        rc = run_all(&all, b, &err);
    if (rc == TT_OK)
        rc = deliver(&all, b, &err);
    json_decref(b->old);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- the words ---- */

static bool seconds_parse(double *ret, const char *text)
{
    char *end = NULL;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || isnan(v) || v < 0 || v > 3600)
        return false;
    *ret = v;
    return true;
}

static bool parts_parse(struct gauge_options *o, const char *word)
{
    o->commands = strcmp(word, "handshake") != 0;
    o->handshakes = strcmp(word, "tpm") != 0;
    return !o->commands || !o->handshakes || strcmp(word, "all") == 0;
}

static int take_option(struct bench *b, int c, char **argv)
{
    switch (c) {
    case 'p':
        if (b->profiles_len == PROFILES_MAX)
            return cli_usage(usage_bench, "more than %d profiles", PROFILES_MAX);
        b->profiles[b->profiles_len++] = optarg;
        return CLI_OK;
    case 's':
        return seconds_parse(&b->gauge.seconds, optarg)
                   ? CLI_OK
                   : cli_usage(usage_bench, "'%s' is not a number of seconds from 0 to 3600", optarg);
    case 'j':
        b->json = optarg;
        return CLI_OK;
    case 'g':
        b->plot = optarg;
        return CLI_OK;
    case 'c':
        b->compare = optarg;
        return CLI_OK;
    default:
        return cli_bad_option(usage_bench, argv, c);
    }
}

int cmd_bench(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 's'},
        {"json", required_argument, NULL, 'j'},
        {"plot", required_argument, NULL, 'g'},
        {"compare", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct bench b = {.cli = cli,
                      .gauge = {.seconds = SECONDS_DEFAULT, .commands = true, .handshakes = true}};
    for (int c; (c = cli_getopt(argc, argv, "h", options)) != -1;) {
        if (c == 'h') {
            fputs(usage_bench, stdout);
            return CLI_OK;
        }
        int code = take_option(&b, c, argv);
        if (code != CLI_OK)
            return code;
    }
    if (optind < argc && !parts_parse(&b.gauge, argv[optind++]))
        return cli_usage(usage_bench, "there is no part '%s'; tpm, handshake or all", argv[optind - 1]);
    if (optind < argc)
        return cli_usage(usage_bench, "'%s' is one word too many", argv[optind]);
    if (isatty(STDERR_FILENO)) {
        b.gauge.progress = show_progress;
        b.gauge.arg = &b;
    }
    return run(&b);
}
