/* tests/tls/test_alerts_records.c: every way in which records, alerts, ChangeCipherSpec and KeyUpdate can be
 * wrong, in each phase and at both ends, with what RFC 9846 sections 4.7.3, 5 and 6 demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/edit.h"

enum put_how {
    PUT_NONE,
    SEALED,      /* a record of this type under the keys of the state; in the clear where there are none */
    CLEAR,       /* the same, never protected */
    RAW,         /* bytes as they stand */
    HONEST,      /* the message that is due, in one record, with these bytes behind it */
    HONEST_HALF, /* the first half of it */
    HONEST_REST  /* the second half */
};
struct put {
    enum put_how how;
    uint8_t type;
    const char *hex;
    size_t times; /* 0: once */
    size_t padding;
};

/* What must follow, where it is not an alert of ours. */
enum {
    FINE = 1000,  /* no error */
    PEER_REFUSED, /* TT_ERR_PEER_ALERT, and nothing is sent */
    CLOSED        /* TT_ERR_CLOSED, and nothing is sent */
};

struct record_row {
    const char *what;
    enum scene_kind kind;
    enum conn_state at;
    unsigned expected;
    struct put puts[3];
};

#define HS         CT_HANDSHAKE
#define AL         CT_ALERT
#define AD         CT_APPLICATION_DATA
#define CCS        "14 0303 0001 01"
#define UNEXPECTED TT_ALERT_UNEXPECTED_MESSAGE
#define OVERFLOW   TT_ALERT_RECORD_OVERFLOW
#define DECODE     TT_ALERT_DECODE_ERROR

static const struct record_row in_the_clear[] = {
    {"an empty handshake record", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "16 0303 0000", 0, 0}}},
    {"an empty handshake record", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "16 0303 0000", 0, 0}}},
    {"an empty alert", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "15 0303 0000", 0, 0}}},
    {"an empty alert", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "15 0303 0000", 0, 0}}},
    {"application data", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "17 0303 0001 00", 0, 0}}},
    {"application data", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "17 0303 0001 00", 0, 0}}},
    {"empty application data", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "17 0303 0000", 0, 0}}},
    {"application data before a second ClientHello",
     KIND_COOKIE,
     SERVER_WAIT_CH2,
     UNEXPECTED,
     {{RAW, 0, "17 0303 0001 00", 0, 0}}},
    {"a record of 2^14 + 1 bytes", KIND_PLAIN, SERVER_START, OVERFLOW, {{RAW, 0, "16 0301 4001", 0, 0}}},
    {"a record of 2^14 + 1 bytes", KIND_PLAIN, CLIENT_WAIT_SH, OVERFLOW, {{RAW, 0, "16 0303 4001", 0, 0}}},
    {"a record of 2^16 - 1 bytes", KIND_PLAIN, CLIENT_WAIT_SH, OVERFLOW, {{RAW, 0, "16 0303 ffff", 0, 0}}},
    {"a record of 2^14 bytes is awaited", KIND_PLAIN, SERVER_START, FINE, {{RAW, 0, "16 0301 4000", 0, 0}}},
    {"record type 0", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "00 0303 0001 00", 0, 0}}},
    {"record type 24", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "18 0303 0001 00", 0, 0}}},
    {"record type 19", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "13 0303 0001 00", 0, 0}}},
    {"record type 255", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "ff 0303 0001 00", 0, 0}}},
    {"an SSL 2.0 ClientHello", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, "80 2e 01 0301", 0, 0}}},
    {"HTTP", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "48545450 2f", 0, 0}}},
    {"any legacy_record_version", KIND_PLAIN, CLIENT_WAIT_SH, FINE, {{RAW, 0, "16 9a9a 0001 02", 0, 0}}},
};

