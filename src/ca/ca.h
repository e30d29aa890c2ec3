/* ca/ca.h: the authority: what it issues, to whom, what it takes back, and what it tells about that. Layer:
 * ca. The face for the service (src/est) and the program (src/cli). RFC 5280, RFC 6960.
 *
 * Invariants
 *  - The store is the truth. What a function answers with TT_OK is in the store, durably: an answer may leave
 *    the house as soon as the function returns. What it answers with anything else is not in the store at
 * all.
 *  - Reads no clock: `now` is handed in, in seconds since 1970. Opens no key and sees none but the OCSP
 *    responder's own: the CA's key signs through a struct tt_pki_signer.
 *  - Requests, evidence, OCSP requests, passwords are bytes from anybody: refused with a reason, never an
 * error of the function.
 *
 * Threads
 *  - A struct ca belongs to one thread at a time; nothing here locks or starts a thread, and every function
 * may wait for the disk or the database. So a server makes ONE worker thread, opens the CA there (ca_open,
 *    ca_set_signer) and sends it its questions; the loop's thread never calls here.
 *  - Any number of struct ca, in threads, processes and (with PostgreSQL) on machines, may be open on one
 * store.
 *  - Batches: the worker takes what waits (up to CA_BATCH_MAX) and calls ca_issue once: one transaction, one
 *    fsync for all of them.
 *
 * A server's worker, in short
 *      ca_open(&ca, &place, &err); ca_set_signer(ca, &signer, now, &err);
 *      loop: n = questions that wait; ca_issue(ca, orders, answers, n, now, &err); answer each;
 * ca_answer_free. every minute: ca_tend(ca, now, &err): the CRL before its nextUpdate, the OCSP responder's
 * certificate. */
#ifndef CA_CA_H
#define CA_CA_H

#include "base/buf.h"
#include "tpmtls/pki.h"

struct ca;

#define CA_KEY_FILE      "ca.key"       /* the CA's software key, if it has one */
#define CA_CERT_FILE     "ca.pem"       /* its certificate, then those above it up to the root */
#define CA_PROFILES_FILE "profiles.ini" /* what it issues: ca/profile.h */
#define CA_STORE_FILE    "ca.db"        /* the default store */
#define CA_PLACE_FILE    "store"        /* where the store is, if elsewhere: one line */
#define CA_ROLLOVER_FILE "rollover.pem" /* certificates for a change of keys: old-with-new, new-with-old */
#define CA_NEXT_KEY_FILE "next.key"     /* a software key that is about to be the CA's */
#define CA_SERIAL_HEX    41             /* a serial number in hexadecimal, with its NUL */
#define CA_ID_HEX        17             /* the id of a request or token, with its NUL */
#define CA_KEY_ID_SIZE   41             /* a key identifier in hexadecimal, with its NUL */
#define CA_BATCH_MAX     256

/* ---- open ---- */

/* struct ca_place: where a CA is. store: "sqlite:FILE" or "postgresql://...", or NULL: what DIR/store says,
 * else DIR/ca.db. */
struct ca_place {
    const char *dir, *store;
};
/* ca_open: TT_ERR_NOT_FOUND when there is no CA; a store of an older version is migrated, a copy of it kept;
 * TT_ERR_UNSUPPORTED when the store is of a newer one. Free with ca_close (NULL is fine). */
TT_MUST_USE tt_rc ca_open(struct ca **ret, const struct ca_place *place, struct tt_error *err);
void ca_close(struct ca *ca);
TT_DEFINE_AUTO(struct ca, ca_close)

/* ca_key_name: where the CA's key is (a path or "handle:0x81..."), for whoever opens it; valid until close.
 */
const char *ca_key_name(const struct ca *ca);
/* ca_set_signer: who signs for it; TT_ERR_USAGE when that is not the key of its certificate. Without one a CA
 * answers questions, revokes and approves; ca_issue, ca_crl_renew and ca_tend need one. Must outlive ca. */
TT_MUST_USE tt_rc ca_set_signer(struct ca *ca, const struct tt_pki_signer *signer, struct tt_error *err);

