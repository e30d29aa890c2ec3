/* tests/tls/test_alerts_auth.c: every way in which EncryptedExtensions, CertificateRequest, Certificate,
 * CertificateVerify and Finished can be wrong, from either end, with the alert that RFC 9846 sections 4.4 and
 * 4.5 name. */
#include "tls/edit.h"

/* What RFC 9846 demands here. Section 4.3.3: "The keys found in certificates MUST also be of appropriate
 * type for the signature algorithms they are used with." "In particular, MD5" "MD5, SHA-224, and DSA MUST
 * NOT be used" Section 4.3.5: "the client MUST ignore and skip any unrecognized certificate extension
 * OIDs." Section 4.4.1: "The client MUST check EncryptedExtensions for the presence of any forbidden
 * extensions" Section 4.4.2: "Clients MUST ignore unrecognized extensions." Section 4.5.1: "this field
 * SHALL be zero length." "Extensions in the Certificate message from the server MUST correspond to ones
 * from the ClientHello message." "Extensions in the Certificate message from the client MUST correspond to
 * extensions in the CertificateRequest message" "The server's certificate_list MUST always be non-empty."
 * Section 4.5.2: "The SHA-1 algorithm MUST NOT be used in any signatures of CertificateVerify messages."
 * "The receiver of a CertificateVerify message MUST verify the signature field." "the receiver MUST
 * terminate the handshake with a "decrypt_error" alert." Section 6: "Peers which receive a message which
 * cannot be parsed according to the syntax" Section 9.3: "a client receiving a CertificateRequest or
 * NewSessionTicket MUST also ignore all unrecognized extensions." */

#define EE(text, alert, ...)        ROW(text, PLAIN, CLIENT_WAIT_EE, alert, __VA_ARGS__)
#define EE_ALPN(text, alert, ...)   ROW(text, ALPN, CLIENT_WAIT_EE, alert, __VA_ARGS__)
#define CR(text, alert, ...)        ROW(text, AUTH, CLIENT_WAIT_CERT_CR, alert, __VA_ARGS__)
#define CT(text, alert, ...)        ROW(text, PLAIN, CLIENT_WAIT_CERT_CR, alert, __VA_ARGS__)
#define CT_CLIENT(text, alert, ...) ROW(text, AUTH, SERVER_WAIT_CERT, alert, __VA_ARGS__)
#define CV(text, alert, ...)        ROW(text, PLAIN, CLIENT_WAIT_CV, alert, __VA_ARGS__)
#define CV_CLIENT(text, alert, ...) ROW(text, AUTH, SERVER_WAIT_CV, alert, __VA_ARGS__)