static const struct record_row protection[] = {
    {"a record that does not authenticate",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     TT_ALERT_BAD_RECORD_MAC,
     {{RAW, 0, "17 0303 0020 00*32", 0, 0}}},
    {"a record that does not authenticate",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     TT_ALERT_BAD_RECORD_MAC,
     {{RAW, 0, "17 0303 0020 00*32", 0, 0}}},
    {"a record that does not authenticate",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     TT_ALERT_BAD_RECORD_MAC,
     {{RAW, 0, "17 0303 0020 00*32", 0, 0}}},
    {"a record shorter than its tag",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     TT_ALERT_BAD_RECORD_MAC,
     {{RAW, 0, "17 0303 000f 00*15", 0, 0}}},
    {"a record of no bytes",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     TT_ALERT_BAD_RECORD_MAC,
     {{RAW, 0, "17 0303 0000", 0, 0}}},
    {"a sealed record of 2^14 + 257 bytes",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     OVERFLOW,
     {{RAW, 0, "17 0303 4101", 0, 0}}},
    {"a sealed record of 2^14 + 257 bytes",
     KIND_PLAIN,
     SERVER_CONNECTED,
     OVERFLOW,
     {{RAW, 0, "17 0303 4101", 0, 0}}},
    {"2^14 + 1 bytes of content", KIND_PLAIN, SERVER_CONNECTED, OVERFLOW, {{SEALED, AD, "61*16385", 0, 0}}},
    {"2^14 bytes of content", KIND_PLAIN, SERVER_CONNECTED, FINE, {{SEALED, AD, "61*16384", 0, 0}}},
    {"content and padding of 2^14 + 1 bytes",
     KIND_PLAIN,
     SERVER_CONNECTED,
     OVERFLOW,
     {{SEALED, AD, "61", 0, 16384}}},
    {"content and padding of 2^14 bytes", KIND_PLAIN, SERVER_CONNECTED, FINE, {{SEALED, AD, "61", 0, 16383}}},
    {"content and padding of 2^14 + 256 bytes",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     OVERFLOW,
     {{SEALED, HS, "08000002 0000", 0, 16384 + 256 - 17 - 6}}},
    {"padded handshake messages", KIND_PLAIN, CLIENT_WAIT_EE, FINE, {{SEALED, HS, "08000002 0000", 0, 300}}},
    {"no type at all: zeros", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, 0, "", 0, 0}}},
    {"no type at all: many zeros", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, 0, "", 0, 16384}}},
    {"an inner type nobody knows", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, 24, "00", 0, 0}}},
    {"an inner type nobody knows", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, 99, "00", 0, 0}}},
    {"empty handshake content", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, HS, "", 0, 0}}},
    {"empty handshake content, padded",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{SEALED, HS, "", 0, 100}}},
    {"empty handshake content, connected",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     UNEXPECTED,
     {{SEALED, HS, "", 0, 0}}},
    {"empty alert", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, AL, "", 0, 0}}},
    {"empty alert, padded", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, AL, "", 0, 7}}},
    {"a handshake record in the clear under keys",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     UNEXPECTED,
     {{CLEAR, HS, "08000002 0000", 0, 0}}},
    {"a handshake record in the clear under keys",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{CLEAR, HS, "14000020 00*32", 0, 0}}},
    {"a handshake record in the clear, connected",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     UNEXPECTED,
     {{CLEAR, HS, "18000001 00", 0, 0}}},
};

static const struct record_row application_data[] = {
    {"before EncryptedExtensions", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before CertificateRequest", KIND_AUTH, CLIENT_WAIT_CERT_CR, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before Certificate", KIND_AUTH, CLIENT_WAIT_CERT, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before CertificateVerify", KIND_PLAIN, CLIENT_WAIT_CV, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before Finished", KIND_PLAIN, CLIENT_WAIT_FINISHED, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before the client's Certificate", KIND_AUTH, SERVER_WAIT_CERT, UNEXPECTED, {{SEALED, AD, "61", 0, 0}}},
    {"before the client's CertificateVerify",
     KIND_AUTH,
     SERVER_WAIT_CV,
     UNEXPECTED,
     {{SEALED, AD, "61", 0, 0}}},
    {"before the client's Finished",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{SEALED, AD, "61", 0, 0}}},
    {"empty, before Finished", KIND_PLAIN, CLIENT_WAIT_FINISHED, UNEXPECTED, {{SEALED, AD, "", 0, 0}}},
    {"empty, 32 times", KIND_PLAIN, SERVER_CONNECTED, FINE, {{SEALED, AD, "", 32, 0}}},
    {"empty, 33 times", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, AD, "", 33, 0}}},
    {"empty and padded, 33 times", KIND_PLAIN, CLIENT_CONNECTED, UNEXPECTED, {{SEALED, AD, "", 33, 50}}},
};

