{{/*
What the chart reads in rillgate.toml, so that nothing has to be written twice. Defaults of absent keys are the program's; a
test compares them.
*/}}

{{/* Milliseconds of a duration as rillgate writes it. Takes a dict of `key` and `text`. */}}
{{- define "rillgate.milliseconds" -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?(ms|s|m|h|d)$" (toString .text)) -}}
{{- fail (printf "config: %s: invalid duration %q: expected a number and a unit (ms, s, m, h, d), such as \"15s\"" .key (toString .text)) -}}
{{- end -}}
{{- $unit := regexFind "[a-z]+$" .text -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) $unit -}}
{{ mulf (trimSuffix $unit .text | float64) $factor | ceil | int64 }}
{{- end -}}

{{/* The port of a socket address that other pods can reach. Takes a dict of `key` and `address`. */}}
{{- define "rillgate.port" -}}
{{- $port := regexFind "[0-9]+$" (toString .address) | int -}}
{{- if regexMatch "^(127[.]|\\[::1\\])" (toString .address) -}}
{{- fail (printf "config: %s: %s is reached only inside the pod: use 0.0.0.0:%d" .key .address $port) -}}
{{- else if not (regexMatch ":[0-9]+$" (toString .address)) -}}
{{- fail (printf "config: %s: %q is no address with a port, such as \"0.0.0.0:8080\"" .key (toString .address)) -}}
{{- else if lt $port 1024 -}}
{{- fail (printf "config: %s: port %d: the gateway may not bind ports below 1024 here: use a higher one, and `service.ports` for what clients connect to" .key $port) -}}
{{- end -}}
{{ $port }}
{{- end -}}

{{/*
As JSON: the port of the admin port, the listeners, the times in seconds, the number of descriptors, and a digest of what only
a restart changes.
*/}}
{{- define "rillgate.facts" -}}
{{- $config := fromToml .Values.config -}}
{{- if hasKey $config "Error" -}}
{{- fail (printf "config: %s" $config.Error) -}}
{{- end -}}

{{- if not (hasKey $config "admin") -}}
{{- fail "config: [admin] is missing: the probes ask the admin port. Add: [admin] address = \"0.0.0.0:9464\"" -}}
{{- end -}}
{{- $admin := include "rillgate.port" (dict "key" "admin.address" "address" (default "127.0.0.1:9464" $config.admin.address)) | int -}}
{{- if hasKey $config "store" -}}
{{- fail "config: [store]: the pods of a Deployment have no disk of their own: use replay.store = \"cluster\" with [cluster], or \"memory\"" -}}
{{- end -}}

{{- if not $config.listeners -}}
{{- fail "config: [[listeners]] is missing: clients need one" -}}
{{- end -}}
{{- $listeners := list -}}
{{- $names := list -}}
{{- range $index, $listener := $config.listeners -}}
{{- $key := printf "listeners[%d].address" $index -}}
{{- if not $listener.address -}}
{{- fail (printf "config: %s is missing: there is no systemd in a pod" $key) -}}
{{- end -}}
{{- $name := default (printf "listener-%d" $index) $listener.name -}}
{{- $names = append $names $name -}}
{{- $isPeer := and (eq (default "peer" $listener.client_address) "peer") (not $listener.proxy_protocol) -}}
{{- $portName := ternary $name (printf "listener-%d" $index) (and (ne $name "admin") (regexMatch "^[a-z]([-a-z0-9]{0,13}[a-z0-9])?$" $name)) -}}
{{- $port := include "rillgate.port" (dict "key" $key "address" $listener.address) | int -}}
{{- $outside := default $port (get $.Values.service.ports $name) | int -}}
{{- $listeners = append $listeners (dict "name" $name "portName" $portName "port" $port "outside" $outside "hasTls" (not (empty $listener.tls)) "isPeer" $isPeer) -}}
{{- end -}}
{{- range $name, $port := .Values.service.ports -}}
{{- if not (has $name $names) -}}
{{- fail (printf "service.ports.%s: no listener of the configuration has this name; it has: %s" $name (join ", " $names)) -}}
{{- end -}}
{{- end -}}

{{- $drain := dig "server" "drain" dict $config -}}
{{- $notice := include "rillgate.milliseconds" (dict "key" "server.drain.notice" "text" (default "0s" $drain.notice)) | int64 -}}
{{- $deadline := include "rillgate.milliseconds" (dict "key" "server.drain.deadline" "text" (default "30s" $drain.deadline)) | int64 -}}
{{- $spread := min 5000 $deadline -}}
{{- if $drain.spread -}}
{{- $spread = include "rillgate.milliseconds" (dict "key" "server.drain.spread" "text" $drain.spread) | int64 -}}
{{- end -}}
{{- if lt $notice 5000 -}}
{{- fail (printf "config: server.drain.notice is %s: balancers send clients to a pod for some seconds after it was told to end. Set at least 5s: [server] drain = { notice = \"10s\", spread = \"20s\", deadline = \"30s\" }" (default "0s (the default)" $drain.notice)) -}}
{{- end -}}
{{- $stop := divf (add $notice $deadline) 1000 | ceil | int -}}
{{- $moved := divf (add $notice $spread) 1000 | ceil | int -}}

{{- /* The tables that a reload leaves as they are; all of it where the gateway does not watch the file. */ -}}
{{- $restart := dict "server" (omit (default dict $config.server) "watch") "log" $config.log "listeners" $config.listeners "admin" $config.admin "cluster" $config.cluster "entries" (dig "revocations" "entries" "" $config) -}}
{{- if not (dig "server" "watch" true $config) -}}
{{- $restart = $config -}}
{{- end -}}

{{- $limits := default dict $config.limits -}}
{{- $descriptors := add (default 100000 $limits.connections) (default 10000 $limits.streams) (default 128 $limits.reserved_files) -}}

{{- dict "admin" $admin "listeners" $listeners "stop" $stop "moved" $moved "descriptors" $descriptors "digest" ($restart | toJson | sha256sum) "isCluster" (hasKey $config "cluster") | toJson -}}
{{- end -}}

{{/* As JSON: the listener behind an ingress or a route. Takes a dict of `root`, `key` and `name`. */}}
{{- define "rillgate.proxied" -}}
{{- $facts := include "rillgate.facts" .root | fromJson -}}
{{- $found := dict -}}
{{- range $facts.listeners -}}
{{- if and (not $found) (or (not $.name) (eq .name $.name)) -}}
{{- $found = . -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "%s.listener: no listener of the configuration is named %q" .key .name) -}}
{{- end -}}
{{- if $found.isPeer -}}
{{- fail (printf "%s: the listener %q takes the proxy for the client, so that all clients share the limits of one address: set client_address = \"x-forwarded-for\" and trusted_proxies = [\"10.0.0.0/8\"], the network of the proxy's pods" .key $found.name) -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}
