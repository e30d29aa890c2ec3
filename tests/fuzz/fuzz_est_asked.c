/* tests/fuzz/fuzz_est_asked.c: what an EST server is asked: the first byte chooses: a header Authorization,
 * or a request of which the challengePassword is looked for. */
#include <string.h>

#include "est/basic.h"
#include "est/body.h"
#include "est/challenge.h"
#include "fuzz.h"

static void basic(const uint8_t *data, size_t size)
{
    struct est_basic b;
    char *text = mem_dup(data, size);
    if (text != NULL && est_basic_read(&b, text))
        FUZZ_CHECK(b.password[0] != '\0' && strlen(b.password) <= EST_PASSWORD_MAX &&
                   strlen(b.user) <= EST_USER_MAX);
    mem_free(text);
}

static void challenge(const uint8_t *data, size_t size)
{
    static const uint8_t binding[32];
    struct buf der = {0};
    struct tt_bytes text = {NULL, 0};
    if (est_body_read(&der, (struct tt_bytes){data, size}, NULL) == TT_OK &&
        est_challenge_find(&text, buf_bytes(&der)) == EST_CHALLENGE_THERE) {
        FUZZ_CHECK(text.data >= buf_front(&der) && text.data + text.len <= buf_front(&der) + buf_size(&der));
        (void)est_challenge_is(text, binding);
    }
    buf_free(&der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        basic(data + 1, size - 1);
    else
        challenge(data + 1, size - 1);
    return 0;
}
