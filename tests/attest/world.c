/* tests/attest/world.c: see world.h. */
#include "world.h"

#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/fields.h"
#include "wire/der.h"

const char ek_san[] =
    "critical,DER:3048a446304431163014060567810502010c0b69643a343934363538303031123010060567"
    "810502020c07534c423936373031163014060567810502030c0b69643a3030303730303535";

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "world: %s failed\n", what);
    abort();
}

/* ---- TPMT_PUBLIC ---- */

static void key_coordinate(struct writer *w, const EVP_PKEY *key, const char *name, size_t size)
{
    BIGNUM *n = NULL;
    uint8_t bytes[66];
    must(EVP_PKEY_get_bn_param(key, name, &n) == 1 && BN_bn2binpad(n, bytes, (int)size) == (int)size, name);
    BN_free(n);
    wr_vec16(w, (struct tt_bytes){bytes, size});
}

static void public_rsa(struct writer *w, const EVP_PKEY *key)
{
    BIGNUM *n = NULL;
    uint8_t bytes[512];
    int size = EVP_PKEY_get_size(key);
    must(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && BN_bn2binpad(n, bytes, size) == size,
         "modulus");
    BN_free(n);
    wr_u16(w, (uint16_t)(size * 8));
    wr_u32(w, 0);
    wr_vec16(w, (struct tt_bytes){bytes, (size_t)size});
}

static void public_put(struct buf *to, const EVP_PKEY *key, const struct public_of *p)
{
    static const uint8_t policy[32] = {1, 2, 3};
    bool rsa = EVP_PKEY_is_a(key, "RSA") == 1;
    size_t field = (size_t)(EVP_PKEY_get_bits(key) + 7) / 8;
    buf_free(to);
    struct writer w = writer_to(to);
    wr_u16(&w, rsa ? ALG_RSA : ALG_ECC);
    wr_u16(&w, p->name_alg);
    wr_u32(&w, p->attributes);
    wr_vec16(&w, (struct tt_bytes){policy, p->sym_bits > 0 ? sizeof policy : 0});
    wr_u16(&w, p->sym_bits > 0 ? ALG_AES : ALG_NULL);
    if (p->sym_bits > 0) {
        wr_u16(&w, p->sym_bits);
        wr_u16(&w, ALG_CFB);
    }
    wr_u16(&w, p->scheme);
    if (p->scheme != ALG_NULL)
        wr_u16(&w, p->scheme_hash);
    if (rsa) {
        public_rsa(&w, key);
    } else {
        wr_u16(&w, field == 32 ? 3 : field == 48 ? 4 : 5);
        wr_u16(&w, ALG_NULL);
        key_coordinate(&w, key, OSSL_PKEY_PARAM_EC_PUB_X, field);
        key_coordinate(&w, key, OSSL_PKEY_PARAM_EC_PUB_Y, field);
    }
    must(wr_status(&w) == TT_OK, "a public area");
}

static struct at_name name_of(struct world *w, const struct buf *area, struct buf *spki)
{
    struct at_public p;
    struct at_name name = {.len = 0};
    must(at_public_read(&p, buf_bytes(area)) == TT_OK, "reading a public area");
    if (at_name_of(&name, w->lib, &p) != TT_OK)
        name.len = 0; /* a hash that is not known */
    if (spki != NULL) {
        buf_free(spki);
        must(at_public_spki(spki, &p) == TT_OK, "a SubjectPublicKeyInfo");
    }
    return name;
}

/* ---- statements ---- */

static void header_put(struct writer *to, struct world *w, const struct statement_of *s, bool quote)
{
    static const uint8_t endorsement[] = {0x40, 0x00, 0x00, 0x0b}, owner[] = {0x40, 0x00, 0x00, 0x01};
    struct at_name ak = name_of(w, &w->ak_public, NULL), signer;
    struct tt_evidence e = {.use = s->other_use ? TT_ATTEST_TLS : TT_ATTEST_ENROL, .nonce = {w->nonce, 32}};
    uint8_t extra[32];
    must(at_qualified(&signer, w->lib, (struct tt_bytes){s->other_signer ? owner : endorsement, 4}, &ak) ==
                 TT_OK ||
             ak.len == 0,
         "a qualified name");
    must(evidence_extra(extra, w->lib, &e, quote) == TT_OK, "extraData");
    extra[0] ^= s->other_nonce ? 1 : 0;
    wr_u32(to, s->magic);
    wr_u16(to, s->type);
    wr_vec16(to, (struct tt_bytes){signer.data, ak.len == 0 ? 0 : signer.len});
    wr_vec16(to, (struct tt_bytes){extra, sizeof extra});
    wr_u64(to, s->clock);
    wr_u32(to, s->resets);
    wr_u32(to, s->restarts);
    wr_u8(to, s->safe);
    wr_u64(to, s->firmware);
}

