/* net/ech_files.c: see ech_files.h. Layer: net. A file is hostile, and secret. What is in the TPM is opened
 * and given back on the thread that owns it. */
#include "net/ech_files.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "net/files.h"
#include "net/held.h"
#include "net/key_files.h"
#include "wire/pem.h"

#define SUFFIX          ".ech"
#define LOOK_AT_FILES_S 2

struct ech_files {
    struct ech_files_options opt;
    struct tt_ech_keys *keys;
    struct sign_queue *queue;
    struct event *timer;
    struct key_files_state seen[ECH_PATHS_MAX];
    struct reading *reading;  /* on the queue */
    struct held_ech *retired; /* to be freed on the TPM's thread */
    bool is_failing;          /* told already */
};

/* struct reading: what the files hold now, on its way to become the keys. */
struct reading {
    struct ech_files *files;
    struct found {
        struct buf pem;
        struct held_ech *held;
    } found[TT_MAX_ECH_KEYS];
    size_t n;
    struct tt_error missing; /* a path that is no longer there: what was in it has left use */
    struct held_ech *retired;
    struct sign_job *job;
    atomic_uint holders; /* the loop's and the queue's */
};

static void retired_free(struct held_ech **list)
{
    for (struct held_ech *held; (held = *list) != NULL;) {
        *list = held->next;
        tt_ecdh_free(held->key);
        mem_free(held);
    }
}

/* From the engine, on the loop's thread: that is where every handshake ends. */
static void retire(void *key)
{
    struct held_ech *held = key;
    held->next = *held->retired;
    *held->retired = held;
}

static void reading_drop(void *arg)
{
    struct reading *r = arg;
    if (atomic_fetch_sub_explicit(&r->holders, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < r->n; i++)
        buf_free(&r->found[i].pem);
    mem_free(r);
}

/* What was not installed, or not freed on the TPM's thread, waits for the next time. */
static void reading_end(struct reading *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->found[i].held != NULL)
            retire(TT_TAKE(r->found[i].held));
    while (r->retired != NULL) {
        struct held_ech *held = r->retired;
        r->retired = held->next;
        retire(held);
    }
    reading_drop(r);
}

/* ---- the files ---- */

static tt_rc read_file(struct reading *r, const char *path, struct tt_error *err)
{
    if (r->n == TT_MAX_ECH_KEYS)
        return error_set(err, TT_ERR_USAGE, "there are more than %d ECH keys", TT_MAX_ECH_KEYS);
    tt_rc rc = file_read_owned(&r->found[r->n].pem, FILE_SECRET, path, err);
    r->n += rc != TT_ERR_NOT_FOUND;
    return rc;
}

static tt_rc read_path(struct reading *r, const char *path, struct tt_error *err)
{
    struct key_files files;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return read_file(r, path, err);
    TT_TRY(key_files_list(&files, path, SUFFIX, err));
    for (size_t i = 0; i < files.n; i++) {
        char file[PATH_MAX];
        (void)snprintf(file, sizeof file, "%s/%s", path, files.names[i]);
        struct tt_error why = {0};
        tt_rc rc = read_file(r, file, &why);
        if (rc == TT_OK || rc == TT_ERR_NOT_FOUND)
            continue; /* gone since it was listed */
        if (err != NULL)
            *err = why;
        return rc;
    }
    return files.n > 0 ? TT_OK : error_set(err, TT_ERR_NOT_FOUND, "there is no *" SUFFIX " file in %s", path);
}

static bool is_in_tpm(const struct buf *pem)
{
    static const char label[] = "-----BEGIN TSS2 PRIVATE KEY-----";
    return buf_size(pem) > 0 && memmem(buf_front(pem), buf_size(pem), label, sizeof label - 1) != NULL;
}

