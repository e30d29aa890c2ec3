/* tests/ca/test_publish.c: what the authority publishes, before OpenSSL's eyes: CRLs, OCSP answers, chains of
 * CAs. */
#include <string.h>

#include "ca_test.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

struct fixture {
    char *dir;
    char path[128];
    struct soft_key ca_key, key;
    struct tt_pki_signer signer;
    struct ca *ca;
    int64_t now; /* openssl's clock is the real one */
    struct ca_answer leaf;
};

static struct ca_answer issue(struct fixture *f, struct ca *ca, const char *cn)
{
    struct buf csr = {0};
    struct ca_answer a = {0};
    struct tt_error err = {0};
    csr_make(&csr, &f->key, cn, NULL, 0);
    if (ca_issue(ca, &(struct ca_order){.csr = buf_bytes(&csr)}, &a, 1, f->now, &err) != TT_OK ||
        a.verdict != CA_ISSUED)
        fail_msg("%s %s", err.text, a.reason.text);
    buf_free(&csr);
    return a;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = dir_make();
    f->ca_key = key_make("P-256");
    f->key = key_make("P-256");
    f->signer = key_signs(&f->ca_key);
    f->now = (int64_t)time(NULL);
    (void)snprintf(f->path, sizeof f->path, "%s/ca", f->dir);
    struct ca_make make = {
        .place = {.dir = f->path}, .subject = "/CN=Test CA", .key = "none", .path_len = 1, .now = f->now};
    assert_int_equal(ca_make(&make, &f->signer, NULL, NULL), TT_OK);
    assert_int_equal(test_ca_open(&f->ca, f->path, NULL), TT_OK);
    assert_int_equal(ca_set_signer(f->ca, &f->signer, NULL), TT_OK);
    f->leaf = issue(f, f->ca, "device");
    dir_put(f->dir, "leaf.der", f->leaf.certificate.data, f->leaf.certificate.len);
    assert_int_equal(run(f->dir, "openssl x509 -inform DER -in leaf.der -out leaf.pem"), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct ca_audit audit;
    assert_int_equal(ca_audit_verify(f->ca, &audit, NULL, NULL), TT_OK);
    ca_answer_free(&f->leaf);
    ca_close(f->ca);
    assert_int_equal(ERR_peek_error(), 0);
    dir_drop(f->dir);
    key_drop(&f->ca_key);
    key_drop(&f->key);
    free(f);
    return 0;
}

/* ---- CRL ---- */

static int64_t crl_now(struct fixture *f, int64_t now, struct ca_fresh *ret)
{
    struct buf der = {0};
    struct tt_error err = {0};
    if (ca_crl(f->ca, &der, ret, now, &err) != TT_OK)
        fail_msg("%s", err.text);
    const uint8_t *at = buf_front(&der);
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)buf_size(&der));
    assert_non_null(crl);
    assert_ptr_equal(at, buf_front(&der) + buf_size(&der));
    assert_int_equal(X509_CRL_verify(crl, f->ca_key.pkey), 1);
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    int64_t n = ASN1_INTEGER_get(number);
    ASN1_INTEGER_free(number);
    X509_CRL_free(crl);
    dir_put(f->dir, "crl.der", buf_front(&der), buf_size(&der));
    buf_free(&der);
    return n;
}

static bool file_has(struct fixture *f, const char *file, int lines, const char *serial, const char *reason)
{
    char command[300];
    (void)snprintf(
        command, sizeof command,
        "openssl crl -inform DER -in %s -noout -text | grep -i -A%d 'Serial Number: %s' | grep -q '%s'", file,
        lines, serial, reason);
    return run(f->dir, command) == 0;
}

static bool crl_has(struct fixture *f, const char *serial, const char *reason)
{
    return file_has(f, "crl.der", 4, serial, reason);
}

