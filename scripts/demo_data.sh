#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the demo's data from Debian packages: word -> pronunciation, word -> definition, and text to pretrain on.
#   scripts/demo_data.sh OUTDIR
# Needs wordnet-base, dict-freedict-eng-deu, bible-kjv, gawk (scripts/setup.sh --demo). Deterministic; checks its own counts.
set -euo pipefail
case ${1:-} in
  -h | --help) sed -n '3,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  '') echo "demo_data.sh: give the output directory (try --help)" >&2; exit 2 ;;
esac
out=$1
dict=/usr/share/dictd/freedict-eng-deu.dict.dz
wordnet=/usr/share/wordnet
for need in "$dict" "$wordnet/data.noun" "$(command -v bible || echo /usr/bin/bible)" "$(command -v gawk || echo /usr/bin/gawk)"; do
  if [ ! -e "$need" ]; then
    echo "demo_data.sh: $need is missing. Run scripts/setup.sh --demo, or:" >&2
    echo "  apt-get install --no-install-recommends wordnet-base dict-freedict-eng-deu bible-kjv gawk" >&2
    exit 3
  fi
done
mkdir -p "$out"
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shuffle SEED: sorts lines by a hash of (seed, line): the same order on every machine.
shuffle() {
  gawk -v seed="$1" '
    BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i }
    { h = seed; s = $0; n = length(s)
      for (i = 1; i <= n; i++) h = (h * 31 + code[substr(s, i, 1)]) % 2147483629
      h = (h * 48271) % 2147483647; h = (h * 69621) % 2147483647
      printf "%010d\t%s\n", h, s }' | sort | cut -f2-
}
# pairs: tab-separated prompt and response -> JSONL.
pairs() {
  gawk -F'\t' '{ gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); print "{\"prompt\": \"" $1 "\", \"response\": \"" $2 "\"}" }'
}
texts() {
  gawk '{ gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); print "{\"text\": \"" $0 "\"}" }'
}
check() {  # check NAME COUNT EXPECTED: within 5 %
  if [ $(($2 * 20)) -lt $(($3 * 19)) ] || [ $(($2 * 20)) -gt $(($3 * 21)) ]; then
    echo "demo_data.sh: $1 has $2 lines, expected about $3: has a package changed?" >&2
    exit 3
  fi
}

# --- word -> pronunciation, IPA written in ASCII (X-SAMPA)
zcat "$dict" | grep -aoP '^[a-z]{3,14} /[^/ ]+/' | gawk '!seen[$1]++' |
  sed -e 's|/||g' -e 's/ˈ/"/g; s/ˌ/%/g; s/ɪ/I/g; s/ə/@/g; s/ɹ/r/g; s/ː/:/g; s/ʃ/S/g; s/ʒ/Z/g; s/ŋ/N/g; s/θ/T/g; s/ð/D/g; s/ɐ/6/g; s/ʌ/V/g; s/ɑ/A/g; s/ɒ/Q/g; s/ɔ/O/g; s/ʊ/U/g; s/ɛ/E/g; s/ɜ/3/g; s/ɡ/g/g' |
  gawk '$2 !~ /[\200-\377]/ { print $1 "\t" $2 }' | shuffle 1 >"$work/pronounce"
check pronounce "$(wc -l <"$work/pronounce")" 90793
head -512 "$work/pronounce" | pairs >"$out/pronounce.eval.jsonl"
tail -n +513 "$work/pronounce" | pairs >"$out/pronounce.train.jsonl"

# --- word (part of speech) -> definition
for part in noun verb adj adv; do
  gawk -v part="$part" '
    BEGIN { hex = "0123456789abcdef" }
    /^  / { next }
    { cut = index($0, " | "); gloss = substr($0, cut + 3); head = substr($0, 1, cut - 1)
      split(head, f, " "); word = f[5]; gsub(/_/, " ", word); sub(/\((a|p|ip)\)$/, "", word)
      full = gloss; gsub(/^ +| +$/, "", full)
      sub(/; ".*$/, "", gloss); gsub(/^ +| +$/, "", gloss)
      if (gloss != "") print word " (" part ")\t" gloss "\t" full }' "$wordnet/data.$part"
done | shuffle 2 >"$work/gloss"
check gloss "$(wc -l <"$work/gloss")" 117659
head -512 "$work/gloss" | cut -f1,2 | pairs >"$out/gloss.eval.jsonl"
sed -n '513,40000p' "$work/gloss" | cut -f1,2 | pairs >"$out/gloss.train.jsonl"

# --- text to pretrain on: verses, and the glosses that are in no gloss set
bible -f Gen1:1-Rev22:21 | sed -E 's/^[^ ]+ //' >"$work/verses"
check verses "$(wc -l <"$work/verses")" 31102
{ cat "$work/verses"; tail -n +40001 "$work/gloss" | cut -f3; } | shuffle 3 | texts >"$out/pretrain.jsonl"

echo "data in $out:"
wc -l "$out"/*.jsonl | sed 's/^/  /'
cat <<'END'
sources (nothing of them is part of this project):
  pronounce  FreeDict English-German 2022.04.21 (package dict-freedict-eng-deu), GPL-3+ / AGPL-3+
  gloss      WordNet 3.0 (package wordnet-base), WordNet licence (permissive)
  pretrain   King James Bible, public domain (package bible-kjv), and WordNet glosses
END
