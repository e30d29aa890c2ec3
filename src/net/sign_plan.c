/* net/sign_plan.c: order and admission. Layer: net.
 *
 * Order: by class, then by round, then by arrival. A job's round is one more than the last of its flow that
 * still waits or runs, so that a flow with one job does not wait for all of a flow with fifty (start-time
 * fair queueing with jobs of equal size).
 *
 * Admission: what is before it takes the median each. A signature that takes longer than the median is
 * expected to take as long again: so a chip that has stopped answering is noticed before its own deadline. */
#include "net/sign_plan.h"

#include <string.h>

#define MS               1000000U
#define HANGS_MEDIANS    8
#define HANGS_LEAST      (1000U * MS)
#define ADMISSION_MARGIN 16 /* of the expected time */

/* ---- lists ---- */

void job_list_append(struct job_list *list, struct sign_job *job)
{
    struct sign_job **at = &list->head;
    while (*at != NULL)
        at = &(*at)->next;
    job->next = NULL;
    *at = job;
    list->len++;
}

struct sign_job *job_list_take_first(struct job_list *list)
{
    struct sign_job *job = list->head;
    if (job != NULL) {
        list->head = job->next;
        list->len--;
    }
    return job;
}

void job_list_remove(struct job_list *list, struct sign_job *job)
{
    for (struct sign_job **at = &list->head; *at != NULL; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            list->len--;
            return;
        }
    }
}

/* ---- latency ---- */

void plan_add_latency(struct sign_plan *p, uint64_t ns)
{
    p->latencies[p->latencies_next] = ns > 0 ? ns : 1;
    p->latencies_next = (p->latencies_next + 1) % SIGN_LATENCIES;
    if (p->latencies_len < SIGN_LATENCIES)
        p->latencies_len++;
}