static void a_crl_is_made_when_it_must_be(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh, later;
    assert_int_equal(crl_now(f, f->now, &fresh), 1);
    assert_int_equal(fresh.this_update, f->now);
    assert_int_equal(fresh.next_update, f->now + 7 * DAY);
    assert_int_equal(crl_now(f, f->now + 3600, &later), 1); /* the same */
    assert_string_equal(fresh.etag, later.etag);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 1, "me", f->now, NULL), TT_OK);
    assert_int_equal(crl_now(f, f->now + 3601, &later), 2); /* something was revoked */
    assert_string_not_equal(fresh.etag, later.etag);
    assert_true(crl_has(f, f->leaf.serial, "Key Compromise"));
    assert_int_equal(crl_now(f, f->now + 3601 + 6 * DAY - 1, &later), 2);
    assert_int_equal(crl_now(f, f->now + 3601 + 6 * DAY, &later), 3); /* nextUpdate is near */
    assert_int_equal(
        run(f->dir, "openssl crl -inform DER -in crl.der -out crl.pem && cat ca/ca.pem crl.pem > both.pem && "
                    "openssl verify -x509_strict -crl_check -CAfile both.pem leaf.pem 2>&1 | grep -q "
                    "'certificate revoked'"),
        0);
    /* Without the key: the old one, while it is valid. */
    struct ca *reader = NULL;
    struct buf der = {0};
    struct tt_error err = {0};
    assert_int_equal(test_ca_open(&reader, f->path, NULL), TT_OK);
    assert_int_equal(ca_crl(reader, &der, &later, f->now + 3601 + 12 * DAY, NULL), TT_OK);
    check_error(ca_crl(reader, &der, &later, f->now + 30 * DAY, &err), TT_ERR_NOT_FOUND, &err,
                "no CRL that is valid", "an old CRL");
    ca_close(reader);
    buf_free(&der);
}

static void holding_and_releasing(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh;
    struct tt_error err = {0};
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 6, "me", f->now, NULL), TT_OK);
    assert_int_equal(crl_now(f, f->now, &fresh), 1);
    assert_true(crl_has(f, f->leaf.serial, "Certificate Hold"));
    check_error(ca_revoke(f->ca, f->leaf.serial, 6, "me", f->now, &err), TT_ERR_EXISTS, &err,
                "on hold already", "twice");
    assert_int_equal(ca_release(f->ca, f->leaf.serial, "me", f->now, NULL), TT_OK);
    assert_int_equal(crl_now(f, f->now, &fresh), 2);
    assert_false(crl_has(f, f->leaf.serial, ""));
    assert_int_equal(ca_release(f->ca, f->leaf.serial, "me", f->now, NULL), TT_ERR_EXISTS);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 6, "me", f->now, NULL), TT_OK);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 4, "me", f->now, NULL), TT_OK); /* from hold to good */
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 4, "me", f->now, NULL), TT_ERR_EXISTS);
    err = (struct tt_error){0};
    check_error(ca_release(f->ca, f->leaf.serial, "me", f->now, &err), TT_ERR_UNSUPPORTED, &err, "for good",
                "release");
    err = (struct tt_error){0};
    check_error(ca_revoke(f->ca, "00ff", 1, "me", f->now, &err), TT_ERR_NOT_FOUND, &err, "00ff", "unknown");
    assert_int_equal(ca_revoke(f->ca, "nonsense", 1, "me", f->now, NULL), TT_ERR_NOT_FOUND);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 7, "me", f->now, NULL), TT_ERR_USAGE);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 8, "me", f->now, NULL), TT_ERR_USAGE);
}

/* ---- delta CRLs ---- */

/* struct seen: what a delta says of itself. */
struct seen {
    int64_t number, base;
    size_t entries;
};

static int64_t integer_of(X509_CRL *crl, int nid, int *ret_critical)
{
    ASN1_INTEGER *i = X509_CRL_get_ext_d2i(crl, nid, ret_critical, NULL);
    assert_non_null(i);
    int64_t n = ASN1_INTEGER_get(i);
    ASN1_INTEGER_free(i);
    return n;
}

