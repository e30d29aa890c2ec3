/* crypto/cert_text.c: names and dates of certificates, for a person. Layer: crypto. What a peer wrote into a
 * certificate is escaped, so that it cannot draw on a terminal. RFC 4514 (names). */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/trust_internal.h"

#define NAMES_SHOWN 3

/* One that does not fit ends in "...". */
void name_text(char *ret, size_t cap, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len = bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0
                   ? BIO_get_mem_data(bio, &text)
                   : 0;
    bool fits = len >= 0 && (size_t)len < cap;
    (void)snprintf(ret, cap, "%.*s%s",
                   len <= 0 ? 0
                   : fits   ? (int)len
                            : (int)cap - 4,
                   len <= 0 ? "" : text, fits ? "" : "...");
    BIO_free(bio);
}

void date_text(char *ret, size_t cap, const ASN1_TIME *when)
{
    struct tm tm;
    if (when == NULL || ASN1_TIME_to_tm(when, &tm) != 1 ||
        strftime(ret, cap, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        (void)snprintf(ret, cap, "an unreadable date");
}

bool time_seconds(int64_t *ret, const ASN1_TIME *when)
{
    struct tm tm = {0};
    if (when == NULL || ASN1_TIME_to_tm(when, &tm) != 1)
        return false;
    *ret = (int64_t)timegm(&tm);
    return true;
}

static void dns_text(char *ret, size_t cap, const ASN1_IA5STRING *s)
{
    size_t n = (size_t)ASN1_STRING_length(s);
    const unsigned char *at = ASN1_STRING_get0_data(s);
    if (n > cap - 1)
        n = cap - 1;
    for (size_t i = 0; i < n; i++)
        ret[i] = at[i] > 0x20 && at[i] < 0x7f && at[i] != '"' ? (char)at[i] : '?';
    ret[n] = '\0';
}

static bool general_name_text(char *ret, size_t cap, const GENERAL_NAME *g)
{
    if (g->type == GEN_DNS) {
        dns_text(ret, cap, g->d.dNSName);
        return true;
    }
    if (g->type != GEN_IPADD)
        return false;
    const unsigned char *ip = ASN1_STRING_get0_data(g->d.iPAddress);
    if (ASN1_STRING_length(g->d.iPAddress) == 4) {
        (void)snprintf(ret, cap, "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
        return true;
    }
    if (ASN1_STRING_length(g->d.iPAddress) != 16)
        return false;
    for (size_t i = 0, at = 0; i < 8 && at < cap; i++)
        at += (size_t)snprintf(ret + at, cap - at, "%s%x", i == 0 ? "" : ":",
                               (unsigned)ip[2 * i] << 8 | ip[2 * i + 1]);
    return true;
}

void host_names_text(char *ret, size_t cap, X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    size_t at = 0, shown = 0, more = 0;
    ret[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        char one[48];
        if (!general_name_text(one, sizeof one, sk_GENERAL_NAME_value(names, i)))
            continue;
        if (shown == NAMES_SHOWN) {
            more++;
            continue;
        }
        at += (size_t)snprintf(ret + at, cap - at, "%s\"%s\"", shown == 0 ? "" : ", ", one);
        if (at >= cap)
            break;
        shown++;
    }
    if (more > 0 && at < cap)
        (void)snprintf(ret + at, cap - at, " and %zu more", more);
    GENERAL_NAMES_free(names);
}
