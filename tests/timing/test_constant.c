/* tests/timing/test_constant.c: no branch and no address depends on a secret where we compare what a peer has
 * sent with what it must be: binder, Finished, cookie, ticket. Runs under valgrind's memcheck, which reports
 * a branch on, or an address made of, undefined bytes: our side of each comparison is marked undefined right
 * before it and stays so; only the verdict is marked defined. Each case asks memcheck how many errors it has
 * found meanwhile. The planted ones must be found. Needs fault injection (mem_test_on_compare). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "base/mem.h"
#include "tls/config.h"
#include "tls/edit.h"
#include "tls/ticket.h"

#define MOST_COMPARES 8

static struct {
    bool planted; /* the comparison is done with memcmp as well */
    size_t n;
    size_t sizes[MOST_COMPARES];
    unsigned long errors; /* when the watch began */
} watch;

static volatile int sink;

/* Not inlined: valgrind is to see a branch here, whatever the compiler would make of it. */
__attribute__((noinline)) static void planted_compare(const uint8_t *secret, size_t n)
{
    static const uint8_t guess[64];
    for (size_t i = 0; i < n; i++)
        if (secret[i] != guess[i % sizeof guess]) {
            sink = 1;
            return;
        }
}

static void on_compare(const void *ours, size_t n, bool *equal)
{
    if (equal != NULL) {
        (void)VALGRIND_MAKE_MEM_DEFINED(equal, sizeof *equal);
        return;
    }
    if (n == 0) /* the context of a certificate in the handshake */
        return;
    assert_true(watch.n < MOST_COMPARES);
    watch.sizes[watch.n++] = n;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(ours, n);
    if (watch.planted)
        planted_compare(ours, n);
}

static void watch_begin(bool planted)
{
    memset(&watch, 0, sizeof watch);
    watch.planted = planted;
    watch.errors = VALGRIND_COUNT_ERRORS;
    mem_test_on_compare(on_compare);
}

/* What memcheck has found since. */
static unsigned long watch_end(void)
{
    mem_test_on_compare(NULL);
    return VALGRIND_COUNT_ERRORS - watch.errors;
}

/* A handshake in which one message may be changed on its way. */
struct check {
    const char *name;
    enum scene_kind kind;
    enum conn_state at; /* who takes the changed message, and where */
    unsigned alert;     /* that must follow */
    struct edit edit;   /* OP_NONE: nothing is changed, and the handshake succeeds */
    size_t sizes[4];    /* the comparisons that must have been seen, by their lengths, 0 ends */
    bool planted;
};

static const struct check checks[] = {
    {"Finished of both sides, SHA-256", KIND_PLAIN, .sizes = {32, 32}},
    {"Finished of both sides, SHA-384", KIND_SHA384, .sizes = {48, 48}},
    {"the binder of a ticket, and Finished", KIND_RESUME, .sizes = {32, 32, 32}},
    {"the cookie, and Finished", KIND_COOKIE, .sizes = {32, 32, 32}},
    {"the binders before and after a HelloRetryRequest", KIND_RESUME_RETRY, .sizes = {32, 32, 32, 32}},
    {"a server's Finished, wrong in its first byte",
     KIND_PLAIN,
     CLIENT_WAIT_FINISHED,
     TT_ALERT_DECRYPT_ERROR,
     XOR(4),
     {32}},
    {"a server's Finished, wrong in its last byte",
     KIND_PLAIN,
     CLIENT_WAIT_FINISHED,
     TT_ALERT_DECRYPT_ERROR,
     XOR_END(1),
     {32}},
    {"a client's Finished, wrong in its first byte",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     TT_ALERT_DECRYPT_ERROR,
     XOR(4),
     {32, 32}},
    {"a client's Finished, wrong in its last byte",
     KIND_PLAIN,
     SERVER_WAIT_FINISHED,
     TT_ALERT_DECRYPT_ERROR,
     XOR_END(1),
     {32, 32}},
    {"a binder, wrong in its first byte",
     KIND_RESUME,
     SERVER_START,
     TT_ALERT_DECRYPT_ERROR,
     XOR_END(32),
     {32}},
    {"a binder, wrong in its last byte", KIND_RESUME, SERVER_START, TT_ALERT_DECRYPT_ERROR, XOR_END(1), {32}},
    {"another cookie",
     KIND_COOKIE,
     SERVER_WAIT_CH2,
     TT_ALERT_ILLEGAL_PARAMETER,
     PUT(EXT_COOKIE, "0020 00*32"),
     {32}},
    {"planted: a handshake that compares Finished as memcmp does is found", KIND_PLAIN, .sizes = {32, 32},
     .planted = true},
    {"planted: a handshake that compares the binder as memcmp does is found",
     KIND_RESUME,
     SERVER_START,
     TT_ALERT_DECRYPT_ERROR,
     XOR_END(1),
     {32},
     .planted = true},
};

static void deliver_changed(struct scene *s, const struct check *k)
{
    static struct msg m;
    enum tt_role victim = row_role(k->at);
    scene_reach(s, victim, k->at);
    msg_set(&m, scene_next(s, victim));
    buf_consume(&s->inbox[victim], m.len);
    msg_edit(&m, &k->edit);
    (void)!row_deliver(s, victim, (struct tt_bytes){m.data, m.len});
    scene_expect_alert(s, victim, k->name, k->alert);
}

