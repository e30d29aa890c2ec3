/* tests/tls/record_rows.h: tables of records that are put before an end in some state, and what must follow.
 * Tests only. */
#ifndef TESTS_RECORD_ROWS_H
#define TESTS_RECORD_ROWS_H

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

/* record_rows_main: run all rows of all tables, each as a test of its own. */
struct record_table {
    const struct record_row *rows;
    size_t n;
};
int record_rows_main(const char *group, const struct record_table *tables, size_t n);

/* Short names for the tables. */
#define HS         CT_HANDSHAKE
#define AL         CT_ALERT
#define AD         CT_APPLICATION_DATA
#define CCS        "14 0303 0001 01"
#define UNEXPECTED TT_ALERT_UNEXPECTED_MESSAGE
#define OVERFLOW   TT_ALERT_RECORD_OVERFLOW
#define DECODE     TT_ALERT_DECODE_ERROR

#endif
