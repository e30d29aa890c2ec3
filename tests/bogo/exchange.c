/* tests/bogo/exchange.c: what the shim does on one connection: handshake, first writes, echo, shutdown. */
#include <string.h>

#include "shim.h"

#define ALERT_DECOMPRESSION_FAILURE 30 /* of older versions; -send-alert wants just this one */

/* The client's handshake "returns" as soon as 0-RTT data may be written, the server's as soon as it comes. */
static bool handshake_returns(const struct shim_link *l)
{
    if (tt_conn_is_connected(l->conn))
        return true;
    if (!l->o->server)
        return tt_conn_early_status(l->conn) == TT_EARLY_OFFERED;
    return link_in_early_data(l) && tt_conn_can_write(l->conn);
}

static enum shim_io handshake(struct shim_link *l)
{
    enum shim_io io = SHIM_IO_OK;
    link_flush(l);
    while (io == SHIM_IO_OK && !handshake_returns(l))
        io = link_step(l);
    link_flush(l);
    return io;
}

static enum shim_io until_connected(struct shim_link *l)
{
    enum shim_io io = SHIM_IO_OK;
    while (io == SHIM_IO_OK && !tt_conn_is_connected(l->conn))
        io = link_step(l);
    return io;
}

/* -early-write-after-message: go on until that message has come. */
static enum shim_io until_message(struct shim_link *l, unsigned type)
{
    enum shim_io io = SHIM_IO_OK;
    while (io == SHIM_IO_OK && l->last_message != type)
        io = link_step(l);
    return io;
}

static enum shim_io write_exported(struct shim_link *l)
{
    uint8_t material[4096];
    size_t n = (size_t)l->o->export_len;
    const struct tt_bytes context = {(const uint8_t *)l->o->export_context, strlen(l->o->export_context)};
    enum shim_io io = SHIM_IO_OK;
    if (n > sizeof material)
        return SHIM_IO_FAILED;
    io = until_connected(l);
    if (io != SHIM_IO_OK || tt_conn_export(l->conn, l->o->export_label, context, material, n) != TT_OK)
        return SHIM_IO_FAILED;
    return link_write(l, material, n);
}

