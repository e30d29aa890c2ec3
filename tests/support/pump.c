/* tests/support/pump.c: see pump.h. */
#include "support/pump.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(tt_rc rc, const char *what, const struct tt_error *err)
{
    if (rc != TT_OK) {
        fprintf(stderr, "pump: %s: %s %s\n", what, tt_rc_name(rc), err != NULL ? err->text : "");
        abort();
    }
}

static void add_identity(struct tt_config *cfg, const struct test_key *k)
{
    const struct tt_bytes chain = {k->cert, k->cert_len};
    const struct tt_identity id = {&chain, 1, (void *)(uintptr_t)k, &k->scheme, 1};
    struct tt_error err = {0};
    must(tt_config_add_identity(cfg, &id, &err), "identity", &err);
}

/* A credential for another key, and an identity that uses it. */
static void add_delegating(struct pump *p)
{
    struct tt_error err = {0};
    struct tt_delegation *d = NULL;
    struct tt_credential *c = NULL;
    uint8_t sig[1024], *spki = NULL;
    const struct test_key *k = p->server_key;
    const struct tt_bytes chain = {k->cert, k->cert_len};
    p->delegated_key = test_key_new("P-256", &(struct test_cert){.cn = "only a key"});
    int len = i2d_PUBKEY(p->delegated_key->pkey, &spki);
    must(tt_delegation_new(&d, TT_SERVER, chain, &err), "delegation", &err);
    const struct tt_credential_params params = {.now = TEST_NOW,
                                                .valid_until = TEST_NOW + 3600,
                                                .spki = {spki, (size_t)len},
                                                .key_scheme = p->delegated_key->scheme,
                                                .scheme = k->scheme,
                                                .key = p->delegated_key};
    must(tt_credential_new(&c, d, &params, &err), "credential", &err);
    size_t sig_len = test_sign(k, k->scheme, tt_credential_to_sign(c), sig, sizeof sig);
    must(tt_delegation_use(d, c, (struct tt_bytes){sig, sig_len}, &err), "credential", &err);
    const struct tt_identity id = {&chain, 1, (void *)(uintptr_t)k, &k->scheme, 1, .delegation = d};
    must(tt_config_add_identity(p->server_cfg, &id, &err), "identity", &err);
    must(tt_config_accept_delegated(p->client_cfg, NULL, 0), "delegated credentials", NULL);
    tt_delegation_free(d);
    OPENSSL_free(spki);
}

static void add_trust(struct tt_config *cfg, const struct test_key *ca)
{
    struct tt_trust *trust = NULL;
    struct tt_error err = {0};
    must(tt_trust_new(&trust, &err), "trust", &err);
    must(
        tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)}, &err),
        "trust", &err);
    must(tt_config_set_trust(cfg, trust), "trust", NULL);
    tt_trust_free(trust);
}

static void set_alpn(struct tt_config *cfg, const char *name)
{
    if (name == NULL)
        return;
    const struct tt_bytes b = {(const uint8_t *)name, strlen(name)};
    must(tt_config_set_alpn(cfg, &b, 1), "alpn", NULL);
}

void pump_configs(struct pump *p)
{
    const char *kind = p->key_kind != NULL ? p->key_kind : "P-256";
    struct tt_error err = {0};
    p->ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    p->server_key = test_key_new(kind, &(struct test_cert){.cn = "server",
                                                           .dns = "localhost",
                                                           .eku = "serverAuth",
                                                           .issuer = p->ca,
                                                           .delegation = p->delegate});
    p->client_key =
        test_key_new(kind, &(struct test_cert){.cn = "client", .eku = "clientAuth", .issuer = p->ca});
    must(tt_config_new(&p->client_cfg, TT_CLIENT, &err), "config", &err);
    must(tt_config_new(&p->server_cfg, TT_SERVER, &err), "config", &err);
    add_trust(p->client_cfg, p->ca);
    if (p->client_auth != TT_CLIENT_AUTH_NONE || p->server_asks_later)
        add_trust(p->server_cfg, p->ca);
    if (p->delegate)
        add_delegating(p);
    else if (!p->no_server_identity)
        add_identity(p->server_cfg, p->server_key);
    if (p->client_has_identity)
        add_identity(p->client_cfg, p->client_key);
    /* The same everywhere, also where libcrypto would offer newer ones first. */
    static const uint16_t groups[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1, TT_GROUP_SECP384R1};
    must(tt_config_set_groups(p->client_cfg, groups, 3), "groups", NULL);
    must(tt_config_set_groups(p->server_cfg, groups, 3), "groups", NULL);
    if (p->suite != 0) {
        must(tt_config_set_suites(p->client_cfg, &p->suite, 1), "suites", NULL);
        must(tt_config_set_suites(p->server_cfg, &p->suite, 1), "suites", NULL);
    }
    if (p->server_group != 0)
        must(tt_config_set_groups(p->server_cfg, &p->server_group, 1), "groups", NULL);
    must(tt_config_set_force_retry(p->server_cfg, p->force_retry), "retry", NULL);
    must(tt_config_set_client_auth(p->server_cfg, p->client_auth), "client auth", NULL);
    if (p->tickets != NULL)
        must(tt_config_set_tickets(p->server_cfg, p->tickets, p->tickets_count, 7200, (struct tt_bytes){0}),
             "tickets", NULL);
    must(tt_config_set_max_early_data(p->server_cfg, p->max_early_data), "early data", NULL);
    if (p->external_psk != NULL)
        must(tt_config_add_psk(p->server_cfg, p->external_psk), "psk", NULL);
    set_alpn(p->client_cfg, p->alpn_client);
    set_alpn(p->server_cfg, p->alpn_server);
    if (p->configure != NULL)
        p->configure(p, p->client_cfg, p->server_cfg);
    must(tt_config_freeze(p->client_cfg, &err), "freeze", &err);
    must(tt_config_freeze(p->server_cfg, &err), "freeze", &err);
}

