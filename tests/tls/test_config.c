/* tests/tls/test_config.c: what a configuration refuses: when it is built, when it is frozen, and afterwards;
 * and what a connection refuses to be made from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/testpki.h"

static struct test_key *ca, *p256, *rsa;

static int set_up(void **state)
{
    (void)state;
    ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    p256 = test_key_new("P-256", &(struct test_cert){.cn = "server", .dns = "localhost", .issuer = ca});
    rsa = test_key_new("RSA", &(struct test_cert){.cn = "server", .dns = "localhost", .issuer = ca});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_key_free(p256);
    test_key_free(rsa);
    test_key_free(ca);
    return 0;
}

static struct tt_config *config(enum tt_role role)
{
    struct tt_config *cfg = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_config_new(&cfg, role, &err), TT_OK);
    return cfg;
}

static struct tt_trust *trust(bool with_ca)
{
    struct tt_trust *t = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_trust_new(&t, &err), TT_OK);
    if (with_ca)
        assert_int_equal(
            tt_trust_add_pem(t, (struct tt_bytes){(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)}, &err),
            TT_OK);
    return t;
}

static void set_trust(struct tt_config *cfg, bool with_ca)
{
    struct tt_trust *t = trust(with_ca);
    assert_int_equal(tt_config_set_trust(cfg, t), TT_OK);
    tt_trust_free(t);
}

static tt_rc add_identity(struct tt_config *cfg, const struct test_key *k, const uint16_t *schemes, size_t n)
{
    const struct tt_bytes chain = {k->cert, k->cert_len};
    const struct tt_identity id = {&chain, 1, NULL, schemes, n};
    struct tt_error err = {0};
    tt_rc rc = tt_config_add_identity(cfg, &id, &err);
    return rc;
}

/* Freezing fails with this rule, and its sentence has this word. */
static void refuse(struct tt_config *cfg, const char *word)
{
    struct tt_error err = {0};
    assert_int_equal(tt_config_freeze(cfg, &err), TT_ERR_USAGE);
    if (strstr(err.text, word) == NULL)
        fail_msg("\"%s\" does not speak of \"%s\"", err.text, word);
    struct tt_conn *c = NULL;
    struct tt_error not_frozen = {0};
    const struct tt_conn_options options = {.server_name = "localhost"};
    assert_int_equal(tt_conn_new(&c, cfg, &options, &not_frozen), TT_ERR_USAGE);
    assert_null(c);
    assert_non_null(strstr(not_frozen.text, "frozen"));
    tt_config_free(cfg);
}

static void accept(struct tt_config *cfg)
{
    struct tt_error err = {0};
    if (tt_config_freeze(cfg, &err) != TT_OK)
        fail_msg("refused: %s", err.text);
    assert_int_equal(tt_config_freeze(cfg, &err), TT_OK); /* again is fine */
    tt_config_free(cfg);
}

static void nobody_to_trust(void **state)
{
    (void)state;
    const uint16_t scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    refuse(config(TT_CLIENT), "whom to trust");
    struct tt_config *cfg = config(TT_CLIENT);
    set_trust(cfg, false);
    refuse(cfg, "empty");
    for (enum tt_client_auth mode = TT_CLIENT_AUTH_REQUEST; mode <= TT_CLIENT_AUTH_REQUIRE; mode++) {
        cfg = config(TT_SERVER);
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
        assert_int_equal(tt_config_set_client_auth(cfg, mode), TT_OK);
        refuse(cfg, "whom to trust");
        cfg = config(TT_SERVER);
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
        assert_int_equal(tt_config_set_client_auth(cfg, mode), TT_OK);
        set_trust(cfg, false);
        refuse(cfg, "empty");
    }
    cfg = config(TT_CLIENT);
    set_trust(cfg, true);
    accept(cfg);
    cfg = config(TT_CLIENT);
    assert_int_equal(tt_config_insecure_accept_any_certificate(cfg), TT_OK);
    accept(cfg);
    cfg = config(TT_SERVER); /* without client certificates there is nobody to trust */
    assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
    accept(cfg);
}

