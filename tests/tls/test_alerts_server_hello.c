/* tests/tls/test_alerts_server_hello.c: every way in which a ServerHello and a HelloRetryRequest can be
 * wrong, with the alert that RFC 9846 sections 4.2.3, 4.2.4 and 4.3 name. */
#include "tls/edit.h"

/* What RFC 9846 demands here. Section 2: "the server's share MUST be in the same group as one of the
 * client's shares." Section 4.2.3: "legacy_version value not equal to 0x0303 MUST abort the handshake with
 * a "protocol_version" alert." "A client which receives a legacy_session_id_echo field that does not match
 * what it sent in the ClientHello MUST abort the handshake" "A client which receives a cipher suite that
 * was not offered MUST abort the handshake" "with any other value in this field, the client MUST abort the
 * handshake with an "illegal_parameter" alert." "All TLS 1.3 ServerHello messages MUST contain the
 * "supported_versions" extension." "implementations MUST first examine the Random value and, if it matches
 * this value, process it" Section 4.2.4: "A client which receives a cipher suite that was not offered MUST
 * abort the handshake" "the client MUST check the legacy_version, legacy_session_id_echo, cipher_suite, and
 * legacy_compression_method" "A HelloRetryRequest MUST NOT contain any extensions that were not first
 * offered by the client" "Otherwise, the client MUST process all extensions in the HelloRetryRequest and
 * send a second updated ClientHello." "MUST be retained in the ServerHello, and a client MUST abort the
 * handshake with an "illegal_parameter" alert if the value changes." Section 4.3.1: "clients MUST check for
 * this extension prior to processing the rest of the ServerHello." "clients MUST ignore the
 * ServerHello.legacy_version value and MUST use only the "supported_versions" extension" Section 4.3.8:
 * "This value MUST be in the same group as the KeyShareEntry value offered by the client" "the client MUST
 * verify that the selected NamedGroup in the ServerHello is the same as that in the HelloRetryRequest." "If
 * this check fails, the client MUST abort the handshake with an "illegal_parameter" alert." Appendix E.1:
 * "the client MUST abort the handshake with a "protocol_version" alert." Appendix E.3: "MUST fail a
 * connection if it receives a ServerHello with TLS 1.2 or older." */

/* Offsets in the server's ServerHello, where the client is in compatibility mode. */
enum {
    VERSION = 4,
    RANDOM = 6,
    SESSION_ID = 38,
    SUITE = 71,
    COMPRESSION = 73,
    EXTENSIONS = 74
};

#define SH(text, alert, ...)            ROW(text, PLAIN, CLIENT_WAIT_SH, alert, __VA_ARGS__)
#define HRR(text, alert, ...)           ROW(text, GROUP_COOKIE, CLIENT_WAIT_SH, alert, __VA_ARGS__)
#define SH2(text, kind, alert, ...)     ROW_AFTER(1, text, kind, CLIENT_WAIT_SH, alert, __VA_ARGS__)
#define SH_KIND(text, kind, alert, ...) ROW(text, kind, CLIENT_WAIT_SH, alert, __VA_ARGS__)

static const struct row fields[] = {
    SH("unchanged", NONE, {0}),
    SH("legacy_version TLS 1.3", PROTOCOL_VERSION, SET(VERSION, "0304")),
    SH("legacy_version TLS 1.1", PROTOCOL_VERSION, SET(VERSION, "0302")),
    SH("a random of zeros", NONE, SET(RANDOM, "00*32")),
    SH("another legacy_session_id_echo", ILLEGAL_PARAMETER, XOR(SESSION_ID + 1)),
    SH("no legacy_session_id_echo", ILLEGAL_PARAMETER, SPLICE(SESSION_ID, 33, "00")),
    SH("half of legacy_session_id_echo", ILLEGAL_PARAMETER, SPLICE(SESSION_ID, 17, "10")),
    SH("legacy_session_id_echo of 33 bytes", DECODE_ERROR, SPLICE(SESSION_ID, 1, "2100")),
    SH_KIND("legacy_session_id_echo of nothing", NO_COMPAT, ILLEGAL_PARAMETER, SPLICE(SESSION_ID, 1, "0100")),
    SH("a suite that was not offered", ILLEGAL_PARAMETER, SET(SUITE, "1304")),
    SH("a suite of TLS 1.2", ILLEGAL_PARAMETER, SET(SUITE, "c02f")),
    SH("TLS_NULL_WITH_NULL_NULL", ILLEGAL_PARAMETER, SET(SUITE, "0000")),
    SH_KIND("a suite we know and did not offer", SHA384, ILLEGAL_PARAMETER, SET(SUITE, "1301")),
    SH("compression", ILLEGAL_PARAMETER, SET(COMPRESSION, "01")),
    SH("a byte behind the extensions", DECODE_ERROR, APPEND("00")),
    SH("an empty message", DECODE_ERROR, BODY("")),
};

