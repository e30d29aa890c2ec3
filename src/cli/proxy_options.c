/* cli/proxy_options.c: the tables of `tpmtls proxy`, and what rows cannot say. Layer: cli. */
#include "cli/proxy.h"

#include <string.h>

#include "base/rc.h"
#include "net/address.h"
#include "net/listen.h"
#include "net/reach.h"
#include "proxy/rule.h"
#include "proxy/status.h"

#define TO(member) OPTION_TO(struct proxy_tunnel, member)

static const struct option_row common_rows[] = {
    {"status", "unix:PATH|127.0.0.1:PORT",
     "answer there over HTTP: /_status (JSON), /_metrics (Prometheus), /_live, /_ready",
     OPTION_TO(struct proxy_common, status)},
    {"takeover", "unix:PATH",
     "take the listening sockets over from the process that was started with the same path, which then ends "
     "what "
     "it has and itself; and hand them to the next one",
     OPTION_TO(struct proxy_common, takeover)},
    {"threads", "N", "that carry connections; default: one for each core",
     OPTION_TO(struct proxy_common, threads), .min = 1, .max = 64},
    {"ktls", NULL,
     "where the kernel has TLS and can change its keys, it gets the records of connections that carry much",
     OPTION_TO(struct proxy_common, ktls), .choices = "auto off"},
    {"sandbox", NULL,
     "give up what a proxy does not need: other files (Landlock), other system calls (seccomp), new "
     "privileges, core "
     "dumps",
     OPTION_TO(struct proxy_common, sandbox), .choices = "on off"},
    {"user", "NAME", "started as root: become this user, and keep the right to listen on low ports",
     OPTION_TO(struct proxy_common, user)},
    {"shutdown-timeout", "S", "seconds that open connections have once it is told to end",
     OPTION_TO(struct proxy_common, shutdown_timeout), .max = 86400, .initial = 30},
    {0},
};

static const struct option_row tunnel_rows[] = {
    {"unsafe-listen", NULL, "client: let other machines connect in plaintext", TO(unsafe_listen)},
    {"unsafe-target", NULL, "server: pass plaintext on to another machine", TO(unsafe_target)},
    {"connect-timeout", "S",
     "seconds from a connection's beginning until its data may pass: for the target, the handshake, the TPM, "
     "and the wait for another's tickets",
     TO(connect_timeout), .min = 1, .max = 3600, .initial = 30},
    {"idle-timeout", "S", "end a connection on which nothing moved for so many seconds; 0: never",
     TO(idle_timeout), .max = 31536000},
    {"close-timeout", "S",
     "end a connection of which one side has ended, when nothing moved for so many seconds; 0: never",
     TO(close_timeout), .max = 31536000, .initial = 300},
    {"max-lifetime", "S", "end every connection after so many seconds; 0: never", TO(lifetime),
     .max = 31536000},
    {"max-connections", "N", "how many at once; more wait", TO(max_connections), .min = 1, .max = 1000000,
     .initial = 100000},
    {0},
};

static const struct option_row client_rows[] = {
    {"listen", "ADDR:PORT|unix:PATH|systemd[:NAME]", "where programs connect in plaintext", TO(listen),
     .needed = "listen where?"},
    {"connect", "HOST:PORT", "the TLS server", TO(connect), .needed = "connect where?",
     .elsewhere = "target"},
    {"ca", "FILE|DIR|system", "whom to believe (PEM or DER); default: the system's store", TO(trust.ca),
     .max = TRUST_OPTION_VALUES, .elsewhere = "cacert CAfile"},
    {"verify-dns", "NAME",
     "a name that the server's certificate may have: it must have one of those that are given; the first is "
     "sent to the server. Default: the host",
     TO(verify_dns), .max = PROXY_NAMES_MAX, .elsewhere = "server-name servername override-server-name"},
    {"verify-uri", "URI", "a URI that it may have in place of a name, such as spiffe://example.org/web",
     TO(verify_uri), .max = PROXY_NAMES_MAX},
    {"resume", NULL,
     "where tickets are kept: memory, sealed (on disk, under a key that only this TPM unseals), held (on "
     "disk, "
     "the secret in the TPM for ever), off",
     TO(resume), .choices = "off memory sealed held", .initial = SESSIONS_IN_MEMORY},
    {"resume-pcrs", "PCRS", "sealed: only while these PCRs keep their present values, such as sha256:0,7",
     TO(resume_pcrs), .needs = "resume"},
    {"attest", NULL,
     "before any data show the server, which has to ask for it, that the TPM of our certificate is at this "
     "end of the "
     "connection: docs/attestation.md",
     TO(attest)},
    {"ek-cert", "FILE", "the certificate of the TPM's endorsement key, where the TPM itself has none",
     TO(ek_cert), .needs = "attest"},
    {"burst", NULL,
     "while a handshake with the server is under way, others wait for its tickets and resume: many "
     "connections at "
     "once cost one signature",
     TO(burst), .choices = "on off"},
    {0},
};