static void identities(void **state)
{
    (void)state;
    static const uint16_t ecdsa[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256},
                          p384[] = {TT_SCHEME_ECDSA_SECP384R1_SHA384},
                          pss[] = {TT_SCHEME_RSA_PSS_RSAE_SHA256}, pkcs1[] = {TT_SCHEME_RSA_PKCS1_SHA256},
                          mixed[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA256},
                          twice[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_ECDSA_SECP256R1_SHA256};
    static const struct {
        bool rsa;
        const uint16_t *schemes;
        size_t n;
        const char *word;
    } wrong[] = {{false, pss, 1, "cannot sign"},
                 {false, p384, 1, "cannot sign"},
                 {false, mixed, 2, "cannot sign"},
                 {true, ecdsa, 1, "cannot sign"},
                 {true, pkcs1, 1, "cannot sign"}};
    refuse(config(TT_SERVER), "identity");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tt_config *cfg = config(TT_SERVER);
        assert_int_equal(add_identity(cfg, wrong[i].rsa ? rsa : p256, wrong[i].schemes, wrong[i].n), TT_OK);
        refuse(cfg, wrong[i].word);
    }
    struct tt_config *cfg = config(TT_SERVER);
    assert_int_equal(add_identity(cfg, p256, twice, 2), TT_ERR_USAGE);
    assert_int_equal(add_identity(cfg, p256, ecdsa, 0), TT_ERR_USAGE);
    assert_int_equal(add_identity(cfg, rsa, pss, 1), TT_OK);
    assert_int_equal(add_identity(cfg, p256, ecdsa, 1), TT_OK); /* one of each kind */
    accept(cfg);
    static const uint8_t rubbish[] = {0x30, 0x03, 0x02, 0x01, 0x01};
    const struct test_key no_certificate = {.cert = (uint8_t *)(uintptr_t)rubbish,
                                            .cert_len = sizeof rubbish};
    cfg = config(TT_SERVER);
    assert_int_equal(add_identity(cfg, &no_certificate, ecdsa, 1), TT_OK);
    refuse(cfg, "cannot be read");
}

static void an_identity_has_1_to_16_certificates(void **state)
{
    (void)state;
    struct tt_config *cfg = config(TT_SERVER);
    struct tt_bytes chain[17];
    for (size_t i = 0; i < 17; i++)
        chain[i] = (struct tt_bytes){p256->cert, p256->cert_len};
    const uint16_t scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    for (size_t n = 0; n <= 17; n += n == 0 ? 16 : 1) {
        const struct tt_identity id = {chain, n, NULL, &scheme, 1};
        struct tt_error err = {0};
        assert_int_equal(tt_config_add_identity(cfg, &id, &err), n == 16 ? TT_OK : TT_ERR_USAGE);
    }
    for (size_t i = 1; i < 16; i++)
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
    assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_ERR_USAGE); /* the 17th identity */
    accept(cfg);
}

typedef tt_rc (*list_fn)(struct tt_config *cfg, const uint16_t *items, size_t n);

/* What no list takes: nothing, something twice, too much; and numbers that libcrypto or we do not know. */
static void refuse_lists(list_fn set, uint16_t good, uint16_t unknown)
{
    struct tt_config *cfg = config(TT_CLIENT);
    const uint16_t twice[] = {good, good}, with_unknown[] = {good, unknown};
    uint16_t many[17];
    for (uint16_t i = 0; i < 17; i++)
        many[i] = good;
    assert_int_equal(set(cfg, &good, 0), TT_ERR_USAGE);
    assert_int_equal(set(cfg, twice, 2), TT_ERR_USAGE);
    assert_int_equal(set(cfg, many, 17), TT_ERR_USAGE);
    assert_int_equal(set(cfg, with_unknown, 2), TT_ERR_UNSUPPORTED);
    assert_int_equal(set(cfg, &good, 1), TT_OK);
    tt_config_free(cfg);
}

static void lists(void **state)
{
    (void)state;
    refuse_lists(tt_config_set_suites, TT_SUITE_AES_128_GCM_SHA256, 0xc02f);
    refuse_lists(tt_config_set_suites, TT_SUITE_AES_256_GCM_SHA384, 0);
    refuse_lists(tt_config_set_groups, TT_GROUP_SECP256R1, 0x0100);
    refuse_lists(tt_config_set_groups, TT_GROUP_X25519, 0x7a7a);
    refuse_lists(tt_config_set_verify_schemes, TT_SCHEME_ECDSA_SECP256R1_SHA256, 0x0203);
}

