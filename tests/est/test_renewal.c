/* tests/est/test_renewal.c: a thousand days of a device with everything that goes wrong, the clock handed in:
 * whenever a day has passed in which the CA could have been asked, there is a valid certificate. And what
 * must not be installed, one fault a time. */
#include "est_ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "est/renewal.h"
#include "pki/chain.h"

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

#define HOUR  INT64_C(3600)
#define START NOW

/* ---- chance, the same in each run ---- */

static uint32_t seed;

static unsigned chance(unsigned n)
{
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 8) % n;
}

/* ---- the world ---- */

struct world {
    char *dir;
    struct soft_key root[2], device, stranger;
    struct tt_bytes root_cert[2], new_with_old, old_with_new;
    unsigned generation; /* which root signs */
    int64_t truth;       /* the time */
    int64_t life;        /* of certificates */
    bool up;
    enum lie {
        HONEST,
        OTHER_KEY,
        OTHER_CA,
        ENDED,
        OTHER_NAME,
        NOTHING,
        LIES
    } lie;
    unsigned asked, installed, root_changes;
    struct enrolled e;
    struct est_issued ready; /* made before, so that nothing of the test's own is allocated meanwhile */
    char cert[200], chain[200];
    char seen[16384]; /* what is_valid has looked at */
    size_t seen_len;
    int64_t seen_until;
};

static const char san[] = "DNS:device.example";

static struct tt_bytes root_made(struct world *w, unsigned of, unsigned by, int64_t years)
{
    const struct made m = {.subject = "Root",
                           .issuer = "Root",
                           .key = &w->root[of],
                           .by = &w->root[by],
                           .from = START - 300 * DAY,
                           .until = START + years * 365 * DAY,
                           .is_ca = true};
    return cert_make(&m);
}

static struct tt_bytes leaf_made(struct world *w)
{
    struct made m = {.subject = "device",
                     .issuer = "Root",
                     .key = &w->device,
                     .by = &w->root[w->generation],
                     .from = w->truth - HOUR,
                     .until = w->truth + w->life,
                     .san = san};
    if (w->lie == OTHER_KEY)
        m.key = &w->stranger;
    else if (w->lie == OTHER_CA)
        m.by = &w->stranger;
    else if (w->lie == ENDED)
        m.until = w->truth - 60;
    else if (w->lie == OTHER_NAME)
        m.san = "DNS:other.example";
    return cert_make(&m);
}

static void put_and_free(struct tt_cert_list **list, struct tt_bytes der)
{
    list_put(list, der);
    mem_free((void *)(uintptr_t)der.data);
}

static void give(struct world *w, struct est_issued *ret)
{
    put_and_free(&ret->issued, leaf_made(w));
    list_put(&ret->cacerts, w->root_cert[0]);
    if (w->generation == 0)
        return;
    list_put(&ret->cacerts, w->old_with_new);
    list_put(&ret->cacerts, w->new_with_old);
    list_put(&ret->cacerts, w->root_cert[1]);
}

/* A server whose own certificate is valid for 20 days around the truth: whose clock is further off is told
 * that it cannot be trusted. */
static int64_t clock_of_device;

static tt_rc exchange(void *arg, const struct enrolled *e, const struct tt_cert_list *current,
                      const struct tt_cert_list *roots, struct est_issued *ret, int64_t *ret_retry_at,
                      struct tt_error *err)
{
    struct world *w = arg;
    (void)e;
    (void)current;
    (void)ret_retry_at;
    assert_true(roots->len > 0);
    w->asked++;
    if (!w->up)
        return error_set(err, TT_ERR_IO, "nobody answers");
    if (llabs(clock_of_device - w->truth) > 20 * DAY)
        return error_set(err, TT_ERR_VERIFY, "the server's certificate has ended");
    if (w->lie == NOTHING)
        return error_set(err, TT_ERR_PROTOCOL, "500");
    if (w->ready.issued == NULL)
        give(w, ret);
    else {
        *ret = w->ready;
        w->ready = (struct est_issued){0};
    }
    return TT_OK;
}

