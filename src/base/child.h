/* base/child.h: how a child process of ours ends. Layer: base, but nothing of the engine has children. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_END_MS 2000

/* child_end: SIGTERM; after two seconds SIGKILL, which a stopped one obeys, too. It is waited for, but never
 * without end. */
static inline void child_end(pid_t child)
{
    (void)kill(child, SIGTERM);
    for (int ms = 0; ms < CHILD_END_MS; ms += 5) {
        if (waitpid(child, NULL, WNOHANG) != 0)
            return;
        (void)usleep(5000);
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

#endif
