/* cli/cmd_session.c: `tpmtls session`: look at kept sessions, and remove them. Layer: cli. Needs no TPM. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/rc.h"
#include "cli/command.h"
#include "cli/term.h"
#include "net/clock.h"
#include "net/session_store.h"

static void gather_one(void *arg, const struct session_listed *x)
{
    (void)json_array_append_new(
        arg, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "peer", x->peer, "server_name", x->server_name,
                       "mode", session_mode_name(x->mode), "suite", x->suite, "received_ms",
                       (json_int_t)x->received_ms, "expires_ms", (json_int_t)x->expires_ms));
}

static const char *text_of(const json_t *session, const char *member)
{
    return json_string_value(json_object_get(session, member));
}

/* As wide as the widest of them. */
static int width_of(const json_t *list, const char *member, const char *title)
{
    size_t i, width = strlen(title);
    json_t *one;
    json_array_foreach(list, i, one)
    {
        size_t len = strlen(text_of(one, member));
        width = len > width ? len : width;
    }
    return (int)width;
}

static void print_list(const json_t *list, int64_t now_ms)
{
    int peer = width_of(list, "peer", "PEER"), suite = width_of(list, "suite", "SUITE");
    size_t i;
    json_t *one;
    printf("%s%-*s  %-6s  %-*s  %s%s\n", term_on(TERM_HEAD), peer, "PEER", "MODE", suite, "SUITE", "ENDS IN",
           term_off());
    json_array_foreach(list, i, one)
    {
        int64_t left_s = (json_integer_value(json_object_get(one, "expires_ms")) - now_ms) / 1000;
        printf("%-*s  %-6s  %-*s  %s%3" PRId64 ":%02d:%02d%s\n", peer, text_of(one, "peer"),
               text_of(one, "mode"), suite, text_of(one, "suite"),
               term_on(left_s < 600 ? TERM_WARN : TERM_PLAIN), left_s / 3600, (int)(left_s / 60 % 60),
               (int)(left_s % 60), left_s < 600 ? term_off() : "");
    }
}

static int list(const struct cli *cli, void *options)
{
    char dir[512];
    struct tt_error err = {0};
    int64_t now_ms = clock_wall_ms();
    (void)options;
    if (session_dir_default(dir, sizeof dir, &err) != TT_OK)
        return cli_fail(&err);
    json_t *all = json_array();
    tt_rc rc = session_dir_list(dir, now_ms, gather_one, all, &err);
    if (rc == TT_OK && cli->json) {
        (void)json_dumpf(all, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else if (rc == TT_OK && json_array_size(all) > 0) {
        print_list(all, now_ms);
    } else if (rc == TT_OK) {
        cli_note("no sessions in %s", dir);
    }
    json_decref(all);
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
