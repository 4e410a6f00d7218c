"""The folder of one run: its history and the checkpoint that it can go on from."""

import json
import os
from pathlib import Path
from typing import Any

import filelock

from vae_lib import checkpoint
from vae_lib.errors import InputError


class RunFolder:
    """Keeps a run's state so that it can be killed at any moment.

    ``history.jsonl`` grows line by line; ``checkpoint.pt`` says how many of its bytes belong to
    the state it holds, so that going on from it drops the lines written after it.

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
        self.saved_step = 0
        if resume and not self.path.is_dir():
            raise InputError(f"There is no run to resume in {path}; leave --resume out to start.")
        self.lock = filelock.FileLock(self.path / ".lock")
        with checkpoint.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self.lock.acquire(timeout=0)
            except filelock.Timeout:
                raise InputError(
                    f"Another process is training in {self.path}; choose another --out."
                ) from None
            for file in (self.state, self.weights):
                for leftover in self.path.glob(f".{file.name}.*"):  # of a write that was killed
                    leftover.unlink()
        try:
            self._check_what_stands(resume)
        except InputError:
            self.lock.release()
            raise

    def _check_what_stands(self, resume: bool) -> None:
        files = (self.state, self.weights, self.history)
        standing = ", ".join(f.name for f in files if f.exists() and f.stat().st_size)
        if standing and not resume:
            raise InputError(
                f"{self.path} already holds a run ({standing}); add --resume to go on with it, or "
                "choose another folder with --out."
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
        if content["identity"] != identity:
            raise InputError(
                f"{self.path} holds a run of another configuration: "
                f"{checkpoint.differing(identity, content['identity'])}. "
                "Resume with its own settings, or choose another --out."
            )
        length = content["history_bytes"]
        lines = self.history.read_bytes() if self.history.exists() else b""
        if len(lines) < length:
            raise InputError(
                f"{self.history} has {len(lines):,} bytes and {self.state.name} knows {length:,}; "
                "it was changed since. Restore it, or choose another --out."
            )
        records = [json.loads(line) for line in lines[:length].splitlines()]
        self.records, self.bytes = len(records), length
        self.saved_step = content["state"]["step"]
        return content["state"], records

    def save(
        self, identity: dict[str, Any], state: dict[str, Any], history: list[dict[str, Any]]
    ) -> None:
        """Append the new history, then replace the checkpoint, each forced to the disk."""
        new = history[self.records :]
        lines = "".join(json.dumps(record) + "\n" for record in new).encode()
        with checkpoint.writing(self.history, len(lines)), self.history.open("ab") as file:
            # Lines that a killed run wrote after its last checkpoint were trained again since.
            file.truncate(self.bytes)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        length = self.bytes + len(lines)
        checkpoint.save(
            self.state,
            checkpoint.RUN_STATE,
            {"identity": identity, "state": state, "history_bytes": length},
        )
        self.records, self.bytes, self.saved_step = len(history), length, state["step"]
