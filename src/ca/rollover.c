/* ca/rollover.c: another key for a CA that goes on under its name. Layer: ca. RFC 4210 section 4.4, RFC 7030
 * section 4.1.3.
 *
 * DIR/ca.pem says which key is in force: what else a change needs is written before it, and harms nobody
 * while the old certificate is there. So whoever is killed in between leaves the old CA, and the same command
 * goes on with the key that is in DIR/next.key. The old key stays where it is: ca/former.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ca/authority.h"
#include "ca/dir.h"
#include "ca/make.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "pki/text.h"
#include "signer/file_write.h"

#define HANDED_OUT_MAX 32 /* certificates in rollover.pem */

struct change {
    struct ca *ca, *parent;
    const struct ca_change *want;
    const struct tt_pki_signer *signer;
    struct below below;
    struct buf next;                       /* the new certificate */
    struct buf new_with_old, old_with_new; /* of a root */
    char spki[CA_SHA256_HEX], former_spki[CA_SHA256_HEX];
    char key[PATH_MAX]; /* as the store has it */
};

static void lock_drop(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static bool is_root(const struct ca *ca)
{
    return X509_NAME_cmp(X509_get_subject_name(ca->cert), X509_get_issuer_name(ca->cert)) == 0;
}

/* ---- may it? ---- */

static tt_rc refuse(struct tt_error *err, tt_rc rc, const char *why, const char *hint)
{
    (void)error_set(err, rc, "%s", why);
    error_hint(err, "%s", hint);
    return rc;
}

/* The parent has to be the one that issued the certificate of today: else its devices would not know the
 * other. */
static tt_rc parent_check(const struct change *c, struct tt_error *err)
{
    if (is_root(c->ca))
        return c->parent == NULL
                   ? TT_OK
                   : refuse(err, TT_ERR_USAGE, "the CA is a root: no other issues its certificate",
                            "leave --parent out");
    if (c->parent == NULL)
        return refuse(err, TT_ERR_USAGE,
                      "the CA stands below another, which has to issue its new certificate",
                      "--parent DIR: where that one is, with its key");
    bool is = X509_verify(c->ca->cert, X509_get0_pubkey(c->parent->cert)) == 1;
    ERR_clear_error();
    return is ? TT_OK
              : refuse(err, TT_ERR_USAGE, "the certificate of the CA is not from the CA above that was named",
                       "name the one that issued it; what stands below another root is another CA: tpmtls ca "
                       "init "
                       "--parent");
}

/* The files may be another's by now: then ca is of yesterday. */
static tt_rc unchanged(const struct change *c, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    size_t len = 0;
    struct tt_bytes ours = ca_certificate(c->ca);
    TT_TRY(dir_read(&pem, &len, c->ca->dir, CA_CERT_FILE, err));
    TT_TRY(tt_cert_list_from_pem(&list, (struct tt_bytes){(const uint8_t *)pem, len}, err));
    return list->certs[0].len == ours.len && memcmp(list->certs[0].data, ours.data, ours.len) == 0
               ? TT_OK
               : error_set(err, TT_ERR_BUSY, "another process has just changed the CA's key");
}

static tt_rc may_change(const struct change *c, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *key = spki_read(c->signer->spki);
    struct ca_former f;
    size_t needed = 0;
    TT_TRY(ca_alive(c->ca, c->want->now, err));
    TT_TRY(key_accept(key, "the CA's new", NULL, err));
    if (c->want->days > CA_DAYS_MAX)
        return error_set(err, TT_ERR_USAGE, "%u days are more than %d", c->want->days, CA_DAYS_MAX);
    if (strcmp(c->spki, c->former_spki) == 0)
        return refuse(err, TT_ERR_USAGE, "that is the key that the CA has", "name another with --key");
    for (size_t i = 0; i < c->ca->former_len; i++) {
        TT_TRY(ca_former(c->ca, &f, i, c->want->now, err));
        needed += f.certificates > 0;
        if (EVP_PKEY_eq(key, X509_get0_pubkey(c->ca->former[i]->cert)) == 1)
            return refuse(err, TT_ERR_USAGE, "the CA had that key before", "name another with --key");
    }
    ERR_clear_error();
    if (needed == CA_FORMER_MAX)
        return refuse(err, TT_ERR_UNSUPPORTED, "certificates of four former keys are in use still",
                      "tpmtls ca show says until when");
    return parent_check(c, err);
}

/* ---- certificates ---- */

static int path_length(const X509 *cert)
{
    return (int)X509_get_pathlen((X509 *)(uintptr_t)cert);
}

static struct tt_bytes key_id_of(const X509 *cert)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id((X509 *)(uintptr_t)cert);
    ERR_clear_error();
    if (id == NULL)
        return (struct tt_bytes){NULL, 0};
    return (struct tt_bytes){ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)};
}

