#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is generated from commands and schema: the manual page without a complaint of groff, completions that shells take.
#   generated_help.sh BIN_DIR
set -uo pipefail
finescale=$(cd "$1" && pwd)/finescale
failures=0
fail() { echo "generated_help: FAILED: $*"; failures=$((failures + 1)); }
commands=$("$finescale" --help | sed -n '/^Subcommands:/,$p' | awk '/^  [a-z]/ {print $1}')
[ "$(wc -w <<<"$commands")" -ge 20 ] || fail "commands: $commands"

page=$("$finescale" man) || fail "man"
for command in $commands; do
  grep -qF "finescale ${command//-/\\-}\\fR" <<<"$page" || fail "$command is not in the manual page"
done
grep -q 'learning_rate' <<<"$page" || fail "no fields in the manual page"
if command -v groff >/dev/null; then
  said=$(groff -ww -man -Tutf8 -rLL=90n <<<"$page" 2>&1 >/dev/null)
  [ -z "$said" ] || fail "groff: $said"
fi

script=$("$finescale" completion bash) || fail "completion bash"
complete_words() {  # what bash offers for the last word
  bash -c 'eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _finescale 2>/dev/null; echo "${COMPREPLY[*]}"' _ "$script" "$@"
}
offers() {  # offers EXPECTED WORD...
  local said
  said=$(complete_words "${@:2}")
  [ "$said" = "$1" ] || fail "${*:2}: offered '$said', not '$1'"
}
offers plan finescale pla
offers --extend finescale run s.yaml --ext
offers train.learning_rate= finescale run s.yaml --set train.learning
offers resources.ranks_per_gang finescale schema resources.ranks
offers '' finescale plan sweep
for command in $commands; do
  offers "$command" finescale "$command"
done
"$finescale" completion zsh >/dev/null || fail "completion zsh"
if command -v zsh >/dev/null; then
  "$finescale" completion zsh | zsh -n || fail "zsh does not take its completions"
fi
"$finescale" completion fish >/dev/null 2>&1
[ $? -eq 2 ] || fail "completion fish"
exit $failures
