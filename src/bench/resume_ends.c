/* bench/resume_ends.c: the two ends of bench-resume, in memory. Layer: bench. */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "bench/ends.h"
#include "bench/resume.h"

static void must(tt_rc rc, const char *what)
{
    if (rc != TT_OK)
        die(what);
}

int64_t resume_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct tt_trust *trust_of(const struct identities *ids)
{
    struct tt_trust *trust = NULL;
    must(tt_trust_new(&trust, NULL), "trust");
    must(tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)ids->ca_pem, strlen(ids->ca_pem)}, NULL),
         "trust");
    return trust;
}

static struct tt_config *config(const struct identities *ids, enum tt_role role, const struct identity *own,
                                struct tt_delegation *delegation)
{
    static const uint16_t suite = TT_SUITE_AES_128_GCM_SHA256, group = TT_GROUP_X25519;
    uint16_t schemes[16];
    struct tt_config *cfg = NULL;
    struct tt_trust *trust = trust_of(ids);
    struct tt_identity id = {
        .chain = &own->der, .chain_len = 1, .key = own->key, .schemes = schemes, .delegation = delegation};
    id.schemes_len = tt_key_schemes(own->key, schemes, sizeof schemes / sizeof *schemes);
    must(tt_config_new(&cfg, role, NULL), "a configuration");
    must(tt_config_set_trust(cfg, trust), "trust");
    must(tt_config_add_identity(cfg, &id, NULL), "an identity");
    must(tt_config_set_suites(cfg, &suite, 1), "the suite");
    must(tt_config_set_groups(cfg, &group, 1), "the group");
    tt_trust_free(trust);
    return cfg;
}

struct tt_config *resume_client(const struct identities *ids, const struct identity *own,
                                struct tt_delegation *delegation)
{
    struct tt_config *cfg = config(ids, TT_CLIENT, own, delegation);
    must(tt_config_freeze(cfg, NULL), "freezing a configuration");
    return cfg;
}

struct tt_config *resume_server(const struct identities *ids, struct tt_tickets *tickets)
{
    struct tt_config *cfg = config(ids, TT_SERVER, &ids->server, NULL);
    must(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUIRE), "client authentication");
    must(tt_config_accept_delegated(cfg, NULL, 0), "delegated credentials");
    if (tickets != NULL)
        must(tt_config_set_tickets(cfg, tickets, 1, 7200, (struct tt_bytes){NULL, 0}), "tickets");
    must(tt_config_freeze(cfg, NULL), "freezing a configuration");
    return cfg;
}

struct tt_tickets *resume_tickets(void)
{
    struct tt_ticket_key key;
    struct tt_tickets *t = NULL;
    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        die("randomness");
    must(tt_tickets_new(&t, resume_now_ms(), NULL), "tickets");
    must(tt_tickets_set_keys(t, &key, 1), "ticket keys");
    return t;
}

static bool answer(const struct resume_try *t, struct tt_conn *c)
{
    struct tt_psk_request req;
    uint8_t out[32];
    if ((tt_conn_wants(c) & TT_WANT_PSK) == 0)
        return false;
    must(tt_conn_psk_request(c, &req), "a request for the PSK");
    t->answer(&req, out);
    must(tt_conn_psk_complete(c, req.id, (struct tt_bytes){out, sizeof out}), "completing it");
    return true;
}

void resume_handshake(const struct resume_try *t, struct tt_session **ret_session)
{
    struct tt_conn *client = NULL, *server = NULL;
    const int64_t now = resume_now_ms();
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now_ms = now,
                                       .sessions = &t->session,
                                       .sessions_len = t->session != NULL},
                                 so = {.now_ms = now};
    struct tt_conn_info info;
    must(tt_conn_new(&client, t->client, &co, NULL), "a client");
    must(tt_conn_new(&server, t->server, &so, NULL), "a server");
    for (bool moved = true; moved;) {
        moved = answer(t, client);
        moved |= end_move(client, server);
        moved |= end_sign(server);
        moved |= end_move(server, client);
        moved |= end_sign(client);
    }
    tt_conn_info(server, &info);
    if (!tt_conn_is_connected(client) || !tt_conn_is_connected(server) ||
        info.resumed != (t->session != NULL))
        die("the handshake did not end as it should");
    if (ret_session != NULL && (*ret_session = tt_conn_take_session(client)) == NULL)
        die("there is no ticket");
    tt_conn_free(client);
    tt_conn_free(server);
}