/* ca_certificate: its own, DER. ca_chain: its own, then those above it, the root last (RFC 7030 /cacerts:
 * with ca_rollover behind it). Valid until close. */
struct tt_bytes ca_certificate(const struct ca *ca);
const struct tt_cert_list *ca_chain(const struct ca *ca);
/* ca_rollover: old-with-old, new-with-old, old-with-new and the like; its len is 0 for none. */
const struct tt_cert_list *ca_rollover(const struct ca *ca);
/* ca_key_id: its subject key identifier in hexadecimal; "": its certificate has none. */
const char *ca_key_id(const struct ca *ca);

/* struct ca_former: a key that the CA had before, and the certificates of it that have not ended: as long as
 * there are some, it signs CRLs and OCSP answers for those who believe the old root alone. */
struct ca_former {
    const char *key_id, *key; /* until close; key: as ca_key_name */
    int64_t not_after;        /* of its own certificate */
    int64_t certificates, until;
};
size_t ca_former_count(const struct ca *ca);
const char *ca_former_key_id(const struct ca *ca, size_t i);
struct tt_bytes ca_former_certificate(const struct ca *ca, size_t i); /* until close */
TT_MUST_USE tt_rc ca_former(struct ca *ca, struct ca_former *ret, size_t i, int64_t now,
                            struct tt_error *err);
/* ca_set_former_signer: as ca_set_signer. Without one, what it has signed last counts until it ends. */
TT_MUST_USE tt_rc ca_set_former_signer(struct ca *ca, size_t i, const struct tt_pki_signer *signer,
                                       struct tt_error *err);

/* ---- issue ---- */

enum ca_who {
    CA_BY_OPERATOR,    /* a person at the machine */
    CA_BY_TOKEN,       /* id: the token's, from ca_token_check */
    CA_BY_CERTIFICATE, /* id: the serial number of a certificate of ours, from ca_find */
    CA_BY_ATTESTATION, /* id: the hash of the endorsement key, hexadecimal */
    CA_BY_ENROLLER     /* for somebody else, by an operator's certificate; id: its serial number */
};
#define CA_OPERATOR_PROFILE "operator" /* whose certificates make one an operator of the service */
struct ca_requester {
    enum ca_who who;
    const char *id;      /* or NULL */
    const char *address; /* where it came from, for the audit log; or NULL */
};

/* struct ca_order: one request. */
struct ca_order {
    struct tt_bytes csr; /* DER or PEM */
    const char *profile; /* NULL: the token's, or the default of the profiles file */
    struct ca_requester by;
    struct tt_bytes evidence; /* kept beside it; may be empty */
    bool attested;            /* the evidence was judged and is good (src/attest) */
    const char *ek;           /* attested: the hash of its endorsement key, hexadecimal; or NULL */
    unsigned days;            /* 0: the profile's; more than the profile's is refused */
    bool delegation;          /* the profile's, or this */
};

