/* crypto/trust_profile.c: what a certificate has to look like beyond what makes it safe: the profile of RFC
 * 5280 section 4, which X509_V_FLAG_X509_STRICT of libcrypto judges and this file completes, and where both
 * are more lenient, because CAs that people use would suffer. Layer: crypto. docs/chains.md has the whole
 * list, with the CAs that were tried. A set may be told to do without it (tt_trust_insecure_accept_lax);
 * excluded names, policies and kinds of keys count all the same. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#include "crypto/refusal.h"
#include "crypto/trust_internal.h"
#include "wire/der.h"
#include "wire/host.h"

#define AS_BY_RFC5280 "its CA has to issue it again, by the rules of RFC 5280"

/* ---- what is forgiven ---- */

static bool has_extension(const X509 *x, int nid)
{
    return X509_get_ext_by_NID(x, nid, -1) >= 0;
}

/* What openssl.cnf had for CAs before OpenSSL 1.1.0, and easy-rsa has to this day: nothing is critical, and
 * the CA's authorityKeyIdentifier has issuer and serial number, too. */
static bool is_of_old_openssl(X509 *x)
{
    for (int i = 0; i < X509_get_ext_count(x); i++)
        if (X509_EXTENSION_get_critical(X509_get_ext(x, i)))
            return false;
    return X509_get0_authority_serial(x) != NULL;
}

/* Of Debian's roots in use those that would not pass otherwise. */
static bool is_known(const X509 *x)
{
    static const uint8_t known[][32] = {
        /* TWCA Global Root CA (until 2030): no subjectKeyIdentifier */
        {0x59, 0x76, 0x90, 0x07, 0xf7, 0x68, 0x5d, 0x0f, 0xcd, 0x50, 0x87, 0x2f, 0x9f, 0x95, 0xd5, 0x75,
         0x5a, 0x5b, 0x2b, 0x45, 0x7d, 0x81, 0xf3, 0x69, 0x2b, 0x61, 0x0a, 0x98, 0x67, 0x2f, 0x0e, 0x1b},
        /* ePKI Root Certification Authority (until 2034): basicConstraints are not critical */
        {0xc0, 0xa6, 0xf4, 0xdc, 0x63, 0xa2, 0x4b, 0xfd, 0xcf, 0x54, 0xef, 0x2a, 0x6a, 0x08, 0x2a, 0x0a,
         0x72, 0xde, 0x35, 0x80, 0x3e, 0x2f, 0xf5, 0xff, 0x52, 0x7a, 0xe5, 0xd8, 0x72, 0x06, 0xdf, 0xd5}};
    uint8_t digest[EVP_MAX_MD_SIZE];
    bool found = false;
    for (size_t i = 0; X509_digest(x, EVP_sha256(), digest, NULL) == 1 && i < TT_COUNT(known); i++)
        found |= memcmp(digest, known[i], sizeof known[i]) == 0;
    return found;
}

bool profile_forgives(X509_STORE_CTX *ctx, const struct path *p)
{
    X509 *x = X509_STORE_CTX_get_current_cert(ctx);
    int depth = X509_STORE_CTX_get_error_depth(ctx);
    bool anchor = depth == sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) - 1;
    int64_t end;
    if (x == NULL)
        return false;
    switch (X509_STORE_CTX_get_error(ctx)) {
    case X509_V_ERR_CERT_HAS_EXPIRED: /* "from notBefore through notAfter, inclusive" (section 4.1.2.5) */
        return time_seconds(&end, X509_get0_notAfter(x)) && end == p->req->now;
    case X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER: /* 'openssl x509 -req' before 3.2 writes neither */
        return depth == 0 && !has_extension(x, NID_authority_key_identifier) &&
               !has_extension(x, NID_subject_key_identifier);
    case X509_V_ERR_CA_BCONS_NOT_CRITICAL:
        return is_of_old_openssl(x) || (anchor && is_known(x));
    case X509_V_ERR_CA_CERT_MISSING_KEY_USAGE: /* 'openssl req -x509' writes none */
        return anchor;
    case X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN: /* which is the same, where there is no key usage */
        return anchor && !has_extension(x, NID_key_usage);
    case X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER:
        return anchor && is_known(x);
    default:
        return false;
    }
}

