#!/bin/sh
# The walk of somebody who writes plugins, from nothing: a fresh environment, a plugin of each kind, the tests of each,
# and an image that is built with all of them.
#
#     plugin-author.sh FUKI
#
# FUKI is what pip installs: a wheel or a directory with sources. The current directory has Debian's linux.efi.stub,
# vmlinuz and OVMF.fd, and nothing else is needed but python3 and openssl.
set -eu

python3 -m venv environment
environment/bin/pip install --quiet "$1" pytest
PATH=$PWD/environment/bin:$PATH

for kind in platform firmware signer output check launch; do
    fuki plugin new "walk-$kind" --kind "$kind"
done
environment/bin/pip install --quiet ./fuki-walk-platform ./fuki-walk-firmware ./fuki-walk-signer ./fuki-walk-output \
    ./fuki-walk-check ./fuki-walk-launch
# Whatever is kept from here on is kept here.
XDG_CACHE_HOME=$PWD/cache
export XDG_CACHE_HOME

for kind in platform firmware signer output check launch; do
    (cd "fuki-walk-$kind" && python -m pytest -q -p no:cacheprovider)
done

mkdir releases store
mv OVMF.fd releases/q35.fd
openssl req -x509 -newkey rsa:2048 -passout pass:open-sesame -days 365 -subj /CN=Walk -keyout store/release.pem \
    -out db.crt 2>/dev/null

cat >fuki.toml <<RECIPE
[fuki]
name = "walk"
version = "1"
plugins = ["walk-platform", "walk-firmware", "walk-signer", "walk-output", "walk-check", "walk-launch"]

[fuki.image]
stub = "linux.efi.stub"
linux = "vmlinuz"
cmdline = "root=LABEL=root ro"
os-release = { text = "ID=walk\n" }

[[fuki.firmware]]
source = "walk-firmware"
releases = "releases"
board = "q35"
sha256 = "$(sha256sum releases/q35.fd | cut -d' ' -f1)"
platforms = ["walk-platform"]

[fuki.sign]
backend = "walk-signer"
store = "store"
key = "release"
certificate = "db.crt"
passphrase = "env:STORE_PASSPHRASE"

[[fuki.launch]]
technology = "walk-launch"
vcpus = [1, 2]

[[fuki.output]]
format = "uki"
path = "walk.efi"

[[fuki.output]]
format = "walk-output"
path = "walk.txt"
RECIPE

fuki plan
STORE_PASSPHRASE=open-sesame fuki build
fuki verify walk.efi --certificate db.crt
fuki --plugin walk-platform match walk.efi --platform walk-platform --json >match.json
fuki --plugin walk-launch launch walk.efi --vcpus 1,2 --json >launch.json
fuki --plugin walk-check check walk.efi