/* "The 'new with old' certificate ... the validity period should start at the generation time of the new key
 * pair and end at the expiry date of the old", "old with new" is that of the old (RFC 4210 section 4.4). */
static tt_rc cross_build(struct change *c, struct tt_error *err)
{
    const struct ca *ca = c->ca;
    TT_AUTO(X509_free_auto) X509 *next = cert_read(buf_bytes(&c->next));
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    size_t len = 0;
    int64_t start = c->want->now - CA_CLOCK_SLACK, end = 0;
    if (next == NULL)
        return ca_no_memory(err);
    TT_TRY(cert_time(&end, X509_get0_notAfter(next)));
    TT_TRY(cert_spki(&spki, &len, ca_certificate(ca), err));
    const struct own_plan new_with_old = {
        .name = X509_get_subject_name(ca->cert),
        .spki = c->signer->spki,
        .issuer_key_id = {ca->key_id, ca->key_id_len},
        .path_len = path_length(ca->cert),
        .not_before = start < ca->not_before ? ca->not_before : start,
        .not_after = end < ca->not_after ? end : ca->not_after,
    };
    const struct own_plan old_with_new = {
        .name = X509_get_subject_name(ca->cert),
        .spki = {spki, len},
        .key_id = {ca->key_id, ca->key_id_len},
        .issuer_key_id = key_id_of(next),
        .path_len = path_length(ca->cert),
        .not_before = ca->not_before,
        .not_after = ca->not_after,
    };
    TT_TRY(own_certificate(&c->new_with_old, &new_with_old, &ca->signer, err));
    return own_certificate(&c->old_with_new, &old_with_new, c->signer, err);
}

static tt_rc root_build(struct change *c, struct tt_error *err)
{
    unsigned days = c->want->days == 0 ? CA_ROOT_DAYS : c->want->days;
    const struct own_plan plan = {.name = X509_get_subject_name(c->ca->cert),
                                  .spki = c->signer->spki,
                                  .path_len = path_length(c->ca->cert),
                                  .not_before = c->want->now - CA_CLOCK_SLACK,
                                  .not_after = c->want->now + (int64_t)days * CA_DAY};
    TT_TRY(own_certificate(&c->next, &plan, c->signer, err));
    return cross_build(c, err);
}

static tt_rc below_build(struct change *c, struct tt_error *err)
{
    int room = path_length(c->ca->cert);
    c->below = (struct below){.parent = c->parent,
                              .subject = X509_get_subject_name(c->ca->cert),
                              .spki = c->signer->spki,
                              .path_len = room < 0 ? 0 : (unsigned)room,
                              .days = c->want->days,
                              .now = c->want->now};
    TT_TRY(below_certify(&c->below, err));
    return buf_append(&c->next, buf_front(&c->below.der), buf_size(&c->below.der)) == TT_OK
               ? TT_OK
               : ca_no_memory(err);
}

/* ---- what is handed out with the chain ---- */

struct handed {
    struct tt_bytes at[HANDED_OUT_MAX];
    size_t n;
};

