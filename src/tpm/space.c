/* tpm/space.c: contexts in and out, handles back and forth. Layer: tpm; runs in the forked keeper.
 * TPM 2.0 part 1, section 30 (context management); part 2, section 8.9 (TPMA_CC); part 3, section 28. */
#include "tpm/space.h"

#include <errno.h>
#include <string.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#define HEADER 10

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* ---- the chip ---- */

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool read_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = read(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool chip_exchange(int fd, const uint8_t *command, size_t len, uint8_t *response, size_t *ret_len)
{
    if (!write_all(fd, command, len) || !read_all(fd, response, HEADER))
        return false;
    size_t size = get32(response + 2);
    if (size < HEADER || size > TPM_MAX_MESSAGE || !read_all(fd, response + HEADER, size - HEADER))
        return false;
    *ret_len = size;
    return true;
}

/* A command of ours without sessions; the response is left in t->scratch. 0 is its length when anything is
 * wrong. */
static size_t own_command(struct space_tpm *t, uint32_t cc, const uint8_t *body, size_t len)
{
    uint8_t command[TPM_MAX_MESSAGE];
    size_t got = 0;
    if (len > sizeof command - HEADER)
        return 0;
    command[0] = 0x80; /* TPM_ST_NO_SESSIONS */
    command[1] = 0x01;
    put32(command + 2, (uint32_t)(HEADER + len));
    put32(command + 6, cc);
    memcpy(command + HEADER, body, len);
    if (!chip_exchange(t->fd, command, HEADER + len, t->scratch, &got) ||
        get32(t->scratch + 6) != TPM2_RC_SUCCESS)
        return 0;
    return got;
}

static void chip_flush(struct space_tpm *t, uint32_t handle)
{
    uint8_t body[4];
    put32(body, handle);
    (void)own_command(t, TPM2_CC_FlushContext, body, sizeof body);
}

/* Saves into `to`; the length, or 0. */
static size_t chip_save(struct space_tpm *t, uint32_t handle, uint8_t *to, size_t cap)
{
    uint8_t body[4];
    put32(body, handle);
    size_t len = own_command(t, TPM2_CC_ContextSave, body, sizeof body);
    if (len <= HEADER || len - HEADER > cap)
        return 0;
    memcpy(to, t->scratch + HEADER, len - HEADER);
    return len - HEADER;
}

static bool chip_load(struct space_tpm *t, const uint8_t *saved, size_t len, uint32_t *ret_handle)
{
    if (own_command(t, TPM2_CC_ContextLoad, saved, len) < HEADER + 4)
        return false;
    *ret_handle = get32(t->scratch + HEADER);
    return true;
}

bool space_open(struct space_tpm *t, int fd, struct space *all, size_t count)
{
    t->fd = fd;
    t->all = all;
    t->all_count = count;
    t->active = NULL;
    t->saves = 0;
    t->gap = SPACE_GAP;
    uint8_t body[12];
    put32(body, TPM2_CAP_COMMANDS);
    put32(body + 4, 0);
    put32(body + 8, SPACE_COMMANDS - 1);
    /* moreData (1), capability (4), count (4), then the TPMA_CC list */
    size_t len = own_command(t, TPM2_CC_GetCapability, body, sizeof body), at = HEADER + 9;
    if (len < at)
        return false;
    t->commands = get32(t->scratch + HEADER + 5);
    if (t->commands > SPACE_COMMANDS || t->commands * 4 > len - at)
        return false;
    for (size_t i = 0; i < t->commands; i++)
        t->attributes[i] = get32(t->scratch + at + 4 * i);
    return true;
}

void space_shutdown(struct space_tpm *t)
{
    static const uint8_t clear[2] = {0, 0}; /* TPM_SU_CLEAR */
    (void)own_command(t, TPM2_CC_Shutdown, clear, sizeof clear);
}

static uint32_t command_attributes(const struct space_tpm *t, uint32_t cc)
{
    for (size_t i = 0; i < t->commands; i++)
        if ((t->attributes[i] & (TPMA_CC_COMMANDINDEX_MASK | TPMA_CC_V)) == cc)
            return t->attributes[i];
    return 0;
}

/* ---- whose turn ---- */

static bool is_session(uint32_t handle)
{
    return handle >> 24 == TPM2_HT_HMAC_SESSION || handle >> 24 == TPM2_HT_POLICY_SESSION;
}

static bool is_transient(uint32_t handle)
{
    return handle >> 24 == TPM2_HT_TRANSIENT;
}

/* Saving takes it out of the chip. What cannot be saved must not stay there, where nobody would know of it.
 */
static void session_out(struct space_tpm *t, struct space_session *o)
{
    o->saved_len = chip_save(t, o->handle, o->saved, sizeof o->saved);
    o->saved_at = ++t->saves;
    o->used = o->saved_len > 0;
    if (!o->used)
        chip_flush(t, o->handle);
}

/* What cannot be saved is no longer there (a session that ended with its command, a finished sequence, an
 * object lost to TPM2_Clear), or is lost now. */
static void space_out(struct space_tpm *t, struct space *s)
{
    for (size_t i = 0; i < SPACE_OBJECTS; i++) {
        struct space_object *o = &s->objects[i];
        if (!o->used)
            continue;
        o->saved_len = chip_save(t, o->real, o->saved, sizeof o->saved);
        o->used = o->saved_len > 0;
        chip_flush(t, o->real);
    }
    for (size_t i = 0; i < SPACE_SESSIONS; i++)
        if (s->sessions[i].used && !s->sessions[i].kept_by_client)
            session_out(t, &s->sessions[i]);
}

static void space_in(struct space_tpm *t, struct space *s)
{
    for (size_t i = 0; i < SPACE_OBJECTS; i++) {
        struct space_object *o = &s->objects[i];
        o->used = o->used && chip_load(t, o->saved, o->saved_len, &o->real);
    }
    for (size_t i = 0; i < SPACE_SESSIONS; i++) {
        struct space_session *o = &s->sessions[i];
        if (!o->used || o->kept_by_client)
            continue;
        o->used = chip_load(t, o->saved, o->saved_len, &o->handle);
        if (!o->used)
            chip_flush(t, o->handle); /* a saved one takes a handle of the chip, too */
    }
}

/* With no session of ours in the chip. */
static void session_refresh(struct space_tpm *t, struct space_session *o)
{
    uint64_t age = t->saves - o->saved_at;
    if (!o->used || age < t->gap)
        return;
    if (!o->kept_by_client && chip_load(t, o->saved, o->saved_len, &o->handle))
        session_out(t, o);
    else if (!o->kept_by_client || age >= SPACE_GAP_LAST) {
        chip_flush(t, o->handle);
        o->used = false;
    }
}

static bool session_is_old(const struct space_tpm *t)
{
    for (size_t c = 0; c < t->all_count; c++)
        for (size_t i = 0; i < SPACE_SESSIONS; i++) {
            const struct space_session *o = &t->all[c].sessions[i];
            bool saved = &t->all[c] != t->active || o->kept_by_client;
            if (o->used && saved && t->saves - o->saved_at >= (o->kept_by_client ? SPACE_GAP_LAST : t->gap))
                return true;
        }
    return false;
}

/* At most three sessions fit into the chip, so the active client's make room first. */
static void sessions_refresh(struct space_tpm *t)
{
    if (!session_is_old(t))
        return;
    if (t->active != NULL)
        space_out(t, t->active);
    t->active = NULL;
    for (size_t c = 0; c < t->all_count; c++)
        for (size_t i = 0; i < SPACE_SESSIONS; i++)
            session_refresh(t, &t->all[c].sessions[i]);
}

static void space_activate(struct space_tpm *t, struct space *s)
{
    sessions_refresh(t);
    if (t->active == s)
        return;
    if (t->active != NULL)
        space_out(t, t->active);
    space_in(t, s);
    t->active = s;
}

void space_drop(struct space_tpm *t, struct space *s)
{
    for (size_t i = 0; i < SPACE_OBJECTS; i++)
        if (s->objects[i].used && t->active == s)
            chip_flush(t, s->objects[i].real); /* a saved object takes nothing of the chip */
    for (size_t i = 0; i < SPACE_SESSIONS; i++)
        if (s->sessions[i].used)
            chip_flush(t, s->sessions[i].handle); /* a saved session does */
    if (t->active == s)
        t->active = NULL;
    memset(s, 0, sizeof *s);
}

/* ---- handles of one command ---- */

#define VIRTUAL_BASE 0x80000000U

/* The TPM's handle for a client's; false when the client has no such thing. */
static bool to_real(struct space *s, uint32_t handle, uint32_t *ret)
{
    *ret = handle;
    if (is_transient(handle)) {
        uint32_t i = handle - VIRTUAL_BASE;
        if (i >= SPACE_OBJECTS || !s->objects[i].used)
            return false;
        *ret = s->objects[i].real;
        return true;
    }
    for (size_t i = 0; is_session(handle) && i < SPACE_SESSIONS; i++)
        if (s->sessions[i].used && s->sessions[i].handle == handle)
            return true;
    return !is_session(handle);
}

static bool object_add(struct space *s, uint32_t real, uint32_t *ret_virtual)
{
    for (size_t i = 0; i < SPACE_OBJECTS; i++)
        if (s->objects[i].used && s->objects[i].real == real)
            s->objects[i].used = false; /* that one is gone, since the TPM gave its handle to another */
    for (uint32_t i = 0; i < SPACE_OBJECTS; i++)
        if (!s->objects[i].used) {
            s->objects[i] = (struct space_object){.used = true, .real = real};
            *ret_virtual = VIRTUAL_BASE + i;
            return true;
        }
    return false;
}

static bool session_add(struct space_tpm *t, struct space *s, uint32_t handle)
{
    for (size_t c = 0; c < t->all_count; c++) /* a saved session may move from one connection to another */
        for (size_t i = 0; i < SPACE_SESSIONS; i++)
            if (t->all[c].sessions[i].used && t->all[c].sessions[i].handle == handle)
                t->all[c].sessions[i].used = false;
    for (size_t i = 0; i < SPACE_SESSIONS; i++)
        if (!s->sessions[i].used) {
            s->sessions[i] = (struct space_session){.used = true, .handle = handle};
            return true;
        }
    return false;
}

static void answer(uint8_t *response, size_t *ret_len, uint32_t rc)
{
    response[0] = 0x80; /* TPM_ST_NO_SESSIONS */
    response[1] = 0x01;
    put32(response + 2, HEADER);
    put32(response + 6, rc);
    *ret_len = HEADER;
}

/* The response created an object or a session: it belongs to this client now. */
static void created(struct space_tpm *t, struct space *s, uint8_t *response, size_t *len)
{
    uint32_t handle = get32(response + HEADER), virtual = handle;
    bool fits = is_transient(handle) ? object_add(s, handle, &virtual)
                                     : !is_session(handle) || session_add(t, s, handle);
    if (fits) {
        put32(response + HEADER, virtual);
        return;
    }
    chip_flush(t, handle);
    answer(response, len, is_transient(handle) ? TPM2_RC_OBJECT_MEMORY : TPM2_RC_SESSION_HANDLES);
}

static void flushed(struct space *s, uint32_t handle)
{
    for (size_t i = 0; i < SPACE_OBJECTS; i++)
        if (is_transient(handle) && s->objects[i].used && s->objects[i].real == handle)
            s->objects[i].used = false;
    for (size_t i = 0; i < SPACE_SESSIONS; i++)
        if (is_session(handle) && s->sessions[i].used && s->sessions[i].handle == handle)
            s->sessions[i].used = false;
}

static void saved_by_client(struct space_tpm *t, struct space *s, uint32_t handle)
{
    t->saves++;
    for (size_t i = 0; i < SPACE_SESSIONS; i++)
        if (s->sessions[i].used && s->sessions[i].handle == handle) {
            s->sessions[i].kept_by_client = true;
            s->sessions[i].saved_at = t->saves;
        }
}

bool space_run(struct space_tpm *t, struct space *s, uint8_t *command, size_t len, uint8_t *ret_response,
               size_t *ret_len)
{
    space_activate(t, s);
    uint32_t cc = get32(command + 6), attributes = command_attributes(t, cc), first = 0;
    size_t handles = (attributes & TPMA_CC_CHANDLES_MASK) >> TPMA_CC_CHANDLES_SHIFT;
    if (cc == TPM2_CC_FlushContext)
        handles = 1; /* formally a parameter */
    for (uint32_t i = 0; i < handles && HEADER + 4 * i + 4 <= len; i++) {
        uint8_t *at = command + HEADER + 4 * i;
        uint32_t real;
        if (!to_real(s, get32(at), &real)) {
            answer(ret_response, ret_len,
                   cc == TPM2_CC_FlushContext ? TPM2_RC_HANDLE + TPM2_RC_P + TPM2_RC_1
                                              : TPM2_RC_REFERENCE_H0 + i);
            return true;
        }
        put32(at, real);
        first = i == 0 ? real : first;
    }
    if (!chip_exchange(t->fd, command, len, ret_response, ret_len))
        return false;
    if (get32(ret_response + 6) != TPM2_RC_SUCCESS)
        return true;
    if ((attributes & TPMA_CC_RHANDLE) != 0 && *ret_len >= HEADER + 4)
        created(t, s, ret_response, ret_len);
    else if (cc == TPM2_CC_FlushContext)
        flushed(s, first);
    else if (cc == TPM2_CC_ContextSave && is_session(first))
        saved_by_client(t, s, first);
    return true;
}
