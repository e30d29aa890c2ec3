/* ca/authority.h: what the files of this layer share: the open CA, its head, its acts. Layer: ca. Not for
 * others. */
#ifndef CA_AUTHORITY_H
#define CA_AUTHORITY_H

#include <jansson.h>
#include <limits.h>
#include <openssl/x509.h>

#include "ca/ca.h"
#include "ca/profile.h"
#include "ca/store.h"
#include "pki/cert_build.h"

#define CA_DAY         INT64_C(86400)
#define CA_CLOCK_SLACK 300 /* seconds before now that a certificate is valid already: clocks differ */
#define CA_DAYS_MAX    36500
#define CA_SHA256_HEX  65

#define CA_FORMER_MAX 4

struct ocsp_state;

/* struct ca: an open CA. A former key of it is a CA like this one, on the same store (ca/former.c). */
struct ca {
    struct store *store;
    char dir[PATH_MAX];
    char *key;
    struct tt_cert_list *chain, *rollover;
    X509 *cert;
    int64_t not_before, not_after;
    uint8_t *key_id; /* its subject key identifier, for authorityKeyIdentifier */
    size_t key_id_len;
    char key_id_text[CA_KEY_ID_SIZE]; /* "": it has none */
    int64_t key_number;               /* in the table ca_key; 0: the first */
    struct tt_bytes own;              /* its certificate, in chain or rollover */
    bool is_former;                   /* store, chain, rollover and profiles are another's */
    struct ca *former[CA_FORMER_MAX];
    size_t former_len;
    struct profiles *profiles;
    struct tt_pki_signer signer;
    bool has_signer;
    struct ocsp_state *ocsp; /* NULL until the first question */
};

/* struct head: the row of the table head: read after store_begin, written before store_commit. */
struct head {
    int64_t certificates, requests, tokens, crls, acts, revision;
    char hash[CA_SHA256_HEX];
};
TT_MUST_USE tt_rc head_read(struct ca *ca, struct head *ret, struct tt_error *err);
TT_MUST_USE tt_rc head_write(struct ca *ca, const struct head *h, struct tt_error *err);

/* act_add: one line of the audit log: what (taken over, may be NULL: no memory) with number, time and the
 * hash of the one before. act: "issue", "revoke", ... */
TT_MUST_USE tt_rc act_add(struct ca *ca, struct head *h, const char *act, json_t *what, int64_t now,
                          struct tt_error *err);

/* act_hash: of the act of this number. */
TT_MUST_USE tt_rc act_hash(struct ca *ca, int64_t number, char ret[CA_SHA256_HEX]);

/* ca_write: fn within a transaction with the head: once more after a lost connection, never twice in the
 * store. */
typedef tt_rc (*ca_write_fn)(void *arg, struct ca *ca, struct head *h, struct tt_error *err);
TT_MUST_USE tt_rc ca_write(struct ca *ca, ca_write_fn fn, void *arg, struct tt_error *err);
/* ca_ask: store_run for one that only reads: once more after a lost connection. */
TT_MUST_USE tt_rc ca_ask(struct ca *ca, const struct statement *what, int64_t *ret_rows,
                         struct tt_error *err);

/* ca_who_word: "operator", "token", "certificate", "attestation". */
const char *ca_who_word(enum ca_who who);
/* serial_plain: "4A:0B" as other programs print it, in the store's form. false: no serial number. */
bool serial_plain(char ret[CA_SERIAL_HEX], const char *text);
/* id_number: of "17"; -1: it is none. id_text: and back. */
int64_t id_number(const char *id);
void id_text(char ret[CA_ID_HEX], int64_t number);
void sha256_text(char ret[CA_SHA256_HEX], struct tt_bytes b);
tt_rc ca_no_memory(struct tt_error *err);

/* ca_of_certificate: fill in what its certificate says; der stays with the CA. */
TT_MUST_USE tt_rc ca_of_certificate(struct ca *ca, struct tt_bytes der, struct tt_error *err);
/* ca_key_of: number and name of the key with this SHA-256, of a CA whose directory is ca->dir; *ret_there:
 * there is a row. name: mem_free. */
TT_MUST_USE tt_rc ca_key_of(struct ca *ca, const char *spki_sha256, bool *ret_there, int64_t *ret_number,
                            char **ret_name, struct tt_error *err);
/* former_load: after certificates and key. former_tend: the CRL and the responder's certificate of each
 * former key that is needed still and at hand. */
TT_MUST_USE tt_rc former_load(struct ca *ca, struct tt_error *err);
TT_MUST_USE tt_rc former_tend(struct ca *ca, int64_t now, struct tt_error *err);
/* refused_forget: requests that were refused long ago, or before the last CA_REFUSED_KEPT of them. */
#define CA_REFUSED_KEPT 100000
TT_MUST_USE tt_rc refused_forget(struct ca *ca, int64_t now, struct tt_error *err);
/* crl_make: a complete list of now, signed by `key`: ca itself, or a former key of it. *plan: number and
 * freshest are the caller's, the dates are filled in. Within ca_write. */
struct crl_plan;
TT_MUST_USE tt_rc crl_make(struct buf *ret, struct crl_plan *plan, struct ca *ca, const struct ca *key,
                           int64_t now, struct tt_error *err);

void ocsp_state_free(struct ocsp_state *s);
/* ocsp_tend: the responder's certificate, before it ends. */
TT_MUST_USE tt_rc ocsp_tend(struct ca *ca, int64_t now, struct tt_error *err);

/* struct ca_subject: whom a certificate is for, and what it says. */
struct ca_subject {
    const X509_NAME *name;
    struct tt_bytes spki;
    struct tt_bytes names; /* DER of GeneralNames, or empty */
    const struct profile *profile;
    int64_t not_before, not_after;
    bool delegation; /* beside what the profile says */
};
/* ca_certify: the certificate (DER, appended), by the CA's key, and its serial number: TT_ERR_USAGE without a
 * signer. Records nothing. */
TT_MUST_USE tt_rc ca_certify(struct buf *ret, char ret_serial[CA_SERIAL_HEX], const struct ca *ca,
                             const struct ca_subject *s, struct tt_error *err);
/* ca_period: not before and not after for days (0: those of ret's profile) from now, within the CA's own;
 * TT_ERR_UNSUPPORTED, TT_ERR_USAGE. */
TT_MUST_USE tt_rc ca_period(struct ca_subject *ret, const struct ca *ca, unsigned days, int64_t now,
                            struct tt_error *err);
/* ca_alive: is the CA's own certificate valid now? */
TT_MUST_USE tt_rc ca_alive(const struct ca *ca, int64_t now, struct tt_error *err);

/* struct ca_record: a certificate for the store, with its act. */
struct ca_record {
    struct tt_bytes der;
    const char *serial, *subject, *names, *profile;
    int64_t not_before, not_after, request, ca_key; /* ca_key: that signed it */
    struct ca_requester by;
    bool attested;
};
TT_MUST_USE tt_rc ca_record_add(struct ca *ca, struct head *h, const struct ca_record *r, int64_t now,
                                struct tt_error *err);

#endif
