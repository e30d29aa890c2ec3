/* cli/bench_plot.c: the results as a picture, drawn by gnuplot, which gets a script on its standard input.
 * Layer: cli. Each row is a mark at its median with a line up to its 99th percentile; several chips stand
 * side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/bench.h"

#define NOT_FOUND 127

/* For '...' in gnuplot, where only ' itself is special. */
static void put_quoted(FILE *to, const char *text)
{
    (void)fputc('\'', to);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\'')
            (void)fputc('\'', to);
        (void)fputc(*c >= ' ' ? *c : ' ', to);
    }
    (void)fputc('\'', to);
}

/* struct panel: one of the two tables of a page. */
struct panel {
    const char *id, *title;
    size_t (*len)(const struct gauge_page *p);
    const struct gauge_stats *(*row)(char ret_name[64], const struct gauge_page *p, size_t i);
};

static size_t commands_len(const struct gauge_page *p)
{
    return p->commands_len;
}

static const struct gauge_stats *command_row(char ret_name[64], const struct gauge_page *p, size_t i)
{
    bench_command_name(ret_name, &p->commands[i]);
    return &p->commands[i].tpm;
}

static size_t handshakes_len(const struct gauge_page *p)
{
    return p->handshakes_len;
}

static const struct gauge_stats *handshake_row(char ret_name[64], const struct gauge_page *p, size_t i)
{
    bench_handshake_name(ret_name, &p->handshakes[i]);
    return &p->handshakes[i].wall;
}

static const struct panel panels[] = {
    {"commands", "TPM commands: median and 99th percentile", commands_len, command_row},
    {"handshakes", "TLS 1.3 handshakes, both ends: median and 99th percentile", handshakes_len,
     handshake_row},
};

/* The rows of every page are in the same order; one that was not measured leaves its place empty. */
static void put_data(FILE *to, const struct bench_pages *all, const struct panel *panel)
{
    char name[64];
    for (size_t i = 0; i < all->len; i++) {
        (void)fprintf(to, "$%s%zu << EOD\n", panel->id, i);
        for (size_t k = 0; k < panel->len(&all->pages[i]); k++) {
            const struct gauge_stats *s = panel->row(name, &all->pages[i], k);
            if (s->n > 0)
                (void)fprintf(to, "%zu %.4f %.4f\n", k, s->p50 / 1e3, s->p99 / 1e3);
        }
        (void)fprintf(to, "EOD\n");
    }
}

static void put_tics(FILE *to, const struct gauge_page *p, const struct panel *panel)
{
    char name[64];
    (void)fputs("set xtics rotate by 90 right noenhanced (", to);
    for (size_t k = 0; k < panel->len(p); k++) {
        (void)panel->row(name, p, k);
        (void)fprintf(to, "%s\"%s\" %zu", k > 0 ? ", " : "", name, k);
    }
    (void)fprintf(to, ")\nset xrange [-0.5:%zu.5]\n", panel->len(p) - 1);
}

static void put_panel(FILE *to, const struct bench_pages *all, const struct panel *panel)
{
    put_tics(to, &all->pages[0], panel);
    (void)fprintf(to, "set title '%s' noenhanced\nplot ", panel->title);
    for (size_t i = 0; i < all->len; i++) {
        const struct gauge_page *p = &all->pages[i];
        double shift = ((double)i - (double)(all->len - 1) / 2) * 0.6 / (double)all->len;
        char title[200];
        (void)snprintf(title, sizeof title, "%s %s %s%s%s", p->manufacturer, p->vendor, p->firmware,
                       p->profile[0] != '\0' ? " as " : "", p->profile);
        (void)fprintf(to, "%s$%s%zu using ($1%+.3f):2:2:3 with yerrorbars pt 7 ps 0.6 lw 2 title ",
                      i > 0 ? ", " : "", panel->id, i, shift);
        put_quoted(to, title);
        (void)fputs(" noenhanced", to);
    }
    (void)fputc('\n', to);
}

static void put_script(FILE *to, const struct bench_pages *all, const char *path)
{
    size_t n = 0;
    for (size_t i = 0; i < TT_COUNT(panels); i++)
        n += panels[i].len(&all->pages[0]) > 0;
    (void)fprintf(to, "set terminal svg size 1200,%zu background 'white' font 'sans,12'\nset output ",
                  700 * n);
    put_quoted(to, path);
    (void)fputs("\nset logscale y\nset grid y\nset bmargin 15\nset key above left\nset "
                "format y '%g'\n"
                "set ylabel 'milliseconds'\n",
                to);
    for (size_t i = 0; i < TT_COUNT(panels); i++)
        put_data(to, all, &panels[i]);
    (void)fprintf(to, "set multiplot layout %zu,1\n", n);
    for (size_t i = 0; i < TT_COUNT(panels); i++)
        if (panels[i].len(&all->pages[0]) > 0)
            put_panel(to, all, &panels[i]);
    (void)fputs("unset multiplot\nunset output\n", to);
}

static tt_rc not_there(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_NOT_FOUND, "--plot: there is no gnuplot");
    error_hint(err, "install the package gnuplot-nox");
    return TT_ERR_NOT_FOUND;
}

tt_rc bench_plot_check(struct tt_error *err)
{
    return system("command -v gnuplot >/dev/null 2>&1") == 0 ? TT_OK : not_there(err);
}

tt_rc bench_plot(const struct bench_pages *all, const char *path, struct tt_error *err)
{
    FILE *to = popen("exec gnuplot", "we");
    if (to == NULL)
        return not_there(err);
    put_script(to, all, path);
    int status = pclose(to);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
        return not_there(err);
    return status == 0 ? TT_OK : error_set(err, TT_ERR_IO, "gnuplot could not draw %.200s", path);
}
