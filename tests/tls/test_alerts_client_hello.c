/* tests/tls/test_alerts_client_hello.c: every way in which a ClientHello can be wrong, the first and the
 * second one, with the alert that RFC 9846 names. Where it names none, section 6.2's definitions decide:
 * decode_error for what does not have the form, illegal_parameter for what has it and is wrong. */
#include "tls/edit.h"

/* What RFC 9846 demands here. "TLS 1.3 servers MUST NOT act upon its presence or information in it"
 * (status_request_v2, section 4.5.1.1). Section 2.1: "If no common cryptographic parameters can be
 * negotiated, the server MUST abort the handshake with an appropriate alert." Section 4.2.1: "then the server
 * MUST abort the handshake with a "handshake_failure" or an "insufficient_security" alert." "the server MUST
 * respond with a HelloRetryRequest" "it MUST abort the handshake with either a "handshake_failure" or
 * "insufficient_security" fatal alert" Section 4.2.2: "the server MUST ignore those cipher suites and
 * process the remaining ones as usual." "Servers MUST ignore unrecognized extensions." Section 4.2.4:
 * "Servers MUST ensure that they negotiate the same cipher suite when receiving a conformant updated
 * ClientHello" Section 4.3: "receivers MUST abort the handshake with a "decode_error" alert if there is
 * data left over after parsing the structure." Section 4.3.1: "servers MUST NOT use the
 * ClientHello.legacy_version value for version negotiation and MUST use only the "supported_versions"
 * extension" "Servers MUST only select a version of TLS present in that extension and MUST ignore any
 * unknown versions" "Servers MUST be prepared to receive ClientHellos that include this extension but do
 * not include 0x0304" Section 4.3.3: "then the server MUST abort the handshake with a "missing_extension"
 * alert." Section 4.3.10: "A client MUST NOT include the "early_data" extension in its followup
 * ClientHello." Section 4.5.1.1: "TLS 1.3 servers MUST be able to process ClientHello messages that include
 * it" Section 9.2: "Such a ClientHello message MUST meet the following requirements" "Servers receiving a
 * ClientHello which does not conform to these requirements MUST abort the handshake with a
 * "missing_extension" alert." Section 9.3: "implementations MUST correctly handle extensible fields" "A
 * server receiving a ClientHello MUST correctly ignore all unrecognized cipher suites, extensions, and
 * other parameters." Appendix E.2: "the server MUST negotiate using that extension as described in" "the
 * server only supports versions greater than ClientHello.legacy_version, the server MUST abort the
 * handshake with a "protocol_version" alert" Appendix E.5: "Implementations receiving Hello messages with
 * other version numbers MUST abort the handshake" */

/* Offsets in our own ClientHello, in compatibility mode with three suites. */
enum {
    VERSION = 4,
    RANDOM = 6,
    SESSION_ID = 38,
    SUITES = 71,
    COMPRESSION = 79,
    EXTENSIONS = 81
};

