/* tpm/alg.c: see alg.h. Layer: tpm. */
#include "tpm/alg.h"

#include <stdio.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/rc.h"

struct row {
    uint32_t number;
    const char *name;
};

static struct alg_text text_of(const struct row *rows, size_t n, uint16_t number, const char *type)
{
    struct alg_text t;
    for (size_t i = 0; i < n; i++)
        if (rows[i].number == number) {
            (void)snprintf(t.text, sizeof t.text, "%s", rows[i].name);
            return t;
        }
    (void)snprintf(t.text, sizeof t.text, "%s 0x%04x", type, number);
    return t;
}

struct alg_text alg_text(uint16_t alg)
{
    static const struct row rows[] = {
        {TPM2_ALG_RSA, "RSA"},
        {TPM2_ALG_TDES, "TDES"},
        {TPM2_ALG_SHA1, "SHA-1"},
        {TPM2_ALG_HMAC, "HMAC"},
        {TPM2_ALG_AES, "AES"},
        {TPM2_ALG_KEYEDHASH, "keyed hash (HMAC key or sealed data)"},
        {TPM2_ALG_XOR, "XOR"},
        {TPM2_ALG_SHA256, "SHA-256"},
        {TPM2_ALG_SHA384, "SHA-384"},
        {TPM2_ALG_SHA512, "SHA-512"},
        {TPM2_ALG_NULL, "none"},
        {TPM2_ALG_SM3_256, "SM3"},
        {TPM2_ALG_SM4, "SM4"},
        {TPM2_ALG_RSASSA, "RSASSA (PKCS#1 v1.5)"},
        {TPM2_ALG_RSAES, "RSAES (PKCS#1 v1.5 encryption)"},
        {TPM2_ALG_RSAPSS, "RSA-PSS"},
        {TPM2_ALG_OAEP, "OAEP (encryption)"},
        {TPM2_ALG_ECDSA, "ECDSA"},
        {TPM2_ALG_ECDH, "ECDH"},
        {TPM2_ALG_ECDAA, "ECDAA (anonymous attestation)"},
        {TPM2_ALG_SM2, "SM2"},
        {TPM2_ALG_ECSCHNORR, "EC-Schnorr"},
        {TPM2_ALG_ECMQV, "ECMQV"},
        {TPM2_ALG_ECC, "elliptic-curve"},
        {TPM2_ALG_SYMCIPHER, "symmetric cipher"},
        {TPM2_ALG_CAMELLIA, "Camellia"},
        {TPM2_ALG_SHA3_256, "SHA3-256"},
        {TPM2_ALG_SHA3_384, "SHA3-384"},
        {TPM2_ALG_SHA3_512, "SHA3-512"},
        {0x0060, "EdDSA"},
        {0x0061, "EdDSA (pre-hashed)"},
        {0x0070, "LMS"},
        {0x0071, "XMSS"},
        {0x00a0, "ML-KEM"},
        {0x00a1, "ML-DSA"},
        {0x00a2, "ML-DSA (pre-hashed)"},
    };
    return text_of(rows, TT_COUNT(rows), alg, "TPM_ALG_ID");
}

struct alg_text alg_curve_text(uint16_t curve)
{
    static const struct row rows[] = {
        {TPM2_ECC_NIST_P192, "NIST P-192"},
        {TPM2_ECC_NIST_P224, "NIST P-224"},
        {TPM2_ECC_NIST_P256, "NIST P-256"},
        {TPM2_ECC_NIST_P384, "NIST P-384"},
        {TPM2_ECC_NIST_P521, "NIST P-521"},
        {TPM2_ECC_BN_P256, "BN P-256"},
        {TPM2_ECC_BN_P638, "BN P-638"},
        {TPM2_ECC_SM2_P256, "SM2"},
        {0x0030, "Brainpool P-256 r1"},
        {0x0031, "Brainpool P-384 r1"},
        {0x0032, "Brainpool P-512 r1"},
        {0x0040, "Curve25519"},
        {0x0041, "Curve448"},
    };
    return text_of(rows, TT_COUNT(rows), curve, "TPM_ECC_CURVE");
}

static const char *kind_of_handle(uint32_t handle)
{
    switch (handle) {
    case TPM2_RH_LOCKOUT:
        return "TPM_RH_LOCKOUT";
    case TPM2_RH_OWNER:
        return "TPM_RH_OWNER";
    case TPM2_RH_ENDORSEMENT:
        return "TPM_RH_ENDORSEMENT";
    case TPM2_RH_PLATFORM:
        return "TPM_RH_PLATFORM";
    case TPM2_RH_NULL:
        return "TPM_RH_NULL";
    default:
        break;
    }
    switch (handle >> 24) {
    case TPM2_HT_PCR:
        return "a PCR";
    case TPM2_HT_NV_INDEX:
        return "an NV index";
    case TPM2_HT_HMAC_SESSION:
    case TPM2_HT_POLICY_SESSION:
        return "a session";
    case TPM2_HT_TRANSIENT:
        return "the place of an object for a while";
    case TPM2_HT_PERSISTENT:
        return "a persistent handle";
    default:
        return "no handle that TPMs have";
    }
}

struct alg_text alg_handle_text(uint32_t handle)
{
    struct alg_text t;
    (void)snprintf(t.text, sizeof t.text, "0x%08x, %s", handle, kind_of_handle(handle));
    return t;
}
