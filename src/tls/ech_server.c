/* tls/ech_server.c: the server's side of Encrypted Client Hello in shared mode (RFC 9849 section 7). Layer:
 * tls.
 *
 * The Diffie-Hellman of the KEM is done here, or by pull (tt_ech_request) where the key is elsewhere, in a
 * TPM. Split mode, with a backend server apart, is not done. */
#include "tls/ech.h"

#include <string.h>

#include "tls/client_hello.h"
#include "tls/ext.h"

/* struct outer: the extension in ClientHelloOuter. */
struct outer {
    uint16_t kdf, aead;
    uint8_t config_id;
    struct tt_bytes enc, payload;
};

/* Section 7: "If ECHClientHello.type is not a valid ECHClientHelloType, then the server MUST abort with an
 * "illegal_parameter" alert"; and so for `inner`, "because such a ClientHello should never be received
 * directly from the network". */
static tt_rc outer_parse(struct tt_conn *c, struct outer *ret, struct tt_bytes extension)
{
    struct reader r = reader_of(extension);
    uint8_t type = rd_u8(&r);
    if (extension.len > 0 && type != ECH_OUTER)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "encrypted_client_hello is of type %u", type);
    ret->kdf = rd_u16(&r);
    ret->aead = rd_u16(&r);
    ret->config_id = rd_u8(&r);
    ret->enc = rd_vec16(&r, 0);
    ret->payload = rd_vec16(&r, 1);
    return rd_done(&r) == TT_OK
               ? TT_OK
               : conn_refuse(c, TT_ALERT_DECODE_ERROR, "encrypted_client_hello is malformed");
}

/* ---- EncodedClientHelloInner -> ClientHelloInner (section 5.1) ---- */

/* Appendix B: in linear time, since the references have the order of ClientHelloOuter. */
static bool put_outer_extensions(struct writer *w, struct tt_bytes types, struct reader *outer)
{
    for (struct reader r = reader_of(types); rd_left(&r) > 0;) {
        uint16_t wanted = rd_u16(&r);
        bool found = false;
        while (!found && rd_left(outer) > 0) {
            uint16_t type = rd_u16(outer);
            struct tt_bytes data = rd_vec16(outer, 0);
            found = rd_status(outer) == TT_OK && type == wanted && type != EXT_ENCRYPTED_CLIENT_HELLO;
            if (found) {
                wr_u16(w, type);
                wr_vec16(w, data);
            }
        }
        if (!found)
            return false;
    }
    return true;
}

static tt_rc put_extensions(struct tt_conn *c, struct writer *w, struct tt_bytes encoded,
                            struct tt_bytes outer)
{
    struct reader r = reader_of(encoded), from = reader_of(outer);
    bool expanded = false;
    while (rd_left(&r) > 0) {
        uint16_t type = rd_u16(&r);
        struct tt_bytes data = rd_vec16(&r, 0);
        if (rd_status(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the list of extensions is cut off");
        if (type != EXT_ECH_OUTER_EXTENSIONS) {
            wr_u16(w, type);
            wr_vec16(w, data);
            continue;
        }
        struct reader list = reader_of(data);
        struct tt_bytes types = rd_vec8(&list, 2);
        if (rd_done(&list) != TT_OK || types.len % 2 != 0)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "ech_outer_extensions is malformed");
        if (expanded || !put_outer_extensions(w, types, &from))
            return conn_refuse(
                c, TT_ALERT_ILLEGAL_PARAMETER,
                "ech_outer_extensions refers to what ClientHelloOuter does not have in that order");
        expanded = true;
    }
    return TT_OK;
}

/* "checks that the message includes a well-formed "encrypted_client_hello" extension of type inner and that
 * it does not offer TLS 1.2 or below. If either of these checks fails, the client-facing server MUST abort
 * with an "illegal_parameter" alert." */
static tt_rc inner_check(struct tt_conn *c, struct tt_bytes extensions)
{
    struct tt_bytes ech = {0}, versions = {0};
    if (!ext_find(extensions, EXT_ENCRYPTED_CLIENT_HELLO, &ech) || ech.len != 1 || ech.data[0] != ECH_INNER)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "ClientHelloInner has no encrypted_client_hello of type inner");
    bool old = !ext_find(extensions, EXT_SUPPORTED_VERSIONS, &versions);
    for (size_t i = 1; i + 1 < versions.len; i += 2)
        old = old || (versions.data[i] == 3 && versions.data[i + 1] < 4);
    return old ? conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "ClientHelloInner offers TLS 1.2 or below")
               : TT_OK;
}

