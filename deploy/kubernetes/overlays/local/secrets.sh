#!/bin/sh
# Prints the Secrets that the manifests refer to, with new passwords: ./secrets.sh | kubectl apply -f -
# Once for each cluster: Postgres keeps the administrator's password of its first start.
set -eu
# A letter first: see deploy/nats/users.conf.
new() { printf 's'; od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
secret() {
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: planstream}\nstringData:\n' "$1"
  shift
  for pair in "$@"; do printf '  %s: "%s"\n' "${pair%%=*}" "${pair#*=}"; done
}
admin=$(new) token=$(new)
plan_api=$(new) generator=$(new) gateway=$(new)
database=planstream-postgres-rw:5432/planstream
secret planstream-postgres-admin username=postgres "password=$admin"
secret migrations "ADMIN_DATABASE_URL=postgresql://postgres:$admin@$database"
secret nats-passwords "NATS_PLAN_API_PASSWORD=$plan_api" "NATS_GENERATOR_PASSWORD=$generator" \
  "NATS_STREAM_GATEWAY_PASSWORD=$gateway" "NATS_OPERATOR_PASSWORD=$(new)"
secret plan-api "DATABASE_URL=postgresql://plan_api:$(new)@$database" \
  "NATS_URL=nats://plan-api:$plan_api@nats:4222" "SERVICE_TOKEN=$token"
secret generator "DATABASE_URL=postgresql://generator:$(new)@$database" \
  "NATS_URL=nats://generator:$generator@nats:4222" "SERVICE_TOKEN=$token" "OPENROUTER_API_KEY=none-given"
secret stream-gateway "DATABASE_URL=postgresql://stream_gateway:$(new)@$database" \
  "NATS_URL=nats://stream-gateway:$gateway@nats:4222" "SERVICE_TOKEN=$token" "JWT_SECRET=$(new)"
