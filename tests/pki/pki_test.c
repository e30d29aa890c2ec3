/* tests/pki/pki_test.c: see pki_test.h. */
#include "pki_test.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint16_t default_scheme(const char *kind)
{
    static const struct {
        const char *kind;
        uint16_t scheme;
    } table[] = {
        {"P-384", TT_SCHEME_ECDSA_SECP384R1_SHA384},
        {"P-521", TT_SCHEME_ECDSA_SECP521R1_SHA512},
        {"ED25519", TT_SCHEME_ED25519},
        {"ED448", TT_SCHEME_ED448},
        {"ML-DSA-44", TT_SCHEME_MLDSA44},
        {"ML-DSA-65", TT_SCHEME_MLDSA65},
        {"ML-DSA-87", TT_SCHEME_MLDSA87},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++)
        if (strcmp(kind, table[i].kind) == 0)
            return table[i].scheme;
    return strncmp(kind, "RSA", 3) == 0 ? TT_SCHEME_RSA_PKCS1_SHA256 : TT_SCHEME_ECDSA_SECP256R1_SHA256;
}

static EVP_PKEY *generate(const char *kind)
{
    if (strncmp(kind, "RSA:", 4) == 0)
        return EVP_RSA_gen((unsigned)strtoul(kind + 4, NULL, 10));
    if (strncmp(kind, "ED", 2) == 0 || strncmp(kind, "ML", 2) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, kind);
    return EVP_EC_gen(kind);
}

bool key_kind_known(const char *kind)
{
    EVP_SIGNATURE *s = EVP_SIGNATURE_fetch(NULL, kind, NULL);
    EVP_SIGNATURE_free(s);
    ERR_clear_error();
    return s != NULL;
}

struct soft_key key_make(const char *kind)
{
    struct soft_key k = {.pkey = generate(kind), .scheme = default_scheme(kind)};
    assert_non_null(k.pkey);
    int n = i2d_PUBKEY(k.pkey, &k.spki);
    assert_true(n > 0);
    k.spki_len = (size_t)n;
    return k;
}

void key_drop(struct soft_key *k)
{
    EVP_PKEY_free(k->pkey);
    OPENSSL_free(k->spki);
    *k = (struct soft_key){0};
}

static const EVP_MD *scheme_md(uint16_t scheme)
{
    switch (scheme) {
    case TT_SCHEME_ED25519:
    case TT_SCHEME_ED448:
    case TT_SCHEME_MLDSA44:
    case TT_SCHEME_MLDSA65:
    case TT_SCHEME_MLDSA87:
        return NULL;
    case TT_SCHEME_ECDSA_SECP384R1_SHA384:
    case TT_SCHEME_RSA_PKCS1_SHA384:
    case TT_SCHEME_RSA_PSS_RSAE_SHA384:
        return EVP_sha384();
    case TT_SCHEME_ECDSA_SECP521R1_SHA512:
    case TT_SCHEME_RSA_PKCS1_SHA512:
    case TT_SCHEME_RSA_PSS_RSAE_SHA512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

static tt_rc soft_sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                       size_t *ret_len, struct tt_error *err)
{
    struct soft_key *k = arg;
    if (k->fails)
        return error_set(err, TT_ERR_TPM, "the test's key is gone");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = cap;
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, &pctx, scheme_md(scheme), NULL, k->pkey) == 1;
    if (ok && scheme >= TT_SCHEME_RSA_PSS_RSAE_SHA256 && scheme <= TT_SCHEME_RSA_PSS_RSAE_SHA512)
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestSign(ctx, ret_sig, &len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return error_set(err, TT_ERR_INTERNAL, "libcrypto did not sign");
    if (k->breaks)
        ret_sig[len - 1] ^= 1;
    *ret_len = len;
    return TT_OK;
}

struct tt_pki_signer key_signs(struct soft_key *k)
{
    return (struct tt_pki_signer){
        .sign = soft_sign, .arg = k, .spki = {k->spki, k->spki_len}, .scheme = k->scheme};
}

static X509_EXTENSION *ext_make(const struct ext *e)
{
    X509_EXTENSION *x = X509V3_EXT_nconf(NULL, NULL, e->name, e->value);
    if (x == NULL)
        fail_msg("libcrypto does not make %s=%s", e->name, e->value);
    return x;
}

void csr_finish(struct buf *ret, const struct soft_key *k, X509_REQ *req)
{
    uint8_t *der = NULL;
    const EVP_MD *md = scheme_md(k->scheme);
    assert_true(X509_REQ_sign(req, k->pkey, md) > 0);
    int len = i2d_X509_REQ(req, &der);
    assert_true(len > 0);
    assert_int_equal(buf_append(ret, der, (size_t)len), TT_OK);
    OPENSSL_free(der);
    X509_REQ_free(req);
}

X509_NAME *name_of_cn(const char *cn)
{
    X509_NAME *name = X509_NAME_new();
    assert_non_null(name);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0),
                     1);
    return name;
}

void csr_make(struct buf *ret, const struct soft_key *k, const char *cn, const struct ext *exts, size_t n)
{
    X509_REQ *req = X509_REQ_new();
    assert_non_null(req);
    if (cn != NULL) {
        X509_NAME *name = name_of_cn(cn);
        assert_int_equal(X509_REQ_set_subject_name(req, name), 1);
        X509_NAME_free(name);
    }
    assert_int_equal(X509_REQ_set_pubkey(req, k->pkey), 1);
    STACK_OF(X509_EXTENSION) *stack = sk_X509_EXTENSION_new_null();
    for (size_t i = 0; i < n; i++)
        assert_true(sk_X509_EXTENSION_push(stack, ext_make(&exts[i])) > 0);
    if (n > 0)
        assert_int_equal(X509_REQ_add_extensions(req, stack), 1);
    sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
    csr_finish(ret, k, req);
}

char *dir_make(void)
{
    char template[] = "/tmp/tpmtls-pki.XXXXXX";
    assert_non_null(mkdtemp(template));
    char *dir = strdup(template);
    assert_non_null(dir);
    return dir;
}

int run(const char *dir, const char *command)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = chdir(dir) == 0 ? open("out", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        if (fd >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2)
            (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void dir_drop(char *dir)
{
    assert_memory_equal(dir, "/tmp/tpmtls-pki.", 16);
    assert_int_equal(run(dir, "rm -rf -- \"$PWD\""), 0);
    free(dir);
}

void dir_put(const char *dir, const char *name, const void *data, size_t n)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

struct tt_bytes bytes_of(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, strlen(text)};
}

X509 *cert_of(struct tt_bytes der)
{
    const uint8_t *at = der.data;
    X509 *x = d2i_X509(NULL, &at, (long)der.len);
    assert_non_null(x);
    assert_ptr_equal(at, der.data + der.len);
    return x;
}

void check_error(tt_rc rc, tt_rc wanted, const struct tt_error *err, const char *words, const char *what)
{
    if (rc != wanted)
        fail_msg("%s: %s instead of %s (%s)", what, tt_rc_name(rc), tt_rc_name(wanted), err->text);
    if (strstr(err->text, words) == NULL && strstr(err->hint, words) == NULL)
        fail_msg("%s: '%s' / '%s' does not say '%s'", what, err->text, err->hint, words);
}
