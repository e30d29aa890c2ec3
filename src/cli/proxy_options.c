/* cli/proxy_options.c: the tables of `tpmtls proxy`, and what rows cannot say. Layer: cli. */
#include "cli/proxy.h"

#include <string.h>

#include "base/rc.h"
#include "net/address.h"
#include "net/listen.h"
#include "net/reach.h"

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

static tt_rc wrong(struct tt_error *err, const char *sentence, const char *hint)
{
    error_hint(err, "%s", hint);
    return error_set(err, TT_ERR_USAGE, "%s", sentence);
}

static tt_rc check_places(const struct proxy_tunnel *t, struct tt_error *err)
{
    struct address named = {.host = ""};
    TT_TRY(listen_check(t->listen, err));
    TT_TRY(reach_check(t->connect, err));
    for (size_t i = 0; i < t->verify_dns.len; i++)
        TT_TRY(address_set_host(&named, t->verify_dns.at[i], err));
    for (size_t i = 0; i < t->verify_uri.len; i++)
        if (strchr(t->verify_uri.at[i], ':') == NULL)
            return wrong(err, "verify-uri is no URI", "it begins with a scheme, such as spiffe: or urn:");
    if (t->role == TT_CLIENT && !t->unsafe_listen && !listen_is_local(t->listen))
        return wrong(err, "other machines could connect there in plaintext",
                     "listen on 127.0.0.1, [::1] or unix:PATH; or say unsafe-listen");
    if (t->role == TT_CLIENT && strncmp(t->connect, "unix:", 5) == 0 &&
        t->verify_dns.len + t->verify_uri.len == 0)
        return wrong(err, "a path is no name of a server",
                     "verify-dns or verify-uri says whose certificate is expected there");
    if (t->role == TT_SERVER && !t->unsafe_target && !listen_is_local(t->connect))
        return wrong(err, "plaintext would leave this machine",
                     "connect to 127.0.0.1, [::1] or unix:PATH; or say unsafe-target");
    return TT_OK;
}

static tt_rc check_who(const struct proxy_tunnel *t, struct tt_error *err)
{
    bool some =
        t->allow_cn.len + t->allow_ou.len + t->allow_dns.len + t->allow_uri.len + t->allow_pin.len > 0;
    if (t->role == TT_CLIENT)
        return TT_OK;
    if (t->tls.keys.len == 0)
        return wrong(err, "a server needs key and cert", "`tpmtls key create` makes a key in the TPM");
    if (!trust_is_given(&t->trust))
        return wrong(err, "which clients are to be believed?",
                     "client-ca names their CA, pin a key of theirs");
    if (!some && !t->allow_all)
        return wrong(err, "which clients may pass?",
                     "allow-cn, allow-ou, allow-dns, allow-uri, allow-pin or allow-all");
    if (some && t->allow_all)
        return wrong(err, "allow-all leaves nothing for the other rules to do", "leave it out, or them");
    return TT_OK;
}

tt_rc proxy_tunnel_check(const struct proxy_tunnel *t, const char *dashes, struct tt_error *err)
{
    (void)dashes;
    const char *conflict = tls_identities_conflict(&t->tls);
    TT_TRY(check_places(t, err));
    TT_TRY(check_who(t, err));
    if (conflict != NULL)
        return wrong(err, conflict, "each key has its cert");
    if (t->verify_dns.len + t->verify_uri.len > PROXY_NAMES_MAX)
        return wrong(err, "too many names of a server", "verify-dns and verify-uri: 16 in all");
    if (t->tls.psks.len > 0)
        return wrong(err, "a proxy has certificates, no external PSK", "leave psk out");
    if (t->attest && t->tls.keys.len != 1)
        return wrong(err, "attest goes with one key", "which of several is used, the server decides");
    if (t->role == TT_CLIENT && t->resume != SESSIONS_SEALED && t->resume_pcrs != NULL)
        return wrong(err, "resume-pcrs goes with resume sealed", "the others are under no seal");
    return TT_OK;
}
