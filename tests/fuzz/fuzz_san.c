/* tests/fuzz/fuzz_san.c: alternative names as a request may ask for them: checked, and printed. What passes
 * the check is printed in a form that is read again as the same name. */
#include "fuzz.h"

#include "pki/san.h"
#include "pki/san_other.h"

static void print(struct buf *to, const GENERAL_NAMES *names)
{
    FUZZ_CHECK(san_print(to, names) == TT_OK);
    FUZZ_CHECK(buf_append(to, "", 1) == TT_OK); /* a string */
}

/* An otherName that is certified is one that could be typed. */
static void other_again(const GENERAL_NAME *name)
{
    struct buf text = {0};
    GENERAL_NAME *again = NULL;
    FUZZ_CHECK(other_print(&text, name) == TT_OK && buf_append(&text, "", 1) == TT_OK);
    FUZZ_CHECK(other_is_text((const char *)buf_front(&text)));
    FUZZ_CHECK(other_parse(&again, (const char *)buf_front(&text), NULL) == TT_OK);
    FUZZ_CHECK(GENERAL_NAME_cmp((GENERAL_NAME *)(uintptr_t)name, again) == 0);
    GENERAL_NAME_free(again);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    struct tt_error err = {0};
    struct buf text = {0};
    GENERAL_NAMES *names = d2i_GENERAL_NAMES(NULL, &at, (long)size);
    ERR_clear_error();
    if (names == NULL)
        return 0;
    bool good = san_check(names, &(enum csr_flaw){FLAW_NONE}, &err) == TT_OK;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < SAN_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        int type;
        (void)GENERAL_NAME_get0_value(name, &type);
        if (good && type == GEN_OTHERNAME)
            other_again(name);
    }
    print(&text, names);
    buf_free(&text);
    GENERAL_NAMES_free(names);
    return 0;
}
