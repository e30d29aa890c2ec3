/* cli/ech_options.c: see ech_options.h. Layer: cli. */
#include "cli/ech_options.h"

#include <stdlib.h>
#include <string.h>

#include "cli/event.h"
#include "net/https_record.h"

#define TO(member) OPTION_TO(struct ech_options, member)

const struct option_row ech_rows[] = {
    {"ech", "FILE|BASE64|dns|grease",
     "encrypt the name that is asked for (RFC 9849): with the ECHConfigList of a file (PEM, base64 or bytes) "
     "or as base64 itself; "
     "dns: of the server's HTTPS record, and grease where it has none; grease: only look as if. A server "
     "that "
     "rejects it is tried once more, with what it says",
     TO(ech)},
    {"ech-required", NULL, "fail where the name would be sent in the clear", TO(required), .needs = "ech"},
    {"dns-server", "ADDR[:PORT]", "the DNS server to ask, by its IPv4 address; default: those of the system",
     TO(dns_server), .needs = "ech"},
    {0},
};

/* Where the record says the server is, unless the user said it; a target that is no name is none. */
static void move(struct address *to, const struct https_record *record)
{
    struct address target = *to;
    if (record->target[0] != '\0' && address_set_host(&target, record->target, NULL) == TT_OK &&
        target.is_name)
        *to = target;
    if (record->port != 0)
        (void)snprintf(to->port, sizeof to->port, "%u", record->port);
}

static tt_rc offer_dns(struct ech_offer *ret, const struct cli *cli, const struct ech_options *o,
                       const struct ech_asked *asked, struct tt_error *err)
{
    struct https_record record = {.port = 0};
    struct tt_error why = {0};
    const struct https_question question = {
        .host = asked->server_name,
        .port = (uint16_t)strtoul(asked->address->port, NULL, 10),
        .server = o->dns_server,
    };
    if (asked->is_literal)
        return error_set(err, TT_ERR_USAGE, "--ech dns needs a name to ask for, and %s is an address",
                         asked->server_name);
    tt_rc rc = https_record_look_up(&record, &question, &why);
    if (rc == TT_ERR_IO && !o->required) {
        cli_note("%s; Encrypted Client Hello is not used", why.text);
    } else if (rc != TT_OK) {
        *err = why;
        return rc;
    } else if (cli->verbose > 0) {
        cli_note("%s: the HTTPS record has %s", asked->server_name,
                 buf_size(&record.ech) > 0 ? "an ECHConfigList" : "no ECHConfigList");
    }
    if (asked->may_move)
        move(asked->address, &record);
    ret->configs = record.ech;
    return TT_OK;
}

tt_rc ech_options_offer(struct ech_offer *ret, const struct cli *cli, const struct ech_options *o,
                        const struct ech_asked *asked, struct tt_error *err)
{
    if (o->ech == NULL)
        return TT_OK;
    bool dns = strcmp(o->ech, "dns") == 0;
    ret->required = o->required;
    ret->grease = dns || strcmp(o->ech, "grease") == 0;
    if (o->dns_server != NULL && !dns)
        return error_set(err, TT_ERR_USAGE, "--dns-server goes with --ech dns");
    if (dns)
        TT_TRY(offer_dns(ret, cli, o, asked, err));
    else if (!ret->grease)
        TT_TRY(ech_offer_read(ret, o->ech, err));
    if (ret->required && buf_size(&ret->configs) == 0)
        return error_set(err, TT_ERR_NOT_FOUND,
                         dns ? "the HTTPS record of %s has no ECHConfigList, and --ech-required was given"
                             : "--ech-required is nothing for GREASE: the name of %s is sent in the clear",
                         asked->server_name);
    return TT_OK;
}

void ech_options_tell_again(const struct ech_offer *offer, const struct cli *cli, const char *peer)
{
    bool configs = buf_size(&offer->configs) > 0;
    if (cli->json)
        cli_event(json_pack("{s:s, s:s, s:b}", "event", "ech_retry", "peer", peer, "configs", configs));
    else if (!configs)
        cli_note("%s: the server has disabled Encrypted Client Hello; connecting without it", peer);
    else if (cli->verbose > 0)
        cli_note("%s: the server rejected Encrypted Client Hello; trying again with the configs it sent",
                 peer);
}
