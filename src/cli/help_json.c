/* cli/help_json.c: all commands and their options as one JSON object, for scripts/gen-man and the
 * completions. Layer: cli. */
#include <jansson.h>
#include <string.h>

#include "cli/command.h"

static json_t *row_json(const struct option_row *row)
{
    char placeholder[256];
    option_placeholder(placeholder, sizeof placeholder, row);
    json_t *o = json_pack("{s:s?, s:s, s:s, s:b, s:b}", "name", row->name, "argument", placeholder, "text",
                          row->text, "needed", row->needed != NULL, "repeated", row->type == OPTION_LIST);
    if (row->letter != '\0')
        (void)json_object_set_new(o, "letter", json_stringn(&row->letter, 1));
    if (row->type == OPTION_NUMBER) {
        (void)json_object_set_new(o, "min", json_integer((json_int_t)row->min));
        (void)json_object_set_new(o, "max", json_integer((json_int_t)row->max));
        if (row->initial != 0)
            (void)json_object_set_new(o, "default", json_integer((json_int_t)row->initial));
    }
    return o;
}

static json_t *parts_json(const struct option_part *parts)
{
    json_t *all = json_array();
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++) {
        json_t *rows = json_array();
        for (const struct option_row *row = part->rows; row->text != NULL; row++)
            (void)json_array_append_new(rows, row_json(row));
        (void)json_array_append_new(
            all,
            json_pack("{s:s, s:o}", "title", part->title != NULL ? part->title : "options", "rows", rows));
    }
    return all;
}

static json_t *command_json(const struct command *c, const struct option_part *parts)
{
    json_t *below = json_array();
    for (size_t i = 0; c->subcommands != NULL && c->subcommands[i] != NULL; i++)
        if (!c->subcommands[i]->hidden)
            (void)json_array_append_new(below, command_json(c->subcommands[i], c->subcommands[i]->parts));
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o}", "name", c->name, "summary", c->summary, "about",
                     c->about != NULL ? c->about : c->summary, "example", c->example, "parts",
                     parts_json(parts), "commands", below);
}

int command_tree_json(void)
{
    json_t *tree = command_json(&cli_program, cli_global_options);
    int rc = tree != NULL ? json_dumpf(tree, stdout, JSON_COMPACT) : -1;
    (void)putchar('\n');
    json_decref(tree);
    return rc == 0 ? CLI_OK : CLI_FAILURE;
}
