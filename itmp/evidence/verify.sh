#!/usr/bin/env bash
# Checks the evidence of one change without any program of itmp.
#
#   bash verify.sh FILE TRUST
#
# FILE is an evidence file of at most 1 GiB; TRUST is a folder of your own with `log.policy`, `genesis` and perhaps `checkpoint`.
# Take this script from a release, never from whoever sent you FILE. Needs bash 4.4, GNU tar, sed, coreutils, openssl
# 1.1.1 and ssh-keygen; opens no connection and writes only below a temporary folder of its own.
# Ends with 0 (what it checks holds), 40 (broken), 41 (incomplete), 42 (fork or rollback), 2 (usage).
#
# Rules have the numbers of `itmp-verify`. What a shell cannot judge is printed as NOT CHECKED.
#
# No byte of FILE is free: each leads to the signed checkpoint or is recomputed. Which check covers which bytes:
#   tar headers, padding, end   rule 1: the archive is written anew from its members and compared
#   MANIFEST                    rule 1: recomputed
#   VERIFY.md                   rule 1: its sha256 stands in this script
#   checkpoint                  rule 2: text that log and witnesses signed; rule 3: the whole note ends each proof
#   leaves/N                    rule 3: hashed up to the signed root, from the file's own bytes
#   proofs/N                    rule 3: one spelling; every hash is used on the way to the root
#   consistency/OLD-NEW         rule 6: one spelling; every hash is used on the way to both roots
#   policy/N.yml                rule 5: stands in its leaf byte for byte
#   allowed_signers             rule 5: recomputed from the policies
#   statements/N.{txt,sig}      rule 8: stand in their leaf byte for byte
#   plan/manifest               rule 9: its sha256 stands in the signed request
#   plan/artifacts/H, blobs/H   rule 9: H is their sha256; a manifest or leaf names H
#   handovers/N/…               rule 21: judged like the change's own log, by rules 2 to 6, from TRUST's period on; one
#                               before it by what the next log's genesis says of it
# Each check marks what it covers; a member that is left unmarked breaks rule 1.
set -euo pipefail
export TZ=UTC LC_ALL=C
umask 077

readonly VERIFY_MD=a05d1fe3bd7c21ac5051e66bcf4d874fcfc8e6ab313f0bb6495634f12768f567 # sha256 of the one VERIFY.md of this format
readonly LARGEST=$((1 << 30)) # bytes of an evidence file, as for itmp-verify
readonly HASH64='[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]='
readonly DIGEST='sha256:[0-9a-f]{64}'

# What is said of a log before the change's own names the rule of handovers, and where it is: `handovers/N/` in $prefix.
prefix=
broken() {
  if [[ -z $prefix ]]; then
    printf 'BROKEN       rule %s: %s\n' "$1" "$2"
  else
    printf 'BROKEN       rule 21: %s: %s\n' "$prefix" "$2"
  fi
  exit "${3:-40}"
}
holds() { [[ -n $prefix ]] || printf 'holds        rule %s: %s\n' "$1" "$2"; }
left_out() { [[ -n $prefix ]] || printf 'NOT CHECKED  rule %s: %s\n' "$1" "$2"; }
declare -A covered=()
covers() { local name; for name in "$@"; do covered[$name]=1; done; }
usage() { printf '%s\n' "$1" >&2; exit 2; }

