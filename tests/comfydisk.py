"""What lies in ComfyUI's three folders, and what a request added to it."""

from pathlib import Path


class ComfyDisk:
    """The files below input, output and temp of a base directory."""

    def __init__(self, base: str) -> None:
        self.base = Path(base)

    def files(self) -> dict[str, bytes]:
        """Path below the base → content."""
        return {
            str(path.relative_to(self.base)): path.read_bytes()
            for folder in ("input", "output", "temp")
            for path in (self.base / folder).rglob("*")
            if path.is_file()
        }

    def added(self, before: dict[str, bytes]) -> dict[str, bytes]:
        """What is new or changed since `before`, an earlier answer of `files`."""
        return {name: data for name, data in self.files().items() if before.get(name) != data}

    def put(self, name: str, content: bytes) -> None:
        """Lay a file down, its folders included."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def restore(self, before: dict[str, bytes]) -> None:
        """Make `files` answer `before` again."""
        for name in self.added(before):
            (self.base / name).unlink()
        for name in before.keys() - self.files().keys():
            self.put(name, before[name])
