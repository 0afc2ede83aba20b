#!/bin/sh
# Writes deploy/compose/.env with new secrets, from .env.example. Does nothing when there is one already.
set -eu
cd "$(dirname "$0")"
if [ -e .env ]; then echo ".env is there already; nothing was changed" >&2; exit 0; fi
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
while IFS= read -r line; do
  case $line in
    # A letter first: see deploy/nats/users.conf.
    *=change-me) printf '%s=s%s\n' "${line%%=*}" "$(secret)" ;;
    *) printf '%s\n' "$line" ;;
  esac
done < .env.example > .env.new
mv .env.new .env
echo "wrote .env; put your OPENROUTER_API_KEY into it, or use the emulator: see deploy/README.md" >&2
