/* tests/bogo/link.c: one connection of the engine over one blocking socket to the runner. The engine gets one
 * record at a time, or one byte with -async, so that what comes after a record is not yet seen. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim.h"

static int connect_runner(const struct shim_options *o)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)o->port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    v6.sin6_addr = in6addr_loopback;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(o->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int rc = o->ipv6 ? connect(fd, (const struct sockaddr *)&v6, sizeof v6)
                     : connect(fd, (const struct sockaddr *)&v4, sizeof v4);
    if (rc != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool link_open(struct shim_link *l, const struct shim_options *o)
{
    l->o = o;
    l->hold_after = SIZE_MAX;
    l->signed_with = -1;
    l->fd = connect_runner(o);
    if (l->fd < 0) {
        shim_say("cannot reach the runner: %s", strerror(errno));
        return false;
    }
    uint8_t id[8];
    for (size_t i = 0; i < sizeof id; i++)
        id[i] = (uint8_t)((uint64_t)o->shim_id >> 8 * i);
    return send(l->fd, id, sizeof id, MSG_NOSIGNAL) == (ssize_t)sizeof id;
}

/* Drained, because the runner else sees a reset instead of our alert. */
void link_close(struct shim_link *l)
{
    uint8_t block[4096];
    for (size_t i = 0; i < SHIM_SECRET_LINES; i++)
        buf_free(&l->traffic_secrets[i]);
    if (l->fd < 0)
        return;
    (void)shutdown(l->fd, SHUT_WR);
    while (recv(l->fd, block, sizeof block, 0) > 0)
        continue;
    (void)close(l->fd);
    l->fd = -1;
}

void link_flush(struct shim_link *l)
{
    struct tt_bytes out;
    while ((out = tt_conn_output(l->conn)).len > 0 && l->hold_after > 0) {
        size_t n = out.len < l->hold_after ? out.len : l->hold_after;
        ssize_t sent = l->broken ? (ssize_t)n : send(l->fd, out.data, n, MSG_NOSIGNAL);
        if (sent < 0) { /* the runner has closed: what it sent before may still be read */
            l->broken = true;
            continue;
        }
        tt_conn_output_done(l->conn, (size_t)sent);
        l->hold_after -= l->hold_after == SIZE_MAX ? 0 : (size_t)sent;
    }
}

static enum shim_io link_sign(struct shim_link *l)
{
    struct tt_sign_request req;
    struct tt_error err = {0};
    uint8_t signature[8192];
    size_t n = 0;
    if (tt_conn_sign_request(l->conn, &req) != TT_OK)
        return SHIM_IO_FAILED;
    if (l->o->fail_cert_callback || l->o->fail_ocsp_callback) {
        return tt_conn_sign_fail(l->conn, req.id, NULL) == TT_OK ? SHIM_IO_OK : SHIM_IO_FAILED;
    }
    struct shim_key *key = req.key;
    l->signed_with = key->number;
    tt_rc rc = tt_key_sign(key->key, req.scheme, req.to_sign, signature, sizeof signature, &n, &err);
    rc = rc == TT_OK ? tt_conn_sign_complete(l->conn, req.id, (struct tt_bytes){signature, n})
                     : tt_conn_sign_fail(l->conn, req.id, &err);
    return rc == TT_OK ? SHIM_IO_OK : SHIM_IO_FAILED;
}

/* How much of what is there may be fed: the rest of one record, or one byte. */
static size_t portion(const struct shim_link *l)
{
    const uint8_t *at = l->in + l->in_at;
    size_t there = l->in_len - l->in_at;
    if (l->o->async)
        return there < 1 ? there : 1;
    if (there < 5)
        return there;
    size_t record = 5 + ((size_t)at[3] << 8 | at[4]);
    return there < record ? there : record;
}

/* Whole records, so that the portions stay aligned with them: read until one is there. */
static bool record_is_there(const struct shim_link *l)
{
    const uint8_t *at = l->in + l->in_at;
    size_t there = l->in_len - l->in_at;
    if (l->o->async)
        return there > 0;
    return there >= 5 && (there >= 5 + ((size_t)at[3] << 8 | at[4]) || there > 20000);
}

static enum shim_io link_fill(struct shim_link *l)
{
    if (record_is_there(l) || (l->eof && l->in_at < l->in_len))
        return SHIM_IO_OK;
    if (l->eof)
        return SHIM_IO_EOF;
    memmove(l->in, l->in + l->in_at, l->in_len - l->in_at);
    l->in_len -= l->in_at;
    l->in_at = 0;
    ssize_t n = recv(l->fd, l->in + l->in_len, sizeof l->in - l->in_len, 0);
    if (n <= 0)
        l->eof = true;
    else
        l->in_len += (size_t)n;
    return link_fill(l);
}

tt_rc link_judge(struct shim_link *l)
{
    const struct shim_options *o = l->o;
    struct tt_conn_info info;
    if (l->judged || !tt_conn_is_connected(l->conn))
        return TT_OK;
    l->judged = true;
    tt_conn_info(l->conn, &info);
    bool looks = info.peer_chain_len > 0 && (!info.resumed || o->reverify_on_resume);
    bool judges = o->verify_peer || info.peer_certificate_type == TT_CERTIFICATE_RAW_PUBLIC_KEY;
    if (looks && o->verify_fail && judges) {
        TT_TRY(tt_conn_abort(l->conn,
                             o->custom_verify ? TT_ALERT_CERTIFICATE_UNKNOWN : TT_ALERT_HANDSHAKE_FAILURE,
                             "the application refuses the peer's certificate"));
        return TT_ERR_VERIFY;
    }
    if (looks && !o->server && o->fail_ocsp_callback) {
        TT_TRY(tt_conn_abort(l->conn, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE,
                             "the application refuses the peer's OCSP response"));
        return TT_ERR_VERIFY;
    }
    return TT_OK;
}

