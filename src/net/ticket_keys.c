/* net/ticket_keys.c: see ticket_keys.h. Layer: net. The files are in ticket_key_file.c. */
#include "net/ticket_keys.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/rc.h"
#include "net/clock.h"
#include "net/key_files.h"

#define LOOK_AT_FILES_S 2
#define LOOK_AT_COUNT_S 10
#define DEFAULT_MAX     (1ULL << 30)
#define SUFFIX          ".key"
#define OPENING_KEYS    2 /* the current one and the previous one */

struct ticket_keys {
    struct ticket_keys_options opt;
    struct event *timer;
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS];
    size_t n;
    uint64_t made_at;                             /* random: clock_monotonic_ns */
    int64_t epoch;                                /* root: of keys[0] */
    char files[TT_MAX_TICKET_KEYS][NAME_MAX + 1]; /* directory: where each key was */
    struct key_files_state seen;
    bool is_failing;        /* told already */
    struct root_work *work; /* root: on the queue */
};

static void tell(const struct ticket_keys *k, const char *text, bool is_trouble)
{
    if (k->opt.told != NULL)
        k->opt.told(k->opt.arg, text, is_trouble);
}

static tt_rc install(struct ticket_keys *k)
{
    return tt_tickets_set_keys(k->opt.tickets, k->keys, k->n);
}

/* ---- random ---- */

tt_rc ticket_key_draw(struct tt_ticket_key *ret)
{
    struct tt_ticket_key key;
    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        return TT_ERR_INTERNAL;
    *ret = key;
    mem_wipe(&key, sizeof key);
    return TT_OK;
}

static tt_rc rotate(struct ticket_keys *k)
{
    struct tt_ticket_key fresh;
    TT_TRY(ticket_key_draw(&fresh));
    k->keys[1] = k->keys[0];
    k->keys[0] = fresh;
    k->n = k->n < OPENING_KEYS ? k->n + 1 : OPENING_KEYS;
    k->made_at = clock_monotonic_ns();
    mem_wipe(&fresh, sizeof fresh);
    return install(k);
}

static void rotate_when_due(struct ticket_keys *k)
{
    uint64_t age = clock_monotonic_ns() - k->made_at;
    bool is_due = age >= (uint64_t)k->opt.rotation_s * 1000000000U ||
                  tt_tickets_sealed(k->opt.tickets) >= k->opt.max_sealed;
    bool is_done = is_due && rotate(k) == TT_OK;
    if (is_due)
        tell(k, is_done ? "a new ticket key is in use" : "no new ticket key could be drawn", !is_done);
}

/* ---- a file or a directory ---- */

/* struct key_set: what was found. */
struct key_set {
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS];
    char files[TT_MAX_TICKET_KEYS][NAME_MAX + 1];
    size_t n;
};

static void add_keys(struct key_set *to, const struct tt_ticket_key *keys, size_t n, const char *name)
{
    for (size_t i = 0; i < n && to->n < TT_MAX_TICKET_KEYS; i++, to->n++) {
        to->keys[to->n] = keys[i];
        (void)snprintf(to->files[to->n], sizeof to->files[0], "%s", name);
    }
}

/* The file is there and cannot be read: what was in it stays. */
static void add_former(struct key_set *to, const struct ticket_keys *k, const char *name)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->files[i], name) == 0)
            add_keys(to, &k->keys[i], 1, name);
}

/* name is its place in the directory, "" for a file that was named itself. */
static tt_rc read_file(struct key_set *to, const struct ticket_keys *k, const char *file, const char *name,
                       struct tt_error *err)
{
    struct tt_ticket_key keys[TT_MAX_TICKET_KEYS];
    struct tt_error why = {0};
    size_t n = 0;
    tt_rc rc = ticket_key_file_read(keys, &n, file, &why);
    if (rc == TT_OK)
        add_keys(to, keys, n, name);
    else if (rc != TT_ERR_NOT_FOUND)
        add_former(to, k, name);
    mem_wipe(keys, sizeof keys);
    if (rc != TT_OK) {
        error_hint(err, "%s", why.hint);
        (void)error_set(err, rc, "%s", why.text);
    }
    return rc;
}

/* The last names first, until there are as many keys as the engine takes. The first trouble is told; what
 * else is there counts all the same. */
