#!/bin/sh
# inih 55 (libinih1 of Debian 12): what is longer than its buffers is given to the program cut. A section's name has at most 49 characters:
# of a longer one the first 49 come, the parser returns 0, and two sections that differ behind them are one. A line has at most 199: of a
# longer value the beginning comes first, like any value, and only when the whole file has been handed out does the parser
# return a line's number, and that of the line behind it. Whoever acts on values as they come acts on half of one.
#
# Seen on 2026-11-29: "version 55-1", "two sections of 52 characters: 49 and 49, the same: yes; returned 0", "a value of 300 characters in line 2:
# 192, then the next key; returned 3".
# Ends with 0 while that is so, with 1 when it has changed, with 2 when it could not be tried. Needs Debian 12's
# archive (apt-get download) and gcc, no root; nothing is installed.
set -eu
version=55-1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download "libinih-dev=$version" "libinih1=$version" 2>/dev/null || {
    echo "libinih1 $version is not in this machine's archive"
    exit 2
}
for package in *.deb; do dpkg -x "$package" root; done
library=$(find "$dir/root" -name 'libinih.so.1')
cat >read.c <<'C'
#include <ini.h>
#include <stdio.h>
#include <string.h>

static int told(void *user, const char *section, const char *name, const char *value)
{
    printf("section %zu %s, %s: %zu\n", strlen(section), section, name, strlen(value));
    return 1;
}

int main(int argc, char **argv)
{
    printf("returned %d\n", argc < 2 ? -1 : ini_parse(argv[1], told, NULL));
    return 0;
}
C
gcc -Iroot/usr/include read.c -o read "$library"
LD_LIBRARY_PATH=$(dirname "$library")
export LD_LIBRARY_PATH
long=$(printf '%051d' 0)
printf '[%sa]\nkey = 1\n[%sb]\nkey = 2\n' "$long" "$long" >sections.ini
printf '[s]\nlong = %0300d\nafter = y\n' 0 >value.ini
./read sections.ini >sections
./read value.ini >value
first=$(sed -n '1s/^section \([0-9]*\) .*/\1/p' sections)
second=$(sed -n '2s/^section \([0-9]*\) .*/\1/p' sections)
[ "$(sed -n '1s/,.*//p' sections)" = "$(sed -n '2s/,.*//p' sections)" ] && same=yes || same=no
names="$first and $second, the same: $same; $(tail -n 1 sections)"
values="$(sed -n 's/.*, long: //p' value), then $(sed -n 's/.*, \(after\): 1$/the next key/p' value); $(tail -n 1 value)"
echo "version $version"
echo "two sections of 52 characters: $names"
echo "a value of 300 characters in line 2: $values"
[ "$names" = '49 and 49, the same: yes; returned 0' ] && [ "$values" = '192, then the next key; returned 3' ]
