/* tests/pki/test_csr.c: requests: made here and read by libcrypto and the openssl program; made by libcrypto,
 * some of them hostile, and read here. */
#include "pki_test.h"

#include <openssl/err.h>
#include <string.h>

#include "pki/csr.h"
#include "pki/signed.h"
#include "wire/pem.h"

static const char *const sans[] = {"DNS:a.example", "IP:192.0.2.7", "IP:2001:db8::7", "URI:spiffe://e/x",
                                   "email:a@b.example"};

static X509_REQ *req_of(const char *pem)
{
    struct pem_block b;
    assert_int_equal(pem_find(&b, bytes_of(pem), "CERTIFICATE REQUEST"), TT_OK);
    const uint8_t *at = b.der;
    X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)b.len);
    assert_non_null(req);
    assert_ptr_equal(at, b.der + b.len);
    pem_block_free(&b);
    return req;
}

/* Make one, look at it with libcrypto's eyes, then with the program's. */
static void round_trip(const char *kind, uint16_t scheme, int nid)
{
    struct soft_key k = key_make(kind);
    if (scheme != 0)
        k.scheme = scheme;
    struct tt_pki_signer signer = key_signs(&k);
    struct tt_csr_params params = {
        .subject = "/O=Ex\xc3\xa4mple/CN=device-1", .sans = sans, .sans_len = TT_COUNT(sans)};
    char *pem = NULL;
    struct tt_error err = {0};
    if (tt_csr_create(&pem, &params, &signer, &err) != TT_OK)
        fail_msg("%s 0x%04x: %s", kind, scheme, err.text);
    X509_REQ *req = req_of(pem);
    assert_int_equal(X509_REQ_verify(req, k.pkey), 1);
    assert_int_equal(X509_REQ_get_signature_nid(req), nid);
    assert_int_equal(X509_REQ_get_version(req), 0);
    assert_int_equal(EVP_PKEY_eq(X509_REQ_get0_pubkey(req), k.pkey), 1);
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    assert_int_equal(sk_X509_EXTENSION_num(exts), 1);
    GENERAL_NAMES *names = X509V3_EXT_d2i(sk_X509_EXTENSION_value(exts, 0));
    assert_int_equal(sk_GENERAL_NAME_num(names), TT_COUNT(sans));
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    X509_REQ_free(req);
    char *dir = dir_make();
    dir_put(dir, "csr", pem, strlen(pem));
    assert_int_equal(run(dir, "openssl req -in csr -verify -noout -text -nameopt RFC2253 > text"
                              " && grep -q 'DNS:a.example, IP Address:192.0.2.7' text"),
                     0);
    dir_drop(dir);
    tt_free(pem);
    key_drop(&k);
}

static void each_key_makes_a_request(void **state)
{
    (void)state;
    round_trip("P-256", 0, NID_ecdsa_with_SHA256);
    round_trip("P-384", 0, NID_ecdsa_with_SHA384);
    round_trip("P-521", 0, NID_ecdsa_with_SHA512);
    round_trip("ED25519", 0, NID_ED25519);
    round_trip("ED448", 0, NID_ED448);
}

static void rsa_makes_a_request_under_each_scheme(void **state)
{
    (void)state;
    round_trip("RSA:2048", TT_SCHEME_RSA_PKCS1_SHA256, NID_sha256WithRSAEncryption);
    round_trip("RSA:2048", TT_SCHEME_RSA_PKCS1_SHA384, NID_sha384WithRSAEncryption);
    round_trip("RSA:2048", TT_SCHEME_RSA_PKCS1_SHA512, NID_sha512WithRSAEncryption);
    round_trip("RSA:2048", TT_SCHEME_RSA_PSS_RSAE_SHA256, NID_rsassaPss);
    round_trip("RSA:2048", TT_SCHEME_RSA_PSS_RSAE_SHA384, NID_rsassaPss);
    round_trip("RSA:2048", TT_SCHEME_RSA_PSS_RSAE_SHA512, NID_rsassaPss);
}

