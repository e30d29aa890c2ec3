/* tests/net/test_session_store.c: kept sessions: each is given out once and to the right peer, files are
 * whole whenever the power goes, two processes share a directory, a full disk, another TPM and a cleared one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/file_write.h"
#include "net/files.h"
#include "net/session_store.h"
#include "support/pump.h"
#include "support/range.h"
#include "support/temp_tpm.h"

#define NOW_MS (TEST_NOW * 1000)

/* ---- the power goes: the linker sends these calls here (--wrap) ---- */

static int calls_until_cut = -1; /* 0: this one does not happen any more, and nothing after it */
static bool disk_is_full;

static void count_call(void)
{
    if (calls_until_cut == 0)
        _exit(77);
    if (calls_until_cut > 0)
        calls_until_cut--;
}

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return __real_write(fd, data, n);
    if (disk_is_full) {
        errno = ENOSPC;
        return -1;
    }
    count_call();
    if (calls_until_cut == 0 && n > 1) /* half of it arrives, and then the power goes */
        return __real_write(fd, data, n / 2);
    return __real_write(fd, data, n);
}
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    count_call();
    return __real_rename(from, to);
}
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    count_call();
    return __real_fsync(fd);
}
int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    count_call();
    return __real_unlinkat(dir, name, flags);
}
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    count_call();
    return __real_linkat(from_dir, from, to_dir, to, flags);
}

/* ---- what the tests share ---- */

static struct temp_tpm chip;
static char top[64];
static struct pump pump;
static struct tt_tickets *tickets;

static int set_up(void **state)
{
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    (void)state;
    if (!temp_tpm_start(&chip) || !temp_dir_make(top, sizeof top) ||
        tt_tickets_new(&tickets, NOW_MS - 1000, NULL) != TT_OK ||
        tt_tickets_set_keys(tickets, &key, 1) != TT_OK)
        return -1;
    pump = (struct pump){.tickets = tickets, .tickets_count = 1, .suite = TT_SUITE_AES_128_GCM_SHA256};
    pump_start(&pump);
    pump_run(&pump);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pump_free(&pump);
    tt_tickets_free(tickets);
    temp_dir_remove(top);
    temp_tpm_stop(&chip);
    return 0;
}

/* A new one; every ticket is different. */
static struct tt_session *session_new(void)
{
    struct tt_session *s = tt_conn_take_session(pump.client);
    if (s != NULL)
        return s;
    tt_conn_free(pump.client);
    tt_conn_free(pump.server);
    pump.client = pump.server = NULL;
    const struct tt_conn_options co = {.server_name = "localhost", .now = TEST_NOW}, so = {.now = TEST_NOW};
    assert_int_equal(tt_conn_new(&pump.client, pump.client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&pump.server, pump.server_cfg, &so, NULL), TT_OK);
    pump_run(&pump);
    s = tt_conn_take_session(pump.client);
    assert_non_null(s);
    return s;
}

static struct tt_tpm *tpm_open(const char *tcti)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    if (tt_tpm_open(&tpm, tcti, &err) != TT_OK)
        fail_msg("%s", err.text);
    return tpm;
}

static const char *dir_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static struct session_store *store_open(enum session_mode mode, struct tt_tpm *tpm, const char *name)
{
    struct session_store *s = NULL;
    struct tt_error err = {0};
    const struct session_store_options opt = {.mode = mode, .tpm = tpm, .dir = dir_of(name)};
    if (session_store_open(&s, &opt, &err) != TT_OK)
        fail_msg("%s", err.text);
    return s;
}

static const struct session_key key_a = {.peer = "a.example:443", .server_name = "a.example", .config = {1}};

static void put(struct session_store *s, const struct session_key *key, const struct tt_session *session)
{
    struct tt_error err = {0};
    if (session_store_put(s, key, session, NOW_MS, &err) != TT_OK)
        fail_msg("%s", err.text);
}

