/* tpmtls/tls.h: the TLS 1.3 engine (RFC 9846), both roles, without I/O.
 *
 * Invariants
 *  - Bytes in, bytes out. The engine opens no socket, reads no clock, calls no I/O function. Time and
 * randomness are handed in. The private key is never here: when a signature is needed the connection stops in
 * a named state and tt_conn_wants() says TT_WANT_SIGN until it is answered.
 *  - A configuration is built, frozen (checked whole), and then shared: frozen configurations are immutable,
 *    reference counted, and may be used by any number of threads. A connection belongs to one thread at a
 * time.
 *  - Errors are sticky and the first one wins. After an error tt_conn_output() still holds the alert to be
 * sent.
 *  - Freeing a connection in any state is legal, also while a signature is outstanding. */
#ifndef TPMTLS_TLS_H
#define TPMTLS_TLS_H

#include "tpmtls/error.h"
#include "tpmtls/iana.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tt_config;
struct tt_conn;
struct tt_trust;
struct tt_session;
struct tt_tickets;
struct tt_delegation;
struct tt_credential;
struct tt_ech_keys;

enum tt_role {
    TT_CLIENT,
    TT_SERVER
};

/* ---- trust: which certificates of the peer are accepted ----
 *
 * A set of trust is made of
 *  - anchors: CA certificates. A peer's chain has to end at a self-signed one of them. An intermediate CA may
 * be put in too: it helps to build paths (a peer may forget to send it), but nobody is trusted for it alone.
 *    A peer's self-signed certificate may be an anchor itself.
 *  - pins: the SHA-256 of public keys (DER SubjectPublicKeyInfo, as in HPKP and DANE). Beside anchors they
 * are one more demand: the verified chain must contain a pinned key. Pins alone are the whole trust: a peer
 * whose own key is pinned is accepted, certificate or raw public key (RFC 7250), and its names, dates and
 * revocation are not looked at (as RFC 7671 section 5.1 has it); a peer who sends a CA with a pinned key is
 * judged as if that were the anchor, by all the rules. Those are the rules of the certificate that the peer
 * sends for that key: a peer with a certificate that the CA did issue can make up a CA certificate for that
 * key, without the dates, path length and name constraints of the real one. Where these matter, pin the CA's
 * certificate: the SHA-256 of a whole certificate, beside or in place of keys, counts for that one alone.
 *  - CRLs: once there is one, the CA that issued a peer's certificate needs a valid one; CAs further up are
 * looked up where theirs is there. Add first what others refer to: CAs before their CRLs. Changes end when a
 * configuration with the set is frozen; to change it later (a new CRL), make a new set and a new
 * configuration. */

/* tt_trust_new: an empty set (which accepts nobody). Reference counted. */
TT_API TT_MUST_USE tt_rc tt_trust_new(struct tt_trust **ret, struct tt_error *err);
/* tt_trust_add_pem: add each CERTIFICATE of a PEM text as a trust anchor. TT_ERR_DECODE when there is none,
 * or one that cannot be read (the text says which). Not after the trust went into a frozen configuration. */
TT_API TT_MUST_USE tt_rc tt_trust_add_pem(struct tt_trust *trust, struct tt_bytes pem, struct tt_error *err);
/* tt_trust_add_der: add one DER certificate. */
TT_API TT_MUST_USE tt_rc tt_trust_add_der(struct tt_trust *trust, struct tt_bytes der, struct tt_error *err);
/* tt_trust_add_pin: add the SHA-256 of a SubjectPublicKeyInfo. At most 4,096. */
TT_API TT_MUST_USE tt_rc tt_trust_add_pin(struct tt_trust *trust, const uint8_t sha256[32],
                                          struct tt_error *err);
/* tt_trust_add_certificate_pin: add the SHA-256 of a whole certificate (DER), of a peer or of a CA. At most
 * 4,096. */
TT_API TT_MUST_USE tt_rc tt_trust_add_certificate_pin(struct tt_trust *trust, const uint8_t sha256[32],
                                                      struct tt_error *err);
/* tt_trust_set_max_intermediates: of how many intermediate CAs a path may consist, from 0 to 10; 10 unless it
 * is said. */
TT_API TT_MUST_USE tt_rc tt_trust_set_max_intermediates(struct tt_trust *trust, unsigned n,
                                                        struct tt_error *err);
/* tt_trust_insecure_accept_lax: take chains that break the profile of RFC 5280 section 4 (no key identifiers,
 * basicConstraints that are not critical, and so on: docs/chains.md has the list). Signatures, dates, names,
 * constraints and revocation count all the same. */
TT_API TT_MUST_USE tt_rc tt_trust_insecure_accept_lax(struct tt_trust *trust, struct tt_error *err);
/* tt_trust_add_crl: add each CRL of a PEM text, or one in DER. TT_ERR_NOT_FOUND when its CA is not in the
 * set, TT_ERR_VERIFY when that CA did not sign it, TT_ERR_UNSUPPORTED for a delta CRL, TT_ERR_DECODE. */
TT_API TT_MUST_USE tt_rc tt_trust_add_crl(struct tt_trust *trust, struct tt_bytes crl, struct tt_error *err);
/* tt_trust_count: how many anchors and pins it holds. */
TT_API size_t tt_trust_count(const struct tt_trust *trust);
/* tt_trust_forget: chains that were found good are remembered as long as nothing they depend on changes, so
 * that the next handshake with the same peer need not judge them again; this forgets them all. At any time,
 * from any thread. */
TT_API void tt_trust_forget(const struct tt_trust *trust);
TT_API void tt_trust_free(struct tt_trust *trust);

/* ---- identity: a certificate chain and somebody who can sign ---- */

/* struct tt_identity: what tt_config_add_identity copies: a chain, or a raw public key, or both (of one key).
 */
struct tt_identity {
    const struct tt_bytes *chain;  /* DER certificates, leaf first; copied */
    size_t chain_len;              /* 0 .. 16; 0 only with a raw public key */
    void *key;                     /* handed back in tt_sign_request.key; never looked at */
    const uint16_t *schemes;       /* what the signer can do, most wanted first (enum tt_scheme); copied */
    size_t schemes_len;            /* 1 .. 16 */
    struct tt_bytes ocsp_response; /* DER OCSPResponse to staple, or empty; copied */
    struct tt_bytes sct_list; /* SignedCertificateTimestampList (RFC 6962) to pass on, or empty; copied */
    struct tt_delegation *delegation; /* where its delegated credentials come from, or NULL; a reference */
    bool
        only_for_its_issuer; /* not for a peer that does not list the chain's CA in certificate_authorities */
    struct tt_bytes raw_public_key; /* DER SubjectPublicKeyInfo, shown to a peer that wants it (RFC 7250), or
                                       empty; copied */
};

