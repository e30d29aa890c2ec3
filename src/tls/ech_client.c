/* tls/ech_client.c: the client's side of Encrypted Client Hello (RFC 9849 section 6). Layer: tls.
 *
 * ClientHelloInner is built like any ClientHello, binders and all. Then it is encoded, encrypted, and
 * replaced in the flight by ClientHelloOuter, in the order of extensions that a ClientHello without ECH would
 * have. What the server answers says which of the two it used. */
#include "tls/ech.h"

#include <string.h>

#include "tls/ext.h"

void ech_free(struct ech *ech)
{
    if (ech == NULL)
        return;
    hpke_wipe(&ech->hpke);
    struct buf *const bufs[] = {&ech->extension, &ech->public_name, &ech->hello, &ech->payload};
    for (size_t i = 0; i < TT_COUNT(bufs); i++)
        buf_free(bufs[i]);
    transcript_free(&ech->outer);
    ech_key_set_free(ech->keys);
    mem_free(ech);
}

/* What says nothing about whom we want to reach. Names, protocols and the authorities we believe are for the
 * inner ClientHello alone (RFC 9849 section 10.5). */
bool ech_outer_copies(uint16_t type)
{
    switch (type) {
    case EXT_SUPPORTED_VERSIONS:
    case EXT_COOKIE:
    case EXT_SUPPORTED_GROUPS:
    case EXT_KEY_SHARE:
    case EXT_SIGNATURE_ALGORITHMS:
    case EXT_SIGNATURE_ALGORITHMS_CERT:
    case EXT_STATUS_REQUEST:
    case EXT_SIGNED_CERTIFICATE_TIMESTAMP:
    case EXT_COMPRESS_CERTIFICATE:
    case EXT_RECORD_SIZE_LIMIT:
    case EXT_DELEGATED_CREDENTIAL:
    case EXT_EARLY_DATA:
    case EXT_PSK_KEY_EXCHANGE_MODES:
    case EXT_POST_HANDSHAKE_AUTH:
        return true;
    default:
        return false;
    }
}

bool ech_omits(const struct tt_conn *c, uint16_t type)
{
    return ech_is_rejected_client(c) && !ech_outer_copies(type) && type != EXT_SERVER_NAME &&
           type != EXT_ENCRYPTED_CLIENT_HELLO;
}

/* ---- offering ---- */

static void put_outer(struct writer *w, const struct ech *ech, struct tt_bytes enc)
{
    wr_u8(w, ECH_OUTER);
    wr_u16(w, ech->suite.kdf);
    wr_u16(w, ech->suite.aead);
    wr_u8(w, ech->config_id);
    wr_vec16(w, enc);
}

/* Padding as recommended (section 6.1.3): the name, then the whole up to a multiple of 32. */
static size_t padding_of(const struct ech *ech, size_t encoded, size_t name, bool has_name)
{
    size_t max = ech->maximum_name_length, pad = has_name ? (max > name ? max - name : 0) : max + 9;
    return pad + 31 - (encoded + pad - 1) % 32;
}

/* GREASE has a payload of the size that a real one would have (RFC 9849 section 6.2.1): what an inner
 * ClientHello has beside the name and the protocols comes to about 110 bytes, as most of its extensions are
 * references. */
static size_t grease_payload(const struct tt_conn *c)
{
    const size_t inner = 110 + kept_get(&c->kept, KEPT_SERVER_NAME).len + c->cfg->alpn_len;
    return (inner + 31) / 32 * 32 + HPKE_TAG_SIZE;
}

static tt_rc grease_start(struct tt_conn *c, struct ech *ech)
{
    const struct crypto_lib *lib = c->cfg->lib;
    struct hpke_keypair ephemeral;
    uint8_t drawn[2];
    if (!conn_random(c, drawn, sizeof drawn))
        return TT_ERR_INTERNAL;
    ech->suite = (struct hpke_suite){HPKE_DHKEM_X25519, HPKE_HKDF_SHA256, HPKE_CHACHA20_POLY1305};
    if ((drawn[0] & 1) == 0 || !hpke_suite_available(lib, ech->suite))
        ech->suite.aead = HPKE_AES_128_GCM;
    ech->config_id = drawn[1];
    TT_TRY(hpke_generate(&ephemeral, lib, ech->suite.kem, c->cfg->random));
    struct writer w = writer_to(&ech->extension);
    put_outer(&w, ech, (struct tt_bytes){ephemeral.public_key, ephemeral.public_len});
    mem_wipe(&ephemeral, sizeof ephemeral);
    const size_t n = grease_payload(c);
    wr_u16(&w, (uint16_t)n);
    TT_TRY(wr_status(&w));
    uint8_t *payload = buf_reserve(&ech->extension, n);
    if (payload == NULL)
        return TT_ERR_MEMORY;
    buf_commit(&ech->extension, n);
    return conn_random(c, payload, n) ? TT_OK : TT_ERR_INTERNAL;
}

