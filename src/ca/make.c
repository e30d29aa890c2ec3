/* ca/make.c: a new CA: a root, or one below another. Layer: ca. RFC 5280 section 4.2.1.9. */
#include <stdio.h>
#include <string.h>

#include "ca/authority.h"
#include "ca/dir.h"
#include "ca/make.h"
#include "pki/cert.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/text.h"

#define PATH_MAX_CA 10
#define SUB_CA      "sub-ca"

struct creation {
    const struct ca_make *make;
    const struct tt_pki_signer *signer;
    struct ca *parent;
    X509_NAME *subject;
    struct below below;
    struct buf der;
};

/* ---- its certificate ---- */

tt_rc own_certificate(struct buf *ret, const struct own_plan *p, const struct tt_pki_signer *signer,
                      struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf exts = {0};
    struct writer w = writer_to(&exts);
    uint8_t id[EXTENSION_KEY_ID_SIZE], serial[SERIAL_SIZE];
    if (!extension_key_id(id, p->spki))
        return error_set(err, TT_ERR_DECODE, "the CA's key is no SubjectPublicKeyInfo");
    extension_constraints(&w, true, p->path_len);
    extension_key_usage(&w, USAGE_KEY_CERT_SIGN | USAGE_CRL_SIGN);
    extension_subject_key_id(&w, p->key_id.len > 0 ? p->key_id : (struct tt_bytes){id, sizeof id});
    if (p->issuer_key_id.len > 0)
        extension_authority_key_id(&w, p->issuer_key_id);
    if (wr_status(&w) != TT_OK)
        return ca_no_memory(err);
    TT_TRY(cert_serial(serial, err));
    const struct cert_plan plan = {.serial = serial,
                                   .issuer = p->name,
                                   .subject = p->name,
                                   .not_before = p->not_before,
                                   .not_after = p->not_after,
                                   .spki = p->spki,
                                   .extensions = buf_bytes(&exts)};
    return cert_build(ret, &plan, signer, err);
}

static tt_rc root_build(struct creation *c, struct tt_error *err)
{
    unsigned days = c->make->days == 0 ? CA_ROOT_DAYS : c->make->days;
    const struct own_plan plan = {.name = c->subject,
                                  .spki = c->signer->spki,
                                  .path_len = (int)c->make->path_len,
                                  .not_before = c->make->now - CA_CLOCK_SLACK,
                                  .not_after = c->make->now + (int64_t)days * CA_DAY};
    return own_certificate(&c->der, &plan, c->signer, err);
}

static tt_rc parent_allows(const struct below *b, struct tt_error *err)
{
    const struct ca *parent = b->parent;
    long room = X509_get_pathlen(parent->cert);
    if (X509_NAME_cmp(b->subject, X509_get_subject_name(parent->cert)) == 0)
        return error_set(err, TT_ERR_USAGE, "the new CA would have the name of the one above it");
    if (tt_cert_matches_key(ca_certificate(parent), b->spki))
        return error_set(err, TT_ERR_USAGE, "the new CA would have the key of the one above it");
    if (room >= 0 && (long)b->path_len >= room) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the CA above allows %ld CAs below it in a chain, and this would be %u", room,
                        b->path_len + 1);
        error_hint(err, "make the root with --path-length %u", b->path_len + 1);
        return TT_ERR_UNSUPPORTED;
    }
    return TT_OK;
}

tt_rc below_certify(struct below *b, struct tt_error *err)
{
    struct ca_subject whom = {
        .name = b->subject, .spki = b->spki, .profile = profiles_find(b->parent->profiles, SUB_CA)};
    if (whom.profile == NULL || !whom.profile->ca)
        return error_set(err, TT_ERR_USAGE, "the CA above has no profile " SUB_CA);
    TT_TRY(parent_allows(b, err));
    if (whom.profile->path_len != b->path_len)
        return error_set(err, TT_ERR_USAGE,
                         "the profile " SUB_CA " of the CA above has path-length = %u, not %u",
                         whom.profile->path_len, b->path_len);
    TT_TRY(ca_alive(b->parent, b->now, err));
    TT_TRY(ca_period(&whom, b->parent, b->days, b->now, err));
    b->not_before = whom.not_before;
    b->not_after = whom.not_after;
    return ca_certify(&b->der, b->serial, b->parent, &whom, err);
}

static tt_rc record(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct below *b = arg;
    TT_AUTO(mem_free_auto) char *subject = NULL;
    if (text_name(&subject, b->subject) != TT_OK)
        return ca_no_memory(err);
    const struct ca_record r = {.der = buf_bytes(&b->der),
                                .serial = b->serial,
                                .subject = subject,
                                .names = "",
                                .profile = SUB_CA,
                                .not_before = b->not_before,
                                .not_after = b->not_after,
                                .ca_key = ca->key_number,
                                .by = {.who = CA_BY_OPERATOR}};
    return ca_record_add(ca, h, &r, b->now, err);
}

tt_rc below_record(struct below *b, struct tt_error *err)
{
    return ca_write(b->parent, record, b, err);
}

static tt_rc below_build(struct creation *c, struct tt_error *err)
{
    c->below = (struct below){.parent = c->parent,
                              .subject = c->subject,
                              .spki = c->signer->spki,
                              .path_len = c->make->path_len,
                              .days = c->make->days,
                              .now = c->make->now};
    TT_TRY(below_certify(&c->below, err));
    return buf_append(&c->der, buf_front(&c->below.der), buf_size(&c->below.der)) == TT_OK
               ? TT_OK
               : ca_no_memory(err);
}