static const struct row versions[] = {
    SH("TLS 1.2", PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS)),
    SH("TLS 1.2 without extensions", PROTOCOL_VERSION, SPLICE(EXTENSIONS, EDIT_TO_END, "")),
    SH("TLS 1.1", PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS), SET(VERSION, "0302")),
    SH("TLS 1.2 with the downgrade sentinel", ILLEGAL_PARAMETER, DROP(EXT_SUPPORTED_VERSIONS),
       SET(RANDOM + 24, "444f574e47524401")),
    SH("TLS 1.1 with the downgrade sentinel", ILLEGAL_PARAMETER, DROP(EXT_SUPPORTED_VERSIONS),
       SET(RANDOM + 24, "444f574e47524400")),
    SH("TLS 1.2 with almost the sentinel", PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS),
       SET(RANDOM + 24, "444f574e47524402")),
    SH("TLS 1.3 with the sentinel, where it means nothing", NONE, SET(RANDOM + 24, "444f574e47524401")),
    SH("supported_versions says TLS 1.2", ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "0303")),
    SH("supported_versions says a draft", ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "7f1c")),
    SH("supported_versions says TLS 1.4", ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "0305")),
    SH("supported_versions is short", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "03")),
    SH("supported_versions is a list", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "020304")),
    SH("supported_versions is empty", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "")),
};

