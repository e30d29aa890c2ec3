/* est/renewal.c: see renewal.h. Layer: est. RFC 7030 sections 4.1.3 (CAs), 4.2.2 (renewal). */
#include "est/renewal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "pki/chain.h"
#include "signer/file_read.h"
#include "signer/file_write.h"

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

void est_issued_free(struct est_issued *a)
{
    tt_cert_list_free(a->issued);
    tt_cert_list_free(a->cacerts);
    *a = (struct est_issued){0};
}

void renewal_state_free(struct renewal_state *s)
{
    tt_cert_list_free(s->current);
    tt_cert_info_free(s->info);
    *s = (struct renewal_state){0};
}

/* ---- judging ---- */

static tt_rc dates_good(struct tt_bytes leaf, const struct renewal_judge *j, struct tt_error *err)
{
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *new = NULL, *old = NULL;
    TT_TRY(tt_cert_describe(&new, leaf, err));
    if (j->now < new->not_before) {
        (void)error_set(err, TT_ERR_BUSY, "the certificate that was issued is not valid before %s",
                        new->not_before_text);
        error_hint(err, "is the clock right, here and at the CA?");
        return TT_ERR_BUSY;
    }
    if (j->now > new->not_after)
        return error_set(err, TT_ERR_VERIFY, "the certificate that was issued ended on %s",
                         new->not_after_text);
    if (j->before.len == 0)
        return TT_OK;
    TT_TRY(tt_cert_describe(&old, j->before, err));
    return new->not_after > old->not_after
               ? TT_OK
               : error_set(err, TT_ERR_BUSY,
                           "the certificate that was issued ends on %s, no later than the one that is there",
                           new->not_after_text);
}

/* *ret: leaf to root. *ret_roots: who is believed from now on. */
static tt_rc judge_all(struct tt_cert_list **ret, struct tt_cert_list **ret_roots,
                       const struct est_issued *answer, const struct renewal_judge *j, struct tt_error *err)
{
    static const struct tt_cert_list none;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *roots = NULL;
    const struct tt_cert_list *cacerts = answer->cacerts != NULL ? answer->cacerts : &none;
    struct tt_bytes leaf;
    TT_TRY(chain_leaf(&leaf, answer->issued, j->spki, err));
    TT_TRY(dates_good(leaf, j, err));
    TT_TRY(j->asked != NULL ? chain_has_asked(leaf, j->asked, err) : chain_same_names(leaf, j->before, err));
    TT_TRY(chain_uses(leaf, j->before, err));
    TT_TRY(chain_roots(&roots, j->roots, cacerts, j->now, err));
    const struct chain_source from = {.sent = answer->issued, .also = cacerts, .roots = roots, .now = j->now};
    TT_TRY(chain_build(ret, leaf, &from, err));
    TT_TRY(chain_add_cross(*ret, &from, err));
    *ret_roots = TT_TAKE(roots);
    return TT_OK;
}

/* ---- installing ---- */

/* What is there is kept as FILE.old, if it is a certificate. */
static tt_rc keep_old(const char *path, struct tt_error *err)
{
    char old[PATH_MAX];
    TT_AUTO(buf_free) struct buf b = {0};
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL;
    if (snprintf(old, sizeof old, "%s.old", path) >= (int)sizeof old)
        return error_set(err, TT_ERR_USAGE, "the path %.100s is too long", path);
    if (file_read(&b, path, NULL) != TT_OK || tt_cert_list_from_pem(&list, buf_bytes(&b), NULL) != TT_OK)
        return TT_OK;
    return file_write(NULL, old, buf_bytes(&b), (struct file_want){0644, FILE_FORCE}, err);
}

static tt_rc put_certs(const char *path, const struct tt_cert_list *list, bool force, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (list->len == 0)
        return TT_OK;
    TT_TRY(tt_cert_list_to_pem(&pem, list, list->len, err));
    TT_TRY(keep_old(path, err));
    return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                      (struct file_want){0644, force ? FILE_FORCE : FILE_REPLACE}, err);
}

/* All but the root, which whoever believes it has. */
struct tt_cert_list renewal_shown(const struct tt_cert_list *path)
{
    size_t n = path->len;
    if (n > 1 && chain_is_root(path->certs[n - 1]))
        n--;
    return (struct tt_cert_list){path->certs, n};
}

static tt_rc install(const struct enrolled *e, const struct tt_cert_list *path, bool force,
                     struct tt_error *err)
{
    const struct tt_cert_list cert = renewal_shown(path), above = {path->certs + 1, path->len - 1};
    if (e->chain != NULL)
        TT_TRY(put_certs(e->chain, &above, force, err));
    return put_certs(e->cert, &cert, force, err);
}

tt_rc renewal_accept(const struct enrolled *e, const struct est_issued *answer, const struct renewal_judge *j,
                     bool *ret_changed_roots, struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *path = NULL, *roots = NULL;
    TT_TRY(judge_all(&path, &roots, answer, j, err));
    *ret_changed_roots = !chain_lists_equal(roots, j->roots);
    TT_TRY(enrolled_certs_write(e, j->dir, ENROLLED_TRUST, roots, err));
    TT_TRY(enrolled_certs_write(e, j->dir, ENROLLED_INSTALLED, path, err));
    return install(e, path, j->force, err);
}

