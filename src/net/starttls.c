/* net/starttls.c: see starttls.h. Layer: net. */
#include "net/starttls.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "wire/reader.h"

#define SHOWN_MAX 100 /* how much of an answer a message repeats */

/* An ExtendedRequest, message 1, with the OID of StartTLS (RFC 4511 sections 4.12 and 4.14). */
static const uint8_t ldap_request[] = {0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16, '1', '.',
                                       '3',  '.',  '6',  '.',  '1',  '.',  '4',  '.',  '1',  '.', '1',
                                       '4',  '6',  '6',  '.',  '2',  '0',  '0',  '3',  '7'};
/* SSLRequest: its length, and the number 80877103 for a version. */
static const uint8_t postgres_request[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

const char *starttls_name(enum starttls_kind kind)
{
    static const char *const names[] = {"none", "SMTP", "IMAP", "LDAP", "PostgreSQL"};
    return names[kind];
}

static void send_text(struct starttls *s, const char *text)
{
    s->output = (struct tt_bytes){(const uint8_t *)text, strlen(text)};
}

void starttls_begin(struct starttls *s, enum starttls_kind kind)
{
    *s = (struct starttls){.kind = kind};
    if (kind == STARTTLS_LDAP)
        s->output = (struct tt_bytes){ldap_request, sizeof ldap_request};
    else if (kind == STARTTLS_POSTGRES)
        s->output = (struct tt_bytes){postgres_request, sizeof postgres_request};
    s->done = kind == STARTTLS_NONE;
}

/* ---- refusals ---- */

/* Nothing of it moves a terminal's cursor. */
static void show(char ret[SHOWN_MAX + 1], const char *text, size_t len)
{
    size_t n = 0;
    for (; n < len && n < SHOWN_MAX; n++)
        ret[n] = (char)(text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?');
    ret[n] = '\0';
}

static tt_rc refused(const struct starttls *s, const char *text, struct tt_error *err)
{
    char shown[SHOWN_MAX + 1];
    show(shown, text, strlen(text));
    error_hint(err, "without TLS nothing is sent; the server may offer TLS from the start on another port");
    return error_set(err, TT_ERR_UNSUPPORTED, "%s: the server does not begin TLS: '%s'",
                     starttls_name(s->kind), shown);
}

static tt_rc not_the_protocol(const struct starttls *s, const char *text, size_t len, struct tt_error *err)
{
    char shown[SHOWN_MAX + 1];
    show(shown, text, len);
    error_hint(err, "is this the right port, and does it begin without TLS?");
    return error_set(err, TT_ERR_PROTOCOL, "the server does not speak %s: '%s'", starttls_name(s->kind),
                     shown);
}

static tt_rc agreed(struct starttls *s, size_t left, struct tt_error *err)
{
    if (left > 0) {
        error_hint(err, "somebody on the way may have put that there; nothing of it was used");
        return error_set(err, TT_ERR_PROTOCOL,
                         "%s: %zu bytes stand behind the server's consent to TLS, before TLS began",
                         starttls_name(s->kind), left);
    }
    s->done = true;
    return TT_OK;
}

/* ---- SMTP ---- */

/* "250-STARTTLS" */
static bool is_keyword(const char *line, const char *word)
{
    size_t n = strlen(word);
    return strlen(line) >= 4 + n && strncasecmp(line + 4, word, n) == 0 &&
           (line[4 + n] == '\0' || line[4 + n] == ' ');
}

static tt_rc smtp_line(struct starttls *s, const char *line, size_t left, struct tt_error *err)
{
    const char *wanted = s->state == STARTTLS_HELLO ? "250" : "220";
    bool is_reply = strspn(line, "0123456789") == 3 && strchr("- ", line[3]) != NULL; /* NUL, too */
    if (!is_reply)
        return not_the_protocol(s, line, strlen(line), err);
    if (strncmp(line, wanted, 3) != 0)
        return refused(s, line, err);
    if (s->state == STARTTLS_HELLO && is_keyword(line, "STARTTLS"))
        s->offered = true;
    if (line[3] == '-')
        return TT_OK;
    if (s->state == STARTTLS_CONSENT)
        return agreed(s, left, err);
    if (s->state == STARTTLS_HELLO && !s->offered)
        return refused(s, "STARTTLS is not among its extensions", err);
    send_text(s, s->state == STARTTLS_GREETING ? "EHLO localhost\r\n" : "STARTTLS\r\n");
    s->state = s->state == STARTTLS_GREETING ? STARTTLS_HELLO : STARTTLS_CONSENT;
    return TT_OK;
}

/* ---- IMAP ---- */

static bool begins(const char *line, const char *with)
{
    return strncasecmp(line, with, strlen(with)) == 0;
}

static tt_rc imap_line(struct starttls *s, const char *line, size_t left, struct tt_error *err)
{
    if (s->state == STARTTLS_GREETING) {
        if (begins(line, "* PREAUTH") || begins(line, "* BYE"))
            return refused(s, line, err);
        if (!begins(line, "* OK"))
            return not_the_protocol(s, line, strlen(line), err);
        send_text(s, "t STARTTLS\r\n");
        s->state = STARTTLS_CONSENT;
        return TT_OK;
    }
    if (begins(line, "t OK"))
        return agreed(s, left, err);
    if (begins(line, "t ") || begins(line, "* BYE"))
        return refused(s, line, err);
    return begins(line, "* ") ? TT_OK : not_the_protocol(s, line, strlen(line), err);
}

/* Lines that are whole, out of what came. */
static tt_rc take_lines(struct starttls *s, struct tt_bytes in, struct tt_error *err)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = (char)in.data[i];
        if (s->len + 1 >= sizeof s->answer || (c == '\n' && ++s->lines > STARTTLS_LINES_MAX))
            return not_the_protocol(s, s->answer, s->len, err);
        if (c != '\n') {
            s->answer[s->len++] = c != '\0' ? c : '?';
            continue;
        }
        while (s->len > 0 && s->answer[s->len - 1] == '\r')
            s->len--;
        s->answer[s->len] = '\0';
        s->len = 0;
        TT_TRY(s->kind == STARTTLS_SMTP ? smtp_line(s, s->answer, in.len - i - 1, err)
                                        : imap_line(s, s->answer, in.len - i - 1, err));
        if (s->output.len > 0 && i + 1 < in.len)
            return error_set(err, TT_ERR_PROTOCOL, "%s: the server answers what it was not asked yet",
                             starttls_name(s->kind));
    }
    return TT_OK;
}