static void key_shares(void **state)
{
    (void)state;
    static const uint16_t groups[] = {TT_GROUP_SECP256R1, TT_GROUP_SECP384R1},
                          shares[] = {TT_GROUP_SECP384R1}, other[] = {TT_GROUP_X25519},
                          twice[] = {TT_GROUP_SECP256R1, TT_GROUP_SECP256R1};
    struct tt_config *cfg = config(TT_CLIENT);
    set_trust(cfg, true);
    assert_int_equal(tt_config_set_groups(cfg, groups, 2), TT_OK);
    assert_int_equal(tt_config_set_key_shares(cfg, twice, 2), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_key_shares(cfg, shares, 1), TT_OK);
    accept(cfg);
    cfg = config(TT_CLIENT);
    set_trust(cfg, true);
    assert_int_equal(tt_config_set_groups(cfg, groups, 2), TT_OK);
    assert_int_equal(tt_config_set_key_shares(cfg, other, 1), TT_OK);
    refuse(cfg, "not among the groups");
}

static void alpn(void **state)
{
    (void)state;
    static uint8_t name[256];
    memset(name, 'a', sizeof name);
    struct tt_config *cfg = config(TT_CLIENT);
    const struct tt_bytes good = {name, 255}, empty = {name, 0}, longer = {name, 256},
                          mixed[] = {{name, 1}, {name, 0}};
    assert_int_equal(tt_config_set_alpn(cfg, &empty, 1), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_alpn(cfg, &longer, 1), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_alpn(cfg, mixed, 2), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_alpn(cfg, &good, 0), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_alpn(cfg, &good, 1), TT_OK);
    assert_int_equal(tt_config_set_alpn(cfg, mixed, 1), TT_OK); /* takes the place of the one before */
    tt_config_free(cfg);
}

/* What is only for the other role, or out of its range. */
static void roles_and_ranges(void **state)
{
    (void)state;
    struct tt_config *client = config(TT_CLIENT), *server = config(TT_SERVER);
    assert_int_equal(tt_config_set_client_auth(client, TT_CLIENT_AUTH_REQUIRE), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_force_retry(client, true), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_middlebox_compat(server, false), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_max_handshake_message(client, 1023), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_max_handshake_message(client, (1 << 20) + 1), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_max_handshake_message(client, 1024), TT_OK);
    assert_int_equal(tt_config_set_max_handshake_message(client, 1 << 20), TT_OK);
    assert_int_equal(tt_config_set_random(client, NULL, NULL), TT_ERR_USAGE);
    tt_config_free(client);
    tt_config_free(server);
}

static bool no_random(void *arg, uint8_t *buf, size_t n)
{
    (void)arg;
    (void)buf;
    (void)n;
    return false;
}

/* Whom to believe, and nobody who is asked: somebody has forgotten something. */
static void a_trust_set_that_judges_nobody(void **state)
{
    (void)state;
    static const uint16_t scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    struct tt_trust *t = trust(true);
    for (int i = 0; i < 4; i++) {
        struct tt_error err = {0};
        struct tt_config *cfg = config(TT_SERVER);
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
        if (i != 1)
            assert_int_equal(tt_config_set_trust(cfg, t), TT_OK);
        if (i == 2)
            assert_int_equal(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUEST), TT_OK);
        if (i == 3)
            assert_int_equal(tt_config_set_post_handshake_auth(cfg, true), TT_OK);
        assert_int_equal(tt_config_freeze(cfg, &err), i == 0 ? TT_ERR_USAGE : TT_OK);
        if (i == 0) {
            assert_non_null(strstr(err.text, "asks no client for a certificate"));
            assert_non_null(strstr(err.hint, "tt_config_set_client_auth"));
        }
        tt_config_free(cfg);
    }
    tt_trust_free(t);
}

