/* tests/fuzz/fuzz_host.c: wire/host.h: what is taken is taken again, and stands for the same. */
#include "fuzz.h"

#include <string.h>

#include "wire/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[512];
    struct host h, again;
    struct tt_error err = {0};
    size = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    tt_rc rc = host_parse(&h, text, &err);
    FUZZ_CHECK(rc == TT_OK || (rc == TT_ERR_USAGE && err.text[0] != '\0' && err.hint[0] != '\0'));
    if (rc != TT_OK)
        return 0;
    FUZZ_CHECK(strlen(h.text) <= HOST_NAME_MAX_LEN && strspn(h.text, " \t\n%[]/@") == 0);
    FUZZ_CHECK(host_parse(&again, h.text, NULL) == TT_OK);
    FUZZ_CHECK(again.kind == h.kind && strcmp(again.text, h.text) == 0 && again.zone[0] == '\0');
    return 0;
}
