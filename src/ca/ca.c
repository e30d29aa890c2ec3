/* ca/ca.c: a CA opened: its directory, its store, its certificates, who signs. Layer: ca. */
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ca/authority.h"
#include "ca/dir.h"
#include "pki/cert.h"
#include "pki/text.h"

tt_rc ca_no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* ---- small things ---- */

const char *ca_who_word(enum ca_who who)
{
    static const char *const words[] = {"operator", "token", "certificate", "attestation",
                                        "operator-certificate"};
    return (unsigned)who < TT_COUNT(words) ? words[who] : "?";
}

bool serial_plain(char ret[CA_SERIAL_HEX], const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        if (*text == ':')
            continue;
        if (isxdigit((unsigned char)*text) == 0 || n == CA_SERIAL_HEX - 1)
            return false;
        ret[n++] = (char)tolower((unsigned char)*text);
    }
    ret[n] = '\0';
    return n > 0;
}

int64_t id_number(const char *id)
{
    char *end = NULL;
    if (id == NULL || id[0] < '0' || id[0] > '9' || strlen(id) >= CA_ID_HEX)
        return -1;
    long long n = strtoll(id, &end, 10);
    return *end == '\0' ? n : -1;
}

void id_text(char ret[CA_ID_HEX], int64_t number)
{
    (void)snprintf(ret, CA_ID_HEX, "%llu", (unsigned long long)number % 10000000000000000ULL);
}

void sha256_text(char ret[CA_SHA256_HEX], struct tt_bytes b)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256(b.data, b.len, digest);
    text_hex(ret, (struct tt_bytes){digest, sizeof digest});
}

/* ---- open ---- */

void ca_close(struct ca *ca)
{
    if (ca == NULL)
        return;
    for (size_t i = 0; i < ca->former_len; i++)
        ca_close(ca->former[i]);
    mem_free(ca->key);
    X509_free(ca->cert);
    mem_free(ca->key_id);
    ocsp_state_free(ca->ocsp);
    if (!ca->is_former) {
        store_close(ca->store);
        tt_cert_list_free(ca->chain);
        tt_cert_list_free(ca->rollover);
        profiles_free(ca->profiles);
    }
    mem_free(ca);
}

static tt_rc list_read(struct tt_cert_list **ret, const char *dir, const char *name, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    struct tt_error why = {0};
    TT_TRY(dir_read(&pem, &len, dir, name, err));
    if (tt_cert_list_from_pem(ret, (struct tt_bytes){(const uint8_t *)pem, len}, &why) != TT_OK)
        return error_set(err, why.rc, "%.200s/%s: %s", dir, name, why.text);
    return TT_OK;
}

tt_rc ca_of_certificate(struct ca *ca, struct tt_bytes der, struct tt_error *err)
{
    ca->own = der;
    ca->cert = cert_read(der);
    if (ca->cert == NULL)
        return ca_no_memory(err);
    bool ok = X509_check_ca(ca->cert) == 1 &&
              cert_time(&ca->not_before, X509_get0_notBefore(ca->cert)) == TT_OK &&
              cert_time(&ca->not_after, X509_get0_notAfter(ca->cert)) == TT_OK;
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca->cert);
    ERR_clear_error();
    if (!ok)
        return error_set(err, TT_ERR_DECODE, "%.200s/" CA_CERT_FILE " is not the certificate of a CA",
                         ca->dir);
    ca->key_id_len = id == NULL ? 0 : (size_t)ASN1_STRING_length(id);
    ca->key_id = id == NULL ? NULL : mem_dup(ASN1_STRING_get0_data(id), ca->key_id_len);
    if (id != NULL && ca->key_id == NULL)
        return ca_no_memory(err);
    if (ca->key_id_len > 0 && ca->key_id_len <= (CA_KEY_ID_SIZE - 1) / 2)
        text_hex(ca->key_id_text, (struct tt_bytes){ca->key_id, ca->key_id_len});
    return TT_OK;
}

static tt_rc certs_load(struct ca *ca, struct tt_error *err)
{
    struct tt_error none = {0};
    TT_TRY(list_read(&ca->chain, ca->dir, CA_CERT_FILE, err));
    TT_TRY(ca_of_certificate(ca, ca->chain->certs[0], err));
    tt_rc rc = list_read(&ca->rollover, ca->dir, CA_ROLLOVER_FILE, &none);
    if (rc != TT_OK && rc != TT_ERR_NOT_FOUND)
        return error_set(err, rc, "%s", none.text);
    if (rc == TT_ERR_NOT_FOUND)
        ca->rollover = mem_alloc(sizeof *ca->rollover);
    return ca->rollover == NULL ? ca_no_memory(err) : TT_OK;
}

