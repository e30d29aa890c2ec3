/* cli/proxy_make.c: from the options of tunnels to what their connections are made by, at the start and at
 * each reload. Layer: cli. After the start all of it happens on the thread of the TPM. */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/proxy.h"
#include "net/address.h"
#include "net/clock.h"
#include "net/loop.h"
#include "proxy/report.h"

struct maker {
    const struct proxy_plan *plan;
    struct cli cli;
    struct tt_tpm *tpm; /* of all keys; the first that needs one opens it */
    struct event_base *base;
    struct serve_tickets tickets[PROXY_TUNNELS_MAX];
    struct ech_files *ech[PROXY_TUNNELS_MAX];
    const char *names[PROXY_TUNNELS_MAX]; /* clients': of the server; NULL: it has none */
};

static tt_rc need_tpm(struct maker *m, struct tt_error *err)
{
    return m->tpm != NULL ? TT_OK : cli_open_tpm(&m->tpm, &m->cli, err);
}

/* ---- a setup ---- */

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
static tt_rc add_ech(struct maker *m, struct tunnel_setup *s, size_t i, struct tt_error *err)
{
    const struct proxy_tunnel *t = &m->plan->tunnels[i];
    struct address to = {.host = ""};
    const char *name = m->names[i];
    if (t->ech.ech == NULL)
        return TT_OK;
    if (name == NULL || address_parse(&to, t->connect, NULL) != TT_OK)
        return error_set(err, TT_ERR_USAGE, "--ech hides the name of a server, and %s has none", t->connect);
    const struct ech_asked asked = {name, !to.is_name && t->verify_dns.len == 0, &to, false};
    return ech_options_offer(&s->ech, &m->cli, &t->ech, &asked, err);
}

static tt_rc add_client(struct maker *m, struct tunnel_setup *s, size_t i, struct tt_error *err)
{
    TT_TRY(add_names(s->config, &m->plan->tunnels[i], err));
    return add_ech(m, s, i, err);
}

static tt_rc add_rules(struct rules *rules, const struct option_list *list, enum rule_kind kind,
                       struct tt_error *err)
{
    for (size_t i = 0; i < list->len; i++)
        TT_TRY(rules_add(rules, kind, list->at[i], err));
    return TT_OK;
}

