/* cli/ca_serve.c: `tpmtls ca serve FILE`: from its keys to a service that runs; and the same file read again
 * while it does. Layer: cli. After the start, make is called on the thread of the TPM. */
#include "cli/ca_serve.h"
#include "cli/attest_policy.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/ca_keys.h"
#include "net/clock.h"
#include "net/files.h"
#include "net/loop.h"
#include "proxy/report.h"
#include "service/service.h"

#define WATCHED_MAX 64
/* A key is asked for a signature in handshakes alone: after so long nobody uses the one before. */
#define RETIRED_MS 120000

/* struct reading: the file as it was read once, and the keys of it. */
struct reading {
    struct reading *next;
    struct ini_file texts;
    struct ca_serve_options options;
    struct tls_identities identities;
    int64_t retired_at; /* clock_boot_ms */
};

struct stage {
    struct cli cli;
    const char *file;
    struct event_base *base;
    struct reading *now, *retired;
    struct tt_tpm *tpm; /* of the server's key, if it has one */
    struct ca *ca;
    struct ca_keys keys; /* of the CA; its thread's, once that runs */
    struct tt_attest_policy *attest;
    uint8_t attest_key[TT_ATTEST_KEY_SIZE];
    const char *watched[WATCHED_MAX];
    char watched_text[2][PATH_MAX];
    size_t watched_len;
};

/* ---- the file ---- */

static void reading_free(struct reading *r)
{
    if (r == NULL)
        return;
    tls_identities_close(&r->identities);
    ini_file_free(&r->texts);
    mem_free(r);
}

static tt_rc read_file(struct reading **ret, const char *file, struct tt_error *err)
{
    struct reading *r = mem_alloc(sizeof *r);
    if (r == NULL) {
        (void)error_set(err, TT_ERR_MEMORY, "out of memory");
        return TT_ERR_MEMORY;
    }
    const struct ini_section sections[] = {{"ca", ca_serve_parts, &r->options}, {0}};
    tt_rc rc = ini_file_read(&r->texts, file, sections, err);
    if (rc == TT_OK)
        rc = ca_serve_check(&r->options, err);
    if (rc != TT_OK) {
        reading_free(r);
        return rc;
    }
    *ret = r;
    return TT_OK;
}

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What cannot change while it runs. */
static tt_rc check_change(const struct ca_serve_options *a, const struct ca_serve_options *b,
                          struct tt_error *err)
{
    if (is_same(a->dir, b->dir) && is_same(a->store, b->store) && is_same(a->listen, b->listen) &&
        is_same(a->publish, b->publish) && is_same(a->status, b->status) && is_same(a->user, b->user) &&
        a->connections == b->connections && a->sandbox == b->sandbox &&
        is_same(a->attest_policy, b->attest_policy) && is_same(a->attest_key, b->attest_key))
        return TT_OK;
    (void)error_set(
        err, TT_ERR_USAGE,
        "dir, store, listen, publish, status, user, attest-policy, attest-key, max-connections and sandbox "
        "do not change while it runs");
    error_hint(err, "restart it");
    return TT_ERR_USAGE;
}

/* ---- the TLS configuration ---- */

/* Whom clients come by: the chain, and after a change of keys the CA's former key (OldWithNew, RFC 4210
 * section 4.4). NewWithOld is for those who know the old key alone; here it would only be a second way to the
 * CA. */
static tt_rc trust_fill(struct tt_trust *trust, const struct tt_cert_list *certs, struct tt_error *err)
{
    char own[65] = "";
    for (size_t i = 0; i < certs->len; i++) {
        struct tt_cert_info *info = NULL;
        TT_TRY(tt_cert_describe(&info, certs->certs[i], err));
        bool is_again = i > 0 && strcmp(info->spki_sha256, own) == 0;
        if (i == 0)
            (void)snprintf(own, sizeof own, "%s", info->spki_sha256);
        tt_cert_info_free(info);
        if (!is_again)
            TT_TRY(tt_trust_add_der(trust, certs->certs[i], err));
    }
    return TT_OK;
}

