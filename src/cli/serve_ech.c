/* cli/serve_ech.c: the ECH keys of `tpmtls serve`. Layer: cli. */
#include "cli/serve.h"

static void on_told(void *arg, const char *text, bool is_trouble)
{
    const struct serve *serve = arg;
    if (serve->cli->verbose > 0 || is_trouble)
        cli_note("%s", text);
}

tt_rc serve_ech(struct serve *serve, struct tt_tpm **tpm, struct tt_error *err)
{
    const struct option_list *paths = &serve->options->ech_keys;
    if (paths->len == 0)
        return TT_OK;
    if (*tpm == NULL && ech_files_want_tpm(paths->at, paths->len)) {
        TT_TRY(cli_open_tpm(&serve->ech_tpm, serve->cli, err));
        *tpm = serve->ech_tpm;
    }
    const struct ech_files_options opt = {.base = serve->base,
                                          .paths = paths->at,
                                          .paths_len = paths->len,
                                          .tpm = *tpm,
                                          .told = on_told,
                                          .arg = serve};
    return ech_files_new(&serve->ech, &opt, err);
}
