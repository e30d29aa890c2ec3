/* tests/limbo/limbo.c: puts the chains of x509-limbo before our verifier, or before libcrypto's own. Tests
 * only;
 * `./dev limbo FILE` runs it (docs/limbo.md).
 *
 *     limbo_judge [--libcrypto] FILE      a line for each case: id, SUCCESS, FAILURE or SKIPPED, and why, by
 * tabs
 *
 * Our verifier is asked as the engine asks it (trust_verify). An e-mail address it has no word for: such a
 * case is skipped. */
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/trust.h"

#define MAX_CHAIN 64

static void die(const char *what)
{
    fprintf(stderr, "limbo: %s\n", what);
    exit(2);
}

/* struct test_case: views into the JSON. */
struct test_case {
    const char *id, *name, *name_kind; /* name: NULL where no name is checked */
    const json_t *anchors, *between, *crls;
    const char *leaf;
    bool client;
    int64_t now;
    const json_t *depth; /* an integer, or null */
};

/* "2024-01-01T00:00:00+00:00", always UTC; null: now. */
static int64_t time_of(const json_t *text)
{
    struct tm tm = {0};
    if (!json_is_string(text))
        return (int64_t)time(NULL);
    if (strptime(json_string_value(text), "%Y-%m-%dT%H:%M:%S", &tm) == NULL)
        die("a time cannot be read");
    return (int64_t)timegm(&tm);
}

static const char *text_in(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key)); /* NULL for null */
}

/* Returns why the case is not for us, or NULL. */
static const char *case_read(struct test_case *ret, const json_t *o)
{
    const json_t *name = json_object_get(o, "expected_peer_name");
    *ret = (struct test_case){.id = text_in(o, "id"),
                              .name = text_in(name, "value"),
                              .name_kind = text_in(name, "kind"),
                              .anchors = json_object_get(o, "trusted_certs"),
                              .between = json_object_get(o, "untrusted_intermediates"),
                              .crls = json_object_get(o, "crls"),
                              .leaf = text_in(o, "peer_certificate"),
                              .client = strcmp(text_in(o, "validation_kind"), "CLIENT") == 0,
                              .now = time_of(json_object_get(o, "validation_time")),
                              .depth = json_object_get(o, "max_chain_depth")};
    for (size_t i = 0; i < json_array_size(json_object_get(o, "key_usage")); i++)
        if (strcmp(json_string_value(json_array_get(json_object_get(o, "key_usage"), i)),
                   "digitalSignature") != 0)
            return "it wants a key usage that TLS 1.3 does not";
    if (ret->name_kind != NULL && strcmp(ret->name_kind, "RFC822") == 0)
        return "it checks an e-mail address";
    return NULL;
}

static X509 *read_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return x;
}

/* ---- ours ---- */

/* As the bytes on the wire: what libcrypto cannot read is handed on all the same. */
static bool der_of(struct tt_bytes *ret, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    bool read = PEM_read_bio(bio, &name, &header, &der, &len) == 1;
    if (read)
        *ret = (struct tt_bytes){der, (size_t)len};
    OPENSSL_free(name);
    OPENSSL_free(header);
    BIO_free(bio);
    ERR_clear_error();
    return read;
}

/* A CRL's CA has to be in the set. That trusts nobody: an intermediate CA is no anchor. */
static tt_rc set_of(struct tt_trust **ret, const struct test_case *t, struct tt_error *err)
{
    size_t i;
    const json_t *pem;
    TT_TRY(tt_trust_new(ret, err));
    if (json_is_integer(t->depth) && json_integer_value(t->depth) < 10)
        TT_TRY(tt_trust_set_max_intermediates(*ret, (unsigned)json_integer_value(t->depth), err));
    json_array_foreach(t->anchors, i, pem)
    {
        const char *text = json_string_value(pem);
        TT_TRY(tt_trust_add_pem(*ret, (struct tt_bytes){(const uint8_t *)text, strlen(text)}, err));
    }
    json_array_foreach(t->between, i, pem)
    {
        const char *text = json_string_value(pem);
        if (json_array_size(t->crls) > 0)
            TT_TRY(tt_trust_add_pem(*ret, (struct tt_bytes){(const uint8_t *)text, strlen(text)}, err));
    }
    json_array_foreach(t->crls, i, pem)
    {
        const char *text = json_string_value(pem);
        TT_TRY(tt_trust_add_crl(*ret, (struct tt_bytes){(const uint8_t *)text, strlen(text)}, err));
    }
    return TT_OK;
}

