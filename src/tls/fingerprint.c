/* tls/fingerprint.c: which sessions belong to a configuration. Layer: tls. RFC 9846 section 4.7.1 and
 * appendix C.4: what was authenticated under one set of rules must not count under another. */
#include <string.h>

#include "tls/config.h"
#include "wire/writer.h"

static void put_list(struct writer *w, const struct u16_list *list)
{
    wr_u16(w, (uint16_t)list->n);
    for (size_t i = 0; i < list->n; i++)
        wr_u16(w, list->items[i]);
}

/* Whom we believe, and how much of it we demand. */
static tt_rc put_trust(struct writer *w, const struct tt_config *cfg)
{
    uint8_t trust[32] = {0};
    if (cfg->trust != NULL)
        TT_TRY(trust_digest(cfg->trust, cfg->lib, trust));
    wr_u8(w, cfg->accept_any_certificate);
    wr_u8(w, (uint8_t)cfg->psk_policy);
    put_list(w, &cfg->delegated_schemes);
    wr_u8(w, (uint8_t)cfg->client_auth);
    wr_u8(w, (uint8_t)cfg->ocsp);
    wr_bytes(w, (struct tt_bytes){trust, sizeof trust});
    put_list(w, &cfg->peer_types);
    return TT_OK;
}

/* The name and the protocol stand in each session; a server may renew its certificate. */
tt_rc config_fingerprint(const struct tt_config *cfg, uint8_t ret[32])
{
    TT_AUTO(buf_free) struct buf all = {0};
    struct writer w = writer_to(&all);
    wr_u8(&w, (uint8_t)cfg->role);
    TT_TRY(put_trust(&w, cfg));
    wr_vec8(&w, (struct tt_bytes){cfg->ticket_scope, cfg->ticket_scope_len});
    if (cfg->role == TT_CLIENT) {
        put_list(&w, &cfg->suites);
        put_list(&w, &cfg->groups);
        put_list(&w, &cfg->verify_schemes);
        wr_vec16(&w, (struct tt_bytes){cfg->alpn, cfg->alpn_len});
        for (size_t i = 0; i < cfg->identities_len; i++)
            wr_vec24(&w, cfg->identities[i].chain_len > 0 ? cfg->identities[i].chain[0]
                                                          : cfg->identities[i].raw_public_key);
        if (cfg->peer_names_len > 0)
            wr_u8(&w, 0xff); /* no identity is so long */
        for (size_t i = 0; i < cfg->peer_names_len; i++) {
            const char *text = cfg->peer_names[i].text;
            wr_u8(&w, cfg->peer_names[i].is_uri);
            wr_vec16(&w, (struct tt_bytes){(const uint8_t *)text, strlen(text)});
        }
    }
    TT_TRY(wr_status(&w));
    return hash_digest(cfg->lib, HASH_SHA256, buf_bytes(&all), ret);
}

tt_rc tt_config_fingerprint(const struct tt_config *cfg, uint8_t ret[32])
{
    if (!cfg->frozen)
        return TT_ERR_USAGE;
    for (size_t i = 0; i < sizeof cfg->fingerprint; i++)
        ret[i] = cfg->fingerprint[i];
    return TT_OK;
}
