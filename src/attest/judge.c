/* attest/judge.c: is this evidence good? Layer: attest. One function, one verdict: each check has a reason of
 * its own, and the first one that fails is the verdict's. Fields are compared before signatures are checked,
 * so that what was changed is said and not only that something was; nothing is good before all of it was
 * checked. TPM 2.0 part 1, section 31 (attestation), 24 (credentials); part 2, section 10.12. */
#include "attest/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attest/sealed.h"
#include "crypto/sig.h"
#include "pki/fields.h"
#include "wire/der.h"

static const char *const reason_names[TT_ATTEST_REASONS] = {
    [TT_ATTEST_GOOD] = "good",
    [TT_ATTEST_MALFORMED] = "malformed",
    [TT_ATTEST_EK_MISSING] = "ek-missing",
    [TT_ATTEST_EK_MALFORMED] = "ek-malformed",
    [TT_ATTEST_EK_UNTRUSTED] = "ek-untrusted",
    [TT_ATTEST_EK_TIME] = "ek-time",
    [TT_ATTEST_EK_USAGE] = "ek-usage",
    [TT_ATTEST_EK_EXTENSION] = "ek-extension",
    [TT_ATTEST_EK_KEY] = "ek-key",
    [TT_ATTEST_EK_ATTRIBUTES] = "ek-attributes",
    [TT_ATTEST_EK_KIND] = "ek-kind",
    [TT_ATTEST_MANUFACTURER] = "manufacturer",
    [TT_ATTEST_AK_MALFORMED] = "ak-malformed",
    [TT_ATTEST_AK_ATTRIBUTES] = "ak-attributes",
    [TT_ATTEST_KEY_MALFORMED] = "key-malformed",
    [TT_ATTEST_KEY_OTHER] = "key-other",
    [TT_ATTEST_KEY_ATTRIBUTES] = "key-attributes",
    [TT_ATTEST_CERTIFY_MISSING] = "certify-missing",
    [TT_ATTEST_CERTIFY_MALFORMED] = "certify-malformed",
    [TT_ATTEST_CERTIFY_MAGIC] = "certify-magic",
    [TT_ATTEST_CERTIFY_TYPE] = "certify-type",
    [TT_ATTEST_CERTIFY_NONCE] = "certify-nonce",
    [TT_ATTEST_CERTIFY_NAME] = "certify-name",
    [TT_ATTEST_CERTIFY_SIGNER] = "certify-signer",
    [TT_ATTEST_CERTIFY_SIGNATURE] = "certify-signature",
    [TT_ATTEST_FIRMWARE] = "firmware",
    [TT_ATTEST_QUOTE_MISSING] = "quote-missing",
    [TT_ATTEST_QUOTE_MALFORMED] = "quote-malformed",
    [TT_ATTEST_QUOTE_MAGIC] = "quote-magic",
    [TT_ATTEST_QUOTE_TYPE] = "quote-type",
    [TT_ATTEST_QUOTE_NONCE] = "quote-nonce",
    [TT_ATTEST_QUOTE_SELECTION] = "quote-selection",
    [TT_ATTEST_QUOTE_VALUES] = "quote-values",
    [TT_ATTEST_QUOTE_SIGNATURE] = "quote-signature",
    [TT_ATTEST_PCRS] = "pcrs",
    [TT_ATTEST_NONCE_WRONG] = "nonce-wrong",
    [TT_ATTEST_NONCE_OLD] = "nonce-old",
    [TT_ATTEST_PROOF_MISSING] = "proof-missing",
    [TT_ATTEST_PROOF_TOKEN] = "proof-token",
    [TT_ATTEST_PROOF_OLD] = "proof-old",
    [TT_ATTEST_PROOF_SECRET] = "proof-secret",
};

const char *tt_attest_reason_name(enum tt_attest_reason reason)
{
    return (unsigned)reason < TT_ATTEST_REASONS && reason_names[reason] != NULL ? reason_names[reason]
                                                                                : "unknown";
}

/* refuse: the verdict, once. */
static tt_rc refuse(struct judging *j, enum tt_attest_reason reason, const char *fmt, ...) TT_PRINTF(3, 4);
static tt_rc refuse(struct judging *j, enum tt_attest_reason reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    j->v.reason = reason;
    (void)vsnprintf(j->v.text, sizeof j->v.text, fmt, args);
    va_end(args);
    error_cut(j->v.text);
    return TT_ERR_VERIFY;
}

