"""Several models: which are in memory, who waits for whom, and what a new configuration does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from serving import Running, serving, wait_until

from llamaherd import ClosedError, ModelLoadError
from llamaherd.server.residents import load
from llamaherd.server.run import Server
from llamaherd.server.settings import ModelSettings, ServerParams, Settings, read_settings

SMALL: dict[str, Any] = {"n_threads": 1, "n_ctx": 512, "n_parallel": 2}
LONG: dict[str, Any] = {"prompt": "one", "max_tokens": 100_000, "ignore_eos": True, "stream": True}


def _demo(name: str, **more: Any) -> ModelSettings:
    return ModelSettings(name=name, file="demo", options=SMALL, **more)


def _states(running: Running) -> dict[str, str]:
    return httpx.get(f"{running.url}/health").json()["models"]  # type: ignore[no-any-return]


def _ask(running: Running, model: str | None, **more: Any) -> httpx.Response:
    body = {"prompt": "one", "max_tokens": 2, **({} if model is None else {"model": model}), **more}
    return httpx.post(f"{running.url}/v1/completions", json=body, timeout=60)


def test_models_are_found_by_name_and_alias() -> None:
    first, second = _demo("first"), _demo("second", aliases=["gpt-4o-mini", "a/b"], preload=False)
    with serving(first, second) as running:
        assert _ask(running, None).json()["model"] == "first"
        assert _states(running) == {"first": "loaded", "second": "unloaded"}
        assert _ask(running, "gpt-4o-mini").json()["model"] == "second"
        assert _states(running) == {"first": "loaded", "second": "loaded"}
        missing = _ask(running, "third")
        assert missing.status_code == 404
        assert "first, second" in missing.json()["error"]["message"]
        assert httpx.get(f"{running.url}/v1/models/a/b").json()["id"] == "second"


def test_a_default_model_answers_for_every_name() -> None:
    with serving(_demo("first"), _demo("second"), default_model="second") as running:
        assert _ask(running, "gpt-3.5-turbo").json()["model"] == "second"
        assert _ask(running, None).json()["model"] == "second"
        assert _ask(running, "first").json()["model"] == "first"


def test_the_model_used_longest_ago_makes_room() -> None:
    models = [_demo(name, preload=False) for name in ("a", "b", "c")]
    with serving(*models, memory_gib=_gib_of(2)) as running:
        for name in ("a", "b", "a", "c"):
            assert _ask(running, name).status_code == 200
        assert _states(running) == {"a": "loaded", "b": "unloaded", "c": "loaded"}


def test_requests_for_a_model_wait_until_the_busy_one_is_free() -> None:
    models = [_demo(name, preload=False) for name in ("a", "b")]
    with serving(*models, memory_gib=_gib_of(1)) as running:
        url = f"{running.url}/v1/completions"
        with httpx.stream("POST", url, json={**LONG, "model": "a"}, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            with ThreadPoolExecutor(2) as pool:
                waiting = pool.submit(_ask, running, "b")
                wait_until(lambda: _states(running)["b"] == "loading")
                assert not waiting.done()
                rest = [line for line in lines if line]
                assert rest[-1] == "data: [DONE]", "nobody's answer was cut off for it"
                assert waiting.result(timeout=60).status_code == 200
        assert _states(running) == {"a": "unloaded", "b": "loaded"}


def test_two_models_take_turns_where_only_one_fits() -> None:
    models = [_demo(name, preload=False) for name in ("a", "b")]
    with serving(*models, memory_gib=_gib_of(1)) as running, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(_ask, running, name) for name in "abababab"]
        assert {each.result(timeout=60).status_code for each in asked} == {200}


def test_a_request_that_waits_for_a_model_may_leave() -> None:
    models = [_demo(name, preload=False) for name in ("a", "b")]
    with serving(*models, memory_gib=_gib_of(1)) as running:
        url = f"{running.url}/v1/completions"
        with httpx.stream("POST", url, json={**LONG, "model": "a"}, timeout=60) as stream:
            next(stream.iter_lines())
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, json={"prompt": "a", "model": "b"}, timeout=0.1)
        assert _ask(running, "a").status_code == 200


def test_adapters_are_chosen_by_llama_servers_ids(tiny_model: Path, adapter_file: Path) -> None:
    tiny = ModelSettings(
        name="tiny", file=str(tiny_model), options=SMALL, adapters={"odd": str(adapter_file)}
    )
    with serving(tiny) as running:
        body = {"prompt": [12, 7, 9], "temperature": 0, "logprobs": 1}

        def logprobs(**more: Any) -> Any:
            answer = _ask(running, None, **body, **more).json()
            return answer["choices"][0]["logprobs"]["token_logprobs"]

        plain, on = logprobs(), logprobs(lora=[{"id": 0, "scale": 4.0}])
        assert logprobs(lora=[]) == pytest.approx(plain, abs=1e-3)
        assert on != pytest.approx(plain, abs=1e-3)
        assert logprobs(lora={"odd": 4.0}) == pytest.approx(on, abs=1e-3)
        unknown = _ask(running, None, **body, lora=[{"id": 1, "scale": 1.0}])
        assert unknown.status_code == 400
        assert httpx.get(f"{running.url}/lora-adapters").json()[0]["name"] == "odd"


def test_a_model_that_cannot_be_loaded_is_an_error_each_time(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    bad = ModelSettings(name="bad", file=str(broken), preload=False)
    with serving(_demo("good"), bad) as running:
        for _ in range(2):
            assert _ask(running, "bad").status_code == 500
        assert _ask(running, "good").status_code == 200
        assert _states(running) == {"good": "loaded", "bad": "unloaded"}


def test_a_server_whose_model_cannot_be_loaded_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model")
    model = ModelSettings(name="bad", file=str(broken))
    with pytest.raises(ModelLoadError):
        Server(Settings(ServerParams(port=0), (model,))).run()


def test_a_server_that_stops_does_not_wait_for_models_to_load() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(ClosedError, match="while a was loaded"):
        load(_demo("a"), stop)


def test_a_new_configuration_drops_no_stream() -> None:
    with serving(_demo("a"), _demo("b")) as running:
        url = f"{running.url}/v1/completions"
        running.llm  # noqa: B018 - waits until it is loaded
        with httpx.stream("POST", url, json={**LONG, "model": "a"}, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            changed = Settings(running.service.settings.server, (_demo("b"), _demo("c")))
            running.on_loop(lambda: running.service.configure(changed))
            assert _ask(running, "a").status_code == 404
            assert _ask(running, "c").status_code == 200
            assert [line for line in lines if line][-1] == "data: [DONE]"
        wait_until(lambda: not running.service.models.retired)
        assert _states(running) == {"b": "loaded", "c": "loaded"}


CONFIG = """
[server]
port = 0
grace_s = 5.0