static bool vouches_for_itself(struct tt_bytes der)
{
    TT_AUTO(X509_free_auto) X509 *cert = cert_read(der);
    bool does = cert != NULL && X509_self_signed(cert, 1) == 1;
    ERR_clear_error();
    return does;
}

/* Of a change before this one, while it helps anybody; nothing of one that was interrupted. */
static bool is_wanted_still(const struct change *c, struct tt_bytes der)
{
    TT_AUTO(X509_free_auto) X509 *cert = cert_read(der);
    TT_AUTO(EVP_PKEY_free_auto) EVP_PKEY *next = spki_read(c->signer->spki);
    int64_t end = 0;
    bool wanted = cert != NULL && next != NULL && cert_time(&end, X509_get0_notAfter(cert)) == TT_OK &&
                  end > c->want->now && EVP_PKEY_eq(X509_get0_pubkey(cert), next) != 1 &&
                  X509_verify(cert, next) != 1;
    ERR_clear_error();
    return wanted;
}

/* Those that are their own roots last: who builds paths without going back (OpenSSL) takes the first that
 * fits. */
static tt_rc handed_out(char **ret, const struct change *c, struct tt_error *err)
{
    struct handed h = {.n = 0};
    if (buf_size(&c->new_with_old) > 0) {
        h.at[h.n++] = buf_bytes(&c->new_with_old);
        h.at[h.n++] = buf_bytes(&c->old_with_new);
    }
    for (size_t i = 0; i < c->ca->rollover->len && h.n < HANDED_OUT_MAX - 1 - CA_FORMER_MAX; i++)
        if (!vouches_for_itself(c->ca->rollover->certs[i]) && is_wanted_still(c, c->ca->rollover->certs[i]))
            h.at[h.n++] = c->ca->rollover->certs[i];
    h.at[h.n++] = ca_certificate(c->ca);
    for (size_t i = 0; i < c->ca->rollover->len && h.n < HANDED_OUT_MAX; i++)
        if (vouches_for_itself(c->ca->rollover->certs[i]) && is_wanted_still(c, c->ca->rollover->certs[i]))
            h.at[h.n++] = c->ca->rollover->certs[i];
    return tt_cert_list_to_pem(ret, &(struct tt_cert_list){h.at, h.n}, h.n, err);
}

/* ---- the store ---- */

static tt_rc last_take(void *arg, const struct store_row *row)
{
    *(int64_t *)arg = row_int(row, 0);
    return TT_OK;
}

static tt_rc key_put(struct ca *ca, int64_t number, const char *spki, const char *name, int64_t now,
                     struct tt_error *err)
{
    const struct statement put = {
        .sql = "INSERT INTO ca_key (number, spki, name, since) SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), "
               "CAST($3 AS TEXT), CAST($4 AS BIGINT) WHERE NOT EXISTS (SELECT 1 FROM ca_key WHERE spki = $2)",
        STORE_ARGS(store_int(number), store_text(spki), store_text(name), store_int(now))};
    return store_run(ca->store, &put, NULL, err);
}

/* The name of the key of today as the store has it. */
static tt_rc first_key(struct ca *ca, const struct change *c, struct tt_error *err)
{
    const char *slash = strrchr(ca->key, '/');
    const char *name = slash != NULL && strlen(ca->dir) == (size_t)(slash - ca->key) &&
                               strncmp(ca->key, ca->dir, (size_t)(slash - ca->key)) == 0 &&
                               dir_is_key_name(slash + 1)
                           ? slash + 1
                           : ca->key;
    return key_put(ca, 0, c->former_spki, name, ca->not_before, err);
}