static tt_rc add_trust(struct tt_config *cfg, const struct tt_cert_list *certs, struct tt_error *err)
{
    struct tt_trust *trust = NULL;
    TT_TRY(tt_trust_new(&trust, err));
    tt_rc rc = trust_fill(trust, certs, err);
    if (rc == TT_OK)
        rc = tt_config_set_trust(cfg, trust);
    tt_trust_free(trust);
    return rc == TT_OK ? tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUEST) : rc;
}

static tt_rc fill(struct stage *s, struct reading *r, struct tt_config *cfg, const struct tt_cert_list *certs,
                  struct tt_error *err)
{
    const struct tls_load load = {.config = cfg,
                                  .role = TT_SERVER,
                                  .cli = &s->cli,
                                  .options = &r->options.tls,
                                  .before = s->now != NULL ? &s->now->identities : NULL,
                                  .tpm = s->tpm};
    TT_TRY(tls_config_values(cfg, &r->options.tls, err));
    TT_TRY(add_trust(cfg, certs, err));
    TT_TRY(tls_config_identities(&r->identities, &load, err));
    r->identities.is_guest = true;
    s->tpm = r->identities.tpm != NULL ? r->identities.tpm : s->tpm;
    tls_identities_say_ends(&r->identities, &r->options.tls, clock_wall_s());
    return tt_config_freeze(cfg, err);
}

static void free_retired(struct stage *s, bool all)
{
    struct reading **at = &s->retired;
    while (*at != NULL) {
        struct reading *r = *at;
        if (all || clock_boot_ms() - r->retired_at > RETIRED_MS) {
            *at = r->next;
            reading_free(r);
        } else {
            at = &r->next;
        }
    }
}

static void take_over(struct stage *s, struct reading *r)
{
    if (s->now != NULL) {
        s->now->retired_at = clock_boot_ms();
        s->now->next = s->retired;
        s->retired = s->now;
    }
    s->now = r;
}

static tt_rc make_from(struct stage *s, struct reading *r, struct service_setup *ret,
                       const struct tt_cert_list *certs, struct tt_error *err)
{
    struct tt_config *cfg = NULL;
    TT_TRY(tt_config_new(&cfg, TT_SERVER, err));
    tt_rc rc = fill(s, r, cfg, certs, err);
    if (rc != TT_OK) {
        tt_config_free(cfg);
        return rc;
    }
    *ret = (struct service_setup){.config = cfg,
                                  .binding = r->options.binding,
                                  .a_minute = (unsigned)r->options.rate,
                                  .retry_after_s = (unsigned)r->options.retry_after};
    return TT_OK;
}

static tt_rc make(void *arg, struct service_setup *ret, const struct tt_cert_list *certs,
                  struct tt_error *err)
{
    struct stage *s = arg;
    struct reading *r = NULL;
    free_retired(s, false);
    TT_TRY(read_file(&r, s->file, err));
    tt_rc rc = s->now != NULL ? check_change(&s->now->options, &r->options, err) : TT_OK;
    if (rc == TT_OK)
        rc = make_from(s, r, ret, certs, err);
    if (rc == TT_OK)
        take_over(s, r);
    else
        reading_free(r);
    return rc;
}

/* ---- start ---- */

static void started(void *arg)
{
    ((struct stage *)arg)->cli.unattended = true;
}

static void watch_file(struct stage *s, const char *path)
{
    if (path != NULL && s->watched_len < WATCHED_MAX && !cli_is_handle(path))
        s->watched[s->watched_len++] = path;
}

static void watch_files(struct stage *s, const struct ca_serve_options *o)
{
    static const char *const names[] = {CA_CERT_FILE, CA_PROFILES_FILE};
    for (size_t i = 0; i < o->tls.keys.len; i++)
        watch_file(s, o->tls.keys.at[i]);
    for (size_t i = 0; i < o->tls.certs.len; i++) {
        watch_file(s, o->tls.certs.at[i]);
        watch_file(s, o->tls.staples[i]);
    }
    watch_file(s, s->file);
    for (size_t i = 0; i < TT_COUNT(names); i++)
        if (snprintf(s->watched_text[i], PATH_MAX, "%s/%s", o->dir, names[i]) < PATH_MAX)
            watch_file(s, s->watched_text[i]);
}

