/* cli/psk_file.c: see psk_file.h. Layer: cli. */
#include "cli/psk_file.h"

#include <string.h>

#include "base/buf.h"
#include "base/rc.h"

static struct tt_bytes text_of(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

tt_rc psk_file_text(char **ret, enum tt_role role, const struct tt_session *s, const struct held_files *files,
                    struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(buf_free) struct buf all = {0};
    tt_rc rc = tt_psk_to_pem(&pem, s, role);
    const char *const parts[] = {pem, files != NULL ? files->k1 : NULL, files != NULL ? files->k2 : NULL};
    for (size_t i = 0; i < TT_COUNT(parts) && rc == TT_OK; i++)
        rc = parts[i] != NULL ? buf_append(&all, parts[i], strlen(parts[i])) : TT_OK;
    *ret = rc == TT_OK ? mem_dup(buf_front(&all), buf_size(&all)) : NULL;
    return *ret != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

static tt_rc text_read(struct psk_file *ret, const char *text, const char *path, struct tt_error *err)
{
    tt_rc rc = tt_psk_from_pem(&ret->session, &ret->role, text_of(text));
    if (rc == TT_OK || rc == TT_ERR_MEMORY)
        return rc == TT_OK ? TT_OK : error_set(err, rc, "out of memory");
    (void)error_set(err, TT_ERR_DECODE, "%s is not the file of a PSK", path);
    error_hint(err, "`tpmtls psk import` makes one");
    return TT_ERR_DECODE;
}

tt_rc psk_file_read(struct psk_file *ret, const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    TT_TRY(cli_read_file(&text, &len, path, err));
    return text_read(ret, text, path, err);
}

/* The i-th key file in the text: from its BEGIN line to the next one, or to the end. */
static char *key_text(const char *text, unsigned i)
{
    static const char begin[] = "-----BEGIN TSS2 PRIVATE KEY-----";
    const char *at = strstr(text, begin);
    for (; at != NULL && i > 0; i--)
        at = strstr(at + 1, begin);
    const char *end = at == NULL ? NULL : strstr(at + 1, begin);
    return at == NULL ? NULL : mem_dup(at, end == NULL ? strlen(at) : (size_t)(end - at));
}

/* The session again, with its keys in the TPM. */
static tt_rc held_attach(struct psk_file *f, const char *text, struct tt_tpm *tpm, struct tt_error *err)
{
    struct held_files files = {key_text(text, 0), key_text(text, 1)};
    TT_AUTO(mem_free_auto) uint8_t *bytes = NULL;
    size_t len = 0;
    tt_rc rc = files.k1 != NULL && files.k2 != NULL
                   ? held_open(&f->held, tpm, &files, err)
                   : error_set(err, TT_ERR_DECODE, "the two keys of the PSK are missing");
    held_files_free(&files);
    TT_TRY(rc);
    TT_TRY(held_load(f->held, err));
    rc = tt_session_export(f->session, &bytes, &len);
    tt_session_free(TT_TAKE(f->session));
    if (rc == TT_OK)
        rc = tt_session_import_held(&f->session, (struct tt_bytes){bytes, len}, f->held);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the PSK cannot be read");
}

static tt_rc file_open(struct psk_file *f, const char *path, struct tt_tpm **tpm, const struct cli *cli,
                       struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    struct tt_session_info info;
    size_t len = 0;
    TT_TRY(cli_read_file(&text, &len, path, err));
    TT_TRY(text_read(f, text, path, err));
    tt_session_info(f->session, &info);
    if (!info.held) {
        cli_note("%s is a software PSK: whoever reads the file has it", path);
        return TT_OK;
    }
    if (*tpm == NULL)
        TT_TRY(cli_open_tpm(tpm, cli, err));
    tt_rc rc = held_attach(f, text, *tpm, err);
    if (rc != TT_OK)
        cli_name_key(err, path);
    return rc;
}

tt_rc psk_file_open(struct psk_file *ret, const char *path, struct tt_tpm **tpm, const struct cli *cli,
                    struct tt_error *err)
{
    struct psk_file f = {0};
    tt_rc rc = file_open(&f, path, tpm, cli, err);
    if (rc == TT_OK)
        *ret = f;
    else
        psk_file_close(&f);
    return rc;
}

void psk_file_close(struct psk_file *f)
{
    tt_session_free(TT_TAKE(f->session));
    held_free(TT_TAKE(f->held));
}

/* A blank in an identity would make it look as if the context began there. */
static tt_rc put_text(struct buf *to, struct tt_bytes b, char first_plain)
{
    for (size_t i = 0; i < b.len; i++) {
        char text[5];
        bool plain = b.data[i] >= first_plain && b.data[i] < 0x7f && b.data[i] != '\\';
        int n = snprintf(text, sizeof text, plain ? "%c" : "\\x%02x", b.data[i]);
        TT_TRY(buf_append(to, text, (size_t)n));
    }
    return TT_OK;
}

tt_rc psk_identity_text(char **ret, struct tt_bytes identity, bool imported)
{
    struct tt_bytes external = identity, context = {NULL, 0};
    TT_AUTO(buf_free) struct buf text = {0};
    if (imported)
        (void)!tt_psk_identity_read(identity, &external, &context); /* else it is shown as it is */
    TT_TRY(put_text(&text, external, '!'));
    if (context.len > 0) {
        TT_TRY(buf_append(&text, " [", 2));
        TT_TRY(put_text(&text, context, ' '));
        TT_TRY(buf_append(&text, "]", 1));
    }
    *ret = mem_dup(buf_front(&text), buf_size(&text));
    return *ret != NULL ? TT_OK : TT_ERR_MEMORY;
}
