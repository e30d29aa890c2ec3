/* tls/auth.c: see auth.h. Layer: tls. RFC 9846 sections 2.2, 4.3.11, 4.7.1. */
#include "tls/auth.h"

#include <string.h>

const uint8_t auth_no_psk[32];

void auth_put(struct writer *w, const struct auth *a)
{
    wr_bytes(w, (struct tt_bytes){a->rules, sizeof a->rules});
    wr_bytes(w, (struct tt_bytes){a->psk, sizeof a->psk});
    wr_u8(w, a->peer_type);
    wr_u16(w, a->scheme);
    wr_u8(w, a->delegated);
    wr_u64(w, (uint64_t)a->authenticated_ms);
    wr_u64(w, (uint64_t)a->until);
    wr_vec24(w, a->chain);
    wr_vec24(w, a->ocsp);
}

static void read_digest(struct reader *r, uint8_t ret[32])
{
    struct tt_bytes bytes = rd_bytes(r, 32);
    if (bytes.len == 32)
        memcpy(ret, bytes.data, 32);
}

/* As auth_put wrote it: whole certificates, as many as a peer may show. */
static bool is_list(struct tt_bytes chain)
{
    size_t n = 0;
    struct reader r = reader_of(chain);
    for (; rd_left(&r) > 0 && rd_status(&r) == TT_OK; n++)
        (void)rd_vec24(&r, 1);
    return rd_done(&r) == TT_OK && n <= MAX_PEER_CERTIFICATES;
}

struct auth auth_read(struct reader *r)
{
    struct auth a = {0};
    read_digest(r, a.rules);
    read_digest(r, a.psk);
    a.peer_type = rd_u8(r);
    a.scheme = rd_u16(r);
    const uint8_t delegated = rd_u8(r);
    a.delegated = delegated != 0;
    a.authenticated_ms = (int64_t)rd_u64(r);
    a.until = (int64_t)rd_u64(r);
    a.chain = rd_vec24(r, 0);
    a.ocsp = rd_vec24(r, 0);
    if (delegated > 1 || !is_list(a.chain))
        rd_fail(r);
    return a;
}

static tt_rc chain_judge(struct trust_verdict *ret, const struct auth_asked *q, const struct auth *a,
                         struct tt_error *err)
{
    const struct tt_config *cfg = q->cfg;
    struct tt_bytes chain[MAX_PEER_CERTIFICATES];
    size_t n = 0;
    char host[256] = "";
    for (struct reader r = reader_of(a->chain); rd_left(&r) > 0 && n < MAX_PEER_CERTIFICATES;)
        chain[n++] = rd_vec24(&r, 1);
    bool by_names = cfg->peer_names_len > 0 && !q->by_public_name;
    bool by_name =
        cfg->role == TT_CLIENT && !by_names && q->server_name.len > 0 && q->server_name.len < sizeof host;
    if (by_name)
        memcpy(host, q->server_name.data, q->server_name.len);
    const struct trust_request req = {.chain = chain,
                                      .chain_len = n,
                                      .names = cfg->peer_names,
                                      .names_len = by_names ? cfg->peer_names_len : 0,
                                      .host = by_name ? host : NULL,
                                      .peer_is_server = cfg->role == TT_CLIENT,
                                      .now = q->now_ms / 1000,
                                      .ocsp = a->ocsp,
                                      .asked_ocsp = cfg->ocsp != TT_OCSP_NONE,
                                      .require_ocsp = cfg->ocsp == TT_OCSP_REQUIRE};
    return trust_verify(ret, cfg->lib, cfg->accept_any_certificate ? NULL : cfg->trust, &req, err);
}

tt_rc auth_judge(struct trust_verdict *ret, const struct auth_asked *q, const struct auth *a,
                 struct tt_error *err)
{
    const struct tt_config *cfg = q->cfg;
    if (a->peer_type != TT_CERTIFICATE_RAW_PUBLIC_KEY)
        return chain_judge(ret, q, a, err);
    struct reader r = reader_of(a->chain);
    return trust_verify_raw_key(ret, cfg->lib, cfg->accept_any_certificate ? NULL : cfg->trust,
                                rd_vec24(&r, 1), err);
}

/* The PSK itself, not only its name, has to be at hand. A client that believes nothing but PSKs may have
 * been given the ticket alone: then that is its PSK. */
static bool psk_holds(const struct auth *a, const struct auth_asked *q, struct auth_found *ret)
{
    bool has_any = false;
    for (size_t i = 0; i < q->psks_len; i++) {
        has_any |= q->psks[i]->psk.external;
        if (q->psks[i]->psk.external && memcmp(q->psks[i]->psk_digest, a->psk, sizeof a->psk) == 0)
            ret->psk = q->psks[i];
    }
    return ret->psk != NULL ||
           (q->cfg->role == TT_CLIENT && q->cfg->psk_policy == TT_PSK_REQUIRE && !has_any);
}

static bool chain_holds(const struct auth *a, const struct auth_asked *q, struct auth_found *ret)
{
    const struct tt_config *cfg = q->cfg;
    struct trust_verdict verdict = {0};
    if (!u16_list_has(a->delegated ? &cfg->delegated_schemes : &cfg->verify_schemes, a->scheme))
        return false;
    if ((cfg->trust == NULL && !cfg->accept_any_certificate) || auth_judge(&verdict, q, a, NULL) != TT_OK)
        return false;
    pubkey_free(verdict.leaf_key);
    ret->ocsp_good = verdict.ocsp_good;
    return true;
}

bool auth_holds(const struct auth *a, const struct auth_asked *q, struct auth_found *ret)
{
    const struct tt_config *cfg = q->cfg;
    bool by_psk = memcmp(a->psk, auth_no_psk, sizeof a->psk) != 0, by_chain = a->chain.len > 0;
    *ret = (struct auth_found){0};
    if (a->authenticated_ms > q->now_ms ||
        a->authenticated_ms <= q->now_ms - (int64_t)PSK_MAX_LIFETIME * 1000 || q->now_ms / 1000 > a->until ||
        memcmp(a->rules, cfg->fingerprint, sizeof a->rules) != 0)
        return false;
    if (!by_psk && !by_chain) /* a client that showed nothing, where that is allowed */
        return cfg->role == TT_SERVER && cfg->client_auth != TT_CLIENT_AUTH_REQUIRE;
    return (!by_psk || psk_holds(a, q, ret)) && (!by_chain || chain_holds(a, q, ret));
}