void pump_start(struct pump *p)
{
    struct tt_error err = {0};
    pump_configs(p);
    const struct tt_conn_options co = {.server_name = p->server_name != NULL ? p->server_name : "localhost",
                                       .now = TEST_NOW};
    const struct tt_conn_options so = {.now = TEST_NOW};
    must(tt_conn_new(&p->client, p->client_cfg, &co, &err), "client", &err);
    must(tt_conn_new(&p->server, p->server_cfg, &so, &err), "server", &err);
    p->late_rounds = 3;
}

bool pump_move(struct pump *p, struct tt_conn *from, struct tt_conn *to)
{
    struct tt_bytes out = tt_conn_output(from);
    if (out.len == 0)
        return false;
    size_t n = p->split != 0 && p->split < out.len ? p->split : out.len, consumed = 0;
    /* Copied into a block of its own size, so that ASan sees a read beyond it. */
    uint8_t *copy = malloc(n);
    memcpy(copy, out.data, n);
    tt_rc rc = tt_conn_feed(to, copy, n, &consumed);
    free(copy);
    if (rc != TT_OK)
        consumed = n; /* the other end is gone */
    tt_conn_output_done(from, consumed);
    return consumed > 0;
}

static bool sign_step(struct pump *p, struct tt_conn *c)
{
    if ((tt_conn_wants(c) & TT_WANT_SIGN) == 0 || p->sign == SIGN_NEVER)
        return false;
    if (p->sign == SIGN_LATE && p->late_rounds > 0) {
        p->late_rounds--;
        return true;
    }
    p->late_rounds = 3;
    struct tt_sign_request req;
    must(tt_conn_sign_request(c, &req), "sign request", NULL);
    if (p->sign == SIGN_FAILS) {
        const struct tt_error why = {.rc = TT_ERR_TPM, .text = "the test double refuses", .hint = "none"};
        return tt_conn_sign_fail(c, req.id, &why) != TT_ERR_USAGE;
    }
    uint8_t sig[1024];
    size_t len = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
    return tt_conn_sign_complete(c, req.id, (struct tt_bytes){sig, len}) != TT_ERR_USAGE;
}

void pump_run(struct pump *p)
{
    for (int rounds = 0; rounds < 100000; rounds++) {
        bool moved = pump_move(p, p->client, p->server);
        moved |= pump_move(p, p->server, p->client);
        moved |= sign_step(p, p->client);
        moved |= sign_step(p, p->server);
        if (!moved)
            return;
    }
    fprintf(stderr, "pump: it never comes to rest\n");
    abort();
}

void pump_echo(struct pump *p, struct tt_conn *from, struct tt_conn *to, size_t n)
{
    uint8_t *data = malloc(n + 1), *got = malloc(n + 1);
    size_t sent = 0, received = 0;
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
    while (received < n) {
        size_t part = 0;
        if (sent < n) {
            must(tt_conn_write(from, data + sent, n - sent, &part), "write", &tt_conn_error(from)->error);
            sent += part;
        }
        bool moved = pump_move(p, from, to);
        size_t took = 0;
        must(tt_conn_read(to, got + received, n - received, &took), "read", &tt_conn_error(to)->error);
        received += took;
        if (!moved && took == 0 && part == 0) {
            fprintf(stderr, "pump_echo: stuck at %zu of %zu\n", received, n);
            abort();
        }
    }
    if (memcmp(data, got, n) != 0) {
        fprintf(stderr, "pump_echo: the bytes differ\n");
        abort();
    }
    free(data);
    free(got);
}

void pump_free(struct pump *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    tt_config_free(p->client_cfg);
    tt_config_free(p->server_cfg);
    test_key_free(p->ca);
    test_key_free(p->server_key);
    test_key_free(p->client_key);
    test_key_free(p->delegated_key);
    *p = (struct pump){0};
}
