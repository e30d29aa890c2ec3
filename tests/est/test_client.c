/* tests/est/test_client.c: what the client makes of texts: a server's name, Retry-After, a token; what a
 * server wants in a request; and what it makes of its own files when somebody has been at them. */
#include "pki/pki_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "est/basic.h"
#include "est/enrolled.h"
#include "est/plan.h"
#include "est/client.h"
#include "est/request.h"

static void servers(void **state)
{
    (void)state;
    static const struct {
        const char *in, *origin, *path;
    } table[] = {
        {"est.example", "est.example:443", "/.well-known/est"},
        {"est.example:8443", "est.example:8443", "/.well-known/est"},
        {"est.example/label", "est.example:443", "/.well-known/est/label"},
        {"https://est.example:1/a.b_c~d-e", "est.example:1", "/.well-known/est/a.b_c~d-e"},
        {"https://est.example/.well-known/est", "est.example:443", "/.well-known/est"},
        {"https://est.example/.well-known/est/x", "est.example:443", "/.well-known/est/x"},
        {"[2001:db8::1]", "[2001:db8::1]:443", "/.well-known/est"},
        {"[2001:db8::1]:8443/x", "[2001:db8::1]:8443", "/.well-known/est/x"},
        {"192.0.2.1:7/", "192.0.2.1:7", "/.well-known/est"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct est_at at;
        struct tt_error err = {0};
        if (est_at_parse(&at, table[i].in, &err) != TT_OK)
            fail_msg("%s: %s", table[i].in, err.text);
        assert_string_equal(at.origin, table[i].origin);
        assert_string_equal(at.path, table[i].path);
    }
    static const char *const bad[] = {
        "",
        "/",
        ":443",
        "https://",
        "a/b/c",
        "a/x y",
        "a/..%2f",
        "a b",
        "a:b:c",
        "http://a/x/y",
        "a/0123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct est_at at;
        struct tt_error err = {0};
        if (est_at_parse(&at, bad[i], &err) == TT_OK)
            fail_msg("'%s' is taken as %s%s", bad[i], at.origin, at.path);
        assert_string_not_equal(err.text, "");
    }
}

static void retry_after(void **state)
{
    (void)state;
    const int64_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7 */
    assert_int_equal(est_retry_after("120", now), 120);
    assert_int_equal(est_retry_after(" 5", now), 5);
    assert_int_equal(est_retry_after("0", now), 0);
    assert_int_equal(est_retry_after("99999999999999999999999", now), 604800);
    assert_int_equal(est_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), 60);
    assert_int_equal(est_retry_after("Sunday, 06-Nov-94 08:50:37 GMT", now), 60);
    assert_int_equal(est_retry_after("Sun Nov  6 08:50:37 1994", now), 60);
    assert_int_equal(est_retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), 0);
    assert_int_equal(est_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now), 604800);
    static const char *const none[] = {"", "soon", "-5", "5 s", "Sun, 06 Nov 1994 08:50:37 CET", "1e9"};
    for (size_t i = 0; i < TT_COUNT(none); i++)
        assert_int_equal(est_retry_after(none[i], now), 0);
}

/* What we send is what our own server reads. */
static void tokens(void **state)
{
    (void)state;
    static const struct {
        const char *token, *user, *password;
    } table[] = {{"sesame", "token", "sesame"}, {"user:pass:word", "user", "pass:word"}};
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        char *header = NULL;
        struct est_basic b;
        assert_int_equal(est_basic_make(&header, table[i].token, NULL), TT_OK);
        assert_true(est_basic_read(&b, header));
        assert_string_equal(b.user, table[i].user);
        assert_string_equal(b.password, table[i].password);
        est_basic_wipe(&b);
        mem_free(header);
    }
}

