/* cli/cmd_serve.c: `tpmtls serve`: set up, run, stop. Layer: cli. SIGINT and SIGTERM end it in order: no new
 * connections, close_notify to those that are there, exit 0. A second one ends it at once. */
#include "cli/serve.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/rc.h"
#include "net/loop.h"
#include "net/pcap.h"

static const char usage[] =
    "usage: tpmtls serve ADDR:PORT [--key FILE --cert FILE] [--psk FILE]... [--client-ca FILE|DIR "
    "[--require-client-cert]]\n"
    "                    [--echo | --www | --exec CMD] [--accept N] [--alpn A,B] [--sign-deadline MS] "
    "[--trace]\n";
static const char help[] =
    "\n"
    "Accepts TLS 1.3 connections. Port 0 lets the system choose; the address is printed on stderr. A peer "
    "that fails\n"
    "gets a line on stderr and stops nobody else.\n"
    "\n"
    "  --key FILE            our key: a TSS2 PRIVATE KEY file, handle:0x81..., or a software key (PKCS#8)\n"
    "  --cert FILE           our certificate and its chain (PEM), the leaf first. Several pairs may be "
    "given: "
    "the\n                        server name, what the client can verify and its CAs choose\n"
    "  --client-ca FILE|DIR  ask clients for a certificate, which must come from these CAs (PEM or "
    "DER)\n" TRUST_OPTIONS_USAGE "  --require-client-cert turn away clients that have none\n"
    "  --echo                send back what comes (the default)\n"
    "  --www                 answer a request line with a page that describes the connection\n"
    "  --exec CMD            run `sh -c CMD` for each connection; its stdin and stdout are the connection; "
    "in its\n"
    "                        environment: TPMTLS_PEER_SUBJECT, _PEER_SHA256, _PEER_KEY_SHA256, _PEER_PSK,\n"
    "                        _PEER_ADDRESS, _SERVER_NAME, _ALPN, _SUITE, _GROUP\n"
    "  --accept N            end after N connections\n"
    "  --max-connections N   how many at once (1024); more wait\n"
    "  --force-retry         answer each first ClientHello with a HelloRetryRequest\n";
static const char help_options[] = TICKET_OPTIONS_USAGE TLS_OPTIONS_USAGE;

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

/* ---- set up ---- */

static tt_rc set_up_config(struct serve *serve, struct tt_tpm **ret_tpm, struct tt_error *err)
{
    struct cli traced = *serve->cli;
    traced.tpm_trace = trace_load;
    traced.tpm_trace_arg = &serve->trace;
    TT_TRY(tt_config_new(&serve->config, TT_SERVER, err));
    serve->tls.refuse_delegated = !serve->tls.accept_delegated;
    TT_TRY(tls_config_values(serve->config, &serve->tls, err));
    if (trust_is_given(&serve->trust)) {
        TT_TRY(trust_config(serve->config, &serve->trust, err));
        TT_TRY(tt_config_set_client_auth(serve->config, serve->require_client_cert ? TT_CLIENT_AUTH_REQUIRE
                                                                                   : TT_CLIENT_AUTH_REQUEST));
    }
    TT_TRY(tt_config_set_force_retry(serve->config, serve->force_retry));
    TT_TRY(tls_config_identities(serve->config, &serve->identities, TT_SERVER, &traced, &serve->tls, err));
    struct tls_psks_where where = {serve->config, TT_SERVER, &serve->identities.tpm, &traced,
                                   serve->identities.len > 0};
    TT_TRY(tls_config_psks(&serve->psks, &where, &serve->tls, err));
    const struct tickets_at at = {.base = serve->base, .listen = serve->listen, .tpm = ret_tpm};
    *ret_tpm = serve->identities.tpm;
    TT_TRY(tickets_begin(&serve->tickets, serve->cli, &serve->ticket_options, serve->config, &at, err));
    return tt_config_freeze(serve->config, err);
}

static tt_rc watch_signals(struct serve *serve, struct tt_error *err)
{
    serve->signals[0] = evsignal_new(serve->base, SIGINT, on_signal, serve);
    serve->signals[1] = evsignal_new(serve->base, SIGTERM, on_signal, serve);
    serve->child_exit = evsignal_new(serve->base, SIGCHLD, on_child_exit, serve);
    struct event *const all[] = {serve->signals[0], serve->signals[1], serve->child_exit};
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
                   .config = serve->config,
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
    unsigned long limit = 0, most = 0;
    TT_TRY(address_parse(&at, serve->listen, err));
    TT_TRY(cli_number(&limit, serve->accept, &(struct cli_range){"--accept", 1, 1000000000}, err));
    TT_TRY(
        cli_number(&most, serve->max_connections, &(struct cli_range){"--max-connections", 1, 100000}, err));
    TT_TRY(cli_seconds(&opt.stream.handshake_timeout_s, serve->tls.handshake_timeout, "--handshake-timeout",
                       err));
    opt.accept_limit = limit;
    opt.max_connections = most;
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
    struct sign_queue_options opt = {.base = serve->base};
    TT_TRY(set_up_config(serve, &opt.tpm, err));
    TT_TRY(keylog_open(&serve->keylog, serve->tls.keylog, err));
    if (serve->tls.trace_pcap != NULL)
        TT_TRY(pcap_create(&serve->pcap, serve->tls.trace_pcap, err));
    TT_TRY(tls_sign_deadline(&opt.deadline_ms, &serve->tls, err));
    TT_TRY(sign_queue_new(&serve->signer, &opt, err));
    if (serve->tickets.keys != NULL)
        ticket_keys_use_queue(serve->tickets.keys, serve->signer);
    TT_TRY(watch_signals(serve, err));
    TT_TRY(start_server(serve, err));
    serve->delegate = (struct cli_delegate){.trace = &serve->trace, .verbose = serve->cli->verbose};
    if (serve->identities.delegation != NULL)
        TT_TRY(cli_delegate_start(&serve->delegate, serve->base, serve->signer, &serve->identities,
                                  &serve->tls, err));
    announce(serve);
    return TT_OK;
}

