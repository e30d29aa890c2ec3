/* cli/serve_www.c: `serve --www`: each request gets a page that describes the connection, like `openssl
 * s_server -www`, so that outside test tools can drive it. Layer: cli. It is no web server: the request is
 * not looked at. */
#include "cli/serve.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rc.h"

#define REQUEST_MAX 8192

/* struct www: how much of a request was seen; only its first line matters. */
struct www {
    size_t seen;
    bool is_answered;
};

static tt_rc www_connected(struct session *x, struct tt_error *err)
{
    x->mode_data = mem_alloc(sizeof(struct www));
    return x->mode_data != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "no memory for a request");
}

static const char *scheme_text(uint16_t scheme)
{
    return scheme != 0 ? tt_scheme_name(scheme) : "-";
}

static tt_rc put(struct buf *page, const char *text)
{
    return buf_append(page, text, strlen(text));
}

static tt_rc put_line(struct buf *page, const char *name, const char *value)
{
    TT_TRY(put(page, name));
    TT_TRY(put(page, ": "));
    TT_TRY(put(page, value));
    return put(page, "\n");
}

/* What the peer chose may be any bytes. */
static tt_rc put_chosen(struct buf *page, const char *name, struct tt_bytes b)
{
    TT_AUTO(mem_free_auto) char *shown = b.len > 0 ? mem_dup(b.data, b.len) : mem_strdup("-");
    if (shown == NULL)
        return TT_ERR_MEMORY;
    for (size_t i = 0; i < b.len; i++)
        if (shown[i] <= ' ' || shown[i] >= 0x7f)
            shown[i] = '?';
    return put_line(page, name, shown);
}

static tt_rc build_page(struct buf *page, const struct tt_conn *conn)
{
    struct tt_conn_info info;
    TT_AUTO(mem_free_auto) char *subject = NULL;
    tt_conn_info(conn, &info);
    TT_TRY(trace_peer_subject(&subject, conn));
    TT_TRY(put(page, "HTTP/1.0 200 ok\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"));
    TT_TRY(put_line(page, "version", "TLSv1.3"));
    TT_TRY(put_line(page, "suite", tt_suite_name(info.suite)));
    TT_TRY(put_line(page, "group", tt_group_name(info.group)));
    TT_TRY(put_line(page, "scheme", scheme_text(info.local_scheme)));
    TT_TRY(put_line(page, "client scheme", scheme_text(info.peer_scheme)));
    TT_TRY(put_line(page, "resumed", info.resumed ? "yes" : "no"));
    TT_TRY(put_line(page, "hello retry request", info.hello_retry_request ? "yes" : "no"));
    TT_TRY(put_chosen(page, "server name", info.server_name));
    TT_TRY(put_chosen(page, "alpn", info.alpn));
    return put_line(page, "peer certificate", subject != NULL ? subject : "none");
}

static void answer(struct session *x, struct www *w)
{
    TT_AUTO(buf_free) struct buf page = {0};
    w->is_answered = true;
    if (build_page(&page, stream_conn(x->stream)) == TT_OK)
        (void)stream_write(x->stream, buf_front(&page), buf_size(&page));
    stream_finish(x->stream);
}

static void www_plaintext(struct session *x)
{
    struct www *w = x->mode_data;
    struct tt_bytes got = stream_plaintext(x->stream);
    if (w == NULL || w->is_answered)
        return;
    bool has_line = got.len > 0 && memchr(got.data, '\n', got.len) != NULL;
    w->seen += got.len;
    stream_plaintext_done(x->stream, got.len);
    if (has_line)
        answer(x, w);
    else if (w->seen > REQUEST_MAX)
        stream_finish(x->stream);
}

static void www_ended(struct session *x)
{
    stream_finish(x->stream);
}

static bool www_closed(struct session *x)
{
    mem_free(TT_TAKE(x->mode_data));
    return true;
}

const struct serve_mode serve_www = {.connected = www_connected,
                                     .plaintext = www_plaintext,
                                     .ended = www_ended,
                                     .closed = www_closed,
                                     .request_is_answered = true};