static const struct record_row change_cipher_spec[] = {
    {"before ClientHello", KIND_PLAIN, SERVER_START, UNEXPECTED, {{RAW, 0, CCS, 0, 0}}},
    {"before ServerHello", KIND_PLAIN, CLIENT_WAIT_SH, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before a second ClientHello", KIND_COOKIE, SERVER_WAIT_CH2, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before EncryptedExtensions", KIND_PLAIN, CLIENT_WAIT_EE, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before CertificateRequest", KIND_AUTH, CLIENT_WAIT_CERT_CR, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before Certificate", KIND_AUTH, CLIENT_WAIT_CERT, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before CertificateVerify", KIND_PLAIN, CLIENT_WAIT_CV, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before Finished", KIND_PLAIN, CLIENT_WAIT_FINISHED, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before the client's Certificate", KIND_AUTH, SERVER_WAIT_CERT, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before the client's CertificateVerify", KIND_AUTH, SERVER_WAIT_CV, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"before the client's Finished", KIND_PLAIN, SERVER_WAIT_FINISHED, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"without compatibility mode", KIND_NO_COMPAT, CLIENT_WAIT_EE, FINE, {{RAW, 0, CCS, 0, 0}}},
    {"after Finished", KIND_PLAIN, CLIENT_CONNECTED, UNEXPECTED, {{RAW, 0, CCS, 0, 0}}},
    {"after the client's Finished", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{RAW, 0, CCS, 0, 0}}},
    {"another value", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, "14 0303 0001 02", 0, 0}}},
    {"another value, under keys",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     UNEXPECTED,
     {{RAW, 0, "14 0303 0001 00", 0, 0}}},
    {"two bytes", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{RAW, 0, "14 0303 0002 0101", 0, 0}}},
    {"no byte", KIND_PLAIN, SERVER_WAIT_FINISHED, UNEXPECTED, {{RAW, 0, "14 0303 0000", 0, 0}}},
    {"protected", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, 20, "01", 0, 0}}},
    {"protected, to a server", KIND_PLAIN, SERVER_WAIT_FINISHED, UNEXPECTED, {{SEALED, 20, "01", 0, 0}}},
    {"protected, connected", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, 20, "01", 0, 0}}},
    {"32 times", KIND_PLAIN, CLIENT_WAIT_SH, FINE, {{RAW, 0, CCS, 32, 0}}},
    {"33 times", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{RAW, 0, CCS, 33, 0}}},
    {"33 times, under keys", KIND_PLAIN, SERVER_WAIT_FINISHED, UNEXPECTED, {{RAW, 0, CCS, 33, 0}}},
};

