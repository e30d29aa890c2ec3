/* cli/trace.c: printing what a handshake does. Layer: cli. "TPM commands of the handshake" are those run
 * between its start (client: the socket is open; server: the first byte came) and its end (both Finished are
 * through). */
#include "cli/trace.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "cli/psk_file.h"
#include "tpmtls/pki.h"

#define NS_PER_MS 1e6

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

/* "[3] " on a server, nothing on a client. */
static void connection_tag(char ret[32], const struct trace *t)
{
    ret[0] = '\0';
    if (t->connection > 0)
        (void)snprintf(ret, 32, "[%lu] ", t->connection);
}

static void add_connection(json_t *object, const struct trace *t)
{
    if (t->connection > 0)
        (void)json_object_set_new(object, "connection", json_integer((json_int_t)t->connection));
}

static void print_tpm(const struct trace *t, const struct tt_tpm_event *e, const char *phase, double at_ms)
{
    double took_ms = (double)e->nanoseconds / NS_PER_MS;
    if (t->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:f, s:I}", "event", "tpm", "phase", phase, "command", e->name,
                              "ms", took_ms, "rc", (json_int_t)e->response);
        if (at_ms >= 0)
            (void)json_object_set_new(o, "at_ms", json_real(at_ms));
        add_connection(o, t);
        cli_event(o);
        return;
    }
    char tag[32], when[32], result[32] = "";
    connection_tag(tag, t);
    (void)snprintf(when, sizeof when, "%10s ", phase);
    if (at_ms >= 0)
        (void)snprintf(when, sizeof when, "%8.2f ms", at_ms);
    if (e->response != 0)
        (void)snprintf(result, sizeof result, ", response 0x%x", e->response);
    fprintf(stderr, "trace: %s%s  TPM       %-22s took %.2f ms%s\n", tag, when, e->name, took_ms, result);
}

void trace_load(void *arg, const struct tt_tpm_event *event)
{
    const struct trace *t = arg;
    if (t->on)
        print_tpm(t, event, "load", -1);
}

void trace_delegate(const struct trace *t, const struct tt_tpm_event *event)
{
    if (t->on)
        print_tpm(t, event, "delegate", -1);
}

static void print_message(const struct trace *t, const struct tt_trace_event *m, double at_ms)
{
    const char *type = m->is_alert                 ? tt_alert_name(m->type)
                       : m->is_hello_retry_request ? "hello_retry_request"
                                                   : tt_handshake_type_name(m->type);
    const char *direction = m->sent ? "sent" : "received";
    if (t->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:f}", "event", m->is_alert ? "alert" : "message", "dir",
                              direction, "type", type, "size", (json_int_t)m->size, "ms", at_ms);
        (void)json_object_set_new(o, "number", json_integer((json_int_t)m->type));
        add_connection(o, t);
        cli_event(o);
        return;
    }
    char tag[32], what[48];
    connection_tag(tag, t);
    if (m->is_alert)
        (void)snprintf(what, sizeof what, "alert %s (%u)", type, m->type);
    fprintf(stderr, "trace: %s%8.2f ms  %-8s  %-22s %5zu bytes\n", tag, at_ms, direction,
            m->is_alert ? what : type, m->size);
}

void trace_event(const struct trace *t, const struct stream_trace *event)
{
    double at_ms = (double)event->at_ns / NS_PER_MS;
    if (!t->on)
        return;
    if (event->is_tpm)
        print_tpm(t, &event->tpm, "handshake", at_ms);
    else
        print_message(t, &event->message, at_ms);
}

tt_rc trace_peer_subject(char **ret, const struct tt_conn *conn)
{
    struct tt_bytes leaf = tt_conn_peer_certificate(conn, 0);
    struct tt_conn_info about;
    tt_conn_info(conn, &about);
    *ret = NULL;
    if (leaf.len == 0)
        return TT_OK;
    if (about.peer_certificate_type == TT_CERTIFICATE_RAW_PUBLIC_KEY) {
        static const char words[] = "raw public key sha256:";
        char text[sizeof words + 64];
        memcpy(text, words, sizeof words);
        tt_spki_sha256(text + sizeof words - 1, leaf);
        *ret = mem_strdup(text);
    } else {
        TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
        TT_TRY(tt_cert_describe(&info, leaf, NULL));
        *ret = mem_strdup(info->subject);
    }
    return *ret != NULL ? TT_OK : TT_ERR_MEMORY;
}

tt_rc trace_peer_psk(char **ret, const struct tt_conn *conn)
{
    struct tt_conn_info info;
    tt_conn_info(conn, &info);
    *ret = NULL;
    return info.psk_identity.len > 0 ? psk_identity_text(ret, info.psk_identity, info.psk_imported) : TT_OK;
}

static const char *scheme_or_null(uint16_t scheme)
{
    return scheme != 0 ? tt_scheme_name(scheme) : NULL;
}

/* NULL: nobody spoke of ECH. */
static const char *ech_name(enum tt_ech ech)
{
    static const char *const names[] = {[TT_ECH_GREASE] = "grease",
                                        [TT_ECH_OFFERED] = "offered",
                                        [TT_ECH_ACCEPTED] = "accepted",
                                        [TT_ECH_REJECTED] = "rejected"};
    return names[ech];
}

