/* cli/trace_svg.c: see trace_svg.h. Layer: cli.
 *
 * Time runs downwards, to scale on the axis and for the bars of the TPM's commands. Messages of one flight
 * leave at the same moment; they are drawn below each other, each with a line from its place to its moment on
 * the axis. */
#include "cli/trace_svg.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/rc.h"
#include "cli/cli.h"

#define NS_PER_MS 1e6
#define AXIS      90  /* columns, from the left: the time */
#define TPM       190 /* the TPM's bars */
#define US        420 /* our end */
#define THEM      860 /* the other end */
#define WIDTH     920
#define TOP       100
#define SCALED    520 /* how high the axis is */
#define STEP      22  /* between two messages, at least */
#define TPM_TINY  2   /* a command that is too short to be seen */

void trace_svg_event(struct trace_svg *t, const struct stream_trace *event)
{
    if (t->path == NULL || t->complete)
        return;
    if (t->len < TT_COUNT(t->events))
        t->events[t->len++] = *event;
    else
        t->left_out++;
}

void trace_svg_connected(struct trace_svg *t, const struct stream *s)
{
    t->complete = true;
    t->ms = (double)stream_stats(s).handshake_ns / NS_PER_MS;
}

/* ---- where things are ---- */

static double at_ms(const struct stream_trace *e)
{
    return (double)e->at_ns / NS_PER_MS;
}

static double took_ms(const struct stream_trace *e)
{
    return (double)e->tpm.nanoseconds / NS_PER_MS;
}

static double whole_ms(const struct trace_svg *t)
{
    double end = t->ms;
    for (size_t i = 0; i < t->len; i++)
        end = at_ms(&t->events[i]) > end ? at_ms(&t->events[i]) : end;
    return end > 0.001 ? end : 0.001;
}

static double height_of(const struct trace_svg *t, double ms)
{
    return TOP + ms / whole_ms(t) * SCALED;
}

/* ---- pieces ---- */

/* struct picture: what is written so far. */
struct picture {
    struct buf text;
    bool failed;
};

static void put(struct picture *to, const char *fmt, ...) TT_PRINTF(2, 3);
static void put(struct picture *to, const char *fmt, ...)
{
    char piece[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(piece, sizeof piece, fmt, args);
    va_end(args);
    to->failed |= n < 0 || (size_t)n >= sizeof piece ||
                  buf_append(&to->text, (const uint8_t *)piece, (size_t)n) != TT_OK;
}

/* Text from elsewhere, which may be anything. */
static void put_text(struct picture *to, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '<')
            put(to, "%s", "&lt;");
        else if (*c == '&')
            put(to, "%s", "&amp;");
        else if (*c >= ' ' && *c < 0x7f)
            put(to, "%c", *c);
        else
            put(to, "%c", '?');
    }
}

static void put_head(struct picture *to, const struct trace_svg *t, double height)
{
    put(to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n<title>tpmtls: TLS 1.3 with ",
        WIDTH, height, WIDTH, height);
    put_text(to, t->peer);
    put(to, "%s",
        "</title>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" "
        "markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#234\"/></marker></defs>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"20\" y=\"30\" font-size=\"17\">TLS "
        "1.3 with ");
    put_text(to, t->peer);
    if (t->complete)
        put(to, ": %.2f ms", t->ms);
    else
        put(to, "%s", ": no handshake");
    put(to, "%s", "</text>\n");
}

static void put_lane(struct picture *to, int x, double height, const char *name)
{
    put(to,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-weight=\"bold\">%s</text>\n"
        "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%.0f\" stroke=\"#999\"/>\n",
        x, TOP - 30, name, x, TOP - 20, x, height - 20);
}

/* A handful of marks at round numbers of milliseconds. */
static void put_axis(struct picture *to, const struct trace_svg *t)
{
    double whole = whole_ms(t), step = 0.001;
    while (whole / step > 8)
        step *= whole / step > 40 ? 10 : 2;
    for (unsigned i = 0; i * step <= whole + step / 100; i++) {
        double ms = i * step, y = height_of(t, ms);
        put(to,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#999\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#555\">%g ms</text>\n",
            AXIS - 5, y, AXIS + 5, y, AXIS - 10, y + 4, ms);
    }
}

