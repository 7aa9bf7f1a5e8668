#!/bin/sh
# Fuzzes what reads strangers' bytes, with the pinned stable compiler: libFuzzer needs coverage only.
# Usage: fuzz.sh SECONDS [TARGET…]; corpora are kept in target/fuzz/corpus/TARGET, inputs that fail in target/fuzz/failed.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
seconds=$1
shift
[ $# -gt 0 ] || set -- files frames dns segments texts
host=$(rustc -vV | sed -n 's/^host: //p')
kept=$root/target/fuzz
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table" \
    cargo build --release --target "$host" --target-dir "$kept"
status=0
for target in "$@"; do
    mkdir -p "$kept/corpus/$target" "$kept/failed"
    seeds=
    [ "$target" != files ] || { seeds=$kept/seeds && mkdir -p "$seeds" &&
        find "$root/samples/cases" -name '*.pcap*' -size -20k -exec cp -f --backup=numbered {} "$seeds" \;; }
    # A minute for one input, or 512 MiB, is a hang or memory without bound.
    "$kept/$host/release/$target" "$kept/corpus/$target" $seeds -max_total_time="$seconds" -max_len=20000 -timeout=60 \
        -rss_limit_mb=512 -artifact_prefix="$kept/failed/$target-" -print_final_stats=1 2>"$kept/$target.log" || status=1
    sed -n '/^SUMMARY\|panicked at\|stat::number_of_executed_units\|stat::peak_rss/p' "$kept/$target.log" | sed "s/^/$target: /"
done
exit $status
