/* tests/tpm/test_embedded.c: the embedded TPM: kept between runs, shared by processes, nothing left behind.
 */
#include "tpm_test.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tss2/tss2_esys.h>
#include <unistd.h>

#include "support/temp_tpm.h"
#include "tpm/context.h"
#include "tpm/public.h"

static char dir[512];
static char spec[600];

static int make_dir(void **state)
{
    (void)state;
    if (!temp_dir_make(dir, sizeof dir))
        return -1;
    (void)snprintf(spec, sizeof spec, "embedded:%s/state", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    temp_dir_remove(dir);
    return 0;
}

/* Keeper and swtpm both hold the lock: when it can be had, both are gone. */
static bool gone_within(int ms)
{
    char lock[600];
    (void)snprintf(lock, sizeof lock, "%s/lock", spec + strlen("embedded:"));
    for (int i = 0; i <= ms; i++) {
        int fd = open(lock, O_RDWR | O_CLOEXEC);
        bool free = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (fd >= 0)
            (void)close(fd);
        if (free)
            return true;
        (void)usleep(1000);
    }
    return false;
}

static bool has_open(pid_t pid, const char *file)
{
    char path[64], target[700];
    for (int fd = 0; fd < 64; fd++) {
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strcmp(target, file) == 0)
            return true;
    }
    return false;
}

/* The process with this name that has our lock open. */
static pid_t process_of(const char *name)
{
    char lock[600];
    pid_t found = 0;
    glob_t all;
    (void)snprintf(lock, sizeof lock, "%s/lock", spec + strlen("embedded:"));
    assert_int_equal(glob("/proc/[0-9]*/comm", GLOB_NOSORT, NULL, &all), 0);
    for (size_t i = 0; i < all.gl_pathc && found == 0; i++) {
        char comm[32] = "";
        FILE *f = fopen(all.gl_pathv[i], "r");
        if (f == NULL)
            continue; /* gone meanwhile */
        if (fgets(comm, sizeof comm, f) != NULL)
            comm[strcspn(comm, "\n")] = '\0';
        (void)fclose(f);
        pid_t pid = (pid_t)strtol(all.gl_pathv[i] + strlen("/proc/"), NULL, 10);
        if (strcmp(comm, name) == 0 && has_open(pid, lock))
            found = pid;
    }
    globfree(&all);
    return found;
}

