/* tpm/loaded.c: see loaded.h. Layer: tpm. Commands and responses: TPM 2.0 part 3, sections 11.1
 * (StartAuthSession), 12.2 (Load), 24.1 (CreatePrimary), 28.2 to 28.4 (contexts); responses are hostile, and
 * only ever lead to a question about a handle. */
#include "tpm/loaded.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tpm/context.h"
#include "wire/reader.h"

#define RECORD_MAX 6144

/* ---- the record ---- */

static const char *const pending_words[] = {"", "load", "primary", "context", "start"}; /* enum loaded_kind */

bool loaded_dir(char *ret, size_t cap)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (base == NULL || base[0] != '/')
        base = geteuid() == 0 ? "/run" : NULL;
    if (base == NULL || (size_t)snprintf(ret, cap, "%s/tpmtls", base) >= cap)
        return false;
    struct stat st;
    if (mkdir(ret, 0700) != 0 && errno != EEXIST)
        return false;
    return lstat(ret, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 022) == 0;
}

/* Until it is locked it looks like one that a killed process left empty, and may be removed as such. */
static bool record_lock(int fd)
{
    struct stat st;
    return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static void record_open(struct loaded *l)
{
    char dir[128];
    if (!loaded_dir(dir, sizeof dir))
        return;
    for (int i = 0; i < 4 && l->fd < 0; i++) {
        if ((size_t)snprintf(l->path, sizeof l->path, "%s/" LOADED_PREFIX "XXXXXX", dir) >= sizeof l->path)
            return;
        l->fd = mkostemp(l->path, O_CLOEXEC);
        if (l->fd < 0)
            return;
        if (!record_lock(l->fd)) {
            (void)close(l->fd);
            l->fd = -1;
        }
    }
}

/* struct text: the record as it grows; what does not fit is left out, a line at a time. */
struct text {
    char at[RECORD_MAX];
    size_t len;
};

static void put_line(struct text *t, const char *word, const uint8_t *data, size_t len)
{
    int n = snprintf(t->at + t->len, sizeof t->at - t->len, "%s ", word);
    if (n < 0 || t->len + (size_t)n + 2 * len + 2 > sizeof t->at)
        return;
    t->len += (size_t)n;
    for (size_t i = 0; i < len; i++)
        t->len += (size_t)snprintf(t->at + t->len, 3, "%02x", data[i]);
    t->at[t->len++] = '\n';
}

static bool is_empty(const struct loaded *l)
{
    return l->len == 0 && l->sessions_len == 0 && l->pending.kind == LOADED_NOTHING;
}

/* "WHERE\n", then "HANDLE NAME\n" for each object, "session HANDLE MILLISECONDS\n", and "WORD DATA\n" for
 * what was sent, in hexadecimal. A record that cannot be written is none. */
static void record_write(struct loaded *l)
{
    struct text t = {.len = 0};
    char word[40];
    if (l->where == NULL || l->managed || (l->fd < 0 && is_empty(l)))
        return;
    if (l->fd < 0)
        record_open(l);
    if (l->fd < 0)
        return;
    int n = snprintf(t.at, sizeof t.at, "%s\n", l->where);
    if (n < 0 || (size_t)n >= sizeof t.at)
        return;
    t.len = (size_t)n;
    for (size_t i = 0; i < l->len; i++) {
        (void)snprintf(word, sizeof word, "%08x", l->objects[i].handle);
        put_line(&t, word, l->objects[i].name, l->objects[i].name_len);
    }
    for (size_t i = 0; i < l->sessions_len; i++) {
        (void)snprintf(word, sizeof word, "session %08x %" PRIx64, l->sessions[i], l->sessions_ms);
        put_line(&t, word, NULL, 0);
    }
    if (l->pending.kind != LOADED_NOTHING)
        put_line(&t, pending_words[l->pending.kind], l->pending.data, l->pending.len);
    (void)!pwrite(l->fd, t.at, t.len, 0); /* first what is new: a reader never sees less than there is */
    (void)!ftruncate(l->fd, (off_t)t.len);
}

void loaded_record(struct loaded *l, const char *where)
{
    l->where = mem_strdup(where);
}

void loaded_forget(struct loaded *l)
{
    l->len = l->sessions_len = 0;
    l->pending.kind = LOADED_NOTHING;
    record_write(l);
}

void loaded_close(struct loaded *l)
{
    if (l->fd >= 0) {
        if (is_empty(l))
            (void)unlink(l->path); /* else it says what we leave behind */
        (void)close(l->fd);
    }
    l->fd = -1;
    mem_free(TT_TAKE(l->where));
}

/* ---- reading one ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t read_hex(uint8_t *ret, size_t cap, const char *text)
{
    size_t n = 0;
    for (; n < cap && hex(text[0]) >= 0 && hex(text[1]) >= 0; text += 2)
        ret[n++] = (uint8_t)(hex(text[0]) << 4 | hex(text[1]));
    return n;
}

static void read_session(struct loaded *l, const char *text)
{
    char *end = NULL;
    unsigned long handle = strtoul(text, &end, 16);
    bool right = end == text + 8 && *end == ' ' &&
                 (handle >> 24 == TPM2_HT_HMAC_SESSION || handle >> 24 == TPM2_HT_POLICY_SESSION);
    if (!right || l->sessions_len == LOADED_SESSIONS)
        return;
    l->sessions[l->sessions_len++] = (uint32_t)handle;
    l->sessions_ms = strtoull(end + 1, NULL, 16);
}

static void read_line(struct loaded *l, const char *line)
{
    const char *rest = strchr(line, ' ');
    size_t word = rest != NULL ? (size_t)(rest - line) : 0;
    if (word == 0)
        return;
    rest++;
    if (word == strlen("session") && memcmp(line, "session", word) == 0) {
        read_session(l, rest);
        return;
    }
    for (unsigned kind = LOADED_BY_PUBLIC; kind < TT_COUNT(pending_words); kind++)
        if (word == strlen(pending_words[kind]) && memcmp(line, pending_words[kind], word) == 0) {
            l->pending.kind = (enum loaded_kind)kind;
            l->pending.len = read_hex(l->pending.data, sizeof l->pending.data, rest);
            return;
        }
    char *end = NULL;
    unsigned long handle = strtoul(line, &end, 16);
    struct loaded_object *o = &l->objects[l->len];
    if (word != 8 || end != line + 8 || handle >> 24 != TPM2_HT_TRANSIENT || l->len == LOADED_MAX)
        return;
    o->handle = (uint32_t)handle;
    o->name_len = read_hex(o->name, sizeof o->name, rest);
    l->len += o->name_len > 0;
}

tt_rc loaded_read(struct loaded *ret, int fd)
{
    char text[RECORD_MAX + 1];
    *ret = (struct loaded){.fd = -1};
    ssize_t n = pread(fd, text, RECORD_MAX, 0);
    if (n < 0)
        return TT_ERR_IO;
    text[n] = '\0';
    char *rest = text;
    ret->where = mem_strdup(strsep(&rest, "\n"));
    while (rest != NULL)
        read_line(ret, strsep(&rest, "\n"));
    return ret->where != NULL ? TT_OK : TT_ERR_MEMORY;
}

/* ---- what is sent ---- */

static uint64_t read_u64(struct reader *r)
{
    uint64_t high = rd_u32(r);
    return high << 32 | rd_u32(r);
}

static void expect(struct loaded *l, enum loaded_kind kind, struct tt_bytes data)
{
    if (data.len == 0 || data.len > sizeof l->pending.data)
        return;
    l->pending.kind = kind;
    l->pending.len = data.len;
    memcpy(l->pending.data, data.data, data.len);
    record_write(l);
}

/* The public area of a Load or CreatePrimary, its size included: one handle, authorizations, a TPM2B, it. */
static struct tt_bytes public_in(struct reader *r)
{
    uint32_t authorizations;
    (void)rd_u32(r);
    authorizations = rd_u32(r);
    (void)rd_bytes(r, authorizations);
    (void)rd_vec16(r, 0); /* inPrivate, inSensitive */
    const uint8_t *from = r->at;
    (void)rd_vec16(r, 0);
    return r->failed ? (struct tt_bytes){NULL, 0} : (struct tt_bytes){from, (size_t)(r->at - from)};
}

/* Two handles, nonceCaller, encryptedSalt, then the type. */
static void expect_session(struct loaded *l, struct reader *r)
{
    (void)rd_bytes(r, 8);
    (void)rd_vec16(r, 0);
    (void)rd_vec16(r, 0);
    uint8_t type = rd_u8(r) == TPM2_SE_HMAC ? TPM2_HT_HMAC_SESSION : TPM2_HT_POLICY_SESSION;
    if (!r->failed)
        expect(l, LOADED_SESSION, (struct tt_bytes){&type, 1});
}

static void expect_context(struct loaded *l, uint64_t sequence)
{
    for (size_t i = 0; i < LOADED_MAX; i++)
        if (l->contexts[i].sequence == sequence && l->contexts[i].name_len > 0)
            expect(l, LOADED_BY_NAME, (struct tt_bytes){l->contexts[i].name, l->contexts[i].name_len});
}

void loaded_command(struct loaded *l, struct loaded_question *ret, struct tt_bytes command)
{
    struct reader r = reader_of(command);
    (void)rd_bytes(&r, 6);
    *ret = (struct loaded_question){.command = rd_u32(&r)};
    switch (ret->command) {
    case TPM2_CC_Load:
        expect(l, LOADED_BY_PUBLIC, public_in(&r));
        return;
    case TPM2_CC_CreatePrimary:
        expect(l, LOADED_BY_TEMPLATE, public_in(&r));
        return;
    case TPM2_CC_StartAuthSession:
        expect_session(l, &r);
        return;
    case TPM2_CC_ContextLoad:
        ret->sequence = read_u64(&r);
        expect_context(l, ret->sequence);
        return;
    case TPM2_CC_FlushContext:
    case TPM2_CC_ContextSave:
        ret->handle = rd_u32(&r);
        return;
    default:
        return;
    }
}

/* ---- what the answers tell ---- */

static void object_set(struct loaded *l, uint32_t handle, struct tt_bytes name)
{
    size_t at = 0;
    while (at < l->len && l->objects[at].handle != handle)
        at++;
    if (at == LOADED_MAX || name.len > LOADED_NAME_MAX || name.len == 0)
        return;
    struct loaded_object *o = &l->objects[at];
    o->handle = handle;
    o->name_len = name.len;
    memcpy(o->name, name.data, name.len);
    if (at == l->len)
        l->len++;
}

static const struct loaded_object *object_find(const struct loaded *l, uint32_t handle)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->objects[i].handle == handle)
            return &l->objects[i];
    return NULL;
}

