/* cli/serve_tickets.c: see serve_tickets.h. Layer: cli. */
#include "cli/serve_tickets.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/clock.h"

#define SEVEN_DAYS 604800
#define SCOPE_MAX  64

#define TO(member) OPTION_TO(struct ticket_options, member)

const struct option_row ticket_rows[] = {
    {"tickets", "N", "tickets for each handshake; 0: nobody resumes", TO(count), .max = 8, .initial = 2},
    {"ticket-lifetime", "S", "seconds they count", TO(lifetime), .min = 1, .max = SEVEN_DAYS,
     .initial = 7200},
    {"ticket-key", "PATH",
     "a file of `tpmtls ticket-key`, or a directory of such; read again when it changes. Or a root in the "
     "TPM (ticket-key "
     "--in-tpm). Default: keys in memory only",
     TO(key)},
    {"ticket-rotation", "S", "seconds until the next key, where it is made here; default: the lifetime",
     TO(rotation), .min = 1, .max = 10 * SEVEN_DAYS},
    {"ticket-scope", "NAME",
     "servers with the same name take each other's tickets; default: the ADDR:PORT given", TO(scope)},
    {"max-early-data", "N", "accept N bytes of 0-RTT data with a ticket. They can be replayed",
     TO(max_early_data), .max = 1 << 20},
    {0},
};

static void on_told(void *arg, const char *text, bool is_trouble)
{
    const struct serve_tickets *t = arg;
    if (t->cli->verbose > 0 || is_trouble)
        cli_note("%s", text);
}

/* The file may hold a root of the TPM instead of keys. */
static tt_rc open_root(struct serve_tickets *t, const char *path, struct tt_tpm **tpm, struct tt_error *err)
{
    static const char label[] = "-----BEGIN TSS2 PRIVATE KEY-----";
    TT_AUTO(mem_free_auto) char *text = NULL;
    struct stat st;
    size_t len = 0;
    if (path == NULL || (stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return TT_OK;
    TT_TRY(cli_read_file(&text, &len, path, err));
    if (memmem(text, len, label, sizeof label - 1) == NULL)
        return TT_OK;
    if (*tpm == NULL) {
        TT_TRY(cli_open_tpm(&t->own_tpm, t->cli, err));
        *tpm = t->own_tpm;
    }
    tt_rc rc = tt_hmac_open_pem(&t->root, *tpm, (struct tt_bytes){(const uint8_t *)text, len}, NULL, err);
    if (rc != TT_OK)
        cli_name_key(err, path);
    return rc;
}

static tt_rc open_keys(struct serve_tickets *t, const struct ticket_options *o, const struct tickets_at *at,
                       struct tt_error *err)
{
    unsigned long lifetime = o->lifetime, rotation = o->rotation > 0 ? o->rotation : lifetime;
    if (rotation < lifetime)
        return error_set(err, TT_ERR_USAGE,
                         "--ticket-rotation %lu is shorter than the lifetime of tickets, %lu: two keys open "
                         "them",
                         rotation, lifetime);
    TT_TRY(open_root(t, o->key, at->tpm, err));
    const struct ticket_keys_options opt = {.base = at->base,
                                            .tickets = t->tickets,
                                            .path = t->root == NULL ? o->key : NULL,
                                            .root = t->root,
                                            .rotation_s = (unsigned)rotation,
                                            .begins_later = at->begins_later,
                                            .told = on_told,
                                            .arg = t};
    return ticket_keys_new(&t->keys, &opt, err);
}

/* What tells this listener from others; the end of a name that is too long has the port. */
static struct tt_bytes scope_of(const struct ticket_options *o, const char *listen)
{
    const char *text = o->scope != NULL ? o->scope : listen;
    size_t len = strlen(text), n = len < SCOPE_MAX ? len : SCOPE_MAX;
    return (struct tt_bytes){(const uint8_t *)text + len - n, n};
}

tt_rc tickets_begin(struct serve_tickets *t, const struct cli *cli, const struct ticket_options *o,
                    struct tt_config *cfg, const struct tickets_at *at, struct tt_error *err)
{
    t->cli = cli;
    if (o->count == 0 && (o->max_early_data > 0 || o->key != NULL))
        return error_set(err, TT_ERR_USAGE, "--tickets 0 leaves nothing for %s to do",
                         o->max_early_data > 0 ? "--max-early-data" : "--ticket-key");
    if (o->count == 0)
        return TT_OK;
    TT_TRY(tt_tickets_new(&t->tickets, clock_wall_ms(), err));
    TT_TRY(open_keys(t, o, at, err));
    return tickets_put(t, o, cfg, at->listen, err);
}

tt_rc tickets_put(const struct serve_tickets *t, const struct ticket_options *o, struct tt_config *cfg,
                  const char *listen, struct tt_error *err)
{
    if (t->tickets == NULL)
        return TT_OK;
    tt_rc rc = tt_config_set_tickets(cfg, t->tickets, (unsigned)o->count, (uint32_t)o->lifetime,
                                     scope_of(o, listen));
    if (rc == TT_OK)
        rc = tt_config_set_max_early_data(cfg, (uint32_t)o->max_early_data);
    return rc == TT_OK ? rc : error_set(err, rc, "the tickets could not be set up");
}

void tickets_end_keys(struct serve_tickets *t)
{
    ticket_keys_free(TT_TAKE(t->keys));
}

void tickets_end(struct serve_tickets *t)
{
    tickets_end_keys(t);
    tt_hmac_free(t->root);
    tt_tpm_close(t->own_tpm);
    tt_tickets_free(t->tickets);
}
