/* proxy/rule.c: access rules. Layer: proxy. RFC 6125 section 6.4 (comparing DNS names), SPIFFE-ID section 2.
 */
#include "proxy/rule.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "net/pin.h"
#include "pki/peer_names.h"
#include "tpmtls/pki.h"

#define DNS_NAME_MAX  253
#define DNS_LABEL_MAX 63
#define SPIFFE        "spiffe://"

static const char *const option_of[] = {
    [RULE_ALL] = "allow-all", [RULE_CN] = "allow-cn",   [RULE_OU] = "allow-ou",
    [RULE_DNS] = "allow-dns", [RULE_URI] = "allow-uri", [RULE_PIN] = "allow-pin"};

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- what a rule may say ---- */

static tt_rc refuse(enum rule_kind kind, const char *value, const char *why, const char *hint,
                    struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "--%s '%.120s': %s", option_of[kind], value, why);
    error_hint(err, "%s", hint);
    return TT_ERR_USAGE;
}

static tt_rc check_text(enum rule_kind kind, const char *value, struct tt_error *err)
{
    struct tt_bytes left = {(const uint8_t *)value, strlen(value)};
    if (left.len == 0)
        return refuse(kind, value, "it is empty", "no certificate has an empty name that counts", err);
    while (left.len > 0) {
        uint32_t c;
        size_t n = utf8_next(&c, left);
        if (n == 0)
            return refuse(kind, value, "it is not UTF-8", "write it in UTF-8, which names are compared in",
                          err);
        left.data += n;
        left.len -= n;
    }
    return TT_OK;
}

static bool is_label(const char *at, size_t len)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    return len >= 1 && len <= DNS_LABEL_MAX && at[0] != '-' && at[len - 1] != '-' && strspn(at, known) >= len;
}