static tt_rc offer_start(struct tt_conn *c, struct ech *ech, const struct ech_config *config)
{
    TT_AUTO(buf_free) struct buf info = {0};
    TT_TRY(ech_info(&info, config->raw));
    ech->config_id = config->id;
    ech->maximum_name_length = config->maximum_name_length;
    TT_TRY(buf_append(&ech->public_name, config->public_name.data, config->public_name.len));
    if (!conn_random(c, ech->outer_random, sizeof ech->outer_random))
        return TT_ERR_INTERNAL;
    return hpke_setup_sender(&ech->hpke, &ech->enc, c->cfg->lib, ech->suite, config->public_key,
                             buf_bytes(&info), c->cfg->random);
}

tt_rc ech_client_start(struct tt_conn *c, const struct tt_conn_options *opt)
{
    struct ech_config config = {0};
    struct hpke_suite suite = {0};
    if (opt->ech_config_list.len == 0 && !opt->ech_grease)
        return TT_OK;
    if (opt->ech_config_list.len > 0) {
        if (ech_list_check(opt->ech_config_list) != TT_OK)
            return conn_fail(c, TT_ERR_DECODE, TT_ALERT_NONE, "the ECHConfigList is malformed");
        if (!ech_config_select(&config, &suite, c->cfg->lib, opt->ech_config_list))
            return conn_fail(c, TT_ERR_UNSUPPORTED, TT_ALERT_NONE,
                             "none of the ECHConfigs is of a kind that can be used");
    }
    struct ech *ech = c->hs->ech = mem_alloc(sizeof *ech);
    if (ech == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    ech->suite = suite;
    c->ech = config.raw.len > 0 ? TT_ECH_OFFERED : TT_ECH_GREASE;
    tt_rc rc = c->ech == TT_ECH_OFFERED ? offer_start(c, ech, &config) : grease_start(c, ech);
    if (rc == TT_ERR_PROTOCOL) /* an X25519 value that gives zero */
        return conn_fail(c, TT_ERR_UNSUPPORTED, TT_ALERT_NONE,
                         "the public key of the ECHConfig is not valid");
    TT_OWN(c, rc);
    return TT_OK;
}

/* ---- EncodedClientHelloInner and ClientHelloOuter ---- */

/* struct hello: ClientHelloInner as it was built. */
struct hello {
    struct tt_bytes session_id, fields; /* suites and compression methods */
    struct tt_bytes extensions;
};

static struct hello hello_of(struct tt_bytes message)
{
    struct hello h;
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4 + 2 + HS_RANDOM_SIZE);
    h.session_id = rd_vec8(&r, 0);
    const uint8_t *fields = r.at;
    (void)rd_vec16(&r, 2);
    (void)rd_vec8(&r, 1);
    h.fields = (struct tt_bytes){fields, (size_t)(r.at - fields)};
    h.extensions = rd_vec16(&r, 0);
    return h;
}

/* The extensions with those that the outer ClientHello has too replaced by their types; ext_build_block has
 * put them one behind the other. */
static void put_compressed(struct writer *w, struct tt_bytes extensions)
{
    struct wr_mark block = wr_open16(w), outer = {0}, list = {0};
    bool open = false;
    for (struct reader r = reader_of(extensions); rd_left(&r) > 0;) {
        uint16_t type = rd_u16(&r);
        struct tt_bytes data = rd_vec16(&r, 0);
        bool copied = ech_outer_copies(type);
        if (copied && !open) {
            wr_u16(w, EXT_ECH_OUTER_EXTENSIONS);
            outer = wr_open16(w);
            list = wr_open8(w);
        } else if (!copied && open) {
            wr_close(w, list);
            wr_close(w, outer);
        }
        open = copied;
        wr_u16(w, type);
        if (!copied)
            wr_vec16(w, data);
    }
    if (open) {
        wr_close(w, list);
        wr_close(w, outer);
    }
    wr_close(w, block);
}

