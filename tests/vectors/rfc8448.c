/* tests/vectors/rfc8448.c: looking things up in the traces of RFC 8448. For tests. */
#include "vectors/rfc8448.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct tt_bytes *rfc8448_value(const struct rfc8448_step *step, const char *name)
{
    for (size_t i = 0; i < RFC8448_MAX_VALUES && step->values[i].name != NULL; i++) {
        if (strcmp(step->values[i].name, name) == 0)
            return &step->values[i].data;
    }
    return NULL;
}

struct tt_bytes rfc8448_find(struct rfc8448_query query)
{
    size_t left = query.occurrence;
    for (size_t i = 0; i < rfc8448_step_count; i++) {
        const struct rfc8448_step *step = &rfc8448_steps[i];
        if (step->section != query.section || strcmp(step->title, query.title) != 0 ||
            (query.actor != NULL && strcmp(step->actor, query.actor) != 0))
            continue;
        const struct tt_bytes *value = rfc8448_value(step, query.value);
        if (value != NULL && left-- == 0)
            return *value;
    }
    fprintf(stderr, "RFC 8448 section %u has no \"%s\" in \"%s\" (%s, occurrence %zu)\n", query.section,
            query.value, query.title, query.actor == NULL ? "either" : query.actor, query.occurrence);
    abort();
}
