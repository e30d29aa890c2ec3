/* cli/ini_file.c: see ini_file.h. Layer: cli. By inih. */
#include "cli/ini_file.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"

#define SECTIONS_MAX 8

struct reader {
    struct ini_file *file;
    const char *path;
    const struct ini_section *sections;
    FILE *from;
    unsigned line, section_line;
    const struct ini_section *now; /* NULL: none, or one that is not known */
    bool in_section, seen[SECTIONS_MAX];
    struct options options;
};

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

static void end_section(struct reader *r)
{
    struct tt_error err = {0};
    if (r->now != NULL && options_check(&r->options, &err) != TT_OK)
        fault(r, r->section_line, &err);
    r->now = NULL;
}

static void begin_section(struct reader *r, const char *name)
{
    char hint[100];
    end_section(r);
    r->in_section = true;
    r->section_line = r->line;
    for (size_t i = 0; r->sections[i].name != NULL; i++) {
        if (strcmp(r->sections[i].name, name) != 0)
            continue;
        if (r->seen[i]) {
            fault_text(r, r->line, "this section stands in the file already", "put its keys together");
            return;
        }
        r->seen[i] = true;
        r->now = &r->sections[i];
        options_begin(&r->options, r->now->parts, r->now->into, "");
        return;
    }
    (void)snprintf(hint, sizeof hint, "the keys stand in the section [%s]", r->sections[0].name);
    fault_text(r, r->line, "this section is not known", hint);
}

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

static const char *keep_text(struct ini_file *f, const char *text)
{
    char **more = mem_resize(f->texts, (f->texts_len + 1) * sizeof *more);
    char *copy = mem_strdup(text);
    f->texts = more != NULL ? more : f->texts;
    if (more == NULL || copy == NULL) {
        mem_free(copy);
        return NULL;
    }
    f->texts[f->texts_len++] = copy;
    return copy;
}

/* Of what may be given once the last would win without a word. */
static bool is_twice(const struct reader *r, const char *name)
{
    const struct option_row *row = options_find(r->options.parts, name, strlen(name));
    return row != NULL && row->type != OPTION_LIST && row->type != OPTION_TAKEN &&
           options_given(&r->options, name) > 0;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    struct tt_error err = {0};
    (void)section;
    if (!r->in_section)
        fault_text(r, r->line, "a key stands before the first section", "begin with a line [NAME]");
    const char *kept = r->now != NULL ? keep_text(r->file, value) : NULL;
    if (kept == NULL)
        return 1; /* of a section that was refused */
    if (value[0] == '\0')
        fault_text(r, r->line, "the key has no value", "write key = value");
    else if (is_twice(r, name))
        fault_text(r, r->line, "the key was given already", "only keys that are lists may be repeated");
    else if (options_take_key(&r->options, name, kept, &err) != TT_OK)
        fault(r, r->line, &err);
    return 1;
}

tt_rc ini_file_read(struct ini_file *ret, const char *path, const struct ini_section *sections,
                    struct tt_error *err)
{
    struct reader r = {.file = ret, .path = path, .sections = sections, .from = fopen(path, "re")};
    char missing[100];
    if (r.from == NULL)
        return error_set(err, TT_ERR_IO, "cannot read %s", path);
    int first_bad = ini_parse_stream(next_line, &r, on_key, &r);
    (void)fclose(r.from);
    end_section(&r);
    if (first_bad > 0)
        fault_text(&r, (unsigned)first_bad, "this is neither a section nor key = value",
                   "comments begin with ; or #");
    else if (first_bad < 0)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    (void)snprintf(missing, sizeof missing, "there is no section [%s]", sections[0].name);
    if (!r.seen[0] && ret->faults == 0)
        fault_text(&r, r.line, missing, "begin with it");
    return ret->faults == 0 ? TT_OK
                            : error_set(err, TT_ERR_USAGE, "%s has %zu fault%s", path, ret->faults,
                                        ret->faults == 1 ? "" : "s");
}

void ini_file_free(struct ini_file *f)
{
    for (size_t i = 0; i < f->texts_len; i++)
        mem_free(f->texts[i]);
    mem_free(f->texts);
    *f = (struct ini_file){0};
}
