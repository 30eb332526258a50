#!/bin/sh
# The incremental job on the sample company, twice, with a day of changes between.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${1:-demo}

# What is piped through `head` is as wide as the terminal, too.
if [ -t 1 ]; then
    exec 3>&1
    size=$(stty size <&3 2>/dev/null || echo)
    COLUMNS=${size#* }
    export COLUMNS
fi

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

rm -rf "$place"
cp -R "$here/company" "$place"
cd "$place"

printf 'A company of 100 people, their accounts and groups, in %s.\n' "$(pwd)"
printf 'The first run loads everything and computes everything.\n'
show deltamark run Incremental

printf '\nA day passes: the source systems write new extracts.\n'
cp exports-day-1/* exports/
printf 'The second run finds what is different, flags what depends on it, and computes\n'
printf 'that alone.\n'
show deltamark run Incremental

printf '\nThe log has all that the second run changed. What became of the departments:\n'
show deltamark changes --run 2 --type HR_Department

printf '\nOne has a new name, so all who work there have a new path, such as this person:\n'
show deltamark changes --run 2 --key E00007

printf '\nHow people and accounts match by their keys (the first pairs):\n'
printf '\n$ deltamark keys --pairs | head -n 8\n'
deltamark keys --pairs | head -n 8

printf '\nWhat the accounts are (the first):\n'
printf '\n$ deltamark classifications | head -n 6\n'
deltamark classifications | head -n 6

printf '\nWhat is left to compute (nothing):\n'
show deltamark dirty

printf '\nAll of this stands in the folder %s. Go on from there, for example with\n' "$place"
printf '    . .venv/bin/activate && cd %s\n' "$place"
printf '    deltamark runs 2\n'
printf '    deltamark show HR_Person E00002 --at run:1\n'
printf 'The tutorial is docs/tutorial.md.\n'