static const struct record_row boundaries[] = {
    {"a message in two records",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     FINE,
     {{HONEST_HALF, 0, "", 0, 0}, {HONEST_REST, 0, "", 0, 0}}},
    {"a ClientHello in two records",
     KIND_PLAIN,
     SERVER_START,
     FINE,
     {{HONEST_HALF, 0, "", 0, 0}, {HONEST_REST, 0, "", 0, 0}}},
    {"a message cut by an alert",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {SEALED, AL, "015a", 0, 0}}},
    {"a message cut by close_notify",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {SEALED, AL, "0100", 0, 0}}},
    {"a message cut by ChangeCipherSpec",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {RAW, 0, CCS, 0, 0}}},
    {"a ServerHello cut by ChangeCipherSpec",
     KIND_PLAIN,
     CLIENT_WAIT_SH,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {RAW, 0, CCS, 0, 0}}},
    {"a ClientHello cut by an alert",
     KIND_PLAIN,
     SERVER_START,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {CLEAR, AL, "015a", 0, 0}}},
    {"a message cut by application data",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {SEALED, AD, "61", 0, 0}}},
    {"a message cut by an empty handshake record",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     UNEXPECTED,
     {{HONEST_HALF, 0, "", 0, 0}, {SEALED, HS, "", 0, 0}}},
    {"a KeyUpdate cut by application data",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     UNEXPECTED,
     {{SEALED, HS, "1800", 0, 0}, {SEALED, AD, "61", 0, 0}}},
    {"a ticket cut by application data",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     UNEXPECTED,
     {{SEALED, HS, "04000020 00", 0, 0}, {SEALED, AD, "61", 0, 0}}},
    {"ClientHello and a byte more", KIND_PLAIN, SERVER_START, UNEXPECTED, {{HONEST, 0, "14", 0, 0}}},
    {"ClientHello and a message more", KIND_PLAIN, SERVER_START, UNEXPECTED, {{HONEST, 0, "14000000", 0, 0}}},
    {"a second ClientHello and a byte more",
     KIND_COOKIE,
     SERVER_WAIT_CH2,
     UNEXPECTED,
     {{HONEST, 0, "14", 0, 0}}},
    {"ServerHello and a byte more", KIND_PLAIN, CLIENT_WAIT_SH, UNEXPECTED, {{HONEST, 0, "08", 0, 0}}},
    {"ServerHello and EncryptedExtensions in the clear",
     KIND_PLAIN,
     CLIENT_WAIT_SH,
     UNEXPECTED,
     {{HONEST, 0, "08000002 0000", 0, 0}}},
    {"Finished and a byte more", KIND_PLAIN, CLIENT_WAIT_FINISHED, UNEXPECTED, {{HONEST, 0, "04", 0, 0}}},
    {"Finished and KeyUpdate",
     KIND_PLAIN,
     CLIENT_WAIT_FINISHED,
     UNEXPECTED,
     {{HONEST, 0, "18000001 00", 0, 0}}},
    {"Finished and a byte more, to a client that signs",
     KIND_AUTH,
     CLIENT_WAIT_FINISHED,
     UNEXPECTED,
     {{HONEST, 0, "04", 0, 0}}},
    {"the client's Finished and a byte more",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{HONEST, 0, "18", 0, 0}}},
    {"the client's Finished and KeyUpdate",
     KIND_AUTH,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{HONEST, 0, "18000001 00", 0, 0}}},
    {"a message of 2^16 + 1 bytes",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     TT_ALERT_ILLEGAL_PARAMETER,
     {{SEALED, HS, "0b010001", 0, 0}}},
    {"a message of 2^24 - 1 bytes",
     KIND_PLAIN,
     SERVER_START,
     TT_ALERT_ILLEGAL_PARAMETER,
     {{SEALED, HS, "01ffffff", 0, 0}}},
    {"a message of 2^16 bytes is awaited",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     FINE,
     {{SEALED, HS, "0b010000", 0, 0}}},
};

