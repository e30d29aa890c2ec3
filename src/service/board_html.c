/* service/board_html.c: the operator's page as HTML. Layer: service. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "service/board.h"

#define DAY 86400

/* struct page: text that grows; a failure is kept. */
struct page {
    struct buf *to;
    bool failed;
};

static void put(struct page *p, const char *text, size_t len)
{
    if (!p->failed && buf_append(p->to, text, len) != TT_OK)
        p->failed = true;
}

static void out(struct page *p, const char *fmt, ...) TT_PRINTF(2, 3);
static void out(struct page *p, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        p->failed = true;
    else
        put(p, text, (size_t)n);
}

/* Text of others. */
static void say(struct page *p, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            put(p, "&amp;", 5);
            break;
        case '<':
            put(p, "&lt;", 4);
            break;
        case '>':
            put(p, "&gt;", 4);
            break;
        case '"':
            put(p, "&quot;", 6);
            break;
        default:
            put(p, (unsigned char)*text < 0x20 || *text == 0x7f ? "\xef\xbf\xbd" : text,
                (unsigned char)*text < 0x20 || *text == 0x7f ? 3 : 1);
        }
    }
}

static void moment(struct page *p, int64_t at)
{
    const time_t t = (time_t)at;
    struct tm tm = {0};
    char text[40];
    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm);
    out(p, "<time datetime=\"%.10sT%.5sZ\">%s</time>", text, text + 11, text);
}

