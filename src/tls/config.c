/* tls/config.c: building, checking and sharing a configuration. Layer: tls. A frozen one never changes. */
#include "tls/ech.h"
#include "tls/config.h"

#include <string.h>

#include "base/mem.h"
#include "tls/ticket.h"
#include "wire/reader.h"
#include "wire/writer.h"

bool u16_list_has(const struct u16_list *list, uint16_t v)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->items[i] == v)
            return true;
    return false;
}

static void list_add(struct u16_list *list, uint16_t v, bool available)
{
    if (available && list->n < CONFIG_MAX_LIST)
        list->items[list->n++] = v;
}

/* What RFC 9846 demands of these lists. Section 9.1: "MUST implement the TLS_AES_128_GCM_SHA256 cipher
 * suite", "MUST support digital signatures with rsa_pkcs1_sha256 (for certificates), rsa_pss_rsae_sha256",
 * "MUST support key exchange with secp256r1". Section 9.3: "MUST support all non-GREASE parameters
 * advertised in it". Section 4.3.3: "They MUST NOT be offered or negotiated by any implementation."
 * Appendix B.3.1.4: "MUST NOT be offered or negotiated by TLS 1.3 implementations". Appendix E.5: "MUST
 * NOT offer or negotiate RC4 cipher suites", "Ciphers with a strength less than 112 bits MUST NOT be
 * offered or negotiated". */
static void config_defaults(struct tt_config *cfg)
{
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    /* The post-quantum hybrids where libcrypto has ML-KEM (>= 3.5). */
    static const uint16_t groups[] = {TT_GROUP_X25519MLKEM768,    TT_GROUP_X25519,    TT_GROUP_SECP256R1,
                                      TT_GROUP_SECP256R1MLKEM768, TT_GROUP_SECP384R1, TT_GROUP_X448};
    static const uint16_t schemes[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                       TT_SCHEME_ECDSA_SECP384R1_SHA384,
                                       TT_SCHEME_ECDSA_SECP521R1_SHA512,
                                       TT_SCHEME_ED25519,
                                       TT_SCHEME_ED448,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA256,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA384,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA512,
                                       TT_SCHEME_RSA_PSS_PSS_SHA256,
                                       TT_SCHEME_RSA_PSS_PSS_SHA384,
                                       TT_SCHEME_RSA_PSS_PSS_SHA512,
                                       TT_SCHEME_MLDSA44,
                                       TT_SCHEME_MLDSA65,
                                       TT_SCHEME_MLDSA87};
    for (size_t i = 0; i < TT_COUNT(suites); i++)
        list_add(&cfg->suites, suites[i], aead_available(cfg->lib, suite_of(suites[i])->aead));
    for (size_t i = 0; i < TT_COUNT(groups); i++)
        list_add(&cfg->groups, groups[i], kx_available(cfg->lib, groups[i]));
    for (size_t i = 0; i < TT_COUNT(schemes); i++)
        list_add(&cfg->verify_schemes, schemes[i], scheme_available(cfg->lib, schemes[i]));
    list_add(&cfg->peer_types, TT_CERTIFICATE_X509, true);
    cfg->random = (struct kx_random){crypto_random, NULL};
    cfg->middlebox_compat = true;
    cfg->max_message = 65536;
    cfg->grease = true;
    cfg->send_authorities = cfg->role == TT_SERVER;
}

tt_rc tt_config_new(struct tt_config **ret, enum tt_role role, struct tt_error *err)
{
    struct tt_config *cfg = mem_alloc(sizeof *cfg);
    if (cfg == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&cfg->refs, 1);
    atomic_init(&cfg->next_sign_id, 1);
    cfg->role = role;
    tt_rc rc = crypto_lib_new(&cfg->lib, err);
    if (rc != TT_OK) {
        mem_free(cfg);
        return rc;
    }
    config_defaults(cfg);
    *ret = cfg;
    return TT_OK;
}

struct tt_config *tt_config_ref(struct tt_config *cfg)
{
    atomic_fetch_add_explicit(&cfg->refs, 1, memory_order_relaxed);
    return cfg;
}

