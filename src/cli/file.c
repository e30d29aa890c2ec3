/* cli/file.c: files of the command line, where "-" is standard input or output. Layer: cli. */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "net/file_write.h"
#include "net/files.h"

tt_rc cli_read_file(char **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(strcmp(path, "-") == 0 ? file_read_fd(&b, STDIN_FILENO, "standard input", err)
                                  : file_read(&b, path, err));
    return file_text_of(ret, ret_len, &b, path, err);
}

tt_rc cli_write_file(const char *path, struct tt_bytes data, unsigned mode, bool no_overwrite,
                     struct tt_error *err)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return file_write_fd(STDOUT_FILENO, data, "standard output", err);
    return file_write(path, data, mode, no_overwrite, err);
}

const char *cli_pem_content(struct tt_bytes text)
{
    static const struct {
        const char *label, *what;
    } kinds[] = {{"TSS2 PRIVATE KEY-----", "a private key of a TPM"},
                 {"PRIVATE KEY-----", "a private key"},
                 {"CERTIFICATE REQUEST-----", "a certificate request, which a CA has yet to sign"},
                 {"-----BEGIN CERTIFICATE-----", "a certificate"},
                 {"X509 CRL-----", "a CRL"},
                 {"PUBLIC KEY-----", "a public key"},
                 {"TPMTLS PSK-----", "a pre-shared key"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (text.len > 0 && memmem(text.data, text.len, kinds[i].label, strlen(kinds[i].label)) != NULL)
            return kinds[i].what;
    return NULL;
}
