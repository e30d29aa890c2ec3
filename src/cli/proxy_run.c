/* cli/proxy_run.c: from the options of tunnels, or a file of them, to a proxy that runs; and the same file
 * read again while it does. Layer: cli. */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/proxy_make.h"
#include "net/listen.h"
#include "net/loop.h"
#include "proxy/report.h"

#define WATCHED_MAX 1024

/* struct stage: all that proxy_run is given. */
struct stage {
    struct maker maker;
    const struct proxy_plan *plan;
    struct tunnel_options tunnels[PROXY_TUNNELS_MAX];
    size_t tunnels_len;
    const char *watched[WATCHED_MAX];
    size_t watched_len;
};

/* ---- materials ---- */

static void file_drop(struct held_file *f)
{
    if (f == NULL || --f->holders > 0)
        return;
    proxy_file_free(&f->file);
    mem_free(f);
}

static struct material *material_new(struct maker *m, struct held_file *file, const struct proxy_tunnel *t)
{
    struct material *x = mem_alloc(sizeof *x);
    if (x == NULL)
        return NULL;
    *x = (struct material){.maker = m, .file = file, .t = t};
    lock_take(&m->lock);
    if (file != NULL)
        file->holders++;
    x->next = m->materials;
    m->materials = x;
    lock_give(&m->lock);
    return x;
}

static void material_release(void *arg, void *maker)
{
    struct maker *m = arg;
    struct material *x = maker;
    material_end(x);
    lock_take(&m->lock);
    struct material **at = &m->materials;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    file_drop(x->file);
    lock_give(&m->lock);
    mem_free(x);
}

static bool is_same_text(const struct buf *a, const struct buf *b)
{
    return buf_size(a) == buf_size(b) &&
           (buf_size(a) == 0 || memcmp(buf_front(a), buf_front(b), buf_size(a)) == 0);
}

/* Of a tunnel that is in force and was configured like this. */
static struct material *material_find(struct maker *m, const struct proxy_tunnel *t)
{
    struct material *x;
    lock_take(&m->lock);
    for (x = m->materials; x != NULL; x = x->next)
        if (!x->has_left && x->t->role == t->role && strcmp(x->t->name, t->name) == 0 &&
            is_same_text(&x->t->text, &t->text))
            break;
    lock_give(&m->lock);
    return x;
}

/* ---- what the proxy is told of a tunnel ---- */

static const char *server_name_of(struct material *x)
{
    const struct proxy_tunnel *t = x->t;
    struct tt_error unread = {0};
    if (t->role == TT_SERVER || (t->verify_dns.len == 0 && strncmp(t->connect, "unix:", 5) == 0))
        return NULL;
    tt_rc rc = t->verify_dns.len > 0 ? address_set_host(&x->target, t->verify_dns.at[0], &unread)
                                     : address_parse(&x->target, t->connect, &unread);
    return rc == TT_OK ? x->target.name : NULL;
}

static struct tunnel_options tunnel_of(struct material *x)
{
    const struct proxy_tunnel *t = x->t;
    return (struct tunnel_options){.name = t->name,
                                   .maker = x,
                                   .role = t->role,
                                   .listen = t->listen,
                                   .connect = t->connect,
                                   .server_name = server_name_of(x),
                                   .sessions = x->sessions,
                                   .session_mode = t->resume,
                                   .burst = t->burst == BURST_ON,
                                   .proxy_protocol = t->proxy_protocol,
                                   .connect_timeout_s = (unsigned)t->connect_timeout,
                                   .handshake_timeout_s = (unsigned)t->tls.handshake_timeout,
                                   .idle_timeout_s = (unsigned)t->idle_timeout,
                                   .close_timeout_s = (unsigned)t->close_timeout,
                                   .lifetime_s = (unsigned)t->lifetime,
                                   .max_connections = t->max_connections,
                                   .delegate_s = t->tls.delegate_s};
}

/* ---- files that are watched ---- */

static void add_watched(struct stage *s, const char *path)
{
    if (path != NULL && s->watched_len < WATCHED_MAX && !cli_is_handle(path) && strcmp(path, "system") != 0)
        s->watched[s->watched_len++] = path;
}

static void add_list(struct stage *s, const struct option_list *list)
{
    for (size_t i = 0; i < list->len; i++)
        add_watched(s, list->at[i]);
}

static void watch_files(struct stage *s, const struct proxy_tunnel *t)
{
    add_list(s, &t->tls.keys);
    add_list(s, &t->tls.certs);
    add_list(s, &t->trust.ca);
    add_list(s, &t->trust.crls);
    for (size_t i = 0; i < t->tls.certs.len; i++)
        add_watched(s, t->tls.staples[i]);
    if (t->role == TT_CLIENT && t->ech.ech != NULL && access(t->ech.ech, F_OK) == 0)
        add_watched(s, t->ech.ech);
}