/* What we could not do is no verdict. */
static bool is_ours(tt_rc rc)
{
    return rc == TT_ERR_MEMORY || rc == TT_ERR_INTERNAL;
}

/* ---- the endorsement key ---- */

static enum tt_attest_reason reason_of(enum ek_refusal refusal)
{
    static const enum tt_attest_reason reasons[] = {
        [EK_GOOD] = TT_ATTEST_EK_UNTRUSTED, [EK_MALFORMED] = TT_ATTEST_EK_MALFORMED,
        [EK_USAGE] = TT_ATTEST_EK_USAGE,    [EK_EXTENSION] = TT_ATTEST_EK_EXTENSION,
        [EK_TIME] = TT_ATTEST_EK_TIME,      [EK_UNTRUSTED] = TT_ATTEST_EK_UNTRUSTED};
    return reasons[refusal];
}

static void facts_keep(struct tt_attest_verdict *v, const struct ek_facts *f)
{
    (void)snprintf(v->manufacturer, sizeof v->manufacturer, "%s", f->manufacturer);
    (void)snprintf(v->model, sizeof v->model, "%s", f->model);
    (void)snprintf(v->version, sizeof v->version, "%s", f->version);
    (void)snprintf(v->ek_issuer, sizeof v->ek_issuer, "%s", f->issuer);
    (void)snprintf(v->ek_serial, sizeof v->ek_serial, "%s", f->serial);
}

static tt_rc ek_certificate(struct judging *j)
{
    struct tt_error why = {0};
    enum ek_refusal refusal = EK_GOOD;
    const struct ek_chain chain = {j->e.certs, j->e.certs_len, j->want->now};
    if (j->e.certs_len == 0)
        return refuse(j, TT_ATTEST_EK_MISSING,
                      "the evidence comes without a certificate of an endorsement key");
    tt_rc rc = ek_chain_judge(&j->ek_facts, &refusal, j->policy->roots, &chain, &why);
    facts_keep(&j->v, &j->ek_facts);
    if (rc == TT_ERR_VERIFY)
        return refuse(j, reason_of(refusal), "%s", why.text);
    return rc;
}

static tt_rc manufacturer(struct judging *j)
{
    const struct tt_attest_policy *p = j->policy;
    bool allowed = p->manufacturers_len == 0;
    for (size_t i = 0; i < p->manufacturers_len; i++)
        allowed = allowed || strcmp(p->manufacturers[i], j->v.manufacturer) == 0;
    if (allowed)
        return TT_OK;
    return refuse(j, TT_ATTEST_MANUFACTURER,
                  "the TPM's manufacturer, %s, is not one of those that are allowed",
                  j->v.manufacturer[0] != '\0' ? j->v.manufacturer : "which its certificate does not say");
}

static tt_rc ek_identity(struct judging *j, struct tt_bytes spki)
{
    uint8_t digest[32];
    TT_TRY(hash_digest(j->policy->lib, HASH_SHA256, spki, digest));
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(j->v.ek_sha256 + 2 * i, 3, "%02x", digest[i]);
    return TT_OK;
}

/* "restricted, decrypt": what the credential was encrypted for decrypts nothing but credentials. */
static tt_rc ek_public(struct judging *j)
{
    const uint32_t needed =
        ATTR_FIXED_TPM | ATTR_FIXED_PARENT | ATTR_SENSITIVE_DATA_ORIGIN | ATTR_RESTRICTED | ATTR_DECRYPT;
    tt_rc rc = at_public_read(&j->ek, j->e.ek_public);
    if (rc == TT_OK)
        rc = at_public_spki(&j->ek_spki, &j->ek);
    if (is_ours(rc))
        return rc;
    struct tt_bytes key = rc == TT_OK ? spki_public_key(buf_bytes(&j->ek_spki)) : (struct tt_bytes){NULL, 0};
    if (rc != TT_OK || key.len != j->ek_facts.public_key.len ||
        memcmp(key.data, j->ek_facts.public_key.data, key.len) != 0)
        return refuse(j, TT_ATTEST_EK_KEY, "the endorsement key is not the one of its certificate");
    if ((j->ek.attributes & needed) != needed || (j->ek.attributes & ATTR_SIGN) != 0 ||
        j->ek.sym_alg != ALG_AES || j->ek.sym_mode != ALG_CFB ||
        (j->ek.sym_bits != 128 && j->ek.sym_bits != 256) || at_hash(j->ek.name_alg) == HASH_NONE)
        return refuse(j, TT_ATTEST_EK_ATTRIBUTES,
                      "the key of the endorsement certificate is no endorsement key by its attributes (0x%x)",
                      j->ek.attributes);
    size_t kind = at_kind_of(&j->ek);
    if (j->policy->eks != 0 && (kind == AT_KINDS || (j->policy->eks >> kind & 1) == 0))
        return refuse(j, TT_ATTEST_EK_KIND, "the endorsement key is of a kind that is not allowed (%s)",
                      kind < AT_KINDS ? at_kinds[kind] : "unknown");
    return ek_identity(j, buf_bytes(&j->ek_spki));
}

