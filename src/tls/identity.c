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

/* Is the issuer of the end of our chain among the names the peer sent. */
static bool peer_knows_issuer(const struct tt_conn *c, const struct identity *id)
{
    struct tt_bytes issuer = cert_names_issuer(id->top), leaf_issuer = cert_names_issuer(id->leaf);
    for (struct reader r = reader_of(c->hs->peer.authorities); rd_left(&r) > 0;) {
        struct tt_bytes name = rd_vec16(&r, 1);
        if ((name.len == issuer.len && memcmp(name.data, issuer.data, name.len) == 0) ||
            (name.len == leaf_issuer.len && memcmp(name.data, leaf_issuer.data, name.len) == 0))
            return true;
    }
    return false;
}

/* The name counts most, then the peer's CAs; a tie goes to the order in the configuration. An identity that
 * fits in neither way is still better than none: the peer decides. */
static unsigned rank(const struct tt_conn *c, const struct identity *id)
{
    bool name = c->cfg->role == TT_SERVER && cert_names_cover(id->leaf, buf_bytes(&c->server_name));
    bool ca = c->hs->peer.authorities.len > 0 && peer_knows_issuer(c, id);
    return 1U + (name ? 2U : 0U) + (ca ? 1U : 0U);
}

bool identity_choose(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    bool one = c->cfg->identities_len == 1;
    unsigned best = 0;
    for (size_t i = 0; i < c->cfg->identities_len; i++) {
        const struct identity *id = &c->cfg->identities[i];
        uint16_t scheme = scheme_for(c, id);
        unsigned r = scheme == 0 ? 0 : one ? 1 : rank(c, id);
        if (r > best) {
            best = r;
            hs->identity = id;
            hs->scheme = scheme;
        }
    }
    if (best > 0)
        credential_choose(c);
    return best > 0;
}