static tt_rc add_all_rules(struct rules *rules, const struct proxy_tunnel *t, struct tt_error *err)
{
    if (t->allow_all)
        TT_TRY(rules_add(rules, RULE_ALL, NULL, err));
    TT_TRY(add_rules(rules, &t->allow_cn, RULE_CN, err));
    TT_TRY(add_rules(rules, &t->allow_ou, RULE_OU, err));
    TT_TRY(add_rules(rules, &t->allow_dns, RULE_DNS, err));
    TT_TRY(add_rules(rules, &t->allow_uri, RULE_URI, err));
    return add_rules(rules, &t->allow_pin, RULE_PIN, err);
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

static void on_ech_told(void *arg, const char *text, bool is_trouble)
{
    const struct cli *cli = arg;
    if (cli->verbose > 0 || is_trouble)
        cli_note("%s", text);
}

static tt_rc open_ech(struct maker *m, size_t i, struct tt_error *err)
{
    const struct option_list *paths = &m->plan->tunnels[i].ech_keys;
    if (paths->len == 0)
        return TT_OK;
    if (ech_files_want_tpm(paths->at, paths->len))
        TT_TRY(need_tpm(m, err));
    const struct ech_files_options opt = {.base = m->base,
                                          .paths = paths->at,
                                          .paths_len = paths->len,
                                          .tpm = m->tpm,
                                          .told = on_ech_told,
                                          .arg = &m->cli};
    return ech_files_new(&m->ech[i], &opt, err);
}

static tt_rc add_server(struct maker *m, struct tunnel_setup *s, size_t i, bool is_first,
                        struct tt_error *err)
{
    const struct proxy_tunnel *t = &m->plan->tunnels[i];
    const struct tickets_at at = {.base = m->base, .listen = t->listen, .tpm = &m->tpm};
    TT_TRY(add_all_rules(&s->rules, t, err));
    if (is_first)
        TT_TRY(open_ech(m, i, err));
    if (m->ech[i] != NULL)
        TT_TRY(tt_config_set_ech_keys(s->config, ech_files_keys(m->ech[i])));
    if (!is_first)
        return tickets_put(&m->tickets[i], &t->tickets, s->config, t->listen, err);
    tt_rc rc = tickets_begin(&m->tickets[i], &m->cli, &t->tickets, s->config, &at, err);
    m->tickets[i].own_tpm = NULL; /* one for all, and ours */
    return rc;
}

static tt_rc fill(struct maker *m, struct tunnel_setup *s, size_t i, const struct tunnel_setup *before,
                  struct tt_error *err)
{
    static const uint16_t sha256[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_CHACHA20_POLY1305_SHA256};
    const struct proxy_tunnel *t = &m->plan->tunnels[i];
    TT_TRY(tt_config_new(&s->config, t->role, err));
    TT_TRY(tls_config_values(s->config, &t->tls, err));
    TT_TRY(add_trust(s->config, t, before != NULL, err));
    if (t->role == TT_CLIENT && t->resume == SESSIONS_HELD && t->tls.suites == NULL)
        TT_TRY(tt_config_set_suites(s->config, sha256, TT_COUNT(sha256)));
    TT_TRY(add_identities(m, s, t, before, err));
    if (t->role == TT_SERVER)
        TT_TRY(add_server(m, s, i, before == NULL, err));
    else
        TT_TRY(add_client(m, s, i, err));
    TT_TRY(tt_config_freeze(s->config, err));
    return tt_config_fingerprint(s->config, s->fingerprint);
}

static void unmake(void *arg, struct tunnel_setup *s)
{
    (void)arg;
    tt_config_free(s->config);
    rules_free(&s->rules);
    ech_offer_free(&s->ech);
    if (s->owned != NULL)
        tls_identities_close(s->owned);
    mem_free(s->owned);
    mem_free(s);
}

static tt_rc make(void *arg, size_t i, const struct tunnel_setup *before, struct tunnel_setup **ret,
                  struct tt_error *err)
{
    struct maker *m = arg;
    struct tunnel_setup *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->owned = mem_alloc(sizeof(struct tls_identities));
    tt_rc rc = s->owned != NULL ? fill(m, s, i, before, err) : TT_ERR_MEMORY;
    if (rc == TT_OK) {
        *ret = s;
        return TT_OK;
    }
    (void)error_set(err, rc, "the tunnel %s could not be set up", m->plan->tunnels[i].name);
    unmake(m, s);
    return rc;
}

/* ---- the whole ---- */

static tt_rc started(void *arg, struct event_base *loop, struct sign_queue *queue, struct tt_error *err)
{
    struct maker *m = arg;
    (void)loop;
    (void)err;
    m->cli.unattended = true; /* nobody is asked for anything from now on */
    for (size_t i = 0; i < m->plan->tunnels_len; i++) {
        if (m->tickets[i].keys != NULL)
            ticket_keys_use_queue(m->tickets[i].keys, queue);
        if (m->ech[i] != NULL)
            ech_files_use_queue(m->ech[i], queue);
    }
    return TT_OK;
}

static void ended(void *arg)
{
    struct maker *m = arg;
    for (size_t i = 0; i < m->plan->tunnels_len; i++) {
        tickets_end_keys(&m->tickets[i]);
        ech_files_stop(m->ech[i]);
    }
}

/* struct stage: all that proxy_run is given. */
struct stage {
    struct maker maker;
    struct tunnel_options tunnels[PROXY_TUNNELS_MAX];
    struct session_store *stores[PROXY_TUNNELS_MAX];
    struct address
        targets[PROXY_TUNNELS_MAX]; /* clients': whose host is the server's name where none was given */
    const char *watched[1024];
    size_t watched_len;
};

static void add_watched(struct stage *s, const char *path)
{
    if (path != NULL && s->watched_len < TT_COUNT(s->watched) && !cli_is_handle(path) &&
        strcmp(path, "system") != 0)
        s->watched[s->watched_len++] = path;
}

static void add_list(struct stage *s, const struct option_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        add_watched(s, list->at[i]);
}

static void watch_files(struct stage *s, const struct proxy_tunnel *t)
{
    add_list(s, &t->tls.keys);
    add_list(s, &t->tls.certs);
    add_list(s, &t->trust.ca);
    add_list(s, &t->trust.crls);
    for (size_t i = 0; i < t->tls.certs.len; i++)
        add_watched(s, t->tls.staples[i]);
    if (t->role == TT_CLIENT && t->ech.ech != NULL && access(t->ech.ech, F_OK) == 0)
        add_watched(s, t->ech.ech);
}

static tt_rc open_sessions(struct stage *s, size_t i, struct tt_error *err)
{
    const struct proxy_tunnel *t = &s->maker.plan->tunnels[i];
    if (t->role != TT_CLIENT || t->resume == SESSIONS_OFF)
        return TT_OK;
    if (t->resume != SESSIONS_IN_MEMORY)
        TT_TRY(need_tpm(&s->maker, err));
    const struct session_store_options opt = {.mode = t->resume, .tpm = s->maker.tpm, .pcrs = t->resume_pcrs};
    return session_store_open(&s->stores[i], &opt, err);
}

static const char *server_name_of(struct stage *s, size_t i)
{
    const struct proxy_tunnel *t = &s->maker.plan->tunnels[i];
    struct tt_error unread = {0};
    if (t->role == TT_SERVER)
        return NULL;
    if (t->verify_dns.len == 0 && strncmp(t->connect, "unix:", 5) == 0)
        return NULL;
    tt_rc rc = t->verify_dns.len > 0 ? address_set_host(&s->targets[i], t->verify_dns.at[0], &unread)
                                     : address_parse(&s->targets[i], t->connect, &unread);
    return rc == TT_OK ? s->targets[i].name : NULL;
}

static struct tunnel_options tunnel_of(struct stage *s, size_t i)
{
    const struct proxy_tunnel *t = &s->maker.plan->tunnels[i];
    return (struct tunnel_options){.name = t->name,
                                   .role = t->role,
                                   .listen = t->listen,
                                   .connect = t->connect,
                                   .server_name = server_name_of(s, i),
                                   .sessions = s->stores[i],
                                   .session_mode = t->resume,
                                   .burst = t->burst == BURST_ON,
                                   .proxy_protocol = t->proxy_protocol,
                                   .connect_timeout_s = (unsigned)t->connect_timeout,
                                   .handshake_timeout_s = (unsigned)t->tls.handshake_timeout,
                                   .idle_timeout_s = (unsigned)t->idle_timeout,
                                   .close_timeout_s = (unsigned)t->close_timeout,
                                   .lifetime_s = (unsigned)t->lifetime,
                                   .max_connections = t->max_connections,
                                   .delegate_s = t->tls.delegate_s};
}

static tt_rc run(struct stage *s, struct tt_error *err)
{
    const struct proxy_plan *plan = s->maker.plan;
    unsigned long deadline = 0;
    TT_TRY(loop_new(&s->maker.base, false, err));
    for (size_t i = 0; i < plan->tunnels_len; i++) {
        TT_TRY(open_sessions(s, i, err));
        s->tunnels[i] = tunnel_of(s, i);
        s->maker.names[i] = s->tunnels[i].server_name;
        watch_files(s, &plan->tunnels[i]);
        deadline =
            plan->tunnels[i].tls.sign_deadline > deadline ? plan->tunnels[i].tls.sign_deadline : deadline;
    }
    const struct proxy_options opt = {.base = s->maker.base,
                                      .tunnels = s->tunnels,
                                      .tunnels_len = plan->tunnels_len,
                                      .tpm = &s->maker.tpm,
                                      .sign_deadline_ms = (unsigned)deadline,
                                      .threads = (unsigned)plan->common->threads,
                                      .shutdown_timeout_s = (unsigned)plan->common->shutdown_timeout,
                                      .status = plan->common->status,
                                      .watched = s->watched,
                                      .watched_len = s->watched_len,
                                      .make = make,
                                      .unmake = unmake,
                                      .started = started,
                                      .ended = ended,
                                      .arg = &s->maker};
    return proxy_run(&opt, err);
}

static void tear_down(struct stage *s)
{
    for (size_t i = 0; i < s->maker.plan->tunnels_len; i++) {
        session_store_free(s->stores[i]);
        ech_files_free(s->maker.ech[i]);
        tickets_end(&s->maker.tickets[i]);
    }
    tt_tpm_close(s->maker.tpm);
    if (s->maker.base != NULL)
        event_base_free(s->maker.base);
}

int proxy_start(const struct proxy_plan *plan)
{
    struct tt_error err = {0};
    struct stage *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return CLI_FAILURE;
    s->maker.plan = plan;
    s->maker.cli = *plan->cli;
    report_begin(plan->cli->json, plan->cli->verbose);
    tt_rc rc = proxy_sandbox(plan, &err);
    if (rc == TT_OK)
        rc = run(s, &err);
    tear_down(s);
    mem_free(s);
    if (rc == TT_OK)
        return CLI_OK;
    (void)error_set(&err, rc, "the proxy could not be started");
    return cli_fail(&err);
}
