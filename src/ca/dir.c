/* ca/dir.c: a CA's directory on disk. Layer: ca. A new one is filled under a temporary name and then
 * renamed, so that a crash leaves no half CA, and two processes that make the same one cannot mix. */
#include "ca/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 65536

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

tt_rc dir_path(char ret[PATH_MAX], const char *dir, const char *name, struct tt_error *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return error_set(err, TT_ERR_USAGE, "the directory's name is too long: %.100s...", dir);
    memcpy(ret, path, (size_t)n + 1);
    return TT_OK;
}

/* ---- reading ---- */

static tt_rc open_failed(const char *dir, const char *name, int why, struct tt_error *err)
{
    if (why != ENOENT && why != ENOTDIR)
        return error_set(err, TT_ERR_IO, "cannot open %s/%s: %s", dir, name, strerror(why));
    (void)error_set(err, TT_ERR_NOT_FOUND, "%s is not a CA: there is no %s in it", dir, name);
    error_hint(err, "make one with: tpmtls ca init --dir DIR --subject '/O=Example/CN=Example CA'");
    return TT_ERR_NOT_FOUND;
}

tt_rc dir_has(const char *dir, const char *name, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_path(path, dir, name, err));
    return access(path, F_OK) == 0 ? TT_OK : open_failed(dir, name, errno, err);
}

tt_rc dir_read(char **ret, size_t *ret_len, const char *dir, const char *name, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_path(path, dir, name, err));
    TT_AUTO(fd_close_auto) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return open_failed(dir, name, errno, err);
    TT_AUTO(mem_free_auto) char *text = mem_alloc(FILE_MAX + 1);
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    size_t len = 0;
    for (ssize_t n; len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) != 0;) {
        if (n < 0 && errno != EINTR)
            return error_set(err, TT_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        len += n > 0 ? (size_t)n : 0;
    }
    *ret = TT_TAKE(text);
    *ret_len = len;
    return TT_OK;
}

tt_rc dir_store(char ret[DIR_STORE_MAX], const char *dir, const char *asked, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    struct tt_error none = {0};
    const char *url = asked;
    if (url == NULL) {
        tt_rc rc = dir_read(&text, &len, dir, CA_PLACE_FILE, &none);
        if (rc != TT_OK && rc != TT_ERR_NOT_FOUND)
            return error_set(err, rc, "%s", none.text);
        if (rc == TT_OK && text != NULL) {
            text[strcspn(text, "\r\n")] = '\0';
            url = text;
        }
    }
    if (url == NULL)
        TT_TRY(dir_has(dir, CA_STORE_FILE, err));
    int n = url == NULL ? snprintf(ret, DIR_STORE_MAX, "sqlite:%s/" CA_STORE_FILE, dir)
                        : snprintf(ret, DIR_STORE_MAX, "%s", url);
    return n > 0 && n < DIR_STORE_MAX ? TT_OK : error_set(err, TT_ERR_USAGE, "the store's name is too long");
}

/* ---- the keys of a CA ---- */

bool dir_is_key_name(const char *name)
{
    size_t n = strlen(name);
    return strcmp(name, CA_KEY_FILE) == 0 || (strchr(name, '/') == NULL && strncmp(name, "ca-", 3) == 0 &&
                                              n > 7 && strcmp(name + n - 4, ".key") == 0);
}

tt_rc dir_lock(int *ret, const char *dir, struct tt_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open %.200s: %s", dir, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *ret = fd;
        return TT_OK;
    }
    bool taken = errno == EWOULDBLOCK;
    (void)close(fd);
    return error_set(err, taken ? TT_ERR_BUSY : TT_ERR_IO,
                     taken ? "another process changes the key of the CA in %.200s" : "cannot lock %.200s",
                     dir);
}

void dir_remove(const char *dir, const char *name)
{
    char path[PATH_MAX];
    if (dir_path(path, dir, name, NULL) == TT_OK)
        (void)unlink(path);
}

