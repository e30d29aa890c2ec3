/* tests/tpm/test_keyfile.c: TSS2 PRIVATE KEY files: every field, every cut, unknown and misplaced fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tpm/keyfile.h"
#include "wire/der.h"
#include "wire/pem.h"

#define LITERAL(s) ((struct tt_bytes){(const uint8_t *)(s), sizeof(s) - 1})

/* One TPMPolicy: PolicyPCR with an empty body; and one TPMAuthPolicy with a name around the same. */
#define POLICY      "\x30\x0a\xa0\x04\x02\x02\x01\x7f\xa1\x02\x04\x00"
#define AUTH_POLICY "\x30\x15\xa0\x03\x0c\x01n\xa1\x0e\x30\x0c" POLICY

static struct keyfile everything(void)
{
    return (struct keyfile){.kind = KEYFILE_IMPORTABLE,
                            .empty_auth = true,
                            .has_policy = true,
                            .has_auth_policy = true,
                            .rsa_parent = true,
                            .parent = 0x81000001,
                            .policy = LITERAL(POLICY),
                            .secret = LITERAL("secret"),
                            .auth_policy = LITERAL(AUTH_POLICY),
                            .description = LITERAL("a key"),
                            .pubkey = LITERAL("public"),
                            .privkey = LITERAL("private")};
}

static void assert_same(struct tt_bytes a, struct tt_bytes b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.data, b.data, a.len);
}

static void assert_same_file(const struct keyfile *a, const struct keyfile *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->empty_auth, b->empty_auth);
    assert_int_equal(a->has_policy, b->has_policy);
    assert_int_equal(a->has_auth_policy, b->has_auth_policy);
    assert_int_equal(a->rsa_parent, b->rsa_parent);
    assert_int_equal(a->parent, b->parent);
    assert_same(a->policy, b->policy);
    assert_same(a->secret, b->secret);
    assert_same(a->auth_policy, b->auth_policy);
    assert_same(a->description, b->description);
    assert_same(a->pubkey, b->pubkey);
    assert_same(a->privkey, b->privkey);
}

static void round_trip(const struct keyfile *f)
{
    struct buf pem = {0};
    struct tt_error err = {0};
    struct keyfile back;
    assert_int_equal(keyfile_write(&pem, f), TT_OK);
    assert_int_equal(keyfile_parse(&back, buf_bytes(&pem), &err), TT_OK);
    assert_same_file(f, &back);
    keyfile_free(&back);
    buf_free(&pem);
}

static void every_field(void **state)
{
    (void)state;
    struct keyfile f = everything();
    round_trip(&f);
    f = (struct keyfile){.kind = KEYFILE_LOADABLE,
                         .parent = KEYFILE_PARENT_OWNER,
                         .pubkey = LITERAL("p"),
                         .privkey = LITERAL("q")};
    round_trip(&f);
    f.kind = KEYFILE_SEALED;
    f.empty_auth = true;
    round_trip(&f);
}

static struct pem_block der_of(const struct keyfile *f)
{
    struct buf pem = {0};
    struct pem_block b;
    assert_int_equal(keyfile_write(&pem, f), TT_OK);
    assert_int_equal(pem_find(&b, buf_bytes(&pem), KEYFILE_LABEL), TT_OK);
    buf_free(&pem);
    return b;
}

static tt_rc parse_der(struct tt_bytes der, struct keyfile *ret)
{
    struct buf pem = {0};
    struct keyfile f = {0};
    assert_int_equal(pem_write(&pem, KEYFILE_LABEL, der), TT_OK);
    struct tt_error err = {0};
    tt_rc rc = keyfile_parse(&f, buf_bytes(&pem), &err);
    assert_int_equal(err.rc, rc);
    assert_true((rc == TT_OK) == (err.text[0] == '\0'));
    if (rc == TT_OK && ret != NULL) {
        ret->empty_auth = f.empty_auth;
        ret->parent = f.parent;
    }
    keyfile_free(&f);
    buf_free(&pem);
    return rc;
}

static void truncated_at_every_byte(void **state)
{
    (void)state;
    struct keyfile f = everything();
    struct pem_block b = der_of(&f);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(parse_der((struct tt_bytes){b.der, n}, NULL), TT_ERR_DECODE);
    pem_block_free(&b);
}

