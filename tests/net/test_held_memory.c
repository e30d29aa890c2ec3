/* tests/net/test_held_memory.c: what somebody finds who takes the disk and an image of the client's memory
 * after a session was given to the TPM to hold: nothing that resumes. And that the same files resume on this
 * TPM.
 *
 * The server is in this process, so that it knows every secret the session comes from; the client is a child,
 * whose memory is read as a core dump would have it (/proc/PID/mem, everything that is writable). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/file_write.h"
#include "net/files.h"
#include "net/session_store.h"
#include "support/pump.h"
#include "support/temp_tpm.h"
#include "tls/conn.h"
#include "tls/hs.h"
#include "tls/psk.h"

#define NOW_MS  (TEST_NOW * 1000)
#define TICKETS 2
#define LIMIT_S 30

static struct temp_tpm chip;
static char dir[64];
static const struct session_key key = {.peer = "localhost:443", .server_name = "localhost", .config = {7}};

/* ---- the secrets ---- */

struct secret {
    const char *name;
    uint8_t bytes[32];
};
#define SECRETS_MAX 16
struct secrets {
    struct secret all[SECRETS_MAX];
    size_t n;
};

static void secret_add(struct secrets *s, const char *name, const uint8_t *bytes)
{
    assert_true(s->n < SECRETS_MAX);
    s->all[s->n].name = name;
    memcpy(s->all[s->n++].bytes, bytes, 32);
}

/* From the resumption secret down: everything by which the n-th ticket of a connection can be used. */
static void secrets_of_ticket(struct secrets *s, const struct tt_conn *server, uint8_t nonce)
{
    static const uint8_t empty_hash[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                           0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                           0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    const struct crypto_lib *lib = server->cfg->lib;
    struct psk psk;
    struct key_schedule ks;
    struct ks_secret k1, k2, binder_key;
    assert_int_equal(
        psk_of_ticket(&psk, lib, HASH_SHA256, &server->resumption_secret, (struct tt_bytes){&nonce, 1}),
        TT_OK);
    assert_int_equal(psk_split(lib, &psk, &k1, &k2), TT_OK);
    ks_init(&ks, lib, HASH_SHA256);
    assert_int_equal(ks_early(&ks, (struct tt_bytes){psk.key, psk.len}), TT_OK);
    assert_int_equal(ks_derive(&ks, KS_EARLY, "res binder", empty_hash, &binder_key), TT_OK);
    secret_add(s, "the PSK", psk.key);
    secret_add(s, "the Early Secret", ks.secret);
    secret_add(s, "the binder key", binder_key.data);
    secret_add(s, "K1, its finished key", k1.data);
    secret_add(s, "K2, the derived secret", k2.data);
}

/* ---- looking ---- */

static const char *find_in(const uint8_t *data, size_t len, const struct secrets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (memmem(data, len, s->all[i].bytes, 32) != NULL)
            return s->all[i].name;
    return NULL;
}

/* The name of a secret that is in the process's memory, or NULL. *ret_bytes: how much was looked at. */
static const char *find_in_memory(pid_t pid, const struct secrets *s, size_t *ret_bytes)
{
    char path[64], line[512];
    const char *found = NULL;
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int mem = open(path, O_RDONLY);
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    assert_true(mem >= 0);
    assert_non_null(maps);
    *ret_bytes = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        char *at = NULL; /* "FROM-TO rw-p ..." */
        unsigned long from = strtoul(line, &at, 16), to = strtoul(at + 1, &at, 16);
        if (strncmp(at, " rw", 3) != 0 || to <= from ||
            to - from > (size_t)1 << 30) /* the sanitizer's shadow, which holds no data */
            continue;
        uint8_t *copy = malloc(to - from);
        ssize_t n = pread(mem, copy, to - from, (off_t)from);
        if (n > 0) {
            *ret_bytes += (size_t)n;
            const char *here = find_in(copy, (size_t)n, s);
            found = here != NULL ? here : found;
        }
        free(copy);
    }
    (void)fclose(maps);
    (void)close(mem);
    return found;
}

/* As bytes and, since the files are text, as hexadecimal. */
static const char *find_on_disk(const struct secrets *s, size_t *ret_files)
{
    const char *found = NULL;
    DIR *d = opendir(dir);
    assert_non_null(d);
    *ret_files = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[400], *text = NULL;
        size_t len = 0;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type != DT_REG || file_read_text(&text, &len, path, NULL) != TT_OK)
            continue;
        const char *here = find_in((uint8_t *)text, len, s);
        found = here != NULL ? here : found;
        for (size_t i = 0; i < s->n; i++) {
            char hex[65];
            for (size_t j = 0; j < 32; j++)
                (void)snprintf(hex + 2 * j, 3, "%02x", s->all[i].bytes[j]);
            if (memmem(text, len, hex, 64) != NULL)
                found = s->all[i].name;
        }
        ++*ret_files;
        tt_free(text);
    }
    (void)closedir(d);
    return found;
}

