/* external_signer.c: the key in another process. The client below has a certificate and no key; when the
 * engine asks for a signature it sends the request to a signer process over a socket, and hands the answer
 * in. The same shape fits a hardware module, a smart card, or an agent.
 *
 *     external_signer KEY CERT CA HOST:PORT             sends one line, prints one
 *
 *     cc external_signer.c $(pkg-config --cflags --libs tpmtls) -o external_signer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tpmtls/pki.h>
#include <tpmtls/stream.h>

static struct tt_error err;

static void die(const char *what)
{
    fprintf(stderr, "external_signer: %s\n", what);
    exit(1);
}

static void must(tt_rc rc)
{
    if (rc != TT_OK)
        die(err.text);
}

/* A small file, whole; the view is valid until the next call. */
static struct tt_bytes file(const char *path)
{
    static uint8_t data[1 << 16];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    return (struct tt_bytes){data, n};
}

/* ---- the signer: the only process that ever has the key ---- */

/* What travels: the scheme, then what is to be signed; back comes the signature. One packet each. */
struct request {
    uint16_t scheme;
    uint8_t content[512];
};

static void sign_forever(int fd, const char *key_path)
{
    struct tt_key *key;
    struct request request;
    uint8_t signature[1024];
    size_t n;
    must(tt_key_open_software(&key, file(key_path), NULL, &err));
    uint16_t schemes[16];
    size_t schemes_len = tt_key_schemes(key, schemes, 16);
    if (send(fd, schemes, schemes_len * sizeof schemes[0], 0) < 0)
        die("the client went away");
    for (ssize_t got; (got = recv(fd, &request, sizeof request, 0)) > (ssize_t)sizeof request.scheme;) {
        const struct tt_bytes content = {request.content, (size_t)got - sizeof request.scheme};
        if (tt_key_sign(key, request.scheme, content, signature, sizeof signature, &n, &err) != TT_OK)
            n = 0;
        (void)send(fd, signature, n, 0);
    }
    tt_key_free(key);
    exit(0);
}

static int start_signer(const char *key_path)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
        die("no socket");
    if (fork() == 0) {
        close(fd[0]);
        sign_forever(fd[1], key_path);
    }
    close(fd[1]);
    return fd[0];
}

static void ask_signer(struct tt_conn *c, int signer)
{
    struct tt_sign_request wanted;
    struct request request;
    uint8_t signature[1024];
    must(tt_conn_sign_request(c, &wanted));
    request.scheme = wanted.scheme;
    if (wanted.to_sign.len > sizeof request.content)
        die("too much to sign");
    memcpy(request.content, wanted.to_sign.data, wanted.to_sign.len);
    if (send(signer, &request, sizeof request.scheme + wanted.to_sign.len, 0) < 0)
        die("the signer went away");
    ssize_t n = recv(signer, signature, sizeof signature, 0);
    tt_rc rc = n > 0 ? tt_conn_sign_complete(c, wanted.id, (struct tt_bytes){signature, (size_t)n})
                     : tt_conn_sign_fail(c, wanted.id, NULL);
    (void)rc; /* sticky: step() looks */
}

/* ---- the client ---- */

static struct tt_config *make_config(int signer, const char *cert, const char *ca)
{
    struct tt_config *cfg;
    struct tt_trust *trust;
    struct tt_cert_list *chain;
    uint16_t schemes[16];
    ssize_t n = recv(signer, schemes, sizeof schemes, 0);
    if (n <= 0)
        die("the signer has no key");
    must(tt_cert_list_from_pem(&chain, file(cert), &err));
    const struct tt_identity id = {.chain = chain->certs,
                                   .chain_len = chain->len,
                                   .schemes = schemes,
                                   .schemes_len = (size_t)n / sizeof schemes[0]};
    must(tt_config_new(&cfg, TT_CLIENT, &err));
    must(tt_trust_new(&trust, &err));
    must(tt_trust_add_file(trust, ca, &err));
    must(tt_config_set_trust(cfg, trust));
    must(tt_config_add_identity(cfg, &id, &err));
    must(tt_config_freeze(cfg, &err));
    tt_trust_free(trust);
    tt_cert_list_free(chain);
    return cfg;
}

static void send_all(struct tt_conn *c, int fd)
{
    for (struct tt_bytes out; (out = tt_conn_output(c)).len > 0;) {
        ssize_t n = send(fd, out.data, out.len, MSG_NOSIGNAL);
        if (n <= 0)
            die("the server went away");
        tt_conn_output_done(c, (size_t)n);
    }
}

/* Send, then receive and answer: once. */
static void step(struct tt_conn *c, int fd, int signer)
{
    uint8_t data[16384];
    send_all(c, fd);
    if (tt_conn_error(c)->error.rc != TT_OK)
        die(tt_conn_error(c)->error.text);
    ssize_t n = recv(fd, data, sizeof data, 0);
    for (size_t at = 0, taken = 0; n > 0 && at < (size_t)n; at += taken) {
        if (tt_conn_feed(c, data + at, (size_t)n - at, &taken) != TT_OK)
            break;
        if ((tt_conn_wants(c) & TT_WANT_SIGN) != 0)
            ask_signer(c, signer);
    }
    if (n <= 0 && tt_conn_feed_eof(c) != TT_OK)
        die("the server hung up");
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: external_signer KEY CERT CA HOST:PORT");
    int fd, signer = start_signer(argv[1]);
    struct tt_config *cfg = make_config(signer, argv[2], argv[3]);
    struct tt_conn *c;
    char name[256], line[1024] = "";
    size_t n = 0;
    snprintf(name, sizeof name, "%.*s", (int)(strrchr(argv[4], ':') - argv[4]), argv[4]);
    const struct tt_conn_options options = {.server_name = name, .now = (int64_t)time(NULL)};
    must(tt_dial(&fd, argv[4], 0, &err));
    must(tt_conn_new(&c, cfg, &options, &err));
    while (!tt_conn_is_connected(c))
        step(c, fd, signer);
    if (fgets(line, sizeof line, stdin) != NULL &&
        tt_conn_write(c, (uint8_t *)line, strlen(line), &n) != TT_OK)
        die("cannot send");
    while (tt_conn_plaintext(c).len == 0 && (tt_conn_wants(c) & TT_WANT_CLOSED) == 0)
        step(c, fd, signer);
    fwrite(tt_conn_plaintext(c).data, 1, tt_conn_plaintext(c).len, stdout);
    if (tt_conn_close(c) == TT_OK)
        send_all(c, fd);
    tt_conn_free(c);
    tt_config_free(cfg);
    close(fd);
    close(signer);
    return 0;
}
