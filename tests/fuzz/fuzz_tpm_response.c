/* tests/fuzz/fuzz_tpm_response.c: a TPM whose answers come from the input: making a key, opening one from a
 * file or a handle, signing, describing; in sessions: sealing, unsealing, keys under a signed policy;
 * listing, importing. Whatever it says, nothing is read out of bounds, nothing leaks, each failure has its
 * sentence, and no signature comes out, since no input can sign for these keys.
 *
 * Input: what to do, then answers, each a length (2 bytes), how to make its header (1), and its bytes. Linked
 * with
 * --wrap=usleep: a TPM that says RETRY is not waited for. */
#include "fuzz.h"

#include <string.h>

#include "support/script_tcti.h"
#include "tpm/keyfile.h"
#include "tpm/mldsa.h"
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

/* Under a policy that is signed (PCRs) and PolicySecret of the owner; under PCRs and a password. */
static const char policy_file[] = "-----BEGIN TSS2 PRIVATE KEY-----\n"
                                  "MIIC1AYGZ4EFCgEDoAMBAQChgaQwgaEwgYagBAICAWqhfgR8AFYAIwALAAQEQAAA\n"
                                  "ABAAEAADABAAIAsvz1prL3xFZxTEEgZUCuFxnoCYiBWVMisYvYZgOSzdACCt6Fkn\n"
                                  "A0Jcx522rYTvsVZwbsikNi4rgOaMk0ykPX6E8wAghbHmz5T85R8j5+O0cDHLTx4O\n"
                                  "PbuqEsa0vw18rnOIpRwAEDAWoAQCAgFRoQ4EDEAAAAEABEAAAAEAAKOCARkwggEV\n"
                                  "MIIBEaGCAQ0wggEJMDagBAICAX+hLgQsACBmaHqt+GK9d2yPwYuOn44gCJcUhW7i\n"
                                  "M7OQKlkdDV8pJQAAAAEACwMBAAAwgc6gBAICAWqhgcUEgcIAVgAjAAsABARAAAAA\n"
                                  "EAAQAAMAEAAgCy/PWmsvfEVnFMQSBlQK4XGegJiIFZUyKxi9hmA5LN0AIK3oWScD\n"
                                  "QlzHnbathO+xVnBuyKQ2LiuA5oyTTKQ9foTzACCFsebPlPzlHyPn47RwMctPHg49\n"
                                  "u6oSxrS/DXyuc4ilHAAYAAsAIKiTRik46MgdbsCABUk2IX8L+Oj3GygxPcrtgOjc\n"
                                  "OAW3ACDQYH9Y/tCpsjsGUBlwc2vKNw2zhE0CjM5k6PPnAtvmrAIEQAAAAQR4AHYA\n"
                                  "IwALAAQEMgAgl6MIa8qCrPhdL4K41BIVJdQNMAWXXtw5j9Ldi9b9zVIAEAAQAAMA\n"
                                  "EAAgZS6JDexdOsaY5sKui2ZXyH7J3nkmB7haEGZJ9EcIOecAIBfzELETsyOyZI5G\n"
                                  "pFWDc3qVlbWTEemnuENMmLqMF+oMBIGAAH4AIJOKwGaxXVYOcJB1zUkHLfDyxACQ\n"
                                  "zHw2dmMei3l+XbRFABAiG4t526fUAonCZY3F7LiOTQIn6Rekey9pHLwQXwAztqaL\n"
                                  "BXmaKS0cjMW3vAbZcCxBdDEj+Mm58gHBg4rEu+SOxwiF5fSXC0bTnu7GEOF8Tn4y\n"
                                  "aGkT2Pa5Nlg=\n"
                                  "-----END TSS2 PRIVATE KEY-----\n";
static const char sealed_file[] = "-----BEGIN TSS2 PRIVATE KEY-----\n"
                                  "MIIBMQYGZ4EFCgEFoAMBAQChRjBEMDagBAICAX+hLgQsACBmaHqt+GK9d2yPwYuO\n"
                                  "n44gCJcUhW7iM7OQKlkdDV8pJQAAAAEACwOAAAAwCqAEAgIBa6ECBAACBEAAAAEE\n"
                                  "UABOAAgACwAABBIAILjbkvrnweDFiOc1LS/BDyfHs4TjL3BqUgyxC/f/7olwABAA\n"
                                  "IB7eGszi5DCdBsAISkjGehAKXIuHh336Mi+X3KPW6CLnBIGBAH8AIB6IpU2hksiR\n"
                                  "pJb2yvG7pg8qVZyoEWdp2pHdVi/XFELhABBDXhAav73PX+dq4C2cipEYmvTce92j\n"
                                  "YhJPO3ART7jH0W93ijLtu6zyRvM8QcF1IT1XXObbJ0RT7JA+dPb0CKdJ7VyWXcFh\n"
                                  "VDcfeG7bZS2FsB8Bbd7EEM+H0UGo\n"
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

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