/* ---- the attestation key ---- */

static tt_rc ak_public(struct judging *j)
{
    static const struct {
        uint32_t bit;
        const char *why;
    } needed[] = {{ATTR_FIXED_TPM, "is not fixed to its TPM (fixedTPM)"},
                  {ATTR_FIXED_PARENT, "is not fixed to its parent (fixedParent)"},
                  {ATTR_SENSITIVE_DATA_ORIGIN, "was not made by its TPM (sensitiveDataOrigin)"},
                  {ATTR_RESTRICTED, "would sign what the TPM did not make (restricted)"},
                  {ATTR_SIGN, "does not sign"}};
    tt_rc rc = at_public_read(&j->ak, j->e.ak_public);
    if (rc == TT_OK)
        rc = at_name_of(&j->ak_name, j->policy->lib, &j->ak);
    if (rc == TT_OK)
        rc = at_public_spki(&j->ak_spki, &j->ak);
    if (is_ours(rc))
        return rc;
    if (rc != TT_OK)
        return refuse(j, TT_ATTEST_AK_MALFORMED,
                      "the attestation key's public area is damaged, or of a kind that is not known");
    for (size_t i = 0; i < TT_COUNT(needed); i++)
        if ((j->ak.attributes & needed[i].bit) == 0)
            return refuse(j, TT_ATTEST_AK_ATTRIBUTES, "the attestation key %s", needed[i].why);
    if ((j->ak.attributes & ATTR_DECRYPT) != 0 || at_hash(j->ak.scheme_hash) == HASH_NONE ||
        (j->ak.type == ALG_RSA && j->ak.bits < 2048))
        return refuse(j, TT_ATTEST_AK_ATTRIBUTES,
                      "the attestation key decrypts, is too short, or signs with another hash than SHA-2");
    memcpy(j->v.ak_name, j->ak_name.data, j->ak_name.len);
    j->v.ak_name_len = j->ak_name.len;
    rc = pubkey_from_spki(&j->ak_key, j->policy->lib, buf_bytes(&j->ak_spki));
    if (rc == TT_ERR_DECODE)
        return refuse(j, TT_ATTEST_AK_MALFORMED, "the attestation key's public area holds no key");
    return rc;
}

/* ---- the key ---- */

static tt_rc key_public(struct judging *j)
{
    static const struct {
        uint32_t bit;
        const char *why;
    } needed[] = {
        {ATTR_FIXED_TPM, "could leave the TPM: it is not fixed to it (fixedTPM)"},
        {ATTR_FIXED_PARENT, "could be duplicated: it is not fixed to its parent (fixedParent)"},
        {ATTR_SENSITIVE_DATA_ORIGIN, "came from outside: the TPM did not make it (sensitiveDataOrigin)"},
        {ATTR_SIGN, "does not sign"}};
    TT_AUTO(buf_free) struct buf spki = {0};
    tt_rc rc = at_public_read(&j->key, j->e.key_public);
    if (rc == TT_OK)
        rc = at_name_of(&j->key_name, j->policy->lib, &j->key);
    if (rc == TT_OK)
        rc = at_public_spki(&spki, &j->key);
    if (is_ours(rc))
        return rc;
    if (rc != TT_OK)
        return refuse(j, TT_ATTEST_KEY_MALFORMED,
                      "the key's public area is damaged, or of a kind that is not known");
    j->v.key_attributes = j->key.attributes;
    memcpy(j->v.key_name, j->key_name.data, j->key_name.len);
    j->v.key_name_len = j->key_name.len;
    struct tt_bytes is = buf_bytes(&spki), want = j->want->spki;
    if (want.len > 0 && (is.len != want.len || memcmp(is.data, want.data, is.len) != 0))
        return refuse(j, TT_ATTEST_KEY_OTHER, "the evidence is about another key than the one that %s",
                      j->want->use == TT_ATTEST_TLS ? "the connection has" : "the certificate is asked for");
    for (size_t i = 0; i < TT_COUNT(needed); i++)
        if ((j->key.attributes & needed[i].bit) == 0)
            return refuse(j, TT_ATTEST_KEY_ATTRIBUTES, "the key %s", needed[i].why);
    return TT_OK;
}