static const struct row encrypted_extensions[] = {
    EE("unchanged", NONE, {0}),
    EE("no extensions", NONE, BODY("0000")),
    EE("an unknown extension", UNSUPPORTED_EXTENSION, ADD(0x7a7b, "")),
    EE("ALPN, not asked for", UNSUPPORTED_EXTENSION, ADD(EXT_ALPN, "0003 02 6832")),
    EE("early_data, not asked for", UNSUPPORTED_EXTENSION, ADD(EXT_EARLY_DATA, "")),
    EE("record_size_limit, not asked for", UNSUPPORTED_EXTENSION, ADD(EXT_RECORD_SIZE_LIMIT, "4001")),
    EE("client_certificate_type, not asked for", UNSUPPORTED_EXTENSION,
       ADD(EXT_CLIENT_CERTIFICATE_TYPE, "00")),
    EE("key_share, which is ServerHello's", ILLEGAL_PARAMETER, ADD(EXT_KEY_SHARE, "001d")),
    EE("supported_versions, which is ServerHello's", ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_VERSIONS, "0304")),
    EE("cookie, which is HelloRetryRequest's", ILLEGAL_PARAMETER, ADD(EXT_COOKIE, "000100")),
    EE("signature_algorithms, a request", ILLEGAL_PARAMETER, ADD(EXT_SIGNATURE_ALGORITHMS, "00020403")),
    EE("pre_shared_key, which is ServerHello's", ILLEGAL_PARAMETER, ADD(EXT_PRE_SHARED_KEY, "0000")),
    EE("status_request, which is Certificate's", ILLEGAL_PARAMETER, ADD(EXT_STATUS_REQUEST, "")),
    EE("server_name is not empty", DECODE_ERROR, PUT(EXT_SERVER_NAME, "00")),
    EE("supported_groups may come", NONE, ADD(EXT_SUPPORTED_GROUPS, "0004 001d 11ec")),
    EE("supported_groups is empty", DECODE_ERROR, ADD(EXT_SUPPORTED_GROUPS, "0000")),
    EE("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_SERVER_NAME, "")),
    EE("an extension cut off", DECODE_ERROR, BODY("0003 000000")),
    EE("a byte behind the extensions", DECODE_ERROR, APPEND("00")),
    EE("an empty message", DECODE_ERROR, BODY("")),
    EE_ALPN("a protocol that was not offered", ILLEGAL_PARAMETER, PUT(EXT_ALPN, "0003 02 6832")),
    EE_ALPN("two protocols", DECODE_ERROR, PUT(EXT_ALPN, "0008 04 6d717474 02 6832")),
    EE_ALPN("no protocol", DECODE_ERROR, PUT(EXT_ALPN, "0000")),
    EE_ALPN("an empty protocol", DECODE_ERROR, PUT(EXT_ALPN, "0001 00")),
    EE_ALPN("no ALPN", NONE, DROP(EXT_ALPN)),
};

static const struct row certificate_request[] = {
    CR("unchanged", NONE, {0}),
    CR("a context", ILLEGAL_PARAMETER, SPLICE(4, 1, "01aa")),
    CR("no signature_algorithms", MISSING_EXTENSION, DROP(EXT_SIGNATURE_ALGORITHMS)),
    CR("empty signature_algorithms", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS, "0000")),
    CR("half a scheme", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS, "0003 040304")),
    CR("no scheme of ours: an empty Certificate follows", NONE, PUT(EXT_SIGNATURE_ALGORITHMS, "0002 0804")),
    CR("empty signature_algorithms_cert", DECODE_ERROR, PUT(EXT_SIGNATURE_ALGORITHMS_CERT, "0000")),
    CR("empty certificate_authorities", DECODE_ERROR, PUT(EXT_CERTIFICATE_AUTHORITIES, "0000")),
    CR("a name cut off", DECODE_ERROR, PUT(EXT_CERTIFICATE_AUTHORITIES, "0004 0003 3000")),
    CR("an unknown extension", NONE, ADD(0x7a7b, "0102")),
    CR("oid_filters", NONE, ADD(EXT_OID_FILTERS, "0000")),
    CR("oid_filters for an extension nobody knows", NONE, ADD(EXT_OID_FILTERS, "0009 04 2a030405 0002 0500")),
    CR("key_share", ILLEGAL_PARAMETER, ADD(EXT_KEY_SHARE, "001d")),
    CR("ALPN", ILLEGAL_PARAMETER, ADD(EXT_ALPN, "0003 02 6832")),
    CR("supported_versions", ILLEGAL_PARAMETER, ADD(EXT_SUPPORTED_VERSIONS, "0304")),
    CR("an extension twice", ILLEGAL_PARAMETER, ADD(EXT_SIGNATURE_ALGORITHMS, "00020403")),
    CR("no extensions", MISSING_EXTENSION, BODY("00 0000")),
    CR("a byte behind the extensions", DECODE_ERROR, APPEND("00")),
    CR("an empty message", DECODE_ERROR, BODY("")),
};

