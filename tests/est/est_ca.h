/* tests/est/est_ca.h: a small CA of the tests: certificates with any dates, roots that change. Tests only. */
#ifndef TESTS_EST_CA_H
#define TESTS_EST_CA_H

#include "pki/pki_test.h"

/* struct made: what a certificate says. */
struct made {
    const char *subject, *issuer; /* common names */
    const struct soft_key *key, *by;
    int64_t from, until;
    bool is_ca;
    const char *san; /* "DNS:a.example", or NULL */
};
/* cert_make: DER, of mem_alloc. */
struct tt_bytes cert_make(const struct made *m);
/* list_put: a copy of der into the list, which is made where it is NULL. */
void list_put(struct tt_cert_list **list, struct tt_bytes der);

#endif