static tt_rc encode_inner(const struct tt_conn *c, const struct hello *inner, struct buf *to)
{
    static const uint8_t zeros[512];
    struct tt_bytes name = {NULL, 0};
    struct writer w = writer_to(to);
    wr_u16(&w, TLS_VERSION_1_2);
    wr_bytes(&w, (struct tt_bytes){c->hs->client_random, HS_RANDOM_SIZE});
    wr_u8(&w, 0); /* "setting the legacy_session_id field to the empty string" */
    wr_bytes(&w, inner->fields);
    put_compressed(&w, inner->extensions);
    bool has_name = ext_find(inner->extensions, EXT_SERVER_NAME, &name);
    size_t padding = padding_of(c->hs->ech, buf_size(to), has_name ? name.len - 5 : 0, has_name);
    wr_bytes(&w, (struct tt_bytes){zeros, padding}); /* at most 255 + 9 + 31 */
    return wr_status(&w);
}

static void put_server_name(struct writer *w, struct tt_bytes name)
{
    struct wr_mark list = wr_open16(w);
    wr_u8(w, 0); /* host_name */
    wr_vec16(w, name);
    wr_close(w, list);
}

/* "For each PSK identity advertised in the ClientHelloInner, the client generates a random PSK identity with
 * the same length" and a random age, "for each inner PSK binder ... a random string of the same length"
 * (section 6.1.2). */
static tt_rc put_grease_psk(struct tt_conn *c, struct writer *w, struct tt_bytes inner)
{
    TT_AUTO(buf_free) struct buf random = {0};
    uint8_t *drawn = buf_reserve(&random, inner.len);
    if (drawn == NULL || !conn_random(c, drawn, inner.len))
        return TT_ERR_INTERNAL;
    buf_commit(&random, inner.len);
    struct reader r = reader_of(inner);
    struct reader identities = reader_of(rd_vec16(&r, 0)), binders = reader_of(rd_vec16(&r, 0));
    struct wr_mark list = wr_open16(w);
    while (rd_left(&identities) > 0) {
        size_t n = rd_vec16(&identities, 1).len;
        (void)rd_u32(&identities);
        wr_vec16(w, (struct tt_bytes){drawn, n});
        wr_bytes(w, (struct tt_bytes){drawn + n, 4});
        drawn += n + 4;
    }
    wr_close(w, list);
    list = wr_open16(w);
    while (rd_left(&binders) > 0) {
        size_t n = rd_vec8(&binders, 1).len;
        wr_vec8(w, (struct tt_bytes){drawn, n});
        drawn += n;
    }
    wr_close(w, list);
    return TT_OK;
}

/* The extension with room for the payload; *ret_at says where that begins, from the front of the flight. */
static tt_rc put_ech(struct tt_conn *c, struct writer *w, size_t payload, size_t *ret_at)
{
    static const uint8_t zeros[64];
    struct ech *ech = c->hs->ech;
    put_outer(w, ech, (struct tt_bytes){ech->enc.data, ech->enc.len});
    wr_u16(w, (uint16_t)payload);
    *ret_at = buf_size(&c->hs->flight);
    for (size_t left = payload, n; left > 0; left -= n) {
        n = left < sizeof zeros ? left : sizeof zeros;
        wr_bytes(w, (struct tt_bytes){zeros, n});
    }
    return payload > UINT16_MAX ? TT_ERR_INTERNAL : TT_OK;
}

/* One extension of ClientHelloOuter, if it is to have it. */
static tt_rc put_outer_extension(struct tt_conn *c, struct writer *w, uint16_t type, struct tt_bytes inner,
                                 size_t payload, size_t *ret_at)
{
    struct tt_bytes data;
    bool there = ext_find(inner, type, &data);
    if (!(there && (ech_outer_copies(type) || type == EXT_PRE_SHARED_KEY)) && type != EXT_SERVER_NAME &&
        type != EXT_ENCRYPTED_CLIENT_HELLO)
        return TT_OK;
    wr_u16(w, type);
    struct wr_mark m = wr_open16(w);
    tt_rc rc = TT_OK;
    if (type == EXT_SERVER_NAME)
        put_server_name(w, buf_bytes(&c->hs->ech->public_name));
    else if (type == EXT_ENCRYPTED_CLIENT_HELLO)
        rc = put_ech(c, w, payload, ret_at);
    else if (type == EXT_PRE_SHARED_KEY)
        rc = put_grease_psk(c, w, data);
    else
        wr_bytes(w, data);
    wr_close(w, m);
    c->hs->ech->outer_offered |= ext_bit(type);
    return rc;
}

