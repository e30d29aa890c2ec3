/* crypto/trust_internal.h: what a set of trust holds, and the steps of its verifier. Layer: crypto; included
 * by this layer only. */
#ifndef CRYPTO_TRUST_INTERNAL_H
#define CRYPTO_TRUST_INTERNAL_H

#include <openssl/x509_vfy.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "crypto/cert_cache.h"
#include "crypto/cert_internal.h"
#include "crypto/chain_cache.h"
#include "crypto/trust.h"

#define PATH_KEPT   4  /* certificates of a chain that may be kept as they were read */
#define PIN_SIZE    32 /* SHA-256 of a SubjectPublicKeyInfo, or of a certificate */
#define MAX_BETWEEN 10 /* intermediate CAs */

/* What libcrypto hands to check_issued: from 4.0 on it may not be changed. */
#if OPENSSL_VERSION_MAJOR >= 4
typedef const X509 asked_x509;
#else
typedef X509 asked_x509;
#endif

struct tt_trust {
    atomic_uint refs;
    bool frozen, lax;  /* lax: tt_trust_insecure_accept_lax */
    X509_STORE *store; /* anchors, intermediate CAs, CRLs: to be looked up in by libcrypto */
    /* The same, each once, to be gone through; they stay while the set is frozen. */
    STACK_OF(X509) * cas;
    STACK_OF(X509_CRL) * lists;
    size_t anchors, crls; /* as they were added */
    unsigned max_between; /* intermediate CAs */
    struct buf pins;      /* of keys; PIN_SIZE bytes each */
    struct buf cert_pins; /* of whole certificates */
    struct chain_cache *cache;
    struct cert_cache *certs;
};

/* struct path: one chain under judgement, and what was found out about it. */
struct path {
    const struct crypto_lib *lib;
    const struct tt_trust *trust;
    const struct trust_request *req;
    X509 *leaf;
    struct leaf_key leaf_key;
    STACK_OF(X509) * rest;  /* what the peer sent behind it, or NULL */
    X509_STORE_CTX *ctx;    /* of the last attempt */
    STACK_OF(X509) * built; /* its verified path, leaf first, anchor last; NULL until there is one */
    X509_CRL *bad_crl;      /* the one that was refused */
    struct validity when;   /* how long the verdict stays true */
    struct trust_verdict verdict;
    bool is_second; /* judged anew from the bytes: nothing that was read before is looked at */
    size_t keep_len;
    struct {
        X509 *x; /* borrowed */
        struct tt_bytes der;
    } keep[PATH_KEPT]; /* read now, and not for the first time */
};

/* path_refuse: set the alert and return error_set(err, TT_ERR_VERIFY, ...)'s result. TT_ERR_MEMORY, and
 * nothing is set, when libcrypto refused because it ran out of memory. */
tt_rc path_refuse(struct path *p, unsigned alert, struct tt_error *err, const char *fmt, ...) TT_PRINTF(4, 5);

/* trust_changing: called before anything is added: refuses a frozen set, forgets the verdicts of before. */
TT_MUST_USE tt_rc trust_changing(struct tt_trust *t, struct tt_error *err);

/* trust_pin.c: is the set made of pins alone? */
bool trust_has_pins_alone(const struct tt_trust *t);
/* pin_text, cert_pin_text: "sha256:" and hexadecimal, for the hint of a refusal; empty where that cannot be
 * had. */
#define PIN_TEXT (sizeof "sha256:" + 2 * (size_t)PIN_SIZE)
#define PIN_IT   "if the peer has a new key and you know it is its own, pin that: %s"
void pin_text(char ret[PIN_TEXT], const struct crypto_lib *lib, struct tt_bytes spki);
void cert_pin_text(char ret[PIN_TEXT], const struct crypto_lib *lib, X509 *x);
/* path_hint_pin: whoever knows the peer can be asked whether it is its key. */
void path_hint_pin(const struct path *p, struct tt_error *err);
/* trust_pins: how many keys and certificates are pinned. */
size_t trust_pins(const struct tt_trust *t);
/* cert_is_pinned: is this certificate, or its key, pinned? */
TT_MUST_USE tt_rc cert_is_pinned(bool *ret, const struct tt_trust *t, const struct crypto_lib *lib, X509 *x);

/* trust_path.c: find p->built: from the leaf to an anchor of the set, or to one of `anchors`, whatever issued
 * those. */
TT_MUST_USE tt_rc path_find(struct path *p, STACK_OF(X509) * anchors, struct tt_error *err);
/* path_may_issue: X509_STORE's check_issued, for every set. */
int path_may_issue(X509_STORE_CTX *ctx, asked_x509 *x, asked_x509 *issuer);

/* trust_profile.c: profile_forgives: libcrypto has found something that is no fault here. profile_judge: what
 * it does not look at, in p->built. */
bool profile_forgives(X509_STORE_CTX *ctx, const struct path *p);
TT_MUST_USE tt_rc profile_judge(struct path *p, struct tt_error *err);

/* crl.c: crl_setup: have CRLs looked at by ctx. crl_forgives: the error is no fault here; a CRL that is one
 * is kept in p. crl_limit: narrow p->when to the CRLs that concern the path.
 */
void crl_setup(X509_STORE_CTX *ctx, const struct path *p);
bool crl_forgives(X509_STORE_CTX *ctx, struct path *p);
void crl_limit(struct path *p);
/* crl_lists: is the certificate in a list of the set that this issuer signed? */
bool crl_lists(const struct tt_trust *t, X509 *issuer, X509 *x);

/* trust_verify.c: narrow to the certificate's own dates. */
void validity_limit(struct validity *when, const X509 *x);

/* ocsp.c: judge p->req->ocsp, or its absence. The issuer is in p->built. */
TT_MUST_USE tt_rc ocsp_judge(struct path *p, struct tt_error *err);
bool x509_wants_staple(const X509 *x);

/* trust_reason.c: libcrypto's refusal as alert, sentence and advice. Returns TT_ERR_VERIFY, or TT_ERR_MEMORY
 * and the like when the fault is ours. */
tt_rc path_explain(struct path *p, X509_STORE_CTX *ctx, struct tt_error *err);
/* reason_is_known: is there a sentence of our own for this X509_V_ERR_ number? (For the tests.) */
bool reason_is_known(int code);

/* cert_text.c: for a person; never more than cap bytes with the NUL, nothing that moves a terminal's cursor.
 */
void name_text(char *ret, size_t cap, const X509_NAME *name);
void date_text(char *ret, size_t cap, const ASN1_TIME *when);
#define TRUST_HOST_FLAGS (X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

/* trust_names.c: has the leaf one of the request's names? */
TT_MUST_USE tt_rc names_judge(struct path *p, struct tt_error *err);
/* host_names_text: the first names of its subjectAltName: "a.example", "b.example" and 3 more. */
void host_names_text(char *ret, size_t cap, X509 *x);
/* time_seconds: seconds since 1970; false for a time that cannot be read. */
bool time_seconds(int64_t *ret, const ASN1_TIME *when);

#endif
