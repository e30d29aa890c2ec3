/* cli/cmd_completion.c: `tpmtls completion`: scripts by which bash, zsh and fish complete command lines.
 * Layer: cli. They hand the words to `tpmtls completion words`, so that none of them knows an option. */
#include <string.h>

#include "cli/command.h"

static const char bash_script[] =
    "# bash completion for tpmtls(1), made by `tpmtls completion bash`. The program itself tells what may "
    "come.\n"
    "_tpmtls() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} rest=$COMP_LINE program=$1 word before about keep='' breaks i\n"
    "    local -a words=()\n"
    "    # bash takes --type=p256 and handle:0x81000010 apart; what stood together is put together again.\n"
    "    for ((i = 0; i <= COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        before=${rest%%\"$word\"*}\n"
    "        rest=${rest#\"$before$word\"}\n"
    "        word=${word//[\\\\\\\"\\']/}\n"
    "        if ((i > 0)) && [[ -z $before && (-n $word || $line != *[[:space:]]) ]]; then\n"
    "            words[-1]+=$word\n"
    "        else\n"
    "            words+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "    breaks=${COMP_WORDBREAKS//[^=:]/}\n"
    "    [[ -z $breaks ]] || keep=${words[-1]%\"${words[-1]##*[$breaks]}\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r word about; do\n"
    "        case $word in\n"
    "        :files)\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -f -- \"$about\")\n"
    "            ;;\n"
    "        :dirs)\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            mapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < <(compgen -d -- \"$about\")\n"
    "            ;;\n"
    "        *)\n"
    "            COMPREPLY+=(\"${word#\"$keep\"}\")\n"
    "            [[ $word != *[=:] ]] || compopt -o nospace 2>/dev/null\n"
    "            ;;\n"
    "        esac\n"
    "    done < <(\"$program\" completion words -- \"${words[@]:1}\" 2>/dev/null </dev/null)\n"
    "}\n"
    "complete -F _tpmtls tpmtls\n";

static const char zsh_script[] =
    "#compdef tpmtls\n"
    "# zsh completion for tpmtls(1), made by `tpmtls completion zsh`. The program itself tells what may "
    "come.\n"
    "_tpmtls() {\n"
    "    local line word about\n"
    "    local -a answers plain plain_shown begun begun_shown\n"
    "    answers=(\"${(@f)$(${(Q)words[1]} completion words -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null "
    "</dev/null)}\")\n"
    "    for line in $answers; do\n"
    "        word=${line%%$'\\t'*}\n"
    "        about=${line#*$'\\t'}\n"
    "        case $word in\n"
    "        :files) compset -P '--*='; _files ;;\n"
    "        :dirs) compset -P '--*='; _files -/ ;;\n"
    "        *[=:]) begun+=($word); begun_shown+=(\"$word${about:+  -- $about}\") ;;\n"
    "        *) plain+=($word); plain_shown+=(\"$word${about:+  -- $about}\") ;;\n"
    "        esac\n"
    "    done\n"
    "    (($#begun == 0)) || compadd -S '' -l -d begun_shown -- $begun\n"
    "    (($#plain == 0)) || compadd -l -d plain_shown -- $plain\n"
    "}\n"
    "if [[ $funcstack[1] = _tpmtls ]]; then\n"
    "    _tpmtls \"$@\"\n"
    "else\n"
    "    compdef _tpmtls tpmtls\n"
    "fi\n";

static const char fish_script[] =
    "# fish completion for tpmtls(1), made by `tpmtls completion fish`. The program itself tells what may "
    "come.\n"
    "function __tpmtls_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l current (commandline -ct)\n"
    "    for line in ($words[1] completion words -- $words[2..-1] \"$current\" 2>/dev/null </dev/null)\n"
    "        set -l parts (string split -m 1 \\t -- $line)\n"
    "        set -l kept (string sub -l (math (string length -- \"$current\") - (string length -- "
    "\"$parts[2]\")) "
    "-- \"$current\")\n"
    "        switch $parts[1]\n"
    "            case ':files'\n"
    "                for path in (__fish_complete_path $parts[2])\n"
    "                    echo $kept$path\n"
    "                end\n"
    "            case ':dirs'\n"
    "                for path in (__fish_complete_directories $parts[2])\n"
    "                    echo $kept$path\n"
    "                end\n"
    "            case '*'\n"
    "                echo $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c tpmtls -f -a '(__tpmtls_complete)'\n";

struct completion_options {
    enum shell {
        BASH,
        ZSH,
        FISH,
        WORDS
    } shell;
    struct option_list words;
};

static int run(const struct cli *cli, void *options)
{
    static const char *const scripts[] = {[BASH] = bash_script, [ZSH] = zsh_script, [FISH] = fish_script};
    const struct completion_options *o = options;
    (void)cli;
    if (o->shell == WORDS)
        command_complete(&o->words);
    else
        (void)fputs(scripts[o->shell], stdout);
    return CLI_OK;
}

static const struct option_row rows[] = {
    {NULL, NULL, "the shell; words: what the last of WORD... may become, as its script asks",
     OPTION_TO(struct completion_options, shell), .choices = "bash zsh fish words", .needed = "which shell?"},
    {NULL, "WORD", "the words behind tpmtls, so far", OPTION_TO(struct completion_options, words)},
    {0},
};
static const struct option_part parts[] = {{NULL, rows, 0}, {0}};

const struct command command_completion = {
    .name = "completion",
    .summary = "the completion script of a shell",
    .about = "The packages install it. Otherwise, for the shell that runs: source <(tpmtls completion bash), "
             "source <(tpmtls completion zsh), or tpmtls completion fish | source.",
    .example = "  tpmtls completion bash >~/.local/share/bash-completion/completions/tpmtls",
    .parts = parts,
    .size = sizeof(struct completion_options),
    .run = run,
    .hidden = true,
};
