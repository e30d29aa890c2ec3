/* tpm/loaded.c: see loaded.h. Layer: tpm. Responses: TPM 2.0 part 3, sections 12.2 (Load), 24.1
 * (CreatePrimary), 28.2 and 28.3 (contexts); they are hostile, and only ever lead to a question about a
 * handle. */
#include "tpm/loaded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tpm/context.h"
#include "wire/reader.h"

#define RECORD_MAX 2048
#define RECORDS    64 /* files looked at */

/* ---- the record ---- */

static bool record_dir(char *ret, size_t cap)
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

static void record_open(struct loaded *l)
{
    char dir[128];
    if (!record_dir(dir, sizeof dir) ||
        (size_t)snprintf(l->path, sizeof l->path, "%s/loaded-XXXXXX", dir) >= sizeof l->path)
        return;
    l->fd = mkostemp(l->path, O_CLOEXEC);
    if (l->fd >= 0 && flock(l->fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(l->fd);
        l->fd = -1;
    }
}

/* "WHERE\n", then "HANDLE NAME\n" for each, in hexadecimal. A record that cannot be written is none. */
static void record_write(struct loaded *l)
{
    char text[RECORD_MAX];
    if (l->where == NULL || (l->fd < 0 && l->len == 0))
        return;
    if (l->fd < 0)
        record_open(l);
    if (l->fd < 0)
        return;
    size_t n = (size_t)snprintf(text, sizeof text, "%s\n", l->where);
    for (size_t i = 0; i < l->len && n + 2 * LOADED_NAME_MAX + 16 < sizeof text; i++) {
        const struct loaded_object *o = &l->objects[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%08x ", o->handle);
        for (size_t b = 0; b < o->name_len; b++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%02x", o->name[b]);
        text[n++] = '\n';
    }
    (void)!ftruncate(l->fd, 0);
    (void)!pwrite(l->fd, text, n < sizeof text ? n : 0, 0);
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
    record_write(l);
}

static const struct loaded_object *object_find(const struct loaded *l, uint32_t handle)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->objects[i].handle == handle)
            return &l->objects[i];
    return NULL;
}

static void object_drop(struct loaded *l, uint32_t handle)
{
    const struct loaded_object *o = object_find(l, handle);
    if (o == NULL)
        return;
    l->objects[o - l->objects] = l->objects[--l->len];
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

static uint64_t read_u64(struct reader *r)
{
    uint64_t high = rd_u32(r);
    return high << 32 | rd_u32(r);
}

void loaded_command(struct loaded_question *ret, struct tt_bytes command)
{
    struct reader r = reader_of(command);
    (void)rd_bytes(&r, 6);
    *ret = (struct loaded_question){.command = rd_u32(&r)};
    if (ret->command == TPM2_CC_ContextLoad)
        ret->sequence = read_u64(&r);
    else if (ret->command == TPM2_CC_FlushContext || ret->command == TPM2_CC_ContextSave)
        ret->handle = rd_u32(&r);
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

void loaded_answer(struct loaded *l, const struct loaded_question *q, struct tt_bytes response)
{
    struct reader r = reader_of(response);
    bool sessions = rd_u16(&r) == TPM2_ST_SESSIONS;
    (void)rd_bytes(&r, METER_HEADER_SIZE - 2);
    switch (q->command) {
    case TPM2_CC_Load:
    case TPM2_CC_LoadExternal:
    case TPM2_CC_CreatePrimary: {
        uint32_t handle = rd_u32(&r);
        if (sessions)
            (void)rd_u32(&r);
        struct tt_bytes name = name_in(q->command, &r);
        if (!r.failed)
            object_set(l, handle, name);
        return;
    }
    case TPM2_CC_ContextLoad: {
        uint32_t handle = rd_u32(&r);
        if (!r.failed)
            context_loaded(l, handle, q->sequence);
        return;
    }
    case TPM2_CC_ContextSave: {
        uint64_t sequence = read_u64(&r);
        if (!r.failed)
            context_saved(l, q->handle, sequence);
        return;
    }
    case TPM2_CC_FlushContext:
        object_drop(l, q->handle);
        return;
    default:
        return;
    }
}

void loaded_close(struct loaded *l)
{
    if (l->fd >= 0) {
        if (l->len == 0)
            (void)unlink(l->path); /* else it says what we leave behind */
        (void)close(l->fd);
    }
    l->fd = -1;
    mem_free(TT_TAKE(l->where));
}

/* ---- what others left ---- */

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

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void inherit_line(struct loaded *l, const char *line)
{
    char *end = NULL;
    uint8_t name[LOADED_NAME_MAX];
    size_t n = 0;
    unsigned long handle = strtoul(line, &end, 16);
    if (end != line + 8 || *end != ' ' || handle >> 24 != TPM2_HT_TRANSIENT)
        return;
    for (const char *c = end + 1; n < sizeof name && hex(c[0]) >= 0 && hex(c[1]) >= 0; c += 2)
        name[n++] = (uint8_t)(hex(c[0]) << 4 | hex(c[1]));
    object_set(l, (uint32_t)handle, (struct tt_bytes){name, n});
}

/* The lock is free: whoever wrote it is gone. */
static void inherit_record(struct loaded *l, const char *path, const char *where)
{
    char text[RECORD_MAX + 1];
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = flock(fd, LOCK_EX | LOCK_NB) == 0 ? read(fd, text, RECORD_MAX) : -1;
    text[n > 0 ? n : 0] = '\0';
    char *rest = text, *line = strsep(&rest, "\n");
    if (n >= 0 && strcmp(line, where) == 0) {
        while (rest != NULL)
            inherit_line(l, strsep(&rest, "\n"));
        (void)unlink(path);
    }
    (void)close(fd);
}

void loaded_inherit(struct loaded *l, const char *where)
{
    char dir[128], path[512];
    l->where = mem_strdup(where);
    DIR *d = record_dir(dir, sizeof dir) ? opendir(dir) : NULL;
    if (d == NULL)
        return;
    const struct dirent *e;
    for (int i = 0; i < RECORDS && (e = readdir(d)) != NULL; i++)
        if (strncmp(e->d_name, "loaded-", 7) == 0 &&
            (size_t)snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < sizeof path &&
            (l->fd < 0 || strcmp(path, l->path) != 0))
            inherit_record(l, path, where);
    (void)closedir(d);
}

/* Whatever else has the handle now keeps it. */
static void clean_one(struct tt_tpm *tpm, const struct loaded_object *o)
{
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_NAME *name = NULL;
    if (Esys_TR_FromTPMPublic(tpm->esys, o->handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object) !=
        TSS2_RC_SUCCESS)
        return;
    bool ours = Esys_TR_GetName(tpm->esys, object, &name) == TSS2_RC_SUCCESS && name->size == o->name_len &&
                memcmp(name->name, o->name, o->name_len) == 0;
    Esys_Free(name);
    if (ours)
        tpm_flush(tpm, &object);
    else
        (void)Esys_TR_Close(tpm->esys, &object);
}

void loaded_clean(struct tt_tpm *tpm)
{
    struct loaded *l = &tpm->meter.loaded;
    struct loaded_object objects[LOADED_MAX];
    size_t n = l->len;
    if (l->managed) {
        l->len = 0;
        return;
    }
    memcpy(objects, l->objects, sizeof objects);
    for (size_t i = 0; i < n; i++)
        clean_one(tpm, &objects[i]);
    if (tpm->meter.broken)
        return; /* the record stays for the next time */
    l->len = 0;
    record_write(l);
}
