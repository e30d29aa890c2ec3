/* pki/ca.c: a small CA: made, opened, and asked to sign. Layer: pki. RFC 5280. Its rules: what a request may
 * have is pki/csr_read.c's; here is what only the CA knows: who it is, until when, for which purpose, with
 * which key. Reads no clock; never sees a private key. */
#include <ctype.h>
#include <string.h>

#include "pki/ca_dir.h"
#include "pki/ca_store.h"
#include "pki/cert.h"
#include "pki/cert_build.h"
#include "pki/csr.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/san.h"
#include "pki/text.h"

#define DAY         INT64_C(86400)
#define CLOCK_SLACK 300 /* seconds before now that a certificate is valid already: clocks differ */
#define CA_DAYS     3650
#define LEAF_DAYS   365
#define DAYS_MAX    36500

struct tt_ca {
    char *key;
    sqlite3 *store;
    struct tt_cert_list *certs; /* the CA's own certificate first */
    X509 *cert;
    int64_t not_before, not_after;
};

static tt_rc days_check(unsigned days, struct tt_error *err)
{
    return days <= DAYS_MAX ? TT_OK
                            : error_set(err, TT_ERR_USAGE, "%u days are more than %d", days, DAYS_MAX);
}

/* ---- create ---- */

static tt_rc root_build(struct buf *to, const struct tt_ca_params *params, const struct tt_pki_signer *signer,
                        struct tt_error *err)
{
    TT_AUTO(X509_NAME_free_auto) X509_NAME *name = NULL;
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(signer->spki);
    TT_AUTO(extensions_free_auto) extensions *exts = NULL;
    uint8_t serial[SERIAL_SIZE];
    TT_TRY(days_check(params->days, err));
    TT_TRY(dn_parse(&name, params->subject, err));
    TT_TRY(key_accept(key, "the CA's", err));
    TT_TRY(extensions_ca(&exts, signer->spki, err));
    TT_TRY(cert_serial(serial, err));
    struct cert_plan plan = {
        .serial = serial,
        .issuer = name,
        .subject = name,
        .not_before = params->now - CLOCK_SLACK,
        .not_after = params->now + (params->days == 0 ? CA_DAYS : params->days) * DAY,
        .spki = signer->spki,
        .exts = exts,
    };
    return cert_build(to, &plan, signer, err);
}

tt_rc tt_ca_create(const struct tt_ca_params *params, const struct tt_pki_signer *signer,
                   struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf der = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (params->key_pem == NULL && params->key == NULL)
        return error_set(err, TT_ERR_USAGE, "the CA needs a key");
    TT_TRY(dir_check_free(params->dir, err));
    TT_TRY(root_build(&der, params, signer, err));
    struct tt_bytes cert = buf_bytes(&der);
    TT_TRY(tt_cert_list_to_pem(&pem, &(struct tt_cert_list){&cert, 1}, 1, err));
    struct dir_content content = {
        .cert_pem = pem,
        .key_pem = params->key_pem,
        .key = params->key_pem != NULL ? TT_CA_KEY_FILE : params->key,
    };
    return dir_create(params->dir, &content, err);
}

/* ---- open ---- */

void tt_ca_close(struct tt_ca *ca)
{
    if (ca == NULL)
        return;
    mem_free(ca->key);
    ca_store_close(ca->store);
    tt_cert_list_free(ca->certs);
    X509_free(ca->cert);
    mem_free(ca);
}
TT_DEFINE_AUTO(struct tt_ca, tt_ca_close)

const char *tt_ca_key(const struct tt_ca *ca)
{
    return ca->key;
}

struct tt_bytes tt_ca_certificate(const struct tt_ca *ca)
{
    return ca->certs->certs[0];
}

static tt_rc cert_load(struct tt_ca *ca, const char *dir, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    struct tt_error why = {0};
    TT_TRY(dir_read(&pem, &len, dir, TT_CA_CERT_FILE, err));
    if (tt_cert_list_from_pem(&ca->certs, (struct tt_bytes){(const uint8_t *)pem, len}, &why) != TT_OK)
        return error_set(err, why.rc, "%.200s/" TT_CA_CERT_FILE ": %s", dir, why.text);
    ca->cert = cert_read(ca->certs->certs[0]);
    if (ca->cert == NULL)
        return pki_no_memory(err);
    if (X509_check_ca(ca->cert) != 1 || cert_time(&ca->not_before, X509_get0_notBefore(ca->cert)) != TT_OK ||
        cert_time(&ca->not_after, X509_get0_notAfter(ca->cert)) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "%.200s/" TT_CA_CERT_FILE " is not the certificate of a CA",
                         dir);
    return TT_OK;
}

