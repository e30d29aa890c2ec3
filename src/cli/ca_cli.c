/* cli/ca_cli.c: see ca_cli.h. Layer: cli. */
#include "cli/ca_cli.h"

#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/files.h"

/* Who can put a key or a certificate there issues, or decides who does. */
tt_rc ca_cli_open(struct ca **ret, const struct ca_options *o, struct tt_error *err)
{
    static const struct {
        const char *name;
        enum file_kind kind;
    } files[] = {{CA_KEY_FILE, FILE_SECRET},       {CA_CERT_FILE, FILE_TRUSTED},
                 {CA_STORE_FILE, FILE_TRUSTED},    {CA_PLACE_FILE, FILE_TRUSTED},
                 {CA_PROFILES_FILE, FILE_TRUSTED}, {CA_ROLLOVER_FILE, FILE_TRUSTED},
                 {"ocsp.key", FILE_SECRET},        {CA_NEXT_KEY_FILE, FILE_SECRET}};
    char path[PATH_MAX];
    TT_TRY(file_check_path(o->dir, FILE_TRUSTED, err));
    for (size_t i = 0; i < TT_COUNT(files); i++) {
        int n = snprintf(path, sizeof path, "%s/%s", o->dir, files[i].name);
        if (n > 0 && (size_t)n < sizeof path)
            TT_TRY(file_check_path(path, files[i].kind, err));
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error with a sentence */
    const struct ca_place place = {o->dir, o->store};
    return ca_open(ret, &place, err);
}

const char *ca_cli_person(void)
{
    static char name[64]; /* asked on the main thread, and always the same */
    struct passwd who, *found = NULL;
    char room[4096];
    int rc = getpwuid_r(geteuid(), &who, room, sizeof room, &found);
    (void)snprintf(name, sizeof name, "%s", rc == 0 && found != NULL ? found->pw_name : "unknown");
    return name;
}

void ca_cli_time(char ret[24], int64_t seconds)
{
    struct tm t;
    time_t when = (time_t)seconds;
    if (gmtime_r(&when, &t) == NULL || strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", &t) == 0)
        (void)snprintf(ret, 24, "?");
}

tt_rc ca_cli_until(int64_t *ret, const char *text, int64_t now, struct tt_error *err)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end = NULL;
    struct tm day = {0};
    long n = strtol(text, &end, 10);
    for (size_t i = 0; i < TT_COUNT(units); i++)
        if (n > 0 && n <= 36500 * 24 && end[0] == units[i].unit && end[1] == '\0') {
            *ret = now + n * units[i].seconds;
            return TT_OK;
        }
    const char *rest = strptime(text, "%Y-%m-%d", &day);
    if (rest != NULL && *rest == '\0') {
        *ret = (int64_t)timegm(&day);
        return TT_OK;
    }
    (void)error_set(err, TT_ERR_USAGE, "'%.40s' is no time", text);
    error_hint(err, "write 90m, 12h or 30d from now on, or a day such as 2026-12-31");
    return TT_ERR_USAGE;
}

/* ---- output ---- */

int ca_cli_fail(tt_rc rc, struct tt_error *err)
{
    if (err->text[0] == '\0')
        (void)error_set(err, rc, "%s",
                        rc == TT_ERR_MEMORY ? "out of memory" : "a certificate in the CA's store is damaged");
    return cli_fail(err);
}

int ca_cli_json(json_t *root)
{
    int rc = root == NULL ? -1 : json_dumpf(root, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(root);
    return rc == 0 ? CLI_OK : CLI_FAILURE;
}

json_t *ca_cli_former_json(struct ca *ca)
{
    json_t *all = ca_former_count(ca) == 0 ? NULL : json_array();
    for (size_t i = 0; i < ca_former_count(ca); i++) {
        struct ca_former f;
        char until[24], end[24];
        if (ca_former(ca, &f, i, (int64_t)time(NULL), NULL) != TT_OK)
            continue;
        ca_cli_time(end, f.not_after);
        ca_cli_time(until, f.until);
        json_t *one = json_pack("{s:s, s:s, s:s, s:I}", "keyId", f.key_id, "key", f.key, "notAfter", end,
                                "certificates", (json_int_t)f.certificates);
        if (f.certificates > 0)
            (void)json_object_set_new(one, "neededUntil", json_string(until));
        (void)json_array_append_new(all, one);
    }
    return all;
}

json_t *ca_cli_info_json(const struct tt_cert_info *i)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "serial", i->serial, "subject", i->subject,
                     "issuer", i->issuer, "notBefore", i->not_before_text, "notAfter", i->not_after_text,
                     "sha256", i->sha256, "key", i->key, "subjectAltName", i->sans);
}

enum file_over ca_cli_over(const struct ca_options *o)
{
    return o->force ? FILE_FORCE : FILE_REPLACE;
}

tt_rc ca_cli_pem(const struct ca_options *o, const struct tt_cert_list *list, size_t n, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(tt_cert_list_to_pem(&pem, list, n, err));
    return cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0644, ca_cli_over(o)}, err);
}
