"""The HTTP server against the engine in process and against python -m llama_cpp.server.

usage: python benchmarks/server.py [MODEL] [--only engine|peer|idle] [--rounds N] [--threads N]

engine   8 clients at once, and the first token of one: through the server, and in process.
         Aims: throughput >= 0.95 of the engine's, first token at most 5 ms later.
peer     8 clients, 16 streaming requests of about 150 + 48 tokens. Aims: all complete; 5 times
         the generated tokens/s of llama_cpp.server, which needs
         `pip install 'llama-cpp-python[server]'` and is left out where that is missing.
idle     200 idle keep-alive connections and 32 active streams. Aims: no errors, memory flat.

Servers and the engine run in processes of their own, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from machine import headline
from random_model import model_path

from llamaherd import Llama, ModelParams
from llamaherd.model import Model
from llamaherd.model.memory import physical_cores

CLIENTS, REQUESTS, PROMPT, DRAWN = 8, 16, 150, 48
IDLE, ACTIVE = 200, 32
OPTIONS: dict[str, Any] = {"n_ctx": 4096, "n_parallel": CLIENTS}
GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
Ask = Callable[[Any, int], AsyncIterator[Any]]
"""Streams the pieces of an answer to a prompt, so many tokens long."""


@contextlib.contextmanager
def our_server(path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """``llamaherd serve`` on a free port."""
    options = [f"-o{name}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, "-m", "llamaherd", "serve", str(path), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        url = next(line for line in program.stderr if " at http" in line).split(" at ")[1].strip()
        reading = asyncio.new_event_loop().run_in_executor(None, program.stderr.read)
        try:
            _wait(lambda: httpx.get(f"{url}/health").status_code == 200)
            yield url, psutil.Process(program.pid)
        finally:
            program.terminate()
            program.wait()
            del reading


@contextlib.contextmanager
def their_server(path: Path) -> Iterator[str]:
    """``python -m llama_cpp.server`` with as many threads."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = OPTIONS.get("n_threads", physical_cores())
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--port", str(port),
        "--n_ctx", str(OPTIONS["n_ctx"]), "--n_threads", str(threads),
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as program:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(lambda: httpx.get(f"{url}/v1/models").status_code == 200)
            yield url
        finally:
            program.terminate()
            program.wait()


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if ready():
                return
        time.sleep(0.2)
    raise SystemExit("the server does not start")


def over_http(http: httpx.AsyncClient, **more: Any) -> Ask:
    """Asks a server."""

    async def ask(prompt: Any, n_drawn: int) -> AsyncIterator[Any]:
        body = {"prompt": prompt, "max_tokens": n_drawn, "stream": True, **more}
        async with http.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code != 200:
                raise RuntimeError((await answer.aread()).decode())
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise RuntimeError(chunk["error"]["message"])
                    yield chunk["choices"][0]

    return ask


def in_process(llm: Llama) -> Ask:
    """Asks the engine."""

    async def ask(prompt: Any, n_drawn: int) -> AsyncIterator[Any]:
        options: Any = {"max_tokens": n_drawn, **GREEDY}
        async for chunk in await llm.acreate_completion(prompt, stream=True, **options):
            yield chunk["choices"][0]

    return ask


async def measure(ask: Ask, rounds: int) -> dict[str, float]:
    """Tokens/s of 8 clients, and milliseconds to one client's first token."""
    prompts = _prompts(CLIENTS + 1)
    await _length(ask(prompts[-1], 4))
    rates = []
    for _ in range(rounds):
        begin = time.perf_counter()
        await asyncio.gather(*(_length(ask(prompt, 64)) for prompt in prompts[:-1]))
        rates.append(CLIENTS * 64 / (time.perf_counter() - begin))
    firsts = []
    for _ in range(10 * rounds):
        begin = time.perf_counter()
        pieces = ask(prompts[-1], 1)
        async for choice in pieces:
            if choice["text"] or choice["finish_reason"]:
                firsts.append(time.perf_counter() - begin)
                break
        await _length(pieces)
    return {"rate": statistics.median(rates), "first_ms": 1e3 * statistics.median(firsts)}


async def _length(pieces: AsyncIterator[Any]) -> int:
    n = 0
    async for _ in pieces:
        n += 1
    return n


def _prompts(n: int) -> list[list[int]]:
    dice = np.random.default_rng(0)
    return [dice.integers(300, 2_000, 32).tolist() for _ in range(n)]


def engine_alone(path: Path, rounds: int) -> dict[str, float]:
    """The measure in process."""
    with Llama(path, **OPTIONS) as llm:
        return asyncio.run(measure(in_process(llm), rounds))