static tt_rc keys_write(void *arg, struct ca *ca, struct head *h, struct tt_error *err)
{
    struct change *c = arg;
    char sha256[CA_SHA256_HEX];
    int64_t last = 0;
    const struct statement ask = {
        .sql = "SELECT coalesce(max(number), 0) FROM ca_key", .fn = last_take, .arg = &last};
    if (ca->key_number == 0)
        TT_TRY(first_key(ca, c, err));
    TT_TRY(store_run(ca->store, &ask, NULL, err));
    TT_TRY(key_put(ca, last + 1, c->spki, c->key, c->want->now, err));
    sha256_text(sha256, buf_bytes(&c->next));
    return act_add(ca, h, "rollover",
                   json_pack("{s:s, s:s, s:s, s:s}", "by", c->want->by == NULL ? "" : c->want->by, "sha256",
                             sha256, "key", c->spki, "formerKey", c->former_spki),
                   c->want->now, err);
}

/* ---- the files ---- */

static tt_rc file_put(const struct ca *ca, const char *name, const char *text, unsigned mode,
                      struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_path(path, ca->dir, name, err));
    return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)text, strlen(text)},
                      (struct file_want){mode, FILE_OURS}, err);
}

/* A software key has the name of its hash, so that each key of the CA has its own. */
static tt_rc key_keep(struct change *c, struct tt_error *err)
{
    if (c->want->key_pem == NULL) {
        int n = snprintf(c->key, sizeof c->key, "%s", c->want->key);
        return n > 0 && (size_t)n < sizeof c->key
                   ? TT_OK
                   : error_set(err, TT_ERR_USAGE, "the key's name is too long");
    }
    (void)snprintf(c->key, sizeof c->key, "ca-%.16s.key", c->spki);
    TT_TRY(file_put(c->ca, CA_NEXT_KEY_FILE, c->want->key_pem, 0600, err));
    return file_put(c->ca, c->key, c->want->key_pem, 0600, err);
}

static tt_rc switch_over(struct change *c, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *chain = NULL;
    TT_AUTO(mem_free_auto) char *more = NULL;
    TT_TRY(chain_pem(&chain, buf_bytes(&c->next), c->parent, err));
    TT_TRY(handed_out(&more, c, err));
    TT_TRY(key_keep(c, err));
    if (c->parent != NULL)
        TT_TRY(below_record(&c->below, err));
    TT_TRY(ca_write(c->ca, keys_write, c, err));
    TT_TRY(file_put(c->ca, CA_ROLLOVER_FILE, more, 0644, err));
    TT_TRY(file_put(c->ca, CA_CERT_FILE, chain, 0644, err)); /* from here on it is the new CA */
    ca_next_key_done(c->ca);
    return TT_OK;
}

static tt_rc change_run(struct change *c, struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    sha256_text(c->spki, c->signer->spki);
    TT_TRY(tt_cert_describe(&info, ca_certificate(c->ca), err));
    (void)snprintf(c->former_spki, sizeof c->former_spki, "%s", info->spki_sha256);
    tt_cert_info_free(info);
    TT_TRY(unchanged(c, err));
    TT_TRY(may_change(c, err));
    TT_TRY(c->parent == NULL ? root_build(c, err) : below_build(c, err));
    return switch_over(c, err);
}

tt_rc ca_change_key(struct ca *ca, const struct ca_change *want, const struct tt_pki_signer *signer,
                    struct ca *parent, struct tt_error *err)
{
    TT_AUTO(lock_drop) int lock = -1;
    struct change c = {.ca = ca, .parent = parent, .want = want, .signer = signer};
    if (!ca->has_signer)
        return error_set(err, TT_ERR_USAGE, "the CA's key is not open");
    TT_TRY(dir_lock(&lock, ca->dir, err));
    tt_rc rc = change_run(&c, err);
    buf_free(&c.next);
    buf_free(&c.below.der);
    buf_free(&c.new_with_old);
    buf_free(&c.old_with_new);
    return rc;
}

tt_rc ca_next_key(const struct ca *ca, char **ret_pem, struct tt_error *err)
{
    size_t len = 0;
    return dir_read(ret_pem, &len, ca->dir, CA_NEXT_KEY_FILE, err);
}

void ca_next_key_done(const struct ca *ca)
{
    dir_remove(ca->dir, CA_NEXT_KEY_FILE);
}
