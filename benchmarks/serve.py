"""Throughput, errors, cross-talk and memory of `vreason-agent serve` under concurrent streams.

    python benchmarks/serve.py --clients 16 --seconds 120

Starts a server with the bundled model, asks a set of sampled questions one at a time (which gives the reference texts),
then from many clients at once. Every concurrent text is compared with its reference: a difference is cross-talk.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

QUESTIONS = [
    f"Which {what} does the {color} object have?" for what in ("shape", "size") for color in ("red", "green", "blue")
]


@dataclass
class Tally:
    """What one phase saw."""

    answers: int = 0
    tokens: int = 0
    errors: list[str] = field(default_factory=list)
    mixed: int = 0
    first_seconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)

    def to_dict(self, seconds: float) -> dict[str, Any]:
        """Return the figures of a phase that took so many seconds."""
        return {
            "answers": self.answers,
            "tokens_per_second": round(self.tokens / seconds, 1),
            "answers_per_second": round(self.answers / seconds, 2),
            "errors": len(self.errors),
            "first_error": self.errors[0] if self.errors else None,
            "different_from_alone": self.mixed,
            "first_token_seconds_median": round(statistics.median(self.first_seconds), 3),
            "first_token_seconds_max": round(max(self.first_seconds), 3),
            "resident_mb": [round(value) for value in self.resident_mb[:: max(1, len(self.resident_mb) // 8)]],
        }


async def ask(client: httpx.AsyncClient, number: int, clip: Path, tally: Tally) -> str | None:
    """Ask one question as a stream and return its text."""
    video = {"type": "video_url", "video_url": {"url": clip.as_uri()}, "num_frames": 4 + 2 * (number % 3)}
    content = [video, {"type": "text", "text": QUESTIONS[number % len(QUESTIONS)]}]
    body = {"messages": [{"role": "user", "content": content}], "seed": number, "temperature": 1.0, "max_tokens": 48}
    pieces, began, first = [], time.perf_counter(), None
    try:
        usage = {"stream": True, "stream_options": {"include_usage": True}}
        async with client.stream("POST", "/v1/chat/completions", json=body | usage) as response:
            async for line in response.aiter_lines():
                if response.status_code != 200 or line.startswith('data: {"error"'):
                    raise RuntimeError(line)
                if not line.startswith("data: {"):
                    continue
                first = first or time.perf_counter() - began
                chunk = json.loads(line.removeprefix("data: "))
                tally.tokens += (chunk.get("usage") or {}).get("completion_tokens", 0)
                for choice in chunk["choices"]:
                    pieces.append(choice["delta"].get("reasoning_content", "") + choice["delta"].get("content", ""))
    except (httpx.HTTPError, RuntimeError) as error:
        tally.errors.append(repr(error))
        return None
    tally.answers += 1
    tally.first_seconds.append(first or 0.0)
    return "".join(pieces)


async def measure(url: str, pid: int, clip: Path, *, clients: int, seconds: float, num_texts: int) -> dict[str, Any]:
    """Ask one at a time, then from all clients for `seconds`; return the figures of both."""
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=httpx.Limits(max_connections=None)) as client:
        await ask(client, 0, clip, Tally())
        alone, began = Tally(), time.perf_counter()
        reference = [await ask(client, number, clip, alone) for number in range(num_texts)]
        single = alone.to_dict(time.perf_counter() - began)
        together, began = Tally(), time.perf_counter()
        numbers = itertools.count()

        async def work() -> None:
            while time.perf_counter() - began < seconds:
                number = next(numbers) % num_texts
                together.mixed += await ask(client, number, clip, together) not in (reference[number], None)

        async def watch() -> None:
            while True:
                together.resident_mb.append(resident_mb(pid))
                await asyncio.sleep(max(1.0, seconds / 32))

        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(work() for _ in range(clients)))
        watcher.cancel()
        many = together.to_dict(time.perf_counter() - began)
        rows = re.findall(r"round_rows_(?:sum|count) (\S+)", (await client.get("/metrics")).text)
    ratio = round(many["tokens_per_second"] / single["tokens_per_second"], 2)
    return {"one_at_a_time": single, f"{clients}_clients": many, "ratio": ratio, "rows": sorted(map(float, rows))}


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--texts", type=int, default=48, help="different questions and seeds")
    parser.add_argument("--batch-size", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        command = [sys.executable, "-m", "vreason_agent"]
        subprocess.run([*command, "demo-video", str(clip)], check=True, capture_output=True)
        options = ["--port", "0", "--root", folder, "--batch-size", str(arguments.batch_size)]
        with subprocess.Popen([*command, "serve", *options], stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            line = next(line for line in server.stderr if line.startswith("serving"))
            url = re.findall(r"http://[^/]+", line)[0]
            asked = {"clients": arguments.clients, "seconds": arguments.seconds, "num_texts": arguments.texts}
            print(json.dumps(asyncio.run(measure(url, server.pid, clip, **asked)), indent=1))
            server.terminate()


if __name__ == "__main__":
    main()
