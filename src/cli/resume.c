/* cli/resume.c: see resume.h. Layer: cli. */
#include "cli/resume.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "cli/trace.h"
#include "net/clock.h"

#define KEEP_DEADLINE_MS 60000 /* a slow TPM takes two keys in this time */

#define TO(member) OPTION_TO(struct resume_options, member)

const struct option_row resume_rows[] = {
    {"resume", NULL,
     "keep tickets to resume with: sealed (on disk, under a key that only this TPM unseals), held (on disk, "
     "the secret in "
     "the TPM for ever; SHA-256 suites), memory, off (the default). Kept in $XDG_STATE_HOME/tpmtls/sessions",
     TO(mode), .choices = "off memory sealed held"},
    {"resume-pcrs", "PCRS", "sealed: only while these PCRs keep their present values, such as sha256:0,7",
     TO(pcrs), .needs = "resume"},
    {"early-data", "FILE",
     "send FILE in the first flight (0-RTT), where a ticket allows it; whoever sees it may send it again, "
     "and a server "
     "may act on it twice",
     TO(early_data), .needs = "resume", .why = "it is sent with a ticket"},
    {"early-data-retry", NULL, "send what was not accepted so as ordinary data instead of failing",
     TO(early_retry), .needs = "early-data"},
    {0},
};

tt_rc resume_begin(struct resume *r, const struct cli *cli, const struct resume_options *o,
                   struct tt_error *err)
{
    r->cli = cli;
    r->options = o;
    r->mode = o->mode;
    if (o->pcrs != NULL && r->mode != SESSIONS_SEALED)
        return error_set(err, TT_ERR_USAGE, "--resume-pcrs goes with --resume sealed");
    if (o->early_data == NULL)
        return TT_OK;
    if (r->mode == SESSIONS_OFF)
        return error_set(err, TT_ERR_USAGE, "--early-data needs --resume: it is sent with a ticket");
    if (r->mode == SESSIONS_HELD)
        return error_set(err, TT_ERR_USAGE,
                         "--early-data does not go with --resume held: its secrets come from the PSK itself, "
                         "which is not there");
    return cli_read_file(&r->early, &r->early_len, o->early_data, err);
}

tt_rc resume_config(const struct resume *r, struct tt_config *cfg, const struct tls_options *o,
                    struct tt_error *err)
{
    static const uint16_t sha256[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_CHACHA20_POLY1305_SHA256};
    if (r->mode != SESSIONS_HELD || o->suites != NULL)
        return TT_OK;
    tt_rc rc = tt_config_set_suites(cfg, sha256, TT_COUNT(sha256));
    return rc == TT_OK ? rc : error_set(err, rc, "this build has no suite whose sessions can be held");
}

static void tell_unusable(const char *what, const struct tt_error *why)
{
    cli_note("%s: %s", what, why->text);
    if (why->hint[0] != '\0')
        cli_hint("%s", why->hint);
}

static void take(struct resume *r)
{
    struct tt_error why = {0};
    tt_rc rc = session_store_take(r->store, &r->taken, &r->key, r->early != NULL, clock_wall_ms(), &why);
    if (rc == TT_OK && r->taken.holder != NULL) {
        rc = held_load(r->taken.holder, &why);
        if (rc != TT_OK)
            session_taken_free(&r->taken); /* such as of another TPM, or of this one before it was cleared */
    }
    if (rc != TT_OK)
        tell_unusable("no session can be used, so this will be a full handshake", &why);
    else if (r->cli->verbose > 0)
        cli_note("%s: %s", r->peer,
                 r->taken.session != NULL ? "a session is offered" : "no session is there");
}

tt_rc resume_open(struct resume *r, struct tt_tpm **tpm, const struct resume_peer *peer, struct tt_error *err)
{
    struct tt_error why = {0};
    if (r->mode == SESSIONS_OFF)
        return TT_OK;
    if (r->mode != SESSIONS_IN_MEMORY && *tpm == NULL) {
        TT_TRY(cli_open_tpm(&r->own_tpm, r->cli, err));
        *tpm = r->own_tpm;
    }
    (void)snprintf(r->peer, sizeof r->peer, "%s", peer->address);
    r->key.peer = r->peer;
    r->key.server_name = peer->server_name;
    TT_TRY(tt_config_fingerprint(peer->config, r->key.config));
    const struct session_store_options opt = {.mode = r->mode, .tpm = *tpm, .pcrs = r->options->pcrs};
    if (session_store_open(&r->store, &opt, &why) == TT_OK)
        take(r);
    else
        tell_unusable("the sessions cannot be used, so this will be a full handshake", &why);
    return TT_OK;
}