void tt_config_free(struct tt_config *cfg)
{
    if (cfg == NULL || atomic_fetch_sub_explicit(&cfg->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < cfg->identities_len; i++) {
        mem_free(cfg->identities[i].chain);
        tt_delegation_free(cfg->identities[i].delegation);
        cert_names_free(cfg->identities[i].leaf);
        cert_names_free(cfg->identities[i].top);
    }
    mem_free(cfg->alpn);
    for (size_t i = 0; i < cfg->peer_names_len; i++)
        mem_free(cfg->peer_names[i].text);
    buf_free(&cfg->authorities);
    tt_trust_free(cfg->trust);
    tt_tickets_free(cfg->tickets);
    tt_ech_keys_free(cfg->ech_keys);
    for (size_t i = 0; i < cfg->psks_len; i++)
        tt_session_free(cfg->psks[i]);
    crypto_lib_free(cfg->lib);
    mem_free(cfg);
}

tt_rc tt_config_set_random(struct tt_config *cfg, tt_random_fn fn, void *arg)
{
    if (cfg->frozen || fn == NULL)
        return TT_ERR_USAGE;
    cfg->random = (struct kx_random){fn, arg};
    return TT_OK;
}

/* "The named_group_list MUST NOT contain any duplicate entries." (section 4.3.7) */
tt_rc config_list_set(struct tt_config *cfg, struct u16_list *list, const uint16_t *items, size_t n)
{
    if (cfg->frozen || n == 0 || n > CONFIG_MAX_LIST)
        return TT_ERR_USAGE;
    struct u16_list fresh = {.n = 0};
    for (size_t i = 0; i < n; i++) {
        if (u16_list_has(&fresh, items[i]))
            return TT_ERR_USAGE;
        list_add(&fresh, items[i], true);
    }
    *list = fresh;
    return TT_OK;
}

tt_rc tt_config_set_suites(struct tt_config *cfg, const uint16_t *suites, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct suite *s = suite_of(suites[i]);
        if (s == NULL || !aead_available(cfg->lib, s->aead))
            return TT_ERR_UNSUPPORTED;
    }
    TT_TRY(config_list_set(cfg, &cfg->suites, suites, n));
    cfg->suites_are_chosen = true;
    return TT_OK;
}

tt_rc tt_config_set_groups(struct tt_config *cfg, const uint16_t *groups, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!kx_available(cfg->lib, groups[i]))
            return TT_ERR_UNSUPPORTED;
    return config_list_set(cfg, &cfg->groups, groups, n);
}

/* "This list MAY be empty if the client is requesting a HelloRetryRequest." (section 4.3.8) */
tt_rc tt_config_set_key_shares(struct tt_config *cfg, const uint16_t *groups, size_t n)
{
    if (n > 0)
        TT_TRY(config_list_set(cfg, &cfg->key_shares, groups, n));
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->no_key_shares = n == 0;
    return TT_OK;
}

tt_rc tt_config_set_verify_schemes(struct tt_config *cfg, const uint16_t *schemes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!scheme_available(cfg->lib, schemes[i]))
            return TT_ERR_UNSUPPORTED;
    return config_list_set(cfg, &cfg->verify_schemes, schemes, n);
}

tt_rc tt_config_accept_delegated(struct tt_config *cfg, const uint16_t *schemes, size_t n)
{
    if (n == 0 && !cfg->frozen) {
        cfg->delegated_schemes.n = 0;
        for (size_t i = 0; i < cfg->verify_schemes.n; i++)
            list_add(&cfg->delegated_schemes, cfg->verify_schemes.items[i],
                     credential_scheme_allowed(cfg->verify_schemes.items[i]));
        return cfg->delegated_schemes.n > 0 ? TT_OK : TT_ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < n; i++)
        if (!credential_scheme_allowed(schemes[i]) || !scheme_available(cfg->lib, schemes[i]))
            return TT_ERR_UNSUPPORTED;
    return config_list_set(cfg, &cfg->delegated_schemes, schemes, n);
}

tt_rc tt_config_set_alpn(struct tt_config *cfg, const struct tt_bytes *names, size_t n)
{
    struct buf list = {.max = UINT16_MAX - 2};
    struct writer w = writer_to(&list);
    bool valid = !cfg->frozen && n > 0;
    for (size_t i = 0; i < n; i++) {
        valid = valid && names[i].len >= 1 && names[i].len <= 255;
        if (valid)
            wr_vec8(&w, names[i]);
    }
    if (!valid || wr_status(&w) != TT_OK) {
        buf_free(&list);
        return valid ? TT_ERR_MEMORY : TT_ERR_USAGE;
    }
    mem_free(cfg->alpn);
    cfg->alpn = list.data;
    cfg->alpn_len = list.len;
    return TT_OK;
}

/* Copy into a block at *at and move on; the view is of the copy. */
static struct tt_bytes bytes_put(uint8_t **at, struct tt_bytes from)
{
    struct tt_bytes copy = {*at, from.len};
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return copy;
}

