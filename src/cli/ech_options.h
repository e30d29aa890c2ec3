/* cli/ech_options.h: the options of a client about Encrypted Client Hello. Layer: cli. */
#ifndef CLI_ECH_OPTIONS_H
#define CLI_ECH_OPTIONS_H

#include "cli/cli.h"
#include "cli/options.h"
#include "net/address.h"
#include "net/ech_offer.h"

struct ech_options {
    const char *ech, *dns_server;
    bool required;
};
extern const struct option_row ech_rows[];

/* struct ech_asked: about whom the DNS is asked. Where may_move, its answer may say where the server is. */
struct ech_asked {
    const char *server_name;
    bool is_literal; /* which is an address */
    struct address *address;
    bool may_move;
};
/* ech_options_offer: what the options say is offered; with dns the DNS is asked, which blocks. */
TT_MUST_USE tt_rc ech_options_offer(struct ech_offer *ret, const struct cli *cli, const struct ech_options *o,
                                    const struct ech_asked *asked, struct tt_error *err);
/* ech_options_tell_again: ech_offer_again said that another connection is made. */
void ech_options_tell_again(const struct ech_offer *offer, const struct cli *cli, const char *peer);

#endif