void resume_offer(struct resume *r, struct stream_options *opt)
{
    r->queue = opt->signer;
    if (r->taken.session != NULL) { /* before the external PSKs: for a server whose tickets are void */
        r->offered[0] = r->taken.session;
        size_t n = 1;
        for (size_t i = 0; i < opt->sessions_len && n < TT_COUNT(r->offered); i++)
            r->offered[n++] = opt->sessions[i];
        opt->sessions = r->offered;
        opt->sessions_len = n;
    }
    opt->early_data = (struct tt_bytes){(const uint8_t *)r->early, r->early_len};
}

/* ---- early data ---- */

static void early_event(const struct resume *r, enum tt_early status, size_t sent)
{
    static const char *const names[] = {[TT_EARLY_NONE] = "not offered",
                                        [TT_EARLY_OFFERED] = "offered",
                                        [TT_EARLY_ACCEPTED] = "accepted",
                                        [TT_EARLY_REJECTED] = "rejected"};
    if (r->cli->json)
        cli_event(json_pack("{s:s, s:s, s:I}", "event", "early_data", "status", names[status], "sent",
                            (json_int_t)sent));
    else if (r->cli->verbose > 0)
        cli_note("early data: %s, %zu of %zu bytes", names[status], sent, r->early_len);
}

tt_rc resume_early_left(const struct resume *r, const struct stream *s, struct tt_bytes *ret,
                        struct tt_error *err)
{
    *ret = (struct tt_bytes){(const uint8_t *)r->early, r->early_len};
    if (r->early == NULL)
        return TT_OK;
    enum tt_early status = tt_conn_early_status(stream_conn(s));
    size_t sent = stream_stats(s).early_sent;
    early_event(r, status, sent);
    if (status == TT_EARLY_ACCEPTED) {
        *ret = (struct tt_bytes){ret->data + sent, ret->len - sent};
        return TT_OK;
    }
    if (r->options->early_retry)
        return TT_OK;
    ret->len = 0;
    (void)error_set(err, TT_ERR_PROTOCOL, "the early data was not sent: %s",
                    status == TT_EARLY_NONE ? "there is no ticket that allows it"
                                            : "the server did not accept it");
    error_hint(err, "--early-data-retry sends it as ordinary data then");
    return TT_ERR_PROTOCOL;
}

/* ---- keeping what comes ---- */

/* struct keeping: one session on its way into the store, on the TPM's thread. */
struct keeping {
    struct resume *resume;
    struct tt_session *session;
    struct sign_job *job;
};

static tt_rc keep_run(void *arg, struct tt_tpm *tpm, struct tt_error *err)
{
    const struct keeping *k = arg;
    (void)tpm;
    return session_store_put(k->resume->store, &k->resume->key, k->session, clock_wall_ms(), err);
}

static void keep_release(void *arg)
{
    struct keeping *k = arg;
    tt_session_free(k->session);
    mem_free(k);
}

static void tell_kept(const struct resume *r, const struct tt_error *why)
{
    if (why->rc == TT_ERR_UNSUPPORTED && r->cli->verbose == 0)
        return;
    if (why->rc != TT_OK)
        cli_note("the session is not kept: %s", why->text);
    else if (r->cli->verbose > 0)
        cli_note("a session is kept (%s)", session_mode_name(r->mode));
}

static void keep_done(void *arg, const struct sign_answer *answer)
{
    struct resume *r = arg;
    tell_kept(r, &answer->error);
    if (--r->pending == 0 && r->settled != NULL)
        r->settled(r->arg);
}

/* The TPM has to take the PSK: on its thread. */
static void keep_on_queue(struct resume *r, struct tt_session *session)
{
    struct tt_error why = {0};
    struct keeping *k = mem_alloc(sizeof *k);
    struct sign_job *job = NULL;
    if (k == NULL) {
        tt_session_free(session);
        return;
    }
    *k = (struct keeping){.resume = r, .session = session};
    const struct sign_work work = {.run = keep_run, .release = keep_release, .arg = k};
    const struct sign_request request = {
        .work = &work, .class = SIGN_OTHER, .deadline_ms = KEEP_DEADLINE_MS, .done = keep_done, .arg = r};
    if (sign_queue_submit(r->queue, &job, &request, &why) == TT_OK) {
        r->pending++;
        return;
    }
    keep_release(k);
    tell_kept(r, &why);
}

void resume_keep(struct resume *r, struct stream *s, struct tt_session *session)
{
    struct tt_error why = {0};
    if (r->store == NULL) {
        tt_session_free(session);
        return;
    }
    if (r->mode == SESSIONS_HELD) {
        /* What more tickets would come from must not stay in memory either. */
        stream_refuse_tickets(s);
        keep_on_queue(r, session);
        return;
    }
    tt_rc rc = session_store_put(r->store, &r->key, session, clock_wall_ms(), &why);
    why.rc = rc;
    tell_kept(r, &why);
    tt_session_free(session);
}

void resume_end(struct resume *r)
{
    session_taken_free(&r->taken);
    session_store_free(r->store);
    tt_tpm_close(r->own_tpm);
    mem_free(r->early);
}