static const struct record_row key_update[] = {
    {"update_not_requested", KIND_PLAIN, CLIENT_CONNECTED, FINE, {{SEALED, HS, "18000001 00", 0, 0}}},
    {"update_requested", KIND_PLAIN, SERVER_CONNECTED, FINE, {{SEALED, HS, "18000001 01", 0, 0}}},
    {"the value 2",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     TT_ALERT_ILLEGAL_PARAMETER,
     {{SEALED, HS, "18000001 02", 0, 0}}},
    {"the value 255",
     KIND_PLAIN,
     SERVER_CONNECTED,
     TT_ALERT_ILLEGAL_PARAMETER,
     {{SEALED, HS, "18000001 ff", 0, 0}}},
    {"no value", KIND_PLAIN, CLIENT_CONNECTED, DECODE, {{SEALED, HS, "18000000", 0, 0}}},
    {"two bytes", KIND_PLAIN, SERVER_CONNECTED, DECODE, {{SEALED, HS, "18000002 0000", 0, 0}}},
    {"huge", KIND_PLAIN, SERVER_CONNECTED, TT_ALERT_ILLEGAL_PARAMETER, {{SEALED, HS, "18ffffff 00", 0, 0}}},
    {"split",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     FINE,
     {{SEALED, HS, "1800", 0, 0}, {SEALED, HS, "0001 01", 0, 0}}},
    {"split into bytes",
     KIND_PLAIN,
     SERVER_CONNECTED,
     FINE,
     {{SEALED, HS, "18", 0, 0}, {SEALED, HS, "00", 2, 0}, {SEALED, HS, "01 00", 0, 0}}},
    {"followed by a byte", KIND_PLAIN, CLIENT_CONNECTED, UNEXPECTED, {{SEALED, HS, "18000001 00 18", 0, 0}}},
    {"followed by another one",
     KIND_PLAIN,
     SERVER_CONNECTED,
     UNEXPECTED,
     {{SEALED, HS, "18000001 00 18000001 00", 0, 0}}},
    {"32 in a row", KIND_PLAIN, SERVER_CONNECTED, FINE, {{SEALED, HS, "18000001 01", 32, 0}}},
    {"33 in a row", KIND_PLAIN, SERVER_CONNECTED, UNEXPECTED, {{SEALED, HS, "18000001 01", 33, 0}}},
    {"33 with data between",
     KIND_PLAIN,
     SERVER_CONNECTED,
     FINE,
     {{SEALED, HS, "18000001 00", 32, 0}, {SEALED, AD, "61", 0, 0}, {SEALED, HS, "18000001 00", 1, 0}}},
    {"before Finished", KIND_PLAIN, CLIENT_WAIT_FINISHED, UNEXPECTED, {{SEALED, HS, "18000001 00", 0, 0}}},
    {"before the client's Finished",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     UNEXPECTED,
     {{SEALED, HS, "18000001 00", 0, 0}}},
};

static const struct record_row tickets[] = {
    {"a ticket",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     FINE,
     {{SEALED, HS, "0400000f 00000e10 00000000 01aa 0001bb 0000", 0, 0}}},
    {"two in one record",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     FINE,
     {{SEALED, HS, "0400000f 00000e10 00000000 01aa 0001bb 0000 0400000f 00000e10 00000000 01aa 0001bb 0000",
       0, 0}}},
    {"an unknown extension",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     FINE,
     {{SEALED, HS, "04000014 00000e10 00000000 01aa 0001bb 0005 7a7a 0001 00", 0, 0}}},
    {"an empty ticket",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     DECODE,
     {{SEALED, HS, "0400000e 00000e10 00000000 01aa 0000 0000", 0, 0}}},
    {"no extensions",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     DECODE,
     {{SEALED, HS, "0400000d 00000e10 00000000 01aa 0001bb", 0, 0}}},
    {"an extension cut off",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     DECODE,
     {{SEALED, HS, "04000012 00000e10 00000000 01aa 0001bb 0003 7a7a00", 0, 0}}},
    {"a byte behind",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     DECODE,
     {{SEALED, HS, "04000010 00000e10 00000000 01aa 0001bb 0000 00", 0, 0}}},
    {"33 in a row",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     UNEXPECTED,
     {{SEALED, HS, "0400000f 00000e10 00000000 01aa 0001bb 0000", 33, 0}}},
};

