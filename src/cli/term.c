/* cli/term.c: see term.h. Layer: cli. A TPM command blocks, so the seconds are counted by a thread of their
 * own. */
#include "cli/term.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool has_color(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

const char *term_on(enum term_color color)
{
    static const char *const codes[] = {"", "\033[32m", "\033[1;31m", "\033[33m", "\033[1m", "\033[2m"};
    return has_color() ? codes[color] : "";
}

const char *term_off(void)
{
    return has_color() ? "\033[0m" : "";
}

void term_print(enum term_color color, int width, const char *text)
{
    int len = (int)strlen(text);
    printf("%s%s%s%*s", term_on(color), text, color != TERM_PLAIN ? term_off() : "",
           width > len ? width - len : 0, "");
}

/* ---- what takes long ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    pthread_t thread;
    bool running, done;
    const char *what;
} busy = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *tell(void *arg)
{
    struct timespec next;
    unsigned seconds = 0;
    (void)arg;
    (void)clock_gettime(CLOCK_MONOTONIC, &next);
    (void)pthread_mutex_lock(&busy.mutex);
    while (!busy.done) {
        next.tv_sec++;
        while (!busy.done && pthread_cond_timedwait(&busy.ended, &busy.mutex, &next) == 0) {
        }
        if (!busy.done)
            (void)dprintf(STDERR_FILENO, "\r\033[Ktpmtls: %s: %u s", busy.what, ++seconds);
    }
    (void)pthread_mutex_unlock(&busy.mutex);
    if (seconds > 0)
        (void)dprintf(STDERR_FILENO, "\r\033[K");
    return NULL;
}

void term_busy(const char *what, bool quiet)
{
    pthread_condattr_t attributes;
    if (quiet || busy.running || !isatty(STDERR_FILENO) || pthread_condattr_init(&attributes) != 0)
        return;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (pthread_cond_init(&busy.ended, &attributes) == 0) {
        busy.what = what;
        busy.done = false;
        busy.running = pthread_create(&busy.thread, NULL, tell, NULL) == 0;
        if (!busy.running)
            (void)pthread_cond_destroy(&busy.ended);
    }
    (void)pthread_condattr_destroy(&attributes);
}

void term_done(void)
{
    if (!busy.running)
        return;
    (void)pthread_mutex_lock(&busy.mutex);
    busy.done = true;
    (void)pthread_cond_signal(&busy.ended);
    (void)pthread_mutex_unlock(&busy.mutex);
    (void)pthread_join(busy.thread, NULL);
    (void)pthread_cond_destroy(&busy.ended);
    busy.running = false;
}
