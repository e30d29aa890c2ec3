/* cli/cmd_serve.c: `tpmtls serve`: set up, run, stop. Layer: cli. SIGINT and SIGTERM end it in order: no new
 * connections, close_notify to those that are there, exit 0. A second one ends it at once. SIGHUP reads the
 * files again. */
#include "cli/serve.h"
#include "cli/attest_policy.h"
#include "cli/attest_policy.h"

#include <signal.h>
#include <string.h>

#include "base/rc.h"
#include "cli/command.h"
#include "cli/event.h"
#include "net/loop.h"
#include "net/pcap.h"

/* ---- while it runs ---- */

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    struct serve *serve = arg;
    if (serve->is_stopping) {
        (void)event_base_loopbreak(serve->base);
        return;
    }
    serve->is_stopping = true;
    server_stop(serve->server);
    for (struct session *x = serve->sessions; x != NULL; x = x->next) {
        if (serve->mode->stop != NULL)
            serve->mode->stop(x);
        if (x->stream != NULL)
            stream_finish(x->stream);
    }
}

/* The terminal it was started from was closed: as for any program there, that is its end. */
static void on_hangup(evutil_socket_t signal_number, short what, void *arg)
{
    struct serve *serve = arg;
    if (serve->had_terminal && !cli_has_terminal())
        on_signal(signal_number, what, arg);
    else if (!serve->is_stopping)
        serve_reload_now(serve);
}

static void on_child_exit(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    serve_exec_reap(arg);
}

static void on_finished(void *arg)
{
    (void)event_base_loopbreak(((struct serve *)arg)->base);
}

static void on_failed(void *arg, const struct tt_error *error)
{
    (void)arg;
    (void)cli_fail(error);
}

/* Once for all connections that fail of it: session_closed does not list them. */
static void on_outage(void *arg, const struct outage_news *news)
{
    const struct serve *serve = arg;
    struct tt_error text;
    outage_text(&text, news);
    if (serve->cli->json)
        cli_event(json_pack("{s:s, s:s, s:i, s:I, s:o, s:o}", "event", "tpm_outage", "state",
                            outage_state_name(news->state), "seconds", (int)news->seconds, "failed",
                            (json_int_t)news->failed, "reason",
                            cli_json_text(news->why.rc != TT_OK ? news->why.text : NULL), "hint",
                            cli_json_text(text.hint[0] != '\0' ? text.hint : NULL)));
    else
        (void)cli_fail(&text);
}

/* ---- set up ---- */

static tt_rc watch_signals(struct serve *serve, struct tt_error *err)
{
    serve->signals[0] = evsignal_new(serve->base, SIGINT, on_signal, serve);
    serve->signals[1] = evsignal_new(serve->base, SIGTERM, on_signal, serve);
    serve->signals[2] = evsignal_new(serve->base, SIGHUP, on_hangup, serve);
    serve->child_exit = evsignal_new(serve->base, SIGCHLD, on_child_exit, serve);
    struct event *const all[] = {serve->signals[0], serve->signals[1], serve->signals[2], serve->child_exit};
    for (size_t i = 0; i < TT_COUNT(all); i++) {
        if (all[i] == NULL || event_add(all[i], NULL) != 0)
            return error_set(err, TT_ERR_IO, "cannot watch for signals");
    }
    return TT_OK;
}

static tt_rc start_server(struct serve *serve, struct tt_error *err)
{
    struct address at;
    struct server_options opt = {
        .stream = {.base = serve->base,
                   .config = serve->current->config,
                   .role = TT_SERVER,
                   .signer = serve->signer,
                   .insecure_keylog = serve->keylog.fd >= 0 ? keylog_line : NULL,
                   .keylog_arg = &serve->keylog,
                   .pcap = serve->pcap},
        .accepted = session_accepted,
        .opened = session_opened,
        .failed = on_failed,
        .finished = on_finished,
        .arg = serve,
    };
    TT_TRY(address_parse(&at, serve->options->listen, err));
    opt.stream.handshake_timeout_s = (unsigned)serve->options->tls.handshake_timeout;
    opt.stream.request_timeout_s = (unsigned)serve->options->request_timeout;
    opt.stream.idle_timeout_s = (unsigned)serve->options->idle_timeout;
    opt.stream.request_is_answered = serve->mode->request_is_answered;
    opt.accept_limit = serve->options->accept;
    opt.max_connections = serve->options->max_connections;
    return server_listen(&serve->server, &at, &opt, err);
}

static void announce(const struct serve *serve)
{
    if (serve->cli->json)
        cli_event(json_pack("{s:s, s:s}", "event", "listening", "address", server_address(serve->server)));
    else
        cli_note("listening on %s", server_address(serve->server));
}

