/* cli/event.c: see event.h. Layer: cli. */
#include "cli/event.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rc.h"

/* "2026-11-28T18:09:00.123Z" */
static void add_time(json_t *object)
{
    char text[32];
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &utc));
    (void)snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
    (void)json_object_set_new(object, "time", json_string(text));
}

/* One write: lines stay whole. */
void cli_event(json_t *object)
{
    if (object != NULL)
        add_time(object);
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(7);
    size_t n = object != NULL ? json_dumpb(object, NULL, 0, flags) : 0;
    TT_AUTO(mem_free_auto) char *line = n > 0 ? mem_alloc(n + 1) : NULL;
    if (line != NULL && json_dumpb(object, line, n, flags) == n) {
        line[n] = '\n';
        (void)fwrite(line, 1, n + 1, stderr);
    } else {
        fputs("{\"event\":\"lost\"}\n", stderr);
    }
    json_decref(object);
}

json_t *cli_json_bytes(struct tt_bytes b)
{
    if (b.len == 0)
        return json_null();
    json_t *plain = json_stringn((const char *)b.data, b.len);
    if (plain != NULL)
        return plain;
    TT_AUTO(mem_free_auto) char *text = mem_alloc(4 * b.len + 1);
    if (text == NULL)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < b.len; i++) {
        bool shown = b.data[i] >= ' ' && b.data[i] < 0x7f;
        at += (size_t)snprintf(text + at, 5, shown ? "%c" : "\\x%02x", b.data[i]);
    }
    return json_stringn(text, at);
}

json_t *cli_json_text(const char *text)
{
    return text != NULL ? cli_json_bytes((struct tt_bytes){(const uint8_t *)text, strlen(text)})
                        : json_null();
}
