#!/usr/bin/env bash
# Installs everything that the tests in this folder run against: a browser, identity providers,
# applications and databases. It is the only installer, may be called any number of times, and
# does only what is missing. It says what it does, and what is missing when it may not install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=$PWD/.cache
mkdir -p "$cache"

say() { echo "e2e/setup.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

# --- Debian packages ----------------------------------------------------------
packages=(
  chromium                                                                       # the browser
  php-cli php-sqlite3                                                            # an old application
  tryton-server tryton-modules-party tryton-modules-sale-opportunity tryton-sao  # a JSON-RPC application
  postgresql                                                                     # the other store
)
# Any Node.js will do, wherever it comes from.
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "this is not Debian; install what these packages hold: ${missing[*]}"
  apt=(apt-get)
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || fail "missing: ${missing[*]}. I may not install them; run: sudo apt-get install --no-install-recommends ${missing[*]}"
    apt=(sudo -n apt-get)
  fi
  say "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${apt[@]}" -qq update || say "the package lists could not be updated; going on with the ones that are here"
  "${apt[@]}" -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >"$cache/apt.log" 2>&1 ||
    { tail -n 20 "$cache/apt.log" >&2; fail "apt-get failed; its whole output is in $cache/apt.log"; }
else
  say "Debian packages: all there"
fi

# --- The identity provider, from npm --------------------------------------------
# Pinned by version in package.json. oidc-provider needs Node.js 20; Debian 12 has 18, so there
# a newer one comes along from npm.
node_for_idp=""
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  node_for_idp="node@22.23.3"
fi
wanted="$(sha256sum idp/package.json | cut -d' ' -f1) $node_for_idp"
if [ "$(cat "$cache/npm.done" 2>/dev/null || true)" != "$wanted" ] || [ ! -d idp/node_modules/oidc-provider ]; then
  say "installing npm packages for the identity provider"
  # shellcheck disable=SC2086  # empty or one word
  (cd idp && npm install --no-package-lock --no-save --no-audit --no-fund --loglevel=error $node_for_idp)
  [ -z "$node_for_idp" ] || idp/node_modules/.bin/node --version >/dev/null || fail "the newer Node.js from npm does not run"
  echo "$wanted" >"$cache/npm.done"
else
  say "npm packages: all there"
fi

# --- PocketBase, from Go modules -------------------------------------------------
wanted="$(cat pocketbase/go.mod pocketbase/go.sum pocketbase/main.go | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$cache/pocketbase.done" 2>/dev/null || true)" != "$wanted" ] || [ ! -x "$cache/pocketbase" ]; then
  say "building PocketBase (a few minutes the first time)"
  (cd pocketbase && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$cache/pocketbase" .)
  echo "$wanted" >"$cache/pocketbase.done"
else
  say "PocketBase: built"
fi
# --- A Tryton database with its modules, to be copied by the tests ------------------
wanted="$(dpkg-query -W -f='${Package}=${Version} ' tryton-server tryton-modules-party tryton-modules-sale-opportunity)"
if [ "$(cat "$cache/tryton.done" 2>/dev/null || true)" != "$wanted" ] || [ ! -s "$cache/tryton/template.sqlite" ]; then
  say "making a Tryton database"
  rm -rf "$cache/tryton"
  mkdir -p "$cache/tryton"
  printf '[database]\nuri = sqlite://\npath = %s\n' "$cache/tryton" >"$cache/tryton/trytond.conf"
  printf 'the-admins-own-password' >"$cache/tryton/password"
  : >"$cache/tryton/template.sqlite" # or it "does not exist"
  TRYTONPASSFILE="$cache/tryton/password" trytond-admin -c "$cache/tryton/trytond.conf" -d template --email admin@tryton.test \
    -u ir res party company sale_opportunity --activate-dependencies >"$cache/tryton/log" 2>&1 ||
    { tail -n 20 "$cache/tryton/log" >&2; fail "trytond-admin failed"; }
  echo "$wanted" >"$cache/tryton.done"
else
  say "Tryton database: made"
fi
say "ready"
