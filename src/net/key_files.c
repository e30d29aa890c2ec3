/* net/key_files.c: see key_files.h. Layer: net. */
#include "net/key_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/files.h"

static bool is_key_file(const char *name, const char *suffix)
{
    size_t n = strlen(name), tail = strlen(suffix);
    return name[0] != '.' && n > tail && strcmp(name + n - tail, suffix) == 0;
}

static int names_backwards(const void *a, const void *b)
{
    return strcmp(b, a);
}

tt_rc key_files_list(struct key_files *ret, const char *path, const char *suffix, struct tt_error *err)
{
    DIR *dir = opendir(path);
    struct stat st;
    ret->n = 0;
    if (dir == NULL || fstat(dirfd(dir), &st) != 0) {
        int why = errno;
        if (dir != NULL)
            (void)closedir(dir);
        return error_set(err, TT_ERR_IO, "cannot read the directory %s: %s", path, strerror(why));
    }
    for (const struct dirent *e; ret->n < KEY_FILES_MAX && (e = readdir(dir)) != NULL;)
        if (is_key_file(e->d_name, suffix))
            (void)snprintf(ret->names[ret->n++], sizeof ret->names[0], "%s", e->d_name);
    (void)closedir(dir);
    qsort(ret->names, ret->n, sizeof ret->names[0], names_backwards);
    return file_check_owner(&st, FILE_TRUSTED, path, err);
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void look_at_file(struct key_files_state *now, int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, 0) == 0 && is_later(st.st_ctim, now->newest))
        now->newest = st.st_ctim;
    now->n++;
}

static struct key_files_state state_of(const char *path, const char *suffix)
{
    struct key_files_state now = {.n = 0};
    struct stat st;
    if (stat(path, &st) != 0)
        return now;
    now.newest = st.st_ctim; /* which nobody can set back */
    DIR *dir = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    if (dir == NULL)
        return now;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (is_key_file(e->d_name, suffix))
            look_at_file(&now, dirfd(dir), e->d_name);
    (void)closedir(dir);
    return now;
}

bool key_files_changed(struct key_files_state *state, const char *path, const char *suffix)
{
    struct key_files_state before = *state;
    *state = state_of(path, suffix);
    return before.newest.tv_sec != state->newest.tv_sec || before.newest.tv_nsec != state->newest.tv_nsec ||
           before.n != state->n;
}
