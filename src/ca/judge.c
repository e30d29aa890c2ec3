/* ca/judge.c: the rules a request is held to: those of anybody's (pki/csr_read.c), of the profile, of the
 * requester. Layer: ca. RFC 5280 section 4.2.1.6, RFC 7030 section 4.2.2.
 *
 * Attacks: a name of somebody else, a name for every host, a key or a subject that is the CA's own, a token
 * for one device used for another. */
#include "ca/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ca/name_rule.h"
#include "pki/cert.h"
#include "pki/dn.h"
#include "pki/key.h"
#include "pki/san.h"
#include "pki/text.h"

void known_free(struct known *k)
{
    buf_free(&k->certificate);
}

void judged_free(struct judged *j)
{
    csr_free(&j->csr);
    OPENSSL_free(j->spki);
    OPENSSL_free(j->names);
    mem_free(j->subject);
    mem_free(j->sans);
    mem_free(j->key);
    *j = (struct judged){0};
}

bool refuse(struct ca_answer *a, enum ca_refusal why, tt_rc rc, const char *hint, const char *fmt, ...)
{
    char text[sizeof a->reason.text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    error_cut(text);
    a->verdict = CA_REFUSED;
    a->why = why;
    (void)error_set(&a->reason, rc, "%s", text);
    if (hint != NULL)
        error_hint(&a->reason, "%s", hint);
    return false;
}

/* ---- the words ---- */

static const struct {
    const char *word;
    bool auth;
} refusals[CA_REFUSALS] = {
    [CA_REFUSED_NOT] = {"", false},
    [CA_REFUSED_DAMAGED] = {"damaged", false},
    [CA_REFUSED_TOO_LARGE] = {"too-large", false},
    [CA_REFUSED_SIGNATURE] = {"bad-signature", false},
    [CA_REFUSED_SIGNATURE_KIND] = {"signature-algorithm", false},
    [CA_REFUSED_KEY_WEAK] = {"weak-key", false},
    [CA_REFUSED_KEY_DAMAGED] = {"malformed-key", false},
    [CA_REFUSED_KEY_KIND] = {"key-type", false},
    [CA_REFUSED_ASKS_CA] = {"asks-ca", false},
    [CA_REFUSED_CRITICAL_EXTENSION] = {"critical-extension", false},
    [CA_REFUSED_DUPLICATE] = {"duplicate", false},
    [CA_REFUSED_SUBJECT_EMPTY] = {"empty-subject", false},
    [CA_REFUSED_CHARACTERS] = {"control-characters", false},
    [CA_REFUSED_NAME_KIND] = {"name-kind", false},
    [CA_REFUSED_NAME_FORM] = {"name-form", false},
    [CA_REFUSED_NAMES_MANY] = {"too-many-names", false},
    [CA_REFUSED_WILDCARD] = {"wildcard", false},
    [CA_REFUSED_ADDRESS] = {"address", false},
    [CA_REFUSED_NAME] = {"name-not-allowed", false},
    [CA_REFUSED_NO_HOST] = {"no-host", false},
    [CA_REFUSED_CA_NAME] = {"ca-name", false},
    [CA_REFUSED_PROFILE] = {"profile", false},
    [CA_REFUSED_DAYS] = {"validity", false},
    [CA_REFUSED_NOT_ATTESTED] = {"not-attested", false},
    [CA_REFUSED_TOKEN] = {"token", true},
    [CA_REFUSED_CERTIFICATE] = {"certificate", true},
    [CA_REFUSED_RENEWAL] = {"renewal", false},
    [CA_REFUSED_REJECTED] = {"rejected", true},
};

const char *ca_refusal_word(enum ca_refusal why)
{
    return (unsigned)why < CA_REFUSALS ? refusals[why].word : "?";
}

bool ca_refusal_is_auth(enum ca_refusal why)
{
    return (unsigned)why < CA_REFUSALS && refusals[why].auth;
}

static enum ca_refusal refusal_of(enum csr_flaw flaw)
{
    static const enum ca_refusal of[] = {
        [FLAW_NONE] = CA_REFUSED_NOT,
        [FLAW_DAMAGED] = CA_REFUSED_DAMAGED,
        [FLAW_TOO_LARGE] = CA_REFUSED_TOO_LARGE,
        [FLAW_SIGNATURE] = CA_REFUSED_SIGNATURE,
        [FLAW_SIGNATURE_KIND] = CA_REFUSED_SIGNATURE_KIND,
        [FLAW_KEY_WEAK] = CA_REFUSED_KEY_WEAK,
        [FLAW_KEY_DAMAGED] = CA_REFUSED_KEY_DAMAGED,
        [FLAW_KEY_KIND] = CA_REFUSED_KEY_KIND,
        [FLAW_ASKS_CA] = CA_REFUSED_ASKS_CA,
        [FLAW_CRITICAL_EXTENSION] = CA_REFUSED_CRITICAL_EXTENSION,
        [FLAW_DUPLICATE] = CA_REFUSED_DUPLICATE,
        [FLAW_SUBJECT_EMPTY] = CA_REFUSED_SUBJECT_EMPTY,
        [FLAW_CHARACTERS] = CA_REFUSED_CHARACTERS,
        [FLAW_NAME_KIND] = CA_REFUSED_NAME_KIND,
        [FLAW_NAME_FORM] = CA_REFUSED_NAME_FORM,
        [FLAW_NAMES_MANY] = CA_REFUSED_NAMES_MANY,
    };
    return of[flaw];
}

/* ---- the request ---- */

static tt_rc request_read(struct judged *j, struct ca_answer *a, struct tt_bytes csr, struct tt_error *err)
{
    struct tt_error why = {0};
    tt_rc rc = csr_read(&j->csr, csr, &why);
    if (rc == TT_OK)
        return TT_OK;
    if (rc == TT_ERR_MEMORY || j->csr.flaw == FLAW_NONE)
        return error_set(err, rc, "%s", why.text);
    refuse(a, refusal_of(j->csr.flaw), rc, why.hint, "%s", why.text);
    return TT_OK;
}

static tt_rc encode(struct judged *j, struct tt_error *err)
{
    int spki = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(j->csr.req), &j->spki);
    int names = j->csr.sans == NULL ? 0 : i2d_GENERAL_NAMES(j->csr.sans, &j->names);
    TT_AUTO(buf_free) struct buf sans = {0};
    ERR_clear_error();
    if (spki <= 0 || names < 0 || text_name(&j->subject, X509_REQ_get_subject_name(j->csr.req)) != TT_OK ||
        san_print(&sans, j->csr.sans) != TT_OK || text_take(&j->sans, &sans) != TT_OK ||
        key_describe(&j->key, X509_REQ_get0_pubkey(j->csr.req)) != TT_OK)
        return ca_no_memory(err);
    j->spki_len = (size_t)spki;
    j->names_len = (size_t)names;
    return TT_OK;
}