/* ---- what libcrypto does not look at ---- */

static struct tt_bytes extension_of(const X509 *x, int nid)
{
    int at = X509_get_ext_by_NID(x, nid, -1);
    const ASN1_OCTET_STRING *value = at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(x, at));
    return value == NULL ? (struct tt_bytes){NULL, 0}
                         : (struct tt_bytes){ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)};
}

static bool marks_critical(const X509 *x, int nid)
{
    int at = X509_get_ext_by_NID(x, nid, -1);
    return at < 0 || X509_EXTENSION_get_critical(X509_get_ext(x, at)) != 0;
}

static bool serial_is_right(X509 *x)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    int len = ASN1_STRING_length(serial);
    const uint8_t *bytes = ASN1_STRING_get0_data(serial);
    if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER || len > 20)
        return false;
    for (int i = 0; i < len; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

#define GENERAL_NAME_EMAIL 0x81
#define GENERAL_NAME_DNS   0x82

static bool name_is_right(unsigned tag, struct tt_bytes name)
{
    const uint8_t *at = name.len > 0 ? memchr(name.data, '@', name.len) : NULL;
    if (tag == GENERAL_NAME_EMAIL && at != NULL) /* of one mailbox: "local-part@domain" */
        return memchr(at + 1, '@', name.len - 1 - (size_t)(at - name.data)) == NULL;
    return tag != GENERAL_NAME_DNS || (name.len > 0 && name.data[0] != '.');
}

static bool names_are_right(const X509 *x)
{
    struct tt_bytes value = extension_of(x, NID_subject_alt_name);
    struct reader r = reader_of(value), names = der_enter(&r, DER_SEQUENCE);
    while (value.len > 0 && rd_left(&names) > 0) {
        int tag = der_next_tag(&names);
        if (tag < 0 || !name_is_right((unsigned)tag, der_get(&names, (unsigned)tag)))
            return false;
    }
    return true;
}

/* "AuthorityInfoAccessSyntax ::= SEQUENCE SIZE (1..MAX) OF AccessDescription" */
static bool access_is_right(const X509 *x)
{
    struct tt_bytes value = extension_of(x, NID_info_access);
    if (!has_extension(x, NID_info_access))
        return true;
    struct reader r = reader_of(value), list = der_enter(&r, DER_SEQUENCE);
    bool any = rd_left(&list) > 0;
    while (rd_left(&list) > 0) {
        struct reader one = der_enter(&list, DER_SEQUENCE);
        (void)der_get(&one, DER_OID);
        int tag = der_next_tag(&one);
        if (tag < 0)
            return false;
        (void)der_get(&one, (unsigned)tag);
        if (rd_done(&one) != TT_OK)
            return false;
    }
    return any && rd_done(&list) == TT_OK && rd_done(&r) == TT_OK;
}

static bool constraints_are_empty(const X509 *x)
{
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(x, NID_name_constraints, NULL, NULL);
    bool empty = nc != NULL && sk_GENERAL_SUBTREE_num(nc->permittedSubtrees) <= 0 &&
                 sk_GENERAL_SUBTREE_num(nc->excludedSubtrees) <= 0;
    NAME_CONSTRAINTS_free(nc);
    return empty;
}

/* What is wrong with one certificate, or NULL. */
/* libcrypto looks at these itself before 4.0, and forgives the same (profile_forgives). */
static const char *wrong_in_marks(X509 *x, bool anchor)
{
    bool ca = (X509_get_extension_flags(x) & EXFLAG_CA) != 0;
    if (ca && !marks_critical(x, NID_basic_constraints) && !is_of_old_openssl(x) && !(anchor && is_known(x)))
        return "is of a CA and does not mark its basicConstraints as critical";
    if (X509_NAME_entry_count(X509_get_subject_name(x)) == 0 && !marks_critical(x, NID_subject_alt_name))
        return "has an empty subject and does not mark its subjectAltName as critical";
    return NULL;
}

static const char *wrong_in_any(X509 *x)
{
    const EVP_PKEY *key = X509_get0_pubkey(x);
    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) % 8 != 0)
        return "has an RSA key whose length is no whole number of bytes";
    if (has_extension(x, NID_authority_key_identifier) && X509_get0_authority_key_id(x) == NULL)
        return "has an authorityKeyIdentifier without keyIdentifier";
    if (has_extension(x, NID_name_constraints) && constraints_are_empty(x))
        return "has name constraints that name nothing";
    return NULL;
}