/* RFC 6962 section 3.3: opaque SerializedSCT<1..2^16-1>; SerializedSCT sct_list<1..2^16-1>. */
static bool sct_list_is_well_formed(struct tt_bytes list)
{
    struct reader r = reader_of(list), items = reader_of(list.len > 0 ? rd_vec16(&r, 1) : list);
    while (rd_left(&items) > 0)
        (void)rd_vec16(&items, 1);
    return rd_done(&r) == TT_OK && rd_done(&items) == TT_OK;
}

tt_rc tt_config_add_identity(struct tt_config *cfg, const struct tt_identity *id, struct tt_error *err)
{
    if (cfg->frozen || cfg->identities_len == CONFIG_MAX_IDENTITIES)
        return error_set(err, TT_ERR_USAGE, "the configuration takes no more identities");
    if (!sct_list_is_well_formed(id->sct_list))
        return error_set(err, TT_ERR_USAGE, "the list of signed certificate timestamps is malformed");
    if (id->delegation != NULL &&
        (id->chain_len == 0 || !delegation_fits(id->delegation, cfg->role, id->chain[0])))
        return error_set(err, TT_ERR_USAGE,
                         "the delegation is for another certificate, or for the other end of a connection");
    if (id->chain_len > CONFIG_MAX_LIST || (id->chain_len == 0 && id->raw_public_key.len == 0))
        return error_set(err, TT_ERR_USAGE, "an identity needs 1 to %d certificates, or a raw public key",
                         CONFIG_MAX_LIST);
    struct identity copy = {
        .chain_len = id->chain_len, .only_for_its_issuer = id->only_for_its_issuer, .key = id->key};
    TT_TRY(config_list_set(cfg, &copy.schemes, id->schemes, id->schemes_len));
    size_t total = id->chain_len * sizeof *copy.chain + id->ocsp_response.len + id->sct_list.len +
                   id->raw_public_key.len;
    for (size_t i = 0; i < id->chain_len; i++)
        total += id->chain[i].len;
    copy.chain = mem_alloc(total);
    if (copy.chain == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    uint8_t *at = (uint8_t *)(copy.chain + id->chain_len);
    for (size_t i = 0; i < id->chain_len; i++)
        copy.chain[i] = bytes_put(&at, id->chain[i]);
    copy.ocsp_response = bytes_put(&at, id->ocsp_response);
    copy.sct_list = bytes_put(&at, id->sct_list);
    copy.raw_public_key = bytes_put(&at, id->raw_public_key);
    if (id->delegation != NULL)
        copy.delegation = delegation_ref(id->delegation);
    cfg->identities[cfg->identities_len++] = copy;
    return TT_OK;
}

tt_rc tt_config_set_trust(struct tt_config *cfg, struct tt_trust *trust)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    trust_ref(trust);
    tt_trust_free(cfg->trust);
    cfg->trust = trust;
    return TT_OK;
}

tt_rc tt_config_insecure_accept_any_certificate(struct tt_config *cfg)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->accept_any_certificate = true;
    return TT_OK;
}

tt_rc tt_config_set_client_auth(struct tt_config *cfg, enum tt_client_auth mode)
{
    if (cfg->frozen || cfg->role != TT_SERVER)
        return TT_ERR_USAGE;
    cfg->client_auth = mode;
    return TT_OK;
}

tt_rc tt_config_set_never_anonymous(struct tt_config *cfg, bool on)
{
    if (cfg->frozen || cfg->role != TT_CLIENT)
        return TT_ERR_USAGE;
    cfg->never_anonymous = on;
    return TT_OK;
}

tt_rc tt_config_set_force_retry(struct tt_config *cfg, bool on)
{
    if (cfg->frozen || cfg->role != TT_SERVER)
        return TT_ERR_USAGE;
    cfg->force_retry = on;
    return TT_OK;
}

/* "Servers MUST NOT use any value greater than 604800 seconds (7 days)." (section 4.7.1) */
tt_rc tt_config_set_tickets(struct tt_config *cfg, struct tt_tickets *tickets, unsigned count,
                            uint32_t lifetime, struct tt_bytes scope)
{
    if (cfg->frozen || cfg->role != TT_SERVER || count > 8 || lifetime < 1 || lifetime > PSK_MAX_LIFETIME ||
        scope.len > sizeof cfg->ticket_scope)
        return TT_ERR_USAGE;
    tickets_ref(tickets);
    tt_tickets_free(cfg->tickets);
    cfg->tickets = tickets;
    cfg->tickets_count = count;
    cfg->ticket_lifetime = lifetime;
    cfg->ticket_scope_len = scope.len;
    if (scope.len > 0)
        memcpy(cfg->ticket_scope, scope.data, scope.len);
    return TT_OK;
}