/* ---- keys ---- */

/* "P-256", "RSA-3072" (that or more), "Ed25519", "ML-DSA-65". */
static bool key_allowed(const struct profile *p, const char *key)
{
    for (size_t i = 0; i < p->keys.len; i++) {
        const char *rule = p->keys.at[i];
        bool both = strncasecmp(rule, "RSA-", 4) == 0 && strncmp(key, "RSA ", 4) == 0;
        if (strcasecmp(rule, key) == 0)
            return true;
        if (both && strtoul(key + 4, NULL, 10) >= strtoul(rule + 4, NULL, 10))
            return true;
    }
    return p->keys.len == 0;
}

static bool key_judge(const struct judged *j, struct ca_answer *a, const struct ca *ca)
{
    if (!key_allowed(j->profile, j->key)) {
        bool rsa = strncmp(j->key, "RSA", 3) == 0;
        for (size_t i = 0; rsa && i < j->profile->keys.len; i++)
            if (strncmp(j->profile->keys.at[i], "RSA-", 4) == 0)
                return refuse(a, CA_REFUSED_KEY_WEAK, TT_ERR_UNSUPPORTED, NULL,
                              "the request's key is %s, which is too weak for the profile %s", j->key,
                              j->profile->name);
        return refuse(a, CA_REFUSED_KEY_KIND, TT_ERR_UNSUPPORTED, NULL,
                      "the request's key is %s, which the profile %s does not take", j->key,
                      j->profile->name);
    }
    /* A leaf named like its issuer, or with its key, makes path building go in circles. */
    if (X509_NAME_cmp(X509_REQ_get_subject_name(j->csr.req), X509_get_subject_name(ca->cert)) == 0)
        return refuse(a, CA_REFUSED_CA_NAME, TT_ERR_UNSUPPORTED, NULL,
                      "the request's subject is the CA's own name");
    if (EVP_PKEY_eq(X509_REQ_get0_pubkey(j->csr.req), X509_get0_pubkey(ca->cert)) == 1)
        return refuse(a, CA_REFUSED_CA_NAME, TT_ERR_UNSUPPORTED, NULL, "the request is for the CA's own key");
    ERR_clear_error();
    return true;
}

