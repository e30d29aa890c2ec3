/* tests/bogo/setup.c: a configuration of the engine from the flags of one connection. */
#include <string.h>

#include "shim.h"
#include "wire/iana.h"

#define MAX_EARLY_DATA 14336 /* what the runner expects of a server */

/* A clock that stands still but for -resumption-delay: the runner wants ages to the millisecond. */
int64_t shim_now_ms(const struct shim_state *state)
{
    return state->started + state->clock_offset;
}

/* The runner's -advertise-alpn is a list as on the wire, its -select-alpn one name. */
static tt_rc set_alpn(struct tt_config *cfg, const struct shim_options *o)
{
    struct tt_bytes names[16];
    size_t n = 0;
    const char *list = o->server ? NULL : o->advertise_alpn;
    while (list != NULL && *list != '\0' && n < TT_COUNT(names)) {
        size_t len = (uint8_t)*list;
        if (strlen(list + 1) < len)
            return TT_ERR_USAGE;
        names[n++] = (struct tt_bytes){(const uint8_t *)list + 1, len};
        list += 1 + len;
    }
    if (o->server && o->select_alpn != NULL && o->select_alpn[0] != '\0' && !o->decline_alpn)
        names[n++] = (struct tt_bytes){(const uint8_t *)o->select_alpn, strlen(o->select_alpn)};
    if (o->server && o->reject_alpn)
        names[n++] = (struct tt_bytes){(const uint8_t *)"nobody offers this", 18};
    return n == 0 ? TT_OK : tt_config_set_alpn(cfg, names, n);
}

/* A client that knows PSKs and is not told to verify a certificate wants none: no key has this pin. */
static tt_rc trust_nobody(struct tt_config *cfg)
{
    static const uint8_t pin[32];
    struct tt_trust *trust = NULL;
    TT_TRY(tt_trust_new(&trust, NULL));
    tt_rc rc = tt_trust_add_pin(trust, pin, NULL);
    if (rc == TT_OK)
        rc = tt_config_set_trust(cfg, trust);
    tt_trust_free(trust);
    return rc;
}

static bool has_psk(const struct shim_options *o)
{
    for (size_t i = 1; i <= o->credentials_len; i++)
        if (o->credentials[i].kind == SHIM_PSK)
            return true;
    return false;
}

/* Any certificate will do: as in BoringSSL's own shim it is not a path that is judged. Where the flags refuse
 * the peer, the application does (link_judge). */
static tt_rc set_verifier(struct tt_config *cfg, const struct shim_options *o)
{
    bool asks = o->verify_peer || o->require_client_certificate;
    if (o->server && asks)
        TT_TRY(tt_config_set_client_auth(cfg, o->require_client_certificate ? TT_CLIENT_AUTH_REQUIRE
                                                                            : TT_CLIENT_AUTH_REQUEST));
    if (!o->server && has_psk(o) && !o->verify_peer)
        return trust_nobody(cfg);
    return tt_config_insecure_accept_any_certificate(cfg);
}

static tt_rc set_tickets(struct tt_config *cfg, struct shim_state *state, const struct shim_options *o)
{
    static const char scope[] = "bogo";
    struct tt_ticket_key key = {.name = "shim", .key = "a key that everybody may know"};
    if (!o->server || o->no_ticket)
        return TT_OK;
    if (o->ticket_key.len == sizeof key)
        memcpy(&key, o->ticket_key.data, sizeof key);
    if (state->tickets == NULL) /* born long ago: 0-RTT is refused to tickets from before a restart */
        TT_TRY(tt_tickets_new(&state->tickets, shim_now_ms(state) - 3600000, NULL));
    TT_TRY(tt_tickets_set_keys(state->tickets, &key, 1));
    state->early_tickets = state->early_tickets || (o->enable_early_data && state->first);
    if (o->enable_early_data)
        TT_TRY(tt_config_set_max_early_data(cfg, MAX_EARLY_DATA));
    return tt_config_set_tickets(cfg, state->tickets, o->skip_ticket ? 0 : 1, 172800,
                                 (struct tt_bytes){(const uint8_t *)scope, sizeof scope - 1});
}