/* A key beside the certificate is stored by its name alone, so that the directory can be moved. */
static tt_rc key_load(struct tt_ca *ca, const char *dir, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *key = NULL;
    char path[PATH_MAX];
    TT_TRY(ca_store_key(&key, ca->store, err));
    if (strcmp(key, TT_CA_KEY_FILE) == 0) {
        TT_TRY(dir_path(path, dir, TT_CA_KEY_FILE, err));
        mem_free(key);
        key = mem_strdup(path);
        if (key == NULL)
            return pki_no_memory(err);
    }
    ca->key = TT_TAKE(key);
    return TT_OK;
}

tt_rc tt_ca_open(struct tt_ca **ret, const char *dir, struct tt_error *err)
{
    TT_AUTO(tt_ca_close_auto) struct tt_ca *ca = mem_alloc(sizeof *ca);
    char store[PATH_MAX];
    if (ca == NULL)
        return pki_no_memory(err);
    TT_TRY(cert_load(ca, dir, err));
    TT_TRY(dir_has(dir, CA_STORE_FILE, err));
    TT_TRY(dir_path(store, dir, CA_STORE_FILE, err));
    TT_TRY(ca_store_open(&ca->store, store, err));
    TT_TRY(key_load(ca, dir, err));
    *ret = TT_TAKE(ca);
    return TT_OK;
}

/* ---- sign ---- */

static tt_rc signer_check(const struct tt_ca *ca, const struct tt_pki_signer *signer, struct tt_error *err)
{
    if (tt_cert_matches_key(tt_ca_certificate(ca), signer->spki))
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "the key is not the one of this CA's certificate");
    error_hint(err, "the CA was made with the key %.200s; it must be the same key still", ca->key);
    return TT_ERR_USAGE;
}

static tt_rc request_check(const struct tt_ca *ca, const struct csr *csr, enum tt_ca_profile profile,
                           struct tt_error *err)
{
    if (profile != TT_CA_PROFILE_CLIENT && !san_has_host(csr->sans)) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "a server's certificate needs a DNS name or an IP address, and the "
                        "request has none");
        error_hint(err,
                   "make the request with --san DNS:name or --san IP:address; clients do not look at the CN");
        return TT_ERR_UNSUPPORTED;
    }
    if (profile == TT_CA_PROFILE_SERVER && san_has_other(csr->sans)) {
        (void)error_set(
            err, TT_ERR_UNSUPPORTED,
            "the request asks for a UPN or a HardwareModuleName, which name clients: the profile server "
            "has none");
        error_hint(err, "--profile client, or both");
        return TT_ERR_UNSUPPORTED;
    }
    /* A leaf named like its issuer, or with its key, makes path building go in circles. */
    if (X509_NAME_cmp(X509_REQ_get_subject_name(csr->req), X509_get_subject_name(ca->cert)) == 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "the request's subject is the CA's own name");
    if (EVP_PKEY_eq(X509_REQ_get0_pubkey(csr->req), X509_get0_pubkey(ca->cert)) == 1)
        return error_set(err, TT_ERR_UNSUPPORTED, "the request is for the CA's own key");
    ERR_clear_error();
    return TT_OK;
}

static tt_rc validity_set(struct cert_plan *plan, const struct tt_ca *ca, const struct tt_ca_request *req,
                          struct tt_error *err)
{
    char until[24];
    text_time(until, ca->not_after);
    TT_TRY(days_check(req->days, err));
    if (req->now < ca->not_before)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the CA's certificate is not valid yet; is this machine's clock right?");
    if (req->now >= ca->not_after)
        return error_set(err, TT_ERR_UNSUPPORTED, "the CA's certificate expired on %s", until);
    int64_t end = req->now + (req->days == 0 ? LEAF_DAYS : req->days) * DAY;
    if (end > ca->not_after && req->days != 0) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "%u days go beyond the CA's own end, %s", req->days, until);
        error_hint(err, "at most %lld days are left", (long long)((ca->not_after - req->now) / DAY));
        return TT_ERR_UNSUPPORTED;
    }
    int64_t start = req->now - CLOCK_SLACK;
    plan->not_before = start < ca->not_before ? ca->not_before : start;
    plan->not_after = end > ca->not_after ? ca->not_after : end;
    return TT_OK;
}

