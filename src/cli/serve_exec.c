/* cli/serve_exec.c: `serve --exec CMD`: a shell command for each connection; its stdin and stdout are the
 * connection. Layer: cli. What the peer said reaches the command through its stdin and through
 * quoted-by-nature environment variables only, never through the command line. */
#include "cli/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/relay.h"
#include "tpmtls/pki.h"

TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

extern char **environ;

#define OWN_VARIABLES 9

struct exec {
    struct relay *relay;
    pid_t pid; /* 0 once reaped */
    bool is_output_done;
};

/* ---- environment ---- */

struct environment {
    char *own[OWN_VARIABLES]; /* owned */
    size_t own_len;
    char **list; /* ours, then what we inherited; owned */
};

static void environment_free(struct environment *env)
{
    for (size_t i = 0; i < env->own_len; i++)
        mem_free(env->own[i]);
    mem_free(env->list);
}

/* Whole, however long: a command that tells peers apart by a name must not see two of them as one. What is
 * too long for the kernel keeps the command from starting. */
static tt_rc environment_add(struct environment *env, const char *name, const char *value, size_t len)
{
    if (value == NULL || memchr(value, '\0', len) != NULL)
        return TT_OK;
    static const char prefix[] = "TPMTLS_";
    size_t start = sizeof prefix + strlen(name);
    char *text = mem_alloc(start + len + 1);
    if (text == NULL)
        return TT_ERR_MEMORY;
    (void)snprintf(text, start + 1, "%s%s=", prefix, name);
    memcpy(text + start, value, len);
    env->own[env->own_len++] = text;
    return TT_OK;
}

static tt_rc environment_add_text(struct environment *env, const char *name, const char *value)
{
    return environment_add(env, name, value, strlen(value));
}

static tt_rc environment_add_peer(struct environment *env, const struct tt_conn *conn)
{
    struct tt_conn_info info;
    TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *peer = NULL;
    TT_AUTO(mem_free_auto) char *psk = NULL;
    struct tt_bytes leaf = tt_conn_peer_certificate(conn, 0);
    tt_conn_info(conn, &info);
    TT_TRY(trace_peer_psk(&psk, conn));
    if (psk != NULL)
        TT_TRY(environment_add_text(env, "PEER_PSK", psk));
    if (leaf.len == 0)
        return TT_OK;
    if (info.peer_certificate_type == TT_CERTIFICATE_RAW_PUBLIC_KEY) {
        char pin[65];
        tt_spki_sha256(pin, leaf);
        return environment_add_text(env, "PEER_KEY_SHA256", pin);
    }
    TT_TRY(tt_cert_describe(&peer, leaf, NULL));
    TT_TRY(environment_add_text(env, "PEER_SUBJECT", peer->subject));
    TT_TRY(environment_add_text(env, "PEER_SHA256", peer->sha256));
    return environment_add_text(env, "PEER_KEY_SHA256", peer->spki_sha256);
}

static tt_rc environment_add_connection(struct environment *env, const struct session *x)
{
    const struct tt_conn *conn = stream_conn(x->stream);
    struct tt_conn_info info;
    tt_conn_info(conn, &info);
    TT_TRY(environment_add_peer(env, conn));
    TT_TRY(environment_add_text(env, "PEER_ADDRESS", x->peer));
    TT_TRY(environment_add_text(env, "SUITE", tt_suite_name(info.suite)));
    TT_TRY(environment_add_text(env, "GROUP", tt_group_name(info.group)));
    TT_TRY(environment_add(env, "ALPN", (const char *)info.alpn.data, info.alpn.len));
    return environment_add(env, "SERVER_NAME", (const char *)info.server_name.data, info.server_name.len);
}

static tt_rc environment_fill(struct environment *env, const struct session *x, struct tt_error *err)
{
    if (environment_add_connection(env, x) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "no memory to tell a command of its peer");
    size_t inherited = 0, n = 0;
    while (environ[inherited] != NULL)
        inherited++;
    env->list = mem_alloc((OWN_VARIABLES + inherited + 1) * sizeof *env->list);
    if (env->list == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory to start a command");
    for (size_t i = 0; i < env->own_len; i++)
        env->list[n++] = env->own[i];
    for (size_t i = 0; i < inherited; i++) {
        if (strncmp(environ[i], "TPMTLS_", 7) != 0) /* nothing of another connection, nothing about our TPM */
            env->list[n++] = environ[i];
    }
    return TT_OK;
}

/* ---- starting the child ---- */

struct pipes {
    int to_child[2], from_child[2]; /* each [0] is read, [1] is written */
};

static void close_pair(int fds[2])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
        fds[i] = -1;
    }
}

static tt_rc open_pipes(struct pipes *p, struct tt_error *err)
{
    *p = (struct pipes){{-1, -1}, {-1, -1}};
    bool ok = pipe2(p->to_child, O_CLOEXEC) == 0 && pipe2(p->from_child, O_CLOEXEC) == 0 &&
              fcntl(p->to_child[1], F_SETFL, O_NONBLOCK) == 0 &&
              fcntl(p->from_child[0], F_SETFL, O_NONBLOCK) == 0;
    if (ok)
        return TT_OK;
    int why = errno;
    close_pair(p->to_child);
    close_pair(p->from_child);
    return error_set(err, TT_ERR_IO, "cannot make a pipe: %s", strerror(why));
}

