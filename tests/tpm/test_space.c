/* tests/tpm/test_space.c: the keeper's resource manager on a chip of a few lines that numbers its saved
 * sessions, and refuses to save one when the oldest is too far behind, as TPM 2.0 part 1, section 30.5 says.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "tpm_test.h"
#include "tpm/space.h"

#define GAP_MAX  200
#define SESSIONS 8

struct chip {
    int fd;
    pthread_t thread;
    uint64_t counter, saved[SESSIONS]; /* of each session, 0: it is loaded, or not there */
    bool there[SESSIONS];
    unsigned refuse_saves, flushes;
};

static void put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static uint64_t get(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static bool too_old(const struct chip *c)
{
    for (size_t i = 0; i < SESSIONS; i++)
        if (c->there[i] && c->saved[i] > 0 && c->counter - c->saved[i] >= GAP_MAX)
            return true;
    return false;
}

/* The response code; the body of the response in out. */
static uint32_t run(struct chip *c, uint32_t cc, const uint8_t *in, uint8_t *out, size_t *out_len)
{
    size_t i = (cc == TPM2_CC_ContextLoad ? get(in + 8, 4) : get(in, 4)) & 0xffffff;
    static const struct {
        uint32_t cc, attributes;
    } commands[] = {{TPM2_CC_StartAuthSession, 2U << 25 | 1U << 28},
                    {TPM2_CC_ContextSave, 1U << 25},
                    {TPM2_CC_ContextLoad, 1U << 28},
                    {TPM2_CC_FlushContext, 0},
                    {TPM2_CC_GetRandom, 0}};
    *out_len = 0;
    switch (cc) {
    case TPM2_CC_GetCapability:
        memset(out, 0, 9);
        out[8] = (uint8_t)TT_COUNT(commands);
        for (size_t k = 0; k < TT_COUNT(commands); k++)
            put(out + 9 + 4 * k, commands[k].cc | commands[k].attributes, 4);
        *out_len = 9 + 4 * TT_COUNT(commands);
        return 0;
    case TPM2_CC_StartAuthSession:
        for (i = 0; i < SESSIONS && c->there[i]; i++)
            ;
        if (i == SESSIONS)
            return TPM2_RC_SESSION_HANDLES;
        c->there[i] = true;
        c->saved[i] = 0;
        put(out, 0x02000000 + i, 4);
        *out_len = 4;
        return 0;
    case TPM2_CC_ContextSave:
        if (i >= SESSIONS || !c->there[i] || c->saved[i] > 0)
            return TPM2_RC_REFERENCE_H0;
        if (c->refuse_saves > 0)
            return c->refuse_saves--, TPM2_RC_MEMORY;
        if (too_old(c))
            return TPM2_RC_CONTEXT_GAP;
        c->saved[i] = ++c->counter;
        put(out, c->counter, 8);
        put(out + 8, 0x02000000 + i, 4);
        *out_len = 12;
        return 0;
    case TPM2_CC_ContextLoad:
        if (i >= SESSIONS || !c->there[i] || c->saved[i] != get(in, 8))
            return TPM2_RC_HANDLE;
        c->saved[i] = 0;
        put(out, 0x02000000 + i, 4);
        *out_len = 4;
        return 0;
    case TPM2_CC_FlushContext:
        c->flushes++;
        if (i < SESSIONS)
            c->there[i] = false;
        return 0;
    default:
        return 0;
    }
}

static void *chip_main(void *arg)
{
    struct chip *c = arg;
    uint8_t in[TPM_MAX_MESSAGE], out[TPM_MAX_MESSAGE];
    for (;;) {
        size_t have = 0, len = 0;
        while (have < 10 || have < get(in + 2, 4)) {
            ssize_t n = read(c->fd, in + have, (have < 10 ? 10 : get(in + 2, 4)) - have);
            if (n <= 0)
                return NULL;
            have += (size_t)n;
        }
        uint32_t rc = run(c, (uint32_t)get(in + 6, 4), in + 10, out + 10, &len);
        put(out, TPM2_ST_NO_SESSIONS, 2);
        put(out + 2, 10 + len, 4);
        put(out + 6, rc, 4);
        if (write(c->fd, out, 10 + len) < 0)
            return NULL;
    }
}

/* ---- clients ---- */

static struct chip chip;
static struct space spaces[3];
static struct space_tpm tpm;
static uint8_t response[TPM_MAX_MESSAGE];

static uint32_t send_command(struct space *s, uint32_t cc, const uint8_t *body, size_t len)
{
    uint8_t command[TPM_MAX_MESSAGE] = {0x80, 0x01};
    size_t got = 0;
    put(command + 2, 10 + len, 4);
    put(command + 6, cc, 4);
    memcpy(command + 10, body, len);
    assert_true(space_run(&tpm, s, command, 10 + len, response, &got));
    return (uint32_t)get(response + 6, 4);
}

static uint32_t start_session(struct space *s)
{
    static const uint8_t body[8] = {0x40, 0, 0, 7, 0x40, 0, 0, 7};
    assert_int_equal(send_command(s, TPM2_CC_StartAuthSession, body, sizeof body), 0);
    return (uint32_t)get(response + 10, 4);
}

/* Is the client's session there? What asks is a command with it as its handle. */
static uint32_t save_session(struct space *s, uint32_t handle)
{
    uint8_t body[4];
    put(body, handle, 4);
    return send_command(s, TPM2_CC_ContextSave, body, sizeof body);
}

static uint32_t load_session(struct space *s)
{
    uint8_t body[12];
    memcpy(body, response + 10, sizeof body);
    return send_command(s, TPM2_CC_ContextLoad, body, sizeof body);
}

static int set_up(void **state)
{
    int sv[2];
    (void)state;
    memset(&chip, 0, sizeof chip);
    memset(spaces, 0, sizeof spaces);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    chip.fd = sv[1];
    assert_int_equal(pthread_create(&chip.thread, NULL, chip_main, &chip), 0);
    assert_true(space_open(&tpm, sv[0], spaces, TT_COUNT(spaces)));
    tpm.gap = GAP_MAX / 4;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)close(tpm.fd);
    (void)pthread_join(chip.thread, NULL);
    (void)close(chip.fd);
    return 0;
}

