#!/usr/bin/env bash
# A framework with nothing but curl: subscribes in JSON, accepts an offer, launches an
# image, sees it run, acknowledges, kills it, sees it killed.
#
#   test/e2e/curl.sh [MASTER [IMAGE]]
set -euo pipefail
master=${1:-127.0.0.1:5050}
image=${2:-builtin/demo}
api=http://$master/api/v1/scheduler
dir=$(mktemp -d)
trap 'kill "$stream" 2>/dev/null || true; rm -rf "$dir"' EXIT

# first FIELD: the value of the field's first appearance in the events so far, read from
# standard input. The events are JSON without blanks around colons.
first() { grep -o "\"$1\":{\"value\":\"[^\"]*\"" | head -n 1 | sed 's/.*:"//; s/"$//'; }

# await TEXT: waits until an event holds the text, and prints that event.
await() {
  for _ in $(seq 300); do
    if grep -a -m 1 -- "$1" "$dir/events" >"$dir/event" 2>/dev/null; then cat "$dir/event"; return; fi
    sleep 0.1
  done
  echo "no event with $1 within 30 s; so far:" >&2
  cat "$dir/events" >&2
  exit 1
}

# call BODY: sends a call of this framework and fails unless the answer is 202.
call() {
  code=$(curl -sS -o "$dir/answer" -w '%{http_code}' "$api" -H 'Content-Type: application/json' \
    -H "Mesos-Stream-Id: $stream_id" -d "{\"framework_id\":{\"value\":\"$framework\"},$1}")
  [ "$code" = 202 ] || { echo "answer $code: $(cat "$dir/answer")" >&2; exit 1; }
}

# acknowledge EVENT
acknowledge() {
  uuid=$(grep -o '"uuid":"[^"]*"' <<<"$1" | head -n 1 | cut -d'"' -f4)
  call "\"type\":\"ACKNOWLEDGE\",\"acknowledge\":{\"agent_id\":{\"value\":\"$agent\"},\"task_id\":{\"value\":\"curl-1\"},\"uuid\":\"$uuid\"}"
}

: >"$dir/events"
curl -sS -N -D "$dir/head" "$api" -H 'Content-Type: application/json' -d '{"type":"SUBSCRIBE","subscribe":{"framework_info":{
  "user":"root","name":"curl","roles":["*"],"capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"}]}}}' \
  >"$dir/events" &
stream=$!

framework=$(await '"type":"SUBSCRIBED"' | first framework_id)
stream_id=$(tr -d '\r' <"$dir/head" | sed -n 's/^[Mm]esos-[Ss]tream-[Ii]d: //p')
echo "subscribed as $framework, stream $stream_id"

offers=$(await '"type":"OFFERS"')
agent=$(first agent_id <<<"$offers")
offer=$(grep -o '"id":{"value":"[^"]*-O[0-9]*"' <<<"$offers" | head -n 1 | sed 's/.*:"//; s/"$//')
echo "offer $offer of agent $agent"

call "\"type\":\"ACCEPT\",\"accept\":{\"offer_ids\":[{\"value\":\"$offer\"}],\"operations\":[{\"type\":\"LAUNCH\",\"launch\":{\"task_infos\":[{
  \"name\":\"curl\",\"task_id\":{\"value\":\"curl-1\"},\"agent_id\":{\"value\":\"$agent\"},
  \"command\":{\"shell\":false,\"environment\":{\"variables\":[{\"name\":\"PORT0\",\"value\":\"31999\"}]}},
  \"container\":{\"type\":\"MESOS\",\"mesos\":{\"image\":{\"type\":\"DOCKER\",\"docker\":{\"name\":\"$image\"}}}},
  \"resources\":[{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":0.1}},{\"name\":\"mem\",\"type\":\"SCALAR\",\"scalar\":{\"value\":64}}]}]}}]}"
echo "accepted"

acknowledge "$(await '"state":"TASK_STARTING"')"
running=$(await '"state":"TASK_RUNNING"')
echo "running: $(grep -o '"container_status":{.*' <<<"$running" | cut -c1-160)"
grep -q '"container_status"' <<<"$running" || { echo "TASK_RUNNING has no container_status" >&2; exit 1; }
acknowledge "$running"
echo "acknowledged"

call "\"type\":\"KILL\",\"kill\":{\"task_id\":{\"value\":\"curl-1\"},\"agent_id\":{\"value\":\"$agent\"}}"
acknowledge "$(await '"state":"TASK_KILLING"')"
killed=$(await '"state":"TASK_KILLED"')
acknowledge "$killed"
echo "killed: $(grep -o '"message":"[^"]*"' <<<"$killed" | head -n 1)"
call '"type":"TEARDOWN"'
echo "torn down"
