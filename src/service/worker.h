/* service/worker.h: the thread that owns the CA: the loop sends it questions, it sends answers. Layer:
 * service.
 *
 * Invariants
 *  - After worker_begin nobody else calls the CA (ca/ca.h: one thread at a time).
 *  - Enrolments that wait are issued together, in one transaction, and none is answered before it is durable.
 *  - All callbacks come from the loop, in the order of the questions of a kind.
 *  - What waits is bounded: beyond that it is refused at once (TT_ERR_BUSY). */
#ifndef SERVICE_WORKER_H
#define SERVICE_WORKER_H

#include <event2/event.h>

#include "ca/ca.h"
#include "est/server.h"
#include "service/attest.h"

#define WORKER_WAITING_MAX 1024
#define WORKER_TEND_S      30

struct worker;

struct worker_options {
    struct event_base *base;
    struct ca *ca; /* open, with its signer; the worker's from worker_begin on */
    struct ca_place place;
    const struct attest_desk *attest; /* of evidence; must outlive the worker; NULL: none */
    /* From the worker: for when the CA is opened again: have its keys sign for it. */
    tt_rc (*keys)(void *arg, struct ca *ca, struct tt_error *err);
    void *keys_arg;
    /* From the loop: the CRL and the like could not be made in time. May be NULL. */
    void (*tend_failed)(void *arg, const struct tt_error *err);
    void *arg;
};
TT_MUST_USE tt_rc worker_begin(struct worker **ret, const struct worker_options *opt, struct tt_error *err);
/* worker_end: what waits is done first, and answered if the loop still runs; no callback follows. Closes the
 * CA. */
void worker_end(struct worker *w);

/* ---- enrolments ---- */

/* struct worker_verdict: text: for the client; word: a ca_refusal_word, or "". */
struct worker_verdict {
    enum est_outcome outcome;
    struct tt_bytes certificate;
    const char *serial, *word, *text;
    const struct tt_error *failure; /* EST_FAILED: what the log has to say; rc TT_OK: nothing more */
};
typedef void (*worker_enrolled_fn)(void *arg, const struct worker_verdict *v);
/* worker_enroll: everything in order is copied; the password is wiped when it was used. */
TT_MUST_USE tt_rc worker_enroll(struct worker *w, const struct est_order *order, worker_enrolled_fn done,
                                void *arg, struct tt_error *err);

/* ---- anything else ---- */

/* struct worker_task: run on the worker, then done on the loop; part of the caller's own struct, which lives
 * until done. */
struct worker_task {
    tt_rc (*run)(struct worker_task *t, struct ca *ca, int64_t now, struct tt_error *err);
    void (*done)(struct worker_task *t, tt_rc rc, const struct tt_error *err);
    struct worker_task *next;
    tt_rc rc;
    struct tt_error error;
};
TT_MUST_USE tt_rc worker_do(struct worker *w, struct worker_task *task, struct tt_error *err);
/* worker_read_again: from a task's run: the CA's directory is read again (profiles, certificates), and what
 * was open is closed; on failure it stays. *ca is then the one that is open. */
TT_MUST_USE tt_rc worker_read_again(struct worker *w, struct ca **ca, struct tt_error *err);

/* worker_look: from the loop, what it has done so far. */
struct worker_counts {
    uint64_t batches, orders; /* commits, and what was in them */
    size_t waiting;
};
struct worker_counts worker_look(struct worker *w);

#endif
