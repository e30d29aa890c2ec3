/* ca/ocsp_responder.c: the OCSP responder's own key, in DIR/ocsp.key, and the certificate the CA gives it:
 * short, for this purpose alone, renewed when half of it is over. Layer: ca. RFC 6960 section 4.2.2.2. */
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "ca/dir.h"
#include "ca/ocsp.h"
#include "pki/cert.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/text.h"
#include "signer/file_write.h"
#include "wire/pem.h"

#define PROFILE "ocsp"

void ocsp_responder_free(struct ocsp_responder *r)
{
    X509_free(r->cert);
    EVP_PKEY_free(r->key);
    *r = (struct ocsp_responder){0};
}

/* ---- files ---- */

/* The responder has one key, and a certificate by each key of the CA: "This certificate MUST be issued
 * directly by the CA that is identified in the request" (RFC 6960 section 4.2.2.2). */
static const char *certificate_file(char ret[64], const struct ca *ca)
{
    (void)snprintf(ret, 64, ca->is_former ? "ocsp-%.40s.pem" : OCSP_CERT_FILE, ca->key_id_text);
    return ret;
}

static tt_rc put_file(const struct ca *ca, const char *name, const char *label, struct tt_bytes der,
                      unsigned mode, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    char path[PATH_MAX];
    TT_TRY(dir_path(path, ca->dir, name, err));
    if (pem_write(&pem, label, der) != TT_OK)
        return ca_no_memory(err);
    return file_write(NULL, path, buf_bytes(&pem), (struct file_want){mode, FILE_OURS}, err);
}

static tt_rc key_read(EVP_PKEY **ret, const struct ca *ca, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    TT_TRY(dir_read(&pem, &len, ca->dir, OCSP_KEY_FILE, err));
    TT_AUTO(pem_block_free) struct pem_block b = {0};
    const uint8_t *at = NULL;
    tt_rc rc = pem_find(&b, (struct tt_bytes){(const uint8_t *)pem, len}, "PRIVATE KEY");
    if (rc == TT_ERR_MEMORY)
        return ca_no_memory(err);
    if (rc == TT_OK) {
        at = b.der;
        *ret = d2i_AutoPrivateKey(NULL, &at, (long)b.len);
    }
    ERR_clear_error();
    return *ret != NULL
               ? TT_OK
               : error_set(err, TT_ERR_DECODE, "%.200s/" OCSP_KEY_FILE " holds no private key", ca->dir);
}

static tt_rc key_make(EVP_PKEY **ret, const struct ca *ca, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    TT_TRY(key_generate(&key, &der, &len, err));
    tt_rc rc = put_file(ca, OCSP_KEY_FILE, "PRIVATE KEY", (struct tt_bytes){der, len}, 0600, err);
    OPENSSL_clear_free(der, len);
    if (rc == TT_OK)
        *ret = TT_TAKE(key);
    return rc;
}

/* What is in the directory; r stays empty where that is nothing. */
static tt_rc load(struct ocsp_responder *r, const struct ca *ca, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    size_t len = 0;
    char file[64];
    struct tt_error none = {0};
    tt_rc rc = r->key != NULL ? TT_OK : key_read(&r->key, ca, &none);
    if (rc == TT_ERR_NOT_FOUND)
        return TT_OK;
    if (rc != TT_OK)
        return error_set(err, rc, "%s", none.text);
    rc = dir_read(&pem, &len, ca->dir, certificate_file(file, ca), &none);
    if (rc == TT_OK)
        rc = tt_cert_list_from_pem(&list, (struct tt_bytes){(const uint8_t *)pem, len}, NULL);
    if (rc == TT_ERR_MEMORY)
        return ca_no_memory(err);
    if (rc != TT_OK)
        return TT_OK; /* it can be made again */
    X509 *cert = cert_read(list->certs[0]);
    int64_t from = 0, to = 0;
    bool ok = cert != NULL && X509_check_private_key(cert, r->key) == 1 &&
              X509_verify(cert, X509_get0_pubkey(ca->cert)) == 1 &&
              cert_time(&from, X509_get0_notBefore(cert)) == TT_OK &&
              cert_time(&to, X509_get0_notAfter(cert)) == TT_OK;
    ERR_clear_error();
    if (!ok) {
        X509_free(cert);
        return TT_OK;
    }
    X509_free(r->cert);
    r->cert = cert;
    r->renew = from + (to - from) / 2;
    r->end = to;
    return TT_OK;
}

/* ---- its certificate ---- */

struct certifying {
    struct ca_record record;
    int64_t now;
};

static tt_rc record(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct certifying *c = arg;
    return ca_record_add(ca, h, &c->record, c->now, err);
}

static tt_rc renew(struct ocsp_responder *r, struct ca *ca, int64_t now, struct tt_error *err)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *subject = NULL;
    TT_AUTO(mem_free_auto) char *subject_text = NULL;
    TT_AUTO(buf_free) struct buf der = {0};
    char serial[CA_SERIAL_HEX], file[64];
    TT_AUTO(ossl_free_auto) uint8_t *spki = NULL;
    const struct profile *p = profiles_find(ca->profiles, PROFILE);
    if (p == NULL || p->ca)
        return error_set(err, TT_ERR_USAGE,
                         "the profiles file has no profile " PROFILE ", which the OCSP responder needs");
    TT_TRY(ca_alive(ca, now, err));
    if (r->key == NULL)
        TT_TRY(key_make(&r->key, ca, err));
    TT_TRY(dn_parse(&subject, "/CN=OCSP responder", err));
    int len = i2d_PUBKEY(r->key, &spki);
    if (len <= 0)
        return ca_no_memory(err);
    struct ca_subject whom = {.name = subject, .spki = {spki, (size_t)len}, .profile = p};
    TT_TRY(ca_period(&whom, ca, 0, now, err));
    TT_TRY(ca_certify(&der, serial, ca, &whom, err));
    if (text_name(&subject_text, subject) != TT_OK)
        return ca_no_memory(err);
    struct certifying c = {.record = {.der = buf_bytes(&der),
                                      .serial = serial,
                                      .subject = subject_text,
                                      .names = "",
                                      .profile = p->name,
                                      .not_before = whom.not_before,
                                      .not_after = whom.not_after,
                                      .ca_key = ca->key_number,
                                      .by = {.who = CA_BY_OPERATOR, .id = "ocsp"}},
                           .now = now};
    TT_TRY(ca_write(ca, record, &c, err));
    TT_TRY(put_file(ca, certificate_file(file, ca), "CERTIFICATE", buf_bytes(&der), 0644, err));
    return load(r, ca, err);
}

tt_rc ocsp_responder_ready(struct ocsp_responder *r, struct ca *ca, int64_t now, bool *ret_renewed,
                           struct tt_error *err)
{
    if (r->cert != NULL && now < r->renew)
        return TT_OK;
    if (r->cert == NULL)
        TT_TRY(load(r, ca, err));
    if (r->cert != NULL && now < r->renew)
        return TT_OK;
    *ret_renewed = true;
    if (ca->has_signer)
        TT_TRY(renew(r, ca, now, err));
    if (r->cert != NULL && now < r->end)
        return TT_OK;
    (void)error_set(err, TT_ERR_NOT_FOUND, "the OCSP responder has no certificate that is valid");
    error_hint(err, "tpmtls ca serve, or tpmtls ca crl, gives it one, with the CA's key");
    return TT_ERR_NOT_FOUND;
}
