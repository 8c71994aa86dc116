#!/bin/sh
# Runs prompt.json with an API token, waits for it and saves its pictures. See docs/client-guide.md.
#
#     GATEWAY_TOKEN=mss_… sh picture.sh http://127.0.0.1:8000
#
# Needs curl (7.76 or newer) and jq. Make the token on your account page (/account).
set -eu
url=${1%/}
here=$(dirname "$0")

# The header comes through a pipe: arguments can be read by everybody on the machine.
ask() {
  path=$1
  shift
  printf 'header = "Authorization: Bearer %s"\n' "$GATEWAY_TOKEN" |
    curl --silent --show-error --fail-with-body --config - "$url$path" "$@"
}

# Show the gateway's sentence and code instead of the answer, and end.
refused() {
  printf '%s\n' "$1" | jq -r '"\(.error.message? // .error) (\(.code // .error.type))"' >&2
  exit 1
}

me=$(ask /mss-login/api/me) || refused "$me"
printf '%s' "$me" | jq -r '"You are \(.username) (\(.role))."'

body=$(jq '{prompt: .}' "$here/prompt.json")
sent=$(ask /prompt --data-binary "$body") || refused "$sent"
id=$(printf '%s' "$sent" | jq -r .prompt_id)

# The history has the prompt as soon as it ended. The place in the queue is at /mss-login/api/queue.
entry=
while [ -z "$entry" ]; do
  sleep 1
  history=$(ask "/history/$id") || refused "$history"
  entry=$(printf '%s' "$history" | jq -c --arg id "$id" '.[$id] // empty')
done
if [ "$(printf '%s' "$entry" | jq -r .status.status_str)" != success ]; then
  echo "The prompt failed." >&2
  exit 1
fi

# filename, subfolder and type are sent back as they came.
printf '%s' "$entry" |
  jq -r '.outputs[].images[]? | [.filename, "filename=\(.filename|@uri)&subfolder=\(.subfolder|@uri)&type=\(.type|@uri)"] | @tsv' |
  while IFS="$(printf '\t')" read -r name query; do
    ask "/view?$query" --output "$name"
    echo "Saved $name"
  done
