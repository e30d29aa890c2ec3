/* cli/cmd_connect.c: `tpmtls connect`: stdin and stdout are the connection. Layer: cli.
 *
 * End-of-file on stdin sends close_notify and goes on reading; the peer's close_notify closes stdout and goes
 * on sending. It is over when both ended, or when the peer hung up after ending. */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rc.h"
#include "cli/delegate.h"
#include "cli/keylog.h"
#include "cli/resume.h"
#include "cli/tls_options.h"
#include "cli/trace.h"
#include "cli/trust_options.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/pcap.h"
#include "net/relay.h"

static const char usage[] =
    "usage: tpmtls connect HOST:PORT [--ca FILE|DIR] [--key FILE --cert FILE] [--psk FILE] "
    "[--servername NAME] [--alpn A,B] [--resume MODE] [--trace]\n";
static const char help[] =
    "\n"
    "Opens a TLS 1.3 connection; stdin goes to the peer, what the peer sends goes to stdout. An IPv6 address "
    "is written\n"
    "[::1]:443.\n"
    "\n"
    "  --ca FILE|DIR|system  the CAs the server's certificate may come from (PEM or DER); default, without "
    "--pin:\n                        system, which is " TRUST_SYSTEM_STORE "\n" TRUST_OPTIONS_USAGE
    "  --key FILE            our key: a TSS2 PRIVATE KEY file, handle:0x81..., or a software key (PKCS#8)\n"
    "  --cert FILE           our certificate and its chain (PEM), the leaf first\n"
    "  --servername NAME     the name that is asked for, and that the certificate must have; default: HOST\n"
    "  --ocsp MODE           the stapled OCSP response of the server: off, request (the default: it is "
    "checked "
    "when it\n                        comes, and has to come where the certificate says so), or require\n"
    "  --post-handshake-auth let the server ask for our certificate later\n"
    "  --send-authorities    tell the server which CAs we trust\n"
    "  --connect-timeout S   seconds until an answer must be there (30)\n";
static const char help_options[] = RESUME_OPTIONS_USAGE TLS_OPTIONS_USAGE;

struct connect {
    const struct cli *cli;
    struct tls_options tls;
    struct trust_options trust;
    struct resume_options resume_options;
    const char *server_name, *target;
    const char *connect_timeout;
    struct address address;
    struct trace trace;

    const char *ocsp;
    bool post_handshake_auth, send_authorities;

    struct cli_delegate delegate;
    struct tls_identities identities;
    struct tls_psks psks;
    struct keylog keylog;
    struct pcap *pcap;
    struct resume resume;
    bool is_over; /* but for sessions that are still being kept */
    struct tt_config *config;
    struct event_base *base;
    struct sign_queue *signer;
    struct dial *dial;
    struct stream *stream;
    struct relay *relay;
    struct event *signals[2];
    int out_fd; /* stdout, or stdout opened again without blocking */
    struct tt_error error;
};

static void finish(struct connect *x, const struct tt_error *error)
{
    if (error != NULL && x->error.rc == TT_OK)
        x->error = *error;
    x->is_over = true;
    if (x->resume.pending == 0)
        (void)event_base_loopbreak(x->base);
}

static void on_sessions_settled(void *arg)
{
    struct connect *x = arg;
    if (x->is_over)
        (void)event_base_loopbreak(x->base);
}

/* ---- callbacks ---- */

static void on_relay_failed(void *arg, const struct tt_error *error)
{
    struct connect *x = arg;
    x->error = *error;
    stream_finish(x->stream);
}

static void on_connected(void *arg, struct stream *s)
{
    struct connect *x = arg;
    struct tt_error err = {0};
    struct relay_options opt = {
        .base = x->base,
        .stream = s,
        .in_fd = STDIN_FILENO,
        .out_fd = x->out_fd,
        .failed = on_relay_failed,
        .arg = x,
    };
    trace_handshake(&x->trace, s, TT_CLIENT, x->target);
    if (x->cli->verbose > 0)
        cli_note("connected to %s", x->target);
    if (resume_early_left(&x->resume, s, &opt.first, &err) != TT_OK) {
        x->error = err;
        stream_finish(s);
    } else if (relay_new(&x->relay, &opt, &err) != TT_OK) {
        finish(x, &err);
    }
}

