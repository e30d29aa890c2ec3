/* tests/crypto/judge.c: see judge.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/judge.h"

tt_rc trial_judge(const struct trial *t, struct trust_verdict *v, struct tt_error *err)
{
    struct tt_bytes chain[8];
    size_t n = 0;
    while (n < TT_COUNT(chain) && t->chain[n] != NULL) {
        chain[n] = t->chain[n]->cert;
        n++;
    }
    const char *host = t->any_host ? NULL : t->host != NULL ? t->host : "host.example";
    const struct trust_request req = {.chain = chain,
                                      .chain_len = n,
                                      .host = t->client ? NULL : host,
                                      .peer_is_server = !t->client,
                                      .now = t->now != 0 ? t->now : TEST_NOW,
                                      .ocsp = t->ocsp,
                                      .asked_ocsp = t->asked_ocsp,
                                      .require_ocsp = t->require_ocsp};
    return trust_verify(v, t->lib, t->trust, &req, err);
}

struct trust_verdict trial_accept(const struct trial *t)
{
    struct trust_verdict v = {0};
    struct tt_error err = {0};
    if (trial_judge(t, &v, &err) != TT_OK)
        fail_msg("refused: %s", err.text);
    assert_int_equal(v.alert, TT_ALERT_NONE);
    assert_non_null(v.leaf_key);
    pubkey_free(v.leaf_key);
    v.leaf_key = NULL;
    return v;
}

static void assert_contains(const char *what, const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s: \"%s\" does not contain \"%s\"", what, text, part);
}

void trial_refuse(const struct trial *t, unsigned alert, const char *text, const char *hint)
{
    struct trust_verdict v = {0};
    struct tt_error err = {0};
    tt_rc rc = trial_judge(t, &v, &err);
    if (rc == TT_OK) {
        pubkey_free(v.leaf_key);
        fail_msg("accepted, and not \"%s\"", text);
    }
    assert_null(v.leaf_key);
    assert_contains("sentence", err.text, text);
    assert_contains("hint", err.hint, hint);
    assert_true(strlen(err.hint) > 0);
    assert_null(strstr(err.hint, " --")); /* the library knows no options */
    assert_int_equal(rc, TT_ERR_VERIFY);
    assert_int_equal(v.alert, alert);
}

struct tt_trust *trust_of(const struct node *a, const struct node *b)
{
    struct tt_trust *t = NULL;
    assert_int_equal(tt_trust_new(&t, NULL), TT_OK);
    if (a != NULL)
        node_anchor(t, a);
    if (b != NULL)
        node_anchor(t, b);
    return t;
}
