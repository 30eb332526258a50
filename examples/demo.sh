#!/bin/sh
# The incremental job on the sample company, twice, with a day of changes between.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${1:-demo}

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

rm -rf "$place"
cp -R "$here/company" "$place"
cd "$place"

echo "A company of 100 people, their accounts and groups: $(pwd)"
show deltamark run Incremental

printf '\nA day passes: the source systems write new extracts.\n'
cp exports-day-1/* exports/
show deltamark dirty
show deltamark run Incremental

printf '\nWhat the second run changed:\n'
show deltamark changes --run 2

printf '\nHow people and accounts match by their keys (the first five):\n'
printf '\n$ deltamark keys --pairs | head -n 6\n'
deltamark keys --pairs | head -n 6

printf '\nAll of this stands in %s: go on from there, for example with\n' "$place"
printf '    cd %s && ../.venv/bin/deltamark runs 2\n' "$place"
