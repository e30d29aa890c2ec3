/* tests/net/rig.h: a client and a server stream on one loop, with a wire between them that a test can bend:
 * any split, cut off, silent. Tests only. */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "net/gated_key.h"
#include "net/loop.h"
#include "net/stream.h"

/* struct end: one stream and what it told. */
struct end {
    struct rig *rig;
    const char *name;
    struct stream *stream;
    unsigned connected, ended, gone, closed, writable;
    struct tt_error error; /* from closed */
    bool echo;             /* send everything back, and end when the other does */
    bool deaf;             /* read nothing */
    size_t step;           /* read at most so much at a time; 0: all */
    size_t received;
    uint8_t checksum;     /* of what was received: wrong when bytes are lost, repeated or swapped */
    size_t to_send, sent; /* a pattern of so many bytes, then stream_close */
    bool close_when_sent;
};

struct wire {
    int fd[2]; /* the test's ends: [0] faces the client, [1] the server */
    struct event *ready[2];
    size_t split; /* bytes at a time; 0: as they come */
    size_t passed[2];
    size_t cut_after; /* close both after so many bytes from the server; 0: never */
};

struct rig {
    struct event_base *base;
    struct sign_queue *queue;
    struct test_key *ca;
    struct gated_key *server_key, *client_key;
    struct tt_config *server_config, *client_config;
    struct end client, server;
    struct wire wire;
    unsigned handshake_timeout_s;
};

void rig_set_up(struct rig *rig, bool client_auth);
/* rig_connect: make the streams: directly joined, or with the wire between when split or cut_after is set. */
void rig_connect(struct rig *rig);
/* rig_try_connect: the same without the wire; false when the streams could not be made (memory). */
bool rig_try_connect(struct rig *rig);
/* rig_client_on: only the client, on a descriptor of the test's. */
void rig_client_on(struct rig *rig, int fd);
/* rig_run: until both ends are closed; fails the test after ten seconds. */
void rig_run(struct rig *rig);
/* rig_run_until: until *count is at least n. */
void rig_run_until(struct rig *rig, const unsigned *count, unsigned n);
void rig_tear_down(struct rig *rig);
/* pattern_checksum: what `checksum` is after n bytes of the pattern. */
uint8_t pattern_checksum(size_t n);

#endif