static struct est_wants wants_of(const char *body)
{
    struct est_csrattrs a = {0};
    struct est_wants w;
    assert_int_equal(est_csrattrs_read(&a, bytes_of(body), NULL), TT_OK);
    est_wants_read(&w, &a);
    est_csrattrs_free(&a);
    return w;
}

static void wants(void **state)
{
    (void)state;
    struct est_wants w = wants_of("MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJ"
                                  "BgcrBgEBAQEWBggqhkjOPQQDAw=="); /* RFC 8951 section 4 */
    assert_true(w.bound && w.has_type && w.type == TT_KEY_P384 && !w.sans && w.rsa_scheme == 0);
    w = wants_of("MAA=");
    assert_false(w.bound || w.has_type || w.sans);
    /* rsaEncryption { 4096 }, sha384WithRSAEncryption */
    w = wants_of("MCAwEQYJKoZIhvcNAQEBMQQCAhAABgsqhkiG9w0BAQwAAA==");
    assert_true(w.has_type && w.type == TT_KEY_RSA4096);
    w = wants_of("MAsGCSqGSIb3DQEBDA==");
    assert_true(w.rsa_scheme == TT_SCHEME_RSA_PKCS1_SHA384 && w.has_type && w.type == TT_KEY_RSA2048);
    w = wants_of("MAoGCCqGSM49BAMC"); /* ecdsa-with-SHA256 */
    assert_true(w.has_type && w.type == TT_KEY_P256);
    w = wants_of("MAoGCCqGSM49BAME");
    assert_true(w.has_type && w.type == TT_KEY_P521);
    /* what nobody knows is passed over: a curve, a size */
    w = wants_of("MBQwEgYHKoZIzj0CATEHBgUrgQQACg=="); /* secp256k1 */
    assert_false(w.has_type);
}

/* ---- files ---- */

static void put(const char *dir, const char *json)
{
    dir_put(dir, "a.json", json, strlen(json));
    char path[300];
    (void)snprintf(path, sizeof path, "%s/a.json", dir);
    assert_int_equal(chmod(path, 0600), 0);
}

static void files_read_as_written(void **state)
{
    (void)state;
    char *dir = dir_make();
    struct enrolled e = {.name = "a",
                         .server = "s/x",
                         .ca = "system",
                         .key = "/k",
                         .cert = "/c",
                         .chain = "/h",
                         .tpm = "device",
                         .subject = "/CN=\xc3\xa4",
                         .sans = {"DNS:a", "IP:192.0.2.1"},
                         .sans_len = 2,
                         .type = "p384",
                         .token_file = "/t",
                         .auth_kind = "file",
                         .auth_value = "/p",
                         .exec_after = "true; false",
                         .attest = true,
                         .jitter = UINT32_MAX,
                         .renewed_at = 1,
                         .failed_at = 2,
                         .retry_at = 3,
                         .failures = 4,
                         .last_error = "why \x01"};
    TT_AUTO(enrolled_free) struct enrolled r = {0};
    assert_int_equal(enrolled_write(&e, dir, NULL), TT_OK);
    assert_int_equal(enrolled_read(&r, dir, "a", NULL), TT_OK);
    const char *const pairs[][2] = {{e.name, r.name},
                                    {e.server, r.server},
                                    {e.ca, r.ca},
                                    {e.key, r.key},
                                    {e.cert, r.cert},
                                    {e.chain, r.chain},
                                    {e.tpm, r.tpm},
                                    {e.subject, r.subject},
                                    {e.sans[0], r.sans[0]},
                                    {e.sans[1], r.sans[1]},
                                    {e.type, r.type},
                                    {e.token_file, r.token_file},
                                    {e.auth_kind, r.auth_kind},
                                    {e.auth_value, r.auth_value},
                                    {e.exec_after, r.exec_after},
                                    {e.last_error, r.last_error}};
    for (size_t i = 0; i < TT_COUNT(pairs); i++)
        assert_string_equal(pairs[i][0], pairs[i][1]);
    assert_true(r.attest && r.sans_len == 2 && r.jitter == UINT32_MAX && r.renewed_at == 1 &&
                r.failed_at == 2 && r.retry_at == 3 && r.failures == 4);
    dir_drop(dir);
}

