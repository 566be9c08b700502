#!/bin/sh
# Makes the secrets that the compose files name, once, in the folder secrets/ beside this file (or in the one that is given).
# The folder is open to its owner alone. The files are readable, because a container sees them with the same rights
# and reads them as a user of its own.
set -eu

folder=${1:-$(dirname "$0")/secrets}

if [ -e "$folder" ]; then
    echo "simsearch: $folder is there already; nothing was changed." >&2
    exit 1
fi

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Made beside and renamed: half a set of secrets would start half of the containers.
fresh=$folder.new
rm -rf "$fresh"
mkdir -m 700 "$fresh"
cd "$fresh"
umask 333

postgres_password=$(random)
redis_password=$(random)
# No line ends: what is in the file is the value.
random >secret_key
printf %s "$postgres_password" >postgres_password
printf %s "postgres://simsearch:$postgres_password@postgres:5432/simsearch" >database_url
printf %s "$redis_password" >redis_password
printf %s "redis://:$redis_password@redis:6379/0" >redis_url
random >s3_secret_key

cd - >/dev/null
mv "$fresh" "$folder"
echo "The secrets are in $folder; keep a copy of it with your backups."
