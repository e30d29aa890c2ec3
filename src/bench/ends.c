/* bench/ends.c: see ends.h. Layer: bench. */
#include "bench/ends.h"

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "bench/report.h"
#include "wire/pem.h"

static void must(tt_rc rc, const char *what)
{
    if (rc != TT_OK)
        die(what);
}

bool end_move(struct tt_conn *from, struct tt_conn *to)
{
    struct tt_bytes out = tt_conn_output(from);
    size_t used = 0;
    if (out.len == 0)
        return false;
    if (tt_conn_feed(to, out.data, out.len, &used) != TT_OK)
        die(tt_conn_error(to)->error.text);
    tt_conn_output_done(from, used);
    return used > 0;
}

bool end_sign(struct tt_conn *c)
{
    struct tt_sign_request req;
    struct tt_error err = {0};
    uint8_t sig[1024];
    size_t len = 0;
    if ((tt_conn_wants(c) & TT_WANT_SIGN) == 0)
        return false;
    must(tt_conn_sign_request(c, &req), "a signature request");
    if (tt_key_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig, &len, &err) != TT_OK)
        die(err.text);
    must(tt_conn_sign_complete(c, req.id, (struct tt_bytes){sig, len}), "completing a signature");
    return true;
}

void no_turn(int end)
{
    (void)end;
}

static struct tt_config *end_config(enum tt_role role, const struct identity *own, const struct ends *e,
                                    const struct ends_options *o)
{
    static const uint16_t scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    const struct tt_identity id = {
        .chain = &own->der, .chain_len = 1, .key = own->key, .schemes = &scheme, .schemes_len = 1};
    struct tt_config *cfg = NULL;
    must(tt_config_new(&cfg, role, NULL), "a configuration");
    must(tt_config_set_trust(cfg, e->trust), "trust");
    must(tt_config_add_identity(cfg, &id, NULL), "an identity");
    must(tt_config_set_suites(cfg, &o->suite, 1), "the suite");
    must(tt_config_set_groups(cfg, &o->group, 1), "the group");
    if (role == TT_SERVER) {
        must(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUIRE), "client authentication");
        if (e->ech_keys != NULL)
            must(tt_config_set_ech_keys(cfg, e->ech_keys), "ECH keys");
        must(tt_config_set_tickets(cfg, e->tickets, 0, 86400, (struct tt_bytes){NULL, 0}), "tickets");
    }
    must(tt_config_freeze(cfg, NULL), "freezing a configuration");
    return cfg;
}

void pair_connect(struct pair *p, const struct ends *e, enum ends_kind kind, void (*turn)(int end))
{
    const struct tt_conn_options client = {.server_name = "localhost",
                                           .now_ms = e->now_ms,
                                           .ech_config_list = e->ech_list,
                                           .sessions = &e->session,
                                           .sessions_len = kind == ENDS_RESUMED ? 1 : 0},
                                 server = {.now_ms = e->now_ms};
    if (kind == ENDS_FULL)
        tt_trust_forget(e->trust);
    turn(0);
    must(tt_conn_new(&p->client, e->client_cfg, &client, NULL), "a client");
    turn(1);
    must(tt_conn_new(&p->server, e->server_cfg, &server, NULL), "a server");
    for (bool moved = true; moved;) {
        turn(1);
        moved = end_move(p->client, p->server);
        moved |= end_sign(p->server);
        turn(0);
        moved |= end_move(p->server, p->client);
        moved |= end_sign(p->client);
    }
    struct tt_conn_info info;
    tt_conn_info(p->server, &info);
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server) ||
        info.resumed != (kind == ENDS_RESUMED) || (info.ech == TT_ECH_ACCEPTED) != (e->ech_list.len > 0))
        die("the two ends are not connected");
}

void pair_free(struct pair *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
}

bool pair_move(struct pair *p)
{
    return end_move(p->client, p->server);
}

/* A key for the server, and its ECHConfigList out of the PEM text: the client's. */
static void ech_make(struct ends *e)
{
    static const struct tt_ech_config_params params = {.public_name = "public.example", .kem = TT_KEM_X25519};
    uint8_t *pem = NULL;
    size_t len = 0;
    must(tt_ech_config_make(&pem, &len, &params, NULL), "an ECH key");
    const struct tt_ech_key key = {.pem = {pem, len}, .retry = true};
    must(tt_ech_keys_new(&e->ech_keys, NULL), "ECH keys");
    must(tt_ech_keys_set(e->ech_keys, &key, 1, NULL, NULL), "ECH keys");
    struct pem_block block;
    must(pem_find(&block, key.pem, "ECHCONFIG"), "the ECHConfigList");
    e->ech_list = (struct tt_bytes){block.der, block.len};
    e->ech_pem = key.pem;
}

void ends_make(struct ends *e, const struct identities *ids, uint16_t suite)
{
    ends_make_with(e, ids, &(struct ends_options){.suite = suite, .group = TT_GROUP_X25519});
}

void ends_make_with(struct ends *e, const struct identities *ids, const struct ends_options *options)
{
    static const struct tt_ticket_key key = {.name = "bench"};
    struct tt_bytes pem = {(const uint8_t *)ids->ca_pem, strlen(ids->ca_pem)};
    *e = (struct ends){.now_ms = (int64_t)time(NULL) * 1000};
    must(tt_trust_new(&e->trust, NULL), "trust");
    must(tt_trust_add_pem(e->trust, pem, NULL), "trust");
    must(tt_tickets_new(&e->tickets, e->now_ms, NULL), "tickets");
    must(tt_tickets_set_keys(e->tickets, &key, 1), "a ticket key");
    if (options->ech)
        ech_make(e);
    e->client_cfg = end_config(TT_CLIENT, &ids->client, e, options);
    e->server_cfg = end_config(TT_SERVER, &ids->server, e, options);
}

void ends_get_session(struct ends *e)
{
    struct pair p;
    pair_connect(&p, e, ENDS_FULL, no_turn);
    must(tt_conn_send_ticket(p.server), "a ticket");
    (void)end_move(p.server, p.client);
    e->session = tt_conn_take_session(p.client);
    must(e->session == NULL ? TT_ERR_NOT_FOUND : TT_OK, "a session");
    pair_free(&p);
}

void ends_free(struct ends *e)
{
    tt_config_free(e->client_cfg);
    tt_config_free(e->server_cfg);
    tt_ech_keys_free(e->ech_keys);
    mem_free((void *)(uintptr_t)e->ech_list.data);
    tt_free((void *)(uintptr_t)e->ech_pem.data);
    tt_trust_free(e->trust);
    tt_tickets_free(e->tickets);
    tt_session_free(e->session);
}
