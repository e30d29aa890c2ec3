/* service/enrolment.h: one request for a certificate on its way from EST to the CA and back. Layer: service.
 */
#ifndef SERVICE_ENROLMENT_H
#define SERVICE_ENROLMENT_H

#include "est/basic.h"
#include "service/worker.h"

struct enrolment {
    struct enrolment *next;
    struct buf csr, certificate; /* what was asked, and by whom */
    char label[EST_LABEL_MAX + 1], password[EST_PASSWORD_MAX + 1], from[ADDRESS_TEXT_MAX];
    bool has_label, has_password, renews;
    const char *unbound; /* of struct est_order */
    worker_enrolled_fn done;
    void *arg;

    /* the CA's thread: */
    struct ca_order order;
    struct attested attested;
    char id[65], profile[64];
    struct ca_answer answer;
    struct worker_verdict verdict;
    char text[800];
    struct tt_error failure; /* of the whole batch; told by its first one */
};

struct enrolment *enrolment_new(const struct est_order *order); /* NULL: no memory */
void enrolment_free(struct enrolment *e);

/* enrolments_issue: on the CA's thread: find out who asks, issue together, write the verdicts. */
struct issuing {
    struct enrolment **list;
    size_t n;
    const struct attest_desk *attest; /* or NULL */
    int64_t now;
};
void enrolments_issue(struct ca *ca, const struct issuing *what);

/* holder_is: is this certificate, byte by byte, one of the CA's that is valid, and of that profile (NULL:
 * any)? A sub-CA could have made another with the same serial number. */
bool holder_is(struct ca *ca, struct tt_bytes certificate, const char *profile, int64_t now);

#endif
