/* tls/ext.c: the table and its two loops. Layer: tls. RFC 9846 section 4.3. */
#include "tls/ext.h"

#include <string.h>

#include "tls/ech.h"

/* "a TLS-compliant application MUST implement the following TLS extensions" (section 9.2): all of them are
 * here. "Implementations MUST NOT use the Truncated HMAC extension" (appendix E.5): it is not. */
static const struct ext table[] = {
    {EXT_SERVER_NAME, IN_CH | IN_EE | IN_CR, server_name_wants, server_name_build, server_name_parse},
    {EXT_SUPPORTED_VERSIONS, IN_CH | IN_SH | IN_HRR, supported_versions_wants, supported_versions_build,
     supported_versions_parse},
    {EXT_COOKIE, IN_CH | IN_HRR, cookie_wants, cookie_build, cookie_parse},
    {EXT_SUPPORTED_GROUPS, IN_CH | IN_EE, supported_groups_wants, supported_groups_build,
     supported_groups_parse},
    {EXT_KEY_SHARE, IN_CH | IN_SH | IN_HRR, key_share_wants, key_share_build, key_share_parse},
    {EXT_SIGNATURE_ALGORITHMS, IN_CH | IN_CR, signature_algorithms_wants, signature_algorithms_build,
     signature_algorithms_parse},
    {EXT_SIGNATURE_ALGORITHMS_CERT, IN_CH | IN_CR, signature_algorithms_cert_wants,
     signature_algorithms_cert_build, signature_algorithms_cert_parse},
    {EXT_CERTIFICATE_AUTHORITIES, IN_CH | IN_CR, certificate_authorities_wants, certificate_authorities_build,
     certificate_authorities_parse},
    {EXT_ALPN, IN_CH | IN_EE, alpn_wants, alpn_build, alpn_parse},
    {EXT_STATUS_REQUEST, IN_CH | IN_CR | IN_CT, status_request_wants, status_request_build,
     status_request_parse},
    {EXT_SIGNED_CERTIFICATE_TIMESTAMP, IN_CH | IN_CR | IN_CT, sct_wants, sct_build, sct_parse},
    {EXT_CLIENT_CERTIFICATE_TYPE, IN_CH | IN_EE, client_certificate_type_wants, client_certificate_type_build,
     client_certificate_type_parse},
    {EXT_SERVER_CERTIFICATE_TYPE, IN_CH | IN_EE, server_certificate_type_wants, server_certificate_type_build,
     server_certificate_type_parse},
    {EXT_PADDING, IN_CH, NULL, NULL, NULL},
    {EXT_COMPRESS_CERTIFICATE, IN_CH | IN_CR, compress_certificate_wants, compress_certificate_build,
     compress_certificate_parse},
    {EXT_RECORD_SIZE_LIMIT, IN_CH | IN_EE, record_size_limit_wants, record_size_limit_build,
     record_size_limit_parse},
    {EXT_CERT_WITH_EXTERN_PSK, IN_CH | IN_SH, cert_with_psk_wants, cert_with_psk_build, cert_with_psk_parse},
    {EXT_DELEGATED_CREDENTIAL, IN_CH | IN_CR | IN_CT, delegated_credential_wants, delegated_credential_build,
     delegated_credential_parse_ext},
    {EXT_EARLY_DATA, IN_CH | IN_EE | IN_NST, early_data_wants, early_data_build, early_data_parse},
    {EXT_PSK_KEY_EXCHANGE_MODES, IN_CH, psk_modes_wants, psk_modes_build, psk_modes_parse},
    {EXT_OID_FILTERS, IN_CR, NULL, NULL, NULL},
    {EXT_POST_HANDSHAKE_AUTH, IN_CH, post_handshake_auth_wants, post_handshake_auth_build,
     post_handshake_auth_parse},
    {EXT_ENCRYPTED_CLIENT_HELLO, IN_CH | IN_HRR | IN_EE, ech_wants, ech_build, ech_parse},
    /* "MUST be the last extension in the ClientHello" */
    {EXT_PRE_SHARED_KEY, IN_CH | IN_SH, pre_shared_key_wants, pre_shared_key_build, pre_shared_key_parse},
};
#define EXT_COUNT TT_COUNT(table)
_Static_assert(EXT_COUNT <= 64, "the bit sets of struct hs hold 64 extensions");

size_t ext_count(void)
{
    return EXT_COUNT;
}

static size_t ext_index(uint16_t type)
{
    size_t i = 0;
    while (i < EXT_COUNT && table[i].type != type)
        i++;
    return i;
}

uint16_t ext_type(size_t i)
{
    return table[i].type;
}

uint64_t ext_bit(uint16_t type)
{
    return (uint64_t)1 << ext_index(type);
}

bool ext_find(struct tt_bytes block, uint16_t type, struct tt_bytes *ret)
{
    for (struct reader r = reader_of(block); rd_left(&r) > 0;) {
        uint16_t t = rd_u16(&r);
        struct tt_bytes data = rd_vec16(&r, 0);
        if (rd_status(&r) == TT_OK && t == type) {
            *ret = data;
            return true;
        }
    }
    return false;
}

static bool place_is_answer(enum ext_place in)
{
    return in == IN_SH || in == IN_HRR || in == IN_EE || in == IN_CT;
}

