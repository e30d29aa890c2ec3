/* est/enrolled.c: see enrolled.h. Layer: est. A file of it is hostile: it is believed only where nobody
 * else may write. */
#include "est/enrolled.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "pki/cert.h"
#include "signer/file_read.h"
#include "signer/file_write.h"

#define FORMAT     1
#define NAME_LIMIT 64

static tt_rc no_memory(struct tt_error *err)
{
    return error_set(err, TT_ERR_MEMORY, "out of memory");
}

void enrolled_free(struct enrolled *e)
{
    if (e->lock > 0)
        (void)close(e->lock);
    json_decref(e->owned);
    *e = (struct enrolled){0};
}

/* ---- places and names ---- */

tt_rc enrolled_dir(char **ret, struct tt_error *err)
{
    char path[PATH_MAX];
    const char *state = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
    int n;
    if (state != NULL && state[0] == '/')
        n = snprintf(path, sizeof path, "%s/tpmtls/enrolments", state);
    else if (geteuid() == 0)
        n = snprintf(path, sizeof path, "/var/lib/tpmtls/enrolments");
    else if (home != NULL && home[0] == '/')
        n = snprintf(path, sizeof path, "%s/.local/state/tpmtls/enrolments", home);
    else
        return error_set(
            err, TT_ERR_NOT_FOUND,
            "there is no place for the state of enrolments: neither XDG_STATE_HOME nor HOME is set");
    if (n < 0 || (size_t)n >= sizeof path)
        return error_set(err, TT_ERR_USAGE, "the path of the state directory is too long");
    *ret = mem_strdup(path);
    return *ret != NULL ? TT_OK : no_memory(err);
}

bool enrolled_name_is_valid(const char *name)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";
    size_t n = strlen(name);
    return n > 0 && n <= NAME_LIMIT && strspn(name, good) == n && strchr("._@+-", name[0]) == NULL;
}

static tt_rc path_of(char ret[PATH_MAX], const char *dir, const char *name, const char *end,
                     struct tt_error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/%s%s", dir, name, end);
    return n > 0 && n < PATH_MAX ? TT_OK : error_set(err, TT_ERR_USAGE, "the path %.100s is too long", dir);
}

/* The file's name without its ending; what does not go into a name becomes '-'. cert.pem of an identity is
 * called like its directory. */
static void stem(char ret[NAME_LIMIT + 1], const char *cert)
{
    const char *end = strrchr(cert, '/'), *name = end != NULL ? end + 1 : cert;
    size_t n = strcspn(name, ".");
    if (strcmp(name, "cert.pem") == 0 && end != NULL && end > cert) {
        const char *up = end;
        while (up > cert && up[-1] != '/')
            up--;
        name = up;
        n = (size_t)(end - up);
    }
    n = n < NAME_LIMIT - 10 ? n : NAME_LIMIT - 10;
    for (size_t i = 0; i < n; i++) {
        char one[2] = {name[i], '\0'};
        ret[i] = one[0] != '.' && strspn(one, "._@+-") + enrolled_name_is_valid(one) > 0 ? name[i] : '-';
    }
    ret[n] = '\0';
    if (!enrolled_name_is_valid(ret))
        (void)snprintf(ret, NAME_LIMIT + 1, "certificate");
}

tt_rc enrolled_name_for(char **ret, const char *dir, const char *cert, struct tt_error *err)
{
    char name[NAME_LIMIT + 1], hash[65];
    TT_AUTO(enrolled_free) struct enrolled other = {0};
    stem(name, cert);
    if (enrolled_read(&other, dir, name, NULL) == TT_OK && other.cert != NULL &&
        strcmp(other.cert, cert) != 0) {
        tt_spki_sha256(hash, (struct tt_bytes){(const uint8_t *)cert, strlen(cert)});
        (void)snprintf(name + strlen(name), sizeof name - strlen(name), "-%.8s", hash);
    }
    *ret = mem_strdup(name);
    return *ret != NULL ? TT_OK : no_memory(err);
}

