"""Models of the Hub: huggingface_hub itself, against a small hub on a loopback port."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import tiny_llama

from llamaherd import ModelLoadError
from llamaherd.hub import HubName, parts

REPO, COMMIT = "herd/tiny-GGUF", "a" * 40
PROGRAM = """
import json, sys
from llamaherd import LlamaHerdError
from llamaherd.model import Model
try:
    with Model(sys.argv[1]) as model:
        print(json.dumps({"file": model.path.name, "layers": model.n_layer}))
except LlamaHerdError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


class Hub(ThreadingHTTPServer):
    """What huggingface_hub asks of huggingface.co, for one repository."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked = files, list[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_args: Any) -> None:
        """Not on the screen."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path.startswith(f"/api/models/{REPO}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                for name, data in self.server.files.items()
            ]
            return self._send(json.dumps(tree).encode(), body, "application/json")
        if path.startswith(f"/api/models/{REPO}"):
            siblings = [{"rfilename": name} for name in self.server.files]
            info = {"id": REPO, "sha": COMMIT, "siblings": siblings}
            return self._send(json.dumps(info).encode(), body, "application/json")
        data = self.server.files.get(path.partition("/resolve/main/")[2])
        data = self.server.files.get(path.partition(f"/resolve/{COMMIT}/")[2], data)
        if data is None or not path.startswith(f"/{REPO}/resolve/"):
            code = "EntryNotFound" if path.startswith(f"/{REPO}/") else "RepoNotFound"
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(data, body, "application/octet-stream")

    def _send(self, data: bytes, body: bool, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{_oid(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub() -> Iterator[Hub]:
    model = bytes(tiny_llama().data)
    files = {"README.md": b"hi", "tiny.Q4_K_M.gguf": model, "tiny.Q8_0.gguf": model}
    with Hub(files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _load(name: str, hub: Hub, home: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
             "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_is_fetched_once_and_found_in_the_cache(hub: Hub, tmp_path: Path) -> None:
    assert _load(f"hf:{REPO}", hub, tmp_path) == {"file": "tiny.Q4_K_M.gguf", "layers": 2}
    hub.asked.clear()
    assert _load(f"hf:{REPO}", hub, tmp_path)["file"] == "tiny.Q4_K_M.gguf"
    assert hub.asked == []
    assert _load(f"hf:{REPO}:Q8_0", hub, tmp_path)["file"] == "tiny.Q8_0.gguf"
    assert hub.asked
    hub.asked.clear()
    assert _load(f"hf:{REPO}/tiny.Q8_0.gguf", hub, tmp_path, HF_HUB_OFFLINE="1")["layers"] == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"hf:{REPO}:Q2_K", "tiny.Q8_0.gguf"),
        (f"hf:{REPO}/other.gguf", "no such file"),
        ("hf:herd/none", "no such repository"),
        ("hf:herd", "no name of a model"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path, name: str, said: str) -> None:
    found = _load(name, hub, tmp_path)
    assert found["error"] == "ModelLoadError"
    assert said in found["message"]


def test_a_hub_that_cannot_be_reached_is_told(hub: Hub, tmp_path: Path) -> None:
    found = _load(f"hf:{REPO}", hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert found["error"] == "ModelLoadError"
    assert "the Hub did not give it" in found["message"]
    offline = _load(f"hf:{REPO}", hub, tmp_path, HF_HUB_OFFLINE="1")
    assert offline["error"] == "ModelLoadError"


@pytest.mark.parametrize(
    ("name", "files", "chosen"),
    [
        ("hf:a/b", ["b.Q8_0.gguf", "mmproj-f16.gguf"], "b.Q8_0.gguf"),
        ("hf:a/b", ["b-Q8_0.gguf", "b-Q4_K_M.gguf"], "b-Q4_K_M.gguf"),
        ("hf:a/b:q4_k", ["b-Q4_K.gguf", "b-Q4_K_M.gguf"], "b-Q4_K.gguf"),
        ("hf:a/b:F16", ["f/b-F16-00001-of-00002.gguf", "f/b-F16-00002-of-00002.gguf"],
         "f/b-F16-00001-of-00002.gguf"),
        ("hf:a/b/x/y.gguf", ["x/y.gguf", "z.gguf"], "x/y.gguf"),
    ],
)  # fmt: skip
def test_which_file_is_meant(name: str, files: list[str], chosen: str) -> None:
    assert HubName.of(name).choose(files) == chosen


@pytest.mark.parametrize("files", [[], ["x.txt"], ["b-Q8_0.gguf", "b-Q6_K.gguf"]])
def test_a_choice_that_is_none_is_refused(files: list[str]) -> None:
    with pytest.raises(ModelLoadError, match="Its GGUF files"):
        HubName.of("hf:a/b").choose(files)


def test_a_model_in_parts_is_all_of_them() -> None:
    assert parts("b.gguf") == ["b.gguf"]
    assert parts("f/b-00001-of-00003.gguf") == [
        "f/b-00001-of-00003.gguf", "f/b-00002-of-00003.gguf", "f/b-00003-of-00003.gguf",
    ]  # fmt: skip
