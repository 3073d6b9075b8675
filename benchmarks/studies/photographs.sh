#!/bin/sh
# Fetch the photographs of photographs.txt (Debian package, end of its path) into a folder:
#     sh benchmarks/studies/photographs.sh photographs
# On Debian 12; the packages are unpacked, not installed. For testing only: nothing is trained on
# them, and they are no part of this repository.
set -e
list=$(cd "$(dirname "$0")" && pwd)/photographs.txt
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for package in $(cut -d ' ' -f 1 "$list" | sort -u); do
    apt-get download -q "$package"
    dpkg -x "$package"_*.deb "$package"
done
while read -r package path; do
    file=$(find "$package" -type f -path "*/$path")
    cp "$file" "$folder/$package-$(echo "$path" | tr / -)"
done < "$list"
