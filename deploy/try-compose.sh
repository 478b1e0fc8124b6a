#!/bin/sh
# Brings deploy/compose.yaml up under a name of its own, publishes one event with psql, waits until the receiver has it,
# and takes everything down again. Needs a Docker engine with Compose. Exit code 0: the event arrived.
#   WALPOST_IMAGE   an image that is already built, instead of building one
#   POSTGRES_IMAGE  another Postgres, such as postgres:15-bookworm
set -eu
cd "$(dirname "$0")"

if docker compose version >/dev/null 2>&1; then compose='docker compose'; else compose='docker-compose'; fi
compose="$compose -p walpost-try-$$ -f compose.yaml"
export WALPOST_HTTP_PORT=''

finish() {
  outcome=$?
  if [ "$outcome" -ne 0 ]; then $compose logs --no-color --tail=40 || true; fi
  $compose down --volumes --timeout 20 >/dev/null 2>&1 || true
  if [ "$outcome" -eq 0 ]; then echo 'walpost: the event went from psql to the receiver'; else echo 'walpost: it did not work' >&2; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -z "${WALPOST_IMAGE:-}" ]; then $compose build walpost; fi
$compose up -d
event_id=$($compose exec -T postgres psql -U postgres -d app -qAtX -c \
  "select walpost.publish(gen_random_uuid(), 'job.completed', '{\"source\": \"try-compose\"}')")
echo "walpost: published $event_id"
$compose exec -T receiver node -e \
  "fetch('http://127.0.0.1:8080/received/$event_id').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"