/* ---- whom to believe ---- */

static tt_rc by_fingerprint(struct tt_cert_list **ret, const struct tt_cert_list *cacerts, const char *sha256,
                            struct tt_error *err)
{
    char root[65] = "";
    for (size_t i = 0; i < cacerts->len; i++) {
        TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
        TT_TRY(tt_cert_describe(&info, cacerts->certs[i], err));
        if (strcmp(info->sha256, sha256) == 0)
            return chain_list_add(ret, cacerts->certs[i], err);
        if (root[0] == '\0' && chain_is_root(cacerts->certs[i]))
            memcpy(root, info->sha256, sizeof root);
    }
    (void)error_set(err, TT_ERR_VERIFY,
                    "none of the server's %zu CA certificates has the fingerprint that was given",
                    cacerts->len);
    error_hint(err, "its root has sha256:%s: ask the CA's operator, by another way, whether that is right",
               root);
    return TT_ERR_VERIFY;
}

tt_rc renewal_first_roots(struct tt_cert_list **ret, bool *ret_told, const struct tt_cert_list *cacerts,
                          const struct tt_cert_list *ca, const char *sha256, int64_t now,
                          struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *roots = NULL;
    *ret_told = false;
    if (sha256 != NULL)
        return by_fingerprint(ret, cacerts, sha256, err);
    for (size_t i = 0; i < cacerts->len; i++) {
        TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *path = NULL;
        const struct chain_source from = {.sent = cacerts, .roots = ca, .now = now};
        if (chain_build(&path, cacerts->certs[i], &from, NULL) == TT_OK)
            TT_TRY(chain_list_add(&roots, path->certs[path->len - 1], err));
    }
    if (roots != NULL) {
        *ret = TT_TAKE(roots);
        return TT_OK;
    }
    *ret_told = true;
    return chain_roots_of(ret, cacerts, err);
}

/* ---- looking ---- */

/* NULL: it is not there, or broken. */
static struct tt_cert_list *file_certs(const char *path)
{
    TT_AUTO(buf_free) struct buf b = {0};
    struct tt_cert_list *list = NULL;
    if (path == NULL || file_read(&b, path, NULL) != TT_OK ||
        tt_cert_list_from_pem(&list, buf_bytes(&b), NULL) != TT_OK)
        return NULL;
    return list;
}

static bool starts_with(const struct tt_cert_list *list, const struct tt_cert_list *with)
{
    for (size_t i = 0; i < with->len; i++)
        if (list == NULL || i >= list->len || list->certs[i].len != with->certs[i].len ||
            memcmp(list->certs[i].data, with->certs[i].data, with->certs[i].len) != 0)
            return false;
    return true;
}

static tt_rc not_ours(const struct enrolled *e, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_EXISTS, "%s has a certificate for another key than the one that was enrolled",
                    e->cert);
    error_hint(err, "if that is meant, enroll with that key: `tpmtls enroll`");
    return TT_ERR_EXISTS;
}

/* The file counts where it holds another certificate for the same key that ends later: somebody has renewed
 * by hand. Else what we have installed, and the file is torn. */
static tt_rc choose(struct renewal_state *s, struct tt_cert_list **installed, struct tt_cert_list **file,
                    const struct enrolled *e, struct tt_error *err)
{
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *a = NULL, *b = NULL;
    const struct tt_cert_list part =
        *installed != NULL ? renewal_shown(*installed) : (struct tt_cert_list){0};
    if (*installed != NULL && *file != NULL && !starts_with(*file, &part)) {
        TT_TRY(tt_cert_describe(&a, (*installed)->certs[0], err));
        TT_TRY(tt_cert_describe(&b, (*file)->certs[0], err));
        if (strcmp(a->spki_sha256, b->spki_sha256) != 0)
            return not_ours(e, err);
    }
    if (*installed == NULL || (b != NULL && b->not_after > a->not_after)) {
        s->current = TT_TAKE(*file);
        return TT_OK;
    }
    s->is_torn = *file == NULL || b != NULL;
    s->current = TT_TAKE(*installed);
    return TT_OK;
}

static tt_rc look_at_files(struct renewal_state *s, const struct enrolled *e, const char *dir,
                           struct tt_error *err)
{
    TT_AUTO(tt_cert_list_free_auto)
    struct tt_cert_list *installed = NULL, *file = file_certs(e->cert), *chain = NULL;
    tt_rc rc = enrolled_certs_read(&installed, e, dir, ENROLLED_INSTALLED, NULL);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (installed == NULL && file == NULL)
        return error_set(err, TT_ERR_NOT_FOUND, "%s holds no certificate, and neither does the copy of it",
                         e->cert);
    bool has_copy = installed != NULL;
    TT_TRY(choose(s, &installed, &file, e, err));
    bool copy_counts = has_copy && installed == NULL;
    if (e->chain == NULL || !copy_counts || s->is_torn || s->current->len < 2)
        return TT_OK;
    chain = file_certs(e->chain);
    s->is_torn = !starts_with(chain, &(struct tt_cert_list){s->current->certs + 1, s->current->len - 1});
    return TT_OK;
}

