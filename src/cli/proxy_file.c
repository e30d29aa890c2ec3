/* cli/proxy_file.c: a file of tunnels, read by inih. Layer: cli. All its faults are told at once, each with
 * its line. */
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/proxy.h"

struct reader {
    struct proxy_file *file;
    const char *path;
    FILE *from;
    unsigned line;         /* that was read last */
    unsigned section_line; /* of the section that is being read */
    bool in_section, in_common, is_known;
    struct options options; /* of the section */
};

static void begin_section(struct reader *r, const char *section);

static void fault(struct reader *r, unsigned line, const struct tt_error *err)
{
    r->file->faults++;
    cli_note("%s:%u: %s", r->path, line, err->text);
    if (err->hint[0] != '\0')
        cli_hint("%s", err->hint);
}

static void fault_text(struct reader *r, unsigned line, const char *text, const char *hint)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_USAGE, "%s", text);
    error_hint(&err, "%s", hint);
    fault(r, line, &err);
}

/* ---- lines ---- */

/* As fgets, for inih; counts, sees sections begin (also empty ones), and notices what inih would cut. A line
 * that is indented would continue the one before it: it does not here. */
static char *next_line(char *ret, int cap, void *stream)
{
    struct reader *r = stream;
    if (fgets(ret, cap, r->from) == NULL)
        return NULL;
    size_t len = strlen(ret), indent = strspn(ret, " \t");
    r->line++;
    if (len > 0 && len + 1 == (size_t)cap && ret[len - 1] != '\n' && !feof(r->from)) {
        fault_text(r, r->line, "the line is too long", "a line has at most 198 characters");
        for (int c; (c = fgetc(r->from)) != EOF && c != '\n';)
            continue;
        ret[0] = '\0';
        return ret;
    }
    memmove(ret, ret + indent, len - indent + 1);
    char *end = ret[0] == '[' ? strchr(ret, ']') : NULL;
    if (end != NULL) {
        *end = '\0';
        begin_section(r, ret + 1);
        *end = ']';
    }
    return ret;
}

/* What options point to. NULL: no memory. */
static const char *keep_text(struct proxy_file *f, const char *text)
{
    char **more = mem_alloc((f->texts_len + 1) * sizeof *more);
    char *copy = mem_strdup(text);
    if (more == NULL || copy == NULL) {
        mem_free(more);
        mem_free(copy);
        return NULL;
    }
    if (f->texts_len > 0)
        memcpy(more, f->texts, f->texts_len * sizeof *more);
    mem_free(f->texts);
    f->texts = more;
    f->texts[f->texts_len++] = copy;
    return copy;
}

/* ---- sections ---- */

static void end_section(struct reader *r)
{
    struct tt_error err = {0};
    if (!r->in_section || !r->is_known)
        return;
    r->in_section = false;
    if (options_check(&r->options, &err) != TT_OK) {
        fault(r, r->section_line, &err);
        return;
    }
    struct proxy_file *f = r->file;
    if (!r->in_common && proxy_tunnel_check(&f->tunnels[f->tunnels_len - 1], "", &err) != TT_OK)
        fault(r, r->section_line, &err);
}

static bool is_name_taken(const struct proxy_file *f, const char *name)
{
    for (size_t i = 0; i < f->tunnels_len; i++)
        if (strcmp(f->tunnels[i].name, name) == 0)
            return true;
    return false;
}

static void begin_tunnel(struct reader *r, enum tt_role role, const char *name)
{
    struct proxy_file *f = r->file;
    if (name[0] == '\0' || is_name_taken(f, name)) {
        fault_text(r, r->line,
                   name[0] == '\0' ? "the tunnel has no name" : "another tunnel has that name already",
                   "a section begins with [client NAME] or [server NAME]");
        return;
    }
    if (f->tunnels_len == PROXY_TUNNELS_MAX) {
        fault_text(r, r->line, "there are too many tunnels", "64 are the most for one process");
        return;
    }
    struct proxy_tunnel *t = &f->tunnels[f->tunnels_len];
    t->name = keep_text(f, name);
    t->role = role;
    t->trust.ca_option = role == TT_CLIENT ? "ca" : "client-ca";
    if (t->name == NULL)
        return;
    f->tunnels_len++;
    options_begin(&r->options, role == TT_CLIENT ? proxy_client_file_parts : proxy_server_file_parts, t, "");
    r->is_known = true;
}