def against_engine(path: Path, rounds: int) -> None:
    """Print what HTTP costs."""
    with our_server(path) as (url, _):
        served = asyncio.run(
            _with_client(url, lambda http: measure(over_http(http, **GREEDY), rounds))
        )
    command = [sys.executable, __file__, str(path), "--side", "engine", "--rounds", str(rounds)]
    if "n_threads" in OPTIONS:
        command += ["--threads", str(OPTIONS["n_threads"])]
    alone = json.loads(subprocess.check_output(command))
    ratio = served["rate"] / alone["rate"]
    later_ms = served["first_ms"] - alone["first_ms"]
    print(
        f"{CLIENTS} clients   server {served['rate']:.1f} tokens/s   engine {alone['rate']:.1f}   "
        f"ratio {ratio:.3f}\nfirst token   server {served['first_ms']:.1f} ms   "
        f"engine {alone['first_ms']:.1f} ms   later by {later_ms:.1f} ms",
        flush=True,
    )


async def _with_client(url: str, run: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    limits = httpx.Limits(max_connections=IDLE + ACTIVE + 8)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=900) as http:
        return await run(http)


async def _clients(
    http: httpx.AsyncClient, texts: list[str], **more: Any
) -> tuple[int, int, float]:
    """Answers that came whole, tokens that came, and seconds; each client asks one by one."""
    ask, waiting = over_http(http, **more), list(texts)
    n_whole = n_tokens = 0

    async def client() -> None:
        nonlocal n_whole, n_tokens
        while waiting:
            with contextlib.suppress(httpx.HTTPError, RuntimeError):
                async for choice in ask(waiting.pop(), DRAWN):
                    n_tokens += bool(choice["text"])
                    n_whole += choice["finish_reason"] == "length"

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return n_whole, n_tokens, time.perf_counter() - begin


def against_peer(path: Path) -> None:
    """Print how many requests each server completes, and how fast."""
    texts = _texts(path, REQUESTS)
    with our_server(path) as (url, _):
        ours = asyncio.run(_with_client(url, lambda http: _clients(http, texts, **GREEDY)))
    rate = _report("llamaherd", *ours)
    if importlib.util.find_spec("starlette_context") is None:
        print("llama_cpp.server is missing: pip install 'llama-cpp-python[server]'", flush=True)
        return
    with their_server(path) as url:
        bias: dict[str, Any] = {"temperature": 0}
        theirs = asyncio.run(_with_client(url, lambda http: _clients(http, texts, **bias)))
    print(f"ratio {rate / _report('llama_cpp.server', *theirs):.1f}", flush=True)


def _report(name: str, n_whole: int, n_tokens: int, seconds: float) -> float:
    rate = n_tokens / seconds
    print(
        f"{CLIENTS} clients, {REQUESTS} requests of {PROMPT} + {DRAWN} tokens   {name} completes "
        f"{n_whole} in {seconds:.1f} s, {rate:.1f} generated tokens/s",
        flush=True,
    )
    return rate


def _texts(path: Path, n: int) -> list[str]:
    """Texts of about 150 tokens."""
    dice = np.random.default_rng(1)
    with Model(path, ModelParams(vocab_only=True)) as model:
        ids = [dice.integers(300, 2_000, PROMPT).tolist() for _ in range(n)]
        return [model.vocab.detokenize(each).decode("utf-8", "replace") for each in ids]


async def _crowd(
    http: httpx.AsyncClient, process: psutil.Process, rounds: int
) -> tuple[int, list[int]]:
    """Streams that ended well, and the server's memory in MiB after each round."""
    host, port = http.base_url.host, http.base_url.port
    idle = [await asyncio.open_connection(host, port) for _ in range(IDLE)]
    for reader, writer in idle:
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).endswith(b"200 OK\r\n")
    n_well, memory = 0, []
    ask = over_http(http, **GREEDY)

    async def stream(prompt: list[int]) -> bool:
        ends = [choice["finish_reason"] async for choice in ask(prompt, DRAWN)]
        return bool(ends[-1] == "length")

    for _ in range(rounds):
        n_well += sum(await asyncio.gather(*map(stream, _prompts(ACTIVE))))
        memory.append(process.memory_info().rss >> 20)
    assert not any(writer.transport.is_closing() for _, writer in idle)
    for _, writer in idle:
        writer.close()
    return n_well, memory


def crowd(path: Path, rounds: int) -> None:
    """Print what becomes of many connections."""
    rounds = max(3, rounds)
    with our_server(path) as (url, process):
        n_well, memory = asyncio.run(_with_client(url, lambda http: _crowd(http, process, rounds)))
    print(
        f"{IDLE} idle connections, {rounds} x {ACTIVE} streams   {n_well} of {rounds * ACTIVE} "
        f"ended well   memory after each round {', '.join(map(str, memory))} MiB",
        flush=True,
    )


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", nargs="?", type=Path)
    arguments.add_argument("--only", choices=("engine", "peer", "idle"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, help="default: physical cores")
    arguments.add_argument("--side", choices=("engine",), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    path = chosen.model or model_path()
    if chosen.threads is not None:
        OPTIONS["n_threads"] = chosen.threads
    if chosen.side:
        print(json.dumps(engine_alone(path, chosen.rounds)))
        return
    print(headline(), flush=True)
    if chosen.only in (None, "engine"):
        against_engine(path, chosen.rounds)
    if chosen.only in (None, "peer"):
        against_peer(path)
    if chosen.only in (None, "idle"):
        crowd(path, chosen.rounds)


if __name__ == "__main__":
    main()
