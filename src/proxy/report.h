/* proxy/report.h: the log: one line an event, on stderr: key=value, or JSON. Layer: proxy. What peers say is
 * escaped; a line that repeats is counted instead, and said once a minute. Any thread may call. */
#ifndef PROXY_REPORT_H
#define PROXY_REPORT_H

#include <jansson.h>

#include "base/rc.h"

enum report_level {
    REPORT_INFO, /* with -v */
    REPORT_NOTICE,
    REPORT_WARNING
};

void report_begin(bool json, int verbose);
/* report: takes the reference to fields, an object; NULL: none could be made, and the event alone is said. */
void report(enum report_level level, const char *tunnel, const char *event, json_t *fields);
/* report_error: with error and hint, beside fields. */
void report_error(enum report_level level, const char *tunnel, const char *event, const struct tt_error *err,
                  json_t *fields);
/* report_bytes: what a peer said, as a string: bytes that are no UTF-8 or not printable are \xNN. */
json_t *report_bytes(struct tt_bytes b);
/* report_text: the same of a string. */
json_t *report_text(const char *text);
/* report_flush: what was counted and not said yet. */
void report_flush(void);

#endif
