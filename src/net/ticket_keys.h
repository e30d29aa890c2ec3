/* net/ticket_keys.h: the keys of a server's tickets, and how they change. Layer: net.
 *
 * Three sources:
 *  - random: in memory only; a new one when the old is `rotation_s` old or has sealed many; the previous one
 * still opens. A restart makes every ticket worthless.
 *  - a file, or a directory of files (*.key; the last name seals), shared by a fleet, read again when it
 * changes. One key a line: "tpmtls-ticket-key NAME KEY" in hexadecimal; the first seals.
 *  - a root that never leaves the TPM: each epoch of rotation_s seconds has the key HMAC(root, epoch).
 * Tickets survive a restart, and no file has a secret. What cannot be read later on is told, and the keys
 * that were in that file stay; those of a file that is gone do not. */
#ifndef NET_TICKET_KEYS_H
#define NET_TICKET_KEYS_H

#include "net/sign_queue.h"
#include "tpmtls/tls.h"

struct ticket_keys;
struct ticket_keys_options {
    struct event_base *base;
    struct tt_tickets *tickets; /* must outlive it */
    const char *path;           /* a file or a directory; NULL: random, or: */
    struct tt_hmac *root;       /* loaded; must outlive it */
    struct sign_queue *queue;   /* for root: whose thread owns the TPM */
    unsigned rotation_s;        /* at least a ticket's lifetime, since two keys open */
    uint64_t max_sealed;        /* random: 0 = 2^30, of AES-GCM's 2^32 */
    bool begins_later;          /* with use_queue: it is made on another thread than the loop's */
    /* What happened to the keys; may be NULL. is_trouble: somebody has to do something. */
    void (*told)(void *arg, const char *text, bool is_trouble);
    void *arg;
};
/* ticket_keys_new: sets the first keys: with a root on this thread, so that it is called before the queue has
 * the TPM: the queue is given later. */
TT_MUST_USE tt_rc ticket_keys_new(struct ticket_keys **ret, const struct ticket_keys_options *opt,
                                  struct tt_error *err);
void ticket_keys_use_queue(struct ticket_keys *k, struct sign_queue *queue);
void ticket_keys_free(struct ticket_keys *k); /* before the queue; NULL is fine */

/* ticket_key_draw: a new random key. TT_ERR_INTERNAL without randomness. */
TT_MUST_USE tt_rc ticket_key_draw(struct tt_ticket_key *ret);
/* ticket_key_file_read: 1 .. TT_MAX_TICKET_KEYS of a file. TT_ERR_IO when others may read it. */
TT_MUST_USE tt_rc ticket_key_file_read(struct tt_ticket_key ret[TT_MAX_TICKET_KEYS], size_t *ret_n,
                                       const char *path, struct tt_error *err);
TT_MUST_USE tt_rc ticket_key_file_write(const char *path, const struct tt_ticket_key *keys, size_t n,
                                        bool no_overwrite, struct tt_error *err);

#endif