/* ---- LDAP ---- */

/* A BER element: its tag and its content. Lengths need not be the shortest. */
static struct tt_bytes rd_ber(struct reader *r, uint8_t *ret_tag)
{
    *ret_tag = rd_u8(r);
    size_t len = rd_u8(r), more = len & 0x7f;
    if (len < 0x80)
        return rd_bytes(r, len);
    if (more == 0 || more > 4)
        rd_fail(r);
    for (len = 0; more > 0 && !r->failed; more--)
        len = len << 8 | rd_u8(r);
    return rd_bytes(r, len);
}

static tt_rc ldap_answer(const struct starttls *s, struct tt_bytes message, struct tt_error *err)
{
    uint8_t id_tag, op_tag, code_tag, tag;
    struct reader r = reader_of(message);
    struct tt_bytes id = rd_ber(&r, &id_tag), op = rd_ber(&r, &op_tag);
    struct reader result = reader_of(op);
    struct tt_bytes code = rd_ber(&result, &code_tag), dn = rd_ber(&result, &tag),
                    text = rd_ber(&result, &tag);
    (void)dn;
    bool ours =
        !r.failed && !result.failed && id_tag == 0x02 && op_tag == 0x78 && code_tag == 0x0a && code.len == 1;
    if (!ours || (id.len != 1 || (id.data[0] != 1 && id.data[0] != 0))) /* 0: a notice of disconnection */
        return not_the_protocol(s, (const char *)message.data, message.len, err);
    if (code.data[0] == 0 && id.data[0] == 1)
        return TT_OK;
    char shown[SHOWN_MAX + 1], said[SHOWN_MAX + 32];
    show(shown, (const char *)text.data, text.len);
    (void)snprintf(said, sizeof said, "result code %u %s", code.data[0], shown);
    return refused(s, said, err);
}

static tt_rc take_ldap(struct starttls *s, struct tt_bytes in, struct tt_error *err)
{
    if (in.len > sizeof s->answer - s->len)
        return not_the_protocol(s, s->answer, s->len, err);
    memcpy(s->answer + s->len, in.data, in.len);
    s->len += in.len;
    uint8_t tag;
    struct reader r = reader_of((struct tt_bytes){(const uint8_t *)s->answer, s->len});
    struct tt_bytes message = rd_ber(&r, &tag);
    if (s->answer[0] != 0x30)
        return not_the_protocol(s, s->answer, s->len, err);
    if (r.failed) /* not all of it is here; it ends at the latest when there is no more room */
        return s->len < sizeof s->answer ? TT_OK : not_the_protocol(s, s->answer, s->len, err);
    TT_TRY(ldap_answer(s, message, err));
    return agreed(s, rd_left(&r), err);
}

/* ---- PostgreSQL ---- */

static tt_rc take_postgres(struct starttls *s, struct tt_bytes in, struct tt_error *err)
{
    if (in.data[0] == 'S')
        return agreed(s, in.len - 1, err);
    if (in.data[0] == 'N')
        return refused(s, "N: it has no TLS (ssl = off)", err);
    return not_the_protocol(s, (const char *)in.data, in.len, err);
}

tt_rc starttls_feed(struct starttls *s, struct tt_bytes in, struct tt_error *err)
{
    s->output = (struct tt_bytes){NULL, 0};
    if (in.len == 0)
        return TT_OK;
    if (s->done)
        return agreed(s, in.len, err);
    switch (s->kind) {
    case STARTTLS_LDAP:
        return take_ldap(s, in, err);
    case STARTTLS_POSTGRES:
        return take_postgres(s, in, err);
    default:
        return take_lines(s, in, err);
    }
}