/* ---- statements ---- */

/* The scheme is the attestation key's own, so that nobody can choose a weaker one. */
static uint16_t scheme_of(const struct at_public *ak)
{
    bool pss = ak->scheme == ALG_RSAPSS;
    switch (ak->scheme_hash) {
    case ALG_SHA256:
        return ak->scheme == ALG_ECDSA ? TT_SCHEME_ECDSA_SECP256R1_SHA256
               : pss                   ? TT_SCHEME_RSA_PSS_RSAE_SHA256
                                       : TT_SCHEME_RSA_PKCS1_SHA256;
    case ALG_SHA384:
        return ak->scheme == ALG_ECDSA ? TT_SCHEME_ECDSA_SECP384R1_SHA384
               : pss                   ? TT_SCHEME_RSA_PSS_RSAE_SHA384
                                       : TT_SCHEME_RSA_PKCS1_SHA384;
    default:
        return ak->scheme == ALG_ECDSA ? TT_SCHEME_ECDSA_SECP521R1_SHA512
               : pss                   ? TT_SCHEME_RSA_PSS_RSAE_SHA512
                                       : TT_SCHEME_RSA_PKCS1_SHA512;
    }
}

#define COORDINATE_MAX 66 /* of P-521 */

/* TT_ERR_VERIFY: wrong. */
static tt_rc signature_check(struct judging *j, struct tt_bytes attest, struct tt_bytes signature)
{
    struct at_signature s;
    TT_AUTO(buf_free) struct buf der = {0};
    if (at_signature_read(&s, signature) != TT_OK || s.alg != j->ak.scheme || s.hash != j->ak.scheme_hash)
        return TT_ERR_VERIFY;
    if (s.alg != ALG_ECDSA)
        return pubkey_verify(j->policy->lib, j->ak_key, scheme_of(&j->ak), attest, s.rsa);
    if (s.r.len > COORDINATE_MAX || s.s.len > COORDINATE_MAX)
        return TT_ERR_VERIFY;
    struct writer w = writer_to(&der); /* Ecdsa-Sig-Value, RFC 3279 section 2.2.3 */
    struct der_mark m = der_open(&w, DER_SEQUENCE);
    der_put_uint(&w, s.r);
    der_put_uint(&w, s.s);
    der_close(&w, m);
    TT_TRY(wr_status(&w));
    return pubkey_verify(j->policy->lib, j->ak_key, scheme_of(&j->ak), attest, buf_bytes(&der));
}

static bool extra_is(const struct judging *j, struct tt_bytes extra, bool quote, tt_rc *rc)
{
    uint8_t want[32];
    *rc = evidence_extra(want, j->policy->lib, &j->e, quote);
    return *rc == TT_OK && extra.len == sizeof want && memcmp(extra.data, want, sizeof want) == 0;
}

/* A primary key's qualified name is made from its hierarchy's handle; a key's under the endorsement key from
 * that one's. One of the owner's hierarchy cannot be told here: its counters and firmware are obfuscated, not
 * its words about keys. */
static tt_rc signer_look(struct judging *j, struct tt_bytes signer)
{
    static const uint8_t endorsement[] = {0x40, 0x00, 0x00, 0x0b};
    struct at_name primary, ek_name, ek, child;
    const struct crypto_lib *lib = j->policy->lib;
    TT_TRY(at_qualified(&primary, lib, (struct tt_bytes){endorsement, sizeof endorsement}, &j->ak_name));
    TT_TRY(at_name_of(&ek_name, lib, &j->ek));
    TT_TRY(at_qualified(&ek, lib, (struct tt_bytes){endorsement, sizeof endorsement}, &ek_name));
    TT_TRY(at_qualified(&child, lib, (struct tt_bytes){ek.data, ek.len}, &j->ak_name));
    j->v.counters_are_true = at_name_is(&primary, signer) || at_name_is(&child, signer);
    return TT_OK;
}

