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

#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"
#include "cli/delegate.h"
#include "cli/ech_options.h"
#include "cli/keylog.h"
#include "cli/resume.h"
#include "cli/tls_options.h"
#include "cli/trace.h"
#include "cli/trace_svg.h"
#include "cli/trust_options.h"
#include "net/attest_gate.h"
#include "net/clock.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/pcap.h"
#include "net/relay.h"

struct connect_options {
    struct tls_options tls;
    struct trust_options trust;
    struct resume_options resume;
    struct ech_options ech;
    const char *server_name, *target, *trace_svg, *ek_cert;
    unsigned long connect_timeout; /* seconds */
    enum ocsp_option {
        OCSP_AUTO,
        OCSP_OFF,
        OCSP_REQUEST,
        OCSP_REQUIRE
    } ocsp;
    enum starttls_kind starttls;
    bool post_handshake_auth, send_authorities, accept_truncation, attest;
};

struct connect {
    const struct cli *cli;
    const struct connect_options *options;
    struct address address; /* where to dial */
    struct address asked;   /* whom we mean, wherever the DNS says it is */
    struct trace trace;
    struct trace_svg svg;

    struct cli_delegate delegate;
    struct tls_identities identities;
    struct tls_psks psks;
    struct keylog keylog;
    struct pcap *pcap;
    struct resume resume;
    struct ech_offer ech;
    bool is_over; /* but for sessions that are still being kept */
    struct tt_config *config;
    struct event_base *base;
    struct sign_queue *signer;
    struct dial *dial;
    struct stream *stream;
    const char *server_name; /* of the server that is meant, wherever the DNS says it is */
    struct relay *relay;
    struct attest_gate *gate; /* while we show our TPM */
    char *ek_certificates;
    size_t ek_certificates_len;
    bool has_ended;
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

static void begin(struct connect *x)
{
    struct stream *s = x->stream;
    struct tt_error err = {0};
    struct relay_options opt = {
        .base = x->base,
        .stream = s,
        .in_fd = STDIN_FILENO,
        .out_fd = x->out_fd,
        .failed = on_relay_failed,
        .arg = x,
    };
    if (resume_early_left(&x->resume, s, &opt.first, &err) != TT_OK) {
        x->error = err;
        stream_finish(s);
    } else if (relay_new(&x->relay, &opt, &err) != TT_OK) {
        finish(x, &err);
    }
}

static void on_ended(void *arg, struct stream *s);

static void on_attested(void *arg, const struct tt_error *error, const struct tt_attest_verdict *verdict)
{
    struct connect *x = arg;
    (void)verdict;
    if (error != NULL && x->error.rc == TT_OK)
        x->error = *error;
    attest_gate_free(TT_TAKE(x->gate)); /* and the error */
    if (x->error.rc != TT_OK) {
        stream_finish(x->stream);
        return;
    }
    if (x->cli->verbose > 0)
        cli_note("%s accepts that our key is in this TPM", x->options->target);
    begin(x);
    if (x->relay != NULL && stream_plaintext(x->stream).len > 0)
        relay_plaintext(x->relay);
    if (x->relay != NULL && x->has_ended)
        on_ended(x, x->stream);
}

static void show_tpm(struct connect *x)
{
    struct tt_error err = {0};
    const struct attest_gate_options opt = {
        .base = x->base,
        .stream = x->stream,
        .role = TT_CLIENT,
        .queue = x->signer,
        .key = x->identities.keys[0]->key,
        .ek_certificates = {(const uint8_t *)x->ek_certificates, x->ek_certificates_len},
        .done = on_attested,
        .arg = x};
    if (attest_gate_new(&x->gate, &opt, &err) == TT_OK)
        return;
    x->error = err;
    stream_finish(x->stream);
}

static void on_connected(void *arg, struct stream *s)
{
    struct connect *x = arg;
    trace_handshake(&x->trace, s, TT_CLIENT, x->options->target);
    trace_svg_connected(&x->svg, s);
    trace_connected(x->cli, s, 0, x->options->target);
    if (x->options->attest)
        show_tpm(x);
    else
        begin(x);
}

static void on_session(void *arg, struct stream *s, struct tt_session *session)
{
    resume_keep(&((struct connect *)arg)->resume, s, session);
}

static void on_plaintext(void *arg, struct stream *s)
{
    struct connect *x = arg;
    (void)s;
    if (x->gate != NULL)
        attest_gate_plaintext(x->gate);
    else if (x->relay != NULL)
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
    x->has_ended = true;
    if (x->gate != NULL)
        attest_gate_ended(x->gate);
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

static tt_rc start_dial(struct connect *x, struct tt_error *err);

/* The server rejected Encrypted Client Hello: once more, with what it says. */
static void connect_again(struct connect *x)
{
    struct tt_error err = {0};
    x->svg.len = 0; /* the picture is that of the handshake that counts */
    ech_options_tell_again(&x->ech, x->cli, x->options->target);
    stream_free(TT_TAKE(x->stream));
    dial_free(TT_TAKE(x->dial));
    if (start_dial(x, &err) != TT_OK)
        finish(x, &err);
}

/* Whether it was whole, only its own format can tell: what counts or ends itself. */
static void on_cut(struct connect *x, struct tt_error *error)
{
    if (x->options->accept_truncation) {
        cli_note("%s hung up without close_notify: that the data end here is not authenticated",
                 x->options->target);
        finish(x, NULL);
        return;
    }
    error_hint(error,
               "whoever can cut the wire can make this end; where the data say themselves whether they are "
               "whole (a length, a last line): --insecure-accept-truncation");
    finish(x, error);
}

static void on_closed(void *arg, struct stream *s, const struct tt_error *error)
{
    struct connect *x = arg;
    if (x->gate != NULL && x->error.rc == TT_OK)
        x->error = *attest_gate_closed(x->gate, NULL);
    if (x->error.rc == TT_OK && ech_offer_again(&x->ech, stream_conn(s), error)) {
        connect_again(x);
        return;
    }
    struct tt_error advised = error != NULL ? *error : (struct tt_error){0};
    trust_advise(&advised, stream_conn(s), &x->options->trust);
    if (stream_loss(s) == STREAM_CUT && advised.rc == TT_ERR_CLOSED)
        on_cut(x, &advised);
    else
        finish(x, error != NULL ? &advised : NULL);
}

static void on_trace(void *arg, const struct stream_trace *event)
{
    struct connect *x = arg;
    trace_event(&x->trace, event);
    trace_svg_event(&x->svg, event);
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
static enum tt_ocsp ocsp_mode(const struct connect_options *o)
{
    static const enum tt_ocsp modes[] = {
        [OCSP_OFF] = TT_OCSP_NONE, [OCSP_REQUEST] = TT_OCSP_REQUEST, [OCSP_REQUIRE] = TT_OCSP_REQUIRE};
    if (o->ocsp == OCSP_AUTO)
        return o->tls.peer_raw_public_key ? TT_OCSP_NONE : TT_OCSP_REQUEST;
    return modes[o->ocsp];
}

static tt_rc set_up_config(struct connect *x, struct tt_error *err)
{
    TT_TRY(tt_config_new(&x->config, TT_CLIENT, err));
    TT_TRY(tls_config_values(x->config, &x->options->tls, err));
    TT_TRY(tt_config_set_ocsp(x->config, ocsp_mode(x->options)));
    TT_TRY(tt_config_set_post_handshake_auth(x->config, x->options->post_handshake_auth));
    TT_TRY(tt_config_set_send_authorities(x->config, x->options->send_authorities));
    bool has_trust = trust_is_given(&x->options->trust);
    if (has_trust)
        TT_TRY(trust_config(x->config, &x->options->trust, false, err));
    TT_TRY(resume_config(&x->resume, x->config, &x->options->tls, err));
    struct cli traced = *x->cli;
    traced.tpm_trace = trace_load;
    traced.tpm_trace_arg = &x->trace;
    const struct tls_load load = {
        .config = x->config, .role = TT_CLIENT, .cli = &traced, .options = &x->options->tls};
    TT_TRY(tls_config_identities(&x->identities, &load, err));
    tls_identities_say_ends(&x->identities, &x->options->tls, clock_wall_s());
    struct tls_psks_where where = {x->config, TT_CLIENT, &x->identities.tpm, &traced, has_trust};
    TT_TRY(tls_config_psks(&x->psks, &where, &x->options->tls, err));
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
    struct dial_options opt = {
        .starttls = x->options->starttls, .opened = on_opened, .failed = on_failed, .arg = x};
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
    opt.stream.handshake_timeout_s = (unsigned)x->options->tls.handshake_timeout;
    opt.connect_timeout_s = (unsigned)x->options->connect_timeout;
    resume_offer(&x->resume, &opt.stream);
    ech_offer_put(&x->ech, &opt.stream);
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
    return cli_delegate_start(&x->delegate, x->base, x->signer, &x->identities, &x->options->tls, err);
}

static tt_rc set_up(struct connect *x, struct tt_error *err)
{
    if (x->options->ek_cert != NULL)
        TT_TRY(cli_read_file(&x->ek_certificates, &x->ek_certificates_len, x->options->ek_cert, err));
    if (x->svg.path != NULL)
        TT_TRY(cli_may_write(x->svg.path, HOLDS_PICTURE, FILE_REPLACE, err));
    TT_TRY(address_parse_url(&x->address, x->options->target, err));
    x->asked = x->address;
    if (x->options->server_name != NULL)
        TT_TRY(address_set_host(&x->asked, x->options->server_name, err));
    x->server_name = x->asked.name;
    const struct ech_asked asked = {x->server_name, !x->asked.is_name, &x->address,
                                    x->options->server_name == NULL};
    TT_TRY(ech_options_offer(&x->ech, x->cli, &x->options->ech, &asked, err));
    if (x->options->tls.hello_like == HELLO_BROWSER && x->options->ech.ech == NULL)
        x->ech.grease = true;
    TT_TRY(resume_begin(&x->resume, x->cli, &x->options->resume, err));
    TT_TRY(set_up_config(x, err));
    TT_TRY(keylog_open(&x->keylog, x->options->tls.keylog, err));
    if (x->options->tls.trace_pcap != NULL)
        TT_TRY(pcap_create(&x->pcap, x->options->tls.trace_pcap, err));
    TT_TRY(loop_new(&x->base, true, err));
    struct sign_queue_options opt = {
        .base = x->base, .tpm = x->identities.tpm, .deadline_ms = (unsigned)x->options->tls.sign_deadline};
    const struct resume_peer peer = {
        .address = x->options->target, .server_name = x->server_name, .config = x->config};
    TT_TRY(resume_open(&x->resume, &opt.tpm, &peer, err));
    if (x->identities.len > 0 || opt.tpm != NULL)
        TT_TRY(sign_queue_new(&x->signer, &opt, err));
    TT_TRY(watch_signals(x, err));
    x->out_fd = open_stdout();
    return x->identities.delegation != NULL ? start_delegate(x, err) : start_dial(x, err);
}

static void tear_down(struct connect *x)
{
    relay_free(x->relay);
    attest_gate_free(x->gate);
    mem_free(x->ek_certificates);
    stream_free(x->stream);
    dial_free(x->dial);
    delegate_free(x->delegate.delegator);
    sign_queue_free(x->signer);
    tt_config_free(x->config);
    resume_end(&x->resume);
    ech_offer_free(&x->ech);
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
    struct tt_error undrawn = {0};
    if (trace_svg_write(&x->svg, &undrawn) != TT_OK)
        code = cli_fail(&undrawn);
    return x->error.rc == TT_OK ? code : cli_fail(&x->error);
}

/* ---- the command ---- */

static int run_connect(const struct cli *cli, void *options)
{
    struct connect_options *o = options;
    struct connect x = {.cli = cli, .options = o, .keylog.fd = -1, .out_fd = STDOUT_FILENO};
    const char *conflict = tls_identities_conflict(&o->tls);
    if (conflict != NULL)
        return cli_usage(cli, "%s", conflict);
    if (o->attest && o->tls.keys.len != 1)
        return cli_usage(cli, "--attest goes with one --key: which of them is used, the server decides");
    bool psk_alone = o->tls.psks.len > 0 && !o->tls.psk_and_certificate;
    o->trust.ca_option = "--ca";
    if (!trust_is_given(&o->trust) && !psk_alone)
        o->trust.ca.at[o->trust.ca.len++] = "system";
    x.trace = (struct trace){.on = o->tls.trace, .json = cli->json};
    x.svg = (struct trace_svg){.path = o->trace_svg, .peer = o->target};
    x.resume.settled = on_sessions_settled;
    x.resume.arg = &x;
    return run(&x);
}

#define TO(member) OPTION_TO(struct connect_options, member)

static const struct option_row connect_rows[] = {
    {NULL, "HOST:PORT",
     "where to; an IPv6 address is written [::1]:443. PORT may be the name of a service (https, ldaps, ...), "
     "and a URL such as "
     "https://HOST/ will do",
     TO(target), .needed = "connect to where?"},
    {"ca", "FILE|DIR|system",
     "the CAs the server's certificate may come from (PEM or DER); default, without --pin: system, which "
     "is " TRUST_SYSTEM_STORE,
     TO(trust.ca), .max = TRUST_OPTION_VALUES, .elsewhere = "cacert CAfile CApath capath ca-file"},
    {"servername", "NAME", "the name that is asked for, and that the certificate must have; default: HOST",
     TO(server_name), .elsewhere = "sni server-name"},
    {"ocsp", NULL,
     "the stapled OCSP response of the server: off, request (checked when it comes, and has to come where "
     "the certificate "
     "says so), require; auto: request, but for a raw public key",
     TO(ocsp), .choices = "auto off request require"},
    {"starttls", NULL,
     "speak this protocol first, as far as its request for TLS (STARTTLS; PostgreSQL's SSLRequest); default: "
     "off, TLS from "
     "the start",
     TO(starttls), .choices = "off smtp=submission imap ldap postgres=postgresql"},
    {"hello-like", NULL,
     "what the ClientHello looks like: own; browser: with what browsers offer, as far as TLS 1.3 alone can, "
     "for networks that look at it; the options for single things go before it",
     TO(tls.hello_like), .choices = "own browser"},
    {"attest", NULL,
     "before any data show the server, which has to ask for it, that the TPM of our certificate is at this "
     "end of the "
     "connection: docs/attestation.md",
     TO(attest), .needs = "key", .not_with = "early-data",
     .why = "data that go before it would not be covered"},
    {"ek-cert", "FILE", "the certificate of the TPM's endorsement key, where the TPM itself has none",
     TO(ek_cert), .needs = "attest"},
    {"post-handshake-auth", NULL, "let the server ask for our certificate later", TO(post_handshake_auth)},
    {"send-authorities", NULL, "tell the server which CAs we trust", TO(send_authorities)},
    {"refuse-delegated", NULL, "do not accept delegated credentials of servers", TO(tls.refuse_delegated)},
    {"insecure-accept-truncation", NULL,
     "end with 0 when the server hangs up without close_notify, as openssl s_client and curl do: that "
     "nothing of "
     "the data was cut off is then known to nobody, unless they tell their own length",
     TO(accept_truncation), .elsewhere = "accept-truncation ignore-eof"},
    {"trace-svg", "FILE.svg",
     "the handshake as a picture: its messages with their sizes, and when they came; the TPM's commands to "
     "scale",
     TO(trace_svg)},
    {"connect-timeout", "S", "seconds until an answer must be there", TO(connect_timeout), .min = 1,
     .max = 3600, .initial = 30},
    {0},
};
static const struct option_part connect_parts[] = {
    {"connection", connect_rows, 0},
    {"trust", trust_rows, offsetof(struct connect_options, trust)},
    {"Encrypted Client Hello", ech_rows, offsetof(struct connect_options, ech)},
    {"sessions", resume_rows, offsetof(struct connect_options, resume)},
    TLS_OPTION_PARTS(offsetof(struct connect_options, tls)),
    {0},
};

const struct command command_connect = {
    .name = "connect",
    .summary = "open a TLS 1.3 connection; stdin and stdout are the connection",
    .about = "Opens a TLS 1.3 connection; stdin goes to the peer, what the peer sends goes to stdout.",
    .example =
        "  echo hello | tpmtls connect localhost:4433 --ca ca/ca.pem --key device.key --cert device.pem",
    .parts = connect_parts,
    .size = sizeof(struct connect_options),
    .run = run_connect,
};