static struct plan_facts facts_of(const struct enrolled *e, const struct tt_cert_info *info)
{
    return (struct plan_facts){.not_before = info->not_before,
                               .not_after = info->not_after,
                               .jitter = e->jitter,
                               .failures = e->failures,
                               .failed_at = e->failed_at,
                               .retry_at = e->retry_at};
}

tt_rc renewal_look(struct renewal_state *ret, const struct enrolled *e, const char *dir, int64_t now,
                   struct tt_error *err)
{
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    TT_TRY(look_at_files(&s, e, dir, err));
    if (s.current == NULL) {
        (void)error_set(err, TT_ERR_INTERNAL, "no certificate was chosen");
        return TT_ERR_INTERNAL;
    }
    TT_TRY(tt_cert_describe(&s.info, s.current->certs[0], err));
    const struct plan_facts facts = facts_of(e, s.info);
    s.plan = plan_renewal(&facts, now);
    s.due = plan_due(&facts);
    *ret = s;
    s = (struct renewal_state){0};
    return TT_OK;
}

/* ---- running ---- */

static tt_rc clock_wrong(const struct renewal_state *s, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_BUSY,
                    "the clock is wrong: it says a time before %s, when the certificate was issued",
                    s->info->not_before_text);
    error_hint(err, "nothing was done; set the clock, or wait until it is set (systemd-timesyncd, chrony)");
    return TT_ERR_BUSY;
}

/* The leaf's key, out of its certificate: the request was signed with it, or nothing will fit. */
static tt_rc renew(const struct enrolled *e, const struct renewal_world *w, const struct renewal_state *s,
                   int64_t *ret_retry_at, struct tt_error *err)
{
    TT_AUTO(est_issued_free) struct est_issued answer = {0};
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *roots = NULL;
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    size_t spki_len = 0;
    bool changed = false;
    TT_TRY(enrolled_certs_read(&roots, e, w->dir, ENROLLED_TRUST, err));
    TT_TRY(w->exchange(w->arg, e, s->current, roots, &answer, ret_retry_at, err));
    TT_TRY(cert_spki(&spki, &spki_len, s->current->certs[0], err));
    const struct renewal_judge judge = {.dir = w->dir,
                                        .before = s->current->certs[0],
                                        .spki = {spki, spki_len},
                                        .roots = roots,
                                        .now = w->now,
                                        .force = true};
    TT_TRY(renewal_accept(e, &answer, &judge, &changed, err));
    if (w->installed != NULL)
        w->installed(w->arg, e, changed);
    return TT_OK;
}

/* What could not be written down is no reason to call a good renewal bad, nor to hide why another failed. */
static enum renewal_result note_success(struct enrolled *e, const struct renewal_world *w)
{
    e->renewed_at = w->now;
    e->failures = 0;
    e->failed_at = e->retry_at = 0;
    e->last_error = NULL;
    (void)!enrolled_write(e, w->dir, NULL);
    return RENEWAL_DONE;
}

static enum renewal_result note_failure(struct enrolled *e, const struct renewal_world *w, int64_t retry_at,
                                        struct tt_error *err)
{
    if (e->failures < UINT16_MAX)
        e->failures++;
    e->failed_at = w->now;
    e->retry_at = retry_at;
    e->last_error = err->text;
    (void)!enrolled_write(e, w->dir, NULL);
    e->last_error = NULL;
    return RENEWAL_FAILED;
}

static enum renewal_result try_now(struct enrolled *e, const struct renewal_world *w,
                                   const struct renewal_state *s, struct tt_error *err)
{
    int64_t retry_at = 0;
    return renew(e, w, s, &retry_at, err) == TT_OK ? note_success(e, w) : note_failure(e, w, retry_at, err);
}

static enum renewal_result mend(const struct enrolled *e, const struct renewal_state *s, struct tt_error *err)
{
    return install(e, s->current, true, err) == TT_OK ? RENEWAL_MENDED : RENEWAL_FAILED;
}

enum renewal_result renewal_run(struct enrolled *e, const struct renewal_world *w, struct tt_error *err)
{
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    struct tt_error none = {0};
    if (err == NULL)
        err = &none;
    if (renewal_look(&s, e, w->dir, w->now, err) != TT_OK)
        return RENEWAL_FAILED;
    bool mended = false;
    if (s.is_torn && mend(e, &s, err) != RENEWAL_MENDED)
        return RENEWAL_FAILED;
    mended = s.is_torn;
    if (s.plan.verdict == PLAN_CLOCK) {
        (void)clock_wrong(&s, err);
        return RENEWAL_FAILED;
    }
    if (s.plan.verdict == PLAN_RENEW || w->force)
        return try_now(e, w, &s, err);
    if (s.plan.verdict == PLAN_BACK_OFF)
        return RENEWAL_LATER;
    return mended ? RENEWAL_MENDED : RENEWAL_NOTHING;
}
