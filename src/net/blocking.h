/* net/blocking.h: what a stream of tt_connect takes with it. Layer: net. */
#ifndef NET_BLOCKING_H
#define NET_BLOCKING_H

#include "tpmtls/stream.h"

struct stream_owned {
    struct tt_tpm *tpm;
    struct tt_key *key;
    struct tt_config *config;
    int fd; /* -1: nothing is owned */
};
void stream_owned_free(struct stream_owned *owned);
/* blocking_own: s frees these with itself. */
void blocking_own(struct tt_stream *s, const struct stream_owned *owned);

#endif