static const struct row certificate[] = {
    CT("unchanged", NONE, {0}),
    CT("no certificate", DECODE_ERROR, BODY("00 000000")),
    CT("a context", ILLEGAL_PARAMETER, SPLICE(4, 1, "01aa")),
    CT("an entry without a certificate", DECODE_ERROR, BODY("00 000005 000000 0000")),
    CT("an entry without extensions", DECODE_ERROR, BODY("00 000004 000001 30")),
    CT("a certificate that is none", BAD_CERTIFICATE, BODY("00 000007 000002 3000 0000")),
    CT("a list cut off", DECODE_ERROR, BODY("00 000002 0000")),
    CT("a byte behind the list", DECODE_ERROR, APPEND("00")),
    CT("an unknown extension", UNSUPPORTED_EXTENSION, ADD(0x7a7b, "")),
    CT("status_request, not asked for", UNSUPPORTED_EXTENSION, ADD(EXT_STATUS_REQUEST, "01 000001 30")),
    CT("signed_certificate_timestamp, not asked for", UNSUPPORTED_EXTENSION,
       ADD(EXT_SIGNED_CERTIFICATE_TIMESTAMP, "0003 0001 00")),
    CT("key_share", ILLEGAL_PARAMETER, ADD(EXT_KEY_SHARE, "001d")),
    CT("server_name", ILLEGAL_PARAMETER, ADD(EXT_SERVER_NAME, "")),
    CT("an empty message", DECODE_ERROR, BODY("")),
    CT_CLIENT("unchanged", NONE, {0}),
    CT_CLIENT("no certificate, where one is demanded", CERTIFICATE_REQUIRED, BODY("00 000000")),
    ROW("no certificate, where one is asked for", ASK, SERVER_WAIT_CERT, NONE, BODY("00 000000")),
    CT_CLIENT("a context", ILLEGAL_PARAMETER, SPLICE(4, 1, "01aa")),
    CT_CLIENT("an entry without a certificate", DECODE_ERROR, BODY("00 000005 000000 0000")),
    CT_CLIENT("a certificate that is none", BAD_CERTIFICATE, BODY("00 000007 000002 3000 0000")),
    CT_CLIENT("an unknown extension", UNSUPPORTED_EXTENSION, ADD(0x7a7b, "")),
    CT_CLIENT("status_request, not asked for", UNSUPPORTED_EXTENSION,
              ADD(EXT_STATUS_REQUEST, "01 000001 30")),
    CT_CLIENT("a byte behind the list", DECODE_ERROR, APPEND("00")),
};

/* Raw public keys (RFC 7250), both ends. The types stand in EncryptedExtensions. */
#define RAW_EE(text, alert, ...) ROW(text, RAW, CLIENT_WAIT_EE, alert, __VA_ARGS__)
#define RAW_CT(text, alert, ...) ROW(text, RAW, CLIENT_WAIT_CERT, alert, __VA_ARGS__)
#define RAW_CV(text, alert, ...) ROW(text, RAW, CLIENT_WAIT_CV, alert, __VA_ARGS__)
#define RAW_CH(text, alert, ...) ROW(text, RAW, SERVER_START, alert, __VA_ARGS__)
#define ED25519_SPKI             "302a300506032b6570032100"