/* ---- the frame ---- */

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"refresh\" content=\"60\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<style>\n"
    ":root{--page:#f6f7f9;--card:#fff;--ink:#1b1f24;--dim:#5b6470;--line:#d9dee5;--good:#1a7f4b;--hold:#"
    "a15c00;"
    "--bad:#b3261e;--old:#7a828d;--bar:#2f6fde}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#12151a;--card:#1b2027;--ink:#e7eaee;--dim:#9aa4b1;"
    "--line:#323a45;--good:#4cc38a;--hold:#e0a145;--bad:#ff7b72;--old:#79838f;--bar:#6ea3ff}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--page);"
    "color:var(--ink);font:16px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.35rem;margin:.2rem 0;overflow-wrap:anywhere}h2{font-size:1rem;margin:0 0 .6rem}"
    "p{margin:.2rem 0;color:var(--dim)}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.4rem,1fr));gap:.7rem;margin:1rem 0}\n"
    ".card,section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.8rem "
    "1rem}\n"
    ".card b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}.card span{color:var(--dim)}\n"
    ".good b{color:var(--good)}.hold b{color:var(--hold)}.bad b{color:var(--bad)}.old b{color:var(--old)}\n"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:0 "
    ".7rem;align-items:start}\n"
    "section{margin:0 0 .7rem;overflow-x:auto;min-width:0}svg{display:block;width:100%;height:auto}\n"
    "svg text{fill:var(--dim);font:12px system-ui,sans-serif}svg .bar{fill:var(--bar)}svg "
    ".axis{stroke:var(--line)}\n"
    "svg .good{fill:var(--good)}svg .hold{fill:var(--hold)}svg .bad{fill:var(--bad)}svg "
    ".old{fill:var(--old)}\n"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}th{text-align:left;font-weight:600;"
    "color:var(--dim)}\n"
    "th,td{padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;"
    "overflow-wrap:break-word}th,.no{white-space:nowrap}\n"
    "tr:last-child td{border-bottom:0}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}\n"
    "td time{white-space:nowrap}\n"
    "@media(max-width:40rem){svg text{font-size:20px}table,tbody,tr,td{display:block}thead{display:none}"
    "tr{padding:.4rem 0;border-bottom:1px solid var(--line)}td{border:0;padding:.1rem 0}"
    "td[data-of]::before{content:attr(data-of) \": \";color:var(--dim)}}\n"
    "</style>\n";

static void card(struct page *p, const char *kind, int64_t n, const char *what)
{
    out(p, "<div class=\"card %s\"><b>%lld</b><span>%s</span></div>\n", kind, (long long)n, what);
}

static void cards(struct page *p, const struct board *b)
{
    const struct ca_counts *c = &b->counts;
    out(p, "<div class=\"cards\">\n");
    card(p, "good", c->valid, "valid");
    card(p, c->pending > 0 ? "hold" : "", c->pending, "waiting");
    card(p, c->held > 0 ? "hold" : "", c->held, "on hold");
    card(p, c->revoked > 0 ? "bad" : "", c->revoked, "revoked");
    card(p, "old", c->expired, "expired");
    card(p, "", c->attested, "attested");
    card(p, "", c->issued_hour, "issued this hour");
    card(p, "", c->issued_day, "issued this day");
    card(p, "", c->tokens, "tokens open");
    out(p, "</div>\n");
}

/* ---- drawings ---- */

static void states(struct page *p, const struct board *b)
{
    const struct {
        const char *kind, *what;
        int64_t n;
    } parts[] = {{"good", "valid", b->counts.valid},
                 {"hold", "on hold", b->counts.held},
                 {"bad", "revoked", b->counts.revoked},
                 {"old", "expired", b->counts.expired}};
    int64_t all = 0;
    double at = 0;
    for (size_t i = 0; i < TT_COUNT(parts); i++)
        all += parts[i].n;
    out(p, "<section><h2>Certificates by state</h2>\n"
           "<svg viewBox=\"0 0 560 64\" role=\"img\" aria-label=\"certificates by state\">\n");
    for (size_t i = 0; i < TT_COUNT(parts) && all > 0; i++) {
        double wide = 560.0 * (double)parts[i].n / (double)all;
        out(p,
            "<rect class=\"%s\" x=\"%.1f\" y=\"4\" width=\"%.1f\" height=\"26\"><title>%s: "
            "%lld</title></rect>\n",
            parts[i].kind, at, wide, parts[i].what, (long long)parts[i].n);
        at += wide;
    }
    for (size_t i = 0; i < TT_COUNT(parts); i++)
        out(p,
            "<rect class=\"%s\" x=\"%zu\" y=\"44\" width=\"10\" height=\"10\"/>"
            "<text x=\"%zu\" y=\"53\">%s %lld</text>\n",
            parts[i].kind, i * 140, i * 140 + 15, parts[i].what, (long long)parts[i].n);
    int64_t percent = b->counts.valid > 0 ? 100 * b->counts.attested / b->counts.valid : 0;
    out(p,
        "</svg>\n<p>%lld of %lld valid ones are attested (%lld %%): their keys were proven to be in a "
        "TPM.</p>"
        "</section>\n",
        (long long)b->counts.attested, (long long)b->counts.valid, (long long)percent);
}

struct chart {
    const char *title, *unit, *left, *right;
    const int64_t *values;
    size_t n;
};

static void chart(struct page *p, const struct chart *c)
{
    int64_t most = 1;
    for (size_t i = 0; i < c->n; i++)
        most = c->values[i] > most ? c->values[i] : most;
    double step = 560.0 / (double)c->n;
    out(p, "<section><h2>%s</h2>\n<svg viewBox=\"0 0 560 150\" role=\"img\" aria-label=\"%s\">\n", c->title,
        c->title);
    out(p,
        "<line class=\"axis\" x1=\"0\" y1=\"125.5\" x2=\"560\" y2=\"125.5\"/><text x=\"0\" "
        "y=\"10\">%lld</text>\n",
        (long long)most);
    for (size_t i = 0; i < c->n; i++) {
        double high = 105.0 * (double)c->values[i] / (double)most;
        if (c->values[i] > 0)
            out(p,
                "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s %zu: "
                "%lld</title></rect>\n",
                (double)i * step + 1, 125 - (high < 1 ? 1 : high), step - 2, high < 1 ? 1 : high, c->unit,
                i + 1, (long long)c->values[i]);
    }
    out(p,
        "<text x=\"0\" y=\"143\">%s</text><text x=\"560\" y=\"143\" text-anchor=\"end\">%s</text>\n</svg>"
        "</section>\n",
        c->left, c->right);
}

/* ---- tables ---- */

static void begin_table(struct page *p, const char *title, const char *columns)
{
    out(p, "<section><h2>%s</h2>\n<table><thead><tr>%s</tr></thead><tbody>\n", title, columns);
}

static void end_table(struct page *p)
{
    out(p, "</tbody></table></section>\n");
}

static void who(struct page *p, const char *subject, const char *names)
{
    out(p, "<td>");
    say(p, subject[0] != '\0' ? subject : names);
    if (subject[0] != '\0' && names[0] != '\0') {
        out(p, "<br><small>");
        say(p, names);
        out(p, "</small>");
    }
    out(p, "</td>");
}

static void waiting(struct page *p, const struct board *b)
{
    if (b->waiting_len == 0)
        return;
    begin_table(p, "Waiting for a person",
                "<th>since (UTC)<th>who<th>profile<th>key<th>attested<th>from<th>to approve");
    for (size_t i = 0; i < b->waiting_len; i++) {
        const struct board_request *r = &b->waiting[i];
        out(p, "<tr><td>");
        moment(p, r->made);
        out(p, "</td>");
        who(p, r->subject, r->names);
        out(p, "<td data-of=\"profile\">");
        say(p, r->profile);
        out(p, "</td><td data-of=\"key\">");
        say(p, r->key);
        out(p, "</td><td data-of=\"attested\">%s</td><td data-of=\"from\">", r->attested ? "yes" : "no");
        say(p, r->from);
        out(p, "</td><td><code>tpmtls ca approve %s</code></td></tr>\n", r->id);
    }
    end_table(p);
    if (b->counts.pending > (int64_t)b->waiting_len)
        out(p, "<p>and %lld more</p>\n", (long long)b->counts.pending - (long long)b->waiting_len);
}

static void entries(struct page *p, const char *title, const struct board_entry *list, size_t n, bool revoked)
{
    if (n == 0)
        return;
    begin_table(p, title,
                revoked ? "<th>when (UTC)<th>who<th>why<th>serial"
                        : "<th>ends (UTC)<th>who<th>profile<th>serial");
    for (size_t i = 0; i < n; i++) {
        const char *word = revoked ? ca_reason_word(list[i].reason) : list[i].profile;
        out(p, "<tr><td>");
        moment(p, revoked ? list[i].revoked : list[i].not_after);
        out(p, "</td>");
        who(p, list[i].subject, list[i].names);
        out(p, "<td data-of=\"%s\">", revoked ? "why" : "profile");
        say(p, word != NULL ? word : "");
        out(p, "</td><td data-of=\"serial\"><code>%s</code></td></tr>\n", list[i].serial);
    }
    end_table(p);
}

static bool is_dull(const char *key)
{
    static const char *const dull[] = {"act", "time", "previous", "number", "sha256", "request"};
    for (size_t i = 0; i < TT_COUNT(dull); i++)
        if (strcmp(dull[i], key) == 0)
            return true;
    return false;
}

/* An act is a JSON object: what is not its time or kind is said as key value. */
static void act(struct page *p, const struct board_act *a)
{
    json_t *line = json_loads(a->line, 0, NULL), *value;
    const char *key, *kind = json_string_value(json_object_get(line, "act")),
                     *time = json_string_value(json_object_get(line, "time"));
    out(p, "<tr><td class=\"no\">");
    say(p, time != NULL ? time : "");
    out(p, "</td><td class=\"no\"><b>");
    say(p, kind != NULL ? kind : "");
    out(p, "</b></td><td>");
    json_object_foreach(line, key, value)
    {
        const char *text = json_string_value(value);
        if (is_dull(key) || (text != NULL && text[0] == '\0'))
            continue;
        out(p, "<small>");
        say(p, key);
        out(p, "</small> ");
        if (text != NULL)
            say(p, text);
        else if (json_is_integer(value))
            out(p, "%lld", (long long)json_integer_value(value));
        else if (json_is_boolean(value))
            out(p, "%s", json_is_true(value) ? "yes" : "no");
        out(p, " ");
    }
    out(p, "</td></tr>\n");
    json_decref(line);
}

static void acts(struct page *p, const struct board *b)
{
    begin_table(p, "Recent acts", "<th>when<th>what<th>about");
    for (size_t i = 0; i < b->acts_len; i++)
        act(p, &b->acts[i]);
    end_table(p);
}

tt_rc board_render(struct buf *to, const struct board *b)
{
    struct page page = {.to = to}, *p = &page;
    const struct chart expiry = {
        "When valid certificates end, by two weeks", "two weeks", "now", "a year", b->expiry, BOARD_WEEKS};
    const struct chart issued = {
        "Issued, by the hour", "hour", "two days ago", "now", b->issued, BOARD_HOURS};
    put(p, head, sizeof head - 1);
    out(p, "<title>");
    say(p, b->name);
    out(p, "</title>\n</head>\n<body>\n<h1>");
    say(p, b->name);
    out(p, "</h1>\n<p>as of ");
    moment(p, b->now);
    out(p, " UTC; the CA's own certificate ends ");
    moment(p, b->ca_not_after);
    out(p, "</p>\n");
    cards(p, b);
    waiting(p, b);
    out(p, "<div class=\"two\">\n");
    states(p, b);
    chart(p, &expiry);
    chart(p, &issued);
    out(p, "</div>\n");
    entries(p, "End within 30 days", b->ending, b->ending_len, false);
    entries(p, "Revoked lately", b->revoked, b->revoked_len, true);
    acts(p, b);
    out(p, "</body>\n</html>\n");
    return p->failed ? TT_ERR_MEMORY : TT_OK;
}