static tt_rc put_outer_extensions(struct tt_conn *c, struct writer *w, struct tt_bytes inner, size_t payload,
                                  size_t *ret_at)
{
    const struct hs *hs = c->hs;
    struct wr_mark block = wr_open16(w);
    hs->ech->outer_offered = 0;
    grease_extension_put(c, GREASE_FIRST, 0, w);
    for (size_t i = 0; i < ext_count(); i++) {
        uint16_t type = ext_type(hs->extension_order[i]);
        if (type == EXT_PRE_SHARED_KEY)
            grease_extension_put(c, GREASE_LAST, 1, w);
        TT_TRY(put_outer_extension(c, w, type, inner, payload, ret_at));
    }
    wr_close(w, block);
    return TT_OK;
}

static tt_rc build_outer(struct tt_conn *c, struct hs_message *m, const struct hello *inner, size_t payload,
                         size_t *ret_at)
{
    wr_u16(&m->w, TLS_VERSION_1_2);
    wr_bytes(&m->w, (struct tt_bytes){c->hs->ech->outer_random, HS_RANDOM_SIZE});
    wr_vec8(&m->w, inner->session_id);
    wr_bytes(&m->w, inner->fields);
    return put_outer_extensions(c, &m->w, inner->extensions, payload, ret_at);
}

/* Seal into the place that was left for it: "ClientHelloOuterAAD ... matches the ClientHelloOuter except that
 * the payload field ... is replaced with a byte string of the same length but whose contents are zeros"
 * (section 5.2). */
static tt_rc seal_payload(struct tt_conn *c, struct tt_bytes encoded, struct tt_bytes whole, size_t at)
{
    struct ech *ech = c->hs->ech;
    TT_AUTO(buf_free) struct buf sealed = {0};
    uint8_t *payload = buf_reserve(&sealed, encoded.len + HPKE_TAG_SIZE);
    if (payload == NULL)
        return TT_ERR_MEMORY;
    TT_TRY(hpke_seal(&ech->hpke, (struct tt_bytes){whole.data + 4, whole.len - 4}, encoded, payload));
    memcpy(buf_front(&c->hs->flight) + at, payload, encoded.len + HPKE_TAG_SIZE);
    ech->enc.len = 0; /* "uses the empty string for enc" in the second ClientHello */
    return TT_OK;
}

static tt_rc keep_extension(struct tt_conn *c, struct tt_bytes outer)
{
    struct tt_bytes data;
    struct buf *kept = &c->hs->ech->extension;
    if (buf_size(kept) > 0 || !ext_find(hello_of(outer).extensions, EXT_ENCRYPTED_CLIENT_HELLO, &data))
        return TT_OK;
    return buf_append(kept, data.data, data.len);
}

static tt_rc wrap(struct tt_conn *c, struct tt_bytes message, struct hs_message *ret_m)
{
    const struct hello inner = hello_of(message);
    TT_AUTO(buf_free) struct buf encoded = {0};
    size_t at = 0;
    struct tt_bytes whole;
    TT_TRY(encode_inner(c, &inner, &encoded));
    *ret_m = hs_begin(c, TT_HS_CLIENT_HELLO);
    TT_TRY(build_outer(c, ret_m, &inner, buf_size(&encoded) + HPKE_TAG_SIZE, &at));
    TT_TRY(hs_close(c, ret_m, &whole));
    TT_TRY(seal_payload(c, buf_bytes(&encoded), whole, at));
    TT_TRY(keep_extension(c, whole));
    return c->ech == TT_ECH_OFFERED ? transcript_add(&c->hs->ech->outer, whole) : TT_OK;
}

tt_rc ech_client_wrap(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    TT_AUTO(buf_free) struct buf inner = hs->flight;
    struct hs_message m = {.at = 0};
    hs->flight = (struct buf){.max = inner.max};
    TT_OWN(c, transcript_add(&hs->transcript, buf_bytes(&inner)));
    TT_OWN(c, wrap(c, buf_bytes(&inner), &m));
    hs_sent(c, &m);
    return TT_OK;
}

/* ---- the server's answer ---- */

/* HKDF-Expand-Label(HKDF-Extract(0, ClientHelloInner.random), label, transcript hash, 8) */
tt_rc ech_confirmation(const struct tt_conn *c, const char *label, struct tt_bytes message,
                       uint8_t ret[ECH_CONFIRMATION_SIZE])
{
    const struct hs *hs = c->hs;
    enum hash_id id = c->suite->hash;
    uint8_t hash[HASH_MAX_SIZE], secret[HASH_MAX_SIZE];
    static const uint8_t zeros[HASH_MAX_SIZE];
    TT_TRY(transcript_hash_with(&hs->transcript, c->cfg->lib, id, message, hash));
    TT_TRY(hkdf_extract(c->cfg->lib, id, (struct tt_bytes){zeros, hash_size(id)},
                        (struct tt_bytes){hs->client_random, HS_RANDOM_SIZE}, secret));
    return ks_expand_label(c->cfg->lib, id, secret, (struct ks_label){label, {hash, hash_size(id)}}, ret,
                           ECH_CONFIRMATION_SIZE);
}

