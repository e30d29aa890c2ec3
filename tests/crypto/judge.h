/* tests/crypto/judge.h: put a chain before a trust set, and say what is expected of it. Tests only. */
#ifndef TESTS_JUDGE_H
#define TESTS_JUDGE_H

#include "crypto/trust.h"
#include "support/testca.h"

/* struct trial: zero-initialised but for trust, lib and chain; host NULL is "host.example". */
struct trial {
    const struct crypto_lib *lib;
    const struct tt_trust *trust;
    const struct node *chain[8]; /* leaf first, NULL ends it */
    const char *host;
    bool any_host, client;
    int64_t now; /* 0: TEST_NOW */
    struct tt_bytes ocsp;
    bool asked_ocsp, require_ocsp;
};

/* trial_judge: trust_verify's answer. */
tt_rc trial_judge(const struct trial *t, struct trust_verdict *v, struct tt_error *err);
/* trial_accept: the verdict (its key is freed already). */
struct trust_verdict trial_accept(const struct trial *t);
/* trial_refuse: with this alert; the sentence contains text, the hint (or, when NULL, anything) hint. */
void trial_refuse(const struct trial *t, unsigned alert, const char *text, const char *hint);

/* trust_of: a new set with these anchors; NULL ends the list. */
struct tt_trust *trust_of(const struct node *a, const struct node *b);

#endif
