/* net/delegate.h: keeps a delegated credential (RFC 9345) in use: a fresh software key, a signature by the
 * certificate's key through the queue, and the same again long before it expires. Layer: net.
 *
 * Invariants
 *  - The software key lives in memory only, and is wiped when no connection needs it any more.
 *  - Nothing blocks: until the first credential is there, and whenever there is none, the certificate's key
 *    signs the handshakes.
 *  - All calls and callbacks belong to the thread of the event base. */
#ifndef NET_DELEGATE_H
#define NET_DELEGATE_H

#include "net/sign_queue.h"
#include "tpmtls/tls.h"

#define DELEGATE_DEFAULT_S 3600
#define DELEGATE_MIN_S     10
#define DELEGATE_MAX_S     (7 * 86400)

struct delegator;

/* struct delegate_report: what became of an attempt; valid during the callback. */
struct delegate_report {
    const struct tt_error *error; /* rc is TT_OK: the new credential is in use */
    int64_t valid_until;          /* seconds since 1970 */
    const struct tt_tpm_event *commands;
    size_t commands_len;
};

struct delegate_options {
    struct event_base *base;
    struct sign_queue *queue;
    struct tt_key *key; /* of the certificate; used on the queue's worker */
    struct tt_delegation *delegation;
    unsigned lifetime_s; /* DELEGATE_MIN_S .. DELEGATE_MAX_S; 0 = DELEGATE_DEFAULT_S */
    void (*told)(void *arg, const struct delegate_report *report); /* after each attempt; may be NULL */
    void *arg;
};
/* delegate_start: ask for the first credential now; `told` follows from the loop. All that opt names must
 * outlive the delegator. */
TT_MUST_USE tt_rc delegate_start(struct delegator **ret, const struct delegate_options *opt,
                                 struct tt_error *err);
void delegate_free(struct delegator *d); /* NULL is fine */

#endif
