/* service/service_internal.h: the service's inside: service.c (start, reload, end), answer.c (requests),
 * figures.c (status and metrics). Layer: service. */
#ifndef SERVICE_SERVICE_INTERNAL_H
#define SERVICE_SERVICE_INTERNAL_H

#include <jansson.h>

#include "proxy/notify.h"
#include "proxy/status.h"
#include "proxy/watch.h"
#include "service/board.h"
#include "service/publish.h"
#include "service/service.h"
#include "service/worker.h"

#define PROFILES_MAX 64

/* struct shown: what is shown of the CA to everybody, and what may stand as a label in EST's paths; of the CA
 * as it was last read. */
struct shown {
    struct tt_cert_list certificates; /* the chain, then the rollover's */
    size_t chain_len;
    struct buf bytes; /* what certificates point to */
    char profiles[PROFILES_MAX][EST_LABEL_MAX + 1];
    bool attested[PROFILES_MAX];
    size_t profiles_len;
    struct publish_key keys[PUBLISH_KEYS_MAX]; /* with an identifier: the CA's of today first */
    size_t keys_len;
};
TT_MUST_USE tt_rc shown_read(struct shown *ret, const struct ca *ca, struct tt_error *err);
void shown_free(struct shown *k);

struct service_counts {
    uint64_t issued, waiting, refused, unauthorized, failed, others;
};

struct service {
    struct service_options opt;
    struct event_base *base;
    struct sign_queue *queue;
    struct worker *worker;
    struct est_server *est;
    struct publish *publish;
    struct http_server *tls, *clear;
    struct status *status;
    struct notify *notify;
    struct watch *watch;
    struct event *signals[3];
    struct shown known;
    struct service_setup setup;
    struct service_counts counts;
    struct buf wish; /* what csrattrs says of evidence, until it is sent */
    size_t stopping; /* servers that still have connections */
    bool is_stopping;

    struct reload *reload; /* under way */
    bool reload_again;
    char reload_error[256];

    /* figures of the store, asked from time to time */
    struct figures {
        struct worker_task task;
        struct service *of;
        bool is_asked;
        struct ca_counts counts;
        int64_t at;
    } figures;
};

/* answer.c */
struct est_authority service_authority(struct service *s);
void service_told(void *arg, const struct http_request *r, const char *operation, int status,
                  const char *text);
void service_request(void *arg, struct http_request *r); /* of the TLS server */
void service_publish(void *arg, struct http_request *r); /* of the one in the clear */

/* figures.c */
json_t *service_status(void *arg);
char *service_metrics(void *arg);
bool service_is_ready(void *arg);
void figures_ask(struct service *s);

#endif