static tt_rc read_directory(struct key_set *to, const struct ticket_keys *k, struct tt_error *err)
{
    struct key_files files;
    TT_TRY(key_files_list(&files, k->opt.path, SUFFIX, err));
    tt_rc first =
        files.n > 0 ? TT_OK : error_set(err, TT_ERR_NOT_FOUND, "there is no *.key file in %s", k->opt.path);
    for (size_t i = 0; i < files.n && to->n < TT_MAX_TICKET_KEYS; i++) {
        char file[PATH_MAX];
        (void)snprintf(file, sizeof file, "%s/%s", k->opt.path, files.names[i]);
        tt_rc rc = read_file(to, k, file, files.names[i], err);
        first = first == TT_OK ? rc : first;
    }
    return first;
}

/* What was found is in use, also when something is wrong with the rest; nothing is, when nothing is there. */
static tt_rc read_path(struct ticket_keys *k, struct tt_error *err)
{
    struct key_set set = {.n = 0};
    struct stat st;
    bool is_there = stat(k->opt.path, &st) == 0, is_directory = is_there && S_ISDIR(st.st_mode);
    tt_rc rc = is_directory ? read_directory(&set, k, err) : read_file(&set, k, k->opt.path, "", err);
    bool is_known = rc == TT_OK || rc == TT_ERR_NOT_FOUND || set.n > 0;
    if (is_known) {
        memcpy(k->keys, set.keys, sizeof set.keys);
        memcpy(k->files, set.files, sizeof set.files);
        k->n = set.n;
        if (install(k) != TT_OK)
            rc = error_set(err, TT_ERR_INTERNAL, "the ticket keys could not be set");
    }
    mem_wipe(&set, sizeof set);
    return rc;
}

static void read_when_changed(struct ticket_keys *k)
{
    struct tt_error err = {0};
    bool same = !key_files_changed(&k->seen, k->opt.path, SUFFIX);
    if (same && !k->is_failing)
        return;
    tt_rc rc = read_path(k, &err);
    if (rc == TT_OK) {
        tell(k, "the ticket keys were read again", false);
    } else if (!same) {
        char text[2 * sizeof err.text];
        (void)snprintf(text, sizeof text, "%s: %s",
                       k->n == 0 ? "no ticket key is in use any more"
                                 : "the ticket keys stay as they were, where they cannot be read",
                       err.text);
        tell(k, text, true);
    }
    k->is_failing = rc != TT_OK;
}

/* ---- a root in the TPM ---- */

static int64_t epoch_now(const struct ticket_keys *k)
{
    return clock_wall_ms() / 1000 / k->opt.rotation_s;
}

/* A label, then the epoch as eight bytes. */
static tt_rc derive(uint8_t ret[32], struct tt_hmac *root, const char *label, int64_t epoch,
                    struct tt_error *err)
{
    uint8_t data[64];
    size_t n = strlen(label) + 1;
    memcpy(data, label, n);
    for (int i = 0; i < 8; i++)
        data[n + (size_t)i] = (uint8_t)((uint64_t)epoch >> (56 - 8 * i));
    return tt_hmac_compute(root, ret, (struct tt_bytes){data, n + 8}, true, err);
}

static tt_rc derive_key(struct tt_ticket_key *ret, struct tt_hmac *root, int64_t epoch, struct tt_error *err)
{
    uint8_t name[32];
    TT_TRY(derive(name, root, "tpmtls ticket key name", epoch, err));
    TT_TRY(derive(ret->key, root, "tpmtls ticket key", epoch, err));
    memcpy(ret->name, name, sizeof ret->name);
    return TT_OK;
}

static void install_epoch(struct ticket_keys *k, const struct tt_ticket_key *fresh, int64_t epoch)
{
    k->keys[1] = k->keys[0];
    k->keys[0] = *fresh;
    k->n = k->n < OPENING_KEYS ? k->n + 1 : OPENING_KEYS;
    k->epoch = epoch;
    if (install(k) == TT_OK)
        tell(k, "the ticket key of a new epoch is in use", false);
}

/* struct root_work: the key of the next epoch, being computed on the queue's thread. */
struct root_work {
    struct ticket_keys *keys;
    struct tt_hmac *root;
    struct sign_job *job;
    int64_t epoch;
    struct tt_ticket_key key;
    atomic_uint holders; /* the loop's and the queue's */
};

