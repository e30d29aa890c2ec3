/* cli/proxy_make.c: from the options of a tunnel to what its connections are made by, at the start and at
 * each reload. Layer: cli. After the start all of it happens on the thread of the TPM. */
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/attest_policy.h"
#include "cli/proxy_make.h"
#include "net/clock.h"

tt_rc need_tpm(struct maker *m, struct tt_error *err)
{
    if (m->tpm == NULL && m->is_running)
        return error_set(err, TT_ERR_TPM, "this process was started without a TPM");
    return m->tpm != NULL ? TT_OK : cli_open_tpm(&m->tpm, &m->cli, err);
}

/* ---- both ends' ---- */

static tt_rc add_identities(struct maker *m, struct tunnel_setup *s, const struct proxy_tunnel *t,
                            const struct tunnel_setup *before, struct tt_error *err)
{
    struct tls_identities *ids = s->owned;
    const struct tls_load load = {.config = s->config,
                                  .role = t->role,
                                  .cli = &m->cli,
                                  .options = &t->tls,
                                  .before = before != NULL ? before->owned : NULL,
                                  .tpm = m->tpm};
    TT_TRY(tls_config_identities(ids, &load, err));
    if (m->tpm == NULL && ids->tpm != NULL && m->is_running) /* the queue has none */
        return need_tpm(m, err);
    ids->is_guest = true;
    m->tpm = ids->tpm != NULL ? ids->tpm : m->tpm;
    tls_identities_say_ends(ids, &t->tls, clock_wall_s());
    if (ids->len == 0)
        return TT_OK;
    s->key = ids->keys[0]->key;
    s->delegation = ids->delegation;
    s->not_after = ids->ends[0].until;
    if (ids->len == 1 && buf_size(&ids->leaf) > 0)
        (void)!cert_algorithms_read(&s->algorithms, buf_bytes(&ids->leaf)); /* else nothing is said of it */
    return TT_OK;
}

/* As `connect` does: who names nobody believes the system's CAs. */
static tt_rc add_trust(struct tt_config *cfg, const struct proxy_tunnel *t, bool again, struct tt_error *err)
{
    struct trust_options trust = t->trust;
    if (!trust_is_given(&trust)) {
        trust.ca.at[0] = "system";
        trust.ca.len = 1;
    }
    TT_TRY(trust_config(cfg, &trust, again, err));
    return t->role == TT_SERVER ? tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUIRE)
                                : tt_config_set_ocsp(cfg, TT_OCSP_REQUEST);
}

/* ---- a client's ---- */

/* One name alone is the server's name; of several, URIs among them, the certificate has to have one. */
static tt_rc add_names(struct tt_config *cfg, const struct proxy_tunnel *t, struct tt_error *err)
{
    if (t->verify_uri.len == 0 && t->verify_dns.len <= 1)
        return TT_OK;
    for (size_t i = 0; i < t->verify_dns.len; i++)
        TT_TRY(tt_config_add_peer_name(cfg, TT_PEER_HOST, t->verify_dns.at[i], err));
    for (size_t i = 0; i < t->verify_uri.len; i++)
        TT_TRY(tt_config_add_peer_name(cfg, TT_PEER_URI, t->verify_uri.at[i], err));
    return TT_OK;
}

/* With `dns` the DNS is asked here: at the start and at each reload, not for each connection; a server whose
 * keys have changed says so itself. */
static tt_rc add_ech(struct material *x, struct tunnel_setup *s, const char *name, struct tt_error *err)
{
    const struct proxy_tunnel *t = x->t;
    struct address to = {.host = ""};
    if (t->ech.ech == NULL)
        return TT_OK;
    if (name == NULL || address_parse(&to, t->connect, NULL) != TT_OK)
        return error_set(err, TT_ERR_USAGE, "--ech hides the name of a server, and %s has none", t->connect);
    const struct ech_asked asked = {name, !to.is_name && t->verify_dns.len == 0, &to, false};
    return ech_options_offer(&s->ech, &x->maker->cli, &t->ech, &asked, err);
}

static tt_rc open_sessions(struct material *x, struct tunnel_options *opt, struct tt_error *err)
{
    const struct proxy_tunnel *t = x->t;
    if (t->resume == SESSIONS_OFF)
        return TT_OK;
    if (t->resume != SESSIONS_IN_MEMORY)
        TT_TRY(need_tpm(x->maker, err));
    const struct session_store_options store = {
        .mode = t->resume, .tpm = x->maker->tpm, .pcrs = t->resume_pcrs};
    TT_TRY(session_store_open(&x->sessions, &store, err));
    opt->sessions = x->sessions;
    return TT_OK;
}

