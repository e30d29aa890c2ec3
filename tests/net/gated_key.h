/* tests/net/gated_key.h: a signer that works, waits at a gate until the test opens it, or fails. Tests only.
 */
#ifndef TESTS_GATED_KEY_H
#define TESTS_GATED_KEY_H

#include <pthread.h>

#include "signer/signer.h"
#include "support/testpki.h"

struct gated_key {
    struct tt_key key; /* first */
    struct test_key *real;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_shut;
    unsigned started, ended; /* signatures */
    pthread_t signed_on;
    struct tt_error failure; /* rc other than TT_OK: fail like this */
};

/* gated_key_new: takes `real` over. */
struct gated_key *gated_key_new(struct test_key *real);
void gated_key_free(struct gated_key *k);
/* gated_key_shut: a signature then waits for gated_key_open; after twenty seconds it fails. */
void gated_key_shut(struct gated_key *k);
void gated_key_open(struct gated_key *k);
/* gated_key_started: how many have begun. */
unsigned gated_key_started(struct gated_key *k);
/* gated_key_wait_started / _ended: until at least n signatures have begun / ended; aborts after ten seconds.
 */
void gated_key_wait_started(struct gated_key *k, unsigned n);
void gated_key_wait_ended(struct gated_key *k, unsigned n);

#endif
