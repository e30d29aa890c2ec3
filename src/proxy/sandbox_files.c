/* proxy/sandbox_files.c: which files can be reached: Landlock, by its system calls. Layer: proxy.
 * landlock(7).
 *
 * Only rights that this file knows are restricted: a kernel's newest may cut sockets off (the one of ABI 8
 * and later for connecting to a path does). The network is left to the service manager. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/sandbox.h"

/* Of later ABIs than the headers of Debian 12 have. */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                             \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |        \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |              \
     LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
#define FS_FIRST ((UINT64_C(1) << 13) - 1) /* all of ABI 1 */
#define FS_OF_FILE                                                                                           \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |             \
     FS_TRUNCATE | FS_IOCTL_DEV)

/* What libraries read: themselves when they are loaded late (TCTIs, name services), their configuration, the
 * CAs of the system, what the resolver asks. */
static const char *const always_read[] = {"/usr",           "/lib",         "/lib64",
                                          "/etc",           "/proc",        "/sys/class/tpm",
                                          "/dev/null",      "/dev/urandom", "/run/systemd/resolve",
                                          "/run/resolvconf"};

struct fence {
    int ruleset;
    uint64_t handled;
};

/* Returns an errno; what is not there needs no rule. */
static int allow(const struct fence *f, const char *path, uint64_t rights)
{
    struct stat st;
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) != 0) {
        if (rule.parent_fd >= 0)
            (void)close(rule.parent_fd);
        return 0;
    }
    rule.allowed_access = rights & f->handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : FS_OF_FILE);
    int why =
        syscall(SYS_landlock_add_rule, f->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
    (void)close(rule.parent_fd);
    return why;
}

static int allow_directory_of(const struct fence *f, const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    (void)snprintf(dir, sizeof dir, "%.*s", len, slash == NULL ? "." : path);
    return allow(f, dir, FS_READ);
}

/* Where the name is, and where links from there lead now; a directory is read itself, too. */
static int allow_file(const struct fence *f, const char *path)
{
    char real[PATH_MAX];
    struct stat st;
    int why = allow_directory_of(f, path);
    if (why == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        why = allow(f, path, FS_READ);
    return why == 0 && realpath(path, real) != NULL ? allow_directory_of(f, real) : why;
}

static int allow_program(const struct fence *f)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    return allow_directory_of(f, path); /* a TCTI may lie beside it */
}

static int allow_all(const struct fence *f, const struct sandbox_options *opt)
{
    uint64_t run = opt->runs_swtpm ? LANDLOCK_ACCESS_FS_EXECUTE : 0;
    int why = allow_program(f);
    for (size_t i = 0; why == 0 && i < sizeof always_read / sizeof always_read[0]; i++)
        why = allow(f, always_read[i], FS_READ | run);
    for (size_t i = 0; why == 0 && i < opt->files_len; i++)
        why = allow_file(f, opt->files[i]);
    for (size_t i = 0; why == 0 && i < opt->state_len; i++)
        why = allow(f, opt->state[i], FS_READ | FS_WRITE);
    if (why == 0 && run != 0)
        why = allow(f, "/dev/null", FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    /* The directory: a device that comes back is another file. */
    if (why == 0 && opt->opens_device)
        why = allow(f, "/dev", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_IOCTL_DEV);
    return why;
}

static uint64_t rights_of(int abi)
{
    uint64_t rights = FS_FIRST;
    if (abi >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        rights |= FS_TRUNCATE;
    if (abi >= 5)
        rights |= FS_IOCTL_DEV;
    return rights;
}

tt_rc sandbox_fence_files(int *ret_abi, const struct sandbox_options *opt, struct tt_error *err)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        *ret_abi = 0;
        return TT_OK;
    }
    struct fence f = {.handled = rights_of((int)abi)};
    const struct landlock_ruleset_attr attr = {.handled_access_fs = f.handled};
    f.ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
    int why = f.ruleset < 0 ? errno : allow_all(&f, opt);
    if (why == 0 && syscall(SYS_landlock_restrict_self, f.ruleset, 0) != 0)
        why = errno;
    if (f.ruleset >= 0)
        (void)close(f.ruleset);
    if (why != 0) {
        (void)error_set(err, TT_ERR_IO, "the sandbox cannot fence files: Landlock: %s", strerror(why));
        error_hint(err, "--sandbox off does without it");
        return TT_ERR_IO;
    }
    *ret_abi = (int)abi;
    return TT_OK;
}