static const struct record_row alerts[] = {
    {"an alert of one byte", KIND_PLAIN, SERVER_START, DECODE, {{CLEAR, AL, "02", 0, 0}}},
    {"an alert of three bytes", KIND_PLAIN, CLIENT_WAIT_SH, DECODE, {{CLEAR, AL, "022800", 0, 0}}},
    {"two alerts in a record", KIND_PLAIN, CLIENT_WAIT_EE, DECODE, {{SEALED, AL, "015a0100", 0, 0}}},
    {"an alert of one byte, connected", KIND_PLAIN, SERVER_CONNECTED, DECODE, {{SEALED, AL, "02", 0, 0}}},
    {"handshake_failure", KIND_PLAIN, CLIENT_WAIT_SH, PEER_REFUSED, {{CLEAR, AL, "0228", 0, 0}}},
    {"handshake_failure that calls itself a warning",
     KIND_PLAIN,
     CLIENT_WAIT_SH,
     PEER_REFUSED,
     {{CLEAR, AL, "0128", 0, 0}}},
    {"an alert of an unknown level", KIND_PLAIN, CLIENT_WAIT_SH, PEER_REFUSED, {{CLEAR, AL, "ff28", 0, 0}}},
    {"an unknown alert", KIND_PLAIN, CLIENT_WAIT_SH, PEER_REFUSED, {{CLEAR, AL, "02c8", 0, 0}}},
    {"an unknown alert that calls itself a warning",
     KIND_PLAIN,
     SERVER_CONNECTED,
     PEER_REFUSED,
     {{SEALED, AL, "01c8", 0, 0}}},
    {"no_renegotiation of TLS 1.2", KIND_PLAIN, CLIENT_CONNECTED, PEER_REFUSED, {{SEALED, AL, "0164", 0, 0}}},
    {"decrypt_error, sealed", KIND_AUTH, CLIENT_CONNECTED, PEER_REFUSED, {{SEALED, AL, "0233", 0, 0}}},
    {"in the clear, from one that has no keys",
     KIND_PLAIN,
     CLIENT_WAIT_EE,
     PEER_REFUSED,
     {{CLEAR, AL, "0228", 0, 0}}},
    {"in the clear, from one that has no keys",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     PEER_REFUSED,
     {{CLEAR, AL, "0228", 0, 0}}},
    {"in the clear, after it used its keys",
     KIND_PLAIN,
     CLIENT_WAIT_CERT_CR,
     UNEXPECTED,
     {{CLEAR, AL, "0228", 0, 0}}},
    {"in the clear, after it used its keys",
     KIND_AUTH,
     SERVER_WAIT_CV,
     UNEXPECTED,
     {{CLEAR, AL, "0228", 0, 0}}},
    {"in the clear, connected", KIND_PLAIN, CLIENT_CONNECTED, UNEXPECTED, {{CLEAR, AL, "0228", 0, 0}}},
    {"close_notify in the clear, connected",
     KIND_PLAIN,
     SERVER_CONNECTED,
     UNEXPECTED,
     {{CLEAR, AL, "0100", 0, 0}}},
    {"close_notify in the handshake", KIND_PLAIN, CLIENT_WAIT_SH, CLOSED, {{CLEAR, AL, "0100", 0, 0}}},
    {"close_notify in the handshake, sealed",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     CLOSED,
     {{SEALED, AL, "0100", 0, 0}}},
    {"user_canceled and close_notify",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     CLOSED,
     {{SEALED, AL, "015a", 0, 0}, {SEALED, AL, "0100", 0, 0}}},
    {"user_canceled alone", KIND_PLAIN, CLIENT_WAIT_EE, FINE, {{SEALED, AL, "015a", 0, 0}}},
    {"user_canceled, 33 times", KIND_PLAIN, CLIENT_WAIT_EE, UNEXPECTED, {{SEALED, AL, "015a", 33, 0}}},
    {"user_canceled, 33 times, in the clear",
     KIND_PLAIN,
     SERVER_START,
     UNEXPECTED,
     {{CLEAR, AL, "015a", 33, 0}}},
    {"close_notify", KIND_PLAIN, CLIENT_CONNECTED, FINE, {{SEALED, AL, "0100", 0, 0}}},
    {"close_notify that calls itself fatal",
     KIND_PLAIN,
     CLIENT_CONNECTED,
     FINE,
     {{SEALED, AL, "0200", 0, 0}}},
    {"rubbish after close_notify",
     KIND_PLAIN,
     SERVER_CONNECTED,
     FINE,
     {{SEALED, AL, "0100", 0, 0}, {RAW, 0, "ff*100", 0, 0}}},
};

