/* attest/explain.c: evidence for a person, line by line. Layer: attest. Judges nothing: who wants to know
 * whether it is true, asks the judge. What came from outside is printed as numbers, or escaped. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attest/evidence.h"
#include "pki/ek_chain.h"
#include "pki/text.h"

/* struct teller: to whom, and about what. */
struct teller {
    tt_evidence_line_fn fn;
    void *arg;
    const char *section;
    const struct crypto_lib *lib; /* or NULL: names are left out */
};

static void say(const struct teller *t, const char *name, const char *fmt, ...) TT_PRINTF(3, 4);
static void say(const struct teller *t, const char *name, const char *fmt, ...)
{
    char text[640];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    t->fn(t->arg, t->section, name, text);
}

static void say_hex(const struct teller *t, const char *name, struct tt_bytes b)
{
    char text[2 * 256 + 1];
    size_t n = b.len < 256 ? b.len : 256;
    text_hex(text, (struct tt_bytes){b.data, n});
    say(t, name, "%s%s", n == 0 ? "(empty)" : text, b.len > n ? "..." : "");
}

/* ---- keys ---- */

static const char *curve_text(uint16_t curve)
{
    return curve == 3 ? "P-256" : curve == 4 ? "P-384" : curve == 5 ? "P-521" : "another curve";
}

static void key_tell(const struct teller *t, struct tt_bytes area)
{
    struct at_public p;
    struct at_name name;
    char attributes[200];
    if (at_public_read(&p, area) != TT_OK) {
        say(t, "public area", "cannot be read (%zu bytes)", area.len);
        return;
    }
    at_attributes_text(attributes, sizeof attributes, p.attributes);
    if (p.type == ALG_RSA)
        say(t, "key", "RSA %u", p.bits);
    else
        say(t, "key", "%s", curve_text(p.curve));
    say(t, "attributes", "%s", attributes);
    if (p.scheme != ALG_NULL)
        say(t, "scheme", "%s with %s", at_alg_text(p.scheme), at_alg_text(p.scheme_hash));
    if (p.policy.len > 0)
        say_hex(t, "policy", p.policy);
    if (t->lib != NULL && at_name_of(&name, t->lib, &p) == TT_OK)
        say_hex(t, "name", (struct tt_bytes){name.data, name.len});
}

/* ---- statements ---- */

static void header_tell(const struct teller *t, const struct at_attest *a)
{
    bool named = a->type == ATTEST_TYPE_CERTIFY || a->type == ATTEST_TYPE_QUOTE;
    if (a->magic == ATTEST_MAGIC)
        say(t, "made by", "a TPM (magic 0x%08x)", a->magic);
    else
        say(t, "made by", "something else than a TPM: magic 0x%08x, not 0x%08x", a->magic, ATTEST_MAGIC);
    say(t, "type", "0x%04x (%s)", a->type,
        !named                           ? "another statement"
        : a->type == ATTEST_TYPE_CERTIFY ? "certification of a key"
                                         : "quote of PCRs");
    say_hex(t, "signed by", a->signer);
    say_hex(t, "about the nonce", a->extra);
    say(t, "clock", "%" PRIu64 " ms%s", a->clock,
        a->safe != 0 ? "" : " (not safe: the TPM lost its power without a shutdown)");
    say(t, "resets, restarts", "%u, %u", a->resets, a->restarts);
    say(t, "firmware", "%u.%u (%016" PRIx64 ")", (unsigned)(a->firmware >> 48),
        (unsigned)(a->firmware >> 32 & 0xffff), a->firmware);
}

static void signature_tell(const struct teller *t, struct tt_bytes signature)
{
    struct at_signature s;
    if (at_signature_read(&s, signature) != TT_OK)
        say(t, "signature", "cannot be read (%zu bytes)", signature.len);
    else
        say(t, "signature", "%s with %s", at_alg_text(s.alg), at_alg_text(s.hash));
}

static void statement_tell(const struct teller *t, struct tt_bytes attest, struct tt_bytes signature)
{
    struct at_attest a;
    struct at_selection selection;
    char text[200];
    if (at_attest_read(&a, attest) != TT_OK) {
        say(t, "statement", "cannot be read (%zu bytes)", attest.len);
        return;
    }
    header_tell(t, &a);
    if (a.magic == ATTEST_MAGIC && a.type == ATTEST_TYPE_CERTIFY) {
        say_hex(t, "key's name", a.name);
        say_hex(t, "key's qualified name", a.qualified_name);
    } else if (a.magic == ATTEST_MAGIC && a.type == ATTEST_TYPE_QUOTE &&
               at_selection_read(&selection, a.selection) == TT_OK) {
        at_selection_text(text, sizeof text, &selection);
        say(t, "PCRs", "%s", text);
        say_hex(t, "digest", a.digest);
    }
    signature_tell(t, signature);
}

