#!/bin/sh
# Builds the library twice, in directories of different names, and compares the bytes.
#     reproducible.sh DIRECTORY
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
directory=$1
names="one another/with-a-longer-name"
for name in $names; do
  rm -rf "${directory:?}/$name"
  mkdir -p "$directory/$name"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar -cf -) \
    | tar -xf - -C "$directory/$name"
done
for name in $names; do
  # The time zone and the language must not matter either.
  (cd "$directory/$name" && env TZ="UTC-$((${#name} % 12))" LC_ALL=C.UTF-8 make -s lib)
done
for file in libtwolayernet.so libtwolayernet.a; do
  cmp "$directory/one/dist/$file" "$directory/another/with-a-longer-name/dist/$file"
  sha256sum "$directory/one/dist/$file"
done