/* Into hs->hello, as a whole message. */
static tt_rc inner_build(struct tt_conn *c, struct tt_bytes encoded, const struct client_hello *outer)
{
    struct buf *hello = &c->hs->hello;
    struct reader r = reader_of(encoded);
    struct tt_bytes head = rd_bytes(&r, 2 + HS_RANDOM_SIZE), session_id = rd_vec8(&r, 0),
                    suites = rd_vec16(&r, 2), compression = rd_vec8(&r, 1), extensions = rd_vec16(&r, 0),
                    padding = rd_rest(&r);
    if (rd_done(&r) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "EncodedClientHelloInner is malformed");
    /* "If any padding byte is non-zero, the server MUST abort the connection with an "illegal_parameter"
     * alert." */
    bool clean = session_id.len == 0;
    for (size_t i = 0; i < padding.len; i++)
        clean = clean && padding.data[i] == 0;
    if (!clean)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "EncodedClientHelloInner has a legacy_session_id, or padding that is not zero");
    buf_free(hello);
    struct writer w = writer_to(hello);
    wr_u8(&w, TT_HS_CLIENT_HELLO);
    struct wr_mark body = wr_open24(&w);
    wr_bytes(&w, head);
    wr_vec8(&w, outer->session_id);
    wr_vec16(&w, suites);
    wr_vec8(&w, compression);
    struct wr_mark block = wr_open16(&w);
    TT_TRY(put_extensions(c, &w, extensions, outer->extensions));
    wr_close(&w, block);
    wr_close(&w, body);
    TT_OWN(c, wr_status(&w));
    struct client_hello inner;
    if (client_hello_parse(&inner, buf_bytes(hello)) != TT_OK)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "ClientHelloInner is malformed");
    return inner_check(c, inner.extensions);
}

/* ---- decryption ---- */

/* TT_ERR_DECODE: it does not open, which is no fault yet. */
static tt_rc payload_open(struct ech *ech, struct hpke *hpke, struct buf *to)
{
    struct tt_bytes aad = buf_bytes(&ech->hello), sealed = buf_bytes(&ech->payload);
    uint8_t *plain = buf_reserve(to, sealed.len);
    if (plain == NULL)
        return TT_ERR_MEMORY;
    TT_TRY(hpke_open(hpke, (struct tt_bytes){aad.data + 4, aad.len - 4}, sealed, plain));
    buf_commit(to, sealed.len - HPKE_TAG_SIZE);
    return TT_OK;
}

static tt_rc accept(struct tt_conn *c, struct tt_bytes encoded)
{
    struct client_hello outer;
    TT_OWN(c, client_hello_parse(&outer, buf_bytes(&c->hs->ech->hello)));
    c->ech = TT_ECH_ACCEPTED;
    return inner_build(c, encoded, &outer);
}

/* One key, whose Diffie-Hellman is known. */
static tt_rc try_secret(struct tt_conn *c, const struct ech_key *key, struct tt_bytes dh)
{
    struct ech *ech = c->hs->ech;
    TT_AUTO(buf_free) struct buf encoded = {0};
    TT_AUTO(buf_free) struct buf info = {0};
    const struct hpke_decap decap = {
        dh, {ech->peer_enc.data, ech->peer_enc.len}, {key->pair.public_key, key->pair.public_len}};
    hpke_wipe(&ech->hpke);
    ech->suite.kem = key->pair.kem;
    TT_OWN(c, ech_info(&info, key->config.raw));
    TT_OWN(c, hpke_setup_receiver(&ech->hpke, c->cfg->lib, ech->suite, &decap, buf_bytes(&info)));
    tt_rc rc = payload_open(ech, &ech->hpke, &encoded);
    if (rc == TT_ERR_DECODE)
        return TT_OK;
    TT_OWN(c, rc);
    return accept(c, buf_bytes(&encoded));
}

/* "Compare ECHClientHello.config_id against identifiers of each known ECHConfig and select the ones that
 * match"; all of them by trial decryption, but for keys in a TPM, whose use anybody could then ask for. */