static tt_rc create(struct soft_key *k, const char *subject, const char *san, struct tt_error *err)
{
    struct tt_pki_signer signer = key_signs(k);
    struct tt_csr_params params = {.subject = subject, .sans = &san, .sans_len = san != NULL};
    char *pem = NULL;
    tt_rc rc = tt_csr_create(&pem, &params, &signer, err);
    if (rc != TT_OK)
        assert_null(pem);
    tt_free(pem);
    return rc;
}

static void creation_fails_clearly(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct tt_error err = {0};
    assert_int_equal(create(&k, "/CN=a", NULL, NULL), TT_OK);
    check_error(create(&k, "CN=a", NULL, &err), TT_ERR_USAGE, &err, "does not begin", "subject");
    err = (struct tt_error){0};
    check_error(create(&k, "/CN=a", "a", &err), TT_ERR_USAGE, &err, "what kind", "san");
    err = (struct tt_error){0};
    k.fails = true;
    check_error(create(&k, "/CN=a", NULL, &err), TT_ERR_TPM, &err, "the test's key is gone", "signer");
    err = (struct tt_error){0};
    k.fails = false;
    k.breaks = true;
    check_error(create(&k, "/CN=a", NULL, &err), TT_ERR_INTERNAL, &err, "does not verify", "signature");
    err = (struct tt_error){0};
    k.scheme = 0x0708; /* sm2sig_sm3 */
    check_error(create(&k, "/CN=a", NULL, &err), TT_ERR_USAGE, &err, "0x0708", "scheme");
    err = (struct tt_error){0};
    k.spki_len--;
    check_error(create(&k, "/CN=a", NULL, &err), TT_ERR_UNSUPPORTED, &err, "cannot be read", "spki");
    key_drop(&k);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- reading ---- */

static tt_rc csr_try(struct tt_bytes text, struct tt_error *err)
{
    struct csr csr = {0};
    tt_rc rc = csr_read(&csr, text, err);
    assert_int_equal(ERR_peek_error(), 0);
    csr_free(&csr);
    return rc;
}

static void what_requests_may_ask_for(void **state)
{
    (void)state;
    static const struct {
        struct ext exts[3];
        size_t n;
    } table[] = {
        {{{0}}, 0},
        {{{"subjectAltName", "DNS:a.example,IP:192.0.2.1"}}, 1},
        {{{"subjectAltName", "critical,DNS:a.example"}, {"keyUsage", "critical,digitalSignature"}}, 2},
        {{{"basicConstraints", "critical,CA:FALSE"}, {"extendedKeyUsage", "critical,serverAuth"}}, 2},
        {{{"1.2.3.4", "DER:0500"}}, 1},
        {{{"tlsfeature", "status_request"}}, 1},
    };
    struct soft_key k = key_make("P-256");
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct buf der = {0};
        struct tt_error err = {0};
        csr_make(&der, &k, "a", table[i].exts, table[i].n);
        if (csr_try(buf_bytes(&der), &err) != TT_OK)
            fail_msg("%zu: %s", i, err.text);
        buf_free(&der);
    }
    key_drop(&k);
}

