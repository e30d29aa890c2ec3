/* tls/kept.h: what of a handshake outlives it: names and the peer's certificates, in one block. Layer: tls.
 *
 * The block is made together with the connection, before anything that the handshake needs for itself. Pieces
 * that were allocated one by one amid what is soon freed left holes in the heap, and ten thousand idle
 * connections with as many holes slowed every handshake down by 8 % (docs/performance.md). */
#ifndef TLS_KEPT_H
#define TLS_KEPT_H

#include "base/buf.h"

enum kept_item {
    KEPT_ALPN,        /* the chosen protocol */
    KEPT_SERVER_NAME, /* client: whom to reach; server: what was asked for */
    KEPT_CHAIN,       /* the peer's certificates: vec24 each, leaf first */
    KEPT_OCSP,        /* stapled to the leaf */
    KEPT_SCTS,
    KEPT_PEER_SCHEMES, /* signature_algorithms and the names in certificate_authorities, where config wants */
    KEPT_PEER_AUTHORITIES,
    KEPT_RETRY_CONFIGS, /* client: ECHConfigList of a server that rejected ECH */
    KEPT_ITEMS
};

/* struct kept: one item behind the other. Zero-initialised it is empty. */
struct kept {
    struct buf all;
    size_t len[KEPT_ITEMS];
};

/* kept_init: make the block: names and one certificate of usual size need no other. */
TT_MUST_USE tt_rc kept_init(struct kept *k);
void kept_free(struct kept *k);
/* kept_fit: cut a block that had to grow to what is in it. */
void kept_fit(struct kept *k);

/* kept_get: a view, void once anything is added or dropped. */
struct tt_bytes kept_get(const struct kept *k, enum kept_item item);
/* kept_add: append to an item; bytes must not be a view of k. TT_ERR_MEMORY: nothing has changed. */
TT_MUST_USE tt_rc kept_add(struct kept *k, enum kept_item item, struct tt_bytes bytes);
void kept_drop(struct kept *k, enum kept_item item);

#endif