/* The application does not even want to hear what the peer has to say. */
static enum shim_io link_refuse(struct shim_link *l)
{
    unsigned alert = l->o->fail_ddos ? TT_ALERT_INTERNAL_ERROR : TT_ALERT_HANDSHAKE_FAILURE;
    tt_rc rc = tt_conn_abort(l->conn, alert, "the application refuses everybody");
    return rc == TT_OK ? SHIM_IO_FAILED : SHIM_IO_EOF;
}

/* The end of the transport without close_notify is an error, after which nothing is connected. */
static bool was_connected(const struct shim_link *l)
{
    return tt_conn_is_connected(l->conn) || tt_conn_error(l->conn)->handshake_complete;
}

enum shim_io link_step(struct shim_link *l)
{
    link_flush(l);
    unsigned wants = tt_conn_wants(l->conn);
    if ((wants & TT_WANT_SIGN) != 0) {
        enum shim_io signing = link_sign(l);
        if (signing == SHIM_IO_OK && link_judge(l) != TT_OK)
            signing = SHIM_IO_FAILED;
        link_flush(l);
        return signing;
    }
    enum shim_io io = link_fill(l);
    if (io == SHIM_IO_EOF)
        return tt_conn_feed_eof(l->conn) == TT_OK || was_connected(l) ? SHIM_IO_EOF : SHIM_IO_FAILED;
    if (l->o->fail_ddos || l->o->fail_early)
        return link_refuse(l);
    if (!tt_conn_is_connected(l->conn))
        l->hold_after = SIZE_MAX; /* what the handshake answers sends the rest of an unfinished write along */
    tt_conn_set_now(l->conn, shim_now_ms(l->state));
    size_t taken = 0;
    tt_rc rc = tt_conn_feed(l->conn, l->in + l->in_at, portion(l), &taken);
    l->in_at += taken;
    if (rc == TT_OK)
        rc = link_judge(l);
    link_flush(l);
    return rc == TT_OK ? SHIM_IO_OK : SHIM_IO_FAILED;
}

bool link_in_early_data(const struct shim_link *l)
{
    enum tt_early early = tt_conn_early_status(l->conn);
    return !tt_conn_is_connected(l->conn) && (early == TT_EARLY_OFFERED || early == TT_EARLY_ACCEPTED);
}

/* Rejected 0-RTT ends the client's first exchange: the runner's flags then speak of a retry. */
static bool early_rejected(const struct shim_link *l)
{
    return !l->o->server && l->o->expect_reject_early && tt_conn_early_status(l->conn) == TT_EARLY_REJECTED;
}

/* Both ways of reading: in place (which is what -peek-then-read looks at first), and by copy. */
static size_t take_plaintext(struct shim_link *l, uint8_t *ret, size_t cap)
{
    struct tt_bytes early = tt_conn_early_plaintext(l->conn);
    struct tt_bytes there = early.len > 0 ? early : tt_conn_plaintext(l->conn);
    size_t n = there.len < cap ? there.len : cap, copied = 0;
    if (n == 0)
        return 0;
    memcpy(ret, there.data, n);
    if (early.len > 0)
        return tt_conn_early_plaintext_done(l->conn, n) == TT_OK ? n : 0;
    if (!l->o->peek_then_read)
        return tt_conn_plaintext_done(l->conn, n) == TT_OK ? n : 0;
    static uint8_t copy[32768];
    bool same = n <= sizeof copy && tt_conn_read(l->conn, copy, n, &copied) == TT_OK && copied == n &&
                memcmp(copy, ret, n) == 0;
    return same ? n : 0;
}

enum shim_io link_read(struct shim_link *l, uint8_t *ret, size_t cap, size_t *ret_n)
{
    for (;;) {
        *ret_n = take_plaintext(l, ret, cap);
        if (*ret_n > 0)
            return SHIM_IO_OK;
        if (tt_conn_error(l->conn)->error.rc != TT_OK)
            return SHIM_IO_FAILED;
        if (tt_conn_received_close_notify(l->conn))
            return SHIM_IO_EOF;
        if (early_rejected(l))
            return SHIM_IO_EARLY_REJECTED;
        enum shim_io io = link_step(l);
        if (io == SHIM_IO_EOF)
            return was_connected(l) ? SHIM_IO_EOF : SHIM_IO_FAILED;
        if (io != SHIM_IO_OK)
            return io;
    }
}

/* Before the end of the handshake: as 0-RTT data on a client, as half-RTT data on a server. */
enum shim_io link_write(struct shim_link *l, const uint8_t *data, size_t n)
{
    while (n > 0) {
        size_t done = 0;
        tt_rc rc = TT_OK;
        if (early_rejected(l))
            return SHIM_IO_EARLY_REJECTED;
        if (tt_conn_can_write(l->conn))
            rc = tt_conn_write(l->conn, data, n, &done);
        else if (!l->o->server && link_in_early_data(l))
            rc = tt_conn_write_early(l->conn, data, n, &done);
        if (rc != TT_OK)
            return SHIM_IO_FAILED;
        data += done;
        n -= done;
        link_flush(l);
        if (done == 0 && tt_conn_is_connected(l->conn))
            return SHIM_IO_FAILED;
        enum shim_io io = done == 0 ? link_step(l) : SHIM_IO_OK;
        if (io != SHIM_IO_OK)
            return SHIM_IO_FAILED;
    }
    return SHIM_IO_OK;
}
