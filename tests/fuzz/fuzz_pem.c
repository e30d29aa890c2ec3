/* tests/fuzz/fuzz_pem.c: wire/pem.h: reading goes forward and ends, and a block that was read is read again
 * from what pem_write makes of it. */
#include "fuzz.h"

#include <string.h>

#include "wire/pem.h"

static void write_and_read_again(const struct pem_block *block)
{
    char label[65];
    if (block->label.len >= sizeof label || memchr(block->label.data, 0, block->label.len) != NULL)
        return;
    memcpy(label, block->label.data, block->label.len);
    label[block->label.len] = '\0';
    struct buf text = {0};
    FUZZ_CHECK(pem_write(&text, label, (struct tt_bytes){block->der, block->len}) == TT_OK);
    struct tt_bytes rest = buf_bytes(&text);
    struct pem_block again = {0};
    FUZZ_CHECK(pem_next(&again, &rest) == TT_OK);
    FUZZ_CHECK(again.len == block->len && (again.len == 0 || memcmp(again.der, block->der, again.len) == 0));
    FUZZ_CHECK(again.label.len == block->label.len && memcmp(again.label.data, label, again.label.len) == 0);
    pem_block_free(&again);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_bytes text = {data, size};
    for (;;) {
        struct pem_block block = {0};
        size_t before = text.len;
        tt_rc rc = pem_next(&block, &text);
        FUZZ_CHECK(rc == TT_OK || rc == TT_ERR_NOT_FOUND || rc == TT_ERR_DECODE);
        if (rc != TT_OK)
            break;
        FUZZ_CHECK(text.len < before && text.data >= data && text.data + text.len == data + size);
        write_and_read_again(&block);
        pem_block_free(&block);
    }
    struct pem_block found = {0};
    if (pem_find(&found, (struct tt_bytes){data, size}, "CERTIFICATE") == TT_OK)
        pem_block_free(&found);
    return 0;
}
