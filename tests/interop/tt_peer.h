/* tests/interop/tt_peer.h: a TLS 1.3 end on the public API alone, for the interop matrix: what the command
 * line has no options for (resumption, 0-RTT, external PSKs, KeyUpdate, chosen shares). Software keys; one
 * connection at a time; it tells what happened as one JSON line a connection on stdout. */
#ifndef TT_PEER_H
#define TT_PEER_H

#include <tpmtls/key.h>
#include <tpmtls/pki.h>
#include <tpmtls/tls.h>

#define PEER_LIST    8
#define PEER_WAIT_MS 15000

struct peer_list {
    uint16_t items[PEER_LIST];
    size_t n;
};

struct peer_text {
    uint8_t *data;
    size_t len;
};

struct peer_options {
    bool server;
    const char *address; /* HOST of the client; always 127.0.0.1 for the server */
    unsigned port;
    const char *name, *ca, *cert, *key, *psk, *early, *data;
    struct peer_list groups, shares, suites;
    bool resume, key_update, until_close;           /* client */
    bool http, require_certificate, tickets, retry; /* server */
    unsigned accept;
};

/* struct peer: what its connections share. */
struct peer {
    const struct peer_options *o;
    struct tt_config *config;
    struct tt_key *key;
    struct tt_session *psk, *session;
    struct peer_text data, early;
};

/* peer_read_file: the whole file; ends the program when that fails. */
struct peer_text peer_read_file(const char *path);
/* peer_die: the reason on stderr, exit code 2. */
void peer_die(const char *what, const struct tt_error *err) __attribute__((noreturn));
/* peer_talk: one connection on fd, which it closes; true when all went as it should. */
bool peer_talk(struct peer *p, int fd, unsigned number);

#endif
