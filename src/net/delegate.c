/* net/delegate.c: see delegate.h. Layer: net. RFC 9345 section 3: "the maximum validity period is set to 7
 * days"; section 5.1: the clocks of peers are not ours. */
#include "net/delegate.h"

#include "base/rc.h"
#include "net/clock.h"

/* What a peer's clock may be behind ours: it would take a credential of the whole 7 days for a longer one. */
#define SKEW_S 300

struct delegator {
    struct delegate_options opt;
    struct event *timer;
    struct sign_job *job;
    uint16_t scheme;               /* of the certificate's key */
    struct tt_credential *pending; /* waits for its signature */
    int64_t valid_until;           /* of the pending one */
};

static void key_release(void *key)
{
    tt_key_free(key);
}

/* A new key, and the credential for it that lacks its signature. */
static tt_rc pending_make(struct delegator *d, struct tt_error *err)
{
    struct tt_key *fresh = NULL;
    int64_t now = clock_wall_s(), until = now + d->opt.lifetime_s,
            end = tt_delegation_not_after(d->opt.delegation);
    if (until > now + DELEGATE_MAX_S - SKEW_S)
        until = now + DELEGATE_MAX_S - SKEW_S;
    d->valid_until = until < end ? until : end;
    TT_TRY(tt_key_create_software(&fresh, TT_KEY_P256, err));
    const struct tt_credential_params params = {.now = now,
                                                .valid_until = d->valid_until,
                                                .spki = tt_key_spki(fresh),
                                                .key_scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                                .scheme = d->scheme,
                                                .key = fresh,
                                                .release = key_release};
    tt_rc rc = tt_credential_new(&d->pending, d->opt.delegation, &params, err);
    if (rc != TT_OK)
        tt_key_free(fresh);
    return rc;
}

/* Long before the end: half of the time is left for attempts that fail. */
static void plan_next(struct delegator *d, bool is_renewed)
{
    unsigned wait_s = is_renewed ? d->opt.lifetime_s / 2 : d->opt.lifetime_s / 16;
    if (!is_renewed && wait_s > 60)
        wait_s = 60;
    const struct timeval when = {.tv_sec = wait_s > 0 ? wait_s : 1};
    (void)event_add(d->timer, &when);
}

static void attempt_ended(struct delegator *d, const struct sign_answer *answer, const struct tt_error *error)
{
    struct delegate_report report = {.error = error, .valid_until = d->valid_until};
    if (answer != NULL) {
        report.commands = answer->commands;
        report.commands_len = answer->commands_len;
    }
    tt_credential_free(TT_TAKE(d->pending));
    plan_next(d, error->rc == TT_OK);
    if (d->opt.told != NULL)
        d->opt.told(d->opt.arg, &report); /* last: it may free d */
}

static void on_signed(void *arg, const struct sign_answer *answer)
{
    struct delegator *d = arg;
    struct tt_error err = answer->error;
    d->job = NULL;
    if (err.rc == TT_OK && tt_delegation_use(d->opt.delegation, d->pending, answer->signature, &err) == TT_OK)
        d->pending = NULL;
    attempt_ended(d, answer, &err);
}

static tt_rc attempt(struct delegator *d, struct tt_error *err)
{
    TT_TRY(pending_make(d, err));
    const struct sign_request request = {.key = d->opt.key,
                                         .scheme = d->scheme,
                                         .message = tt_credential_to_sign(d->pending),
                                         .class = SIGN_OTHER,
                                         .done = on_signed,
                                         .arg = d};
    return sign_queue_submit(d->opt.queue, &d->job, &request, err);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct delegator *d = arg;
    struct tt_error err = {0};
    (void)fd;
    (void)what;
    if (attempt(d, &err) != TT_OK)
        attempt_ended(d, NULL, &err);
}

tt_rc delegate_start(struct delegator **ret, const struct delegate_options *opt, struct tt_error *err)
{
    struct delegator *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    static const struct timeval at_once;
    d->opt = *opt;
    if (d->opt.lifetime_s == 0)
        d->opt.lifetime_s = DELEGATE_DEFAULT_S;
    (void)tt_key_schemes(opt->key, &d->scheme, 1); /* an identity's key has one */
    d->timer = evtimer_new(opt->base, on_timer, d);
    if (d->timer == NULL || event_add(d->timer, &at_once) != 0) {
        delegate_free(d);
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    }
    *ret = d;
    return TT_OK;
}

void delegate_free(struct delegator *d)
{
    if (d == NULL)
        return;
    sign_job_cancel(d->job);
    if (d->timer != NULL)
        event_free(d->timer);
    tt_credential_free(d->pending);
    mem_free(d);
}
