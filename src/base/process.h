/* base/process.h: which process this is, so that what fork has copied is known for a copy; and how a child of
 * ours ends. Layer: base. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS_END_MS 2000

static inline int64_t process_id(void)
{
    return getpid();
}

/* process_end: SIGTERM; after two seconds SIGKILL, which a stopped one obeys, too. It is waited for, but
 * never without end. */
static inline void process_end(pid_t child)
{
    (void)kill(child, SIGTERM);
    for (int ms = 0; ms < PROCESS_END_MS; ms += 5) {
        if (waitpid(child, NULL, WNOHANG) != 0)
            return;
        (void)usleep(5000);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

#endif