/* ---- the client, in a child ---- */

static void child_die(const char *what)
{
    fprintf(stderr, "# the client: %s\n", what);
    _exit(1);
}

static void child_step(int fd, struct tt_conn *c)
{
    struct tt_bytes out;
    while ((out = tt_conn_output(c)).len > 0) {
        ssize_t n = write(fd, out.data, out.len);
        if (n <= 0)
            child_die("write");
        tt_conn_output_done(c, (size_t)n);
    }
    uint8_t in[4096];
    size_t taken = 0;
    ssize_t n = read(fd, in, sizeof in);
    if (n <= 0 || tt_conn_feed(c, in, (size_t)n, &taken) != TT_OK || taken != (size_t)n)
        child_die("read");
}

/* Tell the parent a letter, and wait for its answer. */
static void rendezvous(int fd, char letter)
{
    char answer;
    if (write(fd, &letter, 1) != 1 || read(fd, &answer, 1) != 1)
        child_die("rendezvous");
}

static void child_main(int tls, int control, struct tt_config *cfg)
{
    struct tt_conn *c = NULL;
    struct tt_tpm *tpm = NULL;
    struct session_store *store = NULL;
    struct tt_session *sessions[TICKETS] = {NULL};
    struct tt_error err = {0};
    const struct tt_conn_options co = {.server_name = "localhost", .now = TEST_NOW};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(LIMIT_S);
    if (tt_tpm_open(&tpm, chip.tcti, &err) != TT_OK || tt_conn_new(&c, cfg, &co, &err) != TT_OK)
        child_die(err.text);
    const struct session_store_options opt = {.mode = SESSIONS_HELD, .tpm = tpm, .dir = dir};
    if (session_store_open(&store, &opt, &err) != TT_OK)
        child_die(err.text);
    for (size_t n = 0; n < TICKETS;) {
        child_step(tls, c);
        while (n < TICKETS && (sessions[n] = tt_conn_take_session(c)) != NULL)
            n++;
    }
    rendezvous(control, 'm'); /* in memory, as any other client keeps them */
    if (tt_conn_refuse_tickets(c) != TT_OK)
        child_die("refuse");
    for (size_t i = 0; i < TICKETS; i++) {
        if (session_store_put(store, &key, sessions[i], NOW_MS, &err) != TT_OK)
            child_die(err.text);
        tt_session_free(sessions[i]);
    }
    rendezvous(control, 'h'); /* held; the connection is still open, and so is the TPM */
    _exit(0);
}

/* ---- the server, here ---- */

static struct pump pump;
static struct tt_tickets *tickets;

static void serve_until_connected(int tls, struct tt_conn *server, struct secrets *s)
{
    for (bool knows_main = false; !tt_conn_is_connected(server) || tt_conn_output(server).len > 0;) {
        uint8_t in[8192];
        size_t taken = 0;
        struct tt_sign_request req;
        if ((tt_conn_wants(server) & TT_WANT_SIGN) != 0) {
            uint8_t sig[512];
            assert_int_equal(tt_conn_sign_request(server, &req), TT_OK);
            size_t len = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
            assert_int_equal(tt_conn_sign_complete(server, req.id, (struct tt_bytes){sig, len}), TT_OK);
        }
        if (server->state == SERVER_WAIT_FINISHED && !knows_main) {
            assert_int_equal(server->hs->ks.phase, KS_MAIN);
            secret_add(s, "the Main Secret", server->hs->ks.secret);
            knows_main = true;
        }
        struct tt_bytes out = tt_conn_output(server);
        if (out.len > 0) {
            ssize_t n = write(tls, out.data, out.len);
            assert_true(n > 0);
            tt_conn_output_done(server, (size_t)n);
            continue;
        }
        struct pollfd p = {.fd = tls, .events = POLLIN};
        assert_int_equal(poll(&p, 1, LIMIT_S * 1000), 1);
        ssize_t n = read(tls, in, sizeof in);
        assert_true(n > 0);
        assert_int_equal(tt_conn_feed(server, in, (size_t)n, &taken), TT_OK);
    }
}

static void wait_for(int control, char letter)
{
    char got = 0;
    struct pollfd p = {.fd = control, .events = POLLIN};
    assert_int_equal(poll(&p, 1, LIMIT_S * 1000), 1);
    assert_int_equal(read(control, &got, 1), 1);
    assert_int_equal(got, letter);
}

