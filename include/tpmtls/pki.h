/* tpmtls/pki.h: certificate requests and certificates (RFC 2986, RFC 5280).
 *
 * Invariants
 *  - Private keys are never here: whoever has one hands in a struct tt_pki_signer. A signature that comes
 * back is verified before it is used.
 *  - The time is handed in, in seconds since 1970; no clock is read.
 *  - Requests and certificates are untrusted input. Text made from them for a person is UTF-8 without control
 *    characters, so that a certificate cannot draw on a terminal.
 *  - Everything handed out as ret_ is the caller's and freed with the named function. */
#ifndef TPMTLS_PKI_H
#define TPMTLS_PKI_H

#include "tpmtls/error.h"
#include "tpmtls/iana.h"

#ifdef __cplusplus
extern "C" {
#endif

/* struct tt_pki_signer: who signs a request or a certificate. */
struct tt_pki_signer {
    /* sign: like tt_key_sign: signs the message (not its digest); ECDSA gives DER, RSA the modulus-sized
     * number. */
    tt_rc (*sign)(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                  size_t *ret_len, struct tt_error *err);
    void *arg;
    struct tt_bytes spki; /* DER SubjectPublicKeyInfo of the key */
    uint16_t scheme;      /* rsa_pkcs1_*, ecdsa_*, ed25519, ed448; rsa_pss_* where RSASSA-PSS is wanted */
    bool checks_itself;   /* its signatures are right: it has verified them (a TPM's), or libcrypto made them;
                           * else they are verified before they are used */
};

/* ---- certificates ---- */

/* struct tt_cert_list: DER certificates, in the order they were in; fits tt_identity.chain. */
struct tt_cert_list {
    struct tt_bytes *certs;
    size_t len;
};

/* tt_cert_list_from_pem: every CERTIFICATE of a PEM text; other blocks and text between them are skipped.
 * TT_ERR_DECODE when there is none, or one that is cut off or damaged (the text says which). */
TT_API TT_MUST_USE tt_rc tt_cert_list_from_pem(struct tt_cert_list **ret, struct tt_bytes pem,
                                               struct tt_error *err);
TT_API void tt_cert_list_free(struct tt_cert_list *list);

/* tt_cert_list_to_pem: the first n certificates as one PEM text, NUL-terminated; tt_free. */
TT_API TT_MUST_USE tt_rc tt_cert_list_to_pem(char **ret, const struct tt_cert_list *list, size_t n,
                                             struct tt_error *err);

/* struct tt_cert_info: a certificate for a person. Strings are never NULL. */
struct tt_cert_info {
    char *subject; /* "CN=device-1,O=Example" (RFC 4514) */
    char *issuer;
    char *serial;             /* lower-case hexadecimal, two digits a byte */
    char *sans;               /* "DNS:a.example, IP:192.0.2.1", or "" */
    char *key;                /* "P-256", "RSA 2048", ... */
    char not_before_text[24]; /* "2026-01-31T12:00:00Z" */
    char not_after_text[24];
    char sha256[65]; /* fingerprint of the DER, lower-case hexadecimal */
    int64_t not_before, not_after;
    char spki_sha256[65]; /* of its SubjectPublicKeyInfo: what a pin names */
    bool is_ca;
    bool must_staple; /* it demands a stapled OCSP response (RFC 7633) */
};

/* tt_cert_describe: TT_ERR_DECODE when der is not exactly one certificate. Says nothing about trust. */
TT_API TT_MUST_USE tt_rc tt_cert_describe(struct tt_cert_info **ret, struct tt_bytes der,
                                          struct tt_error *err);
TT_API void tt_cert_info_free(struct tt_cert_info *info);

/* tt_cert_leads_to: does a certificate lead to one of these roots, whatever it was issued for: an endorsement
 * certificate to its vendor. Of `roots` the self-signed ones are trusted, the others may stand between.
 * TT_ERR_VERIFY when not. */
TT_API TT_MUST_USE tt_rc tt_cert_leads_to(struct tt_bytes der, const struct tt_cert_list *roots, int64_t now,
                                          struct tt_error *err);

/* tt_cert_leads_to_through: the same with certificates that may stand between and are trusted for nothing,
 * however they are signed: a chain that came with the certificate. between may be NULL. */
TT_API TT_MUST_USE tt_rc tt_cert_leads_to_through(struct tt_bytes der, const struct tt_cert_list *between,
                                                  const struct tt_cert_list *roots, int64_t now,
                                                  struct tt_error *err);

/* tt_spki_sha256: the SHA-256 of a SubjectPublicKeyInfo in lower-case hexadecimal: what a pin names. */
TT_API void tt_spki_sha256(char ret[65], struct tt_bytes spki);

/* tt_spki_of: the SubjectPublicKeyInfo (DER, tt_free) of a certificate, a request or a PUBLIC KEY, PEM or
 * DER; nothing is verified. TT_ERR_DECODE: it is none of them. */
TT_API TT_MUST_USE tt_rc tt_spki_of(uint8_t **ret, size_t *ret_len, struct tt_bytes text,
                                    struct tt_error *err);

/* tt_cert_matches_key: is this SubjectPublicKeyInfo the key the certificate was issued for. False also when
 * one of them cannot be read. */
TT_API bool tt_cert_matches_key(struct tt_bytes cert_der, struct tt_bytes spki);

/* ---- certificate requests (PKCS#10) ---- */

struct tt_csr_params {
    const char *subject;     /* '/O=Example/CN=device-1'; '\' takes the next character as it is, '+' joins
                              * attributes of one relative name. NULL, "" or "/": none, then there must be sans,
                              * which become critical */
    const char *const *sans; /* each "DNS:name", "IP:address", "URI:...", "email:...", "UPN:name@realm" or
                              * "HardwareModuleName:OID:HEX" (type and serial number of a device) */
    size_t sans_len;
    const struct tt_bytes
        *attributes; /* more of them (RFC 2986 section 4.1): each a whole Attribute in DER */
    size_t attributes_len;
};

/* tt_csr_create: a request signed by signer, as a NUL-terminated PEM text; tt_free. TT_ERR_USAGE with a hint
 * for a subject or name that has a wrong form. */
TT_API TT_MUST_USE tt_rc tt_csr_create(char **ret_pem, const struct tt_csr_params *params,
                                       const struct tt_pki_signer *signer, struct tt_error *err);

/* tt_ca_key_generate: a new P-256 software key as PKCS#8 PEM, NUL-terminated; tt_free. */
TT_API TT_MUST_USE tt_rc tt_ca_key_generate(char **ret_pem, struct tt_error *err);

#ifdef __cplusplus
}
#endif
#endif