void trace_connected(const struct cli *cli, const struct stream *s, unsigned long connection,
                     const char *peer)
{
    const struct tt_conn *conn = stream_conn(s);
    struct tt_conn_info info;
    TT_AUTO(mem_free_auto) char *subject = NULL;
    TT_AUTO(mem_free_auto) char *psk = NULL;
    if (!cli->json && cli->verbose == 0)
        return;
    tt_conn_info(conn, &info);
    bool known = trace_peer_psk(&psk, conn) == TT_OK && trace_peer_subject(&subject, conn) == TT_OK;
    if (cli->json) {
        json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:s, s:b, s:s?}", "event", "connected", "peer", peer,
                              "peer_certificate", cli_json_text(subject), "psk", cli_json_text(psk), "suite",
                              tt_suite_name(info.suite), "resumed", info.resumed, "ech", ech_name(info.ech));
        if (connection > 0)
            (void)json_object_set_new(o, "connection", json_integer((json_int_t)connection));
        cli_event(o);
        return;
    }
    cli_note("%s: connected%s%s%s%s%s%s%s", peer,
             !known            ? ", its name cannot be shown"
             : subject != NULL ? " as "
                               : ", no certificate",
             subject != NULL ? subject : "", psk != NULL ? ", PSK " : "", psk != NULL ? psk : "",
             info.resumed ? ", resumed" : "", info.ech != TT_ECH_NONE ? ", ECH " : "",
             info.ech != TT_ECH_NONE ? ech_name(info.ech) : "");
}

/* struct summary: what is told of the peer. */
struct summary {
    enum tt_role role;
    const char *peer, *subject, *psk; /* subject, psk: NULL without one */
};

static void print_summary_json(const struct trace *t, const struct stream *s, const struct summary *of)
{
    struct stream_stats stats_now = stream_stats(s), *stats = &stats_now;
    struct tt_conn_info info_now, *info = &info_now;
    tt_conn_info(stream_conn(s), info);
    bool early = tt_conn_early_status(stream_conn(s)) == TT_EARLY_ACCEPTED;
    uint16_t server = of->role == TT_CLIENT ? info->peer_scheme : info->local_scheme;
    uint16_t client = of->role == TT_CLIENT ? info->local_scheme : info->peer_scheme;
    json_t *o =
        json_pack("{s:s, s:f, s:i, s:f, s:f, s:s, s:s, s:s?, s:s?}", "event", "handshake", "ms",
                  (double)stats->handshake_ns / NS_PER_MS, "tpm_commands", (int)stats->tpm_commands, "tpm_ms",
                  (double)stats->tpm_ns / NS_PER_MS, "sign_wait_ms", (double)stats->sign_wait_ns / NS_PER_MS,
                  "suite", tt_suite_name(info->suite), "group", tt_group_name(info->group), "scheme",
                  scheme_or_null(server), "client_scheme", scheme_or_null(client));
    (void)json_object_set_new(o, "resumed", json_boolean(info->resumed));
    (void)json_object_set_new(o, "ech", cli_json_text(ech_name(info->ech)));
    (void)json_object_set_new(o, "delegated", json_boolean(info->local_delegated));
    (void)json_object_set_new(o, "peer_delegated", json_boolean(info->peer_delegated));
    (void)json_object_set_new(o, "early_data", json_boolean(early));
    (void)json_object_set_new(o, "hello_retry_request", json_boolean(info->hello_retry_request));
    (void)json_object_set_new(o, "ocsp_good", json_boolean(info->peer_ocsp_good));
    (void)json_object_set_new(o, "bytes_in", json_integer((json_int_t)info->handshake_bytes_in));
    (void)json_object_set_new(o, "bytes_out", json_integer((json_int_t)info->handshake_bytes_out));
    (void)json_object_set_new(o, "alpn", cli_json_bytes(info->alpn));
    (void)json_object_set_new(o, "peer", cli_json_text(of->peer));
    (void)json_object_set_new(o, "peer_certificate", cli_json_text(of->subject));
    (void)json_object_set_new(o, "psk", cli_json_text(of->psk));
    (void)json_object_set_new(o, "certificate_with_psk", json_boolean(info->certificate_with_psk));
    add_connection(o, t);
    cli_event(o);
}

void trace_handshake(const struct trace *t, const struct stream *s, enum tt_role role, const char *peer)
{
    if (!t->on)
        return;
    struct tt_conn_info info;
    char tag[32];
    TT_AUTO(mem_free_auto) char *subject = NULL;
    TT_AUTO(mem_free_auto) char *psk = NULL;
    struct stream_stats stats = stream_stats(s);
    tt_conn_info(stream_conn(s), &info);
    if (trace_peer_subject(&subject, stream_conn(s)) != TT_OK ||
        trace_peer_psk(&psk, stream_conn(s)) != TT_OK)
        cli_note("%s: its name cannot be shown", peer);
    if (t->json) {
        print_summary_json(t, s, &(struct summary){role, peer, subject, psk});
        return;
    }
    connection_tag(tag, t);
    double total = (double)stats.handshake_ns, tpm = (double)stats.tpm_ns;
    fprintf(stderr,
            "trace: %shandshake with %s: %.2f ms; TPM: %u command%s, %.2f ms (%.0f %%)\n"
            "trace: %s%s, %s, peer: %s%s%s%s%s%s%s\n",
            tag, peer, total / NS_PER_MS, stats.tpm_commands, stats.tpm_commands == 1 ? "" : "s",
            tpm / NS_PER_MS, total > 0 ? 100 * tpm / total : 0.0, tag, tt_suite_name(info.suite),
            tt_group_name(info.group), subject != NULL ? subject : "no certificate",
            info.peer_scheme != 0 ? " (" : "", info.peer_scheme != 0 ? tt_scheme_name(info.peer_scheme) : "",
            info.peer_delegated ? ", delegated" : "", info.peer_scheme != 0 ? ")" : "",
            psk != NULL ? ", PSK " : "", psk != NULL ? psk : "");
}
