/* proxy/page.h: what the status pages say: /_status (JSON) and /_metrics (Prometheus text). Layer: proxy. */
#ifndef PROXY_PAGE_H
#define PROXY_PAGE_H

#include "net/sign_queue.h"
#include "proxy/tunnel.h"

struct page_source {
    struct tunnel *tunnels; /* a list */
    const struct sign_queue *queue;
    const char *ktls;       /* what is done with the kernel's TLS */
    const char *file_error; /* why the file of tunnels was not taken; or "" */
};
/* page_status: NULL: no memory. */
json_t *page_status(const struct page_source *from);
/* page_metrics: NUL-terminated, to be freed with mem_free. NULL: no memory. */
char *page_metrics(const struct page_source *from);

#endif
