/* tests/fuzz/fuzz_file_holds.c: signer/file_holds.h: whatever a file holds, it is one kind, with words for
 * each that is known, and a key in front of it is still a key. */
#include "fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "signer/file_holds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n";
    const char *words = "";
    enum file_holds holds = file_content((struct tt_bytes){data, size}, &words);
    FUZZ_CHECK((holds == HOLDS_NOTHING) == (size == 0));
    FUZZ_CHECK((words == NULL) == (holds == HOLDS_NOTHING || holds == HOLDS_OTHER));
    struct buf both = {0};
    if (buf_append(&both, data, size) == TT_OK && buf_append(&both, key, sizeof key - 1) == TT_OK)
        FUZZ_CHECK(file_content(buf_bytes(&both), NULL) == HOLDS_SECRET);
    buf_free(&both);
    return 0;
}