static void resume_with(struct session_store *store, struct tt_tpm *tpm)
{
    struct session_taken t = {0};
    struct tt_error err = {0};
    struct tt_psk_request req;
    (void)tpm;
    assert_int_equal(session_store_take(store, &t, &key, false, NOW_MS + 1000, &err), TT_OK);
    assert_non_null(t.session);
    tt_conn_free(pump.client);
    tt_conn_free(pump.server);
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now = TEST_NOW + 1,
                                       .sessions = &t.session,
                                       .sessions_len = 1},
                                 so = {.now = TEST_NOW + 1};
    assert_int_equal(tt_conn_new(&pump.client, pump.client_cfg, &co, &err), TT_OK);
    assert_int_equal(tt_conn_new(&pump.server, pump.server_cfg, &so, &err), TT_OK);
    pump.sign = SIGN_NEVER;
    while ((tt_conn_wants(pump.client) & TT_WANT_PSK) != 0) {
        uint8_t out[32];
        assert_int_equal(tt_conn_psk_request(pump.client, &req), TT_OK);
        if (held_compute(req.key, req.operation, out, req.input, &err) != TT_OK)
            fail_msg("%s", err.text);
        assert_int_equal(tt_conn_psk_complete(pump.client, req.id, (struct tt_bytes){out, 32}), TT_OK);
        pump_run(&pump);
    }
    struct tt_conn_info info;
    tt_conn_info(pump.server, &info);
    assert_true(tt_conn_is_connected(pump.server));
    assert_true(info.resumed);
    pump_echo(&pump, pump.client, pump.server, 1000);
    session_taken_free(&t);
}

static void test_nothing_resumes_but_the_tpm(void **state)
{
    (void)state;
    struct secrets s = {.n = 0};
    int tls[2], control[2];
    size_t looked_at = 0, files = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, tls), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, control), 0);
    pump_configs(&pump);
    pid_t pid = fork();
    if (pid == 0)
        child_main(tls[1], control[1], pump.client_cfg);
    assert_true(pid > 0);
    struct tt_conn *server = NULL;
    assert_int_equal(tt_conn_new(&server, pump.server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
                     TT_OK);
    serve_until_connected(tls[0], server, &s);
    secret_add(&s, "the resumption secret", server->resumption_secret.data);
    for (uint8_t i = 0; i < TICKETS; i++)
        secrets_of_ticket(&s, server, i);
    assert_int_equal(s.n, 2 + 5 * TICKETS);

    wait_for(control[0], 'm');
    assert_non_null(find_in_memory(pid, &s, &looked_at)); /* the search finds what is there */
    assert_int_equal(write(control[0], "x", 1), 1);
    wait_for(control[0], 'h');
    const char *found = find_in_memory(pid, &s, &looked_at);
    if (found != NULL)
        fail_msg("%s is in the memory of the client", found);
    assert_true(looked_at > 100000);
    found = find_on_disk(&s, &files);
    if (found != NULL)
        fail_msg("%s is on the disk", found);
    assert_true(files >= TICKETS);
    print_message("# %zu bytes of memory and %zu files were searched for %zu secrets\n", looked_at, files,
                  s.n);
    assert_int_equal(write(control[0], "x", 1), 1);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    /* The same files, another process, this TPM. */
    struct tt_tpm *tpm = NULL;
    struct session_store *store = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_tpm_open(&tpm, chip.tcti, &err), TT_OK);
    const struct session_store_options opt = {.mode = SESSIONS_HELD, .tpm = tpm, .dir = dir};
    assert_int_equal(session_store_open(&store, &opt, &err), TT_OK);
    for (int i = 0; i < TICKETS; i++)
        resume_with(store, tpm);
    session_store_free(store);
    tt_tpm_close(tpm);
    tt_conn_free(server);
    for (int i = 0; i < 2; i++) {
        (void)close(tls[i]);
        (void)close(control[i]);
    }
}

static int set_up(void **state)
{
    static const struct tt_ticket_key ticket_key = {.name = {1}, .key = {2}};
    (void)state;
    if (!temp_tpm_start(&chip) || !temp_dir_make(dir, sizeof dir) ||
        tt_tickets_new(&tickets, NOW_MS - 1000, NULL) != TT_OK ||
        tt_tickets_set_keys(tickets, &ticket_key, 1) != TT_OK)
        return -1;
    pump = (struct pump){.tickets = tickets, .tickets_count = TICKETS, .suite = TT_SUITE_AES_128_GCM_SHA256};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pump_free(&pump);
    tt_tickets_free(tickets);
    temp_dir_remove(dir);
    temp_tpm_stop(&chip);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_resumes_but_the_tpm)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