static const struct row raw_public_keys[] = {
    RAW_CH("types", NONE, {0}),
    RAW_CH("no server_certificate_type", UNSUPPORTED_CERTIFICATE, DROP(EXT_SERVER_CERTIFICATE_TYPE)),
    RAW_CH("an empty server_certificate_type", DECODE_ERROR, PUT(EXT_SERVER_CERTIFICATE_TYPE, "00")),
    RAW_CH("an empty client_certificate_type", DECODE_ERROR, PUT(EXT_CLIENT_CERTIFICATE_TYPE, "00")),
    RAW_CH("a byte behind the types", DECODE_ERROR, PUT(EXT_CLIENT_CERTIFICATE_TYPE, "010200")),
    RAW_CH("X.509 alone", ILLEGAL_PARAMETER, PUT(EXT_SERVER_CERTIFICATE_TYPE, "0100")),
    RAW_CH("X.509 alone for the client", ILLEGAL_PARAMETER, PUT(EXT_CLIENT_CERTIFICATE_TYPE, "0100")),
    RAW_CH("OpenPGP alone", UNSUPPORTED_CERTIFICATE, PUT(EXT_SERVER_CERTIFICATE_TYPE, "0101")),
    RAW_CH("OpenPGP alone for the client", UNSUPPORTED_CERTIFICATE, PUT(EXT_CLIENT_CERTIFICATE_TYPE, "0101")),
    RAW_CH("unknown types beside it", NONE, PUT(EXT_SERVER_CERTIFICATE_TYPE, "03ff0702")),
    RAW_EE("unchanged", NONE, {0}),
    RAW_EE("X.509 for the server, which was not offered", ILLEGAL_PARAMETER,
           PUT(EXT_SERVER_CERTIFICATE_TYPE, "00")),
    RAW_EE("X.509 for the client, which was not offered", ILLEGAL_PARAMETER,
           PUT(EXT_CLIENT_CERTIFICATE_TYPE, "00")),
    RAW_EE("OpenPGP", ILLEGAL_PARAMETER, PUT(EXT_SERVER_CERTIFICATE_TYPE, "01")),
    RAW_EE("a list, as in a ClientHello", DECODE_ERROR, PUT(EXT_SERVER_CERTIFICATE_TYPE, "0202")),
    RAW_EE("nothing", DECODE_ERROR, PUT(EXT_SERVER_CERTIFICATE_TYPE, "")),
    RAW_CT("a key", NONE, {0}),
    RAW_CT("no key", DECODE_ERROR, BODY("00 000000")),
    RAW_CT("an empty key", DECODE_ERROR, BODY("00 000005 000000 0000")),
    RAW_CT("another key", CERTIFICATE_UNKNOWN,
           BODY("00 000031 00002c" ED25519_SPKI "07*32 "
                "0000")),
    RAW_CT("two keys", ILLEGAL_PARAMETER,
           BODY("00 000062 00002c" ED25519_SPKI "07*32 "
                "0000"
                "00002c" ED25519_SPKI "07*32 "
                "0000")),
    RAW_CT("status_request, not asked for", UNSUPPORTED_EXTENSION, ADD(EXT_STATUS_REQUEST, "01 000001 30")),
    RAW_CV("a bit of the signature changed", DECRYPT_ERROR, XOR(20)),
    RAW_CV("a scheme that does not fit the key", ILLEGAL_PARAMETER, SET(4, "0807")),
    ROW("a key of the client", RAW, SERVER_WAIT_CERT, NONE, {0}),
    ROW("no key of the client", RAW, SERVER_WAIT_CERT, CERTIFICATE_REQUIRED, BODY("00 000000")),
    ROW("another key of the client", RAW, SERVER_WAIT_CERT, CERTIFICATE_UNKNOWN,
        BODY("00 000031 00002c" ED25519_SPKI "07*32 "
             "0000")),
};

