/* ca/name_rule.h: rules for alternative names: "DNS:*.example.org", "IP:192.0.2.0/24",
 * "URI:spiffe://example.org/{cn}". Layer: ca. docs/ca.md says what they mean. */
#ifndef CA_NAME_RULE_H
#define CA_NAME_RULE_H

#include "ca/profile.h"
#include "pki/x509.h"

/* struct asked_name: one name of a request, as text. */
struct asked_name {
    char *text;        /* "DNS:a.example" */
    const char *value; /* within it: "a.example" */
    bool address, wildcard;
    uint8_t ip[16];
    size_t ip_len;
};
TT_MUST_USE tt_rc asked_name_of(struct asked_name *ret, const GENERAL_NAME *name, struct tt_error *err);
void asked_name_free(struct asked_name *n);

/* name_allowed: one of the rules lets it pass. cn: what {cn} stands for; "": a rule with {cn} lets nothing
 * pass. */
bool name_allowed(const struct words *rules, const struct asked_name *name, const char *cn);
/* names_add_rules: add what the templates say, with {cn} put in, unless it is there; *names may be NULL. A
 * template with {cn} is passed over where there is no CN. */
TT_MUST_USE tt_rc names_add_rules(GENERAL_NAMES **names, const struct words *templates, const char *cn,
                                  struct tt_error *err);
/* names_same: the same names, in whatever order; NULL is none. */
bool names_same(const GENERAL_NAMES *a, const GENERAL_NAMES *b);

#endif
