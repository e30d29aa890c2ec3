/* proxy/metrics.c: see metrics.h. Layer: proxy. */
#include "proxy/metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void metrics_add(struct metrics *m, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line || buf_append(&m->text, line, (size_t)n) != TT_OK)
        m->failed = true;
}

void metrics_family(struct metrics *m, const char *name, const char *type, const char *help)
{
    metrics_add(m, "# HELP %s%s %s\n# TYPE %s%s %s\n", m->prefix, name, help, m->prefix, name, type);
}

char *metrics_take(struct metrics *m)
{
    metrics_add(m, "%c", '\0');
    char *text = m->failed ? NULL : mem_dup(buf_front(&m->text), buf_size(&m->text));
    buf_free(&m->text);
    return text;
}
