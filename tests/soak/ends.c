/* tests/soak/ends.c: the keys and configurations of the soak; see talk.h. Tests only. */
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void must(tt_rc rc)
{
    if (rc != TT_OK) {
        fprintf(stderr, "soak: a configuration cannot be made: %s\n", tt_rc_name(rc));
        exit(1);
    }
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static struct test_key *make_key(const char *cn, const char *dns, const struct test_key *ca)
{
    int64_t now = (int64_t)time(NULL);
    return test_key_new("P-256", &(struct test_cert){.cn = cn,
                                                     .dns = dns,
                                                     .issuer = ca,
                                                     .not_before = now - 86400,
                                                     .not_after = now + (int64_t)30 * 86400});
}

static struct tt_config *make_config(const struct ends *e, enum tt_role role, struct test_key *key, bool any)
{
    struct tt_config *cfg = NULL;
    struct tt_trust *trust = NULL;
    must(tt_config_new(&cfg, role, NULL));
    must(tt_trust_new(&trust, NULL));
    must(tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)e->ca->cert_pem, strlen(e->ca->cert_pem)},
                          NULL));
    if (!any || role == TT_CLIENT)
        must(tt_config_set_trust(cfg, trust));
    tt_trust_free(trust);
    if (any)
        must(tt_config_insecure_accept_any_certificate(cfg));
    if (key != NULL) {
        const struct tt_bytes chain = {key->cert, key->cert_len};
        const struct tt_identity id = {&chain, 1, key, &key->scheme, 1};
        must(tt_config_add_identity(cfg, &id, NULL));
    }
    return cfg;
}

static void make_servers(struct ends *e)
{
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    must(tt_tickets_new(&e->tickets, (int64_t)time(NULL) * 1000 - 60000, NULL));
    must(tt_tickets_set_keys(e->tickets, &key, 1));
    for (size_t i = 0; i < TT_COUNT(e->hostile_servers); i++) {
        struct tt_config *cfg = e->hostile_servers[i] = make_config(e, TT_SERVER, e->server_key, true);
        must(tt_config_set_tickets(cfg, e->tickets, 2, 7200, (struct tt_bytes){NULL, 0}));
        must(tt_config_set_max_early_data(cfg, 1000));
        must(tt_config_set_client_auth(cfg, i == 1 ? TT_CLIENT_AUTH_REQUEST : TT_CLIENT_AUTH_NONE));
        must(tt_config_set_force_retry(cfg, i == 2));
        must(tt_config_freeze(cfg, NULL));
    }
}

void ends_new(struct ends *e, const char *dir, const char *program)
{
    *e = (struct ends){.program = program};
    e->ca = make_key("soak CA", NULL, NULL);
    e->server_key = make_key("server", "localhost", e->ca);
    e->client_key = make_key("client", NULL, e->ca);
    char *pem = test_key_pem(e->server_key);
    write_file(dir, "ca.pem", e->ca->cert_pem);
    write_file(dir, "server.pem", e->server_key->cert_pem);
    write_file(dir, "server.key", pem);
    free(pem);
    (void)snprintf(e->ca_file, sizeof e->ca_file, "%s/ca.pem", dir);
    for (size_t i = 0; i < TT_COUNT(e->hostile_clients); i++) {
        e->hostile_clients[i] = make_config(e, TT_CLIENT, i == 0 ? NULL : e->client_key, true);
        must(tt_config_freeze(e->hostile_clients[i], NULL));
    }
    e->client = make_config(e, TT_CLIENT, e->client_key, false);
    must(tt_config_freeze(e->client, NULL));
    make_servers(e);
}

void ends_free(struct ends *e)
{
    for (size_t i = 0; i < TT_COUNT(e->hostile_clients); i++)
        tt_config_free(e->hostile_clients[i]);
    for (size_t i = 0; i < TT_COUNT(e->hostile_servers); i++)
        tt_config_free(e->hostile_servers[i]);
    tt_config_free(e->client);
    tt_session_free(e->session);
    tt_session_free(e->victim_session);
    tt_tickets_free(e->tickets);
    test_key_free(e->ca);
    test_key_free(e->server_key);
    test_key_free(e->client_key);
}
