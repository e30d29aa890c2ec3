/* tests/tls/test_states.c: the edge table against RFC 9846 appendix A, and every state against all 256
 * handshake message types, under the keys of that state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/scene.h"

/* What RFC 9846 demands here. Section 4: "Protocol messages MUST be sent in the order defined in" Section
 * 4.2.2: "receives a ClientHello at any other time, it MUST terminate the connection with an
 * "unexpected_message" alert." Section 4.4.1: "the server MUST send the EncryptedExtensions message
 * immediately after the ServerHello message." Section 4.4.2: "This message, if sent, MUST follow
 * EncryptedExtensions." Section 4.5.2: "this message MUST appear immediately after the Certificate message
 * and immediately prior to the Finished message." Section 4.6: "clients receiving it MUST terminate the
 * connection with an "unexpected_message" alert." */

#define END CONN_STATE_COUNT

/* The diagrams of appendix A.1 and A.2, written down by hand from the text. Adapted: where an end must sign
 * it waits in *_WAIT_SIGN first; RECVD_CH, NEGOTIATED and WAIT_FLIGHT2 wait for nothing and are passed
 * through; START after a HelloRetryRequest is WAIT_CH2. CONNECTED
 * takes the messages of section 4.7. */
static const struct {
    enum conn_state state;
    uint8_t message;
    enum conn_state next[HS_MAX_NEXT];
} standard[] = {
    {CLIENT_WAIT_SH,
     2 /* server_hello, HelloRetryRequest */,
     {CLIENT_WAIT_EE, CLIENT_WAIT_SH, CLIENT_WAIT_PSK_BINDER, CLIENT_WAIT_PSK_SECRET /* held PSK */, END,
      END}},
    {CLIENT_WAIT_EE,
     8 /* encrypted_extensions */,
     {CLIENT_WAIT_CERT_CR, CLIENT_WAIT_FINISHED /* PSK */, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR, 13 /* certificate_request */, {CLIENT_WAIT_CERT, END, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR, 11 /* certificate */, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT, 11, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT_CR,
     25 /* compressed_certificate, RFC 8879 */,
     {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CERT, 25, {CLIENT_WAIT_CV, END, END, END, END, END}},
    {CLIENT_WAIT_CV, 15 /* certificate_verify */, {CLIENT_WAIT_FINISHED, END, END, END, END, END}},
    {CLIENT_WAIT_FINISHED, 20 /* finished */, {CLIENT_CONNECTED, CLIENT_WAIT_SIGN, END, END, END, END}},
    {CLIENT_CONNECTED, 4 /* new_session_ticket */, {CLIENT_CONNECTED, END, END, END, END, END}},
    {CLIENT_CONNECTED, 24 /* key_update */, {CLIENT_CONNECTED, END, END, END, END, END}},
    {CLIENT_CONNECTED, 13 /* section 4.7.2 */, {CLIENT_CONNECTED, CLIENT_POST_WAIT_SIGN, END, END, END, END}},
    {SERVER_START,
     1 /* client_hello */,
     {SERVER_WAIT_CH2, SERVER_WAIT_SIGN, SERVER_WAIT_EOED /* 0-RTT */, SERVER_WAIT_FINISHED /* PSK */,
      SERVER_WAIT_PSK_BINDER /* held PSK */, SERVER_WAIT_ECH /* ECH key elsewhere */}},
    {SERVER_WAIT_CH2, 1, {SERVER_WAIT_SIGN, SERVER_WAIT_FINISHED, SERVER_WAIT_PSK_BINDER, END, END, END}},
    {SERVER_WAIT_EOED, 5 /* end_of_early_data */, {SERVER_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_WAIT_CERT, 11, {SERVER_WAIT_CV, SERVER_WAIT_FINISHED, END, END, END, END}},
    {SERVER_WAIT_CERT, 25, {SERVER_WAIT_CV, SERVER_WAIT_FINISHED, END, END, END, END}},
    {SERVER_WAIT_CV, 15, {SERVER_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_WAIT_FINISHED, 20, {SERVER_CONNECTED, END, END, END, END, END}},
    {SERVER_CONNECTED, 24, {SERVER_CONNECTED, END, END, END, END, END}},
    {SERVER_CONNECTED,
     11 /* section 4.7.2 */,
     {SERVER_POST_WAIT_CV, SERVER_POST_WAIT_FINISHED, END, END, END, END}},
    {SERVER_CONNECTED, 25, {SERVER_POST_WAIT_CV, SERVER_POST_WAIT_FINISHED, END, END, END, END}},
    {SERVER_POST_WAIT_CV, 15, {SERVER_POST_WAIT_FINISHED, END, END, END, END, END}},
    {SERVER_POST_WAIT_FINISHED, 20, {SERVER_CONNECTED, END, END, END, END, END}},
};

/* The set of states as bits; CONN_STATE_COUNT stands for none. */
static unsigned set_of(const enum conn_state *next, size_t n)
{
    unsigned set = 0;
    for (size_t i = 0; i < n; i++)
        if (next[i] != END)
            set |= 1U << next[i];
    return set;
}

static unsigned standard_next(enum conn_state state, unsigned message)
{
    for (size_t i = 0; i < TT_COUNT(standard); i++)
        if (standard[i].state == state && standard[i].message == message)
            return set_of(standard[i].next, TT_COUNT(standard[i].next));
    return 0;
}

static void the_table_is_the_standards_diagram(void **state)
{
    (void)state;
    size_t n = 0;
    const struct hs_edge *edges = hs_edges(&n);
    assert_int_equal(n, TT_COUNT(standard));
    for (size_t i = 0; i < n; i++) {
        unsigned expected = standard_next(edges[i].state, edges[i].message);
        assert_non_null(edges[i].recv);
        if (expected == 0 || expected != set_of(edges[i].next, TT_COUNT(edges[i].next)))
            fail_msg("%s, %s: the table does not say what appendix A says", conn_state_name(edges[i].state),
                     tt_handshake_type_name(edges[i].message));
        for (size_t j = 0; j < i; j++)
            assert_false(edges[i].state == edges[j].state && edges[i].message == edges[j].message);
    }
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    for (enum conn_state s = 0; s < CONN_STATE_COUNT; s++)
        for (enum conn_state t = 0; t < s; t++)
            assert_string_not_equal(conn_state_name(s), conn_state_name(t));
    assert_string_equal(conn_state_name(CONN_STATE_COUNT), "?");
}

/* hs_set_state: exactly the edges of the table, and those that a signature opens. */
static void no_other_step_is_possible(void **state)
{
    (void)state;
    for (enum conn_state from = 0; from < CONN_STATE_COUNT; from++) {
        unsigned allowed = 0;
        for (unsigned type = 0; type < 256; type++)
            allowed |= standard_next(from, type);
        if (from == CLIENT_WAIT_SIGN || from == CLIENT_POST_WAIT_SIGN)
            allowed = 1U << CLIENT_CONNECTED;
        if (from == CLIENT_WAIT_PSK_BINDER)
            allowed = 1U << CLIENT_WAIT_SH;
        if (from == CLIENT_WAIT_PSK_SECRET)
            allowed = 1U << CLIENT_WAIT_EE;
        if (from == SERVER_WAIT_ECH)
            allowed = standard_next(SERVER_START, TT_HS_CLIENT_HELLO) & ~(1U << SERVER_WAIT_ECH);
        if (from == SERVER_WAIT_PSK_BINDER)
            allowed = 1U << SERVER_WAIT_PSK_SECRET;
        if (from == SERVER_WAIT_PSK_SECRET)
            allowed = 1U << SERVER_WAIT_FINISHED | 1U << SERVER_WAIT_SIGN;
        if (from == SERVER_WAIT_SIGN)
            allowed = 1U << SERVER_WAIT_CERT | 1U << SERVER_WAIT_FINISHED;
        for (enum conn_state to = 0; to < CONN_STATE_COUNT; to++) {
            struct tt_conn c = {.state = from};
            tt_rc rc = hs_set_state(&c, to);
            assert_int_equal(rc, (allowed >> to & 1) != 0 ? TT_OK : TT_ERR_INTERNAL);
            buf_free(&c.out);
        }
    }
}

static enum tt_role role_of(enum conn_state state)
{
    return state < SERVER_START ? TT_CLIENT : TT_SERVER;
}

/* An end that reads nothing: it has not begun, or it waits for its signer. */
static bool state_is_deaf(enum conn_state state)
{
    return state == CLIENT_START || state == CLIENT_WAIT_PSK_BINDER || state == CLIENT_WAIT_PSK_SECRET ||
           state == CLIENT_WAIT_SIGN || state == CLIENT_POST_WAIT_SIGN || state == SERVER_WAIT_PSK_BINDER ||
           state == SERVER_WAIT_PSK_SECRET || state == SERVER_WAIT_ECH || state == SERVER_WAIT_SIGN;
}

static void bring_to(struct scene *s, enum conn_state state)
{
    scene_open(s);
    if (state == SERVER_WAIT_EOED)
        scene_reach_early(s);
    else if (state == CLIENT_POST_WAIT_SIGN || state == SERVER_POST_WAIT_CV ||
             state == SERVER_POST_WAIT_FINISHED)
        scene_reach_post(s, state);
    else if (state == CLIENT_START || state == CLIENT_WAIT_PSK_BINDER || state == CLIENT_WAIT_PSK_SECRET)
        s->conn[TT_CLIENT]->state = state; /* a stand-in: nothing is read there */
    else if (state == SERVER_WAIT_ECH || state == SERVER_WAIT_PSK_BINDER || state == SERVER_WAIT_PSK_SECRET)
        s->conn[TT_SERVER]->state = state;
    else if (state == CLIENT_CONNECTED || state == SERVER_CONNECTED)
        scene_finish(s);
    else
        scene_reach(s, role_of(state), state);
}

/* One type in one state: the table's rows go on to a handler, all else is unexpected_message. */
static void try_type(struct scene *s, enum conn_state state, unsigned type)
{
    const uint8_t message[] = {(uint8_t)type, 0, 0, 2, 0, 0};
    const struct tt_bytes bytes = {message, sizeof message};
    enum tt_role end = role_of(state);
    bring_to(s, state);
    struct tt_conn *c = s->conn[end];
    tt_rc rc = state_is_deaf(state) ? hs_receive(c, bytes) : scene_put(s, end, CT_HANDSHAKE, bytes);
    scene_collect(s);
    assert_int_equal(rc, TT_ERR_PROTOCOL); /* two zero bytes are the body of no message but one */
    /* after the handshake these answer a request, and there was none */
    bool unasked = (state == SERVER_CONNECTED && (type == 11 || type == 25)) ||
                   (state == CLIENT_CONNECTED && type == 13);
    unsigned alert =
        standard_next(state, type) == 0 || unasked ? TT_ALERT_UNEXPECTED_MESSAGE : TT_ALERT_DECODE_ERROR;
    scene_expect_alert(s, end, conn_state_name(state), alert);
}

static void try_state(struct scene *s, enum conn_state state)
{
    for (unsigned type = 0; type < 256; type++) {
        bool well_formed = state == CLIENT_WAIT_EE && type == TT_HS_ENCRYPTED_EXTENSIONS; /* no extensions */
        if (!well_formed)
            try_type(s, state, type);
    }
}

static void every_state_refuses_every_other_message(void **state)
{
    (void)state;
    struct scene plain, retry, early, post;
    scene_configs(&plain,
                  (struct scene_options){.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_identity = true});
    scene_configs(&retry, (struct scene_options){.force_retry = true});
    scene_configs(&early, (struct scene_options){.early_data = true});
    scene_configs(&post, (struct scene_options){.post_auth = true, .client_identity = true});
    for (enum conn_state s = 0; s < CONN_STATE_COUNT; s++) {
        bool is_post =
            s == CLIENT_POST_WAIT_SIGN || s == SERVER_POST_WAIT_CV || s == SERVER_POST_WAIT_FINISHED;
        try_state(s == SERVER_WAIT_CH2    ? &retry
                  : s == SERVER_WAIT_EOED ? &early
                  : is_post               ? &post
                                          : &plain,
                  s);
    }
    scene_free(&post);
    scene_free(&early);
    scene_free(&plain);
    scene_free(&retry);
}

/* While a signature is awaited nothing is read: what comes stays with the caller. */
static void an_end_that_signs_takes_no_bytes(void **state)
{
    (void)state;
    struct scene s;
    scene_configs(&s, (struct scene_options){.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_identity = true});
    static const enum conn_state waits[] = {CLIENT_WAIT_SIGN, SERVER_WAIT_SIGN};
    for (size_t i = 0; i < TT_COUNT(waits); i++) {
        bring_to(&s, waits[i]);
        const uint8_t record[] = {CT_HANDSHAKE, 3, 3, 0, 4, 99, 0, 0, 0};
        size_t n = 1;
        assert_int_equal(tt_conn_feed(s.conn[role_of(waits[i])], record, sizeof record, &n), TT_OK);
        assert_int_equal(n, 0);
        assert_int_equal(s.conn[role_of(waits[i])]->state, waits[i]);
    }
    scene_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_standards_diagram),
        cmocka_unit_test(every_state_has_a_name),
        cmocka_unit_test(no_other_step_is_possible),
        cmocka_unit_test(every_state_refuses_every_other_message),
        cmocka_unit_test(an_end_that_signs_takes_no_bytes),
    };
    return cmocka_run_group_tests_name("tls/states", tests, NULL, NULL);
}