static tt_rc certificate_build(struct creation *c, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(c->signer->spki);
    if (c->make->days > CA_DAYS_MAX)
        return error_set(err, TT_ERR_USAGE, "%u days are more than %d", c->make->days, CA_DAYS_MAX);
    if (c->make->path_len > PATH_MAX_CA)
        return error_set(err, TT_ERR_USAGE, "a path length of %u is more than %d", c->make->path_len,
                         PATH_MAX_CA);
    TT_TRY(dn_parse(&c->subject, c->make->subject, err));
    TT_TRY(key_accept(key, "the CA's", NULL, err));
    return c->parent == NULL ? root_build(c, err) : below_build(c, err);
}

/* ---- its directory ---- */

/* The built-in profiles with the URLs that are known already put in. */
static tt_rc profiles_text(char **ret, const struct ca_make *m, struct tt_error *err)
{
    const struct {
        const char *comment;
        struct tt_bytes url;
    } urls[] = {
        {"; crl-url = ", m->crl_url}, {"; ocsp-url = ", m->ocsp_url}, {"; issuer-url = ", m->aia_url}};
    TT_AUTO(buf_free) struct buf b = {0};
    tt_rc rc = TT_OK;
    for (const char *line = profiles_builtin; rc == TT_OK && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        struct tt_bytes put = {(const uint8_t *)line, (size_t)(end - line)};
        for (size_t i = 0; i < TT_COUNT(urls); i++) {
            size_t n = strlen(urls[i].comment);
            if (urls[i].url.len > 0 && strncmp(line, urls[i].comment, n) == 0) {
                rc = buf_append(&b, urls[i].comment + 2, n - 2);
                put = urls[i].url;
            }
        }
        if (rc == TT_OK)
            rc = buf_append(&b, put.data, put.len);
        if (rc == TT_OK)
            rc = buf_append(&b, "\n", 1);
        line = *end == '\0' ? end : end + 1;
    }
    if (rc != TT_OK || text_take(ret, &b) != TT_OK)
        return ca_no_memory(err);
    TT_AUTO(profiles_free_auto) struct profiles *check = NULL;
    return profiles_read(&check, *ret, "the new CA's profiles", "", err);
}

tt_rc chain_pem(char **ret, struct tt_bytes own, const struct ca *parent, struct tt_error *err)
{
    struct tt_bytes certs[16];
    size_t n = 0;
    certs[n++] = own;
    for (size_t i = 0; parent != NULL && i < parent->chain->len; i++) {
        if (n == TT_COUNT(certs))
            return error_set(err, TT_ERR_UNSUPPORTED, "the chain of CAs has more than %zu certificates",
                             TT_COUNT(certs));
        certs[n++] = parent->chain->certs[i];
    }
    return tt_cert_list_to_pem(ret, &(struct tt_cert_list){certs, n}, n, err);
}

static tt_rc first_acts(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    const struct creation *c = arg;
    const char *key = c->make->key_pem != NULL ? CA_KEY_FILE : c->make->key;
    char sha256[CA_SHA256_HEX];
    const struct statement put = {.sql = "INSERT INTO setting (name, value) VALUES ('key', $1)",
                                  STORE_ARGS(store_text(key))};
    TT_TRY(store_run(ca->store, &put, NULL, err));
    sha256_text(sha256, buf_bytes(&c->der));
    return act_add(ca, h, "init", json_pack("{s:s, s:s}", "subject", c->make->subject, "sha256", sha256),
                   c->make->now, err);
}

static tt_rc fill(void *arg, const char *dir, struct tt_error *err)
{
    const struct creation *c = arg;
    TT_AUTO(store_close_auto) struct store *store = NULL;
    char url[DIR_STORE_MAX];
    int n = c->make->place.store != NULL ? snprintf(url, sizeof url, "%s", c->make->place.store)
                                         : snprintf(url, sizeof url, "sqlite:%s/" CA_STORE_FILE, dir);
    if (n < 0 || (size_t)n >= sizeof url)
        return error_set(err, TT_ERR_USAGE, "the store's name is too long");
    TT_TRY(store_create(&store, url, err));
    struct ca ca = {.store = store};
    return ca_write(&ca, first_acts, (void *)(uintptr_t)c, err);
}

static tt_rc directory_make(struct creation *c, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(mem_free_auto) char *profiles = NULL;
    TT_TRY(chain_pem(&pem, buf_bytes(&c->der), c->parent, err));
    TT_TRY(profiles_text(&profiles, c->make, err));
    if (c->parent != NULL) /* what it has issued is in its store before the new CA appears */
        TT_TRY(below_record(&c->below, err));
    const struct dir_content content = {
        .cert_pem = pem,
        .key_pem = c->make->key_pem,
        .profiles = profiles,
        .store = c->make->place.store,
        .fill = fill,
        .arg = c,
    };
    return dir_create(c->make->place.dir, &content, err);
}

tt_rc ca_make(const struct ca_make *make, const struct tt_pki_signer *signer, struct ca *parent,
              struct tt_error *err)
{
    struct creation c = {.make = make, .signer = signer, .parent = parent};
    if (make->key_pem == NULL && make->key == NULL)
        return error_set(err, TT_ERR_USAGE, "the CA needs a key");
    TT_TRY(dir_check_free(make->place.dir, err));
    tt_rc rc = certificate_build(&c, err);
    if (rc == TT_OK)
        rc = directory_make(&c, err);
    buf_free(&c.der);
    buf_free(&c.below.der);
    X509_NAME_free(c.subject);
    return rc;
}