static tt_rc certify(struct judging *j)
{
    struct at_attest a;
    tt_rc rc;
    if (j->e.certify.len == 0)
        return refuse(j, TT_ATTEST_CERTIFY_MISSING, "the evidence comes without a certification of the key");
    if (at_attest_read(&a, j->e.certify) != TT_OK)
        return refuse(j, TT_ATTEST_CERTIFY_MALFORMED, "the certification is damaged");
    if (a.magic != ATTEST_MAGIC)
        return refuse(j, TT_ATTEST_CERTIFY_MAGIC, "the certification was not made by a TPM (magic 0x%08x)",
                      a.magic);
    if (a.type != ATTEST_TYPE_CERTIFY)
        return refuse(j, TT_ATTEST_CERTIFY_TYPE,
                      "the statement about the key is no certification (type 0x%04x)", a.type);
    if (!extra_is(j, a.extra, false, &rc))
        return rc != TT_OK ? rc
                           : refuse(j, TT_ATTEST_CERTIFY_NONCE,
                                    "the certification is not about this nonce, or was made for another use");
    if (!at_name_is(&j->key_name, a.name))
        return refuse(j, TT_ATTEST_CERTIFY_NAME, "the certification is of another key");
    TT_TRY(signer_look(j, a.signer));
    j->v.clock_ms = a.clock;
    j->v.resets = a.resets;
    j->v.restarts = a.restarts;
    j->v.safe = a.safe != 0;
    j->v.firmware = a.firmware;
    rc = signature_check(j, j->e.certify, j->e.certify_signature);
    return rc == TT_ERR_VERIFY ? refuse(j, TT_ATTEST_CERTIFY_SIGNATURE,
                                        "the certification's signature is not the attestation key's")
                               : rc;
}

static tt_rc firmware(struct judging *j)
{
    const struct tt_attest_policy *p = j->policy;
    if (p->firmware_len == 0)
        return TT_OK;
    if (!j->v.counters_are_true)
        return refuse(j, TT_ATTEST_CERTIFY_SIGNER,
                      "the attestation key is not in the endorsement hierarchy: what it says of the firmware "
                      "is obfuscated");
    for (size_t i = 0; i < p->firmware_len; i++) {
        const struct firmware_rule *r = &p->firmware[i];
        if (r->manufacturer[0] == '\0'
                ? r->version == j->v.firmware
                : strcmp(r->manufacturer, j->v.manufacturer) == 0 && j->v.firmware >= r->version)
            return TT_OK;
    }
    return refuse(j, TT_ATTEST_FIRMWARE,
                  "the TPM's firmware, %u.%u (%016llx), is not one of those that are allowed",
                  (unsigned)(j->v.firmware >> 48), (unsigned)(j->v.firmware >> 32 & 0xffff),
                  (unsigned long long)j->v.firmware);
}

/* ---- the quote ---- */

/* A bank that is not allocated comes back with its bits cleared, as a success. */
static tt_rc selection_check(struct judging *j, const struct at_attest *a)
{
    struct at_selection quoted;
    char text[200];
    if (at_selection_read(&quoted, a->selection) != TT_OK)
        return refuse(j, TT_ATTEST_QUOTE_MALFORMED, "the quote is damaged");
    at_selection_text(text, sizeof text, &quoted);
    if (j->policy->pcrs[0] != '\0' && !at_selection_same(&quoted, &j->policy->selection))
        return refuse(j, TT_ATTEST_QUOTE_SELECTION,
                      "the quote is of other PCRs (%s) than those that are demanded (%s)", text,
                      j->policy->pcrs);
    return TT_OK;
}

static tt_rc values_check(struct judging *j, const struct at_attest *a)
{
    const struct tt_attest_policy *p = j->policy;
    uint8_t digest[HASH_MAX_SIZE];
    enum hash_id hash = at_hash(j->ak.scheme_hash); /* "pcrDigest: using the hash of the signing key" */
    TT_TRY(hash_digest(p->lib, hash, j->e.pcr_values, digest));
    if (a->digest.len != hash_size(hash) || memcmp(digest, a->digest.data, a->digest.len) != 0)
        return refuse(j, TT_ATTEST_QUOTE_VALUES, "the values of the PCRs are not those that were quoted");
    return TT_OK;
}

