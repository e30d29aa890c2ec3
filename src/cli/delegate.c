/* cli/delegate.c: see delegate.h. Layer: cli. */
#include "cli/delegate.h"

#include <time.h>

#include "base/rc.h"
#include "cli/event.h"

static void tell(const struct cli_delegate *d, const struct delegate_report *report)
{
    char until[32];
    time_t end = (time_t)report->valid_until;
    struct tm utc;
    (void)strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &utc));
    const struct tt_error *error = report->error;
    bool ok = error->rc == TT_OK;
    if (d->trace->json)
        cli_event(json_pack("{s:s, s:s?, s:o}", "event", "delegated", "until", ok ? until : NULL, "error",
                            cli_json_text(ok ? NULL : error->text)));
    else if (!ok)
        cli_note("no delegated credential, our key signs the handshakes: %s", error->text);
    else if (!d->is_ready || d->verbose > 0)
        cli_note("delegated to a software key in memory until %s%s", until,
                 d->is_ready ? "" : "; it is renewed in time");
}

static void on_told(void *arg, const struct delegate_report *report)
{
    struct cli_delegate *d = arg;
    for (size_t i = 0; i < report->commands_len; i++)
        trace_delegate(d->trace, &report->commands[i]);
    tell(d, report);
    bool is_first = !d->is_ready;
    d->is_ready = true;
    if (is_first && d->ready != NULL)
        d->ready(d->arg);
}

tt_rc cli_delegate_start(struct cli_delegate *d, struct event_base *base, struct sign_queue *queue,
                         const struct tls_identities *ids, const struct tls_options *o, struct tt_error *err)
{
    struct delegate_options opt = {.base = base,
                                   .queue = queue,
                                   .key = ids->keys[0]->key,
                                   .delegation = ids->delegation,
                                   .lifetime_s = o->delegate_s,
                                   .told = on_told,
                                   .arg = d};
    return delegate_start(&d->delegator, &opt, err);
}
