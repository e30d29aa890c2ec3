/* cli/ca_serve_options.c: the table of the file of `tpmtls ca serve`, and what rows cannot say. Layer: cli.
 */
#include <stdio.h>
#include <string.h>
#include <limits.h>

#include "base/rc.h"
#include "ca/ca.h"
#include "cli/ca_serve.h"
#include "cli/sandbox_needs.h"
#include "net/listen.h"

#define TO(member) OPTION_TO(struct ca_serve_options, member)

static const struct option_row serve_rows[] = {
    {"dir", "DIR", "the CA's directory (tpmtls ca init)", TO(dir), .needed = "which CA?"},
    {"store", "sqlite:FILE|postgresql://...", "its store, if not the one that `ca init` noted", TO(store)},
    {"listen", "ADDR:PORT|systemd[:NAME]", "where clients connect: EST over TLS 1.3, and the operator's page",
     TO(listen), .needed = "listen where?"},
    {"publish", "ADDR:PORT|systemd[:NAME]",
     "tell everybody in the clear, over HTTP: /ca.crl, /ca.cer, /ca.pem, /ocsp", TO(publish)},
    {"status", "unix:PATH|127.0.0.1:PORT",
     "answer there over HTTP: /_status (JSON), /_metrics (Prometheus), /_live, /_ready", TO(status)},
    {"binding", NULL,
     "tie a request to the connection that it comes by: its challengePassword is the base64 of tls-exporter "
     "(RFC 9266)",
     TO(binding), .choices = "offered required off"},
    {"attest-policy", "FILE",
     "ask for evidence that the key is in a TPM, and judge it by this policy (docs/attestation.md); then who "
     "brings good "
     "evidence needs no token, where the profile says attestation = yes",
     TO(attest_policy)},
    {"attest-key", "FILE",
     "the secret that nonces and challenges are sealed under, 64 hexadecimal digits, for all servers of this "
     "CA alike; "
     "default: another one at each start",
     TO(attest_key), .needs = "attest-policy"},
    {"rate", "N", "enrolments a minute of one requester: a certificate, else an address; 0: any number",
     TO(rate), .max = 1000000, .initial = 60},
    {"retry-after", "S", "when who waits for a person is to ask again", TO(retry_after), .min = 1,
     .max = 86400, .initial = 600},
    {"max-connections", "N", "how many at once; more wait", TO(connections), .min = 1, .max = 100000,
     .initial = 1024},
    {"sandbox", NULL,
     "give up what is not needed: other files (Landlock), other system calls (seccomp), new privileges, core "
     "dumps",
     TO(sandbox), .choices = "on off"},
    {"user", "NAME", "started as root: become this user, and keep the right to listen on low ports",
     TO(user)},
    {"shutdown-timeout", "S", "seconds that requests have once it is told to end", TO(shutdown_timeout),
     .max = 3600, .initial = 10},
    {0},
};

const struct option_part ca_serve_parts[] = {
    {"service", serve_rows, 0},
    {"identity", tls_identity_rows, offsetof(struct ca_serve_options, tls)},
    {"protocol", tls_protocol_rows, offsetof(struct ca_serve_options, tls)},
    {0}};

static tt_rc wrong(struct tt_error *err, const char *sentence, const char *hint)
{
    (void)error_set(err, TT_ERR_USAGE, "%s", sentence);
    error_hint(err, "%s", hint);
    return TT_ERR_USAGE;
}

tt_rc ca_serve_check(const struct ca_serve_options *o, struct tt_error *err)
{
    const char *conflict = tls_identities_conflict(&o->tls);
    TT_TRY(listen_check(o->listen, err));
    if (o->publish != NULL)
        TT_TRY(listen_check(o->publish, err));
    if (o->tls.keys.len == 0 || o->tls.certs.len == 0)
        return wrong(err, "the server has no certificate of its own",
                     "key = FILE and cert = FILE: `tpmtls ca sign --profile server` makes one");
    if (conflict != NULL)
        return wrong(err, conflict, "docs/est.md has an example");
    if (o->tls.psks.len > 0 || o->tls.peer_raw_public_key || o->tls.raw_public_key)
        return wrong(err, "EST authenticates by certificates: psk and raw public keys are not taken here",
                     "leave these keys out");
    return TT_OK;
}

/* ---- the sandbox ---- */

/* The CA's key may be elsewhere; where, its directory says. */
static void need_ca(struct needs *n, const struct ca_serve_options *o)
{
    static char key[PATH_MAX];
    struct tt_error unread = {0};
    struct ca *ca = NULL;
    needs_folder(n, o->dir);
    if (o->store != NULL && strncmp(o->store, "sqlite:", 7) == 0)
        needs_folder_of(n, o->store + 7);
    if (o->user != NULL || ca_open(&ca, &(struct ca_place){o->dir, o->store}, &unread) != TT_OK)
        return; /* what root opens first, the user could not write */
    if (!cli_is_handle(ca_key_name(ca)) && snprintf(key, sizeof key, "%s", ca_key_name(ca)) < PATH_MAX)
        needs_file(n, key);
    ca_close(ca);
}

tt_rc ca_serve_sandbox(const struct cli *cli, const struct ca_serve_options *o, const char *file,
                       struct tt_error *err)
{
    static struct needs n;
    bool off = o->sandbox == CA_SANDBOX_OFF;
    if (!off) {
        need_ca(&n, o);
        needs_identity(&n, &o->tls);
        needs_policy(&n, o->attest_policy);
        needs_file(&n, o->attest_key);
        needs_file(&n, file);
        needs_socket(&n, o->status);
    }
    return needs_enter(&n, cli, o->user, off, err);
}