static void session_set(struct loaded *l, uint32_t handle)
{
    struct timespec t;
    if (l->sessions_len == LOADED_SESSIONS) /* one that we lost, and did not flush */
        memmove(l->sessions, l->sessions + 1, --l->sessions_len * sizeof l->sessions[0]);
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    l->sessions[l->sessions_len++] = handle;
    l->sessions_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void loaded_ended(struct loaded *l, uint32_t handle)
{
    const struct loaded_object *o = object_find(l, handle);
    if (o != NULL)
        l->objects[o - l->objects] = l->objects[--l->len];
    for (size_t i = 0; i < l->sessions_len; i++)
        if (l->sessions[i] == handle)
            l->sessions[i--] = l->sessions[--l->sessions_len];
    record_write(l);
}

static void context_saved(struct loaded *l, uint32_t handle, uint64_t sequence)
{
    const struct loaded_object *o = object_find(l, handle);
    if (o == NULL)
        return;
    struct loaded_context *c = &l->contexts[l->contexts_next++ % LOADED_MAX];
    *c = (struct loaded_context){.sequence = sequence, .name_len = o->name_len};
    memcpy(c->name, o->name, o->name_len);
}

static void context_loaded(struct loaded *l, uint32_t handle, uint64_t sequence)
{
    for (size_t i = 0; i < LOADED_MAX; i++)
        if (l->contexts[i].sequence == sequence && l->contexts[i].name_len > 0)
            object_set(l, handle, (struct tt_bytes){l->contexts[i].name, l->contexts[i].name_len});
}

/* Behind the handle and, with sessions, the size of the parameters. */
static struct tt_bytes name_in(uint32_t command, struct reader *r)
{
    if (command == TPM2_CC_CreatePrimary) {
        (void)rd_vec16(r, 0); /* outPublic */
        (void)rd_vec16(r, 0); /* creationData */
        (void)rd_vec16(r, 0); /* creationHash */
        (void)rd_bytes(r, 6); /* creationTicket: tag, hierarchy, digest */
        (void)rd_vec16(r, 0);
    }
    return rd_vec16(r, 0);
}

static void object_answer(struct loaded *l, uint32_t command, struct reader *r, bool sessions)
{
    uint32_t handle = rd_u32(r);
    if (sessions)
        (void)rd_u32(r);
    struct tt_bytes name = name_in(command, r);
    if (!r->failed)
        object_set(l, handle, name);
}

static void handle_answer(struct loaded *l, const struct loaded_question *q, struct reader *r)
{
    uint32_t handle = rd_u32(r);
    if (r->failed)
        return;
    if (q->command == TPM2_CC_StartAuthSession)
        session_set(l, handle);
    else
        context_loaded(l, handle, q->sequence);
}

static void answered(struct loaded *l, const struct loaded_question *q, struct tt_bytes response)
{
    struct reader r = reader_of(response);
    bool sessions = rd_u16(&r) == TPM2_ST_SESSIONS;
    (void)rd_bytes(&r, METER_HEADER_SIZE - 2);
    switch (q->command) {
    case TPM2_CC_Load:
    case TPM2_CC_LoadExternal:
    case TPM2_CC_CreatePrimary:
        object_answer(l, q->command, &r, sessions);
        return;
    case TPM2_CC_StartAuthSession:
    case TPM2_CC_ContextLoad:
        handle_answer(l, q, &r);
        return;
    case TPM2_CC_ContextSave: {
        uint64_t sequence = read_u64(&r);
        if (!r.failed)
            context_saved(l, q->handle, sequence);
        return;
    }
    case TPM2_CC_FlushContext:
        loaded_ended(l, q->handle);
        return;
    default:
        return;
    }
}

void loaded_answer(struct loaded *l, const struct loaded_question *q, uint32_t code, struct tt_bytes response)
{
    bool expected = l->pending.kind != LOADED_NOTHING;
    l->pending.kind = LOADED_NOTHING;
    if (code == TPM2_RC_SUCCESS)
        answered(l, q, response);
    if (expected || q->command == TPM2_CC_LoadExternal)
        record_write(l);
}

bool loaded_needs_record(const char *spec)
{
    static const char *const managed[] = {"embedded", "tabrmd", "device:/dev/tpmrm"};
    const char *inner = strncmp(spec, "lab:", 4) == 0 ? strchr(spec + strlen("lab:"), ':') : NULL;
    const char *tcti = inner != NULL ? inner + 1 : spec;
    if (strcmp(tcti, "device") == 0 || strcmp(tcti, "device:") == 0)
        return false;
    for (size_t i = 0; i < TT_COUNT(managed); i++)
        if (strncmp(tcti, managed[i], strlen(managed[i])) == 0)
            return false;
    return true;
}