/* *ret has views into *ret_list, which the caller frees. */
static tt_rc describe(struct tt_ech_config_info *ret, struct pem_block *ret_list, const struct buf *pem,
                      struct tt_error *err)
{
    if (pem_find(ret_list, buf_bytes(pem), "ECHCONFIG") != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the file of an ECH key has no ECHCONFIG");
    tt_rc rc = tt_ech_config_describe(ret, (struct tt_bytes){ret_list->der, ret_list->len});
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the ECHConfigList of an ECH key cannot be used");
}

static struct reading *reading_new(struct ech_files *f)
{
    struct reading *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return NULL;
    r->files = f;
    atomic_init(&r->holders, 1);
    return r;
}

/* again: what is no longer there is no reason to go on using it. */
static tt_rc read_all(struct reading *r, bool again, struct tt_error *err)
{
    for (size_t i = 0; i < r->files->opt.paths_len; i++) {
        struct tt_error why = {0};
        tt_rc rc = read_path(r, r->files->opt.paths[i], &why);
        if (rc == TT_ERR_NOT_FOUND && again) {
            r->missing = r->missing.rc == TT_OK ? why : r->missing;
        } else if (rc != TT_OK) {
            if (err != NULL)
                *err = why;
            return rc;
        }
    }
    return TT_OK;
}

/* ---- what is in the TPM ---- */

static bool is_key_of(const struct tt_ecdh *key, const struct tt_ech_config_info *info)
{
    uint8_t public_key[TT_ECDH_POINT];
    tt_ecdh_public(key, public_key);
    return info->public_key.len == sizeof public_key &&
           memcmp(info->public_key.data, public_key, sizeof public_key) == 0;
}

static tt_rc open_held(struct reading *r, struct found *at, struct tt_error *err)
{
    struct ech_files *f = r->files;
    struct pem_block list = {0};
    struct tt_ech_config_info info = {0};
    if (f->opt.tpm == NULL)
        return error_set(err, TT_ERR_TPM, "an ECH key is in a TPM, and the server was started without one");
    at->held = mem_alloc(sizeof *at->held);
    if (at->held == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    at->held->retired = &f->retired;
    TT_TRY(tt_ecdh_open_pem(&at->held->key, f->opt.tpm, buf_bytes(&at->pem), NULL, err));
    TT_TRY(tt_ecdh_load(at->held->key, err));
    tt_rc rc = describe(&info, &list, &at->pem, err);
    if (rc == TT_OK && !is_key_of(at->held->key, &info))
        rc = error_set(err, TT_ERR_DECODE, "the ECH key in the TPM is not of the config beside it");
    pem_block_free(&list);
    return rc;
}

static tt_rc open_all(struct reading *r, struct tt_error *err)
{
    retired_free(&r->retired);
    for (size_t i = r->n; i-- > 0;) /* the first one stays in the chip */
        if (is_in_tpm(&r->found[i].pem))
            TT_TRY(open_held(r, &r->found[i], err));
    return TT_OK;
}

/* ---- the keys ---- */

static tt_rc install(struct reading *r, struct tt_error *err)
{
    struct tt_ech_key keys[TT_MAX_ECH_KEYS];
    uint16_t kems[TT_MAX_ECH_KEYS];
    for (size_t i = 0; i < r->n; i++) {
        struct pem_block list = {0};
        struct tt_ech_config_info info = {0};
        tt_rc rc = describe(&info, &list, &r->found[i].pem, err);
        pem_block_free(&list);
        TT_TRY(rc);
        bool first = true;
        for (size_t j = 0; j < i; j++)
            first = first && kems[j] != info.kem;
        kems[i] = info.kem;
        keys[i] =
            (struct tt_ech_key){.pem = buf_bytes(&r->found[i].pem), .key = r->found[i].held, .retry = first};
    }
    TT_TRY(tt_ech_keys_set(r->files->keys, keys, r->n, retire, err));
    for (size_t i = 0; i < r->n; i++)
        r->found[i].held = NULL; /* the engine's now */
    return TT_OK;
}

/* ---- changes ---- */

static const char *what_became(const struct reading *r, const struct tt_error *err)
{
    if (err->rc != TT_OK || r == NULL)
        return "the ECH keys stay as they were: ";
    if (r->missing.rc == TT_OK)
        return "the ECH keys were read again";
    return r->n > 0 ? "the ECH keys were read again, and some are gone: " : "no ECH key is in use any more: ";
}

static void tell(struct ech_files *f, const struct reading *r, const struct tt_error *err)
{
    char text[sizeof err->text + 64];
    bool ok = err->rc == TT_OK && r != NULL, whole = ok && r->missing.rc == TT_OK;
    (void)snprintf(text, sizeof text, "%s%s", what_became(r, err), ok ? r->missing.text : err->text);
    if (f->opt.told != NULL && (ok || !f->is_failing))
        f->opt.told(f->opt.arg, text, !whole);
    f->is_failing = !ok;
}

static tt_rc reading_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    (void)tpm; /* that of the options */
    return open_all(arg, err);
}

static void reading_done(void *arg, const struct sign_answer *answer)
{
    struct reading *r = arg;
    struct ech_files *f = r->files;
    struct tt_error err = answer->error;
    if (err.rc == TT_OK && install(r, &err) != TT_OK)
        (void)error_set(&err, TT_ERR_INTERNAL, "the ECH keys could not be set");
    f->reading = NULL;
    tell(f, r, &err);
    reading_end(r);
}

static tt_rc submit(struct ech_files *f, struct reading *r, struct tt_error *err)
{
    const struct sign_work work = {.run = reading_run, .release = reading_drop, .arg = r};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = reading_done, .arg = r};
    r->retired = TT_TAKE(f->retired);
    atomic_store(&r->holders, 2);
    tt_rc rc = sign_queue_submit(f->queue, &r->job, &request, err);
    if (rc == TT_OK)
        f->reading = r;
    else
        atomic_store(&r->holders, 1); /* the queue did not take it */
    return rc;
}