/* The rules that hold for one extension of any type. */
static tt_rc ext_check(struct tt_conn *c, enum ext_place in, uint16_t type)
{
    size_t i = ext_index(type);
    /* "If an implementation receives an extension which it recognizes and which is not specified for the
     * message in which it appears, it MUST abort the handshake with an "illegal_parameter" alert." */
    if (i < EXT_COUNT && (table[i].places & (unsigned)in) == 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "extension %u stands in a message it is not for",
                           type);
    /* "Implementations MUST NOT send extension responses ... if the remote endpoint did not send the
     * corresponding extension requests, with the exception of the "cookie" extension in the
     * HelloRetryRequest. Upon receiving such an extension, an endpoint MUST abort the handshake with an
     * "unsupported_extension" alert." */
    bool asked_for = i < EXT_COUNT && (c->hs->offered >> i & 1) != 0;
    /* "If the client receives a delegated credential without having indicated support ... MUST abort the
     * handshake with an "unexpected_message" alert." (RFC 9345 section 4.1.1) */
    if (in == IN_CT && type == EXT_DELEGATED_CREDENTIAL && !asked_for)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE,
                           "the peer sent a delegated credential nobody asked for");
    if (place_is_answer(in) && !asked_for && !(in == IN_HRR && type == EXT_COOKIE))
        return conn_refuse(c, TT_ALERT_UNSUPPORTED_EXTENSION, "extension %u was not asked for", type);
    /* "... MUST be the last extension in the ClientHello" (section 4.3.11) */
    if (in == IN_CH && (c->hs->peer.seen >> (EXT_COUNT - 1) & 1) != 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "pre_shared_key is not the last extension");
    return TT_OK;
}

static tt_rc ext_collect(struct tt_conn *c, enum ext_place in, struct tt_bytes block,
                         struct tt_bytes found[EXT_COUNT])
{
    uint8_t types[65536 / 8];
    memset(types, 0, sizeof types);
    for (struct reader r = reader_of(block); rd_left(&r) > 0;) {
        uint16_t type = rd_u16(&r);
        struct tt_bytes data = rd_vec16(&r, 0);
        if (rd_status(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "the list of extensions is cut off");
        /* "There MUST NOT be more than one extension of the same type in a given extension block." Such a
         * block can be parsed and means nonsense: "a message which is syntactically correct but semantically
         * invalid" (section 6.2). */
        uint8_t bit = (uint8_t)(1U << (type & 7));
        if ((types[type >> 3] & bit) != 0)
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "extension %u stands there twice", type);
        types[type >> 3] |= bit;
        TT_TRY(ext_check(c, in, type));
        size_t i = ext_index(type);
        if (i < EXT_COUNT) {
            found[i] = data;
            c->hs->peer.seen |= (uint64_t)1 << i;
        }
    }
    return TT_OK;
}

tt_rc ext_parse_block(struct tt_conn *c, enum ext_place in, struct tt_bytes block)
{
    struct tt_bytes found[EXT_COUNT] = {{0}};
    c->hs->peer.seen = 0;
    TT_TRY(ext_collect(c, in, block, found));
    for (size_t i = 0; i < EXT_COUNT; i++) {
        if ((c->hs->peer.seen >> i & 1) == 0 || table[i].parse == NULL)
            continue;
        struct reader r = reader_of(found[i]);
        TT_TRY(table[i].parse(c, in, &r));
        if (rd_done(&r) != TT_OK)
            return conn_refuse(c, TT_ALERT_DECODE_ERROR, "extension %u is malformed", table[i].type);
    }
    return TT_OK;
}

/* "senders MUST NOT include data after the structure in the "extension_data" field" (section 4.3): the
 * length is what was built.
 * One extension, when it is wanted here. */
static bool ext_build_one(struct tt_conn *c, enum ext_place in, size_t i, struct writer *w)
{
    if ((table[i].places & (unsigned)in) == 0 || table[i].wants == NULL || !table[i].wants(c, in) ||
        (in == IN_CH && ech_omits(c, table[i].type)))
        return false;
    wr_u16(w, table[i].type);
    struct wr_mark data = wr_open16(w);
    table[i].build(c, in, w);
    wr_close(w, data);
    return true;
}

/* ClientHelloInner has what ClientHelloOuter has too in one piece, so that it can be referred to: "If it
 * intends to compress any extensions ..., it MUST order those extensions consecutively." (RFC 9849
 * section 6.1) All else is built in one pass. */
#define PASSES 3
static unsigned pass_of(const struct tt_conn *c, enum ext_place in, size_t i)
{
    if (in != IN_CH || !ech_is_inner(c))
        return 0;
    return i == EXT_COUNT - 1 ? 2 : ech_outer_copies(table[i].type) ? 1 : 0;
}

void ext_build_block(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    struct wr_mark block = wr_open16(w);
    uint64_t sent = 0;
    bool offers = in == IN_CH || in == IN_CR, reorders = in == IN_CH && c->hs->grease[GREASE_FIRST] != 0;
    if (offers)
        grease_extension_put(c, GREASE_FIRST, 0, w);
    for (size_t step = 0; step < PASSES * EXT_COUNT; step++) {
        size_t at = step % EXT_COUNT, i = reorders ? c->hs->extension_order[at] : at;
        if (pass_of(c, in, i) != step / EXT_COUNT)
            continue;
        if (offers && i == EXT_COUNT - 1) /* pre_shared_key is behind everything */
            grease_extension_put(c, GREASE_LAST, 1, w);
        if (ext_build_one(c, in, i, w))
            sent |= (uint64_t)1 << i;
    }
    wr_close(w, block);
    if (!place_is_answer(in))
        c->hs->offered = sent;
}

bool ext_seen(const struct tt_conn *c, uint16_t type)
{
    size_t i = ext_index(type);
    return i < EXT_COUNT && (c->hs->peer.seen >> i & 1) != 0;
}