static tt_rc set_up(struct serve *serve, struct tt_error *err)
{
    TT_TRY(loop_new(&serve->base, false, err));
    if (serve->options->attestation != NULL) {
        TT_TRY(attest_policy_read(&serve->attest, serve->options->attestation, err));
        TT_TRY(attest_key_draw(serve->attest_secret, err));
    }
    struct sign_queue_options opt = {.base = serve->base,
                                     .deadline_ms = (unsigned)serve->options->tls.sign_deadline,
                                     .outage = on_outage,
                                     .outage_arg = serve};
    TT_TRY(generation_first(serve, &opt.tpm, err));
    TT_TRY(keylog_open(&serve->keylog, serve->options->tls.keylog, err));
    if (serve->options->tls.trace_pcap != NULL)
        TT_TRY(pcap_create(&serve->pcap, serve->options->tls.trace_pcap, err));
    TT_TRY(sign_queue_new(&serve->signer, &opt, err));
    if (serve->tickets.keys != NULL)
        ticket_keys_use_queue(serve->tickets.keys, serve->signer);
    if (serve->ech != NULL)
        ech_files_use_queue(serve->ech, serve->signer);
    TT_TRY(watch_signals(serve, err));
    TT_TRY(start_server(serve, err));
    serve->delegate = (struct cli_delegate){.trace = &serve->trace, .verbose = serve->cli->verbose};
    if (serve->current->identities.delegation != NULL)
        TT_TRY(cli_delegate_start(&serve->delegate, serve->base, serve->signer, &serve->current->identities,
                                  &serve->options->tls, err));
    TT_TRY(serve_reload_start(serve, err));
    announce(serve);
    return TT_OK;
}

static void tear_down(struct serve *serve)
{
    for (struct session *x = serve->sessions, *next; x != NULL; x = next) {
        next = x->next;
        if (serve->mode->stop != NULL)
            serve->mode->stop(x);
        attest_gate_free(TT_TAKE(x->gate));
        stream_free(TT_TAKE(x->stream));
        if (serve->mode->closed != NULL)
            (void)serve->mode->closed(x);
        session_release(x);
    }
    server_free(serve->server);
    delegate_free(serve->delegate.delegator);
    tickets_end_keys(&serve->tickets);
    ech_files_stop(serve->ech);
    serve_reload_stop(serve);
    sign_queue_free(TT_TAKE(serve->signer));
    generations_end_all(serve);
    ech_files_free(serve->ech);
    tt_tpm_close(serve->ech_tpm);
    tickets_end(&serve->tickets);
    tls_psks_close(&serve->psks); /* before the TPM */
    tt_tpm_close(serve->tpm);
    keylog_close(&serve->keylog);
    tt_attest_policy_free(serve->attest);
    mem_wipe(serve->attest_secret, sizeof serve->attest_secret);
    struct event *const all[] = {serve->signals[0], serve->signals[1], serve->signals[2], serve->child_exit};
    for (size_t i = 0; i < TT_COUNT(all); i++) {
        if (all[i] != NULL)
            event_free(all[i]);
    }
    if (serve->base != NULL)
        event_base_free(serve->base);
}

static int run(struct serve *serve)
{
    struct tt_error err = {0};
    tt_rc rc = set_up(serve, &err);
    if (rc == TT_OK)
        (void)event_base_dispatch(serve->base);
    else
        (void)error_set(&err, rc, "the server could not be set up");
    tear_down(serve);
    struct tt_error untraced = {0};
    int code = pcap_close(serve->pcap, &untraced) == TT_OK ? CLI_OK : cli_fail(&untraced);
    return err.rc == TT_OK ? code : cli_fail(&err);
}

/* ---- the command ---- */

/* What the rows cannot say: NULL when it is all right. */
static const char *conflict(const struct serve_options *o)
{
    bool has_identity = o->tls.keys.len > 0 && (o->tls.certs.len > 0 || o->tls.raw_public_key);
    bool half = o->tls.keys.len + o->tls.certs.len > 0 && !has_identity;
    if (half || (!has_identity && o->tls.psks.len == 0))
        return "a server needs --key and --cert, or --psk";
    if (o->tls.psk_and_certificate && !has_identity)
        return "--psk-and-certificate needs --psk, --key and --cert";
    if (o->www && tls_alpn_has(&o->tls, "h2"))
        return "--www answers in HTTP/1.0, and --alpn h2 promises HTTP/2";
    return tls_identities_conflict(&o->tls);
}

