/* crypto/trust.c: the set of trust: anchors, intermediate CAs, pins; changed until it is frozen. Layer:
 * crypto. It judges nobody (trust_verify.c) and reads no file. RFC 5280 section 6.1.1 (trust anchors). */
#include "crypto/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/trust_internal.h"

#define MAX_PINS 4096

tt_rc tt_trust_new(struct tt_trust **ret, struct tt_error *err)
{
    struct tt_trust *t = mem_alloc(sizeof *t);
    if (t == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&t->refs, 1);
    t->max_between = MAX_BETWEEN;
    t->pins.max = t->cert_pins.max = (size_t)MAX_PINS * PIN_SIZE;
    t->store = X509_STORE_new();
    t->cas = sk_X509_new_null();
    t->lists = sk_X509_CRL_new_null();
    if (t->store == NULL || t->cas == NULL || t->lists == NULL || chain_cache_new(&t->cache) != TT_OK ||
        cert_cache_new(&t->certs) != TT_OK) {
        tt_trust_free(t);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    X509_STORE_set_check_issued(t->store, path_may_issue);
    *ret = t;
    return TT_OK;
}

void trust_ref(struct tt_trust *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void trust_freeze(struct tt_trust *t)
{
    t->frozen = true;
}

void tt_trust_forget(const struct tt_trust *t)
{
    chain_cache_clear(t->cache);
}

void tt_trust_free(struct tt_trust *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    chain_cache_free(t->cache);
    cert_cache_free(t->certs);
    X509_STORE_free(t->store);
    sk_X509_pop_free(t->cas, X509_free);
    sk_X509_CRL_pop_free(t->lists, X509_CRL_free);
    buf_free(&t->pins);
    buf_free(&t->cert_pins);
    mem_free(t);
}

size_t tt_trust_count(const struct tt_trust *t)
{
    return t->anchors + trust_pins(t);
}

tt_rc trust_changing(struct tt_trust *t, struct tt_error *err)
{
    if (t->frozen)
        return error_set(err, TT_ERR_USAGE, "the set of trust anchors is in use and cannot change");
    chain_cache_clear(t->cache);
    return TT_OK;
}

/* Once each, as in the store. */
static bool list_ca(struct tt_trust *t, X509 *x)
{
    for (int i = 0; i < sk_X509_num(t->cas); i++)
        if (X509_cmp(sk_X509_value(t->cas, i), x) == 0)
            return true;
    if (X509_up_ref(x) != 1)
        return false;
    if (sk_X509_push(t->cas, x) > 0)
        return true;
    X509_free(x);
    return false;
}

/* Takes x. libcrypto takes note of a certificate's extensions once; without memory for it the certificate is
 * bad for ever after. So that does not come with the first handshake, and what is bad is read a second time.
 */
static bool add_anchor(struct tt_trust *t, X509 *x)
{
    if (X509_check_purpose(x, -1, 0) != 1) {
        X509 *again = X509_dup(x);
        X509_free(x);
        if (again == NULL)
            return false;
        x = again;
        (void)X509_check_purpose(x, -1, 0);
    }
    bool stored = list_ca(t, x) && X509_STORE_add_cert(t->store, x) == 1;
    t->anchors += stored;
    X509_free(x);
    return stored;
}

tt_rc tt_trust_add_pem(struct tt_trust *t, struct tt_bytes pem, struct tt_error *err)
{
    TT_TRY(trust_changing(t, err));
    BIO *bio = pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    if (bio == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    size_t before = t->anchors;
    bool stored = true;
    for (X509 *x; stored && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;)
        stored = add_anchor(t, x);
    /* The loop ends with "no start line" at the end of the text; anything else is a certificate it cannot
     * read. */
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (!stored)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (!at_end)
        return error_set(err, TT_ERR_DECODE, "CA certificate number %zu is damaged", t->anchors - before + 1);
    if (t->anchors == before)
        return error_set(err, TT_ERR_DECODE, "there is no CERTIFICATE in PEM form");
    return TT_OK;
}

tt_rc tt_trust_add_der(struct tt_trust *t, struct tt_bytes der, struct tt_error *err)
{
    TT_TRY(trust_changing(t, err));
    const uint8_t *at = der.data;
    X509 *x = der.len > 0 && der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    ERR_clear_error();
    if (x == NULL || at != der.data + der.len) {
        X509_free(x);
        return error_set(err, TT_ERR_DECODE, "this is not one certificate in DER form");
    }
    return add_anchor(t, x) ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static tt_rc add_pin(struct tt_trust *t, struct buf *to, const uint8_t sha256[PIN_SIZE], struct tt_error *err)
{
    TT_TRY(trust_changing(t, err));
    if (buf_size(to) == to->max)
        return error_set(err, TT_ERR_USAGE, "there are more than %d pins", MAX_PINS);
    return buf_append(to, sha256, PIN_SIZE) == TT_OK ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

tt_rc tt_trust_add_pin(struct tt_trust *t, const uint8_t sha256[PIN_SIZE], struct tt_error *err)
{
    return add_pin(t, &t->pins, sha256, err);
}

tt_rc tt_trust_add_certificate_pin(struct tt_trust *t, const uint8_t sha256[PIN_SIZE], struct tt_error *err)
{
    return add_pin(t, &t->cert_pins, sha256, err);
}

tt_rc tt_trust_insecure_accept_lax(struct tt_trust *t, struct tt_error *err)
{
    TT_TRY(trust_changing(t, err));
    t->lax = true;
    return TT_OK;
}

tt_rc tt_trust_set_max_intermediates(struct tt_trust *t, unsigned n, struct tt_error *err)
{
    TT_TRY(trust_changing(t, err));
    if (n > MAX_BETWEEN)
        return error_set(err, TT_ERR_USAGE, "there are never more than %d intermediate CAs", MAX_BETWEEN);
    t->max_between = n;
    return TT_OK;
}

tt_rc trust_each_subject(const struct tt_trust *t, tt_rc (*fn)(void *arg, struct tt_bytes name), void *arg)
{
    tt_rc rc = TT_OK;
    for (int i = 0; rc == TT_OK && i < sk_X509_num(t->cas); i++) {
        const unsigned char *der = NULL;
        size_t len = 0;
        if (X509_NAME_get0_der(X509_get_subject_name(sk_X509_value(t->cas, i)), &der, &len) == 1)
            rc = fn(arg, (struct tt_bytes){der, len});
    }
    return rc;
}

bool trust_has_crls(const struct tt_trust *t)
{
    return t->crls > 0;
}

static tt_rc digests_collect(struct buf *to, const struct tt_trust *t)
{
    tt_rc rc = TT_OK;
    for (int i = 0; rc == TT_OK && i < sk_X509_num(t->cas); i++) {
        uint8_t digest[EVP_MAX_MD_SIZE];
        rc = X509_digest(sk_X509_value(t->cas, i), EVP_sha256(), digest, NULL) == 1
                 ? buf_append(to, digest, PIN_SIZE)
                 : TT_ERR_INTERNAL;
    }
    return rc;
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, PIN_SIZE);
}

/* Sorted, the order they came in tells nothing; behind each kind a mark that is no digest. */
static tt_rc digests_end(struct buf *all, size_t from, uint8_t mark)
{
    uint8_t end[PIN_SIZE] = {mark};
    if (buf_size(all) > from)
        qsort(buf_front(all) + from, (buf_size(all) - from) / PIN_SIZE, PIN_SIZE, compare_digests);
    return buf_append(all, end, sizeof end);
}

static tt_rc digests_append(struct buf *all, const struct buf *pins, uint8_t mark)
{
    size_t from = buf_size(all);
    struct tt_bytes add = buf_bytes(pins);
    if (add.len > 0)
        TT_TRY(buf_append(all, add.data, add.len));
    return digests_end(all, from, mark);
}

tt_rc trust_digest(const struct tt_trust *t, const struct crypto_lib *lib, uint8_t ret[32])
{
    TT_AUTO(buf_free) struct buf all = {0};
    TT_TRY(digests_collect(&all, t));
    TT_TRY(digests_end(&all, 0, (uint8_t)(4 + t->max_between)));
    TT_TRY(digests_append(&all, &t->pins, 1));
    TT_TRY(digests_append(&all, &t->cert_pins, t->lax ? 3 : 2));
    return hash_digest(lib, HASH_SHA256, buf_bytes(&all), ret);
}
