/* wire/iana.h: IANA numbers that only the engine needs; the public ones are in tpmtls/iana.h. Layer: wire. */
#ifndef WIRE_IANA_H
#define WIRE_IANA_H

#include "tpmtls/iana.h"

/* ContentType, RFC 9846 section 5.1. */
enum content_type {
    CT_CHANGE_CIPHER_SPEC = 20,
    CT_ALERT = 21,
    CT_HANDSHAKE = 22,
    CT_APPLICATION_DATA = 23
};

/* ExtensionType, RFC 9846 section 4.3. */
enum extension_type {
    EXT_SERVER_NAME = 0,
    EXT_STATUS_REQUEST = 5,
    EXT_SUPPORTED_GROUPS = 10,
    EXT_SIGNATURE_ALGORITHMS = 13,
    EXT_ALPN = 16,
    EXT_SIGNED_CERTIFICATE_TIMESTAMP = 18,
    EXT_CLIENT_CERTIFICATE_TYPE = 19,
    EXT_SERVER_CERTIFICATE_TYPE = 20,
    EXT_PADDING = 21,
    EXT_COMPRESS_CERTIFICATE = 27,
    EXT_RECORD_SIZE_LIMIT = 28,
    EXT_CERT_WITH_EXTERN_PSK = 33,
    EXT_DELEGATED_CREDENTIAL = 34,
    EXT_PRE_SHARED_KEY = 41,
    EXT_EARLY_DATA = 42,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_COOKIE = 44,
    EXT_PSK_KEY_EXCHANGE_MODES = 45,
    EXT_CERTIFICATE_AUTHORITIES = 47,
    EXT_OID_FILTERS = 48,
    EXT_POST_HANDSHAKE_AUTH = 49,
    EXT_SIGNATURE_ALGORITHMS_CERT = 50,
    EXT_KEY_SHARE = 51,
    EXT_ECH_OUTER_EXTENSIONS = 0xfd00,
    EXT_ENCRYPTED_CLIENT_HELLO = 0xfe0d /* RFC 9849 section 5 */
};

enum protocol_version {
    TLS_VERSION_1_0 = 0x0301,
    TLS_VERSION_1_2 = 0x0303,
    TLS_VERSION_1_3 = 0x0304
};

#endif