static int run_serve(const struct cli *cli, void *options)
{
    struct serve_options *o = options;
    struct serve serve = {.cli = cli, .options = o, .keylog.fd = -1};
    const char *wrong = conflict(o);
    if (wrong != NULL)
        return cli_usage(cli, "%s", wrong);
    o->trust.ca_option = "--client-ca";
    o->require_client_cert = o->require_client_cert || o->attestation != NULL;
    o->tls.refuse_delegated = !o->tls.accept_delegated;
    serve.mode = o->www ? &serve_www : o->command != NULL ? &serve_exec : &serve_echo;
    serve.had_terminal = cli_has_terminal();
    serve.trace = (struct trace){.on = o->tls.trace, .json = cli->json};
    return run(&serve);
}

#define TO(member) OPTION_TO(struct serve_options, member)

static const struct option_row serve_rows[] = {
    {NULL, "ADDR:PORT", "where; port 0 lets the system choose, and the address is printed on stderr",
     TO(listen), .needed = "serve where?"},
    {"client-ca", "FILE|DIR", "ask clients for a certificate, which must come from these CAs (PEM or DER)",
     TO(trust.ca), .max = TRUST_OPTION_VALUES, .elsewhere = "ca cacert CAfile"},
    {"require-client-cert", NULL, "turn away clients that have none", TO(require_client_cert),
     .needs = "client-ca pin", .why = "whom to believe?"},
    {"require-attestation", "POLICY",
     "before any data each client has to show, with --attest, that the TPM of its certificate is at its end "
     "of the "
     "connection, as this file wants it: docs/attestation.md",
     TO(attestation), .needs = "client-ca pin", .why = "whose certificate?"},
    {"accept-delegated", NULL,
     "accept delegated credentials of clients; NSS (Firefox) refuses a server that offers it",
     TO(tls.accept_delegated)},
    {"echo", NULL, "send back what comes (the default)", TO(echo), .not_with = "www exec"},
    {"www", NULL, "answer a request line with a page that describes the connection", TO(www),
     .not_with = "echo exec"},
    {"exec", "CMD",
     "run `sh -c CMD` for each connection; its stdin and stdout are the connection; in its environment: "
     "TPMTLS_PEER_SUBJECT, _PEER_SHA256, _PEER_KEY_SHA256, _PEER_PSK, _PEER_ADDRESS, _SERVER_NAME, _ALPN, "
     "_SUITE, _GROUP. It gets SIGHUP when its client is lost (reset, silent too long)",
     TO(command)},
    {"ech-key", "PATH",
     "read the names that clients encrypt (RFC 9849): a file of `tpmtls ech-key`, or a directory of such "
     "(*.ech); read again when it changes. What comes first (of a directory, the last name) is what clients "
     "are told to use",
     TO(ech_keys), .max = ECH_PATHS_MAX},
    {"accept", "N", "end after N connections", TO(accept), .min = 1, .max = 1000000000},
    {"max-connections", "N", "how many at once; more wait", TO(max_connections), .min = 1, .max = 100000,
     .initial = 1024},
    {"request-timeout", "S",
     "seconds after the handshake in which a client must send something, with --www its whole request line; "
     "0: "
     "it may take for ever",
     TO(request_timeout), .max = 604800, .initial = 30},
    {"idle-timeout", "S",
     "seconds after which a connection ends on which nothing moves while the client could send or read; "
     "0: never",
     TO(idle_timeout), .max = 604800, .initial = 600},
    {"force-retry", NULL, "answer each first ClientHello with a HelloRetryRequest", TO(force_retry)},
    {0},
};
static const struct option_part serve_parts[] = {
    {"server", serve_rows, 0},
    {"trust", trust_rows, offsetof(struct serve_options, trust)},
    {"tickets", ticket_rows, offsetof(struct serve_options, tickets)},
    TLS_OPTION_PARTS(offsetof(struct serve_options, tls)),
    {0},
};

const struct command command_serve = {
    .name = "serve",
    .summary = "accept TLS 1.3 connections",
    .about =
        "Accepts TLS 1.3 connections. A peer that fails gets a line on stderr and stops nobody else. "
        "Several pairs of "
        "--key and --cert may be given: the server name, what the client can verify and its CAs choose. "
        "Certificates, keys, OCSP responses, CAs and CRLs are read again on SIGHUP, and when their files "
        "change: for connections to come; what cannot be used changes nothing.",
    .example =
        "  tpmtls serve 127.0.0.1:4433 --key server.key --cert server.pem --client-ca ca/ca.pem --echo",
    .parts = serve_parts,
    .size = sizeof(struct serve_options),
    .run = run_serve,
};