static tt_rc pcrs_check(struct judging *j)
{
    const struct tt_attest_policy *p = j->policy;
    uint8_t digest[32];
    if (p->digests_len == 0)
        return TT_OK;
    TT_TRY(hash_digest(p->lib, HASH_SHA256, j->e.pcr_values, digest));
    for (size_t i = 0; i < p->digests_len; i++)
        if (memcmp(digest, p->digests[i], sizeof digest) == 0)
            return TT_OK;
    return refuse(j, TT_ATTEST_PCRS,
                  "the values of the PCRs (digest %02x%02x%02x%02x...) are not among those that are allowed",
                  digest[0], digest[1], digest[2], digest[3]);
}

static tt_rc quote(struct judging *j)
{
    struct at_attest a;
    tt_rc rc;
    if (j->e.quote.len == 0)
        return j->policy->pcrs[0] == '\0'
                   ? TT_OK
                   : refuse(j, TT_ATTEST_QUOTE_MISSING, "the evidence comes without a quote of the PCRs %s",
                            j->policy->pcrs);
    if (at_attest_read(&a, j->e.quote) != TT_OK)
        return refuse(j, TT_ATTEST_QUOTE_MALFORMED, "the quote is damaged");
    if (a.magic != ATTEST_MAGIC)
        return refuse(j, TT_ATTEST_QUOTE_MAGIC, "the quote was not made by a TPM (magic 0x%08x)", a.magic);
    if (a.type != ATTEST_TYPE_QUOTE)
        return refuse(j, TT_ATTEST_QUOTE_TYPE, "the statement about the PCRs is no quote (type 0x%04x)",
                      a.type);
    if (!extra_is(j, a.extra, true, &rc))
        return rc != TT_OK ? rc
                           : refuse(j, TT_ATTEST_QUOTE_NONCE,
                                    "the quote is not about this nonce, or was made for another use");
    TT_TRY(selection_check(j, &a));
    TT_TRY(values_check(j, &a));
    rc = signature_check(j, j->e.quote, j->e.quote_signature);
    if (rc == TT_ERR_VERIFY)
        return refuse(j, TT_ATTEST_QUOTE_SIGNATURE, "the quote's signature is not the attestation key's");
    TT_TRY(rc);
    j->v.quoted = true;
    return pcrs_check(j);
}

/* ---- freshness, and the proof that both keys are in one TPM ---- */

static tt_rc nonce(struct judging *j)
{
    const struct tt_attest_want *w = j->want;
    enum sealed_state state = SEALED_GOOD;
    if (j->e.use != w->use)
        return refuse(j, TT_ATTEST_CERTIFY_NONCE, "the evidence was made for another use: to %s",
                      j->e.use == TT_ATTEST_TLS ? "show a TPM on a connection" : "enrol");
    if (w->nonce.len > 0)
        return w->nonce.len == j->e.nonce.len && memcmp(w->nonce.data, j->e.nonce.data, w->nonce.len) == 0
                   ? TT_OK
                   : refuse(j, TT_ATTEST_NONCE_WRONG, "the evidence is about another %s",
                            w->use == TT_ATTEST_TLS ? "connection" : "nonce");
    if (w->key == NULL)
        return TT_OK;
    TT_TRY(nonce_check(&state, j->policy->lib, w->key, j->e.nonce, w->now));
    if (state == SEALED_WRONG)
        return refuse(j, TT_ATTEST_NONCE_WRONG,
                      "the nonce of the evidence is not one that was given out here");
    return state == SEALED_OLD
               ? refuse(j, TT_ATTEST_NONCE_OLD, "the nonce of the evidence is more than %d minutes old",
                        SEALED_LIFE / 60)
               : TT_OK;
}

static tt_rc proof(struct judging *j)
{
    struct token t = {.lib = j->policy->lib,
                      .key = j->want->key,
                      .ak = &j->ak_name,
                      .ek = buf_bytes(&j->ek_spki),
                      .now = j->want->now};
    enum sealed_state state = SEALED_GOOD;
    if (j->want->key == NULL || j->want->first)
        return TT_OK;
    if (j->e.token.len == 0)
        return refuse(j, TT_ATTEST_PROOF_MISSING,
                      "nothing shows that the attestation key is in the TPM of the endorsement key: no "
                      "challenge was answered");
    TT_TRY(token_open(&state, &t, j->e.token));
    bool right =
        j->e.secret.len == CREDENTIAL_SECRET && mem_equal_ct(j->e.secret.data, t.secret, CREDENTIAL_SECRET);
    mem_wipe(t.secret, sizeof t.secret);
    if (state == SEALED_WRONG)
        return refuse(j, TT_ATTEST_PROOF_TOKEN,
                      "the answered challenge is not one that was given out here for these keys");
    if (state == SEALED_OLD)
        return refuse(j, TT_ATTEST_PROOF_OLD, "the answered challenge is more than %d minutes old",
                      SEALED_LIFE / 60);
    if (!right)
        return refuse(j, TT_ATTEST_PROOF_SECRET,
                      "the challenge was answered wrongly: the attestation key is not in the TPM of the "
                      "endorsement key");
    j->v.proved = true;
    return TT_OK;
}