static void put_one(struct scene *s, enum tt_role to, const struct put *p, struct tt_bytes honest)
{
    static uint8_t bytes[140000];
    size_t n = 0, half = honest.len / 2;
    if (p->how == HONEST || p->how == HONEST_HALF) {
        n = p->how == HONEST ? honest.len : half;
        memcpy(bytes, honest.data, n);
    } else if (p->how == HONEST_REST) {
        n = honest.len - half;
        memcpy(bytes, honest.data + half, n);
    }
    n += hex_bytes(bytes + n, sizeof bytes - n, p->hex);
    const struct tt_bytes content = {bytes, n};
    struct buf out = {0};
    if (p->how == RAW)
        (void)!scene_feed(s, to, content);
    else if (p->how == CLEAR)
        (void)!scene_put_clear(s, to, p->type, content);
    else {
        scene_seal(s, to, (struct scene_record){p->how == SEALED ? p->type : HS, content, p->padding}, 0,
                   &out);
        (void)!scene_feed(s, to, buf_bytes(&out));
    }
    buf_free(&out);
}

static void expect(struct scene *s, enum tt_role end, const struct record_row *row)
{
    if (row->expected == FINE) {
        scene_expect_well(s, end, row->what);
        return;
    }
    if (row->expected != PEER_REFUSED && row->expected != CLOSED) {
        scene_expect_alert(s, end, row->what, row->expected);
        return;
    }
    const struct tt_conn_status *st = tt_conn_error(s->conn[end]);
    assert_int_equal(st->error.rc, row->expected == CLOSED ? TT_ERR_CLOSED : TT_ERR_PEER_ALERT);
    assert_int_equal(st->alert_sent, TT_ALERT_NONE);
    assert_int_equal(s->alert[end].count, 0);
    assert_int_not_equal(st->alert_received, TT_ALERT_NONE);
}

static void record_row_run(void **state)
{
    const struct record_row *row = *state;
    struct scene *s = scene_of(row->kind);
    enum tt_role end = row_role(row->at);
    uint8_t honest[4096];
    scene_open(s);
    if (row->at == CLIENT_CONNECTED || row->at == SERVER_CONNECTED)
        scene_finish(s);
    else
        scene_reach(s, end, row->at);
    struct tt_bytes next = scene_next(s, end);
    assert_true(next.len <= sizeof honest);
    if (next.len > 0)
        memcpy(honest, next.data, next.len);
    for (size_t i = 0; i < TT_COUNT(row->puts) && row->puts[i].how != PUT_NONE; i++)
        for (size_t times = 0; times < (row->puts[i].times > 0 ? row->puts[i].times : 1); times++)
            if (tt_conn_error(s->conn[end])->error.rc == TT_OK)
                put_one(s, end, &row->puts[i], (struct tt_bytes){honest, next.len});
    expect(s, end, row);
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

int main(void)
{
    static const struct {
        const struct record_row *rows;
        size_t n;
    } tables[] = {{in_the_clear, TT_COUNT(in_the_clear)},
                  {protection, TT_COUNT(protection)},
                  {application_data, TT_COUNT(application_data)},
                  {change_cipher_spec, TT_COUNT(change_cipher_spec)},
                  {boundaries, TT_COUNT(boundaries)},
                  {key_update, TT_COUNT(key_update)},
                  {tickets, TT_COUNT(tickets)},
                  {alerts, TT_COUNT(alerts)}};
    static struct CMUnitTest tests[300];
    size_t n = 0;
    for (size_t t = 0; t < TT_COUNT(tables); t++)
        for (size_t i = 0; i < tables[t].n && n < TT_COUNT(tests); i++)
            tests[n++] = (struct CMUnitTest){tables[t].rows[i].what, record_row_run, NULL, NULL,
                                             (void *)(uintptr_t)&tables[t].rows[i]};
    return _cmocka_run_group_tests("tls/alerts_records", tests, n, NULL, tear_down);
}
