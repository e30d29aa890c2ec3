/* tpm/leftovers.c: see leftovers.h. Layer: tpm. TPM 2.0 part 3, sections 28.4 (FlushContext), 29.1
 * (ReadClock), 30.2 (GetCapability). A record is hostile, and only ever leads to a question about a handle.
 */
#include "tpm/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>

#include "tpm/context.h"
#include "tpm/loaded.h"

#define LIVE_MAX    64
#define TRANSIENT   0x80000000U /* TPM2_TRANSIENT_FIRST, whose shift overflows an int */
#define SESSIONS    0x02000000U
#define OLD_S       (30 * 24 * 3600) /* a record of a TPM that nobody used since */
#define RESTART_PCT 80               /* a TPM's clock may go this slow, against ours */

/* struct live: what processes that live have in this TPM. */
struct live {
    uint32_t handles[LIVE_MAX];
    size_t len;
    bool
        busy; /* one of them loads something just now, or has more than fits: nothing is taken by its looks */
};

static bool is_live(const struct live *live, uint32_t handle)
{
    for (size_t i = 0; i < live->len; i++)
        if (live->handles[i] == handle)
            return true;
    return false;
}

static void live_add(struct live *live, const struct loaded *l)
{
    live->busy =
        live->busy || l->pending.kind != LOADED_NOTHING || live->len + l->len + l->sessions_len > LIVE_MAX;
    for (size_t i = 0; i < l->len && live->len < LIVE_MAX; i++)
        live->handles[live->len++] = l->objects[i].handle;
    for (size_t i = 0; i < l->sessions_len && live->len < LIVE_MAX; i++)
        live->handles[live->len++] = l->sessions[i];
}

/* ---- in the TPM ---- */

static void flush_handle(struct tt_tpm *tpm, uint32_t handle)
{
    ESYS_TR object = ESYS_TR_NONE;
    if (Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object) ==
        TSS2_RC_SUCCESS)
        tpm_flush(tpm, &object);
}

static TPML_HANDLE handles_from(struct tt_tpm *tpm, uint32_t first)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TPML_HANDLE list = {0};
    struct tpm_op op = tpm_op_start(tpm, "list what is loaded");
    do
        op.rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                   first, TPM2_MAX_CAP_HANDLES, NULL, &data);
    while (tpm_op_again(&op));
    if (op.rc == TSS2_RC_SUCCESS && data->capability == TPM2_CAP_HANDLES &&
        data->data.handles.count <= TPM2_MAX_CAP_HANDLES)
        list = data->data.handles;
    Esys_Free(data);
    return list;
}

/* Whatever else has the handle now keeps it. */
static void clean_object(struct tt_tpm *tpm, const struct loaded_object *o)
{
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_NAME *name = NULL;
    if (Esys_TR_FromTPMPublic(tpm->esys, o->handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object) !=
        TSS2_RC_SUCCESS)
        return;
    bool ours = Esys_TR_GetName(tpm->esys, object, &name) == TSS2_RC_SUCCESS && name->size == o->name_len &&
                memcmp(name->name, o->name, o->name_len) == 0;
    Esys_Free(name);
    if (ours)
        tpm_flush(tpm, &object);
    else
        (void)Esys_TR_Close(tpm->esys, &object);
}

static bool same_public(const struct loaded_pending *p, const TPM2B_PUBLIC *there)
{
    TPM2B_PUBLIC a = {0}, b = *there;
    uint8_t x[sizeof a], y[sizeof b];
    size_t x_len = 0, y_len = 0, at = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(p->data, p->len, &at, &a) != TSS2_RC_SUCCESS)
        return false;
    if (p->kind == LOADED_BY_TEMPLATE)
        memset(&a.publicArea.unique, 0, sizeof a.publicArea.unique);
    if (p->kind == LOADED_BY_TEMPLATE)
        memset(&b.publicArea.unique, 0, sizeof b.publicArea.unique);
    return Tss2_MU_TPM2B_PUBLIC_Marshal(&a, x, sizeof x, &x_len) == TSS2_RC_SUCCESS &&
           Tss2_MU_TPM2B_PUBLIC_Marshal(&b, y, sizeof y, &y_len) == TSS2_RC_SUCCESS && x_len == y_len &&
           memcmp(x, y, x_len) == 0;
}

static bool is_pending(const struct loaded_pending *p, const TPM2B_PUBLIC *pub, const TPM2B_NAME *name)
{
    return p->kind == LOADED_BY_NAME ? name->size == p->len && memcmp(name->name, p->data, p->len) == 0
                                     : same_public(p, pub);
}

/* One at most: it was one command. */
static void clean_unanswered(struct tt_tpm *tpm, const struct loaded_pending *p, const struct live *live)
{
    TPML_HANDLE list = handles_from(tpm, TRANSIENT);
    for (UINT32 i = 0; i < list.count; i++) {
        ESYS_TR object = ESYS_TR_NONE;
        TPM2B_PUBLIC *pub = NULL;
        TPM2B_NAME *name = NULL;
        if (is_live(live, list.handle[i]) || list.handle[i] >> 24 != TPM2_HT_TRANSIENT ||
            Esys_TR_FromTPMPublic(tpm->esys, list.handle[i], ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                  &object) != TSS2_RC_SUCCESS)
            continue;
        bool ours = Esys_ReadPublic(tpm->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &pub, &name,
                                    NULL) == TSS2_RC_SUCCESS &&
                    is_pending(p, pub, name);
        Esys_Free(pub);
        Esys_Free(name);
        if (ours)
            tpm_flush(tpm, &object);
        else
            (void)Esys_TR_Close(tpm->esys, &object);
        if (ours)
            return;
    }
}