tt_rc judge_run(struct judging *j, struct tt_bytes evidence)
{
    static tt_rc (*const checks[])(struct judging *) = {nonce,     ek_certificate, manufacturer, ek_public,
                                                        ak_public, key_public,     certify,      firmware,
                                                        quote,     proof};
    struct tt_error why = {0};
    if (tt_evidence_read(&j->e, evidence, &why) != TT_OK)
        return refuse(j, TT_ATTEST_MALFORMED, "%s", why.text);
    for (size_t i = 0; i < TT_COUNT(checks); i++)
        TT_TRY(checks[i](j));
    return TT_OK;
}

void judging_free(struct judging *j)
{
    buf_free(&j->ek_spki);
    buf_free(&j->ak_spki);
    pubkey_free(j->ak_key);
}

static tt_rc judge_end(struct tt_attest_verdict *ret, const struct judging *j, tt_rc rc, struct tt_error *err)
{
    if (rc == TT_OK || rc == TT_ERR_VERIFY)
        *ret = j->v;
    if (rc == TT_ERR_VERIFY)
        return error_set(err, rc, "%s", j->v.text);
    return rc == TT_OK ? rc : error_set(err, rc, "the evidence could not be judged");
}

tt_rc tt_attest_judge(struct tt_attest_verdict *ret, const struct tt_attest_policy *policy,
                      struct tt_bytes evidence, const struct tt_attest_want *want, struct tt_error *err)
{
    TT_AUTO(judging_free) struct judging j = {.policy = policy, .want = want};
    tt_rc rc = judge_run(&j, evidence);
    return judge_end(ret, &j, rc, err);
}

/* ---- the challenge ---- */

static tt_rc challenge_put(struct buf *to, const struct judging *j)
{
    TT_AUTO(credential_free) struct credential c = {.blob = {0}};
    TT_AUTO(buf_free) struct buf token = {0};
    struct token t = {.lib = j->policy->lib,
                      .key = j->want->key,
                      .ak = &j->ak_name,
                      .ek = buf_bytes(&j->ek_spki),
                      .now = j->want->now};
    if (!crypto_random(NULL, t.secret, sizeof t.secret))
        return TT_ERR_INTERNAL;
    tt_rc rc = credential_make(&c, j->policy->lib, &j->ek, &j->ak_name, t.secret);
    if (rc == TT_OK)
        rc = token_seal(&token, &t);
    mem_wipe(t.secret, sizeof t.secret);
    TT_TRY(rc);
    return form_challenge_put(
        to, &(struct form_challenge){buf_bytes(&c.blob), buf_bytes(&c.encrypted), buf_bytes(&token)});
}

tt_rc tt_attest_challenge(uint8_t **ret, size_t *ret_len, struct tt_attest_verdict *ret_verdict,
                          const struct tt_attest_policy *policy, struct tt_bytes evidence,
                          const struct tt_attest_want *want, struct tt_error *err)
{
    struct tt_attest_want first = *want;
    TT_AUTO(buf_free) struct buf der = {0};
    TT_AUTO(judging_free) struct judging j = {.policy = policy, .want = &first};
    if (want->key == NULL)
        return error_set(err, TT_ERR_USAGE, "a challenge needs the key that it is sealed under");
    first.first = true;
    TT_TRY(judge_end(ret_verdict, &j, judge_run(&j, evidence), err));
    tt_rc rc = challenge_put(&der, &j);
    if (rc != TT_OK)
        return error_set(err, rc, "no credential can be made for the endorsement key");
    uint8_t *copy = mem_dup(buf_front(&der), buf_size(&der));
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    *ret_len = buf_size(&der);
    return TT_OK;
}
