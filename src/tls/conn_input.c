/* tls/conn_input.c: from ciphertext to messages and plaintext. Layer: tls. RFC 9846 sections 5.1, 5.2 and 6.
 */
#include "tls/hs.h"

/* Records and messages that cost us work and bring the application nothing: more of them in a row than this
 * is an attack (empty records, KeyUpdates, tickets, ChangeCipherSpecs, user_canceled). */
#define MAX_QUIET_RECORDS    32
#define PLAIN_TAKES_MORE     (48 * 1024)
#define BULK_RECORD          4096
#define USER_CANCELED_WEIGHT 8 /* nobody has a reason to say it again and again */

static tt_rc input_quiet(struct tt_conn *c, size_t *count, size_t weight)
{
    *count += weight;
    if (*count > MAX_QUIET_RECORDS)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE,
                           "the peer sends records without content, again and again");
    return TT_OK;
}

/* Behind unread data only more of the same is taken: records that are whole, and longer than any alert,
 * ticket or KeyUpdate that a peer has reason to send. So an end, be it good or bad, is seen when what came
 * before it was read, and whoever reads in bulk gets several records at once. */
static bool is_more_data(const struct tt_conn *c, const uint8_t *data, size_t len)
{
    if (c->plain_is_early || conn_in_handshake(c) || buf_size(&c->plain) > PLAIN_TAKES_MORE ||
        buf_size(&c->in) > 0 || len < REC_HEADER_SIZE || data[0] != CT_APPLICATION_DATA)
        return false;
    size_t record = (size_t)data[3] << 8 | data[4];
    return record >= BULK_RECORD && len - REC_HEADER_SIZE >= record;
}

static bool conn_blocked(const struct tt_conn *c, const uint8_t *data, size_t len)
{
    return hs_awaits_answer(c) || (buf_size(&c->plain) > 0 && !is_more_data(c, data, len));
}

tt_rc conn_check_boundary(struct tt_conn *c)
{
    if (buf_size(&c->msg) > 0)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "handshake bytes stand before a change of keys");
    return TT_OK;
}

tt_rc conn_set_read_secret(struct tt_conn *c, const struct ks_secret *secret)
{
    TT_TRY(conn_check_boundary(c));
    TT_OWN(c, rec_key_set(&c->read_key, c->cfg->lib, c->suite, secret, false));
    c->first_record_done = false;
    return TT_OK;
}

/* What the form of a message allows, where that is not a matter of taste (the short ones have their true
 * length checked where they are read); 0: our own limit counts, which the application can raise. */
static size_t longest_form(uint8_t type)
{
    switch (type) {
    case TT_HS_CLIENT_HELLO:
        return HS_CLIENT_HELLO_MAX;
    case TT_HS_FINISHED:
    case TT_HS_KEY_UPDATE:
    case TT_HS_END_OF_EARLY_DATA:
        return HASH_MAX_SIZE;
    default:
        return 0;
    }
}

static tt_rc input_check_length(struct tt_conn *c, uint8_t type, size_t len)
{
    size_t longest = longest_form(type);
    /* decode_error: "the length of the message was incorrect" (section 6.2) */
    if (longest > 0 && len > longest)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "%s of %zu bytes is too long",
                           tt_handshake_type_name(type), len);
    if (longest > 0 || len <= c->cfg->max_message)
        return TT_OK;
    error_hint(&c->status.error,
               "where the peer is meant to send so much: --max-handshake-message %zu, in a program "
               "tt_config_set_max_message",
               len);
    return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "a handshake message of %zu bytes (%s) is too long",
                       len, tt_handshake_type_name(type));
}

