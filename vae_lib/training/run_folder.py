"""The folder of one run: its history and the checkpoint that it can go on from."""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import filelock

from vae_lib import checkpoint
from vae_lib.errors import InputError, foreign
from vae_lib.files import clear_leftovers, reading, writing
from vae_lib.model import VAE

RESUME = "resume the run"  # what a full disk asks for once there is room


class RunFolder:
    """Keeps a run's state so that it can be killed at any moment.

    ``history.jsonl`` grows line by line; ``checkpoint.pt`` says how many of its bytes belong to
    the state it holds, and their checksum, so that going on from it drops the lines written after
    it and notices others. A folder that was removed meanwhile is made and written anew.

    Parameters
    ----------
    path : Path
        Made if missing.
    weights : str
        File name of the weights.
    resume : bool
        Whether a run may stand there already.

    Raises
    ------
    InputError
        If a run stands there and `resume` is not set, there is no folder to resume, the folder
        cannot be written, or another process trains in it.
    """

    def __init__(self, path: Path, weights: str, resume: bool) -> None:
        self.path = Path(path)
        self.history, self.state = self.path / "history.jsonl", self.path / "checkpoint.pt"
        self.weights = self.path / weights
        # Records and bytes of the history that the checkpoint vouches for.
        self.records = self.bytes = 0
        self.digest = hashlib.sha256()
        self.saved_step = 0
        if resume and not self.path.is_dir():
            raise InputError(f"There is no run to resume in {path}; leave --resume out to start.")
        self.lock = filelock.FileLock(self.path / ".lock")
        self._take()
        try:
            self._check_what_stands(resume)
        except InputError:
            self.lock.release()
            raise

    def _take(self) -> None:
        """Make the folder, keep other processes out of it, and clear what killed writes left."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self.lock.acquire(timeout=0)
            except filelock.Timeout:
                raise InputError(
                    f"Another process is training in {self.path}; choose another --out."
                ) from None
            self.mark = self._marks(self.path / ".lock")
            for folder in (self.path, self.path / "epochs"):
                if folder.is_dir():
                    clear_leftovers(folder)

    @staticmethod
    def _marks(file: Path) -> tuple[int, int] | None:
        """What tells a file from another of its name; nothing where there is none."""
        if not file.exists():
            return None
        facts = file.stat()
        return facts.st_dev, facts.st_ino

    def hold(self) -> None:
        """Make sure that the folder is still this run's, and make it anew where it was removed.

        Raises
        ------
        InputError
            If another run stands there by now.
        """
        if self._marks(self.path / ".lock") == self.mark:
            return
        self.lock.release()
        self._take()
        if self.state.exists() and self._marks(self.state) != getattr(self, "state_mark", None):
            raise InputError(
                f"{self.path} was removed while this run trained, and holds another run now; that "
                "one is left as it is. Start again with another --out."
            )
        if not self.state.exists():
            warnings.warn(
                f"{self.path} was removed while the run trained; it is written anew, without the "
                "pictures of the epochs before.",
                stacklevel=2,
            )

    def _check_what_stands(self, resume: bool) -> None:
        files = (self.state, self.weights, self.history)
        standing = ", ".join(f.name for f in files if f.exists() and f.stat().st_size)
        if standing and not resume:
            raise InputError(
                f"{self.path} already holds a run ({standing}); go on with it (vae train: "
                "--resume), or choose another folder with --out."
            )
        if standing and not self.state.exists():
            raise InputError(
                f"{self.path} holds {standing} but no {self.state.name} to go on from; choose "
                "another folder with --out."
            )

    def load(self, identity: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """The checkpoint's state and the history up to it; nothing if there is none yet.

        Raises
        ------
        InputError
            If the checkpoint cannot be read, belongs to a run whose `identity` differs (the
            fields are listed), or the history lost lines.
        """
        if not self.state.exists():  # killed before the first checkpoint
            return None
        content = checkpoint.load(self.state, checkpoint.RUN_STATE)
        with reading(self.history):
            lines = self.history.read_bytes() if self.history.exists() else b""
        mend = "Restore it, or choose another --out"
        with foreign(f"{self.state} was changed since it was written", mend):
            found, state, length = (content[n] for n in ("identity", "state", "history_bytes"))
            if found != identity:
                raise InputError(
                    f"{self.path} holds a run of another configuration: "
                    f"{checkpoint.differing(identity, found)}. "
                    "Resume with its own settings, or choose another --out."
                )
            if not 0 <= length <= len(lines):
                raise InputError(
                    f"{self.history} has {len(lines):,} bytes and {self.state.name} knows "
                    f"{length:,}; it was changed since. {mend}."
                )
            self.bytes, self.saved_step = length, state["step"]
            self.digest = hashlib.sha256(lines[:length])
            # Runs from before there were checksums have none.
            expected = content.get("history_sha256", self.digest.hexdigest())
        with foreign(f"{self.history} was changed since it was written", mend):
            if expected != self.digest.hexdigest():
                raise ValueError("its checksum is another")
            records = [json.loads(line) for line in lines[:length].splitlines()]
            if not all(record["kind"] in ("step", "epoch") for record in records):
                raise ValueError("a line is no record")
        self.records = len(records)
        self.state_mark = self._marks(self.state)
        return state, records

    def save(
        self,
        identity: dict[str, Any],
        state: dict[str, Any],
        history: list[dict[str, Any]],
        weights: tuple[VAE, dict[str, Any]] | None = None,
    ) -> None:
        """Append the new history, then replace the checkpoint, each forced to the disk.

        Weights and their metadata, where given, come first: the checkpoint vouches for them.
        """
        self.hold()
        if weights is not None:
            checkpoint.save_weights(self.weights, *weights, then=RESUME)
        if not self.history.exists() or self.history.stat().st_size < self.bytes:
            self.records = self.bytes = 0  # removed or cut meanwhile; all of it is at hand
            self.digest = hashlib.sha256()
        new = history[self.records :]
        lines = "".join(json.dumps(record) + "\n" for record in new).encode()
        with (
            writing(self.history, len(lines), RESUME),
            self.history.open("ab") as file,
        ):
            # Lines that a killed run wrote after its last checkpoint were trained again since.
            file.truncate(self.bytes)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        length = self.bytes + len(lines)
        self.digest.update(lines)
        content = {
            "identity": identity,
            "state": state,
            "history_bytes": length,
            "history_sha256": self.digest.hexdigest(),
        }
        checkpoint.save(self.state, checkpoint.RUN_STATE, content, RESUME)
        self.records, self.bytes, self.saved_step = len(history), length, state["step"]
        self.state_mark = self._marks(self.state)
