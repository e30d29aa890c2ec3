/* proxy/report.c: see report.h. Layer: proxy. */
#include "proxy/report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/lock.h"
#include "net/clock.h"

#define REPEATED 16 /* different lines that are remembered */
#define AGAIN_NS UINT64_C(60000000000)

static struct {
    bool json;
    int verbose;
    struct lock lock;
    struct repeated {
        uint64_t hash, said_at;
        unsigned more;
        enum report_level level;
        char tunnel[64], event[32];
        json_t *fields;
    } repeated[REPEATED];
} log_state = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

void report_begin(bool json, int verbose)
{
    log_state.json = json;
    log_state.verbose = verbose;
}

/* ---- a line ---- */

static void add(struct buf *line, const char *text)
{
    tt_rc rc = buf_append(line, text, strlen(text));
    (void)rc; /* a line that is cut for want of memory is still a line */
}

static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == '"' || text[i] == '=' || text[i] == '\\' ||
            text[i] == 0x7f)
            return false;
    return len > 0;
}

/* To be freed with mem_free; NULL: no memory. */
static char *dump(const json_t *value, size_t flags)
{
    size_t n = json_dumpb(value, NULL, 0, flags);
    char *text = n > 0 ? mem_alloc(n + 1) : NULL;
    if (text != NULL && json_dumpb(value, text, n, flags) != n) {
        mem_free(text);
        return NULL;
    }
    return text;
}

/* A quoted string of JSON is what logfmt readers take, too. */
static void add_value(struct buf *line, const json_t *value)
{
    if (json_is_string(value) && is_plain(json_string_value(value), json_string_length(value))) {
        add(line, json_string_value(value));
        return;
    }
    TT_AUTO(mem_free_auto)
    char *text = dump(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(7));
    add(line, text != NULL ? text : "?");
}

static void say_text(json_t *object)
{
    TT_AUTO(buf_free) struct buf line = {0};
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (buf_size(&line) > 0)
            add(&line, " ");
        add(&line, key);
        add(&line, "=");
        add_value(&line, value);
    }
    add(&line, "\n");
    (void)fwrite(buf_front(&line), 1, buf_size(&line), stderr);
}

static void say_json(const json_t *object)
{
    TT_AUTO(mem_free_auto) char *text = dump(object, JSON_COMPACT | JSON_REAL_PRECISION(7));
    (void)fprintf(stderr, "%s\n", text != NULL ? text : "{\"event\":\"lost\"}");
}

static void say(enum report_level level, const char *tunnel, const char *event, json_t *fields,
                unsigned times)
{
    static const char *const levels[] = {"info", "notice", "warning"};
    struct timespec now;
    struct tm utc;
    char at[40];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    size_t n = strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &utc));
    (void)snprintf(at + n, sizeof at - n, ".%03ldZ", now.tv_nsec / 1000000);
    json_t *line = json_pack("{s:s, s:s, s:s}", "time", at, "level", levels[level], "event", event);
    if (tunnel != NULL)
        (void)json_object_set_new(line, "tunnel", json_string(tunnel));
    if (fields != NULL)
        (void)json_object_update(line, fields);
    if (times > 1)
        (void)json_object_set_new(line, "times", json_integer(times));
    if (log_state.json)
        say_json(line);
    else if (line != NULL)
        say_text(line);
    json_decref(line);
}

/* ---- what repeats ---- */

static uint64_t hash_text(uint64_t h, const char *text)
{
    for (; *text != '\0'; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3U;
    return h;
}

/* What differs from one connection to the next tells no two lines apart. */
static uint64_t hash_of(const char *tunnel, const char *event, const json_t *fields)
{
    uint64_t h = hash_text(hash_text(0xcbf29ce484222325U, event), tunnel != NULL ? tunnel : "");
    const char *error = json_string_value(json_object_get(fields, "error"));
    return error != NULL ? hash_text(h, error) : 0;
}

static void say_counted(struct repeated *r, uint64_t now)
{
    if (r->more > 0)
        say(r->level, r->tunnel[0] != '\0' ? r->tunnel : NULL, r->event, r->fields, r->more);
    json_decref(TT_TAKE(r->fields));
    r->more = 0;
    r->said_at = now;
}

/* True when the line is only counted. */
static bool count(enum report_level level, const char *tunnel, const char *event, json_t *fields)
{
    uint64_t hash = hash_of(tunnel, event, fields), now = clock_monotonic_ns();
    struct repeated *oldest = log_state.repeated;
    if (hash == 0)
        return false;
    for (size_t i = 0; i < REPEATED; i++) {
        struct repeated *r = &log_state.repeated[i];
        if (r->hash == hash && now - r->said_at < AGAIN_NS) {
            r->more++;
            json_decref(r->fields);
            r->fields = json_incref(fields);
            return true;
        }
        if (r->hash == hash || r->said_at < oldest->said_at)
            oldest = r;
        if (r->hash == hash)
            break;
    }
    say_counted(oldest, now);
    oldest->hash = hash;
    oldest->level = level;
    (void)snprintf(oldest->tunnel, sizeof oldest->tunnel, "%s", tunnel != NULL ? tunnel : "");
    (void)snprintf(oldest->event, sizeof oldest->event, "%s", event);
    return false;
}

void report(enum report_level level, const char *tunnel, const char *event, json_t *fields)
{
    if (level > REPORT_INFO || log_state.verbose > 0) {
        lock_take(&log_state.lock);
        if (!count(level, tunnel, event, fields))
            say(level, tunnel, event, fields, 1);
        lock_give(&log_state.lock);
    }
    json_decref(fields);
}

void report_error(enum report_level level, const char *tunnel, const char *event, const struct tt_error *err,
                  json_t *fields)
{
    json_t *all = fields != NULL ? fields : json_object();
    (void)json_object_set_new(all, "error", report_text(err->text));
    if (err->hint[0] != '\0')
        (void)json_object_set_new(all, "hint", report_text(err->hint));
    report(level, tunnel, event, all);
}

json_t *report_bytes(struct tt_bytes b)
{
    bool clean = b.len > 0;
    for (size_t i = 0; i < b.len; i++)
        clean = clean && b.data[i] >= ' ' && b.data[i] != 0x7f;
    json_t *plain = clean ? json_stringn((const char *)b.data, b.len) : NULL;
    if (plain != NULL || b.len == 0)
        return plain != NULL ? plain : json_string("");
    TT_AUTO(buf_free) struct buf text = {0};
    for (size_t i = 0; i < b.len; i++) {
        char shown[5];
        bool printable = b.data[i] >= ' ' && b.data[i] < 0x7f;
        (void)snprintf(shown, sizeof shown, printable ? "%c" : "\\x%02x", b.data[i]);
        add(&text, shown);
    }
    return json_stringn((const char *)buf_front(&text), buf_size(&text));
}

json_t *report_text(const char *text)
{
    return report_bytes((struct tt_bytes){(const uint8_t *)text, strlen(text)});
}

void report_flush(void)
{
    lock_take(&log_state.lock);
    for (size_t i = 0; i < REPEATED; i++)
        if (log_state.repeated[i].more > 0)
            say_counted(&log_state.repeated[i], clock_monotonic_ns());
    lock_give(&log_state.lock);
}