#define CH(text, alert, ...)      ROW(text, PLAIN, SERVER_START, alert, __VA_ARGS__)
#define CH_ALPN(text, alert, ...) ROW(text, ALPN, SERVER_START, alert, __VA_ARGS__)
static const struct row fields[] = {
    CH("unchanged", NONE, {0}),
    CH("legacy_version TLS 1.0", PROTOCOL_VERSION, SET(VERSION, "0301")),
    CH("legacy_version TLS 1.1", PROTOCOL_VERSION, SET(VERSION, "0302")),
    CH("legacy_version TLS 1.3", PROTOCOL_VERSION, SET(VERSION, "0304")),
    CH("legacy_version SSL 3.0", PROTOCOL_VERSION, SET(VERSION, "0300")),
    CH("legacy_session_id of 33 bytes", DECODE_ERROR, SPLICE(SESSION_ID, 1, "2100")),
    CH("legacy_session_id of 1 byte", NONE, SPLICE(SESSION_ID, 33, "0107")),
    CH("no cipher suites", DECODE_ERROR, SPLICE(SUITES, 8, "0000")),
    CH("half a cipher suite", DECODE_ERROR, SPLICE(SUITES, 8, "0003 130113")),
    CH("only unknown suites", HANDSHAKE_FAILURE, SPLICE(SUITES, 8, "0006 0a0a c02f 1304")),
    CH("unknown suites beside a known one", NONE, SPLICE(SUITES, 8, "0006 0a0a 1301 5600")),
    CH("as long as one can be, but for an extension", NONE, SPLICE(SUITES, 8, "fffe 1301 13*65532"),
       ADD(0x7a7b, "00*60000")),
    CH("compression deflate", ILLEGAL_PARAMETER, SET(COMPRESSION, "0101")),
    CH("two compression methods", ILLEGAL_PARAMETER, SPLICE(COMPRESSION, 2, "020001")),
    CH("no compression method", DECODE_ERROR, SPLICE(COMPRESSION, 2, "00")),
    CH("no extensions at all: TLS 1.2", PROTOCOL_VERSION, SPLICE(EXTENSIONS, EDIT_TO_END, "")),
    CH("an empty list of extensions", PROTOCOL_VERSION, SPLICE(EXTENSIONS, EDIT_TO_END, "0000")),
    CH("a byte behind the extensions", DECODE_ERROR, {OP_APPEND, 0, "00", 0}),
    CH("an empty message", DECODE_ERROR, {OP_BODY, 0, "", 0}),
};