/* ---- delegated credentials (RFC 9345) ----
 *
 * The key of a certificate signs, once in a while, a credential for another key, which then makes the
 * signatures of handshakes with peers that accept this; all others get the certificate's key's. So a key that
 * is slow to use (in a TPM) is used once an hour instead of once a handshake. Whoever steals the other key
 * can play our part until the credential expires, at most 7 days: there is no revocation but the
 * certificate's. */

/* tt_delegation_new: for the certificate `leaf` (DER), and for one role: a credential of a server serves no
 * client. TT_ERR_USAGE with a hint when the certificate does not permit it (the extension DelegationUsage,
 * and digitalSignature in KeyUsage). Reference counted; it goes into tt_identity.delegation, and its
 * credential may change at any time, on any thread. */
TT_API TT_MUST_USE tt_rc tt_delegation_new(struct tt_delegation **ret, enum tt_role role,
                                           struct tt_bytes leaf, struct tt_error *err);
TT_API void tt_delegation_free(struct tt_delegation *d); /* drops one reference; NULL is fine */
/* tt_delegation_not_after: the end of the certificate's validity, seconds since 1970. */
TT_API int64_t tt_delegation_not_after(const struct tt_delegation *d);

struct tt_credential_params {
    int64_t now;          /* seconds since 1970 */
    int64_t valid_until;  /* at most 7 days later, and within the certificate's validity; a peer whose clock
                             is slow refuses a credential that uses the 7 days up */
    struct tt_bytes spki; /* the other key: DER SubjectPublicKeyInfo; copied */
    uint16_t key_scheme;  /* what the other key signs with: not rsa_pss_rsae_* */
    uint16_t scheme;      /* what the certificate's key signs the credential with */
    void *key;            /* handed back in tt_sign_request.key; never looked at */
    void (*release)(void *key); /* called when no connection needs it any more, on any thread; may be NULL */
};
/* tt_credential_new: a credential that lacks its signature. When it fails, release is not called. */
TT_API TT_MUST_USE tt_rc tt_credential_new(struct tt_credential **ret, const struct tt_delegation *d,
                                           const struct tt_credential_params *params, struct tt_error *err);
/* tt_credential_to_sign: what the certificate's key has to sign under params.scheme (section 4): the content,
 * not its digest; valid as long as c. */
TT_API struct tt_bytes tt_credential_to_sign(const struct tt_credential *c);
TT_API void tt_credential_free(struct tt_credential *c); /* NULL is fine */
/* tt_delegation_use: with the signature (ECDSA as DER, RSA as the modulus-sized number) the credential is
 * complete, and from now on new handshakes use it in place of the one before, until it expires. d owns c
 * then. TT_ERR_VERIFY when the signature does not fit the certificate: c stays the caller's, as in every
 * failure. */
TT_API TT_MUST_USE tt_rc tt_delegation_use(struct tt_delegation *d, struct tt_credential *c,
                                           struct tt_bytes signature, struct tt_error *err);

/* ---- configuration ---- */

/* tt_random_fn: fill buf with n unpredictable bytes; false when that is impossible. Must be thread-safe when
 * the configuration is shared between threads. */
typedef bool (*tt_random_fn)(void *arg, uint8_t *buf, size_t n);

enum tt_client_auth {
    TT_CLIENT_AUTH_NONE,    /* no CertificateRequest */
    TT_CLIENT_AUTH_REQUEST, /* asked for; a client without one is let in */
    TT_CLIENT_AUTH_REQUIRE  /* a client without one gets certificate_required */
};

TT_API TT_MUST_USE tt_rc tt_config_new(struct tt_config **ret, enum tt_role role, struct tt_error *err);
/* All setters: TT_ERR_USAGE on a frozen configuration or a value that can never work. Lists are copied, in
 * order of preference; each has a safe default and none need be called. */
TT_API TT_MUST_USE tt_rc tt_config_set_random(struct tt_config *cfg, tt_random_fn fn, void *arg);
TT_API TT_MUST_USE tt_rc tt_config_set_suites(struct tt_config *cfg, const uint16_t *suites, size_t n);
TT_API TT_MUST_USE tt_rc tt_config_set_groups(struct tt_config *cfg, const uint16_t *groups, size_t n);
/* Client: the groups for which ClientHello carries a share; a subset of the groups. Default: the first
 * classical group and the first post-quantum one. None (n is 0): the server chooses a group by a
 * HelloRetryRequest, which costs a round trip each time. */
TT_API TT_MUST_USE tt_rc tt_config_set_key_shares(struct tt_config *cfg, const uint16_t *groups, size_t n);
/* Signature schemes accepted from the peer in CertificateVerify (signature_algorithms). */
TT_API TT_MUST_USE tt_rc tt_config_set_verify_schemes(struct tt_config *cfg, const uint16_t *schemes,
                                                      size_t n);
/* Accept the peer's delegated credentials (RFC 9345), whose keys may sign with these schemes, most wanted
 * first: all verify schemes but rsa_pss_rsae_* when n is 0. Default: none is accepted. TT_ERR_UNSUPPORTED for
 * a scheme that no such key can have. */
TT_API TT_MUST_USE tt_rc tt_config_accept_delegated(struct tt_config *cfg, const uint16_t *schemes, size_t n);
/* ALPN protocol names, most wanted first; each 1 .. 255 bytes. */
TT_API TT_MUST_USE tt_rc tt_config_set_alpn(struct tt_config *cfg, const struct tt_bytes *names, size_t n);
/* The identity of this end; may be called several times on a server (chosen by what the client accepts). */
TT_API TT_MUST_USE tt_rc tt_config_add_identity(struct tt_config *cfg, const struct tt_identity *id,
                                                struct tt_error *err);
/* Whom to believe: required for a client; for a server required when client_auth is not NONE. Takes a
 * reference. */
TT_API TT_MUST_USE tt_rc tt_config_set_trust(struct tt_config *cfg, struct tt_trust *trust);
/* Client: a name that the server's certificate may have: it must have one of those that were added, in place
 * of tt_conn_options.server_name, which then is only sent, and may be left out. At most 16. TT_ERR_USAGE for
 * what is no such name. */
enum tt_peer_name {
    TT_PEER_HOST, /* a DNS name or IP address text, as server_name */
    TT_PEER_URI   /* one of its URIs, byte for byte; where it begins with spiffe:// the only one */
};
TT_API TT_MUST_USE tt_rc tt_config_add_peer_name(struct tt_config *cfg, enum tt_peer_name kind,
                                                 const char *name, struct tt_error *err);
/* Accept any chain of the peer without looking (signatures in CertificateVerify are still checked). */
TT_API TT_MUST_USE tt_rc tt_config_insecure_accept_any_certificate(struct tt_config *cfg);
TT_API TT_MUST_USE tt_rc tt_config_set_client_auth(struct tt_config *cfg, enum tt_client_auth mode);
/* Client: where a server asks for a certificate and none of our identities suits it, end the handshake with
 * handshake_failure; by default it goes on without one, and the server decides (RFC 9846 section 4.5.1). */