/* enum ca_refusal: why a request is not granted; each a word (ca_refusal_word) and a row in docs/ca.md. */
enum ca_refusal {
    CA_REFUSED_NOT,
    CA_REFUSED_DAMAGED,            /* damaged: no PKCS#10, or trailing bytes */
    CA_REFUSED_TOO_LARGE,          /* too-large */
    CA_REFUSED_SIGNATURE,          /* bad-signature: not made by its own key */
    CA_REFUSED_SIGNATURE_KIND,     /* signature-algorithm: SHA-1 and the like */
    CA_REFUSED_KEY_WEAK,           /* weak-key: below the minimum */
    CA_REFUSED_KEY_DAMAGED,        /* malformed-key: not a point, not a number */
    CA_REFUSED_KEY_KIND,           /* key-type: the profile, or TLS 1.3, has no such keys */
    CA_REFUSED_ASKS_CA,            /* asks-ca: CA:TRUE, keyCertSign, name constraints... */
    CA_REFUSED_CRITICAL_EXTENSION, /* critical-extension */
    CA_REFUSED_DUPLICATE,          /* duplicate: an extension, attribute or name twice */
    CA_REFUSED_SUBJECT_EMPTY, /* empty-subject: and the profile wants one, or there are no names either */
    CA_REFUSED_CHARACTERS,    /* control-characters, bad UTF-8 */
    CA_REFUSED_NAME_KIND,     /* name-kind: an alternative name of a kind nobody certifies */
    CA_REFUSED_NAME_FORM,     /* name-form: a host name that is none */
    CA_REFUSED_NAMES_MANY,    /* too-many-names */
    CA_REFUSED_WILDCARD,      /* wildcard */
    CA_REFUSED_ADDRESS,       /* address: an IP address the profile does not allow */
    CA_REFUSED_NAME,          /* name-not-allowed: by the profile's rules or the token's bond */
    CA_REFUSED_NO_HOST,       /* no-host: a server without a DNS or IP name */
    CA_REFUSED_CA_NAME,       /* ca-name: the CA's own name or key */
    CA_REFUSED_PROFILE,       /* profile: there is no such one, or it does not go with the requester */
    CA_REFUSED_DAYS,          /* validity: longer than allowed */
    CA_REFUSED_NOT_ATTESTED,  /* not-attested: the profile demands evidence */
    CA_REFUSED_TOKEN,         /* token: used, expired, revoked */
    CA_REFUSED_CERTIFICATE,   /* certificate: the requester's is revoked, expired or not ours */
    CA_REFUSED_RENEWAL,       /* renewal: subject or names differ from the certificate's (RFC 7030 4.2.2) */
    CA_REFUSED_REJECTED,      /* rejected: by a person */
    CA_REFUSALS
};
const char *ca_refusal_word(enum ca_refusal why);
/* ca_refusal_is_auth: it was the requester (401 or 403), not the request (400). */
bool ca_refusal_is_auth(enum ca_refusal why);

enum ca_verdict {
    CA_ISSUED,
    CA_FAILED,  /* could not be judged or recorded, by a fault of its own: nothing of it is in the store */
    CA_PENDING, /* waits for a person; the same request by the same requester asks again (EST: 202) */
    CA_REFUSED
};
/* struct ca_answer: zero before; ca_answer_free after. */
struct ca_answer {
    enum ca_verdict verdict;
    char id[CA_ID_HEX];          /* of the request in the store; "" for what was refused unread */
    struct tt_bytes certificate; /* CA_ISSUED: DER, owned; its chain is ca_chain */
    char serial[CA_SERIAL_HEX];  /* CA_ISSUED */
    enum ca_refusal why;         /* CA_REFUSED */
    struct tt_error
        reason; /* CA_FAILED: why; CA_REFUSED: the sentence and the hint; CA_PENDING: a sentence */
};
void ca_answer_free(struct ca_answer *a);

/* ca_issue: judge, sign and record n requests (at most CA_BATCH_MAX) in one durable transaction. TT_OK:
 * ret[i] answers orders[i]; each is in the store. Anything else: nothing was issued, nothing is in ret (and
 * hence all may be asked again): TT_ERR_BUSY (others hold the store), TT_ERR_IO (disk full, read-only,
 * database gone), TT_ERR_TPM...
 *
 * One request that cannot be judged or recorded does not stop the others: it is CA_FAILED.
 *
 * A token is spent in the same transaction. The same request (byte by byte) of the same requester is answered
 * with the same certificate, and not signed again: an answer that was lost on its way can be asked for again.
 * By a token as long as that certificate is valid, else until a third of its life is over: later it is a new
 * request. */
TT_MUST_USE tt_rc ca_issue(struct ca *ca, const struct ca_order *orders, struct ca_answer *ret, size_t n,
                           int64_t now, struct tt_error *err);

/* ca_asked_before: what is in the store (not refused) of the same request by the same requester. What was
 * judged when it came, its evidence and the connection that it names, need not be fresh again: a person may
 * take longer than a nonce lives, or a connection. */
struct ca_asked {
    bool there;
    bool attested; /* its evidence was good */
};
TT_MUST_USE tt_rc ca_asked_before(struct ca *ca, struct ca_asked *ret, const struct ca_order *o,
                                  struct tt_error *err);

