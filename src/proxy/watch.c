/* proxy/watch.c: watching files by their directories. Layer: proxy. inotify(7).
 *
 * An event only says that it is time to look; what counts is whether stat says something else than last time.
 * On the way to a file every directory is watched in which a name could come to mean another file: the last
 * one, those that hold a symbolic link, and the nearest that exists. */
#include "proxy/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/clock.h"

#define LINKS_MAX      40 /* as the kernel follows them */
#define LOOK_WITHOUT_S 5
#define EVENTS                                                                                               \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |     \
     IN_EXCL_UNLINK)

struct seen {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
};

struct watched {
    char *path;
    struct seen seen; /* the last time that it was there */
};

struct directory {
    int id;
    bool is_needed;
};

struct watch {
    struct event *readable, *settled, *look;
    int fd; /* -1: no inotify to be had */
    uint64_t unsettled_since;
    struct watched *files;
    size_t files_len;
    struct directory *dirs;
    size_t dirs_len;
    watch_fn fn;
    void *arg;
};

/* ---- directories ---- */

/* Without memory for it, or with too many watches, the look every minute remains. */
static void watch_directory(struct watch *w, const char *path)
{
    int id = w->fd < 0 ? -1 : inotify_add_watch(w->fd, path, EVENTS);
    if (id < 0)
        return;
    for (size_t i = 0; i < w->dirs_len; i++)
        if (w->dirs[i].id == id) {
            w->dirs[i].is_needed = true;
            return;
        }
    struct directory *more = mem_resize(w->dirs, (w->dirs_len + 1) * sizeof *more);
    if (more == NULL)
        return;
    w->dirs = more;
    more[w->dirs_len++] = (struct directory){.id = id, .is_needed = true};
}

static void watch_parent(struct watch *w, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
    (void)snprintf(parent, sizeof parent, "%.*s", len, slash == NULL ? "." : path);
    watch_directory(w, parent);
}

/* Replace the link that path[0..end) names by where it leads. */
static bool follow(char path[PATH_MAX], size_t end)
{
    char target[PATH_MAX], whole[2 * PATH_MAX + 2], link[PATH_MAX];
    (void)snprintf(link, sizeof link, "%.*s", (int)end, path);
    ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    const char *slash = memrchr(path, '/', end);
    int before = target[0] == '/' || slash == NULL ? 0 : (int)(slash - path) + 1;
    int len = snprintf(whole, sizeof whole, "%.*s%s%s", before, path, target, path + end);
    if (len < 0 || len >= PATH_MAX)
        return false;
    memcpy(path, whole, (size_t)len + 1);
    return true;
}

/* From the root to the file. */
static void watch_way(struct watch *w, const char *file)
{
    char path[PATH_MAX], part[PATH_MAX];
    int links = 0;
    if (snprintf(path, sizeof path, "%s", file) >= (int)sizeof path)
        return;
    for (size_t end = 0; path[end] != '\0';) {
        struct stat st;
        while (path[end] == '/')
            end++;
        end += strcspn(path + end, "/");
        (void)snprintf(part, sizeof part, "%.*s", (int)end, path);
        bool is_there = lstat(part, &st) == 0, is_last = path[end] == '\0';
        bool is_link = is_there && S_ISLNK(st.st_mode);
        if (is_last || is_link || !is_there)
            watch_parent(w, part);
        if (!is_there)
            return;
        if (is_link) {
            if (links++ == LINKS_MAX || !follow(path, end))
                return;
            end = 0;
        }
    }
}

static void watch_all(struct watch *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->dirs_len; i++)
        w->dirs[i].is_needed = false;
    for (size_t i = 0; i < w->files_len; i++)
        watch_way(w, w->files[i].path);
    for (size_t i = 0; i < w->dirs_len; i++) {
        if (w->dirs[i].is_needed)
            w->dirs[kept++] = w->dirs[i];
        else
            (void)inotify_rm_watch(w->fd, w->dirs[i].id);
    }
    w->dirs_len = kept;
}

/* ---- files ---- */

static struct seen look_at(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct seen){0};
    return (struct seen){.exists = true,
                         .device = st.st_dev,
                         .inode = st.st_ino,
                         .size = st.st_size,
                         .written = st.st_mtim,
                         .changed = st.st_ctim};
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same(const struct seen *a, const struct seen *b)
{
    return a->exists == b->exists && a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(&a->written, &b->written) && is_same_time(&a->changed, &b->changed);
}

