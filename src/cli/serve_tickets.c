/* cli/serve_tickets.c: see serve_tickets.h. Layer: cli. */
#include "cli/serve_tickets.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/clock.h"

#define DEFAULT_COUNT    2
#define DEFAULT_LIFETIME 7200
#define SEVEN_DAYS       604800
#define SCOPE_MAX        64

bool ticket_option_take(struct ticket_options *o, int c, const char *value)
{
    const char **const fields[] = {&o->count,    &o->lifetime, &o->key,
                                   &o->rotation, &o->scope,    &o->max_early_data};
    size_t i = (size_t)(c - TICKET_OPT_COUNT);
    if (c < TICKET_OPT_COUNT || i >= TT_COUNT(fields))
        return false;
    *fields[i] = value;
    return true;
}

static void on_told(void *arg, const char *text)
{
    const struct serve_tickets *t = arg;
    if (t->cli->verbose > 0 || strstr(text, "stay as they were") != NULL)
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

static tt_rc open_keys(struct serve_tickets *t, const struct ticket_options *o, unsigned long lifetime,
                       const struct tickets_at *at, struct tt_error *err)
{
    unsigned long rotation = lifetime;
    TT_TRY(cli_number(&rotation, o->rotation, &(struct cli_range){"--ticket-rotation", 1, 10 * SEVEN_DAYS},
                      err));
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
    unsigned long count = DEFAULT_COUNT, lifetime = DEFAULT_LIFETIME, early = 0;
    t->cli = cli;
    TT_TRY(cli_number(&count, o->count, &(struct cli_range){"--tickets", 0, 8}, err));
    TT_TRY(cli_number(&lifetime, o->lifetime, &(struct cli_range){"--ticket-lifetime", 1, SEVEN_DAYS}, err));
    TT_TRY(cli_number(&early, o->max_early_data, &(struct cli_range){"--max-early-data", 0, 1 << 20}, err));
    if (count == 0 && (early > 0 || o->key != NULL))
        return error_set(err, TT_ERR_USAGE, "--tickets 0 leaves nothing for %s to do",
                         early > 0 ? "--max-early-data" : "--ticket-key");
    if (count == 0)
        return TT_OK;
    TT_TRY(tt_tickets_new(&t->tickets, clock_wall_ms(), err));
    TT_TRY(open_keys(t, o, lifetime, at, err));
    tt_rc rc =
        tt_config_set_tickets(cfg, t->tickets, (unsigned)count, (uint32_t)lifetime, scope_of(o, at->listen));
    if (rc == TT_OK)
        rc = tt_config_set_max_early_data(cfg, (uint32_t)early);
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