static const char *wrong_in_issued(X509 *x)
{
    if (!serial_is_right(x))
        return "has a serial number that is zero, negative or longer than 20 bytes";
    if (!marks_critical(x, NID_policy_constraints) || !marks_critical(x, NID_inhibit_any_policy))
        return "has policyConstraints or inhibitAnyPolicy and does not mark them as critical";
    return access_is_right(x) ? NULL : "has an authorityInfoAccess that cannot be read";
}

static bool common_name_is_right(const X509 *x)
{
    char text[64] = "";
    const X509_NAME *name = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const ASN1_STRING *value = at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    size_t len = value == NULL ? 0 : (size_t)ASN1_STRING_length(value);
    if (len == 0 || len >= sizeof text - 1)
        return true;
    memcpy(text, ASN1_STRING_get0_data(value), len);
    return !host_is_odd_address(text);
}

static const char *wrong_in_leaf(X509 *x)
{
    bool ca = (X509_get_extension_flags(x) & EXFLAG_CA) != 0;
    if (!ca && has_extension(x, NID_name_constraints))
        return "has name constraints and is no CA";
    if (ca && (X509_get_key_usage(x) & X509v3_KU_KEY_CERT_SIGN) == 0)
        return "is a CA (basic constraints) that may not sign certificates (key usage)";
    if (!common_name_is_right(x))
        return "has a common name that is an address in an unusual form";
    return names_are_right(x) ? NULL : "has a name in subjectAltName that is none";
}

static tt_rc refuse(struct path *p, X509 *x, const char *why, struct tt_error *err)
{
    char subject[120];
    name_text(subject, sizeof subject, X509_get_subject_name(x));
    error_hint(err, AS_BY_RFC5280);
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "the certificate \"%s\" %s", subject, why);
}

static tt_rc judge_form(struct path *p, struct tt_error *err)
{
    int n = sk_X509_num(p->built);
    for (int i = 0; i < n; i++) {
        X509 *x = sk_X509_value(p->built, i);
        const char *why = wrong_in_any(x);
        if (why == NULL)
            why = wrong_in_marks(x, i == n - 1);
        if (why == NULL && i < n - 1)
            why = wrong_in_issued(x);
        if (why == NULL && i == 0)
            why = wrong_in_leaf(x);
        if (why != NULL)
            return refuse(p, x, why, err);
    }
    return TT_OK;
}

/* ---- excluded names ---- */

/* A wildcard stands for one label (RFC 9525 section 6.3): *.example stands for what is excluded as a.example.
 */
static bool wildcard_reaches(struct tt_bytes wildcard, struct tt_bytes excluded)
{
    const uint8_t *dot = excluded.len > 0 ? memchr(excluded.data, '.', excluded.len) : NULL;
    if (dot == NULL || dot == excluded.data || wildcard.len < 3 || wildcard.data[0] != '*')
        return false;
    size_t rest = excluded.len - (size_t)(dot - excluded.data);
    return rest == wildcard.len - 1 &&
           strncasecmp((const char *)dot, (const char *)wildcard.data + 1, rest) == 0;
}

static bool leaf_reaches(const X509 *leaf, struct tt_bytes excluded)
{
    struct tt_bytes value = extension_of(leaf, NID_subject_alt_name);
    struct reader r = reader_of(value), names = der_enter(&r, DER_SEQUENCE);
    while (value.len > 0 && rd_left(&names) > 0) {
        int tag = der_next_tag(&names);
        struct tt_bytes name = tag < 0 ? (struct tt_bytes){NULL, 0} : der_get(&names, (unsigned)tag);
        if (tag < 0 || (tag == GENERAL_NAME_DNS && wildcard_reaches(name, excluded)))
            return tag >= 0;
    }
    return false;
}

