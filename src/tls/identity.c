/* tls/identity.c: which of our identities answers a peer. Layer: tls. RFC 9846
 * sections 4.3.3, 4.3.4, 4.5.1.2. */
#include <string.h>

#include "tls/hs.h"

/* The first scheme of the identity that the peer takes; 0 when there is none. */
static uint16_t scheme_for(const struct tt_conn *c, const struct identity *id)
{
    for (size_t i = 0; i < id->schemes.n; i++)
        if (list_has(c->hs->peer.schemes, id->schemes.items[i]))
            return id->schemes.items[i];
    return 0;
}

/* "The certificate type MUST be X.509v3" ... "unless explicitly negotiated otherwise" (section 4.5.1.2).
 * Can this identity be shown as the peer wants it; *ret_type says how. A server goes by the order of the
 * client's list; a client by what the server chose (c->own_type). */
static bool type_for(const struct tt_conn *c, const struct identity *id, uint16_t *ret_type)
{
    const uint8_t settled = (uint8_t)c->own_type;
    struct tt_bytes wanted = c->hs->peer.server_types;
    if (wanted.len == 0)
        wanted = (struct tt_bytes){&settled, 1};
    for (size_t i = 0; i < wanted.len; i++) {
        *ret_type = wanted.data[i];
        if ((*ret_type == TT_CERTIFICATE_X509 && id->chain_len > 0) ||
            (*ret_type == TT_CERTIFICATE_RAW_PUBLIC_KEY && id->raw_public_key.len > 0))
            return true;
    }
    return false;
}

bool identity_type_possible(const struct tt_conn *c)
{
    uint16_t type;
    for (size_t i = 0; i < c->cfg->identities_len; i++)
        if (type_for(c, &c->cfg->identities[i], &type))
            return true;
    return false;
}

/* Is the issuer of the end of our chain among the names the peer sent. */
static bool peer_knows_issuer(const struct tt_conn *c, const struct identity *id)
{
    if (id->top == NULL)
        return false;
    struct tt_bytes issuer = cert_names_issuer(id->top), leaf_issuer = cert_names_issuer(id->leaf);
    for (struct reader r = reader_of(c->hs->peer.authorities); rd_left(&r) > 0;) {
        struct tt_bytes name = rd_vec16(&r, 1);
        if ((name.len == issuer.len && memcmp(name.data, issuer.data, name.len) == 0) ||
            (name.len == leaf_issuer.len && memcmp(name.data, leaf_issuer.data, name.len) == 0))
            return true;
    }
    return false;
}

/* The name counts most (a raw public key has none, so it is for all of them), then the peer's CAs; a tie goes
 * to the order in the configuration. An identity that fits in neither way is still better than none: the peer
 * decides. */
static unsigned rank(const struct tt_conn *c, const struct identity *id)
{
    bool name = c->cfg->role == TT_SERVER &&
                (id->leaf == NULL || cert_names_cover(id->leaf, kept_get(&c->kept, KEPT_SERVER_NAME)));
    bool ca = c->hs->peer.authorities.len > 0 && peer_knows_issuer(c, id);
    return 1U + (name ? 2U : 0U) + (ca ? 1U : 0U);
}

struct choice {
    const struct identity *identity;
    uint16_t scheme, type;
};

/* with_scheme: only those that can sign as the peer wants it. */
static struct choice choose(const struct tt_conn *c, bool with_scheme)
{
    bool one = c->cfg->identities_len == 1;
    unsigned best = 0;
    struct choice ret = {NULL, 0, c->own_type};
    for (size_t i = 0; i < c->cfg->identities_len; i++) {
        const struct identity *id = &c->cfg->identities[i];
        uint16_t scheme = scheme_for(c, id), type = 0;
        bool fits = (scheme != 0 || !with_scheme) && type_for(c, id, &type) &&
                    (!id->only_for_its_issuer || peer_knows_issuer(c, id));
        unsigned r = !fits ? 0 : one ? 1 : rank(c, id);
        if (r > best) {
            best = r;
            ret = (struct choice){id, scheme, type};
        }
    }
    return ret;
}

bool identity_choose(struct tt_conn *c)
{
    struct choice chosen = choose(c, true);
    if (chosen.identity == NULL)
        return false;
    c->hs->identity = chosen.identity;
    c->hs->scheme = chosen.scheme;
    c->own_type = chosen.type;
    credential_choose(c);
    return true;
}

bool identity_choose_type(struct tt_conn *c)
{
    struct choice chosen = choose(c, false);
    c->own_type = chosen.type;
    return chosen.identity != NULL;
}
