/* net/session_entry.h: one session as the text of a file (JSON), sealed or held. Layer: net. A file is
 * hostile. */
#ifndef NET_SESSION_ENTRY_H
#define NET_SESSION_ENTRY_H

#include "net/session_store.h"
#include "signer/vault.h"

/* struct session_entry: zero-initialise; session_entry_free. */
struct session_entry {
    enum session_mode mode;
    char *peer, *server_name, *suite; /* server_name: "" where there is none */
    uint8_t config[32];
    int64_t received_ms, expires_ms;
    bool early;      /* it allows 0-RTT */
    uint8_t *secret; /* the box with the session; held: without its PSK */
    size_t secret_len;
    struct held_files files; /* held */
};
void session_entry_free(struct session_entry *e); /* NULL is fine */

/* session_entry_describe: what is not secret about a session. */
TT_MUST_USE tt_rc session_entry_describe(struct session_entry *ret, const struct session_key *key,
                                         const struct tt_session *s);
/* session_entry_seal, session_entry_unseal: into and out of the vault; bound to all that is described, and to
 * the TPM's keys where it is held: nobody without this TPM makes or changes a file. holder goes with a held
 * session, NULL with another. */
TT_MUST_USE tt_rc session_entry_seal(struct session_entry *e, const struct vault *v,
                                     const struct tt_session *s);
TT_MUST_USE tt_rc session_entry_unseal(struct tt_session **ret, const struct session_entry *e,
                                       const struct vault *v, struct held_psk *holder);
/* session_entry_write: to be freed with mem_free; NULL without memory. */
char *session_entry_write(const struct session_entry *e);
/* session_entry_read: TT_ERR_DECODE for anything else. */
TT_MUST_USE tt_rc session_entry_read(struct session_entry *ret, const char *text, size_t len);
/* session_entry_is_for: made for exactly this key. */
bool session_entry_is_for(const struct session_entry *e, const struct session_key *key);

#endif
