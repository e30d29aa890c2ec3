/* cli/serve_www.c: `serve --www`: each request gets a page that describes the connection, like `openssl
 * s_server -www`, so that outside test tools can drive it. Layer: cli. It is no web server: the request is
 * not looked at. */
#include "cli/serve.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"

#define REQUEST_MAX 8192
#define PAGE_MAX    2048

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

/* What the peer chose may be any bytes. */
static void printable(char *ret, size_t cap, struct tt_bytes b)
{
    size_t n = 0;
    for (; n < b.len && n + 1 < cap; n++)
        ret[n] = b.data[n] > 0x20 && b.data[n] < 0x7f ? (char)b.data[n] : '?';
    ret[n] = '\0';
}

static size_t build_page(char page[PAGE_MAX], const struct tt_conn *conn)
{
    struct tt_conn_info info;
    char subject[512], alpn[64], name[256];
    tt_conn_info(conn, &info);
    trace_peer_subject(subject, sizeof subject, conn);
    printable(alpn, sizeof alpn, info.alpn);
    printable(name, sizeof name, info.server_name);
    int n = snprintf(page, PAGE_MAX,
                     "HTTP/1.0 200 ok\r\n"
                     "Content-Type: text/plain\r\n"
                     "Connection: close\r\n"
                     "\r\n"
                     "version: TLSv1.3\n"
                     "suite: %s\n"
                     "group: %s\n"
                     "scheme: %s\n"
                     "client scheme: %s\n"
                     "resumed: %s\n"
                     "hello retry request: %s\n"
                     "server name: %s\n"
                     "alpn: %s\n"
                     "peer certificate: %s\n",
                     tt_suite_name(info.suite), tt_group_name(info.group), scheme_text(info.local_scheme),
                     scheme_text(info.peer_scheme), info.resumed ? "yes" : "no",
                     info.hello_retry_request ? "yes" : "no", name[0] != '\0' ? name : "-",
                     alpn[0] != '\0' ? alpn : "-", subject[0] != '\0' ? subject : "none");
    return n < 0 ? 0 : n < PAGE_MAX ? (size_t)n : PAGE_MAX - 1;
}

static void answer(struct session *x, struct www *w)
{
    char page[PAGE_MAX];
    w->is_answered = true;
    (void)stream_write(x->stream, page, build_page(page, stream_conn(x->stream)));
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

const struct serve_mode serve_www = {
    .connected = www_connected, .plaintext = www_plaintext, .ended = www_ended, .closed = www_closed};
