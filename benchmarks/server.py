"""The HTTP server against the engine in process and against python -m llama_cpp.server.

usage: python benchmarks/server.py [MODEL] [--only engine|peer|idle] [--rounds N] [--threads N]

engine   8 clients at once, and the first token of one: through the server, and in process.
         Aims: throughput >= 0.95 of the engine's, first token at most 5 ms later.
peer     8 clients, 16 streaming requests of about 150 + 48 tokens. Aims: all complete; 5 times
         the generated tokens/s of llama_cpp.server, which needs
         `pip install 'llama-cpp-python[server]'` and is left out where that is missing.
idle     200 idle keep-alive connections and 32 active streams. Aims: no errors, memory flat.

Servers and the engine run in processes of their own, one of them at a time.
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
from collections.abc import AsyncIterator, Callable, Iterator
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


def over_http(url: str, **more: Any) -> Ask:
    """Asks a server. By bare sockets: a client library would take more time than the server."""
    host, port = url.removeprefix("http://").split(":")

    async def ask(prompt: Any, n_drawn: int) -> AsyncIterator[Any]:
        body = json.dumps({"prompt": prompt, "max_tokens": n_drawn, "stream": True, **more})
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        try:
            writer.write((head + body).encode())
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(f"{status!r} {(await reader.read()).decode()}")
            async for line in reader:  # the sizes of HTTP's chunks stand on lines of their own
                if line.startswith(b"data: {"):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise RuntimeError(chunk["error"]["message"])
                    yield chunk["choices"][0]
        finally:
            writer.close()

    return ask


def in_process(llm: Llama) -> Ask:
    """Asks the engine."""

    async def ask(prompt: Any, n_drawn: int) -> AsyncIterator[Any]:
        options: Any = {"max_tokens": n_drawn, **GREEDY}
        async for chunk in await llm.acreate_completion(prompt, stream=True, **options):
            yield chunk["choices"][0]

    return ask


async def measure(ask: Ask) -> dict[str, float]:
    """Tokens/s of 8 clients, and milliseconds to one client's first token: one round."""
    *several, one = _prompts(CLIENTS + 1)
    await _length(ask(one, 4))
    begin = time.perf_counter()
    await asyncio.gather(*(_length(ask(prompt, 64)) for prompt in several))
    rate = CLIENTS * 64 / (time.perf_counter() - begin)
    firsts = []
    for _ in range(10):
        begin = time.perf_counter()
        pieces = ask(one, 1)
        async for choice in pieces:
            if choice["text"] or choice["finish_reason"]:
                firsts.append(time.perf_counter() - begin)
                break
        await _length(pieces)
    return {"rate": rate, "first_ms": 1e3 * statistics.median(firsts)}


async def _length(pieces: AsyncIterator[Any]) -> int:
    n = 0
    async for _ in pieces:
        n += 1
    return n


def _prompts(n: int) -> list[list[int]]:
    dice = np.random.default_rng(0)
    return [dice.integers(300, 2_000, 32).tolist() for _ in range(n)]


def engine_alone(path: Path) -> None:
    """The measure in process, one round for each line of stdin."""
    with Llama(path, **OPTIONS) as llm:
        for _ in sys.stdin:
            print(json.dumps(asyncio.run(measure(in_process(llm)))), flush=True)


@contextlib.contextmanager
def other_process(path: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """A function that has :func:`engine_alone` measure one round."""
    command = [sys.executable, __file__, str(path), "--side", "engine"]
    if "n_threads" in OPTIONS:
        command += ["--threads", str(OPTIONS["n_threads"])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as program:
        given, told = program.stdin, program.stdout
        assert given is not None
        assert told is not None

        def once() -> dict[str, float]:
            print(file=given, flush=True)
            found: dict[str, float] = json.loads(told.readline())
            return found

        yield once
        given.close()


def against_engine(path: Path, rounds: int) -> None:
    """Print what HTTP costs; the two take turns, since a machine's speed changes with time."""
    with our_server(path) as (url, _), other_process(path) as alone_once:

        def served_once() -> dict[str, float]:
            return asyncio.run(measure(over_http(url, **GREEDY)))

        served_once(), alone_once()
        pairs = [(served_once(), alone_once()) for _ in range(rounds)]
    ratio = statistics.median(served["rate"] / alone["rate"] for served, alone in pairs)
    later_ms = statistics.median(served["first_ms"] - alone["first_ms"] for served, alone in pairs)
    served, alone = pairs[-1]
    print(
        f"{CLIENTS} clients   server {served['rate']:.1f} tokens/s   engine {alone['rate']:.1f}   "
        f"ratio {ratio:.3f}\nfirst token   server {served['first_ms']:.1f} ms   "
        f"engine {alone['first_ms']:.1f} ms   later by {later_ms:.1f} ms",
        flush=True,
    )


async def _clients(url: str, texts: list[str], **more: Any) -> tuple[int, int, float]:
    """Answers that came whole, tokens that came, and seconds; each client asks one by one."""
    ask, waiting = over_http(url, **more), list(texts)
    n_whole = n_tokens = 0

    async def client() -> None:
        nonlocal n_whole, n_tokens
        while waiting:
            with contextlib.suppress(OSError, RuntimeError):
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
        ours = asyncio.run(_clients(url, texts, **GREEDY))
    rate = _report("llamaherd", *ours)
    if importlib.util.find_spec("starlette_context") is None:
        print("llama_cpp.server is missing: pip install 'llama-cpp-python[server]'", flush=True)
        return
    with their_server(path) as url:
        theirs = asyncio.run(_clients(url, texts, temperature=0))
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


async def _crowd(url: str, process: psutil.Process, rounds: int) -> tuple[int, list[int]]:
    """Streams that ended well, and the server's memory in MiB after each round."""
    host, port = url.removeprefix("http://").split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(IDLE)]
    for reader, writer in idle:
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).endswith(b"200 OK\r\n")
    n_well, memory = 0, []
    ask = over_http(url, **GREEDY)

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
        n_well, memory = asyncio.run(_crowd(url, process, rounds))
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
        engine_alone(path)
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
