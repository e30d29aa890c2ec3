/* tests/net/test_file_write.c: files on file systems that refuse what ext4 does: hard links (vfat, FUSE),
 * files without a name, modes. The calls are wrapped by the linker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/file_write.h"

static bool no_links, no_tmpfile, no_noreplace, no_modes;
static char top[] = "/tmp/tpmtls-test-files.XXXXXX";

int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    errno = EPERM;
    return no_links ? -1 : __real_linkat(from_dir, from, to_dir, to, flags);
}

int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    errno = EINVAL;
    return no_noreplace ? -1 : __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    errno = EOPNOTSUPP;
    return no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE ? -1 : __real_open(path, flags, mode);
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode)
{
    errno = EPERM;
    return no_modes ? -1 : __real_fchmod(fd, mode);
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(top) != NULL && chdir(top) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(top) == 0 ? 0 : -1; /* empty: nothing was left behind */
}

static int normal(void **state)
{
    (void)state;
    no_links = no_tmpfile = no_noreplace = no_modes = false;
    return 0;
}

static tt_rc put(const char *text, enum file_over over)
{
    return file_write(NULL, "f", (struct tt_bytes){(const uint8_t *)text, strlen(text)},
                      (struct file_want){0600, over}, NULL);
}

static void holds(const char *text)
{
    char got[64] = "";
    struct stat st;
    int fd = __real_open("f", O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_nlink, 1);
    (void)close(fd);
    assert_string_equal(got, text);
}

/* New, not again, replaced. */
static void life(void)
{
    assert_int_equal(put("one", FILE_NEW), TT_OK);
    holds("one");
    assert_int_equal(put("two", FILE_NEW), TT_ERR_EXISTS);
    holds("one");
    assert_int_equal(put("three", FILE_FORCE), TT_OK);
    holds("three");
    assert_int_equal(unlink("f"), 0);
}

static void whatever_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        no_links = (i & 1) != 0;
        no_tmpfile = (i & 2) != 0;
        no_noreplace = (i & 4) != 0;
        no_modes = (i & 8) != 0;
        life();
    }
}

/* The name is taken between the question and the link. */
static void a_race_has_one_winner(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        no_links = (i & 1) != 0;
        no_noreplace = (i & 2) != 0;
        assert_int_equal(symlink("nowhere", "f"), 0); /* FILE_FORCE sees nothing there, FILE_NEW the link */
        assert_int_equal(put("one", FILE_NEW), TT_ERR_EXISTS);
        assert_int_equal(unlink("f"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whatever_is_refused, normal),
        cmocka_unit_test_setup(a_race_has_one_winner, normal),
    };
    return cmocka_run_group_tests_name("file_write", tests, set_up, tear_down);
}