static void keys_outlive_the_process(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(spec);
    assert_true(tt_tpm_is_emulated(tpm));
    assert_int_equal(tt_tpm_command_count(tpm), 0);
    char *pem = create_key(tpm, TT_KEY_P256);
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
    tpm = open_tpm(spec);
    struct tt_key *key = open_key(tpm, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
    tt_free(pem);
    struct stat st;
    assert_int_equal(stat(spec + strlen("embedded:"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void no_child_and_no_descriptor_is_left(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(spec);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* we have no child */
    pid_t keeper = process_of("tpmtls-keeper"), swtpm = process_of("swtpm");
    assert_true(keeper > 0 && swtpm > 0);
    char path[64], target[256];
    for (int fd = 0; fd <= 2; fd++) { /* it does not hold our pipes open */
        (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", keeper, fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = '\0';
        assert_string_equal(target, "/dev/null");
    }
    assert_int_equal(getsid(keeper), getsid(swtpm));
    assert_int_not_equal(getsid(keeper), getsid(0));
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
}

/* In a child: create a key, sign `times` with it, and leave without closing anything when abandon is set. */
static pid_t worker(enum tt_key_type type, int times)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    char *pem = NULL;
    uint8_t sig[1024];
    size_t len;
    struct tt_error err = {0};
    uint16_t scheme;
    tt_rc rc = tt_tpm_open(&tpm, spec, &err);
    rc = rc == TT_OK ? tt_key_create(&pem, tpm, type, &err) : rc;
    rc = rc == TT_OK ? tt_key_open_pem(&key, tpm, text_bytes(pem), &err) : rc;
    for (int i = 0; i < times && rc == TT_OK; i++) {
        (void)tt_key_schemes(key, &scheme, 1);
        rc = tt_key_sign(key, scheme, text_bytes("x"), sig, sizeof sig, &len, &err);
    }
    if (rc != TT_OK)
        (void)fprintf(stderr, "# worker: %s (%s)\n", err.text, err.hint);
    _exit(rc == TT_OK ? 0 : 1);
}

static void many_processes_share_it(void **state)
{
    (void)state;
    pid_t pids[8];
    for (size_t i = 0; i < TT_COUNT(pids); i++)
        pids[i] = worker(i % 4 == 3 ? TT_KEY_RSA2048 : TT_KEY_P256, 40);
    for (size_t i = 0; i < TT_COUNT(pids); i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(gone_within(2000));
}

/* Start and end over and over, from several processes: the windows where a keeper starts or ends. */
static void keepers_come_and_go(void **state)
{
    (void)state;
    pid_t pids[3];
    for (size_t i = 0; i < TT_COUNT(pids); i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        for (int k = 0; k < 25; k++) {
            struct tt_tpm *tpm = NULL;
            struct tt_error err = {0};
            if (tt_tpm_open(&tpm, spec, &err) != TT_OK || strstr(tt_tpm_describe(tpm), "IBM") == NULL) {
                (void)fprintf(stderr, "# %s\n", err.text);
                _exit(1);
            }
            tt_tpm_close(tpm);
        }
        _exit(0);
    }
    for (size_t i = 0; i < TT_COUNT(pids); i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(gone_within(2000));
}

/* Connections in one process: each has its own three slots. */
static void connections_have_their_own_objects(void **state)
{
    (void)state;
    struct tt_tpm *tpm[5];
    struct tt_key *key[5];
    struct tt_tpm *maker = open_tpm(spec);
    char *pem = create_key(maker, TT_KEY_P256);
    for (size_t i = 0; i < TT_COUNT(tpm); i++) {
        tpm[i] = open_tpm(spec);
        key[i] = open_key(tpm[i], pem);
    }
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < TT_COUNT(tpm); i++)
            sign_and_verify(key[i], TT_SCHEME_ECDSA_SECP256R1_SHA256);
    for (size_t i = 0; i < TT_COUNT(tpm); i++) {
        tt_key_free(key[i]);
        tt_tpm_close(tpm[i]);
    }
    tt_free(pem);
    tt_tpm_close(maker);
    assert_true(gone_within(2000));
}

static ESYS_TR start_session(struct tt_tpm *tpm)
{
    static const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    ESYS_TR session = ESYS_TR_NONE;
    assert_int_equal(Esys_StartAuthSession(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256,
                                           &session),
                     0);
    (void)Esys_TRSess_SetAttributes(tpm->esys, session, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT,
                                    0xff);
    return session;
}

/* Sessions are swapped, too; a session used up by its command is forgotten; a dead client's are flushed (the
 * chip has 64 in all, 3 at a time). */
static void sessions_are_kept_apart(void **state)
{
    (void)state;
    struct tt_tpm *a = open_tpm(spec), *b = open_tpm(spec);
    ESYS_TR in_a[3], in_b[3];
    for (int i = 0; i < 3; i++) {
        in_a[i] = start_session(a);
        in_b[i] = start_session(b);
    }
    for (int i = 0; i < 3; i++) {
        TPM2B_DIGEST *random = NULL;
        assert_int_equal(Esys_GetRandom(a->esys, in_a[i], ESYS_TR_NONE, ESYS_TR_NONE, 8, &random), 0);
        Esys_Free(random);
        assert_int_equal(Esys_GetRandom(b->esys, in_b[i], ESYS_TR_NONE, ESYS_TR_NONE, 8, &random), 0);
        Esys_Free(random);
    }
    /* b's last session ends with its command; then another takes its handle. */
    TPM2B_DIGEST *random = NULL;
    (void)Esys_TRSess_SetAttributes(b->esys, in_b[2], TPMA_SESSION_ENCRYPT, 0xff);
    assert_int_equal(Esys_GetRandom(b->esys, in_b[2], ESYS_TR_NONE, ESYS_TR_NONE, 8, &random), 0);
    Esys_Free(random);
    in_b[2] = start_session(b);
    assert_int_equal(Esys_GetRandom(a->esys, in_a[2], ESYS_TR_NONE, ESYS_TR_NONE, 8, &random), 0);
    Esys_Free(random);
    tt_tpm_close(a);
    for (int i = 0; i < 30; i++) { /* 90 sessions of clients that just go */
        a = open_tpm(spec);
        for (int k = 0; k < 3; k++)
            (void)start_session(a);
        tt_tpm_close(a);
    }
    assert_int_equal(Esys_GetRandom(b->esys, in_b[2], ESYS_TR_NONE, ESYS_TR_NONE, 8, &random), 0);
    Esys_Free(random);
    tt_tpm_close(b);
    assert_true(gone_within(2000));
}

/* The process that started the keeper is killed with a key loaded; the second goes on, and more come. */
static void first_process_killed(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t first = fork();
    if (first == 0) {
        struct tt_tpm *tpm = open_tpm(spec);
        char *pem = create_key(tpm, TT_KEY_P256);
        struct tt_key *key = open_key(tpm, pem);
        (void)!write(ready[1], key == NULL ? "n" : "y", 1);
        for (;;)
            (void)pause();
    }
    char c = 0;
    assert_int_equal(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    struct tt_tpm *tpm = open_tpm(spec);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct tt_key *key = open_key(tpm, pem);
    assert_int_equal(kill(first, SIGKILL), 0);
    assert_int_equal(waitpid(first, NULL, 0), first);
    for (int i = 0; i < 20; i++)
        sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    assert_false(gone_within(0));
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
}

/* The keeper itself is killed: a clear error, and the next open starts another one on the same state. */
static void keeper_killed(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(spec);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct tt_key *key = open_key(tpm, pem);
    pid_t keeper = process_of("tpmtls-keeper");
    assert_true(keeper > 0);
    assert_int_equal(kill(keeper, SIGKILL), 0);
    for (int i = 0; i < 20;
         i++) /* the stale socket is still there; a new keeper is started, the key loaded again */
        sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    pid_t another = process_of("tpmtls-keeper");
    assert_true(another > 0 && another != keeper);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
}

/* It answers nothing and obeys no SIGTERM: it is given up all the same, and nobody waits for ever. */
static void swtpm_hangs(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(spec);
    pid_t swtpm = process_of("swtpm");
    assert_true(swtpm > 0);
    assert_int_equal(kill(swtpm, SIGSTOP), 0);
    tt_tpm_close(tpm);
    assert_true(gone_within(20000));
    struct temp_tpm other;
    assert_true(temp_tpm_start(&other));
    assert_int_equal(kill(other.pid, SIGSTOP), 0);
    temp_tpm_stop(&other);
    tt_tpm_close(open_tpm(spec)); /* another one starts on the same state */
    assert_true(gone_within(20000));
}

static void long_directory(void **state)
{
    (void)state;
    char part[] = "/a-directory-with-a-name-that-is-long,and=has odd: characters";
    char old[sizeof spec];
    memcpy(old, spec, sizeof old);
    size_t n = (size_t)snprintf(spec, sizeof spec, "embedded:%s", dir);
    for (int i = 0; i < 4; i++)
        n += (size_t)snprintf(spec + n, sizeof spec - n, "%s", part);
    assert_true(n > 200);
    struct tt_tpm *tpm = open_tpm(spec), *second = open_tpm(spec);
    char *pem = create_key(tpm, TT_KEY_P256);
    struct tt_key *key = open_key(second, pem);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(second);
    tt_tpm_close(tpm);
    assert_true(gone_within(2000));
    memcpy(spec, old, sizeof old);
}

static void assert_refused(const char *which, const char *text, const char *hint)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_tpm_open(&tpm, which, &err), TT_ERR_TPM);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.hint, hint));
    assert_null(tpm);
}

static void what_stands_in_the_way(void **state)
{
    (void)state;
    char path[4096], other[700];
    (void)snprintf(path, sizeof path, "%s", getenv("PATH"));
    assert_int_equal(setenv("PATH", "/nonexistent", 1), 0);
    assert_refused(spec, "the program swtpm is not there", "apt install swtpm");
    assert_int_equal(setenv("PATH", path, 1), 0);
    /* Others may write: they could replace the state. */
    (void)snprintf(other, sizeof other, "embedded:%s/open", dir);
    assert_int_equal(mkdir(other + strlen("embedded:"), 0700), 0);
    assert_int_equal(chmod(other + strlen("embedded:"), 0777), 0);
    assert_refused(other, "others may change", "chmod 700");
    /* A state that swtpm cannot read. */
    (void)snprintf(other, sizeof other, "%s/broken", dir);
    assert_int_equal(mkdir(other, 0700), 0);
    (void)snprintf(other, sizeof other, "%s/broken/tpm2-00.permall", dir);
    FILE *f = fopen(other, "w");
    assert_non_null(f);
    (void)fputs("this is not a TPM's state", f);
    (void)fclose(f);
    (void)snprintf(other, sizeof other, "embedded:%s/broken", dir);
    assert_refused(other, "does not start", "broken/log");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_outlive_the_process),
        cmocka_unit_test(no_child_and_no_descriptor_is_left),
        cmocka_unit_test(many_processes_share_it),
        cmocka_unit_test(keepers_come_and_go),
        cmocka_unit_test(connections_have_their_own_objects),
        cmocka_unit_test(sessions_are_kept_apart),
        cmocka_unit_test(first_process_killed),
        cmocka_unit_test(swtpm_hangs),
        cmocka_unit_test(keeper_killed),
        cmocka_unit_test(long_directory),
        cmocka_unit_test(what_stands_in_the_way),
    };
    return cmocka_run_group_tests_name("embedded", tests, make_dir, remove_dir);
}