static tt_rc profiles_load(struct ca *ca, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    char where[PATH_MAX];
    struct tt_error none = {0};
    TT_TRY(dir_path(where, ca->dir, CA_PROFILES_FILE, err));
    tt_rc rc = dir_read(&text, &len, ca->dir, CA_PROFILES_FILE, &none);
    if (rc == TT_ERR_NOT_FOUND)
        return profiles_read(&ca->profiles, profiles_builtin, "the built-in profiles", ca->key_id_text, err);
    if (rc != TT_OK)
        return error_set(err, rc, "%s", none.text);
    return profiles_read(&ca->profiles, text, where, ca->key_id_text, err);
}

struct key_row {
    bool there;
    int64_t number;
    char *name;
};

static tt_rc take_key(void *arg, const struct store_row *row)
{
    struct key_row *k = arg;
    k->there = true;
    k->number = row_int(row, 0);
    mem_free(k->name);
    k->name = mem_strdup(row_text(row, 1));
    return k->name == NULL ? TT_ERR_MEMORY : TT_OK;
}

/* A key beside the certificate is stored by its name alone, so that the directory can be moved. */
static tt_rc in_directory(char **name, const struct ca *ca, struct tt_error *err)
{
    char path[PATH_MAX];
    if (!dir_is_key_name(*name))
        return TT_OK;
    TT_TRY(dir_path(path, ca->dir, *name, err));
    mem_free(*name);
    *name = mem_strdup(path);
    return *name == NULL ? ca_no_memory(err) : TT_OK;
}

tt_rc ca_key_of(struct ca *ca, const char *spki_sha256, bool *ret_there, int64_t *ret_number, char **ret_name,
                struct tt_error *err)
{
    struct key_row k = {0};
    const struct statement ask = {.sql = "SELECT number, name FROM ca_key WHERE spki = $1",
                                  STORE_ARGS(store_text(spki_sha256)),
                                  .fn = take_key,
                                  .arg = &k};
    tt_rc rc = ca_ask(ca, &ask, NULL, err);
    if (rc == TT_OK && k.there)
        rc = in_directory(&k.name, ca, err);
    if (rc != TT_OK) {
        mem_free(k.name);
        return rc;
    }
    *ret_there = k.there;
    *ret_number = k.number;
    *ret_name = k.name;
    return TT_OK;
}

static tt_rc key_load(struct ca *ca, struct tt_error *err)
{
    bool there = false;
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, ca_certificate(ca), err));
    tt_rc rc = ca_key_of(ca, info->spki_sha256, &there, &ca->key_number, &ca->key, err);
    tt_cert_info_free(info);
    if (rc != TT_OK || there)
        return rc;
    struct key_row first = {0};
    const struct statement ask = {
        .sql = "SELECT 0, value FROM setting WHERE name = 'key'", .fn = take_key, .arg = &first};
    rc = ca_ask(ca, &ask, NULL, err);
    ca->key = first.name;
    TT_TRY(rc);
    return ca->key != NULL ? in_directory(&ca->key, ca, err)
                           : error_set(err, TT_ERR_DECODE, "the CA's store does not say where its key is");
}

static tt_rc store_load(struct ca *ca, const char *store, struct tt_error *err)
{
    char url[PATH_MAX + 16];
    TT_TRY(dir_store(url, ca->dir, store, err));
    return store_open(&ca->store, url, err);
}

tt_rc ca_open(struct ca **ret, const struct ca_place *place, struct tt_error *err)
{
    TT_AUTO(ca_close_auto) struct ca *ca = mem_alloc(sizeof *ca);
    if (ca == NULL)
        return ca_no_memory(err);
    if (strlen(place->dir) >= sizeof ca->dir)
        return error_set(err, TT_ERR_USAGE, "the directory's name is too long: %.100s...", place->dir);
    (void)snprintf(ca->dir, sizeof ca->dir, "%s", place->dir);
    TT_TRY(certs_load(ca, err));
    TT_TRY(profiles_load(ca, err));
    TT_TRY(store_load(ca, place->store, err));
    TT_TRY(key_load(ca, err));
    TT_TRY(former_load(ca, err));
    *ret = TT_TAKE(ca);
    return TT_OK;
}

/* ---- what it is ---- */

const char *ca_key_name(const struct ca *ca)
{
    return ca->key;
}

struct tt_bytes ca_certificate(const struct ca *ca)
{
    return ca->own;
}

