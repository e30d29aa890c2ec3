/* ca/profile.c: the profiles file: inih reads the lines, a table has the keys. Layer: ca. */
#include "ca/profile.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ca/ca.h"
#include "pki/extension.h"

#define DAYS_MAX 36500

enum value_kind {
    VALUE_NUMBER,
    VALUE_BOOL,
    VALUE_TEXT,
    VALUE_WORDS,
    VALUE_USAGE,
    VALUE_NEED,
    VALUE_APPROVAL,
    VALUE_REQUESTERS
};

struct key {
    const char *name;
    enum value_kind kind;
    size_t at;
    unsigned max; /* of a number */
};

#define IN(type, member) offsetof(struct type, member)
static const struct key profile_keys[] = {
    {"days", VALUE_NUMBER, IN(profile, days), DAYS_MAX},
    {"max-days", VALUE_NUMBER, IN(profile, max_days), DAYS_MAX},
    {"ca", VALUE_BOOL, IN(profile, ca), 0},
    {"path-length", VALUE_NUMBER, IN(profile, path_len), 10},
    {"key-usage", VALUE_USAGE, IN(profile, usage), 0},
    {"purposes", VALUE_WORDS, IN(profile, purposes), 0},
    {"policies", VALUE_WORDS, IN(profile, policies), 0},
    {"names", VALUE_WORDS, IN(profile, names), 0},
    {"add", VALUE_WORDS, IN(profile, add), 0},
    {"names-max", VALUE_NUMBER, IN(profile, names_max), 100},
    {"wildcards", VALUE_BOOL, IN(profile, wildcards), 0},
    {"need", VALUE_NEED, 0, 0},
    {"keys", VALUE_WORDS, IN(profile, keys), 0},
    {"must-staple", VALUE_BOOL, IN(profile, must_staple), 0},
    {"delegation", VALUE_BOOL, IN(profile, delegation), 0},
    {"attestation", VALUE_BOOL, IN(profile, attestation), 0},
    {"one-identity", VALUE_BOOL, IN(profile, one_identity), 0},
    {"ocsp-nocheck", VALUE_BOOL, IN(profile, ocsp_nocheck), 0},
    {"approval", VALUE_APPROVAL, IN(profile, approval), 0},
    {"requesters", VALUE_REQUESTERS, 0, 0},
    {"crl-url", VALUE_WORDS, IN(profile, crl_url), 0},
    {"ocsp-url", VALUE_TEXT, IN(profile, ocsp_url), 0},
    {"issuer-url", VALUE_TEXT, IN(profile, issuer_url), 0},
    {NULL, VALUE_NUMBER, 0, 0},
};

/* struct reading: of one file. The section [ca] fills `all`, whose URLs go to the profiles that have none. */
struct reading {
    struct profiles *to;
    struct profile *now, *all;
    const char *where, *key_id;
    struct tt_error *err;
    int line;
    tt_rc rc;
};

static const struct key ca_keys[] = {
    {"default", VALUE_TEXT, IN(profiles, default_name), 0},
    {"delta-url", VALUE_TEXT, IN(profiles, delta_url), 0},
    {"crl-days", VALUE_NUMBER, IN(profiles, crl_days), 365},
    {"crl-overlap-hours", VALUE_NUMBER, IN(profiles, crl_overlap_hours), 24 * 365},
    {"ocsp-hours", VALUE_NUMBER, IN(profiles, ocsp_hours), 24 * 365},
    {"refused-days", VALUE_NUMBER, IN(profiles, refused_days), DAYS_MAX},
    {NULL, VALUE_NUMBER, 0, 0},
};

static tt_rc bad(struct reading *r, const char *what, const char *value)
{
    r->rc = error_set(r->err, TT_ERR_USAGE, "%.120s: %s: '%.80s'", r->where, what, value);
    return r->rc;
}

/* ---- values ---- */

static void words_free(struct words *w)
{
    for (size_t i = 0; i < w->len; i++)
        mem_free(w->at[i]);
    *w = (struct words){0};
}