static const struct row certificate_verify[] = {
    CV("unchanged", NONE, {0}),
    CV("PKCS#1, which is for certificates only", ILLEGAL_PARAMETER, SET(4, "0401")),
    CV("SHA-1", ILLEGAL_PARAMETER, SET(4, "0203")),
    CV("a scheme that was not offered", ILLEGAL_PARAMETER, SET(4, "0603")),
    CV("a scheme nobody knows", ILLEGAL_PARAMETER, SET(4, "7a7a")),
    CV("P-384 with a P-256 key", ILLEGAL_PARAMETER, SET(4, "0503")),
    CV("RSA-PSS with an ECDSA key", ILLEGAL_PARAMETER, SET(4, "0804")),
    CV("Ed25519 with an ECDSA key", ILLEGAL_PARAMETER, SET(4, "0807")),
    ROW("ECDSA with an RSA key", RSA, CLIENT_WAIT_CV, ILLEGAL_PARAMETER, SET(4, "0403")),
    ROW("rsa_pss_pss with an RSA key", RSA, CLIENT_WAIT_CV, ILLEGAL_PARAMETER, SET(4, "0809")),
    ROW("another hash than signed with", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, SET(4, "0805")),
    ROW("RSA with a bit changed", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, XOR(100)),
    ROW("RSA signature of zeros", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, BODY("0804 0100 00*256")),
    ROW("RSA signature above the modulus", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, BODY("0804 0100 ff*256")),
    ROW("RSA signature too short", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, BODY("0804 00ff 01*255")),
    ROW("RSA signature too long", RSA, CLIENT_WAIT_CV, DECRYPT_ERROR, BODY("0804 0101 01*257")),
    CV("a bit changed", DECRYPT_ERROR, XOR(20)),
    CV("an empty signature", DECRYPT_ERROR, BODY("0403 0000")),
    CV("a signature that is no DER", DECRYPT_ERROR, BODY("0403 0004 ffffffff")),
    CV("a signature of (0, 0)", DECRYPT_ERROR, BODY("0403 0008 3006 020100 020100")),
    CV("a signature of (1, 1)", DECRYPT_ERROR, BODY("0403 0008 3006 020101 020101")),
    CV("a signature cut off", DECODE_ERROR, BODY("0403 0008 3006")),
    CV("a byte behind the signature", DECODE_ERROR, APPEND("00")),
    CV("an empty message", DECODE_ERROR, BODY("")),
    CV_CLIENT("unchanged", NONE, {0}),
    CV_CLIENT("PKCS#1, which is for certificates only", ILLEGAL_PARAMETER, SET(4, "0401")),
    CV_CLIENT("P-384 with a P-256 key", ILLEGAL_PARAMETER, SET(4, "0503")),
    CV_CLIENT("a bit changed", DECRYPT_ERROR, XOR(20)),
    CV_CLIENT("an empty signature", DECRYPT_ERROR, BODY("0403 0000")),
    CV_CLIENT("a byte behind the signature", DECODE_ERROR, APPEND("00")),
};

static const struct row finished[] = {
    ROW("unchanged", PLAIN, CLIENT_WAIT_FINISHED, NONE, {0}),
    ROW("a bit changed", PLAIN, CLIENT_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
    ROW("the last bit changed", PLAIN, CLIENT_WAIT_FINISHED, DECRYPT_ERROR, XOR(35)),
    ROW("one byte short", PLAIN, CLIENT_WAIT_FINISHED, DECODE_ERROR, BODY("00*31")),
    ROW("one byte long", PLAIN, CLIENT_WAIT_FINISHED, DECODE_ERROR, BODY("00*33")),
    ROW("empty", PLAIN, CLIENT_WAIT_FINISHED, DECODE_ERROR, BODY("")),
    ROW("SHA-256's length under SHA-384", SHA384, CLIENT_WAIT_FINISHED, DECODE_ERROR, BODY("00*32")),
    ROW("all zeros under SHA-384", SHA384, CLIENT_WAIT_FINISHED, DECRYPT_ERROR, BODY("00*48")),
    ROW("unchanged, the client's", PLAIN, SERVER_WAIT_FINISHED, NONE, {0}),
    ROW("a bit changed, the client's", PLAIN, SERVER_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
    ROW("a bit changed, after a certificate", AUTH, SERVER_WAIT_FINISHED, DECRYPT_ERROR, XOR(4)),
    ROW("one byte short, the client's", PLAIN, SERVER_WAIT_FINISHED, DECODE_ERROR, BODY("00*31")),
    ROW("one byte long, the client's", PLAIN, SERVER_WAIT_FINISHED, DECODE_ERROR, BODY("00*33")),
    ROW("empty, the client's", PLAIN, SERVER_WAIT_FINISHED, DECODE_ERROR, BODY("")),
};

int main(void)
{
    const struct row_table tables[] = {{encrypted_extensions, TT_COUNT(encrypted_extensions)},
                                       {certificate_request, TT_COUNT(certificate_request)},
                                       {certificate, TT_COUNT(certificate)},
                                       {raw_public_keys, TT_COUNT(raw_public_keys)},
                                       {certificate_verify, TT_COUNT(certificate_verify)},
                                       {finished, TT_COUNT(finished)}};
    return rows_main("tls/alerts_auth", tables, TT_COUNT(tables));
}