static void files_that_somebody_was_at(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"tpmtls_enrolment\":1}",
        "{\"tpmtls_enrolment\":2,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"/c\",\"sans\":[]}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"c\",\"sans\":[]}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"/c\",\"chain\":\"h\"}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"/c\",\"sans\":[1]}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"server\":\"t\",\"key\":\"/k\",\"certificate\":\"/c\"}",
        "{\"tpmtls_enrolment\":1,\"server\":7,\"key\":\"/k\",\"certificate\":\"/c\"}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\\n\",\"key\":\"/k\",\"certificate\":\"/c\"}",
        "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"/c\\u0000\"}"};
    char *dir = dir_make();
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct enrolled r = {0};
        struct tt_error err = {0};
        put(dir, bad[i]);
        if (enrolled_read(&r, dir, "a", &err) != TT_ERR_DECODE)
            fail_msg("%s is taken: %s", bad[i], err.text);
        assert_null(r.owned);
    }
    char path[300];
    put(dir, "{\"tpmtls_enrolment\":1,\"server\":\"s\",\"key\":\"/k\",\"certificate\":\"/c\"}");
    (void)snprintf(path, sizeof path, "%s/a.json", dir);
    struct enrolled r = {0};
    assert_int_equal(enrolled_read(&r, dir, "a", NULL), TT_OK);
    enrolled_free(&r);
    assert_int_equal(chmod(path, 0666), 0); /* everybody may write it: nobody's word */
    assert_int_equal(enrolled_read(&r, dir, "a", NULL), TT_ERR_IO);
    assert_int_equal(enrolled_read(&r, dir, "../a", NULL), TT_ERR_NOT_FOUND);
    assert_int_equal(enrolled_read(&r, dir, "b", NULL), TT_ERR_NOT_FOUND);
    dir_drop(dir);
}

static void names_of_enrolments(void **state)
{
    (void)state;
    char *dir = dir_make(), *name = NULL;
    static const struct {
        const char *cert, *name;
    } table[] = {{"/x/device.pem", "device"}, {"/x/a b.crt", "a-b"},       {"/ids/vpn/cert.pem", "vpn"},
                 {"/x/.pem", "certificate"},  {"/x/-.pem", "certificate"}, {"/cert.pem", "cert"}};
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        assert_int_equal(enrolled_name_for(&name, dir, table[i].cert, NULL), TT_OK);
        assert_string_equal(name, table[i].name);
        mem_free(name);
    }
    /* another certificate of the same name */
    const struct enrolled e = {.name = "device", .server = "s", .key = "/k", .cert = "/x/device.pem"};
    assert_int_equal(enrolled_write(&e, dir, NULL), TT_OK);
    assert_int_equal(enrolled_name_for(&name, dir, "/x/device.pem", NULL), TT_OK);
    assert_string_equal(name, "device");
    mem_free(name);
    assert_int_equal(enrolled_name_for(&name, dir, "/y/device.pem", NULL), TT_OK);
    assert_int_equal(strncmp(name, "device-", 7), 0);
    mem_free(name);
    dir_drop(dir);
}

/* ---- when ---- */

