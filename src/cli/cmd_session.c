/* cli/cmd_session.c: `tpmtls session`: look at kept sessions, and remove them. Layer: cli. Needs no TPM. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/rc.h"
#include "cli/cli.h"
#include "net/clock.h"
#include "net/session_store.h"

static const char usage[] = "usage: tpmtls session list\n"
                            "       tpmtls session clear [HOST:PORT]\n";
static const char help[] =
    "\n"
    "The sessions that `tpmtls connect --resume sealed|held` keeps in $XDG_STATE_HOME/tpmtls/sessions.\n"
    "\n"
    "  list                   one line for each; --json: an array\n"
    "  clear [HOST:PORT]      remove those of one peer, or all, with the key they are sealed under\n";

struct listing {
    json_t *json; /* NULL: text */
    int64_t now_ms;
    size_t n;
};

static void print_one(void *arg, const struct session_listed *x)
{
    struct listing *l = arg;
    int64_t left_s = (x->expires_ms - l->now_ms) / 1000;
    l->n++;
    if (l->json != NULL) {
        (void)json_array_append_new(l->json, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "peer", x->peer,
                                                       "server_name", x->server_name, "mode",
                                                       session_mode_name(x->mode), "suite", x->suite,
                                                       "received_ms", (json_int_t)x->received_ms,
                                                       "expires_ms", (json_int_t)x->expires_ms));
        return;
    }
    printf("%-30s %-7s %-28s ends in %" PRId64 ":%02d:%02d\n", x->peer, session_mode_name(x->mode), x->suite,
           left_s / 3600, (int)(left_s / 60 % 60), (int)(left_s % 60));
}

static int list(const struct cli *cli, const char *dir)
{
    struct tt_error err = {0};
    struct listing l = {.json = cli->json ? json_array() : NULL, .now_ms = clock_wall_ms()};
    tt_rc rc = session_dir_list(dir, l.now_ms, print_one, &l, &err);
    if (rc == TT_OK && l.json != NULL) {
        (void)json_dumpf(l.json, stdout, JSON_COMPACT);
        (void)putchar('\n');
    }
    json_decref(l.json);
    if (rc == TT_OK && l.n == 0 && !cli->json)
        cli_note("no sessions in %s", dir);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

static int clear(const char *dir, const char *peer)
{
    struct tt_error err = {0};
    size_t n = 0;
    if (session_dir_clear(dir, peer, &n, &err) != TT_OK)
        return cli_fail(&err);
    cli_note("%zu session%s removed", n, n == 1 ? "" : "s");
    return CLI_OK;
}

int cmd_session(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, CLI_OPT}, {0}};
    char dir[512];
    struct tt_error err = {0};
    for (int c; (c = cli_getopt(argc, argv, "", options)) != -1;) {
        if (c != CLI_OPT)
            return cli_bad_option(usage, argv, c);
        printf("%s%s", usage, help);
        return CLI_OK;
    }
    const char *word = optind < argc ? argv[optind] : "";
    int words = argc - optind;
    bool wants_list = strcmp(word, "list") == 0 && words == 1;
    bool wants_clear = strcmp(word, "clear") == 0 && words <= 2;
    if (!wants_list && !wants_clear)
        return cli_usage(
            usage, words == 0 ? "session: list or clear?" : "session: '%s' is neither list nor clear", word);
    if (session_dir_default(dir, sizeof dir, &err) != TT_OK)
        return cli_fail(&err);
    return wants_list ? list(cli, dir) : clear(dir, words == 2 ? argv[optind + 1] : NULL);
}
