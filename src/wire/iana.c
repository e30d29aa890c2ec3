/* wire/iana.c: names for IANA numbers. Layer: wire. */
#include "wire/iana.h"

#include "base/rc.h"

struct name {
    unsigned number;
    const char *name;
};

static const char *name_of(const struct name *names, size_t n, unsigned number)
{
    for (size_t i = 0; i < n; i++)
        if (names[i].number == number)
            return names[i].name;
    return "unknown";
}

const char *tt_alert_name(unsigned alert)
{
    static const struct name names[] = {
        {TT_ALERT_CLOSE_NOTIFY, "close_notify"},
        {TT_ALERT_UNEXPECTED_MESSAGE, "unexpected_message"},
        {TT_ALERT_BAD_RECORD_MAC, "bad_record_mac"},
        {TT_ALERT_RECORD_OVERFLOW, "record_overflow"},
        {TT_ALERT_HANDSHAKE_FAILURE, "handshake_failure"},
        {TT_ALERT_BAD_CERTIFICATE, "bad_certificate"},
        {TT_ALERT_UNSUPPORTED_CERTIFICATE, "unsupported_certificate"},
        {TT_ALERT_CERTIFICATE_REVOKED, "certificate_revoked"},
        {TT_ALERT_CERTIFICATE_EXPIRED, "certificate_expired"},
        {TT_ALERT_CERTIFICATE_UNKNOWN, "certificate_unknown"},
        {TT_ALERT_ILLEGAL_PARAMETER, "illegal_parameter"},
        {TT_ALERT_UNKNOWN_CA, "unknown_ca"},
        {TT_ALERT_ACCESS_DENIED, "access_denied"},
        {TT_ALERT_DECODE_ERROR, "decode_error"},
        {TT_ALERT_DECRYPT_ERROR, "decrypt_error"},
        {TT_ALERT_PROTOCOL_VERSION, "protocol_version"},
        {TT_ALERT_INSUFFICIENT_SECURITY, "insufficient_security"},
        {TT_ALERT_INTERNAL_ERROR, "internal_error"},
        {TT_ALERT_INAPPROPRIATE_FALLBACK, "inappropriate_fallback"},
        {TT_ALERT_USER_CANCELED, "user_canceled"},
        {TT_ALERT_MISSING_EXTENSION, "missing_extension"},
        {TT_ALERT_UNSUPPORTED_EXTENSION, "unsupported_extension"},
        {TT_ALERT_UNRECOGNIZED_NAME, "unrecognized_name"},
        {TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, "bad_certificate_status_response"},
        {TT_ALERT_UNKNOWN_PSK_IDENTITY, "unknown_psk_identity"},
        {TT_ALERT_CERTIFICATE_REQUIRED, "certificate_required"},
        {TT_ALERT_GENERAL_ERROR, "general_error"},
        {TT_ALERT_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
        {TT_ALERT_ECH_REQUIRED, "ech_required"},
    };
    return name_of(names, TT_COUNT(names), alert);
}

const char *tt_handshake_type_name(unsigned type)
{
    static const struct name names[] = {
        {TT_HS_CLIENT_HELLO, "client_hello"},
        {TT_HS_SERVER_HELLO, "server_hello"},
        {TT_HS_NEW_SESSION_TICKET, "new_session_ticket"},
        {TT_HS_END_OF_EARLY_DATA, "end_of_early_data"},
        {TT_HS_ENCRYPTED_EXTENSIONS, "encrypted_extensions"},
        {TT_HS_CERTIFICATE, "certificate"},
        {TT_HS_CERTIFICATE_REQUEST, "certificate_request"},
        {TT_HS_CERTIFICATE_VERIFY, "certificate_verify"},
        {TT_HS_FINISHED, "finished"},
        {TT_HS_KEY_UPDATE, "key_update"},
        {TT_HS_COMPRESSED_CERTIFICATE, "compressed_certificate"},
        {TT_HS_MESSAGE_HASH, "message_hash"},
    };
    return name_of(names, TT_COUNT(names), type);
}

const char *tt_suite_name(unsigned suite)
{
    static const struct name names[] = {
        {TT_SUITE_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"},
        {TT_SUITE_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"},
        {TT_SUITE_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"},
    };
    return name_of(names, TT_COUNT(names), suite);
}

const char *tt_group_name(unsigned group)
{
    static const struct name names[] = {
        {TT_GROUP_SECP256R1, "secp256r1"},
        {TT_GROUP_SECP384R1, "secp384r1"},
        {TT_GROUP_SECP521R1, "secp521r1"},
        {TT_GROUP_X25519, "x25519"},
        {TT_GROUP_X448, "x448"},
        {TT_GROUP_SECP256R1MLKEM768, "SecP256r1MLKEM768"},
        {TT_GROUP_X25519MLKEM768, "X25519MLKEM768"},
        {TT_GROUP_SECP384R1MLKEM1024, "SecP384r1MLKEM1024"},
        {TT_GROUP_MLKEM1024, "MLKEM1024"},
    };
    return name_of(names, TT_COUNT(names), group);
}

const char *tt_scheme_name(unsigned scheme)
{
    static const struct name names[] = {
        {TT_SCHEME_RSA_PKCS1_SHA256, "rsa_pkcs1_sha256"},
        {TT_SCHEME_RSA_PKCS1_SHA384, "rsa_pkcs1_sha384"},
        {TT_SCHEME_RSA_PKCS1_SHA512, "rsa_pkcs1_sha512"},
        {TT_SCHEME_ECDSA_SECP256R1_SHA256, "ecdsa_secp256r1_sha256"},
        {TT_SCHEME_ECDSA_SECP384R1_SHA384, "ecdsa_secp384r1_sha384"},
        {TT_SCHEME_ECDSA_SECP521R1_SHA512, "ecdsa_secp521r1_sha512"},
        {TT_SCHEME_RSA_PSS_RSAE_SHA256, "rsa_pss_rsae_sha256"},
        {TT_SCHEME_RSA_PSS_RSAE_SHA384, "rsa_pss_rsae_sha384"},
        {TT_SCHEME_RSA_PSS_RSAE_SHA512, "rsa_pss_rsae_sha512"},
        {TT_SCHEME_ED25519, "ed25519"},
        {TT_SCHEME_ED448, "ed448"},
        {TT_SCHEME_RSA_PSS_PSS_SHA256, "rsa_pss_pss_sha256"},
        {TT_SCHEME_RSA_PSS_PSS_SHA384, "rsa_pss_pss_sha384"},
        {TT_SCHEME_RSA_PSS_PSS_SHA512, "rsa_pss_pss_sha512"},
        {TT_SCHEME_MLDSA44, "mldsa44"},
        {TT_SCHEME_MLDSA65, "mldsa65"},
        {TT_SCHEME_MLDSA87, "mldsa87"},
    };
    return name_of(names, TT_COUNT(names), scheme);
}