static tt_rc leaf_build(struct buf *to, const struct tt_ca *ca, const struct tt_ca_request *req,
                        const struct csr *csr, const struct tt_pki_signer *signer, struct tt_error *err)
{
    TT_AUTO(ossl_free_auto) uint8_t *spki = NULL;
    TT_AUTO(extensions_free_auto) extensions *exts = NULL;
    uint8_t serial[SERIAL_SIZE];
    int len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(csr->req), &spki);
    if (len <= 0)
        return pki_no_memory(err);
    X509_NAME *subject = X509_REQ_get_subject_name(csr->req);
    struct leaf_plan leaf = {
        .spki = {spki, (size_t)len},
        .sans = csr->sans,
        .san_critical = X509_NAME_entry_count(subject) == 0,
        .client = req->profile != TT_CA_PROFILE_SERVER,
        .server = req->profile != TT_CA_PROFILE_CLIENT,
        .delegation = req->delegation,
        .issuer_key_id = X509_get0_subject_key_id(ca->cert),
    };
    struct cert_plan plan = {
        .serial = serial, .issuer = X509_get_subject_name(ca->cert), .subject = subject, .spki = leaf.spki};
    TT_TRY(validity_set(&plan, ca, req, err));
    TT_TRY(extensions_leaf(&exts, &leaf, err));
    TT_TRY(cert_serial(serial, err));
    plan.exts = exts;
    return cert_build(to, &plan, signer, err);
}

static tt_rc leaf_record(struct tt_ca *ca, struct tt_bytes der, struct tt_error *err)
{
    struct tt_cert_info *info;
    TT_TRY(tt_cert_describe(&info, der, err));
    struct tt_ca_entry entry = {
        .serial = info->serial,
        .subject = info->subject,
        .sha256 = info->sha256,
        .status = "valid",
        .not_before = info->not_before,
        .not_after = info->not_after,
        .der = der,
    };
    tt_rc rc = ca_store_add(ca->store, &entry, err);
    tt_cert_info_free(info);
    return rc;
}

static tt_rc list_add_copy(struct tt_cert_list *list, struct tt_bytes der)
{
    uint8_t *copy = mem_dup(der.data, der.len);
    tt_rc rc = copy == NULL ? TT_ERR_MEMORY : cert_list_add(list, copy, der.len);
    if (rc != TT_OK)
        mem_free(copy);
    return rc;
}

tt_rc tt_ca_sign(struct tt_cert_list **ret, struct tt_ca *ca, const struct tt_ca_request *req,
                 const struct tt_pki_signer *signer, struct tt_error *err)
{
    TT_AUTO(csr_free) struct csr csr = {0};
    TT_AUTO(buf_free) struct buf der = {0};
    TT_TRY(signer_check(ca, signer, err));
    TT_TRY(csr_read(&csr, req->csr, err));
    TT_TRY(request_check(ca, &csr, req->profile, err));
    TT_TRY(leaf_build(&der, ca, req, &csr, signer, err));
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = mem_alloc(sizeof *list);
    if (list == NULL || list_add_copy(list, buf_bytes(&der)) != TT_OK ||
        list_add_copy(list, tt_ca_certificate(ca)) != TT_OK)
        return pki_no_memory(err);
    TT_TRY(leaf_record(ca, buf_bytes(&der), err)); /* last: what is recorded is also handed out */
    *ret = TT_TAKE(list);
    return TT_OK;
}

/* ---- what was issued ---- */

tt_rc tt_ca_each(struct tt_ca *ca, const char *serial, tt_ca_entry_fn fn, void *arg, struct tt_error *err)
{
    if (serial == NULL)
        return ca_store_each(ca->store, NULL, fn, arg, err);
    TT_AUTO(mem_free_auto) char *plain = mem_strdup(serial); /* "4A:0B" as other programs print it */
    if (plain == NULL)
        return pki_no_memory(err);
    char *to = plain;
    for (const char *from = serial; *from != '\0'; from++)
        if (*from != ':')
            *to++ = (char)tolower((unsigned char)*from);
    *to = '\0';
    return ca_store_each(ca->store, plain, fn, arg, err);
}
