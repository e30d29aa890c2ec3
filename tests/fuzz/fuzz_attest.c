/* tests/fuzz/fuzz_attest.c: attest/structures.h: what may come in place of a TPM's structures. The first byte
 * says which. What is read lies within the input; a public area that is read has a name, and what is printed
 * of it ends. */
#include "fuzz.h"

#include <string.h>

#include "attest/structures.h"

static const uint8_t *from, *to;

static void within(struct tt_bytes b)
{
    FUZZ_CHECK(b.len == 0 || (b.data >= from && b.data + b.len <= to));
}

static void attest(struct tt_bytes in)
{
    struct at_attest a;
    struct at_selection s;
    char text[40];
    if (at_attest_read(&a, in) != TT_OK)
        return;
    const struct tt_bytes all[] = {a.signer, a.extra, a.name, a.qualified_name, a.selection, a.digest};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        within(all[i]);
    if (a.selection.len == 0)
        return;
    FUZZ_CHECK(at_selection_read(&s, a.selection) == TT_OK && at_selection_same(&s, &s));
    at_selection_text(text, sizeof text, &s);
    FUZZ_CHECK(memchr(text, '\0', sizeof text) != NULL);
}

static void public_area(struct tt_bytes in)
{
    struct at_public p;
    struct buf spki = {0};
    char text[20];
    if (at_public_read(&p, in) != TT_OK)
        return;
    const struct tt_bytes all[] = {p.area, p.policy, p.modulus, p.x, p.y};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        within(all[i]);
    tt_rc rc = at_public_spki(&spki, &p);
    FUZZ_CHECK(rc == TT_OK || rc == TT_ERR_DECODE || rc == TT_ERR_UNSUPPORTED);
    buf_free(&spki);
    at_attributes_text(text, sizeof text, p.attributes);
    FUZZ_CHECK(memchr(text, '\0', sizeof text) != NULL);
}

static void signature(struct tt_bytes in)
{
    struct at_signature s;
    if (at_signature_read(&s, in) != TT_OK)
        return;
    within(s.rsa);
    within(s.r);
    within(s.s);
}

/* "sha256:0,7": what is read is printed, and read again as the same. */
static void pcrs(struct tt_bytes in)
{
    struct at_selection s, again;
    char text[300], printed[800];
    if (in.len >= sizeof text)
        return;
    if (in.len > 0)
        memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    if (at_selection_parse(&s, text) != TT_OK)
        return;
    at_selection_text(printed, sizeof printed, &s);
    FUZZ_CHECK(at_selection_parse(&again, printed) == TT_OK && at_selection_same(&s, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct tt_bytes in) = {attest, public_area, signature, pcrs};
    if (size < 1)
        return 0;
    from = data + 1;
    to = data + size;
    targets[data[0] % TT_COUNT(targets)]((struct tt_bytes){from, size - 1});
    return 0;
}
