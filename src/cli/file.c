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

static bool is_stdout(const char *path)
{
    return path == NULL || strcmp(path, "-") == 0;
}

tt_rc cli_write_file(const char *path, struct tt_bytes data, struct file_want want, struct tt_error *err)
{
    const char *old = NULL;
    if (is_stdout(path))
        return file_write_fd(STDOUT_FILENO, data, "standard output", err);
    TT_TRY(file_write(&old, path, data, want, err));
    if (old != NULL)
        cli_note("%s held %s, which is replaced", path, old);
    return TT_OK;
}

tt_rc cli_may_write(const char *path, enum file_holds what, enum file_over over, struct tt_error *err)
{
    return is_stdout(path) ? TT_OK : file_may_hold(path, what, over, err);
}

const char *cli_pem_content(struct tt_bytes text)
{
    const char *words = NULL;
    enum file_holds holds = file_content(text, &words);
    return holds == HOLDS_REQUEST ? "a certificate request, which a CA has yet to sign" : words;
}