static void what_requests_may_not_ask_for(void **state)
{
    (void)state;
    static const struct {
        struct ext exts[2];
        size_t n;
        tt_rc rc;
        const char *words;
    } table[] = {
        {{{"basicConstraints", "CA:TRUE"}}, 1, TT_ERR_UNSUPPORTED, "become a CA (basicConstraints"},
        {{{"basicConstraints", "critical,CA:TRUE,pathlen:0"}}, 1, TT_ERR_UNSUPPORTED, "become a CA"},
        {{{"keyUsage", "digitalSignature,keyCertSign"}}, 1, TT_ERR_UNSUPPORTED, "become a CA (keyUsage"},
        {{{"keyUsage", "cRLSign"}}, 1, TT_ERR_UNSUPPORTED, "become a CA (keyUsage"},
        {{{"nameConstraints", "permitted;DNS:a"}}, 1, TT_ERR_UNSUPPORTED, "become a CA (nameConstraints"},
        {{{"policyConstraints", "requireExplicitPolicy:1"}},
         1,
         TT_ERR_UNSUPPORTED,
         "become a CA (policyConstr"},
        {{{"inhibitAnyPolicy", "1"}}, 1, TT_ERR_UNSUPPORTED, "become a CA (inhibitAnyPolicy"},
        {{{"1.2.3.4", "critical,DER:0500"}}, 1, TT_ERR_UNSUPPORTED, "1.2.3.4"},
        {{{"tlsfeature", "critical,status_request"}}, 1, TT_ERR_UNSUPPORTED, "critical"},
        {{{"keyUsage", "digitalSignature"}, {"keyUsage", "digitalSignature"}}, 2, TT_ERR_DECODE, "twice"},
        {{{"1.2.3.4", "DER:0500"}, {"1.2.3.4", "DER:0500"}}, 2, TT_ERR_DECODE, "twice"},
        {{{"2.5.29.17", "DER:3003820161ff"}}, 1, TT_ERR_DECODE, "subjectAltName is damaged"},
        {{{"2.5.29.19", "DER:0500"}}, 1, TT_ERR_DECODE, "basicConstraints is damaged"},
        {{{"2.5.29.15", "DER:0500"}}, 1, TT_ERR_DECODE, "keyUsage is damaged"},
        {{{"2.5.29.17", "DER:3000"}}, 1, TT_ERR_UNSUPPORTED, "0 alternative names"},
        {{{"2.5.29.17", "DER:3009820761002e62ffaa2e"}}, 1, TT_ERR_UNSUPPORTED, "'a\\00.b\\FF\\AA.'"},
        {{{"2.5.29.17", "DER:30058703010203"}}, 1, TT_ERR_UNSUPPORTED, "wrong length"},
        {{{"subjectAltName", "otherName:1.2.3;UTF8:x"}}, 1, TT_ERR_UNSUPPORTED, "kind that is not certified"},
        {{{"subjectAltName", "RID:1.2.3"}}, 1, TT_ERR_UNSUPPORTED, "kind that is not certified"},
        {{{"subjectAltName", "DNS:*"}}, 1, TT_ERR_UNSUPPORTED, "not a DNS name"},
        {{{"subjectAltName", "URI:/x"}}, 1, TT_ERR_UNSUPPORTED, "not an absolute URI"},
    };
    struct soft_key k = key_make("P-256");
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct buf der = {0};
        struct tt_error err = {0};
        csr_make(&der, &k, "a", table[i].exts, table[i].n);
        check_error(csr_try(buf_bytes(&der), &err), table[i].rc, &err, table[i].words,
                    table[i].exts[0].value);
        buf_free(&der);
    }
    key_drop(&k);
}

static void odd_subjects_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *cn, *words;
    } table[] = {{NULL, "neither a subject"},
                 {"a\x1b[2Jb", "control characters"},
                 {"a\xe2\x80\xae", "control characters"}};
    struct soft_key k = key_make("P-256");
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct buf der = {0};
        struct tt_error err = {0};
        csr_make(&der, &k, table[i].cn, NULL, 0);
        check_error(csr_try(buf_bytes(&der), &err), TT_ERR_UNSUPPORTED, &err, table[i].words, "subject");
        buf_free(&der);
    }
    key_drop(&k);
}

/* Two attributes with extensions: programs that read the first and those that read the last would differ. */
static void extensions_given_twice_are_refused(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = name_of_cn("a");
    assert_int_equal(X509_REQ_set_subject_name(req, name), 1);
    X509_NAME_free(name);
    assert_int_equal(X509_REQ_set_pubkey(req, k.pkey), 1);
    STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
    assert_true(sk_X509_EXTENSION_push(exts, X509V3_EXT_nconf(NULL, NULL, "keyUsage", "digitalSignature")) >
                0);
    assert_int_equal(X509_REQ_add_extensions_nid(req, exts, NID_ext_req), 1);
    assert_int_equal(X509_REQ_add_extensions_nid(req, exts, NID_ms_ext_req), 1);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    struct buf der = {0};
    struct tt_error err = {0};
    csr_finish(&der, &k, req);
    check_error(csr_try(buf_bytes(&der), &err), TT_ERR_DECODE, &err, "given twice", "two attributes");
    buf_free(&der);
    key_drop(&k);
}