static tt_rc add_attest(struct tunnel_setup *s, const struct proxy_tunnel *t, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    const struct tls_identities *own = s->owned;
    s->attests = t->attest;
    if (!t->attest)
        return TT_OK;
    s->attest_key = own->len > 0 ? own->keys[0]->key : NULL;
    if (s->attest_key == NULL || !tt_key_is_tpm(s->attest_key))
        return error_set(err, TT_ERR_UNSUPPORTED, "the key is not in a TPM: nothing can attest it");
    if (t->ek_cert == NULL)
        return TT_OK;
    TT_TRY(cli_read_file(&pem, &len, t->ek_cert, err));
    return buf_append(&s->ek_certificates, pem, len) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static tt_rc add_client(struct material *x, struct tunnel_setup *s, struct tunnel_options *opt, bool is_first,
                        struct tt_error *err)
{
    static const uint16_t sha256[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_CHACHA20_POLY1305_SHA256};
    if (is_first)
        TT_TRY(open_sessions(x, opt, err));
    if (x->t->resume == SESSIONS_HELD && x->t->tls.suites == NULL)
        TT_TRY(tt_config_set_suites(s->config, sha256, TT_COUNT(sha256)));
    TT_TRY(add_names(s->config, x->t, err));
    TT_TRY(add_attest(s, x->t, err));
    return add_ech(x, s, opt->server_name, err);
}

/* ---- a server's ---- */

static void on_ech_told(void *arg, const char *text, bool is_trouble)
{
    const struct cli *cli = arg;
    if (cli->verbose > 0 || is_trouble)
        cli_note("%s", text);
}

static tt_rc open_ech(struct material *x, struct tt_error *err)
{
    const struct option_list *paths = &x->t->ech_keys;
    if (paths->len == 0)
        return TT_OK;
    if (ech_files_want_tpm(paths->at, paths->len))
        TT_TRY(need_tpm(x->maker, err));
    const struct ech_files_options opt = {.base = x->maker->base,
                                          .paths = paths->at,
                                          .paths_len = paths->len,
                                          .tpm = x->maker->tpm,
                                          .begins_later = true,
                                          .told = on_ech_told,
                                          .arg = &x->maker->cli};
    return ech_files_new(&x->ech, &opt, err);
}

static tt_rc open_tickets(struct material *x, struct tt_config *cfg, struct tt_error *err)
{
    struct maker *m = x->maker;
    const struct tickets_at at = {
        .base = m->base, .listen = x->t->listen, .tpm = &m->tpm, .begins_later = true};
    bool had_tpm = m->tpm != NULL;
    tt_rc rc = tickets_begin(&x->tickets, &m->cli, &x->t->tickets, cfg, &at, err);
    if (m->is_running && !had_tpm && m->tpm != NULL) { /* the queue has none */
        m->tpm = NULL;
        return need_tpm(m, err);
    }
    x->tickets.own_tpm = NULL; /* one for all, and the maker's */
    return rc;
}

static tt_rc add_server(struct material *x, struct tunnel_setup *s, bool is_first, struct tt_error *err)
{
    const struct proxy_tunnel *t = x->t;
    TT_TRY(proxy_rules_add(&s->rules, t, NULL, err));
    if (t->attestation != NULL) {
        TT_TRY(attest_policy_read(&s->attest, t->attestation, err));
        TT_TRY(attest_key_draw(s->attest_secret, err));
    }
    if (is_first)
        TT_TRY(open_ech(x, err));
    if (x->ech != NULL)
        TT_TRY(tt_config_set_ech_keys(s->config, ech_files_keys(x->ech)));
    return is_first ? open_tickets(x, s->config, err)
                    : tickets_put(&x->tickets, &t->tickets, s->config, t->listen, err);
}

/* ---- a setup ---- */

static tt_rc fill(struct material *x, struct tunnel_setup *s, struct tunnel_options *opt,
                  const struct tunnel_setup *before, struct tt_error *err)
{
    const struct proxy_tunnel *t = x->t;
    TT_TRY(tt_config_new(&s->config, t->role, err));
    TT_TRY(tls_config_values(s->config, &t->tls, err));
    TT_TRY(add_trust(s->config, t, before != NULL, err));
    TT_TRY(add_identities(x->maker, s, t, before, err));
    if (t->role == TT_SERVER)
        TT_TRY(add_server(x, s, before == NULL, err));
    else
        TT_TRY(add_client(x, s, opt, before == NULL, err));
    TT_TRY(tt_config_freeze(s->config, err));
    return tt_config_fingerprint(s->config, s->fingerprint);
}

void setup_unmake(void *arg, struct tunnel_setup *s)
{
    (void)arg;
    tt_config_free(s->config);
    rules_free(&s->rules);
    ech_offer_free(&s->ech);
    buf_free(&s->ek_certificates);
    tt_attest_policy_free(s->attest);
    if (s->owned != NULL)
        tls_identities_close(s->owned);
    mem_free(s->owned);
    mem_free(s);
}

tt_rc setup_make(void *arg, struct tunnel_options *opt, const struct tunnel_setup *before,
                 struct tunnel_setup **ret, struct tt_error *err)
{
    struct material *x = opt->maker;
    struct tunnel_setup *s = mem_alloc(sizeof *s);
    (void)arg;
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->owned = mem_alloc(sizeof(struct tls_identities));
    tt_rc rc = s->owned != NULL ? fill(x, s, opt, before, err) : TT_ERR_MEMORY;
    if (rc == TT_OK) {
        *ret = s;
        return TT_OK;
    }
    (void)error_set(err, rc, "the tunnel %s could not be set up", x->t->name);
    setup_unmake(NULL, s);
    return rc;
}

/* ---- what stands beside the setups ---- */

void material_began(void *arg, const struct tunnel_options *opt, struct sign_queue *queue)
{
    struct material *x = opt->maker;
    (void)arg;
    x->has_begun = true;
    if (x->tickets.keys != NULL)
        ticket_keys_use_queue(x->tickets.keys, queue);
    if (x->ech != NULL)
        ech_files_use_queue(x->ech, queue);
}

void material_left(void *arg, const struct tunnel_options *opt)
{
    struct material *x = opt->maker;
    (void)arg;
    if (x->has_begun) { /* else it may still be being made, on the other thread */
        tickets_end_keys(&x->tickets);
        ech_files_stop(x->ech);
    }
    x->has_left = true;
}

void material_end(struct material *x)
{
    session_store_free(x->sessions);
    ech_files_free(x->ech);
    tickets_end(&x->tickets);
}