static bool wants_tpm(const struct reading *r)
{
    bool wants = r->files->retired != NULL;
    for (size_t i = 0; i < r->n; i++)
        wants = wants || is_in_tpm(&r->found[i].pem);
    return wants && r->files->queue != NULL;
}

static void read_again(struct ech_files *f)
{
    struct reading *r = reading_new(f);
    struct tt_error err = {0};
    tt_rc rc = r == NULL ? error_set(&err, TT_ERR_MEMORY, "out of memory") : read_all(r, true, &err);
    if (rc == TT_OK && wants_tpm(r)) {
        rc = submit(f, r, &err);
        if (rc == TT_OK)
            return; /* goes on in reading_done */
    } else if (rc == TT_OK) {
        rc = install(r, &err);
    }
    (void)!error_set(&err, rc, "the ECH keys could not be read");
    err.rc = rc;
    tell(f, r, &err);
    if (r != NULL)
        reading_end(r);
}

static void look_again(struct ech_files *f)
{
    const struct timeval t = {.tv_sec = LOOK_AT_FILES_S};
    (void)event_add(f->timer, &t);
}

static bool changed(struct ech_files *f)
{
    bool any = false;
    for (size_t i = 0; i < f->opt.paths_len; i++)
        any = key_files_changed(&f->seen[i], f->opt.paths[i], SUFFIX) || any;
    return any;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ech_files *f = arg;
    (void)fd;
    (void)what;
    if (f->reading == NULL && (changed(f) || f->is_failing))
        read_again(f);
    look_again(f);
}

/* ---- the whole ---- */

bool ech_files_want_tpm(const char *const *paths, size_t n)
{
    bool wants = false;
    struct ech_files f = {.opt = {.paths = paths, .paths_len = n}};
    struct reading *r = reading_new(&f);
    if (r == NULL)
        return false; /* ech_files_new says why, and what could not be read */
    (void)read_all(r, false, NULL);
    for (size_t i = 0; i < r->n; i++)
        wants = wants || is_in_tpm(&r->found[i].pem);
    reading_drop(r);
    return wants;
}

static tt_rc set_up(struct ech_files *f, struct tt_error *err)
{
    if (f->opt.paths_len > ECH_PATHS_MAX)
        return error_set(err, TT_ERR_USAGE, "there are more than %d files of ECH keys", ECH_PATHS_MAX);
    TT_TRY(tt_ech_keys_new(&f->keys, err));
    f->timer = evtimer_new(f->opt.base, on_timer, f);
    if (f->timer == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    (void)changed(f);
    struct reading *r = reading_new(f);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = read_all(r, false, err);
    if (rc == TT_OK)
        rc = open_all(r, err);
    if (rc == TT_OK)
        rc = install(r, err);
    reading_end(r);
    return rc;
}

tt_rc ech_files_new(struct ech_files **ret, const struct ech_files_options *opt, struct tt_error *err)
{
    struct ech_files *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    f->opt = *opt;
    tt_rc rc = set_up(f, err);
    if (rc != TT_OK) {
        ech_files_free(f);
        return rc;
    }
    if (!opt->begins_later)
        look_again(f);
    *ret = f;
    return TT_OK;
}

void ech_files_use_queue(struct ech_files *f, struct sign_queue *queue)
{
    f->queue = queue;
    if (f->opt.begins_later)
        look_again(f);
}

struct tt_ech_keys *ech_files_keys(const struct ech_files *f)
{
    return f->keys;
}

void ech_files_stop(struct ech_files *f)
{
    if (f == NULL)
        return;
    if (f->timer != NULL)
        event_free(TT_TAKE(f->timer));
    if (f->reading != NULL)
        sign_job_cancel(TT_TAKE(f->reading->job));
}

void ech_files_free(struct ech_files *f)
{
    if (f == NULL)
        return;
    ech_files_stop(f);
    if (f->reading != NULL)
        reading_end(TT_TAKE(f->reading));
    tt_ech_keys_free(f->keys);
    retired_free(&f->retired);
    mem_free(f);
}
