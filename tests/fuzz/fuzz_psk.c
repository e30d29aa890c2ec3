/* tests/fuzz/fuzz_psk.c: files of external PSKs, stored sessions, imported identities and delegated
 * credentials: what was read is written as the same bytes again. The first byte says which. */
#include "fuzz.h"

#include <string.h>

#include "tls/credential.h"
#include "tls/session.h"
#include "tpmtls/key.h"

static bool inside(struct tt_bytes part, struct tt_bytes whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

/* What is read is written as it was; a PSK in the format before is written in the one of now, and stays. */
static void try_session(struct tt_bytes bytes)
{
    struct tt_session *s = NULL;
    uint8_t *again = NULL;
    size_t len = 0;
    if (tt_session_import(&s, bytes) != TT_OK)
        return;
    FUZZ_CHECK(tt_session_export(s, &again, &len) == TT_OK);
    bool is_old = again[0] != bytes.data[0];
    if (is_old)
        try_session((struct tt_bytes){again, len});
    else
        FUZZ_CHECK(len == bytes.len && memcmp(again, bytes.data, len) == 0);
    tt_free(again);
    tt_session_free(s);
}

static void try_psk_file(struct tt_bytes bytes)
{
    struct tt_session *s = NULL, *again = NULL;
    enum tt_role role = TT_CLIENT, same = TT_CLIENT;
    char *text = NULL;
    if (tt_psk_from_pem(&s, &role, bytes) != TT_OK)
        return;
    FUZZ_CHECK(s->psk.external && (role == TT_CLIENT || role == TT_SERVER));
    FUZZ_CHECK(tt_psk_to_pem(&text, s, role) == TT_OK);
    const struct tt_bytes written = {(const uint8_t *)text, strlen(text)};
    FUZZ_CHECK(tt_psk_from_pem(&again, &same, written) == TT_OK && same == role);
    tt_free(text);
    tt_session_free(again);
    tt_session_free(s);
}

static void try_identity(struct tt_bytes bytes)
{
    struct tt_bytes external = {NULL, 0}, context = {NULL, 0};
    if (tt_psk_identity_read(bytes, &external, &context) == TT_OK)
        FUZZ_CHECK(external.len > 0 && inside(external, bytes) && inside(context, bytes) &&
                   external.len + context.len + 8 == bytes.len);
}

static void try_credential(struct tt_bytes bytes)
{
    struct delegated_credential dc;
    if (delegated_credential_parse(&dc, bytes) == TT_OK)
        FUZZ_CHECK(inside(dc.cred, bytes) && inside(dc.spki, dc.cred) && inside(dc.signature, bytes) &&
                   dc.cred.len + dc.signature.len + 4 == bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const ways[])(struct tt_bytes) = {try_session, try_psk_file, try_identity, try_credential};
    if (size > 1)
        ways[data[0] % TT_COUNT(ways)]((struct tt_bytes){data + 1, size - 1});
    return 0;
}
