/* cli/bench_json.c: the results as JSON, to be collected and compared. Layer: cli. A former file is hostile:
 * what is not as we write it is left out or refused. Numbers of microseconds end in _us. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cli/bench.h"
#include "cli/cli.h"

#define FORMAT "tpmtls-bench/1"

static void set(json_t *to, const char *name, json_t *value)
{
    (void)json_object_set_new(to, name, value);
}

static void set_stats(json_t *to, const struct gauge_stats *s)
{
    set(to, "n", json_integer((json_int_t)s->n));
    set(to, "min_us", json_real(s->min));
    set(to, "p50_us", json_real(s->p50));
    set(to, "p95_us", json_real(s->p95));
    set(to, "p99_us", json_real(s->p99));
    set(to, "max_us", json_real(s->max));
    set(to, "mean_us", json_real(s->mean));
}

static json_t *command_json(const struct gauge_command *c)
{
    char name[64];
    bench_command_name(name, c);
    json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "row", name, "command", c->name, "key", c->key, "encrypted",
                          c->encrypted);
    set_stats(o, &c->tpm);
    set(o, "call_p50_us", json_real(c->call_us));
    if (c->why[0] != '\0')
        set(o, "why", json_string(c->why));
    return o;
}

static json_t *handshake_json(const struct gauge_handshake *h)
{
    static const char *const where[] = {"tpm", "software", "software, waiting"};
    char name[64];
    bench_handshake_name(name, h);
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "row", name, "handshake",
                          h->name, "key", h->key, "key_in", where[h->in], "commands", h->commands,
                          "tpm_p50_us", h->tpm_us, "rest_p50_us", h->rest_us, "cpu_p50_us", h->cpu_us,
                          "per_second", h->per_second, "tpm_share", h->share);
    set_stats(o, &h->wall);
    if (h->sum_us > 0)
        set(o, "commands_sum_us", json_real(h->sum_us));
    if (h->sign_us > 0)
        set(o, "sign_tpm_p50_us", json_real(h->sign_us));
    if (h->why[0] != '\0')
        set(o, "why", json_string(h->why));
    return o;
}

static json_t *figure_json(const struct gauge_figure *f)
{
    json_t *o = json_pack("{s:s, s:s, s:f}", "key", f->key, "text", f->text, "value", f->value);
    if (f->at_most > 0)
        set(o, "at_most", json_real(f->at_most));
    return o;
}

static json_t *page_json(const struct gauge_page *p)
{
    json_t *commands = json_array(), *handshakes = json_array(), *figures = json_array();
    for (size_t i = 0; i < p->commands_len; i++)
        (void)json_array_append_new(commands, command_json(&p->commands[i]));
    for (size_t i = 0; i < p->handshakes_len; i++)
        (void)json_array_append_new(handshakes, handshake_json(&p->handshakes[i]));
    for (size_t i = 0; i < p->figures_len; i++)
        (void)json_array_append_new(figures, figure_json(&p->figures[i]));
    json_t *tpm = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "where", p->where, "manufacturer",
                            p->manufacturer, "vendor", p->vendor, "firmware", p->firmware, "spec", p->spec,
                            "kind", p->kind, "emulated", p->emulated, "profile", p->profile);
    json_t *machine =
        json_pack("{s:s, s:s, s:s}", "system", p->system, "cpu", p->cpu, "libcrypto", p->libcrypto);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "tpm", tpm, "machine", machine, "commands", commands,
                     "handshakes", handshakes, "figures", figures);
}

json_t *bench_json(const struct bench_pages *all)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm t;
    if (gmtime_r(&now, &t) != NULL)
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &t);
    json_t *runs = json_array();
    for (size_t i = 0; i < all->len; i++)
        (void)json_array_append_new(runs, page_json(&all->pages[i]));
    return json_pack("{s:s, s:s, s:s, s:o}", "format", FORMAT, "tpmtls", TT_VERSION, "date", date, "runs",
                     runs);
}

/* ---- comparing ---- */

tt_rc bench_compare_load(json_t **ret, const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    json_error_t where;
    TT_TRY(cli_read_file(&text, &len, path, err));
    json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    const char *format = json_string_value(json_object_get(doc, "format"));
    if (format == NULL || strcmp(format, FORMAT) != 0 || !json_is_array(json_object_get(doc, "runs"))) {
        json_decref(doc);
        (void)error_set(err, TT_ERR_DECODE, "%.200s is no result of `tpmtls bench --json`", path);
        return TT_ERR_DECODE;
    }
    *ret = doc;
    return TT_OK;
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL ? s : "";
}

/* The element whose member is this text. */
static const json_t *find(const json_t *list, const char *member, const char *text)
{
    size_t i;
    const json_t *o;
    json_array_foreach(list, i, o) if (strcmp(text_of(o, member), text) == 0) return o;
    return NULL;
}

static const json_t *former_run(const json_t *old, const json_t *run)
{
    const char *profile = text_of(json_object_get(run, "tpm"), "profile");
    const json_t *runs = json_object_get(old, "runs"), *o;
    size_t i;
    json_array_foreach(runs, i,
                       o) if (strcmp(text_of(json_object_get(o, "tpm"), "profile"), profile) == 0) return o;
    return json_array_size(runs) == 1 ? json_array_get(runs, 0) : NULL;
}

static void compare_rows(const json_t *old, const json_t *new)
{
    size_t i;
    const json_t *row;
    json_array_foreach(new, i, row)
    {
        const json_t *former = find(old, "row", text_of(row, "row"));
        double a = json_number_value(json_object_get(former, "p50_us")),
               b = json_number_value(json_object_get(row, "p50_us"));
        if (a > 0 && b > 0)
            printf("  %-38s %10.3f %10.3f %9.2f\n", text_of(row, "row"), a / 1e3, b / 1e3, b / a);
    }
}

static void compare_figures(const json_t *old, const json_t *new)
{
    size_t i;
    const json_t *figure;
    json_array_foreach(new, i, figure)
    {
        const json_t *former = find(old, "key", text_of(figure, "key"));
        if (former != NULL)
            printf("  %-38s %10.2f %10.2f\n", text_of(figure, "key"),
                   json_number_value(json_object_get(former, "value")),
                   json_number_value(json_object_get(figure, "value")));
    }
}

void bench_compare(const json_t *old, const json_t *new)
{
    size_t i;
    const json_t *run;
    json_array_foreach(json_object_get(new, "runs"), i, run)
    {
        const json_t *former = former_run(old, run), *tpm = json_object_get(run, "tpm");
        printf("Compared with %s (%s): median milliseconds%s%s\n", text_of(old, "date"),
               former != NULL ? text_of(json_object_get(former, "tpm"), "where") : "no such run",
               text_of(tpm, "profile")[0] != '\0' ? ", " : "", text_of(tpm, "profile"));
        printf("  %-38s %10s %10s %9s\n", "", "then", "now", "now/then");
        compare_rows(json_object_get(former, "commands"), json_object_get(run, "commands"));
        compare_rows(json_object_get(former, "handshakes"), json_object_get(run, "handshakes"));
        compare_figures(json_object_get(former, "figures"), json_object_get(run, "figures"));
        printf("\n");
    }
}
