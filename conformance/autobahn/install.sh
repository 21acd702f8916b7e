#!/bin/sh
# Installs the Autobahn TestSuite into a directory: install.sh DIRECTORY
#
# It needs Python 2.7. PyPy 2.7 comes from Debian bullseye's packages, unpacked there and nowhere else; the rest from PyPI.
set -eu
here=$(dirname "$(readlink -f "$0")")
mkdir -p "$1"
cd "$1"
to=$PWD

mkdir -p apt/lists/partial apt/cache/archives/partial apt/state apt/debs
: > apt/state/status
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" > apt/sources.list
cat > apt/apt.conf <<C
Dir::Etc::sourcelist "$to/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$to/apt/state";
Dir::State::lists "$to/apt/lists";
Dir::State::status "$to/apt/state/status";
Dir::Cache "$to/apt/cache";
C
export APT_CONFIG="$to/apt/apt.conf"
apt-get -qq update
(cd apt/debs && apt-get -qq download python2.7 python2.7-minimal libpython2.7-stdlib libpython2.7-minimal libssl1.1 libffi7 libreadline8 pypy pypy-lib)
unset APT_CONFIG
for package in apt/debs/*.deb; do dpkg -x "$package" root; done

# pip for Python 2.7 runs from its wheel, and what has a setup.py needs setuptools beside it.
python3 -m pip download -q --no-deps -d wheels pip==20.3.4
pip2() {
    LD_LIBRARY_PATH=$to/root/usr/lib/x86_64-linux-gnu PYTHONHOME=$to/root/usr PYTHONPATH=$to/site:$to/wheels/pip-20.3.4-py2.py3-none-any.whl \
        "$to/root/usr/bin/python2.7" -m pip -q --no-python-version-warning install --target site "$@"
}
pip2 setuptools==44.1.1
pip2 --upgrade setuptools==44.1.1 unittest2==1.1.0 -r "$here/requirements.txt"
pip2 --no-deps autobahntestsuite==25.10.1
touch site/zope/__init__.py
# What is compiled for CPython is of no use to PyPy.
(cd site && rm -rf cryptography* cffi* _cffi* pycparser* OpenSSL pyOpenSSL* .libs* && find . -name '*.so' -delete)
touch ready
