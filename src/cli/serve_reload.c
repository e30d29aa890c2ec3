/* cli/serve_reload.c: the files of `tpmtls serve`, read again. Layer: cli. On SIGHUP, and when one has
 * changed: a renewed certificate, key, CA or CRL counts for connections to come, as a whole or, when anything
 * of it cannot be used, not at all: that is said, and what was in force stays. Nothing is asked of anybody,
 * and nothing is read that cannot be read twice. */
#include "cli/serve.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "net/clock.h"
#include "net/key_files.h"

#define LOOK_S    2
#define DAY_S     86400
#define PATHS_MAX (3 * TLS_IDENTITIES + 2 * TRUST_OPTION_VALUES)

struct serve_reload {
    struct serve *serve;
    struct event *timer;
    const char *paths[PATHS_MAX];
    struct key_files_state seen[PATHS_MAX];
    size_t n;
    bool is_due;     /* when all stood still for one look */
    bool is_asked;   /* by SIGHUP, while it went on */
    bool is_waiting; /* for what passes, and that was said */
    int64_t told_at; /* of the ends of certificates */
    struct reading *reading;
};

/* struct reading: one attempt, on the queue's thread. */
struct reading {
    struct serve *serve;
    struct generation *fresh;
    struct sign_job *job;
    atomic_uint holders; /* the loop's and the queue's */
};

/* ---- what is watched ---- */

static void watch(struct serve_reload *r, const char *path)
{
    if (path != NULL && !cli_is_handle(path) && r->n < PATHS_MAX)
        r->paths[r->n++] = path;
}

static void watch_all(struct serve_reload *r)
{
    const struct serve_options *o = r->serve->options;
    for (size_t i = 0; i < o->tls.keys.len; i++)
        watch(r, o->tls.keys.at[i]);
    for (size_t i = 0; i < o->tls.certs.len; i++) {
        watch(r, o->tls.certs.at[i]);
        watch(r, o->tls.staples[i]);
    }
    for (size_t i = 0; i < o->trust.ca.len; i++)
        watch(r, strcmp(o->trust.ca.at[i], "system") == 0 ? TRUST_SYSTEM_STORE : o->trust.ca.at[i]);
    for (size_t i = 0; i < o->trust.crls.len; i++)
        watch(r, o->trust.crls.at[i]);
}

static bool changed(struct serve_reload *r)
{
    bool any = false;
    for (size_t i = 0; i < r->n; i++)
        any = key_files_changed(&r->seen[i], r->paths[i], "") || any;
    return any;
}