/* ca_waiting: requests that wait for a person: fn for each, oldest first. */
struct ca_request {
    const char *id, *profile, *subject, *names, *key; /* key: "P-256" */
    const char *state; /* "pending", "approved", "issued", "refused", "rejected" */
    const char *why;   /* a refusal's word, or "" */
    enum ca_who who;
    const char *requester, *address; /* "" for none */
    int64_t made, decided;           /* decided: 0 for not yet */
    bool attested;
    const char *serial; /* of what was issued, or "" */
    struct tt_bytes csr, evidence;
};
typedef tt_rc (*ca_request_fn)(void *arg, const struct ca_request *r);
/* ca_requests: state NULL: all; newest first where `newest`; at most limit (0: all). serial: the one that
 * this certificate was issued for, and nothing else is looked at; TT_ERR_NOT_FOUND. */
struct ca_request_filter {
    const char *state, *id, *serial;
    bool newest;
    unsigned long limit;
};
TT_MUST_USE tt_rc ca_requests(struct ca *ca, const struct ca_request_filter *filter, ca_request_fn fn,
                              void *arg, struct tt_error *err);
/* ca_decide: approve or reject; TT_ERR_NOT_FOUND: there is no such request that waits. No key is needed: the
 * certificate is made when the request is asked again. by: the person, for the audit log. */
TT_MUST_USE tt_rc ca_decide(struct ca *ca, const char *id, bool approve, const char *by, int64_t now,
                            struct tt_error *err);

/* ---- certificates ---- */

struct ca_entry {
    const char *serial, *subject, *names, *sha256, *profile;
    const char *state; /* "valid", "expired", "held", "revoked" */
    int reason;        /* RFC 5280 section 5.3.1, of what is held or revoked; else -1 */
    int64_t not_before, not_after, issued, revoked; /* revoked: 0 for not */
    enum ca_who who;
    const char *requester;
    bool attested;
    struct tt_bytes der;
};
typedef tt_rc (*ca_entry_fn)(void *arg, const struct ca_entry *e);

/* struct ca_filter: zero is everything. */
struct ca_filter {
    const char *serial;  /* hexadecimal, with or without colons */
    const char *state;   /* as in ca_entry */
    const char *subject; /* a part of the subject or of an alternative name */
    int64_t expires_before, expires_after;
    bool newest; /* first; else the oldest */
    unsigned long limit;
};
/* ca_list: fn until it returns something else than TT_OK, which is then returned. */
TT_MUST_USE tt_rc ca_list(struct ca *ca, const struct ca_filter *filter, int64_t now, ca_entry_fn fn,
                          void *arg, struct tt_error *err);
/* ca_find: one by its serial number; TT_ERR_NOT_FOUND when it was not issued here. For reenrolment: compare
 * der's subject and names (ca_issue does, for CA_BY_CERTIFICATE), look at state. */
TT_MUST_USE tt_rc ca_find(struct ca *ca, const char *serial, int64_t now, ca_entry_fn fn, void *arg,
                          struct tt_error *err);

/* ca_revoke: reason: 0 to 10 of RFC 5280 (6: certificateHold, 8 removeFromCRL is ca_release). The next ca_crl
 * has it; TT_ERR_EXISTS: is revoked already. */
TT_MUST_USE tt_rc ca_revoke(struct ca *ca, const char *serial, int reason, const char *by, int64_t now,
                            struct tt_error *err);
/* ca_release: what is on hold is valid again; what is revoked for another reason stays so. */
TT_MUST_USE tt_rc ca_release(struct ca *ca, const char *serial, const char *by, int64_t now,
                             struct tt_error *err);
/* ca_reason_word, ca_reason_of: "keyCompromise"; -1 for no such word. */
const char *ca_reason_word(int reason);
int ca_reason_of(const char *word);

/* ---- CRL, OCSP ---- */

/* struct ca_fresh: for HTTP's caches: Last-Modified, Expires, ETag. */
struct ca_fresh {
    int64_t this_update, next_update;
    char etag[33];
};
/* ca_crl: the CRL as DER, appended to ret: the newest in the store; made anew when something was revoked
 * since or nextUpdate is near, if there is a signer (else the old one, while it is valid). */
TT_MUST_USE tt_rc ca_crl(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, int64_t now,
                         struct tt_error *err);