static void work_drop(void *arg)
{
    struct root_work *w = arg;
    if (atomic_fetch_sub_explicit(&w->holders, 1, memory_order_acq_rel) == 1)
        mem_free(w); /* wipes */
}

static tt_rc root_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct root_work *w = arg;
    (void)tpm;
    return derive_key(&w->key, w->root, w->epoch, err);
}

static void root_done(void *arg, const struct sign_answer *answer)
{
    struct root_work *w = arg;
    struct ticket_keys *k = w->keys;
    k->work = NULL;
    if (answer->error.rc == TT_OK)
        install_epoch(k, &w->key, w->epoch);
    else if (!k->is_failing)
        tell(k, answer->error.text, true);
    k->is_failing = answer->error.rc != TT_OK;
    work_drop(w);
}

static void derive_when_due(struct ticket_keys *k)
{
    int64_t epoch = epoch_now(k);
    struct tt_error err = {0};
    if (epoch == k->epoch || k->work != NULL || k->opt.queue == NULL)
        return;
    struct root_work *w = mem_alloc(sizeof *w);
    if (w == NULL)
        return;
    *w = (struct root_work){.keys = k, .root = k->opt.root, .epoch = epoch};
    atomic_init(&w->holders, 2);
    const struct sign_work work = {.run = root_run, .release = work_drop, .arg = w};
    const struct sign_request request = {.work = &work, .class = SIGN_OTHER, .done = root_done, .arg = w};
    if (sign_queue_submit(k->opt.queue, &w->job, &request, &err) == TT_OK)
        k->work = w;
    else
        mem_free(w); /* the next look tries again */
}

static tt_rc first_epochs(struct ticket_keys *k, struct tt_error *err)
{
    k->epoch = epoch_now(k);
    TT_TRY(derive_key(&k->keys[0], k->opt.root, k->epoch, err));
    TT_TRY(derive_key(&k->keys[1], k->opt.root, k->epoch - 1, err));
    k->n = OPENING_KEYS;
    return install(k);
}

/* ---- the whole ---- */

static void look_again(const struct ticket_keys *k)
{
    unsigned seconds = k->opt.path != NULL || k->opt.root != NULL ? LOOK_AT_FILES_S : LOOK_AT_COUNT_S;
    const struct timeval t = {.tv_sec = seconds < k->opt.rotation_s ? seconds : k->opt.rotation_s};
    (void)event_add(k->timer, &t);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ticket_keys *k = arg;
    (void)fd;
    (void)what;
    if (k->opt.path != NULL)
        read_when_changed(k);
    else if (k->opt.root != NULL)
        derive_when_due(k);
    else
        rotate_when_due(k);
    look_again(k);
}

static tt_rc first_keys(struct ticket_keys *k, struct tt_error *err)
{
    if (k->opt.path == NULL && k->opt.root == NULL)
        return rotate(k) == TT_OK ? TT_OK : error_set(err, TT_ERR_INTERNAL, "no ticket key could be drawn");
    if (k->opt.root != NULL)
        return first_epochs(k, err);
    (void)key_files_changed(&k->seen, k->opt.path, SUFFIX);
    return read_path(k, err);
}

tt_rc ticket_keys_new(struct ticket_keys **ret, const struct ticket_keys_options *opt, struct tt_error *err)
{
    struct ticket_keys *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    k->opt = *opt;
    k->opt.max_sealed = opt->max_sealed != 0 ? opt->max_sealed : DEFAULT_MAX;
    k->timer = evtimer_new(opt->base, on_timer, k);
    tt_rc rc = k->timer != NULL ? first_keys(k, err) : error_set(err, TT_ERR_MEMORY, "out of memory");
    if (rc != TT_OK) {
        ticket_keys_free(k);
        return rc;
    }
    if (!opt->begins_later)
        look_again(k);
    *ret = k;
    return TT_OK;
}

void ticket_keys_use_queue(struct ticket_keys *k, struct sign_queue *queue)
{
    k->opt.queue = queue;
    if (k->opt.begins_later)
        look_again(k);
}

void ticket_keys_free(struct ticket_keys *k)
{
    if (k == NULL)
        return;
    if (k->timer != NULL)
        event_free(k->timer);
    if (k->work != NULL) {
        sign_job_cancel(k->work->job);
        work_drop(k->work);
    }
    mem_free(k);
}
