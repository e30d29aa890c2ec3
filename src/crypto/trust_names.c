/* crypto/trust_names.c: has a leaf one of several names. Layer: crypto. RFC 9525 (DNS names and addresses),
 * X509-SVID section 2 (SPIFFE IDs). One name alone is libcrypto's to judge (trust_path.c). */
#include <openssl/x509v3.h>
#include <string.h>

#include "crypto/trust_internal.h"
#include "wire/host.h"

#define SPIFFE "spiffe://"

/* 1: yes; 0: no; negative: libcrypto could not say. */
static int has_host(X509 *leaf, const char *name)
{
    struct host h;
    if (host_parse(&h, name, NULL) != TT_OK)
        return 0;
    if (h.kind == HOST_NAME)
        return X509_check_host(leaf, h.text, 0, TRUST_HOST_FLAGS, NULL);
    return X509_check_ip(leaf, h.address, h.kind == HOST_IPV4 ? 4 : 16, 0);
}

static bool is_uri(const GENERAL_NAME *g, const char *uri)
{
    int type = GEN_URI;
    const ASN1_IA5STRING *is = GENERAL_NAME_get0_value(g, &type);
    return type == GEN_URI && (size_t)ASN1_STRING_length(is) == strlen(uri) &&
           memcmp(ASN1_STRING_get0_data(is), uri, strlen(uri)) == 0;
}

/* "An X.509 SVID MUST contain exactly one URI SAN" (X509-SVID section 2). */
static bool has_uri(const GENERAL_NAMES *names, const char *uri)
{
    bool found = false;
    int uris = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        int type = 0;
        (void)GENERAL_NAME_get0_value(g, &type);
        uris += type == GEN_URI;
        found = found || is_uri(g, uri);
    }
    return found && (uris == 1 || strncmp(uri, SPIFFE, strlen(SPIFFE)) != 0);
}

static tt_rc refuse(struct path *p, struct tt_error *err)
{
    const struct trust_request *req = p->req;
    char more[40] = "", has[140];
    host_names_text(has, sizeof has, p->leaf);
    if (req->names_len > 1)
        (void)snprintf(more, sizeof more, ", nor for %zu other%s", req->names_len - 1,
                       req->names_len > 2 ? "s" : "");
    error_hint(err, "name one that it has, or give the server a certificate for one of these");
    return path_refuse(p, TT_ALERT_BAD_CERTIFICATE, err, "the peer's certificate is not for \"%.100s\"%s%s%s",
                       req->names[0].text, more,
                       has[0] == '\0' ? ", it has no host name at all" : " but for ", has);
}

tt_rc names_judge(struct path *p, struct tt_error *err)
{
    bool is_ours = false; /* libcrypto's trouble */
    GENERAL_NAMES *names = X509_get_ext_d2i(p->leaf, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (size_t i = 0; i < p->req->names_len && !found; i++) {
        const struct trust_name *n = &p->req->names[i];
        int rc = n->is_uri ? has_uri(names, n->text) : has_host(p->leaf, n->text);
        found = rc > 0;
        is_ours |= rc == -1;
    }
    GENERAL_NAMES_free(names);
    if (found)
        return TT_OK;
    return is_ours ? error_set(err, TT_ERR_MEMORY, "no memory to look at the peer's names") : refuse(p, err);
}