tt_rc conn_process_messages(struct tt_conn *c)
{
    while (buf_size(&c->msg) >= 4 && !hs_awaits_answer(c)) {
        const uint8_t *at = buf_front(&c->msg);
        size_t len = (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        TT_TRY(input_check_length(c, at[0], len));
        if (buf_size(&c->msg) < 4 + len)
            return TT_OK;
        /* Consumed first: what is left over is then visible to a change of keys. The bytes stay where they
         * are. */
        buf_consume(&c->msg, 4 + len);
        if (!conn_in_handshake(c))
            TT_TRY(input_quiet(c, &c->quiet_messages, 1));
        TT_TRY(hs_receive(c, (struct tt_bytes){at, 4 + len}));
    }
    return TT_OK;
}

static tt_rc input_alert(struct tt_conn *c, struct tt_bytes content)
{
    if (content.len != 2)
        return conn_refuse(c, TT_ALERT_DECODE_ERROR, "an alert has %zu bytes", content.len);
    unsigned alert = content.data[1];
    const struct tt_trace_event event = {.is_alert = true, .type = alert, .size = 2};
    conn_trace(c, &event);
    c->status.alert_received = alert;
    /* "Receiving implementations SHOULD continue to read data from the peer until a "close_notify" is
     * received" */
    if (alert == TT_ALERT_USER_CANCELED)
        return input_quiet(c, &c->quiet_records, USER_CANCELED_WEIGHT);
    if (alert != TT_ALERT_CLOSE_NOTIFY)
        return conn_fail(c, TT_ERR_PEER_ALERT, TT_ALERT_NONE, "the peer refused with the alert %s (%u)",
                         tt_alert_name(alert), alert);
    if (conn_in_handshake(c))
        return conn_fail(c, TT_ERR_CLOSED, TT_ALERT_NONE,
                         "the peer closed the connection during the handshake");
    c->read_closed = true;
    return TT_OK;
}

static tt_rc input_application_data(struct tt_conn *c, size_t len)
{
    bool early = c->state == SERVER_WAIT_EOED;
    /* "All of the client's messages for a given response MUST appear consecutively on the wire"
     * (section 4.7.2) */
    if (c->state == SERVER_POST_WAIT_CV || c->state == SERVER_POST_WAIT_FINISHED)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE,
                           "application data cuts the client's authentication in two");
    if (conn_in_handshake(c) && !early)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "application data came during the handshake");
    if (len == 0)
        return input_quiet(c, &c->quiet_records, 1);
    /* "A server receiving more than max_early_data_size bytes of 0-RTT data SHOULD terminate the connection
     * with an "unexpected_message" alert." (section 4.7.1) */
    if (early && len > c->early_left)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "the client sends more early data than it may");
    c->early_left -= early ? (uint32_t)len : 0;
    c->plain_is_early = early;
    c->quiet_records = c->quiet_messages = 0;
    buf_commit(&c->plain, len);
    return TT_OK;
}

/* One record's content, in the clear; for application data it already stands in c->plain. */
tt_rc conn_content_recv(struct tt_conn *c, uint8_t type, struct tt_bytes content)
{
    /* "Handshake messages MUST NOT be interleaved with other record types" (section 5.1) */
    if (type != CT_HANDSHAKE && buf_size(&c->msg) > 0)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "another record cuts a handshake message in two");
    /* "Implementations MUST NOT send Handshake and Alert records that have a zero-length
     * TLSInnerPlaintext.content; if such a message is received, the receiving implementation MUST terminate
     * the connection with an "unexpected_message" alert." (section 5.4) */
    if (type != CT_APPLICATION_DATA && content.len == 0)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "an empty record of type %u came", type);
    switch (type) {
    case CT_HANDSHAKE:
        TT_OWN(c, buf_append(&c->msg, content.data, content.len));
        if (conn_in_handshake(c))
            c->handshake_bytes_in += content.len;
        return conn_process_messages(c);
    case CT_ALERT:
        return input_alert(c, content);
    case CT_APPLICATION_DATA:
        return input_application_data(c, content.len);
    default:
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "a record of type %u came", type);
    }
}

/* Section 5: a ChangeCipherSpec of one byte 0x01 is dropped between the first ClientHello and the peer's
 * Finished. */
static tt_rc input_ccs(struct tt_conn *c, struct tt_bytes content)
{
    bool fine = c->ccs_allowed && content.len == 1 && content.data[0] == 1 && buf_size(&c->msg) == 0;
    if (!fine)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "a ChangeCipherSpec came where none may be");
    return input_quiet(c, &c->quiet_records, 1);
}

