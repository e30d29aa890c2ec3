/* net/loop.c: the event base. Layer: net. */
#include "net/loop.h"

#include "base/mem.h"

tt_rc loop_new(struct event_base **ret, bool any_fd, struct tt_error *err)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    /* The coarse clock stands still for 4 ms: stream_gate tells turns by it, and deadlines are shorter. */
    if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0 &&
        (!any_fd || event_config_require_features(config, EV_FEATURE_FDS) == 0))
        base = event_base_new_with_config(config);
    if (config != NULL)
        event_config_free(config);
    if (base == NULL)
        return error_set(err, TT_ERR_IO, "cannot set up the event loop");
    *ret = base;
    return TT_OK;
}
