#!/bin/sh
# Copies the console's browser libraries, with their licences, out of their npm packages into
# static/vendor/. Run it to change a version (then write the sums anew: `vendor.sh --sums`); the
# sums in SHA256SUMS say what is expected, and a test checks them.
set -eu
cd "$(dirname "$0")/static/vendor"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# package version file... : each file is copied under its own name, the licence under the package's.
take() {
    name=$1 package=$2 licence=$3
    shift 3
    (cd "$work" && npm pack --silent "$package" > /dev/null && tar -xzf ./*.tgz && rm ./*.tgz)
    cp "$work/package/$licence" "$name.LICENSE.txt"
    for file in "$@"; do cp "$work/package/$file" .; done
    rm -r "$work/package"
}

take htmx htmx.org@4.0.1 LICENSE dist/htmx.min.js
take uplot uplot@1.6.32 LICENSE dist/uPlot.iife.min.js dist/uPlot.min.css
take pico @picocss/pico@2.1.1 LICENSE.md css/pico.min.css

chmod 644 ./*
if [ "${1:-}" = --sums ]; then
    sha256sum -- *.css *.js *.txt > SHA256SUMS
fi
sha256sum --check --strict SHA256SUMS