static tt_rc judge_ours(const struct crypto_lib *lib, const struct test_case *t, struct tt_error *err)
{
    struct tt_bytes chain[MAX_CHAIN];
    struct tt_trust *trust = NULL;
    struct trust_verdict v = {0};
    size_t n = 0;
    bool read = der_of(&chain[n], t->leaf);
    n += read;
    for (size_t i = 0; read && n < MAX_CHAIN && i < json_array_size(t->between); i++)
        n += der_of(&chain[n], json_string_value(json_array_get(t->between, i)));
    const struct trust_request req = {
        .chain = chain, .chain_len = n, .host = t->name, .peer_is_server = !t->client, .now = t->now};
    tt_rc rc = read ? set_of(&trust, t, err) : error_set(err, TT_ERR_DECODE, "there is no certificate");
    if (rc == TT_OK)
        rc = trust_verify(&v, lib, trust, &req, err);
    if (rc == TT_OK)
        pubkey_free(v.leaf_key);
    tt_trust_free(trust);
    while (n > 0)
        OPENSSL_free((void *)(uintptr_t)chain[--n].data);
    return rc;
}

/* ---- libcrypto's, as x509-limbo's own driver sets it: strict, 112 bits ---- */

static bool set_name(X509_VERIFY_PARAM *p, const struct test_case *t)
{
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (t->name == NULL)
        return true;
    return strcmp(t->name_kind, "IP") == 0 ? X509_VERIFY_PARAM_set1_ip_asc(p, t->name) == 1
                                           : X509_VERIFY_PARAM_set1_host(p, t->name, 0) == 1;
}

static void add_crls(X509_STORE *store, const struct test_case *t)
{
    for (size_t i = 0; i < json_array_size(t->crls); i++) {
        BIO *bio = BIO_new_mem_buf(json_string_value(json_array_get(t->crls, i)), -1);
        X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
        BIO_free(bio);
        if (crl == NULL || X509_STORE_add_crl(store, crl) != 1)
            die("libcrypto takes no CRL");
        X509_CRL_free(crl);
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
}

static tt_rc judge_libcrypto(const struct test_case *t, struct tt_error *err)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    X509 *leaf = read_pem(t->leaf), *x;
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN);
    for (size_t i = 0; i < json_array_size(t->anchors); i++) {
        x = read_pem(json_string_value(json_array_get(t->anchors, i)));
        if (x != NULL && X509_STORE_add_cert(store, x) != 1)
            die("libcrypto takes no anchor");
        X509_free(x);
    }
    for (size_t i = 0; i < json_array_size(t->between); i++)
        if ((x = read_pem(json_string_value(json_array_get(t->between, i)))) != NULL)
            sk_X509_push(between, x);
    add_crls(store, t);
    tt_rc rc = error_set(err, TT_ERR_DECODE, "the certificate cannot be read");
    if (leaf != NULL && X509_STORE_CTX_init(ctx, store, leaf, between) == 1) {
        X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_auth_level(p, 2);
        X509_STORE_CTX_set_time(ctx, 0, (time_t)t->now);
        if (json_is_integer(t->depth))
            X509_VERIFY_PARAM_set_depth(p, (int)json_integer_value(t->depth));
        if (t->client)
            X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
        bool good = set_name(p, t) && X509_verify_cert(ctx) == 1;
        error_clear(err);
        rc = good ? TT_OK
                  : error_set(err, TT_ERR_VERIFY, "%s",
                              X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    ERR_clear_error();
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf);
    sk_X509_pop_free(between, X509_free);
    return rc;
}

int main(int argc, char **argv)
{
    bool plain = argc == 3 && strcmp(argv[1], "--libcrypto") == 0;
    if (argc != 2 + plain)
        die("usage: limbo_judge [--libcrypto] FILE");
    json_error_t why;
    json_t *suite = json_load_file(argv[1 + plain], 0, &why);
    struct crypto_lib *lib = NULL;
    if (suite == NULL || !json_is_array(json_object_get(suite, "testcases")))
        die(suite == NULL ? why.text : "there are no testcases in the file");
    if (crypto_lib_new(&lib, NULL) != TT_OK)
        die("libcrypto does not start");
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(suite, "testcases"), i, one)
    {
        struct test_case t;
        struct tt_error err = {0};
        const char *skipped = case_read(&t, one);
        tt_rc rc = skipped != NULL ? TT_OK : plain ? judge_libcrypto(&t, &err) : judge_ours(lib, &t, &err);
        if (rc == TT_ERR_MEMORY)
            die("our own fault");
        printf("%s\t%s\t%s\n", t.id,
               skipped != NULL ? "SKIPPED"
               : rc == TT_OK   ? "SUCCESS"
                               : "FAILURE",
               skipped != NULL ? skipped : err.text);
    }
    crypto_lib_free(lib);
    json_decref(suite);
    return 0;
}
