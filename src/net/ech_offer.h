/* net/ech_offer.h: what a client offers of Encrypted Client Hello (RFC 9849), and its one retry. Layer: net.
 */
#ifndef NET_ECH_OFFER_H
#define NET_ECH_OFFER_H

#include "base/buf.h"
#include "net/stream.h"

/* struct ech_offer: zero-initialise; ech_offer_free. */
struct ech_offer {
    struct buf configs; /* ECHConfigList; empty: none */
    bool grease;        /* where there is none, look as if */
    bool required;      /* no connection without ECH */
    bool retried;
};
void ech_offer_free(struct ech_offer *o);

/* ech_offer_read: text is the name of a file, or the ECHConfigList itself in base64. The file may hold
 * ECHCONFIG in PEM (RFC 9934), base64 or the bytes themselves. TT_ERR_DECODE, TT_ERR_IO. */
TT_MUST_USE tt_rc ech_offer_read(struct ech_offer *o, const char *text, struct tt_error *err);

/* ech_offer_put: into the options of a stream; views as long as o is not changed. */
void ech_offer_put(const struct ech_offer *o, struct stream_options *opt);

/* ech_offer_again: the connection has failed. True: the server, whose public name was verified, rejected ECH,
 * and another connection is to be made with what o offers now: the retry_configs, or, where the server has
 * disabled ECH, nothing (RFC 9849 section 6.1.6). Once. */
bool ech_offer_again(struct ech_offer *o, const struct tt_conn *conn, const struct tt_error *error);

#endif