static void put_new(struct session_store *s, const struct session_key *key)
{
    struct tt_session *session = session_new();
    put(s, key, session);
    tt_session_free(session);
}

static struct session_taken take_at(struct session_store *s, const struct session_key *key, int64_t now_ms)
{
    struct session_taken t = {0};
    struct tt_error err = {0};
    if (session_store_take(s, &t, key, false, now_ms, &err) != TT_OK)
        fail_msg("%s", err.text);
    return t;
}

static struct session_taken take(struct session_store *s, const struct session_key *key)
{
    return take_at(s, key, NOW_MS + 1000);
}

static bool has_one(struct session_store *s, const struct session_key *key)
{
    struct session_taken t = take(s, key);
    bool found = t.session != NULL;
    session_taken_free(&t);
    return found;
}

static bool same_session(const struct tt_session *a, const struct tt_session *b)
{
    struct tt_session_info x, y;
    tt_session_info(a, &x);
    tt_session_info(b, &y);
    return x.identity.len == y.identity.len && memcmp(x.identity.data, y.identity.data, x.identity.len) == 0;
}

static size_t files_in(const char *name, const char *suffix)
{
    DIR *dir = opendir(dir_of(name));
    size_t n = 0;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        size_t len = strlen(e->d_name), tail = strlen(suffix);
        n += len >= tail && strcmp(e->d_name + len - tail, suffix) == 0;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

/* ---- the tests ---- */

static void one_mode(enum session_mode mode)
{
    const char *name = session_mode_name(mode);
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(mode, tpm, name);
    struct tt_session *first = session_new(), *second = session_new();
    assert_false(has_one(s, &key_a));
    put(s, &key_a, first);
    put(s, &key_a, second);
    /* for nobody else: another port, another name, another configuration */
    struct session_key other = key_a;
    other.peer = "a.example:444";
    assert_false(has_one(s, &other));
    other = key_a;
    other.server_name = NULL;
    assert_false(has_one(s, &other));
    other = key_a;
    other.config[31] ^= 1;
    assert_false(has_one(s, &other));
    /* each once */
    struct session_taken x = take(s, &key_a), y = take(s, &key_a);
    assert_non_null(x.session);
    assert_non_null(y.session);
    assert_true(same_session(x.session, first)
                    ? same_session(y.session, second)
                    : same_session(x.session, second) && same_session(y.session, first));
    assert_false(has_one(s, &key_a));
    struct tt_session_info info;
    tt_session_info(x.session, &info);
    assert_int_equal(info.held, mode == SESSIONS_HELD);
    assert_int_equal(x.holder != NULL, mode == SESSIONS_HELD);
    session_taken_free(&x);
    session_taken_free(&y);
    /* not after its end */
    put(s, &key_a, first);
    x = take_at(s, &key_a, NOW_MS + 7200 * 1000);
    assert_null(x.session);
    assert_false(has_one(s, &key_a));
    /* no more than so many for each peer */
    for (int i = 0; i < SESSIONS_PER_PEER + 2; i++)
        put_new(s, &key_a);
    int n = 0;
    while (has_one(s, &key_a))
        n++;
    assert_int_equal(n, SESSIONS_PER_PEER);
    tt_session_free(first);
    tt_session_free(second);
    session_store_free(s);
    tt_tpm_close(tpm);
}

static void test_memory(void **state)
{
    (void)state;
    one_mode(SESSIONS_IN_MEMORY);
}

static void test_sealed(void **state)
{
    (void)state;
    one_mode(SESSIONS_SEALED);
}

static void test_held(void **state)
{
    (void)state;
    one_mode(SESSIONS_HELD);
}

static void test_bounded(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *disk = store_open(SESSIONS_SEALED, tpm, "many"),
                         *memory = store_open(SESSIONS_IN_MEMORY, tpm, "");
    struct tt_session *session = session_new();
    for (int i = 0; i < SESSIONS_MAX + 5; i++) {
        char peer[32];
        (void)snprintf(peer, sizeof peer, "host-%d:443", i);
        put(disk, &(struct session_key){.peer = peer}, session);
        put(memory, &(struct session_key){.peer = peer}, session);
    }
    assert_int_equal(files_in("many", ".json"), SESSIONS_MAX);
    assert_false(has_one(memory, &(struct session_key){.peer = "host-0:443"}));
    assert_true(has_one(memory, &(struct session_key){.peer = "host-5:443"}));
    tt_session_free(session);
    session_store_free(disk);
    session_store_free(memory);
    tt_tpm_close(tpm);
}

static void count_listed(void *arg, const struct session_listed *x)
{
    assert_string_equal(x->suite, "TLS_AES_128_GCM_SHA256");
    assert_string_equal(x->server_name, "a.example");
    assert_int_equal(x->mode, SESSIONS_SEALED);
    ++*(int *)arg;
}

static void test_list_and_clear(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_SEALED, tpm, "list");
    struct session_key b = key_a;
    struct tt_error err = {0};
    struct stat st;
    size_t removed = 0;
    int n = 0;
    b.peer = "b.example:443";
    put_new(s, &key_a);
    put_new(s, &key_a);
    put_new(s, &b);
    assert_int_equal(stat(dir_of("list"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(dir_of("list/seal.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(session_dir_list(dir_of("list"), NOW_MS, count_listed, &n, &err), TT_OK);
    assert_int_equal(n, 3);
    assert_int_equal(session_dir_clear(dir_of("list"), "b.example:443", &removed, &err), TT_OK);
    assert_int_equal(removed, 1);
    assert_false(has_one(s, &b));
    n = 0;
    assert_int_equal(session_dir_list(dir_of("list"), NOW_MS + 7200000, count_listed, &n, &err), TT_OK);
    assert_int_equal(n, 0);
    assert_int_equal(files_in("list", ".json"), 0);
    assert_int_equal(session_dir_clear(dir_of("list"), NULL, &removed, &err), TT_OK);
    assert_int_equal(removed, 0);
    assert_int_equal(files_in("list", ".key"), 0);
    assert_int_equal(session_dir_list(dir_of("nowhere"), NOW_MS, count_listed, &n, &err), TT_OK);
    assert_int_equal(session_dir_clear(dir_of("nowhere"), NULL, &removed, &err), TT_OK);
    session_store_free(s);
    tt_tpm_close(tpm);
}

/* ---- other TPMs ---- */

static void test_another_tpm(void **state)
{
    (void)state;
    struct temp_tpm another;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_SEALED, tpm, "moved"), *none = NULL;
    struct tt_error err = {0};
    put_new(s, &key_a);
    session_store_free(s);
    s = store_open(SESSIONS_HELD, tpm, "moved");
    put_new(s, &key_a);
    session_store_free(s);
    /* the same files on this TPM, as another process would */
    tt_tpm_close(tpm);
    tpm = tpm_open(chip.tcti);
    s = store_open(SESSIONS_SEALED, tpm, "moved");
    assert_true(has_one(s, &key_a));
    put_new(s, &key_a);
    session_store_free(s);
    tt_tpm_close(tpm);

    assert_true(temp_tpm_start(&another));
    tpm = tpm_open(another.tcti);
    for (enum session_mode mode = SESSIONS_SEALED; mode <= SESSIONS_HELD; mode++) {
        const struct session_store_options opt = {.mode = mode, .tpm = tpm, .dir = dir_of("moved")};
        err = (struct tt_error){0};
        assert_int_equal(session_store_open(&none, &opt, &err), TT_ERR_TPM);
        assert_non_null(strstr(err.hint, "session clear"));
    }
    tt_tpm_close(tpm);
    temp_tpm_stop(&another);
}

/* PCRs that change take the sealed sessions with them. */
static void test_pcrs(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = NULL;
    struct tt_error err = {0};
    char command[300];
    const struct session_store_options opt = {
        .mode = SESSIONS_SEALED, .tpm = tpm, .dir = dir_of("pcrs"), .pcrs = "sha256:16"};
    assert_int_equal(session_store_open(&s, &opt, &err), TT_OK);
    put_new(s, &key_a);
    session_store_free(s);
    s = store_open(SESSIONS_SEALED, tpm, "pcrs");
    put_new(s, &key_a);
    session_store_free(s);
    (void)snprintf(command, sizeof command,
                   "tpm2_pcrextend -T %s 16:sha256="
                   "0000000000000000000000000000000000000000000000000000000000000001 >/dev/null 2>&1",
                   chip.tcti);
    tt_tpm_close(tpm);
    assert_int_equal(system(command), 0);
    tpm = tpm_open(chip.tcti);
    const struct session_store_options again = {.mode = SESSIONS_SEALED, .tpm = tpm, .dir = dir_of("pcrs")};
    assert_int_not_equal(session_store_open(&s, &again, &err), TT_OK);
    tt_tpm_close(tpm);
}

/* TPM2_Clear gives the TPM a new storage seed: what was its own is nobody's. */
static void test_cleared_tpm(void **state)
{
    (void)state;
    struct temp_tpm mine;
    char command[300];
    struct tt_error err = {0};
    struct session_store *s, *none = NULL;
    assert_true(temp_tpm_start(&mine));
    struct tt_tpm *tpm = tpm_open(mine.tcti);
    s = store_open(SESSIONS_SEALED, tpm, "cleared");
    put_new(s, &key_a);
    session_store_free(s);
    s = store_open(SESSIONS_HELD, tpm, "cleared");
    put_new(s, &key_a);
    session_store_free(s);
    tt_tpm_close(tpm);
    (void)snprintf(command, sizeof command, "tpm2_clear -T %s -c l >/dev/null 2>&1", mine.tcti);
    assert_int_equal(system(command), 0);
    tpm = tpm_open(mine.tcti);
    for (enum session_mode mode = SESSIONS_SEALED; mode <= SESSIONS_HELD; mode++) {
        const struct session_store_options opt = {.mode = mode, .tpm = tpm, .dir = dir_of("cleared")};
        err = (struct tt_error){0};
        assert_int_equal(session_store_open(&none, &opt, &err), TT_ERR_TPM);
    }
    tt_tpm_close(tpm);
    temp_tpm_stop(&mine);
}

/* ---- hostile files ---- */

static char *first_file(const char *name)
{
    static char path[420];
    DIR *dir = opendir(dir_of(name));
    path[0] = '\0';
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strstr(e->d_name, ".json") != NULL)
            (void)snprintf(path, sizeof path, "%s/%s", dir_of(name), e->d_name);
    if (dir != NULL)
        (void)closedir(dir);
    return path;
}

static void test_damaged_files(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    for (enum session_mode mode = SESSIONS_SEALED; mode <= SESSIONS_HELD; mode++) {
        struct session_store *s = store_open(mode, tpm, "damaged");
        put_new(s, &key_a);
        char path[420];
        (void)snprintf(path, sizeof path, "%s", first_file("damaged"));
        char *text = NULL;
        size_t len = 0, survived = 0;
        assert_int_equal(file_read_text(&text, &len, path, NULL), TT_OK);
        for (size_t at = 0; at < len; at += 17) {
            char *copy = malloc(len + 1);
            memcpy(copy, text, len);
            copy[at] = copy[at] == 'x' ? 'y' : 'x';
            assert_int_equal(file_write(NULL, path, (struct tt_bytes){(uint8_t *)copy, len},
                                        (struct file_want){0600, FILE_OURS}, NULL),
                             TT_OK);
            survived += has_one(s, &key_a);
            free(copy);
            (void)unlink(path);
        }
        for (size_t cut = 0; cut < len; cut += 101) {
            assert_int_equal(file_write(NULL, path, (struct tt_bytes){(uint8_t *)text, cut},
                                        (struct file_want){0600, FILE_OURS}, NULL),
                             TT_OK);
            assert_false(has_one(s, &key_a));
            (void)unlink(path);
        }
        assert_int_equal(survived, 0); /* nothing but layout may change, in either kind */
        tt_free(text);
        session_store_free(s);
    }
    tt_tpm_close(tpm);
}

/* Whoever can write the files, and knows the PSK of a session (its server does), makes it count for another
 * trust: the configuration in the file, and the file's name with it. */
static void test_edited_for_other_rules(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_key other = key_a;
    other.config[0] ^= 1;
    for (enum session_mode mode = SESSIONS_SEALED; mode <= SESSIONS_HELD; mode++)
        for (int edited = 0; edited < 2; edited++) {
            struct session_store *s = store_open(mode, tpm, "edited");
            char as_other[420], path[420];
            put_new(s, &other); /* to see its name */
            (void)snprintf(as_other, sizeof as_other, "%s", first_file("edited"));
            assert_int_equal(unlink(as_other), 0);
            put_new(s, &key_a);
            (void)snprintf(path, sizeof path, "%s", first_file("edited"));
            if (edited) {
                char *text = NULL, from[8], to[8];
                size_t len = 0;
                assert_int_equal(file_read_text(&text, &len, path, NULL), TT_OK);
                (void)snprintf(from, sizeof from, "\"%02x", key_a.config[0]);
                (void)snprintf(to, sizeof to, "\"%02x", other.config[0]);
                char *at = strstr(text, "\"config\": \"");
                assert_non_null(at);
                at += strlen("\"config\": ");
                assert_memory_equal(at, from, 3);
                memcpy(at, to, 3);
                assert_int_equal(unlink(path), 0);
                assert_int_equal(file_write(NULL, as_other, (struct tt_bytes){(uint8_t *)text, len},
                                            (struct file_want){0600, FILE_OURS}, NULL),
                                 TT_OK);
                tt_free(text);
            }
            assert_false(has_one(s, &other));
            assert_int_equal(has_one(s, &key_a), !edited);
            assert_string_equal(first_file("edited"), ""); /* it is gone */
            session_store_free(s);
        }
    tt_tpm_close(tpm);
}

static void test_not_ours_alone(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_HELD, tpm, "open");
    struct session_taken t = {0};
    struct tt_error err = {0};
    put_new(s, &key_a);
    assert_int_equal(chmod(dir_of("open"), 0777), 0);
    assert_int_equal(session_store_take(s, &t, &key_a, false, NOW_MS, &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, "others than its owner may write"));
    session_store_free(s);
    tt_tpm_close(tpm);
}

/* ---- the power, the disk, the neighbours ---- */

/* In a child, so that it can die in the middle. */
static int child_code(void (*run)(struct session_store *s, const void *arg), struct session_store *s,
                      const void *arg, int cut)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        calls_until_cut = cut;
        run(s, arg);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put_quietly(struct session_store *s, const void *arg)
{
    if (session_store_put(s, &key_a, arg, NOW_MS, NULL) != TT_OK)
        _exit(1);
}

static void take_quietly(struct session_store *s, const void *arg)
{
    struct session_taken t = {0};
    (void)arg;
    if (session_store_take(s, &t, &key_a, false, NOW_MS + 1000, NULL) != TT_OK || t.session == NULL)
        _exit(1);
    session_taken_free(&t);
}

static void test_power_cut_at_any_write(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_SEALED, tpm, "cut");
    struct tt_session *old = session_new(), *fresh = session_new();
    int cuts = 0;
    for (int cut = 0;; cut++) {
        while (has_one(s, &key_a))
            continue;
        put(s, &key_a, old);
        int code = child_code(put_quietly, s, fresh, cut);
        assert_between(code, 0, 77);
        /* The old one is there; the new one is there whole, or not at all. */
        struct session_taken x = take(s, &key_a), y = take(s, &key_a), z = take(s, &key_a);
        assert_non_null(x.session);
        assert_true(same_session(x.session, old) || same_session(x.session, fresh));
        assert_true(same_session(x.session, old) || (y.session != NULL && same_session(y.session, old)));
        assert_null(z.session);
        session_taken_free(&x);
        session_taken_free(&y);
        if (code == 0)
            break;
        assert_int_equal(code, 77);
        cuts++;
    }
    assert_true(cuts >= 3); /* write, fsync, rename, ... */
    /* Taking: either it is still there, or it is gone; never there twice. */
    for (int cut = 0, code = 77; code != 0; cut++) {
        while (has_one(s, &key_a))
            continue;
        put(s, &key_a, old);
        code = child_code(take_quietly, s, NULL, cut);
        (void)has_one(s, &key_a);
        assert_false(has_one(s, &key_a));
    }
    tt_session_free(old);
    tt_session_free(fresh);
    session_store_free(s);
    tt_tpm_close(tpm);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_SEALED, tpm, "full");
    struct tt_session *session = session_new();
    struct tt_error err = {0};
    put(s, &key_a, session);
    disk_is_full = true;
    assert_int_equal(session_store_put(s, &key_a, session, NOW_MS, &err), TT_ERR_IO);
    assert_non_null(strstr(err.text, "No space left on device"));
    disk_is_full = false;
    assert_int_equal(files_in("full", ".json"), 1); /* and nothing is left behind */
    assert_true(has_one(s, &key_a));
    tt_session_free(session);
    session_store_free(s);
    tt_tpm_close(tpm);
}