/* ---- names ---- */

static void cn_of(char *ret, size_t cap, const X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, -1);
    TT_AUTO(ossl_free_auto) uint8_t *utf8 = NULL;
    int len =
        at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    ERR_clear_error();
    ret[0] = '\0';
    if (len > 0 && (size_t)len < cap && memchr(utf8, '\0', (size_t)len) == NULL)
        (void)snprintf(ret, cap, "%.*s", len, (const char *)utf8);
}

static int cn_count(const X509_NAME *name)
{
    int n = 0;
    for (int at = -1;
         (at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, at)) >= 0;)
        n++;
    return n;
}

static bool name_refused(struct ca_answer *a, const struct profile *p, const struct asked_name *n)
{
    if (n->wildcard && !p->wildcards)
        return refuse(a, CA_REFUSED_WILDCARD, TT_ERR_UNSUPPORTED,
                      "wildcards = yes in the profiles file allows it; or ask for the hosts one by one",
                      "the request asks for the wildcard %.100s, which the profile %s does not allow",
                      n->text, p->name);
    return refuse(a, n->address ? CA_REFUSED_ADDRESS : CA_REFUSED_NAME, TT_ERR_UNSUPPORTED,
                  "the key names of that profile has its rules",
                  "the request asks for %.100s, which the profile %s does not allow", n->text, p->name);
}

static tt_rc names_judge(struct judged *j, struct ca_answer *a, struct tt_error *err)
{
    const struct profile *p = j->profile;
    int n = sk_GENERAL_NAME_num(j->csr.sans);
    char cn[256];
    cn_of(cn, sizeof cn, X509_REQ_get_subject_name(j->csr.req));
    if (n > 0 && (unsigned)n > p->names_max) {
        refuse(a, CA_REFUSED_NAMES_MANY, TT_ERR_UNSUPPORTED, NULL,
               "the request asks for %d alternative names; the profile %s allows %u", n, p->name,
               p->names_max);
        return TT_OK;
    }
    for (int i = 0; i < n; i++) {
        TT_AUTO(asked_name_free) struct asked_name name = {0};
        TT_TRY(asked_name_of(&name, sk_GENERAL_NAME_value(j->csr.sans, i), err));
        if ((name.wildcard && !p->wildcards) || !name_allowed(&p->names, &name, cn)) {
            name_refused(a, p, &name);
            return TT_OK;
        }
    }
    struct tt_error why = {0};
    tt_rc rc = names_add_rules(&j->csr.sans, &p->add, cn, &why);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "%s", why.text);
    if (rc != TT_OK)
        refuse(a, CA_REFUSED_NAME_FORM, TT_ERR_UNSUPPORTED, why.hint,
               "the profile %s makes a name of the CN: %s", p->name, why.text);
    return TT_OK;
}

static bool whole_judge(const struct judged *j, struct ca_answer *a)
{
    if (j->profile->need_host && !san_has_host(j->csr.sans))
        return refuse(
            a, CA_REFUSED_NO_HOST, TT_ERR_UNSUPPORTED,
            "make the request with --san DNS:name or --san IP:address; clients do not look at the CN",
            "a server's certificate needs a DNS name or an IP address, and the request has none");
    if (j->profile->need_subject && X509_NAME_entry_count(X509_REQ_get_subject_name(j->csr.req)) == 0)
        return refuse(a, CA_REFUSED_SUBJECT_EMPTY, TT_ERR_UNSUPPORTED, NULL,
                      "the request has no subject, and the profile %s wants one", j->profile->name);
    return true;
}

/* ---- the requester ---- */

/* Is text one of the lines? */
static bool is_line(const char *lines, const char *text)
{
    size_t len = strlen(text);
    for (const char *line = lines; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (n == len && strncasecmp(line, text, n) == 0)
            return true;
        line += n + (line[n] == '\n');
    }
    return false;
}

