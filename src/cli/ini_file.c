/* cli/ini_file.c: see ini_file.h. Layer: cli. By inih. */
#include "cli/ini_file.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"

#define SECTIONS_MAX 8

const char *ini_file_keep(struct ini_file *f, const char *text)
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

void ini_file_free(struct ini_file *f)
{
    for (size_t i = 0; i < f->texts_len; i++)
        mem_free(f->texts[i]);
    mem_free(f->texts);
    *f = (struct ini_file){0};
}

/* ---- faults ---- */

static void fault(struct ini_reader *r, unsigned line, const struct tt_error *err)
{
    r->file->faults++;
    cli_note("%s:%u: %s", r->path, line, err->text);
    if (err->hint[0] != '\0')
        cli_hint("%s", err->hint);
}

static void fault_text(struct ini_reader *r, unsigned line, const char *text, const char *hint)
{
    struct tt_error err = {0};
    (void)error_set(&err, TT_ERR_USAGE, "%s", text);
    error_hint(&err, "%s", hint);
    fault(r, line, &err);
}

void ini_fault(struct ini_reader *r, const char *text, const char *hint)
{
    fault_text(r, r->line, text, hint);
}

/* ---- lines ---- */

static void section_fault(void *arg, const struct tt_error *err)
{
    struct ini_reader *r = arg;
    fault(r, r->section_line, err);
}

static void end_section(struct ini_reader *r)
{
    struct option_faults f = {.told = section_fault, .arg = r};
    if (r->is_known)
        options_check_all(&r->options, &f);
    if (r->is_known && r->form->end != NULL)
        r->form->end(r, &f);
    r->is_known = false;
}

static void begin_section(struct ini_reader *r, const char *name)
{
    end_section(r);
    r->in_section = true;
    r->section_line = r->line;
    r->is_known = r->form->begin(r, name);
}

/* inih goes on behind a line that it cannot read, and remembers the first one alone. */
static bool is_readable(const char *line)
{
    size_t end = strcspn(line, "=:");
    if (line[0] == '[')
        return strchr(line, ']') != NULL;
    for (size_t i = 1; i < end; i++)
        if (line[i] == ';' && strchr(" \t", line[i - 1]) != NULL)
            end = i; /* a comment */
    return strchr(";#\r\n", line[0]) != NULL || line[end] == '=' || line[end] == ':';
}

/* As fgets, for inih; counts, sees sections begin (also empty ones), and notices what inih would cut. A line
 * that is indented would continue the one before it: it does not here. */
static char *next_line(char *ret, int cap, void *stream)
{
    struct ini_reader *r = stream;
    FILE *from = r->from;
    if (fgets(ret, cap, from) == NULL)
        return NULL;
    size_t len = strlen(ret), indent = strspn(ret, " \t");
    r->line++;
    if (len > 0 && len + 1 == (size_t)cap && ret[len - 1] != '\n' && !feof(from)) {
        ini_fault(r, "the line is too long", "a line has at most 198 characters");
        for (int c; (c = fgetc(from)) != EOF && c != '\n';)
            continue;
        ret[0] = '\0';
        return ret;
    }
    memmove(ret, ret + indent, len - indent + 1);
    if (!is_readable(ret)) {
        ini_fault(r, "this is neither a section nor key = value", "comments begin with ; or #");
        ret[0] = '\0';
    }
    char *end = ret[0] == '[' ? strchr(ret, ']') : NULL;
    if (end != NULL) {
        *end = '\0';
        begin_section(r, ret + 1);
        *end = ']';
    }
    return ret;
}

/* Of what may be given once the last would win without a word. */
static bool is_twice(const struct ini_reader *r, const char *name)
{
    const struct option_row *row = options_find(r->options.parts, name, strlen(name));
    return row != NULL && row->type != OPTION_LIST && row->type != OPTION_TAKEN &&
           options_given(&r->options, name) > 0;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct ini_reader *r = user;
    struct tt_error err = {0};
    (void)section;
    if (!r->in_section)
        ini_fault(r, "a key stands before the first section", r->form->hint);
    const char *kept = r->is_known ? ini_file_keep(r->file, value) : NULL;
    if (kept == NULL)
        return 1; /* of a section that was refused */
    if (r->form->key != NULL)
        r->form->key(r, name, value);
    if (value[0] == '\0')
        ini_fault(r, "the key has no value", "write key = value");
    else if (is_twice(r, name))
        ini_fault(r, "the key was given already", "only keys that are lists may be repeated");
    else if (options_take_key(&r->options, name, kept, &err) != TT_OK)
        fault(r, r->line, &err);
    return 1;
}

tt_rc ini_read(struct ini_file *ret, const char *path, const struct ini_form *form, void *arg,
               struct tt_error *err)
{
    FILE *from = fopen(path, "re");
    struct ini_reader r = {.form = form, .file = ret, .arg = arg, .path = path, .from = from};
    if (from == NULL)
        return error_set(err, TT_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    int first_bad = ini_parse_stream(next_line, &r, on_key, &r);
    int why = ferror(from) != 0 ? errno : 0; /* such as of a directory */
    (void)fclose(from);
    if (why != 0)
        return error_set(err, TT_ERR_IO, "cannot read %s: %s", path, strerror(why));
    end_section(&r);
    if (first_bad > 0 && ret->faults == 0)
        fault_text(&r, (unsigned)first_bad, "this cannot be read", "comments begin with ; or #");
    else if (first_bad < 0)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    if (ret->faults == 0)
        form->whole(&r);
    return ret->faults == 0 ? TT_OK
                            : error_set(err, TT_ERR_USAGE, "%s has %zu fault%s", path, ret->faults,
                                        ret->faults == 1 ? "" : "s");
}

/* ---- sections of fixed names ---- */

struct fixed {
    const struct ini_section *sections;
    bool seen[SECTIONS_MAX];
};

static bool fixed_begin(struct ini_reader *r, const char *name)
{
    struct fixed *f = r->arg;
    char hint[100];
    for (size_t i = 0; f->sections[i].name != NULL; i++) {
        if (strcmp(f->sections[i].name, name) != 0)
            continue;
        if (f->seen[i]) {
            ini_fault(r, "this section stands in the file already", "put its keys together");
            return false;
        }
        f->seen[i] = true;
        options_begin(&r->options, f->sections[i].parts, f->sections[i].into, "");
        return true;
    }
    (void)snprintf(hint, sizeof hint, "the keys stand in the section [%s]", f->sections[0].name);
    ini_fault(r, "this section is not known", hint);
    return false;
}

static void fixed_whole(struct ini_reader *r)
{
    const struct fixed *f = r->arg;
    char missing[100];
    (void)snprintf(missing, sizeof missing, "there is no section [%s]", f->sections[0].name);
    if (!f->seen[0])
        ini_fault(r, missing, "begin with it");
}

tt_rc ini_file_read(struct ini_file *ret, const char *path, const struct ini_section *sections,
                    struct tt_error *err)
{
    static const struct ini_form form = {
        .hint = "begin with a line [NAME]", .begin = fixed_begin, .whole = fixed_whole};
    struct fixed f = {.sections = sections};
    return ini_read(ret, path, &form, &f, err);
}