static const struct row extensions[] = {
    CH("no supported_versions: TLS 1.2", PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS)),
    CH("only TLS 1.2", PROTOCOL_VERSION, PUT(EXT_SUPPORTED_VERSIONS, "020303")),
    CH("only a draft", PROTOCOL_VERSION, PUT(EXT_SUPPORTED_VERSIONS, "027f1c")),
    CH("TLS 1.3 after others", NONE, PUT(EXT_SUPPORTED_VERSIONS, "06 7a7a 0303 0304")),
    CH("empty supported_versions", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "00")),
    CH("half a version", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "03 0304 03")),
    CH("bytes behind supported_versions", DECODE_ERROR, PUT(EXT_SUPPORTED_VERSIONS, "02 0304 00")),
    CH("no supported_groups", MISSING_EXTENSION, DROP(EXT_SUPPORTED_GROUPS)),
    CH("no key_share", MISSING_EXTENSION, DROP(EXT_KEY_SHARE)),
    CH("no signature_algorithms", MISSING_EXTENSION, DROP(EXT_SIGNATURE_ALGORITHMS)),
    CH("no signature_algorithms_cert", NONE, DROP(EXT_SIGNATURE_ALGORITHMS_CERT)),
    CH("empty supported_groups", DECODE_ERROR, PUT(EXT_SUPPORTED_GROUPS, "0000")),
    CH("half a group", DECODE_ERROR, PUT(EXT_SUPPORTED_GROUPS, "0003 001d00")),
    CH("no group of ours", HANDSHAKE_FAILURE, PUT(EXT_SUPPORTED_GROUPS, "0002 0019"),
       PUT(EXT_KEY_SHARE, "0000")),
    CH("empty signature_algorithms", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS, "0000")),
    CH("half a scheme", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS, "0003 040304")),
    CH("no scheme of ours", HANDSHAKE_FAILURE, PUT(EXT_SIGNATURE_ALGORITHMS, "0004 0401 0804")),
    CH("empty signature_algorithms_cert", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS_CERT, "0000")),
    CH("empty certificate_authorities", DECODE_ERROR, PUT(EXT_CERTIFICATE_AUTHORITIES, "0000")),
    CH("an empty name in certificate_authorities", DECODE_ERROR,
       PUT(EXT_CERTIFICATE_AUTHORITIES, "0005 0001 30 0000")),
    CH("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_VERSIONS, "020304")),
    CH("an unknown extension twice", ILLEGAL_PARAMETER, ADD(0x7a7b, ""), ADD(0x7a7b, "")),
    CH("an unknown extension", NONE, ADD(0x7a7b, "0102")),
    CH("status_request_v2", NONE, ADD(17, "0007 02 0004 0000 0000")),
    CH("oid_filters, which is CertificateRequest's", ILLEGAL_PARAMETER, ADD(EXT_OID_FILTERS, "0000")),
    CH("pre_shared_key not last", ILLEGAL_PARAMETER, {OP_FIRST, EXT_PRE_SHARED_KEY, "00", 0}),
    CH("a list of extensions cut off", DECODE_ERROR,
       {OP_BODY, 0, "0303 00*32 00 0002 1301 0100 0003 002b00", 0}),
    CH("cookie in a first ClientHello", NONE, ADD(EXT_COOKIE, "0002 abcd")),
    CH("an algorithm of certificate compression", NONE, ADD(EXT_COMPRESS_CERTIFICATE, "04 0001 0002")),
    CH("the same one twice", ILLEGAL_PARAMETER, ADD(EXT_COMPRESS_CERTIFICATE, "06 0001 0002 0001")),
    CH("half an algorithm", DECODE_ERROR, ADD(EXT_COMPRESS_CERTIFICATE, "03 0001 00")),
    CH("empty cookie", DECODE_ERROR, ADD(EXT_COOKIE, "0000")),
    CH("server_name without a name", DECODE_ERROR, PUT(EXT_SERVER_NAME, "0000")),
    CH("empty server_name", DECODE_ERROR, PUT(EXT_SERVER_NAME, "")),
    CH("empty host_name", DECODE_ERROR, PUT(EXT_SERVER_NAME, "0003 00 0000")),
    CH("two host_names", DECODE_ERROR, PUT(EXT_SERVER_NAME, "0008 00 000161 00 000162")),
    CH("a zero byte in host_name", DECODE_ERROR, PUT(EXT_SERVER_NAME, "0006 00 0003 610062")),
    CH_ALPN("no protocol of ours", NO_APPLICATION_PROTOCOL, PUT(EXT_ALPN, "0003 02 6832")),
    CH_ALPN("ours is the second", NONE, PUT(EXT_ALPN, "0008 02 6832 04 6d717474")),
    CH_ALPN("no ALPN offered", NONE, DROP(EXT_ALPN)),
    CH_ALPN("empty ALPN", DECODE_ERROR, PUT(EXT_ALPN, "0000")),
    CH_ALPN("empty protocol name", DECODE_ERROR, PUT(EXT_ALPN, "0006 04 6d717474 00")),
    CH("ALPN to a server without it", NONE, PUT(EXT_ALPN, "0003 02 6832")),
};

