/* net/sign_plan.h: which job is next, and which one cannot be done in time. Layer: net; for sign_queue.c and
 * sign_worker.c. No threads and no clocks: the callers hold the lock and say what time it is. */
#ifndef NET_SIGN_PLAN_H
#define NET_SIGN_PLAN_H

#include "net/sign_queue.h"

#define SIGN_LATENCIES 15 /* signatures whose median counts as "recent" */

struct sign_job {
    struct sign_queue *queue;
    struct sign_job *next;
    struct sign_request request;
    struct sign_work work; /* run is NULL: a signature */
    uint8_t *message;      /* owned copy */
    enum {
        JOB_WAITING,
        JOB_RUNNING,
        JOB_FINISHED
    } where;
    bool cancelled; /* while running: nobody waits for it any more */
    bool on_trial;  /* found the key idle: only a try tells whether it is still as slow as it was */
    bool is_stuck;  /* failed because the key does not answer, not because others were before it */
    uint64_t round; /* its flow's turn */
    uint64_t submitted_at, started_at, finished_at, deadline_at;
    struct tt_error error;
    struct tt_tpm_event commands[SIGN_MAX_COMMANDS];
    size_t commands_len;
    uint8_t *signature; /* owned */
    size_t signature_len;
};

struct job_list {
    struct sign_job *head;
    size_t len;
};
void job_list_append(struct job_list *list, struct sign_job *job);
struct sign_job *job_list_take_first(struct job_list *list);
void job_list_remove(struct job_list *list, struct sign_job *job);

struct sign_plan {
    struct job_list waiting;      /* in the order in which they will run */
    struct sign_job *running;     /* or NULL */
    uint64_t round[SIGN_CLASSES]; /* of the job that was started last */
    uint64_t latencies[SIGN_LATENCIES];
    size_t latencies_len, latencies_next;
};

void plan_add_latency(struct sign_plan *p, uint64_t ns);
/* plan_median: 0: not known yet. */
uint64_t plan_median(const struct sign_plan *p);

/* plan_admit: TT_ERR_DEADLINE with a sentence when the job could not be done in time behind those that would
 * go before it; else it is put where it belongs. */
tt_rc plan_admit(struct sign_plan *p, struct sign_job *job, uint64_t now, struct tt_error *err);
/* plan_refuse_late: move those that cannot be done in time any more from the waiting list to `ret`, with
 * their sentences. */
void plan_refuse_late(struct sign_plan *p, struct job_list *ret, uint64_t now);
/* plan_displace: the queue is full: take out the last job if `job` would go before it, else NULL. */
struct sign_job *plan_displace(struct sign_plan *p, const struct sign_job *job);
/* plan_next: the job to run, which is `running` from now on; NULL when there is none. */
struct sign_job *plan_next(struct sign_plan *p);
/* plan_next_deadline: of all of this queue that wait or run; 0 when there are none. */
uint64_t plan_next_deadline(const struct sign_plan *p, const struct sign_queue *of);

/* job_overdue: the sentence for one whose time is over, by what the key is at. */
void job_overdue(struct sign_job *job, const struct sign_plan *p, uint64_t now);

#endif