static const struct option_row server_rows[] = {
    {"listen", "ADDR:PORT|systemd[:NAME]", "where TLS clients connect", TO(listen),
     .needed = "listen where?"},
    {"connect", "127.0.0.1:PORT|unix:PATH", "the program behind, in plaintext", TO(connect),
     .needed = "connect where?", .elsewhere = "target"},
    {"client-ca", "FILE|DIR", "clients need a certificate from these CAs (PEM or DER)", TO(trust.ca),
     .max = TRUST_OPTION_VALUES, .elsewhere = "ca cacert CAfile"},
    {"require-attestation", "POLICY",
     "before any data each client has to show, with attest, that the TPM of its certificate is at its end of "
     "the "
     "connection, as this file wants it: docs/attestation.md",
     TO(attestation)},
    {"allow-all", NULL, "every client that is trusted may pass", TO(allow_all), .elsewhere = "allow"},
    {"allow-cn", "NAME", "clients with this common name may pass", TO(allow_cn)},
    {"allow-ou", "NAME", "clients with this organizational unit may pass", TO(allow_ou)},
    {"allow-dns", "NAME", "clients with this DNS name (*.example.org: one label more) may pass",
     TO(allow_dns)},
    {"allow-uri", "URI", "clients with this URI (spiffe://domain/*: any below) may pass", TO(allow_uri)},
    {"allow-pin", "sha256:KEY", "clients with this public key may pass", TO(allow_pin)},
    {"ech-key", "PATH",
     "read the names that clients encrypt (RFC 9849): a file of `tpmtls ech-key`, or a directory of such "
     "(*.ech); read again when it changes",
     TO(ech_keys), .max = ECH_PATHS_MAX},
    {"proxy-protocol", NULL,
     "begin each connection to the program with a header of the PROXY protocol, version 2: addresses, and "
     "who the "
     "client is",
     TO(proxy_protocol)},
    {0},
};

#define IN_TUNNEL(member) offsetof(struct proxy_tunnel, member)
#define IN_COMMAND        offsetof(struct proxy_command, tunnel)
#define SHARED_PARTS(at)                                                                                     \
    {"tunnel", tunnel_rows, at}, {"identity", tls_identity_rows, (at) + IN_TUNNEL(tls)},                     \
        {"protocol", tls_protocol_rows, (at) + IN_TUNNEL(tls)},                                              \
    {                                                                                                        \
        "trust", trust_rows, (at) + IN_TUNNEL(trust)                                                         \
    }

const struct option_part proxy_client_parts[] = {
    {"client", client_rows, IN_COMMAND},
    {"Encrypted Client Hello", ech_rows, IN_COMMAND + IN_TUNNEL(ech)},
    SHARED_PARTS(IN_COMMAND),
    {"process", common_rows, 0},
    {0}};
const struct option_part proxy_server_parts[] = {{"server", server_rows, IN_COMMAND},
                                                 SHARED_PARTS(IN_COMMAND),
                                                 {"tickets", ticket_rows, IN_COMMAND + IN_TUNNEL(tickets)},
                                                 {"process", common_rows, 0},
                                                 {0}};
const struct option_part proxy_common_file_parts[] = {{"process", common_rows, 0}, {0}};
const struct option_part proxy_client_file_parts[] = {
    {"client", client_rows, 0}, {"Encrypted Client Hello", ech_rows, IN_TUNNEL(ech)}, SHARED_PARTS(0), {0}};
const struct option_part proxy_server_file_parts[] = {
    {"server", server_rows, 0}, SHARED_PARTS(0), {"tickets", ticket_rows, IN_TUNNEL(tickets)}, {0}};

/* ---- what rows cannot say ---- */

static void wrong(struct option_faults *f, const char *sentence, const char *hint)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_USAGE, "%s", sentence);
    error_hint(&err, "%s", hint);
    option_fault(f, &err);
}

/* True: it was all right. */
static bool told(struct option_faults *f, tt_rc rc, const struct tt_error *err)
{
    if (rc != TT_OK)
        option_fault(f, err);
    return rc == TT_OK;
}

static void check_listen(const struct proxy_tunnel *t, struct option_faults *f)
{
    struct tt_error err = {0};
    if (t->listen != NULL && told(f, listen_check(t->listen, &err), &err) && t->role == TT_CLIENT &&
        !t->unsafe_listen && !listen_is_local(t->listen))
        wrong(f, "other machines could connect there in plaintext",
              "listen on 127.0.0.1, [::1] or unix:PATH; or say unsafe-listen");
}

static void check_connect(const struct proxy_tunnel *t, struct option_faults *f)
{
    struct tt_error err = {0};
    if (t->connect == NULL || !told(f, reach_check(t->connect, &err), &err))
        return;
    if (t->role == TT_CLIENT && strncmp(t->connect, "unix:", 5) == 0 &&
        t->verify_dns.len + t->verify_uri.len == 0)
        wrong(f, "a path is no name of a server",
              "verify-dns or verify-uri says whose certificate is expected there");
    if (t->role == TT_SERVER && !t->unsafe_target && !listen_is_local(t->connect))
        wrong(f, "plaintext would leave this machine",
              "connect to 127.0.0.1, [::1] or unix:PATH; or say unsafe-target");
}