static tt_rc open_ca(struct stage *s, const struct ca_serve_options *o, struct tt_error *err)
{
    const struct ca_place place = {o->dir, o->store};
    TT_TRY(file_check_path(o->dir, FILE_TRUSTED, err));
    TT_TRY(ca_open(&s->ca, &place, err));
    s->keys.cli = &s->cli;
    return ca_keys_give(&s->keys, s->ca, err);
}

static tt_rc give_keys(void *arg, struct ca *ca, struct tt_error *err)
{
    struct stage *s = arg;
    return ca_keys_give(&s->keys, ca, err);
}

/* Without a key of its own what was given out before is refused after a restart: whoever came with it asks
 * again. */
static tt_rc open_attest(struct stage *s, const struct ca_serve_options *o, struct tt_error *err)
{
    if (o->attest_policy == NULL)
        return TT_OK;
    TT_TRY(attest_policy_read(&s->attest, o->attest_policy, err));
    return o->attest_key != NULL ? attest_key_read(s->attest_key, o->attest_key, err)
                                 : attest_key_draw(s->attest_key, err);
}

static tt_rc run(struct stage *s, struct tt_error *err)
{
    struct reading *first = NULL; /* make reads it again: what is said here holds until the end */
    TT_TRY(read_file(&first, s->file, err));
    const struct ca_serve_options *o = &first->options;
    struct service_options opt = {.place = {o->dir, o->store},
                                  .keys = give_keys,
                                  .listen = o->listen,
                                  .publish = o->publish,
                                  .status = o->status,
                                  .connections = o->connections,
                                  .shutdown_timeout_s = (unsigned)o->shutdown_timeout,
                                  .tpm = &s->tpm,
                                  .sign_deadline_ms = (unsigned)o->tls.sign_deadline,
                                  .watched = s->watched,
                                  .make = make,
                                  .started = started,
                                  .arg = s};
    tt_rc rc = ca_serve_sandbox(&s->cli, o, s->file, err);
    if (rc == TT_OK)
        rc = open_ca(s, o, err);
    if (rc == TT_OK)
        rc = open_attest(s, o, err);
    if (rc == TT_OK)
        rc = loop_new(&s->base, false, err);
    if (rc == TT_OK) {
        watch_files(s, o);
        opt.base = s->base;
        opt.attest = (struct attest_desk){s->attest, s->attest_key};
        opt.ca = TT_TAKE(s->ca);
        opt.watched_len = s->watched_len;
        rc = service_run(&opt, err);
    }
    reading_free(first);
    return rc;
}

static void tear_down(struct stage *s)
{
    tt_attest_policy_free(s->attest);
    mem_wipe(s->attest_key, sizeof s->attest_key);
    ca_close(s->ca);
    free_retired(s, true);
    reading_free(s->now);
    tt_tpm_close(s->tpm);
    ca_keys_close(&s->keys);
    if (s->base != NULL)
        event_base_free(s->base);
}

int ca_serve_run(const struct cli *cli, const char *file)
{
    struct tt_error err = {0};
    struct stage *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return CLI_FAILURE;
    s->cli = *cli;
    s->file = file;
    report_begin(cli->json, cli->verbose);
    tt_rc rc = run(s, &err);
    tear_down(s);
    mem_free(s);
    if (rc == TT_OK)
        return CLI_OK;
    (void)error_set(&err, rc, "the CA's service could not be started");
    return cli_fail(&err);
}

int ca_serve_check_run(const struct cli *cli, const char *file)
{
    struct tt_error err = {0};
    struct reading *r = NULL;
    (void)cli;
    if (read_file(&r, file, &err) != TT_OK)
        return cli_fail(&err);
    const struct ca_serve_options *o = &r->options;
    printf("the CA in %s\n  EST      %s\n", o->dir, o->listen);
    if (o->publish != NULL)
        printf("  HTTP     %s\n", o->publish);
    if (o->status != NULL)
        printf("  status   %s\n", o->status);
    for (size_t i = 0; i < o->tls.keys.len; i++)
        printf("  identity %s, %s\n", o->tls.keys.at[i], o->tls.certs.at[i]);
    reading_free(r);
    return CLI_OK;
}
