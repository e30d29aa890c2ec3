/* tests/ca/issuer.c: issues until it is killed, and prints each serial number when it was answered: what
 * test_store.py kills. Tests only.
 *
 *     issuer DIR CSR BATCH STORE|- [COUNT] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "ca/ca.h"
#include "cli/key_signer.h"
#include "signer/file_read.h"

static int complain(const char *what, const struct tt_error *err)
{
    (void)fprintf(stderr, "%s: %s (%s)\n", what, err->text, err->hint);
    return 1;
}

static tt_rc answer(struct ca *ca, struct tt_bytes csr, size_t batch, struct tt_error *err)
{
    struct ca_order orders[CA_BATCH_MAX] = {0};
    struct ca_answer answers[CA_BATCH_MAX] = {0};
    char text[CA_BATCH_MAX * (CA_SERIAL_HEX + 1)];
    size_t len = 0;
    for (size_t i = 0; i < batch; i++)
        orders[i].csr = csr;
    TT_TRY(ca_issue(ca, orders, answers, batch, (int64_t)time(NULL), err));
    for (size_t i = 0; i < batch; i++) {
        if (answers[i].verdict == CA_ISSUED)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", answers[i].serial);
        ca_answer_free(&answers[i]);
    }
    return write(1, text, len) == (ssize_t)len ? TT_OK : error_set(err, TT_ERR_IO, "nobody reads");
}

static int serve(struct ca *ca, struct tt_bytes csr, size_t batch, long count)
{
    for (long i = 0; count == 0 || i < count; i++) {
        struct tt_error err = {0};
        if (answer(ca, csr, batch, &err) != TT_OK)
            return complain("issue", &err);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct tt_key *key = NULL;
    char *csr = NULL, *pem = NULL;
    size_t csr_len = 0, pem_len = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (argc < 5)
        return 2;
    const struct ca_place place = {argv[1], strcmp(argv[4], "-") == 0 ? NULL : argv[4]};
    size_t batch = strtoul(argv[3], NULL, 10);
    if (batch == 0 || batch > CA_BATCH_MAX)
        return 2;
    if (ca_open(&ca, &place, &err) != TT_OK)
        return complain("open", &err);
    if (file_read_text(&pem, &pem_len, ca_key_name(ca), &err) != TT_OK ||
        file_read_text(&csr, &csr_len, argv[2], &err) != TT_OK ||
        tt_key_open_software(&key, (struct tt_bytes){(const uint8_t *)pem, pem_len}, NULL, &err) != TT_OK)
        return complain("files", &err);
    struct tt_pki_signer signer = key_signer(key);
    if (ca_set_signer(ca, &signer, &err) != TT_OK)
        return complain("key", &err);
    int code = serve(ca, (struct tt_bytes){(const uint8_t *)csr, csr_len}, batch,
                     argc > 5 ? strtol(argv[5], NULL, 10) : 0);
    tt_key_free(key);
    ca_close(ca);
    mem_free(pem);
    mem_free(csr);
    return code;
}
