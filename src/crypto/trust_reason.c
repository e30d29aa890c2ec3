/* crypto/trust_reason.c: from libcrypto's refusal to an alert, a sentence and what to do. Layer: crypto. The
 * advice names no option of a program: the library does not know which one it serves. RFC 9846 section 6.2
 * (alerts), RFC 5280 section 6 (the rules). */
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

#include "crypto/trust_internal.h"

/* struct reason: a rule of libcrypto's. The sentence is: the certificate WHO TEXT ["ISSUER"TAIL]. */
struct reason {
    int code;
    unsigned alert;
    const char *text;
    const char *tail; /* NULL: the issuer is not named */
    const char *hint;
};

#define TRUST_IT   "trust the CA that issued it, or give the peer a certificate from a CA that is trusted here"
#define CA_AGAIN   "its CA has to issue it again, by the rules of RFC 5280"
#define STRONG_KEY "use P-256, or RSA with 2048 bits or more"
#define NEW_CRL    "get a new CRL from that CA; if the date is wrong, set this machine's clock"
#define NO_NAME    "the CA may certify other names only: look at the name constraints in its certificate"

static const struct reason reasons[] = {
    /* nobody we know */
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, TT_ALERT_UNKNOWN_CA, "was issued by", ", who is not trusted",
     TRUST_IT},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, TT_ALERT_UNKNOWN_CA, "was issued by",
     ", who is not trusted", TRUST_IT},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, TT_ALERT_UNKNOWN_CA, "was issued by", ", who is not trusted",
     TRUST_IT},
    {X509_V_ERR_CERT_UNTRUSTED, TT_ALERT_UNKNOWN_CA, "was issued by", ", who is not trusted for this",
     TRUST_IT},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, TT_ALERT_UNKNOWN_CA,
     "is self-signed and not among the trusted ones", NULL, ""},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, TT_ALERT_UNKNOWN_CA,
     "is the root of the chain, and it is not trusted", NULL, TRUST_IT},
    {X509_V_ERR_CERT_REJECTED, TT_ALERT_UNKNOWN_CA, "is marked as one to be rejected for this use", NULL,
     TRUST_IT},
    /* signatures and keys */
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, TT_ALERT_BAD_CERTIFICATE,
     "carries a signature its issuer did not make", NULL,
     "the certificate was changed, or two CAs have the same name"},
    {X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, TT_ALERT_BAD_CERTIFICATE,
     "carries a signature that cannot be read", NULL, CA_AGAIN},
    {X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, TT_ALERT_BAD_CERTIFICATE,
     "was issued with a key that cannot be read", NULL,
     "the CA's key is of a kind that the libcrypto here does not know, or damaged"},
    {X509_V_ERR_NO_ISSUER_PUBLIC_KEY, TT_ALERT_BAD_CERTIFICATE, "was issued with a key that cannot be read",
     NULL, "the CA's key is of a kind that the libcrypto here does not know, or damaged"},
    {X509_V_ERR_UNSUPPORTED_SIGNATURE_ALGORITHM, TT_ALERT_BAD_CERTIFICATE,
     "is signed with an algorithm that is not known here", NULL, "the CA should sign with ECDSA or RSA"},
    {X509_V_ERR_SIGNATURE_ALGORITHM_MISMATCH, TT_ALERT_BAD_CERTIFICATE,
     "is signed with an algorithm that does not fit its issuer's key", NULL, CA_AGAIN},
    {X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY, TT_ALERT_BAD_CERTIFICATE,
     "names two different signature algorithms", NULL, CA_AGAIN},
    {X509_V_ERR_EE_KEY_TOO_SMALL, TT_ALERT_BAD_CERTIFICATE, "has a key that is too weak", NULL, STRONG_KEY},
    {X509_V_ERR_CA_KEY_TOO_SMALL, TT_ALERT_BAD_CERTIFICATE, "is of a CA whose key is too weak", NULL,
     STRONG_KEY},
    {X509_V_ERR_CA_MD_TOO_WEAK, TT_ALERT_BAD_CERTIFICATE, "is signed with a hash that is too weak", NULL,
     "the CA must sign with SHA-256 or better"},
    {X509_V_ERR_EC_KEY_EXPLICIT_PARAMS, TT_ALERT_BAD_CERTIFICATE,
     "has a key on a curve that it describes itself", NULL, "make a key on a named curve, such as P-256"},
    /* dates that are none; expired ones are explained apart */
    {X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, TT_ALERT_BAD_CERTIFICATE, "begins at a date that is none",
     NULL, CA_AGAIN},
    {X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, TT_ALERT_BAD_CERTIFICATE, "ends at a date that is none", NULL,
     CA_AGAIN},
    /* what a certificate may be used for */
    {X509_V_ERR_INVALID_CA, TT_ALERT_BAD_CERTIFICATE,
     "issued another one but is not a CA (basic constraints, key usage)", NULL,
     "the certificate below it has to come from a CA"},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, TT_ALERT_BAD_CERTIFICATE,
     "issued another one, which its key usage does not allow", NULL,
     "the certificate below it has to come from a CA"},
    {X509_V_ERR_INVALID_NON_CA, TT_ALERT_BAD_CERTIFICATE, "is a CA where none is allowed", NULL, CA_AGAIN},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, TT_ALERT_BAD_CERTIFICATE,
     "has more CAs below it than its path length allows", NULL,
     "a CA in the chain was made by one that may not make CAs"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, TT_ALERT_BAD_CERTIFICATE,
     "stands at the end of a chain that is too long", NULL, "use fewer intermediate CAs"},
    {X509_V_ERR_PATH_LOOP, TT_ALERT_BAD_CERTIFICATE, "is in a chain that leads back to itself", NULL,
     CA_AGAIN},
    {X509_V_ERR_PROXY_CERTIFICATES_NOT_ALLOWED, TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "is a proxy certificate (RFC 3820), which is not accepted", NULL,
     "give the peer a certificate that a CA issued"},
    {X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED, TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "is a proxy certificate (RFC 3820), which is not accepted", NULL,
     "give the peer a certificate that a CA issued"},
    {X509_V_ERR_PROXY_SUBJECT_NAME_VIOLATION, TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "is a proxy certificate (RFC 3820), which is not accepted", NULL,
     "give the peer a certificate that a CA issued"},
    /* extensions */
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "has a critical extension that is not known here", NULL,
     "what that extension forbids cannot be kept: use a certificate without it"},
    {X509_V_ERR_INVALID_EXTENSION, TT_ALERT_BAD_CERTIFICATE, "has an extension that cannot be read", NULL,
     CA_AGAIN},
    {X509_V_ERR_INVALID_POLICY_EXTENSION, TT_ALERT_BAD_CERTIFICATE,
     "has a policy extension that cannot be read", NULL, CA_AGAIN},
    {X509_V_ERR_NO_EXPLICIT_POLICY, TT_ALERT_BAD_CERTIFICATE,
     "is in a chain that demands a policy and has none", NULL, CA_AGAIN},
    {X509_V_ERR_UNSUPPORTED_EXTENSION_FEATURE, TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "has an extension with a part that is not known here", NULL, CA_AGAIN},
    {X509_V_ERR_UNNESTED_RESOURCE, TT_ALERT_BAD_CERTIFICATE,
     "claims addresses (RFC 3779) that its issuer does not have", NULL, CA_AGAIN},
    /* the profile of RFC 5280 section 4 (trust_profile.c) */
    {X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER, TT_ALERT_BAD_CERTIFICATE,
     "does not say by which key it was signed (authorityKeyIdentifier)", NULL, CA_AGAIN},
    {X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER, TT_ALERT_BAD_CERTIFICATE,
     "is of a CA and has no subjectKeyIdentifier", NULL, CA_AGAIN},
    {X509_V_ERR_CA_BCONS_NOT_CRITICAL, TT_ALERT_BAD_CERTIFICATE,
     "is of a CA and does not mark its basicConstraints as critical", NULL, CA_AGAIN},
    {X509_V_ERR_CA_CERT_MISSING_KEY_USAGE, TT_ALERT_BAD_CERTIFICATE, "is of a CA and has no keyUsage", NULL,
     CA_AGAIN},
    {X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA, TT_ALERT_BAD_CERTIFICATE,
     "is of no CA and may sign certificates (keyCertSign)", NULL, CA_AGAIN},
    {X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA, TT_ALERT_BAD_CERTIFICATE, "is of no CA and has a path length",
     NULL, CA_AGAIN},
    {X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN, TT_ALERT_BAD_CERTIFICATE,
     "has a path length and may not sign certificates (key usage)", NULL, CA_AGAIN},
    {X509_V_ERR_ISSUER_NAME_EMPTY, TT_ALERT_BAD_CERTIFICATE, "names no issuer", NULL, CA_AGAIN},
    {X509_V_ERR_SUBJECT_NAME_EMPTY, TT_ALERT_BAD_CERTIFICATE,
     "has an empty subject, and nothing else that names it", NULL, CA_AGAIN},
    {X509_V_ERR_EMPTY_SUBJECT_ALT_NAME, TT_ALERT_BAD_CERTIFICATE, "has a subjectAltName without a name", NULL,
     CA_AGAIN},
    {X509_V_ERR_EMPTY_SUBJECT_SAN_NOT_CRITICAL, TT_ALERT_BAD_CERTIFICATE,
     "has an empty subject and does not mark its subjectAltName as critical", NULL, CA_AGAIN},
    {X509_V_ERR_AUTHORITY_KEY_IDENTIFIER_CRITICAL, TT_ALERT_BAD_CERTIFICATE,
     "marks its authorityKeyIdentifier as critical", NULL, CA_AGAIN},
    {X509_V_ERR_SUBJECT_KEY_IDENTIFIER_CRITICAL, TT_ALERT_BAD_CERTIFICATE,
     "marks its subjectKeyIdentifier as critical", NULL, CA_AGAIN},
    {X509_V_ERR_EXTENSIONS_REQUIRE_VERSION_3, TT_ALERT_BAD_CERTIFICATE,
     "has extensions and is not of version 3", NULL, CA_AGAIN},
    /* name constraints */
    {X509_V_ERR_PERMITTED_VIOLATION, TT_ALERT_BAD_CERTIFICATE,
     "has a name outside of those its CA may certify (name constraints)", NULL, NO_NAME},
    {X509_V_ERR_EXCLUDED_VIOLATION, TT_ALERT_BAD_CERTIFICATE,
     "has a name its CA may not certify (name constraints)", NULL, NO_NAME},
    {X509_V_ERR_SUBTREE_MINMAX, TT_ALERT_BAD_CERTIFICATE,
     "is below a CA with name constraints of a form that is not allowed", NULL, CA_AGAIN},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, TT_ALERT_BAD_CERTIFICATE,
     "is below a CA with name constraints of a kind that is not known here", NULL, CA_AGAIN},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, TT_ALERT_BAD_CERTIFICATE,
     "is below a CA whose name constraints cannot be read", NULL, CA_AGAIN},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, TT_ALERT_BAD_CERTIFICATE,
     "has a name that cannot be held against its CA's name constraints", NULL, CA_AGAIN},
    /* CRLs; those that are out of date are explained apart */
    {X509_V_ERR_CERT_REVOKED, TT_ALERT_CERTIFICATE_REVOKED, "was revoked by", " (CRL)",
     "the peer needs a new certificate"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, TT_ALERT_CERTIFICATE_UNKNOWN, "may be revoked: there is no CRL of", "",
     "add the CRL of that CA: once there is one, every peer's CA needs one"},
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, TT_ALERT_CERTIFICATE_UNKNOWN, "may be revoked: there is no CRL of",
     "", "add the CRL of that CA: once there is one, every peer's CA needs one"},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: somebody else signed the CRL of", "", "get the CRL from the CA again"},
    {X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: the signature cannot be read in the CRL of", "", "get the CRL from the CA again"},
    {X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: a date cannot be read in the CRL of", "", "get the CRL from the CA again"},
    {X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: a date cannot be read in the CRL of", "", "get the CRL from the CA again"},
    {X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: by its key usage this CA may not sign CRLs:", "", "the CA needs the key usage cRLSign"},
    {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: there is a critical extension that is not known here in the CRL of", "",
     "get a plain and whole CRL from that CA"},
    {X509_V_ERR_DIFFERENT_CRL_SCOPE, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: it is outside of the scope of the CRL of", "",
     "get a plain and whole CRL from that CA"},
    {X509_V_ERR_CRL_PATH_VALIDATION_ERROR, TT_ALERT_CERTIFICATE_UNKNOWN,
     "may be revoked: nobody vouches for the CRL of", "", "get a plain and whole CRL from that CA"},
};

static const struct reason *reason_of(int code)
{
    for (size_t i = 0; i < TT_COUNT(reasons); i++)
        if (reasons[i].code == code)
            return &reasons[i];
    return NULL;
}

/* struct refusal: one case, with what the sentences about it are made of. */
struct refusal {
    struct path *path;
    X509_STORE_CTX *ctx;
    int code, depth;
    X509 *cert;    /* the certificate it is about; may be NULL */
    char who[200]; /* "CN=..." (number 1 in the chain) */
    char issuer[100];
};

/* What the peer sent is counted as it sent it; the rest is ours. */
static void say_who(struct refusal *f)
{
    char subject[120] = "";
    if (f->cert != NULL)
        name_text(subject, sizeof subject, X509_get_subject_name(f->cert));
    int number = f->cert == NULL || X509_cmp(f->cert, f->path->leaf) == 0 ? 1 : 0;
    for (int i = 0; number == 0 && i < sk_X509_num(f->path->rest); i++)
        if (X509_cmp(f->cert, sk_X509_value(f->path->rest, i)) == 0)
            number = i + 2;
    if (number > 0)
        (void)snprintf(f->who, sizeof f->who, "\"%s\" (number %d in the chain)", subject, number);
    else
        (void)snprintf(f->who, sizeof f->who, "\"%s\" (of the trust set)", subject);
}

static tt_rc explain_time(struct refusal *f, struct tt_error *err)
{
    bool expired = f->code == X509_V_ERR_CERT_HAS_EXPIRED;
    bool own = X509_cmp(f->cert, f->path->leaf) == 0;
    char date[40];
    date_text(date, sizeof date, expired ? X509_get0_notAfter(f->cert) : X509_get0_notBefore(f->cert));
    error_hint(err, !expired ? "set this machine's clock, or wait"
                    : own
                        ? "the peer needs a new certificate; if the date is wrong, set this machine's clock"
                        : "that CA needs a new certificate; if the date is wrong, set this machine's clock");
    return path_refuse(f->path, TT_ALERT_CERTIFICATE_EXPIRED, err, "the certificate %s %s %s", f->who,
                       expired ? "expired on" : "is not valid before", date);
}

static tt_rc explain_crl_time(struct refusal *f, struct tt_error *err)
{
    bool expired = f->code == X509_V_ERR_CRL_HAS_EXPIRED;
    const X509_CRL *crl = f->path->bad_crl;
    char date[40];
    date_text(date, sizeof date,
              crl == NULL ? NULL
              : expired   ? X509_CRL_get0_nextUpdate(crl)
                          : X509_CRL_get0_lastUpdate(crl));
    error_hint(err, NEW_CRL);
    return path_refuse(f->path, TT_ALERT_CERTIFICATE_UNKNOWN, err,
                       "the certificate %s may be revoked: the CRL of "
                       "\"%s\" %s %s",
                       f->who, f->issuer, expired ? "expired on" : "is not valid before", date);
}

static tt_rc explain_name(struct refusal *f, struct tt_error *err)
{
    char names[140];
    host_names_text(names, sizeof names, f->path->leaf);
    if (names[0] == '\0')
        error_hint(err,
                   "the server needs a certificate with its name in subjectAltName; a common name does not "
                   "count");
    else
        error_hint(err, "connect by a name that is in it, or give the server a certificate for this one");
    return path_refuse(f->path, TT_ALERT_BAD_CERTIFICATE, err, "the certificate %s is not for \"%.64s\"%s%s",
                       f->who, f->path->req->host,
                       names[0] == '\0' ? ", it has no host name at all" : " but for ", names);
}

/* libcrypto has one code for all of them. */
static tt_rc explain_purpose(struct refusal *f, struct tt_error *err)
{
    bool server = f->path->req->peer_is_server;
    const char *text = server ? "is not meant for a server (extended key usage)"
                              : "is not meant for a client (extended key usage)";
    uint32_t wanted = server ? XKU_SSL_SERVER | XKU_SGC : XKU_SSL_CLIENT;
    if (f->depth > 0)
        text = server ? "is of a CA that may not issue certificates for servers (extended key usage)"
                      : "is of a CA that may not issue certificates for clients (extended key usage)";
    else if (f->cert != NULL && (X509_get_extended_key_usage(f->cert) & (wanted | XKU_ANYEKU)) == XKU_ANYEKU)
        text = "is for any use (anyExtendedKeyUsage), and TLS wants its use named";
    else if (f->cert != NULL && (X509_get_extended_key_usage(f->cert) & wanted) != 0)
        text = "may not be used to sign a handshake (key usage)";
    error_hint(err,
               "a server's certificate needs serverAuth, a client's clientAuth, and both digitalSignature");
    return path_refuse(f->path, TT_ALERT_UNSUPPORTED_CERTIFICATE, err, "the certificate %s %s", f->who, text);
}

/* Hints that need a look at the whole of what the peer sent; the first hint wins. */
static void hint_about_chain(struct refusal *f, struct tt_error *err)
{
    X509 *leaf = f->path->leaf, *second = sk_X509_value(f->path->rest, 0);
    bool leaf_is_ca = X509_check_ca(leaf) > 0;
    for (int i = 0; leaf_is_ca && i < sk_X509_num(f->path->rest); i++) {
        X509 *x = sk_X509_value(f->path->rest, i);
        if (X509_check_ca(x) == 0 || (X509_check_issued(leaf, x) == X509_V_OK && X509_cmp(leaf, x) != 0))
            error_hint(err,
                       "the peer sent its chain in the wrong order: its own certificate has to come first");
    }
    bool unknown = f->code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                   f->code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT;
    if (unknown && f->depth == 0 && second == NULL)
        error_hint(err,
                   "trust the CA that issued it; or, if that is an intermediate CA, the peer has to send "
                   "its certificate as well");
    if (unknown && X509_check_ca(f->cert) > 0 && X509_cmp(f->cert, leaf) != 0 &&
        X509_STORE_CTX_get_num_untrusted(f->ctx) <= f->depth)
        error_hint(err,
                   "the trust set has this intermediate CA, but not the root above it: trust that as well");
}

/* Whoever knows the peer can be asked whether it is its key, and then needs to know what to pin. */
static void hint_self_signed(const struct refusal *f, struct tt_error *err)
{
    char shown[PIN_TEXT];
    cert_pin_text(shown, f->path->lib, f->cert);
    error_hint(
        err,
        "if its owner confirms that this is its key, pin that: %s; or trust the certificate itself; or "
        "give the peer one from a CA that is trusted here",
        shown);
}

static tt_rc explain_rest(struct refusal *f, struct tt_error *err)
{
    const struct reason *r = reason_of(f->code);
    if (r == NULL)
        return path_refuse(f->path, TT_ALERT_CERTIFICATE_UNKNOWN, err, "the certificate %s was refused: %s",
                           f->who, X509_verify_cert_error_string(f->code));
    if (f->code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
        hint_self_signed(f, err);
    error_hint(err, "%s", r->hint);
    if (r->tail == NULL)
        return path_refuse(f->path, r->alert, err, "the certificate %s %s", f->who, r->text);
    return path_refuse(f->path, r->alert, err, "the certificate %s %s \"%s\"%s", f->who, r->text, f->issuer,
                       r->tail);
}

tt_rc path_explain(struct path *p, X509_STORE_CTX *ctx, struct tt_error *err)
{
    struct refusal f = {.path = p,
                        .ctx = ctx,
                        .code = X509_STORE_CTX_get_error(ctx),
                        .depth = X509_STORE_CTX_get_error_depth(ctx),
                        .cert = X509_STORE_CTX_get_current_cert(ctx)};
    /* So the strict rules call a leaf that may sign certificates and does not say that it is no CA. */
    if (f.code == X509_V_ERR_INVALID_CA && f.depth == 0)
        f.code = X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA;
    if (f.code == X509_V_ERR_OUT_OF_MEM)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    /* Names are checked for the whole chain at once: then there is no current certificate. */
    if (f.cert == NULL)
        f.cert = p->leaf;
    say_who(&f);
    name_text(f.issuer, sizeof f.issuer, X509_get_issuer_name(f.cert));
    hint_about_chain(&f, err);
    switch (f.code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return explain_time(&f, err);
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return explain_crl_time(&f, err);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return explain_name(&f, err);
    case X509_V_ERR_INVALID_PURPOSE:
        return explain_purpose(&f, err);
    case X509_V_ERR_UNSPECIFIED: /* more names and constraints than libcrypto compares */
        error_hint(err, "use a certificate with fewer names, from a CA with fewer name constraints");
        return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "the certificate %s cannot be judged: %s", f.who,
                           X509_verify_cert_error_string(f.code));
    case X509_V_ERR_INVALID_CALL:
    case X509_V_ERR_STORE_LOOKUP:
        return error_set(err, TT_ERR_INTERNAL, "libcrypto cannot check the certificate chain");
    default:
        return explain_rest(&f, err);
    }
}

bool reason_is_known(int code)
{
    static const int apart[] = {
        X509_V_ERR_CERT_HAS_EXPIRED,  X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CRL_HAS_EXPIRED,
        X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_HOSTNAME_MISMATCH,  X509_V_ERR_IP_ADDRESS_MISMATCH,
        X509_V_ERR_INVALID_PURPOSE,   X509_V_ERR_OUT_OF_MEM,         X509_V_ERR_UNSPECIFIED,
        X509_V_ERR_INVALID_CALL,      X509_V_ERR_STORE_LOOKUP};
    for (size_t i = 0; i < TT_COUNT(apart); i++)
        if (apart[i] == code)
            return true;
    return reason_of(code) != NULL;
}