static void on_session(void *arg, struct stream *s, struct tt_session *session)
{
    resume_keep(&((struct connect *)arg)->resume, s, session);
}

static void on_plaintext(void *arg, struct stream *s)
{
    struct connect *x = arg;
    (void)s;
    if (x->relay != NULL)
        relay_plaintext(x->relay);
}

static void on_writable(void *arg, struct stream *s)
{
    struct connect *x = arg;
    (void)s;
    if (x->relay != NULL)
        relay_writable(x->relay);
}

static void on_ended(void *arg, struct stream *s)
{
    (void)s;
    struct connect *x = arg;
    if (x->relay == NULL)
        return;
    relay_ended(x->relay);
    (void)close(x->out_fd);
    if (x->out_fd != STDOUT_FILENO)
        (void)close(STDOUT_FILENO);
    x->out_fd = -1;
}

static void on_gone(void *arg, struct stream *s)
{
    (void)arg;
    stream_finish(s);
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct connect *x = arg;
    struct tt_error advised = error != NULL ? *error : (struct tt_error){0};
    trust_advise(&advised, stream_conn(s), &x->trust);
    finish(x, error != NULL ? &advised : NULL);
}

static void on_trace(void *arg, const struct stream_trace *event)
{
    trace_event(&((struct connect *)arg)->trace, event);
}

static void on_opened(void *arg, struct stream *s)
{
    ((struct connect *)arg)->stream = s;
}

static void on_failed(void *arg, const struct tt_error *error)
{
    finish(arg, error);
}

/* End in order where that is possible; a second signal does not wait. */
static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    struct connect *x = arg;
    (void)what;
    bool is_second = x->error.rc != TT_OK;
    (void)error_set(&x->error, TT_ERR_CLOSED, "ended by signal %d", (int)signal_number);
    if (x->stream != NULL && !is_second)
        stream_finish(x->stream);
    else
        (void)event_base_loopbreak(x->base);
}

/* ---- set up, run, tear down ---- */

static tt_rc watch_signals(struct connect *x, struct tt_error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < TT_COUNT(numbers); i++) {
        x->signals[i] = evsignal_new(x->base, numbers[i], on_signal, x);
        if (x->signals[i] == NULL || event_add(x->signals[i], NULL) != 0)
            return error_set(err, TT_ERR_IO, "cannot watch for signals");
    }
    return TT_OK;
}

/* A pipe opened again is ours alone, so that not blocking on it bothers nobody who shares stdout. */
static int open_stdout(void)
{
    struct stat st;
    int again = -1;
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
        again = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return again >= 0 ? again : STDOUT_FILENO;
}

/* Asked for by default: it costs nine bytes, and makes must-staple certificates worth something. */
static tt_rc set_up_ocsp(struct connect *x, struct tt_error *err)
{
    static const char *const modes[] = {
        [TT_OCSP_NONE] = "off", [TT_OCSP_REQUEST] = "request", [TT_OCSP_REQUIRE] = "require"};
    if (x->ocsp == NULL)
        return tt_config_set_ocsp(x->config, x->tls.peer_raw_public_key ? TT_OCSP_NONE : TT_OCSP_REQUEST);
    for (unsigned i = 0; i < TT_COUNT(modes); i++)
        if (strcmp(x->ocsp, modes[i]) == 0)
            return tt_config_set_ocsp(x->config, (enum tt_ocsp)i);
    return error_set(err, TT_ERR_USAGE, "--ocsp is off, request or require, not '%s'", x->ocsp);
}