TT_API TT_MUST_USE tt_rc tt_config_set_never_anonymous(struct tt_config *cfg, bool on);
/* Server: always answer the first ClientHello with a HelloRetryRequest and a cookie (proves the client's
 * address). */
TT_API TT_MUST_USE tt_rc tt_config_set_force_retry(struct tt_config *cfg, bool on);
/* Largest handshake message accepted, in bytes (default 65,536; 1,024 .. 1 MiB). */
TT_API TT_MUST_USE tt_rc tt_config_set_max_handshake_message(struct tt_config *cfg, size_t bytes);
/* Middlebox compatibility mode (RFC 9846 appendix E.4); on by default, client only. */
TT_API TT_MUST_USE tt_rc tt_config_set_middlebox_compat(struct tt_config *cfg, bool on);

/* record_size_limit (RFC 8449): the largest plaintext we accept in a protected record, 64 .. 16,385 bytes
 * with its type byte and padding. A client offers it when it was set; a server answers a client that does. */
TT_API TT_MUST_USE tt_rc tt_config_set_record_size_limit(struct tt_config *cfg, uint16_t bytes);
/* The largest fragment that we put into a record, 64 .. 16,384 bytes; the peer's record_size_limit counts
 * beside it. Default: what the protocol allows. */
TT_API TT_MUST_USE tt_rc tt_config_set_max_fragment(struct tt_config *cfg, uint16_t bytes);
/* Pad each protected record's content up to a multiple of this (0 .. 16,384; 0 and 1: no padding). */
TT_API TT_MUST_USE tt_rc tt_config_set_padding(struct tt_config *cfg, uint16_t multiple);
/* Certificate compression (RFC 8879): what we accept (offered to the peer) and use (when the peer offers it),
 * most wanted first. Default: none. TT_ERR_UNSUPPORTED for one that was not there at build time. */
TT_API TT_MUST_USE tt_rc tt_config_set_certificate_compression(struct tt_config *cfg,
                                                               const uint16_t *algorithms, size_t n);
/* struct tt_compressor: an algorithm that the application has: 16,384 .. 65,535 are for experiments (RFC 8879
 * section 7.3). Called on the connection's thread; must be thread-safe when the configuration is shared. */
struct tt_compressor {
    uint16_t algorithm;
    void *arg;
    /* compress: plain into ret, where plain.len + plain.len / 2 + 1024 bytes have room; false: the handshake
     * ends. */
    bool (*compress)(void *arg, struct tt_bytes plain, uint8_t *ret, size_t *ret_len);
    /* decompress: exactly len bytes into ret; false: it was another number, or something else is wrong. */
    bool (*decompress)(void *arg, struct tt_bytes compressed, uint8_t *ret, size_t len);
};
/* tt_config_add_compressor: make it known, before tt_config_set_certificate_compression names it. At most 4.
 */
TT_API TT_MUST_USE tt_rc tt_config_add_compressor(struct tt_config *cfg,
                                                  const struct tt_compressor *compressor);
/* Client: ask for a stapled OCSP response (default: no), and refuse a server that sends none. A response that
 * comes is always checked. */
enum tt_ocsp {
    TT_OCSP_NONE,
    TT_OCSP_REQUEST,
    TT_OCSP_REQUIRE
};
TT_API TT_MUST_USE tt_rc tt_config_set_ocsp(struct tt_config *cfg, enum tt_ocsp mode);
/* What the peer may show (RFC 7250), most wanted first; default: X.509 certificates alone. Raw public keys
 * are judged by pins alone (see tt_trust), and bring no OCSP response: tt_config_freeze refuses them beside
 * anchors or TT_OCSP_REQUIRE. */
TT_API TT_MUST_USE tt_rc tt_config_set_peer_certificate_types(struct tt_config *cfg, const uint16_t *types,
                                                              size_t n);
/* Client: ask for signed certificate timestamps (RFC 6962); they are passed through: tt_conn_peer_scts. */
TT_API TT_MUST_USE tt_rc tt_config_set_request_scts(struct tt_config *cfg, bool on);
/* Tell the peer our trust anchors' names (certificate_authorities), so that it can choose. Servers do by
 * default where they ask for certificates; clients do not. Left out when they are more than 8 KiB. */
TT_API TT_MUST_USE tt_rc tt_config_set_send_authorities(struct tt_config *cfg, bool on);
/* Send these names instead of the anchors': DER of X.501 Names, 8 KiB in all; none when n is 0. Which chains
 * are accepted is another matter. */
TT_API TT_MUST_USE tt_rc tt_config_set_authorities(struct tt_config *cfg, const struct tt_bytes *names,
                                                   size_t n);
/* Keep what the peer offers, for tt_conn_peer_schemes and tt_conn_peer_authority. Default: no, since a list
 * of authorities may be long. */
TT_API TT_MUST_USE tt_rc tt_config_set_keep_offers(struct tt_config *cfg, bool on);
/* Post-handshake client authentication (RFC 9846 section 4.7.2), off by default. Client: offer it. Server: be
 * able to ask (tt_conn_request_certificate), which needs a trust set like TT_CLIENT_AUTH_REQUEST does. */
TT_API TT_MUST_USE tt_rc tt_config_set_post_handshake_auth(struct tt_config *cfg, bool on);
/* Reserved values (GREASE, RFC 8701) in what this end offers: a client's ClientHello, whose extensions get a
 * new order each time as well; a server's CertificateRequest and tickets. On by default. */
TT_API TT_MUST_USE tt_rc tt_config_set_grease(struct tt_config *cfg, bool on);

/* Client: offer what browsers offer (Chromium and Firefox of 2026), as far as a client of TLS 1.3 alone can,
 * for networks that look at ClientHellos: their groups and signature schemes, PKCS #1 for certificates in the
 * same list, certificate compression, requests for OCSP responses and timestamps, GREASE where they have it.
 * Call it before the setters whose values shall differ; tt_conn_options.ech_grease goes with it. */
TT_API TT_MUST_USE tt_rc tt_config_hello_like_browser(struct tt_config *cfg);

/* tt_config_freeze: check the whole and make it immutable. TT_ERR_USAGE with the reason when something is
 * missing (no verifier, no randomness, a server without an identity, a scheme that does not fit its
 * certificate, ...). */
TT_API TT_MUST_USE tt_rc tt_config_freeze(struct tt_config *cfg, struct tt_error *err);
/* tt_config_fingerprint: of a frozen configuration: whom it believes, what it offers, who it is. Sessions of
 * one client configuration are not for another. TT_ERR_USAGE before it is frozen. */
TT_API TT_MUST_USE tt_rc tt_config_fingerprint(const struct tt_config *cfg, uint8_t ret[32]);
TT_API struct tt_config *tt_config_ref(struct tt_config *cfg);
TT_API void tt_config_free(struct tt_config *cfg); /* drops one reference; NULL is fine */

/* ---- pre-shared keys: tickets and external PSKs (RFC 9846 sections 2.2, 4.3.11, 4.7.1) ---- */