static void certify_put(struct world *w)
{
    const struct statement_of *s = &w->certify_is;
    struct at_name name = name_of(w, &w->key_public, NULL);
    if (s->other_name)
        name.data[5] ^= 1;
    buf_free(&w->certify);
    struct writer to = writer_to(&w->certify);
    header_put(&to, w, s, false);
    wr_vec16(&to, (struct tt_bytes){name.data, name.len});
    wr_vec16(&to, (struct tt_bytes){name.data, name.len});
    must(wr_status(&to) == TT_OK, "a certification");
}

static void quote_put(struct world *w)
{
    const struct statement_of *s = &w->quote_is;
    uint8_t digest[32], bits[3] = {(uint8_t)s->pcrs, (uint8_t)(s->pcrs >> 8), (uint8_t)(s->pcrs >> 16)};
    must(hash_digest(w->lib, HASH_SHA256, buf_bytes(&w->values), digest) == TT_OK, "a digest");
    digest[3] ^= s->other_digest ? 1 : 0;
    buf_free(&w->quote);
    struct writer to = writer_to(&w->quote);
    header_put(&to, w, s, true);
    wr_u32(&to, 1);
    wr_u16(&to, ALG_SHA256);
    wr_vec8(&to, (struct tt_bytes){bits, sizeof bits});
    wr_vec16(&to, (struct tt_bytes){digest, sizeof digest});
    must(wr_status(&to) == TT_OK, "a quote");
}

/* TPMT_SIGNATURE by the attestation key, P-256 or RSA. */
static void sign(struct buf *ret, struct world *w, const struct buf *statement)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[512];
    size_t len = sizeof sig;
    must(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, w->ak) == 1 &&
             EVP_DigestSign(ctx, sig, &len, buf_front(statement), buf_size(statement)) == 1,
         "a signature");
    EVP_MD_CTX_free(ctx);
    buf_free(ret);
    struct writer to = writer_to(ret);
    bool rsa = EVP_PKEY_is_a(w->ak, "RSA") == 1;
    wr_u16(&to, rsa ? ALG_RSASSA : ALG_ECDSA);
    wr_u16(&to, ALG_SHA256);
    if (rsa) {
        wr_vec16(&to, (struct tt_bytes){sig, len});
    } else {
        struct reader outer = reader_of((struct tt_bytes){sig, len}), r = der_enter(&outer, DER_SEQUENCE);
        wr_vec16(&to, der_get_uint(&r));
        wr_vec16(&to, der_get_uint(&r));
    }
    must(wr_status(&to) == TT_OK, "a signature");
}

/* What TPM2_ActivateCredential would give back: the token says it, to whoever has its key. */
static void token_put(struct world *w)
{
    struct at_name ak = name_of(w, &w->ak_public, NULL);
    struct token t = {
        .lib = w->lib, .key = w->token_key, .ak = &ak, .ek = buf_bytes(&w->ek_spki), .now = TEST_NOW};
    memcpy(t.secret, w->secret, sizeof t.secret);
    buf_free(&w->token);
    must(token_seal(&w->token, &t) == TT_OK, "a token");
}

void world_build(struct world *w)
{
    public_put(&w->ek_public, w->ek->pkey, &w->ek_is);
    public_put(&w->ak_public, w->ak, &w->ak_is);
    public_put(&w->key_public, w->key, &w->key_is);
    (void)name_of(w, &w->ek_public, &w->ek_spki);
    (void)name_of(w, &w->key_public, &w->key_spki);
    certify_put(w);
    sign(&w->certify_signature, w, &w->certify);
    quote_put(w);
    sign(&w->quote_signature, w, &w->quote);
    token_put(w);
    w->e = (struct tt_evidence){.nonce = {w->nonce, sizeof w->nonce},
                                .certify = buf_bytes(&w->certify),
                                .certify_signature = buf_bytes(&w->certify_signature),
                                .key_public = buf_bytes(&w->key_public),
                                .ak_public = buf_bytes(&w->ak_public),
                                .ek_public = buf_bytes(&w->ek_public),
                                .token = buf_bytes(&w->token),
                                .secret = {w->secret, sizeof w->secret},
                                .certs = {w->ek->cert},
                                .certs_len = 1};
    if (w->with_quote) {
        w->e.quote = buf_bytes(&w->quote);
        w->e.quote_signature = buf_bytes(&w->quote_signature);
        w->e.pcr_values = buf_bytes(&w->values);
    }
    w->want.spki = buf_bytes(&w->key_spki);
}

/* ---- the whole ---- */

void world_certify(struct world *w, struct node_options o)
{
    struct node *before = w->ek;
    if (o.issuer == NULL)
        o.issuer = w->root;
    if (o.same_key == NULL)
        o.same_key = before;
    w->ek = node_new(&o);
    node_free(before);
}

