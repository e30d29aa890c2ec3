/* net/stream_internal.h: the stream's inside, shared by stream.c (socket and life) and stream_tls.c (engine
 * and callbacks). Layer: net. */
#ifndef NET_STREAM_INTERNAL_H
#define NET_STREAM_INTERNAL_H

#include "base/buf.h"
#include "net/diagnose.h"
#include "net/held.h"
#include "net/pcap.h"
#include "net/stream.h"

enum stream_phase {
    STREAM_OPEN,   /* the engine is at work */
    STREAM_LINGER, /* the last bytes go out, then what still comes in is thrown away */
    STREAM_DONE    /* the socket is closed */
};

struct stream {
    struct stream_options opt;
    char *peer; /* owned */
    struct tt_conn *conn;
    int fd;
    struct pcap_flow flow; /* in opt.pcap */
    uint64_t flow_hash;    /* whose turn its signatures are */
    struct event *readable, *writable, *run, *timer;
    enum stream_phase phase;

    struct buf early; /* server: 0-RTT data that waits for the end of the handshake */
    struct buf in;    /* ciphertext the engine would not take yet */
    bool got_eof;
    bool is_write_broken; /* the peer is gone; what it said before may still be waiting to be read */
    bool is_reset;        /* before it ended */
    bool is_shut_down;    /* our FIN is sent */
    unsigned linger_s;
    uint64_t linger_until;
    bool is_active;         /* something moved since the timer looked */
    bool timer_is_long;     /* it waits for the end of the peer's time, not for a pause */
    uint64_t moved_at;      /* as the timer saw it */
    uint64_t request_until; /* 0: it has come */
    enum stream_loss loss;
    struct sign_job *job;
    struct held_job *held_job;

    bool is_aligning;    /* stream_align */
    bool is_closing;     /* stream_close was called */
    bool wants_writable; /* stream_write took too little */
    bool is_plaintext_told, is_end_told, is_gone_told;

    bool is_running, is_freed;
    tt_rc failed; /* the transport's own error, with its sentence (NULL: no memory for it); the engine's is in
                     the engine */
    char *why;
    struct stream_stats stats;
    uint64_t began_at;
    uint8_t first[DIAGNOSE_FIRST_BYTES];
    size_t first_len;
};

/* stream_schedule: run the stream from the loop. */
void stream_schedule(struct stream *s);

/* stream_fail: the transport's error; the first one wins. */
void stream_fail(struct stream *s, tt_rc rc, const char *fmt, ...) TT_PRINTF(3, 4);

/* stream_feed: hand the engine what came; keep what it does not take. */
void stream_feed(struct stream *s, struct tt_bytes data);
/* stream_feed_kept: the same for what was kept. True when something moved. */
bool stream_feed_kept(struct stream *s);
/* stream_ask_signer: when the engine wants a signature and none is being made, ask for it. */
void stream_ask_signer(struct stream *s);
/* stream_ask_holder: the same for a computation with a PSK or an ECH key that the TPM holds. */
void stream_ask_holder(struct stream *s);
/* stream_stop_asking: whatever is asked for is no longer wanted. */
void stream_stop_asking(struct stream *s);
/* stream_tell: make the callbacks that are due. False when a callback freed the stream. */
bool stream_tell(struct stream *s);
/* stream_trace_message: a tt_trace_fn. */
void stream_trace_message(void *arg, const struct tt_trace_event *event);

/* stream_request_came: the time for it is over. */
static inline void stream_request_came(struct stream *s)
{
    s->request_until = 0;
}

/* stream_flow: 0: nobody's. */
uint64_t stream_flow(const char *of);

static inline bool stream_has_failed(const struct stream *s)
{
    return s->failed != TT_OK || tt_conn_error(s->conn)->error.rc != TT_OK;
}

#endif