/* struct tt_session: what a client needs to resume: a ticket with its PSK; or an external PSK. Immutable. It
 * is a bearer secret: whoever has its bytes is the client until it expires. */
struct tt_session;
/* tt_session_new_external: identity 1 .. 1,024 bytes, key 16 .. 64 bytes of full entropy (RFC 9257); for
 * SHA-256 suites, or with sha384 for the SHA-384 one. Only used together with a fresh key exchange
 * (psk_dhe_ke). */
TT_API TT_MUST_USE tt_rc tt_session_new_external(struct tt_session **ret, struct tt_bytes identity,
                                                 struct tt_bytes key, bool sha384, struct tt_error *err);
/* struct tt_psk_import: an external PSK for the importer of RFC 9258. One per target: a key for SHA-256
 * suites and one for the SHA-384 suite have different identities and may both be used. */
struct tt_psk_import {
    struct tt_bytes identity; /* external_identity, 1 .. 1,024 bytes */
    struct tt_bytes context;  /* what it was agreed on for, such as both ends' names; at most 1,024 bytes */
    struct tt_bytes key;      /* epsk, 16 .. 256 bytes of full entropy */
    bool sha384;              /* target_kdf HKDF_SHA384; else HKDF_SHA256 */
    bool key_sha384;          /* the hash that belongs to epsk is SHA-384; else SHA-256 */
};
/* tt_session_new_imported: the imported PSK; both ends must import, with the same identity and context. `key`
 * must be used for nothing else (section 4) and is best forgotten afterwards. */
TT_API TT_MUST_USE tt_rc tt_session_new_imported(struct tt_session **ret, const struct tt_psk_import *what,
                                                 struct tt_error *err);
/* tt_session_export: the session as bytes, secret key included; free with tt_free (which wipes).
 * tt_session_import: the way back; TT_ERR_DECODE for anything else. */
TT_API TT_MUST_USE tt_rc tt_session_export(const struct tt_session *s, uint8_t **ret, size_t *ret_len);
TT_API TT_MUST_USE tt_rc tt_session_import(struct tt_session **ret, struct tt_bytes bytes);
/* tt_session_hold: take the PSK out of a session, so that something that can compute HMAC-SHA-256 under a key
 * it does not give away (a TPM) can hold it: ret_k1 and ret_k2 (32 bytes each) are to be imported there as
 * HMAC keys and wiped. *ret is the same session without its PSK; `key` comes back in tt_psk_request. k1 is
 * the finished_key of the binder key, k2 the secret Derive-Secret(Early Secret, "derived", ""), both
 * constants of the PSK (RFC 9846 section 7.1): whoever has them can resume. TT_ERR_UNSUPPORTED for a SHA-384
 * session. No 0-RTT with a held PSK. */
TT_API TT_MUST_USE tt_rc tt_session_hold(struct tt_session **ret, const struct tt_session *s, void *key,
                                         uint8_t ret_k1[32], uint8_t ret_k2[32], struct tt_error *err);
/* tt_session_import_held: an exported held session, with its key to go with it. */
TT_API TT_MUST_USE tt_rc tt_session_import_held(struct tt_session **ret, struct tt_bytes bytes, void *key);
TT_API void tt_session_free(struct tt_session *s); /* drops one reference; NULL is fine */
struct tt_session_info {
    bool external;
    bool held;     /* the PSK itself is not in it */
    bool imported; /* external, by tt_session_new_imported */
    uint16_t suite;
    int64_t received_ms;                         /* milliseconds since 1970 */
    uint32_t lifetime;                           /* seconds */
    uint32_t max_early_data;                     /* bytes; 0: no 0-RTT with it */
    uint16_t group;                              /* of the connection it came from; 0: unknown */
    struct tt_bytes identity, alpn, server_name; /* views */
};
TT_API void tt_session_info(const struct tt_session *s, struct tt_session_info *ret);

/* tt_psk_to_pem: an external PSK as text (a block "TPMTLS PSK"), with the end of the connection it is for:
 * one PSK is for one client and one server, which never switch roles (RFC 9257). Its secret is in it unless
 * it is held. NUL-terminated, to be freed with tt_free; TT_ERR_USAGE for a session that came from a ticket.
 * tt_psk_from_pem: the way back; a held one then needs its key: tt_session_export, tt_session_import_held. */
TT_API TT_MUST_USE tt_rc tt_psk_to_pem(char **ret, const struct tt_session *s, enum tt_role role);
TT_API TT_MUST_USE tt_rc tt_psk_from_pem(struct tt_session **ret, enum tt_role *ret_role,
                                         struct tt_bytes pem);
/* tt_psk_identity_read: the parts of an imported PSK's identity (the ImportedIdentity of RFC 9258); views.
 * TT_ERR_DECODE for what is none. */
TT_API TT_MUST_USE tt_rc tt_psk_identity_read(struct tt_bytes identity, struct tt_bytes *ret_external,
                                              struct tt_bytes *ret_context);

/* struct tt_tickets: the server's ticket keys. May be shared by configurations and threads; keys may change
 * at any time, and several servers may have the same. 0-RTT is for tickets that this very object issued,
 * since only it knows what was used before (RFC 9846 section 8): not for those of before a restart, or of
 * another server, or of the process that this one was forked from; they resume without it. What cannot be
 * seen: a virtual machine, or a process, that is set back to an earlier state with its register. Until the
 * wall clock is more than 10 s past the first use, what was taken since then can be taken once more. */
struct tt_tickets;
#define TT_MAX_TICKET_KEYS 4
struct tt_ticket_key {
    uint8_t name[16]; /* public, unique */
    uint8_t key[32];  /* secret, random */
};
TT_API TT_MUST_USE tt_rc tt_tickets_new(struct tt_tickets **ret, int64_t now_ms, struct tt_error *err);
/* tt_tickets_set_keys: up to TT_MAX_TICKET_KEYS; the first seals new tickets, all of them open. With none no
 * ticket is made, and none opens. Copied. */
TT_API TT_MUST_USE tt_rc tt_tickets_set_keys(struct tt_tickets *t, const struct tt_ticket_key *keys,
                                             size_t n);
/* tt_tickets_sealed: how many tickets the first key has sealed: AES-GCM with random nonces wants a new key
 * before 2^32 (NIST SP 800-38D section 8.3). */
TT_API uint64_t tt_tickets_sealed(struct tt_tickets *t);
TT_API void tt_tickets_free(struct tt_tickets *t);

/* Server: issue `count` tickets (0 .. 8) after each handshake, valid for `lifetime` seconds (1 .. 604,800).
 * They are bound to the name and the protocol that were agreed on, to the client's identity, to whom the
 * configuration believes (its trust anchors and pins), and to `scope` (at most 64 bytes), which tells apart
 * what the engine cannot, such as listeners: only where all of that is the same are they accepted. What was
 * authenticated ends with the client's certificate, with a CRL that revokes it (in the trust set at the time
 * of resumption), and 7 days after the full handshake. Everything else leads to a full handshake. Takes a
 * reference. */
