/* net/relay.h: a stream joined to two descriptors: what is read from one goes to the peer, what the peer
 * sends goes to the other. Layer: net. Half-close in both directions, back-pressure in both directions, any
 * bytes.
 *
 * The owner of the stream forwards its callbacks to relay_plaintext, relay_writable and relay_ended. */
#ifndef NET_RELAY_H
#define NET_RELAY_H

#include "net/stream.h"

struct relay;

struct relay_options {
    struct event_base *base; /* made with any_fd when a descriptor may be a regular file */
    struct stream *stream;   /* connected */
    struct tt_bytes first;   /* goes to the peer before in_fd is read; must outlive the relay */
    int in_fd;               /* -1: nothing to send; our side is not closed by the relay then */
    int out_fd;    /* -1: what the peer sends is thrown away. in_fd: one socket, shut down half by half */
    bool owns_fds; /* close each when its direction ends */
    const char *in_name,
        *out_name;      /* how messages call them; NULL: standard input and output. They must live */
    bool out_may_close; /* a reader that goes away only ends that direction (a child that reads no more) */
    /* in_fd ended and everything was handed to the stream, which was told to close. An input that fails
     * closes nothing: what is cut must not look whole. */
    void (*in_ended)(void *arg);
    /* out_fd cannot be written (or in_fd not be read); called once. */
    void (*failed)(void *arg, const struct tt_error *error);
    void *arg;
};

/* relay_new: descriptors that are pipes or sockets should be non-blocking, or small blocking writes are made.
 */
TT_MUST_USE tt_rc relay_new(struct relay **ret, const struct relay_options *opt, struct tt_error *err);
void relay_plaintext(struct relay *r);
void relay_writable(struct relay *r);
/* relay_ended: the peer closed its side: out_fd gets its end-of-file. */
void relay_ended(struct relay *r);
/* relay_hold: read no more from in_fd, until it is let go. relay_is_empty: all that was read is with the
 * stream. */
void relay_hold(struct relay *r, bool on);
bool relay_is_empty(const struct relay *r);
/* relay_counts: bytes that were passed on. */
struct relay_counts {
    uint64_t to_peer, from_peer;
};
struct relay_counts relay_counts(const struct relay *r);
/* relay_free: NULL is fine. Closes owned descriptors. The stream is not touched. */
void relay_free(struct relay *r);

#endif