/* The command ended before it was told of, and those of one answer are told of together. */
static void put_command(struct picture *to, const struct trace_svg *t, const struct stream_trace *e,
                        double end_ms)
{
    double top = height_of(t, end_ms - took_ms(e) > 0 ? end_ms - took_ms(e) : 0),
           bottom = height_of(t, end_ms);
    double tall = bottom - top > TPM_TINY ? bottom - top : TPM_TINY;
    put(to,
        "<rect x=\"%d\" y=\"%.1f\" width=\"16\" height=\"%.1f\" fill=\"#c60\"/>"
        "<text x=\"%d\" y=\"%.1f\" fill=\"#a40\">%s</text><text x=\"%d\" y=\"%.1f\" fill=\"#a40\">%.2f "
        "ms%s</text>\n",
        TPM - 8, top, tall, TPM + 14, top + tall / 2 - 3, e->tpm.name, TPM + 14, top + tall / 2 + 12,
        took_ms(e), e->tpm.response != 0 ? ", refused" : "");
}

static void put_commands(struct picture *to, const struct trace_svg *t)
{
    for (size_t i = 0; i < t->len; i++) {
        double end = at_ms(&t->events[i]);
        for (size_t k = i + 1; k < t->len && t->events[k].is_tpm; k++)
            end -= took_ms(&t->events[k]); /* others of the same answer come behind it */
        if (t->events[i].is_tpm)
            put_command(to, t, &t->events[i], end);
    }
}

static const char *message_name(const struct tt_trace_event *m)
{
    return m->is_alert                 ? tt_alert_name(m->type)
           : m->is_hello_retry_request ? "hello_retry_request"
                                       : tt_handshake_type_name(m->type);
}

static void put_message(struct picture *to, const struct trace_svg *t, const struct stream_trace *e, double y)
{
    const struct tt_trace_event *m = &e->message;
    int from = m->sent ? US : THEM, till = m->sent ? THEM : US;
    const char *color = m->is_alert ? "#b00" : "#234";
    double moment = height_of(t, at_ms(e));
    put(to,
        "<polyline points=\"%d,%.1f %d,%.1f %d,%.1f\" fill=\"none\" stroke=\"#ccd\"/>"
        "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" marker-end=\"url(#tip)\"/>"
        "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\" fill=\"%s\">%s%s, %zu bytes, %.2f ms</text>\n",
        AXIS + 5, moment, AXIS + 25, moment, US, y, from, y, till, y, color, (US + THEM) / 2, y - 4, color,
        m->is_alert ? "alert " : "", message_name(m), m->size, at_ms(e));
}

static void put_messages(struct picture *to, const struct trace_svg *t)
{
    double last = TOP - STEP;
    for (size_t i = 0; i < t->len; i++) {
        if (t->events[i].is_tpm)
            continue;
        double wanted = height_of(t, at_ms(&t->events[i]));
        last = wanted > last + STEP ? wanted : last + STEP;
        put_message(to, t, &t->events[i], last);
    }
}

/* How far down the last message is drawn. */
static double lowest(const struct trace_svg *t)
{
    double last = TOP - STEP;
    for (size_t i = 0; i < t->len; i++)
        if (!t->events[i].is_tpm) {
            double wanted = height_of(t, at_ms(&t->events[i]));
            last = wanted > last + STEP ? wanted : last + STEP;
        }
    return last > TOP + SCALED ? last : TOP + SCALED;
}

static void put_picture(struct picture *to, const struct trace_svg *t)
{
    double height = lowest(t) + 60;
    put_head(to, t, height);
    put_lane(to, AXIS, height, "time");
    put_lane(to, TPM, height, "TPM");
    put_lane(to, US, height, "this end");
    put_lane(to, THEM, height, "the peer");
    put_axis(to, t);
    put_commands(to, t);
    put_messages(to, t);
    if (t->left_out > 0)
        put(to, "<text x=\"20\" y=\"50\">%zu events more are left out</text>\n", t->left_out);
    put(to, "%s", "</svg>\n");
}

tt_rc trace_svg_write(const struct trace_svg *t, struct tt_error *err)
{
    struct picture to = {.failed = false};
    if (t->path == NULL)
        return TT_OK;
    put_picture(&to, t);
    tt_rc rc =
        to.failed ? error_set(err, TT_ERR_MEMORY, "no memory for %s", t->path)
                  : cli_write_file(t->path, buf_bytes(&to.text), (struct file_want){0644, FILE_REPLACE}, err);
    buf_free(&to.text);
    return rc;
}