TT_API TT_MUST_USE tt_rc tt_config_set_tickets(struct tt_config *cfg, struct tt_tickets *tickets,
                                               unsigned count, uint32_t lifetime, struct tt_bytes scope);
/* Server: an external PSK that is accepted; may be called up to 16 times. Takes a reference. A client that
 * has it needs no certificate (but see tt_config_set_psk_policy); which one a client used is
 * told by tt_conn_info.psk_identity, also when it comes back with a ticket. A ticket is worth nothing once
 * its PSK is not among these any more. */
TT_API TT_MUST_USE tt_rc tt_config_add_psk(struct tt_config *cfg, struct tt_session *psk);
/* What is demanded of PSKs. */
enum tt_psk_policy {
    TT_PSK_OPTIONAL, /* a PSK where both ends have it, else certificates (the default) */
    TT_PSK_REQUIRE,  /* a PSK, of a ticket or an external one, or no connection; a client then needs no trust
                      */
    /* Certificate and external PSK together (RFC 8773), or no connection: the certificates authenticate, the
     * PSK goes into the key schedule and keeps what is said now secret from whoever breaks the key exchange
     * later. A client then offers no tickets. (With TT_PSK_OPTIONAL a server that has an identity and the PSK
     * does this with each client that wants it.) */
    TT_PSK_WITH_CERTIFICATE
};
TT_API TT_MUST_USE tt_rc tt_config_set_psk_policy(struct tt_config *cfg, enum tt_psk_policy policy);
/* Server: accept at most this many bytes of 0-RTT data with a ticket; 0 (the default): none. 0-RTT data can
 * be replayed by an attacker within limits (RFC 9846 section 8); it is handed out apart
 * (tt_conn_early_plaintext). */
TT_API TT_MUST_USE tt_rc tt_config_set_max_early_data(struct tt_config *cfg, uint32_t bytes);

/* ---- connection ---- */

/* struct tt_trace_event: one handshake message or alert that was sent or received. */
struct tt_trace_event {
    bool sent;
    bool is_alert;
    unsigned
        type; /* enum tt_handshake_type, or enum tt_alert when is_alert; HelloRetryRequest: server_hello */
    bool is_hello_retry_request;
    size_t size; /* bytes with the 4-byte header; 2 for an alert */
};
/* tt_trace_fn: only looks; must not call into the connection. */
typedef void (*tt_trace_fn)(void *arg, const struct tt_trace_event *event);

/* tt_keylog_fn: one line of the SSLKEYLOGFILE format, without its newline. */
typedef void (*tt_keylog_fn)(void *arg, const char *line);

/* struct tt_conn_options: zero-initialise, then set what is needed. */
struct tt_conn_options {
    const char *server_name; /* client: whom to reach: DNS name or IP address text; checked against the
                                certificate (RFC 9525) and, for a DNS name, sent as server_name, without a dot
                                at its end; an address without its zone (%eth0). What is neither is refused:
                                0177.0.0.1, letters outside of ASCII. Required for a client unless
                                verification is switched off. Copied. */
    int64_t now; /* seconds since 1970-01-01 UTC: the time certificates are judged at; see tt_conn_set_now */
    int64_t now_ms; /* the same in milliseconds; when it is set `now` is not looked at. Sessions need it: with
                       whole seconds one that has just come is not yet there, and its age is told wrong. */
    int64_t
        monotonic_ms; /* server: milliseconds of a clock that nobody sets (CLOCK_BOOTTIME), for the register
                         of 0-RTT; see tt_conn_set_monotonic. 0: the highest time that was told serves */
    struct tt_session *const
        *sessions; /* client: PSKs to offer, most wanted first; the first 4 usable ones are */
    size_t sessions_len;
    bool early_data; /* client: offer 0-RTT with the first of them, when its ticket allows it */
    struct tt_bytes
        ech_config_list;  /* client: offer Encrypted Client Hello (RFC 9849) with the first ECHConfig of this
                             ECHConfigList that can be used; TT_ERR_UNSUPPORTED when none can, TT_ERR_DECODE
                             when it is none. Copied. Empty: no ECH. */
    bool ech_grease;      /* client, without a list: look as if (GREASE) */
    uint16_t known_group; /* client: the group this server chose before (tt_conn_info.group), or 0: a share
                             for it goes along, so that no HelloRetryRequest is needed. A session knows the
                             group of its connection. One that is not configured is not looked at. */
    tt_trace_fn trace;
    void *trace_arg;
    tt_keylog_fn insecure_keylog; /* hands out the connection's secrets: whoever has them reads everything */
    void *keylog_arg;
};

TT_API TT_MUST_USE tt_rc tt_conn_new(struct tt_conn **ret, struct tt_config *cfg,
                                     const struct tt_conn_options *opt, struct tt_error *err);
TT_API void tt_conn_free(struct tt_conn *c);

/* tt_conn_set_now: milliseconds since 1970; call it before feeding on a long-lived connection: ticket ages
 * need it. */
TT_API void tt_conn_set_now(struct tt_conn *c, int64_t now_ms);
/* tt_conn_set_monotonic: the same of tt_conn_options.monotonic_ms. All connections that share a struct
 * tt_tickets tell one, or none does. Without it 0-RTT rests after the wall clock was set back, until that has
 * caught up; either way a flight that was taken is not taken again. */
TT_API void tt_conn_set_monotonic(struct tt_conn *c, int64_t monotonic_ms);

enum tt_want {
    TT_WANT_INPUT = 1,            /* feed ciphertext to make progress */
    TT_WANT_OUTPUT = 2,           /* tt_conn_output has bytes */
    TT_WANT_SIGN = 4,             /* tt_conn_sign_request has a request to answer */
    TT_WANT_PSK = 8,              /* tt_conn_psk_request has a request to answer */
    TT_WANT_PLAINTEXT = 16,       /* plaintext is there to be read */
    TT_WANT_EARLY_PLAINTEXT = 64, /* server: 0-RTT data is there to be read */
    TT_WANT_ECH = 128,            /* server: tt_conn_ech_request has a request to answer */
    TT_WANT_CLOSED = 32           /* nothing more will ever be received: close_notify or an error */
};
TT_API unsigned tt_conn_wants(const struct tt_conn *c);

/* tt_conn_feed: ciphertext in, in any split. *ret_consumed may be less than len: while plaintext is unread or
 * a signature is awaited the engine takes no more than it can hold, and 0 is back-pressure. On failure the
 * error is sticky (tt_conn_error) and the alert is in the output. */
TT_API TT_MUST_USE tt_rc tt_conn_feed(struct tt_conn *c, const uint8_t *data, size_t len,
                                      size_t *ret_consumed);
/* tt_conn_feed_eof: the transport ended. TT_ERR_CLOSED unless close_notify came first. */
TT_API TT_MUST_USE tt_rc tt_conn_feed_eof(struct tt_conn *c);

