"""What the end-to-end tests share: running the binary, a scratch folder, counted checks."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

BINARY = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "build/dev/proctor"
SKIPPED = 77  # SKIP_RETURN_CODE of tests/CMakeLists.txt
_failures = []


def proctor(*arguments, stdin=None, timeout=120, env=None, cwd=None):
    """Runs the binary; the result has returncode, stdout, stderr as text."""
    return subprocess.run([BINARY, *map(str, arguments)], input=stdin, capture_output=True,
                          text=True, timeout=timeout, env={**os.environ, **(env or {})}, cwd=cwd)


def check(condition, what):
    if not condition:
        _failures.append(what)
        print("FAILED:", what)


def check_equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, expected {wanted!r}")


def refused(result, code, *words):
    """Exit code `code` and one sentence that holds every word, no stack trace."""
    line = result.stderr.strip().splitlines()[-1] if result.stderr.strip() else ""
    check_equal(result.returncode, code, f"exit code of {result.args[1:]} ({line})")
    check(line.startswith("proctor: "), f"one sentence on stderr, got {result.stderr[-300:]!r}")
    for word in words:
        check(word in line, f"{word!r} in {line!r}")
    check("Traceback" not in result.stderr and "terminate called" not in result.stderr,
          "no stack trace")


def skip(why, must_work):
    """Ends the test as skipped; as failed where the environment variable says that this must work."""
    print("skipped:", why)
    sys.exit(1 if os.environ.get(must_work) == "1" else SKIPPED)


def finish():
    if _failures:
        print(f"{len(_failures)} failed")
        sys.exit(1)
    print("ok")


class Scratch:
    """A folder that goes with the test; write() puts text or JSON lines into it."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="proctor-e2e-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def __call__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, content):
        path = self(name)
        with open(path, "w", encoding="utf-8") as file:
            if isinstance(content, str):
                file.write(content)
            else:
                for record in content:
                    file.write(json.dumps(record) + "\n")
        return path


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


class Server:
    """A model server on 127.0.0.1 whose answer to each chat request is `answer(handler, body)`, and
    to a question for its models `models(handler)`."""

    def __init__(self, answer, models=lambda handler: handler.reply(
            200, {"object": "list", "data": [{"id": "m", "object": "model"}]})):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, code, body, kind="application/json", headers=()):
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                models(self)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    answer(self, json.loads(body or b"{}"))
                except (BrokenPipeError, ConnectionResetError):
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.uri = f"openai:http://127.0.0.1:{self.server.server_address[1]}/v1#m"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def completion(text):
    return {"id": "x", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}
