/* tests/net/test_starttls.c: what is said before TLS: in one piece and byte by byte, refusals, nonsense, and
 * what somebody puts behind the server's consent. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "net/starttls.h"

#define EXCHANGES 4

/* struct talk: what the server says in turn, what we answer, and how it ends. */
struct talk {
    enum starttls_kind kind;
    const char *server[EXCHANGES], *client[EXCHANGES + 1]; /* client[0] is said before the server speaks */
    tt_rc rc;
    const char *text; /* a part of the message */
};

static void expect_output(const struct starttls *s, const char *text)
{
    if (text == NULL) {
        assert_int_equal(s->output.len, 0);
        return;
    }
    assert_int_equal(s->output.len, strlen(text));
    assert_memory_equal(s->output.data, text, s->output.len);
}

/* In pieces of at most `piece` bytes: output only comes with the last one. */
static tt_rc say(struct starttls *s, const char *text, size_t piece, struct tt_error *err)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        tt_rc rc = starttls_feed(s, (struct tt_bytes){(const uint8_t *)text + at, n}, err);
        if (rc != TT_OK)
            return rc;
        assert_true(at + n == len || s->output.len == 0);
    }
    return TT_OK;
}

static void hold(const struct talk *t, size_t piece)
{
    struct starttls s;
    struct tt_error err = {0};
    tt_rc rc = TT_OK;
    starttls_begin(&s, t->kind);
    if (t->kind != STARTTLS_LDAP && t->kind != STARTTLS_POSTGRES)
        expect_output(&s, t->client[0]);
    for (size_t i = 0; i < EXCHANGES && t->server[i] != NULL && rc == TT_OK; i++) {
        assert_false(s.done);
        rc = say(&s, t->server[i], piece, &err);
        if (rc == TT_OK)
            expect_output(&s, t->client[i + 1]);
    }
    assert_int_equal(rc, t->rc);
    assert_int_equal(s.done, t->rc == TT_OK);
    if (t->text != NULL)
        assert_non_null(strstr(err.text, t->text));
}

#define SMTP_BEGIN "220-mail.example ESMTP\r\n220 ready\r\n"
#define EHLO       "EHLO localhost\r\n"
#define LDAP_OK    "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01"
static const struct talk talks[] = {
    {STARTTLS_SMTP,
     {SMTP_BEGIN, "250-mail.example\r\n250-PIPELINING\r\n250-starttls\r\n250 8BITMIME\r\n", "220 go\r\n"},
     {NULL, EHLO, "STARTTLS\r\n"},
     TT_OK,
     NULL},
    {STARTTLS_SMTP, {"220 x\n", "250 STARTTLS\n", "220\n"}, {NULL, EHLO, "STARTTLS\r\n"}, TT_OK, NULL},
    {STARTTLS_SMTP,
     {SMTP_BEGIN, "250-mail.example\r\n250 STARTTLSX\r\n"},
     {NULL, EHLO},
     TT_ERR_UNSUPPORTED,
     "not among its extensions"},
    {STARTTLS_SMTP, {SMTP_BEGIN, "502 what\r\n"}, {NULL, EHLO}, TT_ERR_UNSUPPORTED, "'502 what'"},
    {STARTTLS_SMTP, {"554 go \x1b[2Jaway\r\n"}, {NULL}, TT_ERR_UNSUPPORTED, "'554 go ?[2Jaway'"},
    {STARTTLS_SMTP,
     {SMTP_BEGIN, "250 STARTTLS\r\n", "454 not now\r\n"},
     {NULL, EHLO, "STARTTLS\r\n"},
     TT_ERR_UNSUPPORTED,
     "454"},
    {STARTTLS_SMTP, {"* OK this is IMAP\r\n"}, {NULL}, TT_ERR_PROTOCOL, "does not speak SMTP"},
    {STARTTLS_IMAP,
     {"* OK [CAPABILITY IMAP4rev1] hello\r\n", "* CAPABILITY x\r\nt OK begin\r\n"},
     {NULL, "t STARTTLS\r\n"},
     TT_OK,
     NULL},
    {STARTTLS_IMAP, {"* PREAUTH you are known\r\n"}, {NULL}, TT_ERR_UNSUPPORTED, "PREAUTH"},
    {STARTTLS_IMAP, {"* OK\r\n", "t BAD no\r\n"}, {NULL, "t STARTTLS\r\n"}, TT_ERR_UNSUPPORTED, "t BAD no"},
    {STARTTLS_IMAP, {"220 mail\r\n"}, {NULL}, TT_ERR_PROTOCOL, "does not speak IMAP"},
    {STARTTLS_POSTGRES, {"S"}, {NULL}, TT_OK, NULL},
    {STARTTLS_POSTGRES, {"N"}, {NULL}, TT_ERR_UNSUPPORTED, "no TLS"},
    {STARTTLS_POSTGRES, {"HTTP/1.1 400"}, {NULL}, TT_ERR_PROTOCOL, "does not speak PostgreSQL: 'H"},
};