static void begin_section(struct reader *r, const char *section)
{
    end_section(r);
    r->in_section = true;
    r->is_known = r->in_common = false;
    r->section_line = r->line;
    if (strcmp(section, "proxy") == 0) {
        r->in_common = r->is_known = true;
        options_begin(&r->options, proxy_common_file_parts, &r->file->common, "");
    } else if (strncmp(section, "client", 6) == 0 && (section[6] == ' ' || section[6] == '\0')) {
        begin_tunnel(r, TT_CLIENT, section + 6 + strspn(section + 6, " "));
    } else if (strncmp(section, "server", 6) == 0 && (section[6] == ' ' || section[6] == '\0')) {
        begin_tunnel(r, TT_SERVER, section + 6 + strspn(section + 6, " "));
    } else {
        fault_text(r, r->line, "this section is not known",
                   "sections are [proxy], [client NAME] and [server NAME]");
    }
}

/* Of what may be given once the last would win without a word. */
static bool is_twice(const struct reader *r, const char *name)
{
    const struct option_row *row = options_find(r->options.parts, name, strlen(name));
    return row != NULL && row->type != OPTION_LIST && row->type != OPTION_TAKEN &&
           options_given(&r->options, name) > 0;
}

/* By which a later reading sees whether a section has changed. */
static bool keep_line(struct reader *r, const char *name, const char *value)
{
    struct proxy_file *f = r->file;
    struct buf *text = r->in_common ? &f->common_text : &f->tunnels[f->tunnels_len - 1].text;
    return buf_append(text, name, strlen(name)) == TT_OK && buf_append(text, "=", 1) == TT_OK &&
           buf_append(text, value, strlen(value)) == TT_OK && buf_append(text, "\n", 1) == TT_OK;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    struct tt_error err = {0};
    (void)section;
    if (!r->in_section)
        fault_text(r, r->line, "a key stands before the first section",
                   "sections are [proxy], [client NAME] and [server NAME]");
    const char *kept = r->in_section && r->is_known ? keep_text(r->file, value) : NULL;
    if (kept == NULL)
        return 1; /* of a section that was refused */
    if (!keep_line(r, name, value))
        return 1;
    if (value[0] == '\0')
        fault_text(r, r->line, "the key has no value", "write key = value");
    else if (is_twice(r, name))
        fault_text(r, r->line, "the key was given already", "only keys that are lists may be repeated");
    else if (options_take_key(&r->options, name, kept, &err) != TT_OK)
        fault(r, r->line, &err);
    return 1;
}

tt_rc proxy_file_read(struct proxy_file *ret, const char *path, struct tt_error *err)
{
    struct reader r = {.file = ret, .path = path};
    struct options defaults;
    options_begin(&defaults, proxy_common_file_parts, &ret->common, "");
    ret->tunnels = mem_alloc(PROXY_TUNNELS_MAX * sizeof *ret->tunnels);
    r.from = fopen(path, "re");
    if (ret->tunnels == NULL || r.from == NULL) {
        if (r.from != NULL)
            (void)fclose(r.from);
        return error_set(err, ret->tunnels == NULL ? TT_ERR_MEMORY : TT_ERR_IO, "cannot read %s", path);
    }
    int first_bad = ini_parse_stream(next_line, &r, on_key, &r);
    (void)fclose(r.from);
    end_section(&r);
    if (first_bad > 0)
        fault_text(&r, (unsigned)first_bad, "this is neither a section nor key = value",
                   "comments begin with ; or #");
    else if (first_bad < 0)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (ret->tunnels_len == 0 && ret->faults == 0)
        fault_text(&r, r.line, "there is no tunnel", "a section begins with [client NAME] or [server NAME]");
    return ret->faults == 0 ? TT_OK
                            : error_set(err, TT_ERR_USAGE, "%s has %zu fault%s", path, ret->faults,
                                        ret->faults == 1 ? "" : "s");
}

void proxy_file_free(struct proxy_file *f)
{
    for (size_t i = 0; i < f->texts_len; i++)
        mem_free(f->texts[i]);
    mem_free(f->texts);
    for (size_t i = 0; i < f->tunnels_len; i++)
        buf_free(&f->tunnels[i].text);
    buf_free(&f->common_text);
    mem_free(f->tunnels);
    *f = (struct proxy_file){0};
}