/* Are the 8 bytes at `at` of the message the signal. */
static tt_rc confirmed(struct tt_conn *c, const char *label, struct tt_bytes message, size_t at, bool *ret)
{
    TT_AUTO(buf_free) struct buf copy = {0};
    uint8_t expected[ECH_CONFIRMATION_SIZE];
    TT_TRY(buf_append(&copy, message.data, message.len));
    memset(buf_front(&copy) + at, 0, ECH_CONFIRMATION_SIZE);
    TT_TRY(ech_confirmation(c, label, buf_bytes(&copy), expected));
    *ret = mem_equal_ct(message.data + at, expected, sizeof expected);
    return TT_OK;
}

/* From here on it is the handshake of ClientHelloOuter, with the client-facing server (section 6.1.6). No PSK
 * was offered to that. */
static tt_rc reject(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    struct ech *ech = hs->ech;
    c->ech = TT_ECH_REJECTED;
    transcript_free(&hs->transcript);
    hs->transcript = ech->outer;
    ech->outer = (struct transcript){0};
    memcpy(hs->client_random, ech->outer_random, sizeof hs->client_random);
    hs->offered = ech->outer_offered;
    for (; hs->psks_len > 0; hs->psks_len--)
        tt_session_free(hs->psks[hs->psks_len - 1]);
    hs->offer_early = false;
    kept_drop(&c->kept, KEPT_SERVER_NAME);
    return kept_add(&c->kept, KEPT_SERVER_NAME, buf_bytes(&ech->public_name));
}

tt_rc ech_client_judge(struct tt_conn *c, struct tt_bytes message, const struct suite *suite)
{
    if (!ech_is_inner(c) || suite == NULL || (c->suite != NULL && c->suite != suite))
        return TT_OK; /* a suite that is not ours is refused anyway */
    const bool second = c->ech == TT_ECH_ACCEPTED;
    bool accepted = false;
    c->suite = suite;
    TT_OWN(c, confirmed(c, ECH_LABEL, message, 4 + 2 + HS_RANDOM_SIZE - ECH_CONFIRMATION_SIZE, &accepted));
    if (second && !accepted)
        return conn_refuse(
            c, TT_ALERT_ILLEGAL_PARAMETER,
            "the server accepted Encrypted Client Hello before its retry request, and not after it");
    if (accepted) {
        c->ech = TT_ECH_ACCEPTED;
        return TT_OK;
    }
    if (c->early == TT_EARLY_OFFERED)
        c->early = TT_EARLY_REJECTED;
    TT_OWN(c, reject(c));
    return TT_OK;
}

tt_rc ech_client_judge_retry(struct tt_conn *c, struct tt_bytes message)
{
    struct hs *hs = c->hs;
    if (c->ech != TT_ECH_OFFERED)
        return TT_OK;
    struct tt_bytes signal = hs->peer.ech_confirmation;
    bool accepted = false;
    if (signal.len > 0)
        TT_OWN(c, confirmed(c, ECH_RETRY_LABEL, message, (size_t)(signal.data - message.data), &accepted));
    if (accepted) {
        c->ech = TT_ECH_ACCEPTED;
        return TT_OK;
    }
    TT_OWN(c, reject(c));
    TT_OWN(c, transcript_choose(&hs->transcript, c->cfg->lib, c->suite->hash));
    TT_OWN(c, transcript_retry(&hs->transcript));
    return TT_OK;
}

/* "If both authentication and the handshake complete successfully, the client MUST ... abort the connection
 * with an "ech_required" alert before sending any application data to the server." */
tt_rc ech_client_refuse(struct tt_conn *c)
{
    const bool retry = kept_get(&c->kept, KEPT_RETRY_CONFIGS).len > 0;
    error_hint(&c->status.error, "%s",
               retry
                   ? "it sent other configs, with which the connection can be tried again"
                   : "it has no Encrypted Client Hello (any more); without it the name is sent in the clear");
    return conn_fail(c, TT_ERR_ECH_REJECTED, TT_ALERT_ECH_REQUIRED,
                     "the server rejected Encrypted Client Hello");
}

struct tt_bytes tt_conn_ech_retry_configs(const struct tt_conn *c)
{
    return c->status.error.rc == TT_ERR_ECH_REJECTED ? kept_get(&c->kept, KEPT_RETRY_CONFIGS)
                                                     : (struct tt_bytes){NULL, 0};
}