void world_policy(struct world *w, struct tt_attest_policy_params params)
{
    struct tt_bytes root = w->root->cert;
    struct tt_cert_list roots = {&root, 1};
    struct tt_error err = {0};
    params.roots = &roots;
    tt_attest_policy_free(w->policy);
    w->policy = NULL;
    must(tt_attest_policy_new(&w->policy, &params, &err) == TT_OK, err.text);
}

#define EK_ATTRIBUTES                                                                                        \
    (ATTR_FIXED_TPM | ATTR_FIXED_PARENT | ATTR_SENSITIVE_DATA_ORIGIN | 1U << 7 | ATTR_RESTRICTED |           \
     ATTR_DECRYPT)
#define AK_ATTRIBUTES                                                                                        \
    (ATTR_FIXED_TPM | ATTR_FIXED_PARENT | ATTR_SENSITIVE_DATA_ORIGIN | 1U << 6 | ATTR_RESTRICTED | ATTR_SIGN)
#define KEY_ATTRIBUTES                                                                                       \
    (ATTR_FIXED_TPM | ATTR_FIXED_PARENT | ATTR_SENSITIVE_DATA_ORIGIN | 1U << 6 | 1U << 10 | ATTR_SIGN)

struct world *world_new(const char *ek_key)
{
    static const uint8_t values[64] = {7, 7, 7};
    struct world *w = calloc(1, sizeof *w);
    struct tt_error err = {0};
    bool p384 = strcmp(ek_key, "P-384") == 0;
    must(w != NULL && crypto_lib_new(&w->lib, &err) == TT_OK, "libcrypto");
    w->root = node_ca("Root of Vendors", NULL);
    w->ek = node_new(&(struct node_options){.cn = "",
                                            .key = ek_key,
                                            .issuer = w->root,
                                            .extensions = {{"basicConstraints", "critical,CA:FALSE"},
                                                           {"extendedKeyUsage", "2.23.133.8.1"},
                                                           {"subjectAltName", ek_san}}});
    w->ak = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    w->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    w->ek_is =
        (struct public_of){p384 ? ALG_SHA384 : ALG_SHA256, ALG_NULL, 0, p384 ? 256 : 128, EK_ATTRIBUTES};
    w->ak_is = (struct public_of){ALG_SHA256, ALG_ECDSA, ALG_SHA256, 0, AK_ATTRIBUTES};
    w->key_is = (struct public_of){ALG_SHA256, ALG_NULL, 0, 0, KEY_ATTRIBUTES};
    w->certify_is = (struct statement_of){.magic = ATTEST_MAGIC,
                                          .type = ATTEST_TYPE_CERTIFY,
                                          .clock = 5000,
                                          .resets = 3,
                                          .safe = 1,
                                          .firmware = 0x0007005500000000};
    w->quote_is = w->certify_is;
    w->quote_is.type = ATTEST_TYPE_QUOTE;
    w->quote_is.pcrs = 0x81;
    w->with_quote = true;
    memset(w->token_key, 0x42, sizeof w->token_key);
    memset(w->secret, 0x17, sizeof w->secret);
    must(buf_append(&w->values, values, sizeof values) == TT_OK, "memory");
    world_policy(w, (struct tt_attest_policy_params){.pcrs = "sha256:0,7"});
    must(tt_attest_nonce(w->nonce, w->policy, w->token_key, TEST_NOW, &err) == TT_OK, err.text);
    w->want = (struct tt_attest_want){.key = w->token_key, .now = TEST_NOW};
    world_build(w);
    return w;
}

void world_free(struct world *w)
{
    struct buf *const bufs[] = {
        &w->ek_public, &w->ak_public,       &w->key_public, &w->certify, &w->certify_signature,
        &w->quote,     &w->quote_signature, &w->values,     &w->token,   &w->key_spki,
        &w->ek_spki};
    for (size_t i = 0; i < TT_COUNT(bufs); i++)
        buf_free(bufs[i]);
    tt_attest_policy_free(w->policy);
    crypto_lib_free(w->lib);
    node_free(w->root);
    node_free(w->ek);
    EVP_PKEY_free(w->ak);
    EVP_PKEY_free(w->key);
    free(w);
}

enum tt_attest_reason world_judge(struct world *w, struct tt_attest_verdict *ret)
{
    struct tt_attest_verdict v = {.reason = TT_ATTEST_REASONS};
    struct tt_error err = {0};
    uint8_t *der = NULL;
    size_t len = 0;
    must(tt_evidence_write(&der, &len, &w->e, &err) == TT_OK, err.text);
    tt_rc rc = tt_attest_judge(&v, w->policy, (struct tt_bytes){der, len}, &w->want, &err);
    must(rc == TT_OK ? v.reason == TT_ATTEST_GOOD : rc == TT_ERR_VERIFY && v.reason != TT_ATTEST_GOOD,
         tt_rc_name(rc));
    must(rc == TT_OK || (v.text[0] != '\0' && strcmp(v.text, err.text) == 0), "a sentence");
    mem_free(der);
    if (ret != NULL)
        *ret = v;
    return v.reason;
}