static void installed(void *arg, const struct enrolled *e, bool changed_roots)
{
    struct world *w = arg;
    (void)e;
    w->installed++;
    w->root_changes += changed_roots;
}

static void put_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    (void)fclose(f);
}

/* Thousands of files are written to the last byte: on a disk that takes minutes. */
static char *dir_in_memory(void)
{
    char path[] = "/dev/shm/tpmtls-renewal.XXXXXX";
    return access("/dev/shm", W_OK) == 0 && mkdtemp(path) != NULL ? strdup(path) : dir_make();
}

static void begin(struct world *w, int64_t life)
{
    static const char *const names[] = {san};
    *w = (struct world){.dir = dir_in_memory(), .truth = START, .life = life, .up = true};
    w->root[0] = key_make("P-256");
    w->root[1] = key_make("P-256");
    w->device = key_make("P-256");
    w->stranger = key_make("P-256");
    w->root_cert[0] = root_made(w, 0, 0, 20);
    w->root_cert[1] = root_made(w, 1, 1, 20);
    w->new_with_old = root_made(w, 1, 0, 20);
    w->old_with_new = root_made(w, 0, 1, 20);
    (void)snprintf(w->cert, sizeof w->cert, "%s/device.pem", w->dir);
    (void)snprintf(w->chain, sizeof w->chain, "%s/chain.pem", w->dir);
    w->e = (struct enrolled){.name = "device",
                             .server = "ca.example/x",
                             .key = "/k",
                             .cert = w->cert,
                             .chain = w->chain,
                             .jitter = 0x12345678};
    TT_AUTO(est_issued_free) struct est_issued first = {0};
    struct tt_cert_list *roots = NULL;
    list_put(&roots, w->root_cert[0]);
    give(w, &first);
    bool changed = true;
    struct tt_error err = {0};
    const struct tt_csr_params asked = {.subject = "/CN=device", .sans = names, .sans_len = 1};
    const struct renewal_judge judge = {.dir = w->dir,
                                        .asked = &asked,
                                        .roots = roots,
                                        .now = w->truth,
                                        .spki = {w->device.spki, w->device.spki_len}};
    if (renewal_accept(&w->e, &first, &judge, &changed, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_false(changed);
    tt_cert_list_free(roots);
    assert_int_equal(enrolled_write(&w->e, w->dir, NULL), TT_OK);
}

static void end(struct world *w)
{
    struct tt_bytes all[] = {w->root_cert[0], w->root_cert[1], w->new_with_old, w->old_with_new};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        mem_free((void *)(uintptr_t)all[i].data);
    for (size_t i = 0; i < 2; i++)
        key_drop(&w->root[i]);
    key_drop(&w->device);
    key_drop(&w->stranger);
    assert_int_equal(run(w->dir, "rm -rf -- \"$PWD\""), 0);
    free(w->dir);
}

static enum renewal_result run_at(struct world *w, int64_t clock, bool force, struct tt_error *err)
{
    TT_AUTO(enrolled_free) struct enrolled e = {0};
    const struct renewal_world rw = {
        .dir = w->dir, .now = clock, .force = force, .exchange = exchange, .installed = installed, .arg = w};
    clock_of_device = clock;
    assert_int_equal(enrolled_read(&e, w->dir, "device", err), TT_OK);
    return renewal_run(&e, &rw, err);
}

/* What a TLS server would find: the file holds a leaf for the key that is valid and leads to a root that a
 * peer knows who has never heard of the new one. What was looked at is not looked at again. */
static int64_t valid_until(struct world *w, struct tt_bytes text)
{
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *list = NULL, *roots = NULL, *path = NULL;
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
    if (tt_cert_list_from_pem(&list, text, NULL) != TT_OK ||
        !tt_cert_matches_key(list->certs[0], (struct tt_bytes){w->device.spki, w->device.spki_len}))
        return 0;
    list_put(&roots, w->root_cert[0]);
    const struct chain_source from = {.sent = list, .roots = roots, .now = w->truth};
    if (chain_build(&path, list->certs[0], &from, NULL) != TT_OK)
        return 0;
    assert_int_equal(tt_cert_describe(&info, list->certs[0], NULL), TT_OK);
    return info->not_after;
}

static bool is_valid(struct world *w)
{
    char text[16384];
    FILE *f = fopen(w->cert, "r");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    if (n != w->seen_len || memcmp(text, w->seen, n) != 0) {
        w->seen_until = valid_until(w, (struct tt_bytes){(uint8_t *)text, n});
        memcpy(w->seen, text, n);
        w->seen_len = n;
    }
    return w->truth <= w->seen_until;
}

/* ---- a thousand days ---- */

struct weather {
    int64_t down_until, lie_until, clock_until, off_until, wrong_by;
    int64_t fine_since; /* nothing has been in the way since */
};

static void weather_change(struct weather *f, struct world *w)
{
    if (chance(75) == 0)
        f->down_until = w->truth + (1 + chance(12 * 24)) * HOUR; /* up to 12 days */
    if (chance(150) == 0) {
        f->lie_until = w->truth + (1 + chance(72)) * HOUR;
        w->lie = 1 + (enum lie)chance(LIES - 1);
    }
    if (chance(125) == 0) {
        static const int64_t wrong[] = {-START, -700 * DAY, -3 * DAY, 9 * DAY, 4000 * DAY};
        f->clock_until = w->truth + (1 + chance(30)) * HOUR;
        f->wrong_by = wrong[chance(TT_COUNT(wrong))];
    }
    if (chance(200) == 0)
        f->off_until = w->truth + (1 + chance(200)) * HOUR;
    w->up = w->truth >= f->down_until;
    if (w->truth >= f->lie_until)
        w->lie = HONEST;
    if (w->truth >= f->clock_until)
        f->wrong_by = 0;
}

/* Power cuts and editors: a file is cut off, emptied, gone, or the older one again. */
static void files_suffer(struct world *w)
{
    const char *path = chance(2) == 0 ? w->cert : w->chain;
    char old[220];
    struct stat st;
    (void)snprintf(old, sizeof old, "%s.old", path);
    switch (chance(4)) {
    case 0:
        (void)!truncate(path, stat(path, &st) == 0 ? st.st_size / 2 : 0);
        break;
    case 1:
        (void)!truncate(path, 0);
        break;
    case 2:
        (void)unlink(path);
        break;
    default:
        (void)rename(old, path);
        break;
    }
}

static unsigned days_lived(int64_t life, uint32_t from_seed)
{
    struct world w;
    struct weather f = {.fine_since = START};
    unsigned without = 0;
    begin(&w, life);
    seed = from_seed;
    for (unsigned tick = 0; tick < 1000 * 4; tick++) {
        w.truth += 6 * HOUR;
        if (tick == 1600)
            w.generation = 1; /* the CA changes its key */
        weather_change(&f, &w);
        if (chance(70) == 0)
            files_suffer(&w);
        bool off = w.truth < f.off_until;
        if (!w.up || w.lie != HONEST || f.wrong_by != 0 || off)
            f.fine_since = w.truth;
        struct tt_error err = {0};
        if (!off)
            (void)run_at(&w, w.truth + f.wrong_by, false, &err);
        bool valid = is_valid(&w);
        without += !valid;
        if (!valid && w.truth - f.fine_since >= DAY)
            fail_msg("day %lld: no certificate, and a day long nothing was in the way (%s)",
                     (long long)((w.truth - START) / DAY), err.text);
    }
    assert_true(w.installed >= (unsigned)(1000 * DAY / life));
    assert_true(w.root_changes >= 1 && w.root_changes <= 2);
    assert_true(w.asked < 3000); /* three a day at most, faults or not */
    print_message("# life %lld days: %u renewals, %u questions, %u of 4000 times without a certificate\n",
                  (long long)(life / DAY), w.installed, w.asked, without);
    end(&w);
    return without;
}

static void a_thousand_days_of_a_week(void **state)
{
    (void)state;
    (void)days_lived(7 * DAY, 1);
}

/* Where a third of the life is longer than any fault, there is never a moment without. */
static void a_thousand_days_of_a_quarter(void **state)
{
    (void)state;
    assert_int_equal(days_lived(90 * DAY, 3), 0);
}

/* ---- one fault a time ---- */

static int64_t due_of(struct world *w)
{
    TT_AUTO(renewal_state_free) struct renewal_state s = {0};
    assert_int_equal(renewal_look(&s, &w->e, w->dir, w->truth, NULL), TT_OK);
    return s.due;
}

static void read_file(char ret[16384], const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    ret[fread(ret, 1, 16383, f)] = '\0';
    (void)fclose(f);
}

static void what_is_not_good_changes_no_file(void **state)
{
    (void)state;
    static const char *const words[] = {[OTHER_KEY] = "is for this key",
                                        [OTHER_CA] = "leads to none of the CAs",
                                        [ENDED] = "ended on",
                                        [OTHER_NAME] = "lacks a name that was asked for: DNS:device.example",
                                        [NOTHING] = "500"};
    char before[16384], after[16384];
    for (enum lie lie = OTHER_KEY; lie < LIES; lie++) {
        struct world w;
        struct tt_error err = {0};
        begin(&w, 30 * DAY);
        read_file(before, w.cert);
        w.truth = due_of(&w);
        w.lie = lie;
        assert_int_equal(run_at(&w, w.truth, false, &err), RENEWAL_FAILED);
        if (strstr(err.text, words[lie]) == NULL)
            fail_msg("%u: %s", lie, err.text);
        read_file(after, w.cert);
        assert_string_equal(before, after);
        /* tried lately */
        assert_int_equal(run_at(&w, w.truth + 60, false, &err), RENEWAL_LATER);
        w.lie = HONEST;
        assert_int_equal(run_at(&w, w.truth + 20 * 60, false, &err), RENEWAL_DONE);
        read_file(after, w.cert);
        assert_string_not_equal(before, after);
        end(&w);
    }
}

static void nothing_before_it_is_due(void **state)
{
    (void)state;
    struct world w;
    struct tt_error err = {0};
    begin(&w, 30 * DAY);
    int64_t due = due_of(&w);
    assert_true(due >= START + 20 * DAY - HOUR && due <= START + 22 * DAY);
    assert_int_equal(run_at(&w, due - 1, false, &err), RENEWAL_NOTHING);
    assert_int_equal(w.asked, 0);
    w.truth = START + DAY;
    assert_int_equal(run_at(&w, w.truth, true, &err), RENEWAL_DONE); /* --force */
    assert_int_equal(w.asked, 1);
    end(&w);
}

/* The new root is believed for NewWithOld alone: a server that shows a root of its own gets nowhere. */
static void roots_only_by_the_old_one(void **state)
{
    (void)state;
    struct world w;
    struct tt_cert_list *old = NULL, *sent = NULL, *roots = NULL;
    begin(&w, 30 * DAY);
    list_put(&old, w.root_cert[0]);
    list_put(&sent, w.root_cert[1]);
    list_put(&sent, w.old_with_new); /* vouches for the old one, which needs it not */
    assert_int_equal(chain_roots(&roots, old, sent, w.truth, NULL), TT_OK);
    assert_true(chain_lists_equal(roots, old));
    tt_cert_list_free(roots);
    /* an end entity of the old root calls itself one */
    const struct made ee = {.subject = "device",
                            .issuer = "Root",
                            .key = &w.device,
                            .by = &w.root[0],
                            .from = START - DAY,
                            .until = START + 90 * DAY};
    const struct made own = {.subject = "device",
                             .issuer = "device",
                             .key = &w.device,
                             .by = &w.device,
                             .from = START - DAY,
                             .until = START + 90 * DAY,
                             .is_ca = true};
    put_and_free(&sent, cert_make(&ee));
    put_and_free(&sent, cert_make(&own));
    assert_int_equal(chain_roots(&roots, old, sent, w.truth, NULL), TT_OK);
    assert_true(chain_lists_equal(roots, old));
    tt_cert_list_free(roots);
    list_put(&sent, w.new_with_old);
    assert_int_equal(chain_roots(&roots, old, sent, w.truth, NULL), TT_OK);
    assert_int_equal(roots->len, 2);
    tt_cert_list_free(roots);
    /* after its end the old one vouches for nobody, and stays the one that is believed */
    assert_int_equal(chain_roots(&roots, old, sent, START + 21 * 365 * DAY, NULL), TT_OK);
    assert_true(chain_lists_equal(roots, old));
    tt_cert_list_free(roots);
    tt_cert_list_free(old);
    tt_cert_list_free(sent);
    end(&w);
}

static void somebody_elses_certificate_stays(void **state)
{
    (void)state;
    struct world w;
    struct tt_error err = {0};
    char text[16384], after[16384];
    begin(&w, 30 * DAY);
    w.lie = OTHER_KEY;
    struct tt_cert_list *other = NULL;
    char *pem = NULL;
    put_and_free(&other, leaf_made(&w));
    assert_int_equal(tt_cert_list_to_pem(&pem, other, 1, NULL), TT_OK);
    put_text(w.cert, pem);
    read_file(text, w.cert);
    assert_int_equal(run_at(&w, START + 25 * DAY, false, &err), RENEWAL_FAILED);
    read_file(after, w.cert);
    assert_string_equal(text, after);
    tt_free(pem);
    tt_cert_list_free(other);
    end(&w);
}

static void a_clock_before_the_certificate(void **state)
{
    (void)state;
    struct world w;
    struct tt_error err = {0};
    begin(&w, 30 * DAY);
    assert_int_equal(run_at(&w, START - 2 * HOUR, true, &err), RENEWAL_FAILED);
    check_error(err.rc, TT_ERR_BUSY, &err, "the clock is wrong: it says a time before", "clock");
    assert_int_equal(w.asked, 0);
    end(&w);
}

#ifdef TT_FAULT_INJECTION
/* A renewal in which the nth allocation fails (0: none does). */
static enum renewal_result run_failing(struct world *w, size_t nth, size_t *ret_allocations)
{
    TT_AUTO(enrolled_free) struct enrolled e = {0};
    struct tt_error err = {0};
    const struct renewal_world rw = {.dir = w->dir,
                                     .now = w->truth + 60,
                                     .force = true,
                                     .exchange = exchange,
                                     .installed = installed,
                                     .arg = w};
    w->truth += 60; /* each ends a minute later */
    clock_of_device = w->truth;
    est_issued_free(&w->ready);
    give(w, &w->ready);
    assert_int_equal(enrolled_read(&e, w->dir, "device", NULL), TT_OK);
    mem_test_reset();
    mem_test_fail_nth(nth);
    enum renewal_result r = renewal_run(&e, &rw, &err);
    mem_test_fail_nth(0);
    *ret_allocations = mem_test_stats().allocations;
    return r;
}

/* For want of memory, wherever: the certificate that is there is whole, and the next try succeeds. */
static void each_allocation_fails_once(void **state)
{
    (void)state;
    struct world w;
    size_t total = 0, unused = 0, failed = 0;
    begin(&w, 30 * DAY);
    assert_int_equal(run_failing(&w, 0, &total), RENEWAL_DONE);
    assert_true(total > 60 && total < 2000);
    for (size_t nth = 1; nth <= total; nth++) {
        enum renewal_result r = run_failing(&w, nth, &unused);
        assert_true(r == RENEWAL_DONE || r == RENEWAL_FAILED);
        assert_true(is_valid(&w));
        failed += r == RENEWAL_FAILED;
    }
    assert_true(failed > total / 2);
    assert_int_equal(run_failing(&w, 0, &unused), RENEWAL_DONE);
    est_issued_free(&w.ready);
    end(&w);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_before_it_is_due),
        cmocka_unit_test(what_is_not_good_changes_no_file),
        cmocka_unit_test(roots_only_by_the_old_one),
        cmocka_unit_test(a_clock_before_the_certificate),
        cmocka_unit_test(somebody_elses_certificate_stays),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(each_allocation_fails_once),
#endif
        cmocka_unit_test(a_thousand_days_of_a_week),
        cmocka_unit_test(a_thousand_days_of_a_quarter),
    };
    return cmocka_run_group_tests_name("est/renewal", tests, NULL, NULL);
}