static const struct row extensions[] = {
    SH("no key_share", MISSING_EXTENSION, DROP(EXT_KEY_SHARE)),
    SH("an unknown extension", UNSUPPORTED_EXTENSION, ADD(0x7a7b, "")),
    SH("pre_shared_key without a PSK", UNSUPPORTED_EXTENSION, ADD(EXT_PRE_SHARED_KEY, "0000")),
    SH("cookie, which is HelloRetryRequest's", ILLEGAL_PARAMETER, ADD(EXT_COOKIE, "000100")),
    SH("ALPN, which is EncryptedExtensions'", ILLEGAL_PARAMETER, ADD(EXT_ALPN, "0003 02 6832")),
    SH("server_name, which is EncryptedExtensions'", ILLEGAL_PARAMETER, ADD(EXT_SERVER_NAME, "")),
    SH("supported_groups, which is EncryptedExtensions'", ILLEGAL_PARAMETER,
       ADD(EXT_SUPPORTED_GROUPS, "0002001d")),
    SH("signature_algorithms", ILLEGAL_PARAMETER, ADD(EXT_SIGNATURE_ALGORITHMS, "00020403")),
    SH("early_data", ILLEGAL_PARAMETER, ADD(EXT_EARLY_DATA, "")),
    SH("psk_key_exchange_modes", ILLEGAL_PARAMETER, ADD(EXT_PSK_KEY_EXCHANGE_MODES, "0101")),
    SH("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_VERSIONS, "0304")),
    SH("a list of extensions cut off", DECODE_ERROR,
       SPLICE(EXTENSIONS, EDIT_TO_END, "0009 002b 0002 0304 0033 00")),
};

static const struct row shares[] = {
    SH("empty share", DECODE_ERROR, PUT(EXT_KEY_SHARE, "001d 0000")),
    SH("share cut off", DECODE_ERROR, PUT(EXT_KEY_SHARE, "001d 0020 09*31")),
    SH("bytes behind the share", DECODE_ERROR, PUT(EXT_KEY_SHARE, "001d 0020 09*32 00")),
    SH("HelloRetryRequest's form", DECODE_ERROR, PUT(EXT_KEY_SHARE, "001d")),
    SH("X25519", NONE, PUT(EXT_KEY_SHARE, "001d 0020 09 00*31")),
    SH("X25519 of 31 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d 001f 09*31")),
    SH("X25519 of 33 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d 0021 09*33")),
    SH("X25519 zero", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d 0020 00*32")),
    SH("X25519 of small order", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d 0020 ec ff*30 7f")),
    SH("a group without a share of ours", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0017 0041 04" P256_X P256_Y)),
    SH("a group that was not offered", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0019 0038 05*56")),
    SH("a group nobody knows", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "7a7a 0001 00")),
    SH_KIND("P-256", P256, NONE, PUT(EXT_KEY_SHARE, "0017 0041 04" P256_X P256_Y)),
    SH_KIND("P-256 empty", P256, DECODE_ERROR, PUT(EXT_KEY_SHARE, "0017 0000")),
    SH_KIND("P-256 of 64 bytes", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0040" P256_X P256_Y)),
    SH_KIND("P-256 of 66 bytes", P256, ILLEGAL_PARAMETER,
            PUT(EXT_KEY_SHARE, "0017 0042 04" P256_X P256_Y "00")),
    SH_KIND("P-256 zero", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0041 00*65")),
    SH_KIND("P-256 infinity", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0001 00")),
    SH_KIND("P-256 compressed", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0021 03" P256_X)),
    SH_KIND("P-256 hybrid", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0041 07" P256_X P256_Y)),
    SH_KIND("P-256 off the curve", P256, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0017 0041 04" P256_X P256_X)),
    SH_KIND("P-384", P384, NONE, PUT(EXT_KEY_SHARE, "0018 0061 04" P384_X P384_Y)),
    SH_KIND("P-384 of 96 bytes", P384, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0018 0060" P384_X P384_Y)),
    SH_KIND("P-384 of 98 bytes", P384, ILLEGAL_PARAMETER,
            PUT(EXT_KEY_SHARE, "0018 0062 04" P384_X P384_Y "00")),
    SH_KIND("P-384 zero", P384, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0018 0061 00*97")),
    SH_KIND("P-384 off the curve", P384, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0018 0061 04" P384_X P384_X)),
};

static const struct row retries[] = {
    HRR("HelloRetryRequest unchanged", NONE, {0}),
    HRR("legacy_version TLS 1.3", PROTOCOL_VERSION, SET(VERSION, "0304")),
    HRR("another legacy_session_id_echo", ILLEGAL_PARAMETER, XOR(SESSION_ID + 1)),
    HRR("a suite that was not offered", ILLEGAL_PARAMETER, SET(SUITE, "1304")),
    HRR("compression", ILLEGAL_PARAMETER, SET(COMPRESSION, "01")),
    HRR("no supported_versions", PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS)),
    HRR("supported_versions says TLS 1.2", ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "0303")),
    HRR("asks for nothing", ILLEGAL_PARAMETER, DROP(EXT_KEY_SHARE), DROP(EXT_COOKIE)),
    HRR("asks for the share it has", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d"), DROP(EXT_COOKIE)),
    HRR("asks for the share it has, with a cookie", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d")),
    HRR("asks for a group that was not offered", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0019")),
    HRR("asks for a group nobody knows", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "7a7a")),
    HRR("key_share is short", DECODE_ERROR, PUT(EXT_KEY_SHARE, "00")),
    HRR("key_share is a ServerHello's", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0018 0061 04" P384_X P384_Y)),
    HRR("a group and no cookie", NONE, DROP(EXT_COOKIE)),
    HRR("a cookie and no group", NONE, DROP(EXT_KEY_SHARE)),
    HRR("an empty cookie", DECODE_ERROR, PUT(EXT_COOKIE, "0000")),
    HRR("a cookie cut off", DECODE_ERROR, PUT(EXT_COOKIE, "0002aa")),
    HRR("bytes behind the cookie", DECODE_ERROR, PUT(EXT_COOKIE, "0001aabb")),
    HRR("an unknown extension", UNSUPPORTED_EXTENSION, ADD(0x7a7b, "")),
    HRR("ALPN", ILLEGAL_PARAMETER, ADD(EXT_ALPN, "0003 02 6832")),
    HRR("pre_shared_key", ILLEGAL_PARAMETER, ADD(EXT_PRE_SHARED_KEY, "0000")),
    HRR("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_KEY_SHARE, "0018")),
    SH_KIND("a cookie alone is gone", COOKIE, ILLEGAL_PARAMETER, DROP(EXT_COOKIE)),
};

#define RETRY_RANDOM "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"

static const struct row after_retry[] = {
    SH2("ServerHello after a retry", GROUP, NONE, {0}),
    SH2("another suite than before", COOKIE, ILLEGAL_PARAMETER, SET(SUITE, "1303")),
    SH2("another suite of another hash than before", COOKIE, ILLEGAL_PARAMETER, SET(SUITE, "1302")),
    SH2("another version than before", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "0303")),
    SH2("TLS 1.2 after all", COOKIE, PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS)),
    SH2("another group than asked for", GROUP, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "001d 0020 09 00*31")),
    SH2("another group than asked for, in supported_groups", GROUP, ILLEGAL_PARAMETER,
        PUT(EXT_KEY_SHARE, "0017 0041 04" P256_X P256_Y)),
    SH2("a second HelloRetryRequest", GROUP, UNEXPECTED_MESSAGE, SET(RANDOM, RETRY_RANDOM),
        PUT(EXT_KEY_SHARE, "0017")),
    SH2("a second HelloRetryRequest with a cookie", COOKIE, UNEXPECTED_MESSAGE, SET(RANDOM, RETRY_RANDOM),
        PUT(EXT_COOKIE, "0001aa")),
    SH2("cookie in ServerHello", COOKIE, ILLEGAL_PARAMETER, ADD(EXT_COOKIE, "000100")),
};

int main(void)
{
    const struct row_table tables[] = {
        {fields, TT_COUNT(fields)}, {versions, TT_COUNT(versions)}, {extensions, TT_COUNT(extensions)},
        {shares, TT_COUNT(shares)}, {retries, TT_COUNT(retries)},   {after_retry, TT_COUNT(after_retry)}};
    return rows_main("tls/alerts_server_hello", tables, TT_COUNT(tables));
}