static enum shim_io write_secrets(struct shim_link *l)
{
    const struct buf *reads = &l->traffic_secrets[l->o->server ? 0 : 1];
    const struct buf *writes = &l->traffic_secrets[l->o->server ? 1 : 0];
    size_t n = buf_size(reads);
    const uint8_t len[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    enum shim_io io = link_write(l, len, sizeof len);
    if (io == SHIM_IO_OK)
        io = link_write(l, buf_front(reads), n);
    return io == SHIM_IO_OK ? link_write(l, buf_front(writes), buf_size(writes)) : io;
}

static enum shim_io first_writes(struct shim_link *l)
{
    const struct shim_options *o = l->o;
    const uint8_t *data = (const uint8_t *)o->initial_write;
    enum shim_io io = SHIM_IO_OK;
    if (o->export_len > 0)
        io = write_exported(l);
    if (io == SHIM_IO_OK && o->export_traffic_secrets)
        io = write_secrets(l);
    if (io != SHIM_IO_OK)
        return io;
    if (o->read_with_unfinished_write) {
        l->hold_after = 1; /* the rest goes out with the first echo */
        return link_write(l, data, strlen(o->initial_write));
    }
    for (int64_t i = 0; o->shim_writes_first && i < o->repeat_initial_write && io == SHIM_IO_OK; i++)
        io = link_write(l, data, strlen(o->initial_write));
    return io;
}

static bool update_keys(struct shim_link *l, bool wanted)
{
    return !wanted || !tt_conn_can_write(l->conn) || tt_conn_key_update(l->conn, false) == TT_OK;
}

static enum shim_io echo(struct shim_link *l)
{
    uint8_t block[32768];
    size_t cap = l->o->read_size > 0 ? (size_t)l->o->read_size : 512;
    cap = cap < sizeof block ? cap : sizeof block;
    for (;;) {
        size_t n = 0;
        if (!update_keys(l, l->o->key_update_before_read))
            return SHIM_IO_FAILED;
        enum shim_io io = link_read(l, block, cap, &n);
        if (io != SHIM_IO_OK)
            return io;
        l->hold_after = SIZE_MAX;
        if (!update_keys(l, l->o->key_update))
            return SHIM_IO_FAILED;
        for (size_t i = 0; i < n; i++)
            block[i] ^= 0xff;
        io = link_write(l, block, n);
        if (io != SHIM_IO_OK)
            return io;
    }
}

/* Our close_notify; where it is to be checked, the peer's too, and no data before it. */
static enum shim_io shut_down(struct shim_link *l)
{
    uint8_t byte;
    size_t n = 0;
    if (tt_conn_close(l->conn) != TT_OK)
        return SHIM_IO_FAILED;
    link_flush(l);
    if (!l->o->check_close_notify)
        return SHIM_IO_OK;
    enum shim_io io = link_read(l, &byte, 1, &n);
    if (io == SHIM_IO_OK)
        shim_say("application data after our close_notify");
    return io == SHIM_IO_EOF && tt_conn_received_close_notify(l->conn) ? SHIM_IO_OK : SHIM_IO_FAILED;
}

static void take_sessions(struct shim_link *l, struct shim_state *state)
{
    struct tt_session *s;
    while ((s = tt_conn_take_session(l->conn)) != NULL) {
        tt_session_free(state->session);
        state->session = s;
    }
}

static enum shim_io abort_as_told(struct shim_link *l)
{
    enum shim_io io = until_connected(l);
    if (io != SHIM_IO_OK)
        return io;
    tt_rc rc = tt_conn_abort(l->conn, ALERT_DECOMPRESSION_FAILURE, "told to by a flag");
    return rc == TT_OK ? SHIM_IO_ABORTED : SHIM_IO_FAILED;
}

static enum shim_io exchange(struct shim_link *l, bool resume, bool retry)
{
    const struct shim_options *o = l->o;
    enum shim_io io = SHIM_IO_OK;
    if (!o->implicit_handshake) {
        io = retry ? SHIM_IO_OK : handshake(l);
        if (retry)
            io = until_connected(l);
        if (io == SHIM_IO_OK && retry && link_judge(l) != TT_OK)
            io = SHIM_IO_FAILED;
        if (io == SHIM_IO_OK && !expect_handshake(l, resume))
            return SHIM_IO_FAILED;
        if (io == SHIM_IO_OK && o->early_write_after_message != 0)
            io = until_message(l, (unsigned)o->early_write_after_message);
    }
    if (io == SHIM_IO_OK && o->send_alert)
        return abort_as_told(l);
    if (io == SHIM_IO_OK)
        io = first_writes(l);
    if (io == SHIM_IO_OK && !o->shim_shuts_down) {
        io = echo(l);
        io = io == SHIM_IO_EOF ? SHIM_IO_OK : io;
    }
    return io == SHIM_IO_EOF ? SHIM_IO_FAILED : io;
}

static void seen(void *arg, const struct tt_trace_event *event)
{
    struct shim_link *l = arg;
    if (!event->sent && !event->is_alert)
        l->last_message = event->type;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "LABEL client_random secret" of the SSLKEYLOGFILE format: the application secrets are kept. */
static void secret_line(void *arg, const char *line)
{
    static const char *const labels[SHIM_SECRET_LINES] = {"CLIENT_TRAFFIC_SECRET_0 ",
                                                          "SERVER_TRAFFIC_SECRET_0 "};
    struct shim_link *l = arg;
    const char *at = strrchr(line, ' ');
    if (at == NULL)
        return;
    for (size_t i = 0; i < SHIM_SECRET_LINES; i++) {
        if (strncmp(line, labels[i], strlen(labels[i])) != 0)
            continue;
        for (at++; hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0; at += 2) {
            uint8_t byte = (uint8_t)(hex_digit(at[0]) << 4 | hex_digit(at[1]));
            if (buf_append(&l->traffic_secrets[i], &byte, 1) != TT_OK)
                return;
        }
    }
}

static bool converse(struct shim_link *l, struct shim_state *state, const struct shim_options *retry,
                     bool resume)
{
    enum shim_io io = exchange(l, resume, false);
    if (io == SHIM_IO_ABORTED)
        return true;
    if (io == SHIM_IO_EARLY_REJECTED) {
        l->o = retry;
        l->judged = false;
        io = exchange(l, resume, true);
    } else if (io == SHIM_IO_OK && l->o->expect_reject_early && !l->o->server) {
        shim_say("early data was not rejected");
        return false;
    }
    take_sessions(l, state);
    if (io == SHIM_IO_OK && !expect_end(l, resume, state->session))
        return false;
    if (io == SHIM_IO_OK)
        io = shut_down(l);
    return io == SHIM_IO_OK;
}

static bool start(struct shim_link *l, struct shim_state *state, struct tt_config *cfg,
                  struct tt_session *offer)
{
    struct tt_error err = {0};
    l->state = state;
    l->offered = offer != NULL;
    if (offer != NULL) {
        struct tt_session_info info;
        tt_session_info(offer, &info);
        l->offered_early = info.max_early_data > 0;
    }
    struct tt_session *offers[1 + TT_COUNT(l->keys->psks)];
    size_t offers_len = 0;
    if (offer != NULL)
        offers[offers_len++] = offer;
    for (size_t i = 0; !l->o->server && i < l->keys->psks_len; i++)
        offers[offers_len++] = l->keys->psks[i].session;
    /* A client that trusts somebody must say whom it wants; here it trusts nobody, and has PSKs. */
    const char *name = l->o->host_name == NULL && l->keys->psks_len > 0 ? "psk.test" : l->o->host_name;
    /* BoringSSL's clients remember no group: one that is not configured stands for none. */
    struct tt_conn_options opt = {.server_name = name,
                                  .known_group = UINT16_MAX,
                                  .now_ms = shim_now_ms(state),
                                  .sessions = offers,
                                  .sessions_len = offers_len,
                                  .early_data = l->o->enable_early_data,
                                  .ech_config_list = {l->o->ech_config_list.data, l->o->ech_config_list.len},
                                  .ech_grease = l->o->ech_grease,
                                  .trace = seen,
                                  .trace_arg = l,
                                  .insecure_keylog = secret_line,
                                  .keylog_arg = l};
    if (l->o->reject_unusable_ech_config && opt.ech_config_list.len == 0) {
        shim_say("no ECHConfigList, and the application insists on one");
        return false;
    }
    tt_rc rc = tt_conn_new(&l->conn, cfg, &opt, &err);
    if (rc == TT_ERR_UNSUPPORTED && !l->o->reject_unusable_ech_config) { /* then it goes without */
        opt.ech_config_list.len = 0;
        rc = tt_conn_new(&l->conn, cfg, &opt, &err);
    }
    if (rc != TT_OK) {
        shim_say("connection: %s", err.text);
        return false;
    }
    return true;
}

static bool run(struct shim_link *l, struct shim_state *state, const struct shim_options *retry, bool resume)
{
    bool fine = converse(l, state, retry, resume);
    const struct tt_conn_status *status = tt_conn_error(l->conn);
    link_flush(l);
    if (!fine)
        shim_say("failed: %s: %s (alert sent %u, received %u)", tt_rc_name(status->error.rc),
                 status->error.text, status->alert_sent, status->alert_received);
    return fine;
}

int shim_connection(struct shim_state *state, const struct shim_options *o, const struct shim_options *retry,
                    bool resume)
{
    static struct shim_link l;
    struct tt_config *cfg = NULL;
    struct shim_keys keys = {.n = 0};
    memset(&l, 0, sizeof l);
    l.fd = -1;
    l.keys = &keys;
    int code = shim_config(&cfg, &keys, state, o);
    struct tt_session *offer = state->session;
    state->session = NULL;
    if (code == 0 && resume && !o->server && offer == NULL) {
        shim_say("there is no session to offer");
        code = SHIM_EXIT_FAILED;
    }
    if (code == 0) {
        bool fine = link_open(&l, o) && start(&l, state, cfg, offer) && run(&l, state, retry, resume);
        code = fine ? 0 : SHIM_EXIT_FAILED;
    }
    link_close(&l);
    tt_conn_free(l.conn);
    tt_session_free(offer);
    shim_keys_free(&keys);
    tt_config_free(cfg);
    return code;
}
