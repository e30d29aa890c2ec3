/* tests/bogo/main.c: one run of the shim: the first connection and its resumptions. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "shim.h"

void shim_say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

static int connections(const struct shim_flags *flags, struct shim_state *state)
{
    state->started = (int64_t)time(NULL) * 1000;
    for (int64_t i = 0; i <= flags->initial.resume_count; i++) {
        state->first = i == 0;
        const struct shim_options *o = i > 0 ? &flags->resume : &flags->initial;
        int code = shim_connection(state, o, &flags->retry, i > 0);
        if (code != 0)
            return code;
        /* A client tells a millisecond less than it has counted: so that it never tells too much. */
        state->clock_offset += o->resumption_delay * 1000 + (o->server ? 0 : 1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct shim_flags flags;
    struct shim_state state = {.clock_offset = 0};
    (void)signal(SIGPIPE, SIG_IGN);
    int code = shim_flags_parse(&flags, argc, argv);
    if (code != 0)
        return code;
    if (flags.initial.is_handshaker_supported) {
        (void)puts("No");
        return 0;
    }
    code = connections(&flags, &state);
    tt_session_free(state.session);
    tt_tickets_free(state.tickets);
    return code;
}