static void weak_and_odd_keys_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *words;
    } table[] = {{"RSA:1024", "RSA with 1024 bits, which is too weak"},
                 {"secp256k1", "on a curve"},
                 {"P-224", "on a curve"}};
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct soft_key k = key_make(table[i].kind);
        struct buf der = {0};
        struct tt_error err = {0};
        csr_make(&der, &k, "a", NULL, 0);
        check_error(csr_try(buf_bytes(&der), &err), TT_ERR_UNSUPPORTED, &err, table[i].words, table[i].kind);
        err = (struct tt_error){0};
        check_error(create(&k, "/CN=a", NULL, &err), TT_ERR_UNSUPPORTED, &err, table[i].words, table[i].kind);
        buf_free(&der);
        key_drop(&k);
    }
}

/* SHA-1, and another key than the one the request is for. */
static void wrong_signatures_are_refused(void **state)
{
    (void)state;
    struct soft_key rsa = key_make("RSA:2048");
    X509_REQ *req = X509_REQ_new();
    uint8_t *der = NULL;
    struct tt_error err = {0};
    assert_int_equal(X509_REQ_set_pubkey(req, rsa.pkey), 1);
    assert_true(X509_REQ_sign(req, rsa.pkey, EVP_sha1()) > 0);
    int len = i2d_X509_REQ(req, &der);
    check_error(csr_try((struct tt_bytes){der, (size_t)len}, &err), TT_ERR_UNSUPPORTED, &err, "sha1WithRSA",
                "SHA-1");
    OPENSSL_free(der);
    X509_REQ_free(req);
    struct soft_key other = key_make("RSA:2048");
    struct buf b = {0};
    req = X509_REQ_new();
    assert_int_equal(X509_REQ_set_pubkey(req, rsa.pkey), 1);
    csr_finish(&b, &other, req);
    err = (struct tt_error){0};
    check_error(csr_try(buf_bytes(&b), &err), TT_ERR_VERIFY, &err, "signature is wrong", "another key");
    buf_free(&b);
    key_drop(&rsa);
    key_drop(&other);
}

/* Each byte wrong once: never accepted, never a crash. */
static void each_flipped_byte_is_refused(void **state)
{
    (void)state;
    static const struct ext ext = {"subjectAltName", "DNS:a.example"};
    struct soft_key k = key_make("P-256");
    struct buf der = {0};
    csr_make(&der, &k, "a", &ext, 1);
    assert_int_equal(csr_try(buf_bytes(&der), NULL), TT_OK);
    for (size_t i = 0; i < buf_size(&der); i++) {
        buf_front(&der)[i] ^= 0x21;
        if (csr_try(buf_bytes(&der), NULL) == TT_OK)
            fail_msg("byte %zu changed and accepted", i);
        buf_front(&der)[i] ^= 0x21;
    }
    buf_free(&der);
    key_drop(&k);
}

/* A copy of exactly n bytes, so that the address sanitizer sees one byte too many. */
static tt_rc csr_try_cut(struct tt_bytes whole, size_t n, struct tt_error *err)
{
    uint8_t *copy = mem_alloc(n);
    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, whole.data, n);
    tt_rc rc = csr_try((struct tt_bytes){copy, n}, err);
    mem_free(copy);
    return rc;
}

static void each_truncation_is_refused(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf der = {0}, pem = {0};
    csr_make(&der, &k, "a", NULL, 0);
    assert_int_equal(pem_write(&pem, "CERTIFICATE REQUEST", buf_bytes(&der)), TT_OK);
    for (size_t n = 0; n < buf_size(&der); n++)
        assert_int_equal(csr_try_cut(buf_bytes(&der), n, NULL), TT_ERR_DECODE);
    for (size_t n = 0; n + 1 < buf_size(&pem); n++) /* the last line's end may be missing */
        assert_int_equal(csr_try_cut(buf_bytes(&pem), n, NULL), TT_ERR_DECODE);
    assert_int_equal(csr_try_cut(buf_bytes(&pem), buf_size(&pem) - 1, NULL), TT_OK);
    struct tt_error err = {0};
    check_error(csr_try_cut(buf_bytes(&pem), 200, &err), TT_ERR_DECODE, &err, "cut off", "half a PEM");
    assert_int_equal(buf_append(&der, "", 1), TT_OK);
    err = (struct tt_error){0};
    check_error(csr_try(buf_bytes(&der), &err), TT_ERR_DECODE, &err, "no PKCS#10", "a byte too many");
    buf_free(&der);
    buf_free(&pem);
    key_drop(&k);
}