static const struct row shares[] = {
    CH("no shares: HelloRetryRequest", NONE, PUT(EXT_KEY_SHARE, "0000")),
    CH("empty share", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0004 001d 0000")),
    CH("share cut off", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0003 001d00")),
    CH("share longer than the list", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0006 001d 0020 09 09")),
    CH("list longer than the extension", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0025 001d 0020 09*32")),
    CH("bytes behind the list", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0024 001d 0020 09*32 00")),
    CH("X25519", NONE, PUT(EXT_KEY_SHARE, "0024 001d 0020 09 00*31")),
    CH("X25519 of 31 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0023 001d 001f 09*31")),
    CH("X25519 of 33 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0025 001d 0021 09*33")),
    CH("X25519 zero", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 00*32")),
    CH("X25519 one", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 01 00*31")),
    CH("X25519 p-1", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 ec ff*30 7f")),
    CH("X25519 p", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 ed ff*30 7f")),
    CH("X25519 p+1", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 ee ff*30 7f")),
    CH("X25519 of order 8", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0024 001d 0020 e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")),
    CH("X25519 of order 8, the other", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0024 001d 0020 5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")),
    CH("X25519 with the top bit set", NONE, PUT(EXT_KEY_SHARE, "0024 001d 0020 09 00*30 80")),
    CH("P-256", NONE, PUT(EXT_KEY_SHARE, "0045 0017 0041 04" P256_X P256_Y)),
    CH("P-256 empty", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0004 0017 0000")),
    CH("P-256 of 64 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0044 0017 0040" P256_X P256_Y)),
    CH("P-256 of 66 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0046 0017 0042 04" P256_X P256_Y "00")),
    CH("P-256 zero", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0045 0017 0041 00*65")),
    CH("P-256 (0, 0)", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0045 0017 0041 04 00*64")),
    CH("P-256 infinity", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0005 0017 0001 00")),
    CH("P-256 compressed", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0025 0017 0021 03" P256_X)),
    CH("P-256 hybrid", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0045 0017 0041 07" P256_X P256_Y)),
    CH("P-256 off the curve", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0045 0017 0041 04" P256_X P256_X)),
    CH("P-256 coordinate not reduced", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0045 0017 0041 04" P256_P P256_Y)),
    CH("P-256 coordinate of all ones", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0045 0017 0041 04" P256_X "ff*32")),
    CH("P-384", NONE, PUT(EXT_KEY_SHARE, "0065 0018 0061 04" P384_X P384_Y)),
    CH("P-384 empty", DECODE_ERROR, PUT(EXT_KEY_SHARE, "0004 0018 0000")),
    CH("P-384 of 96 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0064 0018 0060" P384_X P384_Y)),
    CH("P-384 of 98 bytes", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0066 0018 0062 04" P384_X P384_Y "00")),
    CH("P-384 zero", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0065 0018 0061 00*97")),
    CH("P-384 (0, 0)", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0065 0018 0061 04 00*96")),
    CH("P-384 infinity", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0005 0018 0001 00")),
    CH("P-384 compressed", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0035 0018 0031 03" P384_X)),
    CH("P-384 off the curve", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0065 0018 0061 04" P384_X P384_X)),
    CH("P-384 of P-256's length", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0045 0018 0041 04" P256_X P256_Y)),
    CH("a share twice", ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0048 001d 0020 09*32 001d 0020 09*32")),
    CH("a share for a group that is not in supported_groups", ILLEGAL_PARAMETER,
       PUT(EXT_KEY_SHARE, "0060 001d 0020 09*32 0019 0038 05*56")),
    CH("a share for a group we do not know", NONE, PUT(EXT_SUPPORTED_GROUPS, "0004 7a7a 001d"),
       PUT(EXT_KEY_SHARE, "0029 7a7a 0001 00 001d 0020 09*32")),
};

#define CH2(text, kind, alert, ...) ROW(text, kind, SERVER_WAIT_CH2, alert, __VA_ARGS__)

/* Section 4.2.2: what may change after a HelloRetryRequest, and what may not. */
static const struct row second_client_hello[] = {
    CH2("unchanged", COOKIE, NONE, {0}),
    CH2("unchanged", GROUP, NONE, {0}),
    CH2("another legacy_version", COOKIE, PROTOCOL_VERSION, SET(VERSION, "0304")),
    CH2("another random", COOKIE, ILLEGAL_PARAMETER, XOR(RANDOM)),
    CH2("another legacy_session_id", COOKIE, ILLEGAL_PARAMETER, XOR(SESSION_ID + 1)),
    CH2("no legacy_session_id", COOKIE, ILLEGAL_PARAMETER, SPLICE(SESSION_ID, 33, "00")),
    CH2("suites in another order", COOKIE, ILLEGAL_PARAMETER, SPLICE(SUITES, 8, "0006 1302 1301 1303")),
    CH2("one suite less", COOKIE, ILLEGAL_PARAMETER, SPLICE(SUITES, 8, "0004 1301 1302")),
    CH2("one suite more", COOKIE, ILLEGAL_PARAMETER, SPLICE(SUITES, 8, "0008 1301 1302 1303 1304")),
    CH2("the suite that was chosen is gone", COOKIE, ILLEGAL_PARAMETER, SPLICE(SUITES, 8, "0002 1303")),
    CH2("compression", COOKIE, ILLEGAL_PARAMETER, SET(COMPRESSION, "0101")),
    CH2("another supported_versions", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_VERSIONS, "04 0304 0303")),
    CH2("TLS 1.2 now", COOKIE, PROTOCOL_VERSION, PUT(EXT_SUPPORTED_VERSIONS, "02 0303")),
    CH2("no supported_versions", COOKIE, PROTOCOL_VERSION, DROP(EXT_SUPPORTED_VERSIONS)),
    CH2("no server_name", COOKIE, ILLEGAL_PARAMETER, DROP(EXT_SERVER_NAME)),
    CH2("another server_name", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_SERVER_NAME, "0004 00 0001 61")),
    CH2("other groups", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_SUPPORTED_GROUPS, "0004 001d 0017")),
    CH2("other signature_algorithms", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_SIGNATURE_ALGORITHMS, "0002 0403")),
    CH2("no signature_algorithms_cert", COOKIE, ILLEGAL_PARAMETER, DROP(EXT_SIGNATURE_ALGORITHMS_CERT)),
    CH2("no signature_algorithms", COOKIE, MISSING_EXTENSION, DROP(EXT_SIGNATURE_ALGORITHMS)),
    CH2("no key_share", COOKIE, MISSING_EXTENSION, DROP(EXT_KEY_SHARE)),
    CH2("the same extensions in another order", COOKIE, NONE, DROP(EXT_SUPPORTED_VERSIONS),
        {OP_FIRST, EXT_SUPPORTED_VERSIONS, "02 0304", 0}),
    CH2("a new extension", COOKIE, ILLEGAL_PARAMETER, ADD(0x7a7b, "")),
    CH2("padding may come", COOKIE, NONE, ADD(EXT_PADDING, "00*40")),
    CH2("encrypted_client_hello may change", COOKIE, NONE,
        ADD(EXT_ENCRYPTED_CLIENT_HELLO, "00 0001 0001 07 0000 0010 5a*16")),
    CH2("early_data", COOKIE, ILLEGAL_PARAMETER, ADD(EXT_EARLY_DATA, "")),
    CH2("no cookie", COOKIE, MISSING_EXTENSION, DROP(EXT_COOKIE)),
    CH2("an empty cookie", COOKIE, DECODE_ERROR, PUT(EXT_COOKIE, "0000")),
    CH2("a cookie that nobody sent", GROUP, ILLEGAL_PARAMETER, PUT(EXT_COOKIE, "0001 00")),
    CH2("another cookie", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_COOKIE, "0020 00*32")),
    CH2("a shorter cookie", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_COOKIE, "0001 00")),
    CH2("a longer cookie", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_COOKIE, "0021 00*33")),
    CH2("no shares", COOKIE, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0000")),
    CH2("no shares", GROUP, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0000")),
    CH2("the share of before", GROUP, ILLEGAL_PARAMETER, PUT(EXT_KEY_SHARE, "0024 001d 0020 09*32")),
    CH2("a share of ours that was not asked for", GROUP, ILLEGAL_PARAMETER,
        PUT(EXT_KEY_SHARE, "0045 0017 0041 04" P256_X P256_Y)),
    CH2("the share asked for and another", GROUP, ILLEGAL_PARAMETER,
        PUT(EXT_KEY_SHARE, "0089 0018 0061 04" P384_X P384_Y "001d 0020 09*32")),
    CH2("the share asked for, off the curve", GROUP, ILLEGAL_PARAMETER,
        PUT(EXT_KEY_SHARE, "0065 0018 0061 04" P384_X P384_X)),
    CH2("an extension twice", COOKIE, ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_VERSIONS, "020304")),
};

int main(void)
{
    const struct row_table tables[] = {{fields, TT_COUNT(fields)},
                                       {extensions, TT_COUNT(extensions)},
                                       {shares, TT_COUNT(shares)},
                                       {second_client_hello, TT_COUNT(second_client_hello)}};
    return rows_main("tls/alerts_client_hello", tables, TT_COUNT(tables));
}
