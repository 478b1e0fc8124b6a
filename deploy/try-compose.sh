#!/bin/sh
# Brings deploy/compose.yaml up under a name of its own, publishes one event with psql and another while walpost is
# stopped, waits until the receiver has each, and takes everything down again. Needs a Docker engine with Compose.
# Exit code 0: both arrived.
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
  if [ "$outcome" -eq 0 ]; then echo 'walpost: it works'; else echo 'walpost: it did not work' >&2; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -z "${WALPOST_IMAGE:-}" ]; then $compose build walpost; fi
publish() {
  $compose exec -T postgres psql -U postgres -d app -qAtX -c \
    "select walpost.publish(gen_random_uuid(), 'job.completed', '{\"source\": \"try-compose\"}')"
}

wait_ready() {
  $compose exec -T walpost node -e '
    const deadline = Date.now() + 60_000;
    const ask = () => fetch("http://127.0.0.1:9464/readyz").then((answer) => answer.ok, () => false).then((ready) => {
      if (ready || Date.now() > deadline) process.exit(ready ? 0 : 1);
      setTimeout(ask, 200);
    });
    ask();'
}

wait_received() {
  $compose exec -T receiver node -e \
    "fetch('http://127.0.0.1:8080/received/$1').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"
}

$compose up -d
wait_ready
event_id=$(publish)
wait_received "$event_id"
echo "walpost: $event_id arrived"

$compose stop walpost
event_id=$(publish)
$compose start walpost
wait_received "$event_id"
echo "walpost: $event_id, published while walpost was stopped, arrived"