static tt_rc set_up_config(struct connect *x, struct tt_error *err)
{
    TT_TRY(tt_config_new(&x->config, TT_CLIENT, err));
    TT_TRY(tls_config_values(x->config, &x->tls, err));
    TT_TRY(set_up_ocsp(x, err));
    TT_TRY(tt_config_set_post_handshake_auth(x->config, x->post_handshake_auth));
    TT_TRY(tt_config_set_send_authorities(x->config, x->send_authorities));
    bool has_trust = trust_is_given(&x->trust);
    if (has_trust)
        TT_TRY(trust_config(x->config, &x->trust, err));
    TT_TRY(resume_config(&x->resume, x->config, &x->tls, err));
    struct cli traced = *x->cli;
    traced.tpm_trace = trace_load;
    traced.tpm_trace_arg = &x->trace;
    TT_TRY(tls_config_identities(x->config, &x->identities, TT_CLIENT, &traced, &x->tls, err));
    struct tls_psks_where where = {x->config, TT_CLIENT, &x->identities.tpm, &traced, has_trust};
    TT_TRY(tls_config_psks(&x->psks, &where, &x->tls, err));
    return tt_config_freeze(x->config, err);
}

static tt_rc start_dial(struct connect *x, struct tt_error *err)
{
    static const struct stream_handlers handlers = {
        .connected = on_connected,
        .session = on_session,
        .plaintext = on_plaintext,
        .writable = on_writable,
        .ended = on_ended,
        .gone = on_gone,
        .closed = on_closed,
        .trace = on_trace,
    };
    struct dial_options opt = {.opened = on_opened, .failed = on_failed, .arg = x};
    opt.stream = (struct stream_options){
        .base = x->base,
        .config = x->config,
        .role = TT_CLIENT,
        .server_name = x->server_name,
        .signer = x->signer,
        .insecure_keylog = x->keylog.fd >= 0 ? keylog_line : NULL,
        .keylog_arg = &x->keylog,
        .pcap = x->pcap,
        .sessions = x->psks.sessions,
        .sessions_len = x->psks.len,
        .handlers = handlers,
        .arg = x,
    };
    TT_TRY(
        cli_seconds(&opt.stream.handshake_timeout_s, x->tls.handshake_timeout, "--handshake-timeout", err));
    TT_TRY(cli_seconds(&opt.connect_timeout_s, x->connect_timeout, "--connect-timeout", err));
    resume_offer(&x->resume, &opt.stream);
    return dial_start(&x->dial, &x->address, &opt, err);
}

/* The connection waits for the credential, so that its handshake needs no TPM command. */
static void on_delegated(void *arg)
{
    struct connect *x = arg;
    struct tt_error err = {0};
    delegate_free(TT_TAKE(x->delegate.delegator)); /* one connection needs one credential */
    if (start_dial(x, &err) != TT_OK)
        finish(x, &err);
}

static tt_rc start_delegate(struct connect *x, struct tt_error *err)
{
    x->delegate = (struct cli_delegate){
        .trace = &x->trace, .verbose = x->cli->verbose, .ready = on_delegated, .arg = x};
    return cli_delegate_start(&x->delegate, x->base, x->signer, &x->identities, &x->tls, err);
}

static tt_rc set_up(struct connect *x, struct tt_error *err)
{
    TT_TRY(address_parse(&x->address, x->target, err));
    TT_TRY(resume_begin(&x->resume, x->cli, &x->resume_options, err));
    TT_TRY(set_up_config(x, err));
    TT_TRY(keylog_open(&x->keylog, x->tls.keylog, err));
    if (x->tls.trace_pcap != NULL)
        TT_TRY(pcap_create(&x->pcap, x->tls.trace_pcap, err));
    TT_TRY(loop_new(&x->base, true, err));
    struct sign_queue_options opt = {.base = x->base, .tpm = x->identities.tpm};
    const struct resume_peer peer = {.address = x->target,
                                     .server_name = x->server_name != NULL ? x->server_name : x->address.host,
                                     .config = x->config};
    TT_TRY(resume_open(&x->resume, &opt.tpm, &peer, err));
    if (x->identities.len > 0 || opt.tpm != NULL) {
        TT_TRY(tls_sign_deadline(&opt.deadline_ms, &x->tls, err));
        TT_TRY(sign_queue_new(&x->signer, &opt, err));
    }
    TT_TRY(watch_signals(x, err));
    x->out_fd = open_stdout();
    return x->identities.delegation != NULL ? start_delegate(x, err) : start_dial(x, err);
}