[models.first]
file = "demo"
options = { n_ctx = 512, n_threads = 1 }
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_the_program_reads_its_configuration_again(tmp_path: Path) -> None:
    config = tmp_path / "llamaherd.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "llamaherd", "serve", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as program:
        assert program.stderr is not None
        try:
            url = (
                next(line for line in program.stderr if " at http" in line).split(" at ")[1].strip()
            )
            with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
                assert [m.id for m in client.models.list()] == ["first"]
                config.write_text(CONFIG.replace("models.first", "models.second"))
                program.send_signal(signal.SIGHUP)
                wait_until(lambda: [m.id for m in client.models.list()] == ["second"])
                config.write_text("nonsense")
                program.send_signal(signal.SIGHUP)
                assert [m.id for m in client.models.list()] == ["second"]
                config.write_text(CONFIG.replace("models.first", "models.third"))
                wait_until(lambda: [m.id for m in client.models.list()] == ["third"])
        finally:
            program.terminate()
            program.communicate(timeout=60)
    assert program.returncode == -signal.SIGTERM  # as uvicorn ends: by the signal it got


def _gib_of(n_models: int) -> float:
    """Memory for so many of the models here and a half."""
    with serving(_demo("a")) as running:
        return (n_models + 0.5) * running.llm.memory_bytes() / 2**30


def test_settings_come_from_a_file_the_environment_and_flags(tmp_path: Path) -> None:
    config = tmp_path / "llamaherd.toml"
    config.write_text(CONFIG + 'aliases = ["x"]\npreload = false\n')
    environment = {"LLAMAHERD_GRACE_S": "7", "LLAMAHERD_CORS_ORIGINS": "http://a, http://b"}
    found = read_settings(config, models=["second=demo"], environment=environment, port=9000)
    assert found.server.port == 9000
    assert found.server.grace_s == 7.0
    assert found.server.cors_origins == ["http://a", "http://b"]
    assert [model.name for model in found.models] == ["first", "second"]
    assert found.models[0].all_names == ("first", "x")
    environment = {"LLAMAHERD_CONFIG": str(config), "LLAMAHERD_MODELS": "a=demo,b=demo"}
    found = read_settings(environment=environment)
    assert [model.name for model in found.models] == ["first", "a", "b"]
    flags: dict[str, Any] = {"aliases": ["y"], "preload": False, "options": {"n_ctx": 512}}
    (only,) = read_settings(models=["demo"], environment={}, model=flags).models
    assert only == ModelSettings(name="demo", file="demo", **flags)


def test_what_does_not_fit_is_loaded_when_it_is_asked_for() -> None:
    with serving(_demo("a"), _demo("b"), memory_gib=_gib_of(1)) as running:
        wait_until(lambda: httpx.get(f"{running.url}/health").status_code == 200)
        assert _states(running) == {"a": "loaded", "b": "unloaded"}
        assert _ask(running, "b").status_code == 200


def test_a_model_of_the_hub_is_named_in_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[models.far]\nfile = "hf:herd/tiny-GGUF:Q8_0"\n', encoding="utf-8")
    (model,) = read_settings(config, environment={}).models
    assert model.file == "hf:herd/tiny-GGUF:Q8_0"
    config.write_text('[models.far]\nfile = "hf:herd"\n', encoding="utf-8")
    with pytest.raises(ModelLoadError, match="no name of a model"):
        read_settings(config, environment={})
