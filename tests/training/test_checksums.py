import hashlib
import json
import threading
import time

from genjax.training import checksums


def test_metadata_that_are_still_being_written_are_waited_for(tmp_path):
    folder = tmp_path / '3'
    (folder / 'state').mkdir(parents=True)
    for name in ('_METADATA', 'manifest.ocdbt'):
        (folder / 'state' / name).write_text('{}')
    metadata = folder / '_CHECKPOINT_METADATA'
    metadata.write_text('')  # opened by another thread, which has not written yet

    def finish():
        time.sleep(0.1)
        metadata.write_text(json.dumps({'init_timestamp_nsecs': 1, 'item_handlers': None}))
        time.sleep(0.1)
        metadata.write_text(
            json.dumps({'init_timestamp_nsecs': 1, 'item_handlers': {'state': 'x'}})
        )

    thread = threading.Thread(target=finish)
    thread.start()
    checksums.write(folder, 3)
    thread.join()
    assert checksums.damage(folder) is None


def test_digests_are_those_of_each_file(tmp_path):
    folder = tmp_path / '3'
    (folder / 'state' / 'd').mkdir(parents=True)
    (folder / '_CHECKPOINT_METADATA').write_text(json.dumps({'item_handlers': {'state': 'x'}}))
    contents = {f'state/d/{i}': bytes([i]) * (1000 * i) for i in range(40)}
    contents |= {'state/_METADATA': b'{}', 'state/manifest.ocdbt': b'm'}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    checksums.write(folder, 3)
    saved = json.loads((folder / checksums.FILE).read_text())
    for name, content in contents.items():
        assert saved[name] == hashlib.sha256(content).hexdigest()
    (folder / 'state/d/17').write_bytes(b'x' * 17_000)
    assert checksums.damage(folder) == 'state/d/17 is not what was saved'
