"""An event file for TensorBoard."""

import socket
import struct
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from genjax.files import appending


class EventFile:
    """Appends events to a new file in a folder, which TensorBoard shows as one run.

    Written synchronously: tensorboardX's writer thread dies silently on a full disk, and its queue
    then blocks the run.
    """

    def __init__(self, folder: Path, owner: int):
        """Opens the file, like `appending`. `owner` is part of its name, such as a process id."""
        name = f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{owner}'
        self._file = appending(folder / name, _record(0, file_version='brain.Event:2'))

    def write(self, step: int, **content: object) -> None:
        """Appends an event with the fields `content` of its protocol buffer."""
        self._file.write(_record(step, **content))

    def flush(self) -> None:
        """Makes what was written visible, in a bucket too."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _record(step: int, **content: object) -> bytes:
    data = Event(wall_time=time.time(), step=step, **content).SerializeToString()
    length = struct.pack('<Q', len(data))
    checksums = (struct.pack('<I', masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)