const struct tt_cert_list *ca_chain(const struct ca *ca)
{
    return ca->chain;
}

const struct tt_cert_list *ca_rollover(const struct ca *ca)
{
    return ca->rollover;
}

const char *const *ca_profile_names(const struct ca *ca)
{
    return ca->profiles->names;
}

bool ca_profile_demands_attestation(const struct ca *ca, const char *profile)
{
    const struct profile *p = profiles_find(ca->profiles, profile);
    return p != NULL && p->attestation;
}

/* ---- who signs ---- */

tt_rc ca_set_signer(struct ca *ca, const struct tt_pki_signer *signer, struct tt_error *err)
{
    if (!tt_cert_matches_key(ca_certificate(ca), signer->spki)) {
        (void)error_set(err, TT_ERR_USAGE, "the key is not the one of this CA's certificate");
        error_hint(err, "the CA was made with the key %.200s; it must be the same key still", ca->key);
        return TT_ERR_USAGE;
    }
    ca->signer = *signer;
    ca->has_signer = true;
    return TT_OK;
}

static tt_rc extensions_put(struct buf *ret, const struct ca *ca, const struct ca_subject *s,
                            struct tt_error *err)
{
    struct writer out = writer_to(ret);
    uint8_t id[EXTENSION_KEY_ID_SIZE];
    bool empty = X509_NAME_entry_count(s->name) == 0;
    if (!extension_key_id(id, s->spki))
        return error_set(err, TT_ERR_DECODE, "the key is no SubjectPublicKeyInfo");
    wr_bytes(&out, buf_bytes(&s->profile->fixed));
    extension_subject_key_id(&out, (struct tt_bytes){id, sizeof id});
    if (ca->key_id_len > 0)
        extension_authority_key_id(&out, (struct tt_bytes){ca->key_id, ca->key_id_len});
    if (s->names.len > 0)
        extension_names(&out, s->names, empty);
    if (s->profile->delegation || s->delegation)
        extension_delegation_usage(&out);
    return wr_status(&out) == TT_OK ? TT_OK : ca_no_memory(err);
}

tt_rc ca_certify(struct buf *ret, char ret_serial[CA_SERIAL_HEX], const struct ca *ca,
                 const struct ca_subject *s, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf exts = {0};
    uint8_t serial[SERIAL_SIZE];
    if (!ca->has_signer)
        return error_set(err, TT_ERR_USAGE, "the CA's key is not open");
    TT_TRY(extensions_put(&exts, ca, s, err));
    TT_TRY(cert_serial(serial, err));
    const struct cert_plan plan = {
        .serial = serial,
        .issuer = X509_get_subject_name(ca->cert),
        .subject = s->name,
        .not_before = s->not_before,
        .not_after = s->not_after,
        .spki = s->spki,
        .extensions = buf_bytes(&exts),
    };
    TT_TRY(cert_build(ret, &plan, &ca->signer, err));
    text_hex(ret_serial, (struct tt_bytes){serial, sizeof serial});
    return TT_OK;
}

tt_rc ca_alive(const struct ca *ca, int64_t now, struct tt_error *err)
{
    char until[24];
    text_time(until, ca->not_after);
    if (now < ca->not_before)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the CA's certificate is not valid yet; is this machine's clock right?");
    if (now >= ca->not_after)
        return error_set(err, TT_ERR_UNSUPPORTED, "the CA's certificate expired on %s", until);
    return TT_OK;
}

tt_rc ca_period(struct ca_subject *ret, const struct ca *ca, unsigned days, int64_t now, struct tt_error *err)
{
    const struct profile *p = ret->profile;
    char until[24];
    text_time(until, ca->not_after);
    if (days > CA_DAYS_MAX)
        return error_set(err, TT_ERR_USAGE, "%u days are more than %d", days, CA_DAYS_MAX);
    if (p->max_days != 0 && days > p->max_days)
        return error_set(err, TT_ERR_UNSUPPORTED, "%u days are more than the profile %s allows, which is %u",
                         days, p->name, p->max_days);
    int64_t end = now + (int64_t)(days == 0 ? p->days : days) * CA_DAY;
    if (end > ca->not_after && days != 0) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "%u days go beyond the CA's own end, %s", days, until);
        error_hint(err, "at most %lld days are left", (long long)((ca->not_after - now) / CA_DAY));
        return TT_ERR_UNSUPPORTED;
    }
    int64_t start = now - CA_CLOCK_SLACK;
    ret->not_before = start < ca->not_before ? ca->not_before : start;
    ret->not_after = end > ca->not_after ? ca->not_after : end;
    return TT_OK;
}