static void tear_down(struct serve *serve)
{
    for (struct session *x = serve->sessions, *next; x != NULL; x = next) {
        next = x->next;
        if (serve->mode->stop != NULL)
            serve->mode->stop(x);
        stream_free(TT_TAKE(x->stream));
        if (serve->mode->closed != NULL)
            (void)serve->mode->closed(x);
        session_release(x);
    }
    server_free(serve->server);
    delegate_free(serve->delegate.delegator);
    tickets_end_keys(&serve->tickets);
    sign_queue_free(serve->signer);
    tt_config_free(serve->config);
    tickets_end(&serve->tickets);
    tls_psks_close(&serve->psks); /* before the TPM */
    tls_identities_close(&serve->identities);
    keylog_close(&serve->keylog);
    struct event *const all[] = {serve->signals[0], serve->signals[1], serve->child_exit};
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

/* ---- options ---- */

enum {
    OPT_REQUIRE = CLI_OPT,
    OPT_ECHO,
    OPT_WWW,
    OPT_EXEC,
    OPT_ACCEPT,
    OPT_MAX,
    OPT_RETRY,
    OPT_HELP
};

static bool set_mode(struct serve *serve, const struct serve_mode *mode)
{
    bool is_first = serve->mode == NULL;
    serve->mode = mode;
    return is_first;
}

/* '?' for an option that is not ours, 0 when it was taken, else a conflict. */
static int take_option(struct serve *serve, int c, const char *value)
{
    switch (c) {
    case OPT_REQUIRE:
        serve->require_client_cert = true;
        return 0;
    case OPT_ECHO:
        return set_mode(serve, &serve_echo) ? 0 : c;
    case OPT_WWW:
        return set_mode(serve, &serve_www) ? 0 : c;
    case OPT_EXEC:
        serve->command = value;
        return set_mode(serve, &serve_exec) ? 0 : c;
    case OPT_ACCEPT:
        serve->accept = value;
        return 0;
    case OPT_MAX:
        serve->max_connections = value;
        return 0;
    case OPT_RETRY:
        serve->force_retry = true;
        return 0;
    default:
        return trust_option_take(&serve->trust, c, value) || tls_option_take(&serve->tls, c, value) ||
                       ticket_option_take(&serve->ticket_options, c, value)
                   ? 0
                   : '?';
    }
}

static int check_options(struct serve *serve, int argc, char **argv)
{
    if (argc - optind != 1)
        return cli_usage(usage, argc == optind ? "serve where? ADDR:PORT" : "serve at one ADDR:PORT only");
    bool has_identity = serve->tls.keys_len > 0 && (serve->tls.certs_len > 0 || serve->tls.raw_public_key);
    bool half = serve->tls.keys_len + serve->tls.certs_len > 0 && !has_identity;
    if (half || (!has_identity && serve->tls.psks_len == 0))
        return cli_usage(usage, "a server needs --key and --cert, or --psk");
    const char *conflict = tls_identities_conflict(&serve->tls);
    if (conflict != NULL)
        return cli_usage(usage, "%s", conflict);
    if (serve->tls.psk_and_certificate && (!has_identity || serve->tls.psks_len == 0))
        return cli_usage(usage, "--psk-and-certificate needs --psk, --key and --cert");
    if (serve->require_client_cert && !trust_is_given(&serve->trust))
        return cli_usage(usage, "--require-client-cert needs --client-ca or --pin, to know whom to believe");
    if (serve->trust.crls.len > 0 && serve->trust.ca.len == 0)
        return cli_usage(usage, "--crl needs --client-ca: the CA it belongs to");
    serve->listen = argv[optind];
    if (serve->mode == NULL)
        serve->mode = &serve_echo;
    return -1;
}

/* -1: go on; else the exit code. */
static int parse(struct serve *serve, int argc, char **argv)
{
    static const struct option options[] = {
        {"require-client-cert", no_argument, NULL, OPT_REQUIRE},
        {"echo", no_argument, NULL, OPT_ECHO},
        {"www", no_argument, NULL, OPT_WWW},
        {"exec", required_argument, NULL, OPT_EXEC},
        {"accept", required_argument, NULL, OPT_ACCEPT},
        {"max-connections", required_argument, NULL, OPT_MAX},
        {"force-retry", no_argument, NULL, OPT_RETRY},
        {"help", no_argument, NULL, OPT_HELP},
        TRUST_OPTIONS("client-ca"),
        TICKET_OPTIONS,
        TLS_OPTIONS,
        {0},
    };
    for (int c; (c = cli_getopt(argc, argv, "", options)) != -1;) {
        if (c == OPT_HELP) {
            printf("%s%s%s", usage, help, help_options);
            return CLI_OK;
        }
        int wrong = take_option(serve, c, optarg);
        if (wrong == '?')
            return cli_bad_option(usage, argv, c);
        if (wrong != 0)
            return cli_usage(usage, "only one of --echo, --www and --exec");
    }
    return check_options(serve, argc, argv);
}

int cmd_serve(const struct cli *cli, int argc, char **argv)
{
    struct serve serve = {.cli = cli, .keylog.fd = -1, .trust.ca_option = "--client-ca"};
    int code = parse(&serve, argc, argv);
    if (code != -1)
        return code;
    serve.trace = (struct trace){.on = serve.tls.trace, .json = cli->json};
    return run(&serve);
}