tt_rc tt_config_set_ech_keys(struct tt_config *cfg, struct tt_ech_keys *keys)
{
    if (cfg->frozen || cfg->role != TT_SERVER)
        return TT_ERR_USAGE;
    ech_keys_ref(keys);
    tt_ech_keys_free(cfg->ech_keys);
    cfg->ech_keys = keys;
    return TT_OK;
}

tt_rc tt_config_add_psk(struct tt_config *cfg, struct tt_session *psk)
{
    if (cfg->frozen || cfg->role != TT_SERVER || cfg->psks_len == CONFIG_MAX_LIST || !psk->psk.external)
        return TT_ERR_USAGE;
    cfg->psks[cfg->psks_len++] = session_ref(psk);
    cfg->has_held_psk |= psk->psk.held;
    return TT_OK;
}

tt_rc tt_config_set_psk_policy(struct tt_config *cfg, enum tt_psk_policy policy)
{
    if (cfg->frozen || policy > TT_PSK_WITH_CERTIFICATE)
        return TT_ERR_USAGE;
    cfg->psk_policy = policy;
    return TT_OK;
}

tt_rc tt_config_set_max_early_data(struct tt_config *cfg, uint32_t bytes)
{
    if (cfg->frozen || cfg->role != TT_SERVER)
        return TT_ERR_USAGE;
    cfg->max_early_data = bytes;
    return TT_OK;
}

/* Keep only the schemes this end would ever use: what the certificate's key can do (never a failure in
 * mid-handshake that was knowable before). */
static tt_rc check_key(const struct identity *id, const struct pubkey *key, const char *where,
                       struct tt_error *err)
{
    for (size_t i = 0; i < id->schemes.n; i++)
        if (!pubkey_fits(key, id->schemes.items[i]))
            return error_set(err, TT_ERR_USAGE, "the key in our %s cannot sign with %s", where,
                             tt_scheme_name(id->schemes.items[i]));
    return TT_OK;
}

/* RFC 7250. Beside a certificate it has to be of the same key: one signer signs for both. */
static tt_rc check_raw_public_key(const struct tt_config *cfg, const struct identity *id,
                                  struct tt_error *err)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    tt_rc rc = pubkey_from_spki(&key, cfg->lib, id->raw_public_key);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (rc != TT_OK)
        return error_set(err, TT_ERR_USAGE, "the raw public key of our identity cannot be read");
    if (id->chain_len > 0 && !cert_has_spki(id->chain[0], id->raw_public_key))
        return error_set(err, TT_ERR_USAGE,
                         "the raw public key of our identity is not the one in its certificate");
    return check_key(id, key, "identity", err);
}

static tt_rc check_chain(struct tt_config *cfg, struct identity *id, struct tt_error *err)
{
    TT_AUTO(pubkey_free_auto) struct pubkey *key = NULL;
    tt_rc rc = cert_leaf_key(&key, cfg->lib, id->chain[0]);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (rc != TT_OK)
        return error_set(err, TT_ERR_USAGE, "the certificate of our identity cannot be read");
    TT_TRY(check_key(id, key, "certificate", err));
    rc = cert_names_read(&id->leaf, id->chain[0]);
    if (rc == TT_OK)
        rc = cert_names_read(&id->top, id->chain[id->chain_len - 1]);
    if (rc == TT_ERR_DECODE)
        return error_set(err, TT_ERR_USAGE, "a certificate of our identity cannot be read");
    return rc == TT_OK ? TT_OK : error_set(err, rc, "out of memory");
}

static tt_rc check_identity(struct tt_config *cfg, struct identity *id, struct tt_error *err)
{
    const bool chain = id->chain_len > 0, raw = id->raw_public_key.len > 0;
    if (chain)
        TT_TRY(check_chain(cfg, id, err));
    if (raw)
        TT_TRY(check_raw_public_key(cfg, id, err));
    list_add(&cfg->own_types, TT_CERTIFICATE_X509,
             chain && !u16_list_has(&cfg->own_types, TT_CERTIFICATE_X509));
    list_add(&cfg->own_types, TT_CERTIFICATE_RAW_PUBLIC_KEY,
             raw && !u16_list_has(&cfg->own_types, TT_CERTIFICATE_RAW_PUBLIC_KEY));
    return TT_OK;
}