static void tear_down(struct connect *x)
{
    relay_free(x->relay);
    stream_free(x->stream);
    dial_free(x->dial);
    delegate_free(x->delegate.delegator);
    sign_queue_free(x->signer);
    tt_config_free(x->config);
    resume_end(&x->resume);
    tls_psks_close(&x->psks); /* before the TPM */
    tls_identities_close(&x->identities);
    keylog_close(&x->keylog);
    for (size_t i = 0; i < TT_COUNT(x->signals); i++) {
        if (x->signals[i] != NULL)
            event_free(x->signals[i]);
    }
    if (x->base != NULL)
        event_base_free(x->base);
}

static int run(struct connect *x)
{
    if (set_up(x, &x->error) == TT_OK)
        (void)event_base_dispatch(x->base);
    tear_down(x);
    struct tt_error untraced = {0};
    int code = pcap_close(x->pcap, &untraced) == TT_OK ? CLI_OK : cli_fail(&untraced);
    return x->error.rc == TT_OK ? code : cli_fail(&x->error);
}

enum {
    OPT_SERVERNAME = CLI_OPT,
    OPT_CONNECT_TIMEOUT,
    OPT_OCSP,
    OPT_POST_AUTH,
    OPT_AUTHORITIES,
    OPT_HELP
};

static bool take_option(struct connect *x, int c, const char *value)
{
    switch (c) {
    case OPT_SERVERNAME:
        x->server_name = value;
        return true;
    case OPT_CONNECT_TIMEOUT:
        x->connect_timeout = value;
        return true;
    case OPT_OCSP:
        x->ocsp = value;
        return true;
    case OPT_POST_AUTH:
        x->post_handshake_auth = true;
        return true;
    case OPT_AUTHORITIES:
        x->send_authorities = true;
        return true;
    default:
        return trust_option_take(&x->trust, c, value) || tls_option_take(&x->tls, c, value) ||
               resume_option_take(&x->resume_options, c, value);
    }
}

/* -1: go on; else the exit code. */
static int parse(struct connect *x, int argc, char **argv)
{
    static const struct option options[] = {
        {"servername", required_argument, NULL, OPT_SERVERNAME},
        {"connect-timeout", required_argument, NULL, OPT_CONNECT_TIMEOUT},
        {"ocsp", required_argument, NULL, OPT_OCSP},
        {"post-handshake-auth", no_argument, NULL, OPT_POST_AUTH},
        {"send-authorities", no_argument, NULL, OPT_AUTHORITIES},
        {"help", no_argument, NULL, OPT_HELP},
        TRUST_OPTIONS("ca"),
        RESUME_OPTIONS,
        TLS_OPTIONS,
        {0},
    };
    for (int c; (c = cli_getopt(argc, argv, "", options)) != -1;) {
        if (c == OPT_HELP) {
            printf("%s%s%s", usage, help, help_options);
            return CLI_OK;
        }
        if (!take_option(x, c, optarg))
            return cli_bad_option(usage, argv, c);
    }
    if (argc - optind != 1)
        return cli_usage(usage,
                         argc == optind ? "connect to where? HOST:PORT" : "connect to one HOST:PORT only");
    const char *conflict = tls_identities_conflict(&x->tls);
    if (conflict != NULL)
        return cli_usage(usage, "%s", conflict);
    x->target = argv[optind];
    if (x->tls.psk_and_certificate && x->tls.psks_len == 0)
        return cli_usage(usage, "--psk-and-certificate needs --psk: which one?");
    bool psk_alone = x->tls.psks_len > 0 && !x->tls.psk_and_certificate;
    if (!trust_is_given(&x->trust) && !psk_alone)
        (void)trust_option_take(&x->trust, TRUST_OPT_CA, "system");
    return -1;
}

int cmd_connect(const struct cli *cli, int argc, char **argv)
{
    struct connect x = {.cli = cli, .keylog.fd = -1, .trust.ca_option = "--ca", .out_fd = STDOUT_FILENO};
    int code = parse(&x, argc, argv);
    if (code != -1)
        return code;
    x.trace = (struct trace){.on = x.tls.trace, .json = cli->json};
    x.resume.settled = on_sessions_settled;
    x.resume.arg = &x;
    return run(&x);
}
