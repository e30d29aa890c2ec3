/* net/ktls.c: see ktls.h. Layer: net. */
#include "net/ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* ---- keys, as linux/tls.h has them: the salt is the IV's beginning ---- */

union crypto_info {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes128;
    struct tls12_crypto_info_aes_gcm_256 aes256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static void sequence_put(unsigned char ret[8], uint64_t seq)
{
    for (size_t i = 0; i < 8; i++)
        ret[i] = (unsigned char)(seq >> 8 * (7 - i));
}

/* The size; 0: the kernel's interface has no such suite. */
static size_t crypto_info_of(union crypto_info *ret, const struct tt_record_keys *k)
{
    *ret = (union crypto_info){.info = {.version = TLS_1_3_VERSION}};
    switch (k->suite) {
    case TT_SUITE_AES_128_GCM_SHA256:
        ret->info.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(ret->aes128.key, k->key, sizeof ret->aes128.key);
        memcpy(ret->aes128.salt, k->iv, sizeof ret->aes128.salt);
        memcpy(ret->aes128.iv, k->iv + sizeof ret->aes128.salt, sizeof ret->aes128.iv);
        sequence_put(ret->aes128.rec_seq, k->sequence);
        return sizeof ret->aes128;
    case TT_SUITE_AES_256_GCM_SHA384:
        ret->info.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(ret->aes256.key, k->key, sizeof ret->aes256.key);
        memcpy(ret->aes256.salt, k->iv, sizeof ret->aes256.salt);
        memcpy(ret->aes256.iv, k->iv + sizeof ret->aes256.salt, sizeof ret->aes256.iv);
        sequence_put(ret->aes256.rec_seq, k->sequence);
        return sizeof ret->aes256;
    case TT_SUITE_CHACHA20_POLY1305_SHA256:
        ret->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        memcpy(ret->chacha.key, k->key, sizeof ret->chacha.key);
        memcpy(ret->chacha.iv, k->iv, sizeof ret->chacha.iv);
        sequence_put(ret->chacha.rec_seq, k->sequence);
        return sizeof ret->chacha;
    default:
        return 0;
    }
}

/* Returns 0 or an errno. */
static int set_keys(int fd, bool sending, const struct tt_record_keys *k)
{
    union crypto_info info;
    size_t size = crypto_info_of(&info, k);
    int why = size == 0 ? ENOTSUP : 0;
    if (why == 0 && setsockopt(fd, SOL_TLS, sending ? TLS_TX : TLS_RX, &info, (socklen_t)size) != 0)
        why = errno;
    mem_wipe(&info, sizeof info);
    return why;
}

static int use_tls(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 ? 0 : errno;
}

/* ---- what there is ---- */

/* Two sockets that are connected: the peer first. */
static bool make_pair(int ret[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ret[0] = -1;
    ret[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 && ret[1] >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&at, &len) == 0 &&
        connect(ret[1], (struct sockaddr *)&at, sizeof at) == 0)
        ret[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (listener >= 0)
        (void)close(listener);
    return ret[0] >= 0;
}

static enum ktls_support probe(int fd)
{
    const struct tt_record_keys any = {.suite = TT_SUITE_AES_128_GCM_SHA256, .key_len = 16};
    if (use_tls(fd) != 0 || set_keys(fd, false, &any) != 0 || set_keys(fd, true, &any) != 0)
        return KTLS_NONE;
    return set_keys(fd, true, &any) == 0 && set_keys(fd, false, &any) == 0 ? KTLS_FULL : KTLS_NO_REKEY;
}

enum ktls_support ktls_probe(void)
{
    int pair[2];
    enum ktls_support found = make_pair(pair) ? probe(pair[1]) : KTLS_NONE;
    for (size_t i = 0; i < TT_COUNT(pair); i++)
        if (pair[i] >= 0)
            (void)close(pair[i]);
    return found;
}

const char *ktls_support_text(enum ktls_support s)
{
    switch (s) {
    case KTLS_FULL:
        return "on";
    case KTLS_NO_REKEY:
        return "off: this kernel's TLS takes no new keys (6.14 and later do)";
    case KTLS_NONE:
        return "off: this kernel has no TLS (modprobe tls)";
    case KTLS_UNKNOWN:
        break;
    }
    return "off";
}

/* ---- a socket ---- */

tt_rc ktls_begin(int fd, const struct tt_record_keys *reading, const struct tt_record_keys *sending,
                 bool *ret_lost, struct tt_error *err)
{
    *ret_lost = false;
    int why = use_tls(fd);
    if (why == 0)
        why = set_keys(fd, false, reading);
    if (why == 0) {
        why = set_keys(fd, true, sending);
        *ret_lost = why != 0;
    }
    return why == 0 ? TT_OK
                    : error_set(err, TT_ERR_UNSUPPORTED, "the kernel takes no records: %s", strerror(why));
}

tt_rc ktls_rekey(int fd, bool sending, const struct tt_record_keys *keys, struct tt_error *err)
{
    int why = set_keys(fd, sending, keys);
    return why == 0 ? TT_OK
                    : error_set(err, TT_ERR_INTERNAL, "the kernel takes no new keys: %s", strerror(why));
}

int ktls_send(int fd, unsigned type, struct tt_bytes content)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(1)];
    } control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)content.data, .iov_len = content.len};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
    const unsigned char record_type = (unsigned char)type;
    control.header = (struct cmsghdr){
        .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE, .cmsg_len = CMSG_LEN(sizeof record_type)};
    memcpy(CMSG_DATA(&control.header), &record_type, sizeof record_type);
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? 0 : errno;
}

int ktls_receive(int fd, unsigned *ret_type, uint8_t *ret, size_t cap, size_t *ret_len)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(1)];
    } control = {.room = {0}};
    struct iovec iov = {.iov_base = ret, .iov_len = cap};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room};
    ssize_t n;
    do
        n = recvmsg(fd, &m, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    *ret_type = 23;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_GET_RECORD_TYPE)
            *ret_type = *CMSG_DATA(c);
    *ret_len = (size_t)n;
    return 0;
}
