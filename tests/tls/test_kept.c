/* tests/tls/test_kept.c: what outlives a handshake, in one block: each item is what was put there, whatever
 * the order of adding and dropping; the block made at first is enough for what is usual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/kept.h"

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

static void add(struct kept *k, enum kept_item item, const char *s)
{
    assert_int_equal(kept_add(k, item, text(s)), TT_OK);
}

static void holds(const struct kept *k, const char *const want[KEPT_ITEMS])
{
    for (enum kept_item i = 0; i < KEPT_ITEMS; i++) {
        struct tt_bytes got = kept_get(k, i);
        assert_int_equal(got.len, strlen(want[i]));
        if (got.len > 0)
            assert_memory_equal(got.data, want[i], got.len);
    }
}

static void items_do_not_mix(void **state)
{
    (void)state;
    struct kept k = {0};
    holds(&k, (const char *const[KEPT_ITEMS]){"", "", "", "", "", "", "", ""});
    assert_int_equal(kept_init(&k), TT_OK);
    add(&k, KEPT_CHAIN, "chain");
    add(&k, KEPT_ALPN, "h2");
    add(&k, KEPT_SCTS, "");
    add(&k, KEPT_OCSP, "ocsp");
    add(&k, KEPT_CHAIN, " and more");
    add(&k, KEPT_SERVER_NAME, "localhost");
    holds(&k, (const char *const[KEPT_ITEMS]){"h2", "localhost", "chain and more", "ocsp", "", "", "", ""});
    kept_drop(&k, KEPT_CHAIN);
    kept_drop(&k, KEPT_SCTS);
    kept_drop(&k, KEPT_ALPN);
    add(&k, KEPT_ALPN, "http/1.1");
    holds(&k, (const char *const[KEPT_ITEMS]){"http/1.1", "localhost", "", "ocsp", "", "", "", ""});
    kept_free(&k);
    holds(&k, (const char *const[KEPT_ITEMS]){"", "", "", "", "", "", "", ""});
}

static void the_usual_needs_no_second_block(void **state)
{
    (void)state;
    static const uint8_t certificate[450] = {7}, chain[4000] = {9};
    struct kept k = {0};
    assert_int_equal(kept_init(&k), TT_OK);
    const uint8_t *block = k.all.data;
    add(&k, KEPT_SERVER_NAME, "localhost");
    assert_int_equal(kept_add(&k, KEPT_CHAIN, (struct tt_bytes){certificate, sizeof certificate}), TT_OK);
    add(&k, KEPT_ALPN, "mqtt");
    kept_fit(&k);
    assert_ptr_equal(k.all.data, block);
    assert_int_equal(kept_add(&k, KEPT_CHAIN, (struct tt_bytes){chain, sizeof chain}), TT_OK);
    kept_fit(&k);
    assert_int_equal(k.all.cap, buf_size(&k.all));
    assert_int_equal(kept_get(&k, KEPT_CHAIN).len, sizeof certificate + sizeof chain);
    assert_memory_equal(kept_get(&k, KEPT_CHAIN).data + sizeof certificate, chain, sizeof chain);
    assert_memory_equal(kept_get(&k, KEPT_ALPN).data, "mqtt", 4);
    kept_free(&k);
}

#ifdef TT_FAULT_INJECTION
static void no_memory_changes_nothing(void **state)
{
    (void)state;
    static const uint8_t big[1024];
    struct kept k = {0};
    mem_test_fail_nth(1);
    assert_int_equal(kept_init(&k), TT_ERR_MEMORY);
    assert_int_equal(kept_init(&k), TT_OK);
    add(&k, KEPT_ALPN, "h2");
    add(&k, KEPT_SCTS, "scts");
    mem_test_fail_nth(1);
    assert_int_equal(kept_add(&k, KEPT_CHAIN, (struct tt_bytes){big, sizeof big}), TT_ERR_MEMORY);
    holds(&k, (const char *const[KEPT_ITEMS]){"h2", "", "", "", "scts", "", "", ""});
    kept_free(&k);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_do_not_mix),
        cmocka_unit_test(the_usual_needs_no_second_block),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(no_memory_changes_nothing),
#endif
    };
    return cmocka_run_group_tests_name("tls/kept", tests, NULL, NULL);
}