static bool have_changed(struct watch *w)
{
    bool changed = false;
    for (size_t i = 0; i < w->files_len; i++) {
        const struct seen now = look_at(w->files[i].path);
        if (!now.exists || is_same(&now, &w->files[i].seen))
            continue;
        w->files[i].seen = now;
        changed = true;
    }
    return changed;
}

static void look_later(struct watch *w)
{
    const struct timeval later = {w->fd < 0 ? LOOK_WITHOUT_S : WATCH_LOOK_S, 0};
    (void)event_add(w->look, &later);
}

/* First the watches, then the look: what happens in between is told by both. */
static void look(struct watch *w)
{
    (void)event_del(w->settled);
    w->unsettled_since = 0;
    watch_all(w);
    look_later(w);
    if (have_changed(w))
        w->fn(w->arg);
}

/* ---- events ---- */

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look(arg);
}

static void on_events(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    char events[4096];
    bool some = false;
    (void)what;
    while (read(fd, events, sizeof events) > 0)
        some = true;
    if (!some)
        return;
    uint64_t now = clock_monotonic_ns();
    if (w->unsettled_since == 0)
        w->unsettled_since = now;
    uint64_t past_ms = (now - w->unsettled_since) / 1000000;
    uint64_t ms = past_ms >= WATCH_LATEST_MS                    ? 0
                  : past_ms + WATCH_SETTLE_MS > WATCH_LATEST_MS ? WATCH_LATEST_MS - past_ms
                                                                : WATCH_SETTLE_MS;
    const struct timeval later = {0, (suseconds_t)(ms * 1000)};
    (void)event_add(w->settled, &later);
}

/* ---- the set ---- */

static void files_free(struct watched *files, size_t n)
{
    for (size_t i = 0; files != NULL && i < n; i++)
        mem_free(files[i].path);
    mem_free(files);
}

static const struct watched *find(const struct watch *w, const char *path)
{
    for (size_t i = 0; i < w->files_len; i++)
        if (strcmp(w->files[i].path, path) == 0)
            return &w->files[i];
    return NULL;
}

static bool copy(struct watched *to, const struct watch *w, const char *path)
{
    const struct watched *before = find(w, path);
    to->path = mem_strdup(path);
    to->seen = before != NULL ? before->seen : look_at(path);
    return to->path != NULL;
}

tt_rc watch_set(struct watch *w, const char *const *files, size_t n, struct tt_error *err)
{
    struct watched *fresh = mem_alloc((n + 1) * sizeof *fresh);
    bool done = fresh != NULL;
    for (size_t i = 0; done && i < n; i++)
        done = copy(&fresh[i], w, files[i]);
    if (!done) {
        files_free(fresh, n);
        return error_set(err, TT_ERR_MEMORY, "no memory to watch files");
    }
    files_free(w->files, w->files_len);
    w->files = fresh;
    w->files_len = n;
    watch_all(w);
    return TT_OK;
}

static tt_rc set_up(struct watch *w, struct event_base *base, const char *const *files, size_t n,
                    struct tt_error *err)
{
    w->settled = evtimer_new(base, on_time, w);
    w->look = evtimer_new(base, on_time, w);
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd >= 0)
        w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_events, w);
    if (w->settled == NULL || w->look == NULL ||
        (w->fd >= 0 && (w->readable == NULL || event_add(w->readable, NULL) != 0)))
        return error_set(err, TT_ERR_MEMORY, "no memory to watch files");
    TT_TRY(watch_set(w, files, n, err));
    look_later(w);
    return TT_OK;
}

tt_rc watch_new(struct watch **ret, struct event_base *base, const char *const *files, size_t n, watch_fn fn,
                void *arg, struct tt_error *err)
{
    struct watch *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to watch files");
    w->fd = -1;
    w->fn = fn;
    w->arg = arg;
    tt_rc rc = set_up(w, base, files, n, err);
    if (rc != TT_OK) {
        watch_free(w);
        return rc;
    }
    *ret = w;
    return TT_OK;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    struct event *const events[] = {w->readable, w->settled, w->look};
    for (size_t i = 0; i < TT_COUNT(events); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (w->fd >= 0)
        (void)close(w->fd);
    files_free(w->files, w->files_len);
    mem_free(w->dirs);
    mem_free(w);
}