static void a_frozen_configuration_never_changes(void **state)
{
    (void)state;
    static const uint16_t suite = TT_SUITE_AES_128_GCM_SHA256, group = TT_GROUP_X25519,
                          scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256;
    static const struct tt_bytes name = {(const uint8_t *)"h2", 2};
    struct tt_trust *t = trust(true);
    struct tt_error err = {0};
    for (enum tt_role role = TT_CLIENT; role <= TT_SERVER; role++) {
        struct tt_config *cfg = config(role);
        assert_int_equal(tt_config_set_trust(cfg, t), TT_OK);
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_OK);
        if (role == TT_SERVER)
            assert_int_equal(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_REQUEST), TT_OK);
        assert_int_equal(tt_config_freeze(cfg, &err), TT_OK);
        assert_int_equal(tt_config_set_random(cfg, no_random, NULL), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_suites(cfg, &suite, 1), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_groups(cfg, &group, 1), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_key_shares(cfg, &group, 1), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_verify_schemes(cfg, &scheme, 1), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_alpn(cfg, &name, 1), TT_ERR_USAGE);
        assert_int_equal(add_identity(cfg, p256, &scheme, 1), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_trust(cfg, t), TT_ERR_USAGE);
        assert_int_equal(tt_config_insecure_accept_any_certificate(cfg), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_client_auth(cfg, TT_CLIENT_AUTH_NONE), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_force_retry(cfg, true), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_max_handshake_message(cfg, 4096), TT_ERR_USAGE);
        assert_int_equal(tt_config_set_middlebox_compat(cfg, true), TT_ERR_USAGE);
        tt_config_free(cfg);
    }
    /* nor does the trust that went into one */
    assert_int_equal(
        tt_trust_add_pem(t, (struct tt_bytes){(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)}, &err),
        TT_ERR_USAGE);
    tt_trust_free(t);
}

static void connections(void **state)
{
    (void)state;
    struct tt_config *cfg = config(TT_CLIENT);
    struct tt_error err = {0};
    struct tt_conn *c = NULL;
    char name[300];
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    set_trust(cfg, true);
    assert_int_equal(tt_config_freeze(cfg, &err), TT_OK);
    struct tt_error nobody = {0}, longer = {0};
    const struct tt_conn_options without = {0}, empty = {.server_name = ""}, too_long = {.server_name = name};
    assert_int_equal(tt_conn_new(&c, cfg, &without, &nobody), TT_ERR_USAGE);
    assert_non_null(strstr(nobody.text, "server_name"));
    assert_int_equal(tt_conn_new(&c, cfg, &empty, &err), TT_ERR_USAGE);
    assert_int_equal(tt_conn_new(&c, cfg, &too_long, &longer), TT_ERR_USAGE);
    assert_non_null(strstr(longer.text, "253"));
    static const char *const odd[] = {"0177.0.0.1", ".example", "a b", "b\xc3\xbc.example", "10.1"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct tt_error why = {0};
        const struct tt_conn_options with = {.server_name = odd[i]};
        assert_int_equal(tt_conn_new(&c, cfg, &with, &why), TT_ERR_USAGE);
        assert_non_null(strstr(why.text, "is no host name and no address"));
    }
    assert_null(c);
    tt_config_free(cfg);
}

/* No randomness, no connection. */
static void randomness_that_fails(void **state)
{
    (void)state;
    struct tt_config *cfg = config(TT_CLIENT);
    struct tt_error err = {0};
    struct tt_conn *c = NULL;
    const struct tt_conn_options options = {.server_name = "localhost"};
    set_trust(cfg, true);
    assert_int_equal(tt_config_set_random(cfg, no_random, NULL), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, &err), TT_OK);
    assert_int_equal(tt_conn_new(&c, cfg, &options, &err), TT_ERR_INTERNAL);
    assert_null(c);
    tt_config_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_to_trust),
        cmocka_unit_test(identities),
        cmocka_unit_test(an_identity_has_1_to_16_certificates),
        cmocka_unit_test(lists),
        cmocka_unit_test(key_shares),
        cmocka_unit_test(alpn),
        cmocka_unit_test(roles_and_ranges),
        cmocka_unit_test(a_trust_set_that_judges_nobody),
        cmocka_unit_test(a_frozen_configuration_never_changes),
        cmocka_unit_test(connections),
        cmocka_unit_test(randomness_that_fails),
    };
    return cmocka_run_group_tests_name("tls/config", tests, set_up, tear_down);
}
