/* service/board.h: the operator's page: how the CA's devices are. Layer: service. Plain HTML with inline SVG,
 * no script, nothing from elsewhere; read only. */
#ifndef SERVICE_BOARD_H
#define SERVICE_BOARD_H

#include "ca/ca.h"

#define BOARD_ROWS  20
#define BOARD_WEEKS 27 /* of the histogram of expiries, two weeks a bar: a year and a little */
#define BOARD_HOURS 48
#define BOARD_CELL  160

struct board_request {
    char id[CA_ID_HEX], subject[BOARD_CELL], names[BOARD_CELL], profile[64], from[80], key[32];
    int64_t made;
    bool attested;
};
struct board_entry {
    char serial[CA_SERIAL_HEX], subject[BOARD_CELL], names[BOARD_CELL], profile[64];
    int64_t revoked, not_after;
    int reason;
};
struct board_act {
    int64_t number;
    char line[600];
};

/* struct board: what the page says, gathered before it is said. */
struct board {
    int64_t now, ca_not_after;
    char name[BOARD_CELL];
    struct ca_counts counts;
    int64_t expiry[BOARD_WEEKS], issued[BOARD_HOURS];
    struct board_request waiting[BOARD_ROWS];
    struct board_entry revoked[BOARD_ROWS], ending[BOARD_ROWS];
    struct board_act acts[BOARD_ROWS];
    size_t waiting_len, revoked_len, ending_len, acts_len;
};

/* board_gather: on the CA's thread. */
TT_MUST_USE tt_rc board_gather(struct board *ret, struct ca *ca, int64_t now, struct tt_error *err);
/* board_render: the page, appended. What stands in certificates and requests is escaped. */
TT_MUST_USE tt_rc board_render(struct buf *to, const struct board *b);

#endif