static void talks_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof talks / sizeof talks[0]; i++)
        for (size_t piece = 1; piece < 200; piece += 33)
            hold(&talks[i], piece);
}

/* What is put behind the consent is not the server's, or not yet. */
static void nothing_behind_consent(void **state)
{
    static const struct {
        enum starttls_kind kind;
        const char *before, *last;
    } cases[] = {{STARTTLS_SMTP, NULL, "220 go\r\n250 injected\r\n"},
                 {STARTTLS_IMAP, "* OK\r\n", "t OK begin\r\n* OK injected\r\n"},
                 {STARTTLS_POSTGRES, NULL, "SINJECTED"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct starttls s;
        struct tt_error err = {0};
        starttls_begin(&s, cases[i].kind);
        if (cases[i].kind == STARTTLS_SMTP) {
            assert_int_equal(say(&s, "220 x\r\n", 99, &err), TT_OK);
            assert_int_equal(say(&s, "250 STARTTLS\r\n", 99, &err), TT_OK);
        } else if (cases[i].before != NULL) {
            assert_int_equal(say(&s, cases[i].before, 99, &err), TT_OK);
        }
        assert_int_equal(say(&s, cases[i].last, 99, &err), TT_ERR_PROTOCOL);
        assert_non_null(strstr(err.text, "behind the server's consent"));
        assert_false(s.done);
    }
}

static void answers_come_in_turn(void **state)
{
    (void)state;
    struct starttls s;
    struct tt_error err = {0};
    starttls_begin(&s, STARTTLS_SMTP);
    assert_int_equal(say(&s, "220 x\r\n250 STARTTLS\r\n220 go\r\n", 99, &err), TT_ERR_PROTOCOL);
    assert_false(s.done);
}

/* Without an end, in length or in number. */
static void answers_are_bounded(void **state)
{
    (void)state;
    for (enum starttls_kind kind = STARTTLS_SMTP; kind <= STARTTLS_LDAP; kind++)
        for (int lines = 0; lines < 2; lines++) {
            const char *more = kind == STARTTLS_LDAP ? "\x30\x84\x7f\xff\xff\xff"
                               : lines == 0          ? "2"
                                                     : "220-x\r\n";
            struct starttls s;
            struct tt_error err = {0};
            starttls_begin(&s, kind);
            if (kind == STARTTLS_IMAP && lines == 1) {
                assert_int_equal(say(&s, "* OK\r\n", 9, &err), TT_OK);
                more = "* and more\r\n";
            }
            tt_rc rc = TT_OK;
            for (int i = 0; rc == TT_OK && i < 3000; i++)
                rc = say(&s, more, 99, &err);
            assert_int_equal(rc, TT_ERR_PROTOCOL);
        }
}

struct ldap_case {
    const char *bytes;
    size_t len;
    tt_rc rc;
    const char *text;
};
#define LDAP(bytes, rc, text)                                                                                \
    {                                                                                                        \
        bytes, sizeof(bytes) - 1, rc, text                                                                   \
    }

static void ldap(void **state)
{
    static const struct ldap_case cases[] = {
        LDAP(LDAP_OK "\x00\x04\x00\x04\x00", TT_OK, NULL),
        /* lengths that are longer than they need be, as Active Directory writes them */
        LDAP("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
             TT_OK, NULL),
        LDAP("\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x34\x04\x00\x04\x02no", TT_ERR_UNSUPPORTED,
             "result code 52 no"),
        LDAP("\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x02\x04\x00\x04\x00", TT_ERR_UNSUPPORTED, "result code 2"),
        LDAP("\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00", TT_ERR_PROTOCOL,
             "does not speak LDAP"),
        LDAP("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", TT_ERR_PROTOCOL,
             "does not speak LDAP"),
        LDAP("\x30\x00", TT_ERR_PROTOCOL, "does not speak LDAP"),
        LDAP("220 mail\r\n", TT_ERR_PROTOCOL, "does not speak LDAP: '2"),
        LDAP(LDAP_OK "\x00\x04\x00\x04\x00more", TT_ERR_PROTOCOL, "4 bytes stand behind"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece <= 64; piece += 63) {
            struct starttls s;
            struct tt_error err = {0};
            tt_rc rc = TT_OK;
            starttls_begin(&s, STARTTLS_LDAP);
            assert_int_equal(s.output.len, 31);
            assert_memory_equal(s.output.data + 9, "1.3.6.1.4.1.1466.20037", 22);
            for (size_t at = 0; rc == TT_OK && at < cases[i].len; at += piece) {
                size_t n = cases[i].len - at < piece ? cases[i].len - at : piece;
                rc = starttls_feed(&s, (struct tt_bytes){(const uint8_t *)cases[i].bytes + at, n}, &err);
            }
            assert_int_equal(rc, cases[i].rc);
            if (cases[i].text != NULL && piece > 1)
                assert_non_null(strstr(err.text, cases[i].text));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks_hold),
        cmocka_unit_test(nothing_behind_consent),
        cmocka_unit_test(answers_come_in_turn),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(ldap),
    };
    return cmocka_run_group_tests_name("net/starttls", tests, NULL, NULL);
}