[[ $# -eq 2 && -f $1 && -d $2 ]] || usage "usage: bash verify.sh FILE TRUST"
for tool in tar sed sort sha256sum base64 od tr cat date openssl ssh-keygen; do
  command -v "$tool" > /dev/null || usage "missing tool: $tool"
done
(($(wc -c < "$1") <= LARGEST)) || usage "larger than any evidence file ($LARGEST bytes)"
trust=$(cd -- "$2" && pwd)
work=$(mktemp -d)

# An error of the script itself is no verdict in favour of the file.
finish() {
  local rc=$?
  rm -rf -- "$work"
  case $rc in 0 | 2 | 40 | 41 | 42) exit "$rc" ;; esac
  printf 'BROKEN       the file could not be checked to its end\n'
  exit 40
}
trap finish EXIT
cp -- "$1" "$work/file.tar"
mkdir "$work/in"
cd -- "$work"

# ---------------------------------------------------------------------------------------------------- bytes

# slurp FILE: its whole text in $text. No file read so holds a NUL: rule 1 sees to the members, `texts` to TRUST.
slurp() { text=; IFS= read -r -d '' text < "$1" || true; }

# escaped HEX: \xNN\xNN… in $escaped, for printf %b.
escaped() {
  local at
  escaped=
  for ((at = 0; at < ${#1}; at += 2)); do escaped+="\\x${1:at:2}"; done
}

# unbase64 TEXT: its bytes as hex in $hex.
unbase64() { hex=$(base64 -d 2> /dev/null <<< "$1" | od -An -v -tx1 | tr -d ' \n') || hex=; }

# node LEFT RIGHT: the hash of their parent (all hex) in $hash.
node() {
  escaped "01$1$2"
  hash=$(printf '%b' "$escaped" | sha256sum)
  hash=${hash:0:64}
}

# sums FILE...: sha256sum of many files, in their order.
sums() {
  local at
  for ((at = 1; at <= $#; at += 2000)); do sha256sum -- "${@:at:2000}"; done
}

# same ONE OTHER: whether two files hold the same bytes.
same() { [[ $(sha256sum < "$1") == "$(sha256sum < "$2")" ]]; }

# pair_hashes PAIR...: the hash of each parent in the array $hashes; a PAIR is the 128 hex digits of its two children.
pair_hashes() {
  local at
  local -a nodes=()
  (($# == 0)) || mapfile -t nodes < <(printf '01%s\n' "$@" | sed 's/../\\x&/g')
  ((${#nodes[@]} == $#)) || broken 3 "cannot hash"
  for at in "${!nodes[@]}"; do printf '%b' "${nodes[at]}" > "batch/$at"; done
  hash_all $#
}

# hash_all COUNT: the sha256 of each file batch/0, batch/1, … in the array $hashes.
hash_all() {
  local count=$1 at line
  local -a files=()
  hashes=()
  ((count)) || return 0
  for ((at = 0; at < count; at++)); do files+=("batch/$at"); done
  while IFS= read -r line; do hashes+=("${line:0:64}"); done < <(sums "${files[@]}")
  ((${#hashes[@]} == count)) || broken 3 "cannot hash"
}
mkdir batch

# json TEXT: as it stands inside a canonical JSON string, in $json.
json() {
  json=${1//\\/\\\\}
  json=${json//\"/\\\"}
  json=${json//$'\n'/\\n}
  json=${json//$'\r'/\\r}
  json=${json//$'\t'/\\t}
}

# unjson TEXT: what stands before the first quotation mark of TEXT, as the canonical JSON string that it is, in $plain;
# what follows that mark in $rest. Whoever uses it writes it again with `json` and compares.
unjson() {
  local from=${1//\\\\/$'\1'}
  from=${from//\\\"/$'\2'}
  rest=${from#*\"} plain=${from%%\"*}
  rest=${rest//$'\2'/\\\"} rest=${rest//$'\1'/\\\\}
  plain=${plain//\\n/$'\n'} plain=${plain//\\r/$'\r'} plain=${plain//\\t/$'\t'}
  plain=${plain//$'\2'/\"} plain=${plain//$'\1'/\\}
}

# column REGEX: into the array $cells, of each leaf in turn, what the first match of REGEX holds between its first
# parentheses; empty where nothing matches. One process for all leaves: a line of leaf.lines is a leaf.
column() { mapfile -t cells < <(sed -nE "s/$1.*/\n\1/;T none;s/^.*\n//p;b;:none;s/.*//p" leaf.lines); }

# texts FILE...: fails when one of them holds a NUL, at which a shell would stop reading.
texts() { [[ $(cat -- "$@" | tr -dc '\0' | head -c 1 | wc -c) -eq 0 ]]; }

for name in log.policy genesis checkpoint; do
  [[ ! -f $trust/$name ]] || texts "$trust/$name" || usage "TRUST/$name is no text"
done

# ---------------------------------------------------------------------------------------------------- rule 1

total=$(wc -c < file.tar)
[[ $(head -c 262 file.tar | tail -c 5) == ustar ]] 2> /dev/null || broken 1 "not a tar archive"
tar -tvf file.tar > listing 2> complaints || broken 1 "not a tar archive"
[[ ! -s complaints ]] || broken 1 "tar complains about it"
tar -tf file.tar > names
strange=$(sed -nE '/^-rw-r--r-- 0\/0 +[0-9]{1,10} 1970-01-01 00:00 [A-Za-z0-9._\/-]+$/!p' listing)
[[ -z $strange ]] || broken 1 "a member that is no plain file: ${strange:0:80}"
sizes=0
while read -r _ _ bytes _; do sizes=$((sizes + bytes)); done < listing
((sizes < total)) || broken 1 "members larger than the file"
sort -c -u names 2> /dev/null || broken 1 "members out of order, or one name twice"
index='(0|[1-9][0-9]{0,17})'
known="MANIFEST|VERIFY\\.md|allowed_signers|checkpoint|leaves\\/$index|proofs\\/$index\\.tlog-proof|policy\\/$index\\.yml"
known+="|statements\\/$index(-$index)?\\.(txt|sig)|consistency\\/$index-$index|plan\\/manifest"
known+="|(blobs|plan\\/artifacts)\\/[0-9a-f]{64}|anchors\\/([1-9][0-9]{0,17}\\/)?[a-z0-9][a-z0-9-]{0,30}\\.tsr"
known+="|anchors\\/[1-9][0-9]{0,17}\\/[a-z0-9][a-z0-9-]{0,30}\\.note"
known+="|handovers\\/[1-9][0-9]{0,3}\\/(checkpoint|leaves\\/$index|proofs\\/$index\\.tlog-proof|consistency\\/$index-$index)"
strange=$(sed -nE "/^($known)\$/!p" names)
[[ -z $strange ]] || broken 1 "a member that does not belong here: ${strange:0:80}"
tar -xf file.tar -C in --no-same-owner --no-same-permissions
again=$(tar --format=ustar --blocking-factor=1 --owner=0 --group=0 --numeric-owner --mode=0644 --mtime=@0 \
  -C in --verbatim-files-from -T names -cf - | sha256sum)
[[ $again == "$(sha256sum < file.tar)" ]] || broken 1 "not in the one form of an evidence archive"
for name in MANIFEST VERIFY.md allowed_signers checkpoint leaves/0 policy/0.yml; do
  [[ -f in/$name ]] || broken 1 "$name is missing"
done
cd in
mapfile -t members < <(sed '/^MANIFEST$/d' ../names)
sums "${members[@]}" > ../manifest
same ../manifest MANIFEST || broken 1 "MANIFEST does not list exactly the members and their sha256"
[[ $(sha256sum < VERIFY.md) == "$VERIFY_MD  -" ]] || broken 1 "VERIFY.md is not that of this format"
covers VERIFY.md
mapfile -t textual < <(sed -E '/^(plan\/artifacts|blobs)\/|^anchors\/.*\.tsr$/d' ../names)
texts "${textual[@]}" || broken 1 "a NUL in a member that is text"
declare -A member=()
while read -r sum name; do member[$name]=$sum; done < MANIFEST
cd ..
sed '/^handovers\//d' names > in.names
holds 1 "archive in its one form, MANIFEST covers ${#member[@]} members"

# ---------------------------------------------------------------------------------------------------- rule 2

# note_key VKEY TYPE: keeps the public key in a file, and the file in $key_of by the key's name and id ($named); fails with
# $why.
declare -A key_of=() key_type=() witness=() group=() group_count=()
mkdir keys
note_key() {
  why="no note key: ${1:0:80}"
  [[ $1 =~ ^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$ ]] || return 1
  local name=${BASH_REMATCH[1]} id=${BASH_REMATCH[2]} file other
  unbase64 "${BASH_REMATCH[3]}"
  why="no Ed25519 note key of type $2: ${1:0:80}"
  [[ ${#hex} -eq 66 && ${hex:0:2} == "$2" ]] || return 1
  escaped "$hex"
  why="the id of $name is not its key's"
  [[ $(printf '%s\n%b' "$name" "$escaped" | sha256sum) == "$id"* ]] || return 1
  file=keys/$hex
  escaped "302a300506032b6570032100${hex:2}"
  printf '%b' "$escaped" > "$file"
  why="one key stands twice"
  for other in "${key_of[@]}"; do
    if [[ -n $other ]] && same "$other" "$file"; then return 1; fi
  done
  named="$name $id"
  key_of[$named]=$file key_type[$named]=$2
}

# defined NAME: whether an earlier line defines it.
defined() { [[ $1 == none || -n ${witness[$1]:-}${group[$1]:-} ]]; }

origin= quorum=
declare -A grouped=()
while read -r -a words || ((${#words[@]})); do
  case ${words[0]:-#}:${#words[@]} in
    \#*) continue ;;
  esac
  [[ " ${words[*]} " != *' '[@*]' '* ]] || usage "TRUST/log.policy: a name that this script cannot read"
  case ${words[0]}:${#words[@]} in
    log:[23])
      [[ -z $origin ]] || usage "TRUST/log.policy needs exactly one log line"
      log_key=${words[1]}
      note_key "$log_key" 01 || usage "TRUST/log.policy: $why"
      origin=${named% *} log_named=$named
      continue
      ;;
    witness:[34])
      if ! defined "${words[1]}"; then
        note_key "${words[2]}" 04 || usage "TRUST/log.policy: $why"
        witness[${words[1]}]=$named
        continue
      fi
      ;;
    group:*)
      members=("${words[@]:3}") count=${words[2]:-}
      case $count in any) count=1 ;; all) count=${#members[@]} ;; esac
      good=1
      for name in "${members[@]}"; do
        [[ $name != none && -z ${grouped[$name]:-} ]] && defined "$name" || good=0
        grouped[$name]=1
      done
      if ((good)) && ! defined "${words[1]}" && [[ $count =~ ^[1-9][0-9]{0,3}$ ]] && ((count <= ${#members[@]})); then
        group[${words[1]}]="${members[*]}" group_count[${words[1]}]=$count
        continue
      fi
      ;;
    quorum:2)
      if [[ -z $quorum ]] && defined "${words[1]}"; then
        quorum=${words[1]}
        continue
      fi
      ;;
  esac
  usage "TRUST/log.policy: not a line of a log policy: ${words[*]}"
done < "$trust/log.policy"
[[ -n $origin && -n $quorum ]] || usage "TRUST/log.policy needs exactly one log line and one quorum line"

# met NAME: whether that witness, or enough of that group, have cosigned the note that was opened last.
met() {
  [[ -z ${group[$1]:-} ]] || { met_group "$1"; return; }
  [[ -n ${signer[${witness[$1]}]:-} ]]
}
met_group() {
  local name have=0
  local -a members=()
  read -r -a members <<< "${group[$1]}"
  for name in "${members[@]}"; do
    if met "$name"; then have=$((have + 1)); fi
  done
  ((have >= ${group_count[$1]}))
}

# signed_by NAMED HEX: whether the key of this name and id signed note.text, at whatever time where it is a witness's.
signed_by() {
  local bytes=$2 message=note.text
  if [[ ${key_type[$1]} == 04 ]]; then
    [[ ${#bytes} -eq 144 && ${bytes:0:1} == [0-7] ]] || return 1
    printf 'cosignature/v1\ntime %d\n' "0x${bytes:0:16}" | cat - note.text > note.cosigned
    bytes=${bytes:16} message=note.cosigned
  fi
  ((${#bytes} == 128)) || return 1
  escaped "$bytes"
  printf '%b' "$escaped" > note.sig
  openssl pkeyutl -verify -pubin -keyform DER -inkey "${key_of[$1]}" -rawin -in "$message" -sigfile note.sig \
    > /dev/null 2>&1
}

# open_signed FILE COUNT: $signer has the keys that signed the first COUNT lines of FILE, which are in the array $lines and
# in note.text; fails unless an empty line and signatures follow, and the line of each key that is known holds.
open_signed() {
  local line key
  declare -gA signer=()
  slurp "$1"
  [[ $text == *$'\n' ]] || return 1
  mapfile -t lines < "$1"
  ((${#lines[@]} >= $2 + 2)) && [[ -z ${lines[$2]} ]] || return 1
  printf '%s\n' "${lines[@]:0:$2}" > note.text
  for line in "${lines[@]:$2+1}"; do
    [[ $line =~ ^$'\xe2\x80\x94 '([^ +]+)\ ([A-Za-z0-9+/]+={0,2})$ ]] || return 1
    unbase64 "${BASH_REMATCH[2]}"
    escaped "$hex"
    [[ $(printf '%b' "$escaped" | base64 -w0) == "${BASH_REMATCH[2]}" ]] || return 1
    key="${BASH_REMATCH[1]} ${hex:0:8}"
    [[ -n ${key_of[$key]:-} ]] || { others=$((others + 1)); continue; }
    [[ -z ${signer[$key]:-} ]] && signed_by "$key" "${hex:8}" || return 1
    signer[$key]=1
  done
}

# open_note FILE: $note_size and $note_root (hex); fails unless it is a checkpoint that the log's key signed.
open_note() {
  open_signed "$1" 3 || return 1
  [[ ${lines[0]} == "$origin" && ${lines[1]} =~ ^(0|[1-9][0-9]{0,17})$ && ${lines[2]} =~ ^$HASH64$ ]] || return 1
  note_size=${lines[1]}
  unbase64 "${lines[2]}"
  note_root=$hex
  [[ -n ${signer[$log_named]:-} ]]
}

# Rules 2 to 6 and the statements of 8 are functions: logs before the change's own are judged by them too (rule 21). The
# members of the log that is judged lie in the folder $base, their names in $base.names; its key is $log_key.
base=in
hand_key="TRUST's log key"

# Rule 2: $size and $root of the log.
judge_head() {
  others=0
  open_note "$base/checkpoint" || broken 2 "the checkpoint is not signed by $hand_key, or a line of a key that TRUST knows does not hold"
  size=$note_size root=$note_root
  if [[ -f $trust/revoked ]]; then
    texts "$trust/revoked" || usage "TRUST/revoked is no text"
    while read -r key count rest || [[ -n $key ]]; do
      [[ -z $key || $key == \#* ]] && continue
      [[ $count =~ ^(0|[1-9][0-9]{0,17})$ && -z $rest ]] || usage "TRUST/revoked: not a line VKEY SIZE"
      [[ $key != "$log_key" ]] || ((size <= count)) || broken 2 "the key was revoked: it counts for $count leaves, and signed $size"
    done < "$trust/revoked"
  fi
  cosigned=
  for name in "${!witness[@]}"; do
    if met "$name"; then cosigned+=" $name"; fi
  done
  [[ $quorum == none ]] || met "$quorum" || broken 2 "TRUST's quorum $quorum of witnesses is not met:${cosigned:- nobody} cosigned"
  holds 2 "checkpoint of $size leaves, signed by $origin${cosigned:+, cosigned by$cosigned}"
  ((others == 0)) || left_out 2 "$others signature lines of other keys"
}

# ---------------------------------------------------------------------------------------------------- rule 3

# Rule 3: each leaf's text in $leaf and its hash in $leaf_hash, by its index.
judge_leaves() {
  mapfile -t indexes < <(sed -nE 's/^leaves\/([0-9]+)$/\1/p' "$base.names" | sort -n)
  mapfile -t proofs < <(sed -nE 's/^proofs\/([0-9]+)\.tlog-proof$/\1/p' "$base.names" | sort -n)
  [[ ${indexes[*]} == "${proofs[*]}" ]] || broken 3 "not every leaf has its proof, or a proof has no leaf"
  declare -gA leaf=() leaf_hash=()
  : > leaf.lines
  for at in "${!indexes[@]}"; do
    slurp "$base/leaves/${indexes[at]}"
    [[ $text == '{"'*'","v":1}' && $text != *$'\n'* ]] || broken 3 "leaf ${indexes[at]} is no event"
    leaf[${indexes[at]}]=$text
    printf '\0%s' "$text" > "batch/$at"
    printf '%s\n' "$text" >> leaf.lines
  done
  hash_all "${#indexes[@]}"
  for at in "${!indexes[@]}"; do leaf_hash[${indexes[at]}]=${hashes[at]}; done
  slurp "$base/checkpoint"
  note=$text
  : > proof.lines
  proof_start=() proof_count=() proof_lines=0
  for at in "${!indexes[@]}"; do
    i=${indexes[at]}
    slurp "$base/proofs/$i.tlog-proof"
    first=$'c2sp.org/tlog-proof@v1\nindex '$i$'\n'
    [[ $text == "$first"*$'\n'"$note" ]] || broken 3 "proofs/$i.tlog-proof is of another leaf or checkpoint"
    middle=${text#"$first"}
    ((${#middle} > ${#note})) || broken 3 "proofs/$i.tlog-proof is cut"
    middle=${middle:0:${#middle}-${#note}-1}
    proof_start+=("$proof_lines")
    ((${#middle} % 45 == 0)) && [[ -z $middle || $middle == *$'\n' ]] || broken 3 "proofs/$i.tlog-proof is no list of hashes"
    lines=$((${#middle} / 45))
    proof_count+=("$lines")
    proof_lines=$((proof_lines + lines))
    printf '%s' "$middle" >> proof.lines
  done
  strange=$(sed -nE "/^$HASH64\$/!{=;q}" proof.lines)
  if [[ -n $strange ]]; then
    for ((at = ${#indexes[@]} - 1; proof_start[at] >= strange; at--)); do :; done
    broken 3 "proofs/${indexes[at]}.tlog-proof is no list of hashes"
  fi
  mapfile -t sibling < <(base64 -d proof.lines | od -An -v -tx1 -w32 | tr -d ' ')
  acc=() fn=() sn=()
  for at in "${!indexes[@]}"; do
    acc[at]=${leaf_hash[${indexes[at]}]} fn[at]=${indexes[at]} sn[at]=$((size - 1))
    ((fn[at] <= sn[at])) || broken 3 "leaf ${indexes[at]} lies beyond the checkpoint"
  done
  # Level by level. Leaves that stand together have most parents in common: each pair is hashed once.
  declare -gA parent=()
  for ((level = 0, busy = 1; busy; level++)); do
    turn=() pair=() parent=() pairs=()
    for at in "${!indexes[@]}"; do
      ((level < proof_count[at])) || continue
      ((sn[at] > 0)) || broken 3 "proofs/${indexes[at]}.tlog-proof has hashes left over"
      other=${sibling[proof_start[at] + level]}
      if ((fn[at] & 1 || fn[at] == sn[at])); then
        both=$other${acc[at]}
        while ((!(fn[at] & 1) && fn[at] != 0)); do fn[at]=$((fn[at] >> 1)) sn[at]=$((sn[at] >> 1)); done
      else
        both=${acc[at]}$other
      fi
      fn[at]=$((fn[at] >> 1)) sn[at]=$((sn[at] >> 1))
      turn+=("$at") pair+=("$both")
      [[ -n ${parent[$both]:-} ]] || { parent[$both]=wanted pairs+=("$both"); }
    done
    busy=${#turn[@]}
    pair_hashes "${pairs[@]}"
    for n in "${!pairs[@]}"; do parent[${pairs[n]}]=${hashes[n]}; done
    for n in "${!turn[@]}"; do acc[turn[n]]=${parent[${pair[n]}]}; done
  done
  for at in "${!indexes[@]}"; do
    [[ ${sn[at]} -eq 0 && ${acc[at]} == "$root" ]] || broken 3 "leaf ${indexes[at]} is not in the checkpoint's tree"
    covers "leaves/${indexes[at]}" "proofs/${indexes[at]}.tlog-proof"
  done
  covers checkpoint
  holds 3 "${#indexes[@]} leaves are in the tree"
}

# ---------------------------------------------------------------------------------------------------- rule 4

# Rule 4: the first leaf's hash is $genesis.
judge_genesis() {
  [[ $genesis == "sha256:${leaf_hash[0]}" ]] || broken 4 "leaf 0 is not TRUST's genesis"
  json "$log_key"
  [[ ${leaf[0]} == *"\"data\":{\"log_key\":\"$json\",\"origin\":\"$origin\",\"policy\":"* ]] || broken 4 "the genesis names another key"
  holds 4 "leaf 0 is TRUST's genesis"
}

# ---------------------------------------------------------------------------------------------------- rule 5

# Each leaf's type in $type, the leaves that hold a policy in $versions.
judge_types() {
  declare -gA type=() policy_at=()
  versions=()
  column '"type":"([a-z]+\.[a-z]+)","v":1\}$'
  for at in "${!indexes[@]}"; do
    i=${indexes[at]}
    type[$i]=${cells[at]}
    [[ -n ${type[$i]} ]] || broken 3 "leaf $i is no event"
    [[ ${type[$i]} != log.created || $i == 0 ]] || broken 5 "leaf $i is a second genesis"
    if [[ ${type[$i]} == log.created || ${type[$i]} == policy.changed ]]; then versions+=("$i"); fi
  done
  [[ ${type[0]:-} == log.created ]] || broken 4 "leaf 0 is no genesis"
}

# Rule 5: whose signatures count under which version.
judge_policies() {
  mapfile -t policies < <(sed -nE 's/^policy\/([0-9]+)\.yml$/\1/p' "$base.names" | sort -n)
  [[ ${versions[*]} == "${policies[*]}" ]] || broken 5 "policy/ does not hold exactly the versions in the leaves"
  domain=${origin%%/*}
  : > signers.all
  for i in "${versions[@]}"; do
    slurp "$base/policy/$i.yml"
    json "$text"
    [[ ${leaf[$i]} == *"\"policy\":\"$json\","* ]] || broken 5 "policy/$i.yml is not the policy in leaf $i"
    covers "policy/$i.yml"
    policy_at[$i]=${member[$prefix${prefix:+/}policy/$i.yml]}
    # Each `id:` begins a signer, each `key:` after it is one of its keys: a scan that needs no YAML parser.
    sed -E 's/(^|[ \t])#.*$//; s/[][{},"'"'"']/ /g; s/(^|[ \t-])(id|key):[ \t]+/\n\2: /g' "$base/policy/$i.yml" \
      | sed -nE 's/^(id: [^ \t]+|key: [^ \t]+ [^ \t]+).*$/\1/p' > scan
    who=
    : > "signers.$i"
    while read -r what one two; do
      [[ $what == id: ]] && who=$one
      [[ $what == key: && -n $who ]] && printf '%s namespaces="itmp-*@%s" %s %s\n' "$who" "$domain" "$one" "$two"
    done < scan >> "signers.$i" || true
    cat "signers.$i" >> signers.all
  done
  sort -u signers.all > signers.union
  [[ -n $prefix ]] || same signers.union in/allowed_signers || broken 5 "allowed_signers does not hold exactly the policy's keys"
  covers allowed_signers
  unreached= # a version that TRUST knows, beyond the checkpoint
  if [[ -f $trust/versions ]]; then
    texts "$trust/versions" || usage "TRUST/versions is no text"
    while read -r name at hash rest || [[ -n $name ]]; do
      [[ -z $name || $name == \#* ]] && continue
      [[ $at =~ ^(0|[1-9][0-9]{0,17})$ && $hash =~ ^$DIGEST$ && -z $rest ]] || usage "TRUST/versions: not a line LOG INDEX HASH"
      [[ $name == "$origin" ]] || continue
      if ((at >= size)); then
        [[ ${type[${indexes[-1]}]} != key.rotated ]] || broken 5 "TRUST knows a policy version at leaf $at, the log ends before" 42
        unreached="TRUST knows a policy version at leaf $at, the checkpoint has $size: ask for newer evidence"
      else
        [[ -n ${leaf_hash[$at]:-} ]] || broken 5 "TRUST knows a policy version at leaf $at, and the file leaves it out"
        [[ $hash == "sha256:${leaf_hash[$at]}" ]] || broken 5 "leaf $at is not the policy version that TRUST knows" 42
      fi
    done < "$trust/versions"
  fi
  if [[ -n $unreached ]]; then
    printf 'INCOMPLETE   rule 5: %s\n' "$unreached"
  else
    holds 5 "${#versions[@]} policy version(s), as the leaves hold them"
  fi
}

# ---------------------------------------------------------------------------------------------------- rule 8

declare -A namespace_type=([open]=change.opened [approve]=change.approved [reject]=change.rejected
  [revoke]=change.revoked [cancel]=change.canceled [review]=change.reviewed [close]=change.closed
  [reconcile]=action.reconciled [policy]=policy.changed [enrol]=log.created
  [rotate]=key.rotated [recover]=key.revoked)
# field NAME: the value of that line of $text, in $value.
field() {
  value=
  [[ $'\n'$text =~ $'\n'"$1 "([^$'\n']*) ]] && value=${BASH_REMATCH[1]}
  return 0
}

# check_statement LEAF NAME VERSION: sets $ok to 1 when the statement counts, as far as is checked here.
check_statement() {
  local act signer start end when home=$origin kind=${type[$1]} from=$log_key most=$1
  ok=0
  slurp "$base/statements/$2.txt"
  [[ $text == $'itmp-statement/v1\nact '* ]] || return 0
  field act; act=$value
  when=
  [[ ! ${leaf[$1]} =~ .*\"t\":\"([0-9TZ:-]{19})\.[0-9]+Z\" ]] || when=${BASH_REMATCH[1]}Z
  # A genesis that continues another log holds that log's statements, as they counted at its last leaf.
  if [[ $1 == 0 && ${leaf[0]} =~ \"previous\":\{\"at\":\"([0-9TZ:-]{19})\.[0-9]+Z\",.*\"log_key\":\"([^\"]+)\",\"origin\":\"([^\"]+)\",\"root\":\"[^\"]+\",\"size\":([1-9][0-9]{0,17})\} ]]; then
    when=${BASH_REMATCH[1]}Z from=${BASH_REMATCH[2]} home=${BASH_REMATCH[3]} kind=key.rotated most=$((BASH_REMATCH[4] - 1))
  fi
  field seen; [[ $home != "$origin" ]] || seen+=("$value")
  [[ -n $when ]] || return 0
  field signer; signer=$value
  who_signed+=" $signer"
  act_of[$1]=$act
  line_of[$1]=$signer
  field log; [[ $value == "$home" ]] || return 0
  field policy; [[ $value == "sha256:${policy_at[$3]}" ]] || return 0
  [[ ${namespace_type[$act]:-statement.recorded} == "$kind" ]] || return 0
  case $act in # whoever signed for one key, one policy or a longer log has not signed for another
    rotate | recover) field size; [[ $value =~ ^(0|[1-9][0-9]{0,17})$ ]] && ((value <= most)) || return 0 ;;&
    rotate) field from; [[ $value == "$from" ]] || return 0; field to; [[ $value == "${passed_to[$1]:-}" ]] || return 0 ;;
    policy) field from; [[ $value == "sha256:${policy_at[$3]}" ]] || return 0; field to; [[ $value == "sha256:${policy_at[$1]:-}" ]] || return 0 ;;
  esac
  field valid; read -r start end <<< "$value"
  [[ ! $when < "$start" && ! $when > "$end" ]] || return 0
  [[ $signer =~ ^[A-Za-z0-9][A-Za-z0-9._+@-]*$ ]] || return 0
  ssh-keygen -Y verify -f "signers.$3" -I "$signer" -n "itmp-$act@$domain" -s "$base/statements/$2.sig" \
    < "$base/statements/$2.txt" > /dev/null 2>&1 || return 0
  ok=1
}

# enough VERSION PEOPLE: whether as many signed (a line each) as this version's `amend` asks for, where its `count` can be
# read without a YAML parser; else it is named as not checked. $asked is the number.
enough() {
  asked=$(sed -E 's/(^|[ \t])#.*$//' "$base/policy/$1.yml" | tr '\n' '~' \
    | sed -nE 's/^(.*~)?amend:([^~]*(~[ \t]+[^~]*)*).*$/\2/p' | sed -nE 's/^.*[{, ~\t]count:[ \t]*([0-9]{1,2})[ \t]*([,}~].*)?$/\1/p')
  [[ $asked =~ ^[1-9][0-9]?$ ]] || { uncounted=1; return 0; }
  (($(sed '/^$/d' <<< "$2" | wc -l) >= asked))
}
uncounted=

# Rule 8: $signed has the leaves with a statement that counts; rule 5 again for those that say who may do what.
judge_statements() {
  declare -gA signed=() line_of=() act_of=() passed_to=() people=()
  local -A used=() # a policy that was taken back must not come again by the old signatures
  expected=() seen=() ignored=()
  for i in "${indexes[@]}"; do
    case ${type[$i]} in log.created | policy.changed | key.* | change.* | statement.recorded | action.reconciled) ;; *) continue ;; esac
    rest=${leaf[$i]} count=0
    while [[ $rest == *'"signature":"'* ]]; do rest=${rest#*'"signature":"'} count=$((count + 1)); done
    version=0
    for v in "${versions[@]}"; do ((v < i)) && version=$v; done
    list= who_signed=
    good=0
    if [[ ${type[$i]} == key.rotated && ${leaf[$i]} =~ ^.*\],\"to\":\"([^\"]+)\"\},\"id\":\" ]]; then passed_to[$i]=${BASH_REMATCH[1]}; fi
    [[ $i != 0 ]] || passed_to[0]=$log_key
    for ((n = 0; n < count; n++)); do
      name=$i
      ((count > 1)) && name=$i-$n
      [[ -f $base/statements/$name.txt && -f $base/statements/$name.sig ]] || broken 8 "statements/$name is missing"
      expected+=("statements/$name.sig" "statements/$name.txt")
      slurp "$base/statements/$name.sig"; json "$text"; sig=$json
      slurp "$base/statements/$name.txt"; json "$text"
      list+=",{\"signature\":\"$sig\",\"text\":\"$json\"}"
      [[ ${leaf[$i]} == *"\"signature\":\"$sig\""* && ${leaf[$i]} == *"\"text\":\"$json\""* ]] \
        || broken 8 "statements/$name is not what leaf $i holds"
      covers "statements/$name.txt" "statements/$name.sig"
      check_statement "$i" "$name" "$version"
      if ((ok)); then good=$((good + 1)); else ignored+=("$name"); fi
      case ${type[$i]} in
        log.created | policy.changed | key.*)
          field signer; who=$value
          field nonce
          [[ -z ${used["$who $value"]:-} ]] || broken 5 "a statement is used again in leaf $i"
          used["$who $value"]=$i
          ;;
      esac
    done
    if [[ ${type[$i]} == log.created || ${type[$i]} == policy.changed || ${type[$i]} == key.* ]]; then
      [[ ${leaf[$i]} == *"\"statements\":[${list:1}]"* ]] || broken 8 "statements of leaf $i are not in its order"
      ((count > 0 && good == count)) || broken 5 "the policy version of leaf $i is not signed under the one before"
      people[$i]=$(tr ' ' '\n' <<< "$who_signed" | sort -u)
      [[ $i == 0 ]] || enough "$version" "${people[$i]}" || broken 5 "leaf $i needs $asked people, fewer signed"
    fi
    if ((count == 1 && good == 1)); then signed[$i]=1; fi
  done
  printf '%s\n' "${expected[@]}" | sort > expected
  sed -n '/^statements\//p' "$base.names" > listed
  same listed expected || broken 8 "statements/ holds more than the leaves do"
  holds 8 "$((${#expected[@]} / 2)) statements verified by ssh-keygen, ${#ignored[@]} of them count for nothing"
  [[ -n $prefix || ${#ignored[@]} -eq 0 ]] || printf '             count for nothing: %s\n' "${ignored[*]}"
}

# ---------------------------------------------------------------------------------------------------- rule 6

# consistent OLD ROOT PROOF: fails unless the tree of OLD leaves with ROOT (hex) is a prefix of the checkpoint's.
consistent() {
  local old=$1 first second at last n
  local -a path=()
  mapfile -t path < <(base64 -d "$3" | od -An -v -tx1 -w32 | tr -d ' ')
  ((${#path[@]} > 0)) || return 1
  ((old & (old - 1))) || path=("$2" "${path[@]}")
  at=$((old - 1)) last=$((size - 1))
  while ((at & 1)); do at=$((at >> 1)) last=$((last >> 1)); done
  first=${path[0]} second=${path[0]}
  for n in "${path[@]:1}"; do
    ((last)) || return 1
    if ((at & 1 || at == last)); then
      node "$n" "$first"; first=$hash
      node "$n" "$second"; second=$hash
      while ((!(at & 1) && at != 0)); do at=$((at >> 1)) last=$((last >> 1)); done
    else
      node "$second" "$n"; second=$hash
    fi
    at=$((at >> 1)) last=$((last >> 1))
  done
  [[ $last -eq 0 && $first == "$2" && $second == "$root" ]]
}

remember() {
  [[ -z ${old_root[$1]:-} || ${old_root[$1]} == "$2" ]] || broken 6 "two histories of the first $1 leaves" 42
  old_root[$1]=$2
}
# kept_here: whether TRUST/checkpoint is to be one of this log: it says so, or it is of no period of it at all.
kept_here() {
  local kept_origin
  kept_origin=$(head -n 1 "$trust/checkpoint")
  [[ $kept_origin == "$origin" || ($origin == "$trusted" && ${kept_origin%/*} != "${origin%/*}") ]]
}
not_kept() {
  [[ $origin != "$trusted" ]] || usage "TRUST/checkpoint is not signed by TRUST's log"
  broken 21 "TRUST/checkpoint is not signed by the log that it names"
}

# Rule 6: the log continues every head of it that somebody knew.
judge_history() {
  declare -gA old_root=()
  absent=
  for one in "${seen[@]}"; do
    [[ $one =~ ^(0|[1-9][0-9]{0,17})\ ($HASH64)$ ]] || broken 6 "a signer has seen no checkpoint"
    [[ ${BASH_REMATCH[1]} == 0 ]] && continue
    at=${BASH_REMATCH[1]}
    unbase64 "${BASH_REMATCH[2]}"
    remember "$at" "$hex"
  done
  kept=0
  if [[ -f $trust/checkpoint ]] && kept_here; then
    open_note "$trust/checkpoint" || not_kept
    kept=$note_size
    : > kept.held
    ((kept == 0)) || remember "$kept" "$note_root"
  fi
  for note in "$base"/anchors/*/*.note; do # heads that others cosigned or stamped, around statements
    [[ -f $note ]] || continue
    open_note "$note" || broken 6 "${note#"$base"/} is not signed by TRUST's log"
    [[ ${note#"$base"/} == "anchors/$note_size/"* ]] || broken 6 "${note#"$base"/} is of another size"
    remember "$note_size" "$note_root"
    covers "${note#"$base"/}"
  done
  : > wanted
  for old in "${!old_root[@]}"; do
    ((old <= size)) || broken 6 "$old leaves were known to somebody, the checkpoint has $size" 42
    if ((old == size)); then
      [[ ${old_root[$old]} == "$root" ]] || broken 6 "two roots for $size leaves" 42
      continue
    fi
    name=consistency/$old-$size
    if [[ ! -f $base/$name ]]; then
      ((old == kept)) || broken 6 "$name is missing"
      absent="no proof from your checkpoint of $kept leaves"
      continue
    fi
    printf '%s\n' "$name" >> wanted
    strange=$(sed -nE "/^$HASH64\$/!p" "$base/$name")
    [[ -z $strange && $(tail -c 1 "$base/$name") == '' ]] || broken 6 "$name is no list of hashes"
    consistent "$old" "${old_root[$old]}" "$base/$name" || broken 6 "the log does not continue the first $old leaves" 42
    covers "$name"
  done
  sort wanted > wanted.sorted
  sed -n '/^consistency\//p' "$base.names" > listed
  same listed wanted.sorted || broken 6 "a proof from a checkpoint that TRUST does not hold"
  if [[ -n $absent ]]; then
    [[ -n $prefix ]] || printf 'INCOMPLETE   rule 6: %s\n' "$absent"
  else
    holds 6 "the checkpoint continues ${#old_root[@]} that were seen or kept"
  fi
}

# --------------------------------------------------------------------------------------------------- rule 21

readonly policy_mark='"policy":"' signature_mark='{"signature":"' text_mark=',"text":"'

# derive: the policies and statements of a log before the change's own, out of its leaves. Rules 5 and 8 hold them
# against the leaves again.
derive() {
  local i n name
  mkdir "$base/policy" "$base/statements"
  for i in "${indexes[@]}"; do
    rest=${leaf[$i]} n=0
    if [[ " ${versions[*]} " == *" $i "* ]]; then
      unjson "${leaf[$i]#*"$policy_mark"}"
      printf '%s' "$plain" > "$base/policy/$i.yml"
      member[$prefix/policy/$i.yml]=$(sha256sum < "$base/policy/$i.yml")
      member[$prefix/policy/$i.yml]=${member[$prefix/policy/$i.yml]:0:64}
    fi
    rest=${leaf[$i]}
    while [[ $rest == *"$signature_mark"* ]]; do
      unjson "${rest#*"$signature_mark"}"
      printf '%s' "$plain" > "$base/statements/$i-$n.sig"
      [[ $rest == "$text_mark"* ]] || broken 8 "leaf $i holds a signature without a text"
      unjson "${rest#"$text_mark"}"
      printf '%s' "$plain" > "$base/statements/$i-$n.txt"
      n=$((n + 1))
    done
    if ((n == 1)); then
      for name in sig txt; do mv "$base/statements/$i-0.$name" "$base/statements/$i.$name"; done
    fi
  done
  (cd "$base" && find . -type f | sed 's/^\.\///' | sort) > "$base.names"
}

# ends: the log ends for the key $next_key, and says so in its last leaf; a revocation of its own key stands right before.
ends() {
  local i last=$((size - 1)) old
  json "$log_key"; old=$json
  [[ ${indexes[-1]} == "$last" && ${type[$last]} == key.rotated ]] || broken 21 "$origin does not end with key.rotated, or goes on after it"
  for i in "${indexes[@]}"; do
    case ${type[$i]} in
      key.rotated) ((i == last)) || broken 21 "leaf $i: a leaf after the one that ends the log" ;;
      key.revoked) ((i == last - 1)) && [[ ${leaf[$i]} == *"\"data\":{\"key\":\"$old\",\"size\":$size,"* ]] \
        || broken 21 "leaf $i revokes another key, or from another size on" ;;
    esac
  done
  [[ ${leaf[$last]} == *"\"data\":{\"from\":\"$old\",\"size\":$size,\"statements\":["* ]] || broken 21 "its last leaf ends another log, or another size of this one"
  [[ ${passed_to[$last]:-} == "$next_key" ]] || broken 21 "$origin ended for another key than that of the log after it"
}

# continues NEXT: the genesis in file NEXT continues the log that was judged last: same end, same policy, same people, and
# both keys signed that.
continues() {
  local last=$((size - 1)) after old_key=${key_of[$log_named]} old_named=$log_named at root64 policy mark
  [[ ${leaf[$last]} =~ \"t\":\"([0-9TZ:.-]{27})\",\"type\":\"key.rotated\",\"v\":1\}$ ]] || broken 21 "its last leaf has no time"
  at=${BASH_REMATCH[1]}
  root64=$(sed -n 3p "$base/checkpoint")
  policy=${versions[-1]}
  slurp "$1"; after=$text
  mark="\"previous\":{\"at\":\"$at\",\"handover\":\""
  [[ $after == *"$mark"* ]] || broken 21 "the log after $origin tells of another last leaf, or continues none"
  unjson "${after#*"$mark"}"
  printf '%s' "$plain" > handover.note
  json "$plain"; note=$json
  json "$log_key"
  [[ $after == *"\"previous\":{\"at\":\"$at\",\"handover\":\"$note\",\"leaf\":\"sha256:${leaf_hash[$last]}\",\"log_key\":\"$json\",\"origin\":\"$origin\",\"root\":\"$root64\",\"size\":$size},"* ]] \
    || broken 21 "the log after $origin continues another log, or another end of this one"
  slurp "$base/policy/$policy.yml"; json "$text"
  [[ $after == *"\"policy\":\"$json\",\"previous\":{"* ]] || broken 21 "the log after $origin begins with another policy than it ended with"
  who_signed= rest=$after
  while [[ $rest == *"\"$text_mark"* ]]; do
    unjson "${rest#*"\"$text_mark"}"
    text=$plain
    field signer; who_signed+=" $value"
  done
  [[ $(tr ' ' '\n' <<< "$who_signed" | sort -u) == "${people[$last]}" ]] || broken 21 "other people stand behind the two logs' leaves"
  printf 'itmp-handover/v1\nfrom %s\nsize %s\nroot %s\nleaf sha256:%s\nto %s\npolicy sha256:%s\n' \
    "$log_key" "$size" "$root64" "${leaf_hash[$last]}" "$next_key" "${policy_at[$policy]}" > handover.text
  key_of=([$old_named]=$old_key)
  note_key "$next_key" 01 || broken 21 "the key of the log after $origin: $why"
  [[ ${named% *} != "$origin" && ${named%/*} == "${origin%/*}" ]] || broken 21 "${named% *} is no other period of $origin"
  open_signed handover.note 7 && same note.text handover.text || broken 21 "the handover is not signed, or says something else than the logs do"
  [[ -n ${signer[$old_named]:-} ]] || broken 21 "the old log's key has not signed the handover"
  [[ -n ${signer[$named]:-} ]] || broken 21 "the new log's key has not signed the handover"
}

# judge_before N NEXT KNOWN: the log in handovers/N by rules 2 to 6, and that the genesis in file NEXT continues it. KNOWN is
# 0 where the log lies before TRUST's own: nothing but the genesis after it says what it was.
judge_before() {
  local name
  prefix=handovers/$1 base=older covered=()
  rm -rf older
  cp -r "in/handovers/$1" older
  mkdir -p older/leaves older/proofs
  sed -n "s/^handovers\/$1\///p" names > older.names
  [[ -f older/checkpoint ]] || broken 2 "checkpoint is missing"
  hash_of "older/leaves/0"
  genesis=$hash
  if (($3 == 0)); then
    trust=$work/nothing witness=() group=() quorum=none key_of=()
    mkdir -p nothing
    slurp "$2"
    [[ $text == *'"previous":{"at":"'*'","log_key":"'* ]] || broken 21 "a handover into a log that continues none"
    rest=${text#*'"previous":{"at":"'}
    rest=${rest#*'","log_key":"'}
    unjson "$rest"
    log_key=$plain
    note_key "$log_key" 01 || broken 21 "the log before: $why"
    log_named=$named origin=${named% *}
  fi
  next_key_in "$2"
  judge_head
  judge_leaves
  judge_genesis
  judge_types
  derive
  judge_policies
  judge_statements
  judge_history
  ends
  continues "$2"
  for name in $(sed -n "s/^handovers\/$1\///p" names); do
    [[ -n ${covered[$name]:-} ]] || broken 1 "$name is covered by no check"
  done
  printf '%s\n' "$absent" > handed.absent
  printf '%s\n' "$uncounted" > handed.uncounted
}

# hash_of FILE: the hash of the leaf in FILE, as `sha256:…`, in $hash.
hash_of() {
  [[ -f $1 ]] || broken 21 "${1#*/} is missing: a log without its genesis"
  hash=$(printf '\0' | cat - "$1" | sha256sum)
  hash=sha256:${hash:0:64}
}

# next_key_in FILE: the key of the log whose genesis is in FILE, in $next_key.
next_key_in() {
  slurp "$1"
  [[ $text == *'"data":{"log_key":"'* ]] || broken 21 "a log without its genesis"
  rest=${text#*'"data":{"log_key":"'}
  unjson "$rest"
  next_key=$plain
}

others=0 absent=
slurp "$trust/genesis"
genesis=${text%$'\n'}
trusted=$origin
mapfile -t older < <(sed -nE 's/^handovers\/([1-9][0-9]*)\/.*$/\1/p' names | sort -n -u)
start= firsts=()
for ((n = 1; n <= ${#older[@]}; n++)); do
  [[ ${older[n - 1]} == "$n" ]] || broken 21 "the handovers are not 1 to n"
  firsts+=("in/handovers/$n/leaves/0")
done
firsts+=(in/leaves/0)
for n in "${!firsts[@]}"; do
  hash_of "${firsts[n]}"
  [[ -n $start || $hash != "$genesis" ]] || start=$n
done
slurp in/leaves/0
if [[ -n $start ]]; then
  # From TRUST's log to the change's own, then back from it; each in a process of its own, which the next knows nothing of.
  for ((n = start; n < ${#older[@]}; n++)); do
    (judge_before $((n + 1)) "${firsts[n + 1]}" 1)
    slurp handed.absent; absent=${absent:-${text%$'\n'}}
    slurp handed.uncounted; uncounted=${uncounted:-${text%$'\n'}}
    next_key_in "${firsts[n + 1]}"
    key_of[$log_named]= # known no more
    note_key "$next_key" 01 || broken 21 "the key of the next log: $why"
    holds 21 "$origin handed over to ${named% *}"
    log_key=$next_key log_named=$named origin=${named% *} hand_key="the key of the log that TRUST's was handed over to"
    hash_of "${firsts[n + 1]}"
    genesis=$hash
  done
  for ((n = start; n > 0; n--)); do (judge_before "$n" "${firsts[n]}" 0); done
  ((start == 0)) || holds 21 "$start period(s) before TRUST's own lead to it"
elif [[ ${#older[@]} -gt 0 || $text == *'"previous":{'* ]]; then
  broken 21 "no handover leads from $origin, whose genesis TRUST names, to the change's log"
fi
handed_absent=$absent
for n in "${older[@]}"; do
  mapfile -t bound < <(sed -n "/^handovers\/$n\//p" names)
  covers "${bound[@]}"
done
base=in
judge_head
judge_leaves
for stamp in in/anchors/*.tsr in/anchors/*/*.tsr; do # one that does not hold is told at the end, and counts for nothing
  if [[ -f $stamp ]]; then covers "${stamp#in/}"; fi
done
judge_genesis
judge_types
judge_policies
judge_statements
judge_history
absent=${handed_absent:-$absent}
[[ -z $handed_absent ]] || printf 'INCOMPLETE   rule 6: an earlier period: %s\n' "$handed_absent"
# ---------------------------------------------------------------------------------------------------- rule 7

events=()
for i in "${indexes[@]}"; do
  [[ " ${versions[*]} " == *" $i "* || ${type[$i]} == key.* ]] || events+=("$i")
done
((${#events[@]})) || broken 7 "no event of any change"
change= previous= number=0
declare -A place=()
column "\"change\":\"(CHG-[0-9a-f]{10}\",(\"cprev\":\"$DIGEST\",)?\"cseq\":[0-9]+),"
for at in "${!indexes[@]}"; do place[${indexes[at]}]=${cells[at]}; done
for i in "${events[@]}"; do
  [[ -n ${place[$i]} ]] || broken 7 "leaf $i is no event of a change"
  [[ ${place[$i]:0:14} == "${change:=${place[$i]:0:14}}" ]] || broken 7 "leaf $i is of another change"
  [[ ${place[$i]:14} == "\",$previous\"cseq\":$number" ]] || broken 7 "events before leaf $i are missing"
  previous="\"cprev\":\"sha256:${leaf_hash[$i]}\"," number=$((number + 1))
done
opened=${events[0]}
[[ ${type[$opened]} == change.opened && -n ${signed[$opened]:-} ]] || broken 8 "the change was never validly opened"
opened_id=$(cat "in/statements/$opened.txt" "in/statements/$opened.sig" | sha256sum)
[[ $change == "CHG-${opened_id:0:10}" ]] || broken 8 "the change's id does not follow from its open statement"
holds 7 "$change has events 0 to $((number - 1)), chained"

# ---------------------------------------------------------------------------------------------------- rule 9

slurp "in/statements/$opened.txt"
field plan; plan=$value
if [[ -f in/plan/manifest ]]; then
  [[ $plan == "sha256:${member[plan/manifest]}" ]] || broken 9 "plan/manifest is not the plan of the request"
  covers plan/manifest
  sed -E 's/"artifacts":\{([^}]*)\}.*$/\n\1\n/' in/plan/manifest | sed -n 2p | sed 's/,/\n/g' \
    | sed -nE 's/^.*:"sha256:([0-9a-f]{64})"$/plan\/artifacts\/\1/p' | sort -u > artifacts
  sed -n '/^plan\/artifacts\//p' names > listed
  same listed artifacts || broken 9 "plan/artifacts are not exactly the plan's"
  while IFS= read -r name; do
    [[ ${member[$name]} == "${name##*/}" ]] || broken 9 "$name holds other bytes"
    covers "$name"
  done < artifacts
  holds 9 "the plan is $plan"
else
  absent="${absent:+$absent; }the plan's bytes"
  printf 'INCOMPLETE   rule 9: the plan is not in the file\n'
fi
declare -A in_leaf=() # the blobs that leaves name, in one pass over them
mapfile -t cells < <(sed -E 's/_blob":"sha256:([0-9a-f]{64})"/\n=\1\n/g' leaf.lines | sed -nE 's/^=([0-9a-f]{64})$/\1/p')
for name in "${cells[@]}"; do in_leaf[$name]=1; done
for name in $(sed -n '/^blobs\//p' names); do
  [[ ${member[$name]} == "${name##*/}" ]] || broken 1 "$name holds other bytes"
  [[ -n ${in_leaf[${name##*/}]:-} ]] || broken 1 "$name belongs to no leaf"
  covers "$name"
done
for name in "${!member[@]}"; do
  [[ -n ${covered[$name]:-} ]] || broken 1 "$name is covered by no check"
done

# ------------------------------------------------------------------------------------------ rules 10 to 13

declare -A at_hash=() permit=() running=() run_of=() intent_of=()
column '.*"run":"([^"]*)",.*"type":"[a-z.]+","v":1\}$'
for at in "${!indexes[@]}"; do run_of[${indexes[at]}]=${cells[at]}; done
column ".*\"intent\":\"($DIGEST)\""
for at in "${!indexes[@]}"; do intent_of[${indexes[at]}]=${cells[at]#sha256:}; done
# The moment that each leaf says, in microseconds, in $walls; $behind has those that say more than a second less than an
# earlier leaf does. The gate refuses there.
column '"t":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",("target":\{("([^"\\]|\\.)*":"([^"\\]|\\.)*",?)*\},)?"type":"[a-z.]+","v":1\}$'
for at in "${!indexes[@]}"; do [[ -n ${cells[at]} ]] || broken 17 "leaf ${indexes[at]} has no time"; done
mapfile -t walls < <(printf '%s\n' "${cells[@]}" | date -u -f - +%s%6N 2> /dev/null)
((${#walls[@]} == ${#cells[@]})) || broken 17 "a time that no calendar has"
declare -A behind=()
newest=${walls[0]}
for at in "${!indexes[@]}"; do
  ((walls[at] >= newest - 1000000)) || behind[${indexes[at]}]=1
  ((walls[at] <= newest)) || newest=${walls[at]}
done
requester=${line_of[$opened]}
runs=0 intents=0 results=0
for i in "${events[@]}"; do
  body=${leaf[$i]} run=${run_of[$i]} intent=${intent_of[$i]}
  case ${type[$i]} in
    permit.issued)
      [[ -z ${behind[$i]:-} ]] || broken 10 "the permit of leaf $i says a time before that of an earlier leaf"
      [[ $body =~ \"statements\":\[([^]]*)\] ]] || broken 10 "leaf $i is no permit"
      starts=0 asks=0 voters=
      for one in ${BASH_REMATCH[1]//,/ }; do
        one=${one//\"/}
        from=${at_hash[${one#sha256:}]:-}
        [[ -n $from && -n ${signed[$from]:-} ]] || broken 10 "the permit of leaf $i rests on a statement that does not count"
        slurp "in/statements/$from.txt"
        for pair in "change $change" "plan $plan" "request sha256:${leaf_hash[$opened]}"; do
          field "${pair%% *}"
          [[ -z $value || $value == "${pair#* }" ]] || broken 10 "the statement of leaf $from names another ${pair%% *}"
        done
        case ${act_of[$from]} in
          open) asks=$((asks + 1)) ;;
          run | resume | undo) starts=$((starts + 1)); runner=${line_of[$from]} ;;
          approve) voters+=" ${line_of[$from]}" ;;
          *) broken 10 "the permit of leaf $i rests on a ${act_of[$from]}" ;;
        esac
      done
      ((asks == 1 && starts == 1)) || broken 10 "the permit of leaf $i needs one request and one start"
      [[ $body == *"\"plan\":\"$plan\""* ]] || broken 10 "the permit of leaf $i is for another plan"
      for one in $voters; do
        [[ $one != "$requester" && $one != "$runner" ]] || printf '             note: %s approved and also requested or ran\n' "$one"
      done
      printf '             asked by %s, approved by%s, started by %s\n' "$requester" "${voters:- nobody}" "$runner"
      permit[${leaf_hash[$i]}]=$run
      ;;
    run.started | run.resumed)
      [[ $body =~ \"permit\":\"($DIGEST)\" && ${permit[${BASH_REMATCH[1]#sha256:}]:-} == "$run" && -n $run ]] \
        || broken 11 "leaf $i begins a run under no permit, or under a used one"
      permit[${BASH_REMATCH[1]#sha256:}]=
      running[$run]=${BASH_REMATCH[1]}
      runs=$((runs + 1))
      ;;
    slice.intended)
      [[ -z ${behind[$i]:-} ]] || broken 12 "leaf $i intends at a time before that of an earlier leaf"
      [[ $body == *"\"permit\":\"${running[$run]:-none}\""* ]] || broken 12 "leaf $i intends outside the permit of its run"
      intents=$((intents + 1))
      ;;
    action.intended | action.finished | check.finished | action.reconciled | slice.finished)
      before=${at_hash[$intent]:-}
      [[ -n $intent && -n $before && ${type[$before]} == *.intended ]] || broken 13 "leaf $i has no earlier intent"
      results=$((results + 1))
      ;;
  esac
  at_hash[${leaf_hash[$i]}]=$i
done
holds 10 "every permit rests on statements that count"
holds 11 "$runs run(s), each under its own permit"
holds 12 "no intent outside the permit of its run, or before what was known then"
holds 13 "$results results, each after one of $intents intents"

# --------------------------------------------------------------------------------------------------- rule 16

last=${events[-1]}
closed=0
for i in "${events[@]}"; do [[ ${type[$i]} == change.closed ]] && closed=$((closed + 1)); done
if ((closed == 0)); then
  absent="${absent:+$absent; }the close"
  printf 'INCOMPLETE   rule 16: the change is not closed\n'
else
  [[ $closed -eq 1 && ${type[$last]} == change.closed && -n ${signed[$last]:-} ]] || broken 16 "events after the close, or no valid close"
  row=()
  for i in "${events[@]:0:${#events[@]}-1}"; do row+=("${leaf_hash[$i]}"); done
  count=${#row[@]}
  while ((${#row[@]} > 1)); do
    pairs=() odd=()
    for ((n = 1; n < ${#row[@]}; n += 2)); do pairs+=("${row[n - 1]}${row[n]}"); done
    ((${#row[@]} % 2)) && odd=("${row[-1]}")
    pair_hashes "${pairs[@]}"
    row=("${hashes[@]}" ${odd[@]+"${odd[@]}"})
  done
  [[ ${leaf[$last]} == *"\"count\":$count,\"root\":\"sha256:${row[0]}\","* ]] || broken 16 "the close does not commit the events before it"
  holds 16 "the close commits $count events"
fi

# --------------------------------------------------------------------------------------------------- rule 17

declare -A clock=() wall=()
column '"boot":"([^"]*)"'
boots=("${cells[@]}")
column '.*"mono":([0-9]{1,18})[,}]'
for at in "${!indexes[@]}"; do
  i=${indexes[at]} boot=${boots[at]}
  [[ -n $boot ]] || broken 17 "leaf $i has no boot"
  [[ -n ${cells[at]} ]] || broken 17 "leaf $i has no monotonic time"
  ((cells[at] >= ${clock[$boot]:-0})) || broken 17 "a clock that runs backwards at leaf $i"
  ((walls[at] >= ${wall[$boot]:-${walls[at]}} - 1000000)) || broken 17 "a clock that was set back at leaf $i"
  clock[$boot]=${cells[at]} wall[$boot]=${walls[at]}
done
holds 17 "clocks are monotone in ${#clock[@]} boot(s)"

# Rule 18: time stamps over a head's three lines, where TRUST holds roots for them.
for stamp in in/anchors/*.tsr in/anchors/*/*.tsr; do
  [[ -f $stamp ]] || continue
  of=in/checkpoint what="all of it"
  if [[ $stamp == in/anchors/*/* ]]; then
    at=${stamp#in/anchors/}
    what="its first ${at%%/*} leaves"
    notes=("in/anchors/${at%%/*}/"*.note)
    of=${notes[0]}
    [[ -f $of ]] || { left_out 18 "${stamp#in/} counts for nothing: the head that it is of is not here"; continue; }
  fi
  head -n 3 "$of" > text
  if [[ ! -f $trust/tsa.pem ]]; then
    left_out 18 "${stamp#in/}: TRUST holds no tsa.pem"
  elif openssl ts -verify -data text -in "$stamp" -CAfile "$trust/tsa.pem" > /dev/null 2>&1; then
    stamped=$(openssl ts -reply -in "$stamp" -text 2> /dev/null | sed -nE 's/^Time stamp: //p')
    holds 18 "${stamp#in/}: $what was in the log by $stamped"
  else
    left_out 18 "${stamp#in/} counts for nothing: it is not of TRUST's tsa.pem, or over other text"
  fi
done

left_out 5 "roles and dates of keys of those who signed a new policy or a handover${uncounted:+; how many had to}"
[[ ! -f $trust/checkpoint || -f kept.held ]] || left_out 6 "TRUST/checkpoint is of a period that this file does not lead to from TRUST"
left_out 8 "roles, nonces, touch and PIN of hardware keys; window and scope in a vote"
left_out 10 "quorum and separation of duties, windows, freezes, expiry, a clock that the policy demands: who approved is printed above"
left_out 12 "whether hosts and work lie inside plan and permit; whether approvals still stood"
left_out 13 "whether actions are those of the plan"
left_out 14 "slices, and 15 hosts: whether each is accounted for"
left_out 17 "whether witnesses or stamps contradict a leaf's time"
left_out 19 "the whole log, and 18 what you require: that is for itmp-verify"
left_out 20 "questions, waits and guards: whether answers count and branches were followed"
absent=${absent:-$unreached}
if [[ -n $absent ]]; then
  printf 'RESULT       incomplete: %s\n' "$absent"
  exit 41
fi
printf 'RESULT       what was checked holds\n'