static tt_rc words_take(struct reading *r, struct words *to, const char *value)
{
    words_free(to);
    for (const char *p = value + strspn(value, " \t,"); *p != '\0'; p += strspn(p, " \t,")) {
        size_t n = strcspn(p, " \t,");
        if (to->len == PROFILE_LIST_MAX) {
            words_free(to);
            return bad(r, "more words than a list may have", value);
        }
        to->at[to->len] = mem_dup(p, n);
        if (to->at[to->len] == NULL) {
            words_free(to);
            r->rc = error_set(r->err, TT_ERR_MEMORY, "out of memory");
            return r->rc;
        }
        to->len++;
        p += n;
    }
    return TT_OK;
}

static tt_rc number_take(struct reading *r, unsigned *to, unsigned max, const char *value)
{
    char *end = NULL;
    unsigned long n = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || n > max)
        return bad(r, "not a number, or too large", value);
    *to = (unsigned)n;
    return TT_OK;
}

static tt_rc bool_take(struct reading *r, bool *to, const char *value)
{
    bool yes =
        strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0 || strcasecmp(value, "on") == 0;
    bool no =
        strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0 || strcasecmp(value, "off") == 0;
    *to = yes;
    return yes || no ? TT_OK : bad(r, "neither yes nor no", value);
}

static tt_rc usage_take(struct reading *r, unsigned *to, const char *value)
{
    static const char *const bits[] = {"digitalSignature", "nonRepudiation", "keyEncipherment",
                                       "dataEncipherment", "keyAgreement",   "keyCertSign",
                                       "cRLSign",          "encipherOnly",   "decipherOnly"};
    struct words w = {0};
    unsigned usage = 0;
    TT_TRY(words_take(r, &w, value));
    for (size_t i = 0; i < w.len; i++) {
        size_t bit = 0;
        while (bit < TT_COUNT(bits) && strcasecmp(bits[bit], w.at[i]) != 0)
            bit++;
        if (bit == TT_COUNT(bits))
            (void)bad(r, "there is no such key usage", w.at[i]);
        else
            usage |= KEY_USAGE(bit);
    }
    words_free(&w);
    *to = usage;
    return r->rc;
}

static tt_rc need_take(struct reading *r, struct profile *p, const char *value)
{
    p->need_host = strstr(value, "host") != NULL;
    p->need_subject = strstr(value, "subject") != NULL;
    return p->need_host || p->need_subject ? TT_OK : bad(r, "need is host, subject or both", value);
}

/* "machine" is always among them: who has the CA's files decides anyway. */
static tt_rc requesters_take(struct reading *r, struct profile *p, const char *value)
{
    static const struct {
        const char *word;
        unsigned bit;
    } who[] = {{"machine", 0},
               {"operator", REQUESTER(CA_BY_ENROLLER)},
               {"token", REQUESTER(CA_BY_TOKEN)},
               {"certificate", REQUESTER(CA_BY_CERTIFICATE)},
               {"attestation", REQUESTER(CA_BY_ATTESTATION)}};
    struct words w = {0};
    unsigned bits = 0;
    TT_TRY(words_take(r, &w, value));
    for (size_t i = 0; i < w.len; i++) {
        size_t n = 0;
        while (n < TT_COUNT(who) && strcasecmp(who[n].word, w.at[i]) != 0)
            n++;
        if (n == TT_COUNT(who))
            (void)bad(r, "requesters are machine, operator, token, certificate and attestation", w.at[i]);
        else
            bits |= who[n].bit;
    }
    if (w.len == 0)
        (void)bad(r, "requesters are machine, operator, token, certificate and attestation", value);
    words_free(&w);
    p->requesters = bits;
    p->requesters_said = true;
    return r->rc;
}

static tt_rc approval_take(struct reading *r, enum profile_approval *to, const char *value)
{
    static const char *const words[] = {"never", "unattested", "always"};
    for (unsigned i = 0; i < TT_COUNT(words); i++)
        if (strcasecmp(value, words[i]) == 0) {
            *to = (enum profile_approval)i;
            return TT_OK;
        }
    return bad(r, "approval is never, unattested or always", value);
}