/* The value of one of the lines: "a.example" of "DNS:a.example". */
static bool is_value(const char *lines, const char *text)
{
    size_t len = strlen(text);
    for (const char *line = lines; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        const char *colon = memchr(line, ':', n);
        if (colon != NULL && (size_t)(line + n - colon - 1) == len && strncasecmp(colon + 1, text, len) == 0)
            return true;
        line += n + (line[n] == '\n');
    }
    return false;
}

static tt_rc bond_of_subject(bool *ret, const struct judged *j, const struct known *k, const char *cn,
                             struct tt_error *err)
{
    const X509_NAME *subject = X509_REQ_get_subject_name(j->csr.req);
    int cns = cn_count(subject);
    if (k->subject[0] == '/') {
        TT_AUTO(X509_NAME_free_auto) X509_NAME *name = NULL;
        TT_TRY(dn_parse(&name, k->subject, err));
        *ret = X509_NAME_cmp(name, subject) == 0;
    } else if (strchr(k->subject, '=') != NULL) {
        *ret = strcmp(k->subject, j->subject) == 0;
    } else if (k->subject[0] != '\0') {
        *ret = cns == 0 ? sk_GENERAL_NAME_num(j->csr.sans) > 0 : cns == 1 && strcasecmp(cn, k->subject) == 0;
    } else { /* names alone: a CN is one, too */
        *ret = cns == 0 || (cns == 1 && is_value(k->names, cn));
    }
    return TT_OK;
}

/* A token's bond: a subject ("CN=a,O=b" or "/O=b/CN=a") or a name, and alternative names. Each that is asked
 * for has to be one that the token lists, or the name that it is for: of a subject its CN. */
static tt_rc bond_judge(const struct judged *j, struct ca_answer *a, const struct known *k,
                        struct tt_error *err)
{
    bool kept = false, is_whole = strchr(k->subject, '=') != NULL;
    char cn[256];
    cn_of(cn, sizeof cn, X509_REQ_get_subject_name(j->csr.req));
    TT_TRY(bond_of_subject(&kept, j, k, cn, err));
    const char *own = is_whole ? cn : k->subject;
    for (int i = 0; kept && i < sk_GENERAL_NAME_num(j->csr.sans); i++) {
        TT_AUTO(asked_name_free) struct asked_name name = {0};
        TT_TRY(asked_name_of(&name, sk_GENERAL_NAME_value(j->csr.sans, i), err));
        kept = is_line(k->names, name.text) || (own[0] != '\0' && strcasecmp(name.value, own) == 0);
        if (!kept)
            refuse(a, CA_REFUSED_NAME, TT_ERR_UNSUPPORTED,
                   "tpmtls ca token create --san lists names for a token",
                   "the token is for %.100s%s, and the request asks for the name %.100s", k->subject,
                   k->subject[0] == '\0' ? "certain names" : "", name.text);
    }
    if (!kept && a->why == CA_REFUSED_NOT)
        refuse(a, CA_REFUSED_NAME, TT_ERR_UNSUPPORTED, NULL,
               "the token is for %.100s%s, and the request asks for %.100s", k->subject,
               k->subject[0] == '\0' ? "certain names" : "", j->subject[0] != '\0' ? j->subject : j->sans);
    return TT_OK;
}

/* "The request Subject field and SubjectAltName extension MUST be identical to the corresponding fields in
 * the certificate being renewed/rekeyed" (RFC 7030 section 4.2.2); the names in any order. */
static tt_rc renewal_judge(const struct judged *j, struct ca_answer *a, const struct known *k,
                           struct tt_error *err)
{
    TT_AUTO(X509_free_auto) X509 *old = cert_read(buf_bytes(&k->certificate));
    if (old == NULL)
        return error_set(err, TT_ERR_DECODE, "a certificate in the CA's store is damaged");
    TT_AUTO(GENERAL_NAMES_free_auto)
    GENERAL_NAMES *names = X509_get_ext_d2i(old, NID_subject_alt_name, NULL, NULL);
    bool same = X509_NAME_cmp(X509_get_subject_name(old), X509_REQ_get_subject_name(j->csr.req)) == 0;
    ERR_clear_error();
    if (!same || !names_same(names, j->csr.sans))
        refuse(a, CA_REFUSED_RENEWAL, TT_ERR_UNSUPPORTED,
               "ask for the same subject and alternative names, or enrol anew",
               "the request's %s of the certificate that is renewed",
               same ? "alternative names are not those" : "subject is not that");
    return TT_OK;
}