static bool is_candidate(const struct tt_conn *c, const struct ech_key *key)
{
    const struct ech *ech = c->hs->ech;
    const struct hpke_suite suite = {key->pair.kem, ech->suite.kdf, ech->suite.aead};
    return (key->config.id == ech->config_id || (ech->trial && key->held == NULL)) &&
           ech_config_has_suite(&key->config, suite.kdf, suite.aead) &&
           hpke_suite_available(c->cfg->lib, suite) &&
           hpke_enc_check(c->cfg->lib, suite.kem, (struct tt_bytes){ech->peer_enc.data, ech->peer_enc.len}) ==
               TT_OK;
}

static tt_rc try_software(struct tt_conn *c, const struct ech_key *key)
{
    const struct ech *ech = c->hs->ech;
    uint8_t dh[HPKE_SECRET];
    tt_rc rc = hpke_dh(c->cfg->lib, &key->pair, (struct tt_bytes){ech->peer_enc.data, ech->peer_enc.len}, dh);
    if (rc == TT_ERR_PROTOCOL) /* a value that gives zeros: it cannot be decrypted */
        return TT_OK;
    TT_OWN(c, rc);
    rc = try_secret(c, key, (struct tt_bytes){dh, sizeof dh});
    mem_wipe(dh, sizeof dh);
    return rc;
}

/* The candidates one after the other, until one opens it or a holder has to be asked. */
static tt_rc try_keys(struct tt_conn *c)
{
    struct ech *ech = c->hs->ech;
    const struct ech_key *key;
    while (c->ech == TT_ECH_REJECTED && !ech->pull_open && (key = ech_key_at(ech->keys, ech->next)) != NULL) {
        ech->next++;
        if (!is_candidate(c, key))
            continue;
        if (key->held != NULL) {
            ech->pull_id = atomic_fetch_add_explicit(&c->cfg->next_sign_id, 1, memory_order_relaxed);
            ech->pull_open = true;
            continue;
        }
        TT_TRY(try_software(c, key));
    }
    return TT_OK;
}

/* ---- ClientHello ---- */

static tt_rc keep_outer(struct tt_conn *c, struct tt_bytes message, const struct outer *outer)
{
    struct ech *ech = c->hs->ech;
    buf_free(&ech->hello);
    buf_free(&ech->payload);
    TT_OWN(c, buf_append(&ech->hello, message.data, message.len));
    TT_OWN(c, buf_append(&ech->payload, outer->payload.data, outer->payload.len));
    ech->payload_at = (size_t)(outer->payload.data - message.data);
    memset(buf_front(&ech->hello) + ech->payload_at, 0, outer->payload.len);
    return TT_OK;
}