static void test_handshake(void **state)
{
    const struct check *k = *state;
    struct scene *s = scene_of(k->kind);
    scene_open(s);
    watch_begin(k->planted);
    if (k->edit.op == OP_NONE)
        scene_finish(s);
    else
        deliver_changed(s, k);
    scene_close(s);
    unsigned long errors = watch_end();
    for (size_t i = 0; i < watch.n; i++)
        assert_int_equal(watch.sizes[i], i < TT_COUNT(k->sizes) ? k->sizes[i] : 0);
    assert_true(watch.n == TT_COUNT(k->sizes) || k->sizes[watch.n] == 0);
    assert_int_equal(errors > 0, k->planted);
}

/* Every length, equal and with a difference at every place. */
static void test_mem_equal_ct(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 64; n++)
        for (size_t wrong = 0; wrong <= n; wrong++) {
            uint8_t sent[64] = {1, 2, 3}, ours[64] = {1, 2, 3};
            if (wrong < n)
                sent[wrong] ^= 0x80;
            watch_begin(false);
            bool equal = mem_equal_ct(sent, ours, n);
            assert_int_equal(watch_end(), 0);
            assert_int_equal(watch.n, n > 0);
            assert_int_equal(equal, wrong == n);
        }
}

/* libc's memcmp, not what the compiler knows of it. */
static int (*const volatile compare)(const void *, const void *, size_t) = memcmp;

static void test_planted_memcmp(void **state)
{
    (void)state;
    uint8_t sent[32] = {1, 2, 3}, ours[32] = {1, 2, 3};
    unsigned long before = VALGRIND_COUNT_ERRORS;
    (void)VALGRIND_MAKE_MEM_UNDEFINED(ours, sizeof ours);
    sink = compare(sent, ours, sizeof ours);
    assert_true(VALGRIND_COUNT_ERRORS - before > 0);
}

/* A ticket under a key, and tickets that open with a copy of the key that is marked undefined. */
struct sealed {
    struct tt_tickets *opener;
    const struct crypto_lib *lib;
    struct buf ticket;
};

static void seal(struct sealed *ret)
{
    struct tt_ticket_key key = {.name = {1}, .key = {1, 2, 3}};
    const struct tt_config *cfg = scene_of(KIND_RESUME)->cfg[TT_SERVER];
    struct ticket_state content = {.suite = TT_SUITE_AES_128_GCM_SHA256, .psk = {.len = 32, .key = {7}}};
    struct tt_tickets *sealer = NULL;
    *ret = (struct sealed){.lib = cfg->lib};
    assert_int_equal(tt_tickets_new(&sealer, 0, NULL), TT_OK);
    assert_int_equal(tt_tickets_new(&ret->opener, 0, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(sealer, &key, 1), TT_OK);
    assert_int_equal(ticket_seal(sealer, cfg->lib, cfg->random, &content, &ret->ticket), TT_OK);
    tt_tickets_free(sealer);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(key.key, sizeof key.key);
    assert_int_equal(tt_tickets_set_keys(ret->opener, &key, 1), TT_OK);
}

static void sealed_free(struct sealed *s)
{
    tt_tickets_free(s->opener);
    buf_free(&s->ticket);
}

static tt_rc open_ticket(const struct sealed *s)
{
    struct buf plain = {0};
    struct ticket_state content;
    tt_rc rc = ticket_open(s->opener, s->lib, buf_bytes(&s->ticket), &plain, &content);
    buf_free(&plain);
    return rc;
}

/* Changed anywhere behind the name of its key: nothing but libcrypto's verdict about the tag is branched on.
 */
static void test_ticket_forged(void **state)
{
    (void)state;
    struct sealed s;
    seal(&s);
    struct tt_bytes ticket = buf_bytes(&s.ticket);
    unsigned long before = VALGRIND_COUNT_ERRORS;
    for (size_t i = sizeof((struct tt_ticket_key *)0)->name; i < ticket.len; i++) {
        ((uint8_t *)(uintptr_t)ticket.data)[i] ^= 1;
        assert_int_equal(open_ticket(&s), TT_ERR_NOT_FOUND);
        ((uint8_t *)(uintptr_t)ticket.data)[i] ^= 1;
    }
    assert_int_equal(VALGRIND_COUNT_ERRORS - before, 0);
    sealed_free(&s);
}

/* A good one is read once its tag was found right, which shows that the key's mark reaches its content. */
static void test_ticket_good(void **state)
{
    (void)state;
    struct sealed s;
    seal(&s);
    unsigned long before = VALGRIND_COUNT_ERRORS;
    assert_int_equal(open_ticket(&s), TT_OK);
    assert_true(VALGRIND_COUNT_ERRORS - before > 0);
    sealed_free(&s);
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[TT_COUNT(checks) + 4] = {
        {"mem_equal_ct", test_mem_equal_ct, NULL, NULL, NULL},
        {"planted: memcmp on a secret is found", test_planted_memcmp, NULL, NULL, NULL},
        {"a forged ticket", test_ticket_forged, NULL, NULL, NULL},
        {"planted: a good ticket's content is branched on, and that is found", test_ticket_good, NULL, NULL,
         NULL},
    };
    for (size_t i = 0; i < TT_COUNT(checks); i++)
        tests[4 + i] =
            (struct CMUnitTest){checks[i].name, test_handshake, NULL, NULL, (void *)(uintptr_t)&checks[i]};
    if (!RUNNING_ON_VALGRIND) {
        print_message("1..1\nok 1 - constant time # SKIP to be run under valgrind\n");
        return 0;
    }
    return _cmocka_run_group_tests("timing/constant", tests, TT_COUNT(tests), NULL, tear_down);
}
