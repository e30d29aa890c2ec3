/* cli/serve_config.c: the configurations of `tpmtls serve`, one after the other. Layer: cli. A key may be at
 * work on the queue's thread when the last connection that used it is gone: so configurations end there. */
#include "cli/serve.h"

#include "base/mem.h"
#include "base/rc.h"
#include "net/clock.h"

/* ---- making ---- */

static tt_rc set_values(const struct serve *serve, struct tt_config *cfg, struct tt_error *err)
{
    const struct serve_options *o = serve->options;
    TT_TRY(tls_config_values(cfg, &o->tls, err));
    if (trust_is_given(&o->trust)) {
        TT_TRY(trust_config(cfg, &o->trust, serve->current != NULL, err));
        TT_TRY(tt_config_set_client_auth(cfg, o->require_client_cert ? TT_CLIENT_AUTH_REQUIRE
                                                                     : TT_CLIENT_AUTH_REQUEST));
    }
    return tt_config_set_force_retry(cfg, o->force_retry);
}

static tt_rc generation_new(struct generation **ret, struct serve *serve, struct tt_error *err)
{
    struct generation *g = mem_alloc(sizeof *g);
    if (g == NULL) {
        (void)error_set(err, TT_ERR_MEMORY, "no memory for a configuration");
        return TT_ERR_MEMORY;
    }
    g->serve = serve;
    atomic_init(&g->is_over, false);
    tt_rc rc = tt_config_new(&g->config, TT_SERVER, err);
    if (rc == TT_OK)
        rc = set_values(serve, g->config, err);
    if (rc == TT_OK)
        *ret = g;
    else
        generation_end(g);
    return rc;
}

static tt_rc first_fill(struct serve *serve, struct generation *g, struct tt_tpm **ret_tpm,
                        struct tt_error *err)
{
    const struct serve_options *o = serve->options;
    struct cli traced = *serve->cli;
    traced.tpm_trace = trace_load;
    traced.tpm_trace_arg = &serve->trace;
    const struct tls_load load = {.config = g->config, .role = TT_SERVER, .cli = &traced, .options = &o->tls};
    TT_TRY(tls_config_identities(&g->identities, &load, err));
    serve->tpm = g->identities.tpm;
    g->identities.is_guest = true;
    tls_identities_say_ends(&g->identities, &o->tls, clock_wall_s());
    struct tls_psks_where where = {g->config, TT_SERVER, &serve->tpm, &traced, g->identities.len > 0};
    TT_TRY(tls_config_psks(&serve->psks, &where, &o->tls, err));
    const struct tickets_at at = {.base = serve->base, .listen = o->listen, .tpm = ret_tpm};
    *ret_tpm = serve->tpm;
    TT_TRY(tickets_begin(&serve->tickets, serve->cli, &o->tickets, g->config, &at, err));
    TT_TRY(serve_ech(serve, ret_tpm, err));
    if (serve->ech != NULL)
        TT_TRY(tt_config_set_ech_keys(g->config, ech_files_keys(serve->ech)));
    return tt_config_freeze(g->config, err);
}

tt_rc generation_first(struct serve *serve, struct tt_tpm **ret_tpm, struct tt_error *err)
{
    struct generation *g = NULL;
    TT_TRY(generation_new(&g, serve, err));
    tt_rc rc = first_fill(serve, g, ret_tpm, err);
    if (rc == TT_OK)
        generation_use(serve, g);
    else
        generation_end(g);
    return rc;
}

static tt_rc next_fill(struct serve *serve, struct generation *g, struct tt_error *err)
{
    const struct serve_options *o = serve->options;
    struct cli silent = *serve->cli;
    silent.unattended = true;
    const struct tls_load load = {.config = g->config,
                                  .role = TT_SERVER,
                                  .cli = &silent,
                                  .options = &o->tls,
                                  .before = &serve->current->identities};
    TT_TRY(tls_config_identities(&g->identities, &load, err));
    TT_TRY(tls_config_psks_again(&serve->psks, g->config, &o->tls, g->identities.len > 0));
    TT_TRY(tickets_put(&serve->tickets, &o->tickets, g->config, o->listen, err));
    if (serve->ech != NULL)
        TT_TRY(tt_config_set_ech_keys(g->config, ech_files_keys(serve->ech)));
    return tt_config_freeze(g->config, err);
}

tt_rc generation_next(struct generation **ret, struct serve *serve, struct tt_error *err)
{
    struct generation *g = NULL;
    TT_TRY(generation_new(&g, serve, err));
    tt_rc rc = next_fill(serve, g, err);
    if (rc == TT_OK)
        *ret = g;
    else
        generation_end(g);
    return rc;
}

/* ---- ending ---- */

static void release_contents(struct generation *g)
{
    if (atomic_exchange(&g->is_over, true))
        return;
    tt_config_free(g->config);
    tls_identities_close(&g->identities);
}

void generation_end(struct generation *g)
{
    if (g == NULL)
        return;
    release_contents(g);
    mem_free(g);
}

static tt_rc end_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm;
    (void)err;
    release_contents(arg);
    return TT_OK;
}

static void end_asked(void *arg)
{
    (void)arg;
}

static void unlink_ending(struct generation *g)
{
    struct generation **at = &g->serve->ending;
    while (*at != NULL && *at != g)
        at = &(*at)->next;
    if (*at == g)
        *at = g->next;
}

/* What could not be ended in time is tried again with the next one, or at the end of all. */
static void end_done(void *arg, const struct sign_answer *answer)
{
    struct generation *g = arg;
    g->is_leaving = false;
    if (answer->error.rc != TT_OK || !atomic_load(&g->is_over))
        return;
    unlink_ending(g);
    mem_free(g);
}

static void end_all_soon(struct serve *serve)
{
    for (struct generation *g = serve->ending; g != NULL && serve->signer != NULL; g = g->next) {
        struct sign_job *unused = NULL;
        const struct sign_work work = {.run = end_run, .release = end_asked, .arg = g};
        const struct sign_request request = {.work = &work,
                                             .class = SIGN_OTHER,
                                             .deadline_ms = cli_patience_ms(serve->cli),
                                             .done = end_done,
                                             .arg = g};
        if (!g->is_leaving)
            g->is_leaving = sign_queue_submit(serve->signer, &unused, &request, NULL) == TT_OK;
    }
}

struct generation *generation_hold(struct generation *g)
{
    g->users++;
    return g;
}

void generation_drop(struct generation *g)
{
    if (g == NULL || --g->users > 0)
        return;
    g->next = g->serve->ending;
    g->serve->ending = g;
    end_all_soon(g->serve);
}

void generation_use(struct serve *serve, struct generation *g)
{
    struct generation *former = serve->current;
    serve->current = generation_hold(g);
    if (serve->server != NULL)
        server_use(serve->server, g->config);
    generation_drop(former);
}

void generations_end_all(struct serve *serve)
{
    generation_drop(TT_TAKE(serve->current));
    while (serve->ending != NULL) {
        struct generation *g = serve->ending;
        serve->ending = g->next;
        generation_end(g);
    }
}
