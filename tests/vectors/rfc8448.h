/* tests/vectors/rfc8448.h: the traces of RFC 8448 as steps with named values, in the order of the RFC. For
 * tests.
 *
 * A step is "{actor} title:" of the RFC, without a remark such as "(same as server)"; a step with such a
 * remark has no values of its own. The values keep the RFC's names: "PRK", "hash", "info", "expanded",
 * "complete record", ... Section 2 is one step, "RSA private key". rfc8448_data.c is made by
 * scripts/gen-rfc8448. */
#ifndef VECTORS_RFC8448_H
#define VECTORS_RFC8448_H

#include "base/rc.h"

#define RFC8448_MAX_VALUES 8

struct rfc8448_value {
    const char *name; /* NULL behind the last one */
    struct tt_bytes data;
};

struct rfc8448_step {
    unsigned section;
    const char *actor; /* "client" or "server" */
    const char *title;
    struct rfc8448_value values[RFC8448_MAX_VALUES];
};

extern const struct rfc8448_step rfc8448_steps[];
extern const size_t rfc8448_step_count;

/* rfc8448_value: a value of a step, or NULL when the step has none of that name. */
const struct tt_bytes *rfc8448_value(const struct rfc8448_step *step, const char *name);

/* struct rfc8448_query: which value is meant. Only steps that have a value of this name count. */
struct rfc8448_query {
    unsigned section;
    const char *actor; /* NULL: either */
    const char *title; /* the whole title */
    size_t occurrence; /* 0 = the first */
    const char *value;
};

/* rfc8448_find: the value; ends the program with a message when there is none, as the test is wrong then. */
struct tt_bytes rfc8448_find(struct rfc8448_query query);

#endif