/* The runner hands over single ECHConfigs. */
static tt_rc set_ech(struct tt_config *cfg, const struct shim_options *o)
{
    struct tt_ech_keys *keys = NULL;
    struct tt_ech_key list[SHIM_MAX_ECH_KEYS] = {{.retry = false}};
    uint8_t configs[SHIM_MAX_ECH_KEYS][2 + sizeof o->ech_server_config[0].data];
    TT_TRY(tt_ech_keys_new(&keys, NULL));
    for (size_t i = 0; i < o->ech_configs; i++) {
        const struct shim_blob *c = &o->ech_server_config[i], *k = &o->ech_server_key[i];
        configs[i][0] = (uint8_t)(c->len >> 8);
        configs[i][1] = (uint8_t)c->len;
        memcpy(configs[i] + 2, c->data, c->len);
        list[i] = (struct tt_ech_key){.config_list = {configs[i], c->len + 2},
                                      .kem = 0x20,
                                      .private_key = {k->data, k->len},
                                      .retry = o->ech_is_retry_config[i] != 0};
    }
    tt_rc rc = tt_ech_keys_set(keys, list, o->ech_configs, NULL, NULL);
    if (rc == TT_OK)
        rc = tt_config_set_ech_keys(cfg, keys);
    tt_ech_keys_free(keys);
    return rc;
}

/* "<NULL>" and "<EMPTY>" are none. */
static tt_rc set_authorities(struct tt_config *cfg, const struct shim_options *o)
{
    struct shim_names names = {.n = 0};
    if (o->client_ca_list == NULL || o->client_ca_list[0] == '<')
        return TT_OK;
    return shim_names_read(&names, o->client_ca_list) ? tt_config_set_authorities(cfg, names.names, names.n)
                                                      : TT_ERR_USAGE;
}

static tt_rc set_features(struct tt_config *cfg, struct shim_state *state, const struct shim_options *o)
{
    TT_TRY(set_alpn(cfg, o));
    TT_TRY(set_verifier(cfg, o));
    TT_TRY(tt_config_set_grease(cfg, o->server || o->enable_grease || o->permute_extensions));
    if (!o->server)
        TT_TRY(tt_config_set_never_anonymous(cfg, true));
    if (o->peer_types.n > 0)
        TT_TRY(tt_config_set_peer_certificate_types(cfg, o->peer_types.items, o->peer_types.n));
    if (!o->server && o->enable_ocsp)
        TT_TRY(tt_config_set_ocsp(cfg, TT_OCSP_REQUEST));
    if (!o->server && o->enable_scts)
        TT_TRY(tt_config_set_request_scts(cfg, true));
    if (o->max_cert_list > 0)
        TT_TRY(tt_config_set_max_handshake_message(cfg, (size_t)o->max_cert_list));
    if (o->ech_configs > 0)
        TT_TRY(set_ech(cfg, o));
    if (o->max_send_fragment > 0)
        TT_TRY(tt_config_set_max_fragment(cfg, (uint16_t)o->max_send_fragment));
    TT_TRY(shim_add_compression(cfg, o));
    TT_TRY(set_authorities(cfg, o));
    TT_TRY(tt_config_set_keep_offers(cfg, true));
    return set_tickets(cfg, state, o);
}

/* What the flags ask for and the engine cannot do. */
static const char *out_of_reach(const struct shim_options *o)
{
    if (o->no_tls13 || (o->max_version != 0 && o->max_version < TLS_VERSION_1_3))
        return "only TLS 1.3 is there";
    return NULL;
}

int shim_config(struct tt_config **ret, struct shim_keys *keys, struct shim_state *state,
                const struct shim_options *o)
{
    struct tt_error err = {0};
    if (o->no_tls13 && o->no_tls12 && o->no_tls11 && o->no_tls1) {
        shim_say("no version is left");
        return SHIM_EXIT_FAILED;
    }
    const char *missing = out_of_reach(o);
    if (missing != NULL) {
        shim_say("%s", missing);
        return SHIM_EXIT_UNIMPLEMENTED;
    }
    struct tt_config *cfg = NULL;
    if (tt_config_new(&cfg, o->server ? TT_SERVER : TT_CLIENT, &err) != TT_OK) {
        shim_say("%s", err.text);
        return SHIM_EXIT_FAILED;
    }
    int code = shim_set_lists(cfg, o);
    if (code == 0)
        code = shim_add_identities(cfg, keys, o);
    tt_rc rc = code == 0 ? set_features(cfg, state, o) : TT_OK;
    if (rc == TT_OK && code == 0)
        rc = tt_config_freeze(cfg, &err);
    if (rc != TT_OK) {
        shim_say("configuration: %s: %s", tt_rc_name(rc), err.text);
        code = rc == TT_ERR_UNSUPPORTED ? SHIM_EXIT_UNIMPLEMENTED : SHIM_EXIT_FAILED;
    }
    if (code != 0) {
        tt_config_free(cfg);
        return code;
    }
    *ret = cfg;
    return 0;
}