static bool excludes_wildcard(const X509 *ca, const X509 *leaf)
{
    NAME_CONSTRAINTS *nc = X509_get_ext_d2i(ca, NID_name_constraints, NULL, NULL);
    bool found = false;
    for (int i = 0; nc != NULL && !found && i < sk_GENERAL_SUBTREE_num(nc->excludedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(nc->excludedSubtrees, i)->base;
        if (base->type == GEN_DNS)
            found = leaf_reaches(leaf, (struct tt_bytes){ASN1_STRING_get0_data(base->d.dNSName),
                                                         (size_t)ASN1_STRING_length(base->d.dNSName)});
    }
    NAME_CONSTRAINTS_free(nc);
    return found;
}

static tt_rc judge_wildcards(struct path *p, struct tt_error *err)
{
    X509 *leaf = sk_X509_value(p->built, 0);
    for (int i = 1; i < sk_X509_num(p->built); i++) {
        const X509 *ca = sk_X509_value(p->built, i);
        if (!has_extension(ca, NID_name_constraints) || !excludes_wildcard(ca, leaf))
            continue;
        error_hint(err,
                   "the CA may certify other names only: look at the name constraints in its certificate");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err,
                           "the peer's certificate has a wildcard that stands for a name its CA may not "
                           "certify (name constraints)");
    }
    return TT_OK;
}

/* ---- policies ---- */

/* Any policy will do for the user (RFC 5280 section 6.1.1 (c)). Returns X509_PCY_TREE_... */
static int check_policies(STACK_OF(X509) * path)
{
    STACK_OF(ASN1_OBJECT) *wanted = sk_ASN1_OBJECT_new_null();
    X509_POLICY_TREE *tree = NULL;
    int demanded = 0, found = X509_PCY_TREE_INTERNAL;
    if (wanted != NULL && sk_ASN1_OBJECT_push(wanted, OBJ_nid2obj(NID_any_policy)) > 0)
        found = X509_policy_check(&tree, &demanded, path, wanted, 0);
    X509_policy_tree_free(tree);
    sk_ASN1_OBJECT_free(wanted);
    return found;
}

/* RFC 5280 section 6.1.5 (g), where a CA of the path demands it; what the anchor says of itself is no rule. A
 * CA that demands a policy and has none is not shown to libcrypto: 3.0 loses memory on it. */
static tt_rc judge_policies(struct path *p, struct tt_error *err)
{
    bool any = false, none = false;
    for (int i = 0; i < sk_X509_num(p->built) - 1; i++) {
        const X509 *x = sk_X509_value(p->built, i);
        bool demands = has_extension(x, NID_policy_constraints);
        any |= demands || has_extension(x, NID_inhibit_any_policy) || has_extension(x, NID_policy_mappings);
        none |= demands && !has_extension(x, NID_certificate_policies);
    }
    int found = !any ? X509_PCY_TREE_VALID : none ? X509_PCY_TREE_FAILURE : check_policies(p->built);
    if (found == X509_PCY_TREE_VALID)
        return TT_OK;
    if (found == X509_PCY_TREE_INTERNAL)
        return TT_ERR_MEMORY;
    error_hint(err, AS_BY_RFC5280);
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "%s",
                       found == X509_PCY_TREE_FAILURE
                           ? "a CA of the peer's chain demands a certificate policy, and the chain has none"
                           : "a policy extension in the peer's chain cannot be read");
}

/* "They MUST NOT be offered or negotiated": DSA (RFC 9846 section 4.3.3). */
static tt_rc judge_keys(struct path *p, struct tt_error *err)
{
    for (int i = 1; i < sk_X509_num(p->built); i++) {
        const EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(p->built, i));
        if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_DSA) {
            error_hint(err, "the CA should sign with ECDSA or RSA");
            return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err,
                               "the peer's certificate, or one above it, is signed with DSA");
        }
    }
    return TT_OK;
}

/* Who is an anchor itself is believed as it is. */
tt_rc profile_judge(struct path *p, struct tt_error *err)
{
    refusal_forget();
    if (sk_X509_num(p->built) < 2)
        return TT_OK;
    if (!p->trust->lax)
        TT_TRY(judge_form(p, err));
    TT_TRY(judge_keys(p, err));
    TT_TRY(judge_wildcards(p, err));
    return judge_policies(p, err);
}