/* tt_conn_output: ciphertext to send; valid until the next call on c. Acknowledge what was sent. */
TT_API struct tt_bytes tt_conn_output(const struct tt_conn *c);
TT_API void tt_conn_output_done(struct tt_conn *c, size_t n);

/* tt_conn_plaintext: decrypted application data, in place; valid until the next call on c. Acknowledge what
 * was used; more may be there after that. tt_conn_read copies and acknowledges in one call (0 bytes: none
 * there). */
TT_API struct tt_bytes tt_conn_plaintext(const struct tt_conn *c);
TT_API TT_MUST_USE tt_rc tt_conn_plaintext_done(struct tt_conn *c, size_t n);
TT_API TT_MUST_USE tt_rc tt_conn_read(struct tt_conn *c, uint8_t *ret_buf, size_t cap, size_t *ret_n);

/* tt_conn_write: application data to protect. Takes everything, or as much as the output may hold (about 256
 * KiB unsent): *ret_n says how much. TT_ERR_USAGE before tt_conn_can_write or after tt_conn_close. A server
 * that accepted 0-RTT data may answer it before the handshake is complete (section 2.3). */
TT_API TT_MUST_USE tt_rc tt_conn_write(struct tt_conn *c, const uint8_t *data, size_t len, size_t *ret_n);
TT_API bool tt_conn_can_write(const struct tt_conn *c);

/* 0-RTT. tt_conn_write_early: client, before the handshake is complete; takes what the ticket allows (*ret_n
 * may be less, and 0 once the server's answer is there). TT_ERR_USAGE when no early data was offered.
 * tt_conn_early_status says what became of it; rejected data is never sent again by the engine.
 * tt_conn_early_plaintext / _done: server, apart from tt_conn_plaintext, because it may be a replay. */
enum tt_early {
    TT_EARLY_NONE,
    TT_EARLY_OFFERED,
    TT_EARLY_ACCEPTED,
    TT_EARLY_REJECTED
};
TT_API TT_MUST_USE tt_rc tt_conn_write_early(struct tt_conn *c, const uint8_t *data, size_t len,
                                             size_t *ret_n);
TT_API enum tt_early tt_conn_early_status(const struct tt_conn *c);
TT_API struct tt_bytes tt_conn_early_plaintext(const struct tt_conn *c);
TT_API TT_MUST_USE tt_rc tt_conn_early_plaintext_done(struct tt_conn *c, size_t n);

/* tt_conn_take_session: client: the oldest session received and not yet taken, NULL when there is none; the
 * caller owns it. At most 8 are kept, the newest win. A connection that failed gives none any more, unless it
 * was the transport that ended. */
TT_API struct tt_session *tt_conn_take_session(struct tt_conn *c);
/* tt_conn_refuse_tickets: client, connected: take no more tickets, and forget the secret that they come from.
 * What was taken before is then the only way to resume. TT_ERR_USAGE before the handshake is complete. */
TT_API TT_MUST_USE tt_rc tt_conn_refuse_tickets(struct tt_conn *c);
/* tt_conn_send_ticket: server: one more ticket now. TT_ERR_USAGE without tickets or before the handshake is
 * complete; TT_ERR_UNSUPPORTED when the client cannot use one. */
TT_API TT_MUST_USE tt_rc tt_conn_send_ticket(struct tt_conn *c);

/* tt_conn_export: keying material (RFC 9846 section 7.5, RFC 5705): len 1 .. 8,160 bytes for a label and a
 * context (empty is the same as none). TT_ERR_USAGE before the server's Finished; the connection's error once
 * it failed: its secrets are gone. tt_conn_export_early: from the early exporter secret, where 0-RTT was
 * offered; weaker, see section 7.5. */
TT_API TT_MUST_USE tt_rc tt_conn_export(const struct tt_conn *c, const char *label, struct tt_bytes context,
                                        uint8_t *ret, size_t len);
TT_API TT_MUST_USE tt_rc tt_conn_export_early(const struct tt_conn *c, const char *label,
                                              struct tt_bytes context, uint8_t *ret, size_t len);
/* tt_conn_channel_binding: "tls-exporter" of RFC 9266, 32 bytes. */
TT_API TT_MUST_USE tt_rc tt_conn_channel_binding(const struct tt_conn *c, uint8_t ret[32]);

/* tt_conn_is_connected: the handshake is complete in both directions, and nothing has failed since. */
TT_API bool tt_conn_is_connected(const struct tt_conn *c);

/* tt_conn_close: send close_notify; our writing side ends, reading goes on (RFC 9846 section 6.1). Before the
 * handshake is complete it sends user_canceled first. */
TT_API TT_MUST_USE tt_rc tt_conn_close(struct tt_conn *c);
/* tt_conn_abort: the application refuses the peer, at any time: the alert (an error of enum tt_alert, most
 * often access_denied or certificate_unknown) goes to the output and the connection's error is TT_ERR_VERIFY
 * with the text `why`. The connection's error when there is one already. */
TT_API TT_MUST_USE tt_rc tt_conn_abort(struct tt_conn *c, unsigned alert, const char *why);
/* tt_conn_received_close_notify: the peer ended its side in the right way. */
TT_API bool tt_conn_received_close_notify(const struct tt_conn *c);

/* tt_conn_key_update: move our sending keys on; ask the peer to do the same when request_peer is set. */
TT_API TT_MUST_USE tt_rc tt_conn_key_update(struct tt_conn *c, bool request_peer);

/* tt_conn_request_certificate: server, connected: ask the client for a certificate now. TT_ERR_UNSUPPORTED
 * when the client did not offer it, or was authenticated by an external PSK; TT_ERR_BUSY while an earlier
 * request is open. The answer is complete when tt_conn_certificate_requested is false again and
 * tt_conn_is_connected still true; a client may decline: then tt_conn_info.peer_chain_len is 0. */
TT_API TT_MUST_USE tt_rc tt_conn_request_certificate(struct tt_conn *c);
TT_API bool tt_conn_certificate_requested(const struct tt_conn *c);

/* tt_conn_trim: give back what the connection can do without while it is idle: buffers that hold nothing and
 * the ciphers' contexts, which the next record makes anew. Call it when a connection falls idle. */
TT_API void tt_conn_trim(struct tt_conn *c);

/* ---- records elsewhere (kernel TLS) ----
 *
 * Once connected, and between two records, somebody else may take over what protects and opens them. The
 * engine goes on to judge what is no data: tt_conn_offload_feed takes the contents of such records, and
 * tt_conn_offload_output has those to send, tt_conn_close's and tt_conn_abort's among them. */

/* struct tt_record_keys: the traffic key of one direction (RFC 9846 section 7.3). A secret: wipe it. */
struct tt_record_keys {
    uint16_t suite;
    uint8_t key[32];
    size_t key_len;
    uint8_t iv[12];
    uint64_t sequence;     /* of the next record */
    uint64_t record_limit; /* so many records, then tt_conn_key_update (section 5.5) */
};
/* tt_conn_can_offload: nothing is unread, unsent or half received, and the configuration asks for nothing
 * that only the engine's records have (padding, small records). tt_conn_offload: from now on. */