/* ---- the file again ---- */

static tt_rc take_tunnels(struct stage *s, struct held_file *f, struct tt_error *err)
{
    s->tunnels_len = s->watched_len = 0;
    add_watched(s, s->plan->file);
    for (size_t i = 0; i < f->file.tunnels_len; i++) {
        const struct proxy_tunnel *t = &f->file.tunnels[i];
        struct material *x = material_find(&s->maker, t);
        if (x == NULL)
            x = material_new(&s->maker, f, t);
        if (x == NULL)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        s->tunnels[s->tunnels_len++] = tunnel_of(x);
        watch_files(s, x->t);
    }
    return TT_OK;
}

static tt_rc reread(void *arg, struct proxy_tunnels *ret, struct tt_error *err)
{
    struct stage *s = (struct stage *)arg;
    struct held_file *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    f->holders = 1;
    tt_rc rc = proxy_file_read(&f->file, s->plan->file, err);
    if (rc == TT_OK && !is_same_text(&f->file.common_text, s->plan->common_text))
        report(REPORT_WARNING, NULL, "not_reloaded",
               json_pack("{s:s, s:s}", "section", "proxy", "hint", "it is read at the start alone: restart"));
    if (rc == TT_OK)
        rc = take_tunnels(s, f, err);
    lock_take(&s->maker.lock);
    file_drop(f);
    lock_give(&s->maker.lock);
    if (rc == TT_OK)
        *ret = (struct proxy_tunnels){s->tunnels, s->tunnels_len, s->watched, s->watched_len};
    return rc;
}

/* ---- the whole ---- */

static tt_rc started(void *arg, struct tt_error *err)
{
    struct maker *m = arg;
    (void)err;
    m->cli.unattended = true; /* nobody is asked for anything from now on */
    m->is_running = true;
    return TT_OK;
}

static const char *takeover_path(const struct proxy_common *c)
{
    return c->takeover != NULL ? c->takeover + strlen("unix:") : NULL;
}

static tt_rc run(struct stage *s, struct tt_error *err)
{
    const struct proxy_plan *plan = s->plan;
    unsigned long deadline = 0;
    TT_TRY(loop_new(&s->maker.base, false, err));
    if (plan->file != NULL)
        add_watched(s, plan->file);
    for (size_t i = 0; i < plan->tunnels_len; i++) {
        const struct proxy_tunnel *t = &plan->tunnels[i];
        struct material *x = material_new(&s->maker, NULL, t); /* the plan outlives it */
        if (x == NULL)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        s->tunnels[s->tunnels_len++] = tunnel_of(x);
        watch_files(s, t);
        deadline = t->tls.sign_deadline > deadline ? t->tls.sign_deadline : deadline;
    }
    const struct proxy_options opt = {.base = s->maker.base,
                                      .tunnels = s->tunnels,
                                      .tunnels_len = s->tunnels_len,
                                      .tpm = &s->maker.tpm,
                                      .sign_deadline_ms = (unsigned)deadline,
                                      .threads = (unsigned)plan->common->threads,
                                      .shutdown_timeout_s = (unsigned)plan->common->shutdown_timeout,
                                      .no_ktls = plan->common->ktls == KTLS_OFF,
                                      .takeover = takeover_path(plan->common),
                                      .status = plan->common->status,
                                      .watched = s->watched,
                                      .watched_len = s->watched_len,
                                      .make = setup_make,
                                      .unmake = setup_unmake,
                                      .reread = plan->file != NULL ? reread : NULL,
                                      .began = material_began,
                                      .left = material_left,
                                      .release = material_release,
                                      .started = started,
                                      .arg = &s->maker};
    return proxy_run(&opt, err);
}

static void tear_down(struct stage *s)
{
    while (s->maker.materials != NULL) /* of tunnels that did not come to be */
        material_release(&s->maker, s->maker.materials);
    lock_destroy(&s->maker.lock);
    tt_tpm_close(s->maker.tpm);
    if (s->maker.base != NULL)
        event_base_free(s->maker.base);
}

int proxy_start(const struct proxy_plan *plan)
{
    struct tt_error err = {0};
    struct stage *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return CLI_FAILURE;
    s->plan = plan;
    s->maker.cli = *plan->cli;
    lock_init(&s->maker.lock);
    report_begin(plan->cli->json, plan->cli->verbose);
    tt_rc rc = proxy_sandbox(plan, &err);
    if (rc == TT_OK)
        rc = run(s, &err);
    tear_down(s);
    mem_free(s);
    if (rc == TT_OK)
        return CLI_OK;
    (void)error_set(&err, rc, "the proxy could not be started");
    return cli_fail(&err);
}
