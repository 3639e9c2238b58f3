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
