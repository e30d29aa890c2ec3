/* net/session_store.h: where a client keeps its sessions (tickets with their PSKs) to resume later. Layer:
 * net.
 *
 * A session is a bearer secret, so it is kept in one of three ways (docs/resumption.md):
 *  - memory: never written;
 *  - sealed: in files, encrypted under a key that only this TPM unseals: one Unseal when the store is opened;
 *  - held: the same, but without the PSK, which the TPM holds as two HMAC keys (net/held.h). SHA-256 suites
 *    only.
 *
 * Invariants: a session is given out once, and is gone from the store before it is used. A file is whole or
 * not there, whenever the power goes. Several processes may use one directory. Each peer keeps
 * SESSIONS_PER_PEER, all together SESSIONS_MAX; expired ones and then the oldest make room. */
#ifndef NET_SESSION_STORE_H
#define NET_SESSION_STORE_H

#include "net/held.h"

#define SESSIONS_PER_PEER 4
#define SESSIONS_MAX      256

enum session_mode {
    SESSIONS_OFF,
    SESSIONS_IN_MEMORY,
    SESSIONS_SEALED,
    SESSIONS_HELD
};
const char *session_mode_name(enum session_mode mode);
/* session_mode_parse: "off", "memory", "sealed", "held"; false for another word. */
bool session_mode_parse(enum session_mode *ret, const char *name);

struct session_store;
struct session_store_options {
    enum session_mode mode; /* not SESSIONS_OFF */
    const char *dir;        /* NULL: session_dir_default */
    struct tt_tpm *tpm;     /* sealed, held; must outlive the store */
    const char *pcrs; /* sealed: the key is usable while these PCRs have their present values; or NULL */
};
/* session_store_open: sealed, held: unseals the key, or makes it where there is none. On the thread of the
 * TPM. */
TT_MUST_USE tt_rc session_store_open(struct session_store **ret, const struct session_store_options *opt,
                                     struct tt_error *err);
void session_store_free(struct session_store *s); /* NULL is fine */

/* struct session_key: whom a session is for; only one with the very same is given out. */
struct session_key {
    const char *peer;        /* "host:port" */
    const char *server_name; /* or NULL */
    uint8_t config[32];      /* tt_config_fingerprint: our identity, whom we believe, what we offer */
};
/* struct session_taken: *session NULL: there is none. holder belongs to it (held), and must outlive what uses
 * it.
 */
struct session_taken {
    struct tt_session *session;
    struct held_psk *holder;
};
void session_taken_free(struct session_taken *t); /* after the streams */

/* session_store_take: the newest one, removed from the store. early: rather one that allows 0-RTT. Nothing is
 * asked of the TPM. */
TT_MUST_USE tt_rc session_store_take(struct session_store *s, struct session_taken *ret,
                                     const struct session_key *key, bool early, int64_t now_ms,
                                     struct tt_error *err);
/* session_store_put: keep one. Held: puts the PSK into the TPM, so it is called on the TPM's thread; it may
 * run beside other calls, since nothing is shared but the files. TT_ERR_UNSUPPORTED: it cannot be held. */
TT_MUST_USE tt_rc session_store_put(struct session_store *s, const struct session_key *key,
                                    const struct tt_session *session, int64_t now_ms, struct tt_error *err);

/* ---- the files, without a TPM: for `tpmtls session` ---- */

/* session_dir_default: $XDG_STATE_HOME/tpmtls/sessions, else ~/.local/state/tpmtls/sessions. */
TT_MUST_USE tt_rc session_dir_default(char *ret, size_t cap, struct tt_error *err);
struct session_listed {
    enum session_mode mode;
    const char *peer, *server_name, *suite; /* valid during the call */
    int64_t received_ms, expires_ms;
    size_t size;
};
/* session_dir_list: calls fn for each, newest first for each peer; expired ones are removed. */
TT_MUST_USE tt_rc session_dir_list(const char *dir, int64_t now_ms,
                                   void (*fn)(void *arg, const struct session_listed *x), void *arg,
                                   struct tt_error *err);
/* session_dir_clear: remove all, the sealing key included; or those of one peer. *ret_n: how many. */
TT_MUST_USE tt_rc session_dir_clear(const char *dir, const char *peer, size_t *ret_n, struct tt_error *err);

#endif