static struct seen delta_now(struct fixture *f, int64_t now, struct ca_fresh *ret)
{
    struct buf der = {0};
    struct tt_error err = {0};
    int critical = 0;
    if (ca_crl_delta(f->ca, &der, ret, now, &err) != TT_OK)
        fail_msg("%s", err.text);
    const uint8_t *at = buf_front(&der);
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)buf_size(&der));
    assert_non_null(crl);
    assert_ptr_equal(at, buf_front(&der) + buf_size(&der));
    assert_int_equal(X509_CRL_verify(crl, f->ca_key.pkey), 1);
    int entries = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl));
    struct seen seen = {.number = integer_of(crl, NID_crl_number, &critical),
                        .entries = entries < 0 ? 0 : (size_t)entries};
    assert_int_equal(critical, 0);
    seen.base = integer_of(crl, NID_delta_crl, &critical);
    assert_int_equal(critical, 1);
    /* "MUST NOT appear in delta CRLs" (RFC 5280 section 5.2.6) */
    assert_int_equal(X509_CRL_get_ext_by_NID(crl, NID_freshest_crl, -1), -1);
    X509_CRL_free(crl);
    dir_put(f->dir, "delta.der", buf_front(&der), buf_size(&der));
    buf_free(&der);
    return seen;
}

static bool delta_has(struct fixture *f, const char *serial, const char *reason)
{
    return file_has(f, "delta.der", 5, serial, reason);
}

static void reopen_with(struct fixture *f, const char *sed)
{
    char command[300];
    (void)snprintf(command, sizeof command, "sed -i '%s' ca/profiles.ini", sed);
    assert_int_equal(run(f->dir, command), 0);
    ca_close(f->ca);
    assert_int_equal(test_ca_open(&f->ca, f->path, NULL), TT_OK);
    assert_int_equal(ca_set_signer(f->ca, &f->signer, NULL), TT_OK);
}

/* openssl's word on FILE.pem by base.pem, with or without delta.pem. */
static bool verifies(struct fixture *f, const char *name, bool delta, const char *says)
{
    char command[400];
    (void)snprintf(
        command, sizeof command,
        "cat base.pem %s > lists.pem && openssl verify -x509_strict -crl_check -use_deltas -CAfile "
        "ca/ca.pem -CRLfile lists.pem %s.pem 2>&1 | grep -q '%s'",
        delta ? "delta.pem" : "", name, says);
    return run(f->dir, command) == 0;
}

static void leaf_put(struct fixture *f, const char *name, const struct ca_answer *a)
{
    char command[200];
    dir_put(f->dir, "a.der", a->certificate.data, a->certificate.len);
    (void)snprintf(command, sizeof command, "openssl x509 -inform DER -in a.der -out %s.pem", name);
    assert_int_equal(run(f->dir, command), 0);
}

static void a_delta_is_what_changed(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh, whole;
    struct ca_answer lost = issue(f, f->ca, "lost"), gone = issue(f, f->ca, "gone"),
                     old = issue(f, f->ca, "old");
    leaf_put(f, "lost", &lost);
    leaf_put(f, "gone", &gone);
    leaf_put(f, "old", &old);
    reopen_with(f, "s,^; delta-url,delta-url,");
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 6, "me", f->now, NULL), TT_OK);
    assert_int_equal(ca_revoke(f->ca, gone.serial, 6, "me", f->now, NULL), TT_OK);
    assert_int_equal(ca_revoke(f->ca, old.serial, 4, "me", f->now, NULL), TT_OK);
    assert_int_equal(crl_now(f, f->now, &whole), 1);
    assert_int_equal(run(f->dir, "openssl crl -inform DER -in crl.der -out base.pem && openssl crl -in "
                                 "base.pem -noout -text | grep -A3 'X509v3 Freshest CRL' | grep -q "
                                 "http://ca.example.org/ca-delta.crl"),
                     0);
    struct seen d = delta_now(f, f->now, &fresh); /* nothing yet */
    assert_true(d.number == 1 && d.base == 1 && d.entries == 0);
    assert_true(verifies(f, "leaf", false, "certificate revoked") &&
                verifies(f, "lost", false, "lost.pem: OK"));

    assert_int_equal(ca_release(f->ca, f->leaf.serial, "me", f->now, NULL), TT_OK);
    assert_int_equal(ca_revoke(f->ca, lost.serial, 1, "me", f->now, NULL), TT_OK);
    assert_int_equal(ca_revoke(f->ca, gone.serial, 5, "me", f->now, NULL), TT_OK); /* from hold to good */
    d = delta_now(f, f->now, &fresh);
    assert_true(d.number == 2 && d.base == 1 && d.entries == 3);
    assert_int_equal(crl_now(f, f->now, &whole), 2); /* they say the same */
    assert_int_equal(whole.this_update, fresh.this_update);
    assert_int_equal(whole.next_update, fresh.next_update);
    assert_true(delta_has(f, f->leaf.serial, "Remove From CRL"));
    assert_true(delta_has(f, lost.serial, "Key Compromise"));
    assert_true(delta_has(f, gone.serial, "Cessation Of Operation"));
    assert_int_equal(run(f->dir, "openssl crl -inform DER -in delta.der -out delta.pem && openssl crl -in "
                                 "delta.pem -noout -text | grep -A1 'Delta CRL Indicator: critical' | grep "
                                 "-q '^ *1$'"),
                     0);
    assert_true(verifies(f, "leaf", true, "leaf.pem: OK"));
    assert_true(verifies(f, "lost", true, "certificate revoked"));
    assert_true(verifies(f, "gone", true, "certificate revoked"));
    assert_true(verifies(f, "old", true, "certificate revoked")); /* by the base */

    struct ca_fresh again;
    (void)delta_now(f, f->now + 60, &again);
    assert_string_equal(fresh.etag, again.etag);
    ca_answer_free(&lost);
    ca_answer_free(&gone);
    ca_answer_free(&old);
}

