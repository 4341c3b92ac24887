#!/usr/bin/env bash
# curl in a loop: it prints what comes, and everything else is the script's. It reads what the gateway writes (LF, a space
# behind each colon), not all that the standard allows.

set -uo pipefail
url="$1" bearer="$2"
id='' retry=1

# Ends with its standard input.
( cat > /dev/null; kill $$ ) <&0 &
trap 'kill $! 2> /dev/null' EXIT

quote() {
    local text="${1//\\/\\\\}"
    text="${text//\"/\\\"}"
    printf '"%s"' "${text//$'\n'/\\n}"
}

while true; do
    headers=(--header 'accept: text/event-stream')
    [ "$bearer" = - ] || headers+=(--oauth2-bearer "$(< "$bearer")")
    [ -z "$id" ] || headers+=(--header "last-event-id: $id")
    type='' data='' status='' next="$id"
    while IFS= read -r line; do
        # The head comes first, because of --include.
        if [ -z "$status" ]; then
            status="${line#* }" status="${status%% *}" status="${status%$'\r'}"
            in_head=true
        elif $in_head; then
            [ "$line" != $'\r' ] || in_head=false
        else
            case "$line" in
                '') id="$next"
                    [ -z "$data" ] || printf '{"type":%s,"data":%s,"id":%s}\n' \
                        "$(quote "${type:-message}")" "$(quote "${data%$'\n'}")" "$(quote "$id")"
                    type='' data='' ;;
                'event: '*) type="${line#event: }" ;;
                'data: '*) data+="${line#data: }"$'\n' ;;
                'id: '*) next="${line#id: }" ;;
                'retry: '*) retry="$(printf '%d.%03d' $((${line#retry: } / 1000)) $((${line#retry: } % 1000)))" ;;
            esac
        fi
    done < <(curl --silent --no-buffer --include "${headers[@]}" "$url")
    case "$status" in
        204 | 4*) echo "{\"closed\":$status}"; exit 0 ;;
    esac
    echo '{"lost":"the response ended"}'
    sleep "$retry"
done