/* The child gets default signals, a process group of its own (so that it can be ended whole), and no
 * descriptor but the pipes and stderr: not ours, and not those that were handed to us (the password of
 * --auth-fd). */
static int spawn_shell(pid_t *ret, const char *command, const struct pipes *p, char **env)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setflags(&attr,
                                   POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    int rc = posix_spawn_file_actions_adddup2(&files, p->to_child[0], STDIN_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, p->from_child[1], STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawn(ret, "/bin/sh", &files, &attr, argv, env);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attr);
    return rc;
}

/* ---- the mode ---- */

static void finish_when_done(struct session *x)
{
    const struct exec *e = x->mode_data;
    if (e->pid == 0 && e->is_output_done && x->stream != NULL)
        stream_finish(x->stream);
}

static void on_output_ended(void *arg)
{
    struct session *x = arg;
    ((struct exec *)x->mode_data)->is_output_done = true;
    finish_when_done(x);
}

static void on_relay_failed(void *arg, const struct tt_error *error)
{
    struct session *x = arg;
    (void)cli_fail(error);
    stream_finish(x->stream);
}

static tt_rc exec_start(struct session *x, struct exec *e, struct tt_error *err)
{
    struct environment env = {0};
    struct pipes p;
    tt_rc rc = environment_fill(&env, x, err);
    if (rc == TT_OK)
        rc = open_pipes(&p, err);
    int why = rc == TT_OK ? spawn_shell(&e->pid, x->serve->options->command, &p, env.list) : 0;
    environment_free(&env);
    TT_TRY(rc);
    (void)close(p.to_child[0]);
    (void)close(p.from_child[1]);
    const struct relay_options opt = {
        .base = x->serve->base,
        .stream = x->stream,
        .in_fd = p.from_child[0],
        .out_fd = p.to_child[1],
        .owns_fds = true,
        .out_may_close = true,
        .in_ended = on_output_ended,
        .failed = on_relay_failed,
        .arg = x,
    };
    if (why != 0)
        rc = error_set(err, TT_ERR_IO, "cannot start /bin/sh: %s", strerror(why));
    else
        rc = relay_new(&e->relay, &opt, err);
    if (rc != TT_OK) {
        (void)close(p.from_child[0]);
        (void)close(p.to_child[1]);
    }
    return rc;
}

static tt_rc exec_connected(struct session *x, struct tt_error *err)
{
    struct exec *e = mem_alloc(sizeof *e);
    x->mode_data = e;
    return e != NULL ? exec_start(x, e, err) : error_set(err, TT_ERR_MEMORY, "no memory to start a command");
}

static struct relay *relay_of(const struct session *x)
{
    const struct exec *e = x->mode_data;
    return e != NULL ? e->relay : NULL;
}

static void exec_plaintext(struct session *x)
{
    if (relay_of(x) != NULL)
        relay_plaintext(relay_of(x));
}

static void exec_writable(struct session *x)
{
    if (relay_of(x) != NULL)
        relay_writable(relay_of(x));
}

static void exec_ended(struct session *x)
{
    if (relay_of(x) != NULL)
        relay_ended(relay_of(x));
}

/* The command sees end-of-file and may still have work to do; the session stays until it ends. */
static bool exec_closed(struct session *x)
{
    struct exec *e = x->mode_data;
    if (e == NULL)
        return true;
    relay_free(TT_TAKE(e->relay));
    if (e->pid != 0)
        return false;
    mem_free(TT_TAKE(x->mode_data));
    return true;
}

static void exec_stop(struct session *x)
{
    const struct exec *e = x->mode_data;
    if (e != NULL && e->pid != 0)
        (void)kill(-e->pid, SIGTERM);
}

/* As a terminal does that was hung up: before its stdin ends, which looks like the end of what was to come.
 */
static void exec_lost(struct session *x)
{
    const struct exec *e = x->mode_data;
    if (e != NULL && e->pid != 0)
        (void)kill(-e->pid, SIGHUP);
}

void serve_exec_reap(struct serve *serve)
{
    for (struct session *x = serve->sessions, *next; x != NULL; x = next) {
        struct exec *e = x->mode_data;
        next = x->next;
        if (serve->mode != &serve_exec || e == NULL || e->pid == 0 ||
            waitpid(e->pid, NULL, WNOHANG) != e->pid)
            continue;
        e->pid = 0;
        finish_when_done(x);
        if (x->stream == NULL && exec_closed(x))
            session_release(x);
    }
}

const struct serve_mode serve_exec = {.connected = exec_connected,
                                      .plaintext = exec_plaintext,
                                      .writable = exec_writable,
                                      .ended = exec_ended,
                                      .closed = exec_closed,
                                      .stop = exec_stop,
                                      .lost = exec_lost};