static void the_base_stays_while_it_is_valid(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh;
    struct ca *reader = NULL;
    struct buf der = {0};
    struct tt_error err = {0};
    assert_int_equal(crl_now(f, f->now, &fresh), 1);
    for (int i = 0; i < 15; i++) {
        int64_t now = f->now + DAY / 2 + i;
        assert_int_equal(i % 2 == 0 ? ca_revoke(f->ca, f->leaf.serial, 6, "me", now, NULL)
                                    : ca_release(f->ca, f->leaf.serial, "me", now, NULL),
                         TT_OK);
        assert_int_equal(crl_now(f, now, &fresh), i + 2);
    }
    assert_int_equal(test_ca_open(&reader, f->path, NULL), TT_OK);
    check_error(ca_crl_delta(reader, &der, &fresh, f->now + DAY, &err), TT_ERR_NOT_FOUND, &err, "--delta",
                "without the key");
    struct seen d = delta_now(f, f->now + DAY, &fresh);
    assert_true(d.number == 16 && d.base == 1 && d.entries == 1);
    assert_int_equal(ca_crl_delta(reader, &der, &fresh, f->now + DAY, NULL), TT_OK); /* is there now */
    assert_int_equal(buf_size(&der) > 0, 1);
    d = delta_now(f, f->now + 7 * DAY, &fresh); /* the first one has ended, and the last ten are there */
    assert_true(d.number == 17 && d.base == 7 && d.entries == 1);
    ca_close(reader);
    buf_free(&der);
}

/* ---- OCSP ---- */

static int ocsp_answer(struct fixture *f, const char *request, struct ca_fresh *ret)
{
    char path[160];
    uint8_t bytes[4096];
    struct buf der = {0};
    struct tt_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, request);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    if (ca_ocsp(f->ca, &der, ret, (struct tt_bytes){bytes, n}, f->now, &err) != TT_OK)
        fail_msg("%s", err.text);
    const uint8_t *at = buf_front(&der);
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)buf_size(&der));
    assert_non_null(response);
    int status = OCSP_response_status(response);
    OCSP_RESPONSE_free(response);
    dir_put(f->dir, "response.der", buf_front(&der), buf_size(&der));
    buf_free(&der);
    return status;
}

#define ASK "openssl ocsp -issuer ca/ca.pem -cert leaf.pem "
#define SAYS(word)                                                                                           \
    ASK "-reqin request.der -respin response.der -CAfile ca/ca.pem -no_nonce 2>&1 | tee says | grep -q "     \
        "'leaf.pem: " word "' "                                                                              \
        "&& grep -q 'Response verify OK' says"

