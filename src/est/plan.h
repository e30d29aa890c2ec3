/* est/plan.h: when a certificate is renewed: numbers in, a verdict out. Layer: est. Pure: reads no clock and
 * no file.
 *
 * A certificate is due when two thirds of its life have passed, and a little later by an amount that is each
 * device's own, so that a thousand of them do not come in the same minute. What failed is tried again after a
 * time that doubles, but never so long that the rest of the life would be wasted on waiting. A clock that
 * says a time before the certificate was issued is wrong: nothing is done until it is set. */
#ifndef EST_PLAN_H
#define EST_PLAN_H

#include "base/rc.h"

struct plan_facts {
    int64_t not_before, not_after; /* of the certificate, seconds since 1970 */
    uint32_t jitter;               /* the device's own number */
    unsigned failures;             /* since the last success */
    int64_t failed_at;             /* the last of them */
    int64_t retry_at;              /* the server said: not before; 0: it did not */
};

enum plan_verdict {
    PLAN_WAIT,     /* not due */
    PLAN_RENEW,    /* now */
    PLAN_BACK_OFF, /* due, and tried lately */
    PLAN_CLOCK     /* the clock is wrong */
};
struct plan {
    enum plan_verdict verdict;
    int64_t at;  /* PLAN_WAIT, PLAN_BACK_OFF: until when */
    bool urgent; /* a tenth of the life is left, or less */
    bool ended;  /* the certificate has ended */
};
struct plan plan_renewal(const struct plan_facts *f, int64_t now);

/* plan_due: when two thirds have passed, and the jitter: at most a twentieth of the life. */
int64_t plan_due(const struct plan_facts *f);

#endif
