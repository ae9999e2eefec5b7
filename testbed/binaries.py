# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where Kubernetes' programs and etcd come from.

Installed ones, else ready-made ones of the same version, else built once from tagged Go modules.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import download
from testbed.errors import TestbedError

KUBERNETES = "v1.36.3"
ETCD = "v3.6.5"
CONTROL_PLANE = ("etcd", "kube-apiserver")
WITH_KUBELETS = (*CONTROL_PLANE, "kube-controller-manager", "kube-scheduler", "kubelet")

_KUBERNETES_STAGING = "v0." + KUBERNETES.removeprefix("v1.")
# Without these a server that was not built by the release scripts calls itself v0.0.0-master+$Format:%H$,
# which kubectl cannot parse.
_KUBERNETES_VERSION_FLAGS = (
    f"-X k8s.io/component-base/version.gitVersion={KUBERNETES} "
    f"-X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}"
)
_PROGRESS_SECONDS = 15

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How one binary is built.

    :param module: Go module that is downloaded
    :param version: its tag
    :param package: main package inside the module
    :param ldflags: linker flags besides ``-s -w``
    """

    module: str
    version: str
    package: str
    ldflags: str = ""


def _kubernetes(command: str) -> Recipe:
    return Recipe(
        "k8s.io/kubernetes", KUBERNETES, f"k8s.io/kubernetes/cmd/{command}", _KUBERNETES_VERSION_FLAGS
    )


RECIPES = {
    "etcd": Recipe("go.etcd.io/etcd/server/v3", ETCD, "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kubelet": _kubernetes("kubelet"),
    # Only what is measured beside ours needs it.
    "kubectl": _kubernetes("kubectl"),
}


def cache_directory() -> Path:
    """The user's cache of the testbed."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hostfence"


def locate(names: Sequence[str], say: Say) -> dict[str, Path]:
    """Finds the binaries, in KUBEBUILDER_ASSETS, PATH, then the cache; downloads or builds what is nowhere.

    :param names: keys of ``RECIPES``
    :param say: told about progress, one line a call
    :returns: path per name
    :raises TestbedError: nothing found and no way to build
    """
    found = {name: path for name in names if (path := _installed(name) or _cached(name))}
    missing = [name for name in names if name not in found]
    if missing:
        with locked_cache() as cache:
            for name in missing:
                found[name] = _cached(name) or _downloaded(name, cache, say) or _build(name, cache, say)
    return found


def _installed(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(candidate := Path(assets) / name, os.X_OK):
        return candidate
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def _cached(name: str) -> Path | None:
    """The cached binary if its marker says that it is whole and of the wanted version."""
    binary = cache_directory() / "bin" / name
    try:
        version = _marker(binary).read_text().strip()
    except OSError:
        return None
    return binary if version == RECIPES[name].version and os.access(binary, os.X_OK) else None


def _marker(binary: Path) -> Path:
    return binary.with_name(f"{binary.name}.version")


@contextmanager
def locked_cache() -> Iterator[Path]:
    """The cache, for one at a time: two builds of the same thing would only halve each other's speed."""
    cache = cache_directory()
    (cache / "bin").mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def _downloaded(name: str, cache: Path, say: Say) -> Path | None:
    if not download.wanted():
        return None
    recipe = RECIPES[name]
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"download-{name}-") as work:
        program = Path(work, name)
        try:
            download.fetch(name, recipe.version, program)
        except download.NotDownloadedError as reason:
            say(f"no ready-made {name} {recipe.version} ({reason}): it is built")
            return None
        kept = _keep(program, name, cache)
    say(f"downloaded {name} {recipe.version} (once; kept in {cache / 'bin'})")
    return kept


def _keep(program: Path, name: str, cache: Path) -> Path:
    binary = cache / "bin" / name
    # In this order a crash leaves a binary without a marker, never a marker that lies.
    _marker(binary).unlink(missing_ok=True)
    program.replace(binary)
    _marker(binary).write_text(RECIPES[name].version + "\n")
    return binary


def _build(name: str, cache: Path, say: Say) -> Path:
    if not shutil.which("go"):
        raise TestbedError(
            f"{name}: go not found: install Go 1.26+, or set KUBEBUILDER_ASSETS to a directory with {name}"
        )
    recipe = RECIPES[name]
    say(f"building {name} {recipe.version} from {recipe.module} (once; kept in {cache / 'bin'})")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"build-{name}-") as work:
        built = Path(work, name)
        _write_module(Path(work), recipe)
        flags = f"-s -w {recipe.ldflags}".strip()
        command = ["go", "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(built), recipe.package]
        _run_with_progress(command, Path(work), name, say)
        binary = _keep(built, name, cache)
    say(f"built {name} in {time.monotonic() - started:.0f} s")
    return binary


def _write_module(work: Path, recipe: Recipe) -> None:
    """A main module that requires the tagged one, so that the module proxy and its checksums are used."""
    downloaded = json.loads(
        _go(["go", "mod", "download", "-json", f"{recipe.module}@{recipe.version}"], work)
    )
    module = json.loads(_go(["go", "mod", "edit", "-json", downloaded["GoMod"]], work))
    # The tag takes some modules from its own tree; outsiders get them as modules of their own.
    local = [entry for entry in module.get("Replace") or [] if entry["New"]["Path"].startswith("./staging/")]
    paths = [entry["Old"]["Path"] for entry in local]
    lines = [
        "module hostfence.invalid/testbed",
        # Without it Go assumes an old version and picks other versions of the dependencies.
        f"go {module['Go']}",
        f"require {recipe.module} {recipe.version}",
        *(f"replace {path} => {path} {_KUBERNETES_STAGING}" for path in paths),
    ]
    (work / "go.mod").write_text("\n".join(lines) + "\n")
    (work / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{recipe.package}"\n')


def _go_environment() -> dict[str, str]:
    # What is said of programs that run beside others is not meant for the build that all of them wait for.
    inherited = {name: value for name, value in os.environ.items() if name != "GOMAXPROCS"}
    return {**inherited, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOWORK": "off"}


def _go(command: list[str], work: Path) -> str:
    done = subprocess.run(
        command, cwd=work, env=_go_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TestbedError(f"{' '.join(command)}: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def _run_with_progress(command: list[str], work: Path, name: str, say: Say) -> None:
    """Runs a build; go -v prints a line a package, from which progress can be told."""
    started = time.monotonic()
    output = work / "build.log"
    with output.open("w") as log:
        process = subprocess.Popen(command, cwd=work, env=_go_environment(), stderr=log)
    try:
        while True:
            try:
                process.wait(_PROGRESS_SECONDS)
                break
            except subprocess.TimeoutExpired:
                lines = output.read_text(errors="replace").splitlines()
                fetched = sum(line.startswith("go: downloading") for line in lines)
                say(
                    f"  {name}: {fetched} modules fetched, {len(lines) - fetched} packages compiled, "
                    f"{time.monotonic() - started:.0f} s"
                )
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise TestbedError(f"building {name}: {_last_line(output.read_text(errors='replace'))}")


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "failed without a message"