/* Rejected 0-RTT data: "discarding records which fail deprotection (up to the configured
 * max_early_data_size)", or, after a HelloRetryRequest, "all records with an external content type of
 * "application_data"" (section 4.3.10). */
static bool input_is_skippable(const struct tt_conn *c, struct tt_bytes record)
{
    return c->cfg->role == TT_SERVER && c->early == TT_EARLY_REJECTED &&
           record.data[0] == CT_APPLICATION_DATA && c->skip_left > 0;
}

/* "Only Application Data payload (i.e., plaintext but not padding or the inner content type byte) is
 * counted." (section 4.7.1) Padding cannot be told from payload here. */
static tt_rc input_skip(struct tt_conn *c, struct tt_bytes record)
{
    const size_t around = REC_HEADER_SIZE + 1 + AEAD_TAG_SIZE;
    size_t payload = record.len > around ? record.len - around : 0;
    if (payload > c->skip_left)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE,
                           "the client sends too much early data that was refused");
    c->skip_left -= payload;
    return payload > 0 ? TT_OK : input_quiet(c, &c->quiet_records, 1);
}

static tt_rc input_protected(struct tt_conn *c, struct tt_bytes record)
{
    /* A peer that could not follow our keys has only alerts in the clear to say so. */
    bool clear_alert = record.data[0] == CT_ALERT && !c->first_record_done && conn_in_handshake(c) &&
                       record.len == REC_HEADER_SIZE + 2;
    if (clear_alert)
        return input_alert(c, (struct tt_bytes){record.data + REC_HEADER_SIZE, 2});
    if (record.data[0] != CT_APPLICATION_DATA)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "a record of type %u came in the clear",
                           record.data[0]);
    /* RFC 8449 section 4: a "TLS endpoint that receives a record larger than its advertised limit MUST
     * generate a fatal "record_overflow" alert". */
    if (record.len > REC_HEADER_SIZE + c->read_limit + AEAD_TAG_SIZE)
        return conn_refuse(c, TT_ALERT_RECORD_OVERFLOW, "a record of %zu bytes is over our limit",
                           record.len);
    uint8_t *to = buf_reserve_lined(&c->plain, 0, record.len);
    if (to == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    struct rec_opened opened;
    tt_rc rc = rec_open(&c->read_key, record, to, &opened);
    if (rc == TT_ERR_PROTOCOL && opened.alert == TT_ALERT_BAD_RECORD_MAC && input_is_skippable(c, record))
        return input_skip(c, record);
    if (rc == TT_ERR_PROTOCOL)
        return conn_refuse(c, opened.alert, "a record cannot be read: %s", tt_alert_name(opened.alert));
    TT_OWN(c, rc);
    c->first_record_done = true;
    /* "Once a record is deprotected successfully, it is treated as the start of the client's second flight":
     * from here on, also under later keys, a record that fails is an error (section 4.3.10). */
    c->skip_left = 0;
    return conn_content_recv(c, opened.type, (struct tt_bytes){to, opened.len});
}

static tt_rc input_record(struct tt_conn *c, struct tt_bytes record)
{
    struct tt_bytes content = {record.data + REC_HEADER_SIZE, record.len - REC_HEADER_SIZE};
    if (record.data[0] == CT_CHANGE_CIPHER_SPEC)
        return input_ccs(c, content);
    if (rec_key_is_set(&c->read_key))
        return input_protected(c, record);
    if (input_is_skippable(c, record))
        return input_skip(c, record);
    if (record.data[0] == CT_APPLICATION_DATA)
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "application data came in the clear");
    return conn_content_recv(c, record.data[0], content);
}

/* The header of the record, as soon as its five bytes are there. legacy_record_version "MUST be ignored for
 * all purposes" (section 5.1).
 * "The value of TLSPlaintext.legacy_record_version MUST be ignored by all implementations." (appendix E).
 * "Implementations MUST NOT negotiate TLS 1.3 or later using an SSL version 2.0 compatible CLIENT-HELLO."
 * (appendix E.5): its first byte is none of a record. */
