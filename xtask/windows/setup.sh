#!/bin/bash
# What `cargo xtask windows` needs: Rust's std for Windows and macOS, and a Wine whose HTTP.sys can be used.
# Usage: setup.sh DIRECTORY. As root on Debian 12 (bookworm), with rustup's Rust on PATH; again is quick. Outside of DIRECTORY nothing
# is written but what the two Debian packages have.
set -euo pipefail
mkdir -p "$1"
cd "$1"
DIRECTORY=$PWD
VERSION=$(rustc --version | cut -d' ' -f2)
HOST=$(rustc -vV | sed -n 's/^host: //p')
WINDOWS=x86_64-pc-windows-gnu
export DEBIAN_FRONTEND=noninteractive
step() { echo "[+${SECONDS} s] $*"; }

# The linker, and Wine 8.
dpkg -s gcc-mingw-w64-x86-64 wine64 >/dev/null 2>&1 || {
  step "Debian's gcc-mingw-w64-x86-64 and wine64: 205 MB to download, 1.2 GB on disk"
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends gcc-mingw-w64-x86-64 wine64 >apt.log 2>&1
}

# The sources of std, and two files of Wine 10, from the next Debian, by an apt of its own: nothing is added to the machine's sources.
[ -d "src-$VERSION" ] || {
  step "the sources of Rust $VERSION and Wine 10's HTTP.sys, from Debian 13: 160 MB to download"
  mkdir -p apt/{lists/partial,cache/archives/partial,state,preferences}
  : > apt/status
  MIRROR=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -n 1)
  FROM="[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${MIRROR:-http://deb.debian.org/debian}"
  printf "deb $FROM %s main\n" trixie trixie-backports > apt/sources.list
  APT="-o Dir::Etc::sourcelist=$DIRECTORY/apt/sources.list -o Dir::Etc::sourceparts=-
    -o Dir::Etc::preferencesparts=$DIRECTORY/apt/preferences -o Dir::State=$DIRECTORY/apt/state
    -o Dir::State::lists=$DIRECTORY/apt/lists -o Dir::State::status=$DIRECTORY/apt/status
    -o Dir::Cache=$DIRECTORY/apt/cache -o APT::Sandbox::User=root"
  apt-get $APT update -qq
  SOURCE=$(apt-cache $APT madison rust-src | awk -v version="$VERSION" '$3 ~ "^"version"[+]" {print $3; exit}')
  [ -n "$SOURCE" ] || { echo "Debian has no rust-src of version $VERSION, which rustc is" >&2; exit 1; }
  apt-get $APT download -qq "rust-src=$SOURCE" libwine/trixie
  rm -rf unpacked
  dpkg-deb -x rust-src_*.deb unpacked
  mkdir -p wine10
  dpkg-deb --fsys-tarfile libwine_*.deb |
    tar -x -C wine10 --strip-components=6 --wildcards '*/x86_64-windows/httpapi.dll' '*/x86_64-windows/http.sys'
  rm ./*.deb
  mv unpacked "src-$VERSION"
}

# std, once for each version of Rust and each target. For macOS there is no linker: what a check needs of it is all.
build_std() {
  local target=$1 how=$2 kind=$3 library="sysroot-$VERSION/lib/rustlib/$1/lib"
  [ -d "$library" ] && return
  step "std for $target"
  rm -rf std
  mkdir -p std/src
  echo '#![no_std]' > std/src/lib.rs
  printf '[package]\nname="wanted"\nversion="0.0.0"\nedition="2021"\n[profile.release]\ndebug=0\n[workspace]\n' > std/Cargo.toml
  ( cd std
    # Of all that is built, only std is built so: it is what a nightly Rust would build.
    RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$DIRECTORY/src-$VERSION/usr/src/rustc-$VERSION/library" \
      CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc CARGO_TARGET_DIR=target \
      cargo "$how" -q --release --target "$target" -Z build-std=std,panic_unwind,panic_abort,test,proc_macro )
  mkdir -p "$library.new"
  cp std/target/"$target"/release/deps/*."$kind" "$library.new/"
  rm "$library.new"/libwanted-*
  mv "$library.new" "$library"
  ln -sfn "$(rustc --print sysroot)/lib/rustlib/$HOST" "sysroot-$VERSION/lib/rustlib/$HOST"
  rm -rf std
}
build_std $WINDOWS build rlib
build_std x86_64-apple-darwin check rmeta
build_std aarch64-apple-darwin check rmeta
ln -sfn "sysroot-$VERSION" sysroot

# Wine 8, whose HTTP.sys streams nothing, with that of Wine 10. As hard links it takes no room.
LIBRARIES=$DIRECTORY/wine/usr/lib
[ -d "$LIBRARIES" ] || {
  mkdir -p "$LIBRARIES/x86_64-linux-gnu" wine/usr/share
  copy() { cp -al "$1" "$2" 2>/dev/null || cp -a "$1" "$2"; }
  copy /usr/lib/wine "$LIBRARIES/"
  copy /usr/lib/x86_64-linux-gnu/wine "$LIBRARIES/x86_64-linux-gnu/"
  cp -a /usr/share/wine wine/usr/share/
  for file in httpapi.dll http.sys; do
    rm "$LIBRARIES/x86_64-linux-gnu/wine/x86_64-windows/$file"
    cp "$(find wine10 -name $file)" "$LIBRARIES/x86_64-linux-gnu/wine/x86_64-windows/"
  done
}

# A machine's directory, 700 MB, with the one library that Wine 8 lacks and no Rust program starts without.
[ -d prefix ] || {
  step "Wine's directory"
  export WINELOADER=$LIBRARIES/wine/wine64 WINESERVER=$LIBRARIES/wine/wineserver64 WINEPREFIX=$DIRECTORY/prefix.new WINEDEBUG=-all DISPLAY=
  rm -rf prefix.new
  "$WINELOADER" wineboot -i >/dev/null 2>&1
  "$WINESERVER" -w
  cat > random.c <<'X'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return SystemFunction036(p, (ULONG)n) != 0; }
X
  x86_64-w64-mingw32-gcc -O2 -shared -nostartfiles -Wl,-e,0 -o prefix.new/drive_c/windows/system32/bcryptprimitives.dll random.c -ladvapi32
  mv prefix.new prefix
}

# Dependencies with C in them, for macOS: a check needs their build scripts to succeed and nothing of what they build.
cat > no-compiler <<'X'
#!/bin/sh
before=
for word in "$@"; do
  [ "$before" = -o ] && : > "$word"
  case "$word" in *.a) : > "$word" ;; esac
  before=$word
done
exit 0
X
chmod +x no-compiler
step "all there"