static const uint8_t two[2] = {0, 8};

/* Two clients take turns, while a third one's session lies idle. 0: all have theirs in the end. */
static uint32_t take_turns(unsigned times)
{
    uint32_t sessions[3];
    for (size_t c = 0; c < 3; c++)
        sessions[c] = start_session(&spaces[c]);
    for (unsigned i = 0; i < times; i++)
        for (size_t c = 1; c <= 2; c++)
            assert_int_equal(send_command(&spaces[c], TPM2_CC_GetRandom, two, sizeof two), 0);
    for (size_t c = 0; c < 3; c++)
        if (save_session(&spaces[c], sessions[c]) != 0)
            return 1;
    return 0;
}

static void an_idle_session_is_saved_again(void **state)
{
    (void)state;
    assert_int_equal(take_turns(3 * GAP_MAX), 0);
    assert_int_equal(chip.flushes, 0);
}

/* The control: with nothing saved again, the chip refuses. */
static void else_the_chip_refuses(void **state)
{
    (void)state;
    tpm.gap = UINT64_MAX;
    assert_int_not_equal(take_turns(3 * GAP_MAX), 0);
}

/* One client alone, which saves and loads its own: it counts, too. */
static void a_client_saves_its_own(void **state)
{
    (void)state;
    uint32_t idle = start_session(&spaces[0]), own = start_session(&spaces[1]);
    for (unsigned i = 0; i < 3 * GAP_MAX; i++) {
        assert_int_equal(save_session(&spaces[1], own), 0);
        assert_int_equal(load_session(&spaces[1]), 0);
    }
    assert_int_equal(save_session(&spaces[0], idle), 0);
}

/* Nobody would know of it any more. */
static void what_cannot_be_saved_does_not_stay_loaded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * SESSIONS; i++) {
        (void)start_session(&spaces[0]);
        chip.refuse_saves = 1;
        assert_int_equal(send_command(&spaces[1], TPM2_CC_GetRandom, two, sizeof two), 0);
        assert_int_equal(chip.refuse_saves, 0);
    }
    assert_int_equal(chip.flushes, 4 * SESSIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_idle_session_is_saved_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(else_the_chip_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_saves_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_saved_does_not_stay_loaded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
