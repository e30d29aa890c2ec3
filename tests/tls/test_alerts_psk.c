/* tests/tls/test_alerts_psk.c: every way in which pre_shared_key, psk_key_exchange_modes and early_data can
 * be wrong, with the alert that RFC 9846 sections 4.3.9 to 4.3.11 and 4.6 name. */
#include "tls/edit.h"

/* What RFC 9846 demands here. Section 4.3.9: "To use PSKs, clients MUST also send a
 * "psk_key_exchange_modes" extension." "A client MUST provide a "psk_key_exchange_modes" extension if it
 * offers a "pre_shared_key" extension." Section 4.3.11: "Prior to accepting PSK key establishment, the
 * server MUST validate the corresponding binder value" "Servers MUST check that it is the last extension
 * and otherwise fail the handshake with an "illegal_parameter" alert." Section 4.3: "with the exception of
 * "pre_shared_key" which MUST be the last extension in the ClientHello" Section 9.2:
 * ""psk_key_exchange_modes" is REQUIRED for PSK key agreement" */

#define CH(text, alert, ...) ROW(text, RESUME, SERVER_START, alert, __VA_ARGS__)
#define SH(text, alert, ...) ROW(text, RESUME, CLIENT_WAIT_SH, alert, __VA_ARGS__)

static const struct row client_hello[] = {
    CH("unchanged", NONE, {0}),
    CH("a wrong binder", DECRYPT_ERROR, XOR_END(1)),
    CH("a wrong binder, its first byte", DECRYPT_ERROR, XOR_END(32)),
    CH("a change that the binder covers", DECRYPT_ERROR, XOR(6)),
    CH("a ticket nobody knows", NONE, PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0021 20 00*32")),
    CH("more binders than identities", ILLEGAL_PARAMETER,
       PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0042 20 00*32 20 00*32")),
    CH("more identities than binders", ILLEGAL_PARAMETER,
       PUT(EXT_PRE_SHARED_KEY, "0010 0002 abcd 00000000 0002 abce 00000000 0021 20 00*32")),
    CH("no identity", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "0000 0021 20 00*32")),
    CH("an empty identity", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "0006 0000 00000000 0021 20 00*32")),
    CH("no binder", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0000")),
    CH("no list of binders", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000")),
    CH("a binder of 31 bytes", DECODE_ERROR,
       PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0020 1f 00*31")),
    CH("a byte behind the binders", DECODE_ERROR,
       PUT(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0021 20 00*32 00")),
    CH("an identity cut off", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "0007 0002 abcd 000000 0021 20 00*32")),
    CH("pre_shared_key is not the last one", ILLEGAL_PARAMETER, ADD(0x7a7b, "")),
    CH("pre_shared_key is the first one", ILLEGAL_PARAMETER, DROP(EXT_PRE_SHARED_KEY),
       {OP_FIRST, EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0021 20 00*32", 0}),
    CH("pre_shared_key twice", ILLEGAL_PARAMETER,
       ADD(EXT_PRE_SHARED_KEY, "0008 0002 abcd 00000000 0021 20 00*32")),
    CH("no psk_key_exchange_modes", MISSING_EXTENSION, DROP(EXT_PSK_KEY_EXCHANGE_MODES)),
    CH("empty psk_key_exchange_modes", DECODE_ERROR, PUT(EXT_PSK_KEY_EXCHANGE_MODES, "00")),
    CH("only psk_ke: a full handshake", NONE, PUT(EXT_PSK_KEY_EXCHANGE_MODES, "0100")),
    CH("modes nobody knows: a full handshake", NONE, PUT(EXT_PSK_KEY_EXCHANGE_MODES, "02 0a 1a")),
    CH("bytes behind psk_key_exchange_modes", DECODE_ERROR, PUT(EXT_PSK_KEY_EXCHANGE_MODES, "01 01 00")),
    CH("supported_groups without key_share", MISSING_EXTENSION, DROP(EXT_KEY_SHARE)),
    CH("key_share without supported_groups", MISSING_EXTENSION, DROP(EXT_SUPPORTED_GROUPS)),
    CH("early_data is not empty", DECODE_ERROR, {OP_FIRST, EXT_EARLY_DATA, "00", 0}),
};

/* The second ClientHello may leave out PSKs that do not fit the suite, no others (section 4.2.2). */
static const struct row second_client_hello[] = {
    ROW("the second unchanged", RESUME_RETRY, SERVER_WAIT_CH2, NONE, {0}),
    ROW("the second without its PSK", RESUME_RETRY, SERVER_WAIT_CH2, MISSING_EXTENSION,
        DROP(EXT_PRE_SHARED_KEY)),
    ROW("the second with a wrong binder", RESUME_RETRY, SERVER_WAIT_CH2, DECRYPT_ERROR, XOR_END(1)),
};

static const struct row server_hello[] = {
    SH("unchanged", NONE, {0}),
    SH("the second of one identity", ILLEGAL_PARAMETER, PUT(EXT_PRE_SHARED_KEY, "0001")),
    SH("identity 65535", ILLEGAL_PARAMETER, PUT(EXT_PRE_SHARED_KEY, "ffff")),
    SH("half an identity", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "00")),
    SH("bytes behind the identity", DECODE_ERROR, PUT(EXT_PRE_SHARED_KEY, "000000")),
    SH("pre_shared_key twice", ILLEGAL_PARAMETER, ADD(EXT_PRE_SHARED_KEY, "0000")),
    SH("no pre_shared_key: a full handshake", NONE, DROP(EXT_PRE_SHARED_KEY)),
    SH("a suite of another hash", ILLEGAL_PARAMETER, SET(71, "1302")),
    SH("another suite of the same hash", NONE, SET(71, "1303")),
    SH("pre_shared_key without key_share: psk_ke, which was not offered", ILLEGAL_PARAMETER,
       DROP(EXT_KEY_SHARE)),
};

static const struct row early_data[] = {
    ROW("a ServerHello of TLS 1.2 after 0-RTT", EARLY, CLIENT_WAIT_SH, PROTOCOL_VERSION,
        DROP(EXT_SUPPORTED_VERSIONS)),
    ROW("EncryptedExtensions unchanged", EARLY, CLIENT_WAIT_EE, NONE, {0}),
    ROW("early_data is refused", EARLY, CLIENT_WAIT_EE, NONE, DROP(EXT_EARLY_DATA)),
    ROW("early_data is not empty", EARLY, CLIENT_WAIT_EE, DECODE_ERROR, PUT(EXT_EARLY_DATA, "00000001")),
    ROW("early_data twice", EARLY, CLIENT_WAIT_EE, ILLEGAL_PARAMETER, ADD(EXT_EARLY_DATA, "")),
    ROW("early_data where it was not offered", RESUME, CLIENT_WAIT_EE, UNSUPPORTED_EXTENSION,
        ADD(EXT_EARLY_DATA, "")),
    ROW("EndOfEarlyData unchanged", EARLY, SERVER_WAIT_EOED, NONE, {0}),
    ROW("EndOfEarlyData is not empty", EARLY, SERVER_WAIT_EOED, DECODE_ERROR, BODY("00")),
    ROW("Finished unchanged", RESUME, SERVER_WAIT_FINISHED, NONE, {0}),
    ROW("Finished wrong", RESUME, SERVER_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
    ROW("the server's Finished wrong", RESUME, CLIENT_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
    ROW("Finished wrong, after 0-RTT", EARLY, SERVER_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
};

int main(void)
{
    const struct row_table tables[] = {{client_hello, TT_COUNT(client_hello)},
                                       {second_client_hello, TT_COUNT(second_client_hello)},
                                       {server_hello, TT_COUNT(server_hello)},
                                       {early_data, TT_COUNT(early_data)}};
    return rows_main("tls/alerts_psk", tables, TT_COUNT(tables));
}