/* ca_crl_delta: as ca_crl, but what has changed since the oldest CRL that is still valid, by a list with the
 * number and the times of the newest (RFC 5280 section 5.2.4); TT_ERR_NOT_FOUND: it has yet to be made, and
 * there is no signer. */
TT_MUST_USE tt_rc ca_crl_delta(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, int64_t now,
                               struct tt_error *err);
/* ca_crl_of: ca_crl by the key with this identifier, now or formerly the CA's: all of them list the same.
 * TT_ERR_NOT_FOUND. */
TT_MUST_USE tt_rc ca_crl_of(struct ca *ca, const char *key_id, struct buf *ret, struct ca_fresh *ret_fresh,
                            int64_t now, struct tt_error *err);
/* ca_crl_to_pem: NUL-terminated; mem_free. */
TT_MUST_USE tt_rc ca_crl_to_pem(char **ret, struct tt_bytes der, struct tt_error *err);
/* ca_ocsp: the answer to one OCSP request (DER), appended to ret; also to a damaged one (malformedRequest:
 * then ret_fresh is zero, and nothing is to be cached). ret_fresh->next_update is 0 where a nonce was asked.
 */
TT_MUST_USE tt_rc ca_ocsp(struct ca *ca, struct buf *ret, struct ca_fresh *ret_fresh, struct tt_bytes request,
                          int64_t now, struct tt_error *err);
/* ca_tend: what has to be made before it is asked for: the CRL, its delta where the profiles name a place for
 * it, the responder's certificate. */
TT_MUST_USE tt_rc ca_tend(struct ca *ca, int64_t now, struct tt_error *err);

/* ---- tokens: a password for one enrolment ---- */

struct ca_token_plan {
    const char *subject; /* NULL: any. Else a host name or a subject ("CN=device-1"): what it is bound to */
    const char *profile; /* NULL: the default */
    int64_t expires;     /* seconds since 1970 */
    unsigned uses;       /* 0: 1 */
    const char *by;
    const char *const *names; /* alternative names that may be asked for ("DNS:a.example"), and no others */
    size_t names_len;         /* 0: those that the subject says */
};
#define CA_PASSWORD_MAX    64
#define CA_TOKEN_NAMES_MAX 2048
/* ca_token_create: ret_password is shown once; the store has its hash alone. */
TT_MUST_USE tt_rc ca_token_create(struct ca *ca, char ret_id[CA_ID_HEX], char ret_password[CA_PASSWORD_MAX],
                                  const struct ca_token_plan *plan, int64_t now, struct tt_error *err);

struct ca_token {
    char id[CA_ID_HEX];
    char subject[256], profile[64], by[64], names[CA_TOKEN_NAMES_MAX]; /* names: one a line */
    int64_t made, expires, revoked;
    unsigned uses, used;
};
/* ca_token_check: whose password is this (HTTP Basic: the user's name may be the id or anything)?
 * TT_ERR_AUTH: nobody's, or it is expired or revoked. A token that was used up still passes: ca_issue
 * decides, so that the same request is answered again; ca_issue with CA_BY_TOKEN and ret->id holds the
 * request to the token's bond. */
TT_MUST_USE tt_rc ca_token_check(struct ca *ca, struct ca_token *ret, const char *password, int64_t now,
                                 struct tt_error *err);
TT_MUST_USE tt_rc ca_token_revoke(struct ca *ca, const char *id, const char *by, int64_t now,
                                  struct tt_error *err);
typedef tt_rc (*ca_token_fn)(void *arg, const struct ca_token *t);
TT_MUST_USE tt_rc ca_tokens(struct ca *ca, ca_token_fn fn, void *arg, struct tt_error *err);

/* ---- for the operator's page and `ca stats` ---- */

struct ca_counts {
    int64_t valid, expired, held, revoked; /* certificates */
    int64_t attested;                      /* of the valid ones */
    int64_t pending, approved, refused, rejected;
    int64_t tokens; /* that can still be used */
    int64_t issued_hour, issued_day;
};
TT_MUST_USE tt_rc ca_count(struct ca *ca, struct ca_counts *ret, int64_t now, struct tt_error *err);
/* ca_histogram: of valid certificates by notAfter (expiry), or of all by the time of issue: ret[i] counts
 * those in [from + i * step, from + (i + 1) * step). */
