/* tests/tls/record_rows.c: see record_rows.h. */
#include "tls/record_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void put_one(struct scene *s, enum tt_role to, const struct put *p, struct tt_bytes honest)
{
    static uint8_t bytes[140000];
    size_t n = 0, half = honest.len / 2;
    if (p->how == HONEST || p->how == HONEST_HALF) {
        n = p->how == HONEST ? honest.len : half;
        memcpy(bytes, honest.data, n);
    } else if (p->how == HONEST_REST) {
        n = honest.len - half;
        memcpy(bytes, honest.data + half, n);
    }
    n += hex_bytes(bytes + n, sizeof bytes - n, p->hex);
    const struct tt_bytes content = {bytes, n};
    struct buf out = {0};
    if (p->how == RAW)
        (void)!scene_feed(s, to, content);
    else if (p->how == CLEAR)
        (void)!scene_put_clear(s, to, p->type, content);
    else {
        scene_seal(s, to, (struct scene_record){p->how == SEALED ? p->type : HS, content, p->padding}, 0,
                   &out);
        (void)!scene_feed(s, to, buf_bytes(&out));
    }
    buf_free(&out);
}

static void expect(struct scene *s, enum tt_role end, const struct record_row *row)
{
    if (row->expected == FINE) {
        scene_expect_well(s, end, row->what);
        return;
    }
    if (row->expected != PEER_REFUSED && row->expected != CLOSED) {
        scene_expect_alert(s, end, row->what, row->expected);
        return;
    }
    const struct tt_conn_status *st = tt_conn_error(s->conn[end]);
    assert_int_equal(st->error.rc, row->expected == CLOSED ? TT_ERR_CLOSED : TT_ERR_PEER_ALERT);
    assert_int_equal(st->alert_sent, TT_ALERT_NONE);
    assert_int_equal(s->alert[end].count, 0);
    assert_int_not_equal(st->alert_received, TT_ALERT_NONE);
}

static void record_row_run(void **state)
{
    const struct record_row *row = *state;
    struct scene *s = scene_of(row->kind);
    enum tt_role end = row_role(row->at);
    uint8_t honest[4096];
    scene_open(s);
    if (row->at == CLIENT_CONNECTED || row->at == SERVER_CONNECTED)
        scene_finish(s);
    else
        scene_reach(s, end, row->at);
    struct tt_bytes next = scene_next(s, end);
    assert_true(next.len <= sizeof honest);
    if (next.len > 0)
        memcpy(honest, next.data, next.len);
    for (size_t i = 0; i < TT_COUNT(row->puts) && row->puts[i].how != PUT_NONE; i++)
        for (size_t times = 0; times < (row->puts[i].times > 0 ? row->puts[i].times : 1); times++)
            if (tt_conn_error(s->conn[end])->error.rc == TT_OK)
                put_one(s, end, &row->puts[i], (struct tt_bytes){honest, next.len});
    expect(s, end, row);
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

int record_rows_main(const char *group, const struct record_table *tables, size_t n)
{
    size_t total = 0, at = 0;
    for (size_t t = 0; t < n; t++)
        total += tables[t].n;
    struct CMUnitTest *tests = calloc(total, sizeof *tests);
    if (tests == NULL)
        return 1;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t].n; i++)
            tests[at++] = (struct CMUnitTest){tables[t].rows[i].what, record_row_run, NULL, NULL,
                                              (void *)(uintptr_t)&tables[t].rows[i]};
    int failed = _cmocka_run_group_tests(group, tests, total, NULL, tear_down);
    free(tests);
    return failed;
}
