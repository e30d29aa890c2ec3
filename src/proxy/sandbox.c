/* proxy/sandbox.c: entering the sandbox: user, privileges, dumps. Layer: proxy. */
#include "proxy/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static tt_rc failed(const char *what, struct tt_error *err)
{
    int why = errno;
    (void)error_set(err, TT_ERR_IO, "the sandbox cannot be entered: %s: %s", what, strerror(why));
    error_hint(err, "--sandbox off does without it");
    return TT_ERR_IO;
}

/* Landlock is of a thread, not of the process. */
static bool has_one_thread(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t n = 0;
    if (tasks == NULL)
        return true; /* no /proc: nobody can tell */
    for (const struct dirent *d = readdir(tasks); d != NULL; d = readdir(tasks))
        n += d->d_name[0] != '.';
    (void)closedir(tasks);
    return n == 1;
}

/* Of root's privileges the one to bind to low ports, for listeners that a reload adds. */
static int keep_low_ports(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    data[0].permitted = data[0].effective = 1u << CAP_NET_BIND_SERVICE;
    return (int)syscall(SYS_capset, &head, data);
}

static tt_rc become(const char *user, struct tt_error *err)
{
    char room[4096];
    struct passwd found, *p = NULL;
    (void)getpwnam_r(user, &found, room, sizeof room, &p);
    if (p == NULL) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "the sandbox's user '%s' is not known", user);
        error_hint(err, "systemd-sysusers makes it, or: useradd --system %s", user);
        return TT_ERR_NOT_FOUND;
    }
    if (p->pw_uid == 0)
        return error_set(err, TT_ERR_USAGE, "the sandbox's user '%s' is root", user);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || initgroups(user, p->pw_gid) != 0 ||
        setresgid(p->pw_gid, p->pw_gid, p->pw_gid) != 0 || setresuid(p->pw_uid, p->pw_uid, p->pw_uid) != 0)
        return failed("becoming its user", err);
    if (keep_low_ports() != 0)
        return failed("giving privileges up", err);
    return TT_OK;
}

/* Under a sanitizer the process is looked at from outside at its end. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_WATCHED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_WATCHED true
#endif
#endif
#ifndef IS_WATCHED
#define IS_WATCHED false
#endif

static tt_rc hide_memory(struct tt_error *err)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return failed("no core dumps", err);
    if (!IS_WATCHED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failed("no debuggers", err);
    return TT_OK;
}

tt_rc sandbox_enter(struct sandbox_report *ret, const struct sandbox_options *opt, struct tt_error *err)
{
    struct sandbox_report report = {0};
    if (!has_one_thread())
        return error_set(err, TT_ERR_INTERNAL, "the sandbox would hold one of several threads only");
    bool drops = opt->user != NULL && geteuid() == 0;
    if (drops)
        TT_TRY(become(opt->user, err));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed("no new privileges", err);
    TT_TRY(hide_memory(err));
    TT_TRY(sandbox_fence_files(&report.landlock, opt, err));
    TT_TRY(sandbox_filter_calls(opt, err));
    (void)snprintf(report.text, sizeof report.text, "%s%.40s%sno new privileges, system calls filtered, ",
                   drops ? "user " : "", drops ? opt->user : "", drops ? ", " : "");
    size_t n = strlen(report.text);
    if (report.landlock > 0)
        (void)snprintf(report.text + n, sizeof report.text - n, "files by Landlock %d", report.landlock);
    else
        (void)snprintf(report.text + n, sizeof report.text - n,
                       "files not fenced: this kernel has no Landlock");
    *ret = report;
    return TT_OK;
}