static size_t bank_size(uint16_t alg)
{
    return alg == ALG_SHA1 ? 20 : at_hash(alg) != HASH_NONE ? hash_size(at_hash(alg)) : 32;
}

/* The values follow each other in the order of the selection. */
static void values_tell(const struct teller *t, const struct tt_evidence *e)
{
    struct at_attest a;
    struct at_selection s;
    struct tt_bytes rest = e->pcr_values;
    if (at_attest_read(&a, e->quote) != TT_OK || a.type != ATTEST_TYPE_QUOTE ||
        at_selection_read(&s, a.selection) != TT_OK)
        return;
    for (size_t i = 0; i < s.len; i++)
        for (unsigned n = 0; n < 32; n++) {
            char name[40];
            size_t size = bank_size(s.alg[i]);
            if ((s.bits[i] >> n & 1) == 0)
                continue;
            (void)snprintf(name, sizeof name, "%s:%u", at_alg_text(s.alg[i]), n);
            if (rest.len < size) {
                say(t, name, "its value is missing");
                return;
            }
            say_hex(t, name, (struct tt_bytes){rest.data, size});
            rest = (struct tt_bytes){rest.data + size, rest.len - size};
        }
    if (rest.len > 0)
        say(t, "values", "%zu bytes too many", rest.len);
}

/* ---- certificates ---- */

static void endorsement_tell(const struct teller *t, struct tt_bytes der)
{
    struct ek_facts f;
    if (ek_facts_read(&f, der) != TT_OK) {
        say(t, "certificate", "cannot be read (%zu bytes)", der.len);
        return;
    }
    say(t, "manufacturer", "%s", f.manufacturer[0] != '\0' ? f.manufacturer : "not said");
    say(t, "model, version", "%s, %s", f.model[0] != '\0' ? f.model : "not said",
        f.version[0] != '\0' ? f.version : "not said");
    say(t, "certificate by", "%s", f.issuer);
    say(t, "serial", "%s", f.serial);
}

static void chain_tell(const struct teller *t, const struct tt_evidence *e)
{
    for (size_t i = 1; i < e->certs_len; i++) {
        struct tt_cert_info *info = NULL;
        struct tt_error why = {0};
        char name[40];
        (void)snprintf(name, sizeof name, "certificate %zu", i + 1);
        if (tt_cert_describe(&info, e->certs[i], &why) != TT_OK) {
            say(t, name, "cannot be read (%zu bytes)", e->certs[i].len);
            continue;
        }
        say(t, name, "%s, by %s", info->subject, info->issuer);
        tt_cert_info_free(info);
    }
}

static void proof_tell(const struct teller *t, const struct tt_evidence *e)
{
    say(t, "made for", "%s",
        e->use == TT_ATTEST_TLS ? "a connection (its exporter is the nonce)" : "a certificate");
    say_hex(t, "nonce", e->nonce);
    if (e->token.len > 0)
        say(t, "challenge", "answered: a token of %zu bytes and a secret of %zu", e->token.len,
            e->secret.len);
    else
        say(t, "challenge", "not answered: nothing shows that both keys are in one TPM");
}

void tt_evidence_each(const struct tt_evidence *e, tt_evidence_line_fn fn, void *arg)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    struct teller t = {.fn = fn, .arg = arg, .section = "evidence"};
    if (crypto_lib_new(&lib, NULL) == TT_OK)
        t.lib = lib;
    proof_tell(&t, e);
    t.section = "key";
    key_tell(&t, e->key_public);
    t.section = "certification";
    statement_tell(&t, e->certify, e->certify_signature);
    t.section = "attestation key";
    key_tell(&t, e->ak_public);
    t.section = "endorsement key";
    key_tell(&t, e->ek_public);
    if (e->certs_len > 0)
        endorsement_tell(&t, e->certs[0]);
    else
        say(&t, "certificate", "none");
    chain_tell(&t, e);
    t.section = "quote";
    if (e->quote.len == 0)
        return;
    statement_tell(&t, e->quote, e->quote_signature);
    values_tell(&t, e);
}
