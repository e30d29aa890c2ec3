/* tpmtls/attest.h: proof that a key is in a genuine TPM: made on the device (tt_attester_*), written as
 * evidence (tt_evidence_*), and judged by whoever relies on it (tt_attest_*), who needs no TPM.
 *
 * Invariants
 *  - Evidence is untrusted input; a verdict says what was found, and one reason where it was refused.
 *  - Whoever judges keeps no state: what has to come back (a nonce, a challenge) is sealed under a key of
 * his.
 *  - The time is handed in, in seconds since 1970.
 *  - docs/attestation.md has the forms, and the table of reasons. */
#ifndef TPMTLS_ATTEST_H
#define TPMTLS_ATTEST_H

#include "tpmtls/error.h"
#include "tpmtls/key.h"
#include "tpmtls/pki.h"

#ifdef __cplusplus
extern "C" {
#endif

/* enum tt_attest_use: what a statement is made for; one that was made for the one is nothing for the other.
 */
enum tt_attest_use {
    TT_ATTEST_ENROL, /* a certificate is asked for; the nonce is the CA's */
    TT_ATTEST_TLS    /* a connection; the nonce is its exporter */
};
#define TT_ATTEST_NONCE 32 /* bytes */

/* ---- the device ---- */

struct tt_attester;

struct tt_attester_params {
    const char *ek;   /* template of the endorsement key, "L-1" to "H-7"; NULL: the one with a certificate */
    bool uncertified; /* its certificate is not looked for; with ek NULL: L-2 */
    struct tt_bytes ek_certificates; /* PEM: its certificate, then more of the chain; empty: from NV memory */
};
/* tt_attester_open: find the endorsement key and its certificate in this TPM, which is kept until free; the
 * attestation key is derived by the first use and removed by tt_attester_free. TT_ERR_NOT_FOUND: the TPM has
 * no certificate. params may be NULL. */
TT_API TT_MUST_USE tt_rc tt_attester_open(struct tt_attester **ret, struct tt_tpm *tpm,
                                          const struct tt_attester_params *params, struct tt_error *err);
TT_API void tt_attester_free(struct tt_attester *a);

/* tt_attester_endorsement: the endorsement key's SubjectPublicKeyInfo (DER), for whoever certifies it;
 * tt_free. */
TT_API TT_MUST_USE tt_rc tt_attester_endorsement(uint8_t **ret, size_t *ret_len, struct tt_attester *a,
                                                 struct tt_error *err);

/* struct tt_evidence: what evidence consists of. Views. TPM structures are marshalled: TPMS_ATTEST,
 * TPMT_SIGNATURE, TPMT_PUBLIC. */
#define TT_EVIDENCE_CERTS 8
struct tt_evidence {
    enum tt_attest_use use;
    struct tt_bytes nonce;
    struct tt_bytes certify, certify_signature, key_public;
    struct tt_bytes ak_public, ek_public;
    struct tt_bytes quote, quote_signature, pcr_values; /* empty: no quote; values in the TPM's order */
    struct tt_bytes token, secret;            /* the proof that both keys are in one TPM; empty: none */
    struct tt_bytes certs[TT_EVIDENCE_CERTS]; /* DER; the endorsement key's first */
    size_t certs_len;
};

/* tt_attester_attest: have the TPM certify the key over the nonce (TT_ATTEST_NONCE bytes), and quote the PCRs
 * ("sha256:0,7") where pcrs is not NULL. *ret has views into the attester, valid until its next use. The key
 * has to be in the same TPM. Until tt_attester_free the attestation key and the endorsement key stay loaded.
 */
struct tt_attest_request {
    enum tt_attest_use use;
    struct tt_bytes nonce;
    const char *pcrs;
};
TT_API TT_MUST_USE tt_rc tt_attester_attest(struct tt_evidence *ret, struct tt_attester *a,
                                            struct tt_key *key, const struct tt_attest_request *req,
                                            struct tt_error *err);
/* tt_attester_answer: the secret of a challenge (tt_attest_challenge), and its token, go into *evidence, as
 * views into the attester. TT_ERR_VERIFY: the challenge is for another TPM. */
TT_API TT_MUST_USE tt_rc tt_attester_answer(struct tt_evidence *evidence, struct tt_attester *a,
                                            struct tt_bytes challenge, struct tt_error *err);

/* ---- its form ---- */

/* tt_evidence_write: DER AttestationBundle (draft-ietf-lamps-csr-attestation); *ret to be freed with tt_free.
 */
TT_API TT_MUST_USE tt_rc tt_evidence_write(uint8_t **ret, size_t *ret_len, const struct tt_evidence *e,
                                           struct tt_error *err);
/* tt_evidence_attribute: it as an Attribute of a request, for struct tt_csr_params.attributes. */
TT_API TT_MUST_USE tt_rc tt_evidence_attribute(uint8_t **ret, size_t *ret_len, struct tt_bytes bundle,
                                               struct tt_error *err);
/* tt_evidence_read: views into der. TT_ERR_DECODE, with what is wrong. What the TPM's structures say is not
 * looked at. */
TT_API TT_MUST_USE tt_rc tt_evidence_read(struct tt_evidence *ret, struct tt_bytes der, struct tt_error *err);
/* tt_csr_evidence: the AttestationBundle in a certificate request (PEM or DER); to be freed with tt_free.
 * TT_ERR_NOT_FOUND: there is none; TT_ERR_DECODE: it is damaged, or there twice. */
TT_API TT_MUST_USE tt_rc tt_csr_evidence(uint8_t **ret, size_t *ret_len, struct tt_bytes csr,
                                         struct tt_error *err);

/* tt_attest_to_pem: evidence or a challenge as a file has it; tt_free. tt_attest_from_text: its DER; evidence
 * may also be in a certificate request, or DER itself. To be freed with tt_free. TT_ERR_DECODE. */
enum tt_attest_form {
    TT_ATTEST_EVIDENCE,
    TT_ATTEST_CHALLENGE,
    TT_ATTEST_PUBLIC_KEY
};
TT_API TT_MUST_USE tt_rc tt_attest_to_pem(char **ret, enum tt_attest_form form, struct tt_bytes der,
                                          struct tt_error *err);
TT_API TT_MUST_USE tt_rc tt_attest_from_text(uint8_t **ret, size_t *ret_len, enum tt_attest_form form,
                                             struct tt_bytes text, struct tt_error *err);

/* tt_evidence_each: explain evidence, line by line: calls fn with a section ("attestation key"), a name and a
 * text for a person. What cannot be read is said so. Judges nothing. */
typedef void (*tt_evidence_line_fn)(void *arg, const char *section, const char *name, const char *text);
TT_API void tt_evidence_each(const struct tt_evidence *e, tt_evidence_line_fn fn, void *arg);

/* ---- whoever relies on it ---- */

/* enum tt_attest_reason: why evidence is refused; tt_attest_reason_name has the words of the table in
 * docs/attestation.md. */
enum tt_attest_reason {
    TT_ATTEST_GOOD,
    TT_ATTEST_MALFORMED,      /* the bundle's form */
    TT_ATTEST_EK_MISSING,     /* no certificate of an endorsement key */
    TT_ATTEST_EK_MALFORMED,   /* it cannot be read */
    TT_ATTEST_EK_UNTRUSTED,   /* leads to no root that is configured */
    TT_ATTEST_EK_TIME,        /* not valid now, or a certificate above it is not */
    TT_ATTEST_EK_USAGE,       /* issued for something else than an endorsement key */
    TT_ATTEST_EK_EXTENSION,   /* a critical extension that is not known */
    TT_ATTEST_EK_KEY,         /* the endorsement key is not the certificate's */
    TT_ATTEST_EK_ATTRIBUTES,  /* it is no endorsement key */
    TT_ATTEST_EK_KIND,        /* not of a kind that is allowed */
    TT_ATTEST_MANUFACTURER,   /* not one that is allowed */
    TT_ATTEST_AK_MALFORMED,   /* the attestation key's public area */
    TT_ATTEST_AK_ATTRIBUTES,  /* it is no attestation key: it would sign anything, or is not fixed to the TPM
                               */
    TT_ATTEST_KEY_MALFORMED,  /* the certified key's public area */
    TT_ATTEST_KEY_OTHER,      /* not the key of the request, or of the connection */
    TT_ATTEST_KEY_ATTRIBUTES, /* it could leave the TPM, or came from outside */
    TT_ATTEST_CERTIFY_MISSING,
    TT_ATTEST_CERTIFY_MALFORMED,
    TT_ATTEST_CERTIFY_MAGIC,  /* not made by a TPM */
    TT_ATTEST_CERTIFY_TYPE,   /* another statement */
    TT_ATTEST_CERTIFY_NONCE,  /* not about this nonce, or made for another use */
    TT_ATTEST_CERTIFY_NAME,   /* of another key */
    TT_ATTEST_CERTIFY_SIGNER, /* by a key of another hierarchy, where that matters */
    TT_ATTEST_CERTIFY_SIGNATURE,
    TT_ATTEST_FIRMWARE, /* not one that is allowed */
    TT_ATTEST_QUOTE_MISSING,
    TT_ATTEST_QUOTE_MALFORMED,
    TT_ATTEST_QUOTE_MAGIC,
    TT_ATTEST_QUOTE_TYPE,
    TT_ATTEST_QUOTE_NONCE,
    TT_ATTEST_QUOTE_SELECTION, /* not the PCRs that are demanded; a bank that is not allocated, too */
    TT_ATTEST_QUOTE_VALUES,    /* the values are not those that were quoted */
    TT_ATTEST_QUOTE_SIGNATURE,
    TT_ATTEST_PCRS,        /* the values are not allowed */
    TT_ATTEST_NONCE_WRONG, /* not one that was given out */
    TT_ATTEST_NONCE_OLD,
    TT_ATTEST_PROOF_MISSING, /* nothing shows that the attestation key is in the endorsement key's TPM */
    TT_ATTEST_PROOF_TOKEN,   /* not one that was given out, or given to other keys */
    TT_ATTEST_PROOF_OLD,
    TT_ATTEST_PROOF_SECRET, /* wrong: the TPM did not give it */
    TT_ATTEST_REASONS
};
TT_API const char *tt_attest_reason_name(enum tt_attest_reason reason); /* "certify-nonce"; never NULL */

/* struct tt_attest_verdict: what was found, as far as the judge came. */
struct tt_attest_verdict {
    enum tt_attest_reason reason;
    char text[320];                                /* a sentence; empty when good */
    char manufacturer[16], model[40], version[40]; /* of the endorsement certificate: "IFX", ... */
    char ek_sha256[65]; /* of the endorsement key's SubjectPublicKeyInfo: the identity of the TPM */
    char ek_issuer[200], ek_serial[80];
    uint8_t key_name[66], ak_name[66];
    size_t key_name_len, ak_name_len;
    uint32_t key_attributes; /* TPMA_OBJECT */
    uint64_t clock_ms, firmware;
    uint32_t resets, restarts;
    bool safe;
    bool counters_are_true; /* the statement was signed in the endorsement hierarchy: nothing is obfuscated */
    bool quoted, proved;
};

/* struct tt_attest_policy: what is demanded; checked and read once, then shared between threads. */
struct tt_attest_policy;
struct tt_attest_policy_params {
    const struct tt_cert_list
        *roots;             /* of vendors: the self-signed are trusted, the others may stand between */
    const char *const *eks; /* kinds of endorsement keys: "rsa2048", "p256", ...; none: all */
    size_t eks_len;
    const char *const *manufacturers; /* "IFX"; none: all */
    size_t manufacturers_len;
    const char *const *firmware; /* "IFX:7.85" (at least), or 16 hexadecimal digits (exactly); none: all */
    size_t firmware_len;
    const char *pcrs;               /* these have to be quoted, and only they count; NULL: no quote */
    const char *const *pcr_digests; /* hexadecimal SHA-256 of their values: one of them; none: any values */
    size_t pcr_digests_len;
};
TT_API TT_MUST_USE tt_rc tt_attest_policy_new(struct tt_attest_policy **ret,
                                              const struct tt_attest_policy_params *params,
                                              struct tt_error *err);
TT_API void tt_attest_policy_free(struct tt_attest_policy *p);
/* tt_attest_policy_pcrs: what has to be quoted, or NULL. */
TT_API const char *tt_attest_policy_pcrs(const struct tt_attest_policy *p);

/* tt_attest_key: the secret under which nonces and challenges are sealed: 32 bytes. All servers of one CA
 * share it; what was given out before it is changed is refused after. */
#define TT_ATTEST_KEY_SIZE 32

/* tt_attest_nonce: a nonce that tt_attest_judge knows again for ten minutes. */
TT_API TT_MUST_USE tt_rc tt_attest_nonce(uint8_t ret[TT_ATTEST_NONCE], const struct tt_attest_policy *policy,
                                         const uint8_t key[TT_ATTEST_KEY_SIZE], int64_t now,
                                         struct tt_error *err);

/* struct tt_attest_want: what the evidence is to be about. */
struct tt_attest_want {
    enum tt_attest_use use;
    struct tt_bytes spki;  /* the key of the request or the connection; empty: any */
    struct tt_bytes nonce; /* the one; empty: one that was made with `key`, if that is there */
    const uint8_t
        *key;   /* TT_ATTEST_KEY_SIZE bytes, or NULL: nonces are not known, the proof is not demanded */
    bool first; /* for a challenge: the proof is not there yet */
    int64_t now;
};
/* tt_attest_judge: TT_OK: good. TT_ERR_VERIFY: refused, and why. Any other result: it could not be judged,
 * and the verdict is not to be used. */
TT_API TT_MUST_USE tt_rc tt_attest_judge(struct tt_attest_verdict *ret, const struct tt_attest_policy *policy,
                                         struct tt_bytes evidence, const struct tt_attest_want *want,
                                         struct tt_error *err);
/* tt_attest_challenge: a challenge (DER, tt_free) that only the TPM with both keys of the evidence can
 * answer: a credential (TPM 2.0 part 1, section 24) and a sealed token. Judges the evidence first, as far as
 * it can be before. */
TT_API TT_MUST_USE tt_rc tt_attest_challenge(uint8_t **ret, size_t *ret_len,
                                             struct tt_attest_verdict *ret_verdict,
                                             const struct tt_attest_policy *policy, struct tt_bytes evidence,
                                             const struct tt_attest_want *want, struct tt_error *err);

#ifdef __cplusplus
}
#endif
#endif
