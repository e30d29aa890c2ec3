/* cli/cmd_session.c: `tpmtls session`: look at kept sessions, and remove them. Layer: cli. Needs no TPM. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/rc.h"
#include "cli/command.h"
#include "net/clock.h"
#include "net/session_store.h"

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

static int list(const struct cli *cli, void *options)
{
    char dir[512];
    struct tt_error err = {0};
    (void)options;
    if (session_dir_default(dir, sizeof dir, &err) != TT_OK)
        return cli_fail(&err);
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

/* struct clear_options: whose sessions; NULL: all. */
struct clear_options {
    const char *peer;
};

static int clear(const struct cli *cli, void *options)
{
    const struct clear_options *o = options;
    char dir[512];
    struct tt_error err = {0};
    size_t n = 0;
    (void)cli;
    if (session_dir_default(dir, sizeof dir, &err) != TT_OK ||
        session_dir_clear(dir, o->peer, &n, &err) != TT_OK)
        return cli_fail(&err);
    cli_note("%zu session%s removed", n, n == 1 ? "" : "s");
    return CLI_OK;
}

struct offering {
    option_put *put;
    void *to;
};

static void offer_one(void *arg, const struct session_listed *x)
{
    const struct offering *o = arg;
    o->put(o->to, x->peer);
}

static void offer_peers(option_put *put, void *to)
{
    char dir[512];
    struct offering o = {put, to};
    struct tt_error err = {0};
    tt_rc rc = session_dir_default(dir, sizeof dir, &err);
    if (rc == TT_OK)
        rc = session_dir_list(dir, clock_wall_ms(), offer_one, &o, &err);
    (void)rc; /* what cannot be read is not offered */
}

static const struct option_row clear_rows[] = {
    {NULL, "HOST:PORT", "the peer; none: all, with the key they are sealed under",
     OPTION_TO(struct clear_options, peer), .offer = offer_peers},
    {0},
};
static const struct option_part clear_parts[] = {{NULL, clear_rows, 0}, {0}};

static const struct command command_list = {
    .name = "list",
    .summary = "one line for each; --json: an array",
    .example = "  tpmtls session list",
    .run = list,
};
static const struct command command_clear = {
    .name = "clear",
    .summary = "remove those of one peer, or all",
    .example = "  tpmtls session clear localhost:4433",
    .parts = clear_parts,
    .size = sizeof(struct clear_options),
    .run = clear,
};

static const struct command *const subcommands[] = {&command_list, &command_clear, NULL};

const struct command command_session = {
    .name = "session",
    .summary = "look at the sessions that connect keeps, and remove them",
    .about =
        "The sessions that `tpmtls connect --resume sealed|held` keeps in $XDG_STATE_HOME/tpmtls/sessions.",
    .subcommands = subcommands,
};
