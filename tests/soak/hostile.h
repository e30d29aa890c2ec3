/* tests/soak/hostile.h: one end of a connection that means harm: noise, or an engine of ours whose messages
 * are changed before they are protected, whose bytes are changed on the wire, or who hangs up. Tests only.
 * Linked with
 * --wrap=rec_seal. */
#ifndef SOAK_HOSTILE_H
#define SOAK_HOSTILE_H

#include "support/testpki.h"
#include "tpmtls/tls.h"

enum hostile_kind {
    HOSTILE_NOT,     /* an honest peer */
    HOSTILE_NOISE,   /* random bytes */
    HOSTILE_RECORDS, /* random bytes in records */
    HOSTILE_FIRST,   /* its first flight changed on the wire */
    HOSTILE_SEALED,  /* the content of one record changed under valid protection */
    HOSTILE_WIRE,    /* a later flight changed on the wire */
    HOSTILE_CUT,     /* hangs up in the middle of a flight */
    HOSTILE_COUNT
};

/* struct hostile: hostile_new makes it from a connection, which it then owns (NULL for the first two kinds).
 */
struct hostile {
    enum hostile_kind kind;
    struct tt_conn *c;
    uint64_t rng;
    unsigned when;    /* which flight, record or burst it is that is changed */
    unsigned flights; /* seen so far */
    bool is_over;     /* hung up */
    bool has_written;
    size_t received; /* plaintext */
};

uint64_t hostile_random(uint64_t *rng);
struct hostile hostile_new(enum hostile_kind kind, struct tt_conn *c, uint64_t seed);
void hostile_free(struct hostile *h);
/* hostile_output: what it sends next, at most cap bytes; 0: it waits. */
size_t hostile_output(struct hostile *h, uint8_t *buf, size_t cap);
/* hostile_input: what the other end sent. */
void hostile_input(struct hostile *h, const uint8_t *data, size_t len);
/* hostile_sign: answer its own request for a signature; false when there is none. */
bool hostile_sign(struct tt_conn *c);

#endif