/* ---- creating ---- */

static tt_rc write_file(const char *dir, const char *name, const char *text, mode_t mode,
                        struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_path(path, dir, name, err));
    TT_AUTO(fd_close_auto) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok = fd >= 0 && fchmod(fd, mode) == 0;
    for (size_t len = strlen(text), n = 0; ok && n < len;) {
        ssize_t put = write(fd, text + n, len - n);
        ok = put >= 0 || errno == EINTR;
        n += put > 0 ? (size_t)put : 0;
    }
    ok = ok && fsync(fd) == 0;
    return ok ? TT_OK : error_set(err, TT_ERR_IO, "cannot write %s: %s", path, strerror(errno));
}

static tt_rc fill(const char *dir, const struct dir_content *content, struct tt_error *err)
{
    if (content->key_pem != NULL)
        TT_TRY(write_file(dir, CA_KEY_FILE, content->key_pem, 0600, err));
    TT_TRY(write_file(dir, CA_CERT_FILE, content->cert_pem, 0644, err));
    TT_TRY(write_file(dir, CA_PROFILES_FILE, content->profiles, 0644, err));
    if (content->store != NULL) /* may have a password in it */
        TT_TRY(write_file(dir, CA_PLACE_FILE, content->store, 0600, err));
    return content->fill(content->arg, dir, err);
}

static void discard(const char *dir)
{
    static const char *const names[] = {
        CA_KEY_FILE,   CA_CERT_FILE,         CA_PROFILES_FILE,     CA_PLACE_FILE,
        CA_STORE_FILE, CA_STORE_FILE "-wal", CA_STORE_FILE "-shm", CA_STORE_FILE "-journal"};
    char path[PATH_MAX];
    for (size_t i = 0; i < TT_COUNT(names); i++)
        if (dir_path(path, dir, names[i], NULL) == TT_OK)
            (void)unlink(path);
    (void)rmdir(dir);
}

static void sync_directory(const char *dir)
{
    TT_AUTO(fd_close_auto) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd);
}

static tt_rc refuse_existing(const char *dir, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_EXISTS, "%s is already there", dir);
    error_hint(err, "name a directory that does not exist yet; a CA is never overwritten");
    return TT_ERR_EXISTS;
}

tt_rc dir_check_free(const char *dir, struct tt_error *err)
{
    struct stat st;
    return lstat(dir, &st) == 0 ? refuse_existing(dir, err) : TT_OK;
}

/* rename() alone would take the place of an empty directory that appeared meanwhile; never of one with a CA
 * in it. */
static tt_rc publish(const char *temporary, const char *dir, struct tt_error *err)
{
    sync_directory(temporary);
    int rc = renameat2(AT_FDCWD, temporary, AT_FDCWD, dir, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) /* a file system without it */
        rc = rename(temporary, dir);
    if (rc == 0)
        return TT_OK;
    if (errno == EEXIST || errno == ENOTEMPTY)
        return refuse_existing(dir, err);
    return error_set(err, TT_ERR_IO, "cannot create %s: %s", dir, strerror(errno));
}

tt_rc dir_create(const char *dir, const struct dir_content *content, struct tt_error *err)
{
    char temporary[PATH_MAX];
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    int n = snprintf(temporary, sizeof temporary, "%.*s.XXXXXX", (int)(len < PATH_MAX ? len : PATH_MAX), dir);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return error_set(err, TT_ERR_USAGE, "the directory's name is too long: %.100s...", dir);
    TT_TRY(dir_check_free(dir, err));
    if (mkdtemp(temporary) == NULL)
        return error_set(err, TT_ERR_IO, "cannot create %s: %s", dir, strerror(errno));
    tt_rc rc = fill(temporary, content, err);
    if (rc == TT_OK)
        rc = publish(temporary, dir, err);
    if (rc != TT_OK)
        discard(temporary);
    return rc;
}