/* Standard input and pipes were read at the start, and would keep the TPM's thread waiting. */
static tt_rc check_paths(const struct serve_reload *r, struct tt_error *err)
{
    for (size_t i = 0; i < r->n; i++) {
        struct stat st;
        if (strcmp(r->paths[i], "-") == 0 ||
            (stat(r->paths[i], &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
            return error_set(err, TT_ERR_USAGE, "%s is no file that can be read again", r->paths[i]);
    }
    return TT_OK;
}

/* ---- what is said ---- */

static void tell(const struct serve *serve, const struct tt_error *err)
{
    bool ok = err->rc == TT_OK;
    if (serve->cli->json)
        cli_event(json_pack("{s:s, s:o, s:o}", "event", "reloaded", "error",
                            cli_json_text(ok ? NULL : err->text), "hint",
                            cli_json_text(ok || err->hint[0] == '\0' ? NULL : err->hint)));
    else if (ok)
        cli_note("certificates, keys, CAs and CRLs were read again");
    else
        cli_note("certificates, keys, CAs and CRLs stay as they were: %s", err->text);
    if (!ok && !serve->cli->json && err->hint[0] != '\0')
        cli_hint("%s", err->hint);
}

static void say_ends(struct serve_reload *r)
{
    int64_t now = clock_wall_s();
    const struct serve *serve = r->serve;
    r->told_at = now;
    tls_identities_say_ends(&serve->current->identities, &serve->options->tls, now);
}

/* Once a day, and at the hour of a certificate's end. */
static void say_ends_when_due(struct serve_reload *r)
{
    int64_t now = clock_wall_s();
    bool due = now - r->told_at >= DAY_S;
    const struct tls_identities *ids = &r->serve->current->identities;
    for (size_t i = 0; i < ids->len; i++)
        due =
            due || (ids->ends[i].number > 0 && r->told_at <= ids->ends[i].until && now > ids->ends[i].until);
    if (due)
        say_ends(r);
}

/* ---- reading ---- */

static tt_rc reading_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    struct reading *x = arg;
    (void)tpm;
    return generation_next(&x->fresh, x->serve, err);
}

static bool reading_drop(struct reading *x)
{
    return atomic_fetch_sub_explicit(&x->holders, 1, memory_order_acq_rel) == 1;
}

/* On the queue's thread when there is something to end. */
static void reading_release(void *arg)
{
    struct reading *x = arg;
    if (!reading_drop(x))
        return;
    generation_end(x->fresh);
    mem_free(x);
}

/* On the loop. What comes too late to be used ends on the queue's thread. */
static void reading_leave(struct reading *x)
{
    if (!reading_drop(x))
        return;
    if (x->fresh != NULL)
        generation_drop(generation_hold(x->fresh));
    mem_free(x);
}

/* Not the files are at fault. */
static bool is_passing(tt_rc rc)
{
    return rc == TT_ERR_BUSY || rc == TT_ERR_DEADLINE || rc == TT_ERR_MEMORY;
}

static void delegate_again(struct serve *serve)
{
    struct tt_error err = {0};
    if (serve->current->identities.delegation == NULL)
        return;
    if (cli_delegate_start(&serve->delegate, serve->base, serve->signer, &serve->current->identities,
                           &serve->options->tls, &err) != TT_OK)
        (void)cli_fail(&err);
}

static void reading_done(void *arg, const struct sign_answer *answer)
{
    struct reading *x = arg;
    struct serve *serve = x->serve;
    struct serve_reload *r = serve->reload;
    r->reading = NULL;
    bool ok = answer->error.rc == TT_OK, passes = is_passing(answer->error.rc);
    if (ok) {
        delegate_free(TT_TAKE(serve->delegate.delegator)); /* it has the former key */
        generation_use(serve, TT_TAKE(x->fresh));
        delegate_again(serve);
    }
    if (!passes || !r->is_waiting)
        tell(serve, &answer->error);
    r->is_waiting = passes;
    r->is_due = r->is_due || passes;
    if (ok)
        say_ends(r);
    reading_leave(x);
    if (r->is_asked)
        serve_reload_now(serve);
}

static tt_rc reading_start(struct serve_reload *r, struct tt_error *err)
{
    struct serve *serve = r->serve;
    TT_TRY(check_paths(r, err));
    struct reading *x = mem_alloc(sizeof *x);
    if (x == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    x->serve = serve;
    atomic_init(&x->holders, 2);
    const struct sign_work work = {.run = reading_run, .release = reading_release, .arg = x};
    const struct sign_request request = {.work = &work,
                                         .class = SIGN_OTHER,
                                         .deadline_ms = cli_patience_ms(serve->cli),
                                         .done = reading_done,
                                         .arg = x};
    tt_rc rc = sign_queue_submit(serve->signer, &x->job, &request, err);
    if (rc == TT_OK)
        r->reading = x;
    else
        mem_free(x); /* the queue did not take it */
    return rc;
}

void serve_reload_now(struct serve *serve)
{
    struct serve_reload *r = serve->reload;
    struct tt_error err = {0};
    r->is_asked = r->reading != NULL; /* which may have read what was changed since */
    if (r->is_asked)
        return;
    (void)changed(r);
    r->is_due = false;
    tt_rc rc = reading_start(r, &err);
    if (rc == TT_OK)
        return;
    (void)error_set(&err, rc, "they could not be read");
    tell(serve, &err);
}

/* ---- its life ---- */

static void look_again(struct serve_reload *r)
{
    const struct timeval t = {.tv_sec = LOOK_S};
    (void)event_add(r->timer, &t);
}

/* Files that belong together are seldom replaced at once: when nothing changes any more they are read. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct serve_reload *r = arg;
    (void)fd;
    (void)what;
    if (changed(r))
        r->is_due = true;
    else if (r->is_due)
        serve_reload_now(r->serve);
    say_ends_when_due(r);
    look_again(r);
}

tt_rc serve_reload_start(struct serve *serve, struct tt_error *err)
{
    struct serve_reload *r = mem_alloc(sizeof *r);
    serve->reload = r;
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    r->serve = serve;
    r->told_at = clock_wall_s();
    watch_all(r);
    (void)changed(r);
    r->timer = evtimer_new(serve->base, on_timer, r);
    if (r->timer == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    look_again(r);
    return TT_OK;
}

void serve_reload_stop(struct serve *serve)
{
    struct serve_reload *r = serve->reload;
    if (r == NULL)
        return;
    if (r->timer != NULL)
        event_free(r->timer);
    if (r->reading != NULL) {
        struct reading *x = r->reading;
        sign_job_cancel(x->job);
        reading_leave(x);
    }
    mem_free(TT_TAKE(serve->reload));
}