/* Four processes put and take at once: what was put is taken once, by somebody. */
static void test_two_processes_at_once(void **state)
{
    (void)state;
    enum {
        PROCESSES = 4,
        ROUNDS = 25
    };
    struct tt_tpm *tpm = tpm_open(chip.tcti);
    struct session_store *s = store_open(SESSIONS_SEALED, tpm, "shared");
    struct tt_session *sessions[PROCESSES];
    char log[160];
    (void)snprintf(log, sizeof log, "%s/taken.log", top);
    for (int i = 0; i < PROCESSES; i++)
        sessions[i] = session_new();
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), taken = 0;
        struct session_key mine = key_a;
        for (int round = 0; round < ROUNDS; round++) {
            struct session_taken t = {0};
            if (session_store_put(s, &mine, sessions[i], NOW_MS, NULL) != TT_OK ||
                session_store_take(s, &t, &mine, false, NOW_MS + 1000, NULL) != TT_OK)
                _exit(1);
            taken += t.session != NULL;
            session_taken_free(&t);
        }
        char line[16];
        int n = snprintf(line, sizeof line, "%d\n", taken);
        _exit(write(fd, line, (size_t)n) == n ? 0 : 1);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    FILE *f = fopen(log, "r");
    int taken = 0;
    assert_non_null(f);
    for (char line[16]; fgets(line, sizeof line, f) != NULL;)
        taken += (int)strtol(line, NULL, 10);
    (void)fclose(f);
    while (has_one(s, &key_a))
        taken++;
    /* Those that made room were lost on purpose; none was given out twice. */
    assert_between(taken, ROUNDS, PROCESSES * ROUNDS);
    for (int i = 0; i < PROCESSES; i++)
        tt_session_free(sessions[i]);
    session_store_free(s);
    tt_tpm_close(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_list_and_clear),
        cmocka_unit_test(test_another_tpm),
        cmocka_unit_test(test_pcrs),
        cmocka_unit_test(test_cleared_tpm),
        cmocka_unit_test(test_edited_for_other_rules),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_not_ours_alone),
        cmocka_unit_test(test_power_cut_at_any_write),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_two_processes_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