static void ocsp_tells_the_state(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh, again;
    struct stat st;
    char path[160];
    assert_int_equal(run(f->dir, ASK "-no_nonce -reqout request.der"), 0);
    assert_int_equal(ocsp_answer(f, "request.der", &fresh), 0);
    assert_int_equal(run(f->dir, SAYS("good")), 0);
    assert_int_equal(fresh.next_update - fresh.this_update, DAY);
    (void)snprintf(path, sizeof path, "%s/ocsp.key", f->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    f->now += 5;
    assert_int_equal(ocsp_answer(f, "request.der", &again), 0); /* was signed before */
    assert_string_equal(fresh.etag, again.etag);
    assert_int_equal(ca_revoke(f->ca, f->leaf.serial, 6, "me", f->now - 5, NULL), TT_OK);
    assert_int_equal(ocsp_answer(f, "request.der", &again), 0);
    assert_string_not_equal(fresh.etag, again.etag);
    f->now -= 5;
    assert_int_equal(run(f->dir, SAYS("revoked") " && grep -q 'Reason: certificateHold' says"), 0);
    assert_int_equal(ca_release(f->ca, f->leaf.serial, "me", f->now, NULL), TT_OK);
    assert_int_equal(ocsp_answer(f, "request.der", &again), 0);
    assert_int_equal(run(f->dir, SAYS("good")), 0);
    /* By SHA-256, and for a serial number that was never issued. */
    assert_int_equal(
        run(f->dir, "openssl ocsp -sha256 -issuer ca/ca.pem -cert leaf.pem -no_nonce -reqout request.der"),
        0);
    assert_int_equal(ocsp_answer(f, "request.der", &again), 0);
    assert_int_equal(run(f->dir, "openssl ocsp -sha256 -issuer ca/ca.pem -cert leaf.pem -reqin request.der "
                                 "-respin response.der -CAfile ca/ca.pem 2>&1 | grep -q 'leaf.pem: good'"),
                     0);
    assert_int_equal(
        run(f->dir, "openssl ocsp -issuer ca/ca.pem -serial 0x1234 -no_nonce -reqout request.der"), 0);
    assert_int_equal(ocsp_answer(f, "request.der", &again), 0);
    assert_int_equal(again.next_update, 0); /* it may be issued in a moment */
    assert_int_equal(
        run(f->dir,
            "openssl ocsp -reqin request.der -respin response.der -CAfile ca/ca.pem -issuer ca/ca.pem "
            "-serial 0x1234 2>&1 | grep -q '0x1234: unknown'"),
        0);
}

static void ocsp_echoes_a_nonce(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh;
    assert_int_equal(run(f->dir, ASK "-nonce -reqout request.der"), 0);
    assert_int_equal(ocsp_answer(f, "request.der", &fresh), 0);
    assert_int_equal(fresh.next_update, 0); /* for nobody else */
    assert_int_equal(run(f->dir, SAYS("good") " && ! grep -i 'nonce' says"), 0);
}

static OCSP_REQUEST *request_of(const struct fixture *f)
{
    X509 *ca = cert_of(ca_certificate(f->ca)), *leaf = cert_of(f->leaf.certificate);
    OCSP_REQUEST *r = OCSP_REQUEST_new();
    assert_non_null(OCSP_request_add0_id(r, OCSP_cert_to_id(EVP_sha1(), leaf, ca)));
    X509_free(ca);
    X509_free(leaf);
    return r;
}

static void put_request(const struct fixture *f, OCSP_REQUEST *r)
{
    uint8_t *der = NULL;
    int n = i2d_OCSP_REQUEST(r, &der);
    assert_true(n > 0);
    dir_put(f->dir, "request.der", der, (size_t)n);
    OPENSSL_free(der);
    OCSP_REQUEST_free(r);
}

static void ocsp_refuses_what_is_malformed(void **state)
{
    struct fixture *f = *state;
    struct ca_fresh fresh;
    static const uint8_t zeros[200];
    static const int lengths[] = {128, 129}; /* RFC 9654 section 2.1 */
    for (size_t i = 0; i < TT_COUNT(lengths); i++) {
        OCSP_REQUEST *r = request_of(f);
        assert_int_equal(OCSP_request_add1_nonce(r, (uint8_t *)(uintptr_t)zeros, lengths[i]), 1);
        put_request(f, r);
        assert_int_equal(ocsp_answer(f, "request.der", &fresh), lengths[i] <= 128 ? 0 : 1);
    }
    dir_put(f->dir, "request.der", "nonsense", 8);
    assert_int_equal(ocsp_answer(f, "request.der", &fresh), OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    dir_put(f->dir, "request.der", "", 0);
    assert_int_equal(ocsp_answer(f, "request.der", &fresh), OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
    assert_int_equal(fresh.next_update, 0);
    put_request(f, OCSP_REQUEST_new()); /* no question */
    assert_int_equal(ocsp_answer(f, "request.der", &fresh), OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
}

static size_t ocsp_certificates(struct fixture *f)
{
    struct ca_counts c;
    assert_int_equal(ca_count(f->ca, &c, f->now, NULL), TT_OK);
    return (size_t)c.valid - 1; /* the leaf */
}

static void the_responder_renews_itself(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ca_tend(f->ca, f->now, NULL), TT_OK);
    assert_int_equal(ca_tend(f->ca, f->now + 14 * DAY, NULL), TT_OK);
    assert_int_equal(ocsp_certificates(f), 1);
    assert_int_equal(ca_tend(f->ca, f->now + 16 * DAY, NULL), TT_OK); /* half of 30 days */
    assert_int_equal(ocsp_certificates(f), 2);
    assert_int_equal(
        run(f->dir, "openssl x509 -in ca/ocsp.pem -noout -text | grep -q 'OCSP Signing' && openssl x509 -in "
                    "ca/ocsp.pem -noout -text | grep -q 'OCSP No Check' && openssl pkey -in ca/ocsp.key "
                    "-pubout > a && "
                    "openssl x509 -in ca/ocsp.pem -noout -pubkey | cmp - a"),
        0);
    struct ca *reader = NULL; /* without the CA's key the responder has its own */
    struct buf der = {0};
    struct ca_fresh fresh;
    assert_int_equal(test_ca_open(&reader, f->path, NULL), TT_OK);
    assert_int_equal(ca_ocsp(reader, &der, &fresh, bytes_of("x"), f->now + 17 * DAY, NULL), TT_OK);
    assert_int_equal(ca_ocsp(reader, &der, &fresh, bytes_of("x"), f->now + 60 * DAY, NULL), TT_ERR_NOT_FOUND);
    ca_close(reader);
    buf_free(&der);
}

/* ---- chains ---- */

static void a_ca_below_another(void **state)
{
    struct fixture *f = *state;
    struct soft_key key = key_make("P-384");
    struct tt_pki_signer signer = key_signs(&key);
    char path[160];
    struct ca *below = NULL;
    struct tt_error err = {0};
    (void)snprintf(path, sizeof path, "%s/below", f->dir);
    struct ca_make make = {.place = {.dir = path}, .subject = "/CN=Issuing CA", .key = "none", .now = f->now};
    if (ca_make(&make, &signer, f->ca, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(test_ca_open(&below, path, NULL), TT_OK);
    assert_int_equal(ca_set_signer(below, &signer, NULL), TT_OK);
    assert_int_equal(ca_chain(below)->len, 2);
    struct ca_answer a = issue(f, below, "device");
    dir_put(f->dir, "a.der", a.certificate.data, a.certificate.len);
    assert_int_equal(
        run(f->dir, "openssl x509 -inform DER -in a.der -out a.pem && openssl verify -x509_strict -CAfile "
                    "ca/ca.pem -untrusted below/ca.pem a.pem && cat a.pem below/ca.pem | certtool --verify "
                    "--load-ca-certificate ca/ca.pem --verify-profile medium"),
        0);
    ca_answer_free(&a);
    /* In the parent's store, and to be revoked there. */
    char command[400];
    (void)snprintf(command, sizeof command,
                   "openssl x509 -in below/ca.pem -noout -serial | cut -d= -f2 | tr A-F a-f > serial");
    assert_int_equal(run(f->dir, command), 0);
    (void)snprintf(command, sizeof command, "%s/serial", f->dir);
    FILE *file = fopen(command, "r");
    char serial[CA_SERIAL_HEX + 2] = "";
    assert_non_null(fgets(serial, sizeof serial, file));
    (void)fclose(file);
    serial[strcspn(serial, "\n")] = '\0';
    assert_int_equal(ca_revoke(f->ca, serial, 2, "me", f->now, NULL), TT_OK);
    /* Below it none: its path length is 0. */
    (void)snprintf(path, sizeof path, "%s/third", f->dir);
    check_error(ca_make(&make, &signer, below, &err), TT_ERR_USAGE, &err, "name of the one above",
                "its name");
    make.subject = "/CN=Third CA";
    err = (struct tt_error){0};
    struct soft_key third = key_make("P-256");
    struct tt_pki_signer third_signer = key_signs(&third);
    check_error(ca_make(&make, &third_signer, below, &err), TT_ERR_UNSUPPORTED, &err, "--path-length 1",
                "path length");
    key_drop(&third);
    ca_close(below);
    key_drop(&key);
}

/* "through the year 2049" (RFC 5280 section 4.1.2.5). */
static void signer_give(struct fixture *f, struct soft_key *next)
{
    struct tt_pki_signer signer = key_signs(next);
    assert_int_equal(ca_set_signer(f->ca, &signer, NULL), TT_OK);
    assert_int_equal(ca_former_count(f->ca), 1);
    assert_int_equal(ca_set_former_signer(f->ca, 0, &f->signer, NULL), TT_OK);
}

/* As long as one of its certificates has not ended, and its responder's is none of those: it renews itself.
 */
static void a_former_key_is_needed_for_a_while(void **state)
{
    struct fixture *f = *state;
    struct soft_key next = key_make("P-256");
    struct tt_pki_signer signer = key_signs(&next);
    struct ca_change change = {.key = "none", .by = "me", .now = f->now};
    struct ca_former former;
    struct ca_fresh fresh;
    struct tt_error err = {0};
    check_error(ca_change_key(f->ca, &change, &f->signer, NULL, &err), TT_ERR_USAGE, &err, "that is the key",
                "its own key");
    err = (struct tt_error){0};
    if (ca_change_key(f->ca, &change, &signer, NULL, &err) != TT_OK)
        fail_msg("%s", err.text);
    ca_close(f->ca);
    assert_int_equal(test_ca_open(&f->ca, f->path, NULL), TT_OK);
    signer_give(f, &next);
    for (int64_t days = 0; days <= 360; days += 20) {
        assert_int_equal(ca_tend(f->ca, f->now + days * DAY, NULL), TT_OK);
        assert_int_equal(ca_former(f->ca, &former, 0, f->now + days * DAY, NULL), TT_OK);
        assert_int_equal(former.certificates, 1);
        struct buf der = {0};
        assert_int_equal(ca_crl_of(f->ca, former.key_id, &der, &fresh, f->now + days * DAY, NULL), TT_OK);
        const uint8_t *at = buf_front(&der);
        X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)buf_size(&der));
        assert_int_equal(X509_CRL_verify(crl, f->ca_key.pkey), 1);
        X509_CRL_free(crl);
        buf_free(&der);
    }
    assert_int_equal(ca_former(f->ca, &former, 0, f->now + 366 * DAY, NULL), TT_OK);
    assert_int_equal(former.certificates, 0);
    key_drop(&next);
}

static void dates_beyond_2050(void **state)
{
    struct fixture *f = *state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/long", f->dir);
    struct ca_make make = {
        .place = {.dir = path}, .subject = "/CN=Long CA", .key = "none", .days = 36500, .now = f->now};
    assert_int_equal(ca_make(&make, &f->signer, NULL, NULL), TT_OK);
    assert_int_equal(
        run(f->dir,
            "openssl x509 -in long/ca.pem -outform DER | openssl asn1parse -inform DER > asn1 && grep -q "
            "UTCTIME asn1 && grep -q 'GENERALIZEDTIME.*:21' asn1 && openssl verify -x509_strict -CAfile "
            "long/ca.pem long/ca.pem"),
        0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crl_is_made_when_it_must_be),
        TEST(holding_and_releasing),
        TEST(a_delta_is_what_changed),
        TEST(the_base_stays_while_it_is_valid),
        TEST(ocsp_tells_the_state),
        TEST(ocsp_echoes_a_nonce),
        TEST(ocsp_refuses_what_is_malformed),
        TEST(the_responder_renews_itself),
        TEST(a_ca_below_another),
        TEST(a_former_key_is_needed_for_a_while),
        TEST(dates_beyond_2050),
    };
    return cmocka_run_group_tests_name("ca/publish", tests, NULL, NULL);
}
