/* tls/config.h: what a configuration holds. Layer: tls. Public functions are in tpmtls/tls.h. */
#ifndef TLS_CONFIG_H
#define TLS_CONFIG_H

#include <stdatomic.h>

#include "base/buf.h"
#include "crypto/cert_names.h"
#include "crypto/kx.h"
#include "crypto/trust.h"
#include "tls/credential.h"
#include "tls/session.h"
#include "tpmtls/tls.h"

#define CONFIG_MAX_LIST        16
#define CONFIG_MAX_IDENTITIES  16
#define CONFIG_MAX_COMPRESSORS 4
#define CONFIG_MAX_AUTHORITIES 8192 /* bytes; more would be half a flight */

/* struct u16_list: a list of IANA numbers in order of preference. */
struct u16_list {
    uint16_t items[CONFIG_MAX_LIST];
    size_t n;
};
bool u16_list_has(const struct u16_list *list, uint16_t v);

/* struct identity: a copy of tt_identity. */
struct identity {
    struct tt_bytes *chain; /* one block holds the array and all certificates */
    size_t chain_len;
    bool only_for_its_issuer;
    void *key;
    struct u16_list schemes;
    struct tt_delegation *delegation;                        /* or NULL */
    struct tt_bytes ocsp_response, sct_list, raw_public_key; /* in the same block */
    struct cert_names *leaf, *top; /* parsed when frozen: the leaf, and the last of the chain; NULL without */
};

struct tt_config {
    atomic_uint refs;
    bool frozen;
    enum tt_role role;
    struct crypto_lib *lib;
    struct kx_random random;
    bool suites_are_chosen; /* by the application; else the default list, whose order is a proposal */
    struct u16_list suites, groups, key_shares, verify_schemes;
    struct u16_list delegated_schemes; /* empty: no delegated credential is accepted */
    uint8_t *alpn; /* ProtocolName list as on the wire (RFC 7301), without its outer length */
    size_t alpn_len;
    struct identity identities[CONFIG_MAX_IDENTITIES];
    size_t identities_len;
    struct tt_trust *trust;
    struct trust_name peer_names[CONFIG_MAX_LIST]; /* client: tt_config_add_peer_name */
    size_t peer_names_len;
    bool accept_any_certificate;
    enum tt_client_auth client_auth;
    bool force_retry;
    bool never_anonymous;
    bool middlebox_compat;
    size_t max_message;
    uint16_t record_size_limit; /* 0: the protocol's own */
    uint16_t max_fragment;      /* 0: likewise */
    uint16_t padding;
    struct u16_list compression;
    struct tt_compressor compressors[CONFIG_MAX_COMPRESSORS]; /* the application's own */
    size_t compressors_len;
    struct u16_list peer_types, own_types; /* enum tt_certificate_type; what our identities can show */
    enum tt_ocsp ocsp;
    bool request_scts, send_authorities, grease, post_handshake_auth;
    bool browser_hello;     /* tt_config_hello_like_browser */
    bool no_key_shares;     /* key_shares is empty because the application wants it so */
    bool authorities_given; /* by the application; else they are the names of the trust anchors */
    bool keep_offers;       /* what the peer offers is kept for tt_conn_peer_schemes and the like */
    struct tt_tickets *tickets;
    unsigned tickets_count;
    struct tt_ech_keys *ech_keys;
    uint32_t ticket_lifetime, max_early_data;
    uint8_t ticket_scope[64]; /* the application's */
    size_t ticket_scope_len;
    uint8_t fingerprint[32]; /* once frozen; a server's is the scope of its tickets (fingerprint.c) */
    struct tt_session *psks[CONFIG_MAX_LIST]; /* server: external ones */
    size_t psks_len;
    bool has_held_psk; /* one of them */
    enum tt_psk_policy psk_policy;
    struct buf authorities; /* DistinguishedName list for certificate_authorities, or empty */
    atomic_uint_fast64_t next_sign_id;
};

/* config_list_set: TT_ERR_USAGE where it is empty, too long or has something twice, or cfg is frozen. */
TT_MUST_USE tt_rc config_list_set(struct tt_config *cfg, struct u16_list *list, const uint16_t *items,
                                  size_t n);
/* config_compressor: the application's own algorithm, or NULL. */
const struct tt_compressor *config_compressor(const struct tt_config *cfg, uint16_t algorithm);

/* config_fingerprint: what a session or ticket made under this configuration depends on. */
TT_MUST_USE tt_rc config_fingerprint(const struct tt_config *cfg, uint8_t ret[32]);

#endif
