/* tests/fuzz/fuzz_tpm_response.c: a TPM whose answers come from the input: making a key, opening one from a
 * file or a handle, signing, describing. Whatever it says, nothing is read out of bounds, nothing leaks, each
 * failure has its sentence, and no signature comes out, since no input can sign for this key.
 *
 * Input: what to do, then answers, each a length (2 bytes), how to make its header (1), and its bytes. Linked
 * with
 * --wrap=usleep: a TPM that says RETRY is not waited for. */
#include "fuzz.h"

#include <string.h>

#include "support/script_tcti.h"
#include "tpm/context.h"
#include "wire/reader.h"

int __wrap_usleep(unsigned us);
int __wrap_usleep(unsigned us)
{
    (void)us;
    return 0;
}

static const char key_file[] = "-----BEGIN TSS2 PRIVATE KEY-----\n"
                               "MIHwBgZngQUKAQOgAwEB/wIEQAAAAQRYAFYAIwALAAQEcgAAABAAEAADABAAIMbN\n"
                               "4tbmAfQoB38xETEjHw0U3KcQK0PvBODKsHvWsvcgACA5ru/i7CpdAVSSsJkfy6Pc\n"
                               "DfA97TbFnDFBT6xgtQiRugSBgAB+ACAzuJDBxgikcxb25wL+XKO/mvt7LM/DB7uq\n"
                               "cNfwaksMngAQin6QHQnoHc0RZL31RFNIFX1Cpqyf96w7YQZx6BWpC/98I7egHQ/x\n"
                               "7gYQ40RZ6By4DPc35vJkep/heQpTxJdkxv3MRIwtlh5eJzVsFXtLUDTpJmpez4cg\n"
                               "Pccq\n"
                               "-----END TSS2 PRIVATE KEY-----\n";

static struct reader answers;

/* how: 0 as it is, else a header in order: bit 0 with sessions, bit 1 a code out of the input, not success.
 */
static bool answer(struct script *s, uint32_t command, uint8_t *response, size_t *len)
{
    (void)s;
    (void)command;
    size_t n = rd_u16(&answers) % 1200;
    unsigned how = rd_u8(&answers);
    struct tt_bytes body = rd_bytes(&answers, n < rd_left(&answers) ? n : rd_left(&answers));
    if (rd_status(&answers) != TT_OK)
        how = 1; /* no input left: success, with nothing in it */
    size_t at = how == 0 ? 0 : 10;
    if (body.len > 0)
        memcpy(response + at, body.data, body.len);
    *len = at + body.len;
    if (how == 0)
        return true;
    uint8_t header[10] = {0x80, (uint8_t)(1 + (how & 1)), 0, 0, (uint8_t)(*len >> 8), (uint8_t)*len, 0, 0, 0,
                          0};
    if ((how & 2) != 0 && body.len >= 2) {
        header[8] = body.data[0];
        header[9] = body.data[1];
    }
    memcpy(response, header, sizeof header);
    return true;
}

static void must_explain(tt_rc rc, const struct tt_error *err)
{
    FUZZ_CHECK(rc == TT_OK || (err->rc != TT_OK && err->text[0] != '\0'));
}

static void use_key(struct tt_tpm *tpm, unsigned what)
{
    static const struct tt_bytes message = {(const uint8_t *)"message", 7};
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    const struct tt_bytes pem = {(const uint8_t *)key_file, sizeof key_file - 1};
    tt_rc rc = (what & 1) != 0 ? tt_key_open_pem(&key, tpm, pem, &err)
                               : tt_key_open_handle(&key, tpm, 0x81000001, &err);
    must_explain(rc, &err);
    if (rc != TT_OK)
        return;
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t schemes[16];
    size_t n = tt_key_schemes(key, schemes, TT_COUNT(schemes));
    FUZZ_CHECK(n >= 1 && n <= TT_COUNT(schemes));
    rc = tt_key_sign(key, schemes[what / 4 % n], message, sig, sizeof sig, &len, &err);
    must_explain(rc, &err);
    FUZZ_CHECK(rc != TT_OK || (what & 1) == 0); /* the key of the file belongs to a TPM that is no more */
    tt_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    answers = reader_of((struct tt_bytes){data, size});
    unsigned what = rd_u8(&answers);
    struct script script = {.answer = answer};
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    TSS2_TCTI_CONTEXT *tcti = script_tcti_new(NULL, &script);
    FUZZ_CHECK(tcti != NULL);
    FUZZ_CHECK(tpm_open_tcti(&tpm, tcti, script_tcti_close, "fuzz", &err) == TT_OK);
    if ((what & 2) != 0)
        (void)tt_tpm_describe(tpm);
    if ((what & 0x80) != 0) {
        char *pem = NULL;
        must_explain(tt_key_create(&pem, tpm, what / 4 % TT_KEY_OTHER, &err), &err);
        tt_free(pem);
    } else {
        use_key(tpm, what);
    }
    tt_tpm_close(tpm);
    return 0;
}
