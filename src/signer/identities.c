/* signer/identities.c: where identities lie: directories with a key and its certificates. Layer: signer.
 * Finds them; does not look into them. The environment of a setuid program is not believed. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/rc.h"
#include "signer/file_read.h"
#include "tpmtls/key.h"

#define NAME_MAX_LEN 32
#define SYSTEM_PLACE "/etc/tpmtls/identities"

struct entry {
    char *name, *path;
    dev_t device;
    ino_t inode;
    size_t order; /* in which it was found: the places' */
};

struct entries {
    struct entry *all;
    size_t len, cap;
};

static void entries_free(struct entries *e)
{
    for (size_t i = 0; i < e->len; i++) {
        mem_free(e->all[i].name);
        mem_free(e->all[i].path);
    }
    mem_free(e->all);
}

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "out of memory");
}

bool tt_identity_name_is_valid(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";
    size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX_LEN && strspn(name, first) == n && strchr("._@+-", name[0]) == NULL;
}

/* ---- the places ---- */

/* The user's own place, or "" where there is no home. */
static void user_place(char ret[PATH_MAX])
{
    const char *config = secure_getenv("XDG_CONFIG_HOME"), *home = secure_getenv("HOME");
    int n = 0;
    ret[0] = '\0';
    if (config != NULL && config[0] == '/')
        n = snprintf(ret, PATH_MAX, "%s/tpmtls/identities", config);
    else if (home != NULL && home[0] == '/')
        n = snprintf(ret, PATH_MAX, "%s/.config/tpmtls/identities", home);
    if (n < 0 || n >= PATH_MAX)
        ret[0] = '\0';
}

/* The next place of *at, which moves behind it; false at the end. */
static bool place_next(char ret[PATH_MAX], const char **at)
{
    while (**at == ':')
        ++*at;
    size_t n = strcspn(*at, ":");
    if (n == 0 || n >= PATH_MAX)
        return false;
    memcpy(ret, *at, n);
    ret[n] = '\0';
    *at += n;
    return true;
}

/* All places, separated by colons; to be freed with mem_free. */
static char *places(void)
{
    const char *said = secure_getenv("TPMTLS_IDENTITIES");
    char own[PATH_MAX], all[PATH_MAX + sizeof SYSTEM_PLACE + 1];
    if (said != NULL && said[0] != '\0')
        return mem_strdup(said);
    user_place(own);
    (void)snprintf(all, sizeof all, "%s:%s", own, SYSTEM_PLACE);
    return mem_strdup(all);
}

tt_rc tt_identities_home(char **ret, struct tt_error *err)
{
    char place[PATH_MAX];
    TT_AUTO(mem_free_auto) char *all = places();
    if (all == NULL)
        return no_memory(err);
    const char *at = all;
    if (!place_next(place, &at))
        return error_set(err, TT_ERR_NOT_FOUND, "there is no place for identities");
    *ret = mem_strdup(place);
    return *ret == NULL ? no_memory(err) : TT_OK;
}

tt_rc tt_identity_check(const char *path, struct tt_error *err)
{
    char place[PATH_MAX];
    const char *end = strrchr(path, '/');
    int n =
        snprintf(place, sizeof place, "%.*s", end > path ? (int)(end - path) : 1, end != NULL ? path : ".");
    if (n < 0 || (size_t)n >= sizeof place)
        return error_set(err, TT_ERR_IO, "the path is too long");
    TT_TRY(file_check_path(place, FILE_TRUSTED, err));
    return file_check_path(path, FILE_TRUSTED, err);
}

/* ---- what is in them ---- */

static bool is_known(const struct entries *e, const struct entry *new)
{
    for (size_t i = 0; i < e->len; i++)
        if (e->all[i].device == new->device && e->all[i].inode == new->inode)
            return true;
    return false;
}

/* known: how many of them are from earlier places; only they can be the same again. */
static tt_rc entries_add(struct entries *e, size_t known, const char *place, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", place, name);
    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return TT_OK;
    struct entry new = {
        .name = (char *)(uintptr_t)name, .device = st.st_dev, .inode = st.st_ino, .order = e->len};
    struct entries earlier = {.all = e->all, .len = known};
    if (is_known(&earlier, &new))
        return TT_OK;
    if (e->len == e->cap) {
        size_t cap = e->cap == 0 ? 16 : 2 * e->cap;
        struct entry *more = mem_resize(e->all, cap * sizeof *more);
        if (more == NULL)
            return TT_ERR_MEMORY;
        e->all = more;
        e->cap = cap;
    }
    new.name = mem_strdup(name);
    new.path = mem_strdup(path);
    e->all[e->len++] = new;
    return new.name == NULL || new.path == NULL ? TT_ERR_MEMORY : TT_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->order < y->order ? -1 : 1;
}

static tt_rc read_place(struct entries *e, const char *place, size_t known)
{
    DIR *dir = opendir(place);
    if (dir == NULL)
        return TT_OK; /* not there, or not for us */
    tt_rc rc = TT_OK;
    for (struct dirent *d; rc == TT_OK && (d = readdir(dir)) != NULL;)
        if (tt_identity_name_is_valid(d->d_name))
            rc = entries_add(e, known, place, d->d_name);
    (void)closedir(dir);
    return rc;
}

/* One directory by two names within a place: links among them. Sorted, the first name counts. */
static void drop_links(struct entries *e)
{
    size_t kept = 0;
    for (size_t i = 0; i < e->len; i++) {
        bool twice = false;
        for (size_t k = 0; e->all[i].inode != 0 && k < kept && !twice; k++)
            twice = e->all[k].inode == e->all[i].inode && e->all[k].device == e->all[i].device;
        if (twice) {
            mem_free(e->all[i].name);
            mem_free(e->all[i].path);
        } else
            e->all[kept++] = e->all[i];
    }
    e->len = kept;
}

tt_rc tt_identities_each(tt_identity_fn fn, void *arg, struct tt_error *err)
{
    char place[PATH_MAX];
    TT_AUTO(entries_free) struct entries e = {0};
    TT_AUTO(mem_free_auto) char *all = places();
    if (all == NULL)
        return no_memory(err);
    for (const char *at = all; place_next(place, &at);)
        if (read_place(&e, place, e.len) != TT_OK)
            return no_memory(err);
    if (e.len > 1)
        qsort(e.all, e.len, sizeof *e.all, by_name);
    drop_links(&e);
    bool is_told = false;
    for (size_t i = 0; i < e.len; i++) {
        if (is_told && strcmp(e.all[i].name, e.all[i - 1].name) == 0)
            continue;
        tt_rc rc = fn(arg, e.all[i].name, e.all[i].path);
        is_told = rc != TT_ERR_DECODE;
        if (is_told)
            TT_TRY(rc);
    }
    return TT_OK;
}
