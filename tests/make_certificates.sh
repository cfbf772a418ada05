#!/bin/sh
# SPDX-License-Identifier: 0BSD
#
# make_certificates.sh DIRECTORY [server]
#
# Fill an existing directory with the keys and certificates that the tests need. P-256 where nothing else is said; each
# name.pem holds the certificate and behind it the intermediate "tests' intermediate" that signed it, name.key its key.
#
#   ca.pem ca.key           the root that the tests trust: CN=tests' root
#   ca2.pem ca2.key         a root that nobody trusts: CN=strangers' root
#   intermediate.pem .key   CN=tests' intermediate, signed by ca; alone in its file
#   server.pem server.key   CN=server; localhost, 127.0.0.1, ::1
#   short.pem               server's certificate without the intermediate; its key is server.key
#   both.pem                server.pem and server.key in one file
#   locked.key              server.key, encrypted with the password "secret"
#   rsa.pem rsa.key         CN=rsa; RSA of 2048 bits; localhost, 127.0.0.1, ::1
#   other.pem other.key     CN=other; other.example: a second name, for SNI
#   wild.pem wild.key       CN=wild; *.wild.example
#   wrong.pem wrong.key     CN=wrong; wrong.example: good, but never for the name that was asked for
#   expired.pem .key        CN=expired; localhost, 127.0.0.1, ::1; over since the first of February 2020
#   future.pem future.key   CN=future; the same names; begins in 2090
#   self.pem self.key       CN=self; the same names; signed by itself
#   unknown.pem .key        CN=unknown; the same names; signed by ca2, which is behind it
#   client.pem client.key   CN=client; a client's
#   stranger.pem .key       CN=stranger; a client's, signed by ca2
#   server.pin other.pin client.pin     pins of these: base64 of the SHA-256 of the public key, one line
#   empty.pem               an empty file
#   garbage.pem             begins like a certificate, and is none
#   cadir/                  ca.pem, as openssl-rehash(1) leaves it
#
# With "server" only those of ca, intermediate and server. What is signed by ca is good for 30 days. Quiet; where a command fails, its words and a status of 1.
set -eu
LC_ALL=C
export LC_ALL

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ ! -d "$1" ] || [ "${2:-server}" != server ]; then
	echo "usage: make_certificates.sh DIRECTORY [server]" >&2
	exit 2
fi
cd "$1"
only=${2:-}
OPENSSL_CONF=openssl.cnf
SAN=DNS:unused
export OPENSSL_CONF SAN
umask 077

cat > openssl.cnf <<'END'
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[self]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = $ENV::SAN
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $ENV::SAN
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ca]
default_ca = dated
[dated]
dir = dated
database = dated/index
new_certs_dir = dated
rand_serial = yes
unique_subject = no
default_md = sha256
policy = policy
email_in_dn = no
[policy]
commonName = supplied
END

# What OpenSSL says is only of interest where it fails.
run()
{
	openssl "$@" > log 2>&1 || {
		echo "make_certificates.sh: openssl $* failed" >&2
		cat log >&2
		exit 1
	}
}

key()
{
	run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve -out "$1.key"
}

request()
{
	run req -new -key "$1.key" -subj "/CN=$2" -out "$1.req"
}

serial=0

# sign NAME ISSUER EXTENSIONS: NAME.req becomes NAME.crt
sign()
{
	serial=$((serial + 1))
	run x509 -req -sha256 -days 30 -in "$1.req" -CA "$2.crt" -CAkey "$2.key" -set_serial $serial \
		-extfile openssl.cnf -extensions "$3" -out "$1.crt"
}

# own NAME EXTENSIONS: signed by itself
own()
{
	serial=$((serial + 1))
	run x509 -req -sha256 -days 30 -in "$1.req" -signkey "$1.key" -set_serial $serial \
		-extfile openssl.cnf -extensions "$2" -out "$1.crt"
}

# dated NAME FROM TO: a server's certificate with these dates
dated()
{
	run ca -batch -notext -name dated -in "$1.req" -cert intermediate.crt -keyfile intermediate.key \
		-startdate "$2" -enddate "$3" -extfile openssl.cnf -extensions server -out "$1.crt"
}

# leaf NAME ISSUER EXTENSIONS NAMES
leaf()
{
	SAN=$4
	[ -f "$1.key" ] || key "$1"
	request "$1" "$1"
	sign "$1" "$2" "$3"
	cat "$1.crt" "$2.crt" > "$1.pem"
}

pin()
{
	openssl pkey -in "$1.key" -pubout -outform DER | openssl dgst -sha256 -binary | openssl base64 > "$1.pin"
}

here=DNS:localhost,IP:127.0.0.1,IP:::1

key ca
request ca "tests' root"
own ca root
key intermediate
request intermediate "tests' intermediate"
sign intermediate ca intermediate
leaf server intermediate server $here
if [ "$only" = server ]; then
	cp ca.crt ca.pem
	cp intermediate.crt intermediate.pem
	rm -f ./*.req ./*.crt log openssl.cnf
	exit 0
fi

for name in ca2 self expired future; do
	key $name
done
request ca2 "strangers' root"
own ca2 root
for name in ca ca2 intermediate; do
	cp $name.crt $name.pem
done

run genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key
leaf rsa intermediate server $here
leaf other intermediate server DNS:other.example
leaf wild intermediate server 'DNS:*.wild.example'
leaf wrong intermediate server DNS:wrong.example
leaf unknown ca2 server $here
leaf client intermediate client DNS:unused
leaf stranger ca2 client DNS:unused

SAN=$here
request self self
own self self
cp self.crt self.pem

mkdir dated
: > dated/index
request expired expired
dated expired 20200101000000Z 20200201000000Z
request future future
dated future 20900101000000Z 20900201000000Z
cat expired.crt intermediate.crt > expired.pem
cat future.crt intermediate.crt > future.pem

cp server.crt short.pem
cat server.pem server.key > both.pem
run pkcs8 -topk8 -in server.key -passout pass:secret -out locked.key
pin server
pin other
pin client

: > empty.pem
{
	echo '-----BEGIN CERTIFICATE-----'
	echo 'bm8gY2VydGlmaWNhdGU='
	echo '-----END CERTIFICATE-----'
} > garbage.pem
mkdir cadir
cp ca.pem cadir
run rehash cadir
rm -rf dated
rm -f ./*.req ./*.crt log openssl.cnf