TT_MUST_USE tt_rc ca_histogram(struct ca *ca, int64_t *ret, size_t n, bool by_issue, int64_t from,
                               int64_t step, struct tt_error *err);

/* struct ca_act: one act of the audit log. line: one JSON object, without a newline; hash: SHA-256 of it. */
struct ca_act {
    int64_t number;
    const char *line, *hash;
};
typedef tt_rc (*ca_act_fn)(void *arg, const struct ca_act *a);
/* ca_acts: newest first where `newest`; at most limit (0: all). */
TT_MUST_USE tt_rc ca_acts(struct ca *ca, bool newest, unsigned long limit, ca_act_fn fn, void *arg,
                          struct tt_error *err);
/* ca_audit_verify: every act has the hash of the one before, none is missing, and each certificate,
 * revocation and token in the store has its act. head: a hash that was noted before and must be among them,
 * or NULL. TT_ERR_VERIFY says where it breaks. */
struct ca_audit {
    int64_t acts;
    char head[65];
};
TT_MUST_USE tt_rc ca_audit_verify(struct ca *ca, struct ca_audit *ret, const char *head,
                                  struct tt_error *err);

/* ---- make ---- */

struct ca_make {
    struct ca_place place; /* dir must not exist: it appears whole or not at all; store as in ca_place */
    const char *subject;   /* as in tt_csr_params */
    const char *key_pem;   /* a software key to be kept in DIR/ca.key (mode 0600), or NULL */
    const char *key;       /* without key_pem: where the key is, for ca_key_name */
    unsigned days;         /* 0: ten years */
    unsigned path_len;     /* CAs that may stand below it */
    struct tt_bytes crl_url, aia_url, ocsp_url; /* written into its profiles file; may be empty */
    int64_t now;
};
/* ca_make: self-signed where parent is NULL; else parent (with its signer) issues its certificate by its
 * profile sub-ca and records that. signer: of the new CA's key. TT_ERR_EXISTS: something is at dir. */
TT_MUST_USE tt_rc ca_make(const struct ca_make *make, const struct tt_pki_signer *signer, struct ca *parent,
                          struct tt_error *err);

/* struct ca_change: another key for the same CA (RFC 4210 section 4.4). */
struct ca_change {
    const char *key_pem; /* a software key, kept in the CA's directory, or NULL */
    const char *key;     /* without key_pem: where the key is */
    unsigned days;       /* 0: ten years; with a parent what its profile sub-ca says */
    const char *by;
    int64_t now;
};
/* ca_change_key: ca, with its signer, gets the key of signer. A root gets another certificate of its own, and
 * OldWithOld, NewWithOld and OldWithNew go into DIR/rollover.pem; a CA below another gets its certificate
 * from that one (parent, with its signer), and the former one goes there. DIR/ca.pem is written last: before
 * that it is the old CA whatever happens, and then the new one. ca stays the old one: open it again.
 * TT_ERR_USAGE, TT_ERR_UNSUPPORTED: not like this, and nothing was changed. TT_ERR_BUSY: another process does
 * it. */
TT_MUST_USE tt_rc ca_change_key(struct ca *ca, const struct ca_change *change,
                                const struct tt_pki_signer *signer, struct ca *parent, struct tt_error *err);
/* ca_next_key: the software key of a change that was interrupted, PEM; TT_ERR_NOT_FOUND: there is none.
 * ca_next_key_done: it is the CA's by now. */
TT_MUST_USE tt_rc ca_next_key(const struct ca *ca, char **ret_pem, struct tt_error *err);
void ca_next_key_done(const struct ca *ca);

/* ca_profile_names: those of its profiles file, for /csrattrs, labels and help; ended by NULL; until close.
 */
const char *const *ca_profile_names(const struct ca *ca);
/* ca_profile_demands_attestation: of a profile (NULL: the default); false also where there is no such one. */
bool ca_profile_demands_attestation(const struct ca *ca, const char *profile);

#endif
