/* proxy/sandbox_calls.c: the system calls that may be made: a list, by libseccomp. Layer: proxy. seccomp(2).
 *
 * Whatever is not listed fails with EPERM: a library that tries something new goes on without it, and nobody
 * is killed. clone3 fails with ENOSYS, since its flags are out of a filter's sight; libc then takes clone. */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "proxy/sandbox.h"

static const int always[] = {
    /* descriptors */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
    SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(splice), SCMP_SYS(sendfile), SCMP_SYS(close),
    SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(fcntl), SCMP_SYS(ioctl),
    SCMP_SYS(lseek), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
    SCMP_SYS(pselect6), SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd4),
    SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
    /* sockets; socket itself by its family, below */
    SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(listen),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
    SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(socketpair),
    /* files */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd),
    SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(symlink),
    SCMP_SYS(symlinkat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(utimensat),
    SCMP_SYS(umask), SCMP_SYS(fadvise64),
    /* memory; mmap and mprotect by their protection, below */
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mlock), SCMP_SYS(mlock2),
    SCMP_SYS(munlock), SCMP_SYS(membarrier), SCMP_SYS(mincore), SCMP_SYS(get_mempolicy),
    /* threads; clone by its flags, below */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(gettid),
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(prctl), SCMP_SYS(arch_prctl), SCMP_SYS(getcpu),
    /* signals */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack), SCMP_SYS(pause),
    SCMP_SYS(restart_syscall),
    /* time */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
    /* who and where we are */
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid),
    SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(capget), SCMP_SYS(uname), SCMP_SYS(sysinfo),
    SCMP_SYS(getrlimit), SCMP_SYS(prlimit64), SCMP_SYS(getrusage), SCMP_SYS(getrandom)};

/* An embedded TPM is a program; it sets up its own filter. */
static const int to_run[] = {
    SCMP_SYS(execve),    SCMP_SYS(execveat),  SCMP_SYS(fork),       SCMP_SYS(vfork),   SCMP_SYS(clone),
    SCMP_SYS(wait4),     SCMP_SYS(waitid),    SCMP_SYS(kill),       SCMP_SYS(setsid),  SCMP_SYS(setpgid),
    SCMP_SYS(getpgrp),   SCMP_SYS(getpgid),   SCMP_SYS(getsid),     SCMP_SYS(chdir),   SCMP_SYS(fchdir),
    SCMP_SYS(seccomp),   SCMP_SYS(creat),     SCMP_SYS(truncate),   SCMP_SYS(msync),   SCMP_SYS(setrlimit),
    SCMP_SYS(getitimer), SCMP_SYS(setitimer), SCMP_SYS(pidfd_open), SCMP_SYS(getdents)};

/* netlink: getaddrinfo asks which addresses this machine has. */
static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_WATCHED 1
#endif
#endif
#ifdef IS_WATCHED /* a sanitizer's look for leaks at the end is a process that stops this one */
static const int watched[] = {
    SCMP_SYS(ptrace),           SCMP_SYS(clone),       SCMP_SYS(wait4),        SCMP_SYS(kill),
    SCMP_SYS(process_vm_readv), SCMP_SYS(personality), SCMP_SYS(sched_getattr)};
#endif

/* A call that this machine's architecture does not have is none that could be made. */
static int allow_list(scmp_filter_ctx ctx, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
        if (rc == -EDOM || (rc == -EINVAL && calls[i] < 0))
            rc = 0;
    }
    return rc;
}

/* Memory is never both written and run. */
static int allow_memory(scmp_filter_ctx ctx, int call)
{
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc != 0 ? rc
                   : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1,
                                      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
}

static int allow_some(scmp_filter_ctx ctx)
{
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (rc == 0) /* threads, not processes */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    for (size_t i = 0; rc == 0 && i < sizeof families / sizeof families[0]; i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i]));
    if (rc == 0)
        rc = allow_memory(ctx, SCMP_SYS(mmap));
    return rc == 0 ? allow_memory(ctx, SCMP_SYS(mprotect)) : rc;
}

static int fill(scmp_filter_ctx ctx, const struct sandbox_options *opt)
{
    int rc = allow_list(ctx, always, sizeof always / sizeof always[0]);
    if (rc == 0)
        rc = allow_some(ctx);
    if (rc == 0 && opt->runs_swtpm)
        rc = allow_list(ctx, to_run, sizeof to_run / sizeof to_run[0]);
#ifdef IS_WATCHED
    if (rc == 0)
        rc = allow_list(ctx, watched, sizeof watched / sizeof watched[0]);
#endif
    return rc;
}

tt_rc sandbox_filter_calls(const struct sandbox_options *opt, struct tt_error *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = ctx == NULL ? -ENOMEM : fill(ctx, opt);
    if (rc == 0)
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE,
                               2); /* a tree, not a row: where the library can */
    if (rc == 0)
        rc = seccomp_load(ctx);
    if (ctx != NULL)
        seccomp_release(ctx);
    if (rc == 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_IO, "the sandbox cannot filter system calls: %s", strerror(-rc));
    error_hint(err, "--sandbox off does without it");
    return TT_ERR_IO;
}