static void check_names(const struct proxy_tunnel *t, struct option_faults *f)
{
    for (size_t i = 0; i < t->verify_dns.len; i++) {
        struct address named = {.host = ""};
        struct tt_error err = {0};
        (void)told(f, address_set_host(&named, t->verify_dns.at[i], &err), &err);
    }
    for (size_t i = 0; i < t->verify_uri.len; i++)
        if (strchr(t->verify_uri.at[i], ':') == NULL)
            wrong(f, "verify-uri is no URI", "it begins with a scheme, such as spiffe: or urn:");
    if (t->verify_dns.len + t->verify_uri.len > PROXY_NAMES_MAX)
        wrong(f, "too many names of a server", "verify-dns and verify-uri: 16 in all");
}

static tt_rc add_kind(struct rules *rules, const struct option_list *list, enum rule_kind kind,
                      struct option_faults *f, struct tt_error *err)
{
    for (size_t i = 0; i < list->len; i++) {
        tt_rc rc = rules_add(rules, kind, list->at[i], err);
        if (f == NULL)
            TT_TRY(rc);
        else
            (void)told(f, rc, err);
        if (f != NULL)
            *err = (struct tt_error){0};
    }
    return TT_OK;
}

tt_rc proxy_rules_add(struct rules *rules, const struct proxy_tunnel *t, struct option_faults *f,
                      struct tt_error *err)
{
    if (t->allow_all)
        TT_TRY(rules_add(rules, RULE_ALL, NULL, err));
    TT_TRY(add_kind(rules, &t->allow_cn, RULE_CN, f, err));
    TT_TRY(add_kind(rules, &t->allow_ou, RULE_OU, f, err));
    TT_TRY(add_kind(rules, &t->allow_dns, RULE_DNS, f, err));
    TT_TRY(add_kind(rules, &t->allow_uri, RULE_URI, f, err));
    return add_kind(rules, &t->allow_pin, RULE_PIN, f, err);
}

static void check_who(const struct proxy_tunnel *t, struct option_faults *f)
{
    struct tt_error err = {0};
    struct rules rules = {0};
    bool some =
        t->allow_cn.len + t->allow_ou.len + t->allow_dns.len + t->allow_uri.len + t->allow_pin.len > 0;
    if (t->role == TT_CLIENT)
        return;
    if (t->tls.keys.len == 0)
        wrong(f, "a server needs key and cert", "`tpmtls key create` makes a key in the TPM");
    if (!trust_is_given(&t->trust))
        wrong(f, "which clients are to be believed?", "client-ca names their CA, pin a key of theirs");
    if (!some && !t->allow_all)
        wrong(f, "which clients may pass?",
              "allow-cn, allow-ou, allow-dns, allow-uri, allow-pin or allow-all");
    if (some && t->allow_all)
        wrong(f, "allow-all leaves nothing for the other rules to do", "leave it out, or them");
    (void)told(f, proxy_rules_add(&rules, t, f, &err), &err);
    rules_free(&rules);
}

/* What is negotiated: into a configuration that nobody uses. */
static void check_protocol(const struct proxy_tunnel *t, struct option_faults *f)
{
    struct tt_error err = {0};
    struct tt_config *cfg = NULL;
    tt_rc rc = tt_config_new(&cfg, t->role, &err);
    if (rc == TT_OK)
        rc = tls_config_values(cfg, &t->tls, &err);
    if (rc != TT_OK)
        (void)error_set(&err, rc, "groups, suites, schemes and alpn do not fit together");
    (void)told(f, rc, &err);
    tt_config_free(cfg);
}

void proxy_tunnel_check(const struct proxy_tunnel *t, struct option_faults *f)
{
    const char *conflict = tls_identities_conflict(&t->tls);
    check_listen(t, f);
    check_connect(t, f);
    check_names(t, f);
    check_who(t, f);
    check_protocol(t, f);
    if (conflict != NULL)
        wrong(f, conflict, "each key has its cert");
    if (t->tls.psks.len > 0)
        wrong(f, "a proxy has certificates, no external PSK", "leave psk out");
    if (t->attest && t->tls.keys.len != 1)
        wrong(f, "attest goes with one key", "which of several is used, the server decides");
    if (t->role == TT_CLIENT && t->resume != SESSIONS_SEALED && t->resume_pcrs != NULL)
        wrong(f, "resume-pcrs goes with resume sealed", "the others are under no seal");
}

void proxy_common_check(const struct proxy_common *c, struct option_faults *f)
{
    struct tt_error err = {0};
    if (c->status != NULL)
        (void)told(f, status_check(c->status, &err), &err);
    err = (struct tt_error){0};
    if (c->takeover != NULL && strncmp(c->takeover, "unix:", 5) != 0)
        wrong(f, "takeover is no path of a socket", "write unix:PATH");
    else if (c->takeover != NULL)
        (void)told(f, listen_check(c->takeover, &err), &err);
}