static void sign_under_policy(struct tt_tpm *tpm)
{
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    uint8_t sig[1024];
    size_t len;
    const struct tt_bytes owners = text("owner's");
    tt_rc rc = tt_key_open_pem_with(&key, tpm, text(policy_file), &owners, &err);
    must_explain(rc, &err);
    if (rc != TT_OK)
        return;
    rc = tt_key_sign(key, TT_SCHEME_ECDSA_SECP256R1_SHA256, text("m"), sig, sizeof sig, &len, &err);
    must_explain(rc, &err);
    FUZZ_CHECK(rc != TT_OK);
    tt_key_free(key);
}

static tt_rc unseal(struct tt_tpm *tpm, struct tt_error *err)
{
    uint8_t *data = NULL;
    size_t len = 0;
    const struct tt_bytes secret = text("secret");
    tt_rc rc = tt_unseal(&data, &len, tpm, text(sealed_file), &secret, err);
    tt_free(data);
    return rc;
}

static tt_rc list(struct tt_tpm *tpm, struct tt_error *err)
{
    struct tt_persistent *all = NULL;
    size_t n = 0;
    tt_rc rc = tt_persistent_list(&all, &n, tpm, err);
    tt_free(all);
    return rc;
}

/* An ML-DSA-44 key of no TPM: its commands go past tpm2-tss. Whether a signature is right its caller looks.
 */
static void sign_with_mldsa(struct tt_tpm *tpm)
{
    static const uint8_t head[] = {0x05, 0x2f, 0x00, 0xa1, 0x00, 0x0b, 0x00, 0x04, 0x04,
                                   0x72, 0x00, 0x00, 0x00, 0x01, 0x00, 0x05, 0x20};
    static const uint8_t priv[] = {0x00, 0x02, 0x01, 0x02}, message[1500];
    uint8_t pub[2 + 0x52f] = {0}, sig[TPM_MLDSA_SIGNATURE_MAX];
    size_t len = 0;
    struct tt_error err = {0};
    struct tpm_mldsa *key = NULL;
    char *pem = NULL;
    memcpy(pub, head, sizeof head);
    const struct keyfile f = {.kind = KEYFILE_LOADABLE,
                              .empty_auth = true,
                              .parent = KEYFILE_PARENT_OWNER,
                              .pubkey = {pub, sizeof pub},
                              .privkey = {priv, sizeof priv}};
    FUZZ_CHECK(keyfile_text(&pem, &f, &err) == TT_OK && tpm_mldsa_is(text(pem)));
    tt_rc rc = tpm_mldsa_load(&key, tpm, text(pem), &err);
    must_explain(rc, &err);
    if (rc == TT_OK)
        must_explain(tpm_mldsa_sign(sig, &len, key, (struct tt_bytes){message, sizeof message}, &err), &err);
    FUZZ_CHECK(len == 0 || len == 2420);
    tpm_mldsa_free(key);
    tt_free(pem);
}

static void in_sessions_and_more(struct tt_tpm *tpm, unsigned what)
{
    const struct tt_bytes password = text("secret");
    const struct tt_key_params guarded = {.password = &password, .pcrs = "sha256:0,7"};
    struct tt_error err = {0};
    char *pem = NULL;
    uint8_t *pub = NULL;
    size_t len = 0;
    switch (what % 8) {
    case 0:
        must_explain(tt_key_create_with(&pem, tpm, &guarded, &err), &err);
        break;
    case 1:
        must_explain(tt_seal(&pem, tpm, text("data"), &guarded, &err), &err);
        break;
    case 2:
        must_explain(unseal(tpm, &err), &err);
        break;
    case 3:
        must_explain(list(tpm, &err), &err);
        break;
    case 4:
        must_explain(tt_storage_public(&pub, &len, tpm, &err), &err);
        break;
    case 5:
        must_explain(tt_key_evict(tpm, 0x81000010, &err), &err);
        break;
    case 6:
        sign_under_policy(tpm);
        break;
    default:
        sign_with_mldsa(tpm);
    }
    tt_free(pem);
    tt_free(pub);
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
    if ((what & 0xc0) == 0xc0) {
        in_sessions_and_more(tpm, what & 0x3f);
    } else if ((what & 0x80) != 0) {
        char *pem = NULL;
        must_explain(tt_key_create(&pem, tpm, what / 4 % TT_KEY_OTHER, &err), &err);
        tt_free(pem);
    } else {
        use_key(tpm, what);
    }
    tt_tpm_close(tpm);
    return 0;
}