/* TPMS_TIME_INFO.time counts from the TPM's start. */
static bool restarted_since(struct tt_tpm *tpm, uint64_t since_ms)
{
    struct timespec t;
    TPMS_TIME_INFO *info = NULL;
    struct tpm_op op = tpm_op_start(tpm, "read the TPM's clock");
    do
        op.rc = Esys_ReadClock(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return true;
    uint64_t up_ms = info->time;
    Esys_Free(info);
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    return since_ms > now_ms || up_ms < (now_ms - since_ms) / 100 * RESTART_PCT;
}

static void clean_sessions(struct tt_tpm *tpm, const struct loaded *l, const struct live *live)
{
    TPML_HANDLE list = handles_from(tpm, SESSIONS);
    bool restarted = l->sessions_len > 0 && restarted_since(tpm, l->sessions_ms);
    uint32_t unknown = 0;
    unsigned unknown_count = 0;
    for (UINT32 i = 0; i < list.count; i++) {
        uint32_t handle = list.handle[i];
        bool listed = false;
        for (size_t k = 0; k < l->sessions_len; k++)
            listed = listed || l->sessions[k] == handle;
        if (is_live(live, handle))
            continue;
        if (listed && !restarted) {
            flush_handle(tpm, handle);
        } else if (l->pending.kind == LOADED_SESSION && handle >> 24 == l->pending.data[0]) {
            unknown = handle;
            unknown_count++;
        }
    }
    if (unknown_count == 1 && !live->busy) /* of several nobody can tell which */
        flush_handle(tpm, unknown);
}

static void clean(struct tt_tpm *tpm, const struct loaded *l, const struct live *live)
{
    for (size_t i = 0; i < l->len; i++)
        if (!is_live(live, l->objects[i].handle))
            clean_object(tpm, &l->objects[i]);
    if (l->sessions_len > 0 || l->pending.kind == LOADED_SESSION)
        clean_sessions(tpm, l, live);
    if (l->pending.kind != LOADED_NOTHING && l->pending.kind != LOADED_SESSION && !live->busy)
        clean_unanswered(tpm, &l->pending, live);
}

/* ---- the records ---- */

/* struct records: the directory, and what is looked for in it. */
struct records {
    struct tt_tpm *tpm;
    DIR *dir;
    struct live live;
};

/* The file that the TPM's address names is not there: swtpm:path=..., device:... */
static bool is_gone(const char *where, int fd)
{
    struct stat st;
    char path[256];
    if (where[0] == '\0') /* killed before it wrote anything: nothing was sent yet */
        return true;
    const char *at = strstr(where, "path="), *device = strncmp(where, "device:/", 8) == 0 ? where + 7 : NULL;
    const char *from = at != NULL ? at + strlen("path=") : where[0] == '/' ? where : device;
    if (from != NULL && from[0] == '/') {
        (void)snprintf(path, sizeof path, "%.*s", (int)strcspn(from, ","), from);
        return lstat(path, &st) != 0 && errno == ENOENT;
    }
    return fstat(fd, &st) == 0 && st.st_mtime + OLD_S < time(NULL);
}

static void with_record(struct records *r, const char *name, void (*fn)(struct records *, const char *, int))
{
    int fd = openat(dirfd(r->dir), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    fn(r, name, fd);
    (void)close(fd);
}

static bool is_ours(const struct records *r, const struct loaded *l)
{
    return strcmp(l->where, r->tpm->meter.loaded.where) == 0;
}

static void note_live(struct records *r, const char *name, int fd)
{
    struct loaded l;
    (void)name;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || loaded_read(&l, fd) != TT_OK)
        return;
    if (is_ours(r, &l))
        live_add(&r->live, &l);
    mem_free(l.where);
}

/* The lock is free: whoever wrote it is gone. It stays for the next time where the TPM is lost meanwhile. */
static void clean_dead(struct records *r, const char *name, int fd)
{
    struct loaded l;
    if (r->tpm->meter.broken || flock(fd, LOCK_EX | LOCK_NB) != 0 || loaded_read(&l, fd) != TT_OK)
        return;
    bool ours = is_ours(r, &l), wait = ours && r->live.busy && l.pending.kind != LOADED_NOTHING;
    if (ours)
        clean(r->tpm, &l, &r->live);
    if (ours ? !wait && !r->tpm->meter.broken : is_gone(l.where, fd))
        (void)unlinkat(dirfd(r->dir), name, 0);
    mem_free(l.where);
}

static void each_record(struct records *r, void (*fn)(struct records *, const char *, int))
{
    const char *own = strrchr(r->tpm->meter.loaded.path, '/');
    const struct dirent *e;
    rewinddir(r->dir);
    while ((e = readdir(r->dir)) != NULL)
        if (strncmp(e->d_name, LOADED_PREFIX, strlen(LOADED_PREFIX)) == 0 &&
            (own == NULL || strcmp(e->d_name, own + 1) != 0))
            with_record(r, e->d_name, fn);
}

void leftovers_clean(struct tt_tpm *tpm)
{
    struct loaded *l = &tpm->meter.loaded;
    struct records r = {.tpm = tpm};
    char dir[128];
    if (!l->managed) {
        r.dir = l->where != NULL && loaded_dir(dir, sizeof dir) ? opendir(dir) : NULL;
        if (r.dir != NULL)
            each_record(&r, note_live);
        struct loaded before = *l; /* which the questions and flushes below change */
        clean(tpm, &before, &r.live);
        if (r.dir != NULL)
            each_record(&r, clean_dead);
        if (r.dir != NULL)
            (void)closedir(r.dir);
    }
    if (!tpm->meter.broken)
        loaded_forget(l);
}