TT_API bool tt_conn_can_offload(const struct tt_conn *c);
TT_API TT_MUST_USE tt_rc tt_conn_offload(struct tt_conn *c);
TT_API TT_MUST_USE tt_rc tt_conn_record_keys(const struct tt_conn *c, bool sending,
                                             struct tt_record_keys *ret);
/* tt_conn_is_between_records; tt_conn_missing: where it is not, how many bytes to feed until it may be: of
 * the record's header, then of the record. */
TT_API bool tt_conn_is_between_records(const struct tt_conn *c);
TT_API size_t tt_conn_missing(const struct tt_conn *c);
/* tt_conn_offload_feed: type: 21 an alert, 22 handshake messages. after_data: application data came since the
 * last one. After a KeyUpdate (handshake type 24) of the peer's what follows is under the keys that
 * tt_conn_record_keys has then. */
TT_API TT_MUST_USE tt_rc tt_conn_offload_feed(struct tt_conn *c, unsigned type, struct tt_bytes content,
                                              bool after_data);
/* tt_conn_offload_output: the content of the next record to send, in order; false: there is none. After a
 * KeyUpdate among them what follows is sent under the keys that tt_conn_record_keys has then. */
TT_API bool tt_conn_offload_output(const struct tt_conn *c, unsigned *ret_type, struct tt_bytes *ret);
TT_API void tt_conn_offload_output_done(struct tt_conn *c);

/* ---- signing by pull ---- */

struct tt_sign_request {
    uint64_t id;             /* never reused, unique in the process's lifetime for this configuration */
    uint16_t scheme;         /* enum tt_scheme */
    void *key;               /* tt_identity.key, or tt_credential_params.key */
    bool delegated;          /* the latter: valid until this request is answered or the connection freed */
    struct tt_bytes to_sign; /* the whole content that is signed (RFC 9846 section 4.5.2) */
    struct tt_bytes
        digest; /* its digest under the scheme's hash; empty where the scheme has none (Ed25519) */
};
/* tt_conn_sign_request: the open request; views are valid until it is answered or c is freed. TT_ERR_USAGE
 * when there is none. */
TT_API TT_MUST_USE tt_rc tt_conn_sign_request(const struct tt_conn *c, struct tt_sign_request *ret);
/* tt_conn_sign_complete: the answer: ECDSA as DER, RSA as the modulus-sized number. TT_ERR_USAGE for another
 * id (nothing happens then). */
TT_API TT_MUST_USE tt_rc tt_conn_sign_complete(struct tt_conn *c, uint64_t id, struct tt_bytes signature);
/* tt_conn_sign_fail: no signature can be had; the handshake ends with internal_error and class TT_ERR_TPM (or
 * what why->rc says); why may be NULL. */
TT_API TT_MUST_USE tt_rc tt_conn_sign_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why);

/* ---- a held PSK by pull (tt_session_hold) ---- */

enum tt_psk_operation {
    TT_PSK_BINDER,          /* HMAC-SHA-256 under k1 of `input`, the hash of the truncated ClientHello */
    TT_PSK_HANDSHAKE_SECRET /* HMAC-SHA-256 under k2 of `input`, the secret of this connection's key exchange
                             */
};
/* struct tt_psk_request: two of them in a handshake. `input` is fresh in each connection: the engine never
 * asks for a value that is constant for a PSK. */
struct tt_psk_request {
    uint64_t id; /* from the same numbers as tt_sign_request.id */
    enum tt_psk_operation operation;
    void *key;             /* as given to tt_session_hold */
    struct tt_bytes input; /* a secret in TT_PSK_HANDSHAKE_SECRET; valid until it is answered or c is freed */
};
/* While tt_conn_wants() says TT_WANT_PSK. The rules of the sign functions hold; output has 32 bytes. */
TT_API TT_MUST_USE tt_rc tt_conn_psk_request(const struct tt_conn *c, struct tt_psk_request *ret);
TT_API TT_MUST_USE tt_rc tt_conn_psk_complete(struct tt_conn *c, uint64_t id, struct tt_bytes output);
TT_API TT_MUST_USE tt_rc tt_conn_psk_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why);

/* ---- Encrypted Client Hello (RFC 9849) ----
 *
 * Client: tt_conn_options.ech_config_list. While it is offered, server_name, ALPN, PSKs and the certificate
 * authorities we believe stand in ClientHelloInner alone; the outer ClientHello names the public name of the
 * ECHConfig. A server that rejects ECH is verified for that public name, gets no certificate of ours and no
 * data, and the connection ends with TT_ERR_ECH_REJECTED: a new one may then be tried once with
 * tt_conn_ech_retry_configs, or, where that is empty, without ECH (the server has securely disabled it). Any
 * other error says nothing about ECH. Server: tt_config_set_ech_keys. Shared mode alone: ClientHelloInner is
 * answered by whoever decrypted it. */

enum tt_ech {
    TT_ECH_NONE,
    TT_ECH_GREASE,  /* client: nothing was offered, though it looked so */
    TT_ECH_OFFERED, /* client: the answer is not yet known */
    TT_ECH_ACCEPTED,
    TT_ECH_REJECTED /* server: the client sent what none of our keys opens; GREASE may be that */
};

/* tt_conn_ech_retry_configs: client, after TT_ERR_ECH_REJECTED: the ECHConfigList that the server sent; empty
 * when it sent none. Valid as long as c. Not to be kept for later connections. */
TT_API struct tt_bytes tt_conn_ech_retry_configs(const struct tt_conn *c);

#define TT_MAX_ECH_KEYS 16

/* enum tt_kem: the KEMs of HPKE that can be used (RFC 9180 section 7.1). */
enum tt_kem {
    TT_KEM_P256 = 0x0010,
    TT_KEM_X25519 = 0x0020
};

/* struct tt_ech_key: a private key with its ECHConfigs. */
struct tt_ech_key {
    struct tt_bytes pem;         /* RFC 9934: PRIVATE KEY, then ECHCONFIG; or, when it is empty, ... */
    struct tt_bytes config_list; /* ... ECHConfigList, and ... */
    uint16_t kem;                /* ... enum tt_kem, and ... */
    struct tt_bytes private_key; /* ... its 32 bytes */
    void *key;  /* not NULL: somebody else has the private key (a TPM): tt_ech_request; the list has
                   one ECHConfig then, and a PEM text only needs ECHCONFIG */
    bool retry; /* send its configs as retry_configs: up to date, and published */
};

/* tt_ech_keys_new: an empty set; reference counted, may be shared by configurations and threads. */
TT_API TT_MUST_USE tt_rc tt_ech_keys_new(struct tt_ech_keys **ret, struct tt_error *err);
TT_API void tt_ech_keys_free(struct tt_ech_keys *keys);
/* tt_ech_keys_set: these keys, most wanted first, in place of those before, at any time; everything is copied
 * but tt_ech_key.key, for which `release` (may be NULL) is called when no handshake needs it any more, on any
 * thread. When it fails nothing has changed, and release is not called. */
