/* ca/name_rule.c: see name_rule.h. Layer: ca. */
#include "ca/name_rule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pki/san.h"
#include "pki/text.h"

#define RULE_MAX 512

void asked_name_free(struct asked_name *n)
{
    mem_free(n->text);
    *n = (struct asked_name){0};
}

tt_rc asked_name_of(struct asked_name *ret, const GENERAL_NAME *name, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    struct asked_name n = {0};
    if (san_print_one(&b, name) != TT_OK || text_take(&n.text, &b) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    int type = -1;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const char *colon = strchr(n.text, ':');
    n.value = colon == NULL ? n.text : colon + 1;
    n.address = type == GEN_IPADD;
    n.wildcard = type == GEN_DNS && n.value[0] == '*';
    if (n.address && ASN1_STRING_length(value) <= (int)sizeof n.ip) {
        n.ip_len = (size_t)ASN1_STRING_length(value);
        memcpy(n.ip, ASN1_STRING_get0_data(value), n.ip_len);
    }
    *ret = n;
    return TT_OK;
}

/* * is any text; ASCII letters alike in both cases. Linear: the last star alone is tried again. */
static bool matches(const char *rule, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text != '\0') {
        if (*rule == '*') {
            star = ++rule;
            from = text;
        } else if (tolower((unsigned char)*rule) == tolower((unsigned char)*text)) {
            rule++;
            text++;
        } else if (star != NULL) {
            rule = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*rule == '*')
        rule++;
    return *rule == '\0';
}

/* false: it has {cn} and there is none, or the text is too long. */
static bool filled(char ret[RULE_MAX], const char *rule, const char *cn)
{
    static const char word[] = "{cn}";
    size_t len = 0;
    ret[0] = '\0';
    while (*rule != '\0') {
        bool put = strncasecmp(rule, word, sizeof word - 1) == 0;
        if (put && cn[0] == '\0')
            return false;
        int n = put ? snprintf(ret + len, RULE_MAX - len, "%s", cn)
                    : snprintf(ret + len, RULE_MAX - len, "%c", *rule);
        if (n < 0 || (size_t)n >= RULE_MAX - len)
            return false;
        len += (size_t)n;
        rule += put ? sizeof word - 1 : 1;
    }
    return true;
}

static bool in_network(const char *rule, const struct asked_name *name)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t net[16];
    const char *slash = strchr(rule, '/');
    size_t n = slash == NULL ? strlen(rule) : (size_t)(slash - rule);
    if (strcmp(rule, "*") == 0)
        return true;
    if (n >= sizeof text)
        return false;
    (void)snprintf(text, sizeof text, "%.*s", (int)n, rule);
    size_t len = inet_pton(AF_INET, text, net) == 1 ? 4 : inet_pton(AF_INET6, text, net) == 1 ? 16 : 0;
    unsigned long bits = slash == NULL ? len * 8 : strtoul(slash + 1, NULL, 10);
    if (len == 0 || len != name->ip_len || bits > len * 8)
        return false;
    for (size_t i = 0; i < len && bits > 0; i++) {
        unsigned take = bits >= 8 ? 8 : (unsigned)bits;
        uint8_t mask = (uint8_t)(0xff00u >> take);
        if ((net[i] & mask) != (name->ip[i] & mask))
            return false;
        bits -= take;
    }
    return true;
}

bool name_allowed(const struct words *rules, const struct asked_name *name, const char *cn)
{
    /* What a CN says must not become a star of the rule. */
    const char *safe = strchr(cn, '*') == NULL ? cn : "";
    for (size_t i = 0; i < rules->len; i++) {
        char rule[RULE_MAX];
        if (!filled(rule, rules->at[i], safe))
            continue;
        if (name->address ? strncasecmp(rule, "IP:", 3) == 0 && in_network(rule + 3, name)
                          : matches(rule, name->text))
            return true;
    }
    return false;
}

static bool has(const GENERAL_NAMES *names, const GENERAL_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), (GENERAL_NAME *)(uintptr_t)name) == 0)
            return true;
    return false;
}

tt_rc names_add_rules(GENERAL_NAMES **names, const struct words *templates, const char *cn,
                      struct tt_error *err)
{
    for (size_t i = 0; i < templates->len; i++) {
        char text[RULE_MAX];
        if (!filled(text, templates->at[i], cn))
            continue;
        TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *made = NULL;
        const char *one = text;
        TT_TRY(san_parse(&made, &one, 1, err));
        if (*names == NULL && (*names = GENERAL_NAMES_new()) == NULL)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        GENERAL_NAME *name = sk_GENERAL_NAME_value(made, 0);
        if (has(*names, name))
            continue;
        if (sk_GENERAL_NAME_push(*names, name) <= 0)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        (void)sk_GENERAL_NAME_pop(made);
    }
    return TT_OK;
}

bool names_same(const GENERAL_NAMES *a, const GENERAL_NAMES *b)
{
    int n = a == NULL ? 0 : sk_GENERAL_NAME_num(a);
    if (n != (b == NULL ? 0 : sk_GENERAL_NAME_num(b)))
        return false;
    for (int i = 0; i < n; i++)
        if (!has(b, sk_GENERAL_NAME_value(a, i)))
            return false;
    return true;
}