static void other_files_are_named(void **state)
{
    (void)state;
    struct tt_error err = {0};
    check_error(csr_try(bytes_of(""), &err), TT_ERR_DECODE, &err, "no certificate request", "empty");
    err = (struct tt_error){0};
    check_error(csr_try(bytes_of("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), &err),
                TT_ERR_DECODE, &err, "but a certificate", "certificate");
    err = (struct tt_error){0};
    check_error(
        csr_try(
            bytes_of("-----BEGIN NEW CERTIFICATE REQUEST-----\nMAA=\n-----END NEW CERTIFICATE REQUEST-----"),
            &err),
        TT_ERR_DECODE, &err, "no PKCS#10", "an empty sequence");
    uint8_t *big = mem_alloc(70000);
    err = (struct tt_error){0};
    check_error(csr_try((struct tt_bytes){big, 70000}, &err), TT_ERR_DECODE, &err, "larger than",
                "70000 zeros");
    mem_free(big);
}

/* Attributes of the caller's stand in the request as they are, in the order of a SET OF, beside the names. */
static void more_attributes(void **state)
{
    (void)state;
    static const uint8_t password[] = {0x30, 0x12, 6, 9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                       1,    9,    7, 0x31, 5,    0x13, 3,    'a',  'b',  'c'};
    static const uint8_t unknown[] = {0x30, 8, 6, 2, 0x2a, 3, 0x31, 2, 5, 0};
    struct soft_key k = key_make("P-256");
    struct tt_pki_signer signer = key_signs(&k);
    const struct tt_bytes attributes[] = {{password, sizeof password}, {unknown, sizeof unknown}};
    const char *const name = "DNS:a.example";
    struct tt_csr_params params = {
        .subject = "/CN=a", .sans = &name, .sans_len = 1, .attributes = attributes, .attributes_len = 2};
    char *pem = NULL;
    assert_int_equal(tt_csr_create(&pem, &params, &signer, NULL), TT_OK);
    X509_REQ *req = req_of(pem);
    assert_int_equal(X509_REQ_get_attr_count(req), 3);
    struct tt_bytes all[3];
    for (int i = 0; i < 3; i++) {
        uint8_t *der = NULL;
        all[i].len = (size_t)i2d_X509_ATTRIBUTE(X509_REQ_get_attr(req, i), &der);
        all[i].data = der;
        assert_true(i == 0 || der_order(all[i - 1], all[i]) < 0);
    }
    assert_true(all[0].len == sizeof unknown && memcmp(all[0].data, unknown, sizeof unknown) == 0);
    assert_true(all[1].len == sizeof password && memcmp(all[1].data, password, sizeof password) == 0);
    for (int i = 0; i < 3; i++)
        OPENSSL_free((void *)(uintptr_t)all[i].data);
    X509_REQ_free(req);
    struct csr csr;
    assert_int_equal(csr_read(&csr, bytes_of(pem), NULL), TT_OK);
    assert_int_equal(sk_GENERAL_NAME_num(csr.sans), 1);
    csr_free(&csr);
    tt_free(pem);
    key_drop(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_makes_a_request),
        cmocka_unit_test(rsa_makes_a_request_under_each_scheme),
        cmocka_unit_test(more_attributes),
        cmocka_unit_test(creation_fails_clearly),
        cmocka_unit_test(what_requests_may_ask_for),
        cmocka_unit_test(what_requests_may_not_ask_for),
        cmocka_unit_test(odd_subjects_are_refused),
        cmocka_unit_test(extensions_given_twice_are_refused),
        cmocka_unit_test(weak_and_odd_keys_are_refused),
        cmocka_unit_test(wrong_signatures_are_refused),
        cmocka_unit_test(each_flipped_byte_is_refused),
        cmocka_unit_test(each_truncation_is_refused),
        cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests_name("pki/csr", tests, NULL, NULL);
}
