#!/usr/bin/env bash
# Runs every fuzz target of the root module for the given time, and fails with the first that
# finds something.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
count=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./e2e/\|^./bench/' | sort); do
	package=$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "fuzz $package $target $time"
		go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 | tail -n 1
		count=$((count + 1))
	done
done
[ "$count" -gt 0 ] || { echo "no fuzz target was found" >&2; exit 1; }
echo "$count fuzz targets found nothing"
