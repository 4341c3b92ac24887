#!/usr/bin/env bash
# Makes a certificate authority and a certificate for localhost in this folder; see README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077

days=30
new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2> /dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2> /dev/null; }

new_key ca.key.pem
openssl req -x509 -new -key ca.key.pem -days "$days" -subj "/CN=rillgate development" -out ca.pem \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
new_key server.key.pem
openssl req -new -key server.key.pem -subj "/CN=localhost" |
    openssl x509 -req -CA ca.pem -CAkey ca.key.pem -days "$days" -out server.pem \
        -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nbasicConstraints=CA:FALSE\n') 2> /dev/null
echo "certs/server.pem and certs/server.key.pem are for localhost, signed by certs/ca.pem, for $days days."