uint64_t plan_median(const struct sign_plan *p)
{
    uint64_t sorted[SIGN_LATENCIES];
    for (size_t n = 0; n < p->latencies_len; n++) { /* insertion sort: fifteen values */
        size_t at = n;
        for (; at > 0 && sorted[at - 1] > p->latencies[n]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = p->latencies[n];
    }
    return p->latencies_len == 0 ? 0 : sorted[p->latencies_len / 2];
}

/* ---- order ---- */

static bool goes_before(const struct sign_job *a, const struct sign_job *b)
{
    if (a->request.class != b->request.class)
        return a->request.class < b->request.class;
    return a->round < b->round;
}

static uint64_t round_of(const struct sign_plan *p, const struct sign_job *job)
{
    uint64_t round = p->round[job->request.class];
    if (job->request.flow == 0)
        return round;
    for (const struct sign_job *j = p->waiting.head; j != NULL; j = j->next)
        if (j->request.flow == job->request.flow && j->request.class == job->request.class &&
            j->round >= round)
            round = j->round + 1;
    const struct sign_job *r = p->running;
    if (r != NULL && r->request.flow == job->request.flow && r->request.class == job->request.class &&
        r->round >= round)
        round = r->round + 1;
    return round;
}

static void insert(struct sign_plan *p, struct sign_job *job)
{
    struct sign_job **at = &p->waiting.head;
    while (*at != NULL && !goes_before(job, *at))
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    p->waiting.len++;
}

struct sign_job *plan_displace(struct sign_plan *p, const struct sign_job *job)
{
    struct sign_job probe = {.request = job->request}, *last = p->waiting.head;
    probe.round = round_of(p, job);
    while (last != NULL && last->next != NULL)
        last = last->next;
    if (last == NULL || !goes_before(&probe, last))
        return NULL;
    job_list_remove(&p->waiting, last);
    return last;
}

struct sign_job *plan_next(struct sign_plan *p)
{
    struct sign_job *job = job_list_take_first(&p->waiting);
    p->running = job;
    if (job != NULL) {
        job->where = JOB_RUNNING;
        p->round[job->request.class] = job->round;
    }
    return job;
}

uint64_t plan_next_deadline(const struct sign_plan *p, const struct sign_queue *of)
{
    const struct sign_job *r = p->running;
    uint64_t next = r != NULL && r->queue == of && !r->cancelled ? r->deadline_at : 0;
    for (const struct sign_job *j = p->waiting.head; j != NULL; j = j->next)
        if (j->queue != of)
            continue;
        else if (next == 0 || j->deadline_at < next)
            next = j->deadline_at;
    return next;
}

/* ---- time ---- */

/* Until the key is free. */
static uint64_t remaining(const struct sign_plan *p, uint64_t now)
{
    if (p->running == NULL)
        return 0;
    uint64_t started = p->running->started_at, median = plan_median(p);
    uint64_t elapsed = now > started ? now - started : 0; /* it may have begun since the caller looked */
    return elapsed < median ? median - elapsed : elapsed;
}

/* How long its own part will take: nobody knows how long other work takes. */
static uint64_t cost(const struct sign_plan *p, const struct sign_job *job)
{
    return job->work.run != NULL ? 0 : plan_median(p);
}

/* How long the running signature has taken, when that is far more than it should; 0: it does not hang. Other
 * work may take as long as it likes. */
static uint64_t hangs_for(const struct sign_plan *p, uint64_t now)
{
    const struct sign_job *r = p->running;
    uint64_t elapsed = r != NULL && now > r->started_at ? now - r->started_at : 0;
    uint64_t most = plan_median(p) * HANGS_MEDIANS;
    bool hangs = r != NULL && r->work.run == NULL && elapsed > (most > HANGS_LEAST ? most : HANGS_LEAST);
    return hangs ? elapsed : 0;
}

static unsigned long long ms(uint64_t ns)
{
    return (ns + MS - 1) / MS;
}

static unsigned long long allowed_ms(const struct sign_job *job)
{
    return ms(job->deadline_at - job->submitted_at);
}

static void advise(struct tt_error *err)
{
    error_hint(err, "the key is too slow for so many at once: allow more time with --sign-deadline, or use a "
                    "faster key (p256)");
}

static void ask_the_doctor(struct tt_error *err)
{
    error_hint(err, "is the TPM well? `tpmtls doctor` tells how long its commands take");
}

static tt_rc stuck_behind(struct sign_job *job, uint64_t hangs, struct tt_error *err)
{
    job->is_stuck = true;
    (void)error_set(
        err, TT_ERR_DEADLINE,
        "the key was asked for another signature %llu ms ago and has not answered: this one waits no "
        "longer than its deadline of %llu ms",
        ms(hangs), allowed_ms(job));
    ask_the_doctor(err);
    return TT_ERR_DEADLINE;
}

static tt_rc too_late(struct sign_job *job, size_t ahead, uint64_t takes, struct tt_error *err)
{
    (void)error_set(
        err, TT_ERR_DEADLINE,
        "%zu signature%s must be made first, and this one would be there in about %llu ms: too late "
        "for its deadline of %llu ms",
        ahead, ahead == 1 ? "" : "s", ms(takes), allowed_ms(job));
    advise(err);
    return TT_ERR_DEADLINE;
}

void job_overdue(struct sign_job *job, const struct sign_plan *p, uint64_t now)
{
    uint64_t hangs = hangs_for(p, now);
    if (job->where == JOB_RUNNING) {
        job->is_stuck = job->work.run == NULL;
        (void)error_set(&job->error, TT_ERR_DEADLINE,
                        "the key was asked and gave no signature within the deadline of %llu ms",
                        allowed_ms(job));
        ask_the_doctor(&job->error);
    } else if (hangs > 0) {
        (void)stuck_behind(job, hangs, &job->error);
    } else {
        (void)error_set(&job->error, TT_ERR_DEADLINE,
                        "the deadline of %llu ms passed before it was this signature's turn",
                        allowed_ms(job));
        advise(&job->error);
    }
}

tt_rc plan_admit(struct sign_plan *p, struct sign_job *job, uint64_t now, struct tt_error *err)
{
    job->round = round_of(p, job);
    job->on_trial = p->running == NULL && p->waiting.head == NULL;
    uint64_t takes = remaining(p, now);
    size_t ahead = p->running != NULL ? 1 : 0;
    for (const struct sign_job *j = p->waiting.head; j != NULL && !goes_before(job, j); j = j->next) {
        takes += cost(p, j);
        ahead++;
    }
    takes += cost(p, job);
    /* With a margin: who is let in should not be sent away later because the key got 2% slower. */
    if (!job->on_trial && now + takes + takes / ADMISSION_MARGIN > job->deadline_at) {
        uint64_t hangs = hangs_for(p, now);
        return hangs > 0 ? stuck_behind(job, hangs, err) : too_late(job, ahead, takes, err);
    }
    insert(p, job);
    return TT_OK;
}

void plan_refuse_late(struct sign_plan *p, struct job_list *ret, uint64_t now)
{
    uint64_t takes = remaining(p, now);
    size_t ahead = p->running != NULL ? 1 : 0;
    struct sign_job **at = &p->waiting.head;
    while (*at != NULL) {
        struct sign_job *job = *at;
        bool over = now >= job->deadline_at;
        uint64_t own = cost(p, job);
        if (!over && (job->on_trial || now + takes + own <= job->deadline_at)) {
            takes += own;
            ahead++;
            at = &job->next;
            continue;
        }
        uint64_t hangs = hangs_for(p, now);
        if (over)
            job_overdue(job, p, now);
        else if (hangs > 0)
            (void)stuck_behind(job, hangs, &job->error);
        else
            (void)too_late(job, ahead, takes + own, &job->error);
        *at = job->next;
        p->waiting.len--;
        job_list_append(ret, job);
    }
}