TT_API TT_MUST_USE tt_rc tt_ech_keys_set(struct tt_ech_keys *k, const struct tt_ech_key *keys, size_t n,
                                         void (*release)(void *key), struct tt_error *err);
/* tt_ech_keys_set_trial_decryption: try all keys, not only those with the config_id that the client names
 * (RFC 9849 section 7.1: only where clients are known to make it up). Off by default; never for keys that
 * somebody else has. */
TT_API void tt_ech_keys_set_trial_decryption(struct tt_ech_keys *keys, bool on);
TT_API TT_MUST_USE tt_rc tt_config_set_ech_keys(struct tt_config *cfg, struct tt_ech_keys *keys);

/* struct tt_ech_config_params: what a new ECHConfig says. */
struct tt_ech_config_params {
    const char *public_name;     /* DNS name of the server that clients see; its certificate must have it */
    uint8_t config_id;           /* distinct among a server's configs */
    uint8_t maximum_name_length; /* of the names behind it; 0: not known */
    uint16_t kem;                /* enum tt_kem */
    struct tt_bytes public_key;  /* of a key that is elsewhere (uncompressed point); empty: make a new key */
};
/* tt_ech_config_make: a PEM text of RFC 9934 (without PRIVATE KEY when there is a public_key), to be freed
 * with tt_free. */
TT_API TT_MUST_USE tt_rc tt_ech_config_make(uint8_t **ret_pem, size_t *ret_len,
                                            const struct tt_ech_config_params *params, struct tt_error *err);

/* struct tt_ech_config_info: the first ECHConfig of a list that this library knows; views into the list. */
struct tt_ech_config_info {
    uint16_t kem; /* enum tt_kem, or another one */
    uint8_t config_id, maximum_name_length;
    struct tt_bytes public_name, public_key;
};
/* tt_ech_config_describe: of an ECHConfigList, which is not PEM. TT_ERR_DECODE: it is malformed;
 * TT_ERR_UNSUPPORTED: there is none of RFC 9849 in it. */
TT_API TT_MUST_USE tt_rc tt_ech_config_describe(struct tt_ech_config_info *ret, struct tt_bytes list);

/* struct tt_ech_request: the Diffie-Hellman of a key that somebody else has: the x coordinate (32 bytes) of
 * the product of that key and `enc`, an uncompressed point on P-256. One per connection that names the key's
 * config_id. */
struct tt_ech_request {
    uint64_t id; /* from the same numbers as tt_sign_request.id */
    void *key;   /* tt_ech_key.key */
    struct tt_bytes enc;
};
/* While tt_conn_wants() says TT_WANT_ECH. The rules of the sign functions hold; output has 32 bytes. */
TT_API TT_MUST_USE tt_rc tt_conn_ech_request(const struct tt_conn *c, struct tt_ech_request *ret);
TT_API TT_MUST_USE tt_rc tt_conn_ech_complete(struct tt_conn *c, uint64_t id, struct tt_bytes output);
TT_API TT_MUST_USE tt_rc tt_conn_ech_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why);

/* ---- what happened ---- */

struct tt_conn_status {
    struct tt_error error;   /* error.rc is TT_OK while all is well */
    unsigned alert_sent;     /* enum tt_alert; TT_ALERT_NONE */
    unsigned alert_received; /* enum tt_alert; TT_ALERT_NONE */
    bool handshake_complete; /* with an error: whether the connection failed after its handshake */
};
/* tt_conn_error: the first error, with the alert that was sent or received. */
TT_API const struct tt_conn_status *tt_conn_error(const struct tt_conn *c);

/* struct tt_conn_info: what was negotiated; fields are 0 or empty until known. What says who the peer is
 * (scheme, chain, PSK, resumed) is there once it has proven it, and gone when the connection fails; the same
 * holds for tt_conn_peer_certificate, tt_conn_peer_ocsp and tt_conn_peer_scts. */
struct tt_conn_info {
    enum tt_role role;
    const char *state; /* the state's name in RFC 9846 appendix A, e.g. "CLIENT_WAIT_SH" */
    uint16_t suite, group;
    uint16_t local_scheme;    /* of our CertificateVerify */
    uint16_t peer_scheme;     /* of the peer's */
    enum tt_ech ech;          /* what became of Encrypted Client Hello */
    bool hello_retry_request; /* one was sent or received */
    bool local_delegated;     /* ... was made by the key of a delegated credential (RFC 9345) */
    bool peer_delegated;
    bool resumed;                 /* a PSK was used: of a ticket or an external one */
    bool certificate_with_psk;    /* an external PSK beside certificates (RFC 8773); resumed is false then */
    bool psk_imported;            /* by the importer of RFC 9258 */
    struct tt_bytes psk_identity; /* of the external PSK that was used; an imported one's is the
                                     ImportedIdentity of RFC 9258 */
    int64_t ticket_age_skew_ms;   /* server, resumed: how much older its ticket is by the client's clock */
    struct tt_bytes alpn;
    struct tt_bytes server_name; /* server: what the client asked for */
    size_t peer_chain_len;
    uint16_t local_certificate_type, peer_certificate_type; /* enum tt_certificate_type */
    bool peer_ocsp_good; /* a stapled OCSP response says that the peer's certificate is good */
    uint64_t handshake_bytes_in, handshake_bytes_out;
};
/* tt_conn_info: its views, like those of the next three, hold until the connection is fed, trimmed or freed.
 */
TT_API void tt_conn_info(const struct tt_conn *c, struct tt_conn_info *ret);
/* tt_conn_peer_ocsp, tt_conn_peer_scts: what the peer stapled to its leaf, empty when nothing. */
TT_API struct tt_bytes tt_conn_peer_ocsp(const struct tt_conn *c);
TT_API struct tt_bytes tt_conn_peer_scts(const struct tt_conn *c);
/* tt_conn_peer_schemes, tt_conn_peer_authority: where tt_config_set_keep_offers asked for it: what the peer
 * said in signature_algorithms (up to cap of them; the return value is how many there are) and the i-th name
 * in certificate_authorities (DER; empty when there is none): in ClientHello, or in CertificateRequest, the
 * last one. */
TT_API size_t tt_conn_peer_schemes(const struct tt_conn *c, uint16_t *ret, size_t cap);
TT_API struct tt_bytes tt_conn_peer_authority(const struct tt_conn *c, size_t i);
/* tt_conn_peer_certificate: the i-th DER certificate the peer sent (0 = leaf), empty when there is none.
 * Where tt_conn_info.peer_certificate_type says so, the only one is a DER SubjectPublicKeyInfo. */
TT_API struct tt_bytes tt_conn_peer_certificate(const struct tt_conn *c, size_t i);

#ifdef __cplusplus
}
#endif
#endif