static tt_rc value_take(struct reading *r, const struct key *k, void *base, const char *value)
{
    char *at = (char *)base + k->at;
    switch (k->kind) {
    case VALUE_NUMBER:
        return number_take(r, (unsigned *)(void *)at, k->max, value);
    case VALUE_BOOL:
        return bool_take(r, (bool *)at, value);
    case VALUE_WORDS:
        return words_take(r, (struct words *)(void *)at, value);
    case VALUE_USAGE:
        return usage_take(r, (unsigned *)(void *)at, value);
    case VALUE_NEED:
        return need_take(r, base, value);
    case VALUE_APPROVAL:
        return approval_take(r, (enum profile_approval *)(void *)at, value);
    case VALUE_REQUESTERS:
        return requesters_take(r, base, value);
    case VALUE_TEXT:
        break;
    }
    char **text = (char **)(void *)at;
    mem_free(*text);
    *text = mem_strdup(value);
    if (*text == NULL)
        r->rc = error_set(r->err, TT_ERR_MEMORY, "out of memory");
    return r->rc;
}

static const struct key *key_find(const struct key *keys, const char *name)
{
    while (keys->name != NULL && strcmp(keys->name, name) != 0)
        keys++;
    return keys->name == NULL ? NULL : keys;
}

/* ---- sections ---- */

static bool name_ok(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return n > 0 && n < PROFILE_NAME_MAX && name[n] == '\0';
}

static struct profile *section(struct reading *r, const char *name)
{
    for (size_t i = 0; i < r->to->len; i++)
        if (strcmp(r->to->at[i].name, name) == 0)
            return &r->to->at[i];
    if (!name_ok(name) || r->to->len == PROFILES_MAX) {
        (void)bad(r, "no name for a profile, or too many of them", name);
        return NULL;
    }
    struct profile *p = &r->to->at[r->to->len];
    r->to->names[r->to->len++] = p->name;
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    p->days = 365;
    p->usage = USAGE_SIGNATURE;
    p->names_max = 20;
    return p;
}

/* inih's: 0 stops it. */
static int take(void *arg, const char *section_name, const char *name, const char *value)
{
    struct reading *r = arg;
    if (strcmp(section_name, "ca") == 0) {
        const struct key *k = key_find(ca_keys, name);
        if (k != NULL)
            return value_take(r, k, r->to, value) == TT_OK;
        k = strstr(name, "-url") != NULL ? key_find(profile_keys, name) : NULL;
        return k != NULL ? value_take(r, k, r->all, value) == TT_OK
                         : bad(r, "[ca] has no such key", name) == TT_OK;
    }
    struct profile *p = section(r, section_name);
    if (p == NULL)
        return 0;
    const struct key *k = key_find(profile_keys, name);
    return k == NULL ? bad(r, "a profile has no such key", name) == TT_OK
                     : value_take(r, k, p, value) == TT_OK;
}

/* ---- the whole ---- */

#define OIDS_BYTES 32
/* struct oids: contents of OBJECT IDENTIFIERs. */
struct oids {
    struct buf bytes[PROFILE_LIST_MAX];
    struct tt_bytes at[PROFILE_LIST_MAX];
};

static tt_rc oids_of(struct oids *ret, const struct words *w, struct tt_error *err)
{
    for (size_t i = 0; i < w->len; i++) {
        TT_TRY(oid_append(&ret->bytes[i], w->at[i], err));
        ret->at[i] = buf_bytes(&ret->bytes[i]);
    }
    return TT_OK;
}

static void oids_free(struct oids *o)
{
    for (size_t i = 0; i < PROFILE_LIST_MAX; i++)
        buf_free(&o->bytes[i]);
}