static tt_rc input_header(struct tt_conn *c, const uint8_t *header, size_t *ret_total)
{
    size_t len = (size_t)header[3] << 8 | header[4];
    if (header[0] < CT_CHANGE_CIPHER_SPEC || header[0] > CT_APPLICATION_DATA) {
        bool http = header[0] == 'H' && header[1] == 'T' && header[2] == 'T' && header[3] == 'P';
        error_hint(&c->status.error, "%s",
                   http ? "it answers HTTP in the clear; is this the right port?"
                        : "is this the right port?");
        return conn_refuse(c, TT_ALERT_UNEXPECTED_MESSAGE, "the peer does not speak TLS (first byte 0x%02x)",
                           header[0]);
    }
    bool sealed = header[0] == CT_APPLICATION_DATA;
    if (len > (sealed ? REC_MAX_CIPHERTEXT : REC_MAX_PLAINTEXT))
        return conn_refuse(c, TT_ALERT_RECORD_OVERFLOW, "a record of %zu bytes is too long", len);
    *ret_total = REC_HEADER_SIZE + len;
    return TT_OK;
}

/* Add to the record that is being collected, at most up to `total` bytes of it. */
static tt_rc input_collect(struct tt_conn *c, size_t total, const uint8_t *data, size_t len,
                           size_t *ret_taken)
{
    size_t missing = total - buf_size(&c->in);
    *ret_taken = len < missing ? len : missing;
    return buf_append(&c->in, data, *ret_taken);
}

/* Take one record, or the part of it that is there. */
static tt_rc input_step(struct tt_conn *c, const uint8_t *data, size_t len, size_t *ret_taken)
{
    size_t total = 0;
    if (buf_size(&c->in) == 0 && len >= REC_HEADER_SIZE) {
        TT_TRY(input_header(c, data, &total));
        if (len >= total) {
            *ret_taken = total;
            return input_record(c, (struct tt_bytes){data, total});
        }
    }
    if (buf_size(&c->in) < REC_HEADER_SIZE) {
        TT_OWN(c, input_collect(c, REC_HEADER_SIZE, data, len, ret_taken));
        return buf_size(&c->in) < REC_HEADER_SIZE ? TT_OK : input_header(c, buf_front(&c->in), &total);
    }
    TT_TRY(input_header(c, buf_front(&c->in), &total));
    if (buf_reserve(&c->in, total - buf_size(&c->in)) == NULL)
        return conn_broken(c, TT_ERR_MEMORY);
    TT_OWN(c, input_collect(c, total, data, len, ret_taken));
    struct tt_bytes record = buf_bytes(&c->in);
    if (record.len < total || record.data == NULL)
        return TT_OK;
    buf_consume(&c->in, total); /* the bytes stay until the next append */
    return input_record(c, record);
}

tt_rc tt_conn_feed(struct tt_conn *c, const uint8_t *data, size_t len, size_t *ret_consumed)
{
    size_t used = 0;
    if (c->status.error.rc != TT_OK)
        return c->status.error.rc;
    if (c->offloaded)
        return TT_ERR_USAGE;
    while (used < len && !conn_blocked(c, data + used, len - used)) {
        /* "Any data received after a closure alert has been received MUST be ignored." (section 6.1) */
        if (c->read_closed) {
            used = len;
            break;
        }
        size_t taken = 0;
        TT_TRY(input_step(c, data + used, len - used, &taken));
        used += taken;
    }
    *ret_consumed = used;
    return TT_OK;
}

tt_rc tt_conn_feed_eof(struct tt_conn *c)
{
    if (c->status.error.rc != TT_OK || c->read_closed)
        return c->status.error.rc;
    if (conn_in_handshake(c))
        return conn_fail(c, TT_ERR_CLOSED, TT_ALERT_NONE,
                         "the peer closed the connection during the handshake");
    return conn_fail(c, TT_ERR_CLOSED, TT_ALERT_NONE,
                     "the connection ended without close_notify: what was received may be cut off");
}
