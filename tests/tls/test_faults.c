/* tests/tls/test_faults.c: whole handshakes, and the making of configurations, with the nth allocation
 * failing, for every n: a clean error or success, nothing leaked. Only in builds with fault injection. */
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "support/range.h"

/* More than any of these makes; a test fails when it is not. */
#define MOST 1000

static size_t allocations(void)
{
    return mem_test_stats().allocations;
}

static void a_signature_that_fails(void **state)
{
    (void)state;
    struct pump p = {.sign = SIGN_FAILS};
    size_t live = mem_test_stats().live_blocks;
    pump_configs(&p);
    for (size_t nth = 1; nth < 200; nth++) {
        mem_test_fail_nth(nth);
        faults_open(&p);
        if (p.client != NULL && p.server != NULL)
            pump_run(&p);
        mem_test_fail_nth(0);
        faults_close(&p);
    }
    pump_free(&p);
    assert_int_equal(mem_test_stats().live_blocks, live);
}

/* struct maker: a configuration with everything a server can have. */
static tt_rc make_config(struct tt_config **ret, struct tt_trust **trust, const struct test_key *ca,
                         const struct test_key *key)
{
    static const struct tt_bytes name = {(const uint8_t *)"mqtt", 4};
    const struct tt_bytes pem = {(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)};
    const struct tt_bytes chain = {key->cert, key->cert_len};
    const struct tt_identity id = {&chain, 1, NULL, &key->scheme, 1};
    struct tt_error err = {0};
    tt_rc rc = tt_config_new(ret, TT_SERVER, &err);
    if (rc == TT_OK)
        rc = tt_trust_new(trust, &err);
    if (rc == TT_OK)
        rc = tt_trust_add_pem(*trust, pem, &err);
    if (rc == TT_OK)
        rc = tt_config_set_trust(*ret, *trust);
    if (rc == TT_OK)
        rc = tt_config_set_client_auth(*ret, TT_CLIENT_AUTH_REQUIRE);
    if (rc == TT_OK)
        rc = tt_config_set_alpn(*ret, &name, 1);
    if (rc == TT_OK)
        rc = tt_config_add_identity(*ret, &id, &err);
    return rc == TT_OK ? tt_config_freeze(*ret, &err) : rc;
}

static void configurations(void **state)
{
    (void)state;
    struct test_key *ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    struct test_key *key =
        test_key_new("P-256", &(struct test_cert){.cn = "server", .dns = "localhost", .issuer = ca});
    size_t live = mem_test_stats().live_blocks, nth = 0;
    bool reached = true;
    while (reached && nth < MOST) {
        struct tt_config *cfg = NULL;
        struct tt_trust *trust = NULL;
        size_t before = mem_test_stats().allocations;
        print_message("# allocation %zu fails\n", ++nth);
        mem_test_fail_nth(nth);
        tt_rc rc = make_config(&cfg, &trust, ca, key);
        reached = mem_test_stats().allocations - before + 1 >= nth;
        mem_test_fail_nth(0);
        if (rc != TT_OK && !faults_is_own(rc))
            fail_msg("allocation %zu: %s", nth, tt_rc_name(rc));
        assert_true(reached || rc == TT_OK);
        tt_config_free(cfg);
        tt_trust_free(trust);
        assert_int_equal(mem_test_stats().live_blocks, live);
    }
    assert_between(nth, 5, MOST - 1);
    test_key_free(key);
    test_key_free(ca);
}

int main(void)
{
    static struct fault_source ours = {mem_test_fail_nth, allocations, 30, MOST};
    const struct CMUnitTest tests[] = {
        FAULT_SCENES(&ours),
        cmocka_unit_test(a_signature_that_fails),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests_name("tls/faults", tests, NULL, NULL);
}