/* A bare key has no names, dates or issuer: only a pin can vouch for it. */
static tt_rc check_peer_types(const struct tt_config *cfg, struct tt_error *err)
{
    if (!u16_list_has(&cfg->peer_types, TT_CERTIFICATE_RAW_PUBLIC_KEY))
        return TT_OK;
    if (cfg->trust != NULL && !cfg->accept_any_certificate && !trust_takes_raw_keys(cfg->trust))
        return error_set(err, TT_ERR_USAGE,
                         "raw public keys of the peer are judged by pins alone, and there are trust anchors");
    if (cfg->ocsp == TT_OCSP_REQUIRE)
        return error_set(err, TT_ERR_USAGE, "an OCSP response is required, and a raw public key has none");
    return TT_OK;
}

static tt_rc check_key_shares(struct tt_config *cfg, struct tt_error *err)
{
    /* By default a share for the most wanted post-quantum group and one for the most wanted classical group,
     * so that neither kind of server needs a HelloRetryRequest. */
    bool choose = cfg->key_shares.n == 0 && !cfg->no_key_shares, have[2] = {false, false};
    for (size_t i = 0; choose && i < cfg->groups.n; i++) {
        uint16_t group = cfg->groups.items[i];
        bool *kind = &have[kx_is_post_quantum(group)];
        list_add(&cfg->key_shares, group, !*kind);
        *kind = true;
    }
    for (size_t i = 0; i < cfg->key_shares.n; i++)
        if (!u16_list_has(&cfg->groups, cfg->key_shares.items[i]))
            return error_set(err, TT_ERR_USAGE,
                             "a key share is configured for %s, which is not among the groups",
                             tt_group_name(cfg->key_shares.items[i]));
    return TT_OK;
}

/* Whom the client may choose a certificate from; left out when it would be long (many anchors). */
static tt_rc add_authority(void *arg, struct tt_bytes name)
{
    struct writer w = writer_to(arg);
    wr_vec16(&w, name);
    return wr_status(&w);
}

static tt_rc collect_authorities(struct tt_config *cfg)
{
    cfg->authorities.max = CONFIG_MAX_AUTHORITIES;
    tt_rc rc = trust_each_subject(cfg->trust, add_authority, &cfg->authorities);
    if (rc != TT_OK)
        buf_free(&cfg->authorities);
    return TT_OK;
}

tt_rc tt_config_freeze(struct tt_config *cfg, struct tt_error *err)
{
    if (cfg->frozen)
        return TT_OK;
    bool verifies = (cfg->role == TT_CLIENT && cfg->psk_policy != TT_PSK_REQUIRE) ||
                    cfg->client_auth != TT_CLIENT_AUTH_NONE || cfg->post_handshake_auth;
    if (verifies && cfg->trust == NULL && !cfg->accept_any_certificate)
        return error_set(err, TT_ERR_USAGE, "the configuration does not say whom to trust");
    if (verifies && cfg->trust != NULL && !cfg->accept_any_certificate && tt_trust_count(cfg->trust) == 0)
        return error_set(err, TT_ERR_USAGE, "the set of trust anchors is empty");
    if (cfg->role == TT_SERVER && cfg->trust != NULL && !verifies) {
        error_hint(err, "tt_config_set_client_auth says whether clients are asked for a certificate");
        return error_set(err, TT_ERR_USAGE, "a server has a trust set, and asks no client for a certificate");
    }
    if (cfg->role == TT_SERVER && cfg->identities_len == 0 && cfg->psks_len == 0)
        return error_set(err, TT_ERR_USAGE, "a server needs an identity: a certificate and a key, or a PSK");
    if (cfg->role == TT_SERVER && cfg->psk_policy == TT_PSK_WITH_CERTIFICATE &&
        (cfg->identities_len == 0 || cfg->psks_len == 0))
        return error_set(err, TT_ERR_USAGE,
                         "a server that demands certificate and PSK needs an identity and a PSK");
    if (cfg->suites.n == 0 || cfg->groups.n == 0 || cfg->verify_schemes.n == 0)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "libcrypto offers no usable suite, group or signature scheme");
    for (size_t i = 0; i < cfg->identities_len; i++)
        TT_TRY(check_identity(cfg, &cfg->identities[i], err));
    TT_TRY(check_key_shares(cfg, err));
    TT_TRY(check_peer_types(cfg, err));
    if (cfg->trust != NULL) {
        trust_freeze(cfg->trust);
        if (cfg->send_authorities && verifies && !cfg->accept_any_certificate && !cfg->authorities_given)
            TT_TRY(collect_authorities(cfg));
    }
    tt_rc rc = config_fingerprint(cfg, cfg->fingerprint);
    if (rc != TT_OK)
        return error_set(err, rc, "out of memory");
    cfg->frozen = true;
    return TT_OK;
}