static tt_rc first_hello(struct tt_conn *c, struct tt_bytes message, const struct outer *outer)
{
    struct ech *ech = c->hs->ech = mem_alloc(sizeof *ech);
    if (ech == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    c->ech = TT_ECH_REJECTED; /* until one of the keys fits */
    ech->keys = ech_keys_take(c->cfg->ech_keys, &ech->trial);
    ech->suite = (struct hpke_suite){.kdf = outer->kdf, .aead = outer->aead};
    ech->config_id = outer->config_id;
    if (outer->enc.len > sizeof ech->peer_enc.data)
        return TT_OK; /* of no KEM that is known */
    if (outer->enc.len > 0)
        memcpy(ech->peer_enc.data, outer->enc.data, outer->enc.len);
    ech->peer_enc.len = outer->enc.len;
    TT_TRY(keep_outer(c, message, outer));
    return try_keys(c);
}

/* Section 7.1.1: with the context of the first one, "using the second ClientHelloOuter for any referenced
 * extensions". */
static tt_rc second_hello(struct tt_conn *c, struct tt_bytes message, const struct outer *outer)
{
    struct ech *ech = c->hs->ech;
    if (outer->kdf != ech->suite.kdf || outer->aead != ech->suite.aead ||
        outer->config_id != ech->config_id || outer->enc.len != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "encrypted_client_hello of the second ClientHello changed what it must not");
    TT_AUTO(buf_free) struct buf encoded = {0};
    TT_TRY(keep_outer(c, message, outer));
    tt_rc rc = payload_open(ech, &ech->hpke, &encoded);
    if (rc == TT_ERR_DECODE)
        return conn_refuse(c, TT_ALERT_DECRYPT_ERROR, "the second ClientHelloInner cannot be decrypted");
    TT_OWN(c, rc);
    return accept(c, buf_bytes(&encoded));
}

tt_rc ech_server_recv(struct tt_conn *c, struct tt_bytes message)
{
    const bool second = c->state == SERVER_WAIT_CH2;
    struct client_hello hello;
    struct outer outer = {0};
    struct tt_bytes extension;
    if (c->cfg->ech_keys == NULL || client_hello_parse(&hello, message) != TT_OK)
        return TT_OK; /* what is malformed is refused by who reads it next */
    if (!ext_find(hello.extensions, EXT_ENCRYPTED_CLIENT_HELLO, &extension))
        return second && c->ech == TT_ECH_ACCEPTED
                   ? conn_refuse(c, TT_ALERT_MISSING_EXTENSION,
                                 "the second ClientHello has no encrypted_client_hello")
                   : TT_OK;
    TT_TRY(outer_parse(c, &outer, extension));
    if (!second)
        return first_hello(c, message, &outer);
    /* "The server does not decrypt the second ClientHello's ECHClientHello.payload value, if there is one."
     */
    return c->ech == TT_ECH_ACCEPTED ? second_hello(c, message, &outer) : TT_OK;
}

/* ---- the holder's answer ---- */

static bool pull_is(const struct tt_conn *c, uint64_t id)
{
    return c->hs != NULL && c->hs->ech != NULL && c->hs->ech->pull_open && c->hs->ech->pull_id == id;
}

tt_rc tt_conn_ech_request(const struct tt_conn *c, struct tt_ech_request *ret)
{
    if (c->hs == NULL || c->hs->ech == NULL || !c->hs->ech->pull_open)
        return TT_ERR_USAGE;
    const struct ech *ech = c->hs->ech;
    *ret = (struct tt_ech_request){.id = ech->pull_id,
                                   .key = ech_key_at(ech->keys, ech->next - 1)->held,
                                   .enc = {ech->peer_enc.data, ech->peer_enc.len}};
    return TT_OK;
}

/* ClientHelloOuter as it came. */
static struct tt_bytes hello_again(struct ech *ech)
{
    struct tt_bytes payload = buf_bytes(&ech->payload);
    if (payload.len > 0)
        memcpy(buf_front(&ech->hello) + ech->payload_at, payload.data, payload.len);
    return buf_bytes(&ech->hello);
}

tt_rc tt_conn_ech_complete(struct tt_conn *c, uint64_t id, struct tt_bytes output)
{
    if (!pull_is(c, id))
        return TT_ERR_USAGE;
    struct ech *ech = c->hs->ech;
    ech->pull_open = false;
    if (output.len != HPKE_SECRET)
        return conn_broken(c, TT_ERR_USAGE);
    TT_TRY(try_secret(c, ech_key_at(ech->keys, ech->next - 1), output));
    TT_TRY(try_keys(c));
    if (ech->pull_open)
        return TT_OK;
    TT_TRY(client_hello_process(c, c->ech == TT_ECH_ACCEPTED ? buf_bytes(&c->hs->hello) : hello_again(ech)));
    return conn_process_messages(c);
}

tt_rc tt_conn_ech_fail(struct tt_conn *c, uint64_t id, const struct tt_error *why)
{
    return pull_is(c, id) ? conn_fail_asked(c, why, "the holder of the ECH key did not answer")
                          : TT_ERR_USAGE;
}

/* ---- the signal of acceptance ---- */

tt_rc ech_server_confirm(struct tt_conn *c, struct tt_bytes whole, bool retry)
{
    uint8_t signal[ECH_CONFIRMATION_SIZE];
    const size_t random_end = 4 + 2 + HS_RANDOM_SIZE;
    uint8_t *front = buf_front(&c->hs->flight);
    size_t at = retry ? c->hs->ech->confirmation_at
                      : (size_t)(whole.data - front) + random_end - ECH_CONFIRMATION_SIZE;
    memset(front + at, 0, sizeof signal);
    TT_TRY(ech_confirmation(c, retry ? ECH_RETRY_LABEL : ECH_LABEL, whole, signal));
    memcpy(front + at, signal, sizeof signal);
    return TT_OK;
}