tt_rc enrolled_path(char **ret, const char *path, struct tt_error *err)
{
    char dir[PATH_MAX], real[PATH_MAX], all[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    int n = slash == NULL ? snprintf(dir, sizeof dir, ".")
                          : snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (n < 0 || (size_t)n >= sizeof dir || name[0] == '\0')
        return error_set(err, TT_ERR_USAGE, "'%.200s' is not the path of a file", path);
    if (realpath(dir, real) == NULL)
        return error_set(err, TT_ERR_NOT_FOUND, "there is no directory %.200s: %s", dir, strerror(errno));
    n = snprintf(all, sizeof all, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    if (n < 0 || (size_t)n >= sizeof all)
        return error_set(err, TT_ERR_USAGE, "the path %.100s is too long", path);
    *ret = mem_strdup(all);
    return *ret != NULL ? TT_OK : no_memory(err);
}

static tt_rc dir_ready(const char *dir, struct tt_error *err)
{
    TT_TRY(file_directories(dir, 0755, 0700, err));
    return file_check_path(dir, FILE_TRUSTED, err);
}

tt_rc enrolled_lock(struct enrolled *e, const char *dir, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_ready(dir, err));
    TT_TRY(path_of(path, dir, e->name, ".lock", err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        (void)error_set(err, TT_ERR_BUSY, "another tpmtls is at work on %s", e->name);
        error_hint(err, "wait until it is done; if none runs: %s", path);
        return TT_ERR_BUSY;
    }
    e->lock = fd;
    return TT_OK;
}

/* ---- NAME.json ---- */

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool has_control(const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

static bool take_sans(struct enrolled *e, const json_t *list)
{
    size_t n = json_array_size(list);
    if (n > ENROLLED_SANS)
        return false;
    for (; e->sans_len < n; e->sans_len++)
        if ((e->sans[e->sans_len] = json_string_value(json_array_get(list, e->sans_len))) == NULL)
            return false;
    return true;
}

static bool is_absolute(const char *path, bool needed)
{
    return path == NULL ? !needed : path[0] == '/';
}

/* False: there is something in it that we have not written. */
static bool take(struct enrolled *e, json_t *o)
{
    const char *const texts[] = {text(o, "server"), text(o, "key"), text(o, "certificate"),
                                 text(o, "exec_after")};
    if (number(o, "tpmtls_enrolment") != FORMAT)
        return false;
    for (size_t i = 0; i < TT_COUNT(texts); i++)
        if (has_control(texts[i]))
            return false;
    e->server = texts[0];
    e->key = texts[1];
    e->cert = texts[2];
    e->exec_after = texts[3];
    e->ca = text(o, "ca");
    e->chain = text(o, "chain");
    e->tpm = text(o, "tpm");
    e->subject = text(o, "subject");
    e->type = text(o, "type");
    e->token_file = text(o, "token_file");
    e->ek_cert = text(o, "ek_cert");
    e->auth_kind = text(o, "auth");
    e->auth_value = text(o, "auth_value");
    e->endorsement_kind = text(o, "endorsement_auth");
    e->endorsement_value = text(o, "endorsement_auth_value");
    e->attest = json_is_true(json_object_get(o, "attest"));
    e->jitter = (uint32_t)number(o, "jitter");
    e->renewed_at = number(o, "renewed_at");
    e->failed_at = number(o, "failed_at");
    e->retry_at = number(o, "retry_at");
    e->failures = (unsigned)number(o, "failures");
    e->last_error = text(o, "last_error");
    return e->server != NULL && e->key != NULL && is_absolute(e->cert, true) &&
           is_absolute(e->chain, false) && take_sans(e, json_object_get(o, "sans"));
}

tt_rc enrolled_read(struct enrolled *ret, const char *dir, const char *name, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_AUTO(mem_free_auto) char *content = NULL;
    size_t len = 0;
    if (!enrolled_name_is_valid(name))
        return error_set(err, TT_ERR_NOT_FOUND, "there is no enrolment '%.64s'", name);
    TT_TRY(path_of(path, dir, name, ".json", err));
    TT_TRY(file_read_owned_text(&content, &len, FILE_SECRET, path, err));
    json_t *doc = json_loadb(content, len, JSON_REJECT_DUPLICATES, NULL);
    struct enrolled e = {.owned = doc, .lock = ret->lock};
    if (doc != NULL && json_object_set_new(doc, "name", json_string(name)) == 0)
        e.name = text(doc, "name");
    if (!take(&e, doc) || e.name == NULL) {
        json_decref(doc);
        (void)error_set(err, TT_ERR_DECODE, "%s is damaged, or of another version", path);
        error_hint(err,
                   "enroll again with `tpmtls enroll`: the key and the certificate are not touched by that "
                   "file");
        return TT_ERR_DECODE;
    }
    *ret = e;
    return TT_OK;
}

static void put_text(json_t *o, const char *key, const char *value)
{
    if (value != NULL)
        (void)json_object_set_new(o, key, json_string(value));
}

static void put_number(json_t *o, const char *key, int64_t value)
{
    if (value != 0)
        (void)json_object_set_new(o, key, json_integer(value));
}

static json_t *doc_of(const struct enrolled *e)
{
    json_t *o = json_pack("{s:i}", "tpmtls_enrolment", FORMAT), *sans = json_array();
    put_text(o, "server", e->server);
    put_text(o, "ca", e->ca);
    put_text(o, "key", e->key);
    put_text(o, "certificate", e->cert);
    put_text(o, "chain", e->chain);
    put_text(o, "tpm", e->tpm);
    put_text(o, "subject", e->subject);
    for (size_t i = 0; i < e->sans_len; i++)
        (void)json_array_append_new(sans, json_string(e->sans[i]));
    (void)json_object_set_new(o, "sans", sans);
    put_text(o, "type", e->type);
    put_text(o, "token_file", e->token_file);
    put_text(o, "ek_cert", e->ek_cert);
    put_text(o, "auth", e->auth_kind);
    put_text(o, "auth_value", e->auth_value);
    put_text(o, "endorsement_auth", e->endorsement_kind);
    put_text(o, "endorsement_auth_value", e->endorsement_value);
    put_text(o, "exec_after", e->exec_after);
    (void)json_object_set_new(o, "attest", json_boolean(e->attest));
    put_number(o, "jitter", e->jitter);
    put_number(o, "renewed_at", e->renewed_at);
    put_number(o, "failed_at", e->failed_at);
    put_number(o, "retry_at", e->retry_at);
    put_number(o, "failures", e->failures);
    put_text(o, "last_error", e->last_error);
    return o;
}

tt_rc enrolled_write(const struct enrolled *e, const char *dir, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_ready(dir, err));
    TT_TRY(path_of(path, dir, e->name, ".json", err));
    json_t *doc = doc_of(e);
    char *out = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    if (out == NULL) /* a text that is no UTF-8: a path, perhaps */
        return error_set(err, TT_ERR_USAGE, "%s cannot be written: a path or a name is not UTF-8", path);
    const struct tt_bytes bytes = {(const uint8_t *)out, strlen(out)};
    tt_rc rc = file_write(NULL, path, bytes, (struct file_want){0600, FILE_OURS}, err);
    mem_free_theirs(out);
    return rc;
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **at;
    size_t len;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->len; i++)
        mem_free(n->at[i]);
    mem_free(n->at);
}

static tt_rc names_add(struct names *n, const char *file)
{
    char name[NAME_LIMIT + 1];
    size_t len = strlen(file);
    if (len < 6 || len - 5 > NAME_LIMIT || strcmp(file + len - 5, ".json") != 0)
        return TT_OK;
    (void)snprintf(name, sizeof name, "%.*s", (int)(len - 5), file);
    if (!enrolled_name_is_valid(name))
        return TT_OK;
    char **more = mem_resize(n->at, (n->len + 1) * sizeof *more);
    if (more == NULL)
        return TT_ERR_MEMORY;
    n->at = more;
    more[n->len] = mem_strdup(name);
    return more[n->len] != NULL ? (n->len++, TT_OK) : TT_ERR_MEMORY;
}

static tt_rc names_read(struct names *n, const char *dir, struct tt_error *err)
{
    DIR *d = opendir(dir);
    tt_rc rc = TT_OK;
    if (d == NULL)
        return errno == ENOENT ? TT_OK
                               : error_set(err, TT_ERR_IO, "cannot read %s: %s", dir, strerror(errno));
    for (const struct dirent *f; rc == TT_OK && (f = readdir(d)) != NULL;)
        rc = names_add(n, f->d_name);
    (void)closedir(d);
    if (n->len > 1)
        qsort(n->at, n->len, sizeof *n->at, by_name);
    return rc == TT_OK ? TT_OK : no_memory(err);
}

tt_rc enrolled_each(enrolled_fn fn, void *arg, const char *dir, struct tt_error *err)
{
    TT_AUTO(names_free) struct names n = {0};
    TT_TRY(names_read(&n, dir, err));
    for (size_t i = 0; i < n.len; i++)
        TT_TRY(fn(arg, n.at[i]));
    return TT_OK;
}

struct search {
    const char *dir, *wanted;
    char *found;
};

static tt_rc looks_right(void *arg, const char *name)
{
    struct search *s = arg;
    TT_AUTO(enrolled_free) struct enrolled e = {0};
    bool is = strcmp(name, s->wanted) == 0;
    if (!is && s->wanted[0] == '/' && enrolled_read(&e, s->dir, name, NULL) == TT_OK)
        is = e.cert != NULL && strcmp(e.cert, s->wanted) == 0;
    if (!is)
        return TT_OK;
    s->found = mem_strdup(name);
    return s->found != NULL ? TT_ERR_EXISTS : TT_ERR_MEMORY; /* the search ends */
}

tt_rc enrolled_find(char **ret, const char *dir, const char *cert_or_name, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *path = NULL;
    struct search s = {.dir = dir, .wanted = cert_or_name};
    tt_rc rc = enrolled_each(looks_right, &s, dir, err);
    if (rc == TT_OK && enrolled_path(&path, cert_or_name, NULL) == TT_OK) {
        s.wanted = path;
        rc = enrolled_each(looks_right, &s, dir, err);
    }
    if (rc == TT_ERR_MEMORY)
        return no_memory(err);
    if (rc != TT_OK && rc != TT_ERR_EXISTS)
        return rc;
    if (s.found == NULL) {
        (void)error_set(err, TT_ERR_NOT_FOUND, "nothing is known of an enrolment for %.200s", cert_or_name);
        error_hint(err, "`tpmtls renew --all --status` lists those in %s; `tpmtls enroll` begins one", dir);
        return TT_ERR_NOT_FOUND;
    }
    *ret = s.found;
    return TT_OK;
}

/* ---- certificates ---- */

static const char *const endings[] = {
    [ENROLLED_TRUST] = ".trust.pem", [ENROLLED_INSTALLED] = ".installed.pem"};

tt_rc enrolled_certs_read(struct tt_cert_list **ret, const struct enrolled *e, const char *dir,
                          enum enrolled_certs which, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    TT_TRY(path_of(path, dir, e->name, endings[which], err));
    TT_TRY(file_read_owned_text(&pem, &len, FILE_TRUSTED, path, err));
    struct tt_error why = {0};
    if (tt_cert_list_from_pem(ret, (struct tt_bytes){(const uint8_t *)pem, len}, &why) == TT_OK)
        return TT_OK;
    return error_set(err, TT_ERR_DECODE, "%s: %s", path, why.text);
}

tt_rc enrolled_certs_write(const struct enrolled *e, const char *dir, enum enrolled_certs which,
                           const struct tt_cert_list *certs, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(dir_ready(dir, err));
    TT_TRY(path_of(path, dir, e->name, endings[which], err));
    TT_TRY(tt_cert_list_to_pem(&pem, certs, certs->len, err));
    return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                      (struct file_want){0644, FILE_OURS}, err);
}

