/* pki/signed.c: signature algorithms of X.509 and the frame around what is signed. Layer: pki.
 * RFC 5758 section 3.2 (ECDSA: parameters absent), RFC 4055 (RSA: PKCS#1 with NULL; PSS with its parameters),
 * RFC 8410 section 3 (Ed25519, Ed448: parameters absent), RFC 9881 section 2 (ML-DSA: parameters absent). */
#include "pki/signed.h"

#include <string.h>

#define SIGNATURE_MAX 8192 /* ML-DSA-87 has 4,627 bytes */

/* AlgorithmIdentifiers as constants: there is one right encoding of each. */
#define ALG(...)                                                                                             \
    {                                                                                                        \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                               \
    }
#define ECDSA(last) ALG(0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last)
#define PKCS1(last) ALG(0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last, 0x05, 0)
#define EDDSA(last) ALG(0x30, 5, 0x06, 3, 0x2b, 0x65, last)
#define MLDSA(last) ALG(0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, last)
#define SHA2(last)  0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last, 0x05, 0
/* RSASSA-PSS-params: hash, MGF1 with the same hash, salt length of the hash; trailerField is its default. */
#define PSS(hash, salt)                                                                                      \
    ALG(0x30, 65, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 52, 0xa0, 15, SHA2(hash),     \
        0xa1, 28, 0x30, 26, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8, SHA2(hash), 0xa2, 3, 0x02, \
        1, salt)

static const struct algorithm {
    uint16_t scheme;
    struct tt_bytes der;
} algorithms[] = {
    {TT_SCHEME_ECDSA_SECP256R1_SHA256, ECDSA(2)},
    {TT_SCHEME_ECDSA_SECP384R1_SHA384, ECDSA(3)},
    {TT_SCHEME_ECDSA_SECP521R1_SHA512, ECDSA(4)},
    {TT_SCHEME_RSA_PKCS1_SHA256, PKCS1(11)},
    {TT_SCHEME_RSA_PKCS1_SHA384, PKCS1(12)},
    {TT_SCHEME_RSA_PKCS1_SHA512, PKCS1(13)},
    {TT_SCHEME_RSA_PSS_RSAE_SHA256, PSS(1, 32)},
    {TT_SCHEME_RSA_PSS_RSAE_SHA384, PSS(2, 48)},
    {TT_SCHEME_RSA_PSS_RSAE_SHA512, PSS(3, 64)},
    {TT_SCHEME_RSA_PSS_PSS_SHA256, PSS(1, 32)},
    {TT_SCHEME_RSA_PSS_PSS_SHA384, PSS(2, 48)},
    {TT_SCHEME_RSA_PSS_PSS_SHA512, PSS(3, 64)},
    {TT_SCHEME_ED25519, EDDSA(0x70)},
    {TT_SCHEME_ED448, EDDSA(0x71)},
    {TT_SCHEME_MLDSA44, MLDSA(17)},
    {TT_SCHEME_MLDSA65, MLDSA(18)},
    {TT_SCHEME_MLDSA87, MLDSA(19)},
};

tt_rc signed_algorithm(struct tt_bytes *ret, uint16_t scheme, struct tt_error *err)
{
    for (size_t i = 0; i < TT_COUNT(algorithms); i++) {
        if (algorithms[i].scheme == scheme) {
            *ret = algorithms[i].der;
            return TT_OK;
        }
    }
    return error_set(err, TT_ERR_USAGE,
                     "the key signs with %s (0x%04x), which requests and certificates here cannot carry",
                     tt_scheme_name(scheme), scheme);
}

bool signed_accepted(const ASN1_OBJECT *algorithm)
{
    for (size_t i = 0; i < TT_COUNT(algorithms); i++) {
        const uint8_t *oid = algorithms[i].der.data + 2; /* SEQUENCE { OID ... */
        if (OBJ_length(algorithm) == oid[1] && memcmp(OBJ_get0_data(algorithm), oid + 2, oid[1]) == 0)
            return true;
    }
    return false;
}

tt_rc signed_build(struct buf *to, struct tt_bytes tbs, const struct tt_pki_signer *signer,
                   struct tt_error *err)
{
    struct tt_bytes algorithm;
    TT_TRY(signed_algorithm(&algorithm, signer->scheme, err));
    uint8_t sig[SIGNATURE_MAX];
    size_t sig_len = 0;
    TT_TRY(signer->sign(signer->arg, signer->scheme, tbs, sig, sizeof sig, &sig_len, err));
    if (sig_len == 0 || sig_len > sizeof sig)
        return error_set(err, TT_ERR_INTERNAL, "the key returned a signature of %zu bytes", sig_len);
    struct writer w = writer_to(to);
    struct der_mark whole = der_open(&w, DER_SEQUENCE);
    wr_bytes(&w, tbs);
    wr_bytes(&w, algorithm);
    struct der_mark bits = der_open(&w, DER_BIT_STRING);
    wr_u8(&w, 0); /* unused bits */
    wr_bytes(&w, (struct tt_bytes){sig, sig_len});
    der_close(&w, bits);
    der_close(&w, whole);
    return wr_status(&w) == TT_OK ? TT_OK : pki_no_memory(err);
}
