/* tpmtls/iana.h: the numbers of the standards under the standards' names, and names for people.
 * Sources: RFC 9846 appendix B, and the IANA registries "TLS Parameters" and "TLS ExtensionType Values". */
#ifndef TPMTLS_IANA_H
#define TPMTLS_IANA_H

#include "tpmtls/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* AlertDescription, RFC 9846 appendix B.2. */
enum tt_alert {
    TT_ALERT_CLOSE_NOTIFY = 0,
    TT_ALERT_UNEXPECTED_MESSAGE = 10,
    TT_ALERT_BAD_RECORD_MAC = 20,
    TT_ALERT_RECORD_OVERFLOW = 22,
    TT_ALERT_HANDSHAKE_FAILURE = 40,
    TT_ALERT_BAD_CERTIFICATE = 42,
    TT_ALERT_UNSUPPORTED_CERTIFICATE = 43,
    TT_ALERT_CERTIFICATE_REVOKED = 44,
    TT_ALERT_CERTIFICATE_EXPIRED = 45,
    TT_ALERT_CERTIFICATE_UNKNOWN = 46,
    TT_ALERT_ILLEGAL_PARAMETER = 47,
    TT_ALERT_UNKNOWN_CA = 48,
    TT_ALERT_ACCESS_DENIED = 49,
    TT_ALERT_DECODE_ERROR = 50,
    TT_ALERT_DECRYPT_ERROR = 51,
    TT_ALERT_PROTOCOL_VERSION = 70,
    TT_ALERT_INSUFFICIENT_SECURITY = 71,
    TT_ALERT_INTERNAL_ERROR = 80,
    TT_ALERT_INAPPROPRIATE_FALLBACK = 86,
    TT_ALERT_USER_CANCELED = 90,
    TT_ALERT_MISSING_EXTENSION = 109,
    TT_ALERT_UNSUPPORTED_EXTENSION = 110,
    TT_ALERT_UNRECOGNIZED_NAME = 112,
    TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE = 113,
    TT_ALERT_UNKNOWN_PSK_IDENTITY = 115,
    TT_ALERT_CERTIFICATE_REQUIRED = 116,
    TT_ALERT_GENERAL_ERROR = 117,
    TT_ALERT_NO_APPLICATION_PROTOCOL = 120,
    TT_ALERT_ECH_REQUIRED = 121, /* RFC 9849 section 11.2 */
    TT_ALERT_NONE = 256          /* ours: no alert */
};

/* HandshakeType, RFC 9846 appendix B.3. */
enum tt_handshake_type {
    TT_HS_CLIENT_HELLO = 1,
    TT_HS_SERVER_HELLO = 2,
    TT_HS_NEW_SESSION_TICKET = 4,
    TT_HS_END_OF_EARLY_DATA = 5,
    TT_HS_ENCRYPTED_EXTENSIONS = 8,
    TT_HS_CERTIFICATE = 11,
    TT_HS_CERTIFICATE_REQUEST = 13,
    TT_HS_CERTIFICATE_VERIFY = 15,
    TT_HS_FINISHED = 20,
    TT_HS_KEY_UPDATE = 24,
    TT_HS_COMPRESSED_CERTIFICATE = 25,
    TT_HS_MESSAGE_HASH = 254
};

/* CipherSuite, RFC 9846 appendix B.4. */
enum tt_suite {
    TT_SUITE_AES_128_GCM_SHA256 = 0x1301,
    TT_SUITE_AES_256_GCM_SHA384 = 0x1302,
    TT_SUITE_CHACHA20_POLY1305_SHA256 = 0x1303
};

/* NamedGroup, RFC 9846 section 4.3.7 and IANA. */
enum tt_group {
    TT_GROUP_SECP256R1 = 0x0017,
    TT_GROUP_SECP384R1 = 0x0018,
    TT_GROUP_SECP521R1 = 0x0019,
    TT_GROUP_X25519 = 0x001d,
    TT_GROUP_X448 = 0x001e,
    TT_GROUP_MLKEM1024 = 0x0202,
    TT_GROUP_SECP256R1MLKEM768 = 0x11eb,
    TT_GROUP_X25519MLKEM768 = 0x11ec,
    TT_GROUP_SECP384R1MLKEM1024 = 0x11ed
};

/* SignatureScheme, RFC 9846 section 4.3.3 and IANA. */
enum tt_scheme {
    TT_SCHEME_RSA_PKCS1_SHA256 = 0x0401, /* certificates only */
    TT_SCHEME_RSA_PKCS1_SHA384 = 0x0501,
    TT_SCHEME_RSA_PKCS1_SHA512 = 0x0601,
    TT_SCHEME_ECDSA_SECP256R1_SHA256 = 0x0403,
    TT_SCHEME_ECDSA_SECP384R1_SHA384 = 0x0503,
    TT_SCHEME_ECDSA_SECP521R1_SHA512 = 0x0603,
    TT_SCHEME_RSA_PSS_RSAE_SHA256 = 0x0804,
    TT_SCHEME_RSA_PSS_RSAE_SHA384 = 0x0805,
    TT_SCHEME_RSA_PSS_RSAE_SHA512 = 0x0806,
    TT_SCHEME_ED25519 = 0x0807,
    TT_SCHEME_ED448 = 0x0808,
    TT_SCHEME_RSA_PSS_PSS_SHA256 = 0x0809,
    TT_SCHEME_RSA_PSS_PSS_SHA384 = 0x080a,
    TT_SCHEME_RSA_PSS_PSS_SHA512 = 0x080b,
    TT_SCHEME_MLDSA44 = 0x0904,
    TT_SCHEME_MLDSA65 = 0x0905,
    TT_SCHEME_MLDSA87 = 0x0906
};

/* CertificateType, RFC 7250. */
enum tt_certificate_type {
    TT_CERTIFICATE_X509 = 0,
    TT_CERTIFICATE_RAW_PUBLIC_KEY = 2
};

/* CertificateCompressionAlgorithm, RFC 8879 section 7.3. */
enum tt_compression {
    TT_COMPRESSION_ZLIB = 1,
    TT_COMPRESSION_BROTLI = 2,
    TT_COMPRESSION_ZSTD = 3
};

/* The name in the standard ("decode_error", "client_hello", ...), or "unknown". Never NULL. */
TT_API const char *tt_alert_name(unsigned alert);
TT_API const char *tt_handshake_type_name(unsigned type);
TT_API const char *tt_suite_name(unsigned suite);
TT_API const char *tt_group_name(unsigned group);
TT_API const char *tt_scheme_name(unsigned scheme);

#ifdef __cplusplus
}
#endif
#endif