/* ---- requests ---- */

static const char *const requests[] = {
    [ENROLLED_SENT] = ".request.pem", [ENROLLED_ANSWERED] = ".answered.pem"};

char *enrolled_request_read(const struct enrolled *e, const char *dir, enum enrolled_request which)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    return path_of(path, dir, e->name, requests[which], NULL) == TT_OK &&
                   file_read_owned_text(&text, &len, FILE_TRUSTED, path, NULL) == TT_OK
               ? text
               : NULL;
}

tt_rc enrolled_request_write(const struct enrolled *e, const char *dir, const char *pem, struct tt_error *err)
{
    char path[PATH_MAX];
    TT_TRY(dir_ready(dir, err));
    TT_TRY(path_of(path, dir, e->name, requests[ENROLLED_SENT], err));
    return file_write(NULL, path, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                      (struct file_want){0600, FILE_OURS}, err);
}

void enrolled_request_answered(const struct enrolled *e, const char *dir, bool keep)
{
    char sent[PATH_MAX], answered[PATH_MAX];
    if (path_of(sent, dir, e->name, requests[ENROLLED_SENT], NULL) != TT_OK ||
        path_of(answered, dir, e->name, requests[ENROLLED_ANSWERED], NULL) != TT_OK)
        return;
    if (!keep || rename(sent, answered) != 0) /* it is not there where the answered one was sent again */
        (void)unlink(sent);
}
