/* proxy/metrics.h: a page of figures in Prometheus' text format (version 0.0.4), for whoever has a status.
 * Layer: proxy. */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H

#include "base/buf.h"

/* struct metrics: begins with only the prefix set, which every name on the page has. */
struct metrics {
    const char *prefix;
    struct buf text;
    bool failed;
};

/* metrics_add: a piece of at most 511 characters. What goes wrong is told by metrics_take. */
void metrics_add(struct metrics *m, const char *fmt, ...) TT_PRINTF(2, 3);
/* metrics_family: the lines that say what the samples behind them are; name is without the prefix. */
void metrics_family(struct metrics *m, const char *name, const char *type, const char *help);
/* metrics_take: the whole page (mem_free), or NULL: no memory, or a piece that was too long. */
char *metrics_take(struct metrics *m);

#endif