static void plans(void **state)
{
    (void)state;
    struct plan_facts f = {.not_before = NOW, .not_after = NOW + 90 * DAY};
    assert_int_equal(plan_due(&f), NOW + 60 * DAY);
    f.jitter = UINT32_MAX;
    assert_true(plan_due(&f) > NOW + 64 * DAY && plan_due(&f) <= NOW + 60 * DAY + 90 * DAY / 20);
    f.jitter = 0;
    assert_int_equal(plan_renewal(&f, NOW - 1).verdict, PLAN_CLOCK);
    assert_int_equal(plan_renewal(&f, NOW + 60 * DAY - 1).verdict, PLAN_WAIT);
    assert_int_equal(plan_renewal(&f, NOW + 60 * DAY).verdict, PLAN_RENEW);
    assert_false(plan_renewal(&f, NOW + 60 * DAY).urgent);
    assert_true(plan_renewal(&f, NOW + 81 * DAY).urgent);
    assert_true(plan_renewal(&f, NOW + 90 * DAY + 1).ended);
    /* back-off: from ten minutes on, doubling, at most twelve hours, and never more than an eighth of what is
     * left */
    int64_t before = 0;
    for (unsigned n = 1; n < 20; n++) {
        f.failures = n;
        f.failed_at = NOW + 60 * DAY;
        struct plan p = plan_renewal(&f, f.failed_at);
        assert_int_equal(p.verdict, PLAN_BACK_OFF);
        int64_t wait = p.at - f.failed_at;
        assert_true(wait <= 12 * 3600 && wait >= (n == 1 ? 450 : before / 2));
        before = wait;
    }
    assert_true(before >= 9 * 3600);
    f.failed_at = NOW + 90 * DAY - 8 * 3600;
    assert_true(plan_renewal(&f, f.failed_at).at <= f.failed_at + 3600);
    /* a failure under a clock that was wrong, later than now */
    f.failed_at = NOW + 4000 * DAY;
    assert_int_equal(plan_renewal(&f, NOW + 70 * DAY).verdict, PLAN_RENEW);
    /* the server's word, as far as it leaves time */
    f = (struct plan_facts){.not_before = NOW,
                            .not_after = NOW + 90 * DAY,
                            .failures = 1,
                            .failed_at = NOW + 60 * DAY,
                            .retry_at = NOW + 60 * DAY + 7200};
    assert_int_equal(plan_renewal(&f, f.failed_at).at, f.retry_at);
    f.retry_at = NOW + 89 * DAY;
    assert_true(plan_renewal(&f, f.failed_at).at <= NOW + 68 * DAY);
    /* dates that make no sense divide nothing by zero */
    f = (struct plan_facts){
        .not_before = NOW, .not_after = NOW - 5, .failures = 3, .failed_at = NOW, .jitter = 77};
    assert_true(plan_renewal(&f, NOW).ended);
    f = (struct plan_facts){.not_before = 0, .not_after = INT64_C(253402300799)}; /* 9999 */
    assert_int_equal(plan_renewal(&f, NOW).verdict, PLAN_WAIT);
}

static tt_rc work_slowly(void *arg, struct tt_error *err)
{
    bool *is_over = arg;
    (void)err;
    (void)usleep(300000);
    *is_over = true;
    return TT_OK;
}

/* What a slow TPM works with is on the caller's stack: he is told that it was too slow, but not before the
 * work is over. */
static void work_past_its_time(void **state)
{
    struct tt_config *config = NULL;
    struct est_client *c = NULL;
    struct tt_error err = {0};
    bool is_over = false;
    (void)state;
    assert_int_equal(tt_config_new(&config, TT_CLIENT, &err), TT_OK);
    const struct est_client_options opt = {.config = config, .has_identity = true, .work_ms = 20};
    assert_int_equal(est_client_new(&c, &opt, &err), TT_OK);
    assert_int_equal(est_client_work(c, work_slowly, &is_over, &err), TT_ERR_DEADLINE);
    assert_true(is_over);
    est_client_free(c);
    tt_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(tokens),
        cmocka_unit_test(wants),
        cmocka_unit_test(files_read_as_written),
        cmocka_unit_test(files_that_somebody_was_at),
        cmocka_unit_test(names_of_enrolments),
        cmocka_unit_test(plans),
        cmocka_unit_test(work_past_its_time),
    };
    return cmocka_run_group_tests_name("est/client", tests, NULL, NULL);
}