static struct tt_bytes text_bytes(const char *text)
{
    return (struct tt_bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static tt_rc fixed_build(struct profile *p, struct tt_error *err)
{
    TT_AUTO(oids_free) struct oids purposes = {0};
    TT_AUTO(oids_free) struct oids policies = {0};
    struct tt_bytes urls[PROFILE_LIST_MAX];
    TT_TRY(oids_of(&purposes, &p->purposes, err));
    TT_TRY(oids_of(&policies, &p->policies, err));
    for (size_t i = 0; i < p->crl_url.len; i++)
        urls[i] = text_bytes(p->crl_url.at[i]);
    struct writer w = writer_to(&p->fixed);
    extension_constraints(&w, p->ca, (int)p->path_len);
    extension_key_usage(&w, p->usage);
    if (p->purposes.len > 0)
        extension_purposes(&w, purposes.at, p->purposes.len);
    if (p->policies.len > 0)
        extension_policies(&w, policies.at, p->policies.len);
    if (p->crl_url.len > 0 && !p->ocsp_nocheck)
        extension_crl_points(&w, urls, p->crl_url.len);
    if ((p->ocsp_url != NULL && !p->ocsp_nocheck) || p->issuer_url != NULL)
        extension_authority_info(&w, text_bytes(p->ocsp_nocheck ? NULL : p->ocsp_url),
                                 text_bytes(p->issuer_url));
    if (p->must_staple)
        extension_must_staple(&w);
    if (p->ocsp_nocheck)
        extension_ocsp_nocheck(&w);
    return wr_status(&w) == TT_OK ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* {key} in a URL is the key that signs: what is there stays that key's also when the CA has another one. */
static tt_rc name_key(struct reading *r, char **url)
{
    static const char word[] = "{key}";
    const char *at = *url == NULL ? NULL : strstr(*url, word);
    if (at == NULL)
        return TT_OK;
    size_t n = strlen(*url) + strlen(r->key_id) + 1;
    char *named = mem_alloc(n);
    if (named == NULL)
        return error_set(r->err, TT_ERR_MEMORY, "out of memory");
    (void)snprintf(named, n, "%.*s%s%s", (int)(at - *url), *url, r->key_id, at + sizeof word - 1);
    mem_free(*url);
    *url = named;
    return TT_OK;
}

static tt_rc name_keys(struct reading *r, struct profile *p)
{
    TT_TRY(name_key(r, &p->issuer_url));
    for (size_t i = 0; i < p->crl_url.len; i++)
        TT_TRY(name_key(r, &p->crl_url.at[i]));
    return TT_OK;
}

/* A value of [ca] goes to whoever has none. */
static tt_rc inherit(struct reading *r, struct profile *p)
{
    if (p->ocsp_url == NULL && r->all->ocsp_url != NULL &&
        (p->ocsp_url = mem_strdup(r->all->ocsp_url)) == NULL)
        return error_set(r->err, TT_ERR_MEMORY, "out of memory");
    if (p->issuer_url == NULL && r->all->issuer_url != NULL &&
        (p->issuer_url = mem_strdup(r->all->issuer_url)) == NULL)
        return error_set(r->err, TT_ERR_MEMORY, "out of memory");
    for (size_t i = p->crl_url.len; i < r->all->crl_url.len; i++) {
        if (p->crl_url.len != i)
            break;
        p->crl_url.at[i] = mem_strdup(r->all->crl_url.at[i]);
        if (p->crl_url.at[i] == NULL)
            return error_set(r->err, TT_ERR_MEMORY, "out of memory");
        p->crl_url.len++;
    }
    return TT_OK;
}

static bool has_word(const struct words *w, const char *word)
{
    for (size_t i = 0; i < w->len; i++)
        if (strcasecmp(w->at[i], word) == 0)
            return true;
    return false;
}

/* Its certificates speak for the CA: they issue, or say what is revoked. */
static bool speaks_for_ca(const struct profile *p)
{
    return p->ca || p->ocsp_nocheck || has_word(&p->purposes, "OCSPSigning") ||
           has_word(&p->purposes, "1.3.6.1.5.5.7.3.9");
}

/* Where the file does not say for whom a profile is. A stolen certificate of an operator shall not make
 * others that outlive it, and a TPM that is genuine may be anybody's. */
static void requesters_default(struct profile *p)
{
    const unsigned owners = REQUESTER(CA_BY_TOKEN) | REQUESTER(CA_BY_CERTIFICATE);
    if (p->requesters_said || speaks_for_ca(p))
        return;
    p->requesters = owners;
    if (strcmp(p->name, CA_OPERATOR_PROFILE) != 0)
        p->requesters |= REQUESTER(CA_BY_ENROLLER);
    if (p->attestation)
        p->requesters |= REQUESTER(CA_BY_ATTESTATION);
}

static tt_rc requesters_check(struct reading *r, const struct profile *p)
{
    if (speaks_for_ca(p) && (p->requesters & ~REQUESTER(CA_BY_ENROLLER)) != 0)
        return bad(r, "a profile of CAs or OCSP responders is for machine and operator alone", p->name);
    if ((p->requesters & REQUESTER(CA_BY_ATTESTATION)) != 0 && !p->attestation)
        return bad(r, "who comes by evidence alone needs attestation = yes", p->name);
    return TT_OK;
}

static tt_rc profile_check(struct reading *r, const struct profile *p)
{
    bool signs = (p->usage & (USAGE_KEY_CERT_SIGN | USAGE_CRL_SIGN)) != 0;
    if (p->ca != ((p->usage & USAGE_KEY_CERT_SIGN) != 0) || (!p->ca && signs))
        return bad(r, "keyCertSign and cRLSign go with ca = yes, and only with it", p->name);
    if (p->days == 0 || p->usage == 0)
        return bad(r, "days and key-usage may not be nothing", p->name);
    if (p->max_days != 0 && p->max_days < p->days)
        return bad(r, "max-days is less than days", p->name);
    return requesters_check(r, p);
}

static tt_rc finish(struct reading *r)
{
    for (size_t i = 0; i < r->to->len; i++) {
        struct profile *p = &r->to->at[i];
        TT_TRY(inherit(r, p));
        TT_TRY(name_keys(r, p));
        requesters_default(p);
        TT_TRY(profile_check(r, p));
        TT_TRY(fixed_build(p, r->err));
    }
    if (profiles_find(r->to, NULL) == NULL)
        return bad(r, "the default is not a profile of the file",
                   r->to->default_name == NULL ? "" : r->to->default_name);
    if (r->to->crl_days == 0 || r->to->ocsp_hours == 0 || r->to->crl_overlap_hours >= r->to->crl_days * 24)
        return bad(
            r, "crl-days and ocsp-hours must be more than nothing, and crl-overlap-hours less than crl-days",
            "ca");
    return TT_OK;
}

static void profile_clear(struct profile *p)
{
    struct words *lists[] = {&p->purposes, &p->policies, &p->names, &p->add, &p->keys, &p->crl_url};
    for (size_t i = 0; i < TT_COUNT(lists); i++)
        words_free(lists[i]);
    mem_free(p->ocsp_url);
    mem_free(p->issuer_url);
    buf_free(&p->fixed);
}

void profiles_free(struct profiles *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->len; i++)
        profile_clear(&p->at[i]);
    mem_free(p->default_name);
    mem_free(p->delta_url);
    mem_free(p);
}

const struct profile *profiles_find(const struct profiles *p, const char *name)
{
    const char *wanted = name == NULL || name[0] == '\0' ? p->default_name : name;
    for (size_t i = 0; wanted != NULL && i < p->len; i++)
        if (strcmp(p->at[i].name, wanted) == 0)
            return &p->at[i];
    return NULL;
}

tt_rc profiles_read(struct profiles **ret, const char *text, const char *where, const char *key_id,
                    struct tt_error *err)
{
    TT_AUTO(profiles_free_auto) struct profiles *p = mem_alloc(sizeof *p);
    struct profile all = {0};
    struct reading r = {.to = p, .all = &all, .where = where, .key_id = key_id, .err = err};
    if (p == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    p->crl_days = 7;
    p->crl_overlap_hours = 24;
    p->ocsp_hours = 24;
    p->refused_days = 90;
    int line = ini_parse_string(text, take, &r);
    tt_rc rc = r.rc;
    if (rc == TT_OK && line != 0)
        rc = error_set(err, TT_ERR_USAGE, "%.120s: line %d is not of the form key = value", where, line);
    else if (rc != TT_OK && line > 0)
        error_hint(err, "line %d; docs/ca.md has the keys", line);
    if (rc == TT_OK)
        rc = finish(&r);
    profile_clear(&all);
    if (rc == TT_OK)
        *ret = TT_TAKE(p);
    return rc;
}
