/* service/board.c: what the operator's page says, gathered from the CA. Layer: service. */
#include "service/board.h"

#include <stdio.h>
#include <string.h>

#define DAY        86400
#define WEEK       (7 * DAY)
#define ENDING_S   (30 * DAY)
#define ENDING_MAX 2000 /* that are looked at for the soonest */

static tt_rc on_request(void *arg, const struct ca_request *r)
{
    struct board *b = arg;
    struct board_request *to = &b->waiting[b->waiting_len];
    if (b->waiting_len == BOARD_ROWS)
        return TT_OK;
    b->waiting_len++;
    (void)snprintf(to->id, sizeof to->id, "%s", r->id);
    (void)snprintf(to->subject, sizeof to->subject, "%s", r->subject);
    (void)snprintf(to->names, sizeof to->names, "%s", r->names);
    (void)snprintf(to->profile, sizeof to->profile, "%s", r->profile);
    (void)snprintf(to->from, sizeof to->from, "%s", r->address);
    (void)snprintf(to->key, sizeof to->key, "%s", r->key);
    to->made = r->made;
    to->attested = r->attested;
    return TT_OK;
}

static void take_entry(struct board_entry *to, const struct ca_entry *e)
{
    (void)snprintf(to->serial, sizeof to->serial, "%s", e->serial);
    (void)snprintf(to->subject, sizeof to->subject, "%s", e->subject);
    (void)snprintf(to->names, sizeof to->names, "%s", e->names);
    (void)snprintf(to->profile, sizeof to->profile, "%s", e->profile);
    to->revoked = e->revoked;
    to->not_after = e->not_after;
    to->reason = e->reason;
}

static tt_rc on_revoked(void *arg, const struct ca_entry *e)
{
    struct board *b = arg;
    if (b->revoked_len < BOARD_ROWS)
        take_entry(&b->revoked[b->revoked_len++], e);
    return TT_OK;
}

/* The soonest, in their order. */
static tt_rc on_ending(void *arg, const struct ca_entry *e)
{
    struct board *b = arg;
    size_t at = b->ending_len < BOARD_ROWS ? b->ending_len++ : BOARD_ROWS;
    for (; at > 0 && b->ending[at - 1].not_after > e->not_after; at--)
        if (at < BOARD_ROWS)
            b->ending[at] = b->ending[at - 1];
    if (at < BOARD_ROWS)
        take_entry(&b->ending[at], e);
    return TT_OK;
}

static tt_rc on_act(void *arg, const struct ca_act *a)
{
    struct board *b = arg;
    if (b->acts_len == BOARD_ROWS)
        return TT_OK;
    struct board_act *to = &b->acts[b->acts_len++];
    to->number = a->number;
    (void)snprintf(to->line, sizeof to->line, "%s", a->line);
    return TT_OK;
}

static tt_rc gather_name(struct board *b, const struct ca *ca, struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, ca_certificate(ca), err));
    (void)snprintf(b->name, sizeof b->name, "%s", info->subject);
    b->ca_not_after = info->not_after;
    tt_cert_info_free(info);
    return TT_OK;
}

tt_rc board_gather(struct board *ret, struct ca *ca, int64_t now, struct tt_error *err)
{
    const struct ca_request_filter waiting = {.state = "pending", .limit = BOARD_ROWS};
    const struct ca_filter revoked = {.state = "revoked", .newest = true, .limit = BOARD_ROWS};
    const struct ca_filter ending = {
        .state = "valid", .expires_after = now, .expires_before = now + ENDING_S, .limit = ENDING_MAX};
    *ret = (struct board){.now = now};
    TT_TRY(gather_name(ret, ca, err));
    TT_TRY(ca_count(ca, &ret->counts, now, err));
    TT_TRY(ca_histogram(ca, ret->expiry, BOARD_WEEKS, false, now, 2 * (int64_t)WEEK, err));
    TT_TRY(ca_histogram(ca, ret->issued, BOARD_HOURS, true, now - BOARD_HOURS * 3600, 3600, err));
    TT_TRY(ca_requests(ca, &waiting, on_request, ret, err));
    TT_TRY(ca_list(ca, &revoked, now, on_revoked, ret, err));
    TT_TRY(ca_list(ca, &ending, now, on_ending, ret, err));
    return ca_acts(ca, true, BOARD_ROWS, on_act, ret, err);
}
