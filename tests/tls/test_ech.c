/* tests/tls/test_ech.c: Encrypted Client Hello (RFC 9849), our client against our server: accepted, rejected,
 * retried, with HelloRetryRequest, tickets, 0-RTT and keys that are elsewhere; what stands in the clear;
 * ECHConfigList. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/pump.h"
#include "tls/client_hello.h"
#include "tls/ech.h"
#include "tls/ext.h"
#include "tpmtls/key.h"
#include "wire/pem.h"

#define PUBLIC_NAME "public.example"
#define SECRET_NAME "secret.example"
#define NOW_MS      (TEST_NOW * 1000)

/* struct key: a PEM text and its ECHConfigList. */
struct key {
    uint8_t *pem;
    size_t pem_len;
    struct pem_block list;
};

static struct key key_new(uint8_t id, uint16_t kem, struct tt_bytes public_key)
{
    struct key k = {0};
    const struct tt_ech_config_params params = {.public_name = PUBLIC_NAME,
                                                .config_id = id,
                                                .maximum_name_length = 40,
                                                .kem = kem,
                                                .public_key = public_key};
    struct tt_error err = {0};
    if (tt_ech_config_make(&k.pem, &k.pem_len, &params, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(pem_find(&k.list, (struct tt_bytes){k.pem, k.pem_len}, "ECHCONFIG"), TT_OK);
    return k;
}

static void key_free(struct key *k)
{
    tt_free(k->pem);
    pem_block_free(&k->list);
}

static struct tt_bytes list_of(const struct key *k)
{
    return (struct tt_bytes){k->list.der, k->list.len};
}

/* struct scenario: a pump, and what its connections do about ECH. */
struct scenario {
    struct pump pump;
    struct tt_ech_keys *keys;
    struct test_key *cert; /* of the server: both names */
    struct tt_session *session;
    bool early, grease;
    struct tt_bytes list;
    const char *name;
};
static struct scenario *now; /* for the callback of the pump */

static void server_with_keys(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    static const char *const names[] = {PUBLIC_NAME, SECRET_NAME};
    (void)client;
    for (size_t i = 0; i < 2; i++) {
        struct test_key *k = test_key_new(
            "P-256",
            &(struct test_cert){.cn = "server", .dns = names[i], .eku = "serverAuth", .issuer = p->ca});
        const struct tt_bytes chain = {k->cert, k->cert_len};
        const struct tt_identity id = {
            .chain = &chain, .chain_len = 1, .key = p->server_key, .schemes = &k->scheme, .schemes_len = 1};
        /* the pump signs with the key that the request names */
        struct tt_identity mine = id;
        mine.key = k;
        assert_int_equal(tt_config_add_identity(server, &mine, NULL), TT_OK);
        if (i == 0)
            now->cert = k;
        else
            p->delegated_key = k; /* freed with the pump */
    }
    if (now->keys != NULL)
        assert_int_equal(tt_config_set_ech_keys(server, now->keys), TT_OK);
}

static void keys_set(struct scenario *s, const struct key *k, bool retry)
{
    const struct tt_ech_key key = {.pem = {k->pem, k->pem_len}, .retry = retry};
    struct tt_error err = {0};
    if (s->keys == NULL)
        assert_int_equal(tt_ech_keys_new(&s->keys, NULL), TT_OK);
    if (tt_ech_keys_set(s->keys, &key, 1, NULL, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void connect_pair(struct scenario *s)
{
    struct tt_error err = {0};
    const struct tt_conn_options co = {.server_name = s->name != NULL ? s->name : SECRET_NAME,
                                       .now_ms = NOW_MS,
                                       .sessions = &s->session,
                                       .sessions_len = s->session != NULL,
                                       .early_data = s->early,
                                       .ech_config_list = s->list,
                                       .ech_grease = s->grease};
    const struct tt_conn_options so = {.now_ms = NOW_MS};
    tt_conn_free(s->pump.client);
    tt_conn_free(s->pump.server);
    if (tt_conn_new(&s->pump.client, s->pump.client_cfg, &co, &err) != TT_OK ||
        tt_conn_new(&s->pump.server, s->pump.server_cfg, &so, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void start(struct scenario *s)
{
    now = s;
    s->pump.configure = server_with_keys;
    s->pump.no_server_identity = true;
    pump_configs(&s->pump);
    connect_pair(s);
}

static void end(struct scenario *s)
{
    pump_free(&s->pump);
    test_key_free(s->cert);
    tt_ech_keys_free(s->keys);
    tt_session_free(s->session);
}

static void expect_ech(const struct scenario *s, enum tt_ech client, enum tt_ech server)
{
    struct tt_conn_info c, v;
    tt_conn_info(s->pump.client, &c);
    tt_conn_info(s->pump.server, &v);
    if (c.ech != client || v.ech != server)
        fail_msg("ECH: client %d, server %d; %s; %s", c.ech, v.ech, tt_conn_error(s->pump.client)->error.text,
                 tt_conn_error(s->pump.server)->error.text);
}

static void expect_accepted(struct scenario *s)
{
    struct tt_conn_info info;
    pump_run(&s->pump);
    expect_ech(s, TT_ECH_ACCEPTED, TT_ECH_ACCEPTED);
    if (!tt_conn_is_connected(s->pump.client) || !tt_conn_is_connected(s->pump.server))
        fail_msg("client: %s; server: %s", tt_conn_error(s->pump.client)->error.text,
                 tt_conn_error(s->pump.server)->error.text);
    tt_conn_info(s->pump.server, &info);
    assert_int_equal(info.server_name.len, strlen(SECRET_NAME));
    assert_memory_equal(info.server_name.data, SECRET_NAME, info.server_name.len);
    pump_echo(&s->pump, s->pump.client, s->pump.server, 5000);
    pump_echo(&s->pump, s->pump.server, s->pump.client, 5000);
}

static bool holds(struct tt_bytes where, const void *what, size_t n)
{
    return memmem(where.data, where.len, what, n) != NULL;
}

static void accepted(void **state)
{
    (void)state;
    static const uint16_t kems[] = {HPKE_DHKEM_X25519, HPKE_DHKEM_P256};
    for (size_t i = 0; i < 4; i++) {
        struct key k = key_new(7, kems[i % 2], (struct tt_bytes){0});
        struct scenario s = {.list = list_of(&k), .pump = {.alpn_client = "h2x", .alpn_server = "h2x"}};
        if (i >= 2)
            s.pump.server_group = TT_GROUP_SECP384R1; /* a HelloRetryRequest */
        keys_set(&s, &k, true);
        start(&s);
        struct tt_bytes hello = tt_conn_output(s.pump.client);
        assert_true(holds(hello, PUBLIC_NAME, strlen(PUBLIC_NAME)));
        assert_false(holds(hello, SECRET_NAME, strlen(SECRET_NAME)));
        assert_false(holds(hello, "h2x", 3));
        expect_accepted(&s);
        struct tt_conn_info info;
        tt_conn_info(s.pump.client, &info);
        assert_int_equal(info.hello_retry_request, i >= 2);
        assert_int_equal(info.alpn.len, 3);
        end(&s);
        key_free(&k);
    }
}

static void expect_rejected(struct scenario *s, const struct key *retry)
{
    pump_run(&s->pump);
    const struct tt_conn_status *status = tt_conn_error(s->pump.client);
    expect_ech(s, TT_ECH_REJECTED, s->keys != NULL ? TT_ECH_REJECTED : TT_ECH_NONE);
    if (status->error.rc != TT_ERR_ECH_REJECTED)
        fail_msg("client: %s; server: %s", status->error.text, tt_conn_error(s->pump.server)->error.text);
    assert_int_equal(status->alert_sent, TT_ALERT_ECH_REQUIRED);
    assert_int_equal(tt_conn_error(s->pump.server)->alert_received, TT_ALERT_ECH_REQUIRED);
    assert_false(tt_conn_can_write(s->pump.client));
    struct tt_bytes configs = tt_conn_ech_retry_configs(s->pump.client);
    assert_int_equal(configs.len, retry != NULL ? retry->list.len : 0);
    if (retry != NULL)
        assert_memory_equal(configs.data, retry->list.der, configs.len);
}

static void rejected_and_retried(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct key old = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
        struct key fresh = key_new((uint8_t)(1 + i), HPKE_DHKEM_X25519, (struct tt_bytes){0});
        struct scenario s = {.list = list_of(&old),
                             .pump = {.client_auth = TT_CLIENT_AUTH_REQUEST, .client_has_identity = true}};
        if (i == 1)
            s.pump.server_group = TT_GROUP_SECP384R1;
        keys_set(&s, &fresh, true);
        start(&s);
        expect_rejected(&s, &fresh);
        assert_int_equal(tt_conn_peer_certificate(s.pump.server, 0).len, 0); /* no certificate of ours */
        struct tt_bytes configs = tt_conn_ech_retry_configs(s.pump.client);
        uint8_t copy[512];
        memcpy(copy, configs.data, configs.len);
        s.list = (struct tt_bytes){copy, configs.len};
        connect_pair(&s);
        expect_accepted(&s);
        end(&s);
        key_free(&old);
        key_free(&fresh);
    }
}

static void server_without_ech(void **state)
{
    (void)state;
    struct key k = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    struct scenario s = {.list = list_of(&k)};
    start(&s);
    expect_rejected(&s, NULL);
    end(&s);
    key_free(&k);
}

/* A server that has no certificate for the public name gets nothing, and its retry_configs are not handed
 * out. */
static void public_name_is_verified(void **state)
{
    (void)state;
    uint8_t *pem = NULL;
    size_t len = 0;
    const struct tt_ech_config_params other = {.public_name = "other.example", .kem = HPKE_DHKEM_X25519};
    assert_int_equal(tt_ech_config_make(&pem, &len, &other, NULL), TT_OK);
    struct pem_block list;
    assert_int_equal(pem_find(&list, (struct tt_bytes){pem, len}, "ECHCONFIG"), TT_OK);
    struct key fresh = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    struct scenario s = {.list = {list.der, list.len}};
    keys_set(&s, &fresh, true);
    start(&s);
    pump_run(&s.pump);
    assert_int_equal(tt_conn_error(s.pump.client)->error.rc, TT_ERR_VERIFY);
    assert_int_equal(tt_conn_ech_retry_configs(s.pump.client).len, 0);
    end(&s);
    key_free(&fresh);
    pem_block_free(&list);
    tt_free(pem);
}

static void grease(void **state)
{
    (void)state;
    struct key k = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    for (size_t i = 0; i < 4; i++) {
        struct scenario s = {.grease = true};
        if (i % 2 == 1)
            keys_set(&s, &k, true);
        if (i >= 2)
            s.pump.server_group = TT_GROUP_SECP384R1;
        start(&s);
        pump_run(&s.pump);
        expect_ech(&s, TT_ECH_GREASE, i % 2 == 1 ? TT_ECH_REJECTED : TT_ECH_NONE);
        assert_true(tt_conn_is_connected(s.pump.client));
        assert_int_equal(tt_conn_ech_retry_configs(s.pump.client).len, 0);
        end(&s);
    }
    key_free(&k);
}

static struct tt_tickets *tickets_of(struct scenario *s)
{
    static const struct tt_ticket_key key = {.name = {1}, .key = {1, 2, 3}};
    assert_int_equal(tt_tickets_new(&s->pump.tickets, NOW_MS - 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(s->pump.tickets, &key, 1), TT_OK);
    s->pump.tickets_count = 1;
    s->pump.max_early_data = 4096;
    return s->pump.tickets;
}

static void resumption_and_early_data(void **state)
{
    (void)state;
    struct key k = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    struct key other = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    struct scenario s = {.list = list_of(&k)};
    struct tt_tickets *tickets = tickets_of(&s);
    keys_set(&s, &k, true);
    start(&s);
    expect_accepted(&s);
    s.session = tt_conn_take_session(s.pump.client);
    assert_non_null(s.session);
    s.early = true;
    connect_pair(&s);
    struct tt_bytes hello = tt_conn_output(s.pump.client), ticket = buf_bytes(&s.session->identity);
    assert_false(holds(hello, ticket.data, ticket.len));
    size_t n = 0;
    assert_int_equal(tt_conn_write_early(s.pump.client, (const uint8_t *)"early", 5, &n), TT_OK);
    while (pump_move(&s.pump, s.pump.client, s.pump.server))
        ;
    struct tt_bytes early = tt_conn_early_plaintext(s.pump.server);
    assert_int_equal(early.len, 5);
    assert_int_equal(tt_conn_early_plaintext_done(s.pump.server, 5), TT_OK);
    expect_accepted(&s);
    assert_int_equal(tt_conn_early_status(s.pump.client), TT_EARLY_ACCEPTED);
    struct tt_conn_info info;
    tt_conn_info(s.pump.client, &info);
    assert_true(info.resumed);
    /* rejected: no PSK, no early data */
    keys_set(&s, &other, true);
    connect_pair(&s);
    assert_int_equal(tt_conn_write_early(s.pump.client, (const uint8_t *)"early", 5, &n), TT_OK);
    expect_rejected(&s, &other);
    assert_int_equal(tt_conn_early_plaintext(s.pump.server).len, 0);
    end(&s);
    tt_tickets_free(tickets);
    key_free(&k);
    key_free(&other);
}

static size_t released;
static void release(void *key)
{
    (void)key;
    released++;
}

/* The Diffie-Hellman by pull, like a TPM does it. */
static void key_elsewhere(void **state)
{
    (void)state;
    struct crypto_lib *lib = NULL;
    struct hpke_keypair pair;
    uint8_t dh[HPKE_SECRET];
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    assert_int_equal(hpke_generate(&pair, lib, HPKE_DHKEM_P256, (struct kx_random){crypto_random, NULL}),
                     TT_OK);
    struct key k = key_new(9, HPKE_DHKEM_P256, (struct tt_bytes){pair.public_key, pair.public_len});
    assert_false(holds((struct tt_bytes){k.pem, k.pem_len}, "PRIVATE KEY", 11));
    struct scenario s = {.list = list_of(&k)};
    const struct tt_ech_key key = {.pem = {k.pem, k.pem_len}, .key = &pair, .retry = true};
    assert_int_equal(tt_ech_keys_new(&s.keys, NULL), TT_OK);
    assert_int_equal(tt_ech_keys_set(s.keys, &key, 1, release, NULL), TT_OK);
    start(&s);
    for (size_t i = 0; i < 3; i++) { /* right, wrong (then ECH is rejected), failed */
        connect_pair(&s);
        pump_run(&s.pump);
        struct tt_ech_request req;
        assert_true((tt_conn_wants(s.pump.server) & TT_WANT_ECH) != 0);
        assert_int_equal(tt_conn_ech_request(s.pump.server, &req), TT_OK);
        assert_ptr_equal(req.key, &pair);
        assert_int_equal(hpke_dh(lib, &pair, req.enc, dh), TT_OK);
        assert_int_equal(tt_conn_ech_complete(s.pump.server, req.id + 1, (struct tt_bytes){dh, 32}),
                         TT_ERR_USAGE);
        dh[0] = (uint8_t)(dh[0] ^ (i == 1));
        if (i == 2) {
            assert_int_equal(tt_conn_ech_fail(s.pump.server, req.id, NULL), TT_ERR_TPM);
            continue;
        }
        assert_int_equal(tt_conn_ech_complete(s.pump.server, req.id, (struct tt_bytes){dh, 32}), TT_OK);
        if (i == 0)
            expect_accepted(&s);
        else
            expect_rejected(&s, &k);
    }
    released = 0;
    end(&s);
    assert_int_equal(released, 1);
    key_free(&k);
    crypto_lib_free(lib);
}

/* ---- ECHConfigList ---- */

static void usable(const uint8_t *list, size_t len, bool yes)
{
    struct crypto_lib *lib = NULL;
    struct ech_config config;
    struct hpke_suite suite;
    assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
    assert_int_equal(ech_list_check((struct tt_bytes){list, len}), TT_OK);
    assert_int_equal(ech_config_select(&config, &suite, lib, (struct tt_bytes){list, len}), yes);
    crypto_lib_free(lib);
}

static void lists(void **state)
{
    (void)state;
    struct key k = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    uint8_t list[512], *der = k.list.der;
    const size_t len = k.list.len, name = len - 2 - strlen(PUBLIC_NAME);
    usable(der, len, true);
    for (size_t n = 0; n < len; n++) /* cut off anywhere */
        assert_int_equal(ech_list_check((struct tt_bytes){der, n}), TT_ERR_DECODE);
    memcpy(list, der, len);
    list[3] ^= 1; /* another version: skipped */
    usable(list, len, false);
    memcpy(list, der, len);
    static const uint8_t extension[] = {0, 4, 0x2a, 0x2a, 0, 0};
    memcpy(list + len - 2, extension, sizeof extension); /* there is one that is not known */
    list[1] = (uint8_t)(list[1] + 4);
    list[5] = (uint8_t)(list[5] + 4);
    usable(list, len + 4, true);
    list[len] |= 0x80; /* and it is mandatory */
    usable(list, len + 4, false);
    static const char *const names[] = {"public.exampl-", "public..exampl", "public.exam_le",
                                        "public.1234567", "public.0x12345", ".ublic.example",
                                        "public.exampl."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        memcpy(list, der, len);
        memcpy(list + name, names[i], strlen(PUBLIC_NAME));
        usable(list, len, false);
    }
    memcpy(list, der, len);
    list[2 + 4 + 1 + 1] = 0x21; /* a KEM that is not known */
    usable(list, len, false);
    key_free(&k);
}

/* A list, whatever is wrong with it, never leads to a ClientHello with the name in the clear. */
static void unusable_lists_do_not_connect(void **state)
{
    (void)state;
    struct key k = key_new(1, HPKE_DHKEM_X25519, (struct tt_bytes){0});
    struct scenario s = {0};
    start(&s);
    struct tt_conn *c = NULL;
    struct tt_error err = {0};
    struct tt_conn_options co = {
        .server_name = SECRET_NAME, .now_ms = NOW_MS, .ech_config_list = {k.list.der, k.list.len - 1}};
    assert_int_equal(tt_conn_new(&c, s.pump.client_cfg, &co, &err), TT_ERR_DECODE);
    k.list.der[3] ^= 1;
    co.ech_config_list.len++;
    assert_int_equal(tt_conn_new(&c, s.pump.client_cfg, &co, NULL), TT_ERR_UNSUPPORTED);
    end(&s);
    key_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(rejected_and_retried),
        cmocka_unit_test(server_without_ech),
        cmocka_unit_test(public_name_is_verified),
        cmocka_unit_test(grease),
        cmocka_unit_test(resumption_and_early_data),
        cmocka_unit_test(key_elsewhere),
        cmocka_unit_test(lists),
        cmocka_unit_test(unusable_lists_do_not_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
