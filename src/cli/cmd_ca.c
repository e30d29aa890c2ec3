/* cli/cmd_ca.c: `tpmtls ca`: its commands, their options and their help. Layer: cli. */
#include "cli/ca_cli.h"
#include "cli/ca_serve.h"

#define TO(member) CA_TO(member)

const struct option_row ca_dir_rows[] = {
    {"dir", "DIR",
     "the CA: its certificate (ca.pem: give it to those who shall trust it), what it may issue "
     "(profiles.ini) and what "
     "it issued (ca.db)",
     TO(dir), .needed = "which CA?"},
    {"store", "URL",
     "where its store is: sqlite:FILE or postgresql://USER@HOST/DATABASE; default: what `ca init` was told, "
     "sqlite:DIR/ca.db",
     TO(store), .words = "sqlite: postgresql://"},
    {0},
};
static const struct option_row init_rows[] = {
    {"subject", "DN", "what the CA is called, such as '/O=Example/CN=Example CA'", TO(subject),
     .needed = "what is the CA called?", .elsewhere = "subj"},
    {"key", "KEY",
     "its key, which may live in the TPM: a TSS2 PRIVATE KEY file or handle:0x81...; default: a P-256 "
     "software key that is made in DIR/ca.key",
     TO(key)},
    {"days", "N", "how long it is valid; default: 3650, or with --parent what its profile sub-ca says",
     TO(days), .min = 1, .max = 36500},
    {"parent", "DIR",
     "the CA above it, which issues its certificate by the profile sub-ca; default: none, it is a root",
     TO(parent)},
    {"path-length", "N", "how many CAs may stand below it in a chain; default: 0", TO(path_len), .max = 10},
    {"crl-url", "URL", "where its CRL can be had, for the certificates it issues", TO(crl_url)},
    {"ocsp-url", "URL", "where it answers OCSP", TO(ocsp_url)},
    {"issuer-url", "URL", "where its certificate can be had", TO(issuer_url)},
    {0},
};
static const struct option_row rollover_rows[] = {
    {"key", "KEY",
     "the new key, which may live in the TPM: a TSS2 PRIVATE KEY file or handle:0x81...; default: a P-256 "
     "software key that is made in DIR",
     TO(key)},
    {"days", "N",
     "how long the new certificate is valid; default: 3650, or with --parent what its profile sub-ca says",
     TO(days), .min = 1, .max = 36500},
    {"parent", "DIR", "of a CA that is no root: the CA above it, which issues the new certificate",
     TO(parent)},
    {0},
};
static const struct option_row sign_rows[] = {
    {NULL, "CSR|-", "the request, a file or standard input", TO(word), .needed = "which request?"},
    {"profile", "NAME",
     "what the certificate may be used for, which the request does not decide: a section of "
     "DIR/profiles.ini; default: "
     "client",
     TO(profile), .words = "client server both operator sub-ca"},
    {"days", "N",
     "how long it is valid, never longer than the CA itself; default: what the profile says, 365", TO(days),
     .min = 1, .max = 36500},
    {"delegation", NULL, "let its key sign delegated credentials (RFC 9345): serve and connect --delegate",
     TO(delegation)},
    {"out", "FILE", "where it goes, over a former certificate if one is there; default: standard output",
     TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {"chain", NULL, "append the CA's certificate, and those above it", TO(chain)},
    {0},
};
static const struct option_row show_rows[] = {
    {NULL, "SERIAL", "of one certificate that the CA issued; none: the CA's own", TO(word)},
    {"evidence", NULL,
     "what its request proved of the key and the TPM, in lines; with --out as `tpmtls attest verify` takes "
     "it",
     TO(evidence)},
    {"out", "FILE", "write that certificate there as PEM", TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_row filter_rows[] = {
    {"state", "STATE", "only those that are valid, expired, held or revoked", TO(state),
     .words = "valid expired held revoked"},
    {"subject", "TEXT", "only those with this text in the subject or in a name", TO(subject)},
    {"expires-within", "TIME", "only those that end before that: 30d, 12h, or a day such as 2026-12-31",
     TO(expires)},
    {0},
};
static const struct option_row order_rows[] = {
    {"newest", NULL, "the newest first", TO(newest)},
    {"limit", "N", "at most so many", TO(limit), .min = 1, .max = 1000000000},
    {0},
};
static const struct option_row out_rows[] = {
    {"out", "FILE", "where they go; default: standard output", TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_row serial_rows[] = {
    {NULL, "SERIAL", "the certificate's serial number: `tpmtls ca list` shows them", TO(word),
     .needed = "which certificate?"},
    {"no-crl", NULL, "make no new CRL: the CA's key is not at hand", TO(no_crl)},
    {0},
};
static const struct option_row reason_rows[] = {
    {"reason", "WORD",
     "why (RFC 5280 section 5.3.1); with certificateHold it can be taken back; default: unspecified",
     TO(reason),
     .words = "unspecified keyCompromise cACompromise affiliationChanged superseded cessationOfOperation "
              "certificateHold privilegeWithdrawn aACompromise"},
    {0},
};
static const struct option_row crl_rows[] = {
    {"out", "FILE", "where it goes; default: standard output", TO(out), .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {"der", NULL, "in DER; default: PEM", TO(der)},
    {"delta", NULL, "only what has changed since the oldest CRL that is still valid (RFC 5280 section 5.2.4)",
     TO(delta)},
    {"key-id", "ID",
     "the one that this key of the CA signs, the present or a former one: `tpmtls ca show` has their "
     "identifiers",
     TO(key_id), .not_with = "delta"},
    {"no-key", NULL, "the one in the store, without the CA's key", TO(no_crl)},
    {0},
};
static const struct option_row request_rows[] = {
    {NULL, "REQUEST", "its number: `tpmtls ca pending` shows them", TO(word), .needed = "which request?"},
    {0},
};
static const struct option_row request_state_rows[] = {
    {"state", "STATE", "pending, approved, issued, refused, rejected or all; default: pending", TO(state),
     .words = "pending approved issued refused rejected all"},
    {0},
};
static const struct option_row token_rows[] = {
    {"subject", "NAME",
     "whom it is for: a subject ('/CN=device-1'), or a name that CN and alternative names must be; default: "
     "anybody",
     TO(subject), .elsewhere = "subj"},
    {"san", "TYPE:VALUE",
     "an alternative name that may be asked for by it (DNS:host, IP:address, URI:uri, email:mailbox), and no "
     "other; "
     "default: the name of --subject, or its CN",
     TO(sans), .max = 100},
    {"expires", "TIME", "until when it is good: 90m, 12h, 30d, or a day; default: 1h", TO(expires)},
    {"profile", "NAME", "the profile its certificates have; default: the CA's", TO(profile)},
    {"uses", "N", "for how many enrolments; default: 1", TO(uses), .min = 1, .max = 1000000},
    {0},
};
static const struct option_row token_id_rows[] = {
    {NULL, "TOKEN", "its number: `tpmtls ca token list` shows them", TO(word), .needed = "which token?"},
    {0},
};
static const struct option_row head_rows[] = {
    {"head", "HASH", "a hash that was noted before, and must be among those of the log", TO(head)},
    {0},
};

#define PARTS(name, ...) static const struct option_part name[] = {{NULL, ca_dir_rows, 0}, __VA_ARGS__, {0}}
PARTS(init_parts, {NULL, init_rows, 0});
PARTS(rollover_parts, {NULL, rollover_rows, 0});
PARTS(sign_parts, {NULL, sign_rows, 0});
PARTS(show_parts, {NULL, show_rows, 0});
PARTS(list_parts, {NULL, filter_rows, 0}, {NULL, order_rows, 0});
PARTS(export_parts, {NULL, filter_rows, 0}, {NULL, order_rows, 0}, {NULL, out_rows, 0});
PARTS(revoke_parts, {NULL, serial_rows, 0}, {NULL, reason_rows, 0});
PARTS(unrevoke_parts, {NULL, serial_rows, 0});
PARTS(crl_parts, {NULL, crl_rows, 0});
PARTS(request_parts, {NULL, request_rows, 0});
PARTS(pending_parts, {NULL, request_state_rows, 0}, {NULL, order_rows, 0});
PARTS(token_create_parts, {NULL, token_rows, 0});
PARTS(token_id_parts, {NULL, token_id_rows, 0});
PARTS(audit_list_parts, {NULL, order_rows, 0});
PARTS(audit_verify_parts, {NULL, head_rows, 0});
static const struct option_part dir_parts[] = {{NULL, ca_dir_rows, 0}, {0}};

#define COMMAND(variable, word, sentence, lines, table, function)                                            \
    static const struct command variable = {.name = word,                                                    \
                                            .summary = sentence,                                             \
                                            .example = lines,                                                \
                                            .parts = table,                                                  \
                                            .size = sizeof(struct ca_options),                               \
                                            .run = function}

COMMAND(command_init, "init", "make a CA in a new directory",
        "  tpmtls ca init --dir ca --subject '/O=Example/CN=Example CA'", init_parts, run_ca_init);
COMMAND(command_rollover, "rollover",
        "give the CA another key; who trusts the old one can follow (RFC 4210 section 4.4)",
        "  tpmtls ca rollover --dir ca", rollover_parts, run_ca_rollover);
COMMAND(command_sign, "sign", "check a request and issue a certificate",
        "  tpmtls ca sign --dir ca device.csr -o device.pem", sign_parts, run_ca_sign);
COMMAND(command_show, "show", "tell about the CA, or about one certificate it issued",
        "  tpmtls ca show --dir ca", show_parts, run_ca_show);
COMMAND(command_list, "list", "show what it issued",
        "  tpmtls ca list --dir ca --state valid --expires-within 30d", list_parts, run_ca_list);
COMMAND(command_export, "export", "write certificates it issued as PEM",
        "  tpmtls ca export --dir ca --state valid", export_parts, run_ca_export);
COMMAND(command_revoke, "revoke", "take a certificate back",
        "  tpmtls ca revoke --dir ca --reason certificateHold \"$(openssl x509 -noout -serial -in device.pem "
        "| cut -d= "
        "-f2)\"",
        revoke_parts, run_ca_revoke);
COMMAND(command_unrevoke, "unrevoke", "release a certificate that was on hold",
        "  tpmtls ca unrevoke --dir ca \"$(openssl x509 -noout -serial -in device.pem | cut -d= -f2)\"",
        unrevoke_parts, run_ca_unrevoke);
COMMAND(command_crl, "crl",
        "write the list of revoked certificates, a new one if the old one is not true any more",
        "  tpmtls ca crl --dir ca -o ca.crl\n"
        "  tpmtls ca crl --dir ca --delta -o ca-delta.crl",
        crl_parts, run_ca_crl);
COMMAND(command_stats, "stats", "count certificates, requests and tokens", "  tpmtls ca stats --dir ca",
        dir_parts, run_ca_stats);
COMMAND(command_pending, "pending", "show requests that wait for a person", "  tpmtls ca pending --dir ca",
        pending_parts, run_ca_pending);
COMMAND(command_approve, "approve", "let a waiting request have its certificate",
        "  tpmtls ca approve --dir ca 1", request_parts, run_ca_approve);
COMMAND(command_reject, "reject", "turn a waiting request down", "  tpmtls ca reject --dir ca 2",
        request_parts, run_ca_reject);
COMMAND(command_token_create, "create", "make a password for one enrolment, and show it once",
        "  tpmtls ca token create --dir ca --subject device-1 --expires 1h", token_create_parts,
        run_ca_token_create);
COMMAND(command_token_list, "list", "show the tokens, without their passwords",
        "  tpmtls ca token list --dir ca", dir_parts, run_ca_token_list);
COMMAND(command_token_revoke, "revoke", "make a token useless", "  tpmtls ca token revoke --dir ca 1",
        token_id_parts, run_ca_token_revoke);
COMMAND(command_audit_verify, "verify", "check that the log is whole, and that the store says what it says",
        "  tpmtls ca audit verify --dir ca", audit_verify_parts, run_ca_audit_verify);
COMMAND(command_audit_list, "list", "print the log, one JSON object a line",
        "  tpmtls ca audit list --dir ca --newest --limit 5", audit_list_parts, run_ca_audit_list);

static const struct command *const token_commands[] = {&command_token_create, &command_token_list,
                                                       &command_token_revoke, NULL};
static const struct command command_token = {
    .name = "token",
    .summary = "passwords for one enrolment",
    .about = "A token is a password with which a device that has no certificate yet enrols over EST. The "
             "store keeps its "
             "hash alone.",
    .subcommands = token_commands,
};
static const struct command *const audit_commands[] = {&command_audit_verify, &command_audit_list, NULL};
static const struct command command_audit = {
    .name = "audit",
    .summary = "the log of what was done",
    .about = "One JSON line an act, each with the SHA-256 of the one before. Write the last hash down "
             "elsewhere from time "
             "to time: with it, `ca audit verify --head HASH` shows that nothing up to there was changed.",
    .subcommands = audit_commands,
};
static const struct command *const subcommands[] = {&command_init,
                                                    &command_sign,
                                                    &command_show,
                                                    &command_list,
                                                    &command_export,
                                                    &command_stats,
                                                    &command_revoke,
                                                    &command_unrevoke,
                                                    &command_crl,
                                                    &command_pending,
                                                    &command_approve,
                                                    &command_reject,
                                                    &command_token,
                                                    &command_audit,
                                                    &command_rollover,
                                                    &command_ca_serve,
                                                    NULL};

const struct command command_ca = {
    .name = "ca",
    .summary = "a CA: issue certificates, take them back",
    .about = "A certificate authority. DIR holds its certificate (ca.pem: give it to those who shall trust "
             "it), what it "
             "may issue (profiles.ini) and what it issued (ca.db).",
    .subcommands = subcommands,
};