/* With one identity for a TPM it is that TPM's that renews, too. */
static bool same_tpm(const struct judged *j, const struct ca_order *o, const struct known *k)
{
    return !j->profile->one_identity || k->who != CA_BY_ATTESTATION || o->ek == NULL ||
           strcmp(o->ek, k->requester) == 0;
}

static tt_rc requester_judge(const struct judged *j, struct ca_answer *a, const struct ca_order *o,
                             const struct known *k, struct tt_error *err)
{
    if (o->by.who == CA_BY_TOKEN && (k->subject[0] != '\0' || k->names[0] != '\0'))
        return bond_judge(j, a, k, err);
    if (o->by.who != CA_BY_CERTIFICATE)
        return TT_OK;
    TT_TRY(renewal_judge(j, a, k, err));
    if (a->why == CA_REFUSED_NOT && !same_tpm(j, o, k))
        refuse(a, CA_REFUSED_RENEWAL, TT_ERR_UNSUPPORTED, "enrol anew, by evidence alone",
               "the evidence is of another TPM than the one that the certificate was given to");
    return TT_OK;
}

/* ---- the whole ---- */

static bool profile_judge(struct judged *j, struct ca_answer *a, const struct ca *ca,
                          const struct ca_order *o, const struct known *k)
{
    const char *name = o->profile != NULL && o->profile[0] != '\0' ? o->profile : k->profile;
    j->profile = profiles_find(ca->profiles, name);
    if (j->profile == NULL)
        return refuse(a, CA_REFUSED_PROFILE, TT_ERR_USAGE, "profiles.ini in the CA's directory has them",
                      "this CA has no profile '%.60s'", name);
    const struct profile *own = profiles_find(ca->profiles, k->profile);
    bool is_owner = o->by.who == CA_BY_TOKEN || o->by.who == CA_BY_CERTIFICATE;
    bool invited = o->by.who == CA_BY_OPERATOR || (j->profile->requesters & REQUESTER(o->by.who)) != 0;
    if (invited && !(is_owner && own != j->profile))
        return true;
    return refuse(a, CA_REFUSED_PROFILE, TT_ERR_UNSUPPORTED,
                  invited ? NULL : "the key requesters of that profile says for whom it is",
                  "the profile %s is not for this requester", j->profile->name);
}

static bool evidence_judge(const struct judged *j, struct ca_answer *a, const struct ca_order *o)
{
    if (j->profile->attestation && !o->attested)
        return refuse(
            a, CA_REFUSED_NOT_ATTESTED, TT_ERR_UNSUPPORTED, NULL,
            "the profile %s demands that the key is shown to be in a TPM, and the request has no such "
            "evidence",
            j->profile->name);
    return true;
}

tt_rc judge(struct judged *ret, struct ca_answer *a, const struct ca *ca, const struct ca_order *o,
            const struct known *k, struct tt_error *err)
{
    struct judged *j = ret;
    profile_judge(j, a, ca, o, k);
    if (a->why == CA_REFUSED_NOT)
        TT_TRY(request_read(j, a, o->csr, err));
    if (a->why != CA_REFUSED_NOT)
        return TT_OK;
    TT_TRY(encode(j, err));
    key_judge(j, a, ca);
    if (a->why == CA_REFUSED_NOT)
        TT_TRY(requester_judge(j, a, o, k, err));
    size_t asked = (size_t)(sk_GENERAL_NAME_num(j->csr.sans) > 0 ? sk_GENERAL_NAME_num(j->csr.sans) : 0);
    if (a->why == CA_REFUSED_NOT)
        TT_TRY(names_judge(j, a, err));
    if (a->why == CA_REFUSED_NOT)
        whole_judge(j, a);
    if (a->why == CA_REFUSED_NOT)
        evidence_judge(j, a, o);
    if (a->why == CA_REFUSED_NOT &&
        sk_GENERAL_NAME_num(j->csr.sans) > (int)asked) { /* the profile added some */
        OPENSSL_free(j->names);
        OPENSSL_free(j->spki);
        j->names = j->spki = NULL;
        mem_free(j->subject);
        mem_free(j->sans);
        mem_free(j->key);
        j->subject = j->sans = j->key = NULL;
        return encode(j, err);
    }
    return TT_OK;
}
