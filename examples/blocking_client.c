/* blocking_client.c: a client whose key is in the TPM: sends its standard input, prints what comes back.
 *
 *     blocking_client TPM KEY CERT CA HOST:PORT        such as: device device.key device.pem ca.pem host:4433
 *
 *     cc blocking_client.c $(pkg-config --cflags --libs tpmtls) -o blocking_client
 */
#include <stdio.h>
#include <stdlib.h>

#include <tpmtls/stream.h>

static struct tt_error err;

static void must(tt_rc rc)
{
    if (rc == TT_OK)
        return;
    fprintf(stderr, "blocking_client: %s\n", err.text);
    if (err.hint[0] != '\0')
        fprintf(stderr, "hint: %s\n", err.hint);
    exit(1);
}

static void talk(struct tt_stream *s)
{
    uint8_t data[4096];
    size_t n;
    while ((n = fread(data, 1, sizeof data, stdin)) > 0)
        must(tt_stream_write(s, data, n, &err));
    must(tt_stream_close(s, &err));
    do {
        must(tt_stream_read(s, data, sizeof data, &n, &err));
        fwrite(data, 1, n, stdout);
    } while (n > 0);
}

int main(int argc, char **argv)
{
    struct tt_stream *stream;
    if (argc != 6) {
        fprintf(stderr, "usage: blocking_client TPM KEY CERT CA HOST:PORT\n");
        return 2;
    }
    const struct tt_connect_options options = {
        .tpm = argv[1], .key = argv[2], .cert = argv[3], .ca = argv[4]};
    must(tt_connect(&stream, argv[5], &options, &err));
    talk(stream);
    tt_stream_free(stream);
    return 0;
}
