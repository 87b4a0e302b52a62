# Sourced by scripts/test and scripts/demo: leaves a ready environment in $root/.venv.
#
# .venv holds the versions of constraints.txt and this checkout, editable. Its stamp is written last,
# so a set-up that was interrupted counts as none. Nothing is installed, and no network is asked,
# while the stamp matches. Chosen Python: $PYTHON, else python3. A torch >= 2.6 that this Python
# already imports is used as it is; else the CPU build is installed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
log=$venv/install.log

say() { printf '%s\n' "hf_repsim: $*" >&2; }
die() { say "$*"; exit 1; }

choose_python() {
    local named=${PYTHON:-python3}
    command -v "$named" >/dev/null ||
        die "no $named here; install Python 3.10 or newer, or name one: PYTHON=python3.12 $0"
    # An activated .venv is about to be replaced, so the Python behind it does the work.
    python=$("$named" - "$venv" <<'EOF'
import os, sys
if sys.version_info < (3, 10):
    sys.exit("hf_repsim: %s is Python %s" % (sys.executable, sys.version.split()[0]))
ours = os.path.realpath(sys.prefix) == os.path.realpath(sys.argv[1])
print(sys._base_executable if ours else sys.executable)
EOF
    ) || die "Python 3.10 or newer is needed; name one: PYTHON=python3.12 $0"
}

wanted_stamp() {
    "$python" - "$root" <<'EOF'
import hashlib, os, re, sys
root = sys.argv[1]
parts = [root, sys.version]
for name in ("constraints.txt", "pyproject.toml", "scripts/environment.sh"):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        parts.append(file.read())
with open(os.path.join(root, "hf_repsim", "__init__.py"), encoding="utf-8") as file:
    parts += re.findall("^__version__.*", file.read(), re.M)
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
EOF
}

is_ready() { [ "$(cat "$venv/stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$venv/bin/python" ]; }

# The lock belongs to the open file, so it goes when the last process that has it open ends: a
# set-up that was killed leaves no lock behind, and pip that outlives it is waited for.
take_lock() {
    [ -e "$venv/lock" ] || [ ! -e "$venv" ] ||
        die "$venv was not made by this script; move it away and run again"
    mkdir -p "$venv"
    exec 9>>"$venv/lock"
    "$python" - <<'EOF'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.stderr.write("hf_repsim: waiting for another set-up of this checkout\n")
    fcntl.flock(9, fcntl.LOCK_EX)
EOF
}

fail() {
    say "this step failed; the last lines of $log:"
    tail -n 15 "$log" >&2
    exit 1
}

logged() { printf '\n$ %s\n' "$*" >>"$log"; "$@" >>"$log" 2>&1; }

pip_install() {
    logged "$venv/bin/python" -m pip --disable-pip-version-check --no-input install \
        --no-compile -c "$venv/constraints.txt" "$@"
}

# What pip would do with one core. Templates and the like are no Python, so its status says nothing;
# what packages bring as tests nobody imports.
compile_installed() {
    logged "$venv/bin/python" -m compileall -q -j 0 -x 'site-packages/.*/tests?/' "$venv/lib" || :
}

# Where the chosen Python keeps a torch that is new enough; nothing if it has none.
find_torch() {
    "$python" - 2>>"$log" <<'EOF'
import os
try:
    import torch
except Exception:  # one that is there and broken is of no use either
    raise SystemExit
if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 6):
    print(os.path.dirname(os.path.dirname(os.path.abspath(torch.__file__))))
EOF
}

install_torch() {
    local version there
    version=$(sed -n 's/^torch==//p' "$root/constraints.txt")
    there=$(find_torch) || fail
    if [ -n "$there" ]; then
        say "using the torch in $there"
        # A path file and not --system-site-packages, which does not see the packages of an outer
        # virtual environment.
        printf '%s\n' "$there" >"$("$venv/bin/python" -c \
            'import sysconfig; print(sysconfig.get_path("purelib"))')/outer_torch.pth"
        return
    fi
    say "installing torch $version for CPU"
    pip_install "torch==$version+cpu" && return
    grep -q "No matching distribution found for torch==$version+cpu" "$log" || fail
    [ "$(uname -s)" != Linux ] ||
        say "pip is offered no CPU build of torch $version, so it takes the default one, which brings" \
            "gigabytes of CUDA libraries. To spare them, stop here, set PIP_EXTRA_INDEX_URL to" \
            "PyTorch's index of CPU wheels, and run again."
    pip_install "torch==$version" || fail
}

set_up() {
    local seconds=$SECONDS
    find "$venv" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
    : >"$log"
    say "making .venv with $("$python" -V); log in .venv/install.log"
    logged "$python" -m venv "$venv" || fail
    # torch comes first and stays as it is, so the others are not told its version.
    sed '/^torch==/d' "$root/constraints.txt" >"$venv/constraints.txt"
    install_torch
    say "installing the other packages of constraints.txt"
    pip_install setuptools || fail
    # The pinned setuptools builds the package: build isolation would fetch one of its own choice.
    pip_install --no-build-isolation --editable "${root}[dev]" || fail
    compile_installed
    printf '%s\n' "$stamp" >"$venv/stamp.new"
    mv "$venv/stamp.new" "$venv/stamp"
    say "ready in $((SECONDS - seconds)) s"
}

choose_python
stamp=$(wanted_stamp)
if ! is_ready; then
    take_lock
    is_ready || set_up
    exec 9>&-
fi
# Tests and demo hear and load what is in the checkout; nothing may wait for a network.
export HF_HUB_OFFLINE=1
