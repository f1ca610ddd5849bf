#!/bin/sh
# Makes ca.pem, server.pem and client.pem, the latter two with their keys, anew; the authority's key is thrown away.
# Python 3.13 verifies strictly: without these key usages and key identifiers it refuses a certificate.
set -eu
cd "$(dirname "$0")"
new=$(mktemp -d)
trap 'rm -r "$new"' EXIT

cat >"$new/extensions" <<'END'
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END

make() { # file, common name, what signs it
    file=$1 name=$2
    shift 2
    openssl req -x509 -config "$new/extensions" -extensions "$file" -subj "/CN=eventpub test $name" -days 36500 \
        -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout "$new/$file.key" -out "$new/$file.pem" "$@"
}

make ca authority
make server server -CA "$new/ca.pem" -CAkey "$new/ca.key"
make client client -CA "$new/ca.pem" -CAkey "$new/ca.key"
cat "$new/server.key" >>"$new/server.pem"
cat "$new/client.key" >>"$new/client.pem"
mv "$new/ca.pem" "$new/server.pem" "$new/client.pem" .