/* All labels of the text, which is in lower case. */
static bool is_dns_name(const char *text)
{
    if (strlen(text) > DNS_NAME_MAX)
        return false;
    for (;;) {
        size_t len = strcspn(text, ".");
        if (!is_label(text, len))
            return false;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

static tt_rc check_dns(char *value, struct tt_error *err)
{
    for (char *c = value; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    bool is_wild = has_prefix(value, "*.");
    const char *name = is_wild ? value + 2 : value;
    if (!is_dns_name(name))
        return refuse(RULE_DNS, value, "this is no DNS name",
                      "write it as certificates do: device.example.org, *.example.org for one label, or "
                      "xn--... for letters beyond ASCII",
                      err);
    if (is_wild && strchr(name, '.') == NULL)
        return refuse(RULE_DNS, value, "it allows a whole top-level domain", "name a domain: *.example.org",
                      err);
    return TT_OK;
}

static bool is_wild_uri(const char *value)
{
    size_t len = strlen(value);
    return len >= 2 && strcmp(value + len - 2, "/*") == 0;
}

/* SPIFFE-ID section 2: what its parts are made of, and that none is empty, "." or "..". */
static bool is_spiffe_path(const char *text, size_t len)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        while (at + n < len && text[at + n] != '/')
            if (text[at + n] == '\0' || strchr(known, text[at + n++]) == NULL)
                return false;
        if (n == 0 || (n == 1 && text[at] == '.') || (n == 2 && memcmp(text + at, "..", 2) == 0))
            return false;
        at += n + 1;
        if (at == len)
            return false; /* a slash at the end */
    }
    return len > 0;
}

static tt_rc check_uri(const char *value, struct tt_error *err)
{
    size_t len = strlen(value) - (is_wild_uri(value) ? 2 : 0), at = strlen(SPIFFE);
    TT_TRY(check_text(RULE_URI, value, err));
    if (has_prefix(value, SPIFFE)) {
        if (len <= at || !is_spiffe_path(value + at, len - at))
            return refuse(RULE_URI, value, "this is no SPIFFE ID",
                          "spiffe://DOMAIN/PATH, or spiffe://DOMAIN/PATH/*", err);
        for (; value[at] != '\0' && value[at] != '/'; at++)
            if (value[at] >= 'A' && value[at] <= 'Z')
                return refuse(RULE_URI, value, "a trust domain is in lower case", "write it so", err);
    } else if (strchr(value, '*') != NULL) {
        return refuse(RULE_URI, value, "only a SPIFFE ID can end with *", "name the whole URI", err);
    } else if (strchr(value, ':') == NULL) {
        return refuse(RULE_URI, value, "this is no URI",
                      "it begins with a scheme, such as spiffe: or urn:", err);
    }
    return TT_OK;
}

static tt_rc check(struct rule *rule, struct tt_error *err)
{
    switch (rule->kind) {
    case RULE_CN:
    case RULE_OU:
        return check_text(rule->kind, rule->value, err);
    case RULE_DNS:
        return check_dns(rule->value, err);
    case RULE_URI:
        return check_uri(rule->value, err);
    case RULE_PIN: {
        struct tt_error why = {0};
        if (pin_parse(rule->pin, rule->value, &why) == TT_OK)
            return TT_OK;
        error_hint(err, "%s", why.hint);
        return error_set(err, why.rc, "--%s %s", option_of[RULE_PIN], why.text);
    }
    case RULE_ALL:
        break;
    }
    return TT_OK;
}

/* ---- the set ---- */

static void rule_wipe(struct rule *rule)
{
    mem_free(rule->value);
    mem_free(rule->shown);
}

void rules_free(struct rules *rules)
{
    for (size_t i = 0; i < rules->len; i++)
        rule_wipe(&rules->at[i]);
    mem_free(rules->at);
    *rules = (struct rules){0};
}

static tt_rc rule_make(struct rule *ret, enum rule_kind kind, const char *value, struct tt_error *err)
{
    const char *text = value == NULL ? "" : value;
    size_t room = strlen(option_of[kind]) + strlen(text) + 2;
    *ret = (struct rule){.kind = kind, .value = mem_strdup(text), .shown = mem_alloc(room)};
    if (ret->value == NULL || ret->shown == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for a rule");
    TT_TRY(check(ret, err));
    (void)snprintf(ret->shown, room, "%s%s%s", option_of[kind], text[0] == '\0' ? "" : " ", text);
    ret->len = strlen(ret->value);
    return TT_OK;
}

tt_rc rules_add(struct rules *rules, enum rule_kind kind, const char *value, struct tt_error *err)
{
    struct rule rule = {0};
    tt_rc rc = rule_make(&rule, kind, value, err);
    struct rule *more = rc == TT_OK ? mem_resize(rules->at, (rules->len + 1) * sizeof *more) : NULL;
    if (rc == TT_OK && more == NULL)
        rc = error_set(err, TT_ERR_MEMORY, "no memory for a rule");
    if (more == NULL) {
        rule_wipe(&rule);
        return rc;
    }
    rules->at = more;
    more[rules->len++] = rule;
    return TT_OK;
}

/* ---- who fits ---- */

static bool equals(const struct rule *rule, const struct peer_name *name)
{
    return rule->len == name->len && memcmp(rule->value, name->value, name->len) == 0;
}

/* "*.example.org": one label, then exactly the rest. */
static bool fits_dns(const struct rule *rule, const struct peer_name *name)
{
    if (rule->value[0] != '*')
        return equals(rule, name);
    const char *text = (const char *)name->value;
    const uint8_t *dot = memchr(name->value, '.', name->len);
    size_t label = dot == NULL ? 0 : (size_t)(dot - name->value), rest = name->len - label;
    return dot != NULL && is_label(text, label) && rest == rule->len - 1 &&
           memcmp(dot, rule->value + 1, rest) == 0;
}

static bool fits_uri(const struct rule *rule, const struct peer_name *name)
{
    if (!is_wild_uri(rule->value))
        return equals(rule, name);
    size_t prefix = rule->len - 1, at = strlen(SPIFFE);
    return name->len > prefix && memcmp(rule->value, name->value, prefix) == 0 &&
           is_spiffe_path((const char *)name->value + at, name->len - at);
}

static size_t count(const struct peer_names *names, enum peer_name_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < names->len; i++)
        n += names->at[i].kind == kind;
    return n;
}

static bool fits_name(const struct rule *rule, const struct peer_names *names)
{
    static const enum peer_name_kind kinds[] = {[RULE_CN] = PEER_NAME_CN,
                                                [RULE_OU] = PEER_NAME_OU,
                                                [RULE_DNS] = PEER_NAME_DNS,
                                                [RULE_URI] = PEER_NAME_URI};
    enum peer_name_kind kind = kinds[rule->kind];
    bool is_spiffe = kind == PEER_NAME_URI && has_prefix(rule->value, SPIFFE);
    if (is_spiffe && count(names, PEER_NAME_URI) != 1)
        return false;
    for (size_t i = 0; i < names->len; i++) {
        const struct peer_name *name = &names->at[i];
        if (name->kind != kind)
            continue;
        if (kind == PEER_NAME_DNS   ? fits_dns(rule, name)
            : kind == PEER_NAME_URI ? fits_uri(rule, name)
                                    : equals(rule, name))
            return true;
    }
    return false;
}

static bool fits(const struct rule *rule, const struct peer_names *names)
{
    if (rule->kind == RULE_ALL)
        return true;
    if (rule->kind == RULE_PIN)
        return memcmp(rule->pin, names->key_sha256, sizeof rule->pin) == 0;
    return fits_name(rule, names);
}

/* A raw key has no names, only itself. */
static bool fits_raw_key(const struct rule *rule, struct tt_bytes spki)
{
    char have[65], want[65];
    if (rule->kind != RULE_PIN)
        return rule->kind == RULE_ALL;
    tt_spki_sha256(have, spki);
    for (size_t i = 0; i < sizeof rule->pin; i++)
        (void)snprintf(want + 2 * i, 3, "%02x", rule->pin[i]);
    return strcmp(have, want) == 0;
}

bool rules_allow(const struct rules *rules, const struct rule_peer *peer, const char **ret_which)
{
    TT_AUTO(peer_names_free_auto) struct peer_names *read = NULL;
    if (ret_which != NULL)
        *ret_which = NULL;
    if (peer->certificate.len == 0 || (!peer->is_raw_key && peer->names == NULL &&
                                       peer_names_read(&read, peer->certificate, NULL) != TT_OK))
        return false;
    const struct peer_names *names = peer->names != NULL ? peer->names : read;
    for (size_t i = 0; i < rules->len; i++) {
        const struct rule *rule = &rules->at[i];
        if (peer->is_raw_key ? !fits_raw_key(rule, peer->certificate) : !fits(rule, names))
            continue;
        if (ret_which != NULL)
            *ret_which = rule->shown;
        return true;
    }
    return false;
}

/* ---- for a log ---- */

static void show_names(char ret[RULE_SUBJECT_MAX], struct tt_bytes der)
{
    struct tt_cert_info *info = NULL;
    if (tt_cert_describe(&info, der, NULL) != TT_OK) {
        (void)snprintf(ret, RULE_SUBJECT_MAX, "(unreadable certificate)");
        return;
    }
    const char *subject = info->subject[0] == '\0' ? "(no subject)" : info->subject;
    int n = info->sans[0] == '\0' ? snprintf(ret, RULE_SUBJECT_MAX, "%s", subject)
                                  : snprintf(ret, RULE_SUBJECT_MAX, "%s (%s)", subject, info->sans);
    tt_cert_info_free(info);
    if (n < RULE_SUBJECT_MAX)
        return;
    ret[RULE_SUBJECT_MAX - 4] = '\0';
    error_cut(ret);
    memcpy(ret + strlen(ret), "...", sizeof "...");
}

void rule_subject(char ret[RULE_SUBJECT_MAX], const struct rule_peer *peer)
{
    char pin[65];
    if (peer->certificate.len == 0) {
        (void)snprintf(ret, RULE_SUBJECT_MAX, "(no certificate)");
    } else if (peer->is_raw_key) {
        tt_spki_sha256(pin, peer->certificate);
        (void)snprintf(ret, RULE_SUBJECT_MAX, "(raw key sha256:%s)", pin);
    } else {
        show_names(ret, peer->certificate);
    }
}