/* Every byte changed in turn: no crash, and never a struct from a file that is not well formed. */
static void each_byte_changed(void **state)
{
    (void)state;
    struct keyfile f = everything();
    struct pem_block b = der_of(&f);
    for (size_t i = 0; i < b.len; i++) {
        static const uint8_t flips[] = {0x01, 0x80, 0xff};
        for (size_t k = 0; k < TT_COUNT(flips); k++) {
            b.der[i] ^= flips[k];
            tt_rc rc = parse_der((struct tt_bytes){b.der, b.len}, NULL);
            assert_true(rc == TT_OK || rc == TT_ERR_DECODE || rc == TT_ERR_UNSUPPORTED);
            b.der[i] ^= flips[k];
        }
    }
    pem_block_free(&b);
}

#define OID_LOADABLE "\x06\x06\x67\x81\x05\x0a\x01\x03"
#define TAIL         "\x02\x04\x40\x00\x00\x01\x04\x01p\x04\x01q"
#define EMPTY_AUTH   "\xa0\x03\x01\x01\xff"
#define DESCRIPTION  "\xa4\x03\x0c\x01x"

static tt_rc parse_fields(const char *content, size_t n, struct keyfile *ret)
{
    struct buf b = {0};
    struct writer w = writer_to(&b);
    der_put(&w, DER_SEQUENCE, (struct tt_bytes){(const uint8_t *)content, n});
    tt_rc rc = parse_der(buf_bytes(&b), ret);
    buf_free(&b);
    return rc;
}
#define PARSE(literal) parse_fields(literal, sizeof(literal) - 1, NULL)

static void order_and_unknown_fields(void **state)
{
    (void)state;
    assert_int_equal(PARSE(OID_LOADABLE EMPTY_AUTH DESCRIPTION TAIL), TT_OK);
    assert_int_equal(PARSE(OID_LOADABLE DESCRIPTION EMPTY_AUTH TAIL), TT_ERR_DECODE);
    assert_int_equal(PARSE(OID_LOADABLE EMPTY_AUTH EMPTY_AUTH TAIL), TT_ERR_DECODE);
    assert_int_equal(PARSE(OID_LOADABLE "\xa6\x03\x0c\x01x" TAIL), TT_ERR_UNSUPPORTED);
    assert_int_equal(PARSE(OID_LOADABLE "\x86\x01x" TAIL), TT_ERR_DECODE);
    assert_int_equal(PARSE(OID_LOADABLE TAIL "\x04\x01z"), TT_ERR_DECODE);
    assert_int_equal(PARSE("\x06\x06\x67\x81\x05\x0a\x01\x06" TAIL), TT_ERR_UNSUPPORTED);
    assert_int_equal(PARSE("\x06\x06\x67\x81\x05\x0a\x02\x03" TAIL), TT_ERR_UNSUPPORTED);
    assert_int_equal(PARSE(OID_LOADABLE "\xa1\x04\x30\x02\x30\x00" TAIL), TT_ERR_DECODE);
}

static void three_states_of_empty_auth(void **state)
{
    (void)state;
    struct keyfile f = {.empty_auth = true};
    assert_int_equal(parse_fields(OID_LOADABLE TAIL, sizeof(OID_LOADABLE TAIL) - 1, &f), TT_OK);
    assert_false(f.empty_auth);
#define EXPLICIT(v) OID_LOADABLE "\xa0\x03\x01\x01" v TAIL
    assert_int_equal(parse_fields(EXPLICIT("\x00"), sizeof(EXPLICIT("\x00")) - 1, &f), TT_OK);
    assert_false(f.empty_auth);
    assert_int_equal(parse_fields(EXPLICIT("\x01"), sizeof(EXPLICIT("\x01")) - 1, &f), TT_OK);
    assert_true(f.empty_auth); /* broken encoders write 1; the draft asks us to accept it */
}

static void other_texts(void **state)
{
    (void)state;
    struct keyfile f;
    struct tt_error err = {0};
    assert_int_equal(
        keyfile_parse(&f, LITERAL("-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"), &err),
        TT_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "TSS2 PRIVATE KEY"));
    err = (struct tt_error){0};
    assert_int_equal(keyfile_parse(&f, LITERAL("-----BEGIN TSS2 PRIVATE KEY-----\nAAEC\n"), &err),
                     TT_ERR_DECODE);
    assert_non_null(strstr(err.text, "cut off"));
    err = (struct tt_error){0};
    assert_int_equal(keyfile_parse(&f, LITERAL(""), &err), TT_ERR_NOT_FOUND);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(each_byte_changed),
        cmocka_unit_test(order_and_unknown_fields),
        cmocka_unit_test(three_states_of_empty_auth),
        cmocka_unit_test(other_texts),
    };
    return cmocka_run_group_tests_name("keyfile", tests, NULL, NULL);
}
